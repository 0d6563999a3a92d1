"""Add the days of a freeze to the ends of units, where the programme says so (E-6).

A lot keeps its end for ever, so what is left of it goes on in a new one, under the same terms but
for the end, and what ended with it during the freeze comes back there. What is held stays with its
lot: an order in flight was not frozen.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC
from uuid import UUID

from msgspec.structs import replace

from benefits.domain import blocks as rules
from benefits.domain import entitlement, ledger
from benefits.domain.blocks import Frozen
from benefits.domain.catalogue import Catalogue
from benefits.domain.ledger import Part
from benefits.domain.packages import Claiming, told_priority
from benefits.domain.programme import Item, Programme
from benefits.store import auto_claims, frozen_lots
from benefits.store.db import Connection
from benefits.store.frozen_lots import FrozenLot
from benefits.store.ledger import Journal


async def extend_lots(
    conn: Connection,
    journal: Journal,
    catalogue: Catalogue,
    frozen: Mapping[UUID, Sequence[Frozen]],
    *,
    actor: str,
) -> list[auto_claims.New]:
    """Let units of members who are locked go on for the days they were frozen.

    Return what of it is to be claimed for them.
    """
    adding = {code: one for code, one in catalogue.programmes.items() if one.freeze_adds_days}
    since = {id_: min(times).begin for id_, times in frozen.items() if times}
    if not adding or not since:
        return []
    found = await frozen_lots.lots_since(conn, since, adding)
    journal.load((one.member_id, one.lot) for one in found)
    claims = list[auto_claims.New]()
    for one in found:
        programme = adding[one.origin.programme]
        lot_id = _extend(journal, programme, one, frozen[one.member_id], actor=actor)
        line = next((each for each in programme.line if each.code == one.origin.line), None)
        if lot_id is not None and line is not None and line.claim is Claiming.AUTO:
            claims.append(
                auto_claims.New(
                    member_id=one.member_id,
                    lot_id=lot_id,
                    programme=programme.code,
                    line=line.code,
                )
            )
    return claims


def _extend(
    journal: Journal,
    programme: Programme,
    one: FrozenLot,
    times: Sequence[Frozen],
    *,
    actor: str,
) -> UUID | None:
    """Let what is left of a lot, and what ended with it, go on in a new one; return its id."""
    lot, member_id, item = one.lot, one.member_id, _item(programme, one.lot.unit)
    if item is None or lot.expires_at is None:
        return None
    end = rules.later(lot.expires_at, lot.granted_at, times, programme.tz)
    end = entitlement.last_use(end, programme.contract_end(item), programme.tz)
    free = lot.remaining - lot.held
    quantity = free + programme.steps(item, one.ended)
    if not quantity or end <= max(lot.expires_at, journal.now_for(member_id)):
        return None
    new = replace(
        lot,
        lot_id=journal.id_for(member_id),
        granted=quantity,
        remaining=quantity,
        held=0,
        expired=0,
        redeemed=0,
        expires_at=end,
    )
    origin, parts = one.origin, [Part(lot.lot_id, free)] if free else []
    journal.new_lot(member_id, new, origin)
    journal.post(
        member_id,
        "entitlement.extended",
        ledger.extend(lot.unit, parts, new),
        actor=actor,
        subject_id=new.lot_id,
        data={
            "unit": lot.unit,
            "quantity": programme.whole(item, quantity),
            "lot_id": lot.lot_id,
            "cause": origin.cause,
            "period": origin.period,
            "programme": origin.programme,
            "line": origin.line,
            "granted_at": lot.granted_at.astimezone(UTC),
            "expires_at": end,
            **told_priority(origin.cause, lot.priority),
        },
    )
    return new.lot_id


def _item(programme: Programme, unit: str) -> Item | None:
    """Return what units are of, as the programme has it."""
    items: tuple[Item, ...] = (*programme.benefit, *programme.choice)
    return next((item for item in items if item.unit == unit), None)
