"""Classes that count by one day of the month: kept sums, from the lines to the decision (A-3)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from uuid import UUID

import msgspec
import pytest

from benefits.actions.look_ahead import look_ahead
from benefits.domain.explanation import explain
from benefits.domain.policy import Joint, PointInTime, UpgradeTiming
from benefits.domain.progress import Outlook, expecting, foretell
from benefits.domain.values import Month
from benefits.store import stretch_sums, summary
from tests.actions.exchanging import balances, converting, rates
from tests.actions.feeding import EARLY
from tests.actions.test_holders import hold
from tests.actions.test_wide_windows import holidays, shown
from tests.actions.test_windows import decided, fill, fill_a_little, reading, standing
from tests.builders import World
from tests.lives import seeds

JUNE = Month(2025, 6)
DAYS = [JUNE.start + timedelta(days=n) for n in range(30)]
TWO = ("DEPOSIT", "INSURANCE")
THIRD_LAST = PointInTime(classes=("INSURANCE",), business_day=3)


async def judged_by(world: World, **policy: object) -> None:
    """Put a programme into force that values insurance on the third-last business day."""
    programme = converting(calendar="china", point_in_time=THIRD_LAST, **policy)
    classes = ("DEPOSIT", "INSURANCE", "LOAN") if "liabilities" in policy else TWO
    await world.apply(msgspec.structs.replace(programme, asset_classes=classes), tiers_from=EARLY)


async def days(world: World, level: str, *, until: int = 30, insurance: str = "") -> None:
    """Bring deposits of the first days of June, and insurance of the 26th."""
    lines = [f"T000001,{day},DEPOSIT,CNY,{level},,0" for day in DAYS[:until]]
    lines += [f"T000001,2025-06-26,INSURANCE,CNY,{insurance},,0"] if insurance else []
    assert 0 == (await balances(world, *lines)).refused


async def test_insurance_counts_as_of_its_day_for_the_whole_month(world: World) -> None:
    """A-3, X-6: 300,000 each day and 200,000 on 26 June; insurance of other days is nothing."""
    member = await world.member()
    await holidays(world, date(2025, 6, 2))
    await judged_by(world)
    await balances(world, "T000001,2025-06-25,INSURANCE,CNY,9000000.00,,0")
    await days(world, "300000.00", insurance="200000.00")
    await world.evaluate("2025-06", member)
    assert [(JUNE, "UPGRADED", 1)] == await decided(world)  # the day's sum is not kept yet
    await fill(world)
    assert (30 * 500_000_00, 30, 30) == await reading(world, member, JUNE)
    assert (30 * 500_000_00, 30) == await shown(world, member)
    await world.evaluate("2025-06", member)
    assert 2 == (await decided(world))[-1][2]
    one = await standing(world, member)
    assert one.decided is not None
    assert date(2025, 6, 26) == one.decided.grounds.valued_on
    assert "INSURANCE as of 26 June 2025" in explain(one.judge, one.decided)["en"]
    assert [] == await world.findings()


async def test_another_calendar_values_another_day(world: World) -> None:
    """A-7: with 27 June a holiday the third-last business day is the 25th."""
    member = await world.member()
    await holidays(world, date(2025, 6, 2))
    await judged_by(world)
    await days(world, "1.00", insurance="2.00")
    await fill(world)
    assert (30 * 3_00, 30, 30) == await reading(world, member, JUNE)
    await holidays(world, date(2025, 6, 27))
    assert (30 * 1_00, 29, 30) == await reading(world, member, JUNE)
    await fill(world)
    assert (30 * 1_00, 30, 30) == await reading(world, member, JUNE)


async def test_what_runs_expects_insurance_as_it_is(world: World) -> None:
    """M-11: on the 20th deposits of 300,000 and insurance of 200,000 are on track."""
    member = await world.member()
    await holidays(world, date(2025, 6, 2))
    await judged_by(world, upgrade=UpgradeTiming.INSTANT)
    await world.month("T000001", "2025-05", 1)
    await fill(world)
    await world.evaluate("2025-05", member)
    world.clock.now = datetime(2025, 6, 20, 16, tzinfo=UTC)
    await fill(world)
    await days(world, "300000.00", until=20)
    insurance = "T000001,2025-06-20,INSURANCE,CNY"
    await balances(world, f"{insurance},200000.00,,0")
    assert Outlook.ON_TRACK is await outlook(world, member)
    ahead = await look_ahead(world.database, world.parts, "wealth")
    assert (0, 1) == (ahead.near, ahead.risen)  # Gold, by deposits alone
    await balances(world, f"{insurance},199999.99,,1")
    assert Outlook.AT_RISK is await outlook(world, member)
    ahead = await look_ahead(world.database, world.parts, "wealth")
    assert (1, 1) == (ahead.near, ahead.told)
    world.clock.now = datetime(2025, 6, 26, 16, tzinfo=UTC)
    await balances(world, "T000001,2025-06-26,INSURANCE,CNY,500000.00,,0")
    assert 1 == (await look_ahead(world.database, world.parts, "wealth")).risen
    assert [(JUNE, "UPGRADED", 1), (JUNE, "UPGRADED", 2)] == await decided(world)


async def outlook(world: World, member: UUID) -> Outlook:
    """Return where Platinum goes, as the summary tells it."""
    one = await standing(world, member)
    basket = one.judge.basket
    day = one.month.start + timedelta(days=one.day - 1)
    async with world.database.transaction() as conn:
        last = await summary.balance(conn, member, day=day, basket=basket)
        whole = await summary.balance(conn, member, day=day, basket=basket.whole)
    expected = expecting(one.running, [whole - last])
    return foretell(one.judge, 2, expected, last_minor=[last])[1].outlook


async def test_insurance_counts_less_what_is_owed_on_each_day(world: World) -> None:
    """A-8: 300 and 200 less 400 are 100 on ten days, and 500 on the others; no day is below 0."""
    member = await world.member()
    await holidays(world, date(2025, 6, 2))
    await judged_by(world, liabilities={"LOAN": Decimal(1)})
    await days(world, "300.00", insurance="200.00")
    assert (
        0
        == (
            await balances(world, *(f"T000001,{day},LOAN,CNY,400.00,,0" for day in DAYS[:10]))
        ).refused
    )
    await fill(world)
    assert (10 * 100_00 + 20 * 500_00, 30, 30) == await reading(world, member, JUNE)
    assert (10 * 100_00 + 20 * 500_00, 30) == await shown(world, member)
    await balances(world, f"T000001,{DAYS[0]},LOAN,CNY,501.00,,1")
    assert (9 * 100_00 + 20 * 500_00, 30, 30) == await reading(world, member, JUNE)
    assert [] == await world.findings()


async def test_what_runs_expects_insurance_less_what_is_owed(world: World) -> None:
    """M-11: 300,000 and insurance of 300,000 less a loan of 100,000 are on track, not a fen less.

    So it is once the insurance is valued: it counts on the days to come as well.
    """
    member = await world.member()
    await holidays(world, date(2025, 6, 2))
    await judged_by(world, liabilities={"LOAN": Decimal(1)})
    world.clock.now = datetime(2025, 6, 20, 16, tzinfo=UTC)
    await days(world, "300000.00", until=20)
    await balances(world, *(f"T000001,{day},LOAN,CNY,100000.00,,0" for day in DAYS[:20]))
    await fill(world)
    insurance = "T000001,2025-06-20,INSURANCE,CNY"
    await balances(world, f"{insurance},300000.00,,0")
    assert Outlook.ON_TRACK is await outlook(world, member)
    await balances(world, f"{insurance},299999.99,,1")
    assert Outlook.AT_RISK is await outlook(world, member)
    world.clock.now = datetime(2025, 6, 26, 16, tzinfo=UTC)
    for day in DAYS[20:26]:
        await balances(
            world,
            f"T000001,{day},DEPOSIT,CNY,300000.00,,0",
            f"T000001,{day},LOAN,CNY,100000.00,,0",
        )
    for value, revision, expected in (
        ("300000.00", 0, Outlook.ON_TRACK),
        ("299999.99", 1, Outlook.AT_RISK),
    ):
        await balances(world, f"T000001,2025-06-26,INSURANCE,CNY,{value},,{revision}")
        assert expected is await outlook(world, member)


@pytest.mark.parametrize("seed", seeds(2))
async def test_any_days_are_valued_and_netted_exactly(world: World, seed: int) -> None:
    """A-3, A-6, A-8: deposits and insurance less loans, known days alone, in any order."""
    chance = Random(seed)
    member = await world.member()
    await holidays(world, date(2025, 6, 2))
    await judged_by(world, liabilities={"LOAN": Decimal(1)})
    said = dict[tuple[date, str], int]()
    there = chance.sample(DAYS, chance.randrange(20, 31))
    for day in there:
        for kind in ("DEPOSIT", "LOAN", "INSURANCE"):
            if kind == "DEPOSIT" or chance.random() < 0.6:
                said[day, kind] = minor = chance.randrange(1000)
                amount = f"{Decimal(minor).scaleb(-2):f}"
                await balances(world, f"T000001,{day},{kind},CNY,{amount},,0")
        await fill_a_little(world, chance)
    await fill(world)
    valued = date(2025, 6, 26)
    value = said.get((valued, "INSURANCE"), 0)
    nets = [said[day, "DEPOSIT"] - said.get((day, "LOAN"), 0) + value for day in there]
    total, known = sum(max(0, net) for net in nets), len(there)
    known = known if valued in there else min(known, 29)
    assert (total, known, 30) == await reading(world, member, JUNE)
    assert (total, known) == await shown(world, member)


@pytest.mark.parametrize("joint", [None, Joint.SPLIT_EQUAL])
@pytest.mark.parametrize("seed", seeds(1))
async def test_any_order_of_lines_rates_and_filling_ends_alike(
    world: World, seed: int, joint: Joint | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A-3, A-4, A-5, I2: deposits by the day, insurance by its day, weighed, in fractions."""
    monkeypatch.setattr(stretch_sums, "AT_ONCE", 20)
    chance = Random(seed)
    a, b = await world.members(2)
    weights = {"INSURANCE": Decimal("0.75"), "DEPOSIT": Decimal("0.5")}
    await holidays(world, date(2025, 6, 2))
    await judged_by(world, weights=weights, joint=joint)
    await hold(world, "J,T000001,PRIMARY,2020-01-01,", "J,T000002,JOINT,2020-01-01,")
    revisions = list(range(60))
    chance.shuffle(revisions)
    said = dict[tuple[date, str, str, str], tuple[int, int]]()
    rate = dict[date, tuple[int, Fraction]]()
    for revision in revisions:
        day = chance.choice([date(2025, 6, 26), *DAYS[:3]])
        minor, account = chance.randrange(10**6), chance.choice(["", "J"])
        if chance.random() < 0.2:
            value = Decimal(chance.randrange(1, 10**5)).scaleb(-4)
            await rates(world, f"USD,{day},{value:f},1,{revision}")
            if revision >= rate.get(day, (-1,))[0]:
                rate[day] = (revision, Fraction(value))
        else:
            kind, currency = chance.choice(["DEPOSIT", "INSURANCE"]), chance.choice(["CNY", "USD"])
            amount = f"{Decimal(minor).scaleb(-2):f}"
            await balances(world, f"T000001,{day},{kind},{currency},{amount},{account},{revision}")
            key = (day, kind, currency, account)
            if revision >= said.get(key, (-1,))[0]:
                said[key] = (revision, minor)
        await fill_a_little(world, chance)
    for day in (DAYS[0], date(2025, 6, 26)):
        await rates(world, f"USD,{day},7.1,1,100")
        rate[day] = (100, Fraction("7.1"))
    await fill(world)
    assert [] == await world.findings()
    own = other = Fraction(0)
    for (day, kind, currency, account), (_, minor) in said.items():
        fen = minor if currency == "CNY" else _half_up(minor * _rate_of(rate, day))
        times = Fraction(1, 2) if kind == "DEPOSIT" else Fraction(3, 4) * 30 * (day.day == 26)
        split = fen // 2 if joint and account else 0
        own, other = own + (fen - split) * times, other + split * times
    assert [own.__floor__(), other.__floor__()] == [
        (await reading(world, one, JUNE))[0] for one in (a, b)
    ]
    assert own.__floor__() == (await shown(world, a))[0]


def _rate_of(rate: dict[date, tuple[int, Fraction]], day: date) -> Fraction:
    return next(
        rate[day - timedelta(days=n)][1] for n in range(11) if day - timedelta(days=n) in rate
    )


def _half_up(amount: Fraction) -> int:
    return (amount + Fraction(1, 2)).__floor__()
