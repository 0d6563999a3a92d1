"""Metrics: averages over months, other divisors and weights are exact."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain import metrics
from benefits.domain.ladder import qualifies
from benefits.domain.metrics import Basket, MonthSum, net_sum
from benefits.domain.policy import Divisor, Metric, Policy
from benefits.domain.tiers import display_average
from benefits.domain.values import Month
from benefits.domain.windows import Days, Stretch
from tests import golden
from tests.builders import qualified_rank
from tests.domain.test_policies import FIRST, LAST_3, PLATINUM, PROGRAMME, months


def test_g_qtr_1_a_quarter_is_averaged_over_its_days() -> None:
    """G-QTR-1: 400, 700 and 400 thousand are 493,333.33 by the day, below 495,000."""
    sums = months(400_000, 700_000, 400_000, first=Month(2025, 1))
    got = metrics.read(Policy(metric=Metric.QUARTER_AVG), Month(2025, 3), sums, scale=1)
    example = golden.expected("G-QTR-1")
    assert (example["sum_fen"], example["days"]) == (got.sum_minor, got.divisor)
    assert example["display_floor_fen"] == display_average(got.sum_minor, got.divisor)
    assert not qualifies(got.sum_minor, 495_000_00, got.divisor)


def test_g_r3m_1_the_last_months_are_averaged_over_their_days() -> None:
    """G-R3M-1: 20, 50 and 80 thousand in November to January are 50,326.08."""
    sums = months(20_000, 50_000, 80_000, first=Month(2024, 11))
    got = metrics.read(LAST_3, Month(2025, 1), sums, scale=1)
    example = golden.expected("G-R3M-1")
    assert (example["sum_fen"], example["days"]) == (got.sum_minor, got.divisor)
    assert example["display_floor_fen"] == display_average(got.sum_minor, got.divisor)
    assert qualifies(got.sum_minor, 50_000_00, got.divisor)


@pytest.mark.parametrize(
    ("id_", "month", "average", "verdict"),
    [
        ("G-AVG-4a", Month(2025, 1), 516_666_66, "reached"),
        ("G-AVG-4b", Month(2025, 2), 466_666_66, "missed"),
    ],
)
def test_a_fixed_divisor_favours_long_months(
    id_: str, month: Month, average: int, verdict: str
) -> None:
    """G-AVG-4a, G-AVG-4b: 500,000 a day over 30 reaches it in January, not in February."""
    policy = Policy(divisor=Divisor.FIXED, divisor_days=30)
    got = metrics.read(policy, month, months(500_000, first=month), scale=1)
    assert average == display_average(got.sum_minor, got.divisor), id_
    assert (verdict == "reached") is qualifies(got.sum_minor, 500_000_00, got.divisor)


@pytest.mark.parametrize(
    ("divisor", "average"),
    [(Divisor.PERIOD_DAYS, 500_000_00), (Divisor.SINCE_JOIN, 1_000_000_00)],
)
def test_g_avg_3_days_before_the_opening_count_or_not(divisor: Divisor, average: int) -> None:
    """G-AVG-3: a million from 16 April is 500,000 of the month, a million since the opening."""
    april = Month(2025, 4)
    sums = {april: MonthSum(april, 15 * 1_000_000_00, 30)}
    got = metrics.read(Policy(divisor=divisor), april, sums, scale=1, opened_on=date(2025, 4, 16))
    assert average == display_average(got.sum_minor, got.divisor)
    assert got.complete
    assert (True, False) == (got.end, got.young)


def test_g_wgt_1_weights_decide() -> None:
    """G-WGT-1: 300,000 x 1 + 200,000 x 0.8 + 100,000 x 0.5 = 510,000 reaches 500,000."""
    policy = Policy(weights={"WEALTH": Decimal("0.8"), "FUND": Decimal("0.5")})
    basket = metrics.basket("CNY", ("DEPOSIT", "WEALTH", "FUND"), policy)
    assert Basket("CNY", ("DEPOSIT", "FUND", "WEALTH"), (10, 5, 8), 10) == basket
    levels = {"DEPOSIT": 300_000_00, "WEALTH": 200_000_00, "FUND": 100_000_00}
    june = Month(2025, 6)
    weighted = zip(basket.classes, basket.weights, strict=True)
    total = sum(levels[code] * weight for code, weight in weighted) * june.days
    got = metrics.read(policy, june, {june: MonthSum(june, total, 30)}, scale=basket.scale)
    assert 510_000_00 == display_average(got.sum_minor, got.divisor)
    assert PLATINUM == qualified_rank(PROGRAMME, got.sum_minor, got.divisor)


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=36),
    st.integers(0, 10**10),
    st.sampled_from([1, 10, 100, 1000, 10_000]),
)
def test_the_floor_of_a_weighted_sum_decides_as_the_exact_sum(
    sums: list[int], threshold: int, scale: int
) -> None:
    """A-3: one floor at the end of a period changes no comparison with whole minor units."""
    known = {FIRST.plus(n): MonthSum(FIRST.plus(n), each, 0) for n, each in enumerate(sums)}
    policy = Policy(metric=Metric.LAST_K_MONTHS, months=len(sums)) if sums[1:] else Policy()
    got = metrics.read(policy, max(known), known, scale=scale)
    exact = Fraction(sum(sums), scale) / got.divisor >= threshold
    assert exact is qualifies(got.sum_minor, threshold, got.divisor)


@given(st.lists(st.integers(0, 10**12), min_size=12, max_size=12))
def test_three_months_are_a_quarter_and_four_quarters_a_year(sums: list[int]) -> None:
    """3.18, 8: sums and days of months add up to those of quarters, and those to the year's."""
    known = {FIRST.plus(n): MonthSum(FIRST.plus(n), each, 1) for n, each in enumerate(sums)}

    def at(metric: Metric, *numbers: int) -> tuple[int, int, int]:
        policy = Policy(metric=metric)
        got = [metrics.read(policy, Month(2024, n), known, scale=1) for n in numbers]
        assert all((each.end and not each.young) for each in got)
        return (
            sum(each.sum_minor for each in got),
            sum(each.days for each in got),
            sum(each.known_days for each in got),
        )

    quarters = at(Metric.QUARTER_AVG, 3, 6, 9, 12)
    assert at(Metric.MONTH_AVG, *range(1, 13)) == quarters
    assert (sum(sums), 366, 12) == quarters == at(Metric.YEAR_AVG, 12)


@given(
    st.dictionaries(st.integers(1, 30), st.integers(-1000, 1000)),
    st.integers(0, 2**30 - 1),
    st.integers(0, 2**30 - 1),
    st.integers(1, 30),
)
def test_what_is_proven_net_only_grows_with_what_is_known(
    nets: dict[int, int], known: int, more: int, opened: int
) -> None:
    """A-6, A-8: each known day counts what is left and never less than 0, others nothing."""
    june, opened_on = Month(2025, 6), date(2025, 6, opened)
    some = net_sum(june, nets, Days(known), opened_on)
    every = net_sum(june, nets, Days(known | more), opened_on)
    counted = {day for day in range(1, 31) if known >> (day - 1) & 1 or day < opened}
    assert sum(max(nets.get(day, 0), 0) for day in counted) == some.sum_minor
    assert len(counted) == some.known_days
    assert 0 <= some.sum_minor <= every.sum_minor
    parts = [net_sum(Stretch(june, *days), nets, Days(known), opened_on) for days in HALVES]
    assert some.sum_minor == sum(part.sum_minor for part in parts)
    assert some.known_days == sum(part.known_days for part in parts)


HALVES = ((1, 11), (12, 30))
