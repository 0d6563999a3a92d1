"""Two connections at once: whoever waits for a lock sees afterwards what the other one did."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import pytest

from benefits.actions import deliver, expire, receive
from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.correct import Corrections
from benefits.actions.deliver import Work
from benefits.actions.grant import reward
from benefits.actions.keyed import Accepted, Decided
from benefits.domain.corrections import Kind
from benefits.domain.orders import Done, Outcome, Pending, Reason, Rejected
from benefits.domain.refusal import Refusal
from benefits.store import group as groups
from benefits.store.db import Busy, run
from benefits.store.group import Group, grouped
from tests.actions.desk import approve, ask, correct, lot_of, proposal, spent
from tests.actions.life import (
    EVERYWHERE,
    claimed,
    counter,
    decide,
    gift,
    give,
    holder,
    lapse_holds,
    lease,
    number_of,
    record,
    said,
    states,
    tell,
    wallet,
    wish,
    work_off,
)
from tests.actions.merging import merged
from tests.builders import NOON, World, reference_programme
from tests.roles import administrator

NO = Rejected(Reason.LIMIT, "limit")
DONE = Done(at=NOON, reference="R1")
Result = TypeVar("Result")


async def waiting(work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    """Start work that must be waiting for somebody else's lock."""
    task = asyncio.create_task(work)
    done, _ = await asyncio.wait({task}, timeout=0.15)
    assert set() == done
    return task


async def test_a_claim_that_waited_sees_the_lots_made_meanwhile(world: World) -> None:
    """The lock is taken first, and the lots are read after it by a later statement."""
    member = await world.member()
    async with world.database.transaction() as conn:
        await reward(conn, [gift(member, quantity=2)], world.parts, wait=True)
        task = await waiting(decide(world, wish(member)))
    assert ["ok"] == [said(outcome) for outcome in await task]
    assert (1, 1) == await wallet(world, member)
    assert [] == await world.findings()


async def test_a_claim_that_waited_sees_the_units_taken_meanwhile(world: World) -> None:
    """Two claims on the last unit of a member: the later one finds nothing."""
    member = await holder(world)
    async with world.database.transaction() as conn:
        await claim(conn, [wish(member)], world.parts, wait=True)
        task = await waiting(decide(world, wish(member)))
    assert ["insufficient_units"] == [said(outcome) for outcome in await task]
    assert [] == await world.findings()


@pytest.mark.parametrize(("commits", "expected"), [(True, "stock_exhausted"), (False, "ok")])
async def test_the_last_unit_of_a_stock_goes_to_who_commits(
    world: World, *, commits: bool, expected: str
) -> None:
    """Another member's claim waits for the counter and takes what a rollback gives back."""
    programme = reference_programme()
    video = msgspec.structs.replace(programme.benefits["VIDEO"], stock=1)
    await world.apply(msgspec.structs.replace(programme, benefit=(programme.benefit[0], video)))
    one, two = await holder(world), await holder(world)
    async with world.database.transaction() as conn:
        await claim(conn, [wish(one)], world.parts, wait=True)
        task = await waiting(decide(world, wish(two)))
        if not commits:
            await run(conn, "ROLLBACK")
    assert [expected] == [said(outcome) for outcome in await task]
    assert (1, 0) == await counter(world, "stock:VIDEO")
    assert [] == await world.findings()


async def submitted(group: Group[ClaimUnits, Decided], command: ClaimUnits) -> Decided | Refusal:
    """Submit a claim."""
    return await group.submit(command)


async def test_a_busy_member_delays_only_themself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbours are answered while the member is held; then the claim is refused, not stored."""
    monkeypatch.setattr(groups, "ALONE_WAIT", "SET LOCAL lock_timeout = '3s'")
    held = await holder(world)
    others = await world.members(48)
    await give(world, *(gift(member) for member in others))
    group = Group[ClaimUnits, Decided](world.database, grouped(claim, world.parts), "claim")
    group.start()
    command = wish(held)
    async with world.database.transaction() as conn:
        await claim(conn, [wish(held, "LOUNGE")], world.parts, wait=True)
        slow = asyncio.create_task(submitted(group, command))
        for half in (others[:24], others[24:]):  # at once, and while the busy one waits alone
            async with asyncio.timeout(2.5):
                told = await asyncio.gather(*(submitted(group, wish(m)) for m in half))
            assert {"ok"} == {said(outcome) for outcome in told}
            assert not slow.done()
        with pytest.raises(Busy):
            await slow
    assert "ok" == said(await submitted(group, command))
    await group.close()
    assert [] == await world.findings()


async def test_a_busy_member_is_served_once_the_lock_is_free(world: World) -> None:
    """Who waits alone gets the lock, and sees what its holder did."""
    member = await holder(world)
    group = Group[ClaimUnits, Decided](world.database, grouped(claim, world.parts), "claim")
    group.start()
    async with world.database.transaction() as conn:
        await reward(conn, [gift(member)], world.parts, wait=True)
        task = await waiting(submitted(group, wish(member, quantity=2)))
    assert "ok" == said(await task)
    await group.close()


async def test_a_busy_budget_refuses_only_whom_it_pays_for(world: World) -> None:
    """Who came in one group with those that wait for its counter is served, and each in time."""
    lounge = [await holder(world, "LOUNGE") for _ in range(6)]
    video = await holder(world)
    group = Group[ClaimUnits, Decided](world.database, grouped(claim, world.parts), "claim")
    group.start()
    async with administrator(world.database) as conn:
        await run(conn, "UPDATE counter SET spent = spent WHERE counter = 'budget:lounge'")
        waits = [group.submit(wish(member, "LOUNGE")) for member in lounge]
        begun = asyncio.get_running_loop().time()
        *refused, served = await asyncio.gather(
            *waits, group.submit(wish(video)), return_exceptions=True
        )
        took = asyncio.get_running_loop().time() - begun
    await group.close()
    assert [Busy] * len(lounge) == [type(outcome) for outcome in refused]
    assert isinstance(served, Accepted)
    assert took < 20
    assert [] == await world.findings()


async def test_a_busy_claim_leaves_nothing_under_its_key(world: World) -> None:
    """Busy is an answer of the moment: no request row, no effect."""
    member = await holder(world)
    command = wish(member)
    async with world.database.transaction() as first:
        await claim(first, [wish(member, "LOUNGE")], world.parts, wait=True)
        async with world.database.transaction() as second:
            (outcome,) = await claim(second, [command], world.parts, wait=False)
    assert "busy" == said(outcome)
    assert [] == await world.rows("SELECT key FROM request WHERE key = $1", command.key)
    (outcome,) = await decide(world, command)
    assert "ok" == said(outcome)


async def test_one_reward_key_for_two_members_is_decided_once(world: World) -> None:
    """The loser of the race finds the winner's outcome and conflicts (C-9)."""
    one, two = await world.members(2)
    async with world.database.transaction() as conn:
        await reward(conn, [gift(one, key="same")], world.parts, wait=True)
        task = await waiting(give(world, gift(two, key="same")))
    assert ["idempotency_key_conflict"] == [said(outcome) for outcome in await task]
    assert [(1, 0), (0, 0)] == [await wallet(world, member) for member in (one, two)]
    assert [] == await world.findings()


async def test_one_reward_sent_twice_at_once_is_given_once(world: World) -> None:
    """Many connections with one key and one body hear of one lot."""
    member = await world.member()
    command = gift(member)
    told = await asyncio.gather(*(give(world, command) for _ in range(8)))
    lots = {msgspec.structs.replace(o, replayed=False).ids["lot_id"] for (o,) in told}  # type: ignore[union-attr, type-var]  # all were
    assert (1, (1, 0)) == (len(lots), await wallet(world, member))


@pytest.mark.parametrize(("outcome", "state"), [(DONE, "ISSUED"), (NO, "EXPIRED")])
async def test_an_answer_that_met_a_lapse_is_applied_after_it(
    world: World, outcome: Outcome, state: str
) -> None:
    """It keeps nobody waiting, and is decided on the claim as the sweep left it."""
    member = await holder(world, valid_days=40)
    (claim_id,) = await claimed(world, wish(member))
    await tell(world, await number_of(world, claim_id), outcome)
    world.clock.forward(days=2)
    async with world.database.transaction() as conn:
        await expire.lapse_holds(conn, world.parts, buckets=EVERYWHERE, limit=10)
        assert 0 == await work_off(world)
    assert [1, 0] == [await work_off(world), await work_off(world)]
    assert [state] == await states(world)
    assert [] == await world.findings()


async def test_a_lapse_that_met_an_answer_lets_it_stand(world: World) -> None:
    """The sweep passes over a member somebody holds, and finds the claim delivered."""
    member = await holder(world, valid_days=40)
    (claim_id,) = await claimed(world, wish(member))
    await tell(world, await number_of(world, claim_id), DONE)
    world.clock.forward(days=2)
    async with world.database.transaction() as conn:
        await receive.work_off(conn, world.parts, buckets=EVERYWHERE, limit=10)
        assert 0 == await lapse_holds(world)
    assert 0 == await lapse_holds(world)
    assert (["ISSUED"], (0, 0)) == (await states(world), await wallet(world, member))
    assert [] == await world.findings()


async def test_a_lapse_is_decided_by_the_clock_under_the_lock(world: World) -> None:
    """What is found too early, by a clock that is set back, keeps its time."""
    await claimed(world, wish(await holder(world)))
    now = world.clock()
    times = iter([now + timedelta(days=2)])
    parts = msgspec.structs.replace(world.parts, clock=lambda: next(times, now))
    async with world.database.transaction() as conn:
        await expire.lapse_holds(conn, parts, buckets=EVERYWHERE, limit=10)
    assert ["HELD"] == await states(world)
    assert [] == await world.findings()


async def test_two_answers_at_once_move_the_units_once(world: World) -> None:
    """A call's answer and a callback that race end as one delivery (G-CB-6)."""
    member = await holder(world)
    await claimed(world, wish(member))
    (work,) = await lease(world)
    await tell(world, work.call.number, DONE)
    await asyncio.gather(work_off(world), record(world, work, DONE))
    await work_off(world)  # if it met the other one
    await record(world, work, DONE)
    assert ["ISSUED"] == await states(world)
    assert (0, 1) == await counter(world, "stock:VIDEO")
    assert [] == await world.findings()


async def test_two_workers_open_one_case_about_a_stranger(world: World) -> None:
    """A callback that one worker has in hand is not in the other's page (G-CB-5)."""
    await tell(world, uuid4().hex, DONE)
    async with world.database.transaction() as conn:
        taken = await receive.work_off(conn, world.parts, buckets=EVERYWHERE, limit=10)
        assert (1, 0) == (taken, await work_off(world))
    assert 0 == await work_off(world)
    assert [(1, "unknown_order")] == [
        tuple(row)
        for row in await world.rows("SELECT count(*), kind FROM case_file GROUP BY kind")
    ]


async def test_two_workers_never_take_one_request(world: World) -> None:
    """What one worker is taking, another passes over; together they take each once."""
    members = await world.members(40)
    await give(world, *(gift(member) for member in members))
    await claimed(world, *(wish(member) for member in members))
    async with world.database.transaction() as conn:
        taken = await deliver.lease(conn, world.parts, buckets=EVERYWHERE, limit=10)
        others = await lease(world, limit=10)
    assert (10, []) == (len(taken), others)
    rounds = await asyncio.gather(*(lease(world, limit=20) for _ in range(6)))
    works = [*taken, *(work for round_ in rounds for work in round_), *await lease(world)]
    numbers = [work.call.number for work in works]
    assert (40, 40) == (len(numbers), len(set(numbers)))


async def test_a_lane_has_one_call_in_flight(world: World) -> None:
    """A member's two orders of one thing go one after the other, also from two workers."""
    member = await holder(world, quantity=2)
    await claimed(world, wish(member), wish(member))
    async with world.database.transaction() as conn:
        (first,) = await deliver.lease(conn, world.parts, buckets=EVERYWHERE, limit=10)
        assert [] == await lease(world)
    assert [] == await lease(world)
    await record(world, first, DONE)
    (second,) = await lease(world)
    assert first.call.number != second.call.number


async def test_two_customers_who_are_one_person_share_their_lanes(world: World) -> None:
    """A call that began before they were merged counts as well; both get their turn (T-10)."""
    first, second = await holder(world, quantity=2), await holder(world)
    await claimed(world, wish(first))
    (early,) = await lease(world)
    await claimed(world, wish(first), wish(second))
    await merged(world, first, second)
    assert [] == await lease(world)
    await record(world, early, DONE)
    called = list[Work]()
    for _ in range(2):
        called += await lease(world)
        assert [] == await lease(world)
        await record(world, called[-1], DONE)
    assert {first, second} == {work.request.member_id for work in called}
    assert ["ISSUED"] * 3 == await states(world)


async def test_an_answer_after_its_lease_is_applied_but_plans_nothing(world: World) -> None:
    """The newest attempt alone says when to ask again; what became known counts all the same."""
    member = await holder(world, "LOUNGE")
    await claimed(world, wish(member, "LOUNGE"))
    (late,) = await lease(world)
    world.clock.forward(minutes=2)
    (newest,) = await lease(world)
    planned = "SELECT next_at, leased_until, attempt, queries FROM provider_request"
    before = await world.rows(planned)
    await record(world, late, Pending("R1"))
    assert (["PENDING"], before) == (await states(world), await world.rows(planned))
    await record(world, late, DONE)
    assert (["ISSUED"], before) == (await states(world), await world.rows(planned))
    await record(world, newest, DONE)
    assert before != await world.rows(planned)
    assert [("done",), ("done",)] == await world.rows("SELECT outcome FROM provider_attempt")
    assert [] == await world.findings()


async def test_of_two_approvals_at_once_one_posts(world: World) -> None:
    """The second waits for the member, then finds the correction decided."""
    member = await holder(world, quantity=2)
    asked = await ask(world, Kind.REVOKE, member, 1, lot_id=await lot_of(world, member))
    outcomes = await asyncio.gather(approve(world, asked), approve(world, asked, "another"))
    assert ["correction_closed", "ok"] == sorted(outcomes)
    assert (1, 0) == await wallet(world, member)
    assert [] == await world.findings()


async def test_an_approval_and_a_claim_share_no_unit(world: World) -> None:
    """Whoever comes second finds the last unit gone."""
    for _ in range(5):
        member = await holder(world)
        asked = await ask(world, Kind.REVOKE, member, 1, lot_id=await lot_of(world, member))
        approved, (claim_,) = await asyncio.gather(
            approve(world, asked), decide(world, wish(member))
        )
        assert (approved, said(claim_)) in {
            ("ok", "insufficient_units"),
            ("correction_stale", "ok"),
        }
    assert [] == await world.findings()


async def test_a_hundred_reversals_at_once_never_give_back_more_than_was_spent(
    world: World,
) -> None:
    """Each would give back one of two units: the first does, the rest are stale (I7)."""
    member = await holder(world, quantity=2)
    claim_id = await spent(world, member, quantity=2)
    asked = [await ask(world, Kind.REVERSE, member, 1, claim_id=claim_id) for _ in range(100)]
    outcomes = await asyncio.gather(*(approve(world, each) for each in asked))
    assert (1, 99) == (outcomes.count("ok"), outcomes.count("correction_stale"))
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim_id)
    assert "correction_exceeds" == await ask(world, Kind.REVERSE, member, 1, claim_id=claim_id)
    assert (2, 0) == await wallet(world, member)
    assert [(2,)] == [
        tuple(r)
        for r in await world.rows(
            """SELECT sum(v.amount)::int FROM reversal AS v JOIN posting AS p
             ON p.batch_id = v.reverses AND p.line = v.line WHERE p.credit = 'redeemed'"""
        )
    ]
    assert [] == await world.findings()


async def test_of_one_key_for_two_members_at_once_one_proposes(world: World) -> None:
    """The later one waits for the key, is run again and finds it taken (C-9)."""
    one, two = await holder(world), await holder(world)
    lots = [await lot_of(world, member) for member in (one, two)]
    command = proposal(Kind.REVOKE, one, 1, lot_id=lots[0], key="k")
    async with world.database.transaction() as conn:
        assert "ok" == said(await Corrections(conn, world.parts).propose(command))
        task = await waiting(ask(world, Kind.REVOKE, two, 1, lot_id=lots[1], key="k"))
    assert "idempotency_key_conflict" == await task
    assert 1 == len(await world.rows("SELECT 1 FROM correction"))


async def test_of_one_key_for_two_approvals_at_once_one_posts(world: World) -> None:
    """Both give money back to one budget; the key is waited for before the budget."""
    members = [await holder(world), await holder(world)]
    claims = [await spent(world, member) for member in members]
    both = [
        await ask(world, Kind.REVERSE, member, 1, claim_id=claim_id)
        for member, claim_id in zip(members, claims, strict=True)
    ]
    outcomes = await asyncio.gather(*(approve(world, each, key="k") for each in both))
    assert ["idempotency_key_conflict", "ok"] == sorted(outcomes)
    assert [] == await world.findings()
