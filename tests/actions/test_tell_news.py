"""What is told beside feeds is news for decided months: labels, holders, mergers (A-7)."""

from collections.abc import Sequence
from datetime import date, timedelta

from msgspec.structs import replace

from benefits.actions.record_labels import record_labels
from benefits.domain.assets import AssetLine
from benefits.domain.feeds import FeedKey
from benefits.domain.labels import Label, Layer
from benefits.domain.members import LabelLine
from benefits.domain.policy import Joint
from benefits.domain.programme_file import read
from benefits.domain.values import Month, member_id
from benefits.store.evaluation_news import QUIET
from benefits.worker import Worker
from tests.actions.feeding import EARLY, fed, send
from tests.actions.merging import merged
from tests.actions.test_holders import hold
from tests.actions.test_keep_tiers import AT, JULY, JUNE, cases, decide
from tests.actions.test_windows import LAST_DAY, calendar, fill
from tests.builders import MEMBER_KEY, World, reference_programme
from tests.domain.test_ways import TIERS

HIGH, LOW = 200_000_00, 30_000_00
SALARY = Label("salary", Layer.FACT, date(2025, 6, 20), None)
BOTH = {"wealth", "ways"}


async def label(world: World, *labels: Label) -> int:
    """Import labels of the first member; return how many were new."""
    async with world.database.transaction() as conn:
        lines = [(n, LabelLine(world.name(1), each)) for n, each in enumerate(labels, 2)]
        done = await record_labels(conn, lines, world.parts, member_key=MEMBER_KEY)
    return done.kept


async def run_again(world: World) -> set[str]:
    """Let the worker do what there is now; return which programmes decided June (anew)."""
    world.clock.forward(seconds=1)
    now = world.clock()
    await decide(world)
    found = await world.rows(
        "SELECT programme FROM evaluation_run WHERE month = $1 AND begun_at >= $2", JUNE.start, now
    )
    return {row.programme for row in found}


async def decided(world: World, number: int) -> Sequence[tuple[str, int]]:
    """Return what a member's June came to with the programme that asks for labels, in order."""
    found = await world.rows(
        "SELECT cause, rank FROM tier_decision WHERE programme = 'ways' AND member_id = $1"
        " ORDER BY decided_at",
        member_id(world.name(number), MEMBER_KEY),
    )
    return [(row.cause, row.rank) for row in found]


async def told(world: World, topic: str) -> list[tuple[str, int]]:
    """Return from which months on there were news of a topic, and how many."""
    found = await world.rows(
        "SELECT month, number FROM evaluation_news WHERE topic = $1 ORDER BY month", topic
    )
    return [(str(Month.of(row.month)), row.number) for row in found]


async def june(world: World) -> None:
    """Decide June by two programmes, of which one asks for labels and holders."""
    await fed(world)
    world.clock.now = AT
    await world.members(6, JUNE.start)
    await world.assets(
        [AssetLine(world.name(2), date(2025, 6, 10), "DEPOSIT", "CNY", 30 * 60_000_00, "J")]
    )
    held = [(world.name(1), HIGH), *((world.name(n), LOW) for n in (3, 4, 5, 6))]
    for n in range(JUNE.days):
        assert [] == await send(world, FeedKey("core", JUNE.start + timedelta(days=n)), held)
    ways = read(TIERS)
    policy = replace(ways.policy, joint=Joint.FULL_TO_EACH)
    await world.apply(replace(ways, feeds=("core",), policy=policy), tiers_from=EARLY)
    assert BOTH == await run_again(world)
    assert [[("UPGRADED", 1)], [("UPGRADED", 1)], []] == [
        await decided(world, n) for n in (1, 2, 3)
    ]
    world.clock.forward(seconds=QUIET.total_seconds())
    assert BOTH == await run_again(world)  # of the balance that came without a feed


async def test_what_is_told_beside_feeds_holds_at_once(world: World) -> None:
    """A-7: each raises June's tier from then on, for the programmes that ask for it, once."""
    await june(world)
    unasked = Label("private", Layer.FACT, SALARY.from_, None)
    assert 2 == await label(world, SALARY, unasked)
    for n in range(1, 4):  # the parts of a long file
        assert 1 == await label(world, replace(SALARY, from_=date(2020, n, 1)))
        assert set() == await run_again(world)
    assert [(str(JULY.plus(-13)), 3), (str(JUNE), 1)] == await told(world, "label:FACT:salary")
    assert [] == await told(world, "label:FACT:private")
    world.clock.forward(seconds=QUIET.total_seconds())
    since = world.clock()
    assert {"ways"} == await run_again(world)
    assert [("UPGRADED", 1), ("CORRECTED", 2)] == await decided(world, 1)
    ((at,),) = await world.rows("SELECT max(effective_from) FROM tier_decision")
    assert at >= since
    assert 0 == await label(world, SALARY)
    steps = (
        ("holders", {"ways"}, 3),
        ("merger", {"wealth", "ways"}, 5),
        ("balance", {"wealth", "ways"}, 6),
    )
    for what, who, number in steps:
        await tell(world, what)
        world.clock.forward(seconds=QUIET.total_seconds())
        assert (what, who) == (what, await run_again(world))
        assert (what, [("UPGRADED", 1)]) == (what, await decided(world, number))
        assert set() == await run_again(world)
    assert [] == await cases(world)
    assert [] == await world.findings()


async def tell(world: World, what: str) -> None:
    """Tell something of members that brings one of them to GOLD."""
    match what:
        case "holders":
            await hold(world, "J,T000002,PRIMARY,2025-06-01,", "J,T000003,JOINT,2025-06-01,")
        case "merger":
            of, into = (member_id(world.name(n), MEMBER_KEY) for n in (4, 5))
            await merged(world, of, into)
        case _:
            more = AssetLine(world.name(6), date(2025, 6, 5), "DEPOSIT", "CNY", 30 * LOW)
            await world.assets([more])


async def test_a_calendar_that_comes_late_decides_what_it_left_open(world: World) -> None:
    """A-6, M-6: of a year without a calendar nothing is decided until it comes, and then at once.

    The same file again is no news, nor is another bank's calendar.
    """
    plain = reference_programme()
    await world.apply(replace(plain, feeds=("core",), policy=LAST_DAY), tiers_from=EARLY)
    world.clock.now = AT
    await world.members(1)
    for n in range(JUNE.days):
        key = FeedKey("core", JUNE.start + timedelta(days=n))
        assert [] == await send(world, key, [(world.name(1), HIGH * 3)])
    assert {"wealth"} == await run_again(world)
    assert [] == await world.rows("SELECT cause FROM tier_decision")
    assert 2 == (await calendar(world, "2025-01-01,HOLIDAY", "2025-06-02,HOLIDAY")).kept
    assert set() == await run_again(world)
    world.clock.forward(seconds=QUIET.total_seconds())
    await fill(world)
    assert {"wealth"} == await run_again(world)
    found = await world.rows("SELECT cause, rank FROM tier_decision")
    assert [("UPGRADED", 2)] == [tuple(row) for row in found]
    assert 0 == (await calendar(world, "2025-06-02,HOLIDAY")).kept
    assert 1 == (await calendar(world, "2025-06-09,HOLIDAY", name="taiwan")).kept
    world.clock.forward(seconds=QUIET.total_seconds())
    assert set() == await run_again(world)
    assert [] == await world.findings()


async def test_what_is_told_lets_the_worker_look_ahead_again(world: World) -> None:
    """T-12: a balance of the running month without a feed is seen with the day sealed last."""
    await fed(world)
    world.clock.now = AT
    await world.members(1)
    assert [] == await send(world, FeedKey("core", date(2025, 7, 1)), [(world.name(1), LOW)])
    worker, looked = Worker(world.database, world.parts, {}), 0
    while await worker.keep_ahead():
        looked += 1
    assert looked
    await world.assets([AssetLine(world.name(1), date(2025, 7, 1), "DEPOSIT", "CNY", HIGH)])
    assert 0 == await worker.keep_ahead()
    world.clock.forward(seconds=QUIET.total_seconds())
    assert 1 == await worker.keep_ahead()
