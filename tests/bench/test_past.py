"""Reading one member's past does not get slower as the ledger grows: ten times the postings.

Last 20 entries and the balance as of a date, for members with as many entries in both; medians of
some rounds. `BENCH_POSTINGS` is the size of the smaller ledger.
"""

import os
import statistics
import time
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest

from benefits.domain.past import Bounds
from benefits.domain.values import BUCKETS, bucket_of, time_ordered_id
from benefits.store import past
from benefits.store.db import copy
from benefits.store.past import Stretch
from tests.actions import life
from tests.builders import World
from tests.roles import administrator

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
POSTINGS = int(os.environ.get("BENCH_POSTINGS", "20000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
READS = 40
EACH = 40
BEGIN = datetime(2025, 1, 5, tzinfo=UTC)
AS_OF = datetime(2025, 7, 1, tzinfo=UTC)


async def _fill(world: World, postings: int, chance: Random) -> list[UUID]:
    """Write that many postings, 40 a member over a year; return the members."""
    ids = [UUID(int=chance.getrandbits(128)) for _ in range(postings // EACH)]
    step = timedelta(days=340) / EACH
    batches, lines = [], []
    for member in ids:
        bucket = bucket_of(member) % BUCKETS
        for nth in range(EACH):
            at = BEGIN + nth * step
            batch = time_ordered_id(at, chance.randbytes(8), bucket)
            batches.append((bucket, batch, member, "k", "bench", at, at, at.date().replace(day=1)))
            lines.append((bucket, batch, 0, "issued", "available", "BENEFIT:LOUNGE", 1, None))
    async with administrator(world.database) as conn:
        columns = "bucket batch_id member_id kind actor effective_at recorded_at booked_month"
        await copy(conn, "batch", columns.split(), batches)
        columns = "bucket batch_id line debit credit unit amount lot_id"
        await copy(conn, "posting", columns.split(), lines)
    await life.change(world, "ANALYZE batch", "ANALYZE posting")
    return ids


async def _read(world: World, ids: list[UUID]) -> tuple[float, float]:
    """Return median milliseconds for the last 20 entries and for a balance as of a date."""
    entries, balances = list[float](), list[float]()
    async with world.database.transaction() as conn:
        for member in ids:
            begun = time.perf_counter()
            page = await past.entries(
                conn, member, Stretch(None, None, None), before=None, limit=20
            )
            middle = time.perf_counter()
            sums = await past.sums(conn, member, Bounds(AS_OF, AS_OF, AS_OF))
            balances.append(time.perf_counter() - middle)
            entries.append(middle - begun)
            assert (20, 2) == (len(page), len(sums))
    return statistics.median(entries) * 1000, statistics.median(balances) * 1000


async def test_a_member_is_read_as_fast_in_a_ledger_ten_times_as_large(world: World) -> None:
    """Print the ratio of latencies; the goal is 1.2 or less."""
    chance = Random(20250702)
    told = dict[str, tuple[float, float]]()
    for name, more in (("1x", POSTINGS), ("10x", 9 * POSTINGS)):
        ids = await _fill(world, more, chance)
        some = [chance.choice(ids) for _ in range(READS)]
        await _read(world, some)  # warm
        rounds = [await _read(world, some) for _ in range(ROUNDS)]
        told[name] = (
            statistics.median(entries for entries, _ in rounds),
            statistics.median(balances for _, balances in rounds),
        )
    for place, what in enumerate(("last 20 entries", "balance as of a date")):
        small, large = told["1x"][place], told["10x"][place]
        print(
            f"{what}: {small:.2f} ms at {POSTINGS:,} postings, {large:.2f} ms at "
            f"{10 * POSTINGS:,}; ratio {large / small:.2f}"
        )
