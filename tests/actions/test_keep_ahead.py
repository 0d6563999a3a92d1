"""The worker looks ahead by itself after each sealed day: once, whoever is killed or joins in."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from benefits import measures
from benefits.actions import keep_ahead
from benefits.domain.feeds import FeedKey
from benefits.domain.policy import Metric, UpgradeTiming
from benefits.domain.values import BUCKETS, Month, member_id
from benefits.store import gauges, outlook_runs, runs
from benefits.worker import Worker
from tests import builders
from tests.actions import exchanging
from tests.actions.feeding import EARLY, send
from tests.actions.test_evaluate import RICH
from tests.actions.test_expire import dsn_of
from tests.builders import MEMBER_KEY, World, reference_programme
from tests.service import environment, fresh_keys
from tests.tidy.sources import ROOT

FIRST = date(2025, 6, 1)
AT = datetime(2025, 6, 3, 2, tzinfo=UTC)
NEAR_GOLD = 46_000_00
GOLD_ON_ONE_DAY = 30 * 50_000_00
MANY = 3000
CHILD = """
import asyncio, sys
from tests.actions.test_keep_ahead import work
asyncio.run(work(sys.argv[1]))
"""


async def fed(world: World, *sources: str, **policy: object) -> None:
    """Let June's days be known by feeds; May's are known by their lines."""
    plain = reference_programme()
    await world.apply(plain, tiers_from=EARLY)
    changed = msgspec.structs.replace(plain.policy, **policy)
    await world.apply(
        msgspec.structs.replace(plain, feeds=sources, policy=changed), tiers_from=Month(2025, 6)
    )


async def look(world: World) -> int:
    """Let a worker do what there is to do; return in how many parts."""
    worker = Worker(world.database, world.parts, {})
    parts = 0
    while await worker.keep_ahead():
        parts += 1
    return parts


async def work(dsn: str) -> None:
    """Be a worker of a process of its own, at the time of these tests."""
    async with builders.world(dsn) as world:
        world.clock.now = AT
        await look(world)


async def told(world: World) -> list[tuple[str, str]]:
    """Return the customers' numbers and the events of tiers that they got."""
    names = {member_id(world.name(n), MEMBER_KEY): str(n) for n in range(1, 4)}
    found = await world.rows(
        "SELECT member_id, type FROM outbox WHERE type LIKE 'tier.%' AND recorded_at >= $1", AT
    )
    return sorted((names[row.member_id], row.type) for row in found)


async def current(world: World) -> list[tuple[str, date]]:
    """Return what is seen now, and as of which day."""
    return [
        tuple(row)
        for row in await world.rows(
            "SELECT outlook, as_of FROM tier_outlook WHERE is_current ORDER BY 1"
        )
    ]


async def test_a_day_is_looked_at_when_its_last_source_is_sealed(world: World) -> None:
    """Lists, events and early tiers are there without the command, and current day by day."""
    await fed(world, "core", "wealth", upgrade=UpgradeTiming.INSTANT)
    world.clock.now = datetime(2025, 6, 2, 2, tzinfo=UTC)
    ids = await world.members(3)
    await world.month(world.name(1), "2025-05", RICH)
    for member in ids:
        await world.evaluate("2025-05", member)
    world.clock.now = AT
    day = [(world.name(1), 1), (world.name(2), NEAR_GOLD), (world.name(3), GOLD_ON_ONE_DAY)]
    assert 0 == await look(world)
    assert [] == await send(world, FeedKey("core", FIRST), day)
    assert 0 == await look(world)
    assert [] == await send(world, FeedKey("wealth", FIRST), [])
    assert 16 == await look(world)
    events = [("1", "tier.at_risk"), ("2", "tier.near"), ("3", "tier.upgraded")]
    assert events == await told(world)
    assert [("AT_RISK", FIRST), ("NEAR", FIRST)] == await current(world)
    assert 0 == await look(world)
    second = FIRST + timedelta(days=1)
    for source in ("wealth", "core"):
        assert 0 == await look(world)
        assert [] == await send(world, FeedKey(source, second), day if source == "core" else [])
    assert 16 == await look(world)
    assert events == await told(world)
    assert [("AT_RISK", second), ("NEAR", second)] == await current(world)
    assert [] == await world.findings()


async def test_a_later_revision_of_a_day_is_looked_at_too(world: World) -> None:
    """Figures follow what counts; a revision that comes too late to count is no news."""
    await fed(world, "core")
    world.clock.now = AT
    await world.members(1)
    assert [] == await send(world, FeedKey("core", FIRST, 1), [(world.name(1), NEAR_GOLD)])
    assert 16 == await look(world)
    assert [("NEAR", FIRST)] == await current(world)
    assert [] == await send(world, FeedKey("core", FIRST), [])
    assert 0 == await look(world)
    assert [] == await send(world, FeedKey("core", FIRST, 2), [])
    assert 16 == await look(world)
    assert [] == await current(world)
    assert [("1", "tier.near")] == await told(world)


async def test_rates_that_come_after_a_day_are_looked_at_too(world: World) -> None:
    """A-4: a day that was looked at without its rates is looked at again, once all are in use."""
    await world.apply(exchanging.converting("core"), tiers_from=EARLY)
    world.clock.now = AT
    await world.members(1)
    line = f"{world.name(1)},DEPOSIT,USD,{NEAR_GOLD // 700}.00,"
    assert [] == await exchanging.send(world, FeedKey("core", FIRST), [line])
    assert 16 == await look(world)
    assert [] == await current(world)
    with exchanging.cut_after(1):
        await exchanging.rates(world, f"USD,{FIRST},7,1,0")
    assert 0 == await look(world)
    await exchanging.all_used(world)
    assert 16 == await look(world)
    assert [("NEAR", FIRST)] == await current(world)
    await exchanging.rates(world, f"JPY,{FIRST},5,100,0")
    assert 0 == await look(world)


async def test_a_day_sealed_during_a_run_begins_it_anew(world: World) -> None:
    """What the run has passed is looked at again, as of the new day."""
    await fed(world, "core")
    world.clock.now = AT
    await world.members(1)
    for day in (FIRST, FIRST + timedelta(days=1)):
        assert [] == await send(world, FeedKey("core", day), [(world.name(1), NEAR_GOLD)])
        worker = Worker(world.database, world.parts, {})
        assert [1] * 5 == [await worker.keep_ahead() for _ in range(5)]
    assert 11 == await look(world)
    assert [("NEAR", FIRST + timedelta(days=1))] == await current(world)


async def test_days_of_the_month_before_are_not_looked_at(world: World) -> None:
    """Those are evaluated; a month that has begun has no day to look at yet."""
    await fed(world, "core")
    world.clock.now = datetime(2025, 7, 1, 2, tzinfo=UTC)
    await world.members(1)
    assert [] == await send(world, FeedKey("core", date(2025, 6, 30)), [])
    assert 0 == await look(world)


async def test_a_run_waits_for_the_sums_that_windows_need(world: World) -> None:
    """Before they are kept nothing would be seen."""
    await fed(world, "core", metric=Metric.ROLLING, days=40)
    world.clock.now = AT
    await world.members(1)
    assert [] == await send(world, FeedKey("core", FIRST), [])
    assert 0 == await look(world)
    worker = Worker(world.database, world.parts, {})
    while await worker.keep_stretches():
        pass
    assert 16 == await look(world)


async def test_workers_share_a_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is done once, and each member told once."""
    monkeypatch.setattr(keep_ahead, "PART", 10)
    await many(world, 300)
    workers = [Worker(world.database, world.parts, {}) for _ in range(3)]
    done = 0
    async with asyncio.timeout(60):
        while await world.rows("SELECT 1 FROM outlook_run WHERE ended_at IS NOT NULL") == []:
            done += sum(await asyncio.gather(*(worker.keep_ahead() for worker in workers)))
    assert [(300, 300)] == await near(world)
    once = await look_anew(world)
    assert once == done


async def test_a_lease_that_ran_out_is_taken_over_and_its_holder_moves_nothing(
    world: World,
) -> None:
    """A worker that stood still for long does not throw the run back, nor end it."""
    await many(world, 1)
    until = AT + timedelta(minutes=2)
    async with world.database.transaction() as conn:
        mark = await outlook_runs.due(
            conn, "wealth", ["core"], Month(2025, 6), currencies=(), topics=(), now=AT
        )
        assert mark is not None
        leased = await outlook_runs.lease(conn, mark, AT, until)
        assert leased is not None
        assert await outlook_runs.lease(conn, mark, AT, until) is None
    assert 0 == await look(world)
    world.clock.now = until
    assert 16 == await look(world)
    async with world.database.transaction() as conn:
        assert not await runs.advance(conn, leased, 64, until, until=None)
    ((reached, ended_at),) = await world.rows("SELECT next_bucket, ended_at FROM outlook_run")
    assert (BUCKETS, until) == (reached, ended_at)
    assert 0 == await look(world)
    assert [(1, 1)] == await near(world)


async def many(world: World, count: int) -> None:
    """Seal a day on which many members are near a tier."""
    await fed(world, "core")
    world.clock.now = AT
    await world.members(count)
    balances = [(world.name(n), NEAR_GOLD) for n in range(1, count + 1)]
    assert [] == await send(world, FeedKey("core", FIRST), balances)


async def look_anew(world: World) -> int:
    """Forget that there was a run, and return in how many parts one worker does it."""
    await world.rows("DELETE FROM outlook_run RETURNING 1")
    return await look(world)


async def near(world: World) -> list[tuple[int, int]]:
    """Return how many events and how many members were told that they are near a tier."""
    found = await world.rows(
        "SELECT count(*), count(DISTINCT member_id) FROM outbox WHERE type = 'tier.near'"
    )
    return [tuple(row) for row in found]


async def process(world: World, *words: str) -> Process:
    """Begin a process of Python on a world's database."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *words),
        env=environment(dsn_of(world), fresh_keys()),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )


async def kill_in_the_middle(world: World, begun: Process) -> None:
    """End a process as a power cut would, once it has told the first members."""
    async with asyncio.timeout(60):
        while [(0, 0)] == await near(world):
            assert begun.returncode is None, "it ended by itself"
            await asyncio.sleep(0.01)
    begun.kill()
    await begun.communicate()
    ((events, members),) = await near(world)
    assert 0 < events == members < MANY


async def test_a_worker_that_is_killed_is_followed_by_the_next(world: World) -> None:
    """It goes on when the lease is over, not before, and each member is told once."""
    await many(world, MANY)
    await kill_in_the_middle(world, await process(world, "-c", CHILD, dsn_of(world)))
    ((passed, is_leased),) = await world.rows(
        "SELECT next_bucket, leased_until IS NOT NULL FROM outlook_run"
    )
    assert passed < BUCKETS
    if is_leased:
        assert 0 == await look(world)
    world.clock.forward(minutes=3)
    assert 0 < await look(world)
    assert [(MANY, MANY)] == await near(world)
    assert [] == await world.findings()


async def test_the_command_that_is_killed_goes_on(world: World) -> None:
    """Run again, it tells the rest, and nobody twice."""
    await many(world, MANY)
    command = ("-m", "benefits", "look-ahead", "--now", "2025-06-03T02:00:00Z")
    await kill_in_the_middle(world, await process(world, *command))
    again = await process(world, *command)
    await again.communicate()
    assert 0 == again.returncode
    assert [(MANY, MANY)] == await near(world)
    assert [] == await world.findings()


async def test_a_run_is_told_with_its_age_until_it_is_done(world: World) -> None:
    """A run that stands still is seen; one that is done counts nothing."""
    await many(world, 1)

    async def age_s() -> float | None:
        async with world.database.transaction() as conn:
            await gauges.read(conn, await world.parts.catalogue.current(conn))
        name = "benefits_outlook_run_age_seconds"
        return measures.REGISTRY.get_sample_value(name, {"programme": "wealth"})

    assert await age_s() is None
    assert 1 == await Worker(world.database, world.parts, {}).keep_ahead()
    since = datetime.now(UTC) - AT
    assert (await age_s() or 0) == pytest.approx(since.total_seconds(), abs=60)
    await look(world)
    assert 0 == await age_s()
