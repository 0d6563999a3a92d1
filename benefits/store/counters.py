"""Counters: what can refuse. A member's own are under the member's lock, shared ones locked last.

Both are caches of what holds say; `verify` folds them anew.
"""

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from benefits.domain.entitlement import CounterUse
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, Writer, prepare, rows, write

# Primary key; the sort lies below the locking, so every transaction locks in one order.
LOCK = """
SELECT counter, reserved, spent FROM counter
WHERE counter = ANY($1::text[]) AND "window" = 'all' AND slice = 0
ORDER BY counter, "window", slice FOR NO KEY UPDATE
"""
READ = """
SELECT counter, reserved, spent FROM counter
WHERE counter = ANY($1::text[]) AND "window" = 'all' AND slice = 0
"""
UPDATE = """
UPDATE counter AS c SET reserved = c.reserved + k.reserved, spent = c.spent + k.spent
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS k (counter, reserved, spent)
WHERE c.counter = k.counter AND c."window" = 'all' AND c.slice = 0
"""
# Primary key of member_counter.
USED = """
SELECT c.member_id, c.counter, c."window", c.used
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[])
     AS k (bucket, member_id, counter, win)
JOIN member_counter AS c
  ON c.bucket = k.bucket AND c.member_id = k.member_id
     AND c.counter = k.counter AND c."window" = k.win
"""
NEW = """
INSERT INTO member_counter (bucket, member_id, counter, "window", used)
SELECT *, 0 FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[]) ON CONFLICT DO NOTHING
"""
ADD = """
UPDATE member_counter AS c SET used = c.used + k.used
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::bigint[])
     AS k (bucket, member_id, counter, win, used)
WHERE c.bucket = k.bucket AND c.member_id = k.member_id
  AND c.counter = k.counter AND c."window" = k.win
"""

MemberCounter = tuple[UUID, str, str]


async def lock(conn: Connection, names: Iterable[str]) -> dict[str, CounterUse]:
    """Lock shared counters, in order and last of all locks, and return what is taken of each."""
    found = await rows(conn, LOCK, sorted(set(names)))
    return {row.counter: CounterUse(row.reserved, row.spent) for row in found}


async def read(conn: Connection, names: Iterable[str]) -> dict[str, CounterUse]:
    """Return what is taken of shared counters at this moment, without holding anybody up."""
    found = await rows(conn, READ, sorted(set(names)))
    return {row.counter: CounterUse(row.reserved, row.spent) for row in found}


async def add(writer: Writer, changes: Mapping[str, CounterUse]) -> None:
    """Add to shared counters this transaction has locked."""
    moved = sorted((name, use) for name, use in changes.items() if use != CounterUse())
    if moved:
        names = [name for name, _ in moved]
        await write(
            writer, UPDATE, names, [u.reserved for _, u in moved], [u.spent for _, u in moved]
        )


async def used(
    conn: Connection, keys: Collection[MemberCounter], *, into: Mapping[UUID, UUID]
) -> dict[MemberCounter, int]:
    """Return what is used by (member, counter, window); absent means nothing.

    What those used who were merged `into` members counts for these.
    """
    wanted = set(keys)
    wanted |= {
        (id_, counter, window)
        for id_, other in into.items()
        for member_id, counter, window in keys
        if member_id == other
    }
    counts = dict[MemberCounter, int]()
    for row in await rows(conn, USED, *_columns(sorted(wanted))):
        key = (into.get(row.member_id, row.member_id), row.counter, row.window)
        counts[key] = counts.get(key, 0) + row.used
    return counts


async def add_used(writer: Writer, changes: Mapping[MemberCounter, int]) -> None:
    """Add to members' own counters, under the members' locks."""
    moved = sorted((key, change) for key, change in changes.items() if change)
    if not moved:
        return
    columns = _columns([key for key, _ in moved])
    await prepare(writer, NEW, *columns)
    await write(writer, ADD, *columns, [change for _, change in moved])


def _columns(keys: list[MemberCounter]) -> list[list[object]]:
    return [
        [bucket_of(member_id) for member_id, _, _ in keys],
        [member_id for member_id, _, _ in keys],
        [counter for _, counter, _ in keys],
        [window for _, _, window in keys],
    ]
