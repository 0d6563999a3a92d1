"""Claims per second over HTTP against the same redeem as one function call, in one run."""

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
from benefits.app import real_clock
from benefits.domain.catalogue import read
from benefits.domain.values import bucket_of
from benefits.embedded import Postgres, binary
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


async def test_claims_over_http_are_measured_against_one_function_call(
    durable_server: Postgres,
) -> None:
    """Print claims per second at 1 and 64 connections as ratios to pgbench's redeem."""
    with durable_server as server:
        keys = fresh_keys()
        dsn, member_ids, key = await _prepare(server.dsn, keys)
        async with serve(dsn, keys) as service:
            figures = dict[str, list[float]]()
            for _ in range(ROUNDS):
                await _round(dsn, service.port, key=key, member_ids=member_ids, figures=figures)
    report = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in report.items():
        print(f"{name:34s} {value:10.1f}   of {[round(v, 1) for v in figures[name]]}")
    for connections, clients in ((1, 1), (64, 16)):
        for kind in ("hot", "spread"):
            ratio = (
                report[f"http {connections}: per s"] / report[f"pgbench {clients} {kind}: per s"]
            )
            print(f"claims at {connections} / pgbench {kind} at {clients}: {ratio:.2f}")
    assert all(failed == 0 for name, f in figures.items() if "failed" in name for failed in f)


async def _round(
    dsn: str, port: int, *, key: str, member_ids: list[UUID], figures: dict[str, list[float]]
) -> None:
    for connections in (1, 64):
        made = await load.run(
            port,
            lambda: _request(key, random.choice(member_ids)),
            connections=connections,
            seconds=SECONDS,
        )
        for what, value in (
            ("per s", made.per_s),
            ("p50 ms", made.p50_ms),
            ("p99 ms", made.p99_ms),
            ("failed", float(made.failed)),
        ):
            figures.setdefault(f"http {connections}: {what}", []).append(value)
    for clients in (1, 16):
        for kind, hot in (("hot", 1), ("spread", 0)):
            per_s = await asyncio.to_thread(_pgbench, dsn, clients, hot)
            figures.setdefault(f"pgbench {clients} {kind}: per s", []).append(per_s)


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
