"""A baseline is frozen for good; growth over it is told member by member (M-12)."""

import asyncio
from datetime import UTC, date, datetime, timedelta
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
from benefits.domain.programme_file import read
from benefits.domain.refusal import Refusal
from benefits.domain.values import BUCKETS, Month
from benefits.store.db import Database
from tests.actions.merging import merged
from tests.builders import PROGRAMME, World
from tests.rows import everything

MAY, JULY = Month(2025, 5), Month(2025, 7)
JUNE_DAY = date(2025, 6, 1)
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


async def frozen(world: World, wanted: Wanted = SUMMER, *, on: Database | None = None) -> Frozen:
    """Freeze a baseline; return how many it is of."""
    slices = [(0, 511), (512, BUCKETS - 1)]
    return await freeze(on or world.database, world.parts, wanted, slices=slices)


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
    assert Frozen(1, 0, 0) == await frozen(world)
    assert {member: (260_000_00, 2, 2)} == await growth(world)
    day = date(2025, 5, 31)
    await world.assets([AssetLine(world.name(1), day, "DEPOSIT", "CNY", 2_160_000_00, revision=1)])
    assert {member: (260_000_00, 2, 2)} == await growth(world)
    assert {member: (200_000_00, 2, 2)} == await growth(world, is_corrected=True)
    assert Frozen(0, 1, 0) == await frozen(world)


async def test_a_rehearsal_leaves_nothing(world: World, member: UUID) -> None:
    """It says what freezing would do."""
    before = await everything(world.database)
    assert Frozen(1, 0, 0) == await frozen(world, on=world.database.rehearsal())
    assert before == await everything(world.database)
    with pytest.raises(UnknownBaseline):
        await growth(world)
    assert Frozen(1, 0, 0) == await frozen(world)
    assert {member: (260_000_00, 2, 2)} == await growth(world)


async def test_a_baseline_is_of_one_moment(world: World, member: UUID) -> None:
    """What is corrected while it is frozen comes too late, wherever freezing has come by then."""
    corrected = AssetLine(world.name(1), date(2025, 5, 31), "DEPOSIT", "CNY", 0, revision=1)
    slices = [(n, n) for n in range(BUCKETS)]
    told, tasks = list[Frozen](), list[asyncio.Task[object]]()

    def progress(far: Frozen) -> None:
        told.append(far)
        if len(told) == 1:
            tasks.append(asyncio.create_task(world.assets([corrected])))

    await freeze(world.database, world.parts, SUMMER, slices=slices, progress=progress)
    await tasks[0]
    assert {member: (260_000_00, 2, 2)} == await growth(world)


async def test_who_has_days_missing_is_frozen_when_they_are_there(
    world: World, member: UUID
) -> None:
    """A-6: a day that comes late costs nobody their goal, and is waited for."""
    late = await world.member()
    days = [date(2025, 5, 1) + timedelta(days=n) for n in range(31)]
    lines = [AssetLine(world.name(2), day, "DEPOSIT", "CNY", 100_000_00) for day in days]
    await world.assets(lines[:-1])
    await world.month(world.name(2), "2025-07", 250_000_00)
    assert Frozen(1, 0, 1) == await frozen(world)
    assert {member: (260_000_00, 2, 2), late: (153_225_80, 0, 1)} == await growth(world)
    await world.assets(lines[-1:])
    assert (150_000_00, 0, 1) == (await growth(world))[late]
    assert Frozen(1, 1, 0) == await frozen(world)
    assert (150_000_00, 1, 1) == (await growth(world))[late]


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
        before: (150_000_00, 0, 1),
    } == await growth(world)


@pytest.mark.parametrize("is_before", [True, False])
async def test_who_was_merged_grows_as_one(world: World, member: UUID, *, is_before: bool) -> None:
    """T-10, M-12: 300,000 and 100,000 in May, 560,000 and 140,000 in July: 300,000 more."""
    other = await world.member()
    await world.month(world.name(2), "2025-05", 100_000_00)
    await world.month(world.name(2), "2025-07", 140_000_00)
    if is_before:
        await merged(world, other, member)
    await frozen(world)
    if not is_before:
        await merged(world, other, member)
    assert {member: (300_000_00, 3, 3)} == await growth(world)
    assert {member: (300_000_00, 3, 3)} == await growth(world, is_corrected=True)


async def test_a_merger_counts_no_baseline_twice(world: World, member: UUID) -> None:
    """T-10: one is frozen, the other not yet; after the merger it is frozen with the rest."""
    other = await world.member()
    may = [AssetLine(world.name(2), JUNE_DAY, "DEPOSIT", "CNY", 0)]
    await world.assets(may)
    await world.month(world.name(2), "2025-07", 140_000_00)
    assert Frozen(1, 0, 1) == await frozen(world)
    await merged(world, member, other)
    assert {other: (400_000_00, 0, 3)} == await growth(world)
    await world.month(world.name(2), "2025-05", 100_000_00)
    assert Frozen(1, 1, 0) == await frozen(world)
    assert {other: (300_000_00, 3, 3)} == await growth(world)


async def test_who_left_is_not_told_of(world: World, member: UUID) -> None:
    """T-10: the relationship must last beyond the measured month."""
    await frozen(world)
    await world.member(closed_on=date(2025, 7, 31))
    stays = await world.member(closed_on=date(2025, 8, 1))
    assert {member, stays} == set(await growth(world))


async def test_growth_is_measured_as_the_baseline_was(world: World, member: UUID) -> None:
    """M-12: of the same metric; a version that averages quarters has no growth over a month."""
    await frozen(world)
    quarters = PROGRAMME.replace("[[tier]]", '[policy]\nmetric = "QUARTER_AVG"\n[[tier]]', 1)
    await world.apply(read(quarters), tiers_from=Month(2025, 7))
    with pytest.raises(BaselineInvalid):
        await growth(world)


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
