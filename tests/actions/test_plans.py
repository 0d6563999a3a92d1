"""What actions ask of the database follows an index, whatever the size of the tables.

The tables of a test are too small for the planner to prefer an index, so scans are forbidden while
it explains: where one is planned all the same, there is no index to follow.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest

from benefits.actions import receive
from benefits.actions.cancel import CancelClaim, cancel
from benefits.actions.choose import choose
from benefits.actions.claim import claim
from benefits.actions.grant import reward
from benefits.actions.look_up import see
from benefits.actions.redeem import RedeemClaim, redeem
from benefits.actions.report import costs
from benefits.domain.booking import Booking
from benefits.domain.corrections import Kind
from benefits.domain.orders import (
    Done,
    Expired,
    Outcome,
    PartlyUsed,
    Pending,
    Reason,
    RedeemBy,
    Rejected,
    Reversed,
    Unknown,
    Used,
)
from benefits.domain.values import Month
from benefits.store.db import Connection, run
from benefits.store.schema import metadata
from tests.actions.choosing import choosing, pick, platinum
from tests.actions.desk import correct
from tests.actions.life import (
    call_back,
    claimed,
    expire_lots,
    fresh,
    gift,
    give,
    give_up_unheard,
    holder,
    lapse_holds,
    lease,
    number_of,
    provider_can,
    record,
    said,
    tell,
    wish,
    work_off,
)
from tests.actions.test_bookings import bookable, booked
from tests.actions.test_eligibility import asking, one, say
from tests.actions.test_paid_by_use import ordered
from tests.actions.test_redeem import use
from tests.actions.test_stacking import FIRST, having, start
from tests.builders import NOON, World

# They grow with the members, their claims and what providers say.
GROWING = {table.name for table in metadata.tables.values() if "bucket" in table.c}
# In these stands nothing but what waits: it leaves them when it is done.
WAITING = {"ix_inbox_waiting"}
# All that a range of buckets holds: a worker alone has every one of them.
_BUCKETS = re.compile(r"\(\((?:\w+\.)?bucket >= [^()]+\) AND \((?:\w+\.)?bucket <= [^()]+\)\)")
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
Asked = dict[str, list[tuple[Any, ...]]]


@contextmanager
def listening() -> Iterator[Asked]:
    """Give every statement that is run, with the values of each time."""
    asked = Asked()

    def heard(real: Any) -> Any:
        async def ask(self: Any, sql: str, *values: Any, **more: Any) -> Any:
            if sql.lstrip().startswith(VERBS):
                asked.setdefault(sql, []).append(values)
            return await real(self, sql, *values, **more)

        return ask

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fetch", "execute"):
            patch.setattr(asyncpg.Connection, name, heard(getattr(asyncpg.Connection, name)))
        yield asked


async def live(world: World) -> None:
    """Do what members, providers and time do all day."""
    member = await holder(world, "LOUNGE", quantity=5)
    await give(world, gift(member, quantity=2))
    used, given_back, waiting = await claimed(world, *(wish(member, "LOUNGE") for _ in range(3)))
    await claimed(world, wish(member))
    works = {work.request.claim_id: work for work in await lease(world)}
    for id_, outcome in ((used, Done(at=NOON)), (waiting, Unknown("silence"))):
        if id_ in works:
            await record(world, works[id_], outcome)
    await call_back(world, await number_of(world, used), Done(at=NOON), Used(at=NOON))
    await call_back(world, await number_of(world, given_back), Rejected(Reason.LIMIT, "limit"))
    await tell(world, "f" * 32, Used(at=NOON))
    async with world.database.transaction() as conn:
        await receive.work_off(conn, world.parts, buckets=(0, 511), limit=100)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=used)
    world.clock.forward(days=2)
    await lapse_holds(world)
    assert (0, 0) < await give_up_unheard(world)
    world.clock.forward(days=60)
    await expire_lots(world)


def _nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


async def _scans(conn: Connection, sql: str, values: tuple[Any, ...]) -> list[str]:
    """Return the growing tables that a statement reads from end to end, or all of some buckets."""
    driver: Any = conn.sync_connection.connection.driver_connection  # type: ignore[union-attr]  # it is open
    (text,) = (row[0] for row in await driver.fetch(f"EXPLAIN (FORMAT JSON) {sql}", *values))
    (explained,) = json.loads(text) if isinstance(text, str) else text
    found = []
    for node in _nodes(explained["Plan"]):
        table = node.get("Relation Name", "").partition("_20")[0]
        by = [node[key] for key in ("Index Cond", "Recheck Cond", "TID Cond") if key in node]
        follows = any(not _BUCKETS.fullmatch(each) for each in by)
        follows |= node.get("Index Name") in WAITING
        if table in GROWING and node["Node Type"].endswith("Scan") and not follows:
            found.append(f"{table}: {node['Node Type']}")
    return found


async def read_from_end_to_end(world: World, asked: Asked) -> dict[str, list[str]]:
    """Return the statements that follow no index, with the tables."""
    wrong = {}
    for sql, (values, *_) in asked.items():
        async with world.database.transaction() as conn:
            await run(conn, "SET LOCAL enable_seqscan = off")
            await run(conn, "SET LOCAL plan_cache_mode = force_generic_plan")
            if scans := await _scans(conn, sql, values):
                wrong[" ".join(sql.split())[:200]] = scans
    return wrong


async def test_no_statement_of_the_day_reads_a_growing_table_from_end_to_end(
    world: World,
) -> None:
    """Claims, rewards, consents, deliveries, callbacks, sweeps and looks follow indexes."""
    with listening() as asked:
        await live(world)
        command = wish(await holder(world))
        async with world.database.transaction() as conn:
            await claim(conn, [command], world.parts, wait=False)
            await see(conn, [command.member_id], world.parts, claims=20)
        await world.apply(asking("{ new_customer = { months = 12 } }", consent=True))
        assert "ok" == await say(world, command.member_id)
        assert "not_eligible" == await one(world, command.member_id)
    assert len(asked) > 60
    assert {} == await read_from_end_to_end(world, asked)


async def test_periods_start_without_reading_what_was_granted_in_others(world: World) -> None:
    """P-3: of each member, by the key that names the line and the period."""
    await having(world, FIRST)
    await world.members(2)
    with listening() as asked:
        await start(world)
    scans = list[str]()
    for sql, (values, *_) in asked.items():
        async with world.database.transaction() as conn:
            await run(conn, "SET LOCAL enable_seqscan = off")
            scans += await _scans(conn, sql, values)
    assert [] == [scan for scan in scans if scan.startswith("entitlement_")]
    assert [sql for sql in asked if "FROM entitlement_change" in sql]


async def visits(world: World, count: int) -> list[RedeemClaim]:
    """Return the words that as many delivered visits are used, of a member each."""
    await provider_can(world, redeem_by=RedeemBy.US)
    holders = [await holder(world, "LOUNGE") for _ in range(count)]
    ids = await claimed(world, *(wish(member, "LOUNGE") for member in holders))
    for work in await lease(world):
        await record(world, work, Done(at=world.clock.now))
    return [use(id_) for id_ in ids]


async def bookings(world: World, count: int, *, sent: bool) -> list[CancelClaim]:
    """Return wishes to give as many bookings up, of a member each."""
    await bookable(world, Booking(free_cancel_hours=48), cap=None)
    given = await world.members(count)
    await give(world, *(gift(member, "SPA") for member in given))
    ids = [await booked(world, member) for member in given]
    for work in await lease(world) if sent else ():
        await record(world, work, Pending("R"))
    return [CancelClaim(caller="mobile", key=fresh("c"), claim_id=id_) for id_ in ids]


async def as_often_for_many(world: World, action: Any, commands: Sequence[Any]) -> Asked:
    """See that three at once ask as often as one, once what is cached was read; return what."""
    heard = list[Asked]()
    for some in (commands[:1], commands[1:2], commands[2:5]):
        with listening() as asked:
            async with world.database.transaction() as conn:
                outcomes = await action(conn, some, world.parts, wait=False)
        assert ["ok"] * len(some) == [said(outcome) for outcome in outcomes]
        heard.append(asked)
    _, alone, together = heard
    assert how_often(alone) == how_often(together)
    return together


def how_often(asked: Asked) -> dict[str, int]:
    """Return how often each statement was run."""
    return {sql: len(values) for sql, values in asked.items()}


async def test_a_group_of_claims_asks_no_more_often_than_one(world: World) -> None:
    """decisions/0001: one statement a table, however many are decided together; so of rewards."""
    members = [await holder(world) for _ in range(5)]
    await as_often_for_many(world, claim, [wish(member) for member in members])
    await as_often_for_many(world, reward, [gift(member) for member in members])


async def test_a_group_of_uses_asks_no_more_often_than_one(world: World) -> None:
    """And what it asks follows indexes."""
    asked = await as_often_for_many(world, redeem, await visits(world, 5))
    assert {} == await read_from_end_to_end(world, asked)


@pytest.mark.parametrize("sent", [False, True])
async def test_a_group_given_up_asks_no_more_often_than_one(world: World, *, sent: bool) -> None:
    """And what it asks follows indexes, whether providers are asked or not."""
    asked = await as_often_for_many(world, cancel, await bookings(world, 5, sent=sent))
    assert {} == await read_from_end_to_end(world, asked)


async def test_a_group_of_choices_asks_no_more_often_than_one(world: World) -> None:
    """And what it asks follows indexes."""
    await world.apply(choosing())
    picks = [pick(member) for member in await platinum(world, 5)]
    asked = await as_often_for_many(world, choose, picks)
    assert {} == await read_from_end_to_end(world, asked)


@pytest.mark.parametrize(
    "outcome", [Used(at=NOON), PartlyUsed(at=NOON, used=1), Reversed(at=NOON), Expired(at=NOON)]
)
async def test_a_page_of_callbacks_asks_no_more_often_than_one(
    world: World, outcome: Outcome
) -> None:
    """Of orders that are paid by their use, what was spent for each is read with one statement."""
    claims = [await ordered(world) for _ in range(5)]
    numbers = [await number_of(world, claim_id) for _, claim_id in claims]
    for number in numbers:
        await tell(world, number, Done(at=NOON))
    await work_off(world)
    heard = list[Asked]()
    for some in (numbers[:1], numbers[1:2], numbers[2:5]):
        for number in some:
            await tell(world, number, outcome)
        with listening() as asked:
            assert len(some) == await work_off(world)
        heard.append(asked)
    _, alone, together = heard
    assert how_often(alone) == how_often(together)
    assert {} == await read_from_end_to_end(world, together)
    assert [] == await world.findings()


async def test_what_a_month_cost_is_found_by_when_it_was_written(world: World) -> None:
    """Its batches by their ids, which begin with the time; the lots of all of them may be many."""
    await live(world)
    with listening() as asked:
        async with world.database.transaction() as conn:
            await costs(conn, world.parts, Month.of(NOON.date()))
    scans = (await read_from_end_to_end(world, asked)).values()
    assert set() == {scan for some in scans for scan in some if not scan.startswith("lot:")}
