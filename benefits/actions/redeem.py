"""The bank tells a provider that its coupon was used, and that it was not after all (V-2).

Each is a request with a number of its own, which delivery works off. A use is undone only once it
is final, and under a new number.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.actions.answers import DONE, follow_up, saying
from benefits.actions.keyed import Accepted, Decided, Keyed
from benefits.actions.parts import Parts
from benefits.domain.orders import USABLE, Capabilities, Operation, RedeemBy, Redemption
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import bucket_of, placed_bucket
from benefits.store import claims, members, orders
from benefits.store.claims import ClaimRow
from benefits.store.db import Busy, Connection
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
    def body(self) -> bytes:
        """The hash of what is asked."""
        return body_hash([self.claim_id.hex, self.redemption_id.hex])


Command = RedeemClaim | ReverseRedemption


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
    keys = [
        RequestKey(placed_bucket(c.caller, OPERATION, c.key), c.caller, OPERATION, c.key)
        for c in commands
    ]
    keyed, now = Keyed(), parts.clock()
    await keyed.load(conn, keys)
    outcomes = list[Decided | Refusal]()
    for command, key in zip(commands, keys, strict=True):
        if command.claim_id in owners and owners[command.claim_id] not in locked:
            outcomes.append(Busy())
            continue
        outcome = keyed.earlier(key, command.body)
        if outcome is None:
            outcome = keyed.decide(key, command.body, await _decide(conn, command, parts, now))
        outcomes.append(outcome)
    await keyed.write(conn, now)
    return outcomes


async def _decide(
    conn: Connection, command: Command, parts: Parts, now: datetime
) -> Accepted | Refusal:
    claim = (await claims.by_id(conn, [command.claim_id])).get(command.claim_id)
    if claim is None:
        return UnknownClaim()
    programme, benefit = await parts.catalogue.made_under(conn, claim)
    provider = programme.providers[benefit.provider]
    agreed = provider.capabilities
    asked = (await orders.of_claims(conn, [(claim.member_id, claim.claim_id)]))[claim.claim_id]
    if isinstance(command, RedeemClaim):
        refusal = _may_redeem(claim, asked, agreed, now)
        if refusal is None and provider.wants_payment and not command.payment:
            refusal = PaymentMissing()
        operation, undoes = Operation.REDEEM, None
        said: object = Redemption(
            at=now,
            place=command.place,
            amount_minor=command.amount_minor,
            payment=command.payment,
        )
    else:
        refusal = _may_reverse(command.redemption_id, asked, agreed)
        operation, undoes = Operation.REVERSE, command.redemption_id
        said = {"undoes": command.redemption_id.hex}
    if refusal is not None:
        return refusal
    (issued,) = (each for each in asked if each.operation is Operation.ISSUE)
    request_id = parts.new_id(now, bucket_of(claim.claim_id))
    asking = follow_up(issued, request_id, operation, now=now)
    request = saying(msgspec.structs.replace(asking, undoes=undoes), said, parts.envelope)
    await orders.put(conn, [request], now)
    ids = {"claim_id": str(claim.claim_id), "redemption_id": str(undoes or request.request_id)}
    return Accepted(ids)


def _may_redeem(
    claim: ClaimRow, asked: Sequence[RequestRow], agreed: Capabilities, now: datetime
) -> Refusal | None:
    if agreed.redeem_by is not RedeemBy.US:
        return RedeemedElsewhere()
    if (claim.ordered or claim.quantity) > 1:  # the others may still come
        return OrderNotUsable("Uses are told of claims of one piece only.")
    if claim.cancelled_at is not None:
        return OrderNotUsable("It is being cancelled.")
    if claim.state not in USABLE or (claim.use_until is not None and claim.use_until <= now):
        return OrderNotUsable()
    return RedemptionOpen() if is_open(asked) else None


def _may_reverse(
    redemption_id: UUID, asked: Sequence[RequestRow], agreed: Capabilities
) -> Refusal | None:
    found = [r for r in asked if r.request_id == redemption_id]
    if not found or found[0].operation is not Operation.REDEEM:
        return UnknownRedemption()
    if not agreed.reverse:
        return NotReversible()
    if is_open(asked):
        return RedemptionOpen()
    undone = any(r.undoes == redemption_id and r.verdict == DONE for r in asked)
    return RedemptionNotFinal() if undone or found[0].verdict != DONE else None


def is_open(asked: Sequence[RequestRow]) -> bool:
    """Say whether something is still being asked about the use of an order."""
    of_use = {Operation.REDEEM, Operation.REVERSE}
    return any(r.operation in of_use and not r.verdict for r in asked)
