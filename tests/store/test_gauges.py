"""Looking at what waits costs the same on a bad day: each statement walks the index it names."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from benefits import measures
from benefits.actions.fill_feed import open_feed
from benefits.actions.keep_tiers import begin, go_on
from benefits.actions.seal_feed import Sealing, judge_feed, seal_feed
from benefits.domain.feeds import FeedKey, Manifest, digest_of
from benefits.domain.values import BUCKETS, Month, local_date
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


async def test_budgets_are_looked_at_by_their_names(world: World) -> None:
    """Whatever else is counted: each claim in a rolling window of many has a row of its own."""
    async with world.database.transaction() as conn:
        await run(conn, "SET LOCAL enable_seqscan = off")
        explained = gauges.COUNTERS.replace("$1", "'{budget:a,budget:b}'")
        plan = "\n".join(row[0] for row in await rows(conn, f"EXPLAIN {explained}"))
    assert "Cond: ((counter = ANY" in plan


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


async def test_a_month_that_is_not_evaluated_is_told_with_its_ages(world: World) -> None:
    """T-3: since its last day was sealed, and since the end of the day that was promised."""
    now = datetime.now(UTC)
    last = Month.of(local_date(now, reference_programme().tz)).plus(-2)
    world.clock.now = datetime.combine(last.start, now.timetz()) + timedelta(days=8)
    plain = reference_programme()
    policy = replace(plain.policy, post_by=10, max_wait=300)
    await world.apply(replace(plain, feeds=("core",), policy=policy), tiers_from=last)

    async def told(name: str) -> float:
        async with world.database.transaction() as conn:
            await gauges.read(conn, await world.parts.catalogue.current(conn))
        name = f"benefits_evaluation_{name}_seconds"
        found = measures.REGISTRY.get_sample_value(name, {"programme": "wealth"})
        assert found is not None
        return found

    promised = datetime.combine(last.plus(1).start, datetime.min.time(), plain.tz)
    overdue_s = (now - promised - timedelta(days=10)).total_seconds()
    assert overdue_s <= await told("overdue") <= overdue_s + 600
    assert 0 == await told("waiting_oldest_age")
    world.clock.now = now - timedelta(hours=1)
    for n in range(last.days):
        assert 0 == await told("waiting_oldest_age")
        assert [] == await send(world, FeedKey("core", last.start + timedelta(days=n)), [])
    assert 3600 <= await told("waiting_oldest_age") <= 3700
    leased = await begin(world.database, world.parts, "wealth", last)
    assert 3600 <= await told("run_age") <= 3700
    await go_on(world.database, world.parts, leased, BUCKETS)
    for name in ("waiting_oldest_age", "run_age"):
        assert 0 == await told(name)
    assert overdue_s - 20 * 86400 > await told("overdue")


async def test_a_month_without_feeds_is_overdue_and_does_not_wait(world: World) -> None:
    """From the month on in which the programme came into force; none that promises nothing."""
    now, plain = datetime.now(UTC), reference_programme()
    last = Month.of(local_date(now, plain.tz)).plus(-3)
    world.clock.now = datetime.combine(last.start, now.timetz()) + timedelta(days=8)

    async def told() -> list[float | None]:
        async with world.database.transaction() as conn:
            await gauges.read(conn, await world.parts.catalogue.current(conn))
        names = ("overdue", "waiting_oldest_age", "run_age")
        return [
            measures.REGISTRY.get_sample_value(
                f"benefits_evaluation_{name}_seconds", {"programme": "wealth"}
            )
            for name in names
        ]

    await world.apply(plain, tiers_from=last.plus(-9))
    assert [0, 0, 0] == await told()
    policy = replace(plain.policy, post_by=28)
    await world.apply(replace(plain, policy=policy), tiers_from=last)
    promised = datetime.combine(last.plus(1).start, datetime.min.time(), plain.tz)
    overdue_s = (now - promised - timedelta(days=28)).total_seconds()
    found = await told()
    assert [0, 0] == found[1:]
    assert found[0] is not None
    assert overdue_s <= found[0] <= overdue_s + 600
