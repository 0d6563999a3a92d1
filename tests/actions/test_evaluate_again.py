"""Corrections of months that were decided: in favour at once, against only with the next (A-7)."""

from collections.abc import Awaitable
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import msgspec
import pytest

from benefits.actions import evaluate as evaluating
from benefits.actions.evaluate import Evaluated, evaluate
from benefits.domain.assets import AssetLine
from benefits.domain.packages import Downgrade, LinePeriod, UpgradePolicy
from benefits.domain.policy import Lock, Metric, Policy
from benefits.domain.values import Month, bucket_of
from tests.actions.test_evaluate import GOLD, PLATINUM, RICH, causes, rank, standing
from tests.actions.test_failures import CutError, cut_after
from tests.builders import World, reference_programme

QUARTER = (("2025-01", 480_000_00), ("2025-02", 490_000_00), ("2025-03", 499_000_00))


async def corrected(
    world: World, month: str, daily_minor: int, revision: int = 1, *, number: int = 1
) -> None:
    """Record another balance for every day of a month."""
    first = Month.parse(month)
    days = [first.start + timedelta(days=n) for n in range(first.days)]
    name = world.name(number)
    await world.assets(
        [AssetLine(name, day, "DEPOSIT", "CNY", daily_minor, "", "", revision) for day in days]
    )


async def fallen(world: World) -> UUID:
    """Return a member who lost platinum on 1 April, by three misses."""
    member = await world.member()
    for month, daily_minor in (("2024-12", RICH), *QUARTER):
        await world.month(world.name(1), month, daily_minor)
        await world.evaluate(month, member)
    return member


async def test_a_wrong_downgrade_is_undone_at_once_and_its_gap_stays_visible(
    world: World,
) -> None:
    """G-CORR-1: February was 505,000; platinum again from the decision on, one miss so far."""
    world.clock.now = datetime(2025, 4, 3, 2, tzinfo=UTC)
    member = await fallen(world)
    assert GOLD == await rank(world, member)
    world.clock.now = now = datetime(2025, 4, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00)
    done = await world.evaluate("2025-03", member)
    decided = (await standing(world, member, now + timedelta(seconds=1))).decided
    assert decided is not None
    assert (1, PLATINUM, 1) == (done.decisions, decided.after.rank, decided.after.misses)
    ((effective_from,),) = await world.rows(
        "SELECT effective_from FROM tier_decision ORDER BY decided_at DESC LIMIT 1"
    )
    assert timedelta() <= effective_from - now < timedelta(seconds=1)
    before = (await standing(world, member, now - timedelta(days=1))).decided
    assert before is not None
    assert GOLD == before.after.rank
    assert 0 == (await world.evaluate("2025-03", member)).decisions
    assert [] == await world.findings()


async def test_a_tier_that_is_raised_brings_a_share_from_that_day_on(world: World) -> None:
    """A-7, P-4: thirty more for 25 days of April are 25, not those of the whole month."""
    lounges = msgspec.structs.replace(
        reference_programme().line[0],
        code="visits",
        period=LinePeriod.MONTH,
        quota={"GOLD": 1, "PLATINUM": 31},
        upgrade=UpgradePolicy.PRORATE_FLOOR,
    )
    await world.apply(
        msgspec.structs.replace(reference_programme(), line=(lounges,)),
        tiers_from=Month(2024, 1),
    )
    world.clock.now = datetime(2025, 4, 3, 2, tzinfo=UTC)
    member = await fallen(world)
    world.clock.now = datetime(2025, 4, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00)
    await world.evaluate("2025-03", member)
    assert 0 == (await world.evaluate("2025-03", member)).grants
    found = await world.rows("SELECT quota::int, quantity::int FROM entitlement_grant ORDER BY 1")
    assert [(1, 1), (31, 25)] == [tuple(row) for row in found]


async def test_a_correction_takes_no_tier_back_before_the_next_month_is_evaluated(
    world: World,
) -> None:
    """A-7: what was decided on all days stays, and its units; then the fold is followed."""
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    member = await world.member()
    await world.month(world.name(1), "2025-06", RICH)
    await world.evaluate("2025-06", member)
    await corrected(world, "2025-06", 60_000_00)
    assert 0 == (await world.evaluate("2025-06", member)).decisions
    assert PLATINUM == await rank(world, member)
    world.clock.now = datetime(2025, 8, 2, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-07", 60_000_00)
    await world.evaluate("2025-07", member)
    assert GOLD == await rank(world, member)
    assert ["UPGRADED", "CORRECTED"] == await causes(world)


async def test_what_was_not_known_whole_is_not_settled(world: World) -> None:
    """A-6: the day that was missing may still cost the tier, as it would have in time."""
    world.clock.now = datetime(2025, 4, 3, 2, tzinfo=UTC)
    member = await world.member()
    for month, daily_minor in (("2024-12", RICH), *QUARTER[:2]):
        await world.month(world.name(1), month, daily_minor)
        await world.evaluate(month, member)
    march = [Month(2025, 3).start + timedelta(days=n) for n in range(31)]
    lines = [AssetLine(world.name(1), day, "DEPOSIT", "CNY", 499_000_00) for day in march]
    await world.assets(lines[:-1])
    await world.evaluate("2025-03", member)
    assert PLATINUM == await rank(world, member)
    await world.assets(lines[-1:])
    await world.evaluate("2025-03", member)
    assert GOLD == await rank(world, member)


@pytest.mark.parametrize("revisions", [(2, 1), (1, 2)])
async def test_the_higher_revision_counts_in_whatever_order_they_come(
    world: World, revisions: tuple[int, int]
) -> None:
    """A-7: of two corrections of a month the later one is believed."""
    world.clock.now = datetime(2025, 4, 6, 2, tzinfo=UTC)
    member = await fallen(world)
    for revision in revisions:
        await corrected(world, "2025-02", {1: 0, 2: 505_000_00}[revision], revision)
    await world.evaluate("2025-03", member)
    assert PLATINUM == await rank(world, member)


async def test_what_a_later_month_decides_holds_after_a_raise_of_the_one_before(
    world: World,
) -> None:
    """T-9: May was raised on 5 July, June is decided on the 12th: June's tier is the member's."""
    member = await world.member()
    world.clock.now = datetime(2025, 6, 3, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-05", 60_000_00)
    await world.evaluate("2025-05", member)
    await world.month(world.name(1), "2025-06", 5_200_000_00)
    world.clock.now = datetime(2025, 7, 5, 2, tzinfo=UTC)
    await corrected(world, "2025-05", RICH)
    await world.evaluate("2025-05", member)
    assert PLATINUM == await rank(world, member)
    world.clock.now = datetime(2025, 7, 12, 2, tzinfo=UTC)
    await world.evaluate("2025-06", member)
    assert PLATINUM + 1 == await rank(world, member)
    assert [] == await world.findings()


async def test_a_raise_of_the_past_is_undone_by_the_months_after_it(world: World) -> None:
    """T-8, T-9, A-7: platinum fell on 1 April; by a corrected February it falls on 1 June.

    The units that gold brings in July stay.
    """
    visits = msgspec.structs.replace(
        reference_programme().line[0],
        code="visits",
        period=LinePeriod.MONTH,
        quota={"GOLD": 1, "PLATINUM": 2},
        downgrade=Downgrade.REVOKE_UNCLAIMED,
    )
    await world.apply(
        msgspec.structs.replace(reference_programme(), line=(visits,)),
        tiers_from=Month(2024, 1),
    )
    member = await world.member()
    levels = {"2024-12": RICH} | {f"2025-0{n}": 60_000_00 for n in range(1, 7)}
    for text, daily_minor in levels.items():
        month = Month.parse(text)
        world.clock.now = datetime.combine(month.end, time(2), UTC) + timedelta(days=2)
        await world.month(world.name(1), text, daily_minor)
        await world.evaluate(text, member)
    world.clock.now = datetime(2025, 7, 10, 2, tzinfo=UTC)
    await corrected(world, "2025-02", RICH)
    for text in levels:
        await world.evaluate(text, member)
    assert GOLD == await rank(world, member)
    world.clock.now += timedelta(days=1)
    assert [0] * len(levels) == [(await world.evaluate(t, member)).decisions for t in levels]
    left = await world.rows("SELECT remaining::int FROM lot WHERE period = '2025-07'")
    assert [1] == [row.remaining for row in left]
    assert [] == await world.findings()


async def neighbours(world: World) -> tuple[UUID, UUID]:
    """Enrol ten members, of whom the third and the tenth share a bucket; return these two."""
    ids = await world.members(10)
    assert bucket_of(ids[2]) == bucket_of(ids[9])
    return ids[2], ids[9]


async def lacking(
    world: World, number: int, month: str, daily_minor: int, *, revision: int = 0
) -> None:
    """Record a balance on all days of a month but the last one."""
    first = Month.parse(month)
    days = [first.start + timedelta(days=n) for n in range(first.days - 1)]
    name = world.name(number)
    await world.assets(
        [AssetLine(name, day, "DEPOSIT", "CNY", daily_minor, "", "", revision) for day in days]
    )


async def test_what_is_missing_of_one_member_takes_nothing_back_from_another(
    world: World,
) -> None:
    """A-7: platinum was decided on all days, and is not taken back for a neighbour's gap.

    The neighbour's month is settled once it is whole, from then on.
    """
    member, other = await neighbours(world)
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await world.month(world.name(3), "2025-06", RICH)
    await lacking(world, 10, "2025-06", RICH)
    await world.evaluate("2025-06", member)
    for number, daily_minor in ((3, 60_000_00), (10, RICH)):
        await corrected(world, "2025-06", daily_minor, number=number)
        world.clock.forward(days=1)
        await world.evaluate("2025-06", member)
    assert PLATINUM == await rank(world, member) == await rank(world, other)
    await corrected(world, "2025-06", 60_000_00, 2, number=10)
    world.clock.forward(days=1)
    assert 0 == (await world.evaluate("2025-06", member)).decisions
    assert PLATINUM == await rank(world, other)
    assert [] == await world.findings()


async def test_what_is_missing_of_one_member_raises_no_other_for_the_past(world: World) -> None:
    """G-CORR-1, with a neighbour of whom a day is missing: the gap of 1 to 5 April stays."""
    member, other = await neighbours(world)
    world.clock.now = datetime(2025, 4, 3, 2, tzinfo=UTC)
    for month, daily_minor in (("2024-12", RICH), *QUARTER):
        await world.month(world.name(3), month, daily_minor)
        await lacking(world, 10, month, 60_000_00)
        await world.evaluate(month, member)
    world.clock.now = now = datetime(2025, 4, 6, 2, tzinfo=UTC)
    await corrected(world, "2025-02", 505_000_00, number=3)
    await corrected(world, "2025-03", RICH, number=10)
    await world.evaluate("2025-03", member)
    begun = await world.rows(
        "SELECT DISTINCT ON (member_id) member_id, effective_from FROM tier_decision"
        " WHERE rank = 2 ORDER BY member_id, decided_at DESC"
    )
    first = datetime(2025, 3, 31, 16, tzinfo=UTC)
    assert {member: now, other: first} == {
        row.member_id: row.effective_from.replace(microsecond=0) for row in begun
    }


async def test_a_raise_of_a_month_before_the_last_holds_from_now_on(world: World) -> None:
    """A-7, P-4: on 10 July February is corrected to platinum; the share of July is of 22 days."""
    lounges = msgspec.structs.replace(
        reference_programme().line[0],
        code="visits",
        period=LinePeriod.MONTH,
        quota={"PLATINUM": 31},
        upgrade=UpgradePolicy.PRORATE_FLOOR,
    )
    lock = Lock(months=12)
    ladder = tuple(
        msgspec.structs.replace(tier, lock=lock if n else None, misses=0)
        for n, tier in enumerate(reference_programme().tier)
    )
    await world.apply(
        msgspec.structs.replace(reference_programme(), line=(lounges,), tier=ladder),
        tiers_from=Month(2024, 1),
    )
    member = await world.member()
    months = [f"2025-0{n}" for n in range(1, 7)]
    for month in months:
        await world.month(world.name(1), month, 0)
        world.clock.now = datetime.combine(Month.parse(month).end, time(2), UTC)
        await world.evaluate(month, member)
    world.clock.now = now = datetime(2025, 7, 10, 2, tzinfo=UTC)
    await corrected(world, "2025-02", RICH)
    for month in months:
        await world.evaluate(month, member)
    begun = await world.rows("SELECT effective_from AS at FROM tier_decision")
    assert [now] == [row.at.replace(microsecond=0) for row in begun]
    found = await world.rows("SELECT quantity::int FROM entitlement_grant WHERE period='2025-07'")
    assert [22] == [row.quantity for row in found]


async def test_a_gap_takes_nothing_back_that_a_later_month_decided_whole(world: World) -> None:
    """A-7: a day of January stays missing; corrected in April, it is March's tier that holds.

    What it brought in April stays; April follows the fold.
    """
    visits = msgspec.structs.replace(
        reference_programme().line[0],
        code="visits",
        period=LinePeriod.MONTH,
        quota={"PLATINUM": 2},
        downgrade=Downgrade.REVOKE_UNCLAIMED,
    )
    ladder = tuple(
        msgspec.structs.replace(tier, lock=Lock(months=12) if n else None, misses=0)
        for n, tier in enumerate(reference_programme().tier)
    )
    await world.apply(
        msgspec.structs.replace(reference_programme(), line=(visits,), tier=ladder),
        tiers_from=Month(2024, 1),
    )
    member = await world.member()
    for nth in range(1, 5):
        month = f"2025-0{nth}"
        world.clock.now = datetime.combine(Month.parse(month).end, time(2), UTC)
        if nth == 1:
            await lacking(world, 1, month, 600_000_00)
        else:
            await world.month(world.name(1), month, 1)
        await world.evaluate(month, member)
        if nth == 3:
            world.clock.forward(days=9)
            await lacking(world, 1, "2025-01", 60_000_00, revision=1)
            again = [await world.evaluate(f"2025-0{n}", member) for n in (1, 2, 3)]
            assert [0, 0, 0] == [one.decisions for one in again]
        assert (PLATINUM if nth < 4 else GOLD) == await rank(world, member)
    left = await world.rows("SELECT remaining::int FROM lot WHERE period = '2025-04'")
    assert [2] == [row.remaining for row in left]
    assert [] == await world.findings()


async def test_a_tier_of_a_quarter_never_falls_inside_the_next(world: World) -> None:
    """T-3, A-7: February is corrected down on 20 April; June, which ends a quarter, follows it."""
    quarter = msgspec.structs.replace(
        reference_programme(), policy=Policy(metric=Metric.QUARTER_AVG)
    )
    await world.apply(quarter, tiers_from=Month(2024, 1))
    member = await world.member()
    for nth in range(1, 7):
        month = f"2025-0{nth}"
        await world.month(world.name(1), month, RICH)
        world.clock.now = datetime.combine(Month.parse(month).end, time(2), UTC)
        if nth == 4:
            await corrected(world, "2025-02", 60_000_00)
            assert 0 == (await world.evaluate("2025-03", member)).decisions
        if nth == 6:
            await corrected(world, "2025-05", 60_000_00)
            await corrected(world, "2025-06", 60_000_00)
        await world.evaluate(month, member)
        assert (GOLD if nth == 6 else PLATINUM if nth >= 3 else 0) == await rank(world, member)
    assert [] == await world.findings()


def june(world: World, *buckets: int) -> Awaitable[Evaluated]:
    """Evaluate June in a range of buckets."""
    span = (min(buckets), max(buckets))
    return evaluate(world.database, world.parts, "wealth", Month(2025, 6), buckets=span)


async def cut_between(world: World, *buckets: int) -> None:
    """Evaluate June, and stop once the first page is written."""
    for statements in range(100):
        with pytest.raises(CutError), cut_after(statements):
            await june(world, *buckets)
        if await causes(world):
            return
    raise AssertionError


async def test_what_was_decided_before_an_evaluation_was_cut_is_settled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-7: corrected before it goes on, it takes nothing back of whom it had decided.

    Of whom it had not, the correction is part of what is decided, from the month's end on.
    """
    monkeypatch.setattr(evaluating, "PAGE", 1)
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    ids = await world.members(3)
    order, buckets = sorted(ids, key=bucket_of), [bucket_of(id_) for id_ in ids]
    for number in (1, 2, 3):
        await world.month(world.name(number), "2025-06", RICH)
    await cut_between(world, *buckets)
    assert [PLATINUM, 0, 0] == [await rank(world, member) for member in order]
    levels = dict(zip(order, (60_000_00, 60_000_00, 5_200_000_00), strict=True))
    for number, member in enumerate(ids, 1):
        await corrected(world, "2025-06", levels[member], number=number)
    world.clock.forward(days=1)
    await june(world, *buckets)
    assert [PLATINUM, GOLD, PLATINUM + 1] == [await rank(world, member) for member in order]
    begun = await world.rows("SELECT effective_from AS at FROM tier_decision")
    assert [datetime(2025, 6, 30, 16, tzinfo=UTC)] * 3 == [row.at for row in begun]
    assert 0 == (await june(world, *buckets)).decisions
    assert [] == await world.findings()


async def test_a_bucket_is_not_settled_before_its_last_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-7: whoever was not decided when it was cut rises with the month's end, not from now on."""
    monkeypatch.setattr(evaluating, "PAGE", 1)
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    ids = await neighbours(world)
    for number in (3, 10):
        await world.month(world.name(number), "2025-06", RICH)
    await cut_between(world, bucket_of(ids[0]))
    first, second = sorted(ids)
    assert (PLATINUM, 0) == (await rank(world, first), await rank(world, second))
    number = 3 if second == ids[0] else 10
    await corrected(world, "2025-06", 5_200_000_00, number=number)
    world.clock.forward(days=1)
    await world.evaluate("2025-06", second)
    assert PLATINUM + 1 == await rank(world, second)
    begun = await world.rows("SELECT effective_from AS at FROM tier_decision")
    assert [datetime(2025, 6, 30, 16, tzinfo=UTC)] * 2 == [row.at for row in begun]


async def test_what_is_decided_once_more_is_told_as_a_correction(world: World) -> None:
    """T-12: up, down, up and down again in one month; each kind comes once for a tier."""
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    member = await world.member()
    await world.month(world.name(1), "2025-06", 60_000_00)
    await world.evaluate("2025-06", member)
    for revision, level in enumerate([RICH, 60_000_00, RICH, 60_000_00], 1):
        world.clock.forward(minutes=1)
        await corrected(world, "2025-06", level, revision)
        await world.evaluate("2025-06", member)
    told = await world.rows(
        "SELECT type, data ->> 'to' AS tier FROM outbox WHERE type LIKE 'tier.%' ORDER BY seq"
    )
    assert [
        ("tier.upgraded", "GOLD"),
        ("tier.upgraded", "PLATINUM"),
        ("tier.downgraded", "GOLD"),
        ("tier.corrected", "PLATINUM"),
        ("tier.corrected", "GOLD"),
    ] == [tuple(row) for row in told]
    assert [] == await world.findings()
