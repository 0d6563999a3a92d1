"""What a month that was decided wrongly kept from a member is made good, once (A-7, L-9)."""

from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.domain.benefit import Consumed
from benefits.domain.blocks import Scope, Why
from benefits.domain.orders import Done
from benefits.domain.packages import Line, LinePeriod, Start
from benefits.domain.programme import Programme
from benefits.domain.recurring import Missing, Recurring
from benefits.domain.stacking import StackBy, Stacking
from benefits.domain.values import Month
from tests.actions.agreeing import agreed, block
from tests.actions.life import call_back, claimed, number_of, wish
from tests.actions.test_costs import told as cost
from tests.actions.test_evaluate import PLATINUM, RICH, rank
from tests.actions.test_evaluate_again import QUARTER, corrected
from tests.builders import World, reference_programme

POOR = 60_000_00
LEVELS = {"2024-12": RICH, **dict(QUARTER), "2025-04": RICH}
VIDEO = reference_programme().line[1]


def promising(*lines: Line, days: int | None = 30, **more: Any) -> Programme:
    """Return the programme with such lines, of which what was missed is made good."""
    plain = reference_programme()
    policy = msgspec.structs.replace(plain.policy, make_good_days=days)
    return msgspec.structs.replace(plain, policy=policy, line=lines or plain.line, **more)


async def wronged(world: World, programme: Programme, levels: dict[str, int] = LEVELS) -> UUID:
    """Return a member who lost platinum on 1 April by three misses, of which one was none."""
    await world.apply(programme, tiers_from=Month(2024, 1))
    member = await world.member()
    for month, level in levels.items():
        world.clock.now = datetime.combine(Month.parse(month).end, time(2), UTC)
        await world.month(world.name(1), month, level)
        await world.evaluate(month, member)
    return member


async def again(world: World, member: UUID, levels: dict[str, int] = LEVELS) -> int:
    """Evaluate all months once more, in their order; return how many grants that makes."""
    world.clock.forward(hours=1)
    return sum([(await world.evaluate(month, member)).grants for month in levels])


async def granted(world: World, *causes: str) -> list[tuple[Any, ...]]:
    """Return what was granted for April and May, with the quotas reached."""
    found = await world.rows(
        "SELECT line, period, cause, quota::int AS quota, quantity::int AS quantity "
        "FROM entitlement_grant WHERE period IN ('2025-04', '2025-05', '2025-Q2') "
        "AND (cause = ANY($1) OR $1 = '{}') ORDER BY period, line, cause, quota",
        list(causes),
    )
    return [tuple(row) for row in found]


async def test_a_period_that_is_over_is_made_good_once(world: World) -> None:
    """G-CORR-1, L-9: April had gold's one video instead of two; the running periods are topped up.

    It lives days of its own, counts against no cap, and is told as made good.
    """
    levels = {**LEVELS, "2025-04": POOR}
    member = await wronged(world, promising(), levels)
    world.clock.now = datetime(2025, 5, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00)
    assert 3 == await again(world, member, levels)
    assert [
        ("video", "2025-04", "MAKE_GOOD", 1, 1),
        ("video", "2025-04", "TIER", 1, 1),
        ("video", "2025-05", "TIER", 1, 1),
        ("video", "2025-05", "TIER", 2, 1),
        ("lounge", "2025-Q2", "TIER", 2, 2),
    ] == await granted(world)
    ((line, expires_at),) = await world.rows(
        "SELECT line, expires_at FROM lot WHERE cause = 'MAKE_GOOD'"
    )
    assert ("video", datetime(2025, 6, 5, 16, tzinfo=UTC)) == (line, expires_at)
    assert PLATINUM == await rank(world, member)
    assert 0 == await again(world, member, levels)
    await claimed(world, *(wish(member) for _ in range(3)))  # the cap is two a month
    assert [] == await world.findings()


async def test_nothing_is_made_good_unless_the_policy_says_so(world: World) -> None:
    """It is off by default: the gap stays a gap."""
    member = await wronged(world, promising(days=None))
    world.clock.now = datetime(2025, 5, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00)
    await again(world, member)
    assert [] == await granted(world, "MAKE_GOOD")


async def test_a_period_that_runs_is_topped_up_as_ever(world: World) -> None:
    """P-4: on 6 April the gap is of five days, and April gets what it lacks with its quota."""
    levels = {month: level for month, level in LEVELS.items() if month != "2025-04"}
    member = await wronged(world, promising(), levels)
    world.clock.now = datetime(2025, 4, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00)
    await again(world, member, levels)
    assert [
        ("video", "2025-04", "TIER", 1, 1),
        ("video", "2025-04", "TIER", 2, 1),
        ("lounge", "2025-Q2", "TIER", 2, 2),
    ] == await granted(world)
    world.clock.now = datetime(2025, 5, 6, 2, tzinfo=UTC)
    await again(world, member, levels)
    assert [] == await granted(world, "MAKE_GOOD")


async def test_a_period_whose_tier_is_not_decided_is_not_made_good(world: World) -> None:
    """T-3: in July May is not evaluated yet, so nobody knows what June was to bring.

    What the quarter lacks by its first months is lacking whatever June comes to.
    """
    member = await wronged(world, promising(), {**LEVELS, "2025-04": POOR})
    world.clock.now = datetime(2025, 7, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00)
    for _ in range(2):
        await again(world, member)
        found = await world.rows(
            "SELECT period, sum(quantity)::int FROM entitlement_grant "
            "WHERE period >= '2025-04' AND period <> '2025-Q1' GROUP BY 1 ORDER BY 1"
        )
        assert [("2025-04", 2), ("2025-05", 2), ("2025-Q2", 2)] == [tuple(one) for one in found]
    assert [] == await world.findings()


async def test_a_day_whose_units_still_come_is_not_made_good_too(world: World) -> None:
    """P-10: what 31 May brings lives on, so it comes with April's evaluation, as ever."""
    day = msgspec.structs.replace(
        VIDEO,
        code="day",
        period=LinePeriod.OCCURRENCE,
        on=Recurring(day=31),
        missing=Missing.LAST_DAY,
        valid_days=30,
        start=Start.PERIOD,
    )
    member = await wronged(world, promising(day), {**LEVELS, "2025-04": POOR})
    world.clock.now = datetime(2025, 6, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00)
    for _ in range(2):
        await again(world, member)
        found = await world.rows(
            "SELECT period, cause, sum(quantity)::int FROM entitlement_grant "
            "WHERE period >= '2025-04' GROUP BY 1, 2 ORDER BY 1"
        )
        came = [tuple(one) for one in found]
        assert [("2025-04-30", "MAKE_GOOD", 2), ("2025-05-31", "TIER", 2)] == came
    assert [] == await world.findings()


async def test_more_that_turns_out_to_be_right_comes_on_top(world: World) -> None:
    """Never more than the net quota: March is diamond by another correction, three videos."""
    member = await wronged(world, promising(VIDEO))
    world.clock.now = datetime(2025, 5, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00)
    await again(world, member)
    await corrected(world, "2025-03", 5_200_000_00)
    await again(world, member)
    assert [
        ("video", "2025-04", "MAKE_GOOD", 1, 1),
        ("video", "2025-04", "MAKE_GOOD", 2, 1),
    ] == await granted(world, "MAKE_GOOD")
    assert [] == await world.findings()


async def test_a_month_that_is_decided_late_is_no_correction(world: World) -> None:
    """April is over when March is decided first: nobody decided anything wrongly."""
    await world.apply(promising(), tiers_from=Month(2024, 1))
    member = await world.member()
    await world.month(world.name(1), "2025-03", RICH)
    world.clock.now = datetime(2025, 5, 6, 2, tzinfo=UTC)
    await world.evaluate("2025-03", member)
    assert PLATINUM == await rank(world, member)
    assert [] == await granted(world, "MAKE_GOOD")


async def test_a_frozen_member_gets_nothing(world: World) -> None:
    """E-6: a freeze withholds it as it does all units, and what is over then is lost."""
    member = await wronged(world, promising())
    world.clock.now = datetime(2025, 5, 6, 2, tzinfo=UTC)
    await agreed(world, block(member, Scope.ALL, Why.LEGAL_FREEZE))
    await corrected(world, "2025-02", 505_000_00)
    await again(world, member)
    assert [] == await granted(world, "MAKE_GOOD")


@pytest.mark.parametrize(
    ("stacking", "expected"),
    [
        (Stacking(), [("more", 2), ("video", 1)]),
        (Stacking(cap=3), [("video", 1)]),
        (Stacking(by=StackBy.MAX), [("more", 1), ("video", 1)]),
        (Stacking(by=StackBy.PRIORITY), [("video", 1)]),
    ],
)
async def test_lines_that_stack_are_made_good_as_they_stack(
    world: World, stacking: Stacking, expected: list[tuple[str, int]]
) -> None:
    """P-7: gold's one and one become platinum's two and three, as far as the benefit lets them."""
    lounge, video = reference_programme().benefit
    more = msgspec.structs.replace(
        VIDEO, code="more", quota={"GOLD": 1, "PLATINUM": 3}, priority=1
    )
    stacks = msgspec.structs.replace(video, stacking=stacking)
    member = await wronged(world, promising(VIDEO, more, benefit=(lounge, stacks)))
    world.clock.now = datetime(2025, 5, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00)
    await again(world, member)
    found = [(line, quantity) for line, *_, quantity in await granted(world, "MAKE_GOOD")]
    assert expected == found
    assert 0 == await again(world, member)
    assert [] == await world.findings()


async def test_what_it_costs_is_the_lines(world: World) -> None:
    """P-7: the cost centre is that of the line whose period lacked it."""
    lounge, video = reference_programme().benefit
    free = msgspec.structs.replace(video, consumed=Consumed.ISSUE, recipient=())
    line = msgspec.structs.replace(VIDEO, quota={"PLATINUM": 2}, cost_centre="CC-TIERS")
    programme = promising(line, benefit=(lounge, free))
    member = await wronged(world, programme, {**LEVELS, "2025-04": 1})
    world.clock.now = datetime(2025, 5, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00)
    await world.evaluate("2025-03", member)
    assert [("video", "2025-04", "MAKE_GOOD", 2, 2)] == await granted(world)
    (claim_id,) = await claimed(world, wish(member, recipient={}))
    await call_back(world, await number_of(world, claim_id), Done(at=world.clock(), reference="R"))
    assert [("CC-TIERS", "video", "VIDEO", "15.00")] == [
        (*of, str(amount)) for *of, amount in await cost(world, Month(2025, 5))
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"period": LinePeriod.QUARTER}, [("2025-Q1", 2)]),
        ({"period": LinePeriod.YEAR}, []),
        ({"period": LinePeriod.ONCE, "valid_days": 30}, []),
    ],
)
async def test_periods_of_every_kind_are_made_good_once_they_are_over(
    world: World, line: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    """Platinum was right from 1 February on; what runs or is never over is topped up."""
    visits = Line(code="visits", benefit="LOUNGE", quota={"PLATINUM": 2}, **line)
    levels = {"2025-01": POOR, "2025-02": POOR, "2025-03": POOR}
    member = await wronged(world, promising(visits), levels)
    world.clock.now = datetime(2025, 4, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-01", RICH)
    await again(world, member, levels)
    found = await world.rows(
        "SELECT period, quantity::int AS quantity FROM entitlement_grant "
        "WHERE cause = 'MAKE_GOOD' ORDER BY period"
    )
    assert expected == [tuple(row) for row in found]
    assert [] == await world.findings()
