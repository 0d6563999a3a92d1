"""Whitelists: a snapshot counts whole, from its day on, and says who stays, joins and leaves."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from benefits.actions import record_whitelist
from benefits.actions.record_whitelist import keep
from benefits.domain.labels import Layer
from benefits.domain.packages import LinePeriod, Segment
from benefits.domain.whitelists import Snapshot, WhitelistInvalid, WhitelistReplaced
from benefits.store import whitelists
from benefits.store.db import Connection
from tests.actions.listing import labels, send
from tests.actions.merging import listed
from tests.actions.test_start_period import EARLY, having, line, work
from tests.actions.test_ways import take
from tests.builders import MEMBER_KEY, World

FOUNDERS = Segment(label="founders", layer=Layer.LIST, name={"zh": "创始客户", "en": "Founders"})
FOR_FOUNDERS = line("founders", LinePeriod.MONTH, quota={}, segment=FOUNDERS, quantity=2)
FIRST, SECOND, THIRD = (date(2025, 7, day) for day in (1, 2, 3))


async def test_members_of_a_list_get_what_its_line_brings(world: World) -> None:
    """P-2, S-1: by the machinery of labels; a later snapshot replaces the list from its day on."""
    await having(world, FOR_FOUNDERS)
    one, two, three = await world.members(3)
    names = [world.name(nth) for nth in (1, 2, 3)]
    world.clock.now = EARLY
    done = await send(world, names[0], names[1], names[0], "nobody")
    assert (4, 2, 1, [(5, "customer: not a member")]) == (
        *(done.lines, done.kept, done.unchanged, done.shown),
    )
    july = ("founders", "2025-07", 2)
    assert [july, july] == await work(world)
    world.clock.forward(hours=1)
    assert 0 == (await send(world, names[0], names[1], names[0], "nobody")).kept
    world.clock.forward(days=1)
    await send(world, names[1], names[2])  # one leaves, one joins
    assert {(one, FIRST, SECOND), (two, FIRST, None), (three, SECOND, None)} == await labels(world)
    assert [july] * 3 == await work(world, EARLY + timedelta(days=2))
    august = ("founders", "2025-08", 2)
    found = await work(world, EARLY + timedelta(days=31))
    assert [july] * 3 + [august] * 2 == sorted(found)
    ((causes,),) = await world.rows("SELECT array_agg(DISTINCT cause) FROM entitlement_grant")
    assert ["SEGMENT"] == causes
    assert [] == await world.findings()


async def test_a_snapshot_of_the_same_day_stands_in_the_place_of_the_last(world: World) -> None:
    """S-1: whoever was on it by mistake was never; an end is moved; none goes back in time."""
    one, two = await world.members(2)
    await send(world, world.name(1), to=date(2025, 8, 1), from_=SECOND)
    world.clock.forward(seconds=1)
    await send(world, world.name(2), from_=SECOND)
    assert {(two, SECOND, None)} == await labels(world)
    world.clock.forward(seconds=1)
    await send(world, world.name(1), world.name(2), from_=THIRD, to=date(2025, 8, 1))
    until = date(2025, 8, 1)
    assert {(one, THIRD, until), (two, SECOND, until)} == await labels(world)
    world.clock.forward(seconds=1)
    await send(world, from_=THIRD)  # nobody is left
    assert {(two, SECOND, THIRD)} == await labels(world)
    for from_, to in ((FIRST, None), (THIRD, THIRD), (date(1025, 7, 2), None)):
        with pytest.raises(WhitelistInvalid):
            await send(world, world.name(1), from_=from_, to=to)
    ((count,),) = await world.rows("SELECT count(*) FROM whitelist")
    assert 4 == count


async def test_a_list_that_was_stopped_goes_on_and_counts_once_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is on it before all are; another snapshot meanwhile takes its place."""
    await world.members(3)
    names = [world.name(nth) for nth in (1, 2, 3)]
    monkeypatch.setattr(record_whitelist, "CHUNK", 1)
    told = list[int]()

    async def stopped(conn: Connection, of: Snapshot, lines: Any, **more: Any) -> Any:
        told.append(1)
        if len(told) == 3:
            raise asyncio.CancelledError
        return await keep(conn, of, lines, **more)

    with monkeypatch.context() as patched:
        patched.setattr(record_whitelist, "keep", stopped)
        with pytest.raises(asyncio.CancelledError):
            await send(world, *names)
    assert set() == await labels(world)
    dry = await send(world, *names, dry_run=True)
    assert (3, 1) == (dry.lines, dry.kept)  # two are there
    assert set() == await labels(world)
    assert 1 == (await send(world, *names)).kept
    assert 3 == len(await labels(world))
    world.clock.forward(seconds=1)
    async with world.database.transaction() as conn:
        old = await whitelists.last(conn, "founders")
        assert old is not None
    await send(world, names[0])
    async with world.database.transaction() as conn:
        with pytest.raises(WhitelistReplaced):
            await keep(conn, old, [(2, names[1])], member_key=MEMBER_KEY)


async def test_a_name_is_a_labels_or_a_lists(world: World) -> None:
    """S-1: neither file takes the other's; LIST is no layer of the platform's."""
    await world.members(2)
    await send(world, world.name(1))
    done = await take(
        world,
        f"{world.name(1)},founders,FACT,2025-07-01,,v1",
        f"{world.name(1)},vip,LIST,2025-07-01,,v1",
        f"{world.name(1)},payroll,FACT,2025-07-01,,v1",
    )
    assert [
        (2, "label: 'founders' is a whitelist's name"),
        (3, "layer: 'LIST' is none of FACT, RULE, MODEL"),
    ] == [(number, reason) for number, reason in done.shown]
    with pytest.raises(WhitelistInvalid):
        await send(world, world.name(2), name="payroll")


async def test_who_was_merged_is_on_the_list_and_leaves_it(world: World) -> None:
    """T-10: the old number on the list is the other's; a list without either ends both."""
    await having(world, FOR_FOUNDERS)
    await world.members(2)
    world.clock.now = EARLY
    await send(world, world.name(1))
    await listed(world, (world.name(1), world.name(2)))
    assert [("founders", "2025-07", 2)] == await work(world)
    world.clock.now = datetime(2025, 7, 20, tzinfo=UTC)
    await send(world, world.name(1))  # by the old number
    assert 2 == len(await work(world, datetime(2025, 8, 1, tzinfo=UTC)))
    world.clock.forward(days=1)
    await send(world)
    assert 2 == len(await work(world, datetime(2025, 9, 1, tzinfo=UTC)))


async def test_what_has_not_begun_may_be_replaced_from_an_earlier_day_on(world: World) -> None:
    """S-1: a day that was written wrongly does not hold the list; whoever stays, stays."""
    one, two = await world.members(2)
    await send(world, world.name(1), from_=FIRST)
    for number, from_ in ((2, date(2052, 7, 1)), (2, THIRD)):
        world.clock.forward(seconds=1)
        await send(world, world.name(number), from_=from_)
    assert {(one, FIRST, THIRD), (two, THIRD, None)} == await labels(world)
    world.clock.forward(seconds=1)
    await send(world, world.name(1), world.name(2), from_=THIRD)
    assert {(one, FIRST, None), (two, THIRD, None)} == await labels(world)


async def test_a_late_retry_of_what_was_replaced_changes_nothing(world: World) -> None:
    """S-1: the same list and days again are refused once another one holds."""
    _, two = await world.members(2)
    await send(world, world.name(1))
    world.clock.forward(minutes=1)
    await send(world, world.name(2))
    world.clock.forward(minutes=1)
    with pytest.raises(WhitelistReplaced, match="was replaced by a later one"):
        await send(world, world.name(1))
    await send(world, world.name(2))
    assert {(two, SECOND, None)} == await labels(world)
