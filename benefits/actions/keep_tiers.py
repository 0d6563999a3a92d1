"""Decide months that are over once their days are sealed, for programmes that name feeds (T-3).

    days all sealed, or waited for long enough  ->  the month's run: lease, some buckets, advance

Months are decided in their order; a feed that is sealed later for a day of one, a rate, or what
else is told of one (`tell_news`) is news for it and those after it: they are decided anew (A-7),
after those that were never decided. A run
is shared like that of a look ahead: whoever leases it next goes on where the last part ended, and
what was done twice changes nothing. One that fails is tried again when its lease is over, and
keeps no other programme back. The command takes the same lease, and begins anew.

What is older than the horizon is a person's to decide: a case tells of it, once for each news.
"""

from datetime import date, datetime, timedelta

from benefits.actions.evaluate import Evaluated, evaluate
from benefits.actions.keep_stretches import unfilled
from benefits.actions.parts import Parts
from benefits.actions.share import LEASE, LONG_LEASE, Part, do_next, do_until
from benefits.domain.catalogue import Rules
from benefits.domain.refusal import Refusal
from benefits.domain.values import Month, local_date, placed_bucket
from benefits.domain.windows import span
from benefits.store import claims, evaluation_runs
from benefits.store.claims import Case
from benefits.store.db import Connection, Database
from benefits.store.evaluation_runs import Leased, Mark, Stand

PART = 2000  # members; the worker's other steps go on between parts
# What is corrected later than that is a person's to decide, with the command.
HORIZON_MONTHS = 13
OLD = "old_correction"


class EvaluationRunning(Refusal):
    """Somebody else evaluates the month of this programme at the moment."""

    code = "evaluation_running"
    words = "This month is being evaluated by another process."


async def decide_next(database: Database, parts: Parts) -> Part[Leased, Evaluated] | None:
    """Evaluate the next part of a month that is due; None when there is none."""

    async def lease(conn: Connection) -> Leased | None:
        mark = await _due(conn, parts)
        now = parts.clock()
        if mark is None:
            return None
        return await evaluation_runs.lease(conn, mark, now, now + LEASE)

    return await do_next(database, parts, lease, _evaluate, members=PART)


async def begin(database: Database, parts: Parts, programme: str, month: Month) -> Leased:
    """Take the run of a month, from its first bucket on (EvaluationRunning).

    What was done of a run before costs little, and may be news again for other reasons than feeds.
    """

    async def take(conn: Connection) -> Leased | None:
        rules = (await parts.catalogue.current(conn)).rules[programme]
        now = parts.clock()
        (one,) = await evaluation_runs.stand(
            conn,
            programme,
            [month],
            sources=rules.at(month).programme.feeds,
            every=rules.feeds,
            topics=rules.topics,
            now=now,
        )
        return await evaluation_runs.lease(conn, one.mark, now, now + LONG_LEASE, anew=True)

    leased = await database.transact(take)
    if leased is None:
        raise EvaluationRunning
    return leased


async def go_on(
    database: Database, parts: Parts, leased: Leased, end: int
) -> Part[Leased, Evaluated]:
    """Evaluate up to a bucket and keep the run (EvaluationRunning).

    What cannot be done, or is stopped, gives the run back.
    """
    return await do_until(database, parts, leased, _evaluate, end=end, lost=EvaluationRunning)


async def _evaluate(
    database: Database, parts: Parts, leased: Leased, buckets: tuple[int, int]
) -> Evaluated:
    mark = leased.mark
    return await evaluate(database, parts, mark.programme, mark.month, buckets=buckets)


async def leave_old(conn: Connection, parts: Parts) -> int:
    """Open a case for each programme whose months are corrected behind the horizon (A-7).

    It names the earliest of them: those after it are folded on it. Return how many months.
    """
    catalogue, now = await parts.catalogue.current(conn), parts.clock()
    found, left = list[Case](), 0
    for code, rules in catalogue.rules.items():
        today = local_date(now, rules.judges[-1].programme.tz)
        begin = Month.of(today).plus(-HORIZON_MONTHS)
        months = await evaluation_runs.leave(
            conn, code, rules.feeds, rules.topics, begin=begin, now=now
        )
        left += len(months)
        if months:
            case_id = parts.new_id(now, placed_bucket(OLD, code, str(months[0])))
            detail = (
                f"{code}: days of {months[0]} or before were corrected after the month was "
                f"decided, which is more than {HORIZON_MONTHS} months ago."
            )
            found.append(Case(case_id, None, None, OLD, detail, now))
    await claims.open_cases(conn, await claims.not_open(conn, found))
    return left


async def _due(conn: Connection, parts: Parts) -> Mark | None:
    """Return a month that is to be decided and whose turn it is, of whichever programme."""
    catalogue, now = await parts.catalogue.current(conn), parts.clock()
    due = [mark for rules in catalogue.rules.values() if (mark := await _next(conn, rules, now))]
    return due[0] if due and not await unfilled(conn, parts) else None


async def _next(conn: Connection, rules: Rules, now: datetime) -> Mark | None:
    """Return a programme's next month: one begun, one never decided, or one with news.

    None while somebody is at it; after a failure, too, until the lease of the run is over.
    """
    today = local_date(now, rules.judges[-1].programme.tz)
    stands = await _stands(conn, rules, today, now)
    undone = [one for one in stands if not one.is_done]
    if any(one.leased_until is not None and one.leased_until > now for one in undone):
        return None
    begun = next((one for one in undone if one.is_begun), None)
    fresh = next((one for one in undone if one.ran is None), None)
    if begun is None and fresh is not None and _is_ripe(rules, fresh, today):
        return fresh.mark
    chosen = begun or next((one for one in undone if one.ran is not None), None)
    return chosen.next_run if chosen else None


def _is_ripe(rules: Rules, one: Stand, today: date) -> bool:
    """Say whether all days of a month are sealed, or were waited for long enough (A-6)."""
    judge, month = rules.at(one.mark.month).programme, one.mark.month
    last = span(judge.policy, month)[1]
    waited = last.end + timedelta(days=judge.policy.max_wait) <= today
    return waited or one.sealed >= len(set(judge.feeds)) * month.days


async def _stands(conn: Connection, rules: Rules, today: date, now: datetime) -> list[Stand]:
    """Return how the months stand that are over and that feeds make known, in their order.

    They begin with the one before the programme came into force: older ones are history.
    """
    sent, applied_at = await evaluation_runs.first(conn, rules.programme, rules.feeds)
    if sent is None:
        return []
    tz, running = rules.judges[-1].programme.tz, Month.of(today)
    begin = max(Month.of(sent), Month.of(local_date(applied_at, tz)).plus(-1))
    fed = dict[tuple[str, ...], list[Month]]()
    for month in (running.plus(-n) for n in range(HORIZON_MONTHS, 0, -1)):
        sources = tuple(sorted(set(rules.at(month).programme.feeds)))
        if sources and month >= begin:
            fed.setdefault(sources, []).append(month)
    found = list[Stand]()
    for sources, some in fed.items():
        found += await evaluation_runs.stand(
            conn,
            rules.programme,
            some,
            sources=sources,
            every=rules.feeds,
            topics=rules.topics,
            now=now,
        )
    return sorted(found, key=lambda one: one.mark.month)
