"""Values that everything else is made of: ids with their bucket, months, periods, instants.

Instants are aware UTC datetimes. Periods are half-open `[start, end)` and given by their dates in
the programme's zone (C-4). Months are counted from the original anchor and clipped to the month's
end (C-6).
"""

import enum
import hashlib
from calendar import monthrange
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

BUCKETS = 1024
YEARS = range(1900, 3000)  # outside them nothing is asked: every day of theirs has a next one
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# What a start does when the books of those who did something last are wrong.
OnFinding = Literal["read_only", "refuse"]


def bucket_of(id_: UUID) -> int:
    """Return the bucket an id lies in: its lowest ten bits."""
    return id_.int & (BUCKETS - 1)


def member_id(reference: str, key: bytes) -> UUID:
    """Return the id of the member whom the bank calls `reference`.

    A keyed hash: the same reference gives the same id for ever, and the id does not tell the
    reference.
    """
    digest = hashlib.blake2b(
        reference.encode(), key=key, digest_size=16, person=b"benefits.member"
    ).digest()
    return UUID(bytes=digest)


def person_id(document: str, key: bytes) -> UUID:
    """Return what stands for the person with an identity document: a keyed hash, as of members."""
    digest = hashlib.blake2b(
        document.encode(), key=key, digest_size=16, person=b"benefits.person"
    ).digest()
    return UUID(bytes=digest)


def member_ids(references: Iterable[str], key: bytes) -> dict[str, bytes]:
    """Return the bytes of the ids of many references: `member_id`, a few times as fast."""
    keyed = hashlib.blake2b(key=key, digest_size=16, person=b"benefits.member")
    found = dict[str, bytes]()
    for reference in references:
        one = keyed.copy()
        one.update(reference.encode())
        found[reference] = one.digest()
    return found


def placed_bucket(*parts: str) -> int:
    """Return the bucket for a row that belongs to no member, from what names it."""
    digest = hashlib.blake2b("\x00".join(parts).encode(), digest_size=2).digest()
    return int.from_bytes(digest, "big") & (BUCKETS - 1)


def time_ordered_bytes(at: datetime, chance: bytes, bucket: int) -> bytes:
    """Return the bytes of a UUIDv7 of the instant `at` in `bucket`, from eight bytes of chance."""
    milliseconds = (at - EPOCH) // _MILLISECOND
    dice = int.from_bytes(chance, "big")
    high = (milliseconds << 16) | 0x7000 | (dice >> 52)
    low = (0b10 << 62) | ((dice & ((1 << 52) - 1)) << 10) | bucket
    return ((high << 64) | low).to_bytes(16, "big")


def time_ordered_id(at: datetime, chance: bytes, bucket: int) -> UUID:
    """Return a UUIDv7 of the instant `at` in `bucket`, made from eight bytes of chance."""
    return UUID(bytes=time_ordered_bytes(at, chance, bucket))


def add_months(anchor: date, months: int) -> date:
    """Return `anchor` moved by `months`, clipped to the end of the month it lands in (C-6)."""
    index = anchor.year * 12 + anchor.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(anchor.day, monthrange(year, month + 1)[1]))


@lru_cache(maxsize=4096)  # asked for each line of a list, mostly of one day
def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant (UTC) at which `day` begins in `zone`."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def end_of(day: date, zone: ZoneInfo) -> datetime:
    """Return the first instant (UTC) after `day` in `zone`: "valid through `day`" (C-4)."""
    return midnight(day + timedelta(days=1), zone)


def local_date(at: datetime, zone: ZoneInfo) -> date:
    """Return the calendar date of the instant `at` in `zone` (C-5)."""
    return at.astimezone(zone).date()


@lru_cache(1024)
def _days(year: int, month: int) -> int:
    return monthrange(year, month)[1]


class Month(msgspec.Struct, frozen=True, order=True):
    """A calendar month."""

    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> Self:
        """Return the month that `day` lies in."""
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1993-06`; ValueError when it is not a month of `YEARS`."""
        year, _, number = text.partition("-")
        digits = text.isascii() and (year + number).isdecimal()
        if not (digits and len(year) == 4 and len(number) == 2 and int(year) in YEARS):
            msg = f"{text!r} is not a month; write it like 2025-06"
            raise ValueError(msg)
        return cls.of(date(int(year), int(number), 1))

    def __str__(self) -> str:
        """Write the month as `1993-06`."""
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def start(self) -> date:
        """The first day."""
        return _first_day(self.year * 12 + self.number - 1)

    @property
    def end(self) -> date:
        """The day after the last."""
        return _first_day(self.year * 12 + self.number)

    @property
    def days(self) -> int:
        """The number of days."""
        return _days(self.year, self.number)

    @property
    def bits(self) -> int:
        """A bit for each day, the lowest for the first."""
        return (1 << self.days) - 1

    @property
    def month(self) -> "Month":
        """Itself: the whole of it is a piece as a stretch of it is."""
        return self

    def plus(self, months: int) -> "Month":
        """Return the month `months` later."""
        return _month(self.year * 12 + self.number - 1 + months)


@lru_cache(1024)
def _month(count: int) -> Month:
    year, index = divmod(count, 12)
    return Month(year, index + 1)


@lru_cache(1024)
def _first_day(count: int) -> date:
    year, index = divmod(count, 12)
    return date(year, index + 1, 1)


class PeriodKind(enum.Enum):
    """How long a quota lasts, by the calendar."""

    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"


class Period(msgspec.Struct, frozen=True):
    """A benefit period: its key (`2025-07`, `2025-Q3`, `2025`) and its days `[start, end)`."""

    key: str
    start: date
    end: date

    @property
    def days(self) -> int:
        """The number of days."""
        return (self.end - self.start).days


def period_of(day: date, kind: PeriodKind) -> Period:
    """Return the calendar period of `kind` that `day` lies in."""
    match kind:
        case PeriodKind.MONTH:
            month = Month.of(day)
            return Period(str(month), month.start, month.end)
        case PeriodKind.QUARTER:
            quarter = (day.month - 1) // 3
            start = date(day.year, quarter * 3 + 1, 1)
            return Period(f"{day.year:04d}-Q{quarter + 1}", start, add_months(start, 3))
        case PeriodKind.YEAR:
            return Period(f"{day.year:04d}", date(day.year, 1, 1), date(day.year + 1, 1, 1))


Clock = Callable[[], datetime]
NewId = Callable[[datetime, int], UUID]
