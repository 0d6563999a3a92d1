"""Archived months: what their file and their note say, and which questions they still answer.

A file is lines of JSON: first what it is, then every leaf of the log from the month's first to its
last, in their order. A leaf of the month is told with its batch, one that stands between and is
of another month by its digest alone.

    {"format": "benefits.archive/1", "month": "2025-06", "first_leaf": 9, "beyond_leaf": 12,
     "beside": ["…"], "checkpoint": "…"}      the digests beside them give the signed root
    {"leaf_index": 9, "batch": {…}}
    {"leaf_index": 10, "leaf": "…"}

The note is signed like a checkpoint and says all that is kept of the month in the database.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain import seals
from benefits.domain.checkpoints import Signature, read_signatures
from benefits.domain.past import Bounds
from benefits.domain.refusal import Refusal
from benefits.domain.values import Month

FORMAT = "benefits.archive/1"
# What a carried posting stands for: month booked in, unit, lot, debit, credit, party.
Moved = tuple[date, str, UUID | None, str, str, str]


class MonthArchived(Refusal):
    """The answer lies within a month whose batches were taken out of the database."""

    code = "month_archived"
    words = "This needs entries of an archived month. Ask for the month to be restored."


class ArchiveUnfit(Refusal):
    """A file is not an archived month, or not the one that is meant."""

    code = "archive_unfit"
    words = "The file is not what was archived."


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """An archived month as the database has it."""

    month: date
    archived_at: datetime
    first_id: UUID
    beyond_id: UUID
    first_leaf: int
    beyond_leaf: int
    batches: int
    recorded_from: datetime
    recorded_to: datetime
    effective_from: datetime
    effective_to: datetime
    file_digest: bytes
    carried_digest: bytes
    holds_digest: bytes
    note: str

    @property
    def name(self) -> Month:
        """The month."""
        return Month.of(self.month)

    def text(self, origin: str) -> str:
        """Return what is signed: every column, by its name."""
        said = [
            f"{field} {_word(getattr(self, field))}"
            for field in self.__struct_fields__
            if field not in {"month", "note"}
        ]
        return "\n".join([origin, f"archive {self.name}", *said]) + "\n"

    def has(self, batch_id: UUID) -> bool:
        """Say whether a batch is of this month."""
        return self.first_id <= batch_id < self.beyond_id


def _word(value: Any) -> str:
    match value:
        case bytes():
            return value.hex()
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case _:
            return str(value)


class Counted(msgspec.Struct, frozen=True):
    """Archived months below the bounds of a question, and those that the bounds part."""

    whole: tuple[Archive, ...]
    parted: tuple[Archive, ...]


def counted(archives: Iterable[Archive], bounds: Bounds) -> Counted:
    """Say of which archived months all counts, and of which perhaps not all."""
    whole, parted = list[Archive](), list[Archive]()
    for one in archives:
        known, true = bounds.known_at, bounds.as_of
        if (known and known <= one.recorded_from) or (true and true <= one.effective_from):
            continue
        all_known = known is None or known > one.recorded_to
        all_true = true is None or true > one.effective_to
        (whole if all_known and all_true else parted).append(one)
    return Counted(tuple(whole), tuple(parted))


def read_note(note: str) -> tuple[str, tuple[Signature, ...]]:
    """Return the text of a note and its signatures; none when there is no whole one."""
    text, _, signatures = note.partition("\n\n")
    try:
        return f"{text}\n", read_signatures(signatures)
    except ValueError:
        return f"{text}\n", ()


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a file."""

    format: str
    month: str
    first_leaf: int
    beyond_leaf: int
    beside: list[str]
    checkpoint: str


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """Any other line of a file: a leaf with its batch, or one of another month."""

    leaf_index: int
    batch: dict[str, Any] | None = None
    leaf: str = ""


class Sealed(msgspec.Struct, frozen=True):
    """A leaf, with what it was made from unless it is of another month."""

    index: int
    digest: bytes
    batch: seals.Row | None = None
    event: seals.Row | None = None
    postings: Sequence[seals.Row] = ()


def line_of(sealed: Sealed) -> Line:
    """Return a leaf as a file tells it."""
    if sealed.batch is None or sealed.event is None:
        return Line(sealed.index, leaf=sealed.digest.hex())
    return Line(sealed.index, seals.to_words(sealed.batch, sealed.event, sealed.postings))


def sealed_of(line: Line) -> Sealed:
    """Return the leaf of a file's line, made anew from its batch (ArchiveUnfit)."""
    try:
        if line.batch is None:
            return Sealed(line.leaf_index, bytes.fromhex(line.leaf))
        batch, event, postings = seals.from_words(line.batch)
        digest = seals.seal(batch, event, postings)
        return Sealed(line.leaf_index, digest, batch, event, postings)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ArchiveUnfit(f"Leaf {line.leaf_index} cannot be read.") from error


class Sums:
    """What the postings of a month come to, member by member."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.amounts: dict[tuple[UUID, Moved], int] = {}

    def add(self, member_id: UUID, moved: Moved, amount: int) -> None:
        """Count an amount; what comes to nothing is not there."""
        key = (member_id, moved)
        total = self.amounts.get(key, 0) + amount
        if total:
            self.amounts[key] = total
        else:
            self.amounts.pop(key, None)

    def add_batch(self, batch: seals.Row, postings: Iterable[seals.Row], sign: int = 1) -> None:
        """Count the postings of a batch, or take them away."""
        for p in postings:
            place = (batch["booked_month"], p["unit"], p["lot_id"])
            moved = (*place, p["debit"], p["credit"], p["party"])
            self.add(batch["member_id"], moved, sign * p["amount"])
