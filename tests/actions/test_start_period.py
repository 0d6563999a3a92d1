"""Periods start for everybody on their first day: once, under a lease, beside whatever goes on."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions import share, start_period
from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.evaluate import UnknownProgramme
from benefits.actions.keyed import Accepted
from benefits.actions.record_members import record_members
from benefits.actions.share import LEASE, LONG_LEASE
from benefits.actions.start_period import PeriodStarting, begin, go_on
from benefits.domain.eligibility import Rule
from benefits.domain.labels import Layer
from benefits.domain.members import PERSON, MemberLine, Person
from benefits.domain.packages import Anchor, Downgrade, Line, LinePeriod, Segment, Start
from benefits.domain.recurring import Missing, Recurring, Weekday
from benefits.domain.values import BUCKETS, Month, bucket_of
from benefits.store.db import Connection
from benefits.worker import Worker
from tests.actions.merging import listed
from tests.actions.test_ways import take
from tests.builders import MEMBER_KEY, World, reference_programme

RICH, RICHER = 520_000_00, 5_200_000_00
EARLY = datetime(2025, 7, 1, 0, 0, tzinfo=UTC)


def line(code: str, period: LinePeriod, **more: Any) -> Line:
    """Return a line that starts with its period: two visits for platinum, six for diamond."""
    quota = {"BASE": 1, "PLATINUM": 2, "DIAMOND": 6}
    every: dict[str, Any] = {"code": code, "benefit": "LOUNGE", "period": period, "quota": quota}
    return Line(start=Start.PERIOD, **(every | more))


MONTHLY = line("monthly", LinePeriod.MONTH)


async def having(world: World, *lines: Line) -> None:
    """Let the programme have lines."""
    await world.apply(msgspec.structs.replace(reference_programme(), line=lines))


async def platinum(world: World, nth: int, member: UUID) -> None:
    """Let a member be platinum since July."""
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await world.month(world.name(nth), "2025-06", RICH)
    await world.evaluate("2025-06", member)


async def work(world: World, on: datetime | None = None) -> list[tuple[str, str, int]]:
    """Let a worker start what is due on a day; return all grants by line and period."""
    world.clock.now = on or world.clock.now
    worker = Worker(world.database, world.parts, {})
    while await worker.start_periods():
        pass
    found = await world.rows(
        "SELECT line, period, quantity FROM entitlement_grant ORDER BY period, line, quantity"
    )
    return [tuple(row) for row in found]


async def test_who_merely_stays_gets_the_next_periods_units(world: World) -> None:
    """P-3: on its first day, though nothing was decided; coming again adds nothing."""
    await having(world, MONTHLY)
    await platinum(world, 1, await world.member())
    july = [("monthly", "2025-07", 2)]
    assert july == await work(world)
    assert july == await work(world, datetime(2025, 7, 31, 15, 59, tzinfo=UTC))
    august = [*july, ("monthly", "2025-08", 2)]
    assert august == await work(world, datetime(2025, 7, 31, 16, 0, tzinfo=UTC))
    assert august == await work(world)
    ((day, after),) = await world.rows("SELECT day, after FROM period_run")
    assert (date(2025, 8, 1), date(2025, 7, 31)) == (day, after)
    assert [] == await world.findings()


async def test_a_tier_that_is_decided_later_tops_up(world: World) -> None:
    """P-3, P-4: the first day brings what the tier held then brings, the decision the rest."""
    await having(world, MONTHLY)
    member = await world.member()
    await platinum(world, 1, member)
    await work(world, datetime(2025, 8, 1, 2, tzinfo=UTC))
    await world.month(world.name(1), "2025-07", RICHER)
    await world.evaluate("2025-07", member)
    assert [("monthly", "2025-08", 2), ("monthly", "2025-08", 4)] == (await work(world))[1:]


async def test_a_fall_that_is_decided_late_takes_of_the_period_that_runs(world: World) -> None:
    """P-6: July is decided on 2 September, when September's six are there: four of them go."""
    tiers = tuple(msgspec.structs.replace(tier, misses=1) for tier in reference_programme().tier)
    one = msgspec.structs.replace(MONTHLY, downgrade=Downgrade.REVOKE_EXCESS)
    await world.apply(msgspec.structs.replace(reference_programme(), line=(one,), tier=tiers))
    member = await world.member()
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-06", RICHER)
    await world.evaluate("2025-06", member)
    for month in (8, 9):
        await work(world, datetime(2025, month, 1, 2, tzinfo=UTC))
    world.clock.now = datetime(2025, 9, 2, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-07", RICH)
    await world.evaluate("2025-07", member)
    taken = await world.rows("SELECT period, taken::int FROM entitlement_change")
    assert [("2025-09", 4)] == [tuple(row) for row in taken]
    assert [] == await world.findings()


async def test_other_lines_wait_for_the_decision(world: World) -> None:
    """P-3: a programme none of whose lines starts with its period has no run."""
    await having(world, msgspec.structs.replace(MONTHLY, start=Start.EVALUATION))
    await world.member()
    assert [] == await work(world, EARLY)
    assert [] == await world.rows("SELECT FROM period_run")


async def test_periods_of_members_own_start_on_their_days(world: World) -> None:
    """P-2, P-3: what begins while no worker runs is started by the next one."""
    lines = [line("own", LinePeriod.MONTH, anchor=Anchor.ANNIVERSARY)]
    lines += [line("roll", LinePeriod.ROLLING, days=10, anchor=Anchor.ANNIVERSARY)]
    await having(world, *lines)
    await world.member(date(2024, 5, 31))
    on_29_june = [("own", "2025-05-31", 1), ("roll", "2025-06-25", 1)]
    assert on_29_june == await work(world, datetime(2025, 6, 28, 17, tzinfo=UTC))
    on_30_june = [*on_29_june, ("own", "2025-06-30", 1)]
    assert on_30_june == await work(world, datetime(2025, 6, 29, 17, tzinfo=UTC))
    on_2_august = [*on_30_june, ("roll", "2025-07-25", 1), ("own", "2025-07-31", 1)]
    assert on_2_august == await work(world, datetime(2025, 8, 2, 2, tzinfo=UTC))
    assert [] == await world.findings()


CAR_DAY = line("car-day", LinePeriod.OCCURRENCE, on=Recurring(day=31), missing=Missing.LAST_DAY)


async def test_a_recurring_day_brings_units_on_the_day_alone(world: World) -> None:
    """G-REC-1, P-10: by the tier held then, in the programme's zone; on others nobody is asked."""
    await having(world, CAR_DAY)
    await platinum(world, 1, await world.member())
    assert [] == await work(world, datetime(2025, 7, 30, 15, 59, tzinfo=UTC))
    july = [("car-day", "2025-07-31", 2)]
    assert july == await work(world, datetime(2025, 7, 30, 16, 0, tzinfo=UTC))
    assert july == await work(world, datetime(2025, 7, 31, 15, 59, tzinfo=UTC))
    ((ends,),) = await world.rows("SELECT expires_at FROM lot")
    assert datetime(2025, 7, 31, 16, 0, tzinfo=UTC) == ends
    for day in (datetime(2025, 8, 1, 2, tzinfo=UTC), datetime(2025, 8, 30, 2, tzinfo=UTC)):
        assert july == await work(world, day)
    late = await work(world, datetime(2025, 8, 31, 15, 0, tzinfo=UTC))
    assert [*july, ("car-day", "2025-08-31", 2)] == late
    assert [] == await world.findings()


@pytest.mark.parametrize(("missing", "units"), [(Missing.SKIP, []), (Missing.LAST_DAY, [1])])
async def test_g_rec_1_june_has_no_31st(world: World, missing: Missing, units: list[int]) -> None:
    """G-REC-1: it is skipped, or its last day stands in."""
    await having(world, msgspec.structs.replace(CAR_DAY, missing=missing))
    await world.member()
    found = await work(world, datetime(2025, 6, 30, 2, tzinfo=UTC))
    assert [("car-day", "2025-06-30", count) for count in units] == found


async def test_a_day_that_went_by_brings_nothing(world: World) -> None:
    """P-10: a worker that stood still on it, and a run of that day which goes on after it."""
    await having(world, CAR_DAY)
    await world.member()
    await work(world, datetime(2025, 7, 30, 2, tzinfo=UTC))
    assert [] == await work(world, datetime(2025, 8, 1, 2, tzinfo=UTC))
    world.clock.now = datetime(2025, 8, 31, 15, 59, tzinfo=UTC)
    leased = await begin(world.database, world.parts, "wealth")
    world.clock.now += LONG_LEASE
    started = await go_on(world.database, world.parts, leased, BUCKETS)
    assert (1, 0) == (started.done.members, started.done.grants)


async def test_a_day_of_a_segment_lives_on_where_the_line_says_so(world: World) -> None:
    """P-10: `valid_days` after the day."""
    of_segment = {"quota": {}, "segment": PAYROLL, "quantity": 3, "valid_days": 10}
    day = {"on": Recurring(weekday=Weekday.SATURDAY), "missing": Missing.SKIP}
    await having(world, line("saturday", LinePeriod.OCCURRENCE, **of_segment, **day))
    await world.members(2)
    await label(world, 1, "2025-06-01,")
    found = await work(world, datetime(2025, 7, 5, 2, tzinfo=UTC))
    assert [("saturday", "2025-07-05", 3)] == found
    ((ends,),) = await world.rows("SELECT expires_at FROM lot")
    assert datetime(2025, 7, 15, 16, 0, tzinfo=UTC) == ends


async def test_a_decision_on_the_day_tops_up(world: World) -> None:
    """P-3, P-10: whichever comes first; a decision on another day brings nothing."""
    await having(
        world, msgspec.structs.replace(CAR_DAY, on=Recurring(day=3), missing=Missing.SKIP)
    )
    member = await world.member()
    await work(world, datetime(2025, 7, 3, 1, tzinfo=UTC))
    await platinum(world, 1, member)
    on_the_day = [("car-day", "2025-07-03", 1), ("car-day", "2025-07-03", 1)]
    assert on_the_day == await work(world)
    world.clock.now = datetime(2025, 8, 4, 1, tzinfo=UTC)
    await world.month(world.name(1), "2025-07", RICHER)
    await world.evaluate("2025-07", member)
    assert on_the_day == await work(world)
    assert [] == await world.findings()


async def test_what_comes_once_comes_with_the_relationship(world: World) -> None:
    """P-2: a new customer gets it on the first day, those before with the line itself."""
    await having(world, line("welcome", LinePeriod.ONCE, valid_days=30))
    await world.member()
    assert [("welcome", "once", 1)] == await work(world, EARLY)
    await world.member(date(2025, 7, 12))
    assert 1 == len(await work(world, datetime(2025, 7, 11, 2, tzinfo=UTC)))
    assert 2 == len(await work(world, datetime(2025, 7, 12, 2, tzinfo=UTC)))
    assert 2 == len(await work(world, datetime(2025, 8, 12, 2, tzinfo=UTC)))


async def test_a_new_version_starts_its_lines_at_once(world: World) -> None:
    """P-3: its first run looks at everybody, in the middle of a period too."""
    await having(world, MONTHLY)
    await world.member()
    await work(world, EARLY)
    await having(world, MONTHLY, line("yearly", LinePeriod.YEAR))
    assert [("yearly", "2025", 1), ("monthly", "2025-07", 1)] == await work(world)


async def test_who_is_not_there_gets_nothing(world: World) -> None:
    """T-10: whose relationship has ended, has not begun, or who counts for another."""
    await having(world, MONTHLY)
    await world.member(closed_on=date(2025, 6, 30))
    await world.member(date(2025, 7, 2))
    await world.members(2)
    await listed(world, (world.name(3), world.name(4)))
    assert [("monthly", "2025-07", 1)] == await work(world, EARLY)


async def test_what_was_granted_to_who_was_merged_counts(world: World) -> None:
    """P-4, T-10: two customers who turn out to be one have one quota from then on."""
    await having(world, MONTHLY)
    await world.members(2)
    assert 2 == len(await work(world, EARLY))
    await listed(world, (world.name(1), world.name(2)))
    await having(world, MONTHLY, line("yearly", LinePeriod.YEAR))
    assert [("yearly", "2025", 1)] == (await work(world))[:1]
    assert 3 == len(await work(world))


async def test_a_run_that_was_stopped_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-3: between pages of a part nothing is lost and nothing doubled; the lease ends."""
    await having(world, MONTHLY)
    ids = await world.members(12)
    world.clock.now = EARLY
    monkeypatch.setattr(start_period, "PAGE", 3)
    write, calls = start_period._write, 0

    async def dies(conn: Connection, *args: Any, **more: Any) -> tuple[set[UUID], int]:
        nonlocal calls
        calls += 1
        done = await write(conn, *args, **more)
        if calls % 3 == 0:
            raise ZeroDivisionError
        return done

    monkeypatch.setattr(start_period, "_write", dies)
    monkeypatch.setattr(share, "PART_BUCKETS", BUCKETS)
    worker = Worker(world.database, world.parts, {})
    with pytest.raises(ZeroDivisionError):
        await worker.start_periods()
    ((before,),) = await world.rows("SELECT count(*) FROM entitlement_grant")
    assert 6 == before
    assert 0 == await worker.start_periods()
    world.clock.now += LEASE
    monkeypatch.setattr(start_period, "_write", write)
    assert [("monthly", "2025-07", 1)] * len(ids) == await work(world)
    assert [(12, 12)] == [
        tuple(row) for row in await world.rows("SELECT count(*), sum(granted)::int FROM lot")
    ]
    assert [] == await world.findings()


async def test_the_command_begins_anew_and_keeps_the_worker_away(world: World) -> None:
    """P-3: one process at a time has the run; whoever was too late moves nothing."""
    await having(world, MONTHLY)
    (member,) = await world.members(1)
    world.clock.now = EARLY
    leased = await begin(world.database, world.parts, "wealth")
    with pytest.raises(PeriodStarting):
        await begin(world.database, world.parts, "wealth")
    assert [] == await work(world)
    started = await go_on(world.database, world.parts, leased, bucket_of(member) + 1)
    assert (1, 1) == (started.done.members, started.done.grants)
    world.clock.now += LONG_LEASE
    assert 1 == len(await work(world))
    with pytest.raises(PeriodStarting):
        await go_on(world.database, world.parts, started.leased, BUCKETS)
    again = await begin(world.database, world.parts, "wealth")
    done = await go_on(world.database, world.parts, again, BUCKETS)
    assert (1, 0, True) == (done.done.members, done.done.grants, done.ended_at is not None)
    with pytest.raises(UnknownProgramme):
        await begin(world.database, world.parts, "other")


async def test_what_cannot_be_done_gives_the_run_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one may have it at once."""
    await having(world, MONTHLY)
    await world.member()
    world.clock.now = EARLY
    leased = await begin(world.database, world.parts, "wealth")
    with monkeypatch.context() as patch:
        patch.setattr(start_period, "start", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await go_on(world.database, world.parts, leased, BUCKETS)
    assert 1 == len(await work(world))


async def test_claims_go_on_beside_it(world: World) -> None:
    """P-3, I8: units that are claimed while their successors come are neither lost nor doubled."""
    await having(world, MONTHLY)
    ids = await world.members(8)
    await work(world, EARLY)
    world.clock.now += timedelta(days=20)
    await having(world, MONTHLY, line("yearly", LinePeriod.YEAR))

    async def claims(member: UUID) -> int:
        done = 0
        for nth in range(4):
            wish = ClaimUnits(
                caller="mobile",
                key=f"{member}-{nth}",
                member_id=member,
                benefit="LOUNGE",
                quantity=1,
                recipient={"phone": "13800000001"},
            )

            async def ask(conn: Connection, wish: ClaimUnits = wish) -> bool:
                (outcome,) = await claim(conn, [wish], world.parts, wait=True)
                return isinstance(outcome, Accepted)

            done += await world.database.transact(ask)
        return done

    claimed, _ = await asyncio.gather(asyncio.gather(*map(claims, ids)), work(world))
    ((granted, held),) = await world.rows("SELECT sum(granted)::int, sum(held)::int FROM lot")
    assert (16, sum(claimed)) == (granted, held)
    assert all(1 <= count <= 2 for count in claimed)
    assert [] == await world.findings()


async def test_an_evaluation_after_it_writes_nothing_twice(world: World) -> None:
    """G-GRANT-1: run, evaluated and run again: one lot of two for each period."""
    await having(world, MONTHLY)
    member = await world.member()
    await platinum(world, 1, member)
    for on in (datetime(2025, 8, 1, 2, tzinfo=UTC), datetime(2025, 8, 3, 2, tzinfo=UTC)):
        await work(world, on)
        await world.month(world.name(1), "2025-07", RICH)
        assert 0 == (await world.evaluate(str(Month(2025, 7)), member)).grants
    assert [("monthly", "2025-07", 2), ("monthly", "2025-08", 2)] == await work(world)


PAYROLL = Segment(label="payroll", layer=Layer.FACT, name={"zh": "代发客户", "en": "Payroll"})
FOR_PAYROLL = line("payroll", LinePeriod.MONTH, quota={}, segment=PAYROLL, quantity=2)


async def label(world: World, nth: int, valid: str, *, layer: str = "FACT") -> None:
    """Let the bank say from when to when a member is paid by us."""
    await take(world, f"{world.name(nth)},payroll,{layer},{valid},v1")


async def test_a_segment_brings_units_while_its_label_is_carried(world: World) -> None:
    """P-2, S-1, S-2: on the first day of each period; of this layer alone."""
    await having(world, FOR_PAYROLL)
    await world.members(4)
    await label(world, 1, "2025-06-01,2025-08-01")
    await label(world, 2, "2025-08-01,")
    await label(world, 3, "2025-06-01,", layer="RULE")
    july = [("payroll", "2025-07", 2)]
    assert july == await work(world, EARLY)
    assert [*july, ("payroll", "2025-08", 2)] == await work(world, EARLY + timedelta(days=31))
    owned = await world.rows("SELECT DISTINCT cause FROM entitlement_grant")
    assert [("SEGMENT",)] == [tuple(row) for row in owned]
    assert [] == await world.findings()


async def test_who_joins_a_segment_gets_its_units_the_next_day(world: World) -> None:
    """P-3: a label that becomes known or valid within a period; an evaluation brings none."""
    await having(world, FOR_PAYROLL)
    first, _ = await world.members(2)
    assert [] == await work(world, EARLY)
    await label(world, 1, "2025-06-01,")
    await label(world, 2, "2025-07-10,")
    assert 0 == (await world.evaluate("2025-06", first)).grants
    assert 1 == len(await work(world, EARLY + timedelta(days=1)))
    assert 1 == len(await work(world, EARLY + timedelta(days=8)))
    assert 2 == len(await work(world, EARLY + timedelta(days=9)))
    assert 2 == len(await work(world, EARLY + timedelta(days=10)))


async def test_labels_of_who_was_merged_count(world: World) -> None:
    """T-10: who is one person with a payroll customer is one."""
    await having(world, FOR_PAYROLL)
    await world.members(2)
    await label(world, 1, "2025-06-01,")
    await listed(world, (world.name(1), world.name(2)))
    assert [("payroll", "2025-07", 2)] == await work(world, EARLY)


async def test_who_is_told_of_late_gets_the_first_period(world: World) -> None:
    """P-3: the bank's file comes a day after the opening, and a month after, too."""
    own, roll = (
        line("own", LinePeriod.MONTH, anchor=Anchor.ANNIVERSARY),
        line("roll", LinePeriod.ROLLING, days=10, anchor=Anchor.ANNIVERSARY),
    )
    await having(world, MONTHLY, own, roll, line("welcome", LinePeriod.ONCE, valid_days=30))
    assert [] == await work(world, datetime(2025, 7, 10, 2, tzinfo=UTC))
    await world.member(date(2025, 7, 10))
    first = [
        ("monthly", "2025-07", 1),
        ("own", "2025-07-10", 1),
        ("roll", "2025-07-10", 1),
        ("welcome", "once", 1),
    ]
    assert first == await work(world, datetime(2025, 7, 11, 2, tzinfo=UTC))
    assert first == await work(world, datetime(2025, 7, 12, 2, tzinfo=UTC))
    await world.member(date(2025, 6, 20))
    found = await work(world, datetime(2025, 7, 13, 2, tzinfo=UTC))
    assert ("own", "2025-06-20", 1) in found
    assert [] == await world.findings()


async def test_what_comes_once_comes_with_a_part_done_after_its_day(world: World) -> None:
    """P-2, P-3: a run that was begun before midnight is of everybody who was there."""
    await having(world, line("welcome", LinePeriod.ONCE, valid_days=30))
    await world.member()
    world.clock.now = EARLY
    leased = await begin(world.database, world.parts, "wealth")
    world.clock.now = EARLY + timedelta(days=1)
    done = await go_on(world.database, world.parts, leased, BUCKETS)
    assert (1, 1) == (done.done.members, done.done.grants)


async def test_a_label_that_was_being_written_at_midnight_is_seen(world: World) -> None:
    """P-3: whoever joins the day before a run's last one is looked at again."""
    await having(world, FOR_PAYROLL)
    await world.member()
    assert [] == await work(world, EARLY + timedelta(days=1))
    world.clock.now = EARLY + timedelta(hours=15, minutes=50)  # of the day before
    await label(world, 1, "2025-06-01,")
    assert 1 == len(await work(world, EARLY + timedelta(days=2)))


async def test_who_becomes_eligible_is_looked_at_on_the_first(world: World) -> None:
    """P-3, E-1: a rule that lets in whom it did not, though no period begins."""
    yearly = msgspec.structs.replace(
        FOR_PAYROLL, period=LinePeriod.YEAR, eligible=Rule(staff=True)
    )
    await having(world, yearly)
    await world.member()
    await label(world, 1, "2025-06-01,")
    for days in range(4):  # the label is no news any more
        assert [] == await work(world, EARLY + timedelta(days=days))
    async with world.database.transaction() as conn:
        told = MemberLine(world.name(1), date(2020, 1, 1), person=Person(PERSON, is_staff=True))
        await record_members(conn, [(2, told)], world.parts, member_key=MEMBER_KEY)
    assert [] == await work(world, EARLY + timedelta(days=20))
    assert [("payroll", "2025", 2)] == await work(world, EARLY + timedelta(days=31))


async def test_an_opening_that_is_corrected_costs_no_period(world: World) -> None:
    """P-3: the day on which it would have begun is over; on the first it is made good."""
    own = line("own", LinePeriod.MONTH, anchor=Anchor.ANNIVERSARY)
    await having(world, own)
    await world.member(date(2025, 1, 5))
    await work(world, datetime(2025, 7, 5, 2, tzinfo=UTC))
    before = await work(world, datetime(2025, 7, 22, 2, tzinfo=UTC))
    assert [("own", "2025-07-05", 1)] == before
    async with world.database.transaction() as conn:
        corrected = MemberLine(world.name(1), date(2025, 1, 20))
        await record_members(conn, [(2, corrected)], world.parts, member_key=MEMBER_KEY)
    assert before == await work(world, datetime(2025, 7, 23, 2, tzinfo=UTC))
    made_good = [*before, ("own", "2025-07-20", 1)]
    assert made_good == await work(world, datetime(2025, 8, 1, 2, tzinfo=UTC))
