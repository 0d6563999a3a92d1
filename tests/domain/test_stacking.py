"""Stacking: what lines of one benefit bring together, whatever came first (P-7)."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain.carry import Carry
from benefits.domain.labels import Layer
from benefits.domain.packages import Downgrade, Line, LinePeriod, Segment, Start, UpgradePolicy
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.stacking import (
    Allotted,
    Fall,
    Share,
    StackBy,
    Stacking,
    allot,
    settle,
    stack_problems,
)
from benefits.domain.terms import changes
from tests.builders import PROGRAMME, reference_programme

SUM, MAX, PRIORITY = StackBy
CAR_WASH = [Share(2, 0), Share(2, 0), Share(1, 0)]  # gold, payroll, car owner


@pytest.mark.parametrize(
    ("by", "cap", "expected"),
    [
        (SUM, None, [2, 2, 1]),
        (SUM, 4, [2, 2, 0]),
        (MAX, None, [2, 0, 0]),
        (PRIORITY, None, [2, 0, 0]),
    ],
)
def test_g_stack_1_car_washes(by: StackBy, cap: int | None, expected: list[int]) -> None:
    """G-STACK-1: 5; 4 without the unit of the lowest priority; 2; 2, the tier's."""
    assert expected == allot(by, CAR_WASH, 0, cap=cap)


def test_of_the_largest_the_first_by_priority_brings_it() -> None:
    """P-7: and a larger one whatever its priority; only the rest of what is there."""
    assert [0, 3, 0] == allot(MAX, [Share(2, 0), Share(3, 0), Share(3, 0)], 0, cap=None)
    assert [0, 1, 0] == allot(MAX, [Share(2, 2), Share(3, 0), Share(3, 0)], 2, cap=None)
    assert [0, 0] == allot(PRIORITY, [Share(2, 0), Share(5, 3)], 3, cap=None)
    assert [] == allot(PRIORITY, [], 3, cap=None)


@pytest.mark.parametrize(
    ("by", "cap", "expected"),
    [
        (SUM, 4, [Allotted(1, 0), Allotted(0, 2)]),
        (MAX, None, [Allotted(0, 0), Allotted(0, 2)]),
        (PRIORITY, None, [Allotted(1, 0), Allotted(0, 0)]),
    ],
)
def test_a_fall_leaves_what_would_come_again(
    by: StackBy, cap: int | None, expected: list[Allotted]
) -> None:
    """P-6, P-7: four of the tier's, one used, and it falls to two, beside payroll's three."""
    shares = [Share(2, 1, Fall(free=3, gone=1)), Share(3, 0)]
    assert expected == settle(by, shares, 1, cap=cap)


def test_what_others_brought_stays_and_counts() -> None:
    """P-6, P-7: payroll's three came first, so the tier brought one more: that one goes."""
    shares = [Share(2, 0, Fall(free=1, gone=0)), Share(3, 3)]
    assert [Allotted(0, 0)] * 2 == settle(MAX, shares, 3, cap=None)


# A moment: what each of three lines would bring then; 0 where it does not apply.
moments = st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=6)
ways = st.sampled_from([(SUM, None), (SUM, 4), (SUM, 9), (MAX, None), (PRIORITY, None)])


def lived(by: StackBy, cap: int | None, life: Sequence[Sequence[int]]) -> list[int]:
    """Live through moments, asking twice at each; return what each line brought."""
    net = [0, 0, 0]
    for moment in [each for each in life for _ in range(2)]:
        applying = [n for n, quota in enumerate(moment) if quota]
        shares = [Share(moment[n], net[n]) for n in applying]
        for n, more in zip(applying, allot(by, shares, sum(net), cap=cap), strict=True):
            net[n] += more
    return net


def best(by: StackBy, cap: int | None, life: Sequence[Sequence[int]]) -> int:
    """Return what the lines bring together at best."""
    if by is SUM:
        whole: int = sum(max(column) for column in zip(*life, strict=True))
        return whole if cap is None else min(whole, cap)
    if by is MAX:
        return max(quota for moment in life for quota in moment)
    return max(next((quota for quota in moment if quota), 0) for moment in life)


@given(ways, moments, st.randoms())
def test_the_whole_is_what_the_best_moment_brings(
    way: tuple[StackBy, int | None], life: list[tuple[int, ...]], chance: Random
) -> None:
    """P-7: whatever rises, falls, joins and leaves in which order; asked again nothing comes."""
    by, cap = way
    assert best(by, cap, life) == sum(lived(by, cap, life))
    shuffled = list(life)
    chance.shuffle(shuffled)
    assert sum(lived(by, cap, life)) == sum(lived(by, cap, shuffled))


@given(ways, moments)
def test_no_line_brings_more_than_its_own(
    way: tuple[StackBy, int | None], life: list[tuple[int, ...]]
) -> None:
    """P-4, P-7: each lot stays its line's, below the highest quota that it had."""
    for brought, quotas in zip(lived(*way, life), zip(*life, strict=True), strict=True):
        assert 0 <= brought <= max(quotas)


PAYROLL = Segment(label="payroll", layer=Layer.FACT, name={"zh": "代发客户", "en": "Payroll"})
TIERS = Line(
    code="tiers", benefit="LOUNGE", period=LinePeriod.MONTH, quota={"GOLD": 2}, start=Start.PERIOD
)
PAID = replace(TIERS, code="paid", quota={}, segment=PAYROLL, quantity=2)


@pytest.mark.parametrize("stacking", [Stacking(cap=4), Stacking(by=MAX), Stacking(by=PRIORITY)])
def test_lines_that_stack_have_a_place_and_a_period(stacking: Stacking) -> None:
    """P-7: what cannot be defined is refused by its path; tiers come before segments."""
    lines = [
        TIERS,
        replace(PAID, priority=0),
        replace(PAID, code="year", period=LinePeriod.YEAR),
        replace(TIERS, code="late", start=Start.EVALUATION, priority=3),
        replace(TIERS, code="full", upgrade=UpgradePolicy.FULL, priority=4),
        replace(TIERS, code="carried", carry=Carry(periods=1, cap=9), priority=5),
    ]
    assert [
        "line[1].priority: 'paid' and 'tiers' stack and have the same, 0; say which comes first",
        "line[2].period: 'year' and 'tiers' stack, so they share all of it",
        "line[3].start: 'late' and 'tiers' stack, so they start together",
        "line[4].upgrade: lines that stack are TOP_UP, not FULL",
        "line[5].carry: what lines that stack brought is not carried over",
    ] == list(stack_problems(stacking, list(enumerate(lines))))
    assert [] == list(stack_problems(stacking, [(0, TIERS), (1, PAID)]))
    taken = replace(TIERS, downgrade=Downgrade.REVOKE_ALL)
    assert [] == list(stack_problems(stacking, [(0, taken), (1, PAID)]))
    assert [] == list(stack_problems(stacking, []))
    assert [] == list(stack_problems(Stacking(), list(enumerate(lines))))


LOUNGE = 'sku = "lounge-visit"'


@pytest.mark.parametrize(
    ("stacking", "problem"),
    [
        ('{ by = "MAX", cap = 4 }', "benefit[0].stacking.cap: only a SUM is capped"),
        ("{ cap = 0 }", "benefit[0].stacking.cap: must be between 1 and"),
    ],
)
def test_a_cap_is_a_sums(stacking: str, problem: str) -> None:
    """P-7: of whole units."""
    with pytest.raises(ProgrammeInvalid) as caught:
        read(PROGRAMME.replace(LOUNGE, f"{LOUNGE}\nstacking = {stacking}"))
    assert problem in caught.value.detail


@pytest.mark.parametrize(
    ("before", "after", "path", "is_worse"),
    [
        (Stacking(), Stacking(cap=4), "cap", True),
        (Stacking(cap=4), Stacking(cap=3), "cap", True),
        (Stacking(cap=4), Stacking(cap=5), "cap", False),
        (Stacking(cap=4), Stacking(), "cap", False),
        (Stacking(), Stacking(by=MAX), "by", True),
        (Stacking(by=PRIORITY), Stacking(by=MAX), "by", False),
    ],
)
def test_what_brings_less_together_is_worse(
    before: Stacking, after: Stacking, path: str, *, is_worse: bool
) -> None:
    """P-7, U-2: a new or lower cap, and the largest instead of all."""
    programme = reference_programme()
    lounge, *others = programme.benefit
    one, other = (
        replace(programme, benefit=(replace(lounge, stacking=each), *others))
        for each in (before, after)
    )
    (change,) = changes(one, other)
    assert (f"benefit.LOUNGE.stacking.{path}", is_worse) == (change.path, change.is_worse)
