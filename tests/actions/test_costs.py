"""What a month cost, by the line that brought the units and its cost centre (P-7)."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from benefits.actions.close_month import close_month
from benefits.actions.report import costs
from benefits.domain.benefit import Consumed
from benefits.domain.orders import Done, Reversed, Used
from benefits.domain.packages import Line
from benefits.domain.values import Month
from tests.actions.life import call_back, claimed, gift, give, number_of, wish
from tests.actions.test_stacking import GOLD, TIERS, label, of_label, start, tier
from tests.builders import World, reference_programme

JULY = Month(2025, 7)


async def offered(world: World, *lines: Line) -> None:
    """Let a lounge visit take two units and cost 38.01; payroll has a cost centre of its own."""
    programme = reference_programme()
    lounge, *others = programme.benefit
    shared = replace(
        lounge, takes=Decimal(2), cost=Decimal("38.01"), consumed=Consumed.USE, recipient=()
    )
    await world.apply(replace(programme, benefit=(shared, *others), line=lines))


async def told(world: World, month: Month = JULY) -> list[tuple[Any, ...]]:
    """Return cost centre, line, benefit and amount of a month's costs."""
    async with world.database.transaction() as conn:
        found = await costs(conn, world.parts, month)
    return [(one.cost_centre, one.line, one.benefit, one.spent) for one in found.lines]


async def used(world: World, member: UUID) -> str:
    """Claim a visit and use it; return the order's number."""
    (claim_id,) = await claimed(world, wish(member, "LOUNGE", recipient={}))
    number = await number_of(world, claim_id)
    now = world.clock()
    await call_back(world, number, Done(at=now, reference=number, code="C"), Used(at=now))
    return number


async def test_what_a_claim_cost_is_shared_among_the_lines_that_paid(world: World) -> None:
    """To the last minor unit; what comes back is taken off in the month in which it does."""
    payroll = replace(of_label("payroll", 1), cost_centre="CC-PAY")
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await offered(world, replace(TIERS, quota={"GOLD": 1}), payroll)
    member = await world.member()
    await label(world, 1, "payroll")
    await tier(world, member, GOLD)
    await start(world)
    number = await used(world, member)
    found = await told(world)
    assert [("CC-PAY", "payroll", "LOUNGE"), ("lounge", "tiers", "LOUNGE")] == [
        one[:3] for one in found
    ]
    assert ["19.00", "19.01"] == sorted(amount for *_, amount in found)
    await give(world, gift(member, "LOUNGE", quantity=2))
    await used(world, member)
    assert ("lounge", "", "LOUNGE", "38.01") == (await told(world))[1]
    before = await told(world)
    world.clock.now = datetime(2025, 8, 2, 2, tzinfo=UTC)
    await close_month(world.database, world.parts, JULY, actor="system:close-month:anna")
    await call_back(world, number, Reversed(at=world.clock()))
    assert before == await told(world)
    august = await told(world, Month(2025, 8))
    assert [(*of, f"-{amount}") for *of, amount in found] == august
    world.clock.forward(hours=1)
    await offered(world, replace(TIERS, quota={"GOLD": 1}))
    assert before == await told(world)
    assert [] == await world.findings()
