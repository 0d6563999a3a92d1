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
from benefits.domain.windows import Days, Kept, Point, Window, days_before, point, window


class Basket(msgspec.Struct, frozen=True):
    """The asset classes that count, in one currency, and the weight of each over `scale`.

    What is owed weighs below 0 (A-8).
    Lines in `others` count as they are converted (A-4), joint accounts as the policy says (A-5).
    Classes that count by a point in time weigh nothing each day, and by `points` on theirs (A-3).
    """

    currency: str
    classes: tuple[str, ...]
    weights: tuple[int, ...]
    scale: int
    others: tuple[str, ...] = ()
    joint: str = ""
    points: tuple[int, ...] = ()

    @property
    def by_point(self) -> "Basket":
        """What counts on the day of the classes that count by a point in time (A-3)."""
        return msgspec.structs.replace(self, weights=self.points, points=())

    @property
    def whole(self) -> "Basket":
        """What a day comes to if classes that count by a point in time stay as they are on it."""
        pairs = zip(self.weights, self.points, strict=True)
        return msgspec.structs.replace(self, weights=tuple(map(sum, pairs)), points=())

    @property
    def is_wide(self) -> bool:
        """Whether more counts than what was brought for members in one currency."""
        return bool(self.others or self.joint)

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
    Lines in the currencies `converted` were converted daily (A-4). Classes that count by a point
    in time are in it where each day is `valued` with them, less what is owed (A-3, A-8).
    """

    month: Month
    sum_minor: int
    known_days: int
    last_day: int = 0
    filled_days: int = 0
    converted: tuple[str, ...] = ()
    valued: bool = False


class Sums(Protocol):
    """What is known of pieces: a mapping by months, by stretches or by both."""

    def get(self, piece: Any, /) -> MonthSum | None:
        """Return what is known of a piece."""

    def __iter__(self) -> Iterator[Kept]:
        """Give the pieces of which anything is known."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as it stands with a month: what is compared is `sum_minor >= bound x divisor`.

    `known_days` of `days` are known, some of them by what people filled in. Inside a quarter or a
    year it is not the period's `end`; a relationship may be too `young` to be judged (M-8). `day`
    is the one that a point in time is.
    Classes that count by a point in time are `valued_on` their day (A-3). On `unvalued_days` they
    do not count so far; what they come to there if they stay as they are is `expected_minor`.
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
    valued_on: date | None = None
    unvalued_days: int = 0
    expected_minor: int = 0

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
    points = tuple[int, ...]()
    if policy.point_in_time is not None:
        is_point = [code in policy.point_in_time.classes for code in codes]
        points = tuple(w if one else 0 for w, one in zip(weights, is_point, strict=True))
        weights = tuple(0 if one else w for w, one in zip(weights, is_point, strict=True))
    return Basket(currency, codes, weights, scale, tuple(sorted(others)), joint, points)


def _decimals(weight: Decimal) -> int:
    digits = int(weight.scaleb(WEIGHT_DECIMALS))
    return next(n for n in range(WEIGHT_DECIMALS + 1) if digits % 10 ** (WEIGHT_DECIMALS - n) == 0)


def known_sum(
    of: Kept,
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


def net_sum(
    of: Kept,
    nets: Mapping[int, int],
    days: Days,
    opened_on: date,
    *,
    valued: int | None = None,
) -> MonthSum:
    """Return what is known of a piece whose days come to `nets`, by their number (A-8).

    A day on which more is owed counts 0, and one that is not known counts nothing: what is owed on
    it may not have come yet. So what is proven of a period never falls as the rest of it comes.
    Classes by a point in time are `valued` alike on each day, before what is owed is deducted;
    None while theirs is not known (A-3).
    """
    month, more = of.month, valued or 0
    before = (1 << days_before(month.start, month.days, opened_on)) - 1
    counted = (days.known | before) & of.bits
    total = sum(
        max(0, nets.get(day, 0) + more)
        for day in range(1, month.days + 1)
        if counted >> (day - 1) & 1
    )
    found = known_sum(of, total, days, opened_on)
    return msgspec.structs.replace(found, valued=valued is not None)


def value_of(
    policy: Policy, month: Month, sums: Sums, opened_on: date, *, calendar: Calendar
) -> int | None:
    """Return what classes by a point in time come to in a month; None while it is not known.

    Nobody has any in a month before the opening.
    """
    valued = point(policy, month, calendar) if opened_on < month.end else None
    found = sums.get(valued) if valued else None
    return found.sum_minor if found is not None and found.known_days else None


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
    valued = None
    if policy.point_in_time is not None:
        valued = point(policy, month, calendar)
        counted = _with_point(counted, month, valued, sums, opened_on=opened_on)
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
        valued_on=valued.stretch.start if valued else None,
        unvalued_days=counted.unvalued_days,
    )


class Counted(msgspec.Struct, frozen=True):
    """What a window's pieces come to: as a month's sum, of all its days."""

    sum_minor: int
    known_days: int
    filled_days: int
    converted: tuple[str, ...]
    unvalued_days: int = 0


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


def _with_point(
    counted: Counted, month: Month, valued: Point | None, sums: Sums, *, opened_on: date
) -> Counted:
    """Add what classes come to that count by one day, for each day of the month (A-3).

    While it is not known nothing is decided by the month's other days against anybody. It is part
    of the month already where that is net of what is owed, day by day.
    """
    found, own = sums.get(valued) if valued else None, sums.get(month)
    if opened_on >= month.end:
        return counted
    if found is None or not found.known_days:
        known = min(counted.known_days, month.days - 1)
        return msgspec.structs.replace(counted, known_days=known, unvalued_days=month.days)
    added, unvalued = found.sum_minor * month.days, 0
    if own is not None and own.valued:
        added, unvalued = 0, month.days - own.known_days
    return Counted(
        counted.sum_minor + added,
        counted.known_days,
        counted.filled_days,
        tuple(sorted({*counted.converted, *found.converted})),
        unvalued,
    )


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
