"""The checks of callbacks: they hold, come again until they are kept, and tell the truth."""

from collections import Counter

from benefits.certify.bench import TRIES, Bench, Broken, Order, Skipped
from benefits.certify.inbox import Arrival
from benefits.certify.report import difference, told
from benefits.domain.orders import Callbacks, Done, Outcome, Pending, Rejected, Unknown

MAY_COME = 2  # times that a callback may be acknowledged


async def callback(on: Bench) -> str:
    """What was answered "pending" is called back, and the callback says what a question says."""
    order = await _owed(on)
    if not await on.inbox.until(lambda: bool(_decisions(on, order)), on.setup.within_s):
        raise Broken(f"none came within {on.setup.within_s:g} s")
    said = _decisions(on, order)[0].notice.outcome
    final = on.done(await on.settled(order))
    if on.capabilities.callbacks is Callbacks.HINT:
        return "came; it is a hint, and we asked"
    if wrong := difference(said, final):
        raise Broken(f"by callback and by question: {wrong}")
    return f"{told(said)}, as a question says"


async def callback_again(on: Bench) -> str:
    """A callback that was answered 503 comes again: the same event, with the same content."""
    on.inbox.refuses = 1
    try:
        order = await _owed(on)
        came = await on.inbox.until(
            lambda: _kept(on, order) or _renamed(on, order), on.setup.within_s
        )
    finally:
        on.inbox.refuses = 0
    if not came:
        first = "it did not come again" if _decisions(on, order) else "none came"
        raise Broken(f"{first} within {on.setup.within_s:g} s")
    if _renamed(on, order):
        raise Broken("it came again under another id")
    for event in _events(on, order):
        tries = [one.notice for one in on.inbox.arrivals if one.notice.event_id == event]
        if any(one != tries[0] for one in tries):
            raise Broken("it came again with other content")
    return "came again, and was acknowledged"


async def callback_stops(on: Bench) -> str:
    """A callback that was acknowledged stops; that it comes once more is allowed."""
    order = await _owed(on)
    if not await on.inbox.until(lambda: _kept(on, order), on.setup.within_s):
        raise Broken(f"none came within {on.setup.within_s:g} s")
    if await on.inbox.until(lambda: _times_kept(on, order) > MAY_COME, on.setup.quiet_s):
        raise Broken(f"acknowledged, it came {_times_kept(on, order)} times")
    return f"quiet for {on.setup.quiet_s:g} s"


async def callback_final(on: Bench) -> str:
    """After a callback that decides an order none comes that says the contrary."""
    order = await _owed(on)
    if not await on.inbox.until(lambda: bool(_words(on, order)), on.setup.within_s):
        raise Broken(f"none came within {on.setup.within_s:g} s")
    await on.inbox.until(lambda: len(_words(on, order)) > 1, on.setup.quiet_s)
    words = _words(on, order)
    if len(words) > 1:
        raise Broken(f"it was called back as {told(words[0])}, then as {told(words[1])}")
    return f"{told(words[0])}, and nothing else for {on.setup.quiet_s:g} s"


async def callback_genuine(on: Bench) -> str:
    """Every callback is signed with the secret that we share, and a message of the contract."""
    if on.inbox.silent:
        await _owed(on)
        await on.inbox.until(lambda: not on.inbox.silent, on.setup.within_s)
    if on.inbox.refused:
        raise Broken(f"{len(on.inbox.refused)} refused, the first: {on.inbox.refused[0]}")
    if on.inbox.silent:
        raise Broken("none came")
    unknown = [one for one in on.inbox.arrivals if isinstance(one.notice.outcome, Unknown)]
    if unknown:
        raise Broken(told(unknown[0].notice.outcome))
    probes = f", {on.inbox.probes} probes refused" if on.inbox.probes else ""
    return f"{len(on.inbox.arrivals)} came{probes}"


async def _owed(on: Bench) -> Order:
    """Return an order about which a callback is owed."""
    if on.kind.tells_each:
        return (await on.delivered()).order
    order = await on.pending()
    if order is None:
        raise Skipped(f"each of {TRIES} orders was decided at once: no callback is owed")
    return order


def _decisions(on: Bench, order: Order) -> list[Arrival]:
    """Return what came about an order, but for the news that it is pending."""
    return [
        one
        for one in on.inbox.arrivals
        if on.names(one.notice, order) and not isinstance(one.notice.outcome, Pending)
    ]


def _kept(on: Bench, order: Order) -> bool:
    return any(one.kept for one in _decisions(on, order))


def _times_kept(on: Bench, order: Order) -> int:
    """Return how often the event came that was acknowledged most often."""
    kept = Counter(one.notice.event_id for one in _decisions(on, order) if one.kept)
    return max(kept.values(), default=0)


def _events(on: Bench, order: Order) -> set[str]:
    return {one.notice.event_id for one in _decisions(on, order)}


def _words(on: Bench, order: Order) -> list[Outcome]:
    """Return what callbacks said of whether an order was delivered, each kind of word once."""
    words = dict[type, Outcome]()
    for one in _decisions(on, order):
        if isinstance(one.notice.outcome, Done | Rejected):
            words.setdefault(type(one.notice.outcome), one.notice.outcome)
    return [*words.values()]


def _renamed(on: Bench, order: Order) -> bool:
    """Say whether the same news came under two ids."""
    return len(_events(on, order)) > len({one.notice.outcome for one in _decisions(on, order)})
