"""Other currencies: every line counts as the rate of its day makes it, exactly (A-4)."""

import contextlib
import random
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec
import pytest

from benefits.domain.feeds import FeedKey
from benefits.domain.metrics import MonthSum
from benefits.domain.values import Month
from benefits.store import summary
from benefits.worker import Worker
from tests.actions.exchanging import (
    DIGITS,
    all_used,
    balances,
    converting,
    cut_after,
    rates,
    send,
)
from tests.actions.feeding import EARLY
from tests.actions.test_feeds import _cut_after, _CutError, known, shown
from tests.builders import World
from tests.lives import seeds

JUNE = Month(2025, 6)
DAY = date(2025, 6, 3)


@pytest.mark.parametrize(
    ("currency", "balance", "rate", "per", "expected"),
    [
        pytest.param("USD", "12345.67", "7.1234", 1, 87_943_15, id="G-FX-1"),
        pytest.param("JPY", "1500000", "4.8125", 100, 72_187_50, id="G-FX-2"),
        pytest.param("KWD", "1.001", "23.455", 1, 23_48, id="three decimals"),
        pytest.param("JPY", "1", "4.5", 1000, 0, id="less than half a unit"),
        pytest.param("JPY", "1", "5", 1000, 1, id="half a unit"),
        pytest.param("USD", "-10.00", "7.1234", 1, 0, id="an overdraft"),
    ],
)
async def test_a_line_is_converted_half_up(
    world: World, currency: str, balance: str, rate: str, per: int, expected: int
) -> None:
    """A-4: each line to the minor unit of the programme's currency, by the rate of its own day."""
    await world.apply(converting(), tiers_from=EARLY)
    member = await world.member()
    await rates(world, f"{currency},{DAY},{rate},{per},0")
    done = await balances(world, f"T000001,{DAY},DEPOSIT,{currency},{balance},,0")
    assert (1, 0) == (done.kept, done.refused)
    (june,) = await known(world, member)
    assert (expected, 1) == (june.sum_minor, june.known_days)
    assert (expected, 1) == await shown(world, member)
    async with world.database.transaction() as conn:
        basket = (await world.parts.catalogue.current(conn)).programmes["wealth"].basket
        assert expected == await summary.balance(conn, member, day=DAY, basket=basket)
    assert [] == await world.findings()


async def test_a_line_without_a_rate_makes_its_day_unknown(world: World) -> None:
    """A-4, A-6: a rate eleven days old is none; a known line of the same day does not help."""
    await world.apply(converting(), tiers_from=EARLY)
    member = await world.member()
    await rates(world, "USD,2025-06-01,7,1,0")
    lines = [f"T000001,2025-06-{day:02d},DEPOSIT,USD,1.00,,0" for day in (1, 11, 12)]
    await balances(world, *lines, "T000001,2025-06-12,DEPOSIT,CNY,5.00,,0")
    assert [MonthSum(JUNE, 14_00 + 5_00, 2)] == await known(world, member)
    assert (19_00, 2) == await shown(world, member)
    assert [] == await world.findings()
    await rates(world, "USD,2025-06-12,8,1,0")
    assert [MonthSum(JUNE, 14_00 + 8_00 + 5_00, 3)] == await known(world, member)
    assert (27_00, 3) == await shown(world, member)
    assert [] == await world.findings()


async def test_a_day_without_a_rate_costs_nobody_a_tier(world: World) -> None:
    """A-6: what is not known is no miss; with the rate the month is decided."""
    await world.apply(converting(), tiers_from=EARLY)
    member = await world.member()
    await world.month(world.name(1), "2025-05", 600_000_00)
    await rates(world, *(f"USD,2025-06-{day:02d},7,1,0" for day in range(1, 20)))
    lines = [f"T000001,2025-06-{day:02d},DEPOSIT,USD,70000.00,,0" for day in range(1, 31)]
    await balances(world, *lines)
    await world.evaluate("2025-05", member)
    await world.evaluate("2025-06", member)
    assert [] == await decided(world)
    await rates(world, "USD,2025-06-30,7,1,0")
    await world.evaluate("2025-06", member)
    assert [("WATCHED", 30)] == await decided(world)
    ((grounds,),) = await world.rows(
        "SELECT grounds FROM tier_decision WHERE month = '2025-06-01' AND cause = 'WATCHED'"
    )
    assert ["USD"] == msgspec.json.decode(grounds)["converted"]
    assert [] == await world.findings()


async def decided(world: World) -> list[tuple[str, int]]:
    """Return what June was decided to last, and on how many known days."""
    return await world.rows(
        "SELECT cause, known_days FROM tier_decision WHERE month = '2025-06-01' "
        "ORDER BY decided_at DESC, decision_id DESC LIMIT 1"
    )


Key = tuple[str, date, str, str, str]


class Model:
    """What was said, and what it comes to in fractions, whatever came first."""

    def __init__(self, weights: dict[str, Fraction]) -> None:
        """Know nothing yet."""
        self.weights = weights
        self.rates = dict[tuple[str, date], tuple[int, Fraction]]()
        self.lines = dict[Key, tuple[int, Fraction]]()
        self.fed = dict[date, tuple[int, list[tuple[str, str, str, Fraction]]]]()

    def rate(self, currency: str, day: date) -> Fraction | None:
        """Return the rate of a day, or the latest one of ten days before."""
        for back in range(11):
            if found := self.rates.get((currency, day - timedelta(days=back))):
                return found[1]
        return None

    def counted(self, customer: str) -> Iterable[tuple[date, str, str, Fraction]]:
        """Yield a customer's lines that count."""
        for (name, day, kind, currency, _), (_, balance) in self.lines.items():
            if name == customer:
                yield day, kind, currency, balance
        for day, (_, lines) in self.fed.items():
            for name, kind, currency, balance in lines:
                if name == customer:
                    yield day, kind, currency, balance

    def month(self, customer: str, month: Month) -> tuple[Fraction, set[date], set[date]]:
        """Return the weighted sum in fen, the days with plain lines, those without a rate."""
        total, unrated = Fraction(0), set[date]()
        for day, kind, currency, balance in self.counted(customer):
            if Month.of(day) != month or balance <= 0:
                continue
            rate = Fraction(1) if currency == "CNY" else self.rate(currency, day)
            if rate is None:
                unrated.add(day)
            else:
                fen = balance * rate * 100
                total += (fen + Fraction(1, 2)).__floor__() * self.weights[kind]
        plain = {key[1] for key in self.lines if key[0] == customer}
        return total, {day for day in plain if Month.of(day) == month}, unrated


Rates = tuple[Literal["rates"], list[tuple[str, date, str, int, int]]]
Lines = tuple[Literal["lines"], list[tuple[Key, str, int]]]
Fed = tuple[Literal["feed"], tuple[FeedKey, list[str]]]
Step = Rates | Lines | Fed


class Life:
    """Lines, feeds, rates and corrections of all of them, in a random order."""

    def __init__(self, seed: int) -> None:
        """Think of it all."""
        self.dice = random.Random(seed)
        self.days = [date(2025, 5, 26) + timedelta(days=n) for n in range(18)]
        self.names = [f"T{n:06d}" for n in range(1, 7)]
        self.steps: list[Step] = [self._rates() for _ in range(10)]
        self.steps += [self._lines() for _ in range(8)]
        self.steps += self._feeds()
        self.dice.shuffle(self.steps)

    def _balance(self, currency: str) -> str:
        digits = DIGITS[currency]
        return f"{Decimal(self.dice.randrange(-20_000, 10**7)).scaleb(-digits):f}"

    def _rates(self) -> Rates:
        dice, found = self.dice, dict[tuple[str, date, int], tuple[str, int]]()
        for _ in range(dice.randrange(1, 5)):
            currency = dice.choice(["USD", "JPY", "KWD"])
            day = dice.choice([self.days[0] - timedelta(days=11), *self.days])
            per = dice.choice([1, 10, 100])
            rate = Decimal(dice.randrange(1, 10**6)).scaleb(-dice.randrange(4, 9))
            revision = dice.randrange(10**6)
            found[currency, day, revision] = (f"{rate:f}", per)
        return "rates", [(c, d, rate, per, n) for (c, d, n), (rate, per) in found.items()]

    def _lines(self) -> Lines:
        dice, found = self.dice, list[tuple[Key, str, int]]()
        for _ in range(dice.randrange(1, 25)):
            currency = dice.choice(list(DIGITS))
            key = (
                dice.choice(self.names),
                dice.choice(self.days),
                dice.choice(["DEPOSIT", "WEALTH", "FUND"]),
                currency,
                dice.choice(["", "1"]),
            )
            found.append((key, self._balance(currency), dice.randrange(10**6)))
        return "lines", found

    def _feeds(self) -> list[Fed]:
        dice, found = self.dice, list[Fed]()
        for day in self.days[4:12]:
            for revision in range(dice.randrange(3)):
                lines = [
                    f"{name},{kind},{currency},{self._balance(currency)},{account}"
                    for name in self.names
                    for kind, currency, account in dice.sample(
                        [(k, c, a) for k in ("DEPOSIT", "FUND") for c in DIGITS for a in "12"],
                        dice.randrange(4),
                    )
                ]
                found.append(("feed", (FeedKey("core", day, revision), lines)))
        return found


async def take_step(world: World, model: Model, step: Step, cut: int | None) -> None:
    """Do a step, whole or cut somewhere, and tell the model."""
    match step:
        case ("rates", said):
            lines = [f"{c},{day},{rate},{per},{n}" for c, day, rate, per, n in said]
            await all_used(world)
            with cut_after(cut):
                await rates(world, *lines)
            for currency, day, rate, per, revision in said:
                if model.rates.get((currency, day), (-1,))[0] < revision:
                    model.rates[currency, day] = (revision, Fraction(rate) / per)
        case ("lines", said):
            lines = [f"{k[0]},{k[1]},{k[2]},{k[3]},{b},{k[4]},{n}" for k, b, n in said]
            assert 0 == (await balances(world, *lines)).refused
            for key, balance, revision in said:
                if model.lines.get(key, (-1,))[0] < revision:
                    model.lines[key] = (revision, Fraction(balance))
        case ("feed", (feed, lines)):
            with cut_feed(cut):
                await send(world, feed, lines)
            if model.fed.get(feed.as_of, (-1,))[0] < feed.revision:
                split = [line.split(",") for line in lines]
                told = [(name, kind, c, Fraction(b)) for name, kind, c, b, _ in split]
                model.fed[feed.as_of] = (feed.revision, told)


@contextlib.contextmanager
def cut_feed(steps: int | None) -> Iterator[None]:
    """Let a feed be applied a few buckets at a time, and end after some."""
    if steps is None:
        yield
        return
    with contextlib.suppress(_CutError), _cut_after(steps):
        yield


@pytest.mark.parametrize("seed", seeds(2))
async def test_any_order_of_lines_feeds_rates_and_corrections_ends_alike(
    world: World, seed: int
) -> None:
    """A-4, A-7: cut anywhere, the sums are what fractions of the counting lines and rates give."""
    weights = {"WEALTH": Decimal("0.8"), "FUND": Decimal("0.25")}
    await world.apply(converting(weights=weights), tiers_from=EARLY)
    await world.apply(converting("core", weights=weights), tiers_from=JUNE)
    members = await world.members(6)
    life = Life(seed)
    model = Model({"DEPOSIT": Fraction(1), "WEALTH": Fraction(4, 5), "FUND": Fraction(1, 4)})
    for step in life.steps:
        await take_step(world, model, step, life.dice.choice([None, 0, 1, 4]))
        if life.dice.random() < 0.2:
            assert [] == await world.findings()
    await all_used(world)
    while await Worker(world.database, world.parts, {}).apply_feeds():
        pass
    assert [] == await world.findings()
    for name, member in zip(life.names, members, strict=True):
        found = {one.month: one for one in await known(world, member, JUNE)}
        for month in (JUNE.plus(-1), JUNE):
            total, plain, unrated = model.month(name, month)
            fed = {day for day in model.fed if Month.of(day) == month}
            days = (plain if month < JUNE else fed) - unrated
            got = found.get(month, MonthSum(month, 0, 0))
            assert (total * 100, len(days)) == (Fraction(got.sum_minor), got.known_days)
