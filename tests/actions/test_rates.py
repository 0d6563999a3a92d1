"""Files of exchange rates: each once, sealed, and put to use whatever happens (A-4)."""

import asyncio
from datetime import date
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.exchange import FACTOR_MAX, PER, Converted, read_line
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.worker import Worker
from tests.actions.exchanging import DIGITS, balances, converting, cut_after, rates
from tests.actions.feeding import EARLY
from tests.actions.life import change
from tests.actions.test_feeds import known
from tests.builders import PROGRAMME, World, reference_programme
from tests.rows import everything

DAY = date(2025, 6, 3)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("EUR,2025-06-03,7,1,", "currency: no programme converts 'EUR'"),
        ("USDD,2025-06-03,7,1,", "did you mean 'USD'?"),
        ("USD,2025-06-31,7,1,", "date: '2025-06-31' is not a date"),
        ("USD,2025-07-31,7,1,", "is not a day between 1970 and today"),
        ("USD,2025-06-03,7,3,", "per: '3' is not one of 1, 10, 100, 1000, 10000"),
        ("USD,2025-06-03,0.00,1,", "rate: '0.00' is not a decimal number above 0"),
        ("USD,2025-06-03,-7,1,", "rate: '-7' is not a decimal number above 0"),
        ("JPY,2025-06-03,100000.00,1,", "rate: 100000.00 is out of range"),
        ("USD,2025-06-03,7,1,x", "revision: 'x' is not a whole number"),
    ],
)
async def test_a_bad_rate_does_not_stop_the_rest(world: World, line: str, reason: str) -> None:
    """The line is told with its number and why; the others are kept."""
    await world.apply(converting())
    done = await rates(world, "USD,2025-06-02,7,1,", line, "JPY,2025-06-02,5,100,")
    assert (3, 2, 1) == (done.lines, done.kept, done.refused)
    ((number, said),) = done.shown
    assert (3, True) == (number, reason in said)


async def test_a_file_of_rates_again_changes_nothing(world: World) -> None:
    """Idempotent; one revision says one thing, and the highest counts whatever comes first."""
    await world.apply(converting(), tiers_from=EARLY)
    member = await world.member()
    await balances(world, f"T000001,{DAY},DEPOSIT,USD,1.00,,0")
    for revision, rate, expected in ((3, "7.30", 730), (1, "7.10", 730), (4, "7.4", 740)):
        done = await rates(world, f"USD,{DAY},{rate},1,{revision}")
        assert (1, 0, 0) == (done.kept, done.unchanged, done.refused)
        assert expected == (await known(world, member))[0].sum_minor
    before = await everything(world.database)
    done = await rates(world, f"USD,{DAY},7.4000,1,4", f"USD,{DAY},7.41,1,4")
    assert (0, 1, [(3, "revision: this revision is known with another rate")]) == (
        done.kept,
        done.unchanged,
        done.shown,
    )
    assert before == await everything(world.database)
    assert [] == await world.findings()


async def test_what_a_line_was_converted_with_stays_known(world: World) -> None:
    """A-4: rate and rate date of each day's lines are kept, and those that came before."""
    await world.apply(converting())
    await rates(world, "USD,2025-06-01,7.1,1,0")
    await rates(world, "USD,2025-06-03,7.3,1,0", "USD,2025-06-01,7.2,1,1")
    found = await world.rows(
        "SELECT as_of::text, generation, rate::text, rate_date::text FROM rate_used "
        "WHERE as_of BETWEEN '2025-06-02' AND '2025-06-03' ORDER BY as_of, generation"
    )
    assert [
        ("2025-06-02", 1, "7.1", "2025-06-01"),
        ("2025-06-02", 2, "7.2", "2025-06-01"),
        ("2025-06-03", 1, "7.1", "2025-06-01"),
        ("2025-06-03", 2, "7.3", "2025-06-03"),
    ] == found
    assert [] == await world.findings()


async def test_rates_are_sealed(world: World) -> None:
    """A rate that somebody changed, added or took away is found by the digest of its file."""
    await world.apply(converting())
    await rates(world, "USD,2025-06-02,7.1000,1,0", "JPY,2025-06-02,5,100,0")
    assert [] == await world.findings()
    for tampering in (
        "UPDATE rate SET rate = 7.2, factor = 7.2 WHERE currency = 'USD'",
        "INSERT INTO rate VALUES ('USD', '2025-06-03', 0, 7, 1, 7, 1)",
        "DELETE FROM rate WHERE currency = 'JPY'",
    ):
        await change(world, "SET LOCAL session_replication_role = replica", tampering)
        assert "rate_differs" in {finding.kind for finding in await world.findings()}


async def test_a_dry_run_of_rates_keeps_nothing(world: World) -> None:
    """What would be refused is said; a line meets what an earlier one of its file says."""
    await world.apply(converting())
    before = await everything(world.database)
    done = await rates(world, "USD,2025-06-02,7,1,0", "USD,2025-06-02,8,1,0", dry_run=True)
    assert (1, 1) == (done.kept, done.refused)
    assert before == await everything(world.database)


async def test_rates_before_their_lines_touch_no_month(world: World) -> None:
    """Where no line waits for a rate there is nothing to fold anew."""
    await world.apply(converting(), tiers_from=EARLY)
    member = await world.member()
    with cut_after(0):
        await rates(world, f"USD,{DAY},7,1,0")
    await balances(world, f"T000001,{DAY},DEPOSIT,USD,1.00,,0")
    assert 7_00 == (await known(world, member))[0].sum_minor
    assert not await Worker(world.database, world.parts, {}).use_rates()


async def test_two_may_import_rates_at_once(world: World) -> None:
    """One goes after the other, and each is put to use once."""
    await world.apply(converting(), tiers_from=EARLY)
    member = await world.member()
    await balances(world, *(f"T000001,{DAY},{k},USD,1.00,,0" for k in ("DEPOSIT", "FUND")))
    done = await asyncio.gather(*(rates(world, f"USD,{DAY},{n},1,{n}") for n in (3, 9, 5)))
    assert [1, 1, 1] == [one.kept for one in done]
    assert 18_00 == (await known(world, member))[0].sum_minor
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"code": "other", "currency": "USD", "currencies": ("EUR",)}, "USD is converted into"),
        ({"code": "other", "currency": "EUR", "currencies": ("HKD",)}, "is converted into CNY"),
    ],
)
async def test_all_is_converted_into_one_currency(
    world: World, change: dict[str, object], reason: str
) -> None:
    """A programme that would convert into another one, or own a converted one, is refused."""
    await world.apply(converting())
    other = msgspec.structs.replace(
        converting(), provider=(), budget=(), benefit=(), line=(), **change
    )
    with pytest.raises(ProgrammeInvalid) as caught:
        await world.apply(other)
    assert reason in caught.value.detail


async def test_another_programmes_own_currency_is_not_converted(world: World) -> None:
    """What is one programme's own currency is no other's to convert."""
    dollars = msgspec.structs.replace(
        reference_programme(),
        code="usd",
        currency="USD",
        provider=(),
        budget=(),
        benefit=(),
        line=(),
    )
    await world.apply(dollars)
    with pytest.raises(ProgrammeInvalid) as caught:
        await world.apply(converting())
    assert "USD is the currency of programme 'usd'" in caught.value.detail


@pytest.mark.parametrize(
    ("currencies", "reason"),
    [
        ('["USDD"]', "currencies[0]: 'USDD' is no currency of ISO 4217; did you mean 'USD'?"),
        ('["USD", "USD"]', "currencies[1]: 'USD' stands twice"),
        ('["CNY"]', "currencies[0]: CNY is the programme's own currency; name the others"),
    ],
)
def test_a_programme_names_currencies_that_are_there(currencies: str, reason: str) -> None:
    """A wrong one is told by its path, with what was perhaps meant."""
    text = PROGRAMME.replace('currency = "CNY"', f'currency = "CNY"\ncurrencies = {currencies}')
    with pytest.raises(ProgrammeInvalid) as caught:
        read(text)
    assert reason == caught.value.detail


@given(
    st.integers(1, 10**9),
    st.integers(0, 12),
    st.sampled_from(PER),
    st.sampled_from(["USD", "JPY"]),
)
def test_a_factor_is_the_exact_quotient(units: int, decimals: int, per: int, code: str) -> None:
    """A-4: what a minor unit is worth in minor units is a decimal, nothing is rounded before."""
    currency = Converted(code, DIGITS[code], "CNY", 2)
    rate = f"{Decimal(units).scaleb(-decimals):f}"
    exact = Fraction(units, 10**decimals) / per * 100 / 10**currency.digits
    row = {"currency": code, "date": str(DAY), "rate": rate, "per": str(per)}
    if exact <= FACTOR_MAX and len(rate.partition(".")[0]) <= 9:
        assert exact == Fraction(read_line(row, {code: currency}, DAY).factor)


async def test_a_line_in_a_currency_that_is_not_taken_is_refused(world: World) -> None:
    """The words name those that are."""
    await world.apply(converting())
    await world.member()
    done = await balances(world, f"T000001,{DAY},DEPOSIT,USDD,1.00,,0")
    assert [
        (2, "currency: 'USDD' is not one of CNY, USD, JPY, KWD; did you mean 'USD'?")
    ] == done.shown


async def test_a_balance_has_the_decimals_of_its_currency(world: World) -> None:
    """C-1: no fen of a yen, but a thousandth of a dinar."""
    await world.apply(converting())
    await world.member()
    done = await balances(
        world,
        f"T000001,{DAY},DEPOSIT,JPY,1.5,,0",
        f"T000001,{DAY},DEPOSIT,KWD,1.505,,0",
        f"T000001,{DAY},DEPOSIT,USD,1.505,,0",
    )
    assert (1, [2, 4]) == (done.kept, [number for number, _ in done.shown])
