"""Lots that ended in one night, swept by the command: lots a second, and the peak memory.

Everybody's lot ends at one midnight, as those of a month's package do. `BENCH_LOTS` says how many.
"""

import asyncio
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from benefits.domain.programme_file import read
from benefits.embedded import Postgres
from benefits.settings import Keys
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import create_database, migrate
from tests.bench.ledger import grant_all
from tests.builders import PROGRAMME, World
from tests.service import environment, fresh_keys

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
LOTS = int(os.environ.get("BENCH_LOTS", "100000"))
ROOT = Path(__file__).parents[2]
LEFT = "SELECT count(*) FROM lot WHERE NOT swept"


async def test_a_night_of_ended_lots_is_swept(durable_server: Postgres) -> None:
    """Print lots per second of the command and its peak memory; none is left."""
    with durable_server as server:
        keys = fresh_keys()
        dsn = await prepare(server.dsn, keys)
        raw = await asyncpg.connect(dsn)
        now = datetime.now(UTC)
        ends = now - timedelta(minutes=1)
        await grant_all(raw, LOTS, at=now - timedelta(hours=1), ends=ends)
        took, peak_mb = await asyncio.to_thread(command, dsn, keys, "expire")
        print(f"{LOTS:,} lots in {took:.1f} s, {LOTS / took:,.0f} lots/s, peak {peak_mb:.0f} MB")
        assert 0 == await raw.fetchval(LEFT)
        await raw.close()


def command(dsn: str, keys: Keys, *words: str) -> tuple[float, float]:
    """Run a command as an operator does; return its seconds and its peak."""
    start = time.perf_counter()
    process = subprocess.Popen(
        (sys.executable, "-m", "benefits", *words), cwd=ROOT, env=environment(dsn, keys)
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert 0 == process.returncode
    return time.perf_counter() - start, usage.ru_maxrss / 1024


async def prepare(server_dsn: str, keys: Keys) -> str:
    """Make an installation with the reference programme and nobody in it."""
    server = connect(server_dsn, pool_size=1)
    await create_database(server)
    await server.close()
    dsn = urlsplit(server_dsn)._replace(path="/benefits").geturl()
    database = connect(dsn)
    await migrate(database, "test", keys.member_key)
    world = World(database, envelope=Envelope(keys.secret_keys), clock=lambda: datetime.now(UTC))
    await world.apply(read(PROGRAMME))
    await database.close()
    return dsn
