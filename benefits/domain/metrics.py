"""Metrics: from month sums to the sum and the days that decide (M-1 to M-3, M-5, M-7, M-8, A-3).

Month sums are kept per asset class; a basket says which classes count and what each weighs, as
integers over one scale. A period's sum is the sum of its months', exact, and is brought to minor
units by one floor at its end: a bound is a whole number of them, so the floor decides as the
exact sum does.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import msgspec

from benefits.domain.policy import WEIGHT_DECIMALS, Divisor, Metric, Policy
from benefits.domain.values import Month


class Basket(msgspec.Struct, frozen=True):
    """The asset classes that count, in one currency, and the weight of each over `scale`.

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


class MonthSum(msgspec.Struct, frozen=True):
    """What is known of a month: its day-end balances' weighted sum and how many days.

    The sum is in minor units times the basket's scale; `last_day` is the last one with balances.
    Lines in the currencies `converted` were converted daily (A-4).
    """

    month: Month
    sum_minor: int
    known_days: int
    last_day: int = 0
    converted: tuple[str, ...] = ()


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as it stands with a month: what is compared is `sum_minor >= bound x divisor`.

    `known_days` of `days` are known. Inside a quarter or a year it is not the period's `end`; a
    relationship may be too `young` to be judged (M-8).
    """

    month: Month
    sum_minor: int
    known_days: int
    days: int
    divisor: int
    end: bool = True
    young: bool = False
    converted: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every day is known."""
        return self.known_days == self.days


def basket(
    currency: str, classes: tuple[str, ...], policy: Policy, others: tuple[str, ...] = ()
) -> Basket:
    """Return what a policy counts, with the least scale on which its weights are integers."""
    decimals = [_decimals(weight) for weight in policy.weights.values()]
    scale = 10 ** max(decimals, default=0)
    codes = tuple(sorted(set(classes)))
    joint = policy.joint.value if policy.joint else ""
    weights = tuple(int(policy.weights.get(code, Decimal(1)) * scale) for code in codes)
    return Basket(currency, codes, weights, scale, tuple(sorted(others)), joint)


def _decimals(weight: Decimal) -> int:
    digits = int(weight.scaleb(WEIGHT_DECIMALS))
    return next(n for n in range(WEIGHT_DECIMALS + 1) if digits % 10 ** (WEIGHT_DECIMALS - n) == 0)


def span(policy: Policy, month: Month) -> tuple[Month, Month]:
    """Return the first and the last month of the period that a month is judged in."""
    match policy.metric:
        case Metric.MONTH_AVG:
            return month, month
        case Metric.QUARTER_AVG:
            first = Month(month.year, (month.number - 1) // 3 * 3 + 1)
            return first, first.plus(2)
        case Metric.YEAR_AVG:
            return Month(month.year, 1), Month(month.year, 12)
        case Metric.LAST_K_MONTHS:
            assert policy.months is not None, "checked as the programme is read"
            return month.plus(1 - policy.months), month


def last_whole(policy: Policy, month: Month) -> Month:
    """Return the last month of the latest period that is over with `month`."""
    first, last = span(policy, month)
    return month if month == last else first.plus(-1)


def days_before(first: Month, days: int, opened_on: date) -> int:
    """Return how many of the days from a month's first on lie before the opening (M-8)."""
    return min(max((opened_on - first.start).days, 0), days)


def read(
    policy: Policy,
    month: Month,
    sums: Mapping[Month, MonthSum],
    *,
    scale: int,
    opened_on: date = date.min,
) -> Reading:
    """Read a metric with `month`; months of the period after it are not known yet."""
    first, last = span(policy, month)
    total = known = days = 0
    converted = set[str]()
    each = first
    while True:
        length = each.days
        days += length
        found = sums.get(each) if each <= month else None
        if found is not None:
            total += found.sum_minor
            known += found.known_days
            converted.update(found.converted)
        else:
            known += days_before(each, length, opened_on)
        if each == last:
            break
        each = each.plus(1)
    divisor, asked, young = days, days, False
    match policy.divisor:
        case Divisor.PERIOD_DAYS:
            pass
        case Divisor.FIXED:
            assert policy.divisor_days is not None, "checked as the programme is read"
            divisor = policy.divisor_days
        case Divisor.SINCE_JOIN:
            before = days_before(first, days, opened_on)
            asked, known = days - before, known - before
            divisor = max(asked, 1)
            young = asked < policy.minimum_days
    return Reading(
        month=month,
        sum_minor=total // scale,
        known_days=known,
        days=asked,
        divisor=divisor,
        end=month == last,
        young=young,
        converted=tuple(sorted(converted)),
    )


def closed_days(policy: Policy, month: Month, day: int, opened_on: date) -> int:
    """Return how many of a running period's days are over on the `day`th of a month (M-9)."""
    first, _ = span(policy, month)
    over = (month.start - first.start).days + day
    if policy.divisor is Divisor.SINCE_JOIN:
        over -= days_before(first, over, opened_on)
    return over
