"""Growth: by how much members' averages rose over a baseline that was frozen before (M-12).

    growth = average of the measured period - average of the baseline

A baseline is frozen once: what is corrected of its month later does not move it. Both sides are
fractions, each over its own days and weights, and are compared as such; what is shown is floored
(C-3). What is not known decides nothing (A-6): days missing from the measured month may still add
to a growth, days missing from the baseline's take from it, and neither makes it certain.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import msgspec

from benefits.domain import metrics
from benefits.domain.catalogue import Judge
from benefits.domain.ladder import Truth
from benefits.domain.metrics import Basket, Sums
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.values import Month

STEPS_MAX = 20


class StepsInvalid(Refusal):
    """Steps are not ascending amounts above 0, or more than 20."""

    code = "steps_invalid"
    words = f"Steps are up to {STEPS_MAX} amounts above 0, each larger than the one before."


class Measure(msgspec.Struct, frozen=True):
    """The policy's metric of a member: a sum in minor units times `scale`, over `divisor` days.

    `known_days` of its `days` are known, some of them by what people filled in; the others count
    as 0. A relationship may be too `young` to be judged (M-8).
    """

    total: int
    scale: int
    divisor: int
    known_days: int
    days: int
    filled_days: int = 0
    young: bool = False

    @property
    def complete(self) -> bool:
        """Whether every day is known."""
        return self.known_days == self.days

    @property
    def average(self) -> Fraction:
        """The exact average in minor units."""
        return Fraction(self.total, self.scale * self.divisor)

    def plus(self, other: "Measure") -> "Measure":
        """Return that of two customers who were merged, over the longer relationship (T-10)."""
        longer = max(self, other, key=lambda one: one.days)
        return msgspec.structs.replace(
            longer,
            total=self.total + other.total,
            filled_days=max(self.filled_days, other.filled_days),
        )


# Of a relationship that began after the baseline's month: true zeros (M-8).
ZERO = Measure(0, 1, 1, 1, 1)


class Start(msgspec.Struct, frozen=True):
    """What growth is over: `is_frozen` where it was complete as it was kept, or is true zeros."""

    measure: Measure
    is_frozen: bool


class Grown(msgspec.Struct, frozen=True):
    """A member's growth: so many steps are reached for certain, and so many at most."""

    base: Start
    now: Measure
    reached: int
    possible: int

    @property
    def growth_minor(self) -> int:
        """The growth by what is known, in minor units, floored for showing."""
        return (self.now.average - self.base.measure.average).__floor__()

    @property
    def provisional(self) -> bool:
        """Whether people filled in days of it, until the source sends them (A-6)."""
        return bool(self.now.filled_days or self.base.measure.filled_days)


def read_steps(text: str, programme: Programme) -> list[int]:
    """Read steps like `100000,200000`, in major units, as minor ones (StepsInvalid)."""
    try:
        return [programme.minor(Decimal(one)) for one in text.split(",")] if text else []
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise StepsInvalid from error


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
    return Measure(
        got.sum_minor,
        programme.basket.scale,
        got.divisor,
        got.known_days,
        got.days,
        got.filled_days,
        got.young,
    )


def grown(base: Start, now: Measure, steps: Sequence[int]) -> Grown:
    """Say which steps, ascending and in minor units, a growth reaches (M-12)."""
    told = [_reaches(base, now, step) for step in steps]
    return Grown(
        base,
        now,
        sum(truth is Truth.YES for truth in told),
        sum(truth is not Truth.NO for truth in told),
    )


def _reaches(base: Start, now: Measure, step_minor: int) -> Truth:
    """Judge a step: missing days add to the side they are of, so what is known bounds each."""
    if now.young or base.measure.young:
        return Truth.NO
    is_enough = now.average - base.measure.average >= step_minor
    if not is_enough and now.complete:
        return Truth.NO
    return Truth.YES if is_enough and base.is_frozen else Truth.OPEN


def check_steps(steps: Sequence[int]) -> None:
    """Refuse steps that do not ascend from above 0 (StepsInvalid)."""
    pairs = zip([0, *steps], steps, strict=False)
    if len(steps) > STEPS_MAX or not all(before < step for before, step in pairs):
        raise StepsInvalid
