"""Two people say how an order ended that nobody could clear up by asking (V-3).

What they say is weighed by the lattice, and applied as an answer of the order's provider is, by
`resolve`. Invariant: only what nobody asks about is answered so: an order that is MANUAL, or one
that its member gave up and whose provider never said whether it took it back (V-10).
"""

from benefits.actions.answers import Answer, spent_at, terms_of
from benefits.actions.parts import Parts
from benefits.actions.pricing import Offer, piece_price
from benefits.actions.resolve import resolve
from benefits.actions.retry_order import UnknownOrder, read_number
from benefits.domain.corrections import OrderUnfit
from benefits.domain.lattice import Effect, advance
from benefits.domain.orders import USABLE, Operation, OrderState
from benefits.domain.proposals import OrderEffect, OrderWanted, told
from benefits.store import claims, open_orders, orders
from benefits.store.claims import ClaimRow
from benefits.store.db import Connection


async def weigh_order(conn: Connection, wanted: OrderWanted, parts: Parts) -> OrderEffect:
    """Return what would become of an order (UnknownOrder, OrderUnfit, ProposalInvalid)."""
    claim, agreed, _ = await _unanswered(conn, wanted, parts)
    terms, now = terms_of(claim, agreed), parts.clock()
    outcome = told(wanted, terms, claim.claimed_at, now)
    step = advance(claim.state, outcome, terms, claim.course)
    hold = (await claims.holds(conn, [claim.hold_id]))[claim.hold_id]
    cost_minor = hold.cost_minor
    if step.effect is Effect.CAPTURE:
        today = (await parts.catalogue.current(conn)).offers.get(claim.benefit, agreed)
        used_at = spent_at(outcome, step.course, now)
        price = piece_price(claim, agreed, today, used_at=used_at, now=now)
        cost_minor = price * claim.quantity
    elif step.effect is Effect.RETURN and hold.paid_minor is not None:
        cost_minor = hold.paid_minor
    return OrderEffect(
        member_id=claim.member_id,
        claim_id=claim.claim_id,
        provider=hold.provider,
        benefit=claim.benefit,
        quantity=claim.quantity,
        state=step.state,
        units=step.effect,
        cost_minor=cost_minor,
    )


async def answer_order(
    conn: Connection, wanted: OrderWanted, parts: Parts, *, by: str, note: str
) -> None:
    """Apply what was weighed to an order whose member is locked; `note` is said of its case."""
    claim, agreed, operation = await _unanswered(conn, wanted, parts)
    answer = Answer(
        claim_id=claim.claim_id,
        operation=operation,
        outcome=told(wanted, terms_of(claim, agreed), claim.claimed_at, parts.clock()),
        actor=by,
        note=note,
    )
    left = await resolve(conn, [answer], parts)
    assert not left, "its member is locked"


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
    raise OrderUnfit(
        f"The order is {claim.state.value}; people decide one that is MANUAL, or that was given "
        "up, once nobody is asked about it any more."
    )
