"""However two customers come to be one member, it is as if they had been one all along (T-10)."""

import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from benefits.actions.record_members import record_members
from benefits.domain.benefit import ClawBack
from benefits.domain.corrections import Kind
from benefits.domain.feeds import FeedKey
from benefits.domain.members import MemberLine
from benefits.domain.orders import Done, Outcome, Pending, Reason, Rejected, Unknown, Used
from benefits.domain.policy import Balance, Joint, Metric, Policy
from benefits.domain.values import BUCKETS, Month, member_id
from benefits.store import facts
from benefits.store.facts import Whom
from tests import builders
from tests.actions import feeding
from tests.actions.desk import approve, ask, offered
from tests.actions.exchanging import all_used, balances, converting, rates, send
from tests.actions.feeding import EARLY, fed
from tests.actions.life import (
    call_back,
    decide,
    gift,
    give,
    lease,
    number_of,
    record,
    wish,
)
from tests.actions.merging import listed, sweep
from tests.actions.test_currencies import cut_feed
from tests.actions.test_feeds import shown
from tests.actions.test_holders import hold
from tests.actions.test_windows import fill, judged_by
from tests.builders import MEMBER_KEY, World
from tests.conftest import database
from tests.lives import seeds

DAYS = [date(2025, 5, 28) + timedelta(days=n) for n in range(10)]
MONTHS = [Month(2025, 5), Month(2025, 6)]
A, B, C, D = (f"T00000{n}" for n in range(1, 5))
Worlds = tuple[World, World]


@pytest.fixture
async def worlds(migrated: str, cluster_dsn: str) -> AsyncIterator[Worlds]:
    """Give two installations: in one two customers are merged, in the other they were one."""
    async with AsyncExitStack() as stack:
        dsns = [await stack.enter_async_context(database(cluster_dsn, migrated)) for _ in "ab"]
        one, other = [await stack.enter_async_context(builders.world(dsn)) for dsn in dsns]
        for world in (one, other):
            world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
            await world.members(4)
        yield one, other


async def opened(world: World, name: str, opened_on: date) -> None:
    """Record when a relationship began."""
    async with world.database.transaction() as conn:
        line = MemberLine(name, opened_on)
        await record_members(conn, [(2, line)], world.parts, member_key=MEMBER_KEY)


async def begin(worlds: Worlds, chance: random.Random) -> None:
    """Let the two begin on days of their own, and the one who was both on the first of them."""
    first, second = (chance.choice([*DAYS, date(2020, 1, 1)]) for _ in "ab")
    await opened(worlds[0], A, first)
    await opened(worlds[0], B, second)
    await opened(worlds[1], A, min(first, second))


async def counted(world: World) -> list[Any]:
    """Return what all but the merged one are evaluated on, and what is shown of them."""
    found = list[Any]()
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules["wealth"]
        for month in MONTHS:
            some = await facts.load(conn, rules, month, Whom((0, BUCKETS - 1)))
            found += [(each.member_id, each.opened_on, each.sums) for each in some]
    found.sort(key=lambda each: each[0])
    merged = member_id(B, MEMBER_KEY)
    ids = [member_id(name, MEMBER_KEY) for name in (A, C, D)]
    return [*(each for each in found if each[0] != merged), *[await shown(world, i) for i in ids]]


async def alike(worlds: Worlds) -> None:
    """Both count the same of everybody, and keep what their rows give."""
    assert await counted(worlds[1]) == await counted(worlds[0])
    for world in worlds:
        assert [] == await world.findings()


class Told:
    """Steps told to both installations: of two customers to the one, of one to the other."""

    def __init__(self, worlds: Worlds, seed: int) -> None:
        self.worlds, self.chance = worlds, random.Random(seed)
        self.revisions = itertools.count()

    async def merge(self) -> None:
        """Let the two become one."""
        assert (1, 0, []) == await listed(self.worlds[0], (B, A))

    def place(self) -> tuple[str, str]:
        """Return a name and an account; of a joint account one of the two tells alone."""
        account = self.chance.choice(["own", "J", "K", "L"])
        names = {"own": (A, B, C, D), "J": (A, C), "K": (B, C), "L": (C, D)}[account]
        return self.chance.choice(names), account

    def both(self, name: str, account: str) -> list[tuple[World, str, str]]:
        """Return how either installation hears of them."""
        one, other = self.worlds
        if name != B:
            return [(one, name, account), (other, name, account)]
        return [(one, B, account), (other, A, "other" if account == "own" else account)]

    async def line(self) -> None:
        """Bring some balances."""
        for _ in range(self.chance.randrange(1, 8)):
            place, day = self.place(), self.chance.choice(DAYS)
            rest = f"{self.chance.choice(['CNY', 'USD'])},{self.chance.randrange(10**5)}.07"
            revision = next(self.revisions)
            for world, name, account in self.both(*place):
                line = f"{name},{day},FUND,{rest},{account},{revision}"
                await balances(world, line)

    async def rate(self) -> None:
        """Say a rate."""
        day, rate = self.chance.choice(DAYS), self.chance.randrange(1, 10**4)
        revision = next(self.revisions)
        for world in self.worlds:
            await all_used(world)
            await rates(world, f"USD,{day},{rate / 1000:f},1,{revision}")

    async def holder(self) -> None:
        """Say who holds an account, the two never from the same day."""
        name, account = self.chance.choice([A, B, C, D]), self.chance.choice("JKL")
        first = self.chance.choice(DAYS[1::2] if name == B else DAYS[::2])
        end = self.chance.choice(["", first + timedelta(days=self.chance.randrange(6))])
        role = self.chance.choice(["PRIMARY", "JOINT"])
        for world, who, which in self.both(name, account):
            world.clock.forward(seconds=1)
            await hold(world, f"{which},{who},{role},{first},{end}")

    async def feed(self) -> None:
        """Send a day of a source, cut in the middle or not."""
        sent = {self.place(): self.chance.randrange(10**5) for _ in range(6)}
        day, revision = self.chance.choice(DAYS), next(self.revisions)
        cut = self.chance.choice([None, 0, 1, 3])
        texts: dict[int, list[str]] = {0: [], 1: []}
        for place, balance in sent.items():
            for nth, (_, name, account) in enumerate(self.both(*place)):
                texts[nth].append(f"{name},FUND,CNY,{balance}.00,{account}")
        for nth, world in enumerate(self.worlds):
            with cut_feed(cut):
                await send(world, FeedKey("core", day, revision), texts[nth])


@pytest.mark.parametrize("joint", [None, *Joint])
@pytest.mark.parametrize("seed", seeds(1))
async def test_sums_are_those_of_one_who_was_both_all_along(
    worlds: Worlds, seed: int, joint: Joint | None
) -> None:
    """Lines, feeds, rates and holders in any order, before the merger and after it."""
    told = Told(worlds, seed)
    for world in worlds:
        await world.apply(converting("core", joint=joint), tiers_from=EARLY)
    await begin(worlds, told.chance)
    steps = [told.line] * 5 + [told.rate] * 3 + [told.holder] * 6 + [told.feed] * 5 + [told.merge]
    told.chance.shuffle(steps)
    for step in steps:
        await step()
    for world in worlds:
        await all_used(world)
        await send(world, FeedKey("core", DAYS[-1], next(told.revisions)), [])
    await alike(worlds)


@pytest.mark.parametrize("by_feeds", [False, True])
@pytest.mark.parametrize("seed", seeds(1))
async def test_stretches_are_those_of_one_who_was_both(
    worlds: Worlds, seed: int, *, by_feeds: bool
) -> None:
    """Windows that are no whole months, filled before the merger or after it."""
    chance, revisions = random.Random(seed), itertools.count()
    policy = Policy(metric=Metric.ROLLING, days=40, balance=Balance.OPENING)
    for world in worlds:
        await judged_by(world, policy)
        if by_feeds:
            await fed(world)
    await begin(worlds, chance)
    told = Told(worlds, seed)

    async def bring() -> None:
        day, revision = chance.choice(DAYS), next(revisions)
        levels = {name: chance.randrange(10**6) for name in (A, B, C)}
        both = {A: levels[A] + levels[B], C: levels[C]}
        for world, some in zip(worlds, (levels, both), strict=True):
            if by_feeds:
                await feeding.send(world, FeedKey("core", day, revision), list(some.items()))
            else:
                lines = [f"{n},{day},FUND,CNY,{v},x,{revision}" for n, v in some.items()]
                await balances(world, *lines)

    async def filled() -> None:
        for world in worlds:
            await fill(world)

    steps = [bring] * 8 + [filled, told.merge]
    chance.shuffle(steps)
    for step in steps:
        await step()
    await filled()
    await alike(worlds)


class Life:
    """Units of four customers in any order of steps; some of them come to be one."""

    def __init__(self, world: World, members: list[UUID], seed: int) -> None:
        self.world, self.members, self.chance = world, members, random.Random(seed)
        self.claims = list[UUID]()
        self.merged = 0

    def one(self) -> UUID:
        """Return somebody."""
        return self.chance.choice(self.members)

    async def reward(self) -> None:
        """Give units, some of which end soon."""
        quantity, days = self.chance.randint(1, 5), self.chance.choice([1, 40])
        benefit = self.chance.choice(["VIDEO", "LOUNGE"])
        await give(self.world, gift(self.one(), benefit, quantity=quantity, valid_days=days))

    async def claim(self) -> None:
        """Claim, if there is anything."""
        benefit = self.chance.choice(["VIDEO", "LOUNGE"])
        (outcome,) = await decide(self.world, wish(self.one(), benefit))
        if ids := getattr(outcome, "ids", None):
            self.claims.append(UUID(ids["claim_id"]))

    async def answer(self) -> None:
        """Let a provider say what became of an order, be it late or against its word."""
        if self.claims:
            at = self.world.clock()
            said: list[Outcome] = [Done(at=at), Used(at=at), Pending()]
            said.append(Rejected(Reason.LIMIT, "limit"))
            number = await number_of(self.world, self.chance.choice(self.claims))
            await call_back(self.world, number, self.chance.choice(said))

    async def send(self) -> None:
        """Ask a provider, who is silent."""
        for work in await lease(self.world, 2):
            await record(self.world, work, Unknown("silent"))

    async def correct(self) -> None:
        """Take units back by hand, more than are left."""
        found = await ask(
            self.world, Kind.CLAW_BACK, self.one(), self.chance.randint(1, 4), benefit="VIDEO"
        )
        if not isinstance(found, str):
            await approve(self.world, found)

    async def merge(self) -> None:
        """Merge two of them."""
        of, into = (self.chance.randint(1, len(self.members)) for _ in "ab")
        kept, _, _ = await listed(self.world, (self.world.name(of), self.world.name(into)))
        self.merged += kept

    async def sweep(self) -> None:
        """Record what time has done, some time later."""
        self.world.clock.forward(hours=self.chance.choice([0, 1, 30]))
        await sweep(self.world)


async def conserved(world: World) -> None:
    """What was ever issued is with somebody, and what went is what came."""
    found = await world.rows(
        """SELECT p.unit, a.account, sum(a.sign * p.amount)::bigint AS amount FROM posting AS p
           CROSS JOIN LATERAL (VALUES (p.debit, -1), (p.credit, 1)) AS a (account, sign)
           WHERE p.unit LIKE 'BENEFIT:%' GROUP BY 1, 2"""
    )
    sums = {(row.unit, row.account): row.amount for row in found}
    lots = await world.rows(
        """SELECT unit, sum(remaining - held)::bigint AS available, sum(held)::bigint AS held,
                  sum(redeemed)::bigint AS redeemed, sum(expired)::bigint AS expired
           FROM lot GROUP BY 1"""
    )
    for row in lots:
        assert 0 == sums.get((row.unit, "transferred"), 0) + sums.get((row.unit, "received"), 0)
        assert row.available == sums.get((row.unit, "available"), 0)
        assert row.held == sums.get((row.unit, "held"), 0)
        assert row.expired == sums.get((row.unit, "expired"), 0)
    assert [] == await world.findings()


@pytest.mark.parametrize("seed", seeds(3))
async def test_no_unit_is_lost_doubled_or_stuck(world: World, seed: int) -> None:
    """Rewards, claims, answers, corrections, ends and mergers as they like."""
    await offered(world, claw_back=ClawBack.DEBT if seed % 2 else ClawBack.WRITE_OFF)
    members = await world.members(4)
    life = Life(world, members, seed)
    steps = [life.reward] * 8 + [life.claim] * 9 + [life.answer] * 9 + [life.merge] * 5
    steps += [life.sweep] * 4 + [life.send] * 2 + [life.correct] * 3
    life.chance.shuffle(steps)
    for step in steps:
        await step()
        world.clock.forward(seconds=1)
    await conserved(world)
    assert 0 < life.merged
    await sweep(world)
    stuck = await world.rows(
        """SELECT m.member_id FROM member AS m JOIN wallet AS w USING (bucket, member_id)
           WHERE m.merged_into IS NOT NULL AND (w.available > 0 OR w.owed > 0)"""
    )
    assert [] == stuck
    await conserved(world)
