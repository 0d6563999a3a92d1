"""New customers have a tier at least from the opening on, for some months, with what it brings."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from benefits.actions.expire import due
from benefits.domain.packages import Downgrade, LinePeriod
from benefits.domain.policy import Policy
from benefits.domain.stacking import StackBy, Stacking
from benefits.domain.values import Month
from benefits.domain.welcome import Welcome
from benefits.store import standings
from tests.actions.feeding import EARLY
from tests.actions.life import EVERYWHERE, wallet
from tests.actions.merging import listed
from tests.actions.test_end_members import left, sweep, tier, told
from tests.actions.test_stacking import TIERS, granted, label, of_label, start
from tests.builders import World, reference_programme

OPENED, JOINED = date(2025, 4, 16), datetime(2025, 4, 17, 2, tzinfo=UTC)
OVER = datetime(2025, 7, 15, 16, tzinfo=UTC)  # the midnight in Shanghai that July 16 begins with
INSTANT = timedelta(microseconds=1)


async def welcoming(world: World) -> None:
    """Put a programme into force that welcomes new customers to GOLD for three months."""
    plain = reference_programme()
    lounge, video = plain.line
    video = msgspec.structs.replace(video, downgrade=Downgrade.REVOKE_EXCESS)
    policy = Policy(welcome=Welcome(tier="GOLD", months=3))
    await world.apply(
        msgspec.structs.replace(plain, policy=policy, line=(lounge, video)), tiers_from=EARLY
    )


async def events(world: World, member: UUID) -> list[tuple[str, Any, Any]]:
    """Return what was told of a member's tier: the type, the new tier, the end of a welcome."""
    return [
        (row.type, row.data["to"], row.data.get("welcome_until"))
        for row in await world.rows(
            "SELECT type, data FROM outbox WHERE member_id = $1 AND type LIKE 'tier.%' "
            "ORDER BY seq",
            member,
        )
    ]


async def month(world: World, name: str, day: date) -> None:
    """Move to a day on which the month before is decided, and decide it for everybody."""
    world.clock.now = datetime(day.year, day.month, day.day, 2, tzinfo=UTC)
    for (member,) in await world.rows("SELECT member_id FROM member WHERE merged_into IS NULL"):
        await world.evaluate(name, member)


async def test_a_new_customer_is_welcome_until_the_day(world: World) -> None:
    """M-8: at once and with its units, whatever is earned; then what is earned, at midnight."""
    await welcoming(world)
    world.clock.now = JOINED
    poor, earns, moved = await world.members(3, OPENED)
    old = await world.member()
    assert 3 == (await due(world.database, world.parts, buckets=EVERYWHERE)).members
    assert [3, 0] == [(await sweep(world)).members for _ in range(2)]
    opening = datetime(2025, 4, 15, 16, tzinfo=UTC)
    assert [0, 1] == [await tier(world, poor, opening + n) for n in (-INSTANT, INSTANT * 0)]
    assert [1, 1, 1, 0] == [(await wallet(world, id_))[0] for id_ in (poor, earns, moved, old)]

    # The customer file said the wrong day: who opened long ago is welcome to nothing.
    assert [] == await told(world, left(None, number=3))
    assert 1 == (await sweep(world)).members
    assert (0, (0, 0)) == (await tier(world, moved, world.clock.now), await wallet(world, moved))

    await world.month(world.name(2), "2025-05", 60_000_00)
    await world.month(world.name(2), "2025-06", 60_000_00)
    await month(world, "2025-04", date(2025, 5, 3))
    await month(world, "2025-05", date(2025, 6, 3))
    await month(world, "2025-06", date(2025, 7, 3))
    assert [1, 1, 0] == [await tier(world, id_, world.clock.now) for id_ in (poor, earns, old)]
    ups = await world.rows("SELECT FROM lot WHERE member_id = $1 AND cause = 'TIER'", poor)
    assert 4 == len(ups)  # of April to July
    welcomed = ("tier.welcomed", "GOLD", "2025-07-16")
    assert [welcomed, ("tier.retained", "GOLD", None)] == await events(world, earns)

    world.clock.now = OVER - INSTANT
    assert 0 == (await sweep(world)).members
    world.clock.now = OVER
    async with world.database.transaction() as conn:
        asked = [(id_, "wealth") for id_ in (poor, earns)]
        today = date(2025, 7, 16)
        held = await standings.ranks(conn, asked, OVER, today)  # before anybody has swept
    assert {(poor, "wealth"): 0, (earns, "wealth"): 1} == held
    assert [2, 0] == [(await sweep(world)).members for _ in range(2)]
    assert [1, 0] == [await tier(world, poor, OVER + n) for n in (-INSTANT, INSTANT * 0)]
    assert 1 == await tier(world, earns, OVER + INSTANT)
    assert [welcomed, ("tier.welcome_ended", "BASE", None)] == await events(world, poor)
    assert [welcomed, ("tier.retained", "GOLD", None)] == await events(world, earns)
    taken = await world.rows("SELECT period FROM entitlement_change WHERE member_id = $1", poor)
    assert ["2025-07"] == [row.period for row in taken]
    await month(world, "2025-07", date(2025, 8, 3))
    assert 2 == len(await events(world, poor))
    assert [] == await world.findings()


async def test_who_has_been_a_customer_by_another_number_is_not_new(world: World) -> None:
    """T-10: one of two numbers was opened long ago, so the welcome of the other ends."""
    await welcoming(world)
    world.clock.now = JOINED
    await world.member()
    new = await world.member(OPENED)
    assert 1 == (await sweep(world)).members
    await listed(world, ("T000001", "T000002"))
    assert 1 == (await sweep(world)).members
    assert 0 == await tier(world, new, world.clock.now + INSTANT)


async def test_a_version_that_welcomes_holds_for_its_whole_first_month(world: World) -> None:
    """U-1: who opened in that month before it was applied is welcome with the next decision."""
    world.clock.now = JOINED
    member = await world.member(OPENED)
    await welcoming(world)
    assert 0 == (await sweep(world)).members
    await month(world, "2025-04", date(2025, 5, 3))
    assert [("tier.welcomed", "GOLD", "2025-07-16")] == await events(world, member)
    assert (1, 0) == await wallet(world, member)
    world.clock.now = OVER
    assert 1 == (await sweep(world)).members
    assert 0 == await tier(world, member, OVER + INSTANT)


async def test_who_was_welcomed_stays_so_whatever_versions_come(world: World) -> None:
    """M-8, U-1: the version of 1 June welcomes until the next one, of 20 June, which judges June.

    Who opened on the 5th is welcome for three months, who opens on the 21st is not.
    """
    world.clock.now = datetime(2025, 6, 1, 4, tzinfo=UTC)
    await welcoming(world)
    world.clock.forward(days=4)
    member = await world.member(date(2025, 6, 5))
    assert 1 == (await sweep(world)).members
    world.clock.now = datetime(2025, 6, 20, 4, tzinfo=UTC)
    await world.apply(reference_programme(), tiers_from=Month(2025, 6))
    world.clock.forward(days=1)
    late = await world.member(date(2025, 6, 21))
    await world.month(world.name(1), "2025-06", 1)
    await sweep(world)
    await month(world, "2025-06", date(2025, 7, 3))
    assert [1, 0] == [await tier(world, id_, world.clock.now) for id_ in (member, late)]
    world.clock.now = datetime(2025, 9, 4, 16, tzinfo=UTC)
    assert 1 == (await sweep(world)).members
    assert 0 == await tier(world, member, world.clock.now + INSTANT)
    assert [] == await world.findings()


async def test_who_is_welcome_no_more_gets_what_the_next_line_brings(world: World) -> None:
    """P-7: of lines of which the first counts, the tier's goes and the segment's comes."""
    plain = reference_programme()
    lounge, *others = plain.benefit
    first = msgspec.structs.replace(lounge, stacking=Stacking(by=StackBy.PRIORITY))
    tiers, payroll = (
        msgspec.structs.replace(line, period=LinePeriod.MONTH)
        for line in (msgspec.structs.replace(TIERS, quota={"GOLD": 1}), of_label("payroll", 3))
    )
    policy = Policy(welcome=Welcome(tier="GOLD", months=3))
    made = msgspec.structs.replace(
        plain, policy=policy, benefit=(first, *others), line=(tiers, payroll)
    )
    await world.apply(made, tiers_from=EARLY)
    world.clock.now = JOINED
    await world.member(OPENED)
    await label(world, 1, "payroll")
    await sweep(world)
    world.clock.now = datetime(2025, 7, 1, 2, tzinfo=UTC)
    await start(world)
    assert {"tiers": 2} == await granted(world)  # of April and July
    world.clock.now = OVER
    await sweep(world)
    assert {"tiers": 2, "payroll": 2} == await granted(world)
