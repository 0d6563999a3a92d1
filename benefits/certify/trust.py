"""The checks of signatures and forms: what is not ours is refused, and nothing is done for it.

A refusal is an answer 4xx. It need not be signed: what is refused here can come from anybody.
"""

import msgspec

from benefits.certify.bench import Bench, Broken, Order
from benefits.certify.report import difference, told
from benefits.domain.orders import NotFound, Operation, Outcome, Rejected, Unknown
from benefits.domain.signature import Fault
from benefits.providers.http import Outgoing

HOUR_S = 3600
_UNSIGNED = (*(one.value for one in Fault), "belongs to another", "is about another")


async def signed(on: Bench) -> str:
    """Each answer is signed, freshly, with the secret we share, and names what it is about."""
    order, _ = await on.delivered()
    calls = [on.about(on.order()), on.about(order)]
    if not on.resends():
        calls += [on.about(one, Operation.QUERY) for one in (order, on.order())]
    for call in calls:
        answer = await on.send(on.outgoing(call))
        outcome = on.read(call, answer)
        if isinstance(outcome, Unknown) and any(one in outcome.evidence for one in _UNSIGNED):
            raise Broken(f"{call.operation.value.lower()}: {told(outcome)}")
    return f"{len(calls)} answers hold"


async def changed_body(on: Bench) -> str:
    """A body that is not the one that was signed is refused."""
    order, other = on.order(), on.order()
    written = on.outgoing(on.about(order))
    changed = msgspec.structs.replace(written, body=on.outgoing(on.about(other)).body)
    return await _refused(on, changed, order, other)


async def unsigned(on: Bench) -> str:
    """A request without a signature is refused."""
    order = on.order()
    written = on.outgoing(on.about(order))
    bare = {"content-type": "application/json"}
    return await _refused(on, msgspec.structs.replace(written, headers=bare), order)


async def stale(on: Bench) -> str:
    """A request that was signed an hour ago, or by a clock an hour ahead, is refused."""
    order = on.order()
    await _refused(on, on.outgoing(on.about(order), ago_s=HOUR_S), order)
    return await _refused(on, on.outgoing(on.about(order), ago_s=-HOUR_S), order)


async def foreign_key(on: Bench) -> str:
    """A request that is signed with a key the provider does not know is refused."""
    order = on.order()
    return await _refused(on, on.outgoing(on.about(order), dialect=on.stranger()), order)


async def other_address(on: Bench) -> str:
    """A signed question, sent to the address that takes orders back, takes nothing back."""
    order, first = await on.delivered()
    question = on.outgoing(on.about(order, Operation.QUERY))
    to = on.outgoing(on.about(order, Operation.REVOKE, own=on.number())).url
    status = (await on.send(msgspec.structs.replace(question, url=to, method="POST"))).status
    if wrong := difference(first, await on.ask(order)):
        raise Broken(f"answered HTTP {status}, and the order is another: {wrong}")
    return _clear(status)


async def malformed(on: Bench) -> str:
    """What is signed but no order of the contract is refused clearly: a bad number, no SKU."""
    order = on.order()
    bad = Order(on.kind.bad_number, order.request)
    _clear((await on.send(on.outgoing(on.about(bad)))).status)
    nothing = msgspec.structs.replace(order.request, sku="")
    return await _refused(on, on.outgoing(on.about(order._replace(request=nothing))), order)


async def _refused(on: Bench, outgoing: Outgoing, *orders: Order) -> str:
    """Send what is to be refused, and see that nothing was done; return the refusal in words."""
    status = (await on.send(outgoing)).status
    for order in orders:
        outcome: Outcome = NotFound() if on.resends() else await on.ask(order)
        if not isinstance(outcome, NotFound | Rejected):
            raise Broken(f"answered HTTP {status}, and asked about it: {told(outcome)}")
    return _clear(status)


def _clear(status: int) -> str:
    if not 400 <= status <= 499:
        raise Broken(f"answered HTTP {status}, not a refusal (4xx)")
    return f"refused with HTTP {status}"
