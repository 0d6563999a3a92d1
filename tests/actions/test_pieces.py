"""Of several pieces some come: those are the member's, and the units of the others come back."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions.redeem import RedeemClaim, redeem
from benefits.domain.benefit import Settled
from benefits.domain.orders import (
    Capabilities,
    Confirmed,
    Done,
    Expired,
    LateSuccess,
    Operation,
    Outcome,
    PartlyUsed,
    Reason,
    RedeemBy,
    Rejected,
    Reversed,
    Used,
)
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    holder,
    lease,
    number_of,
    provider_can,
    record,
    said,
    states,
    tell,
    wallet,
    wish,
    work_off,
)
from tests.builders import NOON, World, reference_programme

ONE, TWO, ALL = (Done(at=NOON, delivered=1), Done(at=NOON, delivered=2), Done(at=NOON))
PART, USED, END = PartlyUsed(at=NOON, used=1), Used(at=NOON), Expired(at=NOON)
GONE = Rejected(Reason.STOCK_OUT, "sold_out")
CASES = "SELECT kind FROM case_file"
# Holds that take from one lot by two lines.
TWICE = """
SELECT batch_id FROM posting WHERE (debit, credit) = ('available', 'held')
GROUP BY batch_id, lot_id HAVING count(*) > 1
"""
LATER = NOON + timedelta(seconds=1)


def _part(used: int, delivered: int | None) -> PartlyUsed:
    """Return that some pieces were used of those that came."""
    return PartlyUsed(at=NOON, used=used, delivered=delivered)


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
    # What is told of uses and ends may be the first word of a part, or of the rest.
    ("LOUNGE", [_part(1, 2)], ("PARTLY_REDEEMED", 2, 1, 1, 2, 0), 0),
    ("LOUNGE", [_part(2, 2)], ("REDEEMED", 2, 1, 1, 0, 2), 2),
    ("LOUNGE", [TWO, _part(1, 3)], ("PARTLY_REDEEMED", 3, 0, 0, 3, 0), 0),
    ("LOUNGE", [TWO, Used(at=NOON, delivered=3)], ("REDEEMED", 3, 0, 0, 0, 3), 3),
    ("LOUNGE", [ONE, USED, PartlyUsed(at=LATER, used=2)], ("REDEEMED", 2, 1, 1, 0, 2), 2),
    ("LOUNGE", [TWO, USED, Reversed(at=LATER, delivered=3)], ("ISSUED", 3, 0, 0, 3, 0), 0),
    ("LOUNGE", [Expired(at=NOON, used=1, delivered=2)], ("EXPIRED", 2, 1, 2, 0, 1), 1),
    ("LOUNGE", [TWO, _part(1, 1), _part(1, None)], ("PARTLY_REDEEMED", 2, 1, 1, 2, 0), 0),
    ("LOUNGE", [GONE, _part(1, 2)], ("PARTLY_REDEEMED", 2, 1, 1, 2, 0), 0),
    ("LOUNGE", [GONE, Expired(at=NOON, delivered=2)], ("COMPENSATED", 3, 0, 3, 0, 0), 0),
    ("VIDEO", [_part(1, 2)], ("PARTLY_REDEEMED", 2, 1, 1, 0, 2), 2),
    ("VIDEO", [TWO, USED, _part(2, 3)], ("PARTLY_REDEEMED", 3, 0, 0, 0, 3), 3),
    ("VIDEO", [TWO, Expired(at=NOON, used=1, delivered=3)], ("EXPIRED", 3, 0, 0, 0, 3), 1),
]


async def films(world: World, **can: Any) -> None:
    """Let films be without a cap, and be paid by use; and let the provider do something else."""
    programme = reference_programme()
    lounge, video = programme.benefit
    video = msgspec.structs.replace(video, cap=None, settled=Settled.USE)
    able = msgspec.structs.replace(programme.provider[0], capabilities=Capabilities(**can))
    provider = (able,) if can else programme.provider
    changed = {"benefit": (lounge, video), "provider": provider}
    await world.apply(msgspec.structs.replace(programme, **changed))


async def ordered(world: World, benefit: str) -> tuple[UUID, UUID]:
    """Return a member who had three units of a benefit and ordered as many, and the claim."""
    member = await holder(world, benefit, 3)
    (claim_id,) = await claimed(world, wish(member, benefit, quantity=3))
    return member, claim_id


async def stands(world: World, claim_id: UUID) -> tuple[Any, ...]:
    """Return where a claim stands, of how many pieces, and how many are missing."""
    sql = "SELECT state, quantity, missing FROM claim WHERE claim_id = $1"
    (claim,) = await world.rows(sql, claim_id)
    return tuple(claim)


async def test_each_piece_has_its_own_end(world: World) -> None:
    """What came is held or spent, the rest is back, and taken again if it comes (V-4, V-5)."""
    await films(world)
    held, paid = {"VIDEO": 0, "LOUNGE": 0}, {"VIDEO": 0, "LOUNGE": 0}
    for benefit, told, expected, cost in LIVES:
        member, claim_id = await ordered(world, benefit)
        await call_back(world, await number_of(world, claim_id), *told)
        (lot,) = await world.rows("SELECT redeemed FROM lot WHERE member_id = $1", member)
        seen = (
            *await stands(world, claim_id),
            *await wallet(world, member, benefit),
            lot.redeemed,
        )
        assert expected == seen, (benefit, told)
        held[benefit] += expected[4]
        paid[benefit] += cost
    assert (held["LOUNGE"] * 3800, paid["LOUNGE"] * 3800) == await counter(world, "budget:lounge")
    assert (0, paid["VIDEO"] * 1500) == await counter(world, "budget:video")
    pieces = sum(seen[1] for benefit, _, seen, _ in LIVES if benefit == "VIDEO")
    assert (0, pieces) == await counter(world, "stock:VIDEO")
    assert [] == await world.rows(TWICE)
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


async def test_what_came_after_the_end_counts_by_the_pieces_that_came(world: World) -> None:
    """So many are taken, or lost, and nothing of the rest, in whatever order it is told (V-5)."""
    late = Used(at=NOON + timedelta(seconds=2))
    for first, then, end, lost in (
        ([GONE], [ONE, ALL], ("ISSUED", 3, 0), 3),
        ([ONE, END], [late], ("REDEEMED", 1, 2), 4),
    ):
        member, claim_id = await ordered(world, "LOUNGE")
        number = await number_of(world, claim_id)
        await call_back(world, number, *first)
        await claimed(world, wish(member, "LOUNGE", quantity=3))
        for outcome in then:  # worked off together
            await tell(world, number, outcome)
        await work_off(world)
        assert end == await stands(world, claim_id)
        sql = "SELECT sum(amount)::int AS n FROM posting WHERE credit = 'loss' AND party = ''"
        assert [(lost,)] == [tuple(row) for row in await world.rows(sql)]
    assert [] == await world.findings()


@pytest.mark.parametrize("two_phase", [False, True])
async def test_of_a_late_part_only_what_came_is_taken(world: World, *, two_phase: bool) -> None:
    """Be it not taken back, or set aside first: its provider says the word that counts (V-2)."""
    can = {"two_phase": True} if two_phase else {"late_success": LateSuccess.REVOKE}
    await provider_can(world, **can)
    member, claim_id = await ordered(world, "LOUNGE")
    number = await number_of(world, claim_id)
    await call_back(world, number, GONE, ONE)
    assert ("COMPENSATED", 3, 2) == await stands(world, claim_id)
    if two_phase:
        await call_back(world, number, Confirmed(at=NOON, delivered=1))
    else:
        (work,) = await lease(world)
        assert (Operation.REVOKE, 3) == (work.call.operation, work.call.request.quantity)
        await record(world, work, Rejected(Reason.LIMIT, "too_late"))
    assert ("CONFIRMED" if two_phase else "ISSUED", 1, 2) == await stands(world, claim_id)
    assert (2, 1) == await wallet(world, member, "LOUNGE")
    await claimed(world, wish(member, "LOUNGE", quantity=2))
    await call_back(world, number, Confirmed(at=NOON) if two_phase else ALL)
    assert (1, 0) == (await stands(world, claim_id))[1:]
    assert ["delivered_without_entitlement"] == [row.kind for row in await world.rows(CASES)]
    assert [] == await world.findings()


async def test_no_use_is_told_of_a_part_while_the_rest_may_come(world: World) -> None:
    """It would be of all the pieces that came meanwhile (V-2)."""
    await provider_can(world, redeem_by=RedeemBy.US)
    _, claim_id = await ordered(world, "LOUNGE")
    await call_back(world, await number_of(world, claim_id), ONE)
    asked = RedeemClaim(caller="pos", key="r1", claim_id=claim_id)
    async with world.database.transaction() as conn:
        (outcome,) = await redeem(conn, [asked], world.parts, wait=True)
    assert "order_not_usable" == said(outcome)


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
