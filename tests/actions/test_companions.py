"""Companions come along as the tier brings them: counted, paid for and told like the member."""

from decimal import Decimal
from uuid import UUID

import msgspec

from benefits.domain.orders import Done, IssueRequest
from benefits.domain.programme import Programme
from benefits.domain.terms import changes
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    decide,
    gift,
    give,
    number_of,
    said,
    wallet,
    wish,
)
from tests.actions.limiting import limit, programme_of
from tests.actions.merging import merged
from tests.builders import NOON, World

ALONG = {"PLATINUM": 1, "DIAMOND": 2}


def accompanied() -> Programme:
    """Return a programme in which one video takes 100 units and people may come along."""
    everybody = limit("all", 3)
    return programme_of(everybody, takes=Decimal(100), companions=ALONG, stock=9)


async def platinum(world: World, units: int = 0, daily_minor: int = 520_000_00) -> UUID:
    """Enrol a member who is platinum and has been given units besides the tier's."""
    member = await world.member()
    ((number,),) = await world.rows("SELECT count(*) FROM member")
    await world.month(world.name(number), "2025-06", daily_minor)
    await world.evaluate("2025-06", member)
    world.clock.forward(seconds=1)
    for quantity in (100, 100, units - 200):
        await give(world, *([gift(member, quantity=quantity)] if quantity > 0 else []))
    return member


async def ask(world: World, member: UUID, companions: int, quantity: int = 1) -> str:
    """Claim with companions; return `ok` or the code of the refusal."""
    (outcome,) = await decide(world, wish(member, companions=companions, quantity=quantity))
    return said(outcome)


async def test_g_guest_1_companions_take_as_much_as_the_member(world: World) -> None:
    """G-GUEST-1: platinum with 250 at 100 each brings 1 guest, 200; 2 are refused first (V-10)."""
    await world.apply(accompanied())
    member = await platinum(world, 248)
    assert (250, 0) == await wallet(world, member)
    (outcome,) = await decide(world, wish(member, companions=2))
    assert "guest_limit" == said(outcome)
    (claim,) = await claimed(world, wish(member, companions=1))
    assert (50, 200) == await wallet(world, member)
    ((quantity, cost),) = await world.rows("SELECT quantity, cost_minor FROM hold")
    assert (200, 30_00) == (quantity, cost)
    assert (2, 0) == await counter(world, "stock:VIDEO")
    (request,) = await world.rows("SELECT body_sealed FROM provider_request")
    asked = msgspec.json.decode(world.parts.envelope.open(request.body_sealed), type=IssueRequest)
    assert (2, 1) == (asked.quantity, asked.companions)
    (told,) = await world.rows("SELECT data FROM outbox WHERE type = 'claim.placed'")
    assert (2, 1) == (told.data["quantity"], told.data["companions"])
    await call_back(world, await number_of(world, claim), Done(at=NOON))
    assert (50, 0) == await wallet(world, member)
    assert (0, 30_00) == await counter(world, "budget:video")
    assert [] == await world.findings()


async def test_the_tier_is_that_of_the_instant(world: World) -> None:
    """Who has no decision, or another tier by now, brings as many as that one does."""
    await world.apply(accompanied())
    plain = await world.member()
    assert "guest_limit" == await ask(world, plain, 1)
    assert "insufficient_units" == await ask(world, plain, 0)
    rich = await platinum(world, 299, 5_200_000_00)
    assert "guest_limit" == await ask(world, rich, 3)
    assert "ok" == await ask(world, rich, 2)
    await merged(world, rich, plain)
    world.clock.forward(seconds=1)
    assert "cap_reached" == await ask(world, plain, 2)


async def test_companions_count_for_limits_and_the_number_of_pieces(world: World) -> None:
    """A limit of 3 pieces has no room for two with a guest each; nor is less than nobody asked."""
    await world.apply(accompanied())
    member = await platinum(world, 500)
    assert "cap_reached" == await ask(world, member, 1, quantity=2)
    assert "quantity_invalid" == await ask(world, member, 1, quantity=51)
    assert "quantity_invalid" == await ask(world, member, -1)
    assert "ok" == await ask(world, member, 1)
    assert "cap_reached" == await ask(world, member, 1)


async def test_another_number_of_companions_is_another_wish(world: World) -> None:
    """The same key with them conflicts; without any it is what it was before there were any."""
    await world.apply(accompanied())
    member = await platinum(world, 500)
    plain = wish(member)
    with_one = msgspec.structs.replace(plain, companions=1)
    outcomes = await decide(world, with_one, with_one, plain)
    assert ["ok", "ok", "idempotency_key_conflict"] == [said(outcome) for outcome in outcomes]
    assert outcomes[0].ids == outcomes[1].ids  # type: ignore[union-attr]  # both accepted
    assert plain.body == wish(member).body != with_one.body


async def test_a_group_reads_tiers_only_when_somebody_is_accompanied(world: World) -> None:
    """Several together are decided as one after the other, also one of what nobody offers."""
    await world.apply(accompanied())
    member, other = await platinum(world, 300), await platinum(world, 300)
    strange = wish(other, "NONE", companions=1)
    outcomes = await decide(
        world, wish(member, companions=1), strange, wish(other), wish(other, companions=1)
    )
    expected = ["ok", "unknown_benefit", "ok", "cap_reached"]
    assert expected == [said(outcome) for outcome in outcomes]


def test_fewer_companions_are_worse() -> None:
    """And none at all are; more are not, nor a tier that brings them for the first time (U-2)."""
    before = accompanied()

    def worse(along: dict[str, int]) -> list[str]:
        lounge, video = before.benefit
        after = msgspec.structs.replace(
            before, benefit=(lounge, msgspec.structs.replace(video, companions=along))
        )
        return [str(change) for change in changes(before, after) if change.is_worse]

    assert [] == worse({"GOLD": 1, "PLATINUM": 1, "DIAMOND": 3})
    path = "benefit.VIDEO.companions"
    assert [f"{path}.PLATINUM: 1 -> none", f"{path}.DIAMOND: 2 -> 1"] == worse({"DIAMOND": 1})
