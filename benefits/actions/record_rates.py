"""Record exchange rates, and put them to use: what lines come to is folded anew (A-4, A-7).

Rates are kept in one transaction a chunk; the sums they touch follow some buckets at a time, each
step a transaction of its own. Whoever imports rates goes on with what was interrupted, and so does
the worker. Until a bucket has its turn its lines keep the rates that were used before.
"""

from collections.abc import Sequence
from datetime import datetime

from benefits.actions.parts import Parts
from benefits.domain.exchange import RateLine
from benefits.domain.feeds import Decided, counting, decided_from
from benefits.domain.values import BUCKETS
from benefits.store import feeds, rates, tiers
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection, Database
from benefits.store.rates import Run

AT_ONCE = 20_000


class RatesUnderWayError(Exception):
    """Earlier rates are not in use everywhere yet: they come first."""


async def record_rates(
    conn: Connection, lines: Sequence[tuple[int, RateLine]], parts: Parts
) -> ChunkResult:
    """Keep numbered lines, once (RatesUnderWayError); the result names those refused and why."""
    await rates.serial(conn)
    if await rates.under_way(conn) is not None:
        raise RatesUnderWayError
    return await rates.put(conn, lines, parts.clock())


async def use_rates(database: Database) -> None:
    """Put what was recorded to use everywhere."""
    while await database.transact(use_next) is not None:
        pass


async def decided_since(conn: Connection, parts: Parts, since: datetime) -> list[Decided]:
    """Return the decided months touched by rates that were recorded since an instant (A-7)."""
    touched = await rates.touched(conn, since)
    if not touched:
        return []
    rules = (await parts.catalogue.current(conn)).rules
    evaluated = await feeds.evaluated(conn, min(one.month for one in touched))
    found = set[Decided]()
    for one in touched:
        codes = counting([one.currency], rules)
        found.update(decided_from(one.month, one.at, codes, evaluated=evaluated))
    return sorted(found)


async def use_next(conn: Connection) -> Run | None:
    """Put rates to use in the next buckets; return how far that is, None when nothing was left."""
    if await rates.under_way(conn) is None:
        return None
    await rates.serial(conn)
    under_way = await rates.under_way(conn)
    if under_way is None:
        return None
    members = await tiers.count_members(conn, (0, BUCKETS - 1))
    return await rates.use(conn, under_way, max(1, BUCKETS * AT_ONCE // max(members, 1)))
