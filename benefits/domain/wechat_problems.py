"""What a programme must hold for its providers at WeChat Pay."""

import re
from collections.abc import Iterator

from benefits.domain.benefit import Benefit
from benefits.domain.orders import QueryBy
from benefits.domain.programme import Dialect, Programme, Provider

OPENID = "openid"
_STOCK = re.compile(r"\A[0-9A-Za-z]{1,20}\Z")
_PRODUCT = re.compile(r"\A[0-9A-Za-z]{1,32}/[0-9A-Za-z]{1,32}\Z")
_SPEAK = frozenset({Dialect.WECHAT_BUSIFAVOR, Dialect.WECHAT_PRODUCT_COUPON})


def wechat_problems(programme: Programme) -> Iterator[str]:
    """Yield what is wrong with providers at WeChat Pay and their benefits, by path."""
    for index, provider in enumerate(programme.provider):
        yield from provider_problems(f"provider[{index}]", provider)
    merchants = {one.code: one for one in programme.provider if one.dialect in _SPEAK}
    for index, benefit in enumerate(programme.benefit):
        if benefit.provider in merchants:
            yield from _benefit(f"benefit[{index}]", benefit, merchants[benefit.provider])


def provider_problems(path: str, provider: Provider) -> Iterator[str]:
    """Yield what is wrong with a provider that speaks to WeChat Pay, or says that it does."""
    spoken = provider.dialect.value
    if provider.dialect not in _SPEAK:
        if provider.wechat is not None:
            both = " or ".join(sorted(one.value for one in _SPEAK))
            yield f"{path}.wechat: stands with the dialect {both}"
        return
    product = provider.dialect is Dialect.WECHAT_PRODUCT_COUPON
    if provider.wechat is None:
        yield f"{path}.wechat: the dialect {spoken} needs mchid and appid"
    elif product and not provider.wechat.brand_id:
        yield f"{path}.wechat.brand_id: product coupons are of a brand"
    elif not product and provider.wechat.brand_id:
        yield f"{path}.wechat.brand_id: stands with product coupons; merchant coupons have none"
    able = provider.capabilities
    if product and not able.two_phase:
        yield f"{path}.capabilities.two_phase: must be true; product coupons are confirmed"
    if not product and able.two_phase:
        yield f"{path}.capabilities.two_phase: merchant coupons count as they are sent"
    if able.query is not QueryBy.NUMBER:
        yield f"{path}.capabilities.query: leave it out; the dialect knows by what to ask"
    if not able.lane:
        yield f"{path}.capabilities.lane: sends to one user at once are refused for a false limit"


def _benefit(path: str, benefit: Benefit, provider: Provider) -> Iterator[str]:
    if OPENID not in benefit.recipient:
        yield f"{path}.recipient: must hold {OPENID!r}, to whom WeChat Pay sends the coupon"
    if provider.dialect is Dialect.WECHAT_PRODUCT_COUPON:
        if not _PRODUCT.match(benefit.sku):
            yield f"{path}.sku: must be a product coupon's id, a slash, and its stock's id"
    elif not _STOCK.match(benefit.sku):
        yield f"{path}.sku: must be a stock's id, 1 to 20 letters and digits"
    if benefit.companions:
        yield f"{path}.companions: a coupon is for one; leave them out"
