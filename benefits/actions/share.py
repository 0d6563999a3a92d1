"""Share a run among processes: whoever leases it does some buckets and moves it on.

    due  ->  lease  ->  some buckets  ->  advance  ->  at the last bucket it has ended

Whoever leases it next goes on where the last part ended; a part whose process was killed is done
again when its lease is over. Nothing is locked between the steps.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

from benefits.actions.parts import Parts
from benefits.domain.refusal import Refusal
from benefits.domain.values import BUCKETS
from benefits.store import runs, tiers
from benefits.store.db import Connection, Database

PART_BUCKETS = 64
LEASE = timedelta(minutes=2)
LONG_LEASE = timedelta(minutes=10)  # of a command, which takes more members at once
Leased = TypeVar("Leased", bound=runs.Leased)
Done = TypeVar("Done")
Work = Callable[[Database, Parts, Leased, tuple[int, int]], Awaitable[Done]]


class Part(msgspec.Struct, Generic[Leased, Done], frozen=True):
    """A part of a run that was done, the run from there on, and when it ended with the part."""

    leased: Leased
    done: Done
    ended_at: datetime | None


async def do_next(
    database: Database,
    parts: Parts,
    lease: Callable[[Connection], Awaitable[Leased | None]],
    work: Work[Leased, Done],
    *,
    members: int,
) -> Part[Leased, Done] | None:
    """Do the next part of a run that is due, of about so many members; None when there is none."""

    async def take(conn: Connection) -> tuple[Leased, int] | None:
        leased = await lease(conn)
        if leased is None:
            return None
        count = await tiers.count_members(conn, (leased.first, leased.first))
        step = min(max(members // max(count, 1), 1), PART_BUCKETS)
        return leased, min(leased.first + step, BUCKETS)

    taken = await database.transact(take)
    if taken is None:
        return None
    leased, end = taken
    return await _part(database, parts, leased, work, end=end, keep=None)


async def do_until(
    database: Database,
    parts: Parts,
    leased: Leased,
    work: Work[Leased, Done],
    *,
    end: int,
    lost: type[Refusal],
) -> Part[Leased, Done]:
    """Do a run that is ours up to a bucket, and keep it (`lost` where it became another's).

    What cannot be done, or is stopped, gives the run back.
    """
    try:
        part = await _part(database, parts, leased, work, end=end, keep=LONG_LEASE)
    except BaseException:

        async def give_back(conn: Connection) -> bool:
            return await runs.advance(conn, leased, leased.first, parts.clock(), until=None)

        await database.transact(give_back)
        raise
    if part is None:
        raise lost
    return part


async def _part(
    database: Database,
    parts: Parts,
    leased: Leased,
    work: Work[Leased, Done],
    *,
    end: int,
    keep: timedelta | None,
) -> Part[Leased, Done] | None:
    done = await work(database, parts, leased, (leased.first, end - 1))
    now = parts.clock()
    until = now + keep if keep else None

    async def advance(conn: Connection) -> bool:
        return await runs.advance(conn, leased, end, now, until=until)

    if not await database.transact(advance):
        return None
    following = msgspec.structs.replace(leased, first=end, until=until or leased.until)
    return Part(following, done, now if end == BUCKETS else None)
