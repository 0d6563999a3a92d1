"""Progress: what the running period still asks of each way into a tier (M-9, M-11, T-2)."""

import enum
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from benefits.domain import metrics
from benefits.domain.calendars import NO_CALENDAR, Calendar
from benefits.domain.labels import Label, held
from benefits.domain.ladder import Alternative, Truth, qualifies
from benefits.domain.metrics import Basket, Reading, Sums
from benefits.domain.policy import Policy
from benefits.domain.programme import Programme
from benefits.domain.tiers import State, certain_through, display_average
from benefits.domain.values import Month
from benefits.domain.windows import last_whole, window


def required_daily(
    sum_minor: int, threshold_minor: int, *, days: int, closed: int, divisor: int | None = None
) -> int | None:
    """Return the level each remaining day needs; 0: certain, None: out of reach (M-9).

    The sum is divided by `divisor` where that is not `days`.
    """
    short = threshold_minor * (divisor or days) - sum_minor
    if short <= 0:
        return 0
    remaining = days - closed
    return -(-short // remaining) if remaining > 0 else None


class Outlook(enum.Enum):
    """Whether the running period will keep a tier, as far as its known days say (M-11)."""

    CERTAIN = "CERTAIN"
    ON_TRACK = "ON_TRACK"
    AT_RISK = "AT_RISK"
    MISSED = "MISSED"
    UNKNOWN = "UNKNOWN"


class Forecast(msgspec.Struct, frozen=True):
    """What a tier still needs on each remaining day, and where the month goes if nothing moves."""

    needed_daily_minor: int | None
    projected_minor: int
    outlook: Outlook


def forecast(
    reading: Reading, threshold_minor: int, *, closed: int, last_minor: int, day: int = 0
) -> Forecast:
    """Project a period whose remaining days are all like the last known one (M-9, M-11).

    Its window may not have begun while a `day` of the running month is known already.
    """
    needed = needed_daily(reading, threshold_minor, closed=closed)
    projected = projected_sum(reading, closed=closed, last_minor=last_minor)
    if needed == 0:
        outlook = Outlook.CERTAIN
    elif needed is None:
        outlook = Outlook.MISSED
    elif not (closed or day):
        outlook = Outlook.UNKNOWN
    else:
        kept = qualifies(projected, threshold_minor, reading.divisor)
        outlook = Outlook.ON_TRACK if kept else Outlook.AT_RISK
    return Forecast(needed, display_average(projected, reading.divisor), outlook)


def projected_sum(reading: Reading, *, closed: int, last_minor: int) -> int:
    """Return a period's sum if each remaining day is like the last known one (M-11)."""
    return reading.sum_minor + max(reading.days - closed, 0) * last_minor + reading.expected_minor


def expecting(running: "Running", point_minor: Sequence[int]) -> "Running":
    """Return a running period that expects classes by a point in time as they are now (A-3).

    What is projected counts them for each day on which they do not count so far; what is proven
    does not. `point_minor` is what they count for on the last known day, less what is owed there,
    for each of the ladder's metrics.
    """

    def expect(reading: Reading, minor: int) -> Reading:
        return msgspec.structs.replace(reading, expected_minor=reading.unvalued_days * minor)

    readings = tuple(map(expect, running.readings, point_minor))
    return msgspec.structs.replace(running, readings=readings)


def needed_daily(reading: Reading, threshold_minor: int, *, closed: int) -> int | None:
    """Return the level each remaining day of a running period needs (M-9)."""
    return required_daily(
        reading.sum_minor,
        threshold_minor,
        days=reading.days,
        closed=closed,
        divisor=reading.divisor,
    )


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the running periods: each metric, its days that are over, the labels.

    `past` is each metric's last period that is over, by which a way that names it is judged until
    the running one ends. The labels are those that will be valid on the running month's last day,
    `day` is the last known one of it.
    """

    readings: tuple[Reading, ...]
    closed: tuple[int, ...]
    past: tuple[Reading, ...] = ()
    labels: frozenset[str] = frozenset()
    day: int = 0

    @property
    def is_begun(self) -> bool:
        """Whether anything is known of what runs; a window may begin late in its month."""
        return self.closed[0] > 0 or self.day > 0

    @property
    def judged(self) -> "Running":
        """What the running month is judged by at its end: of other metrics, what is over then."""
        own, *others = self.readings
        pairs = zip(others, self.past[1:], strict=True)
        readings = (own, *(now if now.end else past for now, past in pairs))
        places = zip(readings, self.readings, self.closed, strict=True)
        closed = tuple(n if one is now else one.days for one, now, n in places)
        return msgspec.structs.replace(self, readings=readings, closed=closed)


def first_counted(programme: Programme, month: Month) -> Month:
    """Return the first month of which any metric of a running month counts a day."""
    own, *others = programme.ladder.metrics
    asked = [(own, month), *((each, last_whole(each, month.plus(-1))) for each in others)]
    found = ((of, window(policy, of, NO_CALENDAR)) for policy, of in asked)
    return min(counted.pieces[0].month if counted else of for of, counted in found)


def running(
    programme: Programme,
    month: Month,
    sums: Mapping[Basket, Sums],
    *,
    day: int,
    opened_on: date,
    labels: Iterable[Label] = (),
    calendar: Calendar = NO_CALENDAR,
) -> Running:
    """Return what is known of a running month whose last known day is `day`, by all metrics."""
    asked = list(zip(programme.ladder.metrics, programme.baskets, strict=True))

    def read(policy: Policy, basket: Basket, of: Month) -> Reading:
        return metrics.read(
            policy,
            of,
            sums.get(basket, {}),
            scale=basket.scale,
            opened_on=opened_on,
            calendar=calendar,
        )

    def closed(policy: Policy) -> int:
        return metrics.closed_days(policy, month, day, opened_on, calendar=calendar)

    readings = tuple(read(policy, basket, month) for policy, basket in asked)
    past = (read(each, basket, last_whole(each, month.plus(-1))) for each, basket in asked[1:])
    return Running(
        readings=readings,
        closed=tuple(closed(policy) for policy, _ in asked),
        past=(readings[0], *past),
        labels=held(labels, month.end - timedelta(days=1)) & programme.ladder.labels,
        day=day,
    )


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What the nearest way into a tier asks of the running period (M-9, T-2).

    `metric` is the place of the one that asks most, with its `reading` and the days of it that are
    over; each remaining one needs `needed_daily`: 0 is certain, None out of reach. A way by labels
    alone that are valid has no threshold, and is certain.
    """

    way: str
    reading: Reading
    closed: int
    metric: int = 0
    threshold_minor: int | None = None
    needed_daily: int | None = None


def nearest(programme: Programme, rank: int, running: Running) -> Need:
    """Return what a tier needs by the way that asks least of each remaining day (M-9, T-2).

    A way whose labels are missing cannot be reached by balances; where all are such the threshold
    is None and the tier out of reach.
    """
    rung, own, over = programme.ladder.rungs[rank], running.readings[0], running.closed[0]
    needs = [_need(each, running) for each in rung if each.labels <= running.labels]
    none = Need(way=rung[0].code, reading=own, closed=over)
    return min(needs, key=_ease, default=none)


def _need(way: Alternative, running: Running) -> Need:
    """Return what the metric asks that asks most; one that the last period proved asks nothing."""
    asked = list[Need]()
    for bound in way.bounds:
        reading, closed = running.readings[bound.metric], running.closed[bound.metric]
        if not reading.end and bound.metric and bound.truth(running.past) is Truth.YES:
            reading = running.past[bound.metric]
            closed = reading.days
        asked.append(
            Need(
                way=way.code,
                reading=reading,
                closed=closed,
                metric=bound.metric,
                threshold_minor=bound.minor,
                needed_daily=needed_daily(reading, bound.minor, closed=closed),
            )
        )
    own = running.readings[0]
    sure = Need(way=way.code, reading=own, closed=running.closed[0], needed_daily=0)
    return max(asked, key=_ease, default=sure)


def _ease(need: Need) -> tuple[bool, int]:
    """Order needs, the easiest first and those out of reach last."""
    return need.needed_daily is None, need.needed_daily or 0


def foretell(
    programme: Programme, rank: int, running: Running, *, last_minor: Sequence[int]
) -> tuple[Need, Forecast]:
    """Project the nearest way to keep a tier; one by labels alone is certain or missed (M-11).

    `last_minor` is what the last known day counts for each of the ladder's metrics.
    """
    need = nearest(programme, rank, running.judged)
    threshold = need.threshold_minor or 0
    told = forecast(
        need.reading,
        threshold,
        closed=need.closed,
        last_minor=last_minor[need.metric],
        day=running.day,
    )
    if need.threshold_minor is None:
        outlook = Outlook.MISSED if need.needed_daily is None else Outlook.CERTAIN
        told = Forecast(need.needed_daily, told.projected_minor, outlook)
    return need, told


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """What the running period asks of a tier that is held (T-4, T-5, M-9).

    Of `allowed` misses in a row there are `misses` so far; with the last one the tier is lost. A
    tier that is kept by a lock allows none, and is judged again from `lock_until` on.
    """

    need: Need
    misses: int
    allowed: int
    lock_until: date | None
    grace_until: date | None
    certain_through: date


def keeping(
    programme: Programme, state: State, running: Running, *, undecided: Month
) -> Keeping | None:
    """Return what keeps the tier of `state`; None for the lowest one, which nobody loses (T-4).

    `undecided` is the first month that is not evaluated: the running one, or the one before.
    """
    if state.rank == 0:
        return None
    return Keeping(
        need=nearest(programme, state.rank, running.judged),
        misses=state.misses,
        allowed=programme.ladder.by(state.rank, state.way).term.misses,
        lock_until=state.lock_until,
        grace_until=state.grace_until,
        certain_through=certain_through(programme, state, undecided),
    )


def is_far(needed: int, threshold: int, average: int) -> bool:
    """Say whether a level is too far from what a member has to be named as an aim (M-9).

    It is when it is more than twice the threshold itself, or three times the average so far.
    """
    return needed > 2 * threshold or needed > 3 * average > 0
