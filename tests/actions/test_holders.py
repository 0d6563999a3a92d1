"""Joint accounts: a balance counts for its holders as the programme says, and once (A-5)."""

import itertools
import random
from collections.abc import Container, Iterable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import msgspec
import pytest

from benefits.actions.import_files import KINDS, Imported, import_file
from benefits.domain.assets import LineInvalid
from benefits.domain.feeds import FeedKey
from benefits.domain.holders import read_line
from benefits.domain.metrics import MonthSum
from benefits.domain.policy import Joint
from benefits.domain.values import Month, member_id
from benefits.store import summary
from benefits.worker import Worker
from tests.actions.exchanging import all_used, balances, converting, cut_after, rates, send
from tests.actions.feeding import EARLY
from tests.actions.test_currencies import cut_feed
from tests.actions.test_feeds import known, shown
from tests.builders import MEMBER_KEY, World
from tests.lives import seeds
from tests.rows import everything

JUNE = Month(2025, 6)
DAYS = {JUNE.start + timedelta(days=n) for n in range(30)}
DAY = date(2025, 6, 3)
EACH, FIRST, SPLIT = Joint.FULL_TO_EACH, Joint.PRIMARY_ONLY, Joint.SPLIT_EQUAL


async def hold(world: World, *lines: str, dry_run: bool = False) -> Imported:
    """Import holders as the command does."""
    return await import_file(
        world.database,
        world.parts,
        KINDS["holders"],
        ["account,customer,role,valid_from,valid_to\n", *(f"{line}\n" for line in lines)],
        progress=lambda _: None,
        dry_run=dry_run,
    )


async def apply(world: World, joint: Joint | None, *feeds: str, **policy: object) -> None:
    """Put a programme with a policy for joint accounts into force."""
    programme = converting(*feeds, joint=joint, **policy)
    classes = ("DEPOSIT", "WEALTH", "FUND", "LOAN")
    programme = msgspec.structs.replace(programme, asset_classes=classes)
    await world.apply(programme, tiers_from=EARLY)


async def june(world: World, *members: UUID) -> list[tuple[int, int]]:
    """Return each member's sum and known days, as evaluated and as shown alike."""
    found = list[tuple[int, int]]()
    for member in members:
        kept = [one for one in await known(world, member) if one.month == JUNE]
        month = kept[0] if kept else MonthSum(JUNE, 0, 0)
        assert (month.sum_minor, month.known_days) == await shown(world, member)
        found.append((month.sum_minor, month.known_days))
    return found


@pytest.mark.parametrize(
    ("joint", "a", "b"),
    [
        pytest.param(EACH, 400_000_00, 250_000_00, id="G-JNT-1"),
        pytest.param(FIRST, 400_000_00, 150_000_00, id="the primary holder alone"),
        pytest.param(SPLIT, 350_000_00, 200_000_00, id="split"),
        pytest.param(None, 300_000_00, 250_000_00, id="for whom it was brought"),
    ],
)
async def test_a_joint_account_counts_as_the_policy_says(
    world: World, joint: Joint | None, a: int, b: int
) -> None:
    """A has 300,000 and B 150,000 alone, both 100,000 together, all month."""
    await apply(world, joint)
    members = await world.members(2)
    days = [JUNE.start + timedelta(days=n) for n in range(30)]
    alone = [
        f"T00000{n},{day},DEPOSIT,CNY,{m}0000.00,own,0"
        for n, m in ((1, 30), (2, 15))
        for day in days
    ]
    together = [f"T000002,{day},DEPOSIT,CNY,100000.00,AB,0" for day in days]
    await balances(world, *alone, *together[:15])
    done = await hold(world, "AB,T000001,PRIMARY,2020-01-01,", "AB,T000002,JOINT,2020-01-01,")
    assert (2, 0) == (done.kept, done.refused)
    await balances(world, *together[15:])
    assert [(a * 30, 30), (b * 30, 30)] == await june(world, *members)
    async with world.database.transaction() as conn:
        basket = (await world.parts.catalogue.current(conn)).programmes["wealth"].basket
        for member, balance in zip(members, (a, b), strict=True):
            assert balance == await summary.balance(conn, member, day=DAY, basket=basket)
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("joint", "expected"), [(EACH, [1000] * 3), (FIRST, [1000, 0, 0]), (SPLIT, [334, 333, 333])]
)
async def test_what_does_not_divide_goes_to_the_primary_holder(
    world: World, joint: Joint, expected: list[int]
) -> None:
    """10.00 among three, whoever of them it is brought for."""
    await apply(world, joint)
    members = await world.members(3)
    await hold(
        world,
        *(f"J,T00000{n},{'PRIMARY' if n == 1 else 'JOINT'},2020-01-01," for n in (3, 2, 1)),
    )
    await balances(world, *(f"T00000{n},2025-06-0{n},FUND,CNY,10.00,J,0" for n in (1, 2, 3)))
    days = 0 if joint is FIRST else 3
    got = await june(world, *members)
    assert [3 * n for n in expected] == [total for total, _ in got]
    assert (3, max(days, 1)) == (got[0][1], got[1][1])
    assert [] == await world.findings()


async def test_a_balance_brought_for_several_holders_counts_once(world: World) -> None:
    """A file that has a line for each holder says the same balance twice."""
    await apply(world, SPLIT)
    a, b = await world.members(2)
    await hold(world, "J,T000001,PRIMARY,2020-01-01,", "J,T000002,JOINT,2020-01-01,")
    await balances(world, *(f"T00000{n},{DAY},FUND,CNY,9.01,J,0" for n in (1, 2)))
    assert [(451, 1), (450, 1)] == await june(world, a, b)
    assert [] == await world.findings()


async def test_holders_change_with_the_days(world: World) -> None:
    """Who holds an account on a day counts for it; a correction moves the months behind it."""
    await apply(world, EACH)
    a, b, c = await world.members(3)
    await hold(world, "J,T000001,PRIMARY,2020-01-01,", "J,T000002,JOINT,2020-01-01,2025-06-11")
    await balances(world, *(f"T000001,2025-06-{n},FUND,CNY,1.00,J,0" for n in (10, 11, 12)))
    assert [(300, 3), (100, 1), (0, 0)] == await june(world, a, b, c)
    assert 1 == (await hold(world, "J,T000003,JOINT,2025-06-12,")).kept
    assert [(300, 3), (100, 1), (100, 1)] == await june(world, a, b, c)
    world.clock.forward(seconds=1)
    assert 1 == (await hold(world, "J,T000002,JOINT,2020-01-01,2025-06-12")).kept
    assert [(300, 3), (200, 2), (100, 1)] == await june(world, a, b, c)
    world.clock.forward(seconds=1)
    assert 1 == (await hold(world, "J,T000002,JOINT,2020-01-01,2020-01-01")).kept
    assert [(300, 3), (0, 0), (100, 1)] == await june(world, a, b, c)
    before = await everything(world.database)
    assert (0, 1) == (
        (done := await hold(world, "J,T000003,JOINT,2025-06-12,")).kept,
        done.unchanged,
    )
    assert before == await everything(world.database)
    assert [] == await world.findings()


async def test_who_is_named_later_makes_earlier_lines_the_accounts(world: World) -> None:
    """What was brought for B in J counts for J's holders, once B is named at all."""
    await apply(world, EACH)
    a, b = await world.members(2)
    await hold(world, "J,T000001,PRIMARY,2020-01-01,")
    await balances(world, f"T000002,{DAY},FUND,CNY,1.00,J,0")
    assert [(0, 0), (100, 1)] == await june(world, a, b)
    world.clock.forward(seconds=1)
    await hold(world, "J,T000002,JOINT,2025-07-01,")
    assert [(100, 1), (0, 1)] == await june(world, a, b)
    assert [] == await world.findings()


async def test_a_line_of_a_stranger_counts_for_whom_it_was_brought(world: World) -> None:
    """Brought for nobody who was ever named as a holder, it is no joint account's."""
    await apply(world, EACH)
    a, b = await world.members(2)
    await hold(world, "J,T000001,PRIMARY,2020-01-01,")
    await balances(world, f"T000002,{DAY},FUND,CNY,1.00,J,0")
    assert [(0, 0), (100, 1)] == await june(world, a, b)
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("J,T000009,JOINT,2020-01-01,", "customer: not a member"),
        ("J,T000001,OWNER,2020-01-01,", "role: 'OWNER' is none of PRIMARY, JOINT"),
        ("J,T000001,JONT,2020-01-01,", "did you mean 'JOINT'?"),
        (",T000001,JOINT,2020-01-01,", "account: must have 1 to 64 characters"),
        ("J,T000001,JOINT,2020-02-30,", "valid_from: '2020-02-30' is not a date"),
        ("J,T000001,JOINT,2020-01-02,2020-01-01", "valid_to: lies before valid_from"),
    ],
)
async def test_a_bad_holder_does_not_stop_the_rest(world: World, line: str, reason: str) -> None:
    """The line is told with its number and why; the others are kept."""
    await world.member()
    done = await hold(world, "A,T000001,JOINT,2020-01-01,", line, "B,T000001,PRIMARY,2020-01-01,")
    assert (3, 2, 1) == (done.lines, done.kept, done.refused)
    ((number, said),) = done.shown
    assert (3, True) == (number, reason in said)


def test_an_account_without_an_end_is_held_on() -> None:
    """What banks' systems write for no end is none; other days far away are refused."""
    line = {"account": "A1", "customer": "C1", "role": "JOINT", "valid_from": "2024-01-01"}
    assert read_line(line) == read_line({**line, "valid_to": "9999-12-31"})
    for field, day in (("valid_from", "9999-12-31"), ("valid_to", "3000-01-01")):
        with pytest.raises(LineInvalid, match=f"{field}: {day} does not lie between"):
            read_line({**line, field: day})


async def test_a_dry_run_of_holders_keeps_nothing(world: World) -> None:
    """What would be refused is said, and nothing is written."""
    await world.member()
    before = await everything(world.database)
    done = await hold(world, "A,T000001,JOINT,2020-01-01,", "A,X,JOINT,2020-01-01,", dry_run=True)
    assert (1, 1) == (done.kept, done.refused)
    assert before == await everything(world.database)


class Model:
    """Lines, rates and holders as they were said last, and what they come to in fractions."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.rates = dict[date, tuple[int, Fraction]]()
        self.lines = dict[tuple[str, date, str, str], tuple[int, Fraction]]()
        self.fed = dict[date, tuple[int, dict[tuple[str, str, str], Fraction]]]()
        self.holders = dict[tuple[str, str, date], tuple[str, date | None]]()

    def fen(self, currency: str, day: date, balance: Fraction) -> int | None:
        """Return what a line comes to; None without a rate."""
        balance = max(balance, Fraction(0))
        if currency == "CNY":
            return int(balance * 100)
        for back in range(11):
            if found := self.rates.get(day - timedelta(days=back)):
                return (balance * 100 * found[1] + Fraction(1, 2)).__floor__()
        return None if balance else 0

    def held(self, account: str, day: date) -> list[str]:
        """Return who holds an account on a day, the primary holder first."""
        valid = dict[str, str]()
        for (which, name, first), (role, end) in sorted(self.holders.items()):
            if which == account and first <= day and (end is None or day < end):
                valid[name] = role
        return sorted(valid, key=lambda name: (valid[name] != "PRIMARY", ids(name)))

    def counted(self) -> Iterable[tuple[str, date, str, str, bool, Fraction]]:
        """Yield the lines that count: whose, day, currency, account, whether plain, balance."""
        for (name, day, currency, account), (_, balance) in self.lines.items():
            yield name, day, currency, account, True, balance
        for day, (_, lines) in self.fed.items():
            for (name, currency, account), balance in lines.items():
                yield name, day, currency, account, False, balance

    def brought(
        self, days: Container[date]
    ) -> dict[tuple[date, str, str, bool], dict[str, Fraction]]:
        """Return the balances of days by day, currency, account and kind, and whose each is."""
        found = dict[tuple[date, str, str, bool], dict[str, Fraction]]()
        for name, day, currency, account, plain, balance in self.counted():
            if day in days:
                found.setdefault((day, currency, account, plain), {})[name] = balance
        return found

    def sums(
        self, customer: str, joint: Joint | None, days: Container[date]
    ) -> tuple[int, set[date]]:
        """Return the sum of days in fen, and those of them without a rate."""
        each, unrated = self.days(customer, joint, days)
        return sum(fen for fen, _ in each.values()), unrated

    def nets(self, customer: str, joint: Joint | None, days: Iterable[date]) -> Fraction:
        """Return what is left of known days in fen, where half of what is owed is deducted."""
        each, unrated = self.days(customer, joint, {*days})
        left = (
            fen - owed - Fraction(owed, 2)
            for day, (fen, owed) in each.items()
            if day not in unrated
        )
        return sum((max(one, Fraction(0)) for one in left), Fraction(0))

    def days(
        self, customer: str, joint: Joint | None, days: Container[date]
    ) -> tuple[dict[date, tuple[int, int]], set[date]]:
        """Return what days come to in fen and what of it is owed, and those without a rate."""
        each, unrated = dict[date, tuple[int, int]](), set[date]()

        def add(day: date, account: str, fen: int) -> None:
            total, owed = each.get(day, (0, 0))
            is_owed = class_of(account) == "LOAN"
            each[day] = (total + fen, owed + fen * is_owed)

        for (day, currency, account, _), brought in self.brought(days).items():
            holders = self.held(account, day)
            ever = {name for which, name, _ in self.holders if which == account and holders}
            ever = ever if joint else set()
            if customer in brought:
                fen = self.fen(currency, day, brought[customer])
                unrated |= {day} if fen is None else set()
                add(day, account, (fen or 0) if customer not in ever else 0)
            of_account = sorted(set(brought) & ever, key=lambda n: (n != holders[0], ids(n)))
            counts = holders[:1] if joint is FIRST else holders
            if of_account and customer in counts:
                fen = self.fen(currency, day, brought[of_account[0]])
                unrated |= {day} if fen is None else set()
                add(day, account, _share(fen or 0, holders, customer, joint))
        return each, unrated


def class_of(account: str) -> str:
    """Return what an account holds: loans, one of them joint, or funds."""
    return "LOAN" if account in {"1", "K"} else "FUND"


def _share(fen: int, holders: list[str], customer: str, joint: Joint | None) -> int:
    if joint is not SPLIT:
        return fen
    return fen // len(holders) + (fen % len(holders) if customer == holders[0] else 0)


def ids(name: str) -> bytes:
    """Return what members are ordered by."""
    return member_id(name, MEMBER_KEY).bytes


class Life:
    """Rates, lines, feeds and holders, each step of its own making, some of them cut."""

    def __init__(self, world: World, seed: int) -> None:
        """Think of the order."""
        self.world, self.dice, self.model = world, random.Random(seed), Model()
        self.names = [world.name(n + 1) for n in range(5)]
        self.days = [date(2025, 5, 30) + timedelta(days=n) for n in range(8)]
        self.revisions = itertools.count()
        self.steps = [self.rate] * 4 + [self.lines] * 5 + [self.holder] * 6 + [self.feed] * 7
        self.dice.shuffle(self.steps)

    def _cut(self) -> int | None:
        return self.dice.choice([None, 0, 1, 3])

    def _balance(self) -> Decimal:
        return Decimal(self.dice.randrange(-500, 10**6)).scaleb(-2)

    async def rate(self) -> None:
        """Say a rate."""
        day = self.dice.choice([*self.days, date(2025, 5, 20)])
        rate, revision = Decimal(self.dice.randrange(1, 10**6)).scaleb(-5), next(self.revisions)
        await all_used(self.world)
        with cut_after(self._cut()):
            await rates(self.world, f"USD,{day},{rate:f},1,{revision}")
        self.model.rates[day] = (revision, Fraction(rate))

    async def holder(self) -> None:
        """Say who holds an account, for some days or for ever."""
        account, name = self.dice.choice("JKL"), self.dice.choice(self.names)
        first, role = self.dice.choice(self.days), self.dice.choice(["PRIMARY", "JOINT"])
        end = self.dice.choice([None, first + timedelta(days=self.dice.randrange(5))])
        self.world.clock.forward(seconds=1)
        await hold(self.world, f"{account},{name},{role},{first},{end or ''}")
        self.model.holders[account, name, first] = (role, end)

    async def lines(self) -> None:
        """Say some balances, each of any revision."""
        dice = self.dice
        for _ in range(dice.randrange(1, 12)):
            name, day = dice.choice(self.names), dice.choice(self.days)
            currency, account = dice.choice(["CNY", "USD"]), dice.choice(["", "J", "K", "L"])
            balance, revision = self._balance(), dice.randrange(10**6)
            line = f"{name},{day},{class_of(account)},{currency},{balance:f},{account},{revision}"
            await balances(self.world, line)
            key = (name, day, currency, account)
            if self.model.lines.get(key, (-1,))[0] < revision:
                self.model.lines[key] = (revision, Fraction(balance))

    async def feed(self) -> None:
        """Send a day again, or for the first time."""
        dice = self.dice
        fed = {
            (dice.choice(self.names), dice.choice(["CNY", "USD"]), dice.choice("1JKL")): (
                self._balance()
            )
            for _ in range(dice.randrange(8))
        }
        day, revision = dice.choice(self.days), next(self.revisions)
        text = [
            f"{name},{class_of(a)},{c},{balance:f},{a}" for (name, c, a), balance in fed.items()
        ]
        with cut_feed(self._cut()):
            await send(self.world, FeedKey("core", day, revision), text)
        self.model.fed[day] = (revision, {key: Fraction(b) for key, b in fed.items()})


@pytest.mark.parametrize("joint", list(Joint))
@pytest.mark.parametrize("seed", seeds(1))
async def test_any_order_of_lines_feeds_rates_and_holders_ends_alike(
    world: World, seed: int, joint: Joint
) -> None:
    """A-5: cut anywhere, the sums are what the lines, rates and holders that count give."""
    life = Life(world, seed)
    await apply(world, joint, "core")
    members = await world.members(5)
    for step in life.steps:
        await step()
        if life.dice.random() < 0.3:
            assert [] == await world.findings()
    await all_used(world)
    while await Worker(world.database, world.parts, {}).apply_feeds():
        pass
    assert [] == await world.findings()
    for name, member in zip(life.names, members, strict=True):
        total, unrated = life.model.sums(name, joint, DAYS)
        fed_days = {day for day in life.model.fed if Month.of(day) == JUNE}
        assert [(total, len(fed_days - unrated))] == await june(world, member)
    for policy in (joint, None):
        await apply(world, policy, "core", liabilities={"LOAN": Decimal("0.5")})
        await all_netted(life, dict(zip(life.names, members, strict=True)), policy)


async def all_netted(life: Life, members: dict[str, UUID], joint: Joint | None) -> None:
    """A-8: each known day is what is converted and shared, less half of what is owed."""
    days = {day for day in life.model.fed if Month.of(day) == JUNE}
    for name, member in members.items():
        _, unrated = life.model.days(name, joint, DAYS)
        left = life.model.nets(name, joint, days)
        kept = [one for one in await known(life.world, member) if one.month == JUNE]
        month = kept[0] if kept else MonthSum(JUNE, 0, 0)
        assert (int(10 * left), len(days - unrated)) == (month.sum_minor, month.known_days)
        assert (int(left), month.known_days) == await shown(life.world, member)
