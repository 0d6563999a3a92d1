"""Whitelists: named lists of members, of which each upload is a whole snapshot (P-2, S-1).

    opened --lines--> opened --whole--> it replaces the snapshot before it, from its first day on

Who is on a list carries the label of its name, of layer LIST, so that lines, rules, limits and
tiers ask for it as for any label: `segment = { label = "founders", layer = "LIST", … }`. A
snapshot is told from others by the SHA-256 of its file, and is never edited.
"""

import hashlib
from collections.abc import Iterable
from datetime import date, datetime

import msgspec

from benefits.domain.refusal import Refusal
from benefits.domain.values import YEARS

NAME = r"\A[A-Za-z0-9_.-]{1,64}\Z"
REQUIRED = ("customer",)


class WhitelistInvalid(Refusal):
    """The name is a label's, or the days of a snapshot do not follow those of the one before."""

    code = "whitelist_invalid"
    words = "This cannot be a snapshot of a whitelist."


class WhitelistReplaced(Refusal):
    """Another snapshot of the list was opened while this one was being sent."""

    code = "whitelist_replaced"
    words = "Another snapshot of this list was sent meanwhile."


class UnknownWhitelist(Refusal):
    """No whole snapshot of such a list came yet."""

    code = "unknown_whitelist"
    words = "There is no such whitelist."


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that somebody sends: it holds on the days `[from_, to)`, by its digest."""

    name: str
    digest: str
    from_: date
    to: date | None
    actor: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as it stands; `members` are counted once it is whole."""

    name: str
    number: int
    digest: str
    from_: date
    to: date | None
    actor: str
    opened_at: datetime
    members: int
    whole_at: datetime | None

    def is_what(self, wanted: Wanted) -> bool:
        """Say whether it is what somebody sends."""
        return (self.digest, self.from_, self.to) == (wanted.digest, wanted.from_, wanted.to)


def digest_of(customers: Iterable[str]) -> str:
    """Return the digest of a list that comes without a file: that of the file it would be."""
    digest = hashlib.sha256(b"customer\n")
    for customer in customers:
        digest.update(f"{customer}\n".encode())
    return digest.hexdigest()


def check(wanted: Wanted, last: Snapshot | None) -> None:
    """Refuse a snapshot that ends before it begins, or begins before the last (WhitelistInvalid).

    The `last` is the last whole one that has begun. It may begin on the same day: then it stands
    in its place. What is to come begins never, where one that begins before it follows.
    """
    for day in (wanted.from_, wanted.to):
        if day is not None and day.year not in YEARS:
            between = f"between {YEARS[0]}-01-01 and {YEARS[-1]}-12-31"
            raise WhitelistInvalid(f"Its days must be {between}, not {day}.")
    if wanted.to is not None and wanted.to <= wanted.from_:
        raise WhitelistInvalid(f"It ends on {wanted.to}, which is not after {wanted.from_}.")
    if last is not None and wanted.from_ < last.from_:
        raise WhitelistInvalid(
            f"The last snapshot of {wanted.name!r} holds from {last.from_} on; this one must not "
            "begin before it."
        )
