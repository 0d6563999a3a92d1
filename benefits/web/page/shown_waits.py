"""Claims that wait for room, in words: until when, and whether many do so before (K-1, K-8)."""

from uuid import UUID, uuid4

import msgspec

from benefits.domain.waits import Ahead, UnknownWait, WaitOver, ahead
from benefits.web.page.facts import Facts
from benefits.web.tongue import Message, Tongue, n_

AHEAD: dict[Ahead, Message] = {
    Ahead.NONE: n_("Nobody is waiting before you."),
    Ahead.FEW: n_("A few others are waiting before you."),
    Ahead.MANY: n_("Many others are waiting before you."),
}
OVER_WORDS: dict[str, Message] = {
    UnknownWait.code: n_("You are no longer waiting for this benefit."),
    WaitOver.code: n_("You are no longer waiting for this benefit."),
}
ROW = n_("Waiting until there is room")


class Wait(msgspec.Struct, frozen=True):
    """A claim that waits, and the key of the form that ends it."""

    id: UUID
    words: list[str]
    key: str


def waiting(tongue: Tongue, facts: Facts, code: str) -> Wait | None:
    """Return how a claim of a benefit waits for the member; None where none does."""
    seen = facts.waits.get(code)
    if seen is None:
        return None
    programme, _ = facts.catalogue.offers[code]
    words = [
        tongue.say(n_("You are waiting for %(count)s of it."), count=seen.quantity),
        tongue.word(n_("It is claimed for you as soon as there is room.")),
        tongue.word(AHEAD[ahead(seen.ahead)]),
    ]
    if seen.ends_at is not None:
        until = n_("You wait until %(moment)s.")
        words.append(tongue.say(until, moment=tongue.moment(seen.ends_at, programme.tz)))
    return Wait(seen.wait_id, words, uuid4().hex)
