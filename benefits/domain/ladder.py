"""A ladder: what each tier asks, as an OR of ANDs over metrics and labels (T-1, T-2).

A metric is known or not: what its known days prove is true, what its days forbid once all are
known is false, all else is open (A-6). A label is known. AND and OR are Kleene's, so what is open
matters only where it could change the answer.

    tier   = threshold  or  way  or  way …
    way    = condition  and condition …
"""

import enum
from bisect import bisect_right
from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from benefits.domain.labels import label_key
from benefits.domain.metrics import Reading
from benefits.domain.policy import (
    Condition,
    Lock,
    Policy,
    Text,
    Tier,
    Way,
    left_out,
    period_months,
)

THRESHOLD = ""


def qualifies(sum_minor: int, threshold_minor: int, days: int) -> bool:
    """Say whether a sum's daily average reaches a threshold, in exact integers (M-1, C-3)."""
    return sum_minor >= threshold_minor * days


class Truth(enum.Enum):
    """What is known of a statement; AND is the least, OR the greatest of its parts."""

    NO = 0
    OPEN = 1
    YES = 2


class Term(msgspec.Struct, frozen=True):
    """How a tier is kept: by misses in a row, or by a lock."""

    misses: int = 0
    lock: Lock | None = None

    def lasts(self, period_months: int) -> int:
        """Return how many months of being below it bears: the more, the better."""
        if self.lock is not None:
            return self.lock.months + self.lock.grace
        return self.misses * period_months


class Bound(msgspec.Struct, frozen=True):
    """A metric, by its place in the ladder's, and the average it must reach, in minor units."""

    metric: int
    minor: int

    def truth(self, readings: Sequence[Reading]) -> Truth:
        """Say whether the metric reaches the bound, in exact integers (M-1, C-3, A-6)."""
        reading = readings[self.metric]
        if reading.young:
            return Truth.OPEN
        if qualifies(reading.sum_minor, self.minor, reading.divisor):
            return Truth.YES
        return Truth.NO if reading.complete else Truth.OPEN


class Alternative(msgspec.Struct, frozen=True):
    """One way into a tier: all its bounds and labels; `code` is empty for the threshold."""

    code: str
    name: Text
    bounds: tuple[Bound, ...]
    labels: frozenset[str]
    term: Term

    def truth(self, readings: Sequence[Reading], labels: frozenset[str]) -> Truth:
        """Say whether all of it holds."""
        if not self.labels <= labels:
            return Truth.NO
        least = Truth.YES
        for bound in self.bounds:
            truth = bound.truth(readings)
            if truth is Truth.NO:
                return truth
            if truth is Truth.OPEN:
                least = truth
        return least


class Verdict(msgspec.Struct, frozen=True):
    """The rank that is proven, by which ways, and the highest that is not ruled out."""

    qualified: int
    possible: int
    ways: tuple[str, ...] = (THRESHOLD,)


NOTHING = Verdict(0, 0)


class Ladder(msgspec.Struct, frozen=True):
    """What each rank asks: `metrics` are the policy's own and those that ways name besides.

    A `plain` one has thresholds only, in minor units; an average that is floored reaches the same.
    """

    metrics: tuple[Policy, ...]
    rungs: tuple[tuple[Alternative, ...], ...]
    labels: frozenset[str]
    plain: tuple[int, ...] | None = None

    @property
    def has_ways(self) -> bool:
        """Whether any tier has another way in than its threshold."""
        return self.plain is None

    def by(self, rank: int, way: str) -> Alternative:
        """Return a way into a tier; the first where a later version has it no more."""
        rung = self.rungs[rank]
        if rung[0].code == way:
            return rung[0]
        return next((each for each in rung if each.code == way), rung[0])

    def judge(self, readings: Sequence[Reading], labels: frozenset[str]) -> Verdict:
        """Return the highest rank whose condition holds; ranks may be skipped (T-1)."""
        if self.plain is not None:
            return self._by_thresholds(readings[0], self.plain)
        possible = 0
        for rank in range(len(self.rungs) - 1, 0, -1):
            holding = list[str]()
            for each in self.rungs[rank]:
                truth = each.truth(readings, labels)
                if truth is Truth.NO:
                    continue
                possible = possible or rank
                if truth is Truth.YES:
                    holding.append(each.code)
            if holding:
                return Verdict(rank, possible, tuple(holding))
        return Verdict(0, possible)

    def _by_thresholds(self, reading: Reading, bounds: tuple[int, ...]) -> Verdict:
        """Judge thresholds that ascend: the same, in one look."""
        top = len(bounds) - 1
        if reading.young:
            return Verdict(0, top)
        rank = bisect_right(bounds, reading.sum_minor // reading.divisor) - 1
        return Verdict(rank, rank if reading.complete else top)

    def best(self, rank: int, ways: Sequence[str], *, now: str) -> str:
        """Return the way of those that hold whose term is the best; `now` before its equals."""
        if len(ways) == 1:
            return ways[0]
        every = period_months(self.metrics[0])
        return max(ways, key=lambda way: (self.by(rank, way).term.lasts(every), way == now))


def ladder(policy: Policy, tiers: Sequence[Tier], minor: Callable[[Decimal], int]) -> Ladder:
    """Return what tiers ask; amounts are brought to minor units."""
    metrics = [policy]
    for tier in tiers:
        for way in tier.any:
            for condition in way.all:
                asked = _metric(policy, condition)
                if asked not in metrics:
                    metrics.append(asked)
    rungs = tuple(
        (
            *_threshold(tier, minor),
            *(_alternative(policy, tier, way, metrics=metrics, minor=minor) for way in tier.any),
        )
        for tier in tiers
    )
    labels = frozenset(key for rung in rungs for each in rung for key in each.labels)
    plain = None
    if not any(tier.any for tier in tiers):
        plain = tuple(each.minor for rung in rungs for way in rung for each in way.bounds)
    return Ladder(tuple(metrics), rungs, labels, plain)


def _metric(policy: Policy, condition: Condition) -> Policy:
    if condition.metric is None:
        return policy
    weights, liabilities = condition.weights, condition.liabilities
    weights = policy.weights if weights is None else weights
    valued, out = policy.point_in_time, left_out(weights)
    if valued is not None and out:
        classes = tuple(code for code in valued.classes if code not in out)
        valued = msgspec.structs.replace(valued, classes=classes) if classes else None
    return msgspec.structs.replace(
        policy,
        metric=condition.metric,
        months=condition.months,
        days=condition.days,
        weights=weights,
        liabilities=policy.liabilities if liabilities is None else liabilities,
        point_in_time=valued,
    )


def _threshold(tier: Tier, minor: Callable[[Decimal], int]) -> tuple[Alternative, ...]:
    if tier.threshold is None:
        return ()
    bound = Bound(0, minor(tier.threshold))
    return (Alternative(THRESHOLD, {}, (bound,), frozenset(), Term(tier.misses, tier.lock)),)


def _alternative(
    policy: Policy,
    tier: Tier,
    way: Way,
    *,
    metrics: Sequence[Policy],
    minor: Callable[[Decimal], int],
) -> Alternative:
    own = way.misses or way.lock
    return Alternative(
        way.code,
        way.name,
        tuple(
            Bound(metrics.index(_metric(policy, each)), minor(each.threshold))
            for each in way.all
            if each.threshold is not None
        ),
        frozenset(label_key(each.layer, each.label) for each in way.all if each.label),
        Term(way.misses, way.lock) if own else Term(tier.misses, tier.lock),
    )
