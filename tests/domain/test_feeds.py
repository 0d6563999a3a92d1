"""Feeds: lines by columns are what lines one by one are, and a manifest is compared exactly."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.actions.fill_feed import Part, judge
from benefits.actions.import_files import read_rows
from benefits.domain import feed_lines
from benefits.domain.feeds import (
    FeedKey,
    Manifest,
    ManifestInvalid,
    Tally,
    differences,
    digest_of,
    missing_days,
    read_manifest,
    spans,
)
from tests.builders import MEMBER_KEY, reference_programme

PROGRAMME = reference_programme()
KEY = FeedKey("core", date(2025, 6, 30))
HEADER = ["customer", "asset_class", "currency", "balance", "account", "as_of"]
FIELD = st.sampled_from(
    ["C1", " C2", "DEPOSIT", "GOLD", "CNY", "1.00", "-2.05", "7", "", "2025-06-30"]
)
GOOD = st.tuples(
    st.sampled_from(["C1", "C2", "客户"]),
    st.just("DEPOSIT"),
    st.just("CNY"),
    st.integers(-(10**14), 10**14).map(lambda n: f"{Decimal(n).scaleb(-2):.2f}"),
    st.sampled_from(["", "A1", "a b", "\\."]),
    st.just("2025-06-30"),
)


@given(st.lists(GOOD, min_size=1, max_size=20))
def test_good_lines_are_read_by_columns_as_one_by_one(rows: list[tuple[str, ...]]) -> None:
    """Both ways give the same lines and the same tally."""
    lines = [",".join(row) for row in rows]
    quick = feed_lines.read_columns(lines, HEADER, KEY, PROGRAMME)
    each = _each(lines)
    assert quick is not None
    for name in ("customers", "classes", "currencies", "accounts", "balances"):
        assert list(getattr(quick.lines, name)) == list(getattr(each.lines, name)), name
    assert quick.tally == each.tally


@given(st.lists(st.lists(FIELD, min_size=5, max_size=7), min_size=1, max_size=6))
def test_what_is_read_by_columns_is_good_one_by_one(rows: list[list[str]]) -> None:
    """Whatever stands in a file: where one line is not good, the columns are not taken."""
    lines = [",".join(row) for row in rows]
    quick = feed_lines.read_columns(lines, HEADER, KEY, PROGRAMME)
    each = _each(lines)
    assert len(lines) == each.tally.rows
    if quick is not None:
        assert quick.tally == each.tally
        assert list(quick.lines.balances) == list(each.lines.balances)


def _each(lines: list[str]) -> feed_lines.Read:
    text = [",".join(HEADER), *lines]
    rows = read_rows(text, feed_lines.REQUIRED, feed_lines.OPTIONAL)
    return feed_lines.read_each(rows, KEY, PROGRAMME, name="line {}")


def test_a_chunk_is_written_as_copy_reads_it() -> None:
    """Backslashes and tabs of an account are escaped, lines stand in the order of their key."""
    body = b"customer,asset_class,currency,balance,account\nC1,DEPOSIT,CNY,1.00,a\\b\n"
    ready = judge(Part.of(1, body), KEY, PROGRAMME, MEMBER_KEY)
    fields = ready.text.decode().rstrip("\n").split("\t")
    assert ["2025-06-30", "core", "0"] == fields[1:4]
    assert ["DEPOSIT", "CNY", "a\\\\b", "100"] == fields[5:]


@given(st.integers(-(10**20), 10**20), st.integers(0, 10**9))
def test_a_manifest_that_says_what_came_is_met(minor: int, rows: int) -> None:
    """Totals are compared exactly, however they are written."""
    digest = digest_of([b"x"])
    received = Tally(rows, 0, {"CNY": minor})
    said = f"{Decimal(minor).scaleb(-2):f}"
    assert [] == differences(
        Manifest(rows=rows, totals={"CNY": said}, sha256=digest), received, digest, {"CNY": 2}
    )
    off = f"{Decimal(minor + 1).scaleb(-2):f}"
    (reason,) = differences(
        Manifest(rows=rows, totals={"CNY": off}, sha256=digest), received, digest, {"CNY": 2}
    )
    assert reason.startswith("total CNY: ")


@pytest.mark.parametrize("total", ["", "NaN", "1,000", "1e3"])
def test_a_total_that_is_no_number_is_not_read(total: str) -> None:
    """Nor one in another form than digits and a point."""
    said = {"source": "core", "date": "2025-06-30", "rows": 0, "sha256": "0" * 64}
    assert 0 == read_manifest(msgspec.json.encode(said | {"totals": {"CNY": "0"}})).rows
    with pytest.raises(ManifestInvalid):
        read_manifest(msgspec.json.encode(said | {"totals": {"CNY": total}}))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"\xff",
        b'{"source":"core","date":"2025-06-30","rows":-1,"totals":{},"sha256":"00"}',
        *(
            b'{"source":"core","date":"2025-06-%s,"rows":0,"totals":{},"sha256":"' % day
            + b"0" * 64
            + b'","kind":"%s"}' % kind
            for day, kind in (
                (b'30"', b"CHANGES"),
                (b'01"', b"DELTA"),
                (b'30","revision":-1', b"DELTA"),
            )
        ),
    ],
)
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    """Not JSON, something missing or out of range; changes alone where there is nothing before."""
    with pytest.raises(ManifestInvalid):
        read_manifest(text)


def test_days_that_are_missing_are_told_as_spans() -> None:
    """Per source, as days of the month."""
    sealed = {"core": (1 << 30) - 1 & ~0b10110}
    assert {"core": 0b10110, "wealth": (1 << 30) - 1} == missing_days(
        sealed, ["core", "wealth"], 30
    )
    assert ("2-3, 5", "1-30", "") == (spans(0b10110), spans((1 << 30) - 1), spans(0))
