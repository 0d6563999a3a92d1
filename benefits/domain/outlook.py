"""Where a running period leads: whose tier is at risk, and who is near the next one (M-10, M-11).

The period is projected as if every remaining day were like the last known one. Sums are compared
exactly; averages are floored for showing.
"""

import enum
from datetime import datetime

import msgspec

from benefits.domain.catalogue import Programme
from benefits.domain.metrics import Reading
from benefits.domain.policy import UpgradeTiming
from benefits.domain.tiers import Cause, State, display_average, needed_daily, settle
from benefits.domain.values import end_of, local_date


class Sight(enum.Enum):
    """What is seen ahead for a member: AT_RISK of a miss, or NEAR a higher tier."""

    AT_RISK = "AT_RISK"
    NEAR = "NEAR"


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen of the tier at `rank`, in minor units.

    `needed_daily_minor` is what each remaining day needs to reach it; None: out of reach.
    """

    outlook: Sight
    rank: int
    threshold_minor: int
    projected_minor: int
    needed_daily_minor: int | None


def is_near(sum_minor: int, threshold_minor: int, divisor: int, *, percent: int) -> bool:
    """Say whether a sum is below a threshold by at most `percent` of it (M-10)."""
    full = threshold_minor * divisor
    return full * (100 - percent) <= sum_minor * 100 and sum_minor < full


def look_ahead(
    programme: Programme, state: State, reading: Reading, *, closed: int, last_minor: int
) -> list[Sighting]:
    """Return what a running period with `closed` known days promises or threatens.

    A tier whose term goes on is not at risk: the period cannot touch it.
    """
    if closed <= 0:
        return []
    projected = reading.sum_minor + max(reading.days - closed, 0) * last_minor
    concerned = list[tuple[Sight, int]]()
    if state.rank and projected < programme.thresholds[state.rank] * reading.divisor:
        after, cause = settle(programme, state, 0, complete=True, on=reading.month.end)
        if cause is not Cause.HELD or after.rank < state.rank:
            concerned.append((Sight.AT_RISK, state.rank))
    above = range(state.rank + 1, len(programme.thresholds))
    for rank in above:
        threshold = programme.thresholds[rank]
        if projected < threshold * reading.divisor:
            percent = programme.policy.near
            if is_near(projected, threshold, reading.divisor, percent=percent):
                concerned.append((Sight.NEAR, rank))
            break
    return [
        Sighting(
            outlook=outlook,
            rank=rank,
            threshold_minor=programme.thresholds[rank],
            projected_minor=display_average(projected, reading.divisor),
            needed_daily_minor=needed_daily(reading, programme.thresholds[rank], closed=closed),
        )
        for outlook, rank in concerned
    ]


def rises_at(programme: Programme, decided_at: datetime) -> datetime:
    """Return when a tier holds that a running month has proven: at once or with the next day."""
    match programme.policy.upgrade:
        case UpgradeTiming.INSTANT:
            return decided_at
        case UpgradeTiming.NEXT_DAY | UpgradeTiming.NEXT_PERIOD:
            return end_of(local_date(decided_at, programme.tz), programme.tz)
