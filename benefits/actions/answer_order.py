"""Two people say how an order ended that nobody could clear up by asking (V-3).

What they say is weighed by the lattice, and applied as an answer of the order's provider is, by
`resolve`. Invariant: only what nobody asks about is answered so: an order that is MANUAL, one
that its member gave up and whose provider never said whether it took it back (V-10), or what is
missing of one that came in part (V-5). Nor is what was sent again since it was said.
"""

from datetime import datetime

from msgspec.structs import replace

from benefits.actions.answers import Answer, spent_at, terms_of
from benefits.actions.parts import Parts
from benefits.actions.pricing import Offer, piece_price
from benefits.actions.resolve import resolve
from benefits.actions.retry_order import UnknownOrder, read_number
from benefits.domain.corrections import OrderUnfit
from benefits.domain.lattice import Effect, Terms, advance
from benefits.domain.orders import DELIVERED, USABLE, Operation, OrderState, Outcome
from benefits.domain.proposals import (
    OrderEffect,
    OrderWanted,
    ProposalInvalid,
    told,
    told_of_rest,
)
from benefits.store import claims, open_orders, orders
from benefits.store.claims import ClaimRow
from benefits.store.db import Connection


async def weigh_order(conn: Connection, wanted: OrderWanted, parts: Parts) -> OrderEffect:
    """Return what would become of an order (UnknownOrder, OrderUnfit, ProposalInvalid)."""
    claim, agreed, operation = await _unanswered(conn, wanted, parts)
    asked = (await orders.of_claims(conn, [(claim.member_id, claim.claim_id)]))[claim.claim_id]
    terms, now = terms_of(claim, agreed), parts.clock()
    if any(r.leased_until is not None and r.leased_until > now for r in asked):
        raise OrderUnfit("The provider is being called about the order. Do it again in a moment.")
    outcome, state = _word(wanted, claim, terms, now), claim.state
    comes = wanted.delivered and operation is Operation.ISSUE and state in DELIVERED
    more = claim.missing if comes else 0
    if more:  # all of it is held anew
        state, terms = OrderState.PENDING, replace(terms, quantity=claim.came + more)
    step = advance(state, outcome, terms, claim.course)
    hold = (await claims.holds(conn, [claim.hold_id]))[claim.hold_id]
    if wanted.reference:
        named = hold.provider, wanted.reference
        if (await orders.referred(conn, [named])).get(named, claim.claim_id) != claim.claim_id:
            raise ProposalInvalid("Another order has this reference.")
    cost_minor, units = hold.cost_minor, step.effect
    if step.effect is Effect.CAPTURE:
        today = (await parts.catalogue.current(conn)).offers.get(claim.benefit, agreed)
        used_at = spent_at(outcome, step.course, now)
        price = piece_price(claim, agreed, today, used_at=used_at, now=now)
        cost_minor = price * (more or claim.quantity)
    elif more:
        cost_minor = hold.cost_minor // claim.quantity * more
    elif step.effect is Effect.RETURN and hold.paid_minor is not None:
        cost_minor = hold.paid_minor
    if more:
        units = Effect.REISSUE_AND_CAPTURE if units is Effect.CAPTURE else Effect.REISSUE
    return OrderEffect(
        member_id=claim.member_id,
        claim_id=claim.claim_id,
        provider=hold.provider,
        benefit=claim.benefit,
        quantity=claim.quantity + more,
        state=step.state,
        units=units,
        cost_minor=cost_minor,
        sent=await orders.sent(conn, asked),
    )


async def answer_order(
    conn: Connection, wanted: OrderWanted, parts: Parts, *, by: str, note: str
) -> None:
    """Apply what was weighed to an order whose member is locked; `note` is said of its case."""
    claim, agreed, operation = await _unanswered(conn, wanted, parts)
    answer = Answer(
        claim_id=claim.claim_id,
        operation=operation,
        outcome=_word(wanted, claim, terms_of(claim, agreed), parts.clock()),
        actor=by,
        note=note,
    )
    left = await resolve(conn, [answer], parts)
    assert not left, "its member is locked"


def _word(wanted: OrderWanted, claim: ClaimRow, terms: Terms, now: datetime) -> Outcome:
    """Return what is said of an order, or of what is missing of it (ProposalInvalid)."""
    is_rest = claim.state in DELIVERED and claim.cancelled_at is None
    return (told_of_rest if is_rest else told)(wanted, terms, claim.claimed_at, now)


async def _unanswered(
    conn: Connection, wanted: OrderWanted, parts: Parts
) -> tuple[ClaimRow, Offer, Operation]:
    """Return the claim of an order, with its terms, and what its provider never answered.

    UnknownOrder, OrderUnfit.
    """
    seen = await open_orders.one(conn, read_number(wanted.number))
    if seen is None:
        raise UnknownOrder
    claim = (await claims.by_id(conn, [seen.claim_id]))[seen.claim_id]
    agreed = await parts.catalogue.made_under(conn, claim)
    if claim.state is OrderState.MANUAL:
        return claim, agreed, Operation.ISSUE
    if claim.state in USABLE and claim.cancelled_at is not None:
        asked = await orders.of_claims(conn, [(claim.member_id, claim.claim_id)])
        if not any(r.operation is Operation.REVOKE and r.next_at for r in asked[claim.claim_id]):
            return claim, agreed, Operation.REVOKE
    lacks = claim.state in DELIVERED and claim.missing and claim.cancelled_at is None
    if lacks and claim.rest_until is None:
        return claim, agreed, Operation.ISSUE
    raise OrderUnfit(
        f"The order is {claim.state.value}; people decide one that is MANUAL, that was given up, "
        "or of which pieces are missing, once nobody is asked about that any more."
    )
