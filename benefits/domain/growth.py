"""Growth: by how much members' averages rose over a baseline that was frozen before (M-12).

    growth = average of the measured period - average of the baseline

A baseline is frozen once: what is corrected of its month later does not move it. Both sides are
fractions, each over its own days and weights, and are compared as such; what is shown is floored
(C-3). What is not known decides nothing (A-6): over a baseline with days missing any growth is
open, and so is one that missing days of the measured period may still add to.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction

import msgspec

from benefits.domain import metrics
from benefits.domain.catalogue import Judge
from benefits.domain.ladder import Truth
from benefits.domain.metrics import Basket, Sums
from benefits.domain.refusal import Refusal
from benefits.domain.values import Month

STEPS_MAX = 20


class StepsInvalid(Refusal):
    """Steps are not ascending amounts above 0, or more than 20."""

    code = "steps_invalid"
    words = f"Steps are up to {STEPS_MAX} amounts above 0, each larger than the one before."


class Measure(msgspec.Struct, frozen=True):
    """The policy's metric of a member: a sum in minor units times `scale`, over `divisor` days.

    `known_days` of its `days` are known; the others count as 0.
    """

    total: int
    scale: int
    divisor: int
    known_days: int
    days: int

    @property
    def complete(self) -> bool:
        """Whether every day is known."""
        return self.known_days == self.days

    @property
    def average(self) -> Fraction:
        """The exact average in minor units."""
        return Fraction(self.total, self.scale * self.divisor)


# Of a relationship that began after the baseline's month: true zeros (M-8).
ZERO = Measure(0, 1, 1, 1, 1)


class Grown(msgspec.Struct, frozen=True):
    """A member's growth: so many steps are reached for certain, and so many at most."""

    base: Measure
    now: Measure
    reached: int
    possible: int

    @property
    def growth_minor(self) -> int:
        """The growth by what is known, in minor units, floored for showing."""
        return (self.now.average - self.base.average).__floor__()


def measure(judge: Judge, month: Month, sums: Mapping[Basket, Sums], opened_on: date) -> Measure:
    """Return the metric of a member with a month, by the version that judges it."""
    programme = judge.programme
    got = metrics.read(
        programme.policy,
        month,
        sums.get(programme.basket, {}),
        scale=1,
        opened_on=opened_on,
        calendar=judge.calendar,
    )
    return Measure(got.sum_minor, programme.basket.scale, got.divisor, got.known_days, got.days)


def grown(base: Measure, now: Measure, steps: Sequence[int]) -> Grown:
    """Say which steps, ascending and in minor units, a growth reaches (M-12)."""
    told = [_reaches(base, now, step) for step in steps]
    return Grown(
        base,
        now,
        sum(truth is Truth.YES for truth in told),
        sum(truth is not Truth.NO for truth in told),
    )


def _reaches(base: Measure, now: Measure, step_minor: int) -> Truth:
    if not base.complete:
        return Truth.OPEN
    if now.average - base.average >= step_minor:
        return Truth.YES
    return Truth.NO if now.complete else Truth.OPEN


def check_steps(steps: Sequence[int]) -> None:
    """Refuse steps that do not ascend from above 0 (StepsInvalid)."""
    pairs = zip([0, *steps], steps, strict=False)
    if len(steps) > STEPS_MAX or not all(before < step for before, step in pairs):
        raise StepsInvalid
