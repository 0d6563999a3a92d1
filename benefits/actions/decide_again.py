"""Decide a member's tier anew at once, because balances were false: two people say so (A-7).

Under the member's lock, so that evaluations and claims come before or after. The tier is what
folding the months gives, as of now; unclaimed units that rest on a wrong tier go, those that are
held or used stay, and orders under way finish. Nothing is remembered but the decision: whatever
is evaluated later finds it on record, and takes it for what stood (`store/evaluations`).
"""

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

import msgspec

from benefits.actions import top_up
from benefits.actions.claim import UnknownMember
from benefits.actions.evaluate import event_beside, told_of
from benefits.actions.fall import fall, in_turn
from benefits.actions.follow_quota import Falls, take_wrong
from benefits.actions.judge_month import closed_by
from benefits.actions.keep_stretches import unfilled
from benefits.actions.parts import Parts
from benefits.actions.stack import Due
from benefits.actions.top_up import Added
from benefits.domain import rights, units
from benefits.domain import tiers as rules
from benefits.domain.catalogue import Rules
from benefits.domain.floors import Floor, floor_of, lifted
from benefits.domain.news import fraud
from benefits.domain.packages import Line
from benefits.domain.programme import Programme
from benefits.domain.proposals import FraudEffect, FraudWanted, ProposalInvalid, Taken
from benefits.domain.rights import Record
from benefits.domain.stretches import are_needed
from benefits.domain.tiers import Decision
from benefits.domain.values import Month, Period, bucket_of, local_date
from benefits.store import endings, facts, members, merged, standings, tiers, welcomes
from benefits.store.db import Connection
from benefits.store.facts import Facts, Whom
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.quota_changes import ChangeRow
from benefits.store.tiers import Decided

ACTOR = "system:decide-again"
RECORD_MAX = 1000  # decisions of a member in all programmes; a year has some dozens


class _Case(msgspec.Struct, kw_only=True):
    """A member who is locked, what their months come to, and what is on record."""

    member: Member
    programme: Programme
    rules: Rules
    since: Month
    month: Month
    evaluated: Month | None
    fact: Facts
    decisions: Sequence[Decision]
    floor: Floor | None
    journal: Journal

    @property
    def member_id(self) -> UUID:
        """The member who counts for whoever was named."""
        return self.fact.member_id

    @property
    def today(self) -> date:
        """The day on which it is decided."""
        return local_date(self.journal.now, self.programme.tz)

    @property
    def on(self) -> date:
        """The day whose periods bring units: the last of those whose tier is decided."""
        if self.evaluated is None:
            return self.today
        return top_up.day_in(self.programme, self.evaluated.plus(1), self.journal.now)


class _Done(msgspec.Struct):
    """What is in the journal, and what is to be written down of it."""

    case: _Case
    decided: Decided | None
    added: Added

    @property
    def ranks(self) -> tuple[int, int]:
        """The tier before and after."""
        if self.decided is None:
            return self.case.fact.written.rank, self.case.fact.written.rank
        decision = self.decided.decision
        return decision.before.rank, decision.after.rank


async def weigh_fraud(conn: Connection, wanted: FraudWanted, parts: Parts) -> FraudEffect:
    """Return what deciding a member anew would do (ProposalInvalid, UnknownMember)."""
    done = await _decide(conn, wanted, parts)
    before, after = (done.case.programme.tier[rank].code for rank in done.ranks)
    return FraudEffect(
        member_id=done.case.member_id,
        month=str(done.case.month),
        before=before,
        after=after,
        units=tuple(_taken(done.case.programme, done.added.changes)),
    )


async def decide_again(conn: Connection, wanted: FraudWanted, parts: Parts) -> str:
    """Do what was weighed; return the tier that the member has."""
    done = await _decide(conn, wanted, parts)
    case = done.case
    await case.journal.write(conn)
    if done.decided is not None:
        await tiers.put(conn, case.rules, [done.decided])
        until = done.decided.decision.after.welcome_until
        if until is not None:
            await welcomes.put_due(conn, {case.member_id: until})
    await top_up.put(conn, done.added)
    return case.programme.tier[done.ranks[1]].code


async def _decide(conn: Connection, wanted: FraudWanted, parts: Parts) -> _Done:
    """Put into a journal what deciding a member anew does (ProposalInvalid, UnknownMember)."""
    case = await _case(conn, wanted, parts)
    decided = await _decided(conn, case)
    rank, due, gone = case.fact.written.on(case.today).rank, list[Due](), list[ChangeRow]()
    if decided is not None:
        rank = decided.decision.after.rank
        due, gone = await _follow(conn, case, decided.decision)
    records = await _records(conn, case)

    def right(line: Line, period: Period) -> int | None:
        return _right(case, records, line, period)

    member_id, of = case.member_id, (conn, case.journal, case.programme)
    wrong = await take_wrong(*of, member_id, right=right)
    gone += wrong
    if decided is None and not gone:
        raise ProposalInvalid(
            "Nothing would change: by the balances as they are now the tier is no lower, and no "
            "unclaimed units rest on a wrong one."
        )
    if wrong:
        due = await in_turn(*of, (member_id, rank), gone=gone, dues=due, on=case.on)
    added = await top_up.add_due(conn, case.journal, due, actor=ACTOR)
    added.changes.extend(gone)
    return _Done(case, decided, added)


async def _case(conn: Connection, wanted: FraudWanted, parts: Parts) -> _Case:
    """Lock a member and read what decides their tier (ProposalInvalid, UnknownMember)."""
    try:
        since = Month.parse(wanted.since)
    except ValueError as error:
        raise ProposalInvalid(f"since: {error}") from None
    locked, into = await members.lock_current(conn, [wanted.member_id], wait=True)
    member_id = into.get(wanted.member_id, wanted.member_id)
    if member_id not in locked:
        raise UnknownMember
    member, now = locked[member_id], parts.clock()
    catalogue = await parts.catalogue.current(conn)
    programme = catalogue.programmes.get(wanted.programme)
    if programme is None:
        raise ProposalInvalid(f"There is no programme {wanted.programme!r}.")
    today = local_date(now, programme.tz)
    if closed_by(member.closed_on, today):
        raise ProposalInvalid("The relationship has ended, and the tier with it.")
    judges = catalogue.rules[programme.code]
    if are_needed(judges) and await unfilled(conn, parts):
        raise ProposalInvalid("Balances are being added up anew. Propose it in a few minutes.")
    evaluated = (await merged.evaluated(conn, member_id)).get(programme.code)
    latest = await endings.latest(conn, [member_id])
    months = [decision.month for _, code, _, decision in latest if code == programme.code]
    month = max([*months, *([evaluated] if evaluated else [])], default=None)
    if month is None or month < since:
        raise ProposalInvalid(f"No month from {since} on was decided.")
    bucket = bucket_of(member_id)
    known = await facts.load(conn, judges, month, Whom((bucket, bucket), [member_id]))
    fact = known[0] if known else None
    if fact is None:
        raise ProposalInvalid(f"The relationship began after {month}.")
    decisions = rules.fold(
        judges,
        fact.sums,
        month,
        opened_on=fact.opened_on,
        labels=fact.labels,
        rises=[rise for rise in fact.rises if rise.month < since],
    )
    return _Case(
        member=member,
        programme=programme,
        rules=judges,
        since=since,
        month=month,
        evaluated=evaluated,
        fact=fact,
        decisions=decisions,
        floor=floor_of(judges, fact.opened_on),
        journal=Journal({member_id: member}, now, parts.new_id),
    )


async def _decided(conn: Connection, case: _Case) -> Decided | None:
    """Tell of the lower tier, if the fold has one; it holds from now, or from what comes next."""
    if not case.decisions:
        return None
    journal, last = case.journal, case.decisions[-1]
    last = msgspec.structs.replace(last, after=lifted(last.after, case.floor, case.today))
    decision = fraud(last, case.fact.written, case.since)
    if decision is None:
        return None
    of = (conn, case.programme.code, case.month, [case.member_id])
    held, before = await tiers.boundaries(*of), await standings.of_month(*of)
    decision_id, at = journal.id_for(case.member_id), journal.now_for(case.member_id)
    effective_from = max(at, held[case.member_id].latest)
    journal.event(
        case.member_id,
        event_beside(decision, before.get(case.member_id, ())),
        subject_id=decision_id,
        data=told_of(case.programme, decision, effective_from),
    )
    return Decided(
        decision_id=decision_id,
        member_id=case.member_id,
        decision=decision,
        decided_at=at,
        effective_from=effective_from,
    )


async def _follow(
    conn: Connection, case: _Case, decision: Decision
) -> tuple[list[Due], list[ChangeRow]]:
    """Let units follow the fall as after any: what the lower tier brings, and what lines take."""
    journal, programme, member_id = case.journal, case.programme, case.member_id
    now, today = journal.now, case.today
    ranks = (decision.before.rank, decision.after.rank)
    due = list[Due]()
    # Of a month whose tier is not decided yet whoever decides it brings the units (T-3).
    if case.evaluated is not None and case.evaluated >= Month.of(today).plus(-1):
        due = await top_up.of_decided(
            conn,
            programme,
            [(member_id, ranks[1])],
            {member_id: today},
            locked={member_id: case.member},
            now=now,
        )
    falls = Falls(today, {member_id: ranks} if ranks[1] < ranks[0] else {})
    return await fall(conn, journal, programme, falls, dues=due, on=case.on, now=now)


async def _records(conn: Connection, case: _Case) -> list[list[Record]]:
    """Return the tiers on record in the order in which they were held, of each who counts along.

    Units came with a merged customer's own tier, too.
    """
    along = await merged.along(conn, [case.member_id])
    return [await _record(conn, case, member_id) for member_id in (case.member_id, *along)]


async def _record(conn: Connection, case: _Case, member_id: UUID) -> list[Record]:
    found = await standings.decisions(
        conn, member_id, case.journal.now, before=None, limit=RECORD_MAX
    )
    tz, code = case.programme.tz, case.programme.code
    record = [
        Record(one.decision.after.rank, local_date(max(one.effective_from, one.decided_at), tz))
        for one in reversed(found)
        if one.programme == code
    ]
    return sorted(record, key=lambda one: one.on)


def _right(
    case: _Case, records: Sequence[Sequence[Record]], line: Line, period: Period
) -> int | None:
    """Return how many steps of a line are right for a period that rests on a wrong tier."""
    tomorrow = case.today + timedelta(days=1)
    period = msgspec.structs.replace(period, end=min(period.end, tomorrow))
    if period.end <= case.since.start:
        return None
    right = rights.right_ranks(case.rules, case.decisions, case.floor, period)
    if max(rights.highest_held(record, period) for record in records) <= max(right):
        return None
    versions = [case.programme, *(judge.programme for judge in case.rules.judges)]
    return rights.right_quota(line.code, right, versions)


def _taken(programme: Programme, changes: Sequence[ChangeRow]) -> list[Taken]:
    """Return what goes, by line and period."""
    lines, went = {line.code: line for line in programme.line}, dict[tuple[str, str], int]()
    for change in changes:
        key = (change.line, change.period)
        went[key] = went.get(key, 0) + change.taken
    return [
        Taken(
            line=code,
            period=period,
            quantity=str(units.whole(amount, programme.brought(lines[code]).scale)),
        )
        for (code, period), amount in went.items()
        if amount > 0
    ]
