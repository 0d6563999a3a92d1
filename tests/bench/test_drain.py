"""What came due in an outage, drained by one worker, against a bare client of the same receiver.

`BENCH_ORDERS` orders of one provider are due at once. While they are drained members claim by
HTTP: half of what they claim is of that provider and waits its turn, half of another. How long a
claim took to be answered and its order to be decided is told apart. The worker's memory is read
early and at the end; the books are verified.
"""

import asyncio
import os
import statistics
import time
from uuid import UUID, uuid4

import aiohttp
import pytest

from benefits.actions.grant import RewardMember, reward
from benefits.actions.keys import make_key
from benefits.embedded import Postgres
from benefits.house import real_clock
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.worker.delivery import IN_FLIGHT_MAX
from tests.bench.provided import CODES, Ground, bare, benefit_of, ground, working
from tests.bench.test_expire import command
from tests.builders import World
from tests.service import fresh_keys, serve

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
ORDERS = int(os.environ.get("BENCH_ORDERS", "100000"))
FRESH = 50
CALLS = 3000  # of the bare client, before and after
DOWN, OTHER = CODES[:2]
TOOK = """
SELECT extract(epoch FROM a.ended_at - c.claimed_at)::float8 * 1000
FROM claim AS c
JOIN provider_request AS r
  ON r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
JOIN provider_attempt AS a
  ON a.bucket = r.bucket AND a.request_id = r.request_id AND a.outcome = 'done'
WHERE c.claim_id = ANY($1) AND r.provider = $2
"""
LEFT = "SELECT count(*) FROM provider_request WHERE next_at <= now() AND provider = $1"
OPEN = "SELECT count(*) FROM claim WHERE state IN ('HELD', 'SUBMITTED') AND claim_id = ANY($1)"


async def test_an_outage_is_drained(durable_server: Postgres) -> None:
    """Print orders a second, the ratio, the peaks, what fresh claims waited; books are right."""
    with durable_server as server:
        async with ground(server.dsn, fresh_keys()) as stage:
            key, members = await _holders(stage)
            await stage.order(ORDERS, DOWN)
            connections = IN_FLIGHT_MAX
            clients = [await bare(stage.port, orders=CALLS, connections=connections)]
            async with serve(stage.dsn, stage.keys) as service, working(stage) as worker:
                since = await stage.release(DOWN, orders=ORDERS)
                await _left(stage, ORDERS * 9 // 10)
                early_mb, early_cpu_s = worker.peak_mb, worker.cpu_s
                claims, answered_ms = await _claim(stage, service.url, key, members)
                decided = await stage.until_decided(since, DOWN)
                peak_mb, cpu_s = worker.peak_mb, worker.cpu_s - early_cpu_s
                while await stage.raw.fetchval(OPEN, claims):
                    await asyncio.sleep(0.2)
            clients.append(await bare(stage.port, orders=CALLS, connections=connections))
            waited = {
                provider: [row[0] for row in await stage.raw.fetch(TOOK, claims, provider)]
                for provider in (OTHER, DOWN)
            }
            assert FRESH == sum(map(len, waited.values()))
            await asyncio.to_thread(command, stage.dsn, stage.keys, "verify")
    client = statistics.median(one.per_s for one in clients)
    print(f"{ORDERS:,} orders due: {decided.per_s:,.0f} a second, the bare client {client:,.0f}")
    print(f"drain / bare client: {decided.per_s / client:.2f}")
    print(f"CPU an order: {cpu_s / (ORDERS * 0.9) * 1e6:,.0f} µs")
    print(f"peak of the worker: {peak_mb:.0f} MB, after a tenth {early_mb:.0f} MB")
    _tell("a fresh claim is answered", answered_ms)
    _tell("its order at another provider decided", waited[OTHER])
    _tell("at the same, behind the others", waited[DOWN])


def _tell(what: str, each_ms: list[float]) -> None:
    cuts = statistics.quantiles(each_ms, n=100)
    print(f"{what:40s} p50 {cuts[49]:10,.0f} ms  p99 {cuts[98]:10,.0f} ms")


async def _left(stage: Ground, orders: int) -> None:
    """Wait until no more than so many orders are due."""
    while await stage.raw.fetchval(LEFT, DOWN) > orders:
        await asyncio.sleep(0.2)


async def _holders(stage: Ground) -> tuple[str, list[UUID]]:
    """Enrol members who have units of both providers; return a key to claim with, and them."""
    database = connect(stage.dsn)
    world = World(database, envelope=Envelope(stage.keys.secret_keys), clock=real_clock)
    members = await world.members(FRESH)
    async with database.transaction() as conn:
        rewards = [
            RewardMember(
                caller="bench",
                key=uuid4().hex,
                member_id=member,
                benefit=benefit_of(provider),
                quantity=1,
                business_key=f"bench-{uuid4().hex}",
                valid_days=300,
            )
            for member in members
            for provider in (DOWN, OTHER)
        ]
        await reward(conn, rewards, world.parts, wait=True)
        key = await make_key(conn, "bench", ["mobile"], world.parts)
    await database.close()
    return key, members


async def _claim(
    stage: Ground, url: str, key: str, members: list[UUID]
) -> tuple[list[UUID], list[float]]:
    """Claim for one member after the other while orders are drained; return what and how fast.

    In turns of the one provider and of the other, until two thirds of the orders are decided.
    """
    claims, answered_ms = list[UUID](), list[float]()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http:
        for nth, member in enumerate(members):
            await _left(stage, ORDERS * (9 * FRESH - 6 * nth) // (10 * FRESH))
            provider = (DOWN, OTHER)[nth % 2]
            wish = {"benefit": benefit_of(provider), "recipient": {"phone": "13800000001"}}
            begun = time.perf_counter()
            async with http.post(
                f"{url}/v1/members/{member}/claims",
                json=wish,
                headers={"Idempotency-Key": uuid4().hex},
            ) as answered:
                told = await answered.json()
            answered_ms.append((time.perf_counter() - begun) * 1000)
            assert 201 == answered.status
            claims.append(UUID(told["id"]))
    return claims, answered_ms
