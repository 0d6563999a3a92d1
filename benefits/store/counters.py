"""Counters: what can refuse. A member's own are under the member's lock, shared ones locked last.

Both are caches of what holds say; `verify` folds them anew.
"""

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

import msgspec

from benefits.domain.entitlement import CounterUse
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, Writer, prepare, rows, run, write

# Primary key; the sort lies below the locking, so every transaction locks in one order: what one
# person shares first, which may be locked before the rest.
LOCK = """
SELECT counter, "window", reserved, spent, told, told_of FROM counter
WHERE counter = ANY($1::text[]) AND "window" = ANY($2::text[]) AND slice = 0
ORDER BY split_part(counter, ':', 4) <> 'PERSON', counter, "window", slice FOR NO KEY UPDATE
"""
READ = """
SELECT counter, "window", reserved, spent, told, told_of FROM counter
WHERE counter = ANY($1::text[]) AND "window" = ANY($2::text[]) AND slice = 0
"""
# Before anything is locked: whoever adds a row waits for nobody but others who add rows, and all
# of them do it in one order.
NEW_SHARED = """
INSERT INTO counter (counter, "window", slice, reserved, spent)
SELECT n.counter, n.win, 0, 0, 0 FROM unnest($1::text[], $2::text[]) AS n (counter, win)
ORDER BY n.counter, n.win
ON CONFLICT DO NOTHING
"""
UPDATE = """
UPDATE counter AS c SET reserved = c.reserved + k.reserved, spent = c.spent + k.spent,
    told = k.told, told_of = k.told_of
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[])
     AS k (counter, win, reserved, spent, told, told_of)
WHERE c.counter = k.counter AND c."window" = k.win AND c.slice = 0
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
# What counts in rolling windows has its instant for a window (K-7).
RECENT = """
SELECT c.member_id, c.counter, c."window", c.used
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[])
     AS k (bucket, member_id, counter, after)
JOIN member_counter AS c
  ON c.bucket = k.bucket AND c.member_id = k.member_id
     AND c.counter = k.counter AND c."window" > k.after
WHERE c.used > 0
"""
# Primary key; what counts in rolling windows that several share, under the lock of their `turn`:
# added up where the database has it, for there may be as many events as the limit has pieces.
RECENT_SUM = """
SELECT k.counter, (SELECT coalesce(sum(c.reserved + c.spent), 0) FROM counter AS c
                   WHERE c.counter = k.counter AND c."window" > k.after
                     AND c.slice = 0)::bigint AS used
FROM unnest($1::text[], $2::text[]) AS k (counter, after)
"""
RECENT_SHARED = """
SELECT c.counter, c."window", (c.reserved + c.spent)::bigint AS used
FROM unnest($1::text[], $2::text[]) AS k (counter, after)
JOIN counter AS c ON c.counter = k.counter AND c."window" > k.after AND c.slice = 0
WHERE c.reserved + c.spent > 0
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
SharedCounter = tuple[str, str]


class Kept(msgspec.Struct, frozen=True):
    """A shared counter: what is taken, and which threshold of which total was told of it (K-4)."""

    use: CounterUse = CounterUse()
    told: int = 0
    told_of: int = 0


class Change(msgspec.Struct, frozen=True):
    """What a transaction does to a shared counter it has locked, and what is told of it now."""

    use: CounterUse
    told: int = 0
    told_of: int = 0


async def open_windows(conn: Connection, keys: Iterable[SharedCounter]) -> None:
    """Make the rows of shared counters that nobody took from yet in a window."""
    wanted = sorted(set(keys))
    if wanted:
        await run(conn, NEW_SHARED, [name for name, _ in wanted], [key for _, key in wanted])


async def lock(conn: Connection, keys: Iterable[SharedCounter]) -> dict[SharedCounter, Kept]:
    """Lock shared counters, in order and last of all locks, and return what each holds."""
    return await _shared(conn, LOCK, keys)


async def read(conn: Connection, keys: Iterable[SharedCounter]) -> dict[SharedCounter, Kept]:
    """Return what shared counters hold at this moment, without holding anybody up."""
    return await _shared(conn, READ, keys)


async def _shared(
    conn: Connection, statement: str, keys: Iterable[SharedCounter]
) -> dict[SharedCounter, Kept]:
    wanted = set(keys)
    names, windows = {name for name, _ in wanted}, {key for _, key in wanted}
    found = await rows(conn, statement, sorted(names), sorted(windows))
    return {
        (row.counter, row.window): Kept(CounterUse(row.reserved, row.spent), row.told, row.told_of)
        for row in found
    }


async def recent_shared(conn: Connection, after: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Return what several used in their rolling windows after an instant each, by its instant."""
    found: dict[str, dict[str, int]] = {counter: {} for counter in after}
    if after:
        names = sorted(after)
        for row in await rows(conn, RECENT_SHARED, names, [after[name] for name in names]):
            found[row.counter][row.window] = row.used
    return found


async def recent_sums(conn: Connection, after: Mapping[str, str]) -> dict[str, int]:
    """Return how much several used in their rolling windows after an instant each, together."""
    if not after:
        return {}
    names = sorted(after)
    found = await rows(conn, RECENT_SUM, names, [after[name] for name in names])
    return {row.counter: row.used for row in found}


async def begin(writer: Writer, keys: Iterable[SharedCounter]) -> None:
    """Make the rows of instants at which shared counters are taken from, under their lock."""
    wanted = sorted(set(keys))
    if wanted:
        names, windows = [name for name, _ in wanted], [key for _, key in wanted]
        await prepare(writer, NEW_SHARED, names, windows)


async def add(writer: Writer, changes: Mapping[SharedCounter, Change]) -> None:
    """Add to shared counters this transaction has locked."""
    moved = sorted(changes.items(), key=lambda item: item[0])
    if moved:
        await write(
            writer,
            UPDATE,
            [name for (name, _), _ in moved],
            [window for (_, window), _ in moved],
            [change.use.reserved for _, change in moved],
            [change.use.spent for _, change in moved],
            [change.told for _, change in moved],
            [change.told_of for _, change in moved],
        )


async def used(
    conn: Connection, keys: Collection[MemberCounter], *, into: Mapping[UUID, UUID]
) -> dict[MemberCounter, int]:
    """Return what is used by (member, counter, window); absent means nothing.

    What those used who were merged `into` members counts for these.
    """
    return await _counted(conn, USED, keys, into)


async def recent(
    conn: Connection, keys: Collection[MemberCounter], *, into: Mapping[UUID, UUID]
) -> dict[MemberCounter, int]:
    """Return what was used in windows after those of the keys, by window."""
    return await _counted(conn, RECENT, keys, into)


async def _counted(
    conn: Connection, statement: str, keys: Collection[MemberCounter], into: Mapping[UUID, UUID]
) -> dict[MemberCounter, int]:
    wanted = set(keys)
    wanted |= {
        (id_, counter, window)
        for id_, other in into.items()
        for member_id, counter, window in keys
        if member_id == other
    }
    counts = dict[MemberCounter, int]()
    for row in await rows(conn, statement, *_columns(sorted(wanted))):
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
