"""Corrections: what people may post by hand, for which reasons, and what it would do (L-7 to L-9).

One person proposes, another approves; both are bound to the digest of the proposal, which covers
what is asked and every posting that would follow. So an `Effect` holds no instant and no new id:
decided again on the same facts it is the same, decided on others it is another.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain import ledger
from benefits.domain.entitlement import CounterUse, uncapped_units
from benefits.domain.ledger import Account, Cost, Lot, Part, Posting
from benefits.domain.orders import OrderState
from benefits.domain.refusal import Refusal
from benefits.domain.units import LARGEST, Quantity
from benefits.domain.values import EPOCH

QUANTITY_MAX = 10_000
VALID_DAYS_MIN = 7
VALID_DAYS_MAX = 3660
# Stands for the lot that a correction would make: it has no id until it is made.
NEW_LOT = UUID(int=0)


class Kind(enum.Enum):
    """What a correction does."""

    REVERSE = "REVERSE"
    REVOKE = "REVOKE"
    CLAW_BACK = "CLAW_BACK"
    FORGIVE = "FORGIVE"
    MAKE_GOOD = "MAKE_GOOD"
    SETTLE = "SETTLE"
    RECOVER = "RECOVER"
    CLEAR = "CLEAR"


class Why(enum.Enum):
    """Why a person corrects (closed list)."""

    OUR_FAULT = "OUR_FAULT"
    PROVIDER_FAULT = "PROVIDER_FAULT"
    NOT_DELIVERED = "NOT_DELIVERED"
    PARTLY_DELIVERED = "PARTLY_DELIVERED"
    REFUND = "REFUND"
    GRANTED_IN_ERROR = "GRANTED_IN_ERROR"
    FRAUD = "FRAUD"
    GOODWILL = "GOODWILL"


# A reversal for this reason alone says that nothing was delivered, so that its place in the stock
# is free again (V-9).
UNDELIVERED = Why.NOT_DELIVERED


class Fault(enum.Enum):
    """Who pays for a make-good, or has paid for it in the end (L-9)."""

    OURS = "OURS"
    PROVIDER = "PROVIDER"


class CorrectionInvalid(Refusal):
    """The proposal does not bring exactly what its kind needs."""

    code = "correction_invalid"
    words = "The correction must bring exactly the fields that its kind needs."


class CorrectionExceeds(Refusal):
    """There are fewer units to correct than the proposal names (I7)."""

    code = "correction_exceeds"
    words = "There are fewer units to correct."


class OrderUnfit(Refusal):
    """The order of the claim does not stand where this correction applies."""

    code = "order_unfit"
    words = "The state of the order does not allow this correction."


class TargetUnknown(Refusal):
    """The claim or lot to correct is not there, or not this member's."""

    code = "target_unknown"
    words = "This member has no such claim or lot."


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person asks for; each kind needs some of the fields and refuses the others.

    `quantity` counts whole units; where the matter is a claim, its pieces (C-2): of an order to
    settle, those that were delivered. What is cleared is counted in minor units of money.
    """

    kind: Kind
    member_id: UUID
    quantity: Quantity
    claim_id: UUID | None = None
    lot_id: UUID | None = None
    benefit: str = ""
    fault: Fault | None = None
    valid_days: int = 0


NEEDED: Mapping[Kind, frozenset[str]] = {
    Kind.REVERSE: frozenset({"claim_id"}),
    Kind.REVOKE: frozenset({"lot_id"}),
    Kind.CLAW_BACK: frozenset({"benefit"}),
    Kind.FORGIVE: frozenset({"benefit"}),
    Kind.MAKE_GOOD: frozenset({"claim_id", "fault", "valid_days"}),
    Kind.SETTLE: frozenset({"claim_id"}),
    Kind.RECOVER: frozenset({"claim_id"}),
    Kind.CLEAR: frozenset({"claim_id", "fault"}),
}


def check(wanted: Wanted) -> None:
    """Refuse what is not as its kind needs it (CorrectionInvalid)."""
    optional = ("claim_id", "lot_id", "benefit", "fault", "valid_days")
    brought = {name for name in optional if getattr(wanted, name)}
    needed = NEEDED[wanted.kind]
    if brought != needed:
        fields = ", ".join(sorted(needed))
        raise CorrectionInvalid(f"{wanted.kind.value} needs quantity and exactly: {fields}.")
    most = LARGEST if wanted.kind is Kind.CLEAR else QUANTITY_MAX
    if not 0 <= wanted.quantity <= most or (
        wanted.quantity == 0 and wanted.kind is not Kind.SETTLE
    ):
        least = "at least" if wanted.kind is Kind.SETTLE else "above"
        raise CorrectionInvalid(f"quantity must be {least} 0 and at most {most}.")
    if "claim_id" in needed and not isinstance(wanted.quantity, int):
        what = "minor units of money" if wanted.kind is Kind.CLEAR else "the pieces of the claim"
        raise CorrectionInvalid(f"quantity counts {what}, whole ones.")
    if wanted.valid_days and not VALID_DAYS_MIN <= wanted.valid_days <= VALID_DAYS_MAX:
        raise CorrectionInvalid(
            f"valid_days must be between {VALID_DAYS_MIN} and {VALID_DAYS_MAX}."
        )


class NewLot(msgspec.Struct, frozen=True):
    """A make-good that would come of it: outside quotas and caps, valid from the approval on."""

    quantity: int
    valid_days: int


class HoldSplit(msgspec.Struct, frozen=True):
    """How a hold would end; `uncapped` of what is released count against no cap."""

    captured: int
    released: int
    uncapped: int


class Undone(msgspec.Struct, frozen=True):
    """`amount` of line `line` of an earlier batch is given back by posting `by_line`."""

    line: int
    by_line: int
    amount: int


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """All that a correction would do; counters change by `stock`, `budget` and `cap`.

    Stock is in pieces; all other figures of units are in the ledger's steps.

    `earlier` units of the claim were given back or made good before, or of the unit taken back, or
    minor units cleared: of two alike proposals only one can be approved as it was read.
    """

    postings: tuple[Posting, ...]
    reverses: UUID | None = None
    undone: tuple[Undone, ...] = ()
    lot: NewLot | None = None
    state: OrderState | None = None
    split: HoldSplit | None = None
    stock: CounterUse = CounterUse()
    budget: CounterUse = CounterUse()
    cap: int = 0
    earlier: int = 0


class Line(msgspec.Struct, frozen=True):
    """A posting of an earlier batch, and how much of it was given back before."""

    line: int
    posting: Posting
    reversed: int

    @property
    def left(self) -> int:
        """What is still there to give back."""
        return self.posting.amount - self.reversed


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim spent: the batch that did, and its lines.

    Each of its pieces took `piece` steps of the units.
    """

    batch_id: UUID
    lines: Sequence[Line]
    piece: int
    is_capped: bool


def reverse(
    captured: Captured,
    quantity: int,
    lots: Mapping[UUID, Lot],
    now: datetime,
    *,
    late_days: int,
    owed: int,
    replaced: int,
    undelivered: bool,
) -> Effect:
    """Give spent units back to their lots, with money, budget and cap (L-7).

    Stock comes back only where they were `undelivered`: what was shown is never issued again.

    Where a lot has ended they expire; with `late_days` as many are made good. A unit comes back
    once, or is replaced once: people made `replaced` of the claim good before.
    """
    units = [line for line in captured.lines if line.posting.credit is Account.REDEEMED]
    whole = sum(line.posting.amount for line in units)
    earlier = given_back(units) + replaced
    if quantity > whole - earlier:
        raise CorrectionExceeds
    parts = _first(units, quantity)
    money = _money_back(captured, quantity, units)
    postings = ledger.restore(parts, dict(lots), now) + money
    late = sum(p.amount for p in parts if lots[p.lot_id].ended(now))
    lot = NewLot(late, late_days) if late and late_days else None
    if lot:
        unit = units[0].posting.unit
        postings += _made_good(unit, late, owed)
    counted = quantity - uncapped_units(parts, lots)
    return Effect(
        postings=tuple(postings),
        reverses=captured.batch_id,
        undone=tuple(undone(captured.lines, postings)),
        lot=lot,
        stock=CounterUse(0, -(quantity // captured.piece) if undelivered else 0),
        budget=CounterUse(0, -sum(p.amount for p in money if p.debit is Account.BUDGET_SPENT)),
        cap=-counted if captured.is_capped else 0,
        earlier=earlier,
    )


def given_back(lines: Iterable[Line]) -> int:
    """Return how many spent units came back before."""
    return sum(line.reversed for line in lines if line.posting.credit is Account.REDEEMED)


def counting(lines: Iterable[Line], lots: Mapping[UUID, Lot]) -> int:
    """Return how many spent units still count against caps and limits: no make-good's (L-9)."""
    return sum(
        line.left
        for line in lines
        if line.posting.credit is Account.REDEEMED
        and line.posting.lot_id is not None
        and lots[line.posting.lot_id].capped
    )


def _cost(minor: int, held: int, quantity: int) -> int:
    return (
        minor * quantity // held
    )  # exact: what a hold costs is the cost of a piece, times pieces


def _first(units: Iterable[Line], quantity: int) -> list[Part]:
    """Choose what comes back first: in the order in which it was taken."""
    found = list[Part]()
    for line in units:
        amount = min(quantity, line.left)
        if amount:
            assert line.posting.lot_id is not None, "units are of a lot"
            found.append(Part(line.posting.lot_id, amount))
            quantity -= amount
    return found


def _money_back(captured: Captured, quantity: int, units: Sequence[Line]) -> list[Posting]:
    """Take back the share of what was spent that these units had, to the last minor unit."""
    spent = [line for line in captured.lines if line.posting.credit is Account.BUDGET_SPENT]
    owed = [line for line in captured.lines if line.posting.credit is Account.EXPENSE]
    if not spent or not owed:
        return []
    whole = sum(line.posting.amount for line in units)
    before = sum(line.reversed for line in units)
    minor = sum(line.posting.amount for line in spent)
    share = minor * (before + quantity) // whole - sum(line.reversed for line in spent)
    first = spent[0].posting
    cost = Cost(first.unit, first.party, owed[0].posting.party, share)
    return ledger.unspend(cost, share)


def undone(lines: Sequence[Line], postings: Sequence[Posting]) -> Iterable[Undone]:
    """Yield which lines each posting gives back, and how much of each."""
    gave = {Account.REDEEMED, Account.BUDGET_SPENT, Account.EXPENSE, Account.LOSS}
    for by_line, posting in enumerate(postings):
        if posting.debit not in gave:
            continue
        missing = posting.amount
        for line in lines:
            was = line.posting
            of = (was.credit, was.lot_id, was.unit)
            if of == (posting.debit, posting.lot_id, posting.unit):
                amount = min(missing, line.left)
                missing -= amount
                if amount:
                    yield Undone(line.line, by_line, amount)


class Taken(msgspec.Struct, frozen=True):
    """A member's units of a kind: `free` ones, `used` ones not clawed back, `revoked` so far."""

    free: int
    used: int
    revoked: int


def revoke(lot: Lot, quantity: int, now: datetime, *, earlier: int) -> Effect:
    """Take back units of a lot that were not used; `earlier` were taken back before."""
    if quantity > lot.available(now):
        raise CorrectionExceeds
    postings = ledger.revoke(lot.unit, [Part(lot.lot_id, quantity)])
    return Effect(postings=tuple(postings), earlier=earlier)


def claw_back(
    lots: Iterable[Lot],
    unit: str,
    quantity: int,
    now: datetime,
    *,
    taken: Taken,
    owing: bool,
) -> Effect:
    """Take back units that nobody was entitled to, used ones too (L-8)."""
    if quantity > taken.free + taken.used:
        raise CorrectionExceeds
    postings = ledger.claw_back(lots, unit, quantity, now, owing=owing)
    return Effect(postings=tuple(postings), earlier=taken.revoked)


def forgive(unit: str, quantity: int, owed: int, *, earlier: int) -> Effect:
    """Write off what a member owes (L-8); `earlier` units were taken back before."""
    if quantity > owed:
        raise CorrectionExceeds
    return Effect(postings=tuple(ledger.forgive(unit, quantity)), earlier=earlier)


class Failed(msgspec.Struct, frozen=True):
    """An order that failed: whether it still holds its units, and how many were replaced of them.

    What was released in time is the member's again: it counts as replaced.
    """

    holds: bool
    quantity: int
    replaced: int


def make_good(unit: str, new: NewLot, order: Failed, *, owed: int, charged: Cost | None) -> Effect:
    """Give new units for an order that failed; who is at fault pays (L-9).

    `charged` is what the provider owes for them, where it is at fault. What an order still holds
    may come back by itself.
    """
    if order.holds:
        raise OrderUnfit
    if order.replaced + new.quantity > order.quantity:
        raise CorrectionExceeds
    postings = _made_good(unit, new.quantity, owed)
    if charged is not None:
        postings += ledger.charge(charged)
    return Effect(postings=tuple(postings), lot=new, earlier=order.replaced)


def _made_good(unit: str, quantity: int, owed: int) -> list[Posting]:
    lot = Lot(
        lot_id=NEW_LOT,
        unit=unit,
        granted=quantity,
        remaining=quantity,
        held=0,
        expires_at=None,
        granted_at=EPOCH,
        capped=False,
    )
    return ledger.grant(lot) + ledger.pay_debt(lot, owed)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What an order holds: units by lot, `piece` steps a piece, and the cost it reserved.

    All of it would be paid with `paid_minor` (K-4).
    """

    unit: str
    piece: int
    parts: Sequence[Part]
    cost_minor: int
    cost: Cost
    paid_minor: int
    is_capped: bool


def settle(
    held: Held,
    delivered: int,
    lots: Mapping[UUID, Lot],
    now: datetime,
    *,
    state: OrderState,
    at_issue: bool,
) -> Effect:
    """End an order that nobody could clear up: `delivered` units are spent, the rest released."""
    if state is not OrderState.MANUAL:
        raise OrderUnfit
    quantity = sum(part.amount for part in held.parts)
    if delivered > quantity:
        raise CorrectionExceeds
    captured, released = ledger.split(held.parts, delivered)
    spent = _cost(held.paid_minor, quantity, delivered)
    postings = ledger.capture(held.unit, captured)
    postings += ledger.release(released, dict(lots), now)
    postings += ledger.spend(held.cost, spent) if delivered else ledger.unreserve(held.cost)
    uncapped = uncapped_units(released, lots)
    back = quantity - delivered
    to = OrderState.ISSUED if at_issue else OrderState.REDEEMED
    return Effect(
        postings=tuple(postings),
        state=to if delivered else OrderState.COMPENSATED,
        split=HoldSplit(delivered, back, uncapped),
        stock=CounterUse(-(quantity // held.piece), delivered // held.piece),
        budget=CounterUse(-held.cost_minor, spent),
        cap=uncapped - back if held.is_capped else 0,
    )
