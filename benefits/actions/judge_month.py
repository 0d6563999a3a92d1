"""Judge a month: fold members' months and say what of it is news, and what it brings (T-8).

What was decided on all of a member's days takes nothing back when it is corrected, and gives from
then on (A-7): that is each member's own, whatever is missing of others.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from uuid import UUID

import msgspec

from benefits.actions import top_up
from benefits.actions.parts import Parts
from benefits.actions.stack import Due
from benefits.domain import tiers as rules
from benefits.domain.catalogue import Rules
from benefits.domain.floors import floor_of, lifted
from benefits.domain.news import is_below, news
from benefits.domain.programme import Programme
from benefits.domain.tiers import Decision, State
from benefits.domain.values import Month, bucket_of, local_date
from benefits.store import evaluations, facts, merged, tiers
from benefits.store.db import Connection
from benefits.store.evaluations import Settled
from benefits.store.facts import Facts, Whom


class Wanted(msgspec.Struct):
    """What ought to be written for some members, and the ranks of all of them.

    Of `raised` ones a month that was settled is corrected in their favour: at once. Of `undone`
    ones one that was settled, and was not the last, loses what raised it since. Of `open` ones
    days of the month are missing, of `closed` ones no more; in `pending` buckets a correction
    waits for the next month. Of `righted` ones a month that was settled is corrected in their
    favour, be it the last or not.
    """

    ranks: list[tuple[UUID, int]]
    decisions: dict[UUID, Decision] = {}
    grants: list[Due] = []
    raised: set[UUID] = set()
    righted: set[UUID] = set()
    undone: set[UUID] = set()
    open: set[UUID] = set()
    closed: set[UUID] = set()
    pending: set[int] = set()

    @property
    def touched(self) -> list[UUID]:
        """The members something is to be written for."""
        ids = {*self.decisions, *(due.member_id for due in self.grants)}
        return sorted(ids, key=lambda id_: (bucket_of(id_), id_))


async def wanted(
    conn: Connection,
    parts: Parts,
    programme: Programme,
    judges: Rules,
    *,
    month: Month,
    whom: Whom,
    ranked: Sequence[tuple[UUID, int]] = (),
) -> Wanted:
    """Fold the members' months and compare with what stands written; `ranked` ones are known."""
    known = await facts.load(conn, judges, month, whom)
    all_whom = Whom(whom.buckets) if ranked else whom
    into = await merged.along(conn, [fact.member_id for fact in known if fact.has_merged])
    now = parts.clock()
    lines = top_up.deciding(programme)
    day = top_up.day_in(programme, month.plus(1), now)
    brought = await top_up.brought(conn, programme, lines, day, whom=all_whom, into=into)
    settled = await evaluations.settled(conn, programme.code, month, whom.buckets)
    today = local_date(now, programme.tz)
    judged = [(fact, last_decision(judges, fact, month, today)) for fact in known]
    stood = await _stood(conn, judges, month, judged, settled=settled)
    found = Wanted(list(ranked))
    _compare(found, judged, stood, settled, on=max(month.end, today))
    found.raised = await _raised(conn, programme, month, found.raised, settled=settled)
    since = await _since(conn, programme, month, all_whom, found=found, today=today)
    found.grants = await top_up.due(
        conn,
        programme,
        found.ranks,
        brought,
        since=since,
        now=now,
        passed=settled.passed,
        decided=found.decisions,
    )
    return found


def _compare(
    found: Wanted,
    judged: Sequence[tuple[Facts, Decision | None]],
    stood: Mapping[UUID, State],
    settled: Settled,
    *,
    on: date,
) -> None:
    """Find what is news of members, and of whom days are missing; what is held is held `on`."""
    for fact, decision in judged:
        member_id = fact.member_id
        bucket = bucket_of(member_id)
        if closed_by(fact.closed_on, on):
            continue
        found.ranks.append((member_id, decision.after.rank if decision else 0))
        if decision is None:
            continue
        if decision.is_whole and member_id in settled.open:
            found.closed.add(member_id)
        if not decision.is_whole and bucket not in settled.buckets:
            found.open.add(member_id)
        floor = stood.get(member_id)
        if floor is not None and is_below(decision.after, floor, fact.written):
            found.pending.add(bucket)
        new = news(decision, fact.written, settled=floor, on=on)
        if new is None:
            continue
        found.decisions[member_id] = new
        if settled.holds(member_id):
            _note(found, fact, new, is_last=bucket in settled.last)


def _note(found: Wanted, fact: Facts, new: Decision, *, is_last: bool) -> None:
    """Note what news of a month that was settled does for, or to, a member (A-7)."""
    before, after = fact.written, new.after
    if after.rank > before.rank:
        found.raised.add(fact.member_id)
    if after.own.rank > before.own.rank:
        found.righted.add(fact.member_id)
    if not is_last and after.rank < before.rank:
        found.undone.add(fact.member_id)


async def _stood(
    conn: Connection,
    judges: Rules,
    month: Month,
    judged: Sequence[tuple[Facts, Decision | None]],
    *,
    settled: Settled,
) -> dict[UUID, State]:
    """Return below what the month takes no tier, of whom it would lower (A-7, T-3).

    That is what stood on record when it was settled; inside a period, and of whom a later month
    was settled instead, what stands.
    """
    lower = {
        fact.member_id: fact.written.own
        for fact, decision in judged
        if decision is not None and is_below(decision.after, fact.written)
    }
    if not rules.may_fall(judges.at(month).programme, month):
        return lower
    ids = [id_ for id_ in lower if settled.holds(id_)]
    stood = await evaluations.stood(conn, judges.programme, month, ids) if ids else {}
    others = [id_ for id_ in lower if id_ not in ids and bucket_of(id_) in settled.passed]
    if others:
        confirmed = await evaluations.confirmed(conn, judges.programme, month, others)
        stood |= {id_: lower[id_] for id_ in confirmed}
    return stood


async def _raised(
    conn: Connection,
    programme: Programme,
    month: Month,
    ids: Collection[UUID],
    *,
    settled: Settled,
) -> set[UUID]:
    """Return who of those a correction raises has the tier from now on: who has no later one.

    What raises a month before one that is on record holds until then (T-9).
    """
    past = [id_ for id_ in ids if bucket_of(id_) not in settled.last]
    held = await tiers.boundaries(conn, programme.code, month, past) if past else {}
    return {id_ for id_ in ids if not ((of := held.get(id_)) and of.has_later)}


async def _since(
    conn: Connection,
    programme: Programme,
    month: Month,
    whom: Whom,
    *,
    found: Wanted,
    today: date,
) -> date | Mapping[UUID, date]:
    """Return the first day of members' tiers: of those that are decided now, and before (P-4)."""
    start = month.plus(1).start
    if not any(line.is_dated for line in programme.line):
        return start
    since = await tiers.since(conn, programme.code, month, whom, zone=programme.tz)
    for member_id, decision in found.decisions.items():
        if decision.after.rank != decision.before.rank:
            since[member_id] = max(today if member_id in found.raised else start, since[member_id])
    return since


def closed_by(closed_on: date | None, day: date) -> bool:
    """Say whether a relationship ended before a day: its member gets nothing more (T-10)."""
    return closed_on is not None and closed_on < day


def last_decision(judges: Rules, facts: Facts, month: Month, today: date) -> Decision | None:
    """Fold a member's months (T-8); return what `month` decided, None when nothing is known.

    What is held from then on, or from `today`, is what was earned or what a welcome gives (M-8):
    that alone is decided of whom nothing else is known.
    """
    on, floor = max(month.end, today), floor_of(judges, facts.opened_on)
    is_welcome = floor is not None and floor.runs(on)
    decisions = rules.fold(
        judges,
        facts.sums,
        month,
        opened_on=facts.opened_on,
        labels=facts.labels,
        rises=facts.rises,
    )
    if not decisions and is_welcome:
        decisions = rules.fold(judges, {}, month, opened_on=facts.opened_on, first=month)
        decisions = [msgspec.structs.replace(decisions[-1], is_whole=True)]  # no day is awaited
    if not decisions:
        return None
    after = lifted(decisions[-1].after, floor, on)
    return msgspec.structs.replace(decisions[-1], after=after)
