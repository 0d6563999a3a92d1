"""A member gives a booking up: its provider takes it back, and its units come back (V-10).

What was never sent ends at once. Otherwise nothing is given back until the provider says so: it is
asked by a request of its own, and silence is asked about like any other (V-3). Where it stayed
silent to the end it may be asked anew; what counts is when the member gave the booking up first.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from benefits.actions import ordered
from benefits.actions.answers import Answer, follow_up, saying
from benefits.actions.effects import told
from benefits.actions.keyed import Accepted, Decided, Keyed
from benefits.actions.ordered import Ordered
from benefits.actions.parts import Parts
from benefits.actions.redeem import RedemptionOpen, UnknownClaim
from benefits.actions.resolve import resolve
from benefits.domain.booking import Booked, may_cancel
from benefits.domain.orders import IssueRequest, NotSent, Operation, OrderState
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.store import claims, members, orders
from benefits.store.claims import ClaimRow
from benefits.store.db import Busy, Connection, Together, Writer
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.orders import RequestRow
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

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept: by the key alone."""
        return RequestKey.placed(self.caller, OPERATION, self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is asked."""
        return body_hash([self.claim_id.hex])


class _Group:
    """The wishes of one transaction while they are decided: each sees the one before it.

    Some of the members that own the claims are `busy`; the others are locked.
    """

    def __init__(
        self, parts: Parts, owners: dict[UUID, UUID], locked: dict[UUID, Member], busy: set[UUID]
    ) -> None:
        self.parts = parts
        self.owners = owners
        self.busy = busy
        self.now = parts.clock()
        self.journal = Journal(locked, self.now, parts.new_id)
        self.orders: dict[UUID, Ordered] = {}
        self.given_up: list[ClaimRow] = []
        self.requests: list[RequestRow] = []
        self.never_sent: dict[UUID, Answer] = {}

    async def load(self, conn: Connection, commands: Sequence[CancelClaim]) -> None:
        """Read the claims and what was asked of their providers."""
        free = {id_ for id_, member_id in self.owners.items() if member_id not in self.busy}
        ids = free.intersection(command.claim_id for command in commands)
        self.orders = await ordered.load(conn, ids, self.parts)

    def decide(self, command: CancelClaim) -> Accepted | Refusal:
        """Decide whether one booking is given up, and by what it ends."""
        if command.claim_id not in self.owners:
            return UnknownClaim()
        if self.owners[command.claim_id] in self.busy:
            return Busy()
        order = self.orders[command.claim_id]
        claim, (_, benefit) = order.claim, order.offer
        is_over = claim.claim_id in self.never_sent
        booked = Booked(
            state=OrderState.REVOKED if is_over else claim.state,
            used=claim.course.used,
            booked_for=claim.booked_for,
            cancel_until=claim.cancel_until,
            is_revoking=order.is_revoking,
        )
        given_up_at = claim.cancelled_at or self.now
        refusal = may_cancel(benefit.booking, booked, given_up_at)
        if refusal is not None:
            return refusal
        if order.use_is_open:
            return RedemptionOpen()
        claim.cancelled_at, claim.changed_at = given_up_at, self.now
        self.given_up.append(claim)
        if claim.state is OrderState.HELD and order.issued.sent_by is None:
            self.never_sent[claim.claim_id] = Answer(
                claim_id=claim.claim_id,
                operation=Operation.ISSUE,
                outcome=NotSent("given up before it was sent"),
                actor=command.caller,
            )
        else:
            self._ask(order)
        return Accepted({"claim_id": str(claim.claim_id)})

    def _ask(self, order: Ordered) -> None:
        """Ask the provider to take an order back."""
        claim, issued = order.claim, order.issued
        request_id = self.journal.id_for(claim.member_id)
        body = IssueRequest(sku=issued.sku, quantity=claim.ordered or claim.quantity)
        asking = follow_up(issued, request_id, Operation.REVOKE, now=self.now)
        request = saying(asking, body, self.parts.envelope)
        order.asked.append(request)
        self.requests.append(request)
        kind = "order.revoking"
        data = told(claim, kind)
        self.journal.event(claim.member_id, kind, subject_id=claim.claim_id, data=data)

    async def write(self, writer: Writer) -> None:
        """Write what was given up, and what is asked of it."""
        await claims.update(writer, self.given_up)
        await orders.put(writer, self.requests, self.now)
        await self.journal.write(writer)


async def cancel(
    conn: Connection, commands: Sequence[CancelClaim], parts: Parts, *, wait: bool
) -> list[Decided | Refusal]:
    """Decide in order whether bookings are given up, and have them taken back; one outcome each.

    UnknownClaim, NotCancellable, CancellationOpen, CancelledTooLate, RedemptionOpen; without
    `wait` Busy where somebody else holds the member.
    """
    owners = await claims.owners(conn, [command.claim_id for command in commands])
    locked, busy = await members.lock_persons(conn, owners.values(), wait=wait)
    keyed, group = Keyed(), _Group(parts, owners, locked, busy)
    asked = [(command, command.request_key, command.body) for command in commands]
    await group.load(conn, await keyed.begin(conn, asked))
    outcomes = keyed.decide_each(asked, group.decide)
    together = Together(conn)
    await group.write(together)
    await keyed.write(together, group.now)
    await together.send()
    left = await resolve(conn, list(group.never_sent.values()), parts)
    assert not left, "the members are held, and whoever they were merged into"
    return outcomes
