"""The checks of what is done to an order that stands: confirmed, used, undone, taken back.

Each deed has a number of its own, is done once under it, and is found by a question.
"""

from benefits.certify.bench import Bench, Broken, Given, Order, Skipped
from benefits.certify.orders import PIECES
from benefits.certify.report import difference, told
from benefits.domain.orders import (
    Callbacks,
    Confirmed,
    Done,
    Operation,
    Outcome,
    PartlyUsed,
    Redemption,
    Reversed,
    Revoked,
    Used,
)


async def confirm(on: Bench) -> str:
    """What was set aside is confirmed, once; asked about it, the provider says so."""
    order, _ = await on.delivered()
    own = on.number()
    first = await on.do(order, Operation.CONFIRM, own=own)
    if not isinstance(first, Confirmed):
        raise Broken(f"asked to confirm: {told(first)}")
    _same(first, await on.do(order, Operation.CONFIRM, own=own), "confirmed again")
    _same(first, await on.ask(order), "asked after it")
    stranger = await on.do(on.order(), Operation.CONFIRM)
    if isinstance(stranger, Confirmed):
        raise Broken("a number that was never sent was confirmed, too")
    return "confirmed once"


async def used_there(on: Bench) -> str:
    """A use at the provider is told by a question and by a callback, as of the same instant."""
    recipient = on.setup.trial.using_recipient
    if not recipient:
        raise Skipped("nobody uses at once what is given (--using-recipient)")
    order = on.order(recipient=recipient)
    await _given(on, order)
    asked = await on.used(order, Used, "--using-recipient")
    return f"used, as {await _called_back(on, order, asked)}"


async def used_in_part(on: Bench) -> str:
    """Of several pieces a question and a callback tell how many were used, while not all were."""
    recipient = on.setup.trial.partly_using_recipient
    if not recipient:
        raise Skipped("nobody uses a part of what is given (--partly-using-recipient)")
    order = on.order(quantity=PIECES, recipient=recipient)
    on.outgoing(on.about(order))
    await _given(on, order)
    asked = await on.used(order, PartlyUsed, "--partly-using-recipient")
    if asked.used >= PIECES:
        raise Broken(f"of {PIECES} pieces {asked.used} are used, and that is told as a part")
    return f"{asked.used} of {PIECES} used, as {await _called_back(on, order, asked)}"


async def _given(on: Bench, order: Order) -> None:
    """Order something, and confirm it where that is asked for."""
    await on.issue(order)
    if on.capabilities.two_phase:
        await on.do(order, Operation.CONFIRM)


async def _called_back(on: Bench, order: Order, asked: Outcome) -> str:
    """Hold that a callback tells of a use what a question told; return who tells it."""
    if on.capabilities.callbacks is Callbacks.NONE:
        return "a question says"

    def told_() -> list[Outcome]:
        about = [one.notice for one in on.inbox.arrivals if on.names(one.notice, order)]
        return [one.outcome for one in about if isinstance(one.outcome, type(asked))]

    if not await on.inbox.until(lambda: bool(told_()), on.setup.within_s):
        raise Broken(f"no callback came within {on.setup.within_s:g} s")
    _same(asked, told_()[0], "called back")
    return "a question and a callback say"


async def redeem(on: Bench) -> str:
    """A use that we tell counts once under its number; another use of what is used is refused."""
    given, own, use, first = await _used(on)
    more = {"own": own, "redemption": use}
    _same(first, await on.do(given.order, Operation.REDEEM, **more), "told again")
    _same(first, await on.ask(given.order, **more), "asked about the use")
    _same(first, await on.ask(given.order), "asked about the order")
    other = await on.do(given.order, Operation.REDEEM, redemption=on.use())
    if isinstance(other, Used):
        raise Broken("a second use was granted under another number")
    _same(first, await on.ask(given.order), "asked after a second use")
    return f"used once; a second use: {told(other)}"


async def reverse(on: Bench) -> str:
    """A use that we undo is undone, once; then the order can be used by another use."""
    given, own, use, _ = await _used(on)
    undo = {"own": on.number(), "undoes": own, "redemption": use}
    first = await on.do(given.order, Operation.REVERSE, **undo)
    if not isinstance(first, Reversed):
        raise Broken(f"asked to undo a use: {told(first)}")
    again = await on.do(given.order, Operation.REVERSE, **undo)
    if not isinstance(again, Reversed):
        raise Broken(f"asked again: {told(again)}")
    about = await on.ask(given.order, **undo)
    now = await on.ask(given.order)
    for outcome in (about, now):
        if not isinstance(outcome, Done | Confirmed | Reversed):
            raise Broken(f"asked after it: {told(outcome)}")
    used = await on.do(given.order, Operation.REDEEM, redemption=on.use())
    if not isinstance(used, Used):
        raise Broken(f"used again: {told(used)}")
    _same(used, await on.ask(given.order), "asked after the other use")
    return "undone once, and used again"


async def revoke(on: Bench) -> str:
    """What is unused is taken back, once; asked about it, the provider says so."""
    order, _ = await on.usable()
    own = on.number()
    first = await on.do(order, Operation.REVOKE, own=own)
    if not isinstance(first, Revoked):
        raise Broken(f"asked to take it back: {told(first)}")
    _same(first, await on.do(order, Operation.REVOKE, own=own), "asked again")
    _same(first, await on.ask(order), "asked about it")
    stranger = await on.do(on.order(), Operation.REVOKE)
    if isinstance(stranger, Revoked):
        raise Broken("a number that was never sent was taken back, too")
    return "taken back once"


async def revoke_used(on: Bench) -> str:
    """What was used is not taken back, and stays used."""
    given, _, _, first = await _used(on)
    outcome = await on.do(given.order, Operation.REVOKE)
    if isinstance(outcome, Revoked):
        raise Broken("it was taken back")
    _same(first, await on.ask(given.order), "asked after it")
    return told(outcome)


async def _used(on: Bench) -> tuple[Given, str, Redemption, Outcome]:
    """Use an order; return it, the use's number, the use and what was said of it."""
    given, own, use = await on.usable(), on.number(), on.use()
    outcome = await on.do(given.order, Operation.REDEEM, own=own, redemption=use)
    if not isinstance(outcome, Used):
        raise Broken(f"told of a use: {told(outcome)}")
    return given, own, use, outcome


def _same(first: Outcome, then: Outcome, when: str) -> None:
    if wrong := difference(first, then):
        raise Broken(f"{when}: {wrong}")
