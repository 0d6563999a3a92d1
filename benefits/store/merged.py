"""Members who were merged: whom they count for now, and what counts along with whom (T-10).

What was recorded of a customer stays with that customer's own id, and so does what the bank goes
on bringing for it: balances, holders, answers of providers. Whoever reads for a decision or for
the member adds what counts along, by the functions here; `has_merged` tells for whom there is
anything to add. There are no chains: `merged_into` names a member who was not merged.
"""

from collections.abc import Collection, Iterable
from datetime import date, datetime
from uuid import UUID

import msgspec

from benefits.domain.values import Month, bucket_of
from benefits.store import member_past
from benefits.store.db import Connection, rows, run


def bucket_in(id_: str) -> str:
    """Return what gives the bucket in an id, as SQL; `bucket_of` is the same."""
    return f"(('x' || right(({id_})::text, 3))::bit(12)::int & 1023)"


# ix_member_merged_into
ALONG = """
SELECT m.member_id, m.merged_into FROM member AS m
WHERE m.bucket + 0 BETWEEN 0 AND 1023 AND m.merged_into IS NOT NULL
  AND m.merged_into = ANY($1::uuid[])
ORDER BY m.bucket, m.member_id
"""
OPENED = """
SELECT m.merged_into AS member_id, min(m.opened_on) AS opened_on FROM member AS m
WHERE m.bucket + 0 BETWEEN 0 AND 1023 AND m.merged_into IS NOT NULL
  AND m.merged_into = ANY($1::uuid[]) GROUP BY 1
"""
# Primary key.
CURRENT = """
SELECT m.member_id, m.merged_into
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member AS m ON m.bucket = k.bucket AND m.member_id = k.member_id
WHERE m.merged_into IS NOT NULL
"""


async def along(conn: Connection, ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Return who was merged into the members of the ids, each with the one they count for."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    return {row.member_id: row.merged_into for row in await rows(conn, ALONG, wanted)}


async def opened(conn: Connection, ids: Collection[UUID]) -> dict[UUID, date]:
    """Return when the first of the relationships began that were merged into members."""
    return {row.member_id: row.opened_on for row in await rows(conn, OPENED, list(ids))}


async def current(conn: Connection, ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Return whom those of the ids count for now who were merged."""
    ordered = sorted(set(ids))
    found = await rows(conn, CURRENT, [bucket_of(id_) for id_ in ordered], ordered)
    return {row.member_id: row.merged_into for row in found}


# Partial index ix_member_end_due. What is recorded of whoever was merged may have left units.
_LEFT = """FROM member AS m
WHERE m.bucket + 0 BETWEEN $1 AND $2 AND m.end_due <= $3 AND m.end_due IS NOT NULL
  AND m.merged_into IS NOT NULL"""
LEFT = f"SELECT m.member_id, m.merged_into {_LEFT} ORDER BY m.end_due, m.bucket LIMIT $4"
COUNT_LEFT = f"SELECT count(*) AS members {_LEFT}"
# ix_lot_bucket_member_id_unit_expires_at
FREE = """
SELECT l.lot_id, l.programme, l.line, l.period, l.cause
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN lot AS l ON l.bucket = k.bucket AND l.member_id = k.member_id
WHERE l.remaining > l.held AND (l.expires_at > $3 OR l.expires_at IS NULL)
"""
# Primary key.
ORIGINS = """
SELECT l.lot_id, l.programme, l.line, l.period, l.cause
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, lot_id)
JOIN lot AS l ON l.bucket = k.bucket AND l.lot_id = k.lot_id
"""
# Primary key.
OWED = """
SELECT w.member_id, w.unit, w.owed
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN wallet AS w ON w.bucket = k.bucket AND w.member_id = k.member_id
WHERE w.owed > 0 ORDER BY w.member_id, w.unit
"""
# Primary key. All of them begin when the first of them did. Nothing is left of whoever is merged
# now; of those who were merged into them something may be.
COUNT_FOR = """
UPDATE member AS m
SET merged_into = $3, has_merged = false, opened_on = $4,
    end_due = CASE WHEN m.merged_into IS NOT NULL THEN m.end_due END
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
WHERE m.bucket = k.bucket AND m.member_id = k.member_id
"""
# Whoever takes over is blocked from what they were blocked from; ix_member_merged_into.
TAKE_OVER = """
UPDATE member AS m
SET has_merged = true, opened_on = $3,
    has_blocks = m.has_blocks OR EXISTS (
        SELECT FROM member AS o
        WHERE o.bucket + 0 BETWEEN 0 AND 1023 AND o.merged_into IS NOT NULL
          AND o.merged_into = $2 AND o.has_blocks)
WHERE m.bucket = $1 AND m.member_id = $2
"""
# What is said of one is said of both; of the same label and first day what was recorded last. On a
# whitelist both are as long as one of them is.
COPY_LABELS = """
INSERT INTO member_label (bucket, member_id, label, valid_from, recorded_at, valid_to, layer,
                          source_version)
SELECT $3, $4, b.label, b.valid_from, $5, b.valid_to, b.layer, b.source_version
FROM (SELECT DISTINCT ON (o.label, o.valid_from) o.* FROM member_label AS o
      WHERE o.bucket = $1 AND o.member_id = $2
      ORDER BY o.label, o.valid_from, o.recorded_at DESC) AS b
LEFT JOIN LATERAL (
    SELECT o.recorded_at, o.valid_to, o.layer FROM member_label AS o
    WHERE o.bucket = $3 AND o.member_id = $4 AND o.label = b.label
      AND o.valid_from = b.valid_from
    ORDER BY o.recorded_at DESC LIMIT 1) AS a ON true
WHERE a.recorded_at IS NULL
   OR CASE WHEN b.layer = 'LIST' AND a.layer = 'LIST'
           THEN coalesce(a.valid_to, 'infinity') < coalesce(b.valid_to, 'infinity')
           ELSE a.recorded_at < b.recorded_at
                AND (a.valid_to IS DISTINCT FROM b.valid_to OR a.layer <> b.layer) END
"""
END_OUTLOOK = """
UPDATE tier_outlook AS o SET is_current = false, seen_at = $3
WHERE o.bucket = $1 AND o.member_id = $2 AND o.is_current
"""
EVALUATED = """
SELECT e.programme, max(e.month) AS month FROM evaluation AS e WHERE e.bucket = $1 GROUP BY 1
"""


class Free(msgspec.Struct, frozen=True):
    """A lot whose units go to another member where they are free, and what it was granted for."""

    lot_id: UUID
    programme: str
    line: str
    period: str
    cause: str


async def left(
    conn: Connection, buckets: tuple[int, int], today: date, limit: int
) -> dict[UUID, UUID]:
    """Return members of a range of buckets who were merged and may have units left."""
    found = await rows(conn, LEFT, *buckets, today, limit)
    return {row.member_id: row.merged_into for row in found}


async def count_left(conn: Connection, buckets: tuple[int, int], today: date) -> int:
    """Return how many there are."""
    ((count,),) = await rows(conn, COUNT_LEFT, *buckets, today)
    return int(count)


async def free(conn: Connection, ids: Collection[UUID], now: datetime) -> list[Free]:
    """Return the lots of members that have free units and last."""
    buckets = [bucket_of(id_) for id_ in ids]
    return [Free(*row) for row in await rows(conn, FREE, buckets, list(ids), now)]


async def origins(conn: Connection, lots: Collection[UUID]) -> list[Free]:
    """Return what lots were granted for, whether or not units of them are free."""
    buckets = [bucket_of(id_) for id_ in lots]
    return [Free(*row) for row in await rows(conn, ORIGINS, buckets, list(lots))]


async def owed(conn: Connection, ids: Collection[UUID]) -> list[tuple[UUID, str, int]]:
    """Return what members owe, by member and unit."""
    buckets = [bucket_of(id_) for id_ in ids]
    return [(r.member_id, r.unit, r.owed) for r in await rows(conn, OWED, buckets, list(ids))]


async def put(
    conn: Connection, ids: Collection[UUID], into: UUID, opened_on: date, *, now: datetime
) -> None:
    """Record that members count for another one from now on."""
    await member_past.keep(conn, [*ids, into], now)
    await run(conn, COUNT_FOR, [bucket_of(id_) for id_ in ids], list(ids), into, opened_on)
    await run(conn, TAKE_OVER, bucket_of(into), into, opened_on)


async def copy_labels(conn: Connection, of: UUID, into: UUID, now: datetime) -> None:
    """Record of a member what was said of another."""
    await run(conn, COPY_LABELS, bucket_of(of), of, bucket_of(into), into, now)


async def end_outlook(conn: Connection, member_id: UUID, now: datetime) -> None:
    """Record that nothing is seen ahead of a member any more."""
    await run(conn, END_OUTLOOK, bucket_of(member_id), member_id, now)


async def evaluated(conn: Connection, member_id: UUID) -> dict[str, Month]:
    """Return the last month that was evaluated where a member is, by programme."""
    found = await rows(conn, EVALUATED, bucket_of(member_id))
    return {row.programme: Month.of(row.month) for row in found}
