"""Months are decided by themselves when their days are sealed: once, in order, under a lease."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.actions.evaluate import MonthNotOver
from benefits.actions.keep_tiers import (
    EvaluationRunning,
    begin,
    decide_next,
    go_on,
)
from benefits.actions.share import LONG_LEASE
from benefits.domain.feeds import FeedKey
from benefits.domain.programme_file import read
from benefits.domain.values import BUCKETS, Month
from benefits.store.migrate import make_partitions
from benefits.worker import Worker
from tests.actions.feeding import fed, send
from tests.builders import World
from tests.domain.test_ways import TIERS
from tests.roles import administrator

JUNE, JULY = Month(2025, 6), Month(2025, 7)
RICH, POOR = 520_000_00, 480_000_00
AT = datetime(2025, 7, 2, 4, 0, tzinfo=UTC)


async def month(world: World, of: Month, level: int, *, but: int = 0, revision: int = 0) -> None:
    """Let the bank send the first member's balance of every day of a month, but the last ones."""
    for n in range(of.days - but):
        key = FeedKey("core", of.start + timedelta(days=n), revision)
        assert [] == await send(world, key, [(world.name(1), level)])


async def decide(world: World) -> list[Month]:
    """Let a worker do what there is to do; return the months of its parts, each once."""
    worker = Worker(world.database, world.parts, {})
    while await worker.keep_tiers():
        pass
    found = await world.rows(
        "SELECT month FROM evaluation_run WHERE ended_at IS NOT NULL ORDER BY 1"
    )
    return [Month.of(row.month) for row in found]


async def decided(world: World) -> list[tuple[str, str, int]]:
    """Return what was decided, in order."""
    found = await world.rows(
        "SELECT month, cause, rank FROM tier_decision ORDER BY decided_at, month"
    )
    return [(str(Month.of(row.month)), row.cause, row.rank) for row in found]


@pytest.fixture
async def member(world: World) -> UUID:
    """Return a member of a programme whose days are known by a feed, early in July."""
    await fed(world)
    world.clock.now = AT
    return await world.member()


async def test_g_up_1_a_month_is_decided_when_its_last_day_is_sealed(
    world: World, member: UUID
) -> None:
    """T-3: not before, not twice; the tier holds from the first, its units from the decision."""
    await month(world, JUNE, RICH, but=1)
    assert [] == await decide(world)
    assert [] == await send(world, FeedKey("core", date(2025, 6, 30)), [(world.name(1), RICH)])
    assert [JUNE] == await decide(world)
    assert [("2025-06", "UPGRADED", 2)] == await decided(world)
    ((since, at),) = await world.rows("SELECT effective_from, decided_at FROM tier_decision")
    assert datetime(2025, 6, 30, 16, tzinfo=UTC) == since
    assert at >= AT
    granted = await world.rows("SELECT DISTINCT granted_at >= $1 AS late, period FROM lot", AT)
    assert {(True, "2025-07"), (True, "2025-Q3")} == {tuple(row) for row in granted}
    assert await decide_next(world.database, world.parts) is None


async def test_what_is_corrected_later_is_decided_anew_in_order(
    world: World, member: UUID
) -> None:
    """A-7: a day of June that comes higher raises June at once, and July is folded after it."""
    await month(world, JUNE, POOR)
    assert [JUNE] == await decide(world)
    world.clock.now = datetime(2025, 8, 2, 4, 0, tzinfo=UTC)
    await month(world, JULY, POOR)
    assert [JUNE, JULY] == await decide(world)
    assert [("2025-06", "UPGRADED", 1)] == await decided(world)
    day = FeedKey("core", date(2025, 6, 30), 1)
    assert [] == await send(world, day, [(world.name(1), 60 * RICH)])
    world.clock.forward(minutes=1)
    assert [JUNE, JULY] == await decide(world)
    assert [
        ("2025-06", "UPGRADED", 1),
        ("2025-06", "CORRECTED", 2),
        ("2025-07", "WATCHED", 2),
    ] == await decided(world)
    assert [] == await world.findings()


async def test_days_that_never_come_are_waited_for(world: World, member: UUID) -> None:
    """A-6: ten days after the month what is proven is given, and July waits for June till then."""
    await month(world, JUNE, RICH, but=1)
    world.clock.now = datetime(2025, 7, 10, 4, 0, tzinfo=UTC)
    assert [] == await decide(world)
    world.clock.now = datetime(2025, 7, 11, 4, 0, tzinfo=UTC)
    assert [JUNE] == await decide(world)
    assert [("2025-06", "UPGRADED", 2)] == await decided(world)


async def test_a_run_is_leased_and_gone_on_with(world: World, member: UUID) -> None:
    """Whoever is killed leaves the rest to another one, when the lease is over."""
    await month(world, JUNE, RICH)
    leased = await begin(world.database, world.parts, "wealth", JUNE)
    leased = (await go_on(world.database, world.parts, leased, 512)).leased
    assert await decide_next(world.database, world.parts) is None
    with pytest.raises(EvaluationRunning):
        await begin(world.database, world.parts, "wealth", JUNE)
    world.clock.now += LONG_LEASE
    kept = await decide_next(world.database, world.parts)
    assert kept is not None
    ((reached,),) = await world.rows("SELECT next_bucket FROM evaluation_run")
    assert 512 < reached <= BUCKETS
    with pytest.raises(EvaluationRunning):
        await go_on(world.database, world.parts, leased, BUCKETS)
    assert [JUNE] == await decide(world)
    assert [("2025-06", "UPGRADED", 2)] == await decided(world)


async def test_what_cannot_be_done_gives_the_run_back(world: World, member: UUID) -> None:
    """A month that is not over is nobody's run afterwards."""
    for _ in range(2):
        leased = await begin(world.database, world.parts, "wealth", JULY)
        with pytest.raises(MonthNotOver):
            await go_on(world.database, world.parts, leased, BUCKETS)


async def test_a_person_decides_what_is_older_than_the_horizon(world: World, member: UUID) -> None:
    """A-7: thirteen months back by itself, and no further."""
    world.clock.now = datetime(2026, 8, 1, 4, 0, tzinfo=UTC)
    async with administrator(world.database) as conn:
        await make_partitions(conn, world.clock.now, 1)
    await month(world, JUNE, RICH)
    await month(world, JULY, RICH)
    assert JUNE not in await decide(world)
    assert [JULY] == (await decide(world))[:1]


async def cases(world: World) -> list[tuple[str, str]]:
    """Let a worker look behind the horizon until nothing is left; return the open cases."""
    worker = Worker(world.database, world.parts, {})
    while await worker.leave_old():
        pass
    found = await world.rows(
        "SELECT kind, detail FROM case_file WHERE closed_at IS NULL ORDER BY opened_at, detail"
    )
    return [tuple(row) for row in found]


async def test_a_correction_behind_the_horizon_opens_a_case_once(
    world: World, member: UUID
) -> None:
    """A-7: a programme and month has one open case, and each correction is told of once."""
    for of in (JUNE, JULY):
        world.clock.now = datetime.combine(of.plus(1).start, AT.timetz()) + timedelta(days=1)
        await month(world, of, POOR)
        await decide(world)
    world.clock.now = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)
    assert [] == await cases(world)
    day = FeedKey("core", date(2025, 6, 30), 1)
    assert [] == await send(world, day, [(world.name(1), RICH)])
    kind, (programme, words) = "old_correction", ("wealth", "or before were corrected")
    ((told, detail),) = await cases(world)
    assert (kind, f"{programme}: days of 2025-06 {words}") == (told, detail.split(" after")[0])
    assert [] == await send(world, replace(day, revision=2), [(world.name(1), POOR)])
    assert [(kind, detail)] == await cases(world)

    await world.rows("UPDATE case_file SET closed_at = now() RETURNING 1")
    assert [] == await cases(world)
    day = FeedKey("core", date(2025, 7, 31), 1)
    assert [] == await send(world, day, [(world.name(1), RICH)])
    ((_, other),) = await cases(world)
    assert "days of 2025-07" in other


async def test_what_a_person_decided_anew_is_no_case(world: World, member: UUID) -> None:
    """Nor is what still counts as it did when the month was decided, or is under way."""
    await month(world, JUNE, POOR)
    world.clock.now = AT
    await decide(world)
    world.clock.now = datetime(2026, 8, 1, 4, 0, tzinfo=UTC)
    day = FeedKey("core", date(2025, 6, 30), 1)
    assert [] == await send(world, day, [(world.name(1), RICH)])
    leased = await begin(world.database, world.parts, "wealth", JUNE)
    assert [] == await cases(world)
    await go_on(world.database, world.parts, leased, BUCKETS)
    assert [] == await cases(world)


async def test_what_was_never_decided_comes_before_what_has_news(
    world: World, member: UUID
) -> None:
    """A flood of corrections of June keeps nobody from July's tier."""
    await month(world, JUNE, POOR)
    assert [JUNE] == await decide(world)
    world.clock.now = datetime(2025, 8, 2, 4, 0, tzinfo=UTC)
    await month(world, JULY, RICH)
    assert [] == await send(world, FeedKey("core", date(2025, 6, 30), 1), [(world.name(1), POOR)])
    order = list[Month]()
    while kept := await decide_next(world.database, world.parts):
        world.clock.forward(seconds=1)
        order += [kept.leased.mark.month] if kept.ended_at else []
    assert [JULY, JUNE] == order


async def test_history_is_decided_by_a_person(world: World) -> None:
    """What was over long before the programme came into force is not decided unasked."""
    await fed(world)
    await world.member()
    await month(world, Month(2025, 4), RICH)
    await month(world, Month(2025, 5), RICH)
    world.clock.now = AT
    assert [] == await decide(world)
    await month(world, JUNE, RICH)
    assert [JUNE] == await decide(world)


async def test_one_programme_keeps_no_other_waiting(world: World, member: UUID) -> None:
    """Whatever is the matter with the one that is being decided."""
    await month(world, JUNE, RICH)
    await world.apply(replace(read(TIERS), feeds=("core",)))
    leased = await begin(world.database, world.parts, "wealth", JUNE)
    while kept := await decide_next(world.database, world.parts):
        assert "ways" == kept.leased.mark.programme
    found = await world.rows("SELECT DISTINCT programme FROM tier_decision")
    assert ["ways"] == [row.programme for row in found]
    await go_on(world.database, world.parts, leased, BUCKETS)
