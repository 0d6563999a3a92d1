"""Carry out the ends of relationships: tiers with the day, units some days later (T-10).

Idempotent and resumable, like the sweep it is a part of: a member's row says when there is
something to carry out next. Members whom somebody else holds are left to the next sweep.
"""

from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from benefits.actions.evaluate import told_of
from benefits.actions.parts import Parts
from benefits.domain import endings as rules
from benefits.domain import ledger
from benefits.domain.catalogue import Catalogue
from benefits.domain.ledger import Lot
from benefits.domain.values import local_date
from benefits.store import endings, members, tiers
from benefits.store import ledger as books
from benefits.store.db import Connection
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.tiers import Decided

ACTOR = "system:expire"


class _Ending(msgspec.Struct, frozen=True):
    """What ends are carried out with: whose, by which programmes, when, and on which day."""

    locked: dict[UUID, Member]
    catalogue: Catalogue
    journal: Journal
    now: datetime
    today: date


async def end_relationships(
    conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int
) -> tuple[int, int]:
    """Carry out what is due of ends; return how many members were seen, and how many are busy."""
    catalogue = await parts.catalogue.current(conn)
    found = await endings.due(conn, buckets, local_date(parts.clock(), catalogue.zone), limit)
    if not found:
        return 0, 0
    locked = await members.lock(conn, found, wait=False)
    now = parts.clock()
    today = local_date(now, catalogue.zone)
    ended = {
        id_: member
        for id_, member in locked.items()
        if member.closed_on is not None
        and member.end_due is not None
        and member.end_due <= today
        and member.merged_into is None
    }
    ending = _Ending(ended, catalogue, Journal(ended, now, parts.new_id), now, today)
    decided = await _end_tiers(conn, ending)
    when = await _end_lots(conn, ending)
    await ending.journal.write(conn)
    for code, ones in decided.items():
        await tiers.put(conn, catalogue.rules[code], ones)
    await endings.put_due(conn, when)
    return len(ended), len(found) - len(locked)


async def _end_tiers(conn: Connection, ending: _Ending) -> dict[str, list[Decided]]:
    """Decide the lowest tier for those who held another; of a death no event tells."""
    decided = dict[str, list[Decided]]()
    journal = ending.journal
    for member_id, code, since, last in await endings.latest(conn, ending.locked):
        member, programme = ending.locked[member_id], ending.catalogue.programmes[code]
        assert member.closed_on is not None, "only whoever left is looked at"
        decision = rules.end_tier(last, member.closed_on)
        if decision is None:
            continue
        at = journal.now_for(member_id)
        one = Decided(
            decision_id=journal.id_for(member_id),
            member_id=member_id,
            decision=decision,
            decided_at=at,
            effective_from=rules.tier_ends(programme, member.closed_on, since, at),
        )
        decided.setdefault(code, []).append(one)
        if not member.deceased:
            data = told_of(programme, decision, one.effective_from)
            journal.event(member_id, "tier.ended", subject_id=one.decision_id, data=data)
    return decided


async def _end_lots(conn: Connection, ending: _Ending) -> dict[UUID, date | None]:
    """Expire the units whose time after the end is over; return when there is more to do.

    They ended with that time; where anything was recorded of the member since, they end now, so
    that no balance of a time between is below zero.
    """
    programmes = await endings.lots(conn, ending.locked, ending.now)
    lots = await books.lots_by_id(conn, sorted(programmes))
    ending.journal.load(lots)
    when = dict[UUID, date | None].fromkeys(ending.locked)
    for member_id, lot in sorted(lots, key=lambda pair: (pair[0], ledger.fefo(pair[1]))):
        member, programme = ending.locked[member_id], ending.catalogue.programmes
        of = programme[programmes[lot.lot_id]]
        assert member.closed_on is not None, "only whoever left is looked at"
        end = rules.lot_ends(of, lot, member.closed_on, deceased=member.deceased, now=ending.now)
        if end is not None:
            _expire(ending, member, lot, end)
        if end is None or lot.held:
            last = rules.last_day(of, member.closed_on, deceased=member.deceased)
            following = max(last, ending.today) + timedelta(days=1)
            when[member_id] = min(when[member_id] or following, following)
    return when


def _expire(ending: _Ending, member: Member, lot: Lot, end: datetime) -> None:
    """Record that what is free of a lot ended with its relationship (L-5)."""
    postings = ledger.expire(lot)
    if not postings:
        return
    quantity = ending.catalogue.whole(lot.unit, postings[0].amount)
    ending.journal.post(
        member.member_id,
        "entitlement.expired",
        postings,
        actor=ACTOR,
        subject_id=lot.lot_id,
        data={
            "unit": lot.unit,
            "quantity": quantity,
            "ended": rules.why(deceased=member.deceased),
        },
        effective_at=end if member.recorded_at <= end else None,
    )
