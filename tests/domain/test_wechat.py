"""A provider at WeChat Pay: what its entry and its benefits must hold, by path."""

import pytest

from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.wechat import CodeMode
from tests.tidy.sources import ROOT

PROVIDER = """
[[provider]]
code = "wx"
name = { zh = "微信支付", en = "WeChat Pay" }
dialect = "wechat_busifavor"
url = "https://api.mch.weixin.qq.com"
wechat = { mchid = "1900000001", appid = "wx233544546545989", stocks = { 7 = "WECHATPAY_MODE" } }

[[benefit]]
code = "COFFEE"
name = { zh = "咖啡券", en = "Coffee voucher" }
kind = "WALLET_COUPON"
provider = "wx"
sku = "98065001"
cost = "20.00"
consumed = "ISSUE"
budget = "lounge"
recipient = ["openid"]
"""
PRODUCTS = (
    PROVIDER.replace("wechat_busifavor", "wechat_product_coupon")
    .replace('"98065001"', '"1000000013/1000000013001"')
    .replace("stocks =", 'brand_id = "120344", stocks =')
    .replace("\n[[benefit]]", "capabilities.two_phase = true\n\n[[benefit]]")
)
TEXT = (ROOT / "tests" / "programme.toml").read_text(encoding="utf-8")
MERCHANT = PROVIDER.splitlines()[6]


def test_a_stock_says_where_its_codes_come_from() -> None:
    """We make them, but for the stocks that are named."""
    wechat = read(TEXT + PROVIDER).providers["wx"].wechat
    assert wechat is not None
    assert CodeMode.MERCHANT_API is wechat.code_mode
    assert (True, False) == (wechat.makes_codes("98065001"), wechat.makes_codes("7"))
    product = read(TEXT + PRODUCTS).providers["wx"]
    assert product.wechat is not None
    assert (True, False) == tuple(map(product.wechat.makes_codes, ("13/98", "13/7")))
    assert (False, True) == (product.sends_again("13/98", ""), product.sends_again("13/7", ""))
    assert (True, False) == (
        product.wants_payment,
        read(TEXT + PROVIDER).providers["wx"].wants_payment,
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (MERCHANT, "", "provider[1].wechat: the dialect wechat_busifavor needs mchid"),
        ("wechat_busifavor", "open", "provider[1].wechat: stands with the dialect"),
        ("1900000001", "mch", "$.provider[1].wechat.mchid"),
        ("mchid =", 'brand_id = "7", mchid =', "wechat.brand_id: stands with product"),
        ("wx233544546545989", "a/b", "$.provider[1].wechat.appid"),
        ('7 = "W', '"7/" = "W', "$.provider[1].wechat.stocks"),
        ("WECHATPAY_MODE", "OURS", "$.provider[1].wechat.stocks"),
        ("mchid =", "mch_id =", "$.provider[1].wechat"),
        (MERCHANT, f"{MERCHANT}\ncapabilities.two_phase = true", "capabilities.two_phase: "),
        (MERCHANT, f'{MERCHANT}\ncapabilities.query = "NONE"', "capabilities.query: leave it"),
        (MERCHANT, f"{MERCHANT}\ncapabilities.lane = false", "capabilities.lane: sends to"),
        ('"openid"', '"phone"', ".recipient: must hold 'openid'"),
        ("98065001", "98/1", ".sku: must be a stock's id"),
        ('"openid"]', '"openid"]\ncompanions = { GOLD = 1 }', ".companions: a coupon is for one"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(old: str, new: str, words: str) -> None:
    """Whoever writes the programme is told before it is applied."""
    with pytest.raises(ProgrammeInvalid) as refused:
        read(TEXT + PROVIDER.replace(old, new))
    assert words in refused.value.detail


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("two_phase = true", "lane = true", "capabilities.two_phase: must be true"),
        ('brand_id = "120344", ', "", "wechat.brand_id: product coupons are of a brand"),
        ('"120344"', '"a/b"', "$.provider[1].wechat.brand_id"),
        ("13/1", "13-1", ".sku: must be a product coupon's id, a slash, and"),
        ('"openid"', '"phone"', ".recipient: must hold 'openid'"),
    ],
)
def test_product_coupons_want_more(old: str, new: str, words: str) -> None:
    """A brand, two phases, and a product beside the stock."""
    with pytest.raises(ProgrammeInvalid) as refused:
        read(TEXT + PRODUCTS.replace(old, new))
    assert words in refused.value.detail
