"""`benefits verify`, the books and the log as a whole, against reading the same rows.

Every member was given units and saw them end: two batches each, sealed. The plain reading gives
every column of every row of the tables concerned to a client. `BENCH_BATCHES` says how many.
"""

import asyncio
import os
import statistics
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from benefits.actions import look_back, seal
from benefits.embedded import Postgres
from benefits.store.db import connect
from tests.bench.ledger import grant_all
from tests.bench.test_expire import command, prepare
from tests.service import fresh_keys

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
BATCHES = int(os.environ.get("BENCH_BATCHES", "100000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
TABLES = ("member", "lot", "wallet", "entitlement_grant", "batch", "posting", "outbox", "leaf")


async def test_verifying_is_measured_against_reading_the_same_rows(
    durable_server: Postgres,
) -> None:
    """Print seconds and the ratio to reading the same rows (the goal is 4), and the look back."""
    seconds = dict[str, list[float]]()
    peaks = list[float]()
    with durable_server as server:
        keys = fresh_keys()
        dsn = await prepare(server.dsn, keys)
        raw = await asyncpg.connect(dsn)
        now = datetime.now(UTC)
        ends = now - timedelta(minutes=1)
        await grant_all(raw, BATCHES // 2, at=now - timedelta(hours=1), ends=ends)
        await asyncio.to_thread(command, dsn, keys, "expire")
        database = connect(dsn)
        begun = time.perf_counter()
        while await database.transact(seal.seal):
            pass
        seconds["sealing"] = [time.perf_counter() - begun]
        await raw.execute("VACUUM ANALYZE")
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            await _read(raw)
            seconds.setdefault("plain reading", []).append(time.perf_counter() - begun)
            took, peak_mb = await asyncio.to_thread(command, dsn, keys, "verify")
            seconds.setdefault("verify", []).append(took)
            peaks.append(peak_mb)
            begun = time.perf_counter()
            assert [] == await look_back.look_back(database, "refuse")
            seconds.setdefault("look back", []).append(time.perf_counter() - begun)
        await database.close()
        await raw.close()
    plain = statistics.median(seconds["plain reading"])
    for name, each in seconds.items():
        median = statistics.median(each)
        print(
            f"{name:14s} {median:8.2f} s {median / plain:6.2f} x plain"
            f"   of {[round(one, 2) for one in each]}"
        )
    print(f"verify's peak: {max(peaks):.0f} MB")


async def _read(raw: asyncpg.Connection) -> None:
    """Read every row, a thousand at a time."""
    async with raw.transaction():
        for table in TABLES:
            async for _ in raw.cursor(f"SELECT * FROM {table}", prefetch=1000):
                pass
