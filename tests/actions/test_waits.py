"""Claims that wait for room: in order, once, until their end (K-1, K-8)."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from benefits.domain.limits import CapWindow, OnFull, Scope
from benefits.domain.orders import Reason, Rejected
from benefits.store import waits
from benefits.store.db import Writer
from tests.actions.life import (
    call_back,
    claimed,
    decide,
    gift,
    give,
    number_of,
    tell,
    wish,
    work_off,
)
from tests.actions.limiting import ask, limit, limited, local, rich, windows
from tests.actions.merging import merged
from tests.actions.waiting import await_room, ends, said_of, serve, stop, wait_of
from tests.builders import World

LOUNGE = ("LOUNGE",)
REFUSED = Rejected(Reason.LIMIT, "limit")


async def test_a_waiting_list_is_served_in_its_order_from_room_that_comes_back(
    world: World,
) -> None:
    """Who waits goes before whoever comes later, and nobody past the first (K-8)."""
    await limited(world, limit("drop", 2, on_full=OnFull.WAITLIST))
    first, second, third, late = [await rich(world) for _ in range(4)]
    claims = [(await claimed(world, wish(first, "LOUNGE")))[0] for _ in range(2)]
    assert "cap_reached" == await ask(world, second)
    assert "waits" == await await_room(world, second, quantity=2)
    for _ in range(2):
        assert "waits" == await await_room(world, third, key="same")
    assert "already_waiting" == await await_room(world, third)
    assert "cap_reached" == await await_room(world, late, quantity=3)
    assert 0 == await serve(world)
    await call_back(world, await number_of(world, claims[0]), REFUSED)
    assert 0 == await serve(world)  # the first needs two
    assert "cap_reached" == await ask(world, late)
    await call_back(world, await number_of(world, claims[1]), REFUSED)
    assert 1 == await serve(world)
    assert [(second, "SERVED"), (third, "")] == await ends(world)
    assert [] == await world.findings()
    assert "ok" == await stop(world, third, await wait_of(world, third), "s")
    assert "ok" == await stop(world, third, await wait_of(world, third), "s")
    assert "wait_over" == await stop(world, third, await wait_of(world, third))
    assert "unknown_wait" == await stop(world, second, await wait_of(world, third))
    assert {("limit:drop", "2025-07"): 2} == await windows(world)
    assert [] == await world.findings()


async def test_what_finds_no_room_in_this_window_happens_in_the_next(world: World) -> None:
    """2,500 a month: who came on 20 June is served at midnight of 1 July, before anybody new."""
    world.clock.now = local(2025, 6, 20, 12)
    await limited(world, limit("month", 3, on_full=OnFull.NEXT_WINDOW))
    members = [await rich(world) for _ in range(8)]
    for member in members[:3]:
        assert "ok" == await ask(world, member)
    for member in members[3:]:
        assert "waits" == await await_room(world, member)
    world.clock.now = local(2025, 6, 30, 23, 59, 59)
    assert 0 == await serve(world)
    world.clock.now = local(2025, 7, 1)
    assert "cap_reached" == await ask(world, members[0])
    assert 3 == await serve(world)
    served = [(member, "SERVED") for member in members[3:6]]
    assert [*served, (members[6], ""), (members[7], "")] == await ends(world)
    world.clock.now = local(2025, 8, 1)
    assert 2 == await serve(world, 1)  # whoever is not ended yet takes nothing of August, either
    over = [(member, "OVER") for member in members[6:]]
    assert [*served, *over] == await ends(world)
    assert "ok" == await ask(world, members[0])
    assert [] == await world.findings()


async def test_whoever_comes_at_the_turn_takes_what_is_beyond_those_who_wait(
    world: World,
) -> None:
    """Five a month, two wait for three pieces: before they are served others claim two."""
    world.clock.now = local(2025, 6, 20, 12)
    await limited(world, limit("month", 5, on_full=OnFull.NEXT_WINDOW))
    first, second, *others = [await rich(world) for _ in range(5)]
    assert "ok" == await ask(world, first, quantity=5)
    assert "waits" == await await_room(world, first)
    assert "waits" == await await_room(world, second, quantity=2)
    world.clock.now = local(2025, 7, 1)
    assert ["ok", "cap_reached", "ok", "cap_reached"] == [
        await ask(world, others[0]),
        await ask(world, others[1], quantity=2),
        await await_room(world, others[1]),
        await ask(world, others[2]),
    ]
    assert 2 == await serve(world)
    assert [(first, "SERVED"), (second, "SERVED")] == await ends(world)
    assert 5 == (await windows(world))["limit:month", "2025-07"]
    assert [] == await world.findings()


async def test_who_begins_to_wait_is_before_whoever_is_decided_then(world: World) -> None:
    """Of one group, too: five were taken, four came back, two want more than is left beside."""
    await limited(world, limit("drop", 6, on_full=OnFull.WAITLIST))
    holder, first, second, late = [await rich(world) for _ in range(4)]
    claims = await claimed(world, *(wish(holder, "LOUNGE") for _ in range(5)))
    assert "waits" == await await_room(world, first, quantity=2)
    for claim_id in claims[:4]:
        await call_back(world, await number_of(world, claim_id), REFUSED)
    outcomes = await decide(
        world, wish(second, "LOUNGE", quantity=4, waits=True), wish(late, "LOUNGE", quantity=3)
    )
    assert ["waits", "cap_reached"] == [said_of(outcome) for outcome in outcomes]
    assert 1 == await serve(world)
    assert [(first, "SERVED"), (second, "")] == await ends(world)
    assert [] == await world.findings()


async def test_units_of_a_make_good_wait_for_no_room(world: World) -> None:
    """L-9: of three pieces two are made good, so the first needs room for one."""
    await limited(world, limit("drop", 4, on_full=OnFull.WAITLIST))
    holder, other = [await rich(world) for _ in range(2)]
    member = await world.member()
    await give(world, gift(member, "LOUNGE", quantity=2), gift(member, "LOUNGE", quantity=1))
    await world.rows(
        "UPDATE lot SET cause = 'MAKE_GOOD' WHERE member_id = $1 AND granted = 2", member
    )
    claims = await claimed(world, *(wish(holder, "LOUNGE") for _ in range(4)))
    assert "waits" == await await_room(world, member, quantity=3)
    assert "waits" == await await_room(world, other, quantity=2)
    assert 0 == await serve(world)
    await call_back(world, await number_of(world, claims[0]), REFUSED)
    assert 1 == await serve(world)
    assert [(member, "SERVED"), (other, "")] == await ends(world)
    assert 4 == (await windows(world))["limit:drop", "2025-07"]


async def test_who_waited_for_a_window_that_is_over_keeps_nobody_back(world: World) -> None:
    """A waiting list of June, not ended yet, is not before those who come on 1 July."""
    world.clock.now = local(2025, 6, 20, 12)
    await limited(world, limit("drop", 1, on_full=OnFull.WAITLIST))
    first, second = [await rich(world) for _ in range(2)]
    assert "ok" == await ask(world, first)
    assert "waits" == await await_room(world, second)
    world.clock.now = local(2025, 7, 1)
    assert "ok" == await ask(world, first)
    assert 1 == await serve(world)
    assert [(second, "OVER")] == await ends(world)


async def test_g_ref_1_a_members_own_room_opens_with_the_next_window(world: World) -> None:
    """8 a month: of ten in June the last two are made on 1 July, one after the other."""
    world.clock.now = local(2025, 6, 20, 12)
    await limited(world, limit("own", 8, Scope.MEMBER, on_full=OnFull.NEXT_WINDOW))
    member = await rich(world)
    assert "ok" == await ask(world, member, quantity=8)
    assert "waits" == await await_room(world, member, quantity=2)
    world.clock.now = local(2025, 7, 1) - timedelta(microseconds=1)
    assert 0 == await serve(world)
    world.clock.now = local(2025, 7, 1)
    assert 1 == await serve(world)
    assert [(member, "SERVED")] == await ends(world)
    assert [] == await world.findings()


async def test_who_cannot_claim_any_more_keeps_nobody_back(world: World) -> None:
    """Units that went, a limit that is not theirs any more: a wait ends, the next is served."""
    some = limit("drop", 1, on_full=OnFull.WAITLIST, window=CapWindow.LIFETIME)
    await limited(world, some)
    first, poor, last = [await rich(world) for _ in range(3)]
    other = await rich(world, "VIDEO")
    assert "ok" == await ask(world, first)
    for member in (poor, last):
        assert "waits" == await await_room(world, member)
    assert "waits" == await await_room(world, other, "VIDEO")
    await world.rows("UPDATE lot SET held = remaining WHERE member_id = $1", poor)
    await limited(world, limit("drop", 2, on_full=OnFull.WAITLIST, window=CapWindow.LIFETIME))
    assert 2 == await serve(world)
    expected = [(poor, "insufficient_units"), (last, "SERVED"), (other, "")]
    assert expected == await ends(world)
    whole = CapWindow.LIFETIME
    await limited(world, limit("drop", 2, on_full=OnFull.WAITLIST, window=whole, benefits=LOUNGE))
    assert 1 == await serve(world)
    assert [*expected[:2], (other, "SERVED")] == await ends(world)


async def test_releases_newcomers_and_workers_race_and_nobody_is_passed(world: World) -> None:
    """Three come back, the limit grows by two, eight wait, four come anew: five are served."""
    await limited(world, limit("drop", 4, on_full=OnFull.WAITLIST))
    holder = await rich(world)
    claims = await claimed(world, *(wish(holder, "LOUNGE") for _ in range(4)))
    waiting = [await rich(world) for _ in range(8)]
    for member in waiting:
        assert "waits" == await await_room(world, member)
    newcomers = [await rich(world) for _ in range(4)]
    for claim_id in claims[:3]:
        await tell(world, await number_of(world, claim_id), REFUSED)
    is_over = asyncio.Event()

    async def release() -> None:
        await limited(world, limit("drop", 6, on_full=OnFull.WAITLIST))
        while await work_off(world):
            await asyncio.sleep(0)

    async def come() -> list[str]:
        pairs = zip(newcomers[::2], newcomers[1::2], strict=True)
        each = [(ask(world, one), await_room(world, other)) for one, other in pairs]
        return await asyncio.gather(*(way for ways in each for way in ways))

    async def race() -> list[str]:
        _, said = await asyncio.gather(release(), come())
        is_over.set()
        return said

    async def work() -> None:
        while not is_over.is_set():
            await serve(world, 3)
            assert 0 == await passed(world)
            assert 6 >= sum((await windows(world)).values())

    said, *_ = await asyncio.gather(race(), work(), work())
    assert ["cap_reached", "waits"] * 2 == said
    await serve(world)
    found = await ends(world)
    assert {member for member, how in found if how == "SERVED"} == {*waiting[:5]}
    assert 10 == len(found)
    assert {("limit:drop", "2025-07"): 6} == await windows(world)
    assert [] == await world.findings()


async def passed(world: World) -> int:
    """Return how many wait behind whom somebody was served."""
    ((count,),) = await world.rows(
        "SELECT count(*) FROM wait AS o WHERE o.ended_at IS NULL AND EXISTS ("
        "SELECT FROM wait AS s WHERE s.reason = 'SERVED' AND s.number > o.number)"
    )
    return int(count)


async def test_a_stop_in_between_claims_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut after its claim was made it waits on, and is served once; what it asked is forgotten."""
    await limited(world, limit("drop", 0, on_full=OnFull.REJECT))
    member = await rich(world)
    assert "cap_reached" == await await_room(world, member)
    await limited(world, limit("drop", 1, on_full=OnFull.WAITLIST))
    (claim_id,) = await claimed(world, wish(await rich(world), "LOUNGE"))
    assert "waits" == await await_room(world, member)
    await call_back(world, await number_of(world, claim_id), REFUSED)

    async def cut(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(waits, "end", cut)
        with pytest.raises(ConnectionError):
            await serve(world)
    assert [(member, "")] == await ends(world)
    assert {("limit:drop", "2025-07"): 0} == await windows(world)
    assert (1, 0) == (await serve(world), await serve(world))
    kept = await world.rows("SELECT body_sealed, next_at FROM wait")
    assert [(None, None)] == [tuple(row) for row in kept]
    assert {("limit:drop", "2025-07"): 1} == await windows(world)


async def test_a_queue_that_fails_keeps_no_other_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with one is told once the others are served."""

    async def room(most: int) -> None:
        lounges = limit("a", most, Scope.BENEFIT, on_full=OnFull.WAITLIST, benefits=LOUNGE)
        await limited(world, lounges, limit("z", most, Scope.BENEFIT, on_full=OnFull.WAITLIST))

    await room(1)
    lounge, video = await rich(world), await rich(world, "VIDEO")
    for member, benefit in ((lounge, "LOUNGE"), (video, "VIDEO")):
        assert "ok" == await ask(world, member, benefit)
        assert "waits" == await await_room(world, member, benefit)
    await room(2)
    end = waits.end

    async def cut(writer: Writer, ended: Sequence[waits.Ended], now: datetime) -> None:
        if ended[0].wait.benefit == "LOUNGE":
            raise ConnectionError
        await end(writer, ended, now)

    monkeypatch.setattr(waits, "end", cut)
    with pytest.raises(ConnectionError):
        await serve(world)
    assert {(lounge, ""), (video, "SERVED")} == {*await ends(world)}


async def test_whoever_was_merged_waits_on_and_goes_to_the_end_of_another_queue(
    world: World,
) -> None:
    """Served at one limit it finds another full, at which others wait: it is behind them."""
    await allow(world, 3, 2)
    holder, of, into, other = [await rich(world) for _ in range(4)]
    assert "ok" == await ask(world, holder, quantity=2)
    assert "waits" == await await_room(world, other)  # at the second limit
    await allow(world, 2, 2)
    assert "waits" == await await_room(world, of)  # at the first, which is asked first
    await merged(world, of, into)
    assert "already_waiting" == await await_room(world, into)
    await allow(world, 9, 2)
    assert 0 == await serve(world)
    await allow(world, 9, 3)
    assert 1 == await serve(world)
    assert {(other, "SERVED"), (of, "")} == {*await ends(world)}
    await allow(world, 9, 4)
    assert 1 == await serve(world)
    claimers = await world.rows("SELECT member_id FROM claim WHERE quantity = 1")
    assert {other, into} == {row.member_id for row in claimers}
    assert [] == await world.findings()


async def test_the_first_of_two_queues_do_not_wait_for_each_other(world: World) -> None:
    """Two wait at either limit, each has room for one: the first is whoever waits longest."""
    await allow(world, 2, 9)
    holder, *four = [await rich(world) for _ in range(5)]
    assert "ok" == await ask(world, holder, quantity=2)
    for member in four:
        world.clock.now += timedelta(seconds=1)
        assert "waits" == await await_room(world, member)
        if member == four[1]:
            await allow(world, 2, 2)  # those who follow find both full
    queues = await world.rows("SELECT count(*) FROM wait WHERE bucket >= 0 GROUP BY queue")
    assert [2, 2] == [row.count for row in queues]
    for each, served in enumerate(four):
        await allow(world, 3 + each, 3 + each)
        assert 1 == await serve(world)
        assert (served, "SERVED") == (await ends(world))[each]
    assert [] == await world.findings()


async def test_who_goes_to_the_end_of_another_queue_keeps_back_whoever_is_behind(
    world: World,
) -> None:
    """K-8: of two who find it in one transaction the first wants more than is beyond it."""
    await limited(
        world,
        limit("all", 10, on_full=OnFull.WAITLIST),
        limit("a", 4, Scope.BENEFIT, on_full=OnFull.WAITLIST, benefits=LOUNGE),
    )
    holder, watcher, waits_for_all, first, second = [await rich(world) for _ in range(5)]
    await give(world, *(gift(each, quantity=9) for each in (watcher, waits_for_all)))
    (held,) = await claimed(world, wish(holder, "LOUNGE", quantity=4))
    await claimed(world, wish(watcher, quantity=5))
    assert "waits" == await await_room(world, waits_for_all, "VIDEO", quantity=3)
    for member, quantity in ((first, 3), (second, 1)):
        world.clock.now += timedelta(seconds=1)
        assert "waits" == await await_room(world, member, quantity=quantity)
    await call_back(world, await number_of(world, held), REFUSED)
    assert 1 == await serve(world)
    assert [(waits_for_all, "SERVED"), (first, ""), (second, "")] == await ends(world)
    assert [] == await world.findings()


async def allow(world: World, both: int, one: int) -> None:
    """Let claims wait at two limits, of which one is asked first."""
    await limited(
        world,
        limit("both", both, on_full=OnFull.WAITLIST),
        limit("one", one, Scope.BENEFIT, on_full=OnFull.WAITLIST, benefits=LOUNGE),
    )
