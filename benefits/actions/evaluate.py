"""Evaluate a closed month: fold members' months, decide tiers, top up what the next month brings.

Bucket by bucket, each in transactions of at most 500 locked members; a bucket is marked with what
is written last of it, so a run that was stopped goes on where it ended, and a run again writes
nothing. Members for whom nothing changes are read without locks and not touched; steady ones are
not even folded.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from uuid import UUID

import msgspec

from benefits.actions import top_up
from benefits.actions.fall import fall
from benefits.actions.follow_quota import Falls
from benefits.actions.judge_month import Wanted, wanted
from benefits.actions.make_up import make_up
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Rules
from benefits.domain.floors import opened_since
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.steady import bounds as bounds_of
from benefits.domain.tiers import Cause, Decision
from benefits.domain.values import BUCKETS, Month, bucket_of, local_date, midnight
from benefits.store import evaluations, members, standings, steady, tiers, welcomes
from benefits.store.db import Connection, Database
from benefits.store.evaluations import Mark
from benefits.store.facts import Whom
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.steady import Seen
from benefits.store.tiers import Boundary, Decided

PAGE = 500
SLICE = 5000


class MonthNotOver(Refusal):
    """The month has not ended in the programme's zone, so it cannot be evaluated."""

    code = "month_not_over"
    words = "The month is not over."


class UnknownProgramme(Refusal):
    """No programme has this code, or none is needed to be named when there is but one."""

    code = "unknown_programme"
    words = "Name a programme that is in force."


class Evaluated(msgspec.Struct, frozen=True):
    """What evaluating buckets did; `ranks` counts their members per rank in the next month."""

    members: int = 0
    decisions: int = 0
    grants: int = 0
    ranks: dict[int, int] = {}

    def plus(self, other: "Evaluated") -> "Evaluated":
        """Return the two together."""
        ranks = {
            rank: self.ranks.get(rank, 0) + other.ranks.get(rank, 0)
            for rank in self.ranks.keys() | other.ranks.keys()
        }
        return Evaluated(
            self.members + other.members,
            self.decisions + other.decisions,
            self.grants + other.grants,
            ranks,
        )


async def slices(database: Database) -> list[tuple[int, int]]:
    """Return ranges of buckets, in order, that hold some thousands of members each."""
    async with database.transaction() as conn:
        members_all = await tiers.count_members(conn, (0, BUCKETS - 1))
    count = 1
    while count < BUCKETS and members_all > SLICE * count:
        count *= 2
    step = BUCKETS // count
    return [(first, first + step - 1) for first in range(0, BUCKETS, step)]


class _Written(msgspec.Struct, frozen=True):
    """What was written for the members of a page who could be locked."""

    members: Collection[UUID]
    decisions: int = 0
    grants: int = 0


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets under way: what was found and seen, and how many are still to be written of each.

    A bucket of which nothing is to be written has no count.
    """

    parts: Parts
    code: str
    month: Month
    found: Wanted
    saw: Seen
    waiting: Counter[int]

    async def mark(self, conn: Connection, over: Collection[int]) -> None:
        """Mark buckets of which all is written."""
        mark = Mark(
            decided={bucket: self.saw.counts(bucket)[0] for bucket in sorted(over)},
            seen=self.saw.number,
            generation=self.saw.generation,
            basis=self.saw.basis,
            pending=self.found.pending,
            open=[id_ for id_ in self.found.open if bucket_of(id_) in over],
            closed=[id_ for id_ in self.found.closed if bucket_of(id_) in over],
        )
        now = self.parts.clock()
        await evaluations.evaluated(conn, self.code, self.month, now=now, mark=mark)


async def evaluate(
    database: Database,
    parts: Parts,
    programme_code: str,
    month: Month,
    *,
    buckets: tuple[int, int],
) -> Evaluated:
    """Evaluate buckets for one month (T-4, T-8, P-3); MonthNotOver, UnknownProgramme."""

    async def look(conn: Connection) -> tuple[Wanted, Seen, dict[int, int]]:
        return await _look(conn, parts, programme_code, month, buckets=buckets)

    found, saw, ranks = await database.transact(look)
    written, left = list[_Written](), found.touched
    waiting = Counter(bucket_of(id_) for id_ in left)
    run = _Run(
        parts=parts, code=programme_code, month=month, found=found, saw=saw, waiting=waiting
    )
    for wait in (False, True):  # for those whom somebody else holds: after all the others
        done = await _write_all(database, run, ids=left, wait=wait)
        written += done
        left = [id_ for id_ in left if not any(id_ in one.members for one in done)]
    # Those that came to 0 were marked with their last page.
    rest = {n for n in range(buckets[0], buckets[1] + 1) if waiting.get(n) != 0}

    async def mark(conn: Connection) -> None:
        await run.mark(conn, rest)

    await database.transact(mark)
    for _, rank in found.ranks:
        ranks[rank] = ranks.get(rank, 0) + 1
    return Evaluated(
        sum(ranks.values()),
        sum(one.decisions for one in written),
        sum(one.grants for one in written),
        ranks,
    )


async def _look(
    conn: Connection, parts: Parts, code: str, month: Month, *, buckets: tuple[int, int]
) -> tuple[Wanted, Seen, dict[int, int]]:
    """Return what ought to be written, what was seen, and how many steady members ranks have."""
    programme, judges = await _programme(conn, parts, code, month)
    saw = await steady.seen(conn, judges, month, buckets)  # before all else
    bounds = bounds_of(judges, month)
    if bounds is None:
        whom = Whom(buckets)
        return await wanted(conn, parts, programme, judges, month=month, whom=whom), saw, {}
    today = local_date(parts.clock(), programme.tz)
    found = await steady.find(
        conn,
        code,
        bounds,
        saw,
        buckets=buckets,
        apart=top_up.ranks(programme),
        today=today,
        welcomed=opened_since([judges], max(month.end, today)),
    )
    judged = await wanted(
        conn,
        parts,
        programme,
        judges,
        month=month,
        whom=Whom(buckets, found.open),
        ranked=found.ranked,
    )
    return judged, saw, found.steady


async def _write_all(
    database: Database, run: _Run, *, ids: Sequence[UUID], wait: bool
) -> list[_Written]:
    """Write for members, page by page; without `wait`, those somebody else holds are left.

    A bucket is marked with its last page: a correction could take back what was decided of one
    without a mark, and would hold from now on of whom nothing was decided in one with it (A-7).
    """
    written = list[_Written]()
    for page in _pages(ids):

        async def write(conn: Connection, page: Sequence[UUID] = page) -> _Written:
            locked = await members.lock(conn, page, wait=wait)
            done = await _write_page(conn, run.parts, run.code, run.month, locked=locked)
            here = Counter(bucket_of(id_) for id_ in locked)
            over = {bucket for bucket, count in here.items() if count == run.waiting[bucket]}
            if over:
                await run.mark(conn, over)
            return done

        done = await database.transact(write)
        run.waiting.subtract(bucket_of(id_) for id_ in done.members)
        written.append(done)
    return written


def _pages(ids: Sequence[UUID]) -> Iterator[list[UUID]]:
    """Cut members, in the order of buckets, into pages; no bucket that is no more than a page."""
    page = list[UUID]()
    for _, bucket in groupby(ids, bucket_of):
        here = list(bucket)
        if page and len(page) + len(here) > PAGE:
            yield page
            page = []
        page += here
        while len(page) > PAGE:
            yield page[:PAGE]
            page = page[PAGE:]
    if page:
        yield page


async def _programme(
    conn: Connection, parts: Parts, code: str, month: Month
) -> tuple[Programme, Rules]:
    catalogue = await parts.catalogue.current(conn)
    programme = catalogue.programmes.get(code)
    if programme is None:
        raise UnknownProgramme
    if local_date(parts.clock(), programme.tz) < month.end:
        raise MonthNotOver(f"{month} is not over in {programme.zone}.")
    return programme, catalogue.rules[code]


_EVENTS = {
    Cause.UPGRADED: "tier.upgraded",
    Cause.DOWNGRADED: "tier.downgraded",
    Cause.WATCHED: "tier.watched",
    Cause.RETAINED: "tier.retained",
    Cause.HELD: "tier.held",
    Cause.GRACE: "tier.downgrade_scheduled",
    Cause.UNDETERMINED: "tier.undetermined",
    Cause.ENDED: "tier.ended",
    Cause.MERGED: "tier.merged",
    Cause.WELCOME: "tier.welcomed",
    Cause.WELCOME_OVER: "tier.welcome_ended",
    Cause.FRAUD: "tier.downgraded",
}


def event_of(decision: Decision) -> str:
    """Return the event a decision is told by; a correction by its direction (T-12).

    A welcome that goes on is told of once, whatever is earned beneath it; so beneath fraud.
    """
    before, after = decision.before, decision.after
    if decision.cause is Cause.FRAUD and before.rank == after.rank:
        return "tier.held"
    if decision.cause is Cause.WELCOME and before.rank == after.rank:
        goes_on = before.welcome_until in {None, after.welcome_until}
        return "tier.held" if goes_on else "tier.welcomed"
    if decision.cause is not Cause.CORRECTED:
        return _EVENTS[decision.cause]
    risen = decision.after.rank > decision.before.rank
    return "tier.upgraded" if risen else "tier.downgraded"


def event_beside(decision: Decision, before: Iterable[Decision]) -> str:
    """Return the event a decision is told by beside what was decided of its month before.

    Of a month each kind is told once for a tier; again it is a correction (T-12).
    """
    told = {(event_of(one), one.after.rank) for one in before}
    kind = event_of(decision)
    return "tier.corrected" if (kind, decision.after.rank) in told else kind


async def _write_page(
    conn: Connection, parts: Parts, code: str, month: Month, *, locked: dict[UUID, Member]
) -> _Written:
    """Decide again for members of a page, under their locks, and write."""
    if not locked:
        return _Written(locked)
    programme, judges = await _programme(conn, parts, code, month)
    now = parts.clock()
    ids = sorted(locked, key=lambda id_: (bucket_of(id_), id_))
    spans = (bucket_of(ids[0]), bucket_of(ids[-1]))
    found = await wanted(conn, parts, programme, judges, month=month, whom=Whom(spans, ids))
    journal = Journal(locked, now, parts.new_id)
    held = await tiers.boundaries(conn, code, month, list(found.decisions))
    before = await standings.of_month(conn, code, month, list(found.decisions))
    decided = _decided(journal, programme, month, found, held=held, before=before)
    fell = [one for one in decided if one.member_id not in found.undone]
    falls = _falls(local_date(now, programme.tz), fell, held)
    on = top_up.day_in(programme, month.plus(1), now)
    grants = found.grants
    dues, taken = await fall(conn, journal, programme, falls, dues=grants, on=on, now=now)
    added = await top_up.add_due(conn, journal, dues, actor="system:evaluate")
    added.changes.extend(taken)
    made = await make_up(conn, journal, programme, judges, month=month, ids=found.righted)
    added.grants.extend(made)
    await journal.write(conn)
    await tiers.put(conn, judges, decided)
    await welcomes.put_due(conn, _due(decided))
    await top_up.put(conn, added)
    return _Written(locked, len(decided), len(added.grants))


def _due(decided: Sequence[Decided]) -> dict[UUID, date | None]:
    """Return when welcomes end that are decided: then they are looked at again (M-8)."""
    states = ((one.member_id, one.decision.after) for one in decided)
    return {id_: after.welcome_until for id_, after in states if after.welcome_until}


def _falls(day: date, decided: Sequence[Decided], held: Mapping[UUID, Boundary]) -> Falls:
    """Return whose tier falls now: what is decided of the latest month holds (P-6).

    Where only what raised a month of the past is undone, no units had come back for it.
    """
    ranks = {
        one.member_id: (one.decision.before.rank, one.decision.after.rank)
        for one in decided
        if one.decision.after.rank < one.decision.before.rank
        and not ((before := held.get(one.member_id)) and before.has_later)
    }
    return Falls(day, ranks)


def _decided(
    journal: Journal,
    programme: Programme,
    month: Month,
    found: Wanted,
    *,
    held: Mapping[UUID, Boundary],
    before: Mapping[UUID, Sequence[Decision]],
) -> list[Decided]:
    """Tell of decisions beside those of the month `before`; return them as they are written down.

    A tier holds from the first day after the month (T-3), or from now where a correction raised it
    (A-7): what came between stays in the history. What is decided of the latest month is what
    holds at last; it covers nothing that is decided of a later one.
    """
    decided, over = list[Decided](), midnight(month.end, programme.tz)
    for member_id, decision in found.decisions.items():
        decision_id, now = journal.id_for(member_id), journal.now_for(member_id)
        effective_from, on_record = over, held.get(member_id)
        if on_record is None or not on_record.has_later:
            begin = now if member_id in found.raised else over
            effective_from = max(begin, on_record.latest) if on_record else begin
        decided.append(
            Decided(
                decision_id=decision_id,
                member_id=member_id,
                decision=decision,
                decided_at=now,
                effective_from=effective_from,
            )
        )
        journal.event(
            member_id,
            event_beside(decision, before.get(member_id, ())),
            subject_id=decision_id,
            data=told_of(programme, decision, effective_from),
        )
    return decided


def told_of(
    programme: Programme, decision: Decision, effective_from: datetime
) -> dict[str, object]:
    """Return what the event of a decision says."""
    way = {"way": decision.after.way} if decision.after.way else {}
    until = decision.after.welcome_until
    welcome = {"welcome_until": until} if until else {}
    return {
        "programme": programme.code,
        "month": str(decision.month),
        "from": programme.tier[decision.before.rank].code,
        "to": programme.tier[decision.after.rank].code,
        "misses": decision.after.misses,
        "effective_from": effective_from.astimezone(UTC),
        **way,
        **welcome,
    }
