"""Looking ahead day by day: told once a period, kept current, and tiers that rise early."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from benefits.actions.look_ahead import Ahead, look_ahead
from benefits.domain.assets import AssetLine
from benefits.domain.outlook import Sight
from benefits.domain.policy import UpgradeTiming
from benefits.domain.values import Month
from benefits.store import outlook as sights
from tests.actions.test_evaluate import GOLD, PLATINUM, RICH, causes, rank
from tests.builders import World, reference_programme

JUNE = Month(2025, 6)


async def days(world: World, daily_minor: int, first: int, last: int) -> None:
    """Record the same balance for some days of June; the clock is on the day after."""
    name = world.name(1)
    span = [JUNE.start + timedelta(days=n) for n in range(first - 1, last)]
    await world.assets([AssetLine(name, day, "DEPOSIT", "CNY", daily_minor) for day in span])
    world.clock.now = datetime(2025, 6, 1, 2, tzinfo=UTC) + timedelta(days=last)


async def look(world: World) -> Ahead:
    """Look ahead."""
    return await look_ahead(world.database, world.parts, "wealth")


async def told(world: World) -> list[str]:
    """Return the events of tiers, in order."""
    found = await world.rows("SELECT type FROM outbox WHERE type LIKE 'tier.%' ORDER BY seq")
    return [row.type for row in found]


async def platinum(world: World, **policy: Any) -> UUID:
    """Return a member who is platinum since 1 June."""
    if policy:
        programme = reference_programme()
        changed = msgspec.structs.replace(programme.policy, **policy)
        await world.apply(
            msgspec.structs.replace(programme, policy=changed), tiers_from=Month(2024, 1)
        )
    world.clock.now = datetime(2025, 6, 2, 2, tzinfo=UTC)
    member = await world.member()
    await world.month(world.name(1), "2025-05", RICH)
    await world.evaluate("2025-05", member)
    return member


async def seen(world: World, outlook: Sight) -> list[tuple[str, int, int | None]]:
    """Return tier, projection and need of whom something is seen now."""
    async with world.database.transaction() as conn:
        found = await sights.page(conn, "wealth", outlook, after=None, limit=10)
    return [(one.tier, one.projected_minor, one.needed_daily_minor) for one in found]


async def test_a_member_at_risk_is_told_of_once_and_kept_current(world: World) -> None:
    """M-11, T-12: it comes, goes and comes again in one month: one event, and true figures."""
    await platinum(world)
    await days(world, 530_000_00, 1, 18)
    await days(world, 380_000_00, 19, 20)
    first = await look(world)
    assert (1, 1, 0, 1, 0) == msgspec.structs.astuple(first)
    assert [("PLATINUM", 470_000_00, 470_000_00)] == await seen(world, Sight.AT_RISK)
    assert 0 == (await look(world)).told
    await days(world, 900_000_00, 21, 21)
    assert (1, 0, 0, 0, 0) == msgspec.structs.astuple(await look(world))
    assert [] == await seen(world, Sight.AT_RISK)
    await days(world, 100_000_00, 22, 23)
    assert (1, 1, 0, 0, 0) == msgspec.structs.astuple(await look(world))
    assert ["tier.upgraded", "tier.at_risk"] == await told(world)
    assert [] == await world.findings()


async def test_a_member_near_a_tier_is_listed(world: World) -> None:
    """M-10: 4,600,000 a day is near DIAMOND's 5,000,000; 4,400,000 is not."""
    await platinum(world)
    await days(world, 4_600_000_00, 1, 10)
    assert (1, 0, 1, 1, 0) == msgspec.structs.astuple(await look(world))
    assert [("DIAMOND", 4_600_000_00, 5_200_000_00)] == await seen(world, Sight.NEAR)


async def test_a_tier_rises_with_the_day_that_proves_it_and_the_month_changes_nothing(
    world: World,
) -> None:
    """G-UP-2: in June, once; its month's units come along; the evaluation finds it written."""
    member = await platinum(world, upgrade=UpgradeTiming.INSTANT)
    await days(world, 8_000_000_00, 1, 18)
    assert 0 == (await look(world)).risen
    await days(world, 8_000_000_00, 19, 19)
    assert 1 == (await look(world)).risen
    assert 0 == (await look(world)).risen
    assert PLATINUM + 1 == await rank(world, member)
    await days(world, 8_000_000_00, 20, 30)
    world.clock.now = datetime(2025, 7, 2, 2, tzinfo=UTC)
    done = await world.evaluate("2025-06", member)
    assert 0 == done.decisions
    assert ["UPGRADED", "UPGRADED"] == await causes(world)
    assert [] == await world.findings()


async def test_a_tier_that_rose_early_on_wrong_balances_falls_with_its_month(
    world: World,
) -> None:
    """A-7: a correction within the month takes nothing before it is over."""
    member = await platinum(world, upgrade=UpgradeTiming.INSTANT)
    await days(world, 8_000_000_00, 1, 19)
    assert 1 == (await look(world)).risen
    again = [
        AssetLine(world.name(1), JUNE.start + timedelta(days=n), "DEPOSIT", "CNY", RICH, "", "", 1)
        for n in range(30)
    ]
    await world.assets(again)
    await look(world)
    assert PLATINUM + 1 == await rank(world, member)
    world.clock.now = datetime(2025, 7, 2, 2, tzinfo=UTC)
    await world.evaluate("2025-06", member)
    assert PLATINUM == await rank(world, member)
    assert GOLD < PLATINUM


async def test_nothing_rises_before_the_month_before_is_decided(world: World) -> None:
    """T-3: the tier that is on record until then is not the one that would rise."""
    await platinum(world, upgrade=UpgradeTiming.INSTANT)
    other = await world.member()
    name, of_june = world.name(2), [JUNE.start + timedelta(days=n) for n in range(19)]
    await world.month(name, "2025-05", 5_200_000_00)
    lines = [AssetLine(name, day, "DEPOSIT", "CNY", 8_000_000_00) for day in of_june]
    await world.assets(lines)
    world.clock.now = datetime(2025, 6, 20, 2, tzinfo=UTC)
    assert 0 == (await look(world)).risen
    await world.evaluate("2025-05", other)
    assert 0 == (await look(world)).risen
    assert PLATINUM + 1 == await rank(world, other)


async def test_who_has_nothing_before_the_running_month_rises_within_it(world: World) -> None:
    """T-3: in a programme's first month, or a customer's, no month before is there to decide."""
    programme = reference_programme()
    changed = msgspec.structs.replace(programme.policy, upgrade=UpgradeTiming.INSTANT)
    await world.apply(
        msgspec.structs.replace(programme, policy=changed), tiers_from=Month(2024, 1)
    )
    member = await world.member()
    for first, last, held in ((1, 1, 0), (2, 2, GOLD), (3, 18, GOLD), (19, 19, PLATINUM)):
        await days(world, 800_000_00, first, last)
        await look(world)
        assert held == await rank(world, member)
    await days(world, 800_000_00, 20, 30)
    world.clock.now = datetime(2025, 7, 2, 2, tzinfo=UTC)
    assert 0 == (await world.evaluate("2025-06", member)).decisions
    assert ["UPGRADED", "UPGRADED"] == await causes(world)
    assert [] == await world.findings()


async def test_a_tier_of_the_next_day_brings_nothing_for_the_month_it_is_not_held_in(
    world: World,
) -> None:
    """T-3, P-3: proven on the last day of June it holds from July on, whose units July's are."""
    member = await platinum(world, upgrade=UpgradeTiming.NEXT_DAY)
    await days(world, 5_200_000_00, 1, 28)
    assert 0 == (await look(world)).risen
    before = await world.rows("SELECT count(*) FROM entitlement_grant")
    await days(world, 5_200_000_00, 29, 29)
    assert 1 == (await look(world)).risen
    assert before == await world.rows("SELECT count(*) FROM entitlement_grant")
    assert PLATINUM == await rank(world, member)
    world.clock.now = datetime(2025, 6, 30, 17, tzinfo=UTC)
    assert PLATINUM + 1 == await rank(world, member)


async def test_a_raise_of_the_month_before_covers_no_tier_that_rose_since(world: World) -> None:
    """A-7, T-9: May is corrected from gold to platinum, and diamond stays."""
    await platinum(world, upgrade=UpgradeTiming.INSTANT)
    member = await world.member()
    name = world.name(2)
    await world.month(name, "2025-05", 60_000_00)
    await world.evaluate("2025-05", member)
    of_june = [JUNE.start + timedelta(days=n) for n in range(19)]
    await world.assets([AssetLine(name, day, "DEPOSIT", "CNY", 8_000_000_00) for day in of_june])
    world.clock.now = datetime(2025, 6, 20, 2, tzinfo=UTC)
    assert 1 == (await look(world)).risen
    world.clock.now = datetime(2025, 6, 21, 2, tzinfo=UTC)
    may = [Month(2025, 5).start + timedelta(days=n) for n in range(31)]
    await world.assets(
        [AssetLine(name, day, "DEPOSIT", "CNY", RICH, "", "", 1) for day in may],
    )
    assert 1 == (await world.evaluate("2025-05", member)).decisions
    assert PLATINUM + 1 == await rank(world, member)
