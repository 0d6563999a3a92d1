"""Metrics over days that are no whole months: kept sums, from the lines to the decision."""

import hashlib
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest

from benefits.actions.fill_feed import open_feed
from benefits.actions.import_files import Imported, calendar_of, import_file
from benefits.actions.keep_stretches import fill_next, keep_stretches
from benefits.actions.look_ahead import look_ahead
from benefits.actions.look_up import see
from benefits.actions.seal_feed import Sealing, apply_next, judge_feed
from benefits.domain import metrics
from benefits.domain.calendars import NO_CALENDAR
from benefits.domain.explanation import explain
from benefits.domain.feeds import FeedKey, FeedState, Manifest, digest_of
from benefits.domain.policy import Balance, Condition, Metric, Policy, UpgradeTiming, Way
from benefits.domain.programme import Programme
from benefits.domain.progress import Outlook, foretell
from benefits.domain.values import BUCKETS, Month, bucket_of
from benefits.domain.windows import window
from benefits.store import facts, feeds, stretch_sums
from benefits.store.db import Connection
from benefits.store.facts import Whom
from benefits.store.overview import Standing
from benefits.worker import Worker
from tests.actions.feeding import EARLY, fed, file, manifest, send
from tests.actions.test_feeds import chunk
from tests.builders import World, reference_programme
from tests.lives import seeds
from tests.rows import everything
from tests.store.test_assets import line

DAY = timedelta(days=1)
MARCH, JUNE = Month(2025, 3), Month(2025, 6)
LAST_30 = Policy(metric=Metric.ROLLING, days=30)
LAST_DAY = Policy(metric=Metric.POINT_IN_TIME, calendar="china")
OPENING = Policy(balance=Balance.OPENING)
HEADER = "date,kind\n"


async def judged_by(world: World, policy: Policy, *, since: Month = EARLY) -> Programme:
    """Put a programme into force that decides months by a policy; tiers fall at once."""
    plain = reference_programme()
    kept = [msgspec.structs.replace(one, misses=1 if one.misses else 0) for one in plain.tier]
    programme = msgspec.structs.replace(plain, policy=policy, tier=tuple(kept))
    await world.apply(programme, tiers_from=since)
    return programme


async def calendar(
    world: World, *lines: str, name: str = "china", dry_run: bool = False
) -> Imported:
    """Import lines of a calendar."""
    text = [HEADER, *(f"{each}\n" for each in lines)]
    return await import_file(
        world.database,
        world.parts,
        calendar_of(name),
        text,
        progress=lambda _: None,
        dry_run=dry_run,
    )


async def fill(world: World) -> None:
    """Fill what is needed."""
    await keep_stretches(world.database, world.parts)


async def stretches(world: World) -> dict[tuple[date, int, int], int]:
    """Return what is kept of stretches, zeros left out."""
    found = await world.rows(
        """SELECT month, first_day, last_day, sum(sum_minor)::bigint AS n FROM asset_stretch
           GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
    )
    return {(row.month, row.first_day, row.last_day): row.n for row in found if row.n}


async def reading(
    world: World, member: UUID, month: Month, programme: str = "wealth"
) -> tuple[int, int, int]:
    """Return sum, known days and days of what a member would be evaluated on."""
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules[programme]
        bucket = bucket_of(member)
        found = await facts.load(conn, rules, month, Whom((bucket, bucket), [member]))
    judge = rules.at(month)
    got = metrics.read(
        judge.programme.policy,
        month,
        found[0].sums.get(judge.programme.basket, {}),
        scale=judge.programme.basket.scale,
        opened_on=found[0].opened_on,
        calendar=judge.calendar,
    )
    return got.sum_minor, got.known_days, got.days


async def decided(world: World) -> list[tuple[Month, str, int]]:
    """Return month, cause and rank of the decisions, in order."""
    found = await world.rows(
        "SELECT month, cause, rank FROM tier_decision ORDER BY month, decided_at"
    )
    return [(Month.of(row.month), row.cause, row.rank) for row in found]


async def standing(world: World, member: UUID) -> Standing:
    """Return a member's standing as it is shown."""
    async with world.database.transaction() as conn:
        await world.parts.catalogue.current(conn)
        seen = (await see(conn, [member], world.parts, claims=0))[member]
    (one,) = seen.overview.standings
    return one


async def test_thirty_days_up_to_the_months_end_decide(world: World) -> None:
    """M-4: in March the first day is not among the last 30; nor does any of February count."""
    member = await world.member()
    await judged_by(world, LAST_30)
    await world.assets([line(5, day=date(2025, 2, 28)), line(10**12, day=MARCH.start)])
    await fill(world)
    await world.assets([line(499_999_99, day=MARCH.start + n * DAY) for n in range(1, 31)])
    assert {(MARCH.start, 2, 31): 30 * 499_999_99} == await stretches(world)
    await world.evaluate("2025-03", member)
    assert [(MARCH, "UPGRADED", 1)] == await decided(world)
    await world.assets([line(500_000_29, day=date(2025, 3, 31), revision=1)])
    await world.evaluate("2025-03", member)
    assert (MARCH, "CORRECTED", 2) == (await decided(world))[-1]
    assert [] == await world.findings()


async def test_a_window_over_months_counts_whole_months_and_the_rest(world: World) -> None:
    """M-4: 45 days up to 31 March are March and 14 days of February."""
    member = await world.member()
    await judged_by(world, msgspec.structs.replace(LAST_30, days=45))
    await world.month("T000001", "2025-02", 100)
    await fill(world)
    await world.month("T000001", "2025-03", 7)
    await fill(world)
    assert (14 * 100 + 31 * 7, 45, 45) == await reading(world, member, MARCH)
    february, march = (date(2025, 2, 1), 15, 28), (date(2025, 3, 1), 17, 31)
    assert {february: 14 * 100, march: 15 * 7} == await stretches(world)


async def test_the_last_business_day_decides(world: World) -> None:
    """M-6, X-6: 31 May and 1 June 2025 are a weekend; the decision says which day it read."""
    member = await world.member()
    await judged_by(world, LAST_DAY)
    await calendar(world, "2025-01-01,HOLIDAY", "2025-06-30,HOLIDAY")
    may = Month(2025, 5)
    await world.month("T000001", "2025-05", 1_00)
    await world.month("T000001", "2025-06", 1_00)
    await fill(world)
    await world.assets([line(500_000_00, day=date(2025, 5, 30), revision=1)])
    await world.evaluate("2025-05", member)
    assert [(may, "UPGRADED", 2)] == await decided(world)
    told = (await standing(world, member)).decided
    assert told is not None
    assert date(2025, 5, 30) == told.grounds.day
    assert {
        "en": (
            "30 May 2025, last business day of the month: balance 500,000.00 (1 of 1 days known); "
            "500,000.00 needed; reached: your tier is Platinum from 1 June 2025."
        ),
        "zh": (
            "2025年5月30日（当月最后一个营业日）余额500,000.00（已知1/1天），达标线500,000.00；"
            "已达标，自2025年6月1日起为白金。"
        ),
    } == explain(reference_programme_by(LAST_DAY), told)
    await world.evaluate("2025-06", member)
    assert (JUNE, "DOWNGRADED", 0) == (await decided(world))[-1]
    assert [] == await world.findings()


def reference_programme_by(policy: Policy) -> Programme:
    """Return the reference programme by a policy."""
    return msgspec.structs.replace(reference_programme(), policy=policy)


async def test_another_calendar_is_a_correction(world: World) -> None:
    """A-7, M-6: the day before a new holiday counts once its sums are there, and at once."""
    member = await world.member()
    await judged_by(world, LAST_DAY)
    await calendar(world, "2025-01-01,HOLIDAY")
    await world.month("T000001", "2025-06", 1_00)
    await fill(world)
    await world.assets([line(600_000_00, day=date(2025, 6, 27), revision=1)])
    await world.evaluate("2025-06", member)
    assert [] == await decided(world)
    done = await calendar(world, "2025-06-30,HOLIDAY", "2025-01-01,HOLIDAY", "2025-06-30,FREE")
    assert (3, 1, 1, 1) == (done.lines, done.kept, done.unchanged, done.refused)
    assert [(4, "kind: 'FREE' is not HOLIDAY or WORKDAY")] == done.shown
    await world.evaluate("2025-06", member)
    assert [] == await decided(world)
    assert (0, 0, 1) == await reading(world, member, JUNE)
    await fill(world)
    await world.evaluate("2025-06", member)
    assert [(JUNE, "UPGRADED", 2)] == await decided(world)
    before = await everything(world.database)
    again = await calendar(world, "2025-06-30,HOLIDAY")
    assert (0, 1) == (again.kept, again.unchanged)
    assert before == await everything(world.database)
    rehearsed = await calendar(world, "2025-06-30,WORKDAY", dry_run=True)
    assert 1 == rehearsed.kept
    assert before == await everything(world.database)
    assert 1 == (await calendar(world, "2025-06-30,WORKDAY")).kept
    assert (1_00, 1, 1) == await reading(world, member, JUNE)


async def test_opening_balances_are_those_of_the_day_before(world: World) -> None:
    """M-7: 31 May opens June, 30 June opens July."""
    member = await world.member()
    await judged_by(world, OPENING)
    await world.assets([line(90_00, day=date(2025, 5, 31)), line(10**12, day=date(2025, 6, 30))])
    await fill(world)
    await world.assets([line(10_00, day=JUNE.start + n * DAY) for n in range(29)])
    assert (90_00 + 29 * 10_00, 30, 30) == await reading(world, member, JUNE)
    assert (10**12, 1, 31) == await reading(world, member, JUNE.plus(1))


async def test_until_a_stretch_is_filled_nothing_is_decided_by_it(world: World) -> None:
    """A-6: a programme that needs new sums undoes nobody's tier before they are there."""
    member = await world.member()
    await judged_by(world, Policy())
    await world.month("T000001", "2025-05", 600_000_00)
    await world.month("T000001", "2025-06", 1)
    await world.evaluate("2025-05", member)
    await judged_by(world, msgspec.structs.replace(LAST_30, days=29), since=JUNE)
    await world.evaluate("2025-06", member)
    assert [(Month(2025, 5), "UPGRADED", 2)] == await decided(world)
    await fill(world)
    await world.evaluate("2025-06", member)
    assert (JUNE, "DOWNGRADED", 0) == (await decided(world))[-1]


NAMES = ["T000001", "T000002", "T000003"]
Truth = dict[tuple[str, date, str], tuple[int, int]]
"""What counts of a customer, a day and a source: the revision and the balance."""


class CutError(RuntimeError):
    """How a step ends that is cut off."""


@pytest.mark.parametrize("seed", seeds(2))
async def test_kept_sums_are_the_rows_in_any_order(
    world: World, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain lines, feeds, corrections and filling in any order, cut in the middle (3.18, 2)."""
    monkeypatch.setattr(stretch_sums, "AT_ONCE", 20)
    chance = random.Random(seed)
    members = await world.members(3)
    policies = [LAST_30, OPENING, msgspec.structs.replace(LAST_30, days=40)]
    truth = Truth()
    for turn in range(40):
        day, revision = date(2025, 5, 20) + chance.randrange(42) * DAY, chance.randrange(4)
        what = chance.randrange(5)
        if what == 0:
            programme = reference_programme_by(chance.choice(policies))
            fed_ = msgspec.structs.replace(programme, feeds=("core",))
            await world.apply(fed_, tiers_from=EARLY)
        elif what == 3:
            await fed_day(world, chance, day, revision, truth=truth)
        elif what == 4:
            await fill_a_little(world, chance)
        else:
            await plain_day(world, chance, day, revision, truth=truth)
        if turn % 10 == 9:
            assert [] == await world.findings()
    for policy in policies:
        await world.apply(reference_programme_by(policy), tiers_from=EARLY)
        await fill(world)
        assert [] == await world.findings()
        asked = window(policy, JUNE, NO_CALENDAR)
        assert asked is not None
        inside = {asked.first + n * DAY for n in range(asked.days)}
        for name, member in zip(NAMES, members, strict=True):
            counted = [n for (who, on, _), (_, n) in truth.items() if who == name and on in inside]
            assert sum(counted) == (await reading(world, member, JUNE))[0]


async def plain_day(
    world: World, chance: random.Random, day: date, revision: int, *, truth: Truth
) -> None:
    """Import a plain line of each member."""
    lines = [
        msgspec.structs.replace(
            line(chance.randrange(-500, 1000), day=day, revision=revision), customer=name
        )
        for name in NAMES
    ]
    kept = await world.assets(lines)
    refused = {number - 2 for number, _ in kept.refused}
    for n, one in enumerate(lines):
        at = (one.customer, day, "")
        if n not in refused and revision >= truth.get(at, (0, 0))[0]:
            truth[at] = (revision, max(one.balance_minor, 0))


async def fed_day(
    world: World, chance: random.Random, day: date, revision: int, *, truth: Truth
) -> None:
    """Send a feed of a day, once, for some of the members."""
    async with world.database.transaction() as conn:
        catalogue = await world.parts.catalogue.current(conn)
        key = FeedKey("core", day, revision)
        if "core" not in catalogue.programmes["wealth"].feeds or await feeds.one(conn, key):
            return
    some = [(name, chance.randrange(1000)) for name in NAMES if chance.random() < 0.7]
    assert [] == await send(world, key, some)
    counted = max(
        (r for (_, d, s), (r, _) in truth.items() if d == day and s == "core"), default=-1
    )
    if revision > counted:
        for name in NAMES:
            truth[name, day, "core"] = (revision, dict(some).get(name, 0))


async def fill_a_little(world: World, chance: random.Random) -> None:
    """Take some steps of filling, each of which may be cut off before it is committed."""

    async def step(conn: Connection) -> None:
        await fill_next(conn, world.parts, wait=True)
        if chance.random() < 0.4:
            raise CutError

    for _ in range(chance.randrange(40)):
        try:
            await world.database.transact(step)
        except CutError:
            continue


async def test_a_feed_that_is_half_applied_is_gone_on_with_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-2: nobody sees half of a feed in a stretch either, nor is it filled from half of one."""
    members = await world.members(6)
    await fed(world)
    before = [(world.name(n + 1), 5_00) for n in range(6)]
    await send(world, FeedKey("core", date(2025, 6, 30)), before)
    policy = msgspec.structs.replace(LAST_30, days=10)
    await world.apply(
        msgspec.structs.replace(reference_programme_by(policy), feeds=("core",)), tiers_from=EARLY
    )
    await fill(world)
    key = FeedKey("core", date(2025, 6, 29))
    monkeypatch.setattr("benefits.actions.seal_feed.AT_ONCE", 3)
    lines = [(world.name(n + 1), 7_00) for n in range(6)]
    await opened(world, key, lines)
    async with world.database.transaction() as conn:
        feed = await apply_next(conn, world.parts, wait=True)
        assert feed is not None
        assert (FeedState.APPLYING, 512) == (feed.state, feed.next_bucket)
    assert 6 * 5_00 == sum([(await reading(world, one, JUNE))[0] for one in members])
    assert [] == await world.findings()
    await judged_again(world, days=9)
    while await world.database.transact(lambda conn: fill_next(conn, world.parts, wait=False)):
        assert [] == await world.findings()
    assert 6 * (7_00 + 5_00) == sum([(await reading(world, one, JUNE))[0] for one in members])


async def judged_again(world: World, *, days: int) -> None:
    """Let another window decide."""
    policy = msgspec.structs.replace(LAST_30, days=days)
    programme = msgspec.structs.replace(reference_programme_by(policy), feeds=("core",))
    await world.apply(programme, tiers_from=EARLY)


async def opened(world: World, key: FeedKey, lines: list[tuple[str, int]]) -> None:
    """Send a feed and judge it, but leave it to be applied."""
    text = file(lines)
    async with world.database.transaction() as conn:
        await open_feed(conn, key, None, world.parts)
    await chunk(world, key, 1, text)
    digest = hashlib.sha256(text).digest()
    said = msgspec.structs.replace(manifest(text, key, lines), sha256=digest_of([digest]))
    plain = Manifest(rows=said.rows, totals=said.totals, sha256=said.sha256)
    async with world.database.transaction() as conn:
        judged = await judge_feed(conn, Sealing(key, plain), world.parts)
    assert FeedState.WAITING is judged.state


async def test_what_runs_is_projected_before_its_window_begins(world: World) -> None:
    """M-9, M-11: on the 10th, the last business day asks its own balance, and goes as today."""
    member = await world.member()
    await judged_by(world, LAST_DAY)
    await calendar(world, "2025-01-01,HOLIDAY")
    await world.month("T000001", "2025-06", 500_000_00)
    await fill(world)
    await world.evaluate("2025-06", member)
    world.clock.now = datetime(2025, 7, 11, tzinfo=UTC)
    july = [line(470_000_00, day=date(2025, 7, 1) + n * DAY) for n in range(10)]
    await world.assets(july)
    one = await standing(world, member)
    need, told = foretell(one.judge, 2, one.running, last_minor=[470_000_00])
    assert (500_000_00, 470_000_00, Outlook.AT_RISK) == (
        told.needed_daily_minor,
        told.projected_minor,
        told.outlook,
    )
    assert (1, 0) == (need.reading.days, need.closed)
    ahead = await look_ahead(world.database, world.parts, "wealth")
    assert (1, 0, 1) == (ahead.at_risk, ahead.near, ahead.told)


async def test_a_rolling_window_raises_before_its_month_is_over(world: World) -> None:
    """T-3: with INSTANT, when the days that are known have reached the whole window's sum."""
    member = await world.member()
    policy = msgspec.structs.replace(LAST_30, days=40, upgrade=UpgradeTiming.INSTANT)
    await judged_by(world, policy)
    await world.month("T000001", "2025-05", 50_000_00)
    await world.month("T000001", "2025-06", 50_000_00)
    await fill(world)
    world.clock.now = datetime(2025, 7, 2, tzinfo=UTC)
    await world.evaluate("2025-06", member)
    assert [(JUNE, "UPGRADED", 1)] == await decided(world)
    await world.assets([line(40 * 500_000_00, day=date(2025, 7, 1))])
    assert 1 == (await look_ahead(world.database, world.parts, "wealth")).risen
    assert (JUNE.plus(1), "UPGRADED", 2) == (await decided(world))[-1]


async def test_a_way_may_be_a_window(world: World) -> None:
    """T-2: besides the month's average, 7 days at the end or the last business day suffice."""
    week = Condition(metric=Metric.ROLLING, days=7, threshold=Decimal(900_000))
    day = Condition(metric=Metric.POINT_IN_TIME, threshold=Decimal(2_000_000))
    names = {"zh": "月末资产", "en": "what you hold at the end"}
    ways = tuple(
        Way(code=code, name=names, all=(one,)) for code, one in (("WEEK", week), ("DAY", day))
    )
    plain = reference_programme()
    tiers_ = tuple(
        msgspec.structs.replace(one, any=ways) if one.code == "PLATINUM" else one
        for one in plain.tier
    )
    programme = msgspec.structs.replace(plain, tier=tiers_, policy=Policy(calendar="china"))
    await world.apply(programme, tiers_from=EARLY)
    await calendar(world, "2025-01-01,HOLIDAY")
    members = await world.members(3)
    for customer, first, level in (
        ("T000001", 24, 900_000_00),
        ("T000002", 30, 2_000_000_00),
        ("T000003", 30, 1_999_999_99),
    ):
        await world.month(customer, "2025-06", 1)
        lines = [line(level, day=date(2025, 6, n), revision=1) for n in range(first, 31)]
        await world.assets([msgspec.structs.replace(one, customer=customer) for one in lines])
    await fill(world)
    for member in members:
        await world.evaluate("2025-06", member)
    found = await world.rows("SELECT member_id, rank, way FROM tier_decision")
    assert {(members[0], 2, "WEEK"), (members[1], 2, "DAY"), (members[2], 1, None)} == {
        tuple(row) for row in found
    }


async def test_the_worker_fills_what_is_needed(world: World) -> None:
    """Nobody has to ask; it goes month by month, and into the month that begins next."""
    await world.member()
    await world.month("T000001", "2025-06", 3)
    worker = Worker(world.database, world.parts, {})
    assert 0 == await worker.keep_stretches()
    await judged_by(world, LAST_30)
    while await worker.keep_stretches():
        pass
    kept = await world.rows("SELECT month, next_bucket FROM stretch ORDER BY month")
    assert {BUCKETS} == {row.next_bucket for row in kept}
    assert date(2025, 8, 1) == kept[-1].month
    assert [] == await world.findings()
