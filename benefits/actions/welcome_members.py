"""Welcome new customers to the tier they have at least, and end their welcome on its day (M-8).

A part of the sweep: idempotent and resumable, since a member's row says when something is to be
carried out next. Members whom somebody else holds are left to the next sweep. What the tier brings
in the running periods comes with it; what a fall takes goes with its end.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from benefits.actions import top_up
from benefits.actions.evaluate import event_of, told_of
from benefits.actions.fall import fall
from benefits.actions.follow_quota import Falls
from benefits.actions.judge_month import closed_by
from benefits.actions.parts import Parts
from benefits.domain.floors import Floor, floor_of, moved
from benefits.domain.packages import Start
from benefits.domain.programme import Programme
from benefits.domain.tiers import Decision, State
from benefits.domain.values import Month, local_date, midnight
from benefits.store import endings, members, tiers, welcomes
from benefits.store.db import Connection
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.tiers import Decided

ACTOR = "system:expire"


class _Last(msgspec.Struct, frozen=True):
    """What was decided last of a member, and from when on it holds."""

    since: datetime
    decision: Decision


async def welcome_members(
    conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int
) -> tuple[int, int]:
    """Carry out what is due of welcomes; return how many were seen, and how many are busy."""
    catalogue = await parts.catalogue.current(conn)
    found = await welcomes.due(conn, buckets, local_date(parts.clock(), catalogue.zone), limit)
    if not found:
        return 0, 0
    locked = await members.lock(conn, found, wait=False)
    now = parts.clock()
    today = local_date(now, catalogue.zone)
    here = {
        id_: one
        for id_, one in locked.items()
        if one.merged_into is None and not closed_by(one.closed_on, today)
    }
    journal = Journal(here, now, parts.new_id)
    last = {
        (id_, code): _Last(since, decision)
        for id_, code, since, decision in await endings.latest(conn, here)
    }
    when = dict[UUID, date | None].fromkeys(locked)
    for code, programme in sorted(catalogue.programmes.items()):
        rules = catalogue.rules[code]
        floors = {id_: floor_of(rules, one.opened_on) for id_, one in here.items()}
        for id_, each in floors.items():
            if (following := _following(each, today)) is not None:
                when[id_] = min(when[id_] or following, following)
        known = {id_: last[id_, code] for id_ in here if (id_, code) in last}
        decided = _decide(journal, programme, floors, known, today=today)
        await _bring(conn, journal, programme, decided, locked=here, now=now)
        await tiers.put(conn, rules, decided)
    await journal.write(conn)
    await welcomes.put_due(conn, when)
    return len(locked), len(found) - len(locked)


def _following(floor: Floor | None, today: date) -> date | None:
    """Return when there is something to do next of a welcome: it begins, or it ends."""
    if floor is None or floor.until <= today:
        return None
    return floor.until if floor.runs(today) else floor.first


def _decide(
    journal: Journal,
    programme: Programme,
    floors: Mapping[UUID, Floor | None],
    last: Mapping[UUID, _Last],
    *,
    today: date,
) -> list[Decided]:
    """Decide and tell whose welcome begins, ends or was moved.

    It is of the month before the running one, or of a later one that was decided or opened in: so
    whoever decides those months finds it.
    """
    decided = list[Decided]()
    for id_, each in floors.items():
        known = last.get(id_)
        written = known.decision.after if known else State()
        months = [Month.of(today).plus(-1)]
        months += [known.decision.month] if known else []
        months += [Month.of(each.first)] if each and each.runs(today) else []
        decision = moved(written, each, max(months), today)
        if decision is None:
            continue
        at = journal.now_for(id_)
        start = midnight(_first_day(decision, each), programme.tz)
        begin = start if known is None or known.since <= start else max(known.since, at)
        one = Decided(
            decision_id=journal.id_for(id_),
            member_id=id_,
            decision=decision,
            decided_at=at,
            effective_from=begin,
        )
        data = told_of(programme, decision, begin)
        journal.event(id_, event_of(decision), subject_id=one.decision_id, data=data)
        decided.append(one)
    return decided


def _first_day(decision: Decision, floor: Floor | None) -> date:
    """Return the first day of a welcome, or of what is earned after it.

    What was decided later leaves it for now.
    """
    over = decision.grounds.ended_on
    if over is not None:
        return over + timedelta(days=1)
    assert floor is not None, "only a floor lifts"
    return floor.first


async def _bring(
    conn: Connection,
    journal: Journal,
    programme: Programme,
    decided: Sequence[Decided],
    *,
    locked: Mapping[UUID, Member],
    now: datetime,
) -> None:
    """Bring what a welcome's tier brings, and take what a fall from it takes (P-4, P-6).

    Whoever falls from the first of lines that stack has a next one (P-7); lines that wait until
    the tier for their period is decided go on waiting.
    """
    if not decided:
        return
    falls = {
        one.member_id: (one.decision.before.rank, one.decision.after.rank)
        for one in decided
        if one.decision.after.earned is None
    }
    day = local_date(now, programme.tz)
    ranks = [(one.member_id, one.decision.after.rank) for one in decided]
    since = {one.member_id: local_date(one.effective_from, programme.tz) for one in decided}
    some = {id_: locked[id_] for id_, _ in ranks}
    dues = await top_up.of_decided(conn, programme, ranks, since, locked=some, now=now)
    fell = Falls(day, falls)
    dues, taken = await fall(conn, journal, programme, fell, dues=dues, on=day, now=now)
    dues = [one for one in dues if one.member_id not in falls or one.line.start is Start.PERIOD]
    added = await top_up.add_due(conn, journal, dues, actor=ACTOR)
    added.changes.extend(taken)
    await top_up.put(conn, added)
