"""Foresee claims: whether one would be accepted now, by the rule itself, without trying (K-2).

What is read here is not locked: it explains, and decides nothing. The claim decides.
"""

from datetime import date
from uuid import UUID

import msgspec

from benefits.actions.claim import UnknownMember
from benefits.actions.parts import Parts
from benefits.domain import entitlement
from benefits.domain.benefit import Benefit
from benefits.domain.entitlement import ClaimCommand, ClaimFacts, CounterUse
from benefits.domain.fields import Channel, Known
from benefits.domain.refusal import Refusal
from benefits.domain.units import Quantity
from benefits.domain.values import local_date
from benefits.store import counters, merged, pages, people
from benefits.store import ledger as books
from benefits.store.counters import MemberCounter
from benefits.store.db import Connection

CHANNEL = Channel.MOBILE.value  # what is foreseen is a claim on the benefits page


class Prospect(msgspec.Struct, frozen=True):
    """What a claim of one piece would meet: a refusal or none, and the units of its cap so far.

    Where it `needs_consent` first, it is what a claim would meet once that is given.
    """

    refusal: Refusal | None
    cap_used: Quantity = 0
    needs_consent: bool = False


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
    units = [(member_id, benefit.unit) for _, benefit in offers.values()]
    lots = [lot for _, lot in await books.lots_of(conn, units, now)]
    keys = {
        code: _cap_key(member_id, benefit, entitlement.cap_window(benefit.cap.window, day))
        for code, (programme, benefit) in offers.items()
        for day in [local_date(now, programme.tz)]
        if benefit.cap is not None
    }
    into = await merged.along(conn, [member_id])
    used = await counters.used(conn, keys.values(), into=into)
    taken = await counters.read(conn, {n for _, b in offers.values() for n in _shared(b)})
    known = None
    if any(benefit.asks_member for _, benefit in offers.values()):
        (known,) = (await people.load(conn, [member_id], now.date())).values()
    found = dict[str, Prospect]()
    for code, (programme, benefit) in offers.items():
        cap_used = used.get(keys[code], 0) if code in keys else 0
        today = local_date(now, programme.tz)
        facts = ClaimFacts(
            closed=member.closed_on is not None and member.closed_on < today,
            lots=tuple(lot for lot in lots if lot.unit == benefit.unit),
            piece=programme.piece(benefit),
            cap_limit=entitlement.cap_limit(programme, benefit),
            cap_used=cap_used,
            stock=taken.get(entitlement.stock_counter(benefit), CounterUse()),
            budget=taken.get(entitlement.budget_counter(benefit.budget), CounterUse()),
            budget_total=programme.budgets_minor[benefit.budget],
            piece_cost=programme.minor(benefit.cost),
            known=known and _agreed(known, benefit, today),
        )
        command = ClaimCommand(quantity=1, recipient=dict.fromkeys(benefit.recipient, "any"))
        decided = entitlement.claim(command, benefit, facts, now)
        refusal = decided if isinstance(decided, Refusal) else None
        agreed = known.consents if known is not None else frozenset[str]()
        lacks = bool(benefit.consent) and benefit.consent_key not in agreed
        found[code] = Prospect(refusal, programme.whole(benefit, cap_used), lacks)
    return found


def _agreed(known: Known, benefit: Benefit, today: date) -> Known:
    """Return what is known of a member once the benefit's consent is given."""
    consents = known.consents | {benefit.consent_key}
    return msgspec.structs.replace(known, today=today, channel=CHANNEL, consents=consents)


def _cap_key(member_id: UUID, benefit: Benefit, window: str) -> MemberCounter:
    return (member_id, f"cap:{benefit.code}", window)


def _shared(benefit: Benefit) -> tuple[str, str]:
    return entitlement.stock_counter(benefit), entitlement.budget_counter(benefit.budget)
