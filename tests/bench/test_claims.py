"""Claims per second over HTTP at 1 to 256 connections, against two baselines of the same run.

One is a constant handler of the same server process (`GET /health`): what HTTP alone costs. The
other is the same redeem as one function call in the database, on one hot budget row and spread.
Rounds are interleaved, and of each figure the median counts.
"""

import asyncio
import os
import random
import statistics
import subprocess
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from benefits.actions.grant import RewardMember, reward
from benefits.actions.keys import make_key
from benefits.domain.catalogue import read
from benefits.domain.values import bucket_of
from benefits.embedded import Postgres, binary
from benefits.house import real_clock
from benefits.settings import Keys
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import create_database, migrate
from tests.bench import load
from tests.builders import PROGRAMME, World
from tests.service import fresh_keys, serve

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
MEMBERS = int(os.environ.get("BENCH_MEMBERS", "20000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
RICH = PROGRAMME.replace('total = "10000.00"', 'total = "10000000000.00"')


CONNECTIONS = (1, 8, 64, 256)
PGBENCH = {1: 1, 8: 8, 64: 16, 256: 16}  # clients that serve it best at so many connections
Figures = dict[str, list[float]]


async def test_claims_over_http_are_measured_against_a_constant_and_one_function_call(
    durable_server: Postgres,
) -> None:
    """Print claims per second and latencies, and their ratios to both baselines."""
    with durable_server as server:
        keys = fresh_keys()
        dsn, member_ids, key = await _prepare(server.dsn, keys)
        async with serve(dsn, keys) as service:
            figures = Figures()
            await _round(dsn, service.port, key=key, member_ids=member_ids, figures=Figures())
            for _ in range(ROUNDS):
                await _round(dsn, service.port, key=key, member_ids=member_ids, figures=figures)
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
    dsn: str, port: int, *, key: str, member_ids: list[UUID], figures: Figures
) -> None:
    def wish() -> bytes:
        return _request(key, random.choice(member_ids))

    for connections in CONNECTIONS:
        for kind, make, status in (("constant", _constant, 200), ("claims", wish, 201)):
            made = await load.run(
                port, make, connections=connections, seconds=SECONDS, status=status
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
            per_s = await asyncio.to_thread(_pgbench, dsn, clients, hot)
            figures.setdefault(f"pgbench {clients} {kind}: per s", []).append(per_s)


def _constant() -> bytes:
    return b"GET /health HTTP/1.1\r\nHost: bench\r\n\r\n"


def _request(key: str, member_id: UUID) -> bytes:
    body = b'{"benefit":"LOUNGE","recipient":{"phone":"13800000001"}}'
    head = (
        f"POST /v1/members/{member_id}/claims HTTP/1.1\r\nHost: bench\r\n"
        f"Authorization: Bearer {key}\r\nIdempotency-Key: {uuid4().hex}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _pgbench(dsn: str, clients: int, hot: int) -> float:
    script = Path(__file__).with_name("redeem.pgbench")
    command = [
        *(str(binary("pgbench")), "-n", "-M", "prepared", "-T", str(int(SECONDS))),
        *(
            "-c",
            str(clients),
            "-j",
            "2",
            "-D",
            f"members={MEMBERS}",
            "-D",
            f"hot={hot}",
            "-f",
            str(script),
            dsn,
        ),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("tps"))
    return float(line.split("=")[1].split()[0])


async def _prepare(server_dsn: str, keys: Keys) -> tuple[str, list[UUID], str]:
    server = connect(server_dsn, pool_size=1)
    await create_database(server)
    await server.close()
    dsn = urlsplit(server_dsn)._replace(path="/benefits").geturl()
    database = connect(dsn)
    await migrate(database, "test", keys.member_key)
    world = World(database, envelope=Envelope(keys.secret_keys), clock=real_clock)
    await world.apply(read(RICH))
    ids = await world.members(MEMBERS)
    for start in range(0, len(ids), 500):
        commands = [_reward(id_) for id_ in ids[start : start + 500]]
        async with database.transaction() as conn:
            await reward(conn, commands, world.parts, wait=True)
    async with database.transaction() as conn:
        key = await make_key(conn, "bench", ["mobile"], world.parts)
    await database.close()
    raw = await asyncpg.connect(dsn)
    await raw.execute(Path(__file__).with_name("redeem.sql").read_text())
    rows = [(n, bucket_of(id_), id_) for n, id_ in enumerate(ids, 1)]
    await raw.copy_records_to_table("bench_member", records=rows)
    await raw.execute("VACUUM ANALYZE")
    await raw.close()
    return dsn, ids, key


def _reward(member_id: UUID) -> RewardMember:
    return RewardMember(
        caller="bench",
        key=member_id.hex,
        member_id=member_id,
        benefit="LOUNGE",
        quantity=100,
        business_key="bench",
        valid_days=300,
    )
