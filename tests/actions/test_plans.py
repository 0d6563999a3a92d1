"""What actions ask of the database follows an index, whatever the size of the tables.

The tables of a test are too small for the planner to prefer an index, so scans are forbidden while
it explains: where one is planned all the same, there is no index to follow.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest

from benefits.actions import receive
from benefits.actions.claim import claim
from benefits.actions.look_up import see
from benefits.domain.corrections import Kind
from benefits.domain.orders import Done, Reason, Rejected, Unknown, Used
from benefits.store.db import Connection, run
from benefits.store.schema import metadata
from tests.actions.desk import correct
from tests.actions.life import (
    call_back,
    claimed,
    expire_lots,
    gift,
    give,
    give_up_unheard,
    holder,
    lapse_holds,
    lease,
    number_of,
    record,
    tell,
    wish,
)
from tests.actions.test_eligibility import asking, one, say
from tests.actions.test_stacking import FIRST, having, start
from tests.builders import NOON, World

# They grow with the members, their claims and what providers say.
GROWING = {table.name for table in metadata.tables.values() if "bucket" in table.c}
# In these stands nothing but what waits: it leaves them when it is done.
WAITING = {"ix_inbox_waiting"}
# All that a range of buckets holds: a worker alone has every one of them.
_BUCKETS = re.compile(r"\(\((?:\w+\.)?bucket >= [^()]+\) AND \((?:\w+\.)?bucket <= [^()]+\)\)")
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
Asked = dict[str, tuple[Any, ...]]


@contextmanager
def listening() -> Iterator[Asked]:
    """Give every statement that is run, with the values it was first run with."""
    asked = Asked()

    def heard(real: Any) -> Any:
        async def ask(self: Any, sql: str, *values: Any, **more: Any) -> Any:
            if sql.lstrip().startswith(VERBS):
                asked.setdefault(sql, values)
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
    wrong = {}
    for sql, values in asked.items():
        async with world.database.transaction() as conn:
            await run(conn, "SET LOCAL enable_seqscan = off")
            await run(conn, "SET LOCAL plan_cache_mode = force_generic_plan")
            if scans := await _scans(conn, sql, values):
                wrong[" ".join(sql.split())[:200]] = scans
    assert {} == wrong


async def test_periods_start_without_reading_what_was_granted_in_others(world: World) -> None:
    """P-3: of each member, by the key that names the line and the period."""
    await having(world, FIRST)
    await world.members(2)
    with listening() as asked:
        await start(world)
    scans = list[str]()
    for sql, values in asked.items():
        async with world.database.transaction() as conn:
            await run(conn, "SET LOCAL enable_seqscan = off")
            scans += await _scans(conn, sql, values)
    assert [] == [scan for scan in scans if scan.startswith("entitlement_")]
    assert [sql for sql in asked if "FROM entitlement_change" in sql]
