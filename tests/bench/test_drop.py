"""A first-come drop: 2,500 pieces for all, and more who want one, at 256 connections.

Claims a second while the limit of all holds, refusals among them, against as many claims spread
over benefits that meet no limit; exactly 2,500 are sold.
"""

import asyncio
import contextlib
import os
import random
import statistics
import time
from decimal import Decimal
from uuid import UUID

import asyncpg
import msgspec
import pytest

from benefits.domain.limits import CapWindow, Limit, Scope
from benefits.embedded import Postgres
from benefits.house import real_clock
from benefits.settings import Keys
from benefits.store.catalogue import Cache
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from tests.bench import load
from tests.bench.stage import HOT, prepare, spread_of, wish
from tests.builders import World
from tests.service import Serving, fresh_keys, serve

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PIECES = 2500
WISHES = 3000
CONNECTIONS = 256
SECONDS = 120.0  # a round ends when nobody is left, long before
SOLD = "SELECT sum(spent)::int FROM counter WHERE counter LIKE $1"


async def limit(dsn: str, keys: Keys, code: str) -> None:
    """Put a limit of all on the hot benefit into force."""
    database = connect(dsn)
    world = World(database, envelope=Envelope(keys.secret_keys), clock=real_clock)
    async with database.transaction() as conn:
        (programme,) = (await Cache(real_clock).current(conn)).programmes.values()
    drop = Limit(
        code=code,
        scope=Scope.PROGRAMME,
        limit=Decimal(PIECES),
        window=CapWindow.LIFETIME,
        benefits=(HOT,),
    )
    await world.apply(msgspec.structs.replace(programme, limit=(drop,)))
    await database.close()


async def rush(ports: list[int], requests: list[bytes]) -> tuple[float, int]:
    """Send all requests; return how many a second were answered, and how many were refused."""
    left = iter(requests)
    share = CONNECTIONS // len(ports)
    begun = time.perf_counter()
    made = await asyncio.gather(
        *(
            load.run(port, lambda: next(left, b""), connections=share, seconds=SECONDS)
            for port in ports
        )
    )
    return len(requests) / (time.perf_counter() - begun), sum(one.failed for one in made)


async def test_a_drop_sells_what_there_is_and_no_more(durable_server: Postgres) -> None:
    """Print claims a second in a drop and spread; 2,500 of 3,000 get one."""
    with durable_server as server:
        keys = fresh_keys()
        dsn, ids, key = await prepare(server.dsn, keys, spread=True)
        async with contextlib.AsyncExitStack() as stack:
            services: list[Serving] = [
                await stack.enter_async_context(serve(dsn, keys)) for _ in range(2)
            ]
            ports = [service.port for service in services]
            raw = await asyncpg.connect(dsn)
            stack.push_async_callback(raw.close)
            drops, spreads = list[float](), list[float]()
            for nth in range(ROUNDS + 1):
                await limit(dsn, keys, f"drop{nth}")
                wanted: list[tuple[int, UUID]] = random.sample(list(enumerate(ids)), WISHES)
                drop, refused = await rush(ports, [wish(key, id_) for _, id_ in wanted])
                assert PIECES == await raw.fetchval(SOLD, f"limit:%:drop{nth}:%")
                assert WISHES - PIECES == refused
                apart = [wish(key, id_, spread_of(n)) for n, id_ in wanted]
                spread, refused = await rush(ports, apart)
                assert 0 == refused
                if nth:  # the first round only warms up
                    drops.append(drop)
                    spreads.append(spread)
    for name, values in (("drop", drops), ("spread", spreads)):
        print(
            f"{name:8s} {statistics.median(values):10,.0f} per s of {[round(v) for v in values]}"
        )
    print(f"a drop / spread: {statistics.median(drops) / statistics.median(spreads):.2f}")
