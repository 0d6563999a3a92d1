"""Foresee claims: whether one would be accepted now, by the rule itself, without trying (K-2).

What is read here is not locked: it explains, and decides nothing. The claim decides.
"""

from uuid import UUID

import msgspec

from benefits.actions import capacity
from benefits.actions.capacity import Capacity, Terms, Wish
from benefits.actions.claim import UnknownMember
from benefits.actions.parts import Parts
from benefits.domain import entitlement
from benefits.domain.entitlement import ClaimCommand
from benefits.domain.ledger import Lot
from benefits.domain.limits import Left, Room
from benefits.domain.refusal import Refusal
from benefits.domain.units import Quantity
from benefits.store import ledger as books
from benefits.store import merged, pages
from benefits.store.db import Connection
from benefits.store.pages import MemberSeen


class Prospect(msgspec.Struct, frozen=True):
    """What a claim of one piece would meet: a refusal or none, and what there is of its room.

    That is the units of its cap so far, what the limits have, and how much is left for all.
    """

    refusal: Refusal | None
    cap_used: Quantity = 0
    rooms: tuple[Room, ...] = ()
    left: Left | None = None


async def foresee(conn: Connection, member_id: UUID, parts: Parts) -> dict[str, Prospect]:
    """Return what a claim of one piece of each benefit would meet now (UnknownMember).

    Whoever was merged asks for the member they were merged into.
    """
    member_id = (await merged.current(conn, [member_id])).get(member_id, member_id)
    offers = (await parts.catalogue.current(conn)).offers
    member = await pages.member(conn, member_id)
    if member is None:
        raise UnknownMember
    now = parts.clock()
    terms = [Terms.of(programme, benefit, now) for programme, benefit in offers.values()]
    lots = await books.lots_of(conn, [(member_id, t.benefit.unit) for t in terms], now)
    wishes = await capacity.wishes(
        conn, [(member_id, each) for each in terms], {member_id: member.branch}
    )
    there = Capacity()
    await there.load(conn, wishes, taken=[member_id], locks=False)
    return {
        wish.terms.benefit.code: _prospect(there, wish, member, [lot for _, lot in lots])
        for wish in wishes
    }


def _prospect(there: Capacity, wish: Wish, member: MemberSeen, lots: list[Lot]) -> Prospect:
    terms = wish.terms
    benefit, programme = terms.benefit, terms.programme
    facts = there.facts(
        wish,
        tuple(lot for lot in lots if lot.unit == benefit.unit),
        closed=member.closed_on is not None and member.closed_on < terms.today,
    )
    command = ClaimCommand(quantity=1, recipient=dict.fromkeys(benefit.recipient, "any"))
    decided = entitlement.claim(command, benefit, facts, terms.now)
    return Prospect(
        decided if isinstance(decided, Refusal) else None,
        programme.whole(benefit, facts.cap_used),
        facts.rooms,
        entitlement.left(benefit, facts),
    )
