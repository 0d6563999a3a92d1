"""Lift blocks that are over: tell of those that ended by the clock, bring what a freeze withheld.

A freeze stops what tiers and segments bring (E-6). Once it is over its member is topped up as if
the periods that run began now: of lines that wait for a tier's decision only where the month
before is decided, for whoever decides it brings them otherwise. What ended meanwhile has ended,
unless the programme adds the days of a freeze to the ends of units.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from benefits.actions import top_up
from benefits.actions.extend_lots import extend_lots
from benefits.actions.parts import Parts
from benefits.actions.stack import Due
from benefits.actions.top_up import Added
from benefits.domain import blocks as rules
from benefits.domain import packages
from benefits.domain.blocks import Why
from benefits.domain.programme import Programme
from benefits.domain.values import EPOCH, Month, bucket_of, local_date
from benefits.store import auto_claims, blocks, frozen_lots, members, merged, period_runs
from benefits.store.db import Connection
from benefits.store.facts import Whom
from benefits.store.ledger import Journal
from benefits.store.members import Member

ACTOR = "system:lift-blocks"
EVERYBODY = packages.beginning((), None, Month(2000, 1).start)


async def lift_blocks(
    conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int
) -> int:
    """Lift blocks that are over, once each; return how many. Whoever is busy waits."""
    found = await blocks.over(conn, buckets, parts.clock(), limit)
    if not found:
        return 0
    locked, into = await members.lock_current(conn, {one.member_id for one in found}, wait=False)
    there = [one for one in found if into.get(one.member_id, one.member_id) in locked]
    now = parts.clock()
    journal = Journal(locked, now, parts.new_id)
    frozen, freezes = set[UUID](), set[UUID]()
    for one in there:
        member_id = into.get(one.member_id, one.member_id)
        if not one.is_told:
            told = {"scope": one.block.scope.value, "target": one.block.target}
            subject_id = one.block.block_id
            journal.event(member_id, "member.unblocked", subject_id=subject_id, data=told)
        if one.block.why is Why.LEGAL_FREEZE:
            frozen.add(member_id)
            freezes.add(one.block.block_id)
    members_frozen = [locked[id_] for id_ in sorted(frozen)]
    claims = await _extend(conn, parts, journal, members_frozen, lifted=freezes)
    added = await _bring(conn, parts, journal, frozen)
    await journal.write(conn)
    await auto_claims.put(conn, claims, now)
    for each in added:
        await top_up.put(conn, each)
    await blocks.note(conn, there, now)
    return len(there)


async def _extend(
    conn: Connection,
    parts: Parts,
    journal: Journal,
    some: Iterable[Member],
    *,
    lifted: Collection[UUID],
) -> list[auto_claims.New]:
    """Add the days of freezes to the ends of members' units; return what is claimed for them.

    Of a relationship that has ended nothing goes on. Of who was merged, days were added before as
    of a member alone whose freeze is now one with another's: those are not added again.
    """
    there = [one for one in some if one.closed_on is None]
    if not there:
        return []
    found = await blocks.of(conn, there)
    times = {id_: rules.frozen(each, lifted) for id_, each in found.items()}
    for one in there:
        if one.has_merged and times.get(one.member_id):
            ids = [one.member_id, *await merged.along(conn, [one.member_id])]
            at = await frozen_lots.extended_at(conn, ids)
            times[one.member_id] = rules.after(times[one.member_id], at or EPOCH)
    catalogue = (await parts.catalogue.plan(conn)).at(journal.now)
    return await extend_lots(conn, journal, catalogue, times, actor=ACTOR)


async def _bring(
    conn: Connection, parts: Parts, journal: Journal, ids: Iterable[UUID]
) -> list[Added]:
    """Put into the journal what is due now to members who are locked."""
    added = list[Added]()
    catalogue = (await parts.catalogue.plan(conn)).at(journal.now)
    for member_id in sorted(ids):
        for programme in catalogue.programmes.values():
            dues = await _due(conn, programme, member_id, journal.now)
            added.append(await top_up.add_due(conn, journal, dues, actor=ACTOR))
    return added


async def _due(
    conn: Connection, programme: Programme, member_id: UUID, now: datetime
) -> list[Due]:
    day, bucket = local_date(now, programme.tz), bucket_of(member_id)
    whom = Whom((bucket, bucket), [member_id])
    evaluated = (await merged.evaluated(conn, member_id)).get(programme.code)
    is_decided = evaluated is not None and evaluated >= Month.of(day).plus(-1)
    lines = programme.line if is_decided else packages.starting(programme.line)
    run = period_runs.Leased(programme=programme.code, day=day, after=None, first=0, until=now)
    held = await period_runs.held(conn, run, programme.tz, whom, begin=EVERYBODY, now=now)
    into = await merged.along(conn, [one.member_id for one in held if one.has_merged])
    before = await top_up.brought(conn, programme, lines, day, whom=whom, into=into)
    since = {
        one.member_id: local_date(one.since, programme.tz) if one.since else one.opened_on
        for one in held
    }
    ranks = [(one.member_id, one.rank) for one in held]
    return await top_up.due(conn, programme, ranks, before, since=since, now=now)
