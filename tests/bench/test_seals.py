"""Sealing and verifying the log against reading the same rows by a plain query.

Batches as claims and grants make them. The plain query gives every column of every batch, event
and posting to a client of the same kind. Rounds are interleaved, and of each figure the median
counts.
"""

import os
import statistics
import time
from urllib.parse import urlsplit

import asyncpg
import pytest

from benefits.actions import seal
from benefits.actions.verify_seals import Audit, verify_leaves, verify_log
from benefits.domain.values import BUCKETS
from benefits.embedded import Postgres
from benefits.store.db import connect
from benefits.store.migrate import create_database, migrate
from tests.builders import MEMBER_KEY

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
BATCHES = int(os.environ.get("BENCH_BATCHES", "100000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SLICES = 16
READ = """
SELECT b.*, e.*, p.* FROM batch AS b JOIN posting AS p USING (bucket, batch_id)
JOIN outbox AS e USING (bucket, batch_id)
ORDER BY b.bucket, b.batch_id, p.line
"""
# Ids of this instant, in the order of time, in all buckets; two postings for every third batch.
FILL = (
    """CREATE TEMP TABLE made AS
       SELECT n, (n % 1024)::smallint AS bucket, (
           lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 1000 + n / 100), 12, '0')
           || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' || lpad(to_hex(n), 12, '0')
           || lpad(to_hex(n % 1024), 3, '0'))::uuid AS batch_id,
           gen_random_uuid() AS member_id
       FROM generate_series(1, $1::int) AS n""",
    """INSERT INTO batch (bucket, batch_id, member_id, kind, cause_id, actor, effective_at,
                          recorded_at, booked_month)
       SELECT bucket, batch_id, member_id, 'claim.placed', member_id, 'caller:mobile-bank', now(),
              now() + n * interval '1 microsecond', date_trunc('month', now()) FROM made""",
    """INSERT INTO posting (bucket, batch_id, line, debit, credit, unit, amount, lot_id)
       SELECT bucket, batch_id, line, 'available', 'held', 'BENEFIT:LOUNGE', 1, member_id
       FROM made, generate_series(1, 2) AS line WHERE line = 1 OR n % 3 = 0""",
    """INSERT INTO outbox (bucket, member_id, seq, event_id, type, batch_id, data, recorded_at,
                           position)
       SELECT bucket, member_id, 1, gen_random_uuid(), 'claim.placed', batch_id,
              jsonb_build_object('benefit', 'LOUNGE', 'quantity', 1, 'programme', 'wealth',
                                 'window', '2025-07', 'hold_id', member_id, 'claimed_at', now()),
              now(), event_position() - 1 FROM made""",
    "ANALYZE batch",
    "ANALYZE posting",
    "ANALYZE outbox",
)
FORGET = "TRUNCATE leaf, tree_node, checkpoint, checkpoint_export"


async def test_sealing_and_verifying_are_measured_against_a_plain_query(
    durable_server: Postgres,
) -> None:
    """Print seconds and the ratio to reading the same rows; the goal is at most 4."""
    with durable_server as server:
        admin = connect(server.dsn, pool_size=1)
        await create_database(admin)
        await admin.close()
        dsn = urlsplit(server.dsn)._replace(path="/benefits").geturl()
        database = connect(dsn)
        await migrate(database, "test", MEMBER_KEY)
        raw = await asyncpg.connect(dsn)
        await raw.execute(FILL[0].replace("$1", str(BATCHES)))
        for statement in FILL[1:]:
            await raw.execute(statement)
        seconds = dict[str, list[float]]()
        for _ in range(ROUNDS):
            await raw.execute("SET session_replication_role = replica")
            await raw.execute(FORGET)
            begun = time.perf_counter()
            found = await raw.fetch(READ)
            seconds.setdefault("plain query", []).append(time.perf_counter() - begun)
            assert BATCHES + BATCHES // 3 == len(found)
            del found
            begun = time.perf_counter()
            sealed = 0
            while made := await database.transact(seal.seal):
                sealed += made
            seconds.setdefault("sealing", []).append(time.perf_counter() - begun)
            assert BATCHES == sealed
            await raw.execute("ANALYZE leaf")
            begun = time.perf_counter()
            step = BUCKETS // SLICES
            wrong = [
                one
                for first in range(0, BUCKETS, step)
                async for one in verify_leaves(database, (first, first + step - 1))
            ]
            wrong += [one async for one in verify_log(database, Audit())]
            seconds.setdefault("verifying", []).append(time.perf_counter() - begun)
            assert [] == wrong
        await raw.close()
        await database.close()
    plain = statistics.median(seconds["plain query"])
    for name, each in seconds.items():
        median = statistics.median(each)
        rate = BATCHES / median
        print(
            f"{name:12s} {median:8.2f} s {rate:10,.0f} batches/s  {median / plain:5.2f} x plain"
            f"   of {[round(one, 2) for one in each]}"
        )
