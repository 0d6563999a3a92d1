"""What a claim would meet is told by the claim's own rule, and agrees with the claim."""

from datetime import date
from uuid import UUID, uuid4

import msgspec
import pytest

from benefits.actions.claim import UnknownMember
from benefits.actions.foresee import foresee
from benefits.domain.members import MemberLine
from benefits.domain.units import Quantity
from tests.actions.life import change, decide, holder, said, tables, wish
from tests.builders import MEMBER_KEY, World, reference_programme


async def foreseen(world: World, member: UUID, benefit: str = "VIDEO") -> tuple[str, Quantity]:
    """Return what a claim would meet, `ok` when nothing, and what its cap counts so far."""
    async with world.database.transaction() as conn:
        prospect = (
            await foresee(conn, member, await world.parts.catalogue.current(conn), world.clock())
        )[benefit]
    return prospect.refusal.code if prospect.refusal else "ok", prospect.cap_used


async def agrees(world: World, member: UUID, code: str) -> None:
    """Say that the claim meets what was foreseen."""
    assert code == (await foreseen(world, member))[0]
    (outcome,) = await decide(world, wish(member))
    assert code == said(outcome)


async def test_what_is_foreseen_is_what_a_claim_meets(world: World) -> None:
    """Units, the cap, stock, budget and time, each in its turn; looking changes nothing."""
    member = await holder(world, quantity=3)
    before = await tables(world)
    assert ("ok", 0) == await foreseen(world, member)
    assert before == await tables(world)
    await agrees(world, member, "ok")
    await agrees(world, member, "ok")
    assert ("cap_reached", 2) == await foreseen(world, member)
    await agrees(world, member, "cap_reached")
    assert "insufficient_units" == (await foreseen(world, member, "LOUNGE"))[0]
    other = await holder(world)
    await change(world, "UPDATE counter SET spent = 50 WHERE counter = 'stock:VIDEO'")
    await agrees(world, other, "stock_exhausted")
    await change(
        world,
        "UPDATE counter SET spent = 0 WHERE counter = 'stock:VIDEO'",
        "UPDATE counter SET spent = 10000000 WHERE counter = 'budget:video'",
    )
    await agrees(world, other, "budget_exhausted")
    await change(world, "UPDATE counter SET spent = 0 WHERE counter = 'budget:video'")
    world.clock.forward(days=31)
    await agrees(world, other, "expired")


async def test_a_member_who_left_may_claim_nothing(world: World) -> None:
    """From the day after the last one on."""
    member = await holder(world)
    left = MemberLine(world.name(1), date(2020, 1, 1), date(2025, 7, 1))
    from benefits.actions.record_members import record_members

    async with world.database.transaction() as conn:
        await record_members(conn, [(2, left)], world.parts, member_key=MEMBER_KEY)
    await agrees(world, member, "member_closed")


async def test_nothing_is_foreseen_for_nobody(world: World) -> None:
    """An id without a member is refused."""
    async with world.database.transaction() as conn:
        with pytest.raises(UnknownMember):
            await foresee(conn, uuid4(), await world.parts.catalogue.current(conn), world.clock())


async def test_a_benefit_that_never_had_a_counter_is_foreseen(world: World) -> None:
    """What is new in the programme has nothing taken yet."""
    programme = reference_programme()
    swap = msgspec.structs.replace
    video = programme.benefits["VIDEO"]
    fresh = swap(video, code="RIDE", stock=None, cap=None, recipient=())
    await world.apply(swap(programme, benefit=(*programme.benefit, fresh)))
    member = await holder(world, "RIDE")
    assert ("ok", 0) == await foreseen(world, member, "RIDE")
