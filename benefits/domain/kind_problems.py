"""What a benefit's kind asks of its provider, and of when its units are spent (V-1).

    ENTITLEMENT_PUSH   open       spent by use, which the provider tells, visit by visit
    PHYSICAL           open       spent by use: it is signed for, there or at a branch
    INTERNAL           internal   spent as it is claimed; nobody is asked and nobody tells

CODE_STOCK stands in `code_pool_problems`. What is a top-up, a coupon or a booking each bank
agrees with its providers: those kinds ask for nothing.
"""

from collections.abc import Iterator

from benefits.domain.benefit import Benefit, Consumed, Kind
from benefits.domain.compliance import Nature
from benefits.domain.orders import RedeemBy
from benefits.domain.programme import Dialect, Programme, Provider


def kind_problems(programme: Programme) -> Iterator[str]:
    """Yield what does not fit benefits' kinds, by path."""
    for index, provider in enumerate(programme.provider):
        if provider.is_internal:
            yield from _internal(f"provider[{index}]", provider)
    providers = {one.code: one for one in programme.provider}
    for index, benefit in enumerate(programme.benefit):
        if benefit.provider in providers:
            yield from _benefit(f"benefit[{index}]", benefit, providers[benefit.provider])


def _internal(path: str, provider: Provider) -> Iterator[str]:
    able = provider.capabilities
    if provider.url:
        yield f"{path}.url: leave it out; nobody is called for what the bank does"
    if able.two_phase:
        yield f"{path}.capabilities.two_phase: what the bank does is done as it is claimed"
    if able.redeem_by is RedeemBy.US:
        yield f"{path}.capabilities.redeem_by: nobody can be told of uses"


def _benefit(path: str, benefit: Benefit, provider: Provider) -> Iterator[str]:
    match benefit.kind:
        case Kind.INTERNAL:
            yield from _done(path, benefit, provider)
        case Kind.PHYSICAL | Kind.ENTITLEMENT_PUSH:
            yield from _spent_by_use(path, benefit, provider)
        case _ if provider.is_internal:
            yield f"{path}.kind: must be INTERNAL, for the bank itself does it"
        case _:
            pass


def _done(path: str, benefit: Benefit, provider: Provider) -> Iterator[str]:
    if not provider.is_internal:
        yield f"{path}.kind: INTERNAL is of providers of the dialect internal"
    if benefit.consumed is not Consumed.ISSUE:
        yield f"{path}.consumed: must be ISSUE; what the bank does is done at once"
    if benefit.recipient:
        yield f"{path}.recipient: leave it out; what the bank does goes to nobody"


def _spent_by_use(path: str, benefit: Benefit, provider: Provider) -> Iterator[str]:
    kind, tells = benefit.kind.value, provider.capabilities.redeem_by
    if provider.dialect is not Dialect.OPEN:
        yield f"{path}.kind: {kind} is of providers of the dialect open"
    if benefit.consumed is not Consumed.USE:
        yield f"{path}.consumed: must be USE for the kind {kind}"
    if tells is RedeemBy.ON_ISSUE:
        yield f"{path}.kind: {kind} asks that somebody tells of the use"
    if benefit.kind is Kind.ENTITLEMENT_PUSH and tells is RedeemBy.US:
        yield f"{path}.kind: ENTITLEMENT_PUSH asks that the provider tells of visits"
    if benefit.kind is Kind.PHYSICAL and benefit.nature is not Nature.PHYSICAL_GIFT:
        yield f"{path}.nature: must be PHYSICAL_GIFT for the kind PHYSICAL"
