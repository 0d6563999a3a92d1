"""Kill -9 in the middle of long runs: run again, they leave what an undisturbed one leaves (3.18).

Two installations bring the same customers the same way: in one the run is killed and done again,
in the other it is done once. Ids and instants apart, they hold the same afterwards.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from benefits.domain.assets import AssetLine
from benefits.domain.feeds import FeedKey
from benefits.domain.values import BUCKETS, bucket_of
from benefits.store.db import connect
from benefits.worker import Worker
from tests import builders
from tests.actions.feeding import fed, send
from tests.actions.life import gift, give
from tests.actions.test_expire import dsn_of
from tests.builders import World
from tests.conftest import database
from tests.roles import server
from tests.service import environment, fresh_keys
from tests.tidy.sources import ROOT

MANY = 3000
RIPE = datetime(2025, 7, 11, 2, tzinfo=UTC)
GOLD_ON_ONE_DAY = 30 * 50_000_00
MAY = [date(2025, 5, day) for day in range(1, 32)]
CHILD = """
import asyncio, sys
from tests.machine.test_killed_runs import work
asyncio.run(work(sys.argv[1]))
"""
TIERS = """
SELECT member_id, month, cause, rank, effective_from::text FROM tier_decision ORDER BY 1, 2, 3
"""
MONTHS = "SELECT bucket, month, settled, decided FROM evaluation ORDER BY 1, 2"
LOTS = """
SELECT member_id, unit, line, period, cause, granted, remaining, held, expired FROM lot
ORDER BY 1, 2, 3, 4, 5, 6, 7
"""
UNITS = "SELECT member_id, unit, cause, granted, remaining, held FROM lot ORDER BY 1, 2, 3, 4, 5"
WALLETS = "SELECT member_id, unit, available, held, owed FROM wallet ORDER BY 1, 2"
TOLD = "SELECT member_id, type, count(*) FROM outbox GROUP BY 1, 2 ORDER BY 1, 2"
MEMBERS = "SELECT member_id, merged_into, has_merged FROM member ORDER BY 1"
FROZEN = """
SELECT b.name, b.month, m.member_id, m.total::text, m.divisor, m.days, m.filled_days
FROM baseline AS b JOIN member_baseline AS m ON m.name = b.name ORDER BY 1, 3
"""


@pytest.fixture
async def calm(migrated: str, cluster_dsn: str) -> AsyncIterator[World]:
    """Give a second installation, in which nothing is killed."""
    async with database(cluster_dsn, migrated) as dsn, builders.world(dsn) as made:
        yield made


async def held(world: World, *statements: str) -> list[Any]:
    """Return what some statements tell."""
    return [[tuple(row) for row in await world.rows(one)] for one in statements]


async def process(world: World, *words: str) -> Process:
    """Begin a process of Python on a world's database."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *words),
        env=environment(dsn_of(world), fresh_keys()),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )


async def done(world: World, *words: str) -> None:
    """Run a command to its end."""
    running = await process(world, "-m", "benefits", *words)
    _, said = await running.communicate()
    assert 0 == running.returncode, said.decode()


@asynccontextmanager
async def in_the_way(world: World, statement: str, *values: object) -> AsyncIterator[None]:
    """Hold what a statement locks, in a transaction that is never committed."""
    admin = await asyncpg.connect(server(world.database))
    try:
        async with asyncio.timeout(60):
            await admin.execute("BEGIN")
            await admin.execute(statement, *values)
            yield
    finally:
        await admin.close()


async def kill_as_it_waits(world: World, *words: str) -> None:
    """End a command as a power cut would, once it waits for what is in its way."""
    running = await process(world, "-m", "benefits", *words)
    waits = """SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    while not await world.rows(waits):
        assert running.returncode is None, "it ended by itself"
        await asyncio.sleep(0.02)
    running.kill()
    await running.communicate()


async def work(dsn: str) -> None:
    """Be a worker of a process of its own, when June is to be evaluated."""
    pool = connect(dsn)
    try:
        world = World(pool)
        world.clock.now = RIPE
        await decide(world)
    finally:
        await pool.close()


async def decide(world: World) -> None:
    """Let a worker evaluate what there is to evaluate."""
    worker = Worker(world.database, world.parts, {})
    while await worker.keep_tiers():
        pass


async def test_an_evaluation_that_is_killed_is_gone_on_with(world: World, calm: World) -> None:
    """The worker's run of a month: every member is decided, granted and told once (T-3)."""
    for each in (world, calm):
        await fed(each)
        each.clock.now = RIPE
        await each.members(MANY)
        lines = [(each.name(n), GOLD_ON_ONE_DAY) for n in range(1, MANY + 1)]
        assert [] == await send(each, FeedKey("core", date(2025, 6, 1)), lines)
    running = await process(world, "-c", CHILD, dsn_of(world))
    async with asyncio.timeout(60):
        while not await world.rows("SELECT 1 FROM tier_decision LIMIT 1"):
            assert running.returncode is None, "it ended by itself"
            await asyncio.sleep(0.01)
    running.kill()
    await running.communicate()
    ((decided,),) = await world.rows("SELECT count(*) FROM tier_decision")
    assert 0 < decided < MANY
    world.clock.forward(minutes=3)
    await decide(world)
    await decide(calm)
    assert [(BUCKETS, None)] == await world.rows(
        "SELECT next_bucket, leased_until FROM evaluation_run"
    )
    statements = (TIERS, MONTHS, LOTS, WALLETS, TOLD)
    assert await held(calm, *statements) == await held(world, *statements)
    assert [(MANY,)] == await world.rows("SELECT count(*) FROM tier_decision")
    assert [] == await world.findings()


async def test_a_baseline_that_is_killed_leaves_nothing_and_is_frozen_again(
    world: World, calm: World
) -> None:
    """It is of one moment: killed with members frozen already, none is (M-12)."""
    for each in (world, calm):
        ids = await each.members(40)
        await each.assets(
            [
                AssetLine(each.name(n), day, "DEPOSIT", "CNY", n * 1000_00)
                for n in range(1, 41)
                for day in MAY
            ]
        )
    command = [
        "baseline",
        "freeze",
        "summer",
        "--programme",
        "wealth",
        "--month",
        "2025-05",
        "--by",
        "anna-li",
    ]
    last = max(ids, key=bucket_of)
    row = """INSERT INTO member_baseline (bucket, member_id, name, total, divisor, days,
        filled_days, generation, recorded_at) VALUES ($1, $2, 'summer', 0, 1, 0, 0, 0, now())"""
    async with in_the_way(world, row, bucket_of(last), last):
        await kill_as_it_waits(world, *command)
    assert [[]] == await held(world, FROZEN)
    for each in (world, calm):
        await done(each, *command)
    ((before,), (after,)) = await held(calm, FROZEN), await held(world, FROZEN)
    assert before == after
    assert 40 == len(after)
    assert [] == await world.findings()


async def test_mergers_that_are_killed_are_brought_again(
    world: World, calm: World, tmp_path: Path
) -> None:
    """Whole chunks are in; the same file brings the rest, and no unit moves twice (T-10)."""
    file, pairs = tmp_path / "merges.csv", 300
    file.write_text("\n".join(["customer,into", *_lines(pairs)]) + "\n")
    for each in (world, calm):
        each.clock.now = datetime.now(UTC)
        ids = await each.members(2 * pairs)
        await give(each, *(gift(id_, "LOUNGE", valid_days=400) for id_ in ids))
    late = ids[2 * 250]
    command = ("import", "merges", str(file))
    lock = "SELECT 1 FROM member WHERE bucket = $1 AND member_id = $2 FOR UPDATE"
    async with in_the_way(world, lock, bucket_of(late), late):
        await kill_as_it_waits(world, *command)
    merged = "SELECT count(*) FROM member WHERE merged_into IS NOT NULL"
    assert [(200,)] == await world.rows(merged)
    for each in (world, calm):
        await done(each, *command)
    assert [(pairs,)] == await world.rows(merged)
    statements = (MEMBERS, UNITS, WALLETS, TOLD)
    assert await held(calm, *statements) == await held(world, *statements)
    assert [] == await world.findings()


def _lines(pairs: int) -> Iterable[str]:
    return (f"T{2 * n + 1:06d},T{2 * n + 2:06d}" for n in range(pairs))
