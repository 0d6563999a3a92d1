"""A member gives a booking up: its provider takes it back, and its units come back (V-10).

What was never sent ends at once. Otherwise nothing is given back until the provider says so: it is
asked by a request of its own, and silence is asked about like any other (V-3). Where it stayed
silent to the end it may be asked anew; what counts is when the member gave the booking up first.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from benefits.actions.answers import Answer, follow_up, saying
from benefits.actions.effects import told
from benefits.actions.keyed import Accepted, Decided, Keyed
from benefits.actions.parts import Parts
from benefits.actions.redeem import RedemptionOpen, UnknownClaim, is_open
from benefits.actions.resolve import resolve
from benefits.domain.booking import Booked, may_cancel
from benefits.domain.orders import IssueRequest, NotSent, Operation, OrderState
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import placed_bucket
from benefits.store import claims, members, orders
from benefits.store.db import Busy, Connection
from benefits.store.ledger import Journal
from benefits.store.requests import RequestKey

OPERATION = "cancel"


class CancelClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A member's wish to give a booking up."""

    caller: str
    key: str
    claim_id: UUID

    @property
    def sender(self) -> str:
        """Who stands alone when a command fails."""
        return self.caller


async def cancel(
    conn: Connection, commands: Sequence[CancelClaim], parts: Parts, *, wait: bool
) -> list[Decided | Refusal]:
    """Decide in order whether bookings are given up, and have them taken back; one outcome each.

    UnknownClaim, NotCancellable, CancellationOpen, CancelledTooLate, RedemptionOpen; without
    `wait` Busy where somebody else holds the member.
    """
    owners = await claims.owners(conn, [command.claim_id for command in commands])
    here, moved = await members.lock_current(conn, owners.values(), wait=wait)
    keys = [
        RequestKey(placed_bucket(c.caller, OPERATION, c.key), c.caller, OPERATION, c.key)
        for c in commands
    ]
    keyed = Keyed()
    await keyed.load(conn, keys)
    outcomes = list[Decided | Refusal]()
    for command, key in zip(commands, keys, strict=True):
        owner, body = owners.get(command.claim_id), body_hash([command.claim_id.hex])
        if owner is not None and owner not in here and owner not in moved:
            outcomes.append(Busy())
            continue
        outcome = keyed.earlier(key, body)
        if outcome is None:
            outcome = keyed.decide(key, body, await _cancel(conn, command, parts))
        outcomes.append(outcome)
    await keyed.write(conn, parts.clock())
    return outcomes


async def _cancel(conn: Connection, command: CancelClaim, parts: Parts) -> Accepted | Refusal:
    claim = (await claims.by_id(conn, [command.claim_id])).get(command.claim_id)
    if claim is None:
        return UnknownClaim()
    _, benefit = await parts.catalogue.made_under(conn, claim)
    asked = (await orders.of_claims(conn, [(claim.member_id, claim.claim_id)]))[claim.claim_id]
    now = parts.clock()
    booked = Booked(
        state=claim.state,
        used=claim.course.used,
        booked_for=claim.booked_for,
        cancel_until=claim.cancel_until,
        is_revoking=any(r.operation is Operation.REVOKE and r.next_at for r in asked),
    )
    given_up_at = claim.cancelled_at or now
    refusal = may_cancel(benefit.booking, booked, given_up_at)
    if refusal is not None:
        return refusal
    if is_open(asked):
        return RedemptionOpen()
    claim.cancelled_at, claim.changed_at = given_up_at, now
    await claims.update(conn, [claim])
    (issued,) = (each for each in asked if each.operation is Operation.ISSUE)
    if claim.state is OrderState.HELD and issued.sent_by is None:
        never_sent = Answer(
            claim_id=claim.claim_id,
            operation=Operation.ISSUE,
            outcome=NotSent("given up before it was sent"),
            actor=command.caller,
        )
        left = await resolve(conn, [never_sent], parts)
        assert not left, "the member is held, and whoever they were merged into"
        return Accepted({"claim_id": str(claim.claim_id)})
    # As the one before has left the member, who is held.
    journal = Journal(await members.lock(conn, [claim.member_id], wait=True), now, parts.new_id)
    request_id = journal.id_for(claim.member_id)
    request = follow_up(issued, request_id, Operation.REVOKE, now=now)
    body = IssueRequest(sku=issued.sku, quantity=claim.quantity)
    await orders.put(conn, [saying(request, body, parts.envelope)], now)
    kind = "order.revoking"
    journal.event(claim.member_id, kind, subject_id=claim.claim_id, data=told(claim, kind))
    await journal.write(conn)
    return Accepted({"claim_id": str(claim.claim_id)})
