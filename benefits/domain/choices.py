"""Choices: units that become units of one benefit of several, as the member chooses (P-8).

    CHOICE:<code>       available -> converted                 one for one,
    BENEFIT:<chosen>    issued    -> available   a new lot     in the same batch

The new lot keeps the terms of the lot it came from: line, period, cause, place in the spending
order, and its end, unless the contract of the chosen benefit ends before. Units that nobody
chooses with end as what they are.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime

import msgspec

from benefits.domain.benefit import Benefit
from benefits.domain.blocks import Blocked
from benefits.domain.entitlement import ContractEnded, MemberClosed
from benefits.domain.ledger import Lot, fefo, take
from benefits.domain.refusal import Refusal
from benefits.domain.use import ClaimWindow


class UnknownChoice(Refusal):
    """No programme in force has this choice."""

    code = "unknown_choice"
    words = "No programme offers this choice."


class ChoiceNotOffered(Refusal):
    """The benefit is none of those that the choice is among (P-8)."""

    code = "choice_not_offered"
    words = "This benefit is not among those that can be chosen."


class ChoiceRepeated(Refusal):
    """The benefit was chosen before in the period, and each may be chosen once (P-8)."""

    code = "choice_repeated"
    words = "This benefit was chosen before, and each can be chosen once."


class Place(msgspec.Struct, frozen=True):
    """What a lot was granted for: in it, a benefit is chosen once unless it may be repeated."""

    programme: str
    line: str
    period: str


class ChoiceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a choosing is decided on: the lots of the choice, each with what it was granted for.

    `made` are the benefits that were chosen before, by place. The benefit is claimed only once it
    `opens` (P-9), and through `last_claim`, by what replaces it, too (V-6).
    """

    today: date
    opens: datetime | None = None
    last_claim: date | None = None
    closed: bool
    blocked: bool
    lots: Sequence[tuple[Place, Lot]]
    made: Collection[tuple[Place, str]]


def choose(*, repeat: bool, benefit: Benefit, facts: ChoiceFacts, now: datetime) -> Lot | Refusal:
    """Return the lot that a unit of a choice is taken from, or what refuses it first (P-8).

    The order is that of claims: member, blocks, contract, window, units; then what was chosen
    before. A unit that ends before the benefit can be claimed becomes none of it.
    """
    if facts.closed:
        return MemberClosed()
    if facts.blocked:
        return Blocked()
    if facts.last_claim is not None and facts.today > facts.last_claim:
        return ContractEnded()
    first, last = benefit.claim_from, benefit.window_ends
    if last is not None and facts.today > last:
        return ClaimWindow.of(first, last)
    try:
        take([lot for _, lot in facts.lots], 1, now)
    except Refusal as refusal:
        return refusal
    free = [
        lot
        for place, lot in sorted(facts.lots, key=lambda one: fefo(one[1]))
        if lot.available(now) and (repeat or (place, benefit.code) not in facts.made)
    ]
    lasting = (lot for lot in free if _lasts(lot, facts.opens))
    return next(lasting, ClaimWindow.of(first, last) if free else ChoiceRepeated())


def _lasts(lot: Lot, opens: datetime | None) -> bool:
    return opens is None or lot.expires_at is None or lot.expires_at > opens
