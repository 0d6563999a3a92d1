"""Lives of members in which everything that decides a tier comes, is corrected, and decides."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from benefits.actions.keep_stretches import keep_stretches
from benefits.actions.look_ahead import look_ahead
from benefits.actions.record_members import record_members
from benefits.actions.replay import replay
from benefits.domain.feeds import FeedKey, FeedKind
from benefits.domain.members import MemberLine
from benefits.domain.policy import (
    Condition,
    Joint,
    Lock,
    Metric,
    PointInTime,
    UpgradeTiming,
    Way,
)
from benefits.domain.programme import Programme
from benefits.domain.proposals import FraudWanted
from benefits.domain.values import Month, bucket_of, member_id
from benefits.domain.welcome import Welcome
from benefits.store.db import Connection
from tests.actions.agreeing import answer as agree
from tests.actions.agreeing import ask as propose
from tests.actions.exchanging import all_used, balances, converting, rates, send
from tests.actions.merging import listed, sweep
from tests.actions.test_fills import answer, ask, wanted
from tests.actions.test_holders import hold
from tests.actions.test_ways import take
from tests.actions.test_windows import calendar
from tests.builders import MEMBER_KEY, World

MARCH, APRIL, MAY = Month(2025, 3), Month(2025, 4), Month(2025, 5)
BEGIN = datetime(2025, 5, 2, 4, 0, tzinfo=UTC)
MONTHS = (MARCH, APRIL)
DAYS = [MARCH.start + timedelta(days=n) for n in range(61)]
OPENED = (date(2020, 1, 1), date(2025, 3, 10), date(2025, 4, 20))
CLASSES = ("DEPOSIT", "FUND", "LOAN")
# What a day may hold: some of them carry a month by themselves.
LEVELS = (0, 1, 40_000, 60_000, 520_000, 1_700_000, 16_000_000)
NAME = {"zh": "代发", "en": "Salary"}
SALARY = Way(
    code="SALARY",
    name=NAME,
    all=(
        Condition(label="payroll"),
        Condition(metric=Metric.LAST_K_MONTHS, months=2, threshold=Decimal(30_000)),
    ),
)
FED = "core"
MISSING = {date(2025, 3, 8), date(2025, 3, 9), date(2025, 4, 20)}


def by_lines() -> Programme:
    """Return a programme that knows days by lines, and whose tiers may rise within a month."""
    return _programme(
        joint=Joint.SPLIT_EQUAL,
        weights={"FUND": Decimal("0.75")},
        upgrade=UpgradeTiming.INSTANT,
        welcome=Welcome(tier="GOLD", months=2),
    )


def by_feeds() -> Programme:
    """Return one that knows them by feeds, and deducts what is owed."""
    owed = {"LOAN": Decimal("0.5")}
    return _programme(FED, joint=Joint.FULL_TO_EACH, liabilities=owed)


def by_windows() -> Programme:
    """Return one of forty days up to a month's last, whose tiers are kept by a lock."""
    plain = _programme(joint=Joint.PRIMARY_ONLY, metric=Metric.ROLLING, days=40)
    lock = Lock(months=1, grace=1)
    tiers = (
        msgspec.structs.replace(one, misses=0, lock=lock if one.misses else None)
        for one in plain.tier
    )
    return msgspec.structs.replace(plain, tier=tuple(tiers))


def by_the_last_day() -> Programme:
    """Return one of the balance on the last business day, as the bank's calendar has it."""
    return _programme(metric=Metric.POINT_IN_TIME, calendar="china")


def by_points() -> Programme:
    """Return one that values funds on the last business day, and deducts what is owed."""
    funds = PointInTime(classes=("FUND",), business_day=1)
    owed = {"LOAN": Decimal("0.5")}
    plain = _programme(point_in_time=funds, liabilities=owed, calendar="china")
    tiers = (msgspec.structs.replace(one, any=()) for one in plain.tier)  # of whole months alone
    return msgspec.structs.replace(plain, tier=tuple(tiers))


def _programme(*feeds: str, **policy: object) -> Programme:
    """Return a programme in two currencies, with a way by a label, that brings nothing."""
    plain = converting(*feeds, **policy)
    base, gold, platinum, *others = (
        msgspec.structs.replace(one, misses=min(one.misses, most))
        for one, most in zip(plain.tier, (0, 1, 2, 2, 2), strict=True)
    )
    platinum = msgspec.structs.replace(platinum, any=(SALARY,))
    tiers = (base, gold, platinum, *others)
    return msgspec.structs.replace(plain, tier=tiers, asset_classes=CLASSES, line=())


Step = tuple[str, int]
DECIDING = {"evaluate", "look", "sweep", "fraud"}


async def prepared(world: World, programme: Programme) -> None:
    """Put a programme into force, with a calendar; seal days on which nobody has anything."""
    world.clock.now = BEGIN
    await world.apply(programme, tiers_from=MONTHS[0])
    await calendar(world, "2025-01-01,HOLIDAY")
    for day in DAYS if programme.feeds else ():
        if day not in MISSING:
            assert [] == await send(world, FeedKey(FED, day, 0), [])


class Life:
    """Three customers, and what the bank says of them, each step a minute after the last."""

    def __init__(self, world: World, programme: Programme, nth: int) -> None:
        """Begin with nothing known."""
        self.world, self.programme = world, programme
        self.names = [f"L{nth:04d}{n}" for n in "abc"]
        self.members = [member_id(name, MEMBER_KEY) for name in self.names]
        self.account = f"J{nth}"
        self.revisions = _REVISIONS

    @property
    def steps(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        """What may happen."""
        return {
            "lines": self.lines,
            "value": self.value,
            "month": self.month,
            "rate": self.rate,
            "holder": self.holder,
            "label": self.label,
            "relationship": self.relationship,
            "merger": self.merger,
            "feed": self.feed,
            "fill": self.fill,
            "version": self.version,
            "holiday": self.holiday,
            "evaluate": self.evaluate,
            "look": self.look,
            "sweep": self.sweep,
            "fraud": self.fraud,
        }

    async def begin(self, seed: int) -> None:
        """Enrol the customers, bring what makes months of them, and decide these."""
        self.dice = Random(seed)
        self.world.clock.forward(minutes=1)
        lines = [MemberLine(name, self.dice.choice(OPENED)) for name in self.names]
        await self._record(lines)
        for name in self.names:
            for month in MONTHS:
                await self._month(name, month)
        await self.evaluate()

    async def take(self, step: Step) -> None:
        """Let something happen, as a number says."""
        what, seed = step
        self.dice = Random(seed)
        self.world.clock.forward(minutes=1)
        await self.steps[what]()
        if what not in DECIDING and seed % 3:
            await self.evaluate()

    async def _record(self, lines: list[MemberLine]) -> None:
        async with self.world.database.transaction() as conn:
            numbered = list(enumerate(lines, 2))
            await record_members(conn, numbered, self.world.parts, member_key=MEMBER_KEY)

    def _line(self, name: str, day: date) -> str:
        dice = self.dice
        level, currency = dice.choice(LEVELS), dice.choice(["CNY", "CNY", "USD"])
        account = dice.choice(["", self.account])
        class_ = dice.choice(CLASSES)
        return f"{name},{day},{class_},{currency},{level}.00,{account},{next(self.revisions)}"

    async def lines(self) -> None:
        """Say some days anew."""
        days = self.dice.sample([*DAYS, MAY.start], 3)
        await balances(self.world, *(self._line(self.dice.choice(self.names), d) for d in days))

    async def value(self) -> None:
        """Say what somebody has in funds at the end of a month, and owes on a day of it."""
        name, month = self.dice.choice(self.names), self.dice.choice(MONTHS)
        said = [(day, "FUND") for day in DAYS if day in {*DAYS[28:31], *DAYS[-3:]}]
        said += [(month.start + timedelta(days=self.dice.randrange(20)), "LOAN")]
        revision = next(self.revisions)
        levels = ((*each, self.dice.choice(LEVELS[3:])) for each in said)
        lines = (f"{name},{day},{what},CNY,{level}.00,,{revision}" for day, what, level in levels)
        await balances(self.world, *lines)

    async def month(self) -> None:
        """Say all days of a month anew, the same of each."""
        await self._month(self.dice.choice(self.names), self.dice.choice(MONTHS))

    async def _month(self, name: str, month: Month, level: int | None = None) -> None:
        level = self.dice.choice(LEVELS[:-1]) if level is None else level
        revision = next(self.revisions)
        days = (month.start + timedelta(days=n) for n in range(month.days))
        said = (f"{name},{day},DEPOSIT,CNY,{level}.00,,{revision}" for day in days)
        await balances(self.world, *said)

    async def rate(self) -> None:
        """Say a rate, or another one."""
        day, rate = self.dice.choice(DAYS), self.dice.choice(["0.007", "7", "7.1234567"])
        await rates(self.world, f"USD,{day},{rate},1,{next(self.revisions)}")
        await all_used(self.world)

    async def holder(self) -> None:
        """Say who holds the account, for some days or for ever."""
        name, role = self.dice.choice(self.names), self.dice.choice(["PRIMARY", "JOINT"])
        first = self.dice.choice(DAYS[::7])
        end = self.dice.choice(["", first + timedelta(days=self.dice.randrange(20))])
        await hold(self.world, f"{self.account},{name},{role},{first},{end}")

    async def label(self) -> None:
        """Say that somebody has a salary, until a day or until further notice."""
        end = self.dice.choice(["", "2025-03-31", "2025-04-15"])
        name = self.dice.choice(self.names)
        await take(self.world, f"{name},payroll,FACT,2025-02-01,{end},{self.dice.random()}")

    async def relationship(self) -> None:
        """Say another opening of somebody, or that it ended."""
        closed_on = self.dice.choice([None, None, None, date(2025, 4, 25)])
        await self._record(
            [MemberLine(self.dice.choice(self.names), self.dice.choice(OPENED), closed_on)]
        )

    async def merger(self) -> None:
        """Say that two are one, if that can be."""
        await listed(self.world, tuple(self.dice.sample(self.names, 2)))  # type: ignore[arg-type]  # a pair

    async def feed(self) -> None:
        """Send a day, all of it or what changed."""
        day = self.dice.choice(DAYS)
        lines = {
            (name, class_, currency): f"{name},{class_},{currency},{level}.00,{account}"
            for name in self.names
            for class_ in self.dice.sample(CLASSES, self.dice.randrange(3))
            for currency, level, account in [
                (
                    self.dice.choice(["CNY", "USD"]),
                    self.dice.choice(LEVELS),
                    self.dice.choice(["", self.account]),
                )
            ]
        }
        is_first = day.day == 1 or not await self._is_sealed(day - timedelta(days=1))
        kind = FeedKind.FULL if is_first else self.dice.choice(list(FeedKind))
        key = FeedKey(FED, day, next(self.revisions))
        assert [] == await send(self.world, key, list(lines.values()), kind)

    async def _is_sealed(self, day: date) -> bool:
        found = await self.world.rows(
            "SELECT FROM feed WHERE as_of = $1 AND state = 'SEALED' AND revision >= 0", day
        )
        return bool(found)

    async def fill(self) -> None:
        """Let two people fill a day of March, if it is missing."""
        kind = self.dice.choice(["CARRY_FORWARD", "ZERO"])
        what = msgspec.structs.replace(wanted(1, kind), date=self.dice.choice(DAYS[:31]))
        asked = await ask(self.world, what)
        if isinstance(asked, UUID):
            assert "ok" == await answer(self.world, asked)

    async def version(self) -> None:
        """Put another version into force, from some month on."""
        least, month = self.dice.choice(["50000", "55000"]), self.dice.choice(MONTHS)
        base, gold, *others = self.programme.tier
        gold = msgspec.structs.replace(gold, threshold=Decimal(least))
        changed = msgspec.structs.replace(self.programme, tier=(base, gold, *others))
        await self.world.apply(changed, tiers_from=month)

    async def holiday(self) -> None:
        """Let the calendar say otherwise of a day."""
        day, kind = self.dice.choice(DAYS[-3:]), self.dice.choice(["HOLIDAY", "WORKDAY"])
        await calendar(self.world, f"{day},{kind}")

    async def evaluate(self) -> None:
        """Decide a month and those after it."""
        await keep_stretches(self.world.database, self.world.parts)
        for month in MONTHS[self.dice.randrange(len(MONTHS)) :]:
            for member in self.members:
                self.world.clock.forward(seconds=1)
                await self.world.evaluate(str(month), member)

    async def look(self) -> None:
        """Look ahead in May."""
        await keep_stretches(self.world.database, self.world.parts)
        for bucket in map(bucket_of, self.members):
            self.world.clock.forward(seconds=1)
            parts = self.world.parts
            await look_ahead(self.world.database, parts, "wealth", buckets=(bucket, bucket))

    async def sweep(self) -> None:
        """Carry out ends and welcomes."""
        await sweep(self.world)

    async def fraud(self) -> None:
        """Correct a month to nothing; two people say it was false of whom that lowers."""
        since = self.dice.choice(MONTHS)
        for name, member in zip(self.names, self.members, strict=True):
            self.world.clock.forward(seconds=1)  # of who is merged it counts for the one before
            await self._month(name, since, 0)
            said = FraudWanted(member_id=member, programme="wealth", since=str(since))
            asked = await propose(self.world, said)
            if isinstance(asked, UUID):
                assert "ok" == await agree(self.world, asked)

    async def told(self) -> list[tuple[Any, ...]]:
        """Return what was told of tiers that is told once of a month and a tier (T-12)."""
        found = await self.world.rows(
            "SELECT member_id, type, data ->> 'month' AS month, data ->> 'to' AS tier FROM outbox "
            "WHERE member_id = ANY($1) AND type = ANY($2)",
            self.members,
            [f"tier.{name}" for name in ("upgraded", "retained", "watched", "downgraded")],
        )
        return [tuple(row) for row in found]

    async def decided(self) -> list[tuple[UUID, UUID, str]]:
        """Return what was decided of the customers: whose, its id, the cause."""
        found = await self.world.rows(
            "SELECT member_id, decision_id, cause FROM tier_decision WHERE member_id = ANY($1)",
            self.members,
        )
        return [tuple(row) for row in found]

    async def check(self) -> list[str]:
        """Decide all of it again; return the causes."""
        causes = list[str]()
        for member, decision, cause in await self.decided():

            async def work(conn: Connection, of: tuple[UUID, UUID] = (member, decision)) -> Any:
                return await replay(conn, self.world.parts, *of)

            again = await self.world.database.transact(work)
            assert [] == again.differs, (cause, again.differs, again.decided)
            if all(day.is_known for day in again.days) and again.days:
                counted = sum(day.counted_minor for day in again.days)
                assert again.decided.decision.sum_minor == counted // 1
            causes.append(cause)
        return causes


_REVISIONS = count(1)
