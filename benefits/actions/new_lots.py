"""A new lot of units with its batch and its grant, whatever it comes for (P-3, L-9)."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from benefits.domain import ledger, units
from benefits.domain.benefit import Benefit
from benefits.domain.ledger import Lot
from benefits.domain.packages import told_priority
from benefits.domain.programme import Item
from benefits.store.ledger import MAKE_GOOD, Journal, Origin
from benefits.store.tiers import GrantRow

REWARD_PRIORITY = 1


class GrantFor(msgspec.Struct, frozen=True):
    """What a grant is for; with the quota it reaches this is its key (P-3).

    Of lots that end together the one with the lowest `priority` is spent first (L-3).
    """

    programme: str
    line: str
    period: str
    cause: str
    quota: int
    priority: int = REWARD_PRIORITY


def named(item: Item) -> dict[str, str]:
    """Return how an event names what units are of: a benefit, or a choice and no benefit yet."""
    if isinstance(item, Benefit):
        return {"benefit": item.code}
    return {"benefit": "", "choice": item.code}


def add_lot(
    journal: Journal,
    member_id: UUID,
    item: Item,
    for_: GrantFor,
    *,
    quantity: int,
    expires_at: datetime,
    actor: str,
) -> GrantRow:
    """Put a new lot of `quantity` steps and its batch into the journal; return its grant."""
    at = journal.now_for(member_id)
    lot = Lot(
        lot_id=journal.id_for(member_id),
        unit=item.unit,
        granted=quantity,
        remaining=quantity,
        held=0,
        expires_at=expires_at,
        granted_at=at,
        priority=for_.priority,
        capped=for_.cause != MAKE_GOOD,
    )
    origin = Origin(for_.programme, for_.line, for_.period, for_.cause)
    owed = journal.owed(member_id, lot.unit)
    journal.new_lot(member_id, lot, origin)
    journal.post(
        member_id,
        "entitlement.granted",
        ledger.grant(lot) + ledger.pay_debt(lot, owed),
        actor=actor,
        subject_id=lot.lot_id,
        data={
            **named(item),
            "quantity": units.whole(quantity, item.scale),
            "cause": for_.cause,
            "period": for_.period,
            "expires_at": expires_at.astimezone(UTC),
            "programme": for_.programme,
            "line": for_.line,
            "quota": units.whole(for_.quota, item.scale),
            **told_priority(for_.cause, for_.priority),
        },
    )
    return GrantRow(
        member_id=member_id,
        programme=for_.programme,
        line=for_.line,
        period=for_.period,
        cause=for_.cause,
        quota=for_.quota,
        quantity=quantity,
        lot_id=lot.lot_id,
        granted_at=at,
    )
