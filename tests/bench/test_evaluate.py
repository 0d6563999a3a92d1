"""Evaluating a month against PostgreSQL merely summing its daily rows; looking ahead; corrections.

Members have thirty daily rows and the month sums that an import keeps of them. Medians of rounds;
each has a database of its own, so that no run finds the decisions of another.
"""

import os
import resource
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg
import pytest

from benefits.actions.evaluate import Evaluated, evaluate, slices
from benefits.actions.look_ahead import Ahead, look_ahead
from benefits.domain.values import Month, bucket_of, member_id
from benefits.embedded import Postgres
from benefits.store.db import connect
from benefits.store.migrate import create_database, migrate
from tests.builders import World, reference_programme
from tests.service import fresh_keys

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]
MEMBERS = int(os.environ.get("BENCH_EVALUATE_MEMBERS", "100000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
CORRECTED = int(os.environ.get("BENCH_CORRECTED", "10000"))
# Without daily rows there is nothing to compare with or to look ahead from, and room for more.
HAS_DAYS = os.environ.get("BENCH_EVALUATE_DAYS", "1") == "1"
FIRST = Month(2025, 1)
NOW = datetime(2025, 12, 5, tzinfo=UTC)
LAST_DAY = datetime(2025, 1, 31, 2, tzinfo=UTC)
# One in a thousand is rich enough for platinum, one in fifty for gold: their first month is news.
LEVEL = """CASE WHEN m.nth % 1000 = 0 THEN 60000000 WHEN m.nth % 50 = 0 THEN 6000000
            ELSE m.nth % 4000000 END"""
DAILY = f"""
INSERT INTO asset (bucket, member_id, as_of, asset_class, currency, source, account, revision,
                   balance_minor, recorded_at)
SELECT m.bucket, m.member_id, d.day::date, 'DEPOSIT', 'CNY', 'core', '', 0, {LEVEL}, now()
FROM numbered AS m
CROSS JOIN generate_series($1::date, $1::date + interval '1 month' - interval '1 day', '1 day')
     AS d (day)
"""
SUMS = f"""
INSERT INTO asset_month (bucket, member_id, month, asset_class, currency, sum_minor, known_days)
SELECT m.bucket, m.member_id, $1::date, 'DEPOSIT', 'CNY', ({LEVEL}) * 31::bigint,
       (1::bigint << 31) - 1
FROM numbered AS m
"""
MERELY = """
SELECT count(*), max(n) FROM (
    SELECT member_id, sum(balance_minor) AS n FROM asset
    WHERE as_of >= $1 AND as_of < $1::date + interval '1 month' GROUP BY 1) AS s
"""
CORRECT = """
WITH v AS (UPDATE asset_move SET number = number + 1 RETURNING number)
UPDATE asset_month SET sum_minor = sum_minor + 200000000, moved = (SELECT number FROM v)
WHERE month = $1 AND (bucket, member_id) IN (SELECT bucket, member_id FROM numbered
                                             WHERE nth % 50 <> 0 ORDER BY nth LIMIT $2)
"""
Figures = dict[str, list[float]]
Result = TypeVar("Result")


async def test_a_month_is_evaluated_as_fast_as_it_is_summed(durable_server: Postgres) -> None:
    """Print each run's time as a ratio to the plain sum of the same month's daily rows."""
    figures = Figures()
    with durable_server as server:
        for _ in range(ROUNDS):
            await _in_a_database(server, figures)
    median = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in median.items():
        print(f"{name:34s} {value:10.2f}   of {[round(v, 2) for v in figures[name]]}")
    merely = median.pop("merely summing s", 0.0)
    for name, value in median.items() if merely else ():
        print(f"{name.removesuffix(' s')} / merely summing: {value / merely:.2f}")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{MEMBERS:,} members; peak {peak_mb:.0f} MB")


async def _in_a_database(server: Postgres, figures: Figures) -> None:
    admin = connect(server.dsn, pool_size=1)
    await create_database(admin)
    await admin.close()
    dsn = urlsplit(server.dsn)._replace(path="/benefits").geturl()
    database = connect(dsn)
    await migrate(database, "test", fresh_keys().member_key)
    world = World(database)
    world.clock.now = NOW
    await world.apply(reference_programme(), tiers_from=Month(2024, 1))
    raw = await asyncpg.connect(dsn)
    await _enrol(raw)
    await _round(raw, world, FIRST, figures)
    await raw.close()
    await database.close()
    bare = await asyncpg.connect(server.dsn)
    await bare.execute("DROP DATABASE benefits WITH (FORCE)")
    await bare.close()


async def _enrol(raw: asyncpg.Connection) -> None:
    ids = [member_id(f"T{n:07d}", bytes(32)) for n in range(MEMBERS)]
    await raw.execute("CREATE TABLE numbered (nth int, bucket smallint, member_id uuid)")
    await raw.copy_records_to_table(
        "numbered", records=[(n, bucket_of(id_), id_) for n, id_ in enumerate(ids)]
    )
    await raw.execute(
        "INSERT INTO member (bucket, member_id, opened_on, recorded_at) "
        "SELECT bucket, member_id, '2020-01-01', now() FROM numbered"
    )


async def _round(raw: asyncpg.Connection, world: World, month: Month, figures: Figures) -> None:
    await raw.fetch("SELECT make_partition('asset', $1)", month.start)
    await raw.execute(SUMS, month.start)
    if HAS_DAYS:
        await raw.execute(DAILY, month.start)
    await raw.execute("VACUUM ANALYZE")
    if HAS_DAYS:
        await _timed(figures, "merely summing s", lambda: raw.fetch(MERELY, month.start))
        world.clock.now = LAST_DAY
        for name in ("looking ahead s", "looking ahead again s"):
            seen = await _timed(figures, name, lambda: _look_ahead(world))
            assert MEMBERS == seen.members
        assert 0 == seen.told
    world.clock.now = NOW
    done = await _timed(figures, "evaluating s", lambda: _evaluate(world, month))
    assert MEMBERS == done.members
    again = await _timed(figures, "evaluating again s", lambda: _evaluate(world, month))
    assert (0, 0) == (again.decisions, again.grants)
    await raw.execute(CORRECT, month.start, CORRECTED)
    after = await _timed(figures, "after corrections s", lambda: _evaluate(world, month))
    assert min(CORRECTED, MEMBERS * 49 // 50) == after.decisions


async def _timed(figures: Figures, name: str, work: Callable[[], Awaitable[Result]]) -> Result:
    begun = time.perf_counter()
    done = await work()
    figures.setdefault(name, []).append(time.perf_counter() - begun)
    return done


async def _evaluate(world: World, month: Month) -> Evaluated:
    """Evaluate all buckets, as the command does."""
    total = Evaluated()
    for buckets in await slices(world.database):
        total = total.plus(
            await evaluate(world.database, world.parts, "wealth", month, buckets=buckets)
        )
    return total


async def _look_ahead(world: World) -> Ahead:
    """Look ahead in all buckets, as the command does."""
    total = Ahead()
    for buckets in await slices(world.database):
        total = total.plus(
            await look_ahead(world.database, world.parts, "wealth", buckets=buckets)
        )
    return total
