"""What a programme must hold for its providers at WeChat Pay."""

import re
from collections.abc import Iterator

from benefits.domain.benefit import Benefit
from benefits.domain.orders import QueryBy
from benefits.domain.programme import Dialect, Programme, Provider

OPENID = "openid"
_STOCK = re.compile(r"\A[0-9A-Za-z]{1,20}\Z")


def wechat_problems(programme: Programme) -> Iterator[str]:
    """Yield what is wrong with providers at WeChat Pay and their benefits, by path."""
    for index, provider in enumerate(programme.provider):
        yield from _provider(f"provider[{index}]", provider)
    merchants = {one.code for one in programme.provider if _speaks(one)}
    for index, benefit in enumerate(programme.benefit):
        if benefit.provider in merchants:
            yield from _benefit(f"benefit[{index}]", benefit)


def _speaks(provider: Provider) -> bool:
    return provider.dialect is Dialect.WECHAT_BUSIFAVOR


def _provider(path: str, provider: Provider) -> Iterator[str]:
    if not _speaks(provider):
        if provider.wechat is not None:
            yield f"{path}.wechat: stands with the dialect wechat_busifavor"
        return
    if provider.wechat is None:
        yield f"{path}.wechat: the dialect wechat_busifavor needs mchid and appid"
    able = provider.capabilities
    if able.two_phase:
        yield f"{path}.capabilities.two_phase: merchant coupons count as they are sent"
    if able.query is not QueryBy.NUMBER:
        yield f"{path}.capabilities.query: leave it out; the dialect knows by what to ask"
    if not able.lane:
        yield f"{path}.capabilities.lane: sends to one user at once are refused for a false limit"


def _benefit(path: str, benefit: Benefit) -> Iterator[str]:
    if OPENID not in benefit.recipient:
        yield f"{path}.recipient: must hold {OPENID!r}, to whom WeChat Pay sends the coupon"
    if not _STOCK.match(benefit.sku):
        yield f"{path}.sku: must be a stock's id, 1 to 20 letters and digits"
    if benefit.companions:
        yield f"{path}.companions: a coupon is for one; leave them out"
