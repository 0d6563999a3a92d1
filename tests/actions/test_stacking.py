"""Lines of one benefit stack: by tier, by segments, whichever comes first (P-7)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.start_period import begin, go_on
from benefits.domain.eligibility import Rule
from benefits.domain.labels import Layer
from benefits.domain.members import PERSON, Person
from benefits.domain.packages import Downgrade, Line, LinePeriod, Segment, Start
from benefits.domain.stacking import StackBy, Stacking
from benefits.domain.values import BUCKETS, Month, local_date
from tests.actions.merging import listed
from tests.actions.test_eligibility import told
from tests.actions.test_ways import take
from tests.builders import World, reference_programme

GOLD, PLATINUM, POOR = 60_000_00, 520_000_00, 1_00
SUM, CAPPED, MAX = Stacking(), Stacking(cap=4), Stacking(by=StackBy.MAX)
FIRST = Stacking(by=StackBy.PRIORITY)
TIERS = Line(
    code="tiers",
    benefit="LOUNGE",
    period=LinePeriod.YEAR,
    quota={"GOLD": 2, "PLATINUM": 3},
    start=Start.PERIOD,
)


def of_label(label: str, quantity: int, priority: int | None = None) -> Line:
    """Return a line of those who carry a label."""
    segment = Segment(label=label, layer=Layer.FACT, name={"zh": label, "en": label})
    return replace(
        TIERS, code=label, quota={}, segment=segment, quantity=quantity, priority=priority
    )


LINES = (TIERS, of_label("payroll", 2), of_label("cars", 1, 2))


async def having(world: World, stacking: Stacking, *lines: Line, misses: int = 3) -> None:
    """Let lounge visits stack, and gold and platinum be lost after some months below."""
    programme = reference_programme()
    lounge, *others = programme.benefit
    base, gold, platinum, *above = programme.tier
    await world.apply(
        replace(
            programme,
            tier=(base, replace(gold, misses=misses), replace(platinum, misses=misses), *above),
            benefit=(replace(lounge, stacking=stacking), *others),
            line=lines or LINES,
        )
    )


async def tier(world: World, member: UUID, amount: int, month: str = "2025-06") -> None:
    """Let a month decide the first member's tier."""
    await world.month(world.name(1), month, amount)
    await world.evaluate(month, member)


async def label(world: World, nth: int, *labels: str) -> None:
    """Let a member carry labels from June on."""
    for each in labels:
        await take(world, f"{world.name(nth)},{each},FACT,2025-06-01,,v1")


async def start(world: World) -> None:
    """Start the periods of today, for everybody."""
    leased = await begin(world.database, world.parts, "wealth")
    await go_on(world.database, world.parts, leased, BUCKETS)


async def granted(world: World) -> dict[str, int]:
    """Return what was granted by each line; the books are right."""
    assert [] == await world.findings()
    found = await world.rows("SELECT line, sum(quantity) FROM entitlement_grant GROUP BY 1")
    return {line: int(units) for line, units in found}


@pytest.mark.parametrize(
    ("stacking", "expected"),
    [
        (SUM, {"tiers": 2, "payroll": 2, "cars": 1}),
        (CAPPED, {"tiers": 2, "payroll": 2}),
        (MAX, {"tiers": 2}),
        (FIRST, {"tiers": 2}),
    ],
)
async def test_g_stack_1_car_washes(
    world: World, stacking: Stacking, expected: dict[str, int]
) -> None:
    """G-STACK-1: gold 2, payroll 2, car owner 1; asked again nothing more comes."""
    await having(world, SUM, replace(TIERS, quota={"PRIVATE": 1}))
    member = await world.member()
    await label(world, 1, "payroll", "cars")
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await tier(world, member, GOLD)
    await having(world, stacking)
    for _ in range(2):
        await start(world)
        await world.evaluate("2025-06", member)
        assert expected == await granted(world)


@pytest.mark.parametrize(("stacking", "whole"), [(SUM, 6), (CAPPED, 4), (MAX, 3), (FIRST, 3)])
@pytest.mark.parametrize("is_tier_first", [True, False])
async def test_the_whole_is_the_same_whatever_comes_first(
    world: World, stacking: Stacking, whole: int, *, is_tier_first: bool
) -> None:
    """P-4, P-7: a rise from gold to platinum, and labels that become known, before or after."""
    await having(world, stacking)
    member = await world.member()
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await tier(world, member, GOLD)
    for rises in (is_tier_first, not is_tier_first):
        world.clock.now += timedelta(days=31)
        if rises:
            await tier(world, member, PLATINUM, "2025-07")
        else:
            await label(world, 1, "payroll", "cars")
            await start(world)
    for _ in range(2):
        assert whole == sum((await granted(world)).values())
        await start(world)
        await world.evaluate("2025-07", member)


async def test_who_falls_gets_what_then_comes_first(world: World) -> None:
    """P-6, P-7: with the decision; what the tier brought stays, and counts."""
    await having(world, FIRST, TIERS, of_label("payroll", 3), misses=1)
    member = await world.member()
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await tier(world, member, GOLD)
    await label(world, 1, "payroll")
    await start(world)
    assert {"tiers": 2} == await granted(world)
    world.clock.now += timedelta(days=31)
    await tier(world, member, POOR, "2025-07")
    for _ in range(2):
        assert {"tiers": 2, "payroll": 1} == await granted(world)
        await start(world)


FALLING = replace(TIERS, downgrade=Downgrade.REVOKE_EXCESS)


async def units(world: World) -> dict[str, tuple[int, int]]:
    """Return what can be claimed of each line, and what is held; the books are right."""
    assert [] == await world.findings()
    found = await world.rows(
        "SELECT line, sum(remaining - held)::int, sum(held)::int FROM lot GROUP BY 1"
    )
    return {line: (free, held) for line, free, held in found}


async def takes(world: World, member: UUID, count: int, key: str = "k1") -> None:
    """Claim units."""
    wish = ClaimUnits(
        caller="mobile",
        key=key,
        member_id=member,
        benefit="LOUNGE",
        quantity=count,
        recipient={"phone": "13800000001"},
    )
    async with world.database.transaction() as conn:
        await claim(conn, [wish], world.parts, wait=False)


async def months(world: World, member: UUID, *levels: int) -> None:
    """Let months decide the tier, each evaluated twice with the periods started in between."""
    for level in levels:
        month = Month.of(local_date(world.clock.now, reference_programme().tz)).plus(-1)
        await tier(world, member, level, str(month))
        await start(world)
        await world.evaluate(str(month), member)
        world.clock.now += timedelta(days=31)


@pytest.mark.parametrize(
    ("stacking", "low", "high"),
    [
        (SUM, (0, 2, 1), (1, 2, 1)),
        (CAPPED, (0, 2, 1), (0, 2, 1)),
        (MAX, (0, 1, 0), (0, 1, 0)),
        (FIRST, (0, 1, 0), (0, 1, 0)),
    ],
)
async def test_g_down_1_of_lines_that_stack(
    world: World, stacking: Stacking, low: tuple[int, ...], high: tuple[int, ...]
) -> None:
    """G-STACK-1, G-DOWN-1: gold 2, one of them held, payroll 2, car 1; down, and up again."""
    await having(world, SUM, replace(TIERS, quota={"PRIVATE": 1}), misses=1)
    member = await world.member()
    await label(world, 1, "payroll", "cars")
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await tier(world, member, GOLD)
    await having(world, stacking, FALLING, *LINES[1:], misses=1)
    await start(world)
    await takes(world, member, 1)
    world.clock.now += timedelta(days=31)
    for level, free in ((POOR, low), (GOLD, high), (POOR, low), (GOLD, high)):
        await months(world, member, level)
        found = await units(world)
        assert free == tuple(found.get(line.code, (0, 0))[0] for line in LINES)
        assert (free[0], 1) == found["tiers"]


@pytest.mark.parametrize("downgrade", [Downgrade.REVOKE_UNCLAIMED, Downgrade.REVOKE_ALL])
async def test_what_is_forfeit_leaves_room_for_the_next_line(
    world: World, downgrade: Downgrade
) -> None:
    """P-6, P-7: all that is free of the tier's goes, and comes back with the higher tier alone."""
    await having(world, MAX, replace(TIERS, downgrade=downgrade), of_label("payroll", 1), misses=1)
    member = await world.member()
    await label(world, 1, "payroll")
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await months(world, member, PLATINUM)
    assert {"tiers": (3, 0)} == await units(world)
    await months(world, member, GOLD)
    assert {"tiers": (0, 0), "payroll": (1, 0)} == await units(world)
    await months(world, member, GOLD, PLATINUM)
    assert {"tiers": (2, 0), "payroll": (1, 0)} == await units(world)


async def test_who_used_all_of_a_line_gets_the_rest_of_the_next(world: World) -> None:
    """P-6, P-7: gold's two are held as it falls, payroll's third comes, once."""
    await having(world, FIRST, FALLING, of_label("payroll", 3), misses=1)
    member = await world.member()
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await months(world, member, GOLD)
    await takes(world, member, 2)
    await label(world, 1, "payroll")
    await months(world, member, POOR)
    assert {"tiers": (0, 2), "payroll": (1, 0)} == await units(world)


async def test_what_stays_of_a_line_that_shuts_is_not_asked(world: World) -> None:
    """E-1, P-6: a rule is for what comes; the fall leaves what the lower tier has, and no more."""
    await having(
        world, MAX, replace(FALLING, eligible=Rule(staff=True)), of_label("payroll", 1), misses=1
    )
    member = await world.member()
    await told(world, person=Person(PERSON, is_staff=True))
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await months(world, member, PLATINUM)
    assert {"tiers": (3, 0)} == await units(world)
    await told(world, person=Person(PERSON, is_staff=False))
    await label(world, 1, "payroll")
    await months(world, member, GOLD)
    assert {"tiers": (2, 0)} == await units(world)


async def test_what_a_merged_customer_used_counts_in_the_stack(world: World) -> None:
    """P-6, T-10: two of platinum's three are held by the one: of gold's two none is left."""
    await having(world, MAX, FALLING, of_label("payroll", 1), misses=1)
    member, other = await world.members(2)
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await months(world, member, PLATINUM)
    await takes(world, member, 2)
    await listed(world, (world.name(1), world.name(2)))
    await label(world, 2, "payroll")
    await world.month(world.name(2), "2025-07", GOLD)
    await world.evaluate("2025-07", other)
    await start(world)
    assert {"tiers": (0, 2)} == await units(world)


async def test_a_line_that_does_not_let_in_gives_way(world: World) -> None:
    """E-1, P-7: it brings nothing, so the next one by priority does."""
    rule = Rule(staff=True)
    await having(world, FIRST, replace(TIERS, eligible=rule), *LINES[1:])
    member = await world.member()
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await label(world, 1, "payroll", "cars")
    await tier(world, member, GOLD)
    await start(world)
    assert {"payroll": 2} == await granted(world)


async def test_units_are_spent_by_priority(world: World) -> None:
    """L-3, P-7: of lots that end together; a merger keeps the place of each."""
    await having(world, SUM, replace(TIERS, priority=7), *LINES[1:])
    member, other = await world.members(2)
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await label(world, 1, "payroll", "cars")
    await tier(world, member, GOLD)
    await start(world)
    await listed(world, (world.name(1), world.name(2)))
    await takes(world, other, 4)
    lots = await world.rows(
        "SELECT line, priority, held FROM lot WHERE remaining > 0 ORDER BY priority"
    )
    assert [("payroll", 1, 2), ("cars", 2, 1), ("tiers", 7, 1)] == [tuple(lot) for lot in lots]
    assert [] == await world.findings()


async def test_what_a_line_brought_that_is_gone_counts(world: World) -> None:
    """P-7: under another code the line's benefit is what its lots are of."""
    paid = of_label("payroll", 3)
    await having(world, MAX, TIERS, paid)
    await world.members(1)
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await label(world, 1, "payroll")
    await start(world)
    assert {"payroll": 3} == await granted(world)
    await having(world, MAX, TIERS, replace(paid, code="paid", quantity=4))
    await start(world)
    assert {"payroll": 3, "paid": 1} == await granted(world)


async def test_who_is_let_in_no_more_has_the_next_line(world: World) -> None:
    """P-7: a first line that brought its units hides none from whom it lets in no more."""
    await having(world, FIRST, replace(TIERS, eligible=Rule(staff=True)), of_label("payroll", 5))
    member = await world.member()
    await told(world, person=Person(PERSON, is_staff=True))
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await label(world, 1, "payroll")
    await tier(world, member, GOLD)
    await start(world)
    assert {"tiers": 2} == await granted(world)
    await told(world, person=Person(PERSON, is_staff=False))
    world.clock.now += timedelta(days=31)
    await start(world)
    assert {"tiers": 2, "payroll": 3} == await granted(world)
