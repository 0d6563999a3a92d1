"""A provider whose codes lie in stock: what its entry, its benefits and its files must hold."""

from datetime import date

import pytest

from benefits.domain.assets import LineInvalid
from benefits.domain.code_lines import Piece, hash_of, pieces, read_line, together
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from tests.tidy.sources import ROOT

TODAY = date(2025, 7, 2)
PROVIDER = """
[[provider]]
code = "coffee"
name = { zh = "咖啡", en = "Coffee" }
dialect = "code_pool"
code_pool = { low_stock = 100, skus = { CAKE = 20 } }

[[benefit]]
code = "COFFEE"
name = { zh = "咖啡券", en = "Coffee voucher" }
kind = "CODE_STOCK"
provider = "coffee"
sku = "LATTE"
cost = "20.00"
consumed = "ISSUE"
budget = "lounge"
"""
TEXT = (ROOT / "tests" / "programme.toml").read_text(encoding="utf-8")
POOL = PROVIDER.splitlines()[5]


def test_an_sku_may_be_low_at_a_number_of_its_own() -> None:
    """Else at the provider's; codes lie in stock whether it is named or not."""
    pool = read(TEXT + PROVIDER).providers["coffee"].code_pool
    assert pool is not None
    assert [100, 20] == [pool.threshold("LATTE"), pool.threshold("CAKE")]
    assert read(TEXT + PROVIDER.replace(POOL, "")).providers["coffee"].is_stock


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (POOL, f'{POOL}\nurl = "https://x"', "provider[1].url: leave it out"),
        ('"code_pool"', '"open"', "provider[1].code_pool: stands with the dialect"),
        ('"code_pool"', '"open"', "provider[1].url: must begin with https://"),
        ("low_stock = 100", "low_stock = -1", "$.provider[1].code_pool.low_stock"),
        (POOL, f"{POOL}\ncapabilities.two_phase = true", "capabilities.two_phase: "),
        (POOL, f'{POOL}\ncapabilities.redeem_by = "US"', "capabilities.redeem_by: nobody"),
        ("CODE_STOCK", "BOOKING", ".kind: must be CODE_STOCK"),
        ('provider = "coffee"', 'provider = "sandbox"', ".kind: CODE_STOCK is of providers"),
        ('"ISSUE"', '"USE"', ".consumed: must be ISSUE"),
        ('"ISSUE"', '"ISSUE"\nrecipient = ["phone"]', ".recipient: leave it out"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(old: str, new: str, words: str) -> None:
    """Whoever writes the programme is told before it is applied."""
    with pytest.raises(ProgrammeInvalid) as refused:
        read(TEXT + PROVIDER.replace(old, new))
    assert words in refused.value.detail


def test_a_line_has_its_own_end_or_the_files() -> None:
    """Codes of a claim are shown one by one, with their PINs."""
    row = {"code": " A1 ", "pin": "77", "expires_on": "2025-12-31"}
    own, other = read_line(row, TODAY, None), read_line({"code": "A2"}, TODAY, TODAY)
    assert [date(2025, 12, 31), TODAY] == [own.expires_on, other.expires_on]
    shown = pieces(together([own.text, other.text]))
    assert [Piece("A1", "77"), Piece("A2")] == shown
    assert hash_of("p", "A1", b"k") == hash_of("p", own.text, b"k") != hash_of("q", "A1", b"k")


@pytest.mark.parametrize(
    "row",
    [
        {"code": " "},
        {"code": "PLANTED" * 40},
        {"code": "PLANTED\tX"},
        {"code": "A", "pin": "PLANTED\nX"},
        {"code": "A", "pin": "PLANTED" * 40},
        {"code": "A", "expires_on": "PLANTED"},
        {"code": "PLANTED", "expires_on": "2025-07-01"},
    ],
)
def test_what_is_wrong_with_a_line_shows_nothing_of_it(row: dict[str, str]) -> None:
    """A code can stand in any column."""
    with pytest.raises(LineInvalid) as refused:
        read_line(row, TODAY, None)
    assert "PLANTED" not in refused.value.detail
