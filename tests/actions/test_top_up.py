"""Lines of every kind of period: what an evaluation brings, once, whatever is corrected."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.keyed import Accepted
from benefits.actions.look_ahead import look_ahead
from benefits.actions.record_members import record_members
from benefits.domain.assets import AssetLine
from benefits.domain.members import MemberLine
from benefits.domain.packages import Anchor, Downgrade, Line, LinePeriod, Start, UpgradePolicy
from benefits.domain.policy import Policy, UpgradeTiming
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.recurring import Missing, Recurring
from benefits.domain.values import Month
from tests.actions.merging import listed
from tests.actions.test_start_period import CAR_DAY
from tests.actions.test_start_period import having as starting
from tests.builders import MEMBER_KEY, World, reference_programme

RICH, RICHER = 520_000_00, 5_200_000_00
OPENED = date(2024, 7, 15)


async def having(world: World, *lines: Line, **more: object) -> UUID:
    """Let a programme have lines; return a member who joined on a 15th of July."""
    changed = msgspec.structs.replace(reference_programme(), line=lines, **more)
    await world.apply(changed, tiers_from=Month(2024, 1))
    return await world.member(OPENED)


def line(period: LinePeriod, **more: Any) -> Line:
    """Return a line that brings a platinum member two visits and a diamond one six."""
    quota: dict[str, Any] = {"PLATINUM": 2, "DIAMOND": 6}
    if more.get("anchor") is Anchor.ANNIVERSARY:
        more["start"] = Start.PERIOD
    return Line(code="visits", benefit="LOUNGE", period=period, quota=quota, **more)


async def granted(world: World) -> list[tuple[str, int]]:
    """Return what was granted, by period."""
    found = await world.rows(
        "SELECT period, quantity FROM entitlement_grant ORDER BY period, quota"
    )
    return [tuple(row) for row in found]


async def evaluate(world: World, member: UUID, month: str, level: int, *, on: datetime) -> None:
    """Evaluate a month with a balance on a day, twice; the second time nothing is granted."""
    world.clock.now = on
    await world.month(world.name(1), month, level)
    await world.evaluate(month, member)
    assert 0 == (await world.evaluate(month, member)).grants


@pytest.mark.parametrize(
    ("period", "keys"),
    [
        (LinePeriod.MONTH, ["2025-06-15", "2025-07-15"]),
        (LinePeriod.QUARTER, ["2025-04-15", "2025-07-15"]),
        (LinePeriod.YEAR, ["2024-07-15", "2025-07-15"]),
        (LinePeriod.ROLLING, ["2025-05-26", "2025-07-10"]),
    ],
)
async def test_periods_are_counted_from_the_opening(
    world: World, period: LinePeriod, keys: list[str]
) -> None:
    """P-2, P-3: an evaluation grants for the period that runs when it is made."""
    days = 45 if period is LinePeriod.ROLLING else 0
    member = await having(world, line(period, anchor=Anchor.ANNIVERSARY, days=days))
    await evaluate(world, member, "2025-06", RICH, on=datetime(2025, 7, 3, 2, tzinfo=UTC))
    assert [(keys[0], 2)] == await granted(world)
    await evaluate(world, member, "2025-07", RICH, on=datetime(2025, 8, 3, 2, tzinfo=UTC))
    assert [(key, 2) for key in keys] == await granted(world)
    assert [] == await world.findings()


async def test_a_rise_tops_a_period_of_ones_own_up(world: World) -> None:
    """P-4: to the new quota, within the same period."""
    member = await having(world, line(LinePeriod.YEAR, anchor=Anchor.ANNIVERSARY))
    await evaluate(world, member, "2025-04", RICH, on=datetime(2025, 5, 3, 2, tzinfo=UTC))
    await evaluate(world, member, "2025-05", RICHER, on=datetime(2025, 6, 3, 2, tzinfo=UTC))
    assert [("2024-07-15", 2), ("2024-07-15", 4)] == await granted(world)


async def test_an_opening_that_is_corrected_grants_nothing_twice(world: World) -> None:
    """P-3: a period that overlaps one that was granted for is not another one."""
    member = await having(world, line(LinePeriod.MONTH, anchor=Anchor.ANNIVERSARY))
    await evaluate(world, member, "2025-06", RICH, on=datetime(2025, 7, 3, 2, tzinfo=UTC))
    async with world.database.transaction() as conn:
        corrected = MemberLine(world.name(1), date(2024, 7, 20))
        await record_members(conn, [(2, corrected)], world.parts, member_key=MEMBER_KEY)
    assert 0 == (await world.evaluate("2025-06", member)).grants
    await evaluate(world, member, "2025-07", RICH, on=datetime(2025, 8, 3, 2, tzinfo=UTC))
    assert [("2025-06-15", 2), ("2025-07-20", 2)] == await granted(world)


async def test_what_comes_once_comes_once(world: World) -> None:
    """P-2, P-5: it lives days of its own, and a rise tops it up."""
    member = await having(world, line(LinePeriod.ONCE, valid_days=30))
    for month, level, on in (
        ("2025-04", RICH, datetime(2025, 5, 3, 2, tzinfo=UTC)),
        ("2025-05", RICH, datetime(2025, 6, 3, 2, tzinfo=UTC)),
        ("2025-06", RICHER, datetime(2025, 7, 3, 2, tzinfo=UTC)),
    ):
        await evaluate(world, member, month, level, on=on)
    assert [("once", 2), ("once", 4)] == await granted(world)
    ends = await world.rows("SELECT expires_at FROM lot ORDER BY expires_at")
    assert [(datetime(2025, 6, 2, 16, tzinfo=UTC),), (datetime(2025, 8, 2, 16, tzinfo=UTC),)] == [
        tuple(row) for row in ends
    ]
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("upgrade", "more"),
    [
        (UpgradePolicy.TOP_UP, [4]),
        (UpgradePolicy.PRORATE_FLOOR, [1]),
        (UpgradePolicy.PRORATE_CEIL, [2]),
        (UpgradePolicy.FULL, [6]),
        (UpgradePolicy.NEXT_PERIOD, []),
    ],
)
async def test_a_rise_within_a_month_brings_what_its_policy_says(
    world: World, upgrade: UpgradePolicy, more: list[int]
) -> None:
    """P-4: proven on 20 June, at once; a share is for the eleven days left of thirty."""
    member = await having(
        world,
        line(LinePeriod.MONTH, upgrade=upgrade),
        policy=Policy(upgrade=UpgradeTiming.INSTANT),
    )
    await evaluate(world, member, "2025-05", RICH, on=datetime(2025, 6, 2, 2, tzinfo=UTC))
    days = [date(2025, 6, n) for n in range(1, 20)]
    lines = [AssetLine(world.name(1), day, "DEPOSIT", "CNY", 8_000_000_00) for day in days]
    await world.assets(lines)
    world.clock.now = datetime(2025, 6, 20, 2, tzinfo=UTC)
    assert 1 == (await look_ahead(world.database, world.parts, "wealth")).risen
    assert [("2025-06", n) for n in (2, *more)] == await granted(world)


async def test_a_tier_of_old_is_no_rise(world: World) -> None:
    """P-4: a line that is new within a quarter brings all of it to who had the tier before."""
    member = await having(world)
    await evaluate(world, member, "2025-06", RICH, on=datetime(2025, 7, 3, 2, tzinfo=UTC))
    lines = (
        line(LinePeriod.QUARTER, upgrade=UpgradePolicy.NEXT_PERIOD),
        replace(
            line(LinePeriod.QUARTER, upgrade=UpgradePolicy.PRORATE_FLOOR), code="visits-shared"
        ),
    )
    await world.apply(replace(reference_programme(), line=lines), tiers_from=Month(2024, 1))
    await evaluate(world, member, "2025-07", RICH, on=datetime(2025, 8, 3, 2, tzinfo=UTC))
    assert [("2025-Q3", 2), ("2025-Q3", 2)] == await granted(world)


async def tiers_of_months(world: World, member: UUID, *levels: int) -> None:
    """Evaluate April, May and so on with balances, early in the month after."""
    for nth, level in enumerate(levels):
        month = Month(2025, 4).plus(nth)
        on = datetime(month.end.year, month.end.month, 3, 2, tzinfo=UTC)
        await evaluate(world, member, str(month), level, on=on)


async def claimed(world: World, member: UUID, quantity: int) -> None:
    """Claim visits; they stay held."""
    wish = ClaimUnits(
        caller="mobile",
        key=str(quantity),
        member_id=member,
        benefit="LOUNGE",
        quantity=quantity,
        recipient={"phone": "13800000001"},
    )
    async with world.database.transaction() as conn:
        (outcome,) = await claim(conn, [wish], world.parts, wait=True)
    assert isinstance(outcome, Accepted)


async def free(world: World) -> int:
    """Return how many visits can be claimed."""
    ((count,),) = await world.rows("SELECT (sum(remaining) - sum(held))::int FROM lot")
    ((wallet,),) = await world.rows("SELECT available::int FROM wallet")
    assert wallet == count
    return int(count)


@pytest.mark.parametrize(
    ("downgrade", "left"),
    [
        (Downgrade.KEEP_UNTIL_EXPIRY, 3),
        (Downgrade.REVOKE_EXCESS, 0),
        (Downgrade.REVOKE_UNCLAIMED, 0),
        (Downgrade.REVOKE_ALL, 0),
    ],
)
async def test_g_down_1_a_fall_takes_unused_units_and_a_rise_gives_them_back(
    world: World, downgrade: Downgrade, left: int
) -> None:
    """G-DOWN-1, P-6: held ones are honoured; up again all of the higher quota is there."""
    at_once = tuple(replace(tier, misses=1) for tier in reference_programme().tier[1:])
    tiers = (reference_programme().tier[0], *at_once)
    member = await having(world, line(LinePeriod.YEAR, downgrade=downgrade), tier=tiers)
    await tiers_of_months(world, member, RICHER)
    await claimed(world, member, 3)
    await tiers_of_months(world, member, RICHER, RICH)
    assert left == await free(world)
    await tiers_of_months(world, member, RICHER, RICH, RICHER)
    assert 3 == await free(world)
    assert [("2025", 6)] == await granted(world)
    told = await world.rows(
        "SELECT type, data ->> 'quantity' AS units, data ->> 'quota' AS quota FROM outbox "
        "WHERE type LIKE 'entitlement.re%' ORDER BY seq"
    )
    is_kept = downgrade is Downgrade.KEEP_UNTIL_EXPIRY
    moves = [("entitlement.reduced", "3", "2"), ("entitlement.restored", "3", "6")]
    assert ([] if is_kept else moves) == [tuple(row) for row in told]
    assert [] == await world.findings()


async def test_a_fall_takes_once_whatever_is_run_again(world: World) -> None:
    """P-6: months evaluated again, and one before the last, take nothing more."""
    at_once = tuple(replace(tier, misses=1) for tier in reference_programme().tier[1:])
    tiers = (reference_programme().tier[0], *at_once)
    one = line(LinePeriod.YEAR, anchor=Anchor.ANNIVERSARY, downgrade=Downgrade.REVOKE_EXCESS)
    member = await having(world, one, tier=tiers)
    await tiers_of_months(world, member, RICHER, RICH)
    assert 2 == await free(world)
    for month in ("2025-05", "2025-04", "2025-05"):
        await world.evaluate(month, member)
    assert 2 == await free(world)
    assert [(4, 2)] == [
        tuple(row)
        for row in await world.rows("SELECT taken::int, quota::int FROM entitlement_change")
    ]
    assert [] == await world.findings()


async def test_what_a_merged_customer_used_is_used(world: World) -> None:
    """P-6, T-10: three of six are held by the one, the other falls to two: none is left."""
    at_once = tuple(replace(tier, misses=1) for tier in reference_programme().tier[1:])
    tiers = (reference_programme().tier[0], *at_once)
    one = line(LinePeriod.YEAR, downgrade=Downgrade.REVOKE_EXCESS)
    member = await having(world, one, tier=tiers)
    await tiers_of_months(world, member, RICHER)
    await claimed(world, member, 3)
    other = await world.member(OPENED)
    await listed(world, (world.name(1), world.name(2)))
    await tiers_of_months(world, other, RICHER, RICH)
    assert [(3, "2025")] == [
        tuple(row) for row in await world.rows("SELECT taken::int, period FROM entitlement_change")
    ]
    assert [] == await world.findings()


async def test_a_line_keeps_its_day(world: World) -> None:
    """P-10: on another day of the month its units would come again; another code begins anew."""
    await starting(world, CAR_DAY)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"on": Recurring(day=30)}, "on must stay as it is"),
        ({"missing": Missing.SKIP}, "missing must stay 'LAST_DAY'"),
    )
    for changed, kept in cases:
        with pytest.raises(ProgrammeInvalid, match=f"line 'car-day': its {kept}"):
            await starting(world, msgspec.structs.replace(CAR_DAY, **changed))
    await starting(world, CAR_DAY, msgspec.structs.replace(CAR_DAY, code="anew"))
