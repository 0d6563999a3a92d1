"""Of several pieces some come: those are the member's, and the units of the others come back."""

from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.benefit import Settled
from benefits.domain.orders import (
    Done,
    Expired,
    Operation,
    Outcome,
    PartlyUsed,
    Reason,
    Rejected,
    Used,
)
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    holder,
    lease,
    number_of,
    record,
    states,
    wallet,
    wish,
)
from tests.builders import NOON, World, reference_programme

ONE, TWO, ALL = (Done(at=NOON, delivered=1), Done(at=NOON, delivered=2), Done(at=NOON))
PART, USED, END = PartlyUsed(at=NOON, used=1), Used(at=NOON), Expired(at=NOON)
GONE = Rejected(Reason.STOCK_OUT, "sold_out")
CASES = "SELECT kind FROM case_file"


LIVES: list[tuple[str, list[Outcome], tuple[Any, ...], int]] = [
    ("VIDEO", [ONE, ONE, GONE], ("ISSUED", 1, 2, 2, 0, 1), 1),
    ("VIDEO", [ONE, TWO, ONE], ("ISSUED", 2, 1, 1, 0, 2), 2),
    ("VIDEO", [ONE, ALL, ONE], ("ISSUED", 3, 0, 0, 0, 3), 3),
    ("VIDEO", [ALL, ONE], ("ISSUED", 3, 0, 0, 0, 3), 3),
    ("VIDEO", [GONE, ONE, ALL], ("ISSUED", 3, 0, 0, 0, 3), 3),
    ("VIDEO", [TWO, PART, END], ("EXPIRED", 2, 1, 1, 0, 2), 1),
    ("LOUNGE", [TWO, USED], ("REDEEMED", 2, 1, 1, 0, 2), 2),
    ("LOUNGE", [ONE, USED, ALL], ("PARTLY_REDEEMED", 3, 0, 0, 3, 0), 0),
    ("LOUNGE", [GONE, TWO, ALL], ("ISSUED", 3, 0, 0, 3, 0), 0),
    ("LOUNGE", [TWO, END], ("EXPIRED", 2, 1, 3, 0, 0), 0),
]


async def films(world: World) -> None:
    """Let films be without a cap, and be paid by use."""
    programme = reference_programme()
    lounge, video = programme.benefit
    video = msgspec.structs.replace(video, cap=None, settled=Settled.USE)
    await world.apply(msgspec.structs.replace(programme, benefit=(lounge, video)))


async def ordered(world: World, benefit: str) -> tuple[UUID, UUID]:
    """Return a member who had three units of a benefit and ordered as many, and the claim."""
    member = await holder(world, benefit, 3)
    (claim_id,) = await claimed(world, wish(member, benefit, quantity=3))
    return member, claim_id


async def test_each_piece_has_its_own_end(world: World) -> None:
    """What came is held or spent, the rest is back, and taken again if it comes (V-4, V-5)."""
    await films(world)
    held, paid = {"VIDEO": 0, "LOUNGE": 0}, {"VIDEO": 0, "LOUNGE": 0}
    for benefit, told, expected, cost in LIVES:
        member, claim_id = await ordered(world, benefit)
        await call_back(world, await number_of(world, claim_id), *told)
        sql = "SELECT state, quantity, missing FROM claim WHERE claim_id = $1"
        (claim,) = await world.rows(sql, claim_id)
        (lot,) = await world.rows("SELECT redeemed FROM lot WHERE member_id = $1", member)
        seen = (*claim, *await wallet(world, member, benefit), lot.redeemed)
        assert expected == seen, (benefit, told)
        held[benefit] += expected[4]
        paid[benefit] += cost
    assert (held["LOUNGE"] * 3800, paid["LOUNGE"] * 3800) == await counter(world, "budget:lounge")
    assert (0, paid["VIDEO"] * 1500) == await counter(world, "budget:video")
    pieces = sum(seen[1] for benefit, _, seen, _ in LIVES if benefit == "VIDEO")
    assert (0, pieces) == await counter(world, "stock:VIDEO")
    assert [] == await world.findings()


async def test_the_rest_is_a_loss_where_the_units_are_gone(world: World) -> None:
    """It is booked once, a person is told, and what had come stays as it is (G-CB-4)."""
    await films(world)
    member, claim_id = await ordered(world, "VIDEO")
    number = await number_of(world, claim_id)
    await call_back(world, number, ONE)
    (again,) = await claimed(world, wish(member, quantity=2))
    await call_back(world, number, ALL, ALL)
    assert [1, 2] == [
        row.quantity for row in await world.rows("SELECT quantity FROM claim ORDER BY claimed_at")
    ]
    (lost,) = await world.rows("SELECT sum(amount)::int AS n FROM posting WHERE credit = 'loss'")
    assert 2 + 3000 == lost.n
    assert ["delivered_without_entitlement"] == [row.kind for row in await world.rows(CASES)]
    await call_back(world, await number_of(world, again), GONE)
    assert ["COMPENSATED", "ISSUED"] == sorted(await states(world))
    assert [] == await world.findings()


async def test_the_rest_is_asked_for_to_the_end_of_the_schedule(world: World) -> None:
    """Then nobody asks, and nobody is told: what came is the member's (V-3)."""
    await ordered(world, "LOUNGE")
    (work,) = await lease(world)
    await record(world, work, ONE)
    world.clock.forward(seconds=15)
    (work,) = await lease(world)
    assert (Operation.QUERY, 3) == (work.call.operation, work.call.request.quantity)
    await record(world, work, ONE)
    assert ["ISSUED"] == await states(world)
    assert [] == await world.rows(CASES)
