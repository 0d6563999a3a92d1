"""The presets can be read, and decide as their banks publish it."""

from datetime import date
from pathlib import Path

import pytest

import benefits
from benefits.domain.calendars import Calendar, DayKind
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.explanation import explain
from benefits.domain.labels import Label, Layer
from benefits.domain.metrics import MonthSum
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.tiers import fold
from benefits.domain.values import Month
from benefits.domain.windows import Kept, Piece, Point, Stretch

FOLDER = Path(benefits.__file__).parent / "presets"
FIRST = Month(2025, 1)


def preset(name: str) -> Programme:
    """Return a preset."""
    return read((FOLDER / f"{name}.toml").read_text())


@pytest.mark.parametrize(
    ("name", "life", "told"),
    [
        ("bohai", [6_000_000, *[500_000] * 6], ["UPGRADED", *["WATCHED"] * 5, "DOWNGRADED"]),
        ("bohai", [500_000, 0, 0, 0], ["UPGRADED", "WATCHED", "WATCHED", "DOWNGRADED"]),
        ("icbc", [200_000, *[0] * 6], ["UPGRADED", *["WATCHED"] * 5, "DOWNGRADED"]),
        ("ccb", [500_000, 500_000, 500_000], ["UPGRADED", "WATCHED", "RETAINED"]),
        (
            "bank_of_america",
            [60_000, 50_000, 50_000, *[0] * 15],
            [
                *("UPGRADED", "RETAINED", "UPGRADED"),
                *["HELD"] * 11,
                *("GRACE", "HELD", "HELD", "DOWNGRADED"),
            ],
        ),
        (
            "standard_chartered",
            [500_000, *[0] * 12],
            ["UPGRADED", *["HELD"] * 11, "DOWNGRADED"],
        ),
    ],
)
def test_a_preset_decides_as_its_bank_publishes(
    name: str, life: list[int], told: list[str]
) -> None:
    """A life of months, each at one balance, is decided as the bank's rule says."""
    programme = preset(name)
    sums = dict[Month, MonthSum]()
    for index, level in enumerate(life):
        month = FIRST.plus(index)
        sums[month] = MonthSum(month, level * 100 * month.days, month.days)
    rules = Rules((Judge(1, FIRST, programme),))
    decisions = fold(rules, {programme.basket: sums}, max(sums))
    assert told == [each.cause.value for each in decisions]


def test_standard_chartereds_ways_have_a_years_term_each() -> None:
    """T-2: salary from February to August 2025: priority for the year, and no longer."""
    programme = preset("standard_chartered")
    salary = Label("salary", Layer.FACT, date(2025, 2, 10), date(2025, 9, 1))
    mortgage = Label("mortgage", Layer.FACT, date(2026, 2, 1), None)
    rules = Rules((Judge(1, FIRST, programme),))
    life = {
        each: MonthSum(each, 0, each.days) for each in (FIRST.plus(index) for index in range(14))
    }
    counted, last = {programme.basket: life}, max(life)
    got = fold(rules, counted, last, labels=[salary])
    told = ["RETAINED", "UPGRADED", *["RETAINED"] * 6, *["HELD"] * 5, "DOWNGRADED"]
    assert told == [each.cause.value for each in got]
    assert ("SALARY", date(2026, 3, 1)) == (got[1].after.way, got[1].after.lock_until)
    kept = fold(rules, counted, last, labels=[salary, mortgage])[-1]
    assert ("RETAINED", "MORTGAGE") == (kept.cause.value, kept.after.way)
    assert (
        "reached by a mortgage with us: your tier stays Priority" in explain(programme, kept)["en"]
    )


def test_the_industrial_preset_weighs_classes() -> None:
    """A-3: 300,000 of deposits, 200,000 of wealth and 100,000 of funds are 510,000: Platinum."""
    basket, month = preset("industrial").basket, FIRST
    level = {"DEPOSIT": 300_000_00, "WEALTH": 200_000_00, "FUND": 100_000_00}
    weights = zip(basket.classes, basket.weights, strict=True)
    total = sum(level[code] * weight for code, weight in weights) * month.days
    rules = Rules((Judge(1, FIRST, preset("industrial")),))
    (decision,) = fold(rules, {basket: {month: MonthSum(month, total, month.days)}}, month)
    assert (2, 510_000_00 * 31) == (decision.qualified, decision.sum_minor)


@pytest.mark.parametrize(
    ("fund", "loan", "told"),
    [
        (4_000_000, 0, (4, "ASSETS")),
        (3_999_999, 0, (3, "")),
        (4_500_000, 500_000, (4, "ASSETS")),
        (4_500_000, 500_001, (3, "")),
    ],
)
def test_industrials_top_tier_weighs_nothing_and_is_net(
    fund: int, loan: int, told: tuple[int, str]
) -> None:
    """A-3, A-8, T-2: deposits of 2 million, funds of 4 million: 4 million weighted, and enough."""
    programme, month = preset("industrial"), FIRST
    level = {"DEPOSIT": 2_000_000_00, "WEALTH": 0, "FUND": fund * 100, "LOAN": loan * 100}
    sums = {
        basket: {
            month: MonthSum(
                month,
                sum(level[c] * w for c, w in zip(basket.classes, basket.weights, strict=True))
                * 31,
                31,
            )
        }
        for basket in programme.baskets
    }
    assert 2 == len(sums)
    (decision,) = fold(Rules((Judge(1, FIRST, programme),)), sums, month)
    assert told == (decision.after.rank, decision.after.way)
    (other,) = decision.grounds.others
    assert (2_000_000 + fund - loan) * 100 * 31 == other.sum_minor


def test_dbs_reads_the_last_business_day() -> None:
    """M-6: 350,000 on Friday 29 August 2025 is Treasures, for a month."""
    programme, august = preset("dbs"), Month(2025, 8)
    calendar = Calendar({date(2025, 8, 9): DayKind.HOLIDAY})
    september = august.plus(1)
    sums: dict[Piece, MonthSum] = {
        august: MonthSum(august, 0, 31),
        Stretch(august, 29, 29): MonthSum(august, 350_000_00, 1),
        september: MonthSum(september, 0, 30),
        Stretch(september, 30, 30): MonthSum(september, 349_999_99, 1),
    }
    rules = Rules((Judge(1, FIRST, programme, calendar),))
    decisions = fold(rules, {programme.basket: sums}, september)
    assert ["UPGRADED", "DOWNGRADED"] == [each.cause.value for each in decisions]
    assert (
        "30 September 2025, last business day of the month: balance 349,999.99"
        in (explain(programme, decisions[1])["en"])
    )


def test_chase_averages_opening_balances() -> None:
    """M-7: the last of May opens June; what comes on 30 June opens July."""
    programme, june = preset("chase"), Month(2025, 6)
    may = june.plus(-1)
    sums: dict[Piece, MonthSum] = {
        may: MonthSum(may, 10**12, 31),
        Stretch(may, 31, 31): MonthSum(may, 75_000_00, 1),
        june: MonthSum(june, 10**12, 30),
        Stretch(june, 1, 29): MonthSum(june, 29 * 75_000_00, 29),
    }
    rules = Rules((Judge(1, FIRST, programme),))
    decision = fold(rules, {programme.basket: sums}, june, first=june)[-1]
    assert (1, 30 * 75_000_00, 30) == (decision.qualified, decision.sum_minor, decision.known_days)
    told = explain(programme, decision)
    assert "June 2025 daily average of opening balances 75,000.00" in told["en"]
    assert "2025年6月日初余额日均75,000.00" in told["zh"]


def test_hsbc_china_values_insurance_on_one_business_day() -> None:
    """A-3: 26 June 2025 is the third last: a policy in force by then counts for all of June."""
    programme, june = preset("hsbc_china"), Month(2025, 6)
    calendar = Calendar({date(2025, 6, 2): DayKind.HOLIDAY})
    valued = Point(Stretch(june, 26, 26))
    sums: dict[Kept, MonthSum] = {
        june: MonthSum(june, 30 * 300_000_00, 30),
        valued: MonthSum(june, 200_000_00, 1),
    }
    rules = Rules((Judge(1, FIRST, programme, calendar),))
    (decision,) = fold(rules, {programme.basket: sums}, june)
    assert (1, 30 * 500_000_00) == (decision.qualified, decision.sum_minor)
    told = explain(programme, decision)
    assert "(30 of 30 days known, INSURANCE as of 26 June 2025)" in told["en"]
    assert "（已知30/30天，INSURANCE按2025年6月26日余额计）" in told["zh"]
    sums[valued] = MonthSum(june, 0, 1)
    (decision,) = fold(rules, {programme.basket: sums}, june)
    assert 0 == decision.qualified
    elsewhere = Label("premier_elsewhere", Layer.FACT, date(2025, 6, 10), None)
    (decision,) = fold(rules, {programme.basket: sums}, june, labels=[elsewhere])
    assert (1, "ELSEWHERE") == (decision.qualified, decision.after.way)
