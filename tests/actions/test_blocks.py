"""Blocks: two people stop a member, from one instant to another; orders in flight finish (E-6)."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from benefits.actions.claim import claim
from benefits.domain.blocks import Scope, Why
from benefits.domain.orders import Done
from benefits.domain.proposals import UnblockWanted
from benefits.worker import Worker
from tests.actions.agreeing import agreed, answer, ask, block, unblocked
from tests.actions.life import (
    claimed,
    decide,
    expire_lots,
    gift,
    give,
    holder,
    lease,
    record,
    said,
    states,
    wallet,
    wish,
)
from tests.actions.merging import merge
from tests.actions.test_races import waiting
from tests.builders import World

TEN = datetime(2025, 7, 3, 2, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)


async def claims(world: World, *wishes: Any) -> list[str]:
    """Claim; return `ok` or the code of each."""
    return [said(outcome) for outcome in await decide(world, *wishes)]


async def test_g_blk_1_orders_in_flight_finish(world: World) -> None:
    """G-BLK-1: blocked at 10:00, held at 09:59:59: the order completes, and no other begins."""
    member = await holder(world, quantity=2)
    world.clock.now = TEN - timedelta(hours=1)
    await agreed(world, block(member, from_at=TEN))
    world.clock.now = TEN - timedelta(seconds=1)
    await claimed(world, wish(member))
    world.clock.now = TEN
    assert ["blocked"] == await claims(world, wish(member))
    (work,) = await lease(world)
    await record(world, work, Done(at=TEN, reference="R1"))
    assert ["ISSUED"] == await states(world)
    assert [] == await world.findings()


async def test_a_block_holds_from_one_instant_to_another(world: World) -> None:
    """It is half-open: the last microsecond before it is free, and so is its end."""
    member = await holder(world, "LOUNGE", quantity=4)
    until = TEN + timedelta(days=1)
    await agreed(world, block(member, from_at=TEN, to_at=until))
    told = {}
    for at in (TEN - TICK, TEN, until - TICK, until):
        world.clock.now = at
        told[at] = (await claims(world, wish(member, "LOUNGE")))[0]
    assert ["ok", "blocked", "blocked", "ok"] == list(told.values())
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("scope", "target", "expected"),
    [
        (Scope.ALL, "", ("blocked", "blocked", "blocked")),
        (Scope.CLAIM, "", ("blocked", "blocked", "ok")),
        (Scope.BENEFIT, "VIDEO", ("blocked", "ok", "ok")),
        (Scope.PROVIDER, "sandbox", ("blocked", "blocked", "ok")),
    ],
)
async def test_a_block_stops_what_it_is_of(
    world: World, scope: Scope, target: str, expected: tuple[str, ...]
) -> None:
    """Claims of the benefit and of another, and a reward; others are not stopped by it."""
    member, other = await holder(world), await holder(world)
    await give(world, gift(member, "LOUNGE"))
    await agreed(world, block(member, scope, target=target))
    outcomes = await claims(world, wish(member), wish(member, "LOUNGE"))
    outcomes += [said((await give(world, gift(member)))[0])]
    assert list(expected) == outcomes
    assert ["ok"] == await claims(world, wish(other))


async def test_a_reward_that_was_given_is_told_again(world: World) -> None:
    """N-2: a block stops new rewards; the business key still says what was given."""
    member = await holder(world, business_key="birthday:2025")
    await agreed(world, block(member))
    outcomes = await give(world, gift(member, business_key="birthday:2025"), gift(member))
    assert ["ok", "blocked"] == [said(outcome) for outcome in outcomes]


async def test_two_people_end_a_block(world: World) -> None:
    """It ends with their word, once; the block itself stays as it was, and so does its row."""
    member = await holder(world)
    block_id = await agreed(world, block(member, why=Why.LEGAL_FREEZE))
    assert ["blocked"] == await claims(world, wish(member))
    first, second = [await ask(world, UnblockWanted(block_id=block_id)) for _ in range(2)]
    world.clock.forward(hours=1)
    assert "ok" == await answer(world, first)
    assert ["ok"] == await claims(world, wish(member))
    assert "proposal_stale" == await answer(world, second)
    assert "unknown_block" == await ask(world, UnblockWanted(block_id=block_id))
    assert "unknown_block" == await ask(world, UnblockWanted(block_id=uuid4()))
    told = await world.rows(
        "SELECT type, subject_id, data FROM outbox WHERE member_id = $1 "
        "AND type LIKE 'member.%' ORDER BY seq",
        member,
    )
    assert [("member.blocked", block_id), ("member.unblocked", block_id)] == [
        (row.type, row.subject_id) for row in told
    ]
    assert {"scope": "ALL", "target": "", "until": None} == {
        name: value for name, value in told[0].data.items() if name != "from_at"
    }
    assert {"scope": "ALL", "target": ""} == told[1].data
    assert [] == await world.findings()


async def test_lots_of_a_frozen_member_expire(world: World) -> None:
    """A freeze adds no days: what ends while it lasts has ended."""
    member = await holder(world)
    await agreed(world, block(member, why=Why.LEGAL_FREEZE))
    world.clock.forward(days=40)
    assert 1 == await expire_lots(world)
    assert (0, 0) == await wallet(world, member)
    assert [] == await world.findings()


async def lifted(world: World) -> int:
    """Let a worker lift what is over; return how many blocks."""
    return await Worker(world.database, world.parts, {}).lift_blocks()


async def events(world: World, member: UUID) -> list[str]:
    """Return what was told of a member's blocks."""
    found = await world.rows(
        "SELECT type FROM outbox WHERE member_id = $1 AND type LIKE 'member.%' ORDER BY seq",
        member,
    )
    return [row.type for row in found]


@pytest.mark.parametrize("is_by_people", [True, False])
async def test_a_freeze_stops_what_a_tier_brings_until_it_is_over(
    world: World, *, is_by_people: bool
) -> None:
    """The tier is decided all the same; then what runs is brought, once, and no more than that."""
    other, member = await world.members(2)
    for nth in (1, 2):
        await world.month(world.name(nth), "2025-06", 620_000_00)
    until = None if is_by_people else TEN
    block_id = await agreed(world, block(member, why=Why.LEGAL_FREEZE, to_at=until))
    for one in (other, member):
        await world.evaluate("2025-06", one)
    assert (2, 0) == await wallet(world, other, "LOUNGE")
    assert (0, 0) == await wallet(world, member, "LOUNGE")
    assert 0 == await lifted(world)
    world.clock.now = TEN
    if is_by_people:
        await agreed(world, UnblockWanted(block_id=block_id))
    assert [1, 0] == [await lifted(world), await lifted(world)]
    await world.evaluate("2025-06", member)
    assert [(2, 0)] * 2 == [await wallet(world, member, each) for each in ("LOUNGE", "VIDEO")]
    assert ["member.blocked", "member.unblocked"] == await events(world, member)
    assert [] == await world.findings()


async def test_a_freeze_that_ends_before_the_decision_waits_for_it(world: World) -> None:
    """T-3: nobody gets what a tier brings in a month before the month before it is decided."""
    member = await world.member()
    await world.month(world.name(1), "2025-05", 620_000_00)
    await world.evaluate("2025-05", member)
    had = await wallet(world, member, "VIDEO")
    block_id = await agreed(world, block(member, why=Why.LEGAL_FREEZE))
    await agreed(world, UnblockWanted(block_id=block_id))
    assert 1 == await lifted(world)
    assert had == await wallet(world, member, "VIDEO")
    other = await world.member()
    await agreed(world, block(other, Scope.CLAIM, to_at=TEN))
    world.clock.now = TEN
    assert 1 == await lifted(world)
    assert ["member.blocked", "member.unblocked"] == await events(world, other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": Scope.BENEFIT},
        {"scope": Scope.ALL, "target": "VIDEO"},
        {"scope": Scope.BENEFIT, "target": "NONE"},
        {"scope": Scope.PROVIDER, "target": "nobody"},
        {"scope": Scope.CLAIM, "why": Why.LEGAL_FREEZE},
        {"from_at": TEN, "to_at": TEN},
        {"to_at": TEN - timedelta(days=30)},
        {"from_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))},
        {"to_at": datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12)))},
    ],
)
async def test_a_block_says_what_it_stops(world: World, wrong: dict[str, Any]) -> None:
    """Scope, target and times must fit, a freeze is of all, and the member is known."""
    member = await world.member()
    assert "block_invalid" == await ask(world, block(member, **wrong))
    assert "unknown_member" == await ask(world, block(uuid4()))


async def test_a_block_goes_along_with_a_merger(world: World) -> None:
    """Whoever takes over a blocked customer is blocked; a proposal for the other is stale."""
    stays, goes = await world.members(2)
    await give(world, gift(stays))
    await agreed(world, block(goes, Scope.CLAIM))
    late = await ask(world, block(goes))
    assert ["ok"] == await claims(world, wish(stays))
    assert "ok" == said(await merge(world, goes, stays))
    await give(world, gift(stays))
    assert ["blocked"] == await claims(world, wish(stays))
    assert "proposal_stale" == await answer(world, late)
    await agreed(world, block(goes))
    (row,) = await world.rows("SELECT member_id FROM member_block WHERE scope = 'ALL'")
    assert stays == row.member_id
    assert [] == await world.findings()


async def test_a_claim_that_waited_for_a_block_is_stopped(world: World) -> None:
    """The approval has the member's lock; whoever waits for it reads the block afterwards."""
    member = await holder(world)
    proposal_id = await ask(world, block(member))
    async with world.database.transaction() as conn:
        await claim(conn, [wish(member)], world.parts, wait=True)
        task = await waiting(answer(world, proposal_id))
    assert "ok" == await task
    assert ["blocked"] == await claims(world, wish(member))
    assert [] == await world.findings()


async def test_a_block_ends_once_its_member_is_locked(world: World) -> None:
    """Not at the instant before a claim that the approval waits for."""
    member = await holder(world)
    proposal_id = await ask(
        world, UnblockWanted(block_id=await agreed(world, block(member, Scope.CLAIM)))
    )
    async with world.database.transaction() as conn:
        await claim(conn, [wish(member)], world.parts, wait=True)
        task = await waiting(answer(world, proposal_id))
        world.clock.forward(seconds=1)
    assert "ok" == await task
    (row,) = await world.rows("SELECT ended_at FROM member_block_end")
    assert world.clock() == row.ended_at
    assert [] == await world.findings()


async def test_a_block_beside_claims_stops_all_that_come_after(world: World) -> None:
    """Claims and the approval at once: those before it are held, all later ones are refused."""
    member = await holder(world, "LOUNGE", quantity=20)
    proposal_id = await ask(world, block(member))
    wishes = [claims(world, wish(member, "LOUNGE")) for _ in range(6)]
    done = await asyncio.gather(*wishes[:3], answer(world, proposal_id), *wishes[3:])
    assert "ok" == done[3]
    held = [each for each in (*done[:3], *done[4:]) if each == ["ok"]]
    assert ["blocked"] == await claims(world, wish(member, "LOUNGE"))
    assert (20 - len(held), len(held)) == await wallet(world, member, "LOUNGE")
    assert [] == await world.findings()


async def test_an_unblock_of_a_merged_customer_frees_the_other(world: World) -> None:
    """The end stands beside the block's own row."""
    stays, goes = await world.members(2)
    block_id = await agreed(world, block(goes))
    assert "ok" == said(await merge(world, goes, stays))
    await unblocked(world, block_id)
    (outcome,) = await give(world, gift(stays))
    assert "ok" == said(outcome)
    assert [] == await world.findings()
