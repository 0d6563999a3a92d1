"""Ways into a tier, from the label file to the decision and what a member is shown (T-2, T-11)."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from benefits.actions.evaluate import Evaluated, evaluate
from benefits.actions.import_files import KINDS, Imported, import_file
from benefits.actions.look_ahead import look_ahead
from benefits.actions.look_up import see
from benefits.domain.assets import AssetLine
from benefits.domain.explanation import explain
from benefits.domain.ladder import THRESHOLD
from benefits.domain.programme_file import read
from benefits.domain.progress import nearest
from benefits.domain.values import Month, bucket_of
from benefits.store.overview import Standing
from tests.builders import World
from tests.domain.test_ways import GOLD, INVITED, PLATINUM, TIERS
from tests.rows import everything

HEADER = "customer,label,layer,valid_from,valid_to,version\n"
RICH = 520_000_00


async def take(world: World, *lines: str, dry_run: bool = False) -> Imported:
    """Import lines of a label file, a minute later."""
    world.clock.forward(minutes=1)
    return await import_file(
        world.database,
        world.parts,
        KINDS["labels"],
        [HEADER, *(f"{line}\n" for line in lines)],
        progress=lambda _: None,
        dry_run=dry_run,
    )


async def run(world: World, month: str, member: UUID) -> Evaluated:
    """Evaluate the second programme for a member's bucket."""
    world.clock.forward(minutes=1)
    bucket = bucket_of(member)
    return await evaluate(
        world.database, world.parts, "ways", Month.parse(month), buckets=(bucket, bucket)
    )


async def standings(world: World, member: UUID) -> dict[str, Standing]:
    """Return a member's place in each programme."""
    async with world.database.transaction() as conn:
        await world.parts.catalogue.current(conn)
        seen = (await see(conn, [member], world.parts, claims=0))[member]
    return {one.programme: one for one in seen.overview.standings}


async def causes(world: World) -> Sequence[tuple[str, int, str | None]]:
    """Return what was written down of the second programme, in order."""
    found = await world.rows(
        "SELECT cause, rank, way FROM tier_decision WHERE programme = 'ways'"
        " ORDER BY decided_at, month"
    )
    return [tuple(row) for row in found]


async def test_labels_are_imported_once_and_bad_lines_named(world: World) -> None:
    """S-1, S-2: again it changes nothing; another end is a later row, the version is kept."""
    await world.member()
    lines = [
        "T000001,salary,FACT,2025-01-01,,list-1",
        "T000001,churn,MODEL,2025-01-01,2025-02-01,list-1",
        "T000002,salary,FACT,2025-01-01,,list-1",
        "T000001,salary,FACTS,2025-01-01,,list-1",
        "T000001,salary,FACT,2025-01-01,2025-01-01,list-1",
        "T000001,,FACT,2025-01-01,,list-1",
    ]
    before = await everything(world.database)
    rehearsed = await take(world, *lines, dry_run=True)
    assert before == await everything(world.database)
    done = await take(world, *lines)
    assert (6, 2, 0, 4) == (done.lines, done.kept, done.unchanged, done.refused)
    assert done.shown == rehearsed.shown
    assert [
        (4, "customer: not a member"),
        (5, "layer: 'FACTS' is none of FACT, RULE, MODEL; did you mean 'FACT'?"),
        (6, "valid_to: must lie after valid_from; it is the first day without it"),
        (7, "label: must have 1 to 64 characters"),
    ] == done.shown
    again = await take(world, *(line.replace("list-1", "list-2") for line in lines[:2]))
    assert (0, 2) == (again.kept, again.unchanged)
    ended = await take(world, "T000001,salary,FACT,2025-01-01,2025-07-01,list-3")
    assert 1 == ended.kept
    assert [(None, "list-1"), ("2025-07-01", "list-3")] == [
        (row.valid_to and row.valid_to.isoformat(), row.source_version)
        for row in await world.rows(
            "SELECT valid_to, source_version FROM member_label WHERE label = 'salary'"
            " ORDER BY recorded_at"
        )
    ]


async def test_a_label_decides_and_its_late_end_takes_nothing_back_at_once(world: World) -> None:
    """T-2, A-7: won by an invitation; that it had ended is told late, and counts a month later."""
    await world.apply(read(TIERS))
    member = await world.member()
    await world.month(world.name(1), "2025-05", 60_000_00)
    await take(world, "T000001,invited,RULE,2025-05-20,,", "T000001,salary,FACT,2025-01-01,,")
    await run(world, "2025-05", member)
    assert [("UPGRADED", INVITED, "INVITATION")] == await causes(world)
    assert 0 == (await run(world, "2025-05", member)).decisions
    place = (await standings(world, member))["ways"]
    assert place.decided is not None
    assert ("FACT:salary", "RULE:invited") == place.decided.grounds.labels
    assert "reached by invitation" in explain(place.judge, place.decided)["en"]
    await take(world, "T000001,invited,RULE,2025-05-20,2025-05-31,")
    assert 0 == (await run(world, "2025-05", member)).decisions
    await world.month(world.name(1), "2025-06", 60_000_00)
    world.clock.now = datetime(2025, 7, 2, 4, 0, tzinfo=UTC)
    await run(world, "2025-06", member)
    assert [("CORRECTED", GOLD, None)] == (await causes(world))[1:]


async def test_a_member_without_balances_is_in_by_a_label(world: World) -> None:
    """T-2: no balance is known, so by invitation only; then nothing is decided against them."""
    await world.apply(read(TIERS))
    member = await world.member()
    await take(world, "T000001,invited,RULE,2025-05-20,2025-06-01,")
    for month in ("2025-05", "2025-06"):
        await run(world, month, member)
    assert [("UPGRADED", INVITED, "INVITATION")] == await causes(world)


WEIGHED = (
    TIERS.replace('["DEPOSIT"]', '["DEPOSIT", "FUND"]').replace(
        'all = [{ metric = "QUARTER_AVG", threshold = "450000" }]',
        'all = [{ metric = "MONTH_AVG", threshold = "600000", weights = {} }]',
    )
    + '\n[policy]\nweights = { FUND = "0.5" }\n'
)


async def test_a_way_weighs_classes_for_itself(world: World) -> None:
    """A-3, T-2: 300,000 and 300,000 of funds: 450,000 as the policy weighs, 600,000 for the way.

    July, with less of funds since the 11th, is judged, foretold and shown by the same sums.
    """
    await world.apply(read(WEIGHED))
    member, name = await world.member(), world.name(1)
    await world.month(name, "2025-06", 300_000_00)
    june = [date(2025, 6, 1) + timedelta(days=n) for n in range(30)]
    await world.assets([AssetLine(name, day, "FUND", "CNY", 300_000_00) for day in june])
    await run(world, "2025-06", member)
    assert [("UPGRADED", PLATINUM, "QUARTER")] == await causes(world)
    july = [date(2025, 7, 1) + timedelta(days=n) for n in range(11)]
    await world.assets([AssetLine(name, day, "DEPOSIT", "CNY", 300_000_00) for day in july])
    await world.assets(
        [AssetLine(name, day, "FUND", "CNY", 300_000_00) for day in july[:-1]]
        + [AssetLine(name, july[-1], "FUND", "CNY", 200_000_00)]
    )
    world.clock.now = datetime(2025, 7, 12, 4, 0, tzinfo=UTC)
    place = (await standings(world, member))["ways"]
    own, unweighted = place.running.readings
    assert (450_000_00 * 10 + 400_000_00) == own.sum_minor
    assert (600_000_00 * 10 + 500_000_00) == unweighted.sum_minor
    need = nearest(place.judge, PLATINUM, place.running)
    assert (THRESHOLD, 530_000_00) == (need.way, need.needed_daily)
    await look_ahead(world.database, world.parts, "ways")
    (sight,) = await world.rows(
        "SELECT outlook, threshold_minor, projected_minor FROM tier_outlook"
    )
    assert ("AT_RISK", 500_000_00, (450_000_00 * 10 + 400_000_00 * 21) // 31) == tuple(sight)


DEPOSITS = WEIGHED.replace('"600000", weights = {}', '"400000", weights = { FUND = "0" }')


async def test_a_class_that_weighs_nothing_is_left_out(world: World) -> None:
    """A-3 EXCLUDED: 420,000 of deposits are enough whatever there is of funds; 390,000 are not.

    Days on which there are but funds are known, and count nothing.
    """
    await world.apply(read(DEPOSITS))
    ids = await world.members(3)
    june = [date(2025, 6, 1) + timedelta(days=n) for n in range(30)]
    for number, (deposit, fund) in enumerate(((420_000, 0), (390_000, 100_000), (0, 900_000)), 1):
        lines = [
            AssetLine(world.name(number), day, asset_class, "CNY", amount * 100)
            for day in june
            for asset_class, amount in (("DEPOSIT", deposit), ("FUND", fund))
            if amount
        ]
        await world.assets(lines)
        await run(world, "2025-06", ids[number - 1])
    found = [(await standings(world, id_))["ways"].decided for id_ in ids]
    assert [(PLATINUM, "QUARTER"), (GOLD, THRESHOLD), (GOLD, THRESHOLD)] == [
        (one.after.rank, one.after.way) for one in found if one
    ]
    assert [420_000_00 * 30, 390_000_00 * 30, 0] == [
        one.readings[1].sum_minor for one in found if one
    ]
    assert [30] * 3 == [one.readings[1].known_days for one in found if one]


async def test_programmes_of_a_member_are_independent(world: World) -> None:
    """T-11: each has its own tiers, decided and shown apart, by its own labels and metrics."""
    await world.apply(read(TIERS))
    member = await world.member()
    await world.month(world.name(1), "2025-06", 100_000_00)
    await take(world, "T000001,salary,FACT,2025-01-01,,")
    await world.evaluate("2025-06", member)
    first = (await standings(world, member))["wealth"]
    await run(world, "2025-06", member)
    found = await standings(world, member)
    assert ["ways", "wealth"] == sorted(found)
    assert first == found["wealth"]
    assert [(GOLD, THRESHOLD), (PLATINUM, "SALARY")] == [
        (one.decided.after.rank, one.decided.after.way)
        for one in (found["wealth"], found["ways"])
        if one.decided
    ]
    assert 1 == len(found["wealth"].running.readings)
    need = nearest(found["ways"].judge, PLATINUM, found["ways"].running)
    assert ("SALARY", 100_000_00) == (need.way, need.needed_daily)
    told = "SELECT type, data->>'programme', data->>'way' FROM outbox WHERE type LIKE 'tier.%'"
    assert [("tier.upgraded", "ways", "SALARY"), ("tier.upgraded", "wealth", None)] == sorted(
        tuple(row) for row in await world.rows(told)
    )
