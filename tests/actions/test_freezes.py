"""Days of a freeze are added to the ends of units, where the programme says so (E-6)."""

from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.actions.close_month import close_month
from benefits.domain.blocks import Why
from benefits.domain.orders import Reason, Rejected
from benefits.domain.packages import Downgrade, LinePeriod
from benefits.domain.proposals import UnblockWanted
from benefits.domain.values import Month
from tests.actions.agreeing import agreed, block
from tests.actions.life import (
    call_back,
    claimed,
    decide,
    expire_lots,
    gift,
    give,
    holder,
    number_of,
    said,
    wallet,
    wish,
)
from tests.actions.limiting import local
from tests.actions.merging import merged
from tests.actions.test_archive_month import archive, exported
from tests.actions.test_blocks import lifted
from tests.actions.test_top_up import RICH, RICHER, free, having, line, tiers_of_months
from tests.builders import World, reference_programme

FREEZE = Why.LEGAL_FREEZE


async def adding(world: World, **video: object) -> None:
    """Let the programme add the days of freezes; nothing of the video has a cap or stock."""
    programme = reference_programme()
    lounge, other = programme.benefit
    changed = replace(other, cap=None, **video)
    await world.apply(replace(programme, freeze_adds_days=True, benefit=(lounge, changed)))


async def ends(world: World) -> list[tuple[int, datetime]]:
    """Return what can be claimed, with its end; the books are right."""
    assert [] == await world.findings()
    found = await world.rows(
        "SELECT (remaining - held)::int AS free, expires_at FROM lot "
        "WHERE remaining > held AND expires_at > $1 ORDER BY expires_at, lot_id",
        world.clock.now,
    )
    return [tuple(row) for row in found]


@pytest.mark.parametrize("is_swept", [True, False])
@pytest.mark.parametrize("days", [10, 40])
async def test_units_live_on_for_the_days_of_a_freeze(
    world: World, *, is_swept: bool, days: int
) -> None:
    """What still lives, and what ended meanwhile: as many days are left as there were before."""
    await adding(world)
    world.clock.now = local(2025, 7, 3, 12)
    member = await holder(world, quantity=3)  # through 2 August
    world.clock.now = local(2025, 7, 5, 12)
    block_id = await agreed(world, block(member, why=FREEZE))
    world.clock.forward(days=days)
    if is_swept:
        await expire_lots(world)
    assert "blocked" == said((await decide(world, wish(member)))[0])
    await agreed(world, UnblockWanted(block_id=block_id))
    assert [1, 0] == [await lifted(world), await lifted(world)]
    assert [(3, local(2025, 8, 3) + timedelta(days=days))] == await ends(world)
    assert (3, 0) == await wallet(world, member)
    (told,) = await world.rows(
        "SELECT data ->> 'quantity' AS units, l.expires_at FROM outbox AS o "
        "JOIN lot AS l ON l.lot_id = (o.data ->> 'lot_id')::uuid "
        "WHERE type = 'entitlement.extended'"
    )
    assert ("3", local(2025, 8, 3)) == tuple(told)
    outcomes = await decide(world, *(wish(member) for _ in range(3)))
    assert ["ok"] * 3 == [said(outcome) for outcome in outcomes]
    assert [] == await ends(world)


async def test_what_ended_in_a_month_that_was_archived_meanwhile_goes_on(
    world: World, tmp_path: Path
) -> None:
    """A long freeze: what its units came to is told by events, which stay."""
    await adding(world)
    world.clock.now = local(2025, 7, 3, 12)
    member = await holder(world, quantity=2, valid_days=5)  # through 8 July
    world.clock.now = local(2025, 7, 5, 12)
    await agreed(world, block(member, why=FREEZE, to_at=local(2025, 9, 20, 12)))
    world.clock.now = local(2025, 7, 20)
    await expire_lots(world)
    world.clock.now = local(2025, 9, 2)
    await close_month(world.database, world.parts, Month(2025, 7), actor="test")
    await exported(world)
    assert (await archive(world, tmp_path, Month(2025, 7))).is_new
    world.clock.now = local(2025, 9, 20, 12)
    assert 1 == await lifted(world)
    assert [(2, local(2025, 9, 24))] == await ends(world)


async def test_several_freezes_at_a_time_count_once(world: World) -> None:
    """From the first that begins to the last that ends, whoever is noted first."""
    await adding(world)
    world.clock.now = local(2025, 7, 3, 12)
    member = await holder(world)
    for first, last in ((3, 8), (5, 13), (20, 22)):
        begin, end = local(2025, 7, first, 13), local(2025, 7, last, 13)
        await agreed(world, block(member, why=FREEZE, from_at=begin, to_at=end))
    world.clock.now = local(2025, 7, 9)
    assert 1 == await lifted(world)
    assert [(1, local(2025, 8, 3))] == await ends(world)
    world.clock.now = local(2025, 7, 14)
    assert 1 == await lifted(world)
    assert [(1, local(2025, 8, 13))] == await ends(world)
    world.clock.now = local(2025, 8, 1)
    assert 1 == await lifted(world)
    assert [(1, local(2025, 8, 15))] == await ends(world)


async def test_what_is_held_returns_to_its_own_end(world: World) -> None:
    """L-6: an order in flight was not frozen; nor does what had ended before, or by contract."""
    await adding(world, contract_end=date(2025, 8, 5))
    world.clock.now = local(2025, 7, 3, 12)
    member = await holder(world, quantity=2)
    await give(world, gift(member, valid_days=1))
    (claim_id,) = await claimed(world, wish(member, quantity=2))
    world.clock.now = local(2025, 7, 5, 12)
    await agreed(world, block(member, why=FREEZE, to_at=local(2025, 7, 25, 12)))
    world.clock.now = local(2025, 7, 25, 12)
    assert 1 == await lifted(world)
    assert [(1, local(2025, 8, 6))] == await ends(world)
    await call_back(world, await number_of(world, claim_id), Rejected(Reason.LIMIT, "limit"))
    assert [(1, local(2025, 8, 3)), (1, local(2025, 8, 6))] == await ends(world)


async def test_who_is_merged_or_leaves_in_a_freeze(world: World) -> None:
    """T-10: the freeze goes along with the units; of an ended relationship nothing goes on."""
    await adding(world)
    world.clock.now = local(2025, 7, 3, 12)
    goes, stays, leaves = await holder(world), await world.member(), await holder(world)
    for member in (goes, leaves):
        await agreed(world, block(member, why=FREEZE, to_at=local(2025, 7, 13, 12)))
    await merged(world, goes, stays)
    await world.rows("UPDATE member SET closed_on = '2025-07-05' WHERE member_id = $1", leaves)
    world.clock.now = local(2025, 7, 13, 12)
    assert 2 == await lifted(world)
    found = await world.rows(
        "SELECT member_id, expires_at FROM lot WHERE remaining > 0 ORDER BY expires_at"
    )
    assert [(leaves, local(2025, 8, 3)), (stays, local(2025, 8, 13))] == [*map(tuple, found)]


@pytest.mark.parametrize("stays", [True, False])
async def test_what_days_were_added_before_a_merger_are_not_added_again(
    world: World, *, stays: bool
) -> None:
    """T-10: the other's freeze goes on; what came back at the end of the first is no more then."""
    await adding(world)
    world.clock.now = local(2025, 7, 3, 12)
    one, other = await holder(world), await world.member()
    await give(world, gift(one, valid_days=5))
    for member, last in ((one, 13), (other, 31)):
        until = local(2025, 7, last, 12)
        await agreed(world, block(member, why=FREEZE, to_at=until))
    world.clock.now = local(2025, 7, 13, 12)
    await expire_lots(world)
    assert 1 == await lifted(world)
    assert [(1, local(2025, 7, 19)), (1, local(2025, 8, 13))] == await ends(world)
    await (merged(world, other, one) if stays else merged(world, one, other))
    world.clock.now = local(2025, 7, 31, 12)
    await expire_lots(world)
    assert 1 == await lifted(world)
    assert [(1, local(2025, 8, 6)), (1, local(2025, 8, 31))] == await ends(world)


async def test_quotas_count_what_they_did(world: World) -> None:
    """P-3, P-6: a freeze brings no quota again, and a fall takes of what lives on."""
    rungs = tuple(replace(tier, misses=1) for tier in reference_programme().tier[1:])
    tiers = (reference_programme().tier[0], *rungs)
    yearly = line(LinePeriod.YEAR, downgrade=Downgrade.REVOKE_EXCESS)
    member: UUID = await having(world, yearly, tier=tiers, freeze_adds_days=True)
    await tiers_of_months(world, member, RICHER)
    assert 6 == await free(world)
    until = world.clock.now + timedelta(days=5)
    await agreed(world, block(member, why=FREEZE, to_at=until))
    world.clock.now = until
    assert 1 == await lifted(world)
    assert 6 == await free(world)
    await tiers_of_months(world, member, RICHER, RICH)
    assert 2 == await free(world)
    await tiers_of_months(world, member, RICHER, RICH, RICHER)
    assert 6 == await free(world)
    granted = await world.rows("SELECT sum(quantity)::int AS n FROM entitlement_grant")
    assert [6] == [row.n for row in granted]
    assert [] == await world.findings()


async def test_days_are_added_where_the_programme_says_so(world: World) -> None:
    """E-6: not by default."""
    world.clock.now = local(2025, 7, 3, 12)
    member = await holder(world)
    await agreed(world, block(member, why=FREEZE, to_at=local(2025, 7, 13, 12)))
    world.clock.now = local(2025, 7, 13, 12)
    assert 1 == await lifted(world)
    assert [(1, local(2025, 8, 3))] == await ends(world)
