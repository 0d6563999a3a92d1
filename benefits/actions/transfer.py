"""Units move between members who are one person, as lots of their own under the same terms (L-2).

Whoever was merged counts for another member (T-10). What is free is that member's; an order of the
merged customer takes it from there, for it is the same person whom the provider delivered to.
"""

from collections.abc import Collection, Sequence
from datetime import UTC
from uuid import UUID

from msgspec.structs import replace

from benefits.domain import ledger
from benefits.domain.catalogue import Catalogue
from benefits.domain.ledger import Part
from benefits.domain.packages import told_priority
from benefits.store import ledger as books
from benefits.store import merged
from benefits.store.db import Connection
from benefits.store.ledger import Journal, Origin
from benefits.store.merged import Free


def transfer(
    journal: Journal,
    catalogue: Catalogue,
    whose: tuple[UUID, UUID],
    of: tuple[Part, Free],
    *,
    actor: str,
    owed: int = 0,
) -> Part:
    """Move units of a lot into one of the other member, which is returned.

    What that member `owed` is paid from it first (L-8).
    """
    (id_, other), (part, free) = whose, of
    lot = journal.lots[part.lot_id]
    new = replace(
        lot,
        lot_id=journal.id_for(other),
        granted=part.amount,
        remaining=part.amount,
        held=0,
        expired=0,
        redeemed=0,
    )
    told = {"unit": lot.unit, "quantity": catalogue.whole(lot.unit, part.amount)}
    first = journal.post(
        id_,
        "entitlement.transferred",
        ledger.transfer_out(lot.unit, [part]),
        actor=actor,
        subject_id=lot.lot_id,
        data=told | {"lot_id": new.lot_id},
    )
    journal.new_lot(other, new, Origin(free.programme, free.line, free.period, free.cause))
    expires_at = lot.expires_at.astimezone(UTC) if lot.expires_at else None
    journal.post(
        other,
        "entitlement.received",
        ledger.transfer_in(new) + ledger.pay_debt(new, owed),
        actor=actor,
        subject_id=new.lot_id,
        cause_id=first,
        data=told
        | {
            "lot_id": lot.lot_id,
            "cause": free.cause,
            "period": free.period,
            "programme": free.programme,
            "line": free.line,
            "granted_at": lot.granted_at.astimezone(UTC),
            "expires_at": expires_at,
            **told_priority(free.cause, lot.priority),
        },
    )
    return Part(new.lot_id, part.amount)


class Reach:
    """The units that orders can take: their members', and of whom these count for."""

    def __init__(self, journal: Journal, catalogue: Catalogue) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._theirs: dict[UUID, Free] = {}

    async def load(self, conn: Connection, pairs: Collection[tuple[UUID, str]]) -> None:
        """Read the lots of (member, unit) pairs, and what others have free for the members."""
        journal, now = self._journal, self._journal.now
        journal.load(await books.lots_of(conn, list(pairs), now))
        others = {(into, unit) for id_, unit in pairs if (into := journal.counts_for(id_))}
        if others:
            lots = await books.lots_of(conn, list(others), now)
            journal.load(lots)
            ids = [lot.lot_id for _, lot in lots]
            self._theirs = {one.lot_id: one for one in await merged.origins(conn, ids)}

    def choose(self, member_id: UUID, unit: str, quantity: int) -> list[Part]:
        """Choose units in the spending order (InsufficientUnits, LotExpired)."""
        journal, into = self._journal, self._journal.counts_for(member_id)
        lots = journal.lots_of(member_id, unit)
        if into is not None:
            lots += journal.lots_of(into, unit)
        return ledger.take(lots, quantity, journal.now_for(member_id))

    def bring(self, member_id: UUID, parts: Sequence[Part], *, actor: str) -> list[Part]:
        """Return chosen units as the member's own: what is another's goes over to them."""
        into = self._journal.counts_for(member_id)
        brought = list[Part]()
        for part in parts:
            free = self._theirs.get(part.lot_id)
            if into is None or free is None:
                brought.append(part)
                continue
            whose, of = (into, member_id), (part, free)
            brought.append(transfer(self._journal, self._catalogue, whose, of, actor=actor))
        return brought
