"""What a month cost, by line: how long a look takes, of an open month and of a closed one.

`BENCH_CLAIMS` claims were used in the month, and as many in each of the months after it. Medians
of interleaved rounds.
"""

import os
import statistics
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import asyncpg
import pytest

from benefits.actions.close_month import close_month
from benefits.actions.report import costs
from benefits.domain.programme_file import read
from benefits.domain.values import Month
from benefits.embedded import Postgres
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import create_database, ensure_partitions, migrate
from tests.bench.ledger import Wanted, deliver_all
from tests.builders import PROGRAMME, World
from tests.service import fresh_keys

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
CLAIMS = int(os.environ.get("BENCH_CLAIMS", "200000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
FIRST, AFTER = Month(2025, 3), 2


async def test_what_a_month_cost_is_read_in_a_while(durable_server: Postgres) -> None:
    """Print seconds, while the month is open and once it is closed; the sums are the same."""
    with durable_server as server:
        dsn, world = await _world(server.dsn)
        raw = await asyncpg.connect(dsn)
        for nth in range(AFTER + 1):
            month = FIRST.plus(nth)
            at = datetime(month.year, month.number, 10, 4, tzinfo=UTC)
            wanted = Wanted(
                benefit="VIDEO",
                provider="sandbox",
                sku="V",
                body_sealed=b"x",
                body_hash=bytes(32),
                at=at,
            )
            await deliver_all(raw, CLAIMS, wanted)
        await raw.execute("VACUUM ANALYZE")
        expected = f"{CLAIMS * 15}.00"
        took = {"open": await _timed(world, expected)}
        await close_month(world.database, world.parts, FIRST, actor="system:bench")
        took["closed"] = await _timed(world, expected)
        await raw.close()
        await world.database.close()
    for name, each in took.items():
        print(f"{name}: {statistics.median(each):.2f} s of {CLAIMS:,} claims, of {each}")


async def _timed(world: World, expected: str) -> list[float]:
    """Return how long looks at the first month took."""
    took = list[float]()
    for _ in range(ROUNDS + 1):
        begun = time.perf_counter()
        async with world.database.transaction() as conn:
            found = await costs(conn, world.parts, FIRST)
        took.append(round(time.perf_counter() - begun, 2))
        assert [expected] == [one.spent for one in found.lines]
    return took[1:]  # the first warms up


async def _world(server_dsn: str) -> tuple[str, World]:
    server = connect(server_dsn, pool_size=1)
    await create_database(server)
    await server.close()
    dsn, keys = urlsplit(server_dsn)._replace(path="/benefits").geturl(), fresh_keys()
    database = connect(dsn)
    await migrate(database, "test", keys.member_key)
    await ensure_partitions(database, datetime(FIRST.year, FIRST.number, 1, tzinfo=UTC))
    world = World(database, envelope=Envelope(keys.secret_keys), clock=lambda: datetime.now(UTC))
    await world.apply(read(PROGRAMME.replace('total = "10000.00"', 'total = "10000000000.00"')))
    return dsn, world
