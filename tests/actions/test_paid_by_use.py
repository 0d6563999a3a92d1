"""Units that are spent by the delivery, of which the provider is paid for those that are used."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from benefits.actions import expire
from benefits.domain.benefit import Settled
from benefits.domain.corrections import Kind
from benefits.domain.orders import Done, Expired, Operation, PartlyUsed, Reversed, Used
from benefits.domain.use import Use
from tests.actions.desk import correct
from tests.actions.life import (
    EVERYWHERE,
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

HOUR = timedelta(hours=1)


async def ordered(world: World, **more: Any) -> tuple[UUID, UUID]:
    """Return a member and a claim of three films that are paid by use, 15.00 each."""
    programme = reference_programme()
    lounge, video = programme.benefit
    video = msgspec.structs.replace(video, cap=None, settled=Settled.USE, **more)
    await world.apply(msgspec.structs.replace(programme, benefit=(lounge, video)))
    member = await holder(world, quantity=3)
    (claim_id,) = await claimed(world, wish(member, quantity=3))
    return member, claim_id


async def books(world: World) -> dict[str, int]:
    """Return where the member's units are, and what is paid for them."""
    (lot,) = await world.rows("SELECT remaining, redeemed, expired FROM lot")
    (owed,) = await world.rows(
        "SELECT coalesce(sum(CASE debit WHEN 'provider.payable' THEN amount ELSE -amount END), 0)"
        "::bigint AS minor FROM posting WHERE 'provider.payable' IN (debit, credit)"
    )
    reserved, spent = await counter(world, "budget:video")
    assert (0, owed.minor) == (reserved, spent)  # what is spent is owed to the provider
    assert (0, 3) == await counter(world, "stock:VIDEO")
    return {"left": lot.remaining, "spent": lot.redeemed, "ended": lot.expired, "paid": spent}


async def test_g_part_1_what_is_spent_by_the_delivery_is_paid_as_far_as_it_was_used(
    world: World,
) -> None:
    """G-PART-1: of three one is used; the cost of two goes to the budget, no unit to anybody."""
    member, claim_id = await ordered(world, use=Use(days=7))
    number = await number_of(world, claim_id)
    spent = {"left": 0, "spent": 3, "ended": 0}
    await call_back(world, number, Done(at=NOON), PartlyUsed(at=NOON, used=1))
    assert (["PARTLY_REDEEMED"], spent | {"paid": 4500}) == (
        await states(world),
        await books(world),
    )
    world.clock.forward(days=12)
    async with world.database.transaction() as conn:
        await expire.end_unused(conn, world.parts, buckets=EVERYWHERE, limit=100)
    assert (["EXPIRED"], spent | {"paid": 1500}) == (await states(world), await books(world))
    assert (0, 0) == await wallet(world, member)
    await call_back(world, number, PartlyUsed(at=NOON, used=1), Expired(at=NOON + 168 * HOUR))
    assert spent | {"paid": 1500} == await books(world)
    assert [] == await world.findings()
    for told, state, paid in (
        (PartlyUsed(at=NOON + HOUR, used=2), "EXPIRED", 3000),
        (Used(at=NOON + 2 * HOUR), "REDEEMED", 4500),
        (Reversed(at=NOON + 3 * HOUR), "EXPIRED", 0),
        (Used(at=NOON + 4 * HOUR), "REDEEMED", 4500),
    ):
        await call_back(world, number, told, told)
        assert ([state], spent | {"paid": paid}) == (await states(world), await books(world))
    assert [] == await world.findings()
    assert [] == await world.rows("SELECT kind FROM case_file")


async def test_an_order_without_a_last_day_is_asked_about_until_it_ended(world: World) -> None:
    """Its end frees what was not used, so its provider is asked for it, and asked on (V-5)."""
    await ordered(world)
    (work,) = await lease(world)
    await record(world, work, Done(at=NOON))
    for days in (1, 30):
        world.clock.forward(days=days)
        (work,) = await lease(world)
        assert Operation.QUERY is work.call.operation
        await record(world, work, Done(at=NOON) if days == 1 else Expired(at=NOON + 24 * HOUR))
    assert ["EXPIRED"] == await states(world)
    assert {"left": 0, "spent": 3, "ended": 0, "paid": 0} == await books(world)
    world.clock.forward(days=30)
    assert [] == await lease(world)
    assert [] == await world.findings()


async def test_what_people_gave_back_is_not_paid_anew(world: World) -> None:
    """All of it: its end is no news. A part of it: a person looks at what is told then (L-7)."""
    member, claim_id = await ordered(world)
    number, end = await number_of(world, claim_id), Expired(at=NOON + 24 * HOUR)
    await call_back(world, number, Done(at=NOON))
    assert "ok" == await correct(world, Kind.REVERSE, member, 3, claim_id=claim_id)
    await call_back(world, number, end)
    assert (["EXPIRED"], (3, 0)) == (await states(world), await wallet(world, member))
    assert [] == await world.rows("SELECT kind FROM case_file")
    (second,) = await claimed(world, wish(member, quantity=3))
    number = await number_of(world, second)
    await call_back(world, number, Done(at=NOON), PartlyUsed(at=NOON, used=1), end)
    assert (0, 1500) == await counter(world, "budget:video")
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=second)
    await call_back(world, number, Used(at=NOON + HOUR))
    assert (0, 1000) == await counter(world, "budget:video")  # a third of what they cost
    (case,) = await world.rows("SELECT kind FROM case_file")
    assert "reversed_by_hand" == case.kind
    assert [] == await world.findings()
