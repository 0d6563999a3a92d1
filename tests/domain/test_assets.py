"""Asset lines: a good line is read exactly, a bad one says which field is wrong."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain.assets import (
    OPTIONAL,
    REQUIRED,
    AssetLine,
    FileUnreadable,
    LineInvalid,
    check_header,
    read_date,
    read_line,
    sift,
)
from tests.builders import reference_programme

PROGRAMME = reference_programme()
ROW = {
    "customer": "C0001",
    "as_of": "2025-06-30",
    "asset_class": "DEPOSIT",
    "currency": "CNY",
    "balance": "1234.56",
}


def refusal(**changes: str) -> str:
    """Return why a line with changes is refused."""
    with pytest.raises(LineInvalid) as refused:
        read_line({**ROW, **changes}, PROGRAMME)
    return refused.value.detail


def test_a_line_of_the_required_columns_is_read() -> None:
    """Balance in minor units, everything else as given, optional columns empty."""
    line = AssetLine("C0001", date(2025, 6, 30), "DEPOSIT", "CNY", 123456)
    assert line == read_line(ROW, PROGRAMME)


def test_a_line_of_all_columns_is_read() -> None:
    """Account, source and revision belong to the grain of a balance (A-1)."""
    row = {**ROW, "customer": " C0001 ", "account": "A1", "source": "core", "revision": "3"}
    line = AssetLine("C0001", date(2025, 6, 30), "DEPOSIT", "CNY", 123456, "A1", "core", 3)
    assert line == read_line(row, PROGRAMME)


@given(st.integers(-(10**15), 10**15))
def test_every_balance_in_range_is_exact(minor: int) -> None:
    """A balance of minor units, negative ones too, comes back as itself (A-8, C-1)."""
    row = {**ROW, "balance": str(Decimal(minor).scaleb(-2))}
    assert minor == read_line(row, PROGRAMME).balance_minor


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        ("customer", "  ", "customer: must have 1 to 64 characters"),
        ("customer", "C" * 65, "customer: must have 1 to 64 characters"),
        ("as_of", "30/06/2025", "as_of: '30/06/2025' is not a date like 2025-06-30"),
        ("as_of", "2025-06-31", "as_of: '2025-06-31' is not a date like 2025-06-30"),
        ("as_of", "1969-12-31", "as_of: 1969-12-31 lies too far back"),
        (
            "as_of",
            "9999-12-31",
            "as_of: 9999-12-31 does not lie between 1900-01-01 and 2999-12-31",
        ),
        ("currency", "USD", "currency: 'USD' is not the programme's CNY"),
        (
            "asset_class",
            "DEPOSITS",
            "asset_class: 'DEPOSITS' is not known; did you mean 'DEPOSIT'?",
        ),
        ("balance", "", "balance: '' is not a decimal number"),
        ("balance", "1,000.00", "balance: '1,000.00' is not a decimal number"),
        ("balance", "NaN", "balance: 'NaN' is not a decimal number"),
        ("balance", "Infinity", "balance: 'Infinity' is not a decimal number"),
        ("balance", "0.001", "balance: 0.001 has more than 2 decimals"),
        ("balance", "10000000000000.01", "balance: 10000000000000.01 is out of range"),
        ("balance", "1e9999999", "balance: '1e9999999' is not a decimal number"),
        ("account", "A" * 65, "account: must have at most 64 characters"),
        ("source", "S" * 65, "source: must have at most 64 characters"),
        ("revision", "-1", "revision: '-1' is not a whole number of at least 0"),
        ("revision", "1.5", "revision: '1.5' is not a whole number of at least 0"),
        ("revision", "9" * 11, f"revision: '{'9' * 11}' is not a whole number of at least 0"),
    ],
)
def test_a_bad_field_is_named_with_its_value(field: str, value: str, detail: str) -> None:
    """The refusal says which field is wrong and why."""
    assert detail == refusal(**{field: value})


def test_a_source_that_sends_feeds_sends_no_plain_lines() -> None:
    """Its balances would count twice."""
    programme = replace(PROGRAMME, feeds=("core",))
    with pytest.raises(LineInvalid, match="source: 'core' comes as sealed feeds"):
        read_line({**ROW, "source": "core"}, programme)
    assert "other" == read_line({**ROW, "source": "other"}, programme).source


@given(st.text(max_size=30))
def test_no_text_breaks_the_reading_of_a_balance(text: str) -> None:
    """Whatever stands where a balance should be, the line is read or refused."""
    try:
        line = read_line({**ROW, "balance": text}, PROGRAMME)
    except LineInvalid:
        assert refusal(balance=text).startswith("balance: ")
    else:
        assert Decimal(line.balance_minor).scaleb(-2) == Decimal(text)


@given(st.dates(date(1900, 1, 1), date(2999, 12, 31)))
def test_a_date_reads_back_as_written(day: date) -> None:
    """Every day's ISO text is that day."""
    assert day == read_date(day.isoformat(), "as_of")


@pytest.mark.parametrize("text", ["2025-W01-1", "20250630", "2025-6-30", "2025-06-30T00:00", ""])
def test_other_notations_of_a_date_are_refused(text: str) -> None:
    """Only year, month and day with dashes are a date."""
    with pytest.raises(LineInvalid, match="as_of"):
        read_date(text, "as_of")


@pytest.mark.parametrize("more", [(), OPTIONAL, ("revision",)])
def test_a_header_may_leave_out_what_is_optional(more: tuple[str, ...]) -> None:
    """Required columns in any order with any of the optional ones are a header."""
    check_header([*more, *reversed(REQUIRED)], REQUIRED, OPTIONAL)


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (["customer", "as_of"], "The header lacks: asset_class, currency, balance."),
        ([*REQUIRED, "acount"], "The header has an unknown column 'acount'; did you mean "),
        ([*REQUIRED, "balance"], "The header names a column twice."),
    ],
)
def test_a_wrong_header_is_refused_with_the_reason(header: list[str], detail: str) -> None:
    """Missing, unknown and repeated columns are told before any line is read."""
    with pytest.raises(FileUnreadable) as refused:
        check_header(header, REQUIRED, OPTIONAL)
    assert refused.value.detail.startswith(detail)


_LINES = st.lists(
    st.builds(
        AssetLine,
        customer=st.sampled_from("ab"),
        as_of=st.sampled_from([date(2025, 5, 1), date(2025, 5, 2)]),
        asset_class=st.just("DEPOSIT"),
        currency=st.just("CNY"),
        balance_minor=st.integers(0, 3),
        account=st.sampled_from(["", "x"]),
        revision=st.integers(0, 3),
    ),
    max_size=12,
)


@given(_LINES)
def test_lines_are_sifted_by_grain_and_revision(lines: list[AssetLine]) -> None:
    """The first line of a revision wins, and above it counts only the highest one (A-1)."""

    def grain(line: AssetLine) -> tuple[str, date, str]:
        return line.customer, line.as_of, line.account

    def first(nth: int) -> int:
        same = [grain(one) == grain(lines[nth]) for one in lines]
        revisions = [one.revision == lines[nth].revision for one in lines]
        return [a and b for a, b in zip(same, revisions, strict=True)].index(True)

    told = sift(lines)
    places = range(len(lines))
    assert [(nth, first(nth)) for nth in places if first(nth) != nth] == told.twice
    lower = {
        nth
        for nth in places
        if first(nth) == nth
        and any(grain(o) == grain(lines[nth]) and o.revision > lines[nth].revision for o in lines)
    }
    assert lower == told.lower
