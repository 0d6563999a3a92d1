"""Dated prices: which of them a piece has, and what may stand in a programme: P-1, V-7, U-2."""

import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from benefits.domain import terms
from benefits.domain.prices import Price, PricedAt, price_on, pricing_instant
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read, write
from benefits.domain.values import local_date
from tests.builders import PROGRAMME

SHANGHAI = ZoneInfo("Asia/Shanghai")
COST = 'cost = "38.00"'


def priced(*prices: str, at: str = "CLAIM") -> str:
    """Return the reference programme with prices of its lounge."""
    return PROGRAMME.replace(COST, f'{COST}\npriced_at = "{at}"\nprices = [{", ".join(prices)}]')


FIRST = '{ from = 2025-01-01, cost = "24.00", market_value = "30.00" }'
SECOND = '{ from = 2025-07-01, cost = "22.50", market_value = "30.00" }'


@pytest.mark.parametrize(("priced_at", "minor"), [(PricedAt.USE, 2250), (PricedAt.CLAIM, 2400)])
def test_g_set_1_a_piece_has_the_price_of_its_claim_or_of_its_use(
    priced_at: PricedAt, minor: int
) -> None:
    """G-SET-1: 24.00 to 30 June, 22.50 from 1 July; claimed on 29 June, used on 2 July (V-7)."""
    programme = read(priced(FIRST, SECOND, at=priced_at.value))
    claimed, used = (datetime(2025, *day, 4, tzinfo=UTC) for day in ((6, 29), (7, 2)))
    at = pricing_instant(programme.benefits["LOUNGE"].priced_at, claimed, used, used)
    day = local_date(at, SHANGHAI)
    assert minor == programme.piece_minor(programme.benefits["LOUNGE"], day)
    later = datetime(2025, 8, 2, tzinfo=UTC)  # no use is before its claim or still to come
    bounded = [pricing_instant(PricedAt.USE, claimed, at, used) for at in (later, claimed, used)]
    assert [used, claimed, used] == bounded


def test_a_price_holds_from_its_day_on() -> None:
    """Half-open like any span; before the first the worst cost is what a piece costs (P-1)."""
    programme = read(priced(FIRST, SECOND))
    lounge = programme.benefits["LOUNGE"]
    days = [date(2024, 12, 31), date(2025, 1, 1), date(2025, 6, 30), date(2025, 7, 1)]
    assert [3800, 2400, 2400, 2250] == [programme.piece_minor(lounge, day) for day in days]
    assert None is price_on(lounge.prices, days[0])
    assert programme == read(write(programme))
    (kept,) = [b for b in tomllib.loads(write(programme))["benefit"] if b["code"] == "LOUNGE"]
    assert ["24.00", "22.50"] == [one["cost"] for one in kept["prices"]]


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        ((SECOND, FIRST), r"prices\[1\].from: must be later"),
        ((FIRST, FIRST), r"prices\[1\].from: must be later"),
        (('{ from = 2025-01-01, cost = "38.01" }',), r"cost: must be at most .* 38.00"),
        (('{ from = 2025-01-01, cost = "-1" }',), r"prices\[0\].cost: must be an amount"),
        (('{ from = 2025-01-01, cost = "1.001" }',), r"prices\[0\].cost"),
        (('{ from = 2025-01-01, cost = "1", market_value = "NaN" }',), "market_value: must be"),
        (('{ from = 2025-01-01, cost = "NaN" }',), r"prices\[0\].cost: must be an amount"),
    ],
)
def test_prices_are_in_order_and_none_is_above_the_worst_cost(
    prices: tuple[str, ...], told: str
) -> None:
    """P-1: what a budget reserves bears every one of them (K-4)."""
    with pytest.raises(ProgrammeInvalid, match=told):
        read(priced(*prices))


@pytest.mark.parametrize(
    ("before", "after", "is_worse"),
    [
        ((), (FIRST,), False),
        ((FIRST,), (FIRST, SECOND), False),  # another cost is the bank's own affair
        ((FIRST,), (FIRST, SECOND.replace("30.00", "31.00")), False),
        ((FIRST,), (FIRST, SECOND.replace("30.00", "29.99")), True),
        ((FIRST,), (SECOND,), True),  # worth nothing that is told, from January to June
        ((FIRST,), (), True),
        ((FIRST.replace(', market_value = "30.00"', ""),), (), False),
    ],
)
def test_what_is_worth_less_is_worse(
    before: tuple[str, ...], after: tuple[str, ...], *, is_worse: bool
) -> None:
    """U-2: on no day a piece may be worth less than members were told."""
    (change,) = terms.changes(read(priced(*before)), read(priced(*after)))
    assert ("benefit.LOUNGE.prices", is_worse) == (change.path, change.is_worse)
    (other,) = terms.changes(read(priced(*before)), read(priced(*before, at="USE")))
    assert not other.is_worse


def test_a_price_is_a_value() -> None:
    """It is read by the name that stands in the file."""
    lounge = read(priced(SECOND)).benefits["LOUNGE"]
    expected = Price(from_=date(2025, 7, 1), cost=Decimal("22.50"), market_value=Decimal("30.00"))
    assert (expected,) == lounge.prices
