"""Keep what is seen ahead current after each sealed day, for programmes that name feeds (T-12).

    all sources of a day sealed  ->  its run: lease, look ahead in some buckets, advance  ->  done

A run is shared: whoever leases it next goes on where the last part ended, and a part whose worker
was killed is looked at again when its lease is over, which changes nothing that was done. A later
revision of a day that is sealed already is news, too. Nothing is locked between the steps.
"""

from datetime import datetime, timedelta

import msgspec

from benefits.actions.keep_stretches import unfilled
from benefits.actions.look_ahead import look_ahead
from benefits.actions.parts import Parts
from benefits.domain.values import BUCKETS, Month, local_date
from benefits.store import outlook_runs, tiers
from benefits.store.db import Connection, Database
from benefits.store.outlook_runs import Leased, Mark

PART = 500  # members; the worker's other steps go on between parts
PART_BUCKETS = 64
LEASE = timedelta(minutes=2)


class Looked(msgspec.Struct, frozen=True):
    """A part of a run that was done; when the run began and, at its last part, ended."""

    mark: Mark
    begun_at: datetime
    ended_at: datetime | None


async def look_next(database: Database, parts: Parts) -> Looked | None:
    """Look ahead in the next part of a run that is due; None when there is none."""

    async def take(conn: Connection) -> tuple[Leased, int] | None:
        mark = await _due(conn, parts)
        now = parts.clock()
        leased = mark and await outlook_runs.lease(conn, mark, now, now + LEASE)
        if not leased:
            return None
        members = await tiers.count_members(conn, (leased.first, leased.first))
        count = min(max(PART // max(members, 1), 1), PART_BUCKETS)
        return leased, min(leased.first + count, BUCKETS)

    taken = await database.transact(take)
    if taken is None:
        return None
    leased, end = taken
    await look_ahead(database, parts, leased.mark.programme, buckets=(leased.first, end - 1))
    now = parts.clock()

    async def advance(conn: Connection) -> bool:
        return await outlook_runs.advance(conn, leased, end, now)

    is_ours = await database.transact(advance)
    return Looked(leased.mark, leased.begun_at, now if is_ours and end == BUCKETS else None)


async def _due(conn: Connection, parts: Parts) -> Mark | None:
    """Return a run of which more is to be done, once the sums that windows need are there."""
    catalogue = await parts.catalogue.current(conn)
    now = parts.clock()
    for code, programme in catalogue.programmes.items():
        month = Month.of(local_date(now, programme.tz))
        sources = sorted({*catalogue.rules[code].at(month).programme.feeds})
        if not sources:
            continue
        mark = await outlook_runs.due(conn, code, sources, month, now=now)
        if mark is not None and not await unfilled(conn, parts):
            return mark
    return None
