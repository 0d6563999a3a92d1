"""Where a running period leads: who is at risk, near the next tier, or has it (M-10, M-11, T-3).

The period is projected as if every remaining day were like the last known one. Sums are compared
exactly; averages are floored for showing.
"""

import enum
from collections.abc import Sequence
from datetime import datetime

import msgspec

from benefits.domain.ladder import NOTHING, Bound, Truth
from benefits.domain.metrics import Reading
from benefits.domain.policy import Divisor, Policy, UpgradeTiming
from benefits.domain.programme import Programme
from benefits.domain.progress import Running, nearest, projected_sum
from benefits.domain.tiers import (
    NO_GROUNDS,
    Cause,
    Decision,
    Grounds,
    State,
    display_average,
    settle,
    step,
)
from benefits.domain.values import Month, end_of, local_date
from benefits.domain.windows import span


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
    programme: Programme, state: State, running: Running, *, last_minor: Sequence[int]
) -> list[Sighting]:
    """Return what a running period with known days promises or threatens.

    `last_minor` is what the last known day counts for each of the ladder's metrics.
    A tier whose term goes on is not at risk: the period cannot touch it. Of several ways into a
    tier the one is told that asks least; a tier that no balance keeps or reaches is not told of.
    """
    if not running.is_begun:
        return []
    ahead = Running(
        readings=tuple(map(_projected, running.readings, running.closed, last_minor)),
        closed=tuple(each.days for each in running.readings),
        past=running.past,
        labels=running.labels,
        day=running.day,
    )
    concerned = list[tuple[Sight, int]]()
    verdict = programme.ladder.judge(ahead.judged.readings, running.labels)
    if state.rank and verdict.possible < state.rank:
        last = span(programme.policy, running.readings[0].month)[1]
        after, cause = settle(programme, state, NOTHING, on=last.end)
        if cause is not Cause.HELD or after.rank < state.rank:
            concerned.append((Sight.AT_RISK, state.rank))
    above = range(max(state.rank, verdict.qualified) + 1, len(programme.tier))
    concerned += [(Sight.NEAR, rank) for rank in above[:1] if _is_near(programme, rank, ahead)]
    found = list[Sighting]()
    for outlook, rank in concerned:
        asked = running.judged if outlook is Sight.AT_RISK else running
        need = nearest(programme, rank, asked)
        if need.threshold_minor is not None:
            later = _projected(need.reading, need.closed, last_minor[need.metric])
            found.append(
                Sighting(
                    outlook=outlook,
                    rank=rank,
                    threshold_minor=need.threshold_minor,
                    projected_minor=display_average(later.sum_minor, later.divisor),
                    needed_daily_minor=need.needed_daily,
                )
            )
    return found


def _projected(reading: Reading, closed: int, last_minor: int) -> Reading:
    """Return a period as it ends if each remaining day is like the last known one."""
    total = projected_sum(reading, closed=closed, last_minor=last_minor)
    return msgspec.structs.replace(reading, sum_minor=total, known_days=reading.days)


def _is_near(programme: Programme, rank: int, ahead: Running) -> bool:
    """Say whether a way into a tier, with all its labels, is missed by little (M-10)."""
    percent = programme.policy.near

    def misses_little(bound: Bound) -> bool:
        reading = ahead.readings[bound.metric]
        return is_near(reading.sum_minor, bound.minor, reading.divisor, percent=percent)

    return any(
        all(misses_little(b) or b.truth(ahead.readings) is Truth.YES for b in way.bounds)
        for way in programme.ladder.rungs[rank]
        if way.labels <= ahead.labels and way.bounds
    )


def rises_at(programme: Programme, decided_at: datetime) -> datetime:
    """Return when a tier holds that a running month has proven: at once or with the next day."""
    match programme.policy.upgrade:
        case UpgradeTiming.INSTANT:
            return decided_at
        case UpgradeTiming.NEXT_DAY | UpgradeTiming.NEXT_PERIOD:
            return end_of(local_date(decided_at, programme.tz), programme.tz)


def risen(
    programme: Programme, before: State, reading: Reading, grounds: Grounds = NO_GROUNDS
) -> Decision | None:
    """Decide a running month early: it has proven a higher tier already (T-3); None if not.

    No later day can undo what is proven, as none counts below 0, net or not (A-8). A label may end
    before the month does: `grounds` name none. Nobody is judged by fewer days since they joined
    than the least (M-8).
    """
    if programme.policy.upgrade is UpgradeTiming.NEXT_PERIOD:
        return None
    own, *others = (
        _so_far(policy, each, reading.month)
        for policy, each in zip(programme.ladder.metrics, (reading, *grounds.others), strict=True)
    )
    grounds = msgspec.structs.replace(grounds, others=tuple(others))
    decision = step(programme, before.own, own, grounds)
    if decision.after.rank <= before.rank:
        return None
    return msgspec.structs.replace(decision, before=before)


def _so_far(policy: Policy, reading: Reading, month: Month) -> Reading:
    """Return a reading that is too young while few of the days since the opening are over."""
    if policy.divisor is not Divisor.SINCE_JOIN or reading.day or reading.month != month:
        return reading
    young = reading.young or reading.known_days < policy.minimum_days
    return msgspec.structs.replace(reading, young=young)
