"""Mergers beside others, cut anywhere, one after the other: all or nothing, and once (T-10)."""

import asyncio
from typing import Any

import pytest

from benefits.actions.claim import claim
from benefits.actions.merge_members import (
    MergeMembers,
    merge_members,
    move_left,
)
from benefits.domain.orders import Reason, Rejected
from benefits.domain.policy import Joint
from benefits.store.db import Connection
from tests.actions.life import (
    EVERYWHERE,
    call_back,
    claimed,
    decide,
    fresh,
    gift,
    give,
    number_of,
    said,
    wallet,
    wish,
)
from tests.actions.merging import GOLD, PLATINUM, listed, merge, merged, sweep, two
from tests.actions.test_failures import survives
from tests.actions.test_holders import apply, hold
from tests.actions.test_races import waiting
from tests.builders import World


async def test_of_two_at_once_one_merges(world: World) -> None:
    """The same twice, each into the other, and two ways: all end as one after the other."""
    a, b, c = await world.members(3)
    for member in (a, b, c):
        await give(world, gift(member, quantity=2))
    first = await asyncio.gather(merge(world, b, a), merge(world, a, b), merge(world, b, a))
    assert {"ok", "merged_away"} >= {said(one) for one in first}
    assert "ok" in {said(one) for one in first}
    ((goes,),) = await world.rows("SELECT member_id FROM member WHERE merged_into IS NOT NULL")
    stays = a if goes == b else b
    second = await asyncio.gather(merge(world, stays, c), merge(world, c, goes))
    assert "merged_away" in {said(one) for one in second}
    assert [(6, 0)] == [one for each in (a, b, c) if (one := await wallet(world, each)) != (0, 0)]
    assert [] == await world.findings()


@pytest.mark.parametrize("claimer", ["merged", "member"])
async def test_a_claim_that_waited_for_a_merger_finds_the_units(
    world: World, claimer: str
) -> None:
    """Whichever of the two it is for, and the units are the merged customer's."""
    a, b = await world.members(2)
    await give(world, gift(b, quantity=2))
    command = MergeMembers(caller="crm", key=fresh("m"), of=b, into=a)
    async with world.database.transaction() as conn:
        await merge_members(conn, command, world.parts)
        task = await waiting(decide(world, wish(b if claimer == "merged" else a)))
    assert ["ok"] == [said(outcome) for outcome in await task]
    assert [(1, 1), (0, 0)] == [await wallet(world, each) for each in (a, b)]
    assert [] == await world.findings()


async def test_a_merger_that_waited_for_a_claim_leaves_what_it_holds(world: World) -> None:
    """The claim is the merged customer's; what is left moves."""
    a, b = await world.members(2)
    await give(world, gift(b, quantity=2))
    async with world.database.transaction() as conn:
        await claim(conn, [wish(b)], world.parts, wait=True)
        task = await waiting(merge(world, b, a))
    assert "ok" == said(await task)
    assert [(1, 0), (0, 1)] == [await wallet(world, each) for each in (a, b)]
    assert [] == await world.findings()


@pytest.mark.parametrize("with_holders", [False, True])
async def test_a_merger_cut_anywhere_leaves_nothing_behind(
    world: World, *, with_holders: bool
) -> None:
    """Neither side has changed; the same key succeeds afterwards."""
    a, b = await two(world, GOLD, PLATINUM)
    if with_holders:
        await apply(world, Joint.SPLIT_EQUAL)
        await hold(world, "J,T000002,PRIMARY,2025-01-01,")
    await claimed(world, wish(b))
    command = MergeMembers(caller="crm", key="once", of=b, into=a)
    before = await rows_of(world)

    async def step(conn: Connection) -> None:
        assert before == await rows_of(world)
        assert "ok" == said(await merge_members(conn, command, world.parts))

    assert 25 < await survives(world, step)
    assert before != await rows_of(world)
    assert "ok" == said(await merge(world, b, a, "once"))
    assert [] == await world.findings()


async def rows_of(world: World) -> list[list[Any]]:
    """Return what a merger changes besides the books."""
    return [
        [tuple(row) for row in await world.rows(f"SELECT * FROM {table} ORDER BY 1, 2")]
        for table in ("member", "member_label", "account_holder", "tier_decision", "asset_joint")
    ]


async def test_a_sweep_cut_anywhere_moves_units_once(world: World) -> None:
    """What came free is moved by the sweep after."""
    a, b = await world.members(2)
    await give(world, gift(b))
    (claim_id,) = await claimed(world, wish(b))
    await merged(world, b, a)
    await call_back(world, await number_of(world, claim_id), Rejected(Reason.LIMIT, "limit"))

    async def step(conn: Connection) -> None:
        assert (1, 0) == await move_left(conn, world.parts, buckets=EVERYWHERE, limit=10)

    assert 5 < await survives(world, step)
    assert [(1, 0), (0, 0)] == [await wallet(world, each) for each in (a, b)]
    async with world.database.transaction() as conn:
        assert (0, 0) == await move_left(conn, world.parts, buckets=EVERYWHERE, limit=10)
    assert [] == await world.findings()


async def test_whoever_was_merged_goes_along(world: World) -> None:
    """B into A, A into C: there are no chains, whatever was asked in between or is asked again."""
    a, b, c = await world.members(3)
    await give(world, gift(b, quantity=2))
    (claim,) = await claimed(world, wish(b))
    names = [world.name(n) for n in (1, 2, 3)]
    assert (2, 0, []) == await listed(world, (names[1], names[0]), (names[0], names[2]))
    assert (0, 3, []) == await listed(
        world, (names[1], names[0]), (names[0], names[2]), (names[1], names[2])
    )
    into = await world.rows("SELECT merged_into, has_merged FROM member ORDER BY merged_into")
    assert [(c, False), (c, False), (None, True)] == [tuple(row) for row in into]
    await call_back(world, await number_of(world, claim), Rejected(Reason.LIMIT, "limit"))
    await sweep(world)
    assert [(0, 0), (0, 0), (2, 0)] == [await wallet(world, each) for each in (a, b, c)]
    _, _, refused = await listed(world, (names[2], names[0]), ("nobody", names[0]))
    assert ["merged_away: Who", "unknown_member: No"] == [
        " ".join(reason.split()[:2]) for _, reason in refused
    ]
    assert [] == await world.findings()
