"""The checks of orders: delivered once under their number, and told the same whenever asked."""

import asyncio

from benefits.certify.bench import TRIES, Bench, Broken, Skipped, is_turned_away
from benefits.certify.report import difference, told
from benefits.certify.wire import cut
from benefits.domain.orders import (
    Done,
    NotFound,
    NotSent,
    Operation,
    Outcome,
    Pending,
    QueryBy,
    Rejected,
    Unknown,
)

PIECES = 3
AT_ONCE = 16


async def issue(on: Bench) -> str:
    """An order is answered in time, by its delivery or by "pending" with a delivery to follow."""
    order = on.order()
    outcome = await on.issue(order)
    if isinstance(outcome, Done):
        return "delivered at once"
    if not isinstance(outcome, Pending):
        raise Broken(told(outcome))
    on.done(await on.settled(order))
    return "pending, then delivered"


async def repeat(on: Bench) -> str:
    """The same number with the same content is the same order: nothing new, the same answer."""
    order, first = await on.delivered()
    for _ in range(2):
        again = await on.issue(order)
        if wrong := difference(first, again):
            raise Broken(f"sent again: {wrong}")
    return "sent three times: the same reference and code"


async def other_content(on: Bench) -> str:
    """The same number with other content is refused as a duplicate, and the order stays."""
    order, first = await on.delivered()
    call = on.about(on.other(order))
    answer = await on.send(on.outgoing(call))
    outcome = on.read(call, answer)
    if not isinstance(outcome, Unknown):
        raise Broken(f"with other content it is {told(outcome)}")
    if not 400 <= answer.status <= 499:
        raise Broken(f"answered HTTP {answer.status}, not a refusal")
    if wrong := difference(first, await on.ask(order)):
        raise Broken(f"after it the order is another: {wrong}")
    return f"refused with HTTP {answer.status}, the order stands"


async def query(on: Bench) -> str:
    """A question tells what the answer to the order told: by its number, and by what it named."""
    order, first = await on.delivered()
    bare = {"reference": "", "code": ""}
    ways = {} if on.resends() else {"by its number": bare}
    if first.reference and on.capabilities.query is not QueryBy.NONE:
        ways["by what it named"] = {}
    if not ways:
        raise Skipped("it cannot be asked: the same order is sent again, see `repeat`")
    for way, known in ways.items():
        told_ = await on.call(order, Operation.QUERY, **known)
        if wrong := difference(first, told_):
            raise Broken(f"asked {way}: {wrong}")
    return f"the same {' and '.join(ways)}"


async def unknown_number(on: Bench) -> str:
    """Asked about a number that was never sent, the provider says that it is not found."""
    if on.resends():
        raise Skipped("a question about a number that is not known is a send")
    outcome = await on.ask(on.order())
    if not isinstance(outcome, NotFound):
        raise Broken(told(outcome))
    return "not found"


async def refused_recipient(on: Bench) -> str:
    """What cannot be delivered is refused for a listed reason, and stays refused."""
    recipient = on.setup.trial.refused_recipient
    if not recipient:
        raise Skipped("nobody is refused (--refused-recipient)")
    order = on.order(recipient=recipient)
    outcome = await on.issue(order)
    if isinstance(outcome, Pending):
        outcome = await on.settled(order)
    if not isinstance(outcome, Rejected):
        raise Broken(f"it was answered: {told(outcome)} (--refused-recipient)")
    later = await on.ask(order)
    if not isinstance(later, NotFound) and (wrong := difference(outcome, later)):
        raise Broken(wrong)
    return told(outcome)


async def pending(on: Bench) -> str:
    """What was answered "pending" is decided, a question tells it, and so does the same send."""
    order = await on.pending()
    if order is None:
        raise Skipped(f"each of {TRIES} orders was decided at once")
    done = on.done(await on.settled(order))
    if wrong := difference(done, await on.issue(order)):
        raise Broken(f"sent again after the decision: {wrong}")
    return "pending, then delivered"


async def several(on: Bench) -> str:
    """Of several pieces all are delivered, or none; a part of them is told as a part."""
    order = on.order(quantity=PIECES)
    on.outgoing(on.about(order))
    outcome = await on.issue(order)
    if isinstance(outcome, Pending):
        outcome = await on.settled(order)
    later = await on.ask(order)
    if not isinstance(outcome, Done | Rejected):
        raise Broken(told(outcome))
    if wrong := difference(outcome, later):
        raise Broken(f"asked after it: {wrong}")
    if isinstance(outcome, Done) and outcome.delivered is not None:
        return f"a part, and told as such: {outcome.delivered} of {PIECES}"
    return f"{told(outcome)}, all of them"


async def at_once(on: Bench) -> str:
    """The same order many times at once is one order; none of the answers is an error."""
    order, rate = on.order(), on.capabilities.rate
    times = AT_ONCE if rate is None else min(AT_ONCE, rate.burst)
    said = await asyncio.gather(*(on.attempt(order) for _ in range(times)))
    for outcome in said:
        if not (_may_be_said(outcome) or on.is_false_limit(outcome)):
            raise Broken(f"one of {times} was answered: {told(outcome)}")
    final = on.done(await on.settled(order))
    for outcome in said:
        if isinstance(outcome, Done) and (wrong := difference(final, outcome)):
            raise Broken(f"one of {times} was answered: {wrong}")
    return f"{times} at once, one order"


def _may_be_said(outcome: Outcome) -> bool:
    """Say whether an answer is none, or one that leaves the order as it is."""
    if isinstance(outcome, NotSent | Unknown):
        return is_turned_away(outcome) or not outcome.evidence.startswith("HTTP ")
    return isinstance(outcome, Done | Pending)


async def cut_after(on: Bench) -> str:
    """A connection that breaks after the order was sent loses nothing, and delivers once."""
    return await _cut(on, left_out=0)


async def cut_within(on: Bench) -> str:
    """A connection that breaks within the order delivers nothing; sent again it is delivered."""
    return await _cut(on, left_out=1)


async def _cut(on: Bench, *, left_out: int) -> str:
    order = on.order()
    try:
        async with asyncio.timeout(on.capabilities.deadline_s):
            await cut(on.outgoing(on.about(order)), left_out=left_out)
    except OSError as error:
        raise Broken(f"no connection: {type(error).__name__}") from None
    await asyncio.sleep(on.setup.poll_s)
    seen: Outcome = NotFound() if on.resends() else await on.ask(order)
    if left_out and not isinstance(seen, NotFound):
        raise Broken(f"of half an order it says: {told(seen)}")
    done = on.done(await on.settled(order))
    if isinstance(seen, Done) and (wrong := difference(seen, done)):
        raise Broken(wrong)
    if wrong := difference(done, await on.issue(order)):
        raise Broken(f"sent again: {wrong}")
    return f"{told(seen)} after the cut, delivered once in the end"


async def too_many(on: Bench) -> str:
    """What was turned away with 429 was not done, and is taken once its wait is over."""
    if not on.turned_away:
        await on.delivered()
    if not on.turned_away:
        raise Skipped("nothing was turned away")
    for order, outcome, asked in on.turned_away:
        if isinstance(outcome, NotSent) and not isinstance(asked, NotFound | NotSent | Unknown):
            raise Broken(f"turned away, and asked about it: {told(asked)}")
        if is_turned_away(await on.issue(order)):
            raise Broken("sent again after the wait it is turned away again")
    return f"{len(on.turned_away)} turned away, not done, then taken"
