"""Relationships that ended: whose end is to be carried out, and what there is to end (T-10)."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows, run
from benefits.store.tiers import decision_of

# ix_member_end_due
_DUE = """FROM member AS m
WHERE m.bucket + 0 BETWEEN $1 AND $2 AND m.end_due <= $3 AND m.end_due IS NOT NULL
  AND m.merged_into IS NULL"""
DUE = f"SELECT m.member_id {_DUE} ORDER BY m.end_due LIMIT $4"
COUNT_DUE = f"SELECT count(*) AS members {_DUE}"
# Primary key. From the first step on an end stays as it is.
CARRIED_OUT = """
SELECT m.member_id, m.closed_on
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member AS m ON m.bucket = k.bucket AND m.member_id = k.member_id
WHERE m.closed_on IS NOT NULL AND m.end_due IS DISTINCT FROM m.closed_on + 1
"""
# Unique key (bucket, member, programme, month, decided_at): all of a member, who has few.
LATEST = """
SELECT DISTINCT ON (d.member_id, d.programme) d.member_id, d.programme, d.effective_from,
       d.month, d.cause, d.lock_until, d.grace_until, d.before_rank, d.before_misses, d.rank,
       d.misses, d.qualified, d.sum_minor, d.known_days, d.days, d.divisor, d.before_way, d.way,
       d.grounds, d.earned, d.welcome_until
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN tier_decision AS d ON d.bucket = k.bucket AND d.member_id = k.member_id
ORDER BY d.member_id, d.programme, d.effective_from DESC, d.decided_at DESC, d.decision_id DESC
"""
# ix_lot_bucket_member_id_unit_expires_at
LOTS = """
SELECT l.lot_id, l.programme FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN lot AS l ON l.bucket = k.bucket AND l.member_id = k.member_id
WHERE l.remaining > 0 AND (l.expires_at > $3 OR l.expires_at IS NULL)
"""
PUT_DUE = """
UPDATE member AS m SET end_due = k.end_due
FROM unnest($1::smallint[], $2::uuid[], $3::date[]) AS k (bucket, member_id, end_due)
WHERE m.bucket = k.bucket AND m.member_id = k.member_id
"""


def _keys(ids: Collection[UUID]) -> tuple[list[int], list[UUID]]:
    ordered = sorted(ids, key=lambda id_: (bucket_of(id_), id_))
    return [bucket_of(id_) for id_ in ordered], ordered


async def due(conn: Connection, buckets: tuple[int, int], today: date, limit: int) -> list[UUID]:
    """Return members of a range of buckets whose end is to be carried out, earliest first."""
    return [row.member_id for row in await rows(conn, DUE, *buckets, today, limit)]


async def count_due(conn: Connection, buckets: tuple[int, int], today: date) -> int:
    """Return how many there are."""
    ((count,),) = await rows(conn, COUNT_DUE, *buckets, today)
    return int(count)


async def carried_out(conn: Connection, ids: Collection[UUID]) -> dict[UUID, date]:
    """Return the last days of those members whose end was begun to be carried out."""
    found = await rows(conn, CARRIED_OUT, *_keys(ids))
    return {row.member_id: row.closed_on for row in found}


async def latest(conn: Connection, ids: Collection[UUID]) -> Sequence[Any]:
    """Return (member, programme, since when, decision) of what was decided last."""
    found = await rows(conn, LATEST, *_keys(ids))
    return [(r.member_id, r.programme, r.effective_from, decision_of(r)) for r in found]


async def lots(conn: Connection, ids: Collection[UUID], now: datetime) -> dict[UUID, str]:
    """Return the lots of members that live on and have units, with their programmes."""
    found = await rows(conn, LOTS, *_keys(ids), now)
    return {row.lot_id: row.programme for row in found}


async def put_due(conn: Connection, when: Mapping[UUID, date | None]) -> None:
    """Record when there is something to carry out next of members' ends, if ever."""
    buckets, ids = _keys(when)
    await run(conn, PUT_DUE, buckets, ids, [when[id_] for id_ in ids])
