"""Windows: the days that a metric counts, cut into pieces whose sums are kept (M-1 to M-7).

    February          March
    1 ···· 9 ──── 28  1 ── 10 ······ 31
           [stretch]  [str.]              30 days up to 10 March
    1 ··············  · 2 ────────── 31
                        [stretch     ]    30 days up to the month's last
    1 ──────────  28  1 ──────────── 31
    [month         ]  [month         ]    59 days up to the month's last

A piece never leaves its month, so that a day is part of its month and of a few stretches of it,
and what makes a month's days known makes theirs known. A window of whole months needs no stretch.
"""

from datetime import date, timedelta
from functools import lru_cache

import msgspec

from benefits.domain.calendars import Calendar
from benefits.domain.policy import MONTHS_MAX, ROLLING_MAX, Balance, Metric, Policy
from benefits.domain.values import Month

_DAY = timedelta(days=1)
# A window that ends so many months later may still begin in a month: the longest, and a shift.
REACH = max(ROLLING_MAX // 28 + 1, MONTHS_MAX)


class Stretch(msgspec.Struct, frozen=True, order=True):
    """Days of one month, from the `first` to the `last`, but not all of it."""

    month: Month
    first: int
    last: int

    @property
    def start(self) -> date:
        """The first day's date."""
        return self.month.start.replace(day=self.first)

    @property
    def days(self) -> int:
        """How many they are."""
        return self.last - self.first + 1

    @property
    def bits(self) -> int:
        """A bit for each of its days, as they are the month's."""
        return (1 << self.last) - (1 << (self.first - 1))


class Point(msgspec.Struct, frozen=True, order=True):
    """A day of one month, for the classes that count by it (A-3)."""

    stretch: Stretch

    @property
    def month(self) -> Month:
        """The month that they count for."""
        return self.stretch.month

    @property
    def bits(self) -> int:
        """The bit of the day, as it is the month's."""
        return self.stretch.bits


Piece = Month | Stretch
Kept = Piece | Point


class Days(msgspec.Struct, frozen=True, array_like=True):
    """Days of a month as bits: known ones, and which of them people filled in (A-6)."""

    known: int = 0
    filled: int = 0


class Window(msgspec.Struct, frozen=True):
    """Days in a row from `first` on, in pieces; they are decided on with the month `decided`."""

    first: date
    days: int
    pieces: tuple[Piece, ...]
    decided: Month


def span(policy: Policy, month: Month) -> tuple[Month, Month]:
    """Return the first and the last month of the period that a month is judged in."""
    match policy.metric:
        case Metric.MONTH_AVG | Metric.ROLLING | Metric.POINT_IN_TIME:
            return month, month
        case Metric.QUARTER_AVG:
            first = Month(month.year, (month.number - 1) // 3 * 3 + 1)
            return first, first.plus(2)
        case Metric.YEAR_AVG:
            return Month(month.year, 1), Month(month.year, 12)
        case Metric.LAST_K_MONTHS:
            assert policy.months is not None, "checked as the programme is read"
            return month.plus(1 - policy.months), month


def posted_by(policy: Policy, month: Month) -> date | None:
    """Return by which day the result of the month's period is promised, None for none (T-3)."""
    if policy.post_by is None:
        return None
    return span(policy, month)[1].plus(1).start + timedelta(days=policy.post_by - 1)


def last_whole(policy: Policy, month: Month) -> Month:
    """Return the last month of the latest period that is over with `month`."""
    first, last = span(policy, month)
    return month if month == last else first.plus(-1)


def is_whole(policy: Policy) -> bool:
    """Say whether a metric counts whole months only, at whichever month."""
    windows = (Metric.ROLLING, Metric.POINT_IN_TIME)
    is_day_end = policy.balance is Balance.DAY_END and policy.point_in_time is None
    return policy.metric not in windows and is_day_end


def point(policy: Policy, month: Month, calendar: Calendar) -> Point | None:
    """Return the day by which some classes count for a month (A-3); None: none, or not known."""
    if policy.point_in_time is None:
        return None
    day = calendar.last_business_day(month, policy.point_in_time.business_day)
    return Point(Stretch(month, day.day, day.day)) if day else None


def rolling(days: int, on: date) -> tuple[date, date]:
    """Return the first and the last of so many days that end on, and include, a day (M-4)."""
    return on - timedelta(days=days - 1), on


def days_of(policy: Policy, month: Month, day: date | None) -> tuple[date, date]:
    """Return the first and the last day that a reading is told of; `day` of a point in time.

    Of opening balances they are the days that open with them.
    """
    first, last = span(policy, month)
    if policy.metric is Metric.ROLLING:
        assert policy.days is not None, "checked as the programme is read"
        return rolling(policy.days, last.end - _DAY)
    if policy.metric is Metric.POINT_IN_TIME and day is not None:
        return day, day
    return first.start, last.end - _DAY


def window(policy: Policy, month: Month, calendar: Calendar) -> Window | None:
    """Return the days a metric counts with a month; None where no calendar tells (M-6)."""
    if policy.metric is Metric.POINT_IN_TIME:
        day = calendar.last_business_day(month)
        return Window(day, 1, (Stretch(month, day.day, day.day),), month) if day else None
    if policy.metric is Metric.ROLLING:
        assert policy.days is not None, "checked as the programme is read"
        return _rolling(policy.days, month, policy.balance)
    return _months(*span(policy, month), policy.balance)


@lru_cache(maxsize=4096)  # asked for each member and month
def _rolling(days: int, month: Month, balance: Balance) -> Window:
    first, last = rolling(days, month.end - _DAY)
    return _window(first, last, month, balance)


@lru_cache(maxsize=4096)
def _months(first: Month, last: Month, balance: Balance) -> Window:
    return _window(first.start, last.end - _DAY, last, balance)


def _window(first: date, last: date, decided: Month, balance: Balance) -> Window:
    """Return a window's days; an opening balance is the end of the day before (M-7)."""
    shift = _DAY if balance is Balance.OPENING else timedelta()
    begin, end = first - shift, last - shift
    return Window(begin, (end - begin).days + 1, cut(begin, end), decided)


def cut(first: date, last: date) -> tuple[Piece, ...]:
    """Cut days in a row into whole months and, at the ends, stretches of them."""
    pieces = list[Piece]()
    month = Month.of(first)
    while month.start <= last:
        begin = max(first, month.start)
        end = min(last, month.end - _DAY)
        is_whole = (end - begin).days + 1 == month.days
        pieces.append(month if is_whole else Stretch(month, begin.day, end.day))
        month = month.plus(1)
    return tuple(pieces)


def days_before(first: date, days: int, opened_on: date) -> int:
    """Return how many of some days in a row lie before the opening (M-8)."""
    return min(max((opened_on - first).days, 0), days)
