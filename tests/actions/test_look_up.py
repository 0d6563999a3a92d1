"""What members have is told for many at once, each as if alone and of one snapshot."""

import asyncio
from uuid import UUID, uuid4

import msgspec

from benefits.actions.claim import UnknownMember
from benefits.actions.look_up import LookUp, Seen, look_up, see
from benefits.domain.orders import OrderState
from benefits.store.catalogue import Cache
from tests.actions.life import claimed, decide, holder, wish
from tests.builders import World, reference_programme


async def look(world: World, *members: UUID) -> list[Seen | UnknownMember]:
    """Look members up, all in one transaction."""
    commands = [LookUp(caller="mobile", member_id=member) for member in members]
    async with world.database.transaction() as conn:
        return await look_up(conn, commands, world.parts)


def figures(seen: Seen | UnknownMember) -> tuple[int, int, list[str]]:
    """Return units available and held, and the states of the claims."""
    assert isinstance(seen, Seen)
    lots, claims = seen.overview.lots, seen.overview.claims
    states = [one.state for one in claims]
    return sum(lot.available for lot in lots), sum(lot.held for lot in lots), states


async def test_each_is_told_what_they_would_be_told_alone(world: World) -> None:
    """I14: together with others, twice in a group, and beside one who is nobody."""
    rich, poor = await holder(world, quantity=3), await world.member()
    await claimed(world, wish(rich))
    alone = [(await look(world, member))[0] for member in (rich, poor)]
    first, nobody, second, again = await look(world, rich, uuid4(), poor, rich)
    assert isinstance(nobody, UnknownMember)
    assert [*alone, alone[0]] == [first, second, again]
    assert (2, 1, [OrderState.HELD.value]) == figures(first)
    assert (0, 0, []) == figures(second)


async def test_the_latest_claims_are_shown(world: World) -> None:
    """So many of them, the newest first."""
    member = await holder(world, "LOUNGE", quantity=3)
    placed = list[UUID]()
    for _ in range(3):
        world.clock.forward(seconds=1)
        placed += await claimed(world, wish(member, "LOUNGE"))
    async with world.database.transaction() as conn:
        seen = await see(conn, [member], world.parts, claims=2)
    assert placed[:0:-1] == [one.claim_id for one in seen[member].overview.claims]


async def test_a_newer_catalogue_is_noticed(world: World) -> None:
    """What is shown is by the configuration of the snapshot, whatever the process knew."""
    member = await holder(world)
    fresh = msgspec.structs.replace(world.parts, catalogue=Cache(world.clock))
    async with world.database.transaction() as conn:
        (first,) = await look_up(conn, [LookUp(caller="", member_id=member)], fresh)
    programme = reference_programme()
    await world.apply(msgspec.structs.replace(programme, name={"en": "New", "zh": "新"}))
    async with world.database.transaction() as conn:
        (second,) = await look_up(conn, [LookUp(caller="", member_id=member)], fresh)
    shown = [
        one.catalogue.programmes["wealth"].name["en"]
        for one in (first, second)
        if isinstance(one, Seen)
    ]
    assert [programme.name["en"], "New"] == shown


async def test_no_claim_is_shown_without_the_units_it_took(world: World) -> None:
    """An answer is of one snapshot: while claims are placed, the figures always fit."""
    units = 12
    member = await holder(world, "LOUNGE", quantity=units)
    done = asyncio.Event()

    async def claiming() -> None:
        for _ in range(units):
            await decide(world, wish(member, "LOUNGE"))
        done.set()

    async def looking() -> int:
        looked = 0
        while not done.is_set():
            (seen,) = await look(world, member)
            available, held, states = figures(seen)
            assert (units - len(states), len(states)) == (available, held)
            looked += 1
        return looked

    _, *looked = await asyncio.gather(claiming(), looking(), looking())
    assert min(looked) > 0
