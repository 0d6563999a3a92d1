"""What is told, mostly of a member: a closed list of event types, and the data of each.

Every type is `noun.verbed`. An event's data name what happened and never whom it concerns: no
customer reference, no recipient, no provider's code. The one text of a caller's own is `period`,
which for a reward is the caller's business key. Types and fields are added, never changed.

What is told of entitlements is in whole units, exactly (C-2); of claims and orders, in pieces.
What a batch does to other tables and its postings do not say stands in its event: both are under
one seal (`decisions/0020`). A correction's `digest` is the proposal's, on which two people agreed.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from benefits.domain.limits import Place
from benefits.domain.orders import Reason
from benefits.domain.tier_events import TierDecided, TierSighted
from benefits.domain.units import Quantity


class UnitsGranted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that came; `period` is the quota's, or the business key of a reward.

    They fill up `quota` of a `line` of the programme; a reward's quota is 0. The `priority` is
    that of a line that says one. Units of a `choice` are of no benefit yet (P-8). What makes good
    a booking that was cancelled has its claim for the `period`, and counts against no cap (L-9).
    """

    benefit: str
    quantity: Quantity
    cause: Literal["TIER", "SEGMENT", "REWARD", "MAKE_GOOD"]
    period: str
    expires_at: datetime
    programme: str
    line: str
    quota: Quantity
    priority: int | None = None
    choice: str = ""


class UnitsConverted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units of a choice that became units of a benefit, from `lot_id`, under its terms (P-8).

    The `priority` is that of a line that says one.
    """

    choice: str
    benefit: str
    quantity: Quantity
    lot_id: UUID
    cause: Literal["TIER", "SEGMENT", "REWARD", "MAKE_GOOD"]
    period: str
    programme: str
    line: str
    expires_at: datetime | None
    priority: int | None = None


class UnitsExpired(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units whose time ran out; `unit` is `BENEFIT:` and the benefit's code, or a `CHOICE:`.

    Some `ended` before that, with the relationship; of those of a member who died nobody is told.
    Others were carried over, and new ones filled their line up to its `cap`.
    """

    unit: str
    quantity: Quantity
    ended: Literal["CLOSED", "DECEASED"] | None = None
    cap: Quantity | None = None


class ClaimPlaced(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that are held for a claim of `quantity` pieces; `window` is the cap's, if any.

    `limits` are where it took room besides. With each of the member's own pieces come those of the
    `companions`. What it brings can be used while now < `use_until`. The benefit came `instead_of`
    another, whose units these are, where that one's contract ended (V-6). It is
    `booked_for` a time, and cancelled freely until `cancel_until` (V-10).
    """

    benefit: str
    quantity: int
    programme: str
    programme_version: int
    window: str
    hold_id: UUID
    claimed_at: datetime
    limits: tuple[Place, ...] = ()
    companions: int = 0
    use_until: datetime | None = None
    instead_of: str | None = None
    booked_for: datetime | None = None
    cancel_until: datetime | None = None


class ClaimRefused(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pieces that were not claimed for the member as they came; they are the member's to claim.

    `refusal` is the code by which it was refused.
    """

    benefit: str
    quantity: int
    programme: str
    line: str
    refusal: str


class WaitBegun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A claim of `quantity` pieces waits for room of a limit until `ends_at`, if to any end."""

    benefit: str
    quantity: int
    programme: str
    limit: str
    ends_at: datetime | None = None


class WaitEnded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A claim waits no longer: it was made, the `claim_id`; or refused, by the code `refusal`.

    Or the member wished so, or its time was over.
    """

    benefit: str
    quantity: int
    programme: str
    reason: Literal["SERVED", "CANCELLED", "OVER", "REFUSED"]
    refusal: str | None = None
    claim_id: UUID | None = None


class BudgetTaken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget whose claims came to `percent` of its total, in minor units (K-4)."""

    programme: str
    budget: str
    percent: Literal[80, 95, 100]
    total_minor: int
    taken_minor: int


class OrderMoved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the order of a claim stands; `reason`, if any, says why a provider refused.

    Of a booking it may be that the member cancelled it, or did not come.
    """

    benefit: str
    quantity: int
    reason: str


class UnitsReturned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spent units that came back; `expired` of them ended at once, `made_good` came anew.

    Those that came anew are in the lot `lot_id` until `expires_at`.
    """

    benefit: str
    quantity: Quantity
    expired: Quantity
    made_good: Quantity
    lot_id: UUID | None
    expires_at: datetime | None
    digest: str


class UnitsRevoked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unused units that were taken back. Units of a `choice` are of no benefit yet."""

    benefit: str
    quantity: Quantity
    digest: str
    choice: str = ""


class QuotaFollowed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unused units of a line that went when a tier fell, or came back when it rose again.

    `quota` is the new tier's. Units of a `choice` are of no benefit yet.
    """

    benefit: str
    quantity: Quantity
    period: str
    programme: str
    line: str
    quota: Quantity
    choice: str = ""


class UnitsClawedBack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units taken back: `taken` of what was left, `owed` by the member, `borne` by the bank."""

    benefit: str
    quantity: Quantity
    taken: Quantity
    owed: Quantity
    borne: Quantity
    digest: str


class DebtForgiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that a member owes no more."""

    benefit: str
    quantity: Quantity
    digest: str


class UnitsMadeGood(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units given for the order of `claim_id`, which failed; they count against no cap."""

    benefit: str
    quantity: Quantity
    claim_id: UUID
    expires_at: datetime
    digest: str


class OrderSettled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people settled an order: `delivered` of its `quantity`, the rest came back."""

    benefit: str
    quantity: int
    delivered: int
    state: Literal["ISSUED", "REDEEMED", "COMPENSATED"]
    digest: str


class OrderPartlyUsed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a claim's `quantity` of pieces the member has used so many."""

    benefit: str
    quantity: int
    reason: str
    used: int


class OrderCounted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the `quantity` of pieces that were ordered so many are `missing` that may still come."""

    benefit: str
    quantity: int
    reason: str
    missing: int


class OrderReversed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A use that was undone, and where the order stands now: as before, or it has ended."""

    benefit: str
    quantity: int
    reason: str
    state: Literal["ISSUED", "CONFIRMED", "PARTLY_REDEEMED", "EXPIRED"]


class LossRecovered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units delivered without entitlement that are no loss of the bank's any more."""

    benefit: str
    quantity: Quantity
    digest: str


class ChargeCleared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a make-good had charged a provider: it has settled it, or it is `OURS` after all."""

    benefit: str
    provider: str
    amount_minor: int
    fault: Literal["OURS", "PROVIDER"]
    digest: str


class UnitsTransferred(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that went to the member one was merged into: they are in that one's `lot_id` now."""

    unit: str
    quantity: Quantity
    lot_id: UUID


class UnitsReceived(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that came with a customer who was merged, from their `lot_id`, under its terms."""

    unit: str
    quantity: Quantity
    lot_id: UUID
    cause: Literal["TIER", "SEGMENT", "REWARD", "MAKE_GOOD"]
    period: str
    programme: str
    line: str
    granted_at: datetime
    expires_at: datetime | None
    priority: int | None = None


class UnitsExtended(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units of an earlier lot, `lot_id`, that end later, by the days of a freeze."""

    unit: str
    quantity: Quantity
    lot_id: UUID
    cause: Literal["TIER", "SEGMENT", "REWARD", "MAKE_GOOD"]
    period: str
    programme: str
    line: str
    granted_at: datetime
    expires_at: datetime
    priority: int | None = None


class DebtMoved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units owed that went from the one who was merged to the other."""

    unit: str
    quantity: Quantity


class MembersMerged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two customers became one member; both histories tell it."""

    merged: UUID
    into: UUID


class MemberBlocked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a member is stopped from in [from_at, until), but for an earlier end (E-6).

    `target` is the benefit's or the provider's code, where the scope is of one. Why is not told.
    """

    scope: Literal["ALL", "CLAIM", "BENEFIT", "PROVIDER"]
    target: str
    from_at: datetime
    until: datetime | None


class MemberUnblocked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block that is over: two people ended it, or its time came (E-6)."""

    scope: Literal["ALL", "CLAIM", "BENEFIT", "PROVIDER"]
    target: str


class RuleActivated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version of a programme that holds since `effective_from` (U-1).

    Its tiers and policy decide months from `first_month` on.
    """

    programme: str
    version: int
    effective_from: datetime
    first_month: str


class CodesLow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stock of codes that came `below` a threshold, with so many `free` (V-9)."""

    provider: str
    sku: str
    free: int
    below: int


Told = type[
    TierDecided
    | TierSighted
    | UnitsGranted
    | UnitsConverted
    | UnitsExpired
    | ClaimPlaced
    | ClaimRefused
    | WaitBegun
    | WaitEnded
    | BudgetTaken
    | OrderMoved
    | OrderCounted
    | OrderPartlyUsed
    | OrderReversed
    | UnitsReturned
    | UnitsRevoked
    | QuotaFollowed
    | UnitsClawedBack
    | DebtForgiven
    | UnitsMadeGood
    | OrderSettled
    | LossRecovered
    | ChargeCleared
    | UnitsTransferred
    | UnitsReceived
    | UnitsExtended
    | DebtMoved
    | MembersMerged
    | MemberBlocked
    | MemberUnblocked
    | RuleActivated
    | CodesLow
]
CANCELLED, NO_SHOW = "cancelled", "no_show"  # why a booking is over
REASONS = ("", *(reason.value.lower() for reason in Reason), CANCELLED, NO_SHOW)


class Kind(msgspec.Struct, frozen=True):
    """A type of event: what its data hold, what its subject is, and what it means."""

    data: Told
    subject: Literal[
        "decision", "period", "lot", "claim", "wait", "correction", "member", "block", ""
    ]
    words: str


EVENTS: dict[str, Kind] = {
    "tier.upgraded": Kind(TierDecided, "decision", "The tier rises."),
    "tier.downgraded": Kind(TierDecided, "decision", "The tier falls."),
    "tier.watched": Kind(TierDecided, "decision", "A month was below; the tier stays for now."),
    "tier.retained": Kind(TierDecided, "decision", "The tier is kept; misses end."),
    "tier.held": Kind(TierDecided, "decision", "Nothing could fall; the tier stays."),
    "tier.downgrade_scheduled": Kind(TierDecided, "decision", "A term ended below; grace begins."),
    "tier.undetermined": Kind(TierDecided, "decision", "Days are missing; nothing is decided."),
    "tier.corrected": Kind(TierDecided, "decision", "A month that was told is decided anew."),
    "tier.ended": Kind(TierDecided, "decision", "The relationship ended, and the tier with it."),
    "tier.merged": Kind(TierDecided, "decision", "The higher tier of two who were merged."),
    "tier.welcomed": Kind(TierDecided, "decision", "A new customer is welcome to the tier."),
    "tier.welcome_ended": Kind(TierDecided, "decision", "A welcome ended, and its tier with it."),
    "tier.at_risk": Kind(TierSighted, "period", "The running period goes below the tier."),
    "tier.near": Kind(TierSighted, "period", "The running period comes near a higher tier."),
    "entitlement.granted": Kind(UnitsGranted, "lot", "Units came, by tier or as a reward."),
    "entitlement.converted": Kind(UnitsConverted, "lot", "A member chose a benefit for a unit."),
    "entitlement.expired": Kind(UnitsExpired, "lot", "Unspent units ended."),
    "claim.placed": Kind(ClaimPlaced, "claim", "A member claimed; the units are held."),
    "claim.refused": Kind(ClaimRefused, "lot", "Units could not be claimed for the member."),
    "wait.begun": Kind(WaitBegun, "wait", "A limit is full; the claim waits for room."),
    "wait.ended": Kind(WaitEnded, "wait", "A claim waits no longer: made, given up or refused."),
    "budget.threshold": Kind(BudgetTaken, "claim", "A claim took a budget to 80, 95 or 100 %."),
    "order.held": Kind(OrderMoved, "claim", "Nothing was sent yet; it will be tried again."),
    "order.pending": Kind(OrderMoved, "claim", "The provider accepted and will answer later."),
    "order.unknown": Kind(OrderMoved, "claim", "The provider was silent; it is asked again."),
    "order.manual": Kind(OrderMoved, "claim", "The provider never said; a person decides."),
    "order.issued": Kind(OrderMoved, "claim", "The provider delivered."),
    "order.confirmed": Kind(OrderMoved, "claim", "The provider delivered, and we confirmed."),
    "order.counted": Kind(OrderCounted, "claim", "Some of the pieces came, or the rest did."),
    "order.partly_redeemed": Kind(OrderPartlyUsed, "claim", "The member used some of it."),
    "order.redeemed": Kind(OrderMoved, "claim", "The member used it at the provider."),
    "order.reversed": Kind(OrderReversed, "claim", "That it was used was undone."),
    "order.compensated": Kind(OrderMoved, "claim", "The provider refused; the units came back."),
    "order.expired": Kind(OrderMoved, "claim", "Nothing was sent, or it was not used, in time."),
    "order.revoking": Kind(OrderMoved, "claim", "What was delivered is being taken back."),
    "order.kept": Kind(OrderMoved, "claim", "The provider keeps it; the booking stands."),
    "order.revoked": Kind(OrderMoved, "claim", "The provider took back what it delivered."),
    "case.opened": Kind(OrderMoved, "claim", "A person must look at the order."),
    "case.closed": Kind(
        OrderMoved, "claim", "A person has looked at the order, or it was answered."
    ),
    "entitlement.returned": Kind(UnitsReturned, "claim", "Spent units came back."),
    "entitlement.revoked": Kind(UnitsRevoked, "lot", "Unused units were taken back."),
    "entitlement.reduced": Kind(QuotaFollowed, "lot", "Units beyond a lower tier's went."),
    "entitlement.restored": Kind(QuotaFollowed, "lot", "They came back with a higher tier."),
    "entitlement.clawed_back": Kind(UnitsClawedBack, "correction", "Units were taken back."),
    "entitlement.debt_forgiven": Kind(DebtForgiven, "correction", "Units are owed no more."),
    "entitlement.made_good": Kind(UnitsMadeGood, "lot", "Units came for an order that failed."),
    "order.settled": Kind(OrderSettled, "claim", "People settled how much was delivered."),
    "loss.recovered": Kind(LossRecovered, "claim", "A loss is the bank's no more."),
    "charge.cleared": Kind(ChargeCleared, "claim", "A charge to a provider came to its end."),
    "entitlement.transferred": Kind(UnitsTransferred, "lot", "Units went along with a merger."),
    "entitlement.received": Kind(UnitsReceived, "lot", "Units came along with a merger."),
    "entitlement.extended": Kind(UnitsExtended, "lot", "A freeze's days were added."),
    "entitlement.debt_given": Kind(DebtMoved, "member", "A debt went along with a merger."),
    "entitlement.debt_taken": Kind(DebtMoved, "member", "A debt came along with a merger."),
    "member.merged": Kind(MembersMerged, "member", "Two customers became one member."),
    "member.blocked": Kind(MemberBlocked, "block", "Two people stopped a member."),
    "member.unblocked": Kind(MemberUnblocked, "block", "A block is over."),
    "rule.activated": Kind(RuleActivated, "", "A version of a programme came into force."),
    "codes.low": Kind(CodesLow, "", "Few codes are left in a stock."),
}


def types_of(wanted: list[str]) -> list[str]:
    """Return the types that filters name: each exactly, or by a beginning with its dot."""
    return [
        kind
        for kind in EVENTS
        if any(kind == name or (name.endswith(".") and kind.startswith(name)) for name in wanted)
    ]
