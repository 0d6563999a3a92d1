"""Steady members: those whose standing a month leaves as it is, told without folding (T-4, T-8).

Most members are where they were, month after month. Where a ladder has thresholds only, a sum
between two bounds says so: it is whole, it neither raises nor lowers the rank, and nothing older
has moved. All others are folded; whatever is in doubt is folded.
"""

import hashlib
from collections.abc import Mapping

import msgspec

from benefits.domain import stretches
from benefits.domain.catalogue import Rules
from benefits.domain.metrics import Basket
from benefits.domain.policy import Divisor, Metric, Policy
from benefits.domain.values import Month


class Bound(msgspec.Struct, frozen=True):
    """A rank that stays while `least <= sum < below`, in minor units times the basket's scale."""

    rank: int
    least: int
    below: int | None


class Bounds(msgspec.Struct, frozen=True):
    """How a month's sum tells a steady member; `by_lines` where no feeds make days known."""

    month: Month
    basket: Basket
    ranks: tuple[Bound, ...]
    by_lines: bool


def bounds(rules: Rules, month: Month) -> Bounds | None:
    """Return what tells steady members in a month; None where each must be folded.

    Ranks kept by a lock are left out: a month may end a term.
    """
    programme = rules.at(month).programme
    thresholds, policy = programme.ladder.plain, programme.policy
    if thresholds is None or policy.metric is not Metric.MONTH_AVG:
        return None
    if rules.labels or stretches.are_needed(rules) or any(each.is_wide for each in rules.baskets):
        return None
    days = _divisor(policy, month)
    if days is None:
        return None
    basket = programme.basket
    least = [minor * days * basket.scale for minor in thresholds]
    return Bounds(
        month,
        basket,
        tuple(
            Bound(rank, sum_minor, below)
            for rank, (sum_minor, below) in enumerate(zip(least, [*least[1:], None], strict=True))
            if programme.ladder.rungs[rank][0].term.lock is None
        ),
        by_lines=not programme.feeds,
    )


def _divisor(policy: Policy, month: Month) -> int | None:
    match policy.divisor:
        case Divisor.PERIOD_DAYS:
            return month.days
        case Divisor.FIXED:
            return policy.divisor_days
        case Divisor.SINCE_JOIN:
            return None


def basis(rules: Rules, month: Month, fed: Mapping[Month, int]) -> str:
    """Return a digest of what judges the months up to one: versions, and days known by feeds.

    `fed` are those days as bits, by month.
    """
    judges = [
        f"{judge.version}@{judge.tiers_from}"
        for judge in rules.judges
        if judge.tiers_from <= month or judge is rules.judges[0]
    ]
    days = [f"{one}:{fed[one]:x}" for one in sorted(fed) if one <= month]
    return hashlib.sha256(" ".join([*judges, *days]).encode()).hexdigest()
