"""Growth over a frozen baseline, exactly and never by what is not known (M-12)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.catalogue import Judge
from benefits.domain.growth import ZERO, Measure, StepsInvalid, check_steps, grown, measure
from benefits.domain.metrics import MonthSum
from benefits.domain.values import Month
from tests.builders import reference_programme

PROGRAMME = reference_programme()
STEPS = [100_000_00, 200_000_00, 300_000_00]
measures = st.builds(
    lambda total, scale, divisor, known, missing: Measure(
        total, scale, divisor, known, known + missing
    ),
    st.integers(0, 10**16),
    st.sampled_from([1, 10, 10_000]),
    st.integers(1, 366),
    st.integers(0, 366),
    st.integers(0, 2),
)


def of(month: Month, level: int, *, known: int | None = None) -> Measure:
    """Return the measure of a month at one level, in yuan, on its known days."""
    days = month.days if known is None else known
    sums = {month: MonthSum(month, level * 100 * days, days)}
    return measure(Judge(1, month, PROGRAMME), month, {PROGRAMME.basket: sums}, month.start)


def test_g_grow_1_the_second_step_is_reached() -> None:
    """G-GROW-1: May 300,000, July 560,000: 260,000 are at least 200,000, the second step."""
    got = grown(of(Month(2025, 5), 300_000), of(Month(2025, 7), 560_000), STEPS)
    assert (260_000_00, 2, 2) == (got.growth_minor, got.reached, got.possible)


def test_days_that_are_missing_decide_nothing() -> None:
    """A-6: of the measured month they may only add; of the baseline they leave all open."""
    may, july = Month(2025, 5), Month(2025, 7)
    got = grown(of(may, 300_000), of(july, 560_000, known=30), STEPS)
    assert (241_935_48, 2, 3) == (got.growth_minor, got.reached, got.possible)
    got = grown(of(may, 300_000, known=30), of(july, 560_000), STEPS)
    assert (0, 3) == (got.reached, got.possible)


def test_whoever_came_later_grew_from_nothing() -> None:
    """M-8: days before the opening are true zeros."""
    assert 1 == grown(ZERO, of(Month(2025, 7), 100_000), STEPS).reached


@given(measures, measures, st.integers(1, 10**14))
def test_growth_is_compared_exactly(base: Measure, now: Measure, step: int) -> None:
    """C-3: as two fractions of minor units; the shown growth is its floor."""
    got = grown(base, now, [step])
    exact = Fraction(now.total, now.scale * now.divisor) - Fraction(
        base.total, base.scale * base.divisor
    )
    assert got.growth_minor <= exact < got.growth_minor + 1
    if base.complete:
        assert (exact >= step) == (got.reached == 1)
        assert (exact >= step or not now.complete) == (got.possible == 1)
    else:
        assert (0, 1) == (got.reached, got.possible)


@pytest.mark.parametrize("steps", [[0], [-1], [2, 1], [1, 1], list(range(1, 22))])
def test_steps_ascend(steps: list[int]) -> None:
    """Steps are up to 20 amounts above 0, each larger than the one before."""
    check_steps([1, 2])
    with pytest.raises(StepsInvalid):
        check_steps(steps)
