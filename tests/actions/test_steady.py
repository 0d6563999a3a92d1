"""Members told steady by their sums are those whom folding all would leave as they are (T-8)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions import evaluate as evaluating
from benefits.actions import expire, judge_month
from benefits.actions.evaluate import Evaluated, evaluate
from benefits.actions.record_members import record_members
from benefits.actions.start_period import begin, go_on
from benefits.domain.assets import AssetLine
from benefits.domain.carry import Carry
from benefits.domain.catalogue import Rules
from benefits.domain.choice import Choice
from benefits.domain.eligibility import Rule
from benefits.domain.feeds import FeedKey, FeedKind
from benefits.domain.fields import Among, Years
from benefits.domain.labels import Label, Layer
from benefits.domain.members import PERSON, MemberLine, Person
from benefits.domain.packages import Anchor, Claiming, Downgrade, Segment, Start
from benefits.domain.policy import Lock, Policy, Target
from benefits.domain.programme import Programme
from benefits.domain.stacking import StackBy, Stacking
from benefits.domain.steady import Bounds, bounds
from benefits.domain.values import BUCKETS, Month, local_date, member_id
from benefits.domain.welcome import Welcome
from benefits.store import evaluations, facts, steady
from benefits.store.facts import Whom
from benefits.worker import Worker
from tests import builders
from tests.actions import feeding
from tests.actions.choosing import chose, pick
from tests.actions.feeding import EARLY, fed
from tests.actions.listing import send
from tests.actions.merging import listed as merge_listed
from tests.actions.test_claim_granted import claimed
from tests.builders import MEMBER_KEY, World, reference_programme
from tests.conftest import database
from tests.lives import seeds

MEMBERS, STEPS = 12, 48
MONTHS = [Month(2025, 1).plus(n) for n in range(6)]
NAMES = [f"T{nth:06d}" for nth in range(1, MEMBERS + 1)]
LEVELS = (0, 40_000_00, 60_000_00, 499_999_99, 500_000_00, 520_000_00, 5_200_000_00)
Worlds = tuple[World, World]
FOUNDERS = Segment(label="founders", layer=Layer.LIST, name={"zh": "创始", "en": "Founders"})
PAYROLL = Segment(label="payroll", layer=Layer.FACT, name={"zh": "代发客户", "en": "Payroll"})
# Some are let in, some are not, and of some it is not known.
RULE = Rule(
    any_=(
        Rule(label=Among(is_="FACT:payroll")),
        Rule(all_=(Rule(staff=False), Rule(age=Years(at_least=60)))),
    )
)


@pytest.fixture
async def worlds(migrated: str, cluster_dsn: str) -> AsyncIterator[Worlds]:
    """Give two installations: one tells steady members, one folds all."""
    async with AsyncExitStack() as stack:
        dsns = [await stack.enter_async_context(database(cluster_dsn, migrated)) for _ in "ab"]
        one, other = [await stack.enter_async_context(builders.world(dsn)) for dsn in dsns]
        for world in (one, other):
            world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
            await world.members(MEMBERS)
        yield one, other


@pytest.fixture
def told(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the second installation fold all; give how many the first told steady, run by run."""
    counts, find = list[int](), steady.find
    current = {"folds": False}

    async def counted(*args: Any, **more: Any) -> steady.Found:
        found = await find(*args, **more)
        counts.append(sum(found.steady.values()) + len(found.ranked))
        return found

    async def both(world: World, month: Month) -> Evaluated:
        current["folds"] = world is worlds[1]
        return await evaluate(
            world.database, world.parts, "wealth", month, buckets=(0, BUCKETS - 1)
        )

    def asked(rules: Rules, month: Month) -> Bounds | None:
        return None if current["folds"] else bounds(rules, month)

    monkeypatch.setattr(evaluating, "bounds_of", asked)
    monkeypatch.setattr(steady, "find", counted)
    monkeypatch.setattr(World, "run_month", both, raising=False)
    return counts


async def record(world: World) -> list[tuple[object, ...]]:
    """Return what was decided and granted, ids and instants apart."""
    decided = await world.rows(
        "SELECT member_id, month, cause, before_rank, before_misses, rank, misses, qualified, "
        "sum_minor, known_days, days, programme_version, earned, welcome_until "
        "FROM tier_decision ORDER BY 1, 2, decided_at"
    )
    granted = await world.rows(
        "SELECT member_id, line, period, quota, quantity FROM entitlement_grant "
        "ORDER BY 1, 2, 3, 4"
    )
    changed = await world.rows(
        "SELECT member_id, line, period, quota, taken FROM entitlement_change "
        "ORDER BY member_id, changed_at, taken"
    )
    lots = await world.rows(
        "SELECT member_id, line, period, granted, remaining, expired, expires_at FROM lot "
        "ORDER BY 1, 2, 3, 4, 5, 6"
    )
    made = await world.rows(
        "SELECT member_id, line, period, benefit FROM choice ORDER BY 1, 2, 3, 4"
    )
    claims = await world.rows(
        "SELECT member_id, benefit, quantity, count(*) FROM claim GROUP BY 1, 2, 3 ORDER BY 1, 2"
    )
    return [tuple(row) for row in (*decided, *granted, *changed, *lots, *made, *claims)]


def lines(chance: Random, nth: int) -> list[AssetLine]:
    """Return a member's balances of a month: all days, or all but some."""
    month, level, revision = chance.choice(MONTHS), chance.choice(LEVELS), chance.randrange(50)
    name = f"T{nth:06d}"
    days = range(0 if chance.random() < 0.8 else chance.randrange(31), month.days)
    return [
        AssetLine(name, month.start + timedelta(days=n), "DEPOSIT", "CNY", level, "", "", revision)
        for n in days
    ]


async def reopened(worlds: Worlds, nth: int, opened_on: date, closed_on: date | None) -> None:
    """Record another opening or end of a relationship, and what a line's rule asks for."""
    payroll = Label("payroll", Layer.FACT, opened_on, None)
    for world in worlds:
        world.clock.forward(seconds=1)
        async with world.database.transaction() as conn:
            line = MemberLine(
                f"T{nth:06d}",
                opened_on,
                closed_on=closed_on,
                labels=(payroll,) if nth % 2 else (),
                person=Person(PERSON, date(1965, opened_on.month, 1), is_staff=nth % 3 == 0),
            )
            await record_members(conn, [(1, line)], world.parts, member_key=MEMBER_KEY)


async def merged(worlds: Worlds, of: int, into: int) -> None:
    """Merge two members, if they can be."""
    for world in worlds:
        await merge_listed(world, (f"T{of:06d}", f"T{into:06d}"))


async def started(worlds: Worlds) -> None:
    """Start the periods that are due in both, for everybody, and claim what is AUTO."""
    for world in worlds:
        leased = await begin(world.database, world.parts, "wealth")
        await go_on(world.database, world.parts, leased, BUCKETS)
        await claimed(world)


async def chosen(worlds: Worlds, nth: int, benefit: str) -> None:
    """Let a member choose, if they can: of both the same is said."""
    wanted = pick(member_id(f"T{nth:06d}", MEMBER_KEY), benefit)
    one, other = [await chose(world, wanted) for world in worlds]
    assert one == other


async def listed(worlds: Worlds, names: list[str]) -> None:
    """Replace a whitelist."""
    for world in worlds:
        world.clock.forward(seconds=1)
        await send(world, *names)


async def swept(worlds: Worlds) -> None:
    """Let time do in both what is due: welcomes begin and end.

    What two lanes hold of each other's, where customers were merged, is left to the next sweep.
    """
    for world in (*worlds, *worlds):
        async for _ in expire.sweep(world.database, world.parts, buckets=(0, BUCKETS - 1)):
            pass
    assert await record(worlds[1]) == await record(worlds[0])


async def agree(worlds: Worlds, month: Month) -> None:
    """Evaluate a month in both, a second later; they write the same."""
    for world in worlds:
        world.clock.forward(seconds=1)
    done = [await world.run_month(month) for world in worlds]  # type: ignore[attr-defined]  # of `told`
    assert done[1] == done[0]
    assert await record(worlds[1]) == await record(worlds[0])


class Stood:
    """What stood on record as months were settled, of a world's members."""

    def __init__(self, world: World) -> None:
        """Know nothing of it yet."""
        self.world = world
        self.ranks = dict[Month, dict[UUID, int]]()

    async def note(self) -> None:
        """Note it of what is settled now and was not; forget what is not any more."""
        for month in MONTHS:
            async with self.world.database.transaction() as conn:
                found = await evaluations.settled(conn, "wealth", month, (0, BUCKETS - 1))
            known = self.ranks.get(month, {})
            self.ranks[month] = {
                id_: known.get(id_, on_record)
                for id_, (_, on_record) in (await self._tiers(month)).items()
                if found.holds(id_)
            }

    async def _tiers(self, month: Month) -> dict[UUID, tuple[int, int]]:
        """Return the tiers that folding all months gives members, and those on record."""
        async with self.world.database.transaction() as conn:
            catalogue = await self.world.parts.catalogue.current(conn)
            rules = catalogue.rules["wealth"]
            known = await facts.load(conn, rules, month, Whom((0, BUCKETS - 1)))
        today = local_date(self.world.clock(), catalogue.zone)
        folded = [(one, judge_month.last_decision(rules, one, month, today)) for one in known]
        return {
            one.member_id: (last.after.rank if last else 0, one.written.rank)
            for one, last in folded
            if not one.has_merged and not one.closed_on
        }

    async def holds(self) -> None:
        """Say that no tier on record is above both the fold and what stood (A-7)."""
        for month in MONTHS:
            for id_, (folded, on_record) in (await self._tiers(month)).items():
                stood = self.ranks[month].get(id_, 0)
                assert folded <= on_record <= max(folded, stood), (month, id_)


async def a_month_later(worlds: Worlds, *, has_carry: bool) -> None:
    """Evaluate July, twice: what it left over is carried into August; the books are right."""
    for world in worlds:
        world.clock.now += timedelta(days=31)
        for nth in range(1, MEMBERS + 1, 2):
            await world.month(world.name(nth), "2025-07", 520_000_00)
    for _ in "ab":
        await agree(worlds, MONTHS[-1].plus(1))
    await swept(worlds)
    await agree(worlds, MONTHS[-1].plus(1))
    for world in worlds:
        assert [] == await world.findings()
        cut = await world.rows("SELECT FROM lot WHERE line = 'kept' AND expired > 0")
        assert has_carry == bool(cut)


def programme_of(seed: int, chance: Random) -> Programme:
    """Return a programme with lines of every kind."""
    policy = Policy(
        target=chance.choice(list(Target)),
        welcome=Welcome(tier=chance.choice(["GOLD", "PLATINUM"]), months=chance.randint(1, 3)),
    )
    ladder = list(reference_programme().tier)
    if seed == 5:
        policy, lock = Policy(), Lock(months=2, grace=1)
        ladder[2] = msgspec.structs.replace(ladder[2], misses=0, lock=lock)
    lounges, videos = reference_programme().line
    own = msgspec.structs.replace(
        lounges,
        code="own",
        anchor=Anchor.ANNIVERSARY,
        start=Start.PERIOD,
        downgrade=Downgrade.REVOKE_EXCESS,
    )
    pick = msgspec.structs.replace(own, code="pick", benefit="", choice="PICK")
    listed = msgspec.structs.replace(
        own,
        code="listed",
        quota={},
        segment=FOUNDERS,
        quantity=1,
        downgrade=Downgrade.KEEP_UNTIL_EXPIRY,
    )
    kept = msgspec.structs.replace(videos, code="kept", carry=Carry(periods=1, cap=3))
    videos = msgspec.structs.replace(videos, eligible=RULE, start=Start.PERIOD)
    paid = msgspec.structs.replace(
        videos,
        code="paid",
        eligible=None,
        quota={},
        segment=PAYROLL,
        quantity=2,
        claim=Claiming.AUTO,
    )
    benefits = list(reference_programme().benefit)
    stacking = [Stacking(), Stacking(by=StackBy.MAX), Stacking(cap=3)][seed % 3]
    benefits[1] = msgspec.structs.replace(
        benefits[1], stacking=stacking, recipient=(), cap=None, stock=5000
    )
    choice = Choice(code="PICK", name=PAYROLL.name, benefits=("LOUNGE", "VIDEO"))
    return msgspec.structs.replace(
        reference_programme(),
        policy=policy,
        tier=tuple(ladder),
        benefit=tuple(benefits),
        choice=(choice,),
        line=(lounges, videos, own, paid, pick, listed, *((kept,) if stacking.is_plain else ())),
    )


async def begun(worlds: Worlds, programme: Programme) -> None:
    """Put a programme into force in both; some members are new."""
    for world in worlds:
        await world.apply(programme, tiers_from=EARLY)
    for nth in range(1, MEMBERS, 2):
        await reopened(worlds, nth, date(2025, 4 + nth % 3, 20), None)


async def happened(worlds: Worlds, chance: Random, what: int) -> None:
    """Let something happen that the bank or a member does, beside balances."""
    nth, day = chance.randint(1, MEMBERS), date(2025, chance.randint(1, 6), 10)
    match what:
        case 8:
            await merged(worlds, nth, chance.randint(1, MEMBERS))
        case 9:
            await chance.choice([started, swept])(worlds)
        case 10:
            await chosen(worlds, nth, chance.choice(["LOUNGE", "VIDEO"]))
        case 11:
            await listed(worlds, chance.sample(NAMES, chance.randrange(MEMBERS)))
        case _:
            closed_on = date(2025, 7, 2) if chance.random() < 0.2 else None
            opened_on = chance.choice([date(2024, 6, 1), day, date(2025, 7, 1)])
            await reopened(worlds, nth, opened_on, closed_on)


@pytest.mark.parametrize("seed", seeds(3))
async def test_lines_in_any_order(worlds: Worlds, told: list[int], seed: int) -> None:
    """Balances, corrections, gaps, members' dates, mergers and months come as they like."""
    chance = Random(seed)
    programme = programme_of(seed, chance)
    await begun(worlds, programme)
    stood = Stood(worlds[0])
    for _ in range(STEPS):
        match chance.randrange(12):
            case 1 | 2 | 3 | 4:
                batch = [line for _ in range(4) for line in lines(chance, chance.randint(1, 12))]
                for world in worlds:
                    await world.assets(batch)
            case 5 | 6 | 7:
                await agree(worlds, chance.choice(MONTHS))
                await stood.note()
            case what:
                await happened(worlds, chance, what)
    for month in MONTHS:
        await agree(worlds, month)
        await stood.note()
    before = len(told)
    for month in MONTHS:
        await agree(worlds, month)
    assert any(told[before:])
    await swept(worlds)
    await stood.holds()
    await a_month_later(worlds, has_carry=any(line.carry for line in programme.line))


async def applied(world: World) -> None:
    """Let a worker apply what waits."""
    while await Worker(world.database, world.parts, {}).apply_feeds():
        pass


@pytest.mark.parametrize("seed", seeds(2))
async def test_feeds_in_any_order(worlds: Worlds, told: list[int], seed: int) -> None:
    """Days are sealed and corrected as they like; some days say changes alone."""
    chance = Random(seed)
    for world in worlds:
        await fed(world)
    months = MONTHS[:3]
    keys = [FeedKey("core", m.start + timedelta(days=n), 0) for m in months for n in range(m.days)]
    late = chance.sample(keys, 6)
    levels = {f"T{nth:06d}": chance.choice(LEVELS) for nth in range(1, MEMBERS)}
    for key in [key for key in keys if key not in late]:
        said, kind = list(levels.items()), FeedKind.FULL
        if key.as_of.day == 1:
            levels[f"T{chance.randint(1, MEMBERS - 1):06d}"] = chance.choice(LEVELS)
        elif chance.random() < 0.3:
            said, kind = said[:1], FeedKind.DELTA
        for world in worlds:
            assert [] == await feeding.send(world, key, said, kind)
    corrections = [
        FeedKey("core", key.as_of, revision)
        for revision, key in enumerate(chance.sample(keys, 6), 1)
    ]
    for nth, key in enumerate((*late, *corrections)):
        if nth in {4, 8}:
            await merged(worlds, nth, nth + 1)
        levels[f"T{chance.randint(1, MEMBERS - 1):06d}"] = chance.choice(LEVELS)
        for world in worlds:
            assert [] == await feeding.send(world, key, list(levels.items()))
            await applied(world)
        await agree(worlds, chance.choice(months))
    for month in (*months, *months):
        await agree(worlds, month)
    assert told[-1] > MEMBERS // 2  # all but those whose correction waits for the next month


async def test_a_new_version_that_judges_the_past_has_all_folded(
    worlds: Worlds, told: list[int]
) -> None:
    """U-1: what was judged by another version tells nothing."""
    for world in worlds:
        for nth in range(1, MEMBERS + 1):
            await world.month(world.name(nth), "2025-05", 60_000_00)
    await agree(worlds, MONTHS[4])
    plain = reference_programme()
    ladder = [
        plain.tier[0],
        msgspec.structs.replace(plain.tier[1], threshold=Decimal(70_000)),
        *plain.tier[2:],
    ]
    for world in worlds:
        await world.apply(
            msgspec.structs.replace(plain, tier=tuple(ladder)), tiers_from=Month(2025, 5)
        )
    await agree(worlds, MONTHS[4])
    assert 0 == told[-1]


async def test_members_of_whom_nothing_moved_are_not_read_again(
    worlds: Worlds, told: list[int]
) -> None:
    """A run again folds nobody; a correction has one folded, also in the months after it."""
    for world in worlds:
        for nth in range(1, MEMBERS + 1):
            await world.month(world.name(nth), "2025-05", 60_000_00)
            await world.month(world.name(nth), "2025-06", 60_000_00)
    for month in (MONTHS[4], MONTHS[5], MONTHS[5]):
        await agree(worlds, month)
    assert MEMBERS == told[-1]
    correction = [AssetLine("T000001", date(2025, 5, 1), "DEPOSIT", "CNY", 1, revision=1)]
    for world in worlds:
        await world.assets(correction)
    await agree(worlds, MONTHS[5])
    assert MEMBERS - 1 == told[-1]
    await agree(worlds, MONTHS[5])
    assert MEMBERS == told[-1]
