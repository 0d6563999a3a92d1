"""Starting a period for all members, against a COPY of the rows that it wrote.

Rounds in databases of their own: every member has a tier that brings two lines their units on the
first day. COPY fills exactly what was written into the same tables of another database, with their
indexes, keys and checks. Then a day on which nothing begins, and one on which a thirtieth of the
members have a period of their own.
"""

import os
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest

from benefits.actions import start_period
from benefits.domain.packages import Anchor, Line, LinePeriod, Start
from benefits.domain.values import BUCKETS, bucket_of, member_id
from benefits.embedded import Postgres
from benefits.store.db import Database, connect
from benefits.store.migrate import create_database, ensure_partitions, migrate
from benefits.worker import Worker
from tests.bench.ledger import copy_grants
from tests.builders import World, reference_programme
from tests.service import fresh_keys

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]
MEMBERS = int(os.environ.get("BENCH_PERIOD_MEMBERS", "100000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
DATABASES = ("/benefits", "/other")
FIRST = datetime(2025, 7, 1, 2, tzinfo=UTC)
Figures = dict[str, list[float]]


def line(code: str, period: LinePeriod, anchor: Anchor = Anchor.CALENDAR) -> Line:
    """Return a line that brings everybody two visits on the first day of a period."""
    return Line(
        code=code,
        benefit="LOUNGE",
        period=period,
        anchor=anchor,
        quota={"BASE": 2},
        start=Start.PERIOD,
    )


async def test_a_period_is_started_at_a_share_of_a_copy(
    durable_server: Postgres, tmp_path: Path
) -> None:
    """Print seconds, and how often a plain COPY of the same rows fits into them."""
    figures = Figures()
    with durable_server as server:
        for _ in range(ROUNDS):
            await _in_a_database(server, figures, tmp_path)
    for name, values in figures.items():
        print(f"{name:34s} {statistics.median(values):10.2f}   of {[round(v, 2) for v in values]}")
    copy = statistics.median(figures["copying s"])
    ratio = statistics.median(figures["starting s"]) / copy
    print(f"starting / copying: {ratio:.2f}; {MEMBERS:,} members")


async def _in_a_database(server: Postgres, figures: Figures, folder: Path) -> None:
    admin = connect(server.dsn, pool_size=1)
    await create_database(admin)
    await admin.close()
    dsn, other = (urlsplit(server.dsn)._replace(path=path).geturl() for path in DATABASES)
    lines = [line("month", LinePeriod.MONTH), line("quarter", LinePeriod.QUARTER)]
    own = line("own", LinePeriod.MONTH, Anchor.ANNIVERSARY)
    await _prepare(dsn, lines=(*lines, own))
    bare = await asyncpg.connect(server.dsn)
    await bare.execute("CREATE DATABASE other TEMPLATE benefits STRATEGY file_copy")
    database = connect(dsn)
    world = World(database)
    world.clock.now = FIRST
    await _started(database, world, figures, "starting s")
    assert [(3 * MEMBERS,)] == await world.rows("SELECT count(*) FROM entitlement_grant")
    _keep(figures, "copying s", await copy_grants(dsn, other, folder))
    world.clock.now = FIRST.replace(day=2)
    await _started(database, world, figures, "a day for a thirtieth s")
    await world.apply(msgspec.structs.replace(reference_programme(), line=tuple(lines)))
    await _started(database, world, figures, "all members, nothing due s")
    world.clock.now = FIRST.replace(day=3)
    await _started(database, world, figures, "a day for nobody s")
    await database.close()
    for name in DATABASES:
        await bare.execute(f"DROP DATABASE {name.removeprefix('/')} WITH (FORCE)")
    await bare.close()


async def _prepare(dsn: str, *, lines: tuple[Line, ...]) -> None:
    """Make an installation whose members get units by lines."""
    database = connect(dsn)
    await migrate(database, "test", fresh_keys().member_key)
    await ensure_partitions(database, FIRST)
    raw = await asyncpg.connect(dsn)
    await _enrol(raw)
    await raw.close()
    world = World(database)
    world.clock.now = FIRST
    await world.apply(msgspec.structs.replace(reference_programme(), line=lines))
    await database.close()


async def _enrol(raw: asyncpg.Connection) -> None:
    ids = [member_id(f"T{n:07d}", bytes(32)) for n in range(MEMBERS)]
    await raw.copy_records_to_table(
        "member",
        columns=["bucket", "member_id", "opened_on", "recorded_at"],
        records=[
            (bucket_of(id_), id_, FIRST.date().replace(year=2024, day=n % 28 + 1), FIRST)
            for n, id_ in enumerate(ids)
        ],
    )
    await raw.execute("VACUUM ANALYZE member")


async def _started(database: Database, world: World, figures: Figures, name: str) -> None:
    """Let a worker do all there is, and keep how long it took."""
    worker, begun = Worker(database, world.parts, {}), time.perf_counter()
    while await worker.start_periods():
        pass
    _keep(figures, name, time.perf_counter() - begun)
    leased = await start_period.begin(database, world.parts, "wealth")
    done = await start_period.go_on(database, world.parts, leased, BUCKETS)
    assert (MEMBERS, 0) == (done.done.members, done.done.grants)


def _keep(figures: Figures, name: str, took: float) -> None:
    """Keep how long something took, and show it at once: a million members take a while."""
    figures.setdefault(name, []).append(took)
    print(f"{name:34s} {took:10.2f}", flush=True)
