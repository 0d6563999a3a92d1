"""Keep what is seen ahead current after each sealed day, for programmes that name feeds (T-12).

    all sources of a day sealed  ->  its run: lease, look ahead in some buckets, advance  ->  done

A part that is done again changes nothing that was done. A later revision of a day that is sealed
already is news, too, and so are rates and whatever else is told that comes after it.
"""

from benefits.actions.keep_stretches import unfilled
from benefits.actions.look_ahead import Ahead, look_ahead
from benefits.actions.parts import Parts
from benefits.actions.share import LEASE, Part, do_next
from benefits.domain.values import Month, local_date
from benefits.store import outlook_runs
from benefits.store.db import Connection, Database
from benefits.store.outlook_runs import Leased, Mark

PART = 500  # members; the worker's other steps go on between parts


async def look_next(database: Database, parts: Parts) -> Part[Leased, Ahead] | None:
    """Look ahead in the next part of a run that is due; None when there is none."""

    async def lease(conn: Connection) -> Leased | None:
        mark = await _due(conn, parts)
        now = parts.clock()
        if mark is None:
            return None
        return await outlook_runs.lease(conn, mark, now, now + LEASE)

    return await do_next(database, parts, lease, _look, members=PART)


async def _look(
    database: Database, parts: Parts, leased: Leased, buckets: tuple[int, int]
) -> Ahead:
    return await look_ahead(database, parts, leased.mark.programme, buckets=buckets)


async def _due(conn: Connection, parts: Parts) -> Mark | None:
    """Return a run of which more is to be done, once the sums that windows need are there."""
    catalogue = await parts.catalogue.current(conn)
    now = parts.clock()
    for code, programme in catalogue.programmes.items():
        month = Month.of(local_date(now, programme.tz))
        rules = catalogue.rules[code]
        judge = rules.at(month).programme
        sources = sorted({*judge.feeds})
        if not sources:
            continue
        mark = await outlook_runs.due(
            conn,
            code,
            sources,
            month,
            currencies=judge.currencies,
            topics=rules.topics,
            now=now,
        )
        if mark is not None and not await unfilled(conn, parts):
            return mark
    return None
