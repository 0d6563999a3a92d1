"""Signed callbacks taken in over HTTP, against a constant handler of the same server.

One service process, 64 connections. Each callback is new, is kept in the inbox, and acknowledged
when that is committed; no worker applies them. CPU is the service's own.
"""

import os
import random
import statistics
import time
from uuid import uuid4

import asyncpg
import pytest

from benefits.embedded import Postgres
from tests.bench import load
from tests.bench.provided import cpu_s
from tests.bench.stage import constant, told_used
from tests.bench.test_expire import prepare
from tests.service import Serving, fresh_keys, serve

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
CONNECTIONS = 64
NUMBERS = [uuid4() for _ in range(1000)]
Figures = dict[str, list[float]]


async def test_taking_callbacks_in_is_measured_against_a_constant(
    durable_server: Postgres,
) -> None:
    """Print callbacks a second, p50, p99, CPU each, and the ratio; what was answered is kept."""
    figures = Figures()
    with durable_server as server:
        keys = fresh_keys()
        dsn = await prepare(server.dsn, keys)
        raw = await asyncpg.connect(dsn)
        async with serve(dsn, keys) as service:
            await _round(service, Figures())
            for _ in range(ROUNDS):
                before = await raw.fetchval("SELECT count(*) FROM inbox")
                answered = await _round(service, figures)
                kept = await raw.fetchval("SELECT count(*) FROM inbox") - before
                assert answered == kept, "a callback was answered and not kept, or the reverse"
        await raw.close()
    median = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in median.items():
        print(f"{name:24s} {value:10,.2f} of {[round(v, 2) for v in figures[name]]}")
    ratio = median["callbacks: per s"] / median["constant: per s"]
    print(f"callbacks / constant: {ratio:.2f}")


async def _round(service: Serving, figures: Figures) -> int:
    """Send constants, then callbacks; return how many callbacks were answered."""
    sent = 0

    def callback() -> bytes:
        nonlocal sent
        sent += 1
        return told_used(random.choice(NUMBERS))

    for name, make in (("constant", constant), ("callbacks", callback)):
        cpu, begun = cpu_s(service.process.pid), time.perf_counter()
        made = await load.run(
            service.port, make, connections=CONNECTIONS, seconds=SECONDS, status=200
        )
        took, cpu = time.perf_counter() - begun, cpu_s(service.process.pid) - cpu
        assert 0 == made.failed
        figures.setdefault(f"{name}: per s", []).append(made.per_s)
        figures.setdefault(f"{name}: p50 ms", []).append(made.p50_ms)
        figures.setdefault(f"{name}: p99 ms", []).append(made.p99_ms)
        figures.setdefault(f"{name}: CPU µs", []).append(cpu / (made.per_s * took) * 1e6)
    return sent
