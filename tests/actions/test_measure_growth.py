"""A baseline is frozen for good; growth over it is told member by member (M-12)."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.actions.evaluate import MonthNotOver, UnknownProgramme
from benefits.actions.measure_growth import (
    BaselineInvalid,
    BaselineTaken,
    Frozen,
    UnknownBaseline,
    Wanted,
    freeze,
    measure_growth,
)
from benefits.domain.assets import AssetLine
from benefits.domain.refusal import Refusal
from benefits.domain.values import BUCKETS, Month
from benefits.store.db import Database
from tests.builders import World

MAY, JULY = Month(2025, 5), Month(2025, 7)
SUMMER = Wanted(name="summer", programme="wealth", month=MAY, by="anna-li")
STEPS = [100_000_00, 200_000_00, 300_000_00]
EVERYWHERE = (0, BUCKETS - 1)


@pytest.fixture
async def member(world: World) -> UUID:
    """Return a member with 300,000 in May and 560,000 in July, which is over."""
    id_ = await world.member()
    await world.month(world.name(1), "2025-05", 300_000_00)
    await world.month(world.name(1), "2025-07", 560_000_00)
    world.clock.now = datetime(2025, 8, 2, 4, 0, tzinfo=UTC)
    return id_


async def frozen(
    world: World, wanted: Wanted = SUMMER, *, step: int = 256, on: Database | None = None
) -> list[Frozen]:
    """Freeze a baseline; return how far it was each time."""
    return [far async for far in freeze(on or world.database, world.parts, wanted, step=step)]


async def growth(world: World, *, is_corrected: bool = False) -> dict[UUID, tuple[int, int, int]]:
    """Return each member's growth, and the steps reached and possible."""
    told = await measure_growth(
        world.database,
        world.parts,
        "summer",
        JULY,
        steps=STEPS,
        buckets=EVERYWHERE,
        is_corrected=is_corrected,
    )
    return {
        one.member_id: (one.grown.growth_minor, one.grown.reached, one.grown.possible)
        for one in told
    }


async def test_g_grow_1_a_frozen_baseline_stays_when_its_month_is_corrected(
    world: World, member: UUID
) -> None:
    """G-GROW-1: 260,000 over May; a day of May brought higher counts only where it is followed."""
    assert Frozen(BUCKETS, 1, 0) == (await frozen(world))[-1]
    assert {member: (260_000_00, 2, 2)} == await growth(world)
    day = date(2025, 5, 31)
    await world.assets([AssetLine(world.name(1), day, "DEPOSIT", "CNY", 2_160_000_00, revision=1)])
    assert {member: (260_000_00, 2, 2)} == await growth(world)
    assert {member: (200_000_00, 2, 2)} == await growth(world, is_corrected=True)


async def test_freezing_goes_on_where_it_ended(world: World, member: UUID) -> None:
    """Buckets that are frozen stay so; again it freezes nobody, and a rehearsal leaves nothing."""
    assert Frozen(BUCKETS, 1, 0) == (await frozen(world, on=world.database.rehearsal()))[-1]
    with pytest.raises(UnknownBaseline):
        await growth(world)
    first = freeze(world.database, world.parts, SUMMER, step=512)
    assert 512 == (await anext(first)).next_bucket
    await first.aclose()
    with pytest.raises(UnknownBaseline):
        await growth(world)
    (last,) = await frozen(world, step=512)
    assert BUCKETS == last.next_bucket
    assert [Frozen(BUCKETS)] == await frozen(world)
    assert [(1,)] == [
        tuple(row) for row in await world.rows("SELECT count(*) FROM member_baseline")
    ]
    assert {member: (260_000_00, 2, 2)} == await growth(world)


async def test_who_came_later_is_told_by_the_opening(world: World, member: UUID) -> None:
    """M-8, A-6: from nothing if the relationship began later; else nothing is known of May."""
    await frozen(world)
    late = await world.member(date(2025, 6, 1))
    before = await world.member(date(2020, 1, 1))
    for nth in (2, 3):
        await world.month(world.name(nth), "2025-07", 150_000_00)
    assert {
        member: (260_000_00, 2, 2),
        late: (150_000_00, 1, 1),
        before: (150_000_00, 0, 3),
    } == await growth(world)


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (replace(SUMMER, name="Summer"), BaselineInvalid),
        (replace(SUMMER, programme="welth"), UnknownProgramme),
        (replace(SUMMER, month=Month(2025, 8)), MonthNotOver),
        (replace(SUMMER, month=Month(2025, 6)), BaselineTaken),
    ],
)
async def test_what_cannot_be_a_baseline_is_refused(
    world: World, member: UUID, wanted: Wanted, refusal: type[Refusal]
) -> None:
    """And what has the name stays as it is."""
    await frozen(world)
    with pytest.raises(refusal):
        await frozen(world, wanted)
    assert {member: (260_000_00, 2, 2)} == await growth(world)


async def test_growth_is_of_a_later_month(world: World, member: UUID) -> None:
    """Nobody has grown over the month itself."""
    await frozen(world)
    with pytest.raises(BaselineInvalid):
        await measure_growth(
            world.database, world.parts, "summer", MAY, steps=[], buckets=EVERYWHERE
        )
