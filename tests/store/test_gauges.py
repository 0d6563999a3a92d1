"""Looking at what waits costs the same on a bad day: each statement walks the index it names."""

from datetime import UTC, datetime, timedelta

import pytest

from benefits import measures
from benefits.actions.fill_feed import open_feed
from benefits.actions.seal_feed import Sealing, judge_feed, seal_feed
from benefits.domain.feeds import FeedKey, Manifest, digest_of
from benefits.domain.values import local_date
from benefits.store import gauges
from benefits.store.db import rows, run
from tests.actions.feeding import fed, file, manifest, send, take
from tests.actions.life import claimed, holder, wish
from tests.builders import World, reference_programme

PLANS = [
    (gauges.QUEUE, "ix_provider_request_due"),
    (gauges.HELD, "ix_claim_unsent"),
    (gauges.INBOX, "ix_inbox_waiting"),
    (gauges.OUTBOX, "ix_outbox_position"),
    (gauges.CASES, "ix_case_file_open"),
]


@pytest.mark.parametrize(("statement", "index"), PLANS, ids=[index for _, index in PLANS])
async def test_each_statement_walks_its_index(world: World, statement: str, index: str) -> None:
    """Without reading a table from end to end, and in the index's order."""
    async with world.database.transaction() as conn:
        await run(conn, "SET LOCAL enable_seqscan = off")
        await run(conn, "SET LOCAL enable_sort = off")
        explained = statement.replace("$1", "10000")
        plan = "\n".join(row[0] for row in await rows(conn, f"EXPLAIN {explained}"))
    assert index in plan
    assert "Seq Scan on provider_request" not in plan


async def test_what_ended_is_told_no_more(world: World) -> None:
    """A queue that has emptied, or cannot be looked at, has no old figure left."""
    await claimed(world, wish(await holder(world)))
    due = {"provider": "sandbox"}
    name = "benefits_provider_queue_due_requests"

    async def look() -> float | None:
        async with world.database.transaction() as conn:
            await gauges.read(conn, await world.parts.catalogue.current(conn))
        return measures.REGISTRY.get_sample_value(name, due)

    assert 1.0 == await look()
    await world.rows("UPDATE provider_request SET next_at = NULL RETURNING 1")
    assert await look() is None
    stock = {"benefit": "VIDEO"}
    assert 49.0 == measures.REGISTRY.get_sample_value("benefits_stock_left_units", stock)
    gauges.forget()
    assert measures.REGISTRY.get_sample_value("benefits_stock_left_units", stock) is None


async def test_a_day_that_is_not_sealed_is_told_with_its_age(world: World) -> None:
    """Days count from the first sealed one; a refused day and a waiting feed until sealed."""
    world.clock.now = datetime.now(UTC) - timedelta(hours=1)
    await fed(world)
    today = local_date(datetime.now(UTC), reference_programme().tz)

    async def told(name: str) -> float:
        async with world.database.transaction() as conn:
            await gauges.read(conn, await world.parts.catalogue.current(conn))
        found = measures.REGISTRY.get_sample_value(f"benefits_{name}", {"source": "core"})
        assert found is not None
        return found

    def key(ago: int, revision: int = 0) -> FeedKey:
        return FeedKey("core", today - timedelta(days=ago), revision)

    unsealed, day_s = "feed_unsealed_oldest_age_seconds", 86400
    assert 61 * day_s <= await told(unsealed) <= 62 * day_s
    for ago in (4, 2, 1):
        assert [] == await send(world, key(ago), [])
    assert 2 * day_s <= await told(unsealed) <= 3 * day_s
    assert 0 == await told("feeds_refused")
    await take(world, file([]), manifest(file([]), key(3), [("", 1)]))
    assert 1 == await told("feeds_refused")
    said = Manifest(rows=0, totals={}, sha256=digest_of([]))
    async with world.database.transaction() as conn:
        await open_feed(conn, key(3, 1), None, world.parts)
        await judge_feed(conn, Sealing(key(3, 1), said), world.parts)
    assert 3500 < await told("feed_waiting_oldest_age_seconds") < 3700
    await seal_feed(world.database, world.parts, Sealing(key(3, 1), said))
    for name in (unsealed, "feeds_refused", "feed_waiting_oldest_age_seconds"):
        assert 0 == await told(name), name
