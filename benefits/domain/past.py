"""The past: what a member had at one time, as it was known at another (C-8).

Two bounds, both half-open: a fact counts when it was true before `as_of`, a record when it was
written before `known_at`. The end of a lot needs no record: at `as_of` its unspent rest has
expired when its end is not later, whether a sweep had written that or not (L-5); held units stay
held (L-6).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.endings import LAST_INSTANT
from benefits.domain.ledger import Account
from benefits.domain.refusal import Refusal
from benefits.domain.values import end_of

YEARS = range(2000, 3000)
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class TimeInvalid(Refusal):
    """A time that is asked about is neither a day nor an instant with its offset."""

    code = "time_invalid"
    words = "A time is a day like 2025-06-30 or an instant like 2025-06-30T16:00:00Z."


def until(text: str | None, zone: ZoneInfo) -> datetime | None:
    """Return the instant a text means, a day its end in `zone`; None for none (TimeInvalid)."""
    if text is None:
        return None
    try:
        if DAY.fullmatch(text):
            day = date.fromisoformat(text)
            if day.year in YEARS:
                return end_of(day, zone)
        at = datetime.fromisoformat(text)
    except ValueError:
        raise TimeInvalid from None
    if at.tzinfo is None or at.year not in YEARS:
        raise TimeInvalid
    return at.astimezone(ZoneInfo("UTC"))


def last_of(text: str | None, end: datetime) -> datetime:
    """Return the last instant of a time that means up to `end`: of an instant that is itself.

    What holds at an instant holds from it on (T-9).
    """
    return end - LAST_INSTANT if text and DAY.fullmatch(text) else end


class Bounds(msgspec.Struct, frozen=True):
    """Until when facts and records count; without a bound all do. `now` is when it was asked."""

    as_of: datetime | None
    known_at: datetime | None
    now: datetime

    @property
    def ends(self) -> datetime:
        """The instant at which ends of lots are looked at: of when it was known, else now."""
        return self.as_of or min(self.known_at or self.now, self.now)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What never changes of a lot."""

    lot_id: UUID
    unit: str
    programme: str
    line: str
    period: str
    cause: str
    granted_at: datetime
    expires_at: datetime | None


class PastLot(msgspec.Struct, frozen=True, kw_only=True):
    """A lot as it stood: granted = all the other figures together (L-4)."""

    terms: Terms
    granted: int
    available: int
    held: int
    redeemed: int
    expired: int
    revoked: int
    moved: int


class PastBalance(msgspec.Struct, frozen=True, kw_only=True):
    """A member's units of one kind as they stood: `owed` is a debt (L-8)."""

    unit: str
    available: int
    held: int
    redeemed: int
    expired: int
    revoked: int
    owed: int


Sums = Mapping[tuple[str, UUID | None, str], int]
_SOURCES = (Account.ISSUED.value, Account.RECEIVED.value)
# Units that left a lot for another member, another benefit or a debt.
_MOVED = (Account.TRANSFERRED.value, Account.CONVERTED.value, Account.DEBT.value)


def lots_of(sums: Sums, terms: Iterable[Terms], ends: datetime) -> list[PastLot]:
    """Return the lots that sums of their postings tell of, the oldest first."""
    by_lot = dict[UUID, dict[str, int]]()
    for (_, lot_id, account), amount in sums.items():
        if lot_id is not None:
            by_lot.setdefault(lot_id, {})[account] = amount
    found = [_lot(t, by_lot[t.lot_id], ends) for t in terms if t.lot_id in by_lot]
    return sorted(found, key=lambda lot: (lot.terms.granted_at, lot.terms.lot_id))


def _lot(terms: Terms, at: Mapping[str, int], ends: datetime) -> PastLot:
    available = at.get(Account.AVAILABLE.value, 0)
    over = terms.expires_at is not None and terms.expires_at <= ends
    return PastLot(
        terms=terms,
        granted=-sum(at.get(account, 0) for account in _SOURCES),
        available=0 if over else available,
        held=at.get(Account.HELD.value, 0),
        redeemed=at.get(Account.REDEEMED.value, 0),
        expired=at.get(Account.EXPIRED.value, 0) + (available if over else 0),
        revoked=at.get(Account.REVOKED.value, 0),
        moved=sum(at.get(account, 0) for account in _MOVED),
    )


def balances_of(sums: Sums, lots: Iterable[PastLot]) -> list[PastBalance]:
    """Return what lots and debts come to per unit, in the units' order."""
    by_unit = dict[str, list[PastLot]]()
    for lot in lots:
        by_unit.setdefault(lot.terms.unit, []).append(lot)
    owed = dict[str, int]()
    for (unit, _, account), amount in sums.items():
        if account == Account.DEBT.value:
            owed[unit] = owed.get(unit, 0) - amount
    return [
        PastBalance(
            unit=unit,
            available=sum(lot.available for lot in by_unit.get(unit, ())),
            held=sum(lot.held for lot in by_unit.get(unit, ())),
            redeemed=sum(lot.redeemed for lot in by_unit.get(unit, ())),
            expired=sum(lot.expired for lot in by_unit.get(unit, ())),
            revoked=sum(lot.revoked for lot in by_unit.get(unit, ())),
            owed=owed.get(unit, 0),
        )
        for unit in sorted(by_unit.keys() | owed.keys())
    ]
