"""The presets can be read, and decide as their banks publish it."""

from collections.abc import Mapping
from datetime import date, timedelta

import pytest

from benefits.domain.catalogue import Judge, Rules
from benefits.domain.explanation import explain
from benefits.domain.metrics import Basket, MonthSum
from benefits.domain.programme import Programme
from benefits.domain.tiers import fold
from benefits.domain.values import Month
from benefits.domain.windows import Kept, Point, point, window
from tests.presets import FIRST, FOLDER, LIVES, Life, preset


def counted(life: Life, programme: Programme) -> dict[Basket, dict[Kept, MonthSum]]:
    """Return what is kept of a life's balances: sums of months, and of the days windows need."""
    minor = 10**programme.minor_digits
    balances = {
        day: {code: int(amount * minor) for code, amount in classes.items()}
        for day, classes in life.balances()
    }
    policy, calendar = programme.policy, life.calendar
    pieces = set[Kept]()
    for month in {Month.of(day) for day in balances}:
        found = window(policy, month, calendar)
        pieces |= {month, *(found.pieces if found else ())}
        pieces |= {one for one in [point(policy, month, calendar)] if one is not None}
    return {of: {piece: _sum(of, piece, balances) for piece in pieces} for of in programme.baskets}


def _sum(of: Basket, piece: Kept, balances: Mapping[date, Mapping[str, int]]) -> MonthSum:
    """Sum the days of a piece as a basket weighs them; on one below zero there is nothing."""
    each = of.points if isinstance(piece, Point) else of.weights
    weights = dict(zip(of.classes, each, strict=True))
    days = [
        balances[day]
        for day in (piece.month.start + timedelta(days=n) for n in range(piece.month.days))
        if piece.bits >> (day.day - 1) & 1 and day in balances
    ]
    total = sum(max(sum(n * weights.get(code, 0) for code, n in day.items()), 0) for day in days)
    return MonthSum(piece.month, total, len(days))


@pytest.mark.parametrize("life", LIVES, ids=lambda life: f"{life.preset}: {life.name}")
def test_a_preset_decides_as_its_bank_publishes(life: Life) -> None:
    """A life of months is decided as the bank's rule says, and told."""
    programme = preset(life.preset)
    rules = Rules((Judge(1, life.since, programme, life.calendar),))
    decisions = fold(
        rules, counted(life, programme), life.months[-1], labels=life.labels, first=life.since
    )
    assert list(life.told) == [each.cause.value for each in decisions]
    last = decisions[-1]
    assert (life.tier, life.way) == (programme.tier[last.after.rank].code, last.after.way)
    told = explain(programme, last)
    assert life.en in told["en"]
    assert life.zh in told["zh"]


def test_every_preset_has_a_life() -> None:
    """What a preset's file says is held by what it decides."""
    assert {path.stem for path in FOLDER.glob("*.toml")} == {life.preset for life in LIVES}


def test_standard_chartereds_ways_have_a_years_term_each() -> None:
    """T-2: a salary that is known on the last of February holds through February."""
    (life,) = (one for one in LIVES if "a salary from" in one.name)
    programme = preset(life.preset)
    rules = Rules((Judge(1, FIRST, programme),))
    got = fold(rules, counted(life, programme), life.months[-1], labels=life.labels)
    assert ("SALARY", date(2026, 3, 1)) == (got[1].after.way, got[1].after.lock_until)
