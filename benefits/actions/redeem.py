"""The bank tells a provider that its coupon was used, and that it was not after all (V-2).

Each is a request with a number of its own, which delivery works off. A use is undone only once it
is final, and under a new number.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.actions import ordered
from benefits.actions.answers import DONE, follow_up, saying
from benefits.actions.keyed import Accepted, Decided, Keyed
from benefits.actions.ordered import Ordered
from benefits.actions.parts import Parts
from benefits.domain.orders import USABLE, Operation, RedeemBy, Redemption
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import bucket_of
from benefits.store import claims, members, orders
from benefits.store.db import Busy, Connection, Together
from benefits.store.orders import RequestRow
from benefits.store.requests import RequestKey

OPERATION = "redeem"


class UnknownClaim(Refusal):
    """No claim has this id."""

    code = "unknown_claim"
    words = "No claim has this id."


class UnknownRedemption(Refusal):
    """The claim has no such redemption."""

    code = "unknown_redemption"
    words = "The claim has no redemption with this id."


class RedeemedElsewhere(Refusal):
    """The provider of the benefit is not told of uses: it tells of them itself."""

    code = "redeemed_elsewhere"
    words = "The provider of this benefit tells of its uses itself."


class OrderNotUsable(Refusal):
    """The order is not delivered, or it was used, ended or taken back; or it is of several pieces.

    Of several pieces no answer tells which use it is about, so none is asked for here.
    """

    code = "order_not_usable"
    words = "The order cannot be used as it stands."


class PaymentMissing(Refusal):
    """The provider takes a use only with the payment at which it was."""

    code = "payment_missing"
    words = "The provider of this benefit takes a use only with the payment at which it was."


class RedemptionOpen(Refusal):
    """What was asked before about the order's use is not answered yet."""

    code = "redemption_open"
    words = "The provider has not answered yet what was asked before."


class NotReversible(Refusal):
    """The provider cannot undo a use."""

    code = "not_reversible"
    words = "The provider of this benefit cannot undo a use."


class RedemptionNotFinal(Refusal):
    """The redemption is not answered, was refused, or was reversed before."""

    code = "redemption_not_final"
    words = "Only a redemption that the provider took, and that stands, can be reversed."


class RedeemClaim(msgspec.Struct, frozen=True, kw_only=True):
    """The word of a merchant's system or a branch that a member uses what a claim brought.

    `place` is where, `amount_minor` what the sale came to, and `payment` the payment's number,
    where the provider wants to know.
    """

    caller: str
    key: str
    claim_id: UUID
    place: str = ""
    amount_minor: int | None = None
    payment: str = ""

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
        payment = [self.payment] if self.payment else []
        return body_hash([self.claim_id.hex, self.place, self.amount_minor, *payment])


class ReverseRedemption(msgspec.Struct, frozen=True, kw_only=True):
    """The word that a use is undone: the member took nothing after all."""

    caller: str
    key: str
    claim_id: UUID
    redemption_id: UUID

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
        return body_hash([self.claim_id.hex, self.redemption_id.hex])


Command = RedeemClaim | ReverseRedemption


class _Group:
    """The words of one transaction while they are decided: each sees the one before it."""

    def __init__(self, parts: Parts, owners: dict[UUID, UUID], locked: Collection[UUID]) -> None:
        self.parts = parts
        self.owners = owners
        self.locked = locked
        self.now = parts.clock()
        self.orders: dict[UUID, Ordered] = {}
        self.requests: list[RequestRow] = []

    async def load(self, conn: Connection, commands: Sequence[Command]) -> None:
        """Read the claims and what was asked of their providers."""
        ids = {c.claim_id for c in commands if self.owners.get(c.claim_id) in self.locked}
        self.orders = await ordered.load(conn, ids, self.parts)

    def decide(self, command: Command) -> Accepted | Refusal:
        """Decide whether one provider is told."""
        if command.claim_id not in self.owners:
            return UnknownClaim()
        if self.owners[command.claim_id] not in self.locked:
            return Busy()
        order = self.orders[command.claim_id]
        if isinstance(command, RedeemClaim):
            refusal = _may_redeem(order, command.payment, self.now)
            operation, undoes = Operation.REDEEM, None
            said: object = Redemption(
                at=self.now,
                place=command.place,
                amount_minor=command.amount_minor,
                payment=command.payment,
            )
        else:
            refusal = _may_reverse(order, command.redemption_id)
            operation, undoes = Operation.REVERSE, command.redemption_id
            said = {"undoes": command.redemption_id.hex}
        if refusal is not None:
            return refusal
        request_id = self.parts.new_id(self.now, bucket_of(command.claim_id))
        asking = follow_up(order.issued, request_id, operation, now=self.now)
        asking = msgspec.structs.replace(asking, undoes=undoes)
        request = saying(asking, said, self.parts.envelope)
        order.asked.append(request)
        self.requests.append(request)
        redemption_id = undoes or request.request_id
        return Accepted({"claim_id": str(command.claim_id), "redemption_id": str(redemption_id)})


async def redeem(
    conn: Connection, commands: Sequence[Command], parts: Parts, *, wait: bool
) -> list[Decided | Refusal]:
    """Decide in order whether providers are told, and queue the requests; one outcome each.

    UnknownClaim, UnknownRedemption, RedeemedElsewhere, OrderNotUsable, RedemptionOpen,
    PaymentMissing, NotReversible, RedemptionNotFinal; without `wait` Busy where somebody else
    holds the member.
    """
    owners = await claims.owners(conn, [command.claim_id for command in commands])
    locked = await members.lock(conn, owners.values(), wait=wait)
    keyed, group = Keyed(), _Group(parts, owners, locked.keys())
    asked = [(command, command.request_key, command.body) for command in commands]
    await group.load(conn, await keyed.begin(conn, asked))
    outcomes = keyed.decide_each(asked, group.decide)
    together = Together(conn)
    await orders.put(together, group.requests, group.now)
    await keyed.write(together, group.now)
    await together.send()
    return outcomes


def _may_redeem(order: Ordered, payment: str, now: datetime) -> Refusal | None:
    claim, provider = order.claim, order.provider
    if provider.capabilities.redeem_by is not RedeemBy.US:
        return RedeemedElsewhere()
    if (claim.ordered or claim.quantity) > 1:  # the others may still come
        return OrderNotUsable("Uses are told of claims of one piece only.")
    if claim.cancelled_at is not None:
        return OrderNotUsable("It is being cancelled.")
    if claim.state not in USABLE or (claim.use_until is not None and claim.use_until <= now):
        return OrderNotUsable()
    if order.use_is_open:
        return RedemptionOpen()
    return PaymentMissing() if provider.wants_payment and not payment else None


def _may_reverse(order: Ordered, redemption_id: UUID) -> Refusal | None:
    found = [r for r in order.asked if r.request_id == redemption_id]
    if not found or found[0].operation is not Operation.REDEEM:
        return UnknownRedemption()
    if not order.provider.capabilities.reverse:
        return NotReversible()
    if order.use_is_open:
        return RedemptionOpen()
    undone = any(r.undoes == redemption_id and r.verdict == DONE for r in order.asked)
    return RedemptionNotFinal() if undone or found[0].verdict != DONE else None
