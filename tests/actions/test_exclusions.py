"""Exclusion groups: of some benefits a member claims one alone, until it comes back (P-7, K-2)."""

import asyncio
from uuid import UUID

from msgspec.structs import replace

from benefits.actions.claim import claim
from benefits.actions.foresee import foresee
from benefits.domain.exclusions import Excluded
from benefits.domain.orders import Done, Reason, Rejected
from benefits.store.db import Connection
from tests.actions.life import (
    call_back,
    claimed,
    decide,
    gift,
    give,
    number_of,
    said,
    wish,
)
from tests.actions.limiting import ask, programme_of, rich
from tests.actions.merging import listed
from tests.builders import World

FAILED = Rejected(Reason.LIMIT, "limit")


async def gifts(world: World) -> UUID:
    """Let lounge visits and videos exclude each other; return a member who has both."""
    programme = programme_of()
    benefits = tuple(replace(each, exclusion="gift") for each in programme.benefit)
    await world.apply(replace(programme, benefit=benefits))
    return await having_both(world)


async def having_both(world: World) -> UUID:
    """Enrol a member who has units of both."""
    member = await rich(world, quantity=5)
    await give(world, gift(member, "VIDEO", quantity=5))
    return member


async def test_one_of_a_group_alone_is_claimed(world: World) -> None:
    """P-7: again as often as its caps allow; the other is refused by its name, and foreseen."""
    member = await gifts(world)
    assert ["ok", "ok"] == [await ask(world, member, "VIDEO") for _ in range(2)]
    assert "excluded" == await ask(world, member, "LOUNGE")
    async with world.database.transaction() as conn:
        seen = await foresee(
            conn, member, await world.parts.catalogue.current(conn), world.clock()
        )
    refusal = seen["LOUNGE"].refusal
    assert isinstance(refusal, Excluded)
    assert ("VIDEO", None) == (refusal.other, seen["VIDEO"].refusal)
    assert [] == await world.findings()


async def test_claims_of_one_group_see_each_other(world: World) -> None:
    """K-2: in one transaction the first is accepted."""
    member = await gifts(world)
    outcomes = await decide(world, wish(member, "LOUNGE"), wish(member, "VIDEO"))
    assert ["ok", "excluded"] == [said(outcome) for outcome in outcomes]


async def test_of_claims_at_the_same_time_one_is_accepted(world: World) -> None:
    """K-2: whoever comes first, under the member's lock."""
    member = await gifts(world)

    async def one(benefit: str) -> str:
        async def work(conn: Connection) -> str:
            (outcome,) = await claim(conn, [wish(member, benefit)], world.parts, wait=True)
            return said(outcome)

        return await world.database.transact(work)

    outcomes = await asyncio.gather(*map(one, ["LOUNGE", "VIDEO"] * 3))
    assert (3, 3) == (outcomes.count("ok"), outcomes.count("excluded"))
    assert [] == await world.findings()


async def test_what_came_back_is_free_again(world: World) -> None:
    """K-5: with the last of the claims that were accepted; the books say so too."""
    member = await gifts(world)
    claims = await claimed(world, wish(member, "VIDEO"), wish(member, "VIDEO"))
    numbers = [await number_of(world, each) for each in claims]
    await call_back(world, numbers[0], FAILED)
    assert "excluded" == await ask(world, member, "LOUNGE")
    await call_back(world, numbers[1], FAILED)
    assert "ok" == await ask(world, member, "LOUNGE")
    assert "excluded" == await ask(world, member, "VIDEO")
    assert [] == await world.findings()


async def test_a_late_delivery_takes_no_place_beside_another(world: World) -> None:
    """I15: what failed, and is delivered after all when the other was claimed, is a loss."""
    member = await gifts(world)
    (first,) = await claimed(world, wish(member, "VIDEO"))
    number = await number_of(world, first)
    await call_back(world, number, FAILED)
    assert "ok" == await ask(world, member, "LOUNGE")
    await call_back(world, number, Done(at=world.clock.now))
    kinds = [row.kind for row in await world.rows("SELECT kind FROM case_file")]
    assert "delivered_without_entitlement" in kinds
    assert [] == await world.findings()


async def test_claims_of_whoever_was_merged_count_along(world: World) -> None:
    """T-10: two customers who are one person have one gift."""
    first, second = await gifts(world), await having_both(world)
    assert "ok" == await ask(world, first, "VIDEO")
    await listed(world, (world.name(1), world.name(2)))
    assert "excluded" == await ask(world, second, "LOUNGE")
    assert "ok" == await ask(world, second, "VIDEO")
    assert [] == await world.findings()
