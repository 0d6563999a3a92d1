"""Decide again what was decided of a member, by the rules and the facts of that instant (C-7).

What was known by then is read row by row and folded by the same rules: where the record says
otherwise, one of the two was changed since, or a fact was being recorded at that very moment.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID

import msgspec

from benefits.actions.judge_month import last_decision
from benefits.actions.look_ahead import grounds_of, running_of
from benefits.actions.parts import Parts
from benefits.domain import as_known, merges, outlook, tiers
from benefits.domain.as_known import Day, Known
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.endings import end_tier
from benefits.domain.floors import floor_of, lifted, moved
from benefits.domain.news import fraud, is_below, news
from benefits.domain.refusal import Refusal
from benefits.domain.tiers import Cause, Decision, Rise, State
from benefits.domain.values import Month, local_date, midnight
from benefits.domain.windows import window
from benefits.store import as_known as rows_known
from benefits.store import catalogue, standings
from benefits.store.as_known import Settled
from benefits.store.db import Connection, Database
from benefits.store.facts import Facts
from benefits.store.standings import Decided

FIGURES = ("cause", "qualified", "sum_minor", "known_days", "days", "divisor", "grounds")
PAGE = 100
SAME_RUN = timedelta(milliseconds=1)
BY_ITSELF = frozenset({Cause.MERGED, Cause.ENDED})  # no balance was counted for it
BY_OTHERS = frozenset({Cause.MERGED, Cause.FRAUD})  # counts as of when its month was settled


class UnknownDecision(Refusal):
    """Nothing was decided of the member under this id."""

    code = "unknown_decision"
    words = "There is no such decision about the member."


class Replayed(msgspec.Struct, frozen=True):
    """A decision, what of it comes out otherwise now, and what the days of its metric counted."""

    decided: Decided
    differs: list[str]
    days: list[Day]


class _Then(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision was made of: by which rules, what was known and what was on record.

    The `ids` are the member's, first, and of those who counted along; `record` is what had been
    decided of the member, `others` of each of these.
    """

    decided: Decided
    rules: Rules
    ids: Sequence[UUID]
    known: Known
    facts: Facts
    record: Sequence[Decided]
    others: Mapping[UUID, Sequence[Decided]]
    settled: Settled

    @property
    def month(self) -> Month:
        """The month that was decided."""
        return self.decided.decision.month

    @property
    def judge(self) -> Judge:
        """The version that judged it."""
        return self.rules.at(self.month)

    @property
    def today(self) -> date:
        """The day on which it was decided."""
        return local_date(self.decided.decided_at, self.judge.programme.tz)


async def replay(conn: Connection, parts: Parts, member_id: UUID, decision_id: UUID) -> Replayed:
    """Decide again what was decided of a member (UnknownDecision)."""
    decided = await standings.one(conn, member_id, decision_id)
    if decided is None:
        raise UnknownDecision
    then = await _then(conn, parts, member_id, decided)
    each = [_differences(decided.decision, one) for one in _again(then)]
    differs = min(each, key=len, default=["cause"])
    if then.judge.version != decided.version:
        differs = ["programme_version", *differs]
    return Replayed(decided, differs, _days(then))


async def replay_month(
    database: Database, parts: Parts, code: str, month: Month, *, bucket: int
) -> list[Replayed]:
    """Decide again what was decided of a month for a bucket's members, some at a time."""
    async with database.transaction() as conn:
        made = await rows_known.made(conn, code, month, bucket)
    found = list[Replayed]()
    for start in range(0, len(made), PAGE):
        async with database.transaction() as conn:
            for member_id, decision_id in made[start : start + PAGE]:
                found.append(await replay(conn, parts, member_id, decision_id))
    return found


async def _then(conn: Connection, parts: Parts, member_id: UUID, decided: Decided) -> _Then:
    """Read what was known as a decision was made."""
    at, month, code = decided.decided_at, decided.decision.month, decided.programme
    whose = await rows_known.whose(conn, member_id, at)
    rules = await catalogue.rules_as_known(conn, parts.catalogue, code, at)
    known = await rows_known.load(conn, whose.ids, month.end, at)
    every = await rows_known.decisions(conn, whose.ids, code, at)
    record, *others = ([one for id_, one in every if id_ == each] for each in whose.ids)
    opened_on = whose.relationship.opened_on
    facts = Facts(
        member_id=member_id,
        opened_on=opened_on,
        closed_on=whose.relationship.closed_on,
        sums=as_known.sums(known, whose.ids, rules, month, opened_on=opened_on),
        labels=await rows_known.labels(conn, member_id, at),
        rises=_rises(rules, record, month) if rules.locks_early else [],
        written=_on_record(record, month),
        has_merged=bool(whose.along),
    )
    return _Then(
        decided=decided,
        rules=rules,
        ids=whose.ids,
        known=known,
        facts=facts,
        record=record,
        others=dict(zip(whose.along, others, strict=True)),
        settled=await rows_known.settled(conn, code, month, member_id, before=at),
    )


def _rises(rules: Rules, record: Sequence[Decided], through: Month) -> list[Rise]:
    """Return the tiers that held before the months were over that proved them, but for fraud."""
    tz = rules.judges[-1].programme.tz
    upto = [one for one in record if one.decision.month <= through]
    found = [
        Rise(one.decision.month, one.decision.after.rank, local_date(one.effective_from, tz))
        for one in upto
        if one.decision.cause is Cause.UPGRADED and not any(_is_wrong(one, of) for of in upto)
    ]
    return [rise for rise in found if rise.day < rise.month.end]


def _is_wrong(risen: Decided, later: Decided) -> bool:
    """Say whether a tier rose by balances that a later decision says were false (A-7)."""
    wrong_from = later.decision.grounds.wrong_from
    is_fraud = later.decision.cause is Cause.FRAUD and later.decided_at > risen.decided_at
    return is_fraud and wrong_from is not None and wrong_from <= risen.decision.month.start


def _on_record(record: Sequence[Decided], through: Month) -> State:
    """Return the standing on record up to a month; decisions are in the order of months."""
    upto = [one.decision.after for one in record if one.decision.month <= through]
    return upto[-1] if upto else State()


def _latest(record: Sequence[Decided]) -> Decided | None:
    """Return what was decided last to hold."""
    return max(
        record,
        key=lambda one: (one.effective_from, one.decided_at, one.decision_id),
        default=None,
    )


def _again(then: _Then) -> Iterator[Decision]:
    """Yield what was to be decided: in the end by balances, or by what else happened."""
    match then.decided.decision.cause:
        case Cause.MERGED:
            yield from _merged(then)
        case Cause.ENDED:
            last, closed_on = _latest(then.record), then.facts.closed_on
            if last is not None and closed_on is not None:
                yield from filter(None, [end_tier(last.decision, closed_on)])
        case Cause.FRAUD:
            yield from filter(None, [_fraud(then)])
        case _:
            over = midnight(then.month.end, then.judge.programme.tz)
            is_early = then.decided.decided_at < over
            yield from filter(None, [_risen(then)] if is_early else _judged(then))
            yield from filter(None, [_welcomed(then)])


def _judged(then: _Then) -> Iterator[Decision | None]:
    """Decide a month that was over, where that was news.

    What is recorded of a member is a microsecond apart at least, so that a decision may lie just
    behind the mark of its own run.
    """
    decision = last_decision(then.rules, then.facts, then.month, then.today)
    if decision is None:
        return
    on, since = max(then.month.end, then.today), then.settled.since
    floors = {_stood(then, decision)}
    if since is not None and then.decided.decided_at - since < SAME_RUN:
        floors.add(None)
    for floor in floors:
        yield news(decision, then.facts.written, settled=floor, on=on)


def _stood(then: _Then, decision: Decision) -> State | None:
    """Return below what the month took no tier (A-7, T-3)."""
    written = then.facts.written
    if not is_below(decision.after, written):
        return None
    if not tiers.may_fall(then.judge.programme, then.month):
        return written.own
    since = then.settled.since
    if since is None:
        return written.own if then.settled.is_passed and then.settled.is_confirmed else None
    stood = [
        one.decision.after
        for one in then.record
        if one.decision.month <= then.month
        if one.decided_at <= since or one.decision.cause in BY_OTHERS
    ]
    return stood[-1] if stood else None


def _risen(then: _Then) -> Decision | None:
    """Decide a running month early (T-3)."""
    programme = then.judge.programme
    period, _ = running_of(then.judge, then.facts, then.month)
    decision = outlook.risen(programme, then.facts.written, period.readings[0], grounds_of(period))
    if decision is None:
        return None
    held_from = local_date(outlook.rises_at(programme, then.decided.decided_at), programme.tz)
    return tiers.begun(programme, decision, [Rise(then.month, decision.after.rank, held_from)])


def _fraud(then: _Then) -> Decision | None:
    """Decide anew, as two people had it done, what months from one on came to (A-7)."""
    wrong_from = then.decided.decision.grounds.wrong_from
    if wrong_from is None:
        return None
    since, facts = Month.of(wrong_from), then.facts
    decisions = tiers.fold(
        then.rules,
        facts.sums,
        then.month,
        opened_on=facts.opened_on,
        labels=facts.labels,
        rises=[rise for rise in facts.rises if rise.month < since],
    )
    if not decisions:
        return None
    after = lifted(decisions[-1].after, floor_of(then.rules, facts.opened_on), then.today)
    last = msgspec.structs.replace(decisions[-1], after=after)
    return fraud(last, facts.written, since)


def _welcomed(then: _Then) -> Decision | None:
    """Decide what a welcome that began, ended or was moved made of what held (M-8)."""
    last = _latest(then.record)
    written = last.decision.after if last else State()
    return moved(written, floor_of(then.rules, then.facts.opened_on), then.month, then.today)


def _merged(then: _Then) -> Iterator[Decision]:
    """Yield what a merger made of what held, with each who counted along (T-10)."""
    own = _latest(then.record)
    for theirs in filter(None, map(_latest, then.others.values())):
        decision = merges.higher(theirs.decision, own.decision if own else None, then.month)
        yield from filter(None, [decision])


def _differences(decided: Decision, again: Decision) -> list[str]:
    """Return what of a decision is not what is decided again."""
    found = [name for name in FIGURES if getattr(decided, name) != getattr(again, name)]
    one, other = decided.before, again.before
    if (one.rank, one.misses, one.way) != (other.rank, other.misses, other.way):
        found.append("before")
    if decided.after.shown != again.after.shown:
        found.append("after")
    return found


def _days(then: _Then) -> list[Day]:
    """Return what the days counted that the policy's own metric was of."""
    judge, by_itself = then.judge, then.decided.decision.cause in BY_ITSELF
    asked = window(judge.programme.policy, then.month, judge.calendar)
    if asked is None or by_itself:
        return []
    return as_known.days(
        then.known,
        then.ids,
        then.rules,
        then.month,
        opened_on=then.facts.opened_on,
        window=asked,
    )
