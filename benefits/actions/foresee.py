"""Foresee claims: whether one would be accepted now, by the rule itself, without trying (K-2).

What is read here is not locked: it explains, and decides nothing. The claim decides.
"""

from datetime import date, datetime
from uuid import UUID

import msgspec

from benefits.actions import wishes
from benefits.actions.capacity import Asker, Capacity
from benefits.actions.claim import UnknownMember
from benefits.actions.wishes import Terms, Wish
from benefits.domain import entitlement
from benefits.domain.benefit import Benefit
from benefits.domain.blocks import Block, stop_claim
from benefits.domain.booking import Slots
from benefits.domain.catalogue import Catalogue
from benefits.domain.entitlement import CapReached, ClaimCommand
from benefits.domain.fields import Channel, Known
from benefits.domain.ledger import Lot
from benefits.domain.limits import Left, Room
from benefits.domain.refusal import Refusal
from benefits.domain.units import Quantity
from benefits.domain.waits import Waiting
from benefits.store import blocks, merged, pages, people
from benefits.store import ledger as books
from benefits.store.db import Connection
from benefits.store.pages import MemberSeen

CHANNEL = Channel.MOBILE.value  # what is foreseen is a claim on the benefits page


class Prospect(msgspec.Struct, frozen=True):
    """What a claim of one piece would meet: a refusal or none, and what there is of its room.

    That is the units of its cap so far, what the limits have, how much is left for all, and for
    which times it could be. Where it `needs_consent` first, it is what a claim would meet once
    that is given. One that lacks nothing but room `may_wait` for it, if its limit lets it.
    """

    refusal: Refusal | None
    cap_used: Quantity = 0
    needs_consent: bool = False
    rooms: tuple[Room, ...] = ()
    left: Left | None = None
    slots: Slots | None = None
    may_wait: bool = False


class Seen(msgspec.Struct, frozen=True):
    """Who would claim: lots, blocks, and what is known where a rule asks for it."""

    member: MemberSeen
    lots: tuple[Lot, ...]
    blocks: list[Block]
    known: Known | None


async def foresee(
    conn: Connection, member_id: UUID, catalogue: Catalogue, now: datetime
) -> dict[str, Prospect]:
    """Return what a claim of one piece of each benefit would meet (UnknownMember).

    Whoever was merged asks for the member they were merged into.
    """
    member_id = (await merged.current(conn, [member_id])).get(member_id, member_id)
    offers = catalogue.offers
    member = await pages.member(conn, member_id)
    if member is None:
        raise UnknownMember
    terms = [Terms.of(programme, benefit, now) for programme, benefit in offers.values()]
    lots = await books.lots_of(conn, [(member_id, t.unit) for t in terms], now)
    found = await wishes.of(
        conn, [(member_id, each) for each in terms], {member_id: member.branch}
    )
    there = Capacity()
    await there.load(conn, found, taken=[member_id], locks=False)
    known = None
    if any(each.benefit.asks_member for each in terms):
        today = max(each.today for each in terms)
        (known,) = (await people.load(conn, [member_id], today)).values()
    stopping = (await blocks.of(conn, [member])).get(member_id, [])
    seen = Seen(member, tuple(lot for _, lot in lots), stopping, known)
    return {wish.terms.asked.code: _prospect(there, wish, seen) for wish in found}


def _prospect(there: Capacity, wish: Wish, seen: Seen) -> Prospect:
    terms, closed_on = wish.terms, seen.member.closed_on
    benefit, programme = terms.benefit, terms.programme
    facts = there.facts(
        wish,
        tuple(lot for lot in seen.lots if lot.unit == terms.unit),
        Asker(
            closed=closed_on is not None and closed_on < terms.today,
            blocked=stop_claim(seen.blocks, benefit, terms.now),
            known=seen.known and _agreed(seen.known, benefit, terms.today),
        ),
    )
    command = ClaimCommand(
        quantity=1,
        recipient=dict.fromkeys(benefit.recipient, "any"),
        booked_for=facts.slots.first if facts.slots else None,
    )
    decided = entitlement.claim(command, benefit, facts, terms.now)
    patient = msgspec.structs.replace(command, waits=True)
    may_wait = isinstance(decided, CapReached) and isinstance(
        entitlement.claim(patient, benefit, facts, terms.now), Waiting
    )
    agreed = seen.known.consents if seen.known is not None else frozenset[str]()
    return Prospect(
        decided if isinstance(decided, Refusal) else None,
        programme.whole(benefit, facts.cap_used),
        bool(benefit.consent) and benefit.consent_key not in agreed,
        facts.rooms,
        entitlement.left(benefit, facts),
        facts.slots,
        may_wait,
    )


def _agreed(known: Known, benefit: Benefit, today: date) -> Known:
    """Return what is known of a member once the benefit's consent is given."""
    consents = known.consents | {benefit.consent_key}
    return msgspec.structs.replace(known, today=today, channel=CHANNEL, consents=consents)
