"""Evaluating months: in order or not, complete or not, the record ends up as the fold says."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest

from benefits.actions.evaluate import MonthNotOver, UnknownProgramme, evaluate
from benefits.domain.assets import AssetLine
from benefits.domain.packages import Anchor, LinePeriod, Start, UpgradePolicy
from benefits.domain.policy import Lock, Metric, Policy
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.values import BUCKETS, Month
from benefits.store import members
from benefits.store.overview import Standing, overviews
from tests.builders import World, reference_programme
from tests.roles import administrator

GOLD, PLATINUM, PRIVATE = 1, 2, 4
RICH = 520_000_00


async def rank(world: World, member: UUID) -> int:
    """Return the rank a member has now, on record."""
    soon = world.clock() + timedelta(seconds=1)  # the clock stands still, records do not
    decided = (await standing(world, member, soon)).decided
    return decided.after.rank if decided else 0


async def standing(world: World, member: UUID, at: datetime) -> Standing:
    """Return a member's place at an instant, as known then."""
    async with world.database.transaction() as conn:
        catalogue = await world.parts.catalogue.current(conn)
        found = await overviews(conn, [member], catalogue.rules.values(), at, claims=0)
    (place,) = found[member].standings
    return place


async def causes(world: World) -> list[str]:
    """Return why decisions were written, in order."""
    found = await world.rows("SELECT cause FROM tier_decision ORDER BY decided_at")
    return [row.cause for row in found]


async def test_a_run_again_writes_nothing(world: World) -> None:
    """P-3, C-7: the second run finds everything written."""
    member = await world.member()
    await world.month(world.name(1), "2025-06", RICH)
    first = await world.evaluate("2025-06", member)
    again = await world.evaluate("2025-06", member)
    assert (1, 2, {PLATINUM: 1}) == (first.decisions, first.grants, first.ranks)
    assert (0, 0, {PLATINUM: 1}) == (again.decisions, again.grants, again.ranks)


async def test_a_busy_member_is_evaluated_after_all_others(world: World) -> None:
    """Nobody waits for them, and the run is not over before they had their turn."""
    ids = await world.members(2)
    for number in (1, 2):
        await world.month(world.name(number), "2025-06", RICH)
    span = (0, BUCKETS - 1)
    run = evaluate(world.database, world.parts, "wealth", Month(2025, 6), buckets=span)
    async with administrator(world.database) as conn:
        await members.lock(conn, ids[:1], wait=True)
        task = asyncio.create_task(run)
        async with asyncio.timeout(5):
            while await causes(world) != ["UPGRADED"]:
                await asyncio.sleep(0.05)
        assert not task.done()
    done = await task
    assert (2, 4, {PLATINUM: 2}) == (done.decisions, done.grants, done.ranks)
    assert ["UPGRADED"] * 2 == await causes(world)


async def test_a_month_left_out_is_made_good_by_the_next(world: World) -> None:
    """Nobody has the units of a tier that the record does not show."""
    member = await world.member()
    for month in ("2025-05", "2025-06"):
        await world.month(world.name(1), month, RICH)
    done = await world.evaluate("2025-06", member)
    assert (1, 2) == (done.decisions, done.grants)
    assert PLATINUM == await rank(world, member)
    assert ["CORRECTED"] == await causes(world)
    assert [("tier.upgraded",)] == await world.rows(
        "SELECT type FROM outbox WHERE type LIKE 'tier.%'"
    )


async def test_days_that_come_late_are_made_good(world: World) -> None:
    """A month half known proves gold; complete, the next month's run finds platinum."""
    member = await world.member()
    june = [Month(2025, 5).start + timedelta(days=n) for n in range(5)]
    lines = [AssetLine(world.name(1), day, "DEPOSIT", "CNY", 500_000_00) for day in june]
    await world.assets(lines)
    await world.evaluate("2025-05", member)
    assert GOLD == await rank(world, member)
    rest = [Month(2025, 5).start + timedelta(days=n) for n in range(5, 31)]
    await world.assets(
        [AssetLine(world.name(1), day, "DEPOSIT", "CNY", 600_000_00) for day in rest]
    )
    await world.month(world.name(1), "2025-06", RICH)
    await world.evaluate("2025-06", member)
    assert PLATINUM == await rank(world, member)
    assert ["UPGRADED", "CORRECTED"] == await causes(world)


async def test_the_same_month_decided_anew_at_the_same_instant_is_a_later_word(
    world: World,
) -> None:
    """With a clock that stands still, the second decision still comes after the first (T-9)."""
    member = await world.member()
    days = [Month(2025, 6).start + timedelta(days=n) for n in range(30)]
    lines = [AssetLine(world.name(1), day, "DEPOSIT", "CNY", 60_000_00) for day in days]
    await world.assets(lines)
    await world.evaluate("2025-06", member)
    await world.assets(
        [msgspec.structs.replace(line, balance_minor=RICH, revision=1) for line in lines]
    )
    await world.evaluate("2025-06", member)
    assert PLATINUM == await rank(world, member)
    assert 2 == len(await causes(world))


async def test_a_tier_is_known_as_it_was_known(world: World) -> None:
    """T-9: asked about 1 July as known on 1 July, the member is still what was decided then."""
    member = await world.member()
    await world.month(world.name(1), "2025-06", RICH)
    await world.evaluate("2025-06", member)
    before = world.clock() - timedelta(hours=30)
    assert datetime(2025, 6, 30, 16, tzinfo=UTC) <= before
    assert (await standing(world, member, before)).decided is None
    assert PLATINUM == await rank(world, member)


async def test_a_month_that_changes_nothing_is_not_told(world: World) -> None:
    """T-12: each miss is told with its count, and the hit that ends them; no hit after a hit."""
    member = await world.member()
    below = 60_000_00
    for number, balance in enumerate((RICH, RICH, below, below, RICH, RICH), 1):
        await world.month(world.name(1), f"2025-0{number}", balance)
        await world.evaluate(f"2025-0{number}", member)
    told = await world.rows(
        "SELECT type, data->>'month', (data->>'misses')::int FROM outbox "
        "WHERE type LIKE 'tier.%' ORDER BY seq"
    )
    assert [
        ("tier.upgraded", "2025-01", 0),
        ("tier.watched", "2025-03", 1),
        ("tier.watched", "2025-04", 2),
        ("tier.retained", "2025-05", 0),
    ] == told


async def test_a_tier_is_held_since_it_was_reached(world: World) -> None:
    """A month that was watched in between does not begin the tier anew."""
    member = await world.member()
    for month, balance in (("2025-04", RICH), ("2025-05", 60_000_00), ("2025-06", RICH)):
        await world.month(world.name(1), month, balance)
        await world.evaluate(month, member)
    assert ["UPGRADED", "WATCHED", "RETAINED"] == await causes(world)
    found = (await standing(world, member, world.clock())).since
    assert "2025-04-30T16:00:00+00:00" == (found.isoformat() if found else "")


@pytest.mark.parametrize(
    ("tiers_from", "expected", "told"),
    [
        (None, PRIVATE, ["UPGRADED"]),
        (Month(2025, 6), PRIVATE, ["UPGRADED", "WATCHED"]),
        (Month(2025, 5), PRIVATE - 1, ["UPGRADED", "CORRECTED"]),
    ],
)
async def test_a_higher_threshold_counts_from_its_month_on(
    world: World, tiers_from: Month | None, expected: int, told: list[str]
) -> None:
    """U-1: months before keep their rule; where one is judged anew the record follows."""
    member = await world.member()
    await world.month(world.name(1), "2025-05", 11_000_000_00)
    await world.evaluate("2025-05", member)
    assert PRIVATE == await rank(world, member)
    programme = reference_programme()
    dearer = msgspec.structs.replace(programme.tier[PRIVATE], threshold=Decimal(20_000_000))
    raised = msgspec.structs.replace(programme, tier=(*programme.tier[:PRIVATE], dearer))
    await world.apply(raised, tiers_from=tiers_from)
    await world.month(world.name(1), "2025-06", 11_000_000_00)
    await world.evaluate("2025-06", member)
    assert expected == await rank(world, member)
    assert told == await causes(world)


async def test_a_term_is_written_down_and_folded_on(world: World) -> None:
    """T-5: a lock stands with the decision; below, the tier holds until its term ends."""
    programme = reference_programme()
    locked = tuple(
        msgspec.structs.replace(tier, misses=0, lock=Lock(months=1, grace=1)) if rank else tier
        for rank, tier in enumerate(programme.tier)
    )
    await world.apply(msgspec.structs.replace(programme, tier=locked), tiers_from=Month(2024, 1))
    member = await world.member()
    for month, balance in (("2025-03", RICH), ("2025-04", 0), ("2025-05", 0)):
        await world.month(world.name(1), month, balance)
        await world.evaluate(month, member)
    assert ["UPGRADED", "GRACE", "DOWNGRADED"] == await causes(world)
    assert [
        ("2025-05-01", None),
        ("2025-05-01", "2025-06-01"),
        (None, None),
    ] == [
        tuple(day and day.isoformat() for day in row)
        for row in await world.rows(
            "SELECT lock_until, grace_until FROM tier_decision ORDER BY decided_at, month"
        )
    ]
    assert 0 == (await world.evaluate("2025-05", member)).decisions


async def test_a_quarter_is_evaluated_with_its_last_month(world: World) -> None:
    """M-3, A-3: weighted sums of three months decide together, and once."""
    programme = reference_programme()
    policy = Policy(metric=Metric.QUARTER_AVG, weights={"DEPOSIT": Decimal("0.5")})
    await world.apply(msgspec.structs.replace(programme, policy=policy), tiers_from=Month(2024, 1))
    member = await world.member()
    for month, balance in (("2025-04", 3 * RICH), ("2025-05", 0), ("2025-06", 3 * RICH)):
        await world.month(world.name(1), month, balance)
        await world.evaluate(month, member)
    assert [("UPGRADED", 60 * 3 * RICH // 2, 91, 91)] == [
        tuple(row)
        for row in await world.rows("SELECT cause, sum_minor, days, divisor FROM tier_decision")
    ]


async def test_a_line_that_becomes_top_up_within_a_period_goes_on(world: World) -> None:
    """A quota that was reached by shares stays reached."""
    programme = reference_programme()
    shares = tuple(
        msgspec.structs.replace(line, upgrade=UpgradePolicy.PRORATE_FLOOR)
        for line in programme.line
    )
    await world.apply(msgspec.structs.replace(programme, line=shares))
    member = await world.member()
    world.clock.now = datetime(2025, 5, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-04", RICH)
    await world.evaluate("2025-04", member)
    await world.apply(programme)
    world.clock.now = datetime(2025, 6, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-05", RICH)
    done = await world.evaluate("2025-05", member)
    assert 1 == done.grants
    assert [1, 2, 2] == sorted(
        row.quantity for row in await world.rows("SELECT quantity FROM entitlement_grant")
    )
    assert [] == await world.findings()


async def test_a_member_whose_relationship_ended_gets_nothing_more(world: World) -> None:
    """T-10: no grants for the month after the end."""
    member = await world.member(closed_on=Month(2025, 6).start + timedelta(days=20))
    await world.month(world.name(1), "2025-06", RICH)
    assert (0, 0) == ((await world.evaluate("2025-06", member)).grants, await rank(world, member))


@pytest.mark.parametrize(
    ("programme", "month", "refusal"),
    [("wealth", Month(2025, 7), MonthNotOver), ("other", Month(2025, 6), UnknownProgramme)],
)
async def test_what_cannot_be_evaluated_is_refused(
    world: World, programme: str, month: Month, refusal: type[Exception]
) -> None:
    """A month that runs, and a programme nobody applied."""
    with pytest.raises(refusal):
        await evaluate(world.database, world.parts, programme, month, buckets=(0, 1023))


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({"period": LinePeriod.YEAR}, "period must stay 'QUARTER'"),
        ({"anchor": Anchor.ANNIVERSARY, "start": Start.PERIOD}, "anchor must stay 'CALENDAR'"),
        ({"days": 30}, "days must stay 0"),
        ({"benefit": "VIDEO"}, "benefit must stay 'LOUNGE'"),
    ],
)
async def test_a_line_counts_its_periods_as_it_did(
    world: World, changed: dict[str, object], kept: str
) -> None:
    """P-3: else the quota of the running one would come again; another code begins anew."""
    lounges = reference_programme().line[0]
    other = msgspec.structs.replace(lounges, **changed)
    with pytest.raises(ProgrammeInvalid, match=f"line 'lounge': its {kept}"):
        await world.apply(msgspec.structs.replace(reference_programme(), line=(other,)))
    new = msgspec.structs.replace(other, code="lounge-anew")
    await world.apply(msgspec.structs.replace(reference_programme(), line=(lounges, new)))


async def test_a_line_that_comes_back_is_what_it_was(world: World) -> None:
    """P-3: what it brought before it went counts, and was counted by its own periods."""
    made = reference_programme()
    lounges, video = made.line
    await world.apply(msgspec.structs.replace(made, line=(video,)))
    for changed in ({"period": LinePeriod.MONTH}, {"benefit": "VIDEO"}):
        other = msgspec.structs.replace(lounges, **changed)
        with pytest.raises(ProgrammeInvalid, match=r"line 'lounge': its \w+ must stay"):
            await world.apply(msgspec.structs.replace(made, line=(other, video)))
    await world.apply(made)


async def test_the_ladder_only_grows_upwards(world: World) -> None:
    """Stored ranks keep their meaning: no tier goes, none comes in between."""
    tiers = reference_programme().tier
    for changed in (
        tiers[:-1],
        (tiers[0], *tiers[2:]),
        (tiers[0], tiers[2], tiers[1], *tiers[3:]),
    ):
        with pytest.raises(ProgrammeInvalid, match="must stay, in this order"):
            await world.apply(msgspec.structs.replace(reference_programme(), tier=changed))
    top = msgspec.structs.replace(tiers[-1], code="BLACK", threshold=Decimal(99_000_000))
    await world.apply(msgspec.structs.replace(reference_programme(), tier=(*tiers, top)))
