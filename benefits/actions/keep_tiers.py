"""Decide months that are over once their days are sealed, for programmes that name feeds (T-3).

    days all sealed, or waited for long enough  ->  the month's run: lease, some buckets, advance

Months are decided in their order, each when what is before it is; a feed that is sealed later for
a day of one is news for it and those after it: they are decided anew (A-7). A run is shared like
that of a look ahead: whoever leases it next goes on where the last part ended, and what was done
twice changes nothing. The command takes the same lease.
"""

from datetime import datetime, timedelta

import msgspec

from benefits.actions.evaluate import Evaluated, evaluate
from benefits.actions.keep_stretches import unfilled
from benefits.actions.parts import Parts
from benefits.domain.catalogue import Rules
from benefits.domain.refusal import Refusal
from benefits.domain.values import BUCKETS, Month, local_date
from benefits.domain.windows import span
from benefits.store import evaluation_runs, tiers
from benefits.store.db import Connection, Database
from benefits.store.evaluation_runs import Leased, Mark, Stand

PART = 2000  # members; the worker's other steps go on between parts
PART_BUCKETS = 64
LEASE = timedelta(minutes=2)
# What is corrected later than that is a person's to decide, with the command.
HORIZON_MONTHS = 13


class EvaluationRunning(Refusal):
    """Somebody else evaluates the month of this programme at the moment."""

    code = "evaluation_running"
    words = "This month is being evaluated by another process."


class Kept(msgspec.Struct, frozen=True):
    """A part of a run that was done; when the run began and, at its last part, ended."""

    mark: Mark
    done: Evaluated
    begun_at: datetime
    ended_at: datetime | None


async def decide_next(database: Database, parts: Parts) -> Kept | None:
    """Evaluate the next part of a month that is due; None when there is none."""

    async def take(conn: Connection) -> Leased | None:
        mark = await _due(conn, parts)
        now = parts.clock()
        if mark is None:
            return None
        return await evaluation_runs.lease(conn, mark, now, now + LEASE)

    leased = await database.transact(take)
    if leased is None:
        return None
    end = min(leased.first + await _count(database, leased.first), BUCKETS)
    return await _part(database, parts, leased, end, keep=False)


async def begin(database: Database, parts: Parts, programme: str, month: Month) -> Leased:
    """Take the run of a month, or go on with one that was interrupted (EvaluationRunning)."""

    async def take(conn: Connection) -> Leased | None:
        rules = (await parts.catalogue.current(conn)).rules[programme]
        sources = rules.at(month).programme.feeds
        (one,) = await evaluation_runs.stand(conn, programme, sources, [month])
        now = parts.clock()
        return await evaluation_runs.lease(conn, one.mark, now, now + LEASE)

    leased = await database.transact(take)
    if leased is None:
        raise EvaluationRunning
    return leased


async def go_on(
    database: Database, parts: Parts, leased: Leased, end: int
) -> tuple[Leased, Evaluated]:
    """Evaluate up to a bucket and keep the run; return it from there (EvaluationRunning)."""
    kept = await _part(database, parts, leased, end, keep=True)
    if kept is None:
        raise EvaluationRunning
    return msgspec.structs.replace(leased, first=end), kept.done


async def _part(
    database: Database, parts: Parts, leased: Leased, end: int, *, keep: bool
) -> Kept | None:
    """Evaluate a part of a run that is ours; None where it became another's meanwhile.

    What cannot be done, or is stopped, gives it back.
    """
    mark, buckets = leased.mark, (leased.first, end - 1)
    try:
        done = await evaluate(database, parts, mark.programme, mark.month, buckets=buckets)
    except BaseException:
        await _give_back(database, parts, leased)
        raise
    now = parts.clock()

    async def advance(conn: Connection) -> bool:
        until = now + LEASE if keep else None
        return await evaluation_runs.advance(conn, leased, end, now, until=until)

    if not await database.transact(advance):
        return None
    return Kept(mark, done, leased.begun_at, now if end == BUCKETS else None)


async def _give_back(database: Database, parts: Parts, leased: Leased) -> None:
    async def advance(conn: Connection) -> bool:
        now = parts.clock()
        return await evaluation_runs.advance(conn, leased, leased.first, now, until=None)

    await database.transact(advance)


async def _count(database: Database, bucket: int) -> int:
    """Return how many buckets make a part."""
    async with database.transaction() as conn:
        members = await tiers.count_members(conn, (bucket, bucket))
    return min(max(PART // max(members, 1), 1), PART_BUCKETS)


async def _due(conn: Connection, parts: Parts) -> Mark | None:
    """Return the earliest month of a programme that is to be decided and whose turn it is."""
    catalogue, now = await parts.catalogue.current(conn), parts.clock()
    for code, programme in catalogue.programmes.items():
        today = local_date(now, programme.tz)
        for one in await _stands(conn, catalogue.rules[code], today_month=Month.of(today)):
            if one.is_done:
                continue
            judge = catalogue.rules[code].at(one.mark.month).programme
            last = span(judge.policy, one.mark.month)[1]
            waited = last.end + timedelta(days=judge.policy.max_wait) <= today
            whole = one.sealed >= len(set(judge.feeds)) * one.mark.month.days
            is_free = one.leased_until is None or one.leased_until <= now
            if (whole or waited) and is_free and not await unfilled(conn, parts):
                return one.mark
            break  # those after it wait for it
    return None


async def _stands(conn: Connection, rules: Rules, *, today_month: Month) -> list[Stand]:
    """Return how the months stand that are over and that feeds make known, in their order."""
    months = [today_month.plus(-n) for n in range(HORIZON_MONTHS, 0, -1)]
    fed = dict[tuple[str, ...], list[Month]]()
    for month in months:
        sources = tuple(sorted(set(rules.at(month).programme.feeds)))
        if sources:
            fed.setdefault(sources, []).append(month)
    found = list[Stand]()
    for sources, some in fed.items():
        first = await evaluation_runs.first_day(conn, sources)
        if first is not None:
            begun = [month for month in some if month >= Month.of(first)]
            found += await evaluation_runs.stand(conn, rules.programme, sources, begun)
    return sorted(found, key=lambda one: one.mark.month)
