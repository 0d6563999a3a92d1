"""The CRM follows what happens to all members: one feed, by a cursor that skips nothing."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.params import FromQuery, QueryParameter

from benefits.domain.events import (
    EVENTS,
    BudgetTaken,
    ChargeCleared,
    ClaimPlaced,
    ClaimRefused,
    CodesLow,
    DebtForgiven,
    DebtMoved,
    LossRecovered,
    MemberBlocked,
    MembersMerged,
    MemberUnblocked,
    OrderCounted,
    OrderMoved,
    OrderPartlyUsed,
    OrderReversed,
    OrderSettled,
    QuotaFollowed,
    RuleActivated,
    UnitsClawedBack,
    UnitsConverted,
    UnitsExpired,
    UnitsExtended,
    UnitsGranted,
    UnitsMadeGood,
    UnitsReceived,
    UnitsReturned,
    UnitsRevoked,
    UnitsTransferred,
    WaitBegun,
    WaitEnded,
    types_of,
)
from benefits.domain.tier_events import TierDecided, TierSighted
from benefits.store import feed
from benefits.store.feed import FedEvent, Place
from benefits.web import cursors
from benefits.web.auth import needs
from benefits.web.problems import RequestInvalid

PAGE_MAX = 1000
TYPES_MAX = 20
FILTER = re.compile(r"[a-z]+\.[a-z_]*")


class _Event(msgspec.Struct, kw_only=True):
    """What all events tell: `sequence` ascends by one per member, in the order of the feed.

    What is of no member stands under the `member_id` 00000000-0000-0000-0000-000000000000.
    """

    id: UUID
    sequence: int
    member_id: UUID
    subject_id: UUID | None
    recorded_at: datetime


class TierEvent(_Event, kw_only=True):
    """A month was decided; the subject is the decision."""

    type: Literal[
        "tier.upgraded",
        "tier.downgraded",
        "tier.watched",
        "tier.retained",
        "tier.held",
        "tier.downgrade_scheduled",
        "tier.undetermined",
        "tier.corrected",
        "tier.ended",
        "tier.merged",
        "tier.welcomed",
        "tier.welcome_ended",
    ]
    data: TierDecided


class TierSightedEvent(_Event, kw_only=True):
    """Something is seen ahead in the running period; there is no subject."""

    type: Literal["tier.at_risk", "tier.near"]
    data: TierSighted


class UnitsGrantedEvent(_Event, kw_only=True):
    """Units came; the subject is their lot."""

    type: Literal["entitlement.granted"]
    data: UnitsGranted


class UnitsExpiredEvent(_Event, kw_only=True):
    """Units ended unspent; the subject is their lot."""

    type: Literal["entitlement.expired"]
    data: UnitsExpired


class ClaimEvent(_Event, kw_only=True):
    """A claim was placed; it is the subject."""

    type: Literal["claim.placed"]
    data: ClaimPlaced


class BudgetEvent(_Event, kw_only=True):
    """A budget came to a threshold; the subject is the claim that took it there."""

    type: Literal["budget.threshold"]
    data: BudgetTaken


class OrderEvent(_Event, kw_only=True):
    """The order of a claim moved; the claim is the subject."""

    type: Literal[
        "order.held",
        "order.pending",
        "order.unknown",
        "order.manual",
        "order.issued",
        "order.confirmed",
        "order.redeemed",
        "order.compensated",
        "order.expired",
        "order.revoking",
        "order.kept",
        "order.revoked",
        "case.opened",
        "case.closed",
    ]
    data: OrderMoved


class ClaimRefusedEvent(_Event, kw_only=True):
    """Units could not be claimed for the member as they came; the subject is their lot."""

    type: Literal["claim.refused"]
    data: ClaimRefused


class WaitBegunEvent(_Event, kw_only=True):
    """A claim waits for room; the subject is the wait."""

    type: Literal["wait.begun"]
    data: WaitBegun


class WaitEndedEvent(_Event, kw_only=True):
    """A claim waits no longer; the subject is the wait."""

    type: Literal["wait.ended"]
    data: WaitEnded


class UnitsReturnedEvent(_Event, kw_only=True):
    """Spent units came back; the subject is the claim that had spent them."""

    type: Literal["entitlement.returned"]
    data: UnitsReturned


class UnitsConvertedEvent(_Event, kw_only=True):
    """A member chose a benefit for a unit of a choice; the subject is the benefit's lot."""

    type: Literal["entitlement.converted"]
    data: UnitsConverted


class UnitsRevokedEvent(_Event, kw_only=True):
    """Unused units were taken back; the subject is their lot."""

    type: Literal["entitlement.revoked"]
    data: UnitsRevoked


class QuotaFollowedEvent(_Event, kw_only=True):
    """Unused units went with a tier, or came back with it; the subject is their lot."""

    type: Literal["entitlement.reduced", "entitlement.restored"]
    data: QuotaFollowed


class UnitsClawedBackEvent(_Event, kw_only=True):
    """Units were taken back, used ones too; the subject is the correction."""

    type: Literal["entitlement.clawed_back"]
    data: UnitsClawedBack


class DebtForgivenEvent(_Event, kw_only=True):
    """Units are owed no more; the subject is the correction."""

    type: Literal["entitlement.debt_forgiven"]
    data: DebtForgiven


class UnitsMadeGoodEvent(_Event, kw_only=True):
    """Units came for an order that failed; the subject is their lot."""

    type: Literal["entitlement.made_good"]
    data: UnitsMadeGood


class OrderSettledEvent(_Event, kw_only=True):
    """People settled an order; its claim is the subject."""

    type: Literal["order.settled"]
    data: OrderSettled


class OrderPartlyUsedEvent(_Event, kw_only=True):
    """Some of an order was used; its claim is the subject."""

    type: Literal["order.partly_redeemed"]
    data: OrderPartlyUsed


class OrderCountedEvent(_Event, kw_only=True):
    """Some of an order came, or the rest did; its claim is the subject."""

    type: Literal["order.counted"]
    data: OrderCounted


class OrderReversedEvent(_Event, kw_only=True):
    """A use was undone; the claim is the subject."""

    type: Literal["order.reversed"]
    data: OrderReversed


class LossRecoveredEvent(_Event, kw_only=True):
    """A loss is the bank's no more; the claim that was delivered is the subject."""

    type: Literal["loss.recovered"]
    data: LossRecovered


class ChargeClearedEvent(_Event, kw_only=True):
    """A charge to a provider came to its end; the claim that was made good is the subject."""

    type: Literal["charge.cleared"]
    data: ChargeCleared


class UnitsTransferredEvent(_Event, kw_only=True):
    """Units went to the member one was merged into; the subject is their lot."""

    type: Literal["entitlement.transferred"]
    data: UnitsTransferred


class UnitsReceivedEvent(_Event, kw_only=True):
    """Units came with a customer who was merged; the subject is their new lot."""

    type: Literal["entitlement.received"]
    data: UnitsReceived


class UnitsExtendedEvent(_Event, kw_only=True):
    """The days of a freeze were added; the subject is the lot that ends later."""

    type: Literal["entitlement.extended"]
    data: UnitsExtended


class DebtMovedEvent(_Event, kw_only=True):
    """A debt went along with a merger; the subject is the other member."""

    type: Literal["entitlement.debt_given", "entitlement.debt_taken"]
    data: DebtMoved


class MembersMergedEvent(_Event, kw_only=True):
    """Two customers became one member, and this is one of them; the subject is the other."""

    type: Literal["member.merged"]
    data: MembersMerged


class MemberBlockedEvent(_Event, kw_only=True):
    """Two people stopped a member; the block is the subject."""

    type: Literal["member.blocked"]
    data: MemberBlocked


class MemberUnblockedEvent(_Event, kw_only=True):
    """A block is over; it is the subject."""

    type: Literal["member.unblocked"]
    data: MemberUnblocked


class RuleActivatedEvent(_Event, kw_only=True):
    """A version of a programme came into force; it is of no member."""

    type: Literal["rule.activated"]
    data: RuleActivated


class CodesLowEvent(_Event, kw_only=True):
    """Few codes are left in a stock; it is of no member."""

    type: Literal["codes.low"]
    data: CodesLow


Event = (
    TierEvent
    | TierSightedEvent
    | UnitsGrantedEvent
    | UnitsConvertedEvent
    | UnitsExpiredEvent
    | ClaimEvent
    | ClaimRefusedEvent
    | WaitBegunEvent
    | WaitEndedEvent
    | BudgetEvent
    | OrderEvent
    | UnitsReturnedEvent
    | UnitsRevokedEvent
    | QuotaFollowedEvent
    | UnitsClawedBackEvent
    | DebtForgivenEvent
    | UnitsMadeGoodEvent
    | OrderSettledEvent
    | LossRecoveredEvent
    | ChargeClearedEvent
    | UnitsTransferredEvent
    | UnitsReceivedEvent
    | UnitsExtendedEvent
    | DebtMovedEvent
    | OrderPartlyUsedEvent
    | OrderCountedEvent
    | OrderReversedEvent
    | MembersMergedEvent
    | MemberBlockedEvent
    | MemberUnblockedEvent
    | RuleActivatedEvent
    | CodesLowEvent
)
VIEWS: dict[type, type] = {
    TierDecided: TierEvent,
    TierSighted: TierSightedEvent,
    UnitsGranted: UnitsGrantedEvent,
    UnitsConverted: UnitsConvertedEvent,
    UnitsExpired: UnitsExpiredEvent,
    ClaimPlaced: ClaimEvent,
    ClaimRefused: ClaimRefusedEvent,
    WaitBegun: WaitBegunEvent,
    WaitEnded: WaitEndedEvent,
    BudgetTaken: BudgetEvent,
    OrderMoved: OrderEvent,
    OrderPartlyUsed: OrderPartlyUsedEvent,
    OrderCounted: OrderCountedEvent,
    OrderReversed: OrderReversedEvent,
    UnitsReturned: UnitsReturnedEvent,
    UnitsRevoked: UnitsRevokedEvent,
    QuotaFollowed: QuotaFollowedEvent,
    UnitsClawedBack: UnitsClawedBackEvent,
    DebtForgiven: DebtForgivenEvent,
    UnitsMadeGood: UnitsMadeGoodEvent,
    OrderSettled: OrderSettledEvent,
    LossRecovered: LossRecoveredEvent,
    ChargeCleared: ChargeClearedEvent,
    UnitsTransferred: UnitsTransferredEvent,
    UnitsReceived: UnitsReceivedEvent,
    UnitsExtended: UnitsExtendedEvent,
    DebtMoved: DebtMovedEvent,
    MembersMerged: MembersMergedEvent,
    MemberBlocked: MemberBlockedEvent,
    MemberUnblocked: MemberUnblockedEvent,
    RuleActivated: RuleActivatedEvent,
    CodesLow: CodesLowEvent,
}


class EventsView(msgspec.Struct, kw_only=True):
    """A page of the feed; ask again with `next`, at once unless `caught_up`."""

    events: list[Any]  # of Event: a framework that knows no union of structs need not see it
    next: str
    caught_up: bool


def event_view(event: FedEvent) -> Event | dict[str, Any]:
    """Return an event as the feed shows it.

    One that another version wrote, and this one does not know, is told as it stands: a feed never
    stops at an event.
    """
    told = {
        "id": event.event_id,
        "sequence": event.seq,
        "member_id": event.member_id,
        "subject_id": event.subject_id,
        "recorded_at": event.recorded_at,
        "type": event.type,
    }
    try:
        data = EVENTS[event.type].data
        view: Event = VIEWS[data](**told, data=msgspec.convert(event.data, data))
    except (KeyError, msgspec.ValidationError):
        return told | {"data": event.data}
    return view


@get(
    "/v1/events",
    guards=[needs("crm", "auditor")],
    tags=["events"],
    operation_id="get_events",
)
async def get_events(
    request: Request[Any, Any, Any],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    types: FromQuery[list[str] | None] = None,
) -> EventsView:
    """Return what happened to all members, oldest first, from a cursor on.

    `next` is always given: keep it with what was done about the events, and ask again with it. A
    write that is not finished yet holds back what came after it, so no event is skipped and none
    comes twice. A page may be empty and not `caught_up` when a filter matches rarely.
    """
    after = cursors.read("events", cursor, Place)
    wanted = _types(types) if types is not None else None
    async with request.app.state.database.transaction() as conn:
        page = await feed.page(conn, after, limit=limit, types=wanted)
    return EventsView(
        events=[event_view(event) for event in page.events],
        next=cursors.write("events", page.place),
        caught_up=not page.more,
    )


def _types(wanted: list[str]) -> list[str]:
    """Return the types that filters name; each must name one (RequestInvalid)."""
    if len(wanted) > TYPES_MAX:
        raise RequestInvalid(f"types: at most {TYPES_MAX}.")
    for name in wanted:
        if not FILTER.fullmatch(name) or not types_of([name]):
            raise RequestInvalid("types: an event's type, or its beginning with the dot.")
    return types_of(wanted)


HANDLERS = [get_events]
