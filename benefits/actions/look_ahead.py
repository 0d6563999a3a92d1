"""Look ahead in running periods: who may lose a tier, who is near one, who has reached it (T-3).

It is done after each sealed day (`keep_ahead`) or by command. Members for whom nothing is new are
read without locks and not touched; a run again changes nothing. Each kind of sight is told once a
member and period (T-12).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID

import msgspec

from benefits.actions import top_up
from benefits.actions.evaluate import PAGE, UnknownProgramme, event_beside, told_of
from benefits.actions.judge_month import closed_by
from benefits.actions.parts import Parts
from benefits.domain import outlook, progress
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.outlook import Sight, risen
from benefits.domain.programme import Programme
from benefits.domain.progress import Running
from benefits.domain.tiers import Decision, Grounds, Rise, begun, first_known
from benefits.domain.values import BUCKETS, Month, bucket_of, local_date
from benefits.domain.windows import span
from benefits.store import evaluations, facts, members, merged, standings, tiers
from benefits.store import outlook as sights
from benefits.store.db import Connection, Database
from benefits.store.facts import Facts, Whom
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.outlook import Seen
from benefits.store.tiers import Decided

PACE = 200  # members; whatever else the process does goes on between
EVENTS = {Sight.AT_RISK: "tier.at_risk", Sight.NEAR: "tier.near"}


class Ahead(msgspec.Struct, frozen=True):
    """How many members were looked at; what is seen of them; how many rose already."""

    members: int = 0
    at_risk: int = 0
    near: int = 0
    told: int = 0
    risen: int = 0

    def plus(self, other: "Ahead") -> "Ahead":
        """Add another range's figures."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Ahead(*(one + more for one, more in pairs))


class _Running(msgspec.Struct, frozen=True):
    """A programme's running month and day, and the version that judges it."""

    judge: Judge
    rules: Rules
    month: Month
    today: date

    @property
    def programme(self) -> Programme:
        """The programme as that version says it."""
        return self.judge.programme


class _View(msgspec.Struct):
    """What is seen of some members now, and what of it is news.

    `told` are sights nobody was told of in this period, `moved` those with other figures, `gone`
    those that are so no more. `risen` have proven a higher tier.
    """

    members: int
    now: list[Seen]
    told: list[Seen]
    moved: list[Seen]
    gone: list[Seen]
    risen: dict[UUID, Decision]


async def look_ahead(
    database: Database, parts: Parts, code: str, *, buckets: tuple[int, int] = (0, BUCKETS - 1)
) -> Ahead:
    """Look ahead in buckets, as of what is known of the running month (UnknownProgramme)."""

    async def look(conn: Connection) -> _View:
        view = await _view(conn, await _running(conn, parts, code), Whom(buckets))
        await sights.put(conn, code, view.moved, parts.clock())
        await sights.end(conn, code, view.gone, parts.clock())
        return view

    view = await database.transact(look)
    ids = sorted(
        {*(one.member_id for one in view.told), *view.risen}, key=lambda id_: (bucket_of(id_), id_)
    )
    told = risen_ = 0
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE]

        async def tell(conn: Connection, page: list[UUID] = page) -> tuple[int, int]:
            locked = await members.lock(conn, page, wait=True)
            return await _tell(conn, parts, code, locked)

        more = await database.transact(tell)
        told, risen_ = told + more[0], risen_ + more[1]
    counts = {kind: sum(one.outlook is kind for one in view.now) for kind in Sight}
    return Ahead(view.members, counts[Sight.AT_RISK], counts[Sight.NEAR], told, risen_)


async def _running(conn: Connection, parts: Parts, code: str) -> _Running:
    catalogue = await parts.catalogue.current(conn)
    if code not in catalogue.programmes:
        raise UnknownProgramme
    rules = catalogue.rules[code]
    today = local_date(parts.clock(), catalogue.programmes[code].tz)
    month = Month.of(today)
    return _Running(rules.at(month), rules, month, today)


async def _view(conn: Connection, running: _Running, whom: Whom) -> _View:
    """Read what is known of members and compare what is seen with the record."""
    programme, rules, month = running.programme, running.rules, running.month
    there = [
        fact
        for fact in await facts.load(conn, rules, month, whom)
        if not closed_by(fact.closed_on, running.today)
    ]
    known = {
        fact.member_id: running_of(running.judge, fact, month) async for fact in _paced(there)
    }
    days = [(id_, day) for id_, (_, day) in known.items() if day is not None]
    into = await merged.along(conn, [fact.member_id for fact in there if fact.has_merged])
    baskets = dict.fromkeys(programme.baskets)
    last = {each: await sights.balances(conn, days, each, into=into) for each in baskets}
    points = {
        each: await sights.balances(conn, days, each.whole, into=into)
        for each in baskets
        if each.points
    }
    before = await sights.seen(conn, programme.code, whom)
    if whom.members is not None:
        before = {key: one for key, one in before.items() if key[0] in known}
    before_it = month.plus(-1)
    decided = await evaluations.decided_buckets(conn, programme.code, before_it, whom.buckets)
    now = dict[tuple[UUID, Sight], Seen]()
    rises = dict[UUID, Decision]()
    async for fact in _paced(there):
        period, day = known[fact.member_id]
        decision = None
        if bucket_of(fact.member_id) in decided or not _awaits(rules, fact, before_it):
            decision = risen(programme, fact.written, period.readings[0], grounds_of(period))
        if decision is not None:
            rises[fact.member_id] = decision
        if day is not None and not closed_by(fact.closed_on, month.end):
            state = decision.after if decision is not None else fact.written
            if points:
                expected = [
                    points[each].get(fact.member_id, 0) - last[each].get(fact.member_id, 0)
                    for each in programme.baskets
                ]
                period = progress.expecting(period, expected)
            held = [last[each].get(fact.member_id, 0) for each in programme.baskets]
            for one in outlook.look_ahead(programme, state.own, period, last_minor=held):
                now[fact.member_id, one.outlook] = sights.record(
                    fact.member_id,
                    one,
                    month=span(programme.policy, month)[0],
                    tier=programme.tier[one.rank].code,
                    as_of=day,
                )
    return _compared(len(there), before, now, rises)


def _awaits(rules: Rules, fact: Facts, month: Month) -> bool:
    """Say whether a month is still to be decided of a member: something is known by its end.

    The tier on record is not the one that rises before that.
    """
    first = first_known(rules, fact.sums, fact.opened_on, fact.labels)
    return first is not None and first <= month


async def _paced(facts: Sequence[Facts]) -> AsyncIterator[Facts]:
    """Yield facts, and let others have their turn in between."""
    for count, fact in enumerate(facts, 1):
        yield fact
        if count % PACE == 0:
            await asyncio.sleep(0)


def grounds_of(period: Running) -> Grounds:
    """Return what a running month counts besides the policy's metric."""
    own, *others = period.judged.readings
    return Grounds(tuple(others), day=own.day)


def running_of(judge: Judge, fact: Facts, month: Month) -> tuple[Running, date | None]:
    """Return the running periods, and the last known day of the month."""
    own = fact.sums.get(judge.programme.basket, {})
    day = own[month].last_day if month in own else 0
    period = progress.running(
        judge.programme,
        month,
        fact.sums,
        day=day,
        opened_on=fact.opened_on,
        labels=fact.labels,
        calendar=judge.calendar,
    )
    return period, month.start + timedelta(days=day - 1) if day else None


def _compared(
    members_: int,
    before: Mapping[tuple[UUID, Sight], Seen],
    now: Mapping[tuple[UUID, Sight], Seen],
    rises: dict[UUID, Decision],
) -> _View:
    """Say what is news: a period is told of once, however often it comes and goes (T-12)."""
    view = _View(members_, list(now.values()), [], [], [], rises)
    for key, one in now.items():
        was = before.get(key)
        if was is None or was.month != one.month:
            view.told.append(one)
        elif was != one:
            view.moved.append(one)
    view.gone = [one for key, one in before.items() if one.is_current and key not in now]
    return view


async def _tell(
    conn: Connection, parts: Parts, code: str, locked: dict[UUID, Member]
) -> tuple[int, int]:
    """Look again under the members' locks; write and tell what is news."""
    if not locked:
        return 0, 0
    running = await _running(conn, parts, code)
    programme, rules, month = running.programme, running.rules, running.month
    ids = sorted(locked, key=lambda id_: (bucket_of(id_), id_))
    whom = Whom((bucket_of(ids[0]), bucket_of(ids[-1])), ids)
    view = await _view(conn, running, whom)
    now = parts.clock()
    journal = Journal(locked, now, parts.new_id)
    before = await standings.of_month(conn, code, month, list(view.risen)) if view.risen else {}
    decided = [
        _rise(journal, programme, member_id, decision, before=before.get(member_id, ()))
        for member_id, decision in view.risen.items()
    ]
    for one in view.told:
        journal.event(
            one.member_id, EVENTS[one.outlook], subject_id=None, data=_data(programme, one)
        )
    ranks = [
        (one.member_id, one.decision.after.rank)
        for one in decided
        if local_date(one.effective_from, programme.tz) < month.end
    ]
    since = {one.member_id: local_date(one.effective_from, programme.tz) for one in decided}
    due = await top_up.of_decided(conn, programme, ranks, since, locked=locked, now=now)
    added = await top_up.add_due(conn, journal, due, actor="system:look-ahead")
    await journal.write(conn)
    await tiers.put(conn, rules, decided)
    await top_up.put(conn, added)
    await sights.put(conn, code, view.told, now)
    return len(view.told), len(decided)


def _rise(
    journal: Journal,
    programme: Programme,
    member_id: UUID,
    decision: Decision,
    *,
    before: Sequence[Decision],
) -> Decided:
    """Tell of a tier that was proven before its month is over; return what is written down.

    Its term begins as it holds (T-5). What was decided of the month `before` was told.
    """
    decision_id, at = journal.id_for(member_id), journal.now_for(member_id)
    effective_from = outlook.rises_at(programme, at)
    held_from = local_date(effective_from, programme.tz)
    rise = Rise(decision.month, decision.after.rank, held_from)
    decision = begun(programme, decision, [rise])
    journal.event(
        member_id,
        event_beside(decision, before),
        subject_id=decision_id,
        data=told_of(programme, decision, effective_from),
    )
    return Decided(
        decision_id=decision_id,
        member_id=member_id,
        decision=decision,
        decided_at=at,
        effective_from=effective_from,
    )


def _data(programme: Programme, one: Seen) -> dict[str, object]:
    return {
        "programme": programme.code,
        "month": str(one.month),
        "tier": one.tier,
        "day": one.as_of,
        "threshold_minor": one.threshold_minor,
        "projected_minor": one.projected_minor,
        "needed_daily_minor": one.needed_daily_minor,
    }
