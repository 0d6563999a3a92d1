"""What finance is told is exact: revenue to date, vintages, amounts as text, CSV."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain import reports
from benefits.domain.catalogue import Catalogue
from benefits.domain.reports import By, Units
from benefits.domain.values import Month
from tests.builders import reference_programme

CATALOGUE = Catalogue(version=1, programmes={"wealth": reference_programme()})
JUNE = Month(2025, 6)


@pytest.mark.parametrize(
    ("redeemed", "expected", "before", "told"),
    [
        (4500, 9700, (0, 9700), 4175),
        (8500, 9900, (4500, 9700), 3552),
        (8500, 9200, (4500, 9700), 4140),
    ],
)
def test_g_ifrs_1_revenue_follows_redemptions_and_estimates(
    redeemed: int, expected: int, before: tuple[int, int], told: int
) -> None:
    """G-IFRS-1: 9,000 allocated; what a new estimate brings is the difference of two."""
    now = reports.revenue_to_date(9000, redeemed, Fraction(expected))
    assert told == now - reports.revenue_to_date(9000, before[0], Fraction(before[1]))


@given(
    allocated=st.integers(0, 10**15),
    redeemed=st.integers(0, 10**6),
    expected=st.fractions(0, 10**6),
)
def test_revenue_is_never_more_than_was_allocated(
    allocated: int, redeemed: int, expected: Fraction
) -> None:
    """Nor less than nothing; all of it once nothing more is expected."""
    earned = reports.revenue_to_date(allocated, redeemed, expected)
    assert 0 <= earned <= allocated
    if redeemed and expected <= redeemed:
        assert allocated == earned


@given(minor=st.integers(-(10**30), 10**30), digits=st.integers(0, 4))
def test_amounts_as_text_are_exact(minor: int, digits: int) -> None:
    """As many decimals as the currency has, and nothing is lost."""
    text = reports.major(minor, digits)
    assert minor == int(text.replace(".", ""))
    assert digits == len(text.partition(".")[2])


def test_a_vintage_tells_breakage_provision_and_revenue() -> None:
    """10 issued: 4 used, 1 ended unused, 5 left; of what ended before, 3 of 4 were used."""
    old = Units(issued=4, redeemed=3, expired=1, over_redeemed=3, over_expired=1)
    new = Units(issued=10, redeemed=4, expired=1, outstanding=5)
    units = {("BENEFIT:LOUNGE", JUNE): new, ("BENEFIT:LOUNGE", Month(2025, 5)): old}
    first, second = reports.vintage_lines(CATALOGUE, units)
    assert ("2025-05", "0.250000", "0.00", "152.00") == (
        first.month,
        first.breakage,
        first.provision,
        first.revenue_to_date,
    )
    # 5 × 0.75 × 38.00 = 142.50; 380.00 × 4 / 7.75 = 196.129…
    assert ("2025-06", "0.100000", "0.750000", "7.750000", "142.50", "196.13") == (
        second.month,
        second.breakage,
        second.expected_use,
        second.expected_redeemed,
        second.provision,
        second.revenue_to_date,
    )
    (_, given_) = reports.vintage_lines(CATALOGUE, units, Decimal("0.333333"))
    assert ("0.333333", "63.34") == (given_.expected_use, given_.provision)


def test_while_nothing_has_ended_all_units_are_expected_to_be_used() -> None:
    """Prudence: a provision covers what may come."""
    units = {("BENEFIT:VIDEO", JUNE): Units(issued=2, outstanding=2)}
    (line,) = reports.vintage_lines(CATALOGUE, units)
    assert ("1.000000", "30.00", "0.00") == (
        line.expected_use,
        line.provision,
        line.revenue_to_date,
    )


def test_a_cost_centre_is_the_budgets_code_unless_named() -> None:
    """Balances go where the budget of the benefit is charged."""
    lounge, video = reference_programme().budget
    named = msgspec.structs.replace(lounge, cost_centre="CC-42")
    programme = msgspec.structs.replace(reference_programme(), budget=(named, video))
    known = Catalogue(version=1, programmes={"wealth": programme})
    balances = [
        ("BENEFIT:LOUNGE", "", "available", 2),
        ("BENEFIT:LOUNGE", "", "issued", -2),
        ("BENEFIT:VIDEO", "", "available", 1),
        ("BENEFIT:VIDEO", "", "issued", -1),
        ("MONEY:CNY", "lounge", "budget.reserved", 3800),
        ("MONEY:CNY", "lounge", "budget.available", -3800),
        ("MONEY:CNY", "sandbox", "expense", 100),
        ("MONEY:CNY", "sandbox", "provider.payable", -100),
    ]
    keys = {
        by: sorted({line.key for line in reports.total_lines(known, by, balances)}) for by in By
    }
    assert {
        By.UNIT: ["BENEFIT:LOUNGE", "BENEFIT:VIDEO", "MONEY:CNY"],
        By.BENEFIT: ["", "LOUNGE", "VIDEO"],
        By.PROGRAMME: ["", "wealth"],
        By.PROVIDER: ["", "sandbox"],
        By.COST_CENTRE: ["", "CC-42", "video"],
    } == keys
    lines, sums = reports.liability_lines(known, By.COST_CENTRE, balances)
    assert [("CC-42", "76.00"), ("video", "15.00")] == [(s.key, s.liability) for s in sums]
    assert ["LOUNGE", "VIDEO"] == [line.benefit for line in lines]


def test_csv_has_a_header_and_the_same_columns_in_every_line() -> None:
    """Whoever reads it needs no other page; an empty report has its header."""
    line = reports.TotalLine("k", "MONEY:CNY", "expense", "1.00", "CNY")
    text = reports.csv_text(reports.TotalLine, [line], as_of="2025-06-30T16:00:00Z")
    assert [
        ["key", "unit", "account", "amount", "currency", "as_of"],
        ["k", "MONEY:CNY", "expense", "1.00", "CNY", "2025-06-30T16:00:00Z"],
    ] == list(csv.reader(io.StringIO(text)))
    assert "key,unit,account,amount,currency\r\n" == reports.csv_text(reports.TotalLine, [])


def test_csv_takes_no_line_before_its_chunk_is_wanted() -> None:
    """However many lines there are, at most a chunk of them is held."""
    taken = list[int]()

    def lines() -> Iterator[reports.TotalLine]:
        for nth in range(3 * reports.CHUNK_LINES - 1):
            taken.append(nth)
            yield reports.TotalLine("", "BENEFIT:VIDEO", "available", str(nth), "")

    chunks = reports.csv_chunks(reports.TotalLine, lines())
    found = [(chunk.count("\r\n"), len(taken)) for chunk in chunks]
    size = reports.CHUNK_LINES
    assert [(1, 0), (size, size), (size, 2 * size), (size - 1, 3 * size - 1)] == found
