"""What is wrong with what a programme's providers are paid for (V-5)."""

from collections.abc import Iterator

from benefits.domain.benefit import Benefit, Consumed, Settled
from benefits.domain.orders import Callbacks, QueryBy, RedeemBy
from benefits.domain.programme import Dialect, Programme, Provider


def settlement_problems(programme: Programme) -> Iterator[str]:
    """Yield what of a benefit's settlement could not be, by path."""
    for index, benefit in enumerate(programme.benefit):
        provider = programme.providers.get(benefit.provider)
        if benefit.settled is not None and provider is not None:
            for problem in _benefit(benefit, provider):
                yield f"benefit[{index}].settled: {problem}"


def _benefit(benefit: Benefit, provider: Provider) -> Iterator[str]:
    able = provider.capabilities
    if benefit.consumed is Consumed.USE and benefit.settled is Settled.ISSUE:
        yield "must be USE or left out; what comes back unused was not paid"
    if not benefit.is_paid_by_use:
        return
    if able.redeem_by is RedeemBy.ON_ISSUE:
        yield f"{provider.code!r} counts every piece as used when it is issued (redeem_by)"
    unheard = able.query is QueryBy.NONE and able.callbacks is Callbacks.NONE
    in_stock = provider.dialect is Dialect.CODE_POOL
    if in_stock or (unheard and able.redeem_by is RedeemBy.PROVIDER):
        yield f"nobody tells when a piece of {provider.code!r} is used"
