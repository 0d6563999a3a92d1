"""Kill -9 in the middle of a period's start, and of claims that nobody makes: all comes once.

A trigger of the test lets the second write of a kind wait; whoever waits there is killed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from benefits import worker
from benefits.store.db import connect
from tests import builders
from tests.actions.test_claim_granted import claimed, waiving
from tests.actions.test_expire import dsn_of
from tests.actions.test_start_period import EARLY, work
from tests.builders import World
from tests.conftest import database
from tests.machine.test_killed_runs import LOTS, TOLD, WALLETS, held
from tests.roles import server
from tests.shell import FORKS

HOUR = timedelta(hours=1)
MANY, PAGE = 40, 10  # lots that come, and those that are claimed together
WAIT = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF EXISTS (SELECT FROM {table}) THEN PERFORM pg_sleep(100); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER wait BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION wait()
"""
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
CLAIMS = "SELECT member_id, benefit, quantity, state FROM claim ORDER BY 1, 2, 3"
RUNS = "SELECT day, next_bucket, leased_until FROM period_run"


def begin(dsn: str, hours: int) -> None:
    """Be a worker of a process of its own, some hours into a period's first day."""
    asyncio.run(_begin(dsn, hours))


async def _begin(dsn: str, hours: int) -> None:
    pool = connect(dsn)
    try:
        world = World(pool)
        await work(world, EARLY + hours * HOUR)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker, "PAGE", PAGE)
            await claimed(world)
    finally:
        await pool.close()


@pytest.fixture
async def calm(migrated: str, cluster_dsn: str) -> AsyncIterator[World]:
    """Give a second installation, in which nothing is killed."""
    async with database(cluster_dsn, migrated) as dsn, builders.world(dsn) as made:
        yield made


@asynccontextmanager
async def waits(world: World, table: str) -> AsyncIterator[None]:
    """Let the second write to a table wait, until the block ends."""
    admin = await asyncpg.connect(server(world.database))
    try:
        await admin.execute(WAIT.format(table=table))
        yield
        for (pid,) in await admin.fetch(f"{WAITING} AND datname = current_database()"):
            await admin.execute("SELECT pg_terminate_backend($1, 10000)", pid)
        await admin.execute("DROP FUNCTION wait CASCADE")
    finally:
        await admin.close()


async def killed_at(world: World, table: str, *, hours: int) -> int:
    """Kill a worker as it writes to a table once more; return how many rows there are then."""
    async with waits(world, table):
        running = FORKS.Process(target=begin, args=(dsn_of(world), hours))
        running.start()
        async with asyncio.timeout(120):
            while not await world.rows(f"{WAITING} AND datname = current_database()"):
                assert running.is_alive(), "it ended by itself"
                await asyncio.sleep(0.02)
        running.kill()
        await asyncio.to_thread(running.join)
    ((count,),) = await world.rows(f"SELECT count(*) FROM {table}")
    return int(count)


async def test_a_period_and_its_claims_that_are_killed_are_gone_on_with(
    world: World, calm: World
) -> None:
    """Each member has the period's units once, and each unit is claimed once (P-2, P-3)."""
    for each in (world, calm):
        await each.apply(waiving(1, stock=1000))
        await each.members(MANY)
    for hours, table in enumerate(("entitlement_grant", "claim")):  # then leases are over
        assert 0 < await killed_at(world, table, hours=hours) < MANY
    for each in (world, calm):
        await work(each, EARLY + 2 * HOUR)
        await claimed(each)
    statements = (LOTS, WALLETS, TOLD, CLAIMS, RUNS)
    assert await held(calm, *statements) == await held(world, *statements)
    assert [(MANY,)] == await world.rows("SELECT count(*) FROM claim")
    assert [] == await world.findings()
