"""Metrics: from kept sums to the sum and the days that decide (M-1 to M-8, A-3).

Sums are kept per asset class, of whole months and of the stretches of months that a window needs;
a basket says which classes count and what each weighs, as integers over one scale. A window's sum
is that of its pieces, exact, and is brought to minor units by one floor at its end: a bound is a
whole number of them, so the floor decides as the exact sum does.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from benefits.domain.calendars import NO_CALENDAR, Calendar
from benefits.domain.policy import WEIGHT_DECIMALS, Divisor, Metric, Policy
from benefits.domain.values import Month
from benefits.domain.windows import Days, Piece, Window, days_before, window


class Basket(msgspec.Struct, frozen=True):
    """The asset classes that count, in one currency, and the weight of each over `scale`.

    What is owed weighs below 0 (A-8).
    Lines in `others` count as they are converted (A-4), joint accounts as the policy says (A-5).
    """

    currency: str
    classes: tuple[str, ...]
    weights: tuple[int, ...]
    scale: int
    others: tuple[str, ...] = ()
    joint: str = ""

    @property
    def currencies(self) -> list[str]:
        """The currencies whose lines count, its own first."""
        return [self.currency, *self.others]

    @property
    def is_net(self) -> bool:
        """Whether liabilities are deducted, so that a sum is that of its days (A-8)."""
        return any(weight < 0 for weight in self.weights)


class MonthSum(msgspec.Struct, frozen=True):
    """What is known of a month, or a stretch of it: its weighted sum and how many days.

    The sum is in minor units times the basket's scale; `last_day` is the last one with balances.
    Of the known days some were `filled_days`, by people (A-6).
    Lines in the currencies `converted` were converted daily (A-4).
    """

    month: Month
    sum_minor: int
    known_days: int
    last_day: int = 0
    filled_days: int = 0
    converted: tuple[str, ...] = ()


class Sums(Protocol):
    """What is known of pieces: a mapping by months, by stretches or by both."""

    def get(self, piece: Any, /) -> MonthSum | None:
        """Return what is known of a piece."""

    def __iter__(self) -> Iterator[Piece]:
        """Give the pieces of which anything is known."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as it stands with a month: what is compared is `sum_minor >= bound x divisor`.

    `known_days` of `days` are known, some of them by what people filled in. Inside a quarter or a
    year it is not the period's `end`; a relationship may be too `young` to be judged (M-8). `day`
    is the one that a point in time is.
    """

    month: Month
    sum_minor: int
    known_days: int
    days: int
    divisor: int
    end: bool = True
    young: bool = False
    day: date | None = None
    filled_days: int = 0
    converted: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every day is known."""
        return self.known_days == self.days


def basket(
    currency: str, classes: tuple[str, ...], policy: Policy, others: tuple[str, ...] = ()
) -> Basket:
    """Return what a policy counts, with the least scale on which its weights are integers."""
    weighed = policy.weights | {code: -n for code, n in policy.liabilities.items()}
    decimals = [_decimals(weight) for weight in weighed.values()]
    scale = 10 ** max(decimals, default=0)
    codes = tuple(sorted(set(classes)))
    joint = policy.joint.value if policy.joint else ""
    weights = tuple(int(weighed.get(code, Decimal(1)) * scale) for code in codes)
    return Basket(currency, codes, weights, scale, tuple(sorted(others)), joint)


def _decimals(weight: Decimal) -> int:
    digits = int(weight.scaleb(WEIGHT_DECIMALS))
    return next(n for n in range(WEIGHT_DECIMALS + 1) if digits % 10 ** (WEIGHT_DECIMALS - n) == 0)


def known_sum(
    of: Piece,
    sum_minor: int,
    days: Days,
    opened_on: date,
    *,
    converted: tuple[str, ...] = (),
) -> MonthSum:
    """Return what is known of a piece; its month's days before the opening are known zeros (A-6).

    `days` are those of the month.
    """
    month = of.month
    before = (1 << days_before(month.start, month.days, opened_on)) - 1
    return MonthSum(
        month,
        sum_minor,
        ((days.known | before) & of.bits).bit_count(),
        (days.known & of.bits).bit_length(),
        (days.filled & ~before & of.bits).bit_count(),
        converted,
    )


def net_sum(of: Piece, nets: Mapping[int, int], days: Days, opened_on: date) -> MonthSum:
    """Return what is known of a piece whose days come to `nets`, by their number (A-8).

    A day on which more is owed counts 0, and one that is not known counts nothing: what is owed on
    it may not have come yet. So what is proven of a period never falls as the rest of it comes.
    """
    month = of.month
    before = (1 << days_before(month.start, month.days, opened_on)) - 1
    counted = (days.known | before) & of.bits
    total = sum(net for day, net in nets.items() if net > 0 and counted >> (day - 1) & 1)
    return known_sum(of, total, days, opened_on)


def read(
    policy: Policy,
    month: Month,
    sums: Sums,
    *,
    scale: int,
    opened_on: date = date.min,
    calendar: Calendar = NO_CALENDAR,
) -> Reading:
    """Read a metric with `month`; months of the period after it are not known yet.

    A point in time is open where the calendar does not know its year.
    """
    asked = window(policy, month, calendar)
    if asked is None:
        return Reading(month=month, sum_minor=0, known_days=0, days=1, divisor=1)
    counted = count(asked, month, sums, opened_on)
    days, known = asked.days, counted.known_days
    divisor, needed, young = days, days, False
    is_day = policy.metric is Metric.POINT_IN_TIME
    match Divisor.PERIOD_DAYS if is_day else policy.divisor:
        case Divisor.PERIOD_DAYS:
            pass
        case Divisor.FIXED:
            assert policy.divisor_days is not None, "checked as the programme is read"
            divisor = policy.divisor_days
        case Divisor.SINCE_JOIN:
            before = days_before(asked.first, days, opened_on)
            needed, known = days - before, known - before
            divisor = max(needed, 1)
            young = needed < policy.minimum_days
    return Reading(
        month=month,
        sum_minor=counted.sum_minor // scale,
        known_days=known,
        days=needed,
        divisor=divisor,
        end=month == asked.decided,
        young=young,
        day=asked.first if is_day else None,
        filled_days=counted.filled_days,
        converted=counted.converted,
    )


class Counted(msgspec.Struct, frozen=True):
    """What a window's pieces come to: as a month's sum, of all its days."""

    sum_minor: int
    known_days: int
    filled_days: int
    converted: tuple[str, ...]


def count(asked: Window, through: Month, sums: Sums, opened_on: date = date.min) -> Counted:
    """Return what a window comes to as of the end of a month."""
    total = known = filled = 0
    converted = set[str]()
    for piece in asked.pieces:
        found = sums.get(piece) if piece.month <= through else None
        if found is not None:
            total += found.sum_minor
            known += found.known_days
            filled += found.filled_days
            converted.update(found.converted)
        else:
            known += days_before(piece.start, piece.days, opened_on)
    return Counted(total, known, filled, tuple(sorted(converted)))


def closed_days(
    policy: Policy, month: Month, day: int, opened_on: date, *, calendar: Calendar = NO_CALENDAR
) -> int:
    """Return how many of a running window's days are over on the `day`th of a month (M-9)."""
    asked = window(policy, month, calendar)
    if asked is None:
        return 0
    over = min(max((month.start - asked.first).days + day, 0), asked.days)
    if policy.divisor is Divisor.SINCE_JOIN and policy.metric is not Metric.POINT_IN_TIME:
        over -= days_before(asked.first, over, opened_on)
    return over
