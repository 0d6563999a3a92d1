"""Lots whose units are claimed for their members as they come, and when that is tried (P-2).

Whoever writes a row holds the member.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows, run

_COLUMNS = "c.member_id, c.lot_id, c.programme, c.line, c.tries, c.refusals, c.is_told"
# ix_auto_claim_next_at
DUE = """
SELECT c.member_id, c.lot_id FROM auto_claim AS c
WHERE c.bucket BETWEEN $1 AND $2 AND c.next_at <= $3
ORDER BY c.next_at, c.lot_id LIMIT $4
"""
# Primary key: as they stand once their members are held.
STILL = f"""
SELECT {_COLUMNS} FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, lot_id)
JOIN auto_claim AS c ON c.bucket = k.bucket AND c.lot_id = k.lot_id
WHERE c.next_at <= $3
ORDER BY c.bucket, c.lot_id
"""
# A lot to which units come back is begun with anew.
PUT = """
INSERT INTO auto_claim (bucket, lot_id, member_id, programme, line, next_at)
SELECT k.bucket, k.lot_id, k.member_id, k.programme, k.line, $6
FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[])
     AS k (bucket, lot_id, member_id, programme, line)
ON CONFLICT (bucket, lot_id) DO UPDATE SET next_at = excluded.next_at, refusals = 0
"""
MOVE = """
UPDATE auto_claim AS c SET next_at = k.next_at, tries = k.tries, refusals = k.refusals,
    is_told = k.is_told
FROM unnest($1::smallint[], $2::uuid[], $3::timestamptz[], $4::smallint[], $5::smallint[],
            $6::boolean[]) AS k (bucket, lot_id, next_at, tries, refusals, is_told)
WHERE c.bucket = k.bucket AND c.lot_id = k.lot_id
"""


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A lot whose units are to be claimed."""

    member_id: UUID
    lot_id: UUID
    programme: str
    line: str


class Pending(New, frozen=True, kw_only=True):
    """One that is due, how often it was tried and refused, and whether a refusal was told."""

    tries: int
    refusals: int
    is_told: bool


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """When a lot is tried next, if it is, after so many tries and refusals."""

    lot_id: UUID
    next_at: datetime | None
    tries: int
    refusals: int
    is_told: bool


async def due(
    conn: Connection, buckets: tuple[int, int], now: datetime, limit: int
) -> list[tuple[UUID, UUID]]:
    """Return (member, lot) of lots that are due, the longest waiting first."""
    return [(r.member_id, r.lot_id) for r in await rows(conn, DUE, *buckets, now, limit)]


async def still(conn: Connection, lots: Sequence[UUID], now: datetime) -> list[Pending]:
    """Return those of some lots that are due."""
    found = await rows(conn, STILL, [bucket_of(id_) for id_ in lots], list(lots), now)
    return [
        Pending(
            member_id=row.member_id,
            lot_id=row.lot_id,
            programme=row.programme,
            line=row.line,
            tries=row.tries,
            refusals=row.refusals,
            is_told=row.is_told,
        )
        for row in found
    ]


async def put(conn: Connection, new: Sequence[New], now: datetime) -> None:
    """Let the units of lots be claimed."""
    if not new:
        return
    each = {one.lot_id: one for one in new}.values()
    await run(
        conn,
        PUT,
        [bucket_of(one.lot_id) for one in each],
        [one.lot_id for one in each],
        [one.member_id for one in each],
        [one.programme for one in each],
        [one.line for one in each],
        now,
    )


async def move(conn: Connection, moved: Sequence[Moved]) -> None:
    """Write down when lots are tried next."""
    if not moved:
        return
    await run(
        conn,
        MOVE,
        [bucket_of(one.lot_id) for one in moved],
        [one.lot_id for one in moved],
        [one.next_at for one in moved],
        [one.tries for one in moved],
        [one.refusals for one in moved],
        [one.is_told for one in moved],
    )
