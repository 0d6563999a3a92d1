"""Terms of tiers that rise within a month: they begin with the day from which these are held."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions.evaluate import evaluate
from benefits.actions.look_ahead import look_ahead
from benefits.domain.assets import AssetLine
from benefits.domain.policy import Lock, UpgradeTiming
from benefits.domain.programme import Programme
from benefits.domain.values import BUCKETS, Month, midnight
from tests.builders import World, reference_programme

FEBRUARY = Month(2025, 2)
AS_GOLD, AS_PLATINUM = 60_000_00, 520_000_00


def locking(lock: Lock, upgrade: UpgradeTiming) -> Programme:
    """Return the programme with tiers that are kept by a lock, and bring nothing."""
    programme = reference_programme()
    return msgspec.structs.replace(
        programme,
        policy=msgspec.structs.replace(programme.policy, upgrade=upgrade),
        tier=tuple(
            msgspec.structs.replace(tier, misses=0, lock=lock) if rank else tier
            for rank, tier in enumerate(programme.tier)
        ),
        line=(),
    )


async def risen(world: World, programme: Programme, count: int, *, seen_on: date) -> list[UUID]:
    """Return members who are PLATINUM from early February on, by its first days alone."""
    await world.apply(programme, tiers_from=Month(2024, 1))
    members = await world.members(count)
    assert 0 == await decided(world, FEBRUARY.plus(-1))
    month = [FEBRUARY.start + timedelta(days=n) for n in range(FEBRUARY.days)]
    for number in range(1, count + 1):
        await world.assets(
            [
                AssetLine(
                    world.name(number), day, "DEPOSIT", "CNY", 4_000_000_00 if day.day < 5 else 0
                )
                for day in month
            ]
        )
    world.clock.now = midnight(seen_on, programme.tz) + timedelta(hours=10)
    assert count == (await look_ahead(world.database, world.parts, "wealth")).risen
    return members


async def decided(world: World, month: Month) -> int:
    """Evaluate a month for everybody, two days after it; return how many decisions it made."""
    world.clock.now = datetime(month.end.year, month.end.month, 2, 2, tzinfo=UTC)
    done = await evaluate(world.database, world.parts, "wealth", month, buckets=(0, BUCKETS - 1))
    return done.decisions


async def lived(world: World, levels: dict[int, list[int]]) -> None:
    """Evaluate February, June as Gold, and from January 2026 months of the members' levels."""
    assert 0 == await decided(world, FEBRUARY)
    for number in levels:
        await world.month(world.name(number), "2025-06", AS_GOLD)
    assert 0 == await decided(world, Month(2025, 6))
    for nth in range(max(map(len, levels.values()))):
        month = Month(2026, 1).plus(nth)
        for number, balances in levels.items():
            if nth < len(balances):
                await world.month(world.name(number), str(month), balances[nth])
        await decided(world, month)


async def told(world: World, member: UUID) -> list[tuple[Any, ...]]:
    """Return what was decided of a member: cause, first day, end of the term and of the grace."""
    found = await world.rows(
        """
        SELECT cause, (effective_from AT TIME ZONE 'Asia/Shanghai')::date AS day, lock_until,
               grace_until
        FROM tier_decision WHERE member_id = $1 ORDER BY month, decided_at
        """,
        member,
    )
    return [(row.cause, *(each and each.isoformat() for each in tuple(row)[1:])) for row in found]


ROSE = ("UPGRADED", "2025-02-05", "2026-02-05", None)
GRACE = ("GRACE", "2026-03-01", "2026-02-05", "2026-05-05")


async def test_a_term_begins_with_the_day_of_a_rise_and_ends_with_the_month_of_its_end(
    world: World,
) -> None:
    """G-LOCK-1, G-LOCK-2, G-LOCK-3: kept until 2026-02-05, in grace until 2026-05-05, by months.

    Whatever is evaluated again finds what is written.
    """
    programme = locking(Lock(months=12, grace=3), UpgradeTiming.INSTANT)
    lost, again, kept = await risen(world, programme, 3, seen_on=date(2025, 2, 5))
    await lived(
        world,
        {
            1: [AS_GOLD] * 5,
            2: [AS_GOLD] * 3 + [AS_PLATINUM],
            3: [AS_GOLD, AS_PLATINUM],
        },
    )
    assert [ROSE, GRACE, ("DOWNGRADED", "2026-06-01", "2027-06-01", None)] == await told(
        world, lost
    )
    assert [ROSE, GRACE, ("RETAINED", "2026-05-01", "2027-05-01", None)] == await told(
        world, again
    )
    assert [ROSE, ("RETAINED", "2026-03-01", "2027-02-05", None)] == await told(world, kept)
    world.clock.now = datetime(2026, 6, 3, 2, tzinfo=UTC)
    for month in (FEBRUARY, Month(2026, 2), Month(2026, 5)):
        done = await evaluate(
            world.database, world.parts, "wealth", month, buckets=(0, BUCKETS - 1)
        )
        assert 0 == done.decisions
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("upgrade", "seen_on"),
    [(UpgradeTiming.INSTANT, date(2025, 2, 5)), (UpgradeTiming.NEXT_DAY, date(2025, 2, 4))],
)
async def test_without_grace_it_falls_with_the_month_of_its_end(
    world: World, upgrade: UpgradeTiming, seen_on: date
) -> None:
    """G-LOCK-4: kept until 2026-02-05, and GOLD with February."""
    programme = locking(Lock(months=12), upgrade)
    (member,) = await risen(world, programme, 1, seen_on=seen_on)
    await lived(world, {1: [AS_GOLD, AS_GOLD]})
    assert [ROSE, ("DOWNGRADED", "2026-03-01", "2027-03-01", None)] == await told(world, member)
