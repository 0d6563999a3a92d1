"""What a month cost, by the line that brought the units and its cost centre (P-7)."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from benefits.actions.close_month import close_month
from benefits.actions.report import costs
from benefits.domain.benefit import Consumed, Settled
from benefits.domain.corrections import Kind
from benefits.domain.orders import Done, Expired, Reversed, Used
from benefits.domain.packages import Line
from benefits.domain.values import Month
from tests.actions.desk import correct
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


async def holder_of_both(world: World) -> UUID:
    """Return a golden member of the payroll to whom the lines have brought their units."""
    member = await world.member()
    await label(world, 1, "payroll")
    await tier(world, member, GOLD)
    await start(world)
    return member


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
    member = await holder_of_both(world)
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


async def test_what_is_not_paid_after_all_is_taken_off_what_it_was_for(world: World) -> None:
    """Of three pieces of two lines one was used: no unit moves, and each line pays a third."""
    payroll = replace(of_label("payroll", 2), benefit="VIDEO", cost_centre="CC-PAY")
    lines = (replace(TIERS, benefit="VIDEO", quota={"GOLD": 1}), payroll)
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    programme = reference_programme()
    lounge, video = programme.benefit
    video = replace(video, cap=None, settled=Settled.USE)
    await world.apply(replace(programme, benefit=(lounge, video), line=lines))
    member = await holder_of_both(world)
    (claim_id,) = await claimed(world, wish(member, quantity=3))
    number = await number_of(world, claim_id)
    await call_back(world, number, Done(at=world.clock(), reference=number, code="C"))
    paid = [
        ("CC-PAY", "payroll", "VIDEO", "30.00"),
        ("video", "tiers", "VIDEO", "15.00"),
    ]
    assert paid == await told(world)
    world.clock.now = datetime(2025, 8, 2, 2, tzinfo=UTC)
    await close_month(world.database, world.parts, JULY, actor="system:close-month:anna")
    await call_back(world, number, Expired(at=world.clock(), used=1))
    assert paid == await told(world)
    assert [
        ("CC-PAY", "payroll", "VIDEO", "-20.00"),
        ("video", "tiers", "VIDEO", "-10.00"),
    ] == await told(world, Month(2025, 8))
    assert [] == await world.findings()


async def test_a_piece_that_comes_back_is_taken_off_the_lines_of_its_units(world: World) -> None:
    """Two of six units: what each line paid for them, in the month in which they come back."""
    payroll = replace(of_label("payroll", 3), cost_centre="CC-PAY")
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await offered(world, replace(TIERS, quota={"GOLD": 3}), payroll)
    member = await holder_of_both(world)
    (claim_id,) = await claimed(world, wish(member, "LOUNGE", quantity=3, recipient={}))
    number, now = await number_of(world, claim_id), world.clock()
    await call_back(world, number, Done(at=now, reference=number, code="C"), Used(at=now))
    before = await told(world)
    assert ["57.01", "57.02"] == sorted(amount for *_, amount in before)
    world.clock.now = datetime(2025, 8, 2, 2, tzinfo=UTC)
    await close_month(world.database, world.parts, JULY, actor="system:close-month:anna")
    assert "ok" == await correct(world, Kind.REVERSE, member, 2, claim_id=claim_id)
    assert before == await told(world)
    august = await told(world, Month(2025, 8))
    assert Decimal("-76.02") == sum(Decimal(amount) for *_, amount in august)
    lots = await world.rows(
        "SELECT l.line, sum(p.amount)::int AS units FROM posting AS p "
        "JOIN lot AS l USING (lot_id) "
        "WHERE p.debit = 'redeemed' AND p.credit = 'available' GROUP BY 1"
    )
    assert {line for _, line, *_ in august} == {row.line for row in lots}
    assert 4 == sum(row.units for row in lots)
    assert [] == await world.findings()
