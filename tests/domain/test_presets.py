"""The presets can be read, and decide as their banks publish it."""

from pathlib import Path

import pytest

import benefits
from benefits.domain.catalogue import Judge, Programme, Rules, read
from benefits.domain.metrics import MonthSum
from benefits.domain.tiers import fold
from benefits.domain.values import Month

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


def test_the_industrial_preset_weighs_classes() -> None:
    """A-3: 300,000 of deposits, 200,000 of wealth and 100,000 of funds are 510,000: Platinum."""
    basket, month = preset("industrial").basket, FIRST
    level = {"DEPOSIT": 300_000_00, "WEALTH": 200_000_00, "FUND": 100_000_00}
    weights = zip(basket.classes, basket.weights, strict=True)
    total = sum(level[code] * weight for code, weight in weights) * month.days
    rules = Rules((Judge(1, FIRST, preset("industrial")),))
    (decision,) = fold(rules, {basket: {month: MonthSum(month, total, month.days)}}, month)
    assert (2, 510_000_00 * 31) == (decision.qualified, decision.sum_minor)
