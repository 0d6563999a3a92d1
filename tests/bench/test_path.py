"""The hot path's other goals, each as a ratio within one run: medians of interleaved rounds.

Two service processes and 256 connections. Claims against the same rows written by one function
call each in the database; claims on one budget against claims spread over many;
held units captured by signed callbacks, until the last is applied, against claims; what a member
has, with ten benefits, against a constant handler; why a member had a tier at a time, asked by one
caller after the other, against the same; and the bytes on disk a claim takes, by table.
"""

import asyncio
import contextlib
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from benefits.embedded import Postgres
from benefits.settings import Keys
from tests.bench import load
from tests.bench.load import Load
from tests.bench.stage import (
    LOOKED_AT,
    constant,
    explained,
    look,
    pgbench,
    prepare,
    spread_of,
    told_used,
    wish,
)
from tests.service import Serving, environment, fresh_keys, serve

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
# What is measured: all of it, or parts by name.
PARTS = os.environ.get("BENCH_PARTS", "claims page explained captured").split()
CONNECTIONS = 256
CALLERS = 16  # clients that serve pgbench best
ROOT = Path(__file__).parents[2]
# A partition's pages count for its table.
SIZES = """
SELECT coalesce(i.inhparent, c.oid)::regclass::text AS name,
       sum(pg_total_relation_size(c.oid))::bigint AS bytes
FROM pg_class AS c LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1
"""
# Those that the service placed: what pgbench wrote holds no sealed body.
HELD = """
SELECT r.request_id FROM provider_request AS r JOIN claim AS c USING (bucket, claim_id)
WHERE c.state = 'HELD' AND substr(r.body_sealed, 1, 1) <> 'x'
"""
# The worker is to apply callbacks here, and not to call a provider that does not exist.
LATER = "UPDATE provider_request SET next_at = now() + interval '1 day'"
WAITING = "SELECT count(*) FROM inbox WHERE processed_at IS NULL"
CAPTURED = "SELECT count(*) FROM hold_end"
UNSEALED = "SELECT (SELECT count(*) FROM batch) - (SELECT count(*) FROM leaf)"
Figures = dict[str, list[float]]


class Ground:
    """What every figure is measured on."""

    def __init__(self, dsn: str, key: str, ids: list[UUID], ports: list[int]) -> None:
        """Remember it."""
        self.dsn = dsn
        self.key = key
        self.ids = ids
        self.ports = ports

    async def load(
        self, make: Callable[[], bytes], status: int, seconds: float, *, alone: bool = False
    ) -> Load:
        """Send requests to all services at once, or one after the other to the first."""
        ports, connections = (self.ports[:1], 1) if alone else (self.ports, CONNECTIONS)
        made = await load.spread(
            ports, make, connections=connections, seconds=seconds, status=status
        )
        assert made.failed == 0
        return made


async def test_the_hot_path_is_measured_against_itself(durable_server: Postgres) -> None:
    """Print each goal's ratio; every callback ends its hold."""
    with durable_server as server:
        keys = fresh_keys()
        dsn, ids, key = await prepare(server.dsn, keys, spread=True)
        async with contextlib.AsyncExitStack() as stack:
            services: list[Serving] = [
                await stack.enter_async_context(serve(dsn, keys)) for _ in range(2)
            ]
            ground = Ground(dsn, key, ids, [service.port for service in services])
            raw = await asyncpg.connect(dsn)
            stack.push_async_callback(raw.close)
            figures = Figures()
            await _round(ground, raw, keys, figures=Figures())
            await raw.execute("ANALYZE")  # plans made for empty tables end, as within a minute
            for _ in range(ROUNDS):
                await _round(ground, raw, keys, figures=figures)
    median = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in median.items():
        print(f"{name:34s} {value:10,.2f}   of {[round(v, 2) for v in figures[name]]}")
    for says, one, other in (
        ("claims on one budget / spread", "hot: per s", "spread: per s"),
        ("claims / one call in the database each, one budget", "hot: per s", "pgbench hot: per s"),
        ("claims / one call in the database each, spread", "hot: per s", "pgbench spread: per s"),
        ("captures by callback / claims", "captured: per s", "hot: per s"),
        ("member page / constant", "page: per s", "constant: per s"),
        ("an explanation / constant, p50", "explained: p50 ms", "constant, alone: p50 ms"),
    ):
        if one in median and other in median:
            print(f"{says}: {median[one] / median[other]:.2f}")


async def _round(ground: Ground, raw: asyncpg.Connection, keys: Keys, *, figures: Figures) -> None:
    if "page" in PARTS:
        some = ground.ids[:LOOKED_AT]
        await _measure(ground, figures, "page", lambda: look(ground.key, random.choice(some)))
        await _measure(ground, figures, "constant", constant)
    if "explained" in PARTS:
        asked = {
            "explained": lambda: explained(ground.key, random.choice(ground.ids[:LOOKED_AT])),
            "constant, alone": constant,
        }
        for name, make in asked.items():
            made = await ground.load(make, 200, SECONDS, alone=True)
            figures.setdefault(f"{name}: p50 ms", []).append(made.p50_ms)
            figures.setdefault(f"{name}: p99 ms", []).append(made.p99_ms)
    if "claims" in PARTS or "captured" in PARTS:
        await _claims(ground, raw, figures)
    if "claims" in PARTS:
        for name, is_hot in (("hot", 1), ("spread", 0)):
            called = await asyncio.to_thread(
                pgbench, ground.dsn, CALLERS, seconds=SECONDS, hot=is_hot
            )
            figures.setdefault(f"pgbench {name}: per s", []).append(called)
    if "captured" in PARTS:
        captured, p99_ms = await _captures(ground, raw, keys)
        figures.setdefault("captured: per s", []).append(captured)
        figures.setdefault("callback: p99 ms", []).append(p99_ms)


async def _measure(
    ground: Ground, figures: Figures, name: str, make: Callable[[], bytes], *, status: int = 200
) -> None:
    made = await ground.load(make, status, SECONDS)
    figures.setdefault(f"{name}: per s", []).append(made.per_s)
    figures.setdefault(f"{name}: p99 ms", []).append(made.p99_ms)


async def _claims(ground: Ground, raw: asyncpg.Connection, figures: Figures) -> None:
    key, ids = ground.key, ground.ids
    numbered = list(enumerate(ids))

    def hot() -> bytes:
        return wish(key, random.choice(ids))

    def spread() -> bytes:
        nth, id_ = random.choice(numbered)
        return wish(key, id_, spread_of(nth))

    before = dict(await raw.fetch(SIZES))
    claims = await raw.fetchval("SELECT count(*) FROM claim")
    await _measure(ground, figures, "hot", hot, status=201)
    await _measure(ground, figures, "spread", spread, status=201)
    claims = await raw.fetchval("SELECT count(*) FROM claim") - claims
    for name, size in sorted(dict(await raw.fetch(SIZES)).items()):
        if size > before[name]:
            figures.setdefault(f"bytes a claim: {name}", []).append((size - before[name]) / claims)


async def _captures(ground: Ground, raw: asyncpg.Connection, keys: Keys) -> tuple[float, float]:
    """Tell by callback that held orders were used; return captures a second, and the p99.

    The worker seals while it captures, but not what was written before.
    """
    await raw.execute(LATER)
    numbers = [row[0] for row in await raw.fetch(HELD)]
    random.shuffle(numbers)
    requests = map(told_used, numbers)
    ended = await raw.fetchval(CAPTURED)
    async with _working(ground.dsn, keys):
        while await raw.fetchval(UNSEALED):
            await asyncio.sleep(0.2)
        begun = time.perf_counter()
        made = await ground.load(lambda: next(requests, b""), 200, SECONDS)
        while await raw.fetchval(WAITING):
            await asyncio.sleep(0.05)
        took = time.perf_counter() - begun
    ended = await raw.fetchval(CAPTURED) - ended
    assert ended == len(numbers) - sum(1 for _ in requests), "a callback ended no hold"
    return ended / took, made.p99_ms


@contextlib.asynccontextmanager
async def _working(dsn: str, keys: Keys) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benefits", "work"),
        env=environment(dsn, keys),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.sleep(3)
        yield
    finally:
        process.terminate()
        await process.wait()
