"""Storms: a hundred clients on one key, on one hold's end, on the last unit of what is short."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from benefits.actions import receive
from benefits.actions.claim import claim
from benefits.actions.grant import reward
from benefits.domain.corrections import Kind
from benefits.domain.orders import Done, Reason, Rejected
from benefits.domain.programme import Programme
from benefits.store.db import Connection
from benefits.store.group import Group, grouped
from tests.actions import desk, life
from tests.builders import NOON, World, reference_programme

CLIENTS = 100
DONE = Done(at=NOON, reference="R1")
NO = Rejected(Reason.LIMIT, "limit")


@asynccontextmanager
async def groups(world: World, action: Any) -> AsyncIterator[list[Group[Any, Any]]]:
    """Give four groups of one action, as four processes would have them."""
    made = [Group[Any, Any](world.database, grouped(action, world.parts), "storm") for _ in "1234"]
    for group in made:
        group.start()
    try:
        yield made
    finally:
        for group in made:
            await group.close()


async def storm(world: World, action: Any, commands: Sequence[Any]) -> list[Any]:
    """Submit commands all at once, spread over the groups."""
    async with groups(world, action) as made:
        submitted = (made[n % 4].submit(command) for n, command in enumerate(commands))
        return list(await asyncio.gather(*submitted))


@pytest.mark.parametrize("action", [claim, reward])
async def test_a_hundred_clients_on_one_key_have_one_effect_and_one_answer(
    world: World, action: Any
) -> None:
    """Whoever is first decides; all others hear the same, as heard before (I5)."""
    member = await life.holder(world, quantity=9)
    command = life.wish(member) if action is claim else life.gift(member, quantity=5)
    heard = await storm(world, action, [command] * CLIENTS)
    assert [heard[0].ids] * CLIENTS == [one.ids for one in heard]
    assert CLIENTS - 1 == sum(one.replayed for one in heard)
    assert ((8, 1) if action is claim else (14, 0)) == await life.wallet(world, member)
    assert [] == await world.findings()


async def test_a_hundred_clients_with_a_refused_key_hear_one_refusal(world: World) -> None:
    """A refusal is decided once too, and changes nothing but its request row (I5)."""
    member = await world.member()
    before = await life.tables(world)
    heard = await storm(world, claim, [life.wish(member)] * CLIENTS)
    assert {"insufficient_units": CLIENTS} == Counter(map(life.said, heard))
    after = await life.tables(world)
    assert 1 == len(after.pop("request")) - len(before.pop("request"))
    assert before == after


async def test_a_holds_end_told_a_hundred_times_happens_once(world: World) -> None:
    """Callbacks of both kinds, the call's answer and the deadline end one hold once (I6)."""
    member = await life.holder(world, valid_days=40)
    (claim_id,) = await life.claimed(world, life.wish(member))
    (work,) = await life.lease(world)
    world.clock.forward(days=2)
    ids = [life.fresh("e") for _ in range(CLIENTS)]
    for n, event_id in enumerate(ids):
        await life.tell(world, work.call.number, (DONE, NO)[n % 2], event_id)

    async def work_off(event_id: str) -> None:
        async def one(conn: Connection) -> None:
            await receive.work_off_one(conn, world.parts, "sandbox", event_id)

        await world.database.transact(one)

    told = [work_off(event_id) for event_id in ids]
    await asyncio.gather(*told, life.record(world, work, NO), life.lapse_holds(world))
    ends = await world.rows("SELECT captured + released AS ended FROM hold_end")
    moved = await world.rows(
        "SELECT p.credit, p.amount FROM posting AS p JOIN batch AS b USING (bucket, batch_id) "
        "WHERE b.cause_id = $1 AND p.debit = 'held'",
        claim_id,
    )
    assert {1} == {row.ended for row in ends}
    assert len(ends) == len(moved) <= 2  # given back, then delivered after all: a hold of its own
    assert 1 == sum(await life.wallet(world, member)) + sum(
        row.amount for row in moved if row.credit == "redeemed"
    )
    assert [] == await world.findings()


def short_of(what: str) -> Programme:
    """Return the programme with room for one more in a stock, a cap or a budget."""
    programme = reference_programme()
    lounge, video = programme.benefit
    assert video.cap is not None
    changes: dict[str, Any] = {"stock": 1000, "cap": msgspec.structs.replace(video.cap, limit=99)}
    if what == "stock":
        changes["stock"] = 1
    elif what == "cap":
        changes["cap"] = msgspec.structs.replace(video.cap, limit=1)
    budgets = [
        msgspec.structs.replace(b, total="15.00")
        if what == "budget" and b.code == video.budget
        else b
        for b in programme.budget
    ]
    made = msgspec.structs.replace(
        programme,
        benefit=(lounge, msgspec.structs.replace(video, **changes)),
        budget=tuple(budgets),
    )
    return msgspec.convert(msgspec.to_builtins(made), Programme, strict=False)


@pytest.mark.parametrize("what", ["stock", "cap", "budget"])
async def test_a_hundred_claims_on_the_last_unit_leave_one(world: World, what: str) -> None:
    """What is short is never given twice, neither at once nor when it came back in between."""
    await world.apply(short_of(what))
    many = 1 if what == "cap" else 20
    members = await world.members(many)
    await life.give(world, *(life.gift(m, quantity=100 // many) for m in members))
    wishes = [life.wish(members[n % many]) for n in range(CLIENTS)]
    heard = await storm(world, claim, wishes)
    refusal = {"stock": "stock_exhausted", "cap": "cap_reached", "budget": "budget_exhausted"}
    assert {"ok": 1, refusal[what]: CLIENTS - 1} == Counter(map(life.said, heard))
    assert [] == await world.findings()
    await came_back(world, members, what)


async def came_back(world: World, members: Sequence[Any], what: str) -> None:
    """Give the one unit back while others want it, then deliver it after all (G-CB-4)."""
    (work,) = await life.lease(world)
    await life.tell(world, work.call.number, NO)
    wishes = [life.wish(members[n % len(members)]) for n in range(CLIENTS)]
    heard, _ = await asyncio.gather(storm(world, claim, wishes), life.work_off(world))
    assert Counter(map(life.said, heard))["ok"] <= 1
    await life.work_off(world)  # a member somebody held is left for the next round
    if "ok" not in map(life.said, heard):
        assert ["ok"] == list(map(life.said, await life.decide(world, life.wish(members[-1]))))
    await life.call_back(world, work.call.number, DONE)
    kinds = await world.rows("SELECT kind, detail FROM case_file")
    short = {"stock": "stock_exhausted", "cap": "cap_reached", "budget": "budget_exhausted"}
    assert [("delivered_without_entitlement", short[what])] == [tuple(row) for row in kinds]
    assert (1, 0) == await life.counter(world, "stock:VIDEO")
    assert (1500, 0) == await life.counter(world, "budget:video")
    assert [] == await world.findings()


@pytest.mark.parametrize("kind", [Kind.REVERSE, Kind.SETTLE])
async def test_alike_corrections_approved_at_once_give_units_back_once(
    world: World, kind: Kind
) -> None:
    """Many propose the same and many approve: one is posted, the others read another past (I7)."""
    member = await life.holder(world, quantity=2)
    place = desk.lost if kind is Kind.SETTLE else desk.spent
    claim_id = await place(world, member, quantity=2)
    quantity = 2 if kind is Kind.REVERSE else 0
    more = {"claim_id": claim_id}
    asked = [await desk.ask(world, kind, member, quantity, **more) for _ in range(10)]
    words = [(one, f"checker{n}") for one in asked for n in range(5)]
    heard = await asyncio.gather(*(desk.approve(world, one, who) for one, who in words))
    assert {"ok": 1, "correction_closed": 4, "correction_stale": 45} == Counter(heard)
    assert (2, 0) == await life.wallet(world, member)
    assert (0, 0) == await life.counter(world, "budget:video")
