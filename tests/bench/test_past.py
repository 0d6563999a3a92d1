"""Reading one member's past does not get slower as the ledger grows: ten times the postings.

Last 20 entries and the balance as of a date, for members with as many entries in both ledgers;
medians of interleaved rounds. `BENCH_POSTINGS` is the size of the smaller one.
"""

import os
import statistics
import time
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from benefits.domain.past import Bounds
from benefits.embedded import Postgres
from benefits.store import past
from benefits.store.db import Database, connect
from benefits.store.migrate import ensure_partitions, migrate
from benefits.store.past import Stretch
from tests.bench.ledger import record_past
from tests.builders import MEMBER_KEY

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
POSTINGS = int(os.environ.get("BENCH_POSTINGS", "20000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
READS = 200
EACH = 40
BEGIN = datetime(2025, 1, 5, tzinfo=UTC)
INSTANTS = [BEGIN + nth * timedelta(days=340) / EACH for nth in range(EACH)]
AS_OF = datetime(2025, 7, 1, tzinfo=UTC)


async def _filled(server_dsn: str, name: str, postings: int) -> tuple[Database, list[UUID]]:
    """Make a database with that many postings, 40 a member over a year; return its members."""
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    dsn = urlsplit(server_dsn)._replace(path=f"/{name}").geturl()
    database = connect(dsn, pool_size=2)
    await migrate(database, "test", MEMBER_KEY)
    await ensure_partitions(database, BEGIN)
    raw = await asyncpg.connect(dsn)
    begun = time.perf_counter()
    ids = await record_past(raw, postings // EACH, INSTANTS)
    took = time.perf_counter() - begun
    await raw.execute("VACUUM ANALYZE batch, posting")
    size = await raw.fetchval("SELECT pg_size_pretty(pg_database_size(current_database()))")
    await raw.close()
    print(f"{postings:,} postings, {size}, made in {took:.0f} s")
    return database, ids


async def _read(database: Database, ids: list[UUID]) -> tuple[float, float]:
    """Return median milliseconds for the last 20 entries and for a balance as of a date."""
    entries, balances = list[float](), list[float]()
    async with database.transaction() as conn:
        for member in ids:
            begun = time.perf_counter()
            page = await past.entries(
                conn, member, Stretch(None, None, None), before=None, limit=20
            )
            middle = time.perf_counter()
            sums = await past.sums(conn, member, Bounds(AS_OF, AS_OF, AS_OF))
            balances.append(time.perf_counter() - middle)
            entries.append(middle - begun)
            assert (20, 2) == (len(page), len(sums))
    return statistics.median(entries) * 1000, statistics.median(balances) * 1000


async def test_a_member_is_read_as_fast_in_a_ledger_ten_times_as_large(
    durable_server: Postgres,
) -> None:
    """Print the ratio of latencies; the goal is 1.2 or less."""
    chance = Random(20250702)
    told: dict[str, list[tuple[float, float]]] = {"small": [], "large": []}
    with durable_server as server:
        ledgers = {
            "small": await _filled(server.dsn, "small", POSTINGS),
            "large": await _filled(server.dsn, "large", 10 * POSTINGS),
        }
        for round_ in range(ROUNDS + 1):
            for name, (database, ids) in ledgers.items():
                # Other members each time: what was read lately says nothing of the others.
                found = await _read(database, chance.sample(ids, min(READS, len(ids))))
                if round_:  # the first warms up
                    told[name].append(found)
        for database, _ in ledgers.values():
            await database.close()
    for place, what in enumerate(("last 20 entries", "balance as of a date")):
        small, large = (
            statistics.median(one[place] for one in told[name]) for name in ("small", "large")
        )
        print(
            f"{what}: {small:.2f} ms at {POSTINGS:,} postings, {large:.2f} ms at "
            f"{10 * POSTINGS:,}; ratio {large / small:.2f}"
        )
