"""Rights: which tiers are right for a period, whatever was held in it, and what they bring (A-7).

What is right is what folding the months gives. A period rests on a wrong tier where a higher one
was held in it, by what was decided then, than any that is right for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from benefits.domain import units
from benefits.domain.catalogue import Rules
from benefits.domain.floors import Floor
from benefits.domain.packages import UpgradePolicy
from benefits.domain.policy import UpgradeTiming
from benefits.domain.programme import Programme
from benefits.domain.tiers import Decision
from benefits.domain.values import Month, Period

_DAY = timedelta(days=1)


class Record(msgspec.Struct, frozen=True):
    """A tier on record, and the first day on which it was both decided and held."""

    rank: int
    on: date


def highest_held(record: Sequence[Record], period: Period) -> int:
    """Return the highest tier that was held on a day of a period, of those in their order."""
    before = [one for one in record if one.on <= period.start]
    ranks = [one.rank for one in record if period.start < one.on < period.end]
    return max([before[-1].rank if before else 0, *ranks])


def right_ranks(
    rules: Rules, decisions: Sequence[Decision], floor: Floor | None, period: Period
) -> set[int]:
    """Return the tiers that are right for the months of a period, welcomes too."""
    ranks, first, last = set[int](), Month.of(period.start), Month.of(period.end - _DAY)
    by_month = {each.month: each for each in decisions}
    month, held = first, _held_before(decisions, first)
    while month <= last:
        ranks.add(held)
        decided = by_month.get(month)
        if decided is not None:
            early = rules.at(month).programme.policy.upgrade is not UpgradeTiming.NEXT_PERIOD
            ranks |= {decided.after.rank} if early else set()
            held = decided.after.rank
        month = month.plus(1)
    if floor is not None and floor.first < period.end and period.start < floor.until:
        ranks.add(floor.rank)
    return ranks


def _held_before(decisions: Sequence[Decision], month: Month) -> int:
    """Return the tier with which a month begins."""
    return next((one.after.rank for one in reversed(decisions) if one.month < month), 0)


def right_quota(line: str, ranks: Iterable[int], programmes: Iterable[Programme]) -> int:
    """Return how many steps of a line tiers bring in a period, at most of any version.

    Units that were granted by an earlier one stay what they were (U-3).
    """
    return max((_quota(line, set(ranks), each) for each in programmes), default=0)


def _quota(code: str, ranks: set[int], programme: Programme) -> int:
    line = next((one for one in programme.line if one.code == code), None)
    if line is None:
        return 0
    tiers: Mapping[int, str] = dict(enumerate(tier.code for tier in programme.tier))
    quotas = {line.quota.get(tiers.get(rank, ""), 0) for rank in ranks}
    scale = programme.brought(line).scale
    each = [units.steps(quota, scale) for quota in quotas]
    return sum(each) if line.upgrade is UpgradePolicy.FULL else max(each, default=0)


def right_since(
    rules: Rules,
    decisions: Sequence[Decision],
    floor: Floor | None,
    *,
    period: Period,
    rank: int,
) -> date:
    """Return the first day of a period in a month for which a tier is right that is one of its."""
    day = period.start
    while True:
        end = min(Month.of(day).end, period.end)
        if rank in right_ranks(rules, decisions, floor, Period(period.key, day, end)):
            return day
        day = end
