"""Snapshots of whitelists, whom they name, and the labels that follow from them (P-2, S-1).

A snapshot's members are kept for ever as they were sent; once it is whole, one statement a range
of buckets writes down what it changes of the labels. Whoever writes is alone (`assets.alone`).
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from benefits.domain.values import BUCKETS, bucket_of
from benefits.domain.whitelists import Snapshot, Wanted
from benefits.store.db import Connection, rows, run

AT_ONCE = 64  # buckets whose labels are looked at together

_COLUMNS = """w.name, w.snapshot, w.digest, w.valid_from, w.valid_to, w.actor, w.opened_at,
       w.members, w.whole_at"""
# Primary key.
LAST = f"SELECT {_COLUMNS} FROM whitelist AS w WHERE w.name = $1 ORDER BY w.snapshot DESC LIMIT 1"
LAST_WHOLE = f"""
SELECT {_COLUMNS} FROM whitelist AS w
WHERE w.name = $1 AND w.whole_at IS NOT NULL AND w.valid_from <= $2
ORDER BY w.snapshot DESC LIMIT 1
"""
WAS = """
SELECT FROM whitelist AS w
WHERE w.name = $1 AND w.whole_at IS NOT NULL AND w.digest = $2 AND w.valid_from = $3
  AND w.valid_to IS NOT DISTINCT FROM $4::date LIMIT 1
"""
NAMES = "SELECT DISTINCT w.name FROM whitelist AS w WHERE w.name = ANY($1::text[])"
# All labels are looked through: once, when a list is new.
IS_LABEL = """
SELECT FROM member_label AS l
WHERE l.bucket BETWEEN 0 AND 1023 AND l.label = $1 AND l.layer <> 'LIST' LIMIT 1
"""
OPEN = """
INSERT INTO whitelist (name, snapshot, digest, valid_from, valid_to, actor, opened_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
PUT = """
INSERT INTO whitelist_member (bucket, name, snapshot, member_id)
SELECT k.bucket, $1, $2, k.member_id
FROM unnest($3::smallint[], $4::uuid[]) AS k (bucket, member_id)
ON CONFLICT DO NOTHING
RETURNING member_id
"""
# Of each first day what was recorded last counts. Whoever stays keeps the first day, with the new
# end; so does who left on the day on which the snapshot begins, which stands in the place of what
# let them leave. Whoever is not named any more ends on that day. What was to begin later does not.
FOLLOW = """
WITH latest AS (
    SELECT DISTINCT ON (o.bucket, o.member_id, o.valid_from)
           o.bucket, o.member_id, o.valid_from, o.valid_to
    FROM member_label AS o
    WHERE o.bucket BETWEEN $7 AND $8 AND o.label = $1 AND o.layer = 'LIST'
    ORDER BY o.bucket, o.member_id, o.valid_from, o.recorded_at DESC),
named AS (
    SELECT n.bucket, n.member_id FROM whitelist_member AS n
    WHERE n.bucket BETWEEN $7 AND $8 AND n.name = $1 AND n.snapshot = $2),
carried AS (
    SELECT t.* FROM latest AS t
    WHERE t.valid_from <= $3::date AND (t.valid_to IS NULL OR t.valid_to > $3::date)),
back AS (
    SELECT DISTINCT ON (t.bucket, t.member_id) t.* FROM latest AS t
    JOIN named AS n ON n.bucket = t.bucket AND n.member_id = t.member_id
    WHERE t.valid_to = $3::date AND NOT EXISTS (
        SELECT FROM carried AS c WHERE c.bucket = t.bucket AND c.member_id = t.member_id)
    ORDER BY t.bucket, t.member_id, t.valid_from)
INSERT INTO member_label (bucket, member_id, label, valid_from, recorded_at, valid_to, layer,
                          source_version)
SELECT coalesce(c.bucket, n.bucket), coalesce(c.member_id, n.member_id), $1,
       coalesce(c.valid_from, $3::date), $5::timestamptz,
       CASE WHEN n.member_id IS NULL THEN $3::date ELSE $4::date END, 'LIST', $6::text
FROM (SELECT * FROM carried UNION ALL SELECT * FROM back) AS c
FULL JOIN named AS n ON n.bucket = c.bucket AND n.member_id = c.member_id
WHERE c.member_id IS NULL OR n.member_id IS NULL OR c.valid_to IS DISTINCT FROM $4::date
UNION ALL
SELECT t.bucket, t.member_id, $1, t.valid_from, $5::timestamptz, t.valid_from, 'LIST', $6::text
FROM latest AS t WHERE t.valid_from > $3::date AND t.valid_to IS DISTINCT FROM t.valid_from
"""
COUNT = """
SELECT count(*) AS members FROM whitelist_member AS n
WHERE n.bucket BETWEEN 0 AND 1023 AND n.name = $1 AND n.snapshot = $2
"""
CLOSE = "UPDATE whitelist SET members = $3, whole_at = $4 WHERE name = $1 AND snapshot = $2"


async def last(conn: Connection, name: str) -> Snapshot | None:
    """Return the last snapshot of a list."""
    return _one(await rows(conn, LAST, name))


async def last_whole(conn: Connection, name: str, by: date = date.max) -> Snapshot | None:
    """Return the last snapshot of a list that is whole and begins by a day."""
    return _one(await rows(conn, LAST_WHOLE, name, by))


async def was_whole(conn: Connection, wanted: Wanted) -> bool:
    """Say whether what somebody sends is a whole snapshot of the list, the last or an older."""
    days = (wanted.from_, wanted.to)
    return bool(await rows(conn, WAS, wanted.name, wanted.digest, *days))


def _one(found: Sequence[Any]) -> Snapshot | None:
    if not found:
        return None
    (row,) = found
    return Snapshot(
        name=row.name,
        number=row.snapshot,
        digest=row.digest,
        from_=row.valid_from,
        to=row.valid_to,
        actor=row.actor,
        opened_at=row.opened_at,
        members=row.members,
        whole_at=row.whole_at,
    )


async def among(conn: Connection, names: Collection[str]) -> set[str]:
    """Return which names are those of lists."""
    if not names:
        return set()
    return {row.name for row in await rows(conn, NAMES, sorted(set(names)))}


async def is_label(conn: Connection, name: str) -> bool:
    """Say whether the label platform says a label of that name of anybody."""
    return bool(await rows(conn, IS_LABEL, name))


async def open_(conn: Connection, wanted: Wanted, number: int, now: datetime) -> None:
    """Open a snapshot."""
    days = (wanted.from_, wanted.to)
    await run(conn, OPEN, wanted.name, number, wanted.digest, *days, wanted.actor, now)


async def put(conn: Connection, of: Snapshot, ids: Sequence[UUID]) -> int:
    """Keep members whom a snapshot names; return how many were not kept before."""
    buckets = [bucket_of(id_) for id_ in ids]
    return len(await rows(conn, PUT, of.name, of.number, buckets, list(ids)))


async def follow(conn: Connection, of: Snapshot, now: datetime) -> None:
    """Let the labels be what a snapshot says, and close it: it is whole."""
    version = f"{of.number}:{of.digest[:16]}"
    for first in range(0, BUCKETS, AT_ONCE):
        buckets = (first, first + AT_ONCE - 1)
        given = (of.name, of.number, of.from_, of.to, now, version)
        await run(conn, FOLLOW, *given, *buckets)
    (row,) = await rows(conn, COUNT, of.name, of.number)
    await run(conn, CLOSE, of.name, of.number, row.members, now)
