"""Claims per second over HTTP at 1 to 256 connections, against two baselines of the same run.

They are spread over two service processes, or as many as `BENCH_SERVICES` says. One baseline is a
constant handler of the same processes (`GET /health`): what HTTP alone costs. The other is the
same redeem as one function call in the database, on one hot budget row and spread.
Rounds are interleaved, and of each figure the median counts.
"""

import asyncio
import contextlib
import os
import random
import statistics
from uuid import UUID

import pytest

from benefits.embedded import Postgres
from tests.bench import load
from tests.bench.stage import pgbench, prepare, wish
from tests.service import fresh_keys, serve

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))

SERVICES = int(os.environ.get("BENCH_SERVICES", "2"))
CONNECTIONS = (1, 8, 64, 256)
PGBENCH = {1: 1, 8: 8, 64: 16, 256: 16}  # clients that serve it best at so many connections
Figures = dict[str, list[float]]


async def test_claims_over_http_are_measured_against_a_constant_and_one_function_call(
    durable_server: Postgres,
) -> None:
    """Print claims per second and latencies, and their ratios to both baselines."""
    with durable_server as server:
        keys = fresh_keys()
        dsn, member_ids, key = await prepare(server.dsn, keys)
        async with contextlib.AsyncExitStack() as stack:
            services = [await stack.enter_async_context(serve(dsn, keys)) for _ in range(SERVICES)]
            ports, figures = [service.port for service in services], Figures()
            await _round(dsn, ports, key=key, member_ids=member_ids, figures=Figures())
            for _ in range(ROUNDS):
                await _round(dsn, ports, key=key, member_ids=member_ids, figures=figures)
    report = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in report.items():
        print(f"{name:34s} {value:10.1f}   of {[round(v, 1) for v in figures[name]]}")
    _table(report)
    assert all(failed == 0 for name, f in figures.items() if "failed" in name for failed in f)


def _table(report: dict[str, float]) -> None:
    print(
        "connections | claims/s   p50 ms   p99 ms | constant/s   p50 ms   p99 ms | of constant",
        end="",
    )
    print(" | of pgbench hot  spread")
    for n in CONNECTIONS:
        claims, constant = (
            [report[f"{kind} {n}: {what}"] for what in ("per s", "p50 ms", "p99 ms")]
            for kind in ("claims", "constant")
        )
        ratios = [
            claims[0] / report[f"pgbench {PGBENCH[n]} {kind}: per s"] for kind in ("hot", "spread")
        ]
        print(
            f"{n:11d} | {claims[0]:8,.0f} {claims[1]:8.2f} {claims[2]:8.2f}"
            f" | {constant[0]:10,.0f} {constant[1]:8.2f} {constant[2]:8.2f}"
            f" | {claims[0] / constant[0]:11.2f} | {ratios[0]:14.2f} {ratios[1]:7.2f}"
        )


async def _round(
    dsn: str, ports: list[int], *, key: str, member_ids: list[UUID], figures: Figures
) -> None:
    def some() -> bytes:
        return wish(key, random.choice(member_ids))

    for connections in CONNECTIONS:
        for kind, make, status in (("constant", _constant, 200), ("claims", some, 201)):
            made = await load.spread(
                ports, make, connections=connections, seconds=SECONDS, status=status
            )
            for what, value in (
                ("per s", made.per_s),
                ("p50 ms", made.p50_ms),
                ("p99 ms", made.p99_ms),
                ("failed", float(made.failed)),
            ):
                figures.setdefault(f"{kind} {connections}: {what}", []).append(value)
    for clients in sorted(set(PGBENCH.values())):
        for kind, hot in (("hot", 1), ("spread", 0)):
            per_s = await asyncio.to_thread(pgbench, dsn, clients, seconds=SECONDS, hot=hot)
            figures.setdefault(f"pgbench {clients} {kind}: per s", []).append(per_s)


def _constant() -> bytes:
    return b"GET /health HTTP/1.1\r\nHost: bench\r\n\r\n"
