"""Feeds: the balances of a source at the end of a business date, sealed by a manifest (A-1, A-2).

    OPEN ──its manifest matches──▶ WAITING ──its turn──▶ APPLYING ──every bucket moved──▶ SEALED
      └────it does not──▶ REFUSED                        (send it again as the next revision)

In a FULL feed a member who is absent has 0; in a DELTA feed what is absent is unchanged since the
day before (`chains`), so its turn comes after that day is sealed. Of a source's day the highest
sealed revision counts, whole; in which order they arrive is nothing to it. Lines of any other feed
count nowhere.
What two people fill a missing day with is a feed of a revision below 0, so that whatever the
source sends of the day counts in its place (`fills`).
"""

import enum
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import reduce
from operator import and_, or_
from typing import Annotated

import msgspec

from benefits.domain.catalogue import Rules
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.spelling import suggestion
from benefits.domain.values import Month
from benefits.domain.windows import Days

REVISION_MAX = 10**9
FILL_MIN = -1000  # more files than anybody tries for one day
CHUNK_MAX = 100_000
SOURCE = r"\A[a-z0-9_-]{1,32}\Z"
REASONS_MAX = 20
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[0-9.]{7,}""")
_DIGEST = r"\A[0-9a-f]{64}\Z"
Revision = Annotated[int, msgspec.Meta(ge=FILL_MIN, le=REVISION_MAX)]
Rows = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Totals = dict[
    Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z")],
    Annotated[str, msgspec.Meta(pattern=r"\A-?[0-9]{1,24}(\.[0-9]{1,9})?\Z")],
]
Digest = Annotated[str, msgspec.Meta(pattern=_DIGEST)]


class FeedNotNamed(Refusal):
    """No programme asks for feeds of this source, so that they would make no day known."""

    code = "feed_not_named"
    words = "The programme does not name this source among its feeds."


class FeedDateInvalid(Refusal):
    """The business date has not come, or lies too far back."""

    code = "feed_date_invalid"
    words = "No balances can be of this date."


class FeedUnknown(Refusal):
    """No feed of this source, date and revision, or of this version of labels, was opened."""

    code = "feed_unknown"
    words = "This feed was not opened."


class FeedClosed(Refusal):
    """The feed has met its manifest, so that nothing is added to it any more."""

    code = "feed_closed"
    words = "The feed is closed. Send what is new as the next revision."


class ChunkConflict(Refusal):
    """This chunk of the feed arrived before with other bytes."""

    code = "chunk_conflict"
    words = "This chunk arrived before and was another one."


class ManifestInvalid(Refusal):
    """The manifest cannot be read, or is of a kind that its day cannot be."""

    code = "manifest_invalid"
    words = "The manifest cannot be read, or its kind cannot be."


class ManifestConflict(Refusal):
    """The feed met another manifest before."""

    code = "manifest_conflict"
    words = "The feed has been judged by another manifest."


class FeedRefused(Refusal):
    """The feed is not what its manifest says, so nothing of it counts (A-2)."""

    code = "feed_refused"
    words = "The feed is not what its manifest says. Send it again as the next revision."


class FeedState(enum.Enum):
    """Where a feed stands."""

    OPEN = "OPEN"
    WAITING = "WAITING"
    APPLYING = "APPLYING"
    SEALED = "SEALED"
    REFUSED = "REFUSED"


class FeedKind(enum.Enum):
    """What the absence of a balance says: that it is 0, or as it was the day before (A-2)."""

    FULL = "FULL"
    DELTA = "DELTA"


class FeedKey(msgspec.Struct, frozen=True, order=True):
    """Which feed: the bank's system it comes from, the date it speaks of, its revision."""

    source: str
    as_of: date
    revision: Revision = 0

    @property
    def is_fill(self) -> bool:
        """Whether it fills a day that the source did not send (A-6)."""
        return self.revision < 0

    def __str__(self) -> str:
        """Write it as `core 2025-06-30 revision 0`."""
        return f"{self.source} {self.as_of} revision {self.revision}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the bank says it sent: lines, the sum of their balances per currency, the digest."""

    rows: Rows
    totals: Totals
    sha256: Digest
    kind: FeedKind = FeedKind.FULL


class FeedManifest(Manifest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A manifest as it lies beside a file: it says of which feed it is, too."""

    source: str
    date: date
    revision: Revision = 0

    @property
    def key(self) -> FeedKey:
        """The feed it is of."""
        return FeedKey(self.source, self.date, self.revision)

    @property
    def manifest(self) -> Manifest:
        """What it says of the feed."""
        return Manifest(rows=self.rows, totals=self.totals, sha256=self.sha256, kind=self.kind)


class Tally(msgspec.Struct, frozen=True):
    """What was received: lines, those not valid, balances per currency in minor units."""

    rows: int = 0
    bad: int = 0
    totals: Mapping[str, int] = {}
    told: Sequence[str] = ()

    def plus(self, other: "Tally") -> "Tally":
        """Return the two together; of lines that are not valid the first are told."""
        currencies = sorted({*self.totals, *other.totals})
        return Tally(
            self.rows + other.rows,
            self.bad + other.bad,
            {c: self.totals.get(c, 0) + other.totals.get(c, 0) for c in currencies},
            [*self.told, *other.told][:REASONS_MAX],
        )


def read_manifest(text: bytes) -> FeedManifest:
    """Read a manifest file (ManifestInvalid)."""
    try:
        made = msgspec.json.decode(text, type=FeedManifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ManifestInvalid(str(error)) from None
    check_kind(made.key, made.kind)
    return made


def check_kind(key: FeedKey, kind: FeedKind) -> None:
    """Refuse changes alone where there is nothing they change (ManifestInvalid)."""
    if kind is FeedKind.FULL:
        return
    if key.as_of.day == 1:
        raise ManifestInvalid(
            f"{key} is of the first day of a month, which is FULL: send all balances. "
            "DELTA feeds say what changed since, day by day."
        )
    if key.is_fill:
        raise ManifestInvalid(f"{key} is to fill a day, which is FULL: send all balances.")


def check_feed(programme: Programme, key: FeedKey, today: date) -> None:
    """Refuse a feed nobody asks for, or of a day to come (FeedNotNamed, FeedDateInvalid)."""
    if key.source not in programme.feeds:
        named = ", ".join(programme.feeds) or "none"
        hint = suggestion(key.source, programme.feeds)
        raise FeedNotNamed(f"{programme.code} names {named}, not {key.source!r}{hint}.")
    if not date(1970, 1, 1) <= key.as_of <= today:
        raise FeedDateInvalid(f"{key.as_of} is not a day between 1970 and today.")


def reason(place: str, refusal: Refusal) -> str:
    """Return why the line of a place is not valid; reasons stay, so they repeat nothing of it."""
    return f"{place}: {_QUOTED.sub('…', refusal.detail)}"


def digest_of(chunks: Iterable[bytes]) -> str:
    """Return the digest of a feed from those of its chunks: each in hex on a line, hashed."""
    return hashlib.sha256(b"".join(one.hex().encode() + b"\n" for one in chunks)).hexdigest()


def differences(
    manifest: Manifest, received: Tally, digest: str, digits: Mapping[str, int]
) -> list[str]:
    """Return why a feed is not what its manifest says; nothing when it is (A-2).

    One of labels has no totals, and none is said.
    """
    reasons = list[str]()
    if received.rows != manifest.rows:
        reasons.append(f"rows: the manifest says {manifest.rows}, received {received.rows}")
    reasons += _totals(manifest.totals, received.totals, digits)
    if digest != manifest.sha256:
        reasons.append(f"sha256: the manifest says {manifest.sha256}, received {digest}")
    if received.bad:
        reasons.append(f"lines: {received.bad} are not valid")
    return reasons + list(received.told)


def _totals(
    said: Mapping[str, str], received: Mapping[str, int], digits: Mapping[str, int]
) -> list[str]:
    reasons = list[str]()
    for currency in sorted({*said, *received}):
        got = Decimal(received.get(currency, 0)).scaleb(-digits.get(currency, 0))
        text = said.get(currency, "0")
        if Decimal(text) != got:
            reasons.append(f"total {currency}: the manifest says {text}, received {got:f}")
    return reasons


def days_known(lines: int, sources: Sequence[str], sealed: Mapping[str, Days]) -> Days:
    """Return a month's known days: where feeds are named, those sealed for each (A-2).

    Else it is the days that have `lines`.
    """
    if not sources:
        return Days(lines)
    each = [sealed.get(source, Days()) for source in sources]
    known = reduce(and_, (days.known for days in each))
    return Days(known, known & reduce(or_, (days.filled for days in each)))


class Decided(msgspec.Struct, frozen=True, order=True):
    """A month that a programme decided."""

    programme: str
    month: Month


Evaluated = Mapping[Decided, datetime]


def decided_before(
    key: FeedKey,
    sealed_at: datetime,
    currencies: Iterable[str],
    rules: Mapping[str, Rules],
    *,
    evaluated: Evaluated,
) -> list[Decided]:
    """Return the months that a feed touched after they were decided, from its own on (A-7).

    They stand as they are until the last of them is evaluated anew, which folds them all (T-8).
    """
    fed = {code for code, one in rules.items() if key.source in one.feeds}
    touched = fed | counting(currencies, rules)
    return decided_from(Month.of(key.as_of), sealed_at, touched, evaluated=evaluated)


def counting(currencies: Iterable[str], rules: Mapping[str, Rules]) -> set[str]:
    """Return the programmes that count balances in any of some currencies."""
    moved = set(currencies)
    return {
        code
        for code, one in rules.items()
        if any(moved & {*each.currencies} for each in one.baskets)
    }


def decided_from(
    month: Month, at: datetime, touched: Iterable[str], *, evaluated: Evaluated
) -> list[Decided]:
    """Return the months from one on that programmes had decided when it was touched."""
    found = list[Decided]()
    for code in sorted(touched):
        months = sorted(e for e in evaluated if e.programme == code and e.month >= month)
        if months and evaluated[months[-1]] < at:
            found += (each for each in months if evaluated[each] < at)
    return found


def missing_days(sealed: Mapping[str, int], sources: Sequence[str], days: int) -> dict[str, int]:
    """Return for each source the days of a month that are not sealed, as bits (A-6)."""
    whole = (1 << days) - 1
    found = {source: whole & ~sealed.get(source, 0) for source in sources}
    return {source: bits for source, bits in found.items() if bits}


def spans(bits: int) -> str:
    """Write days given as bits: `1-3, 17`."""
    days = [n + 1 for n in range(bits.bit_length()) if bits >> n & 1]
    parts = list[list[int]]()
    for day in days:
        if parts and day == parts[-1][-1] + 1:
            parts[-1].append(day)
        else:
            parts.append([day])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
