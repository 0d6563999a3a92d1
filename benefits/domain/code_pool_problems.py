"""What a programme must hold for providers whose codes were bought in advance (V-1)."""

from collections.abc import Iterator

from benefits.domain.benefit import Benefit, Consumed, Kind
from benefits.domain.orders import RedeemBy
from benefits.domain.programme import Dialect, Programme, Provider


def code_pool_problems(programme: Programme) -> Iterator[str]:
    """Yield what is wrong with providers' addresses and codes, and their benefits, by path."""
    for index, provider in enumerate(programme.provider):
        yield from _provider(f"provider[{index}]", provider)
    pools = {one.code for one in programme.provider if one.dialect is Dialect.CODE_POOL}
    for index, benefit in enumerate(programme.benefit):
        path = f"benefit[{index}]"
        if benefit.provider in pools:
            yield from _benefit(path, benefit)
        elif benefit.kind is Kind.CODE_STOCK:
            yield f"{path}.kind: CODE_STOCK is of providers of the dialect code_pool"


def _provider(path: str, provider: Provider) -> Iterator[str]:
    if provider.dialect is not Dialect.CODE_POOL:
        is_called = not provider.is_internal
        if is_called and not provider.url.startswith(("https://", "http://")):
            yield f"{path}.url: must begin with https:// or http://"
        if provider.code_pool is not None:
            yield f"{path}.code_pool: stands with the dialect code_pool"
        return
    if provider.url:
        yield f"{path}.url: leave it out; nobody is called for codes in stock"
    if provider.capabilities.two_phase:
        yield f"{path}.capabilities.two_phase: codes in stock are issued at once"
    if provider.capabilities.redeem_by is RedeemBy.US:
        yield f"{path}.capabilities.redeem_by: nobody can be told of uses"


def _benefit(path: str, benefit: Benefit) -> Iterator[str]:
    if benefit.kind is not Kind.CODE_STOCK:
        yield f"{path}.kind: must be CODE_STOCK, for the provider's codes lie in stock"
    if benefit.consumed is not Consumed.ISSUE:
        yield f"{path}.consumed: must be ISSUE; nobody tells when a code is used"
    if benefit.recipient:
        yield f"{path}.recipient: leave it out; codes in stock are sent to nobody"
