"""Lots by the package line and the period that brought them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.ledger import Lot
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows
from benefits.store.ledger import lot_of

_COLUMNS = """l.member_id, l.lot_id, l.unit, l.granted, l.remaining, l.held, l.expires_at,
       l.granted_at, l.priority, l.expired, l.redeemed, l.cause, l.line, l.period"""
OF_TIERS = f"""
SELECT {_COLUMNS}
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN lot AS l ON l.bucket = k.bucket AND l.member_id = k.member_id
WHERE l.programme = $3 AND l.line = ANY($4::text[]) AND l.cause = 'TIER'
  AND (l.expires_at > $6 OR l.expires_at IS NULL OR l.period = ANY($5::text[]))
"""
# ix_lot_bucket_member_id_unit_expires_at; of tiers and segments, chosen ones too (P-8).
USABLE = f"""
SELECT {_COLUMNS}
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[])
     AS k (bucket, member_id, programme, line)
JOIN lot AS l ON l.bucket = k.bucket AND l.member_id = k.member_id
 AND l.programme = k.programme AND l.line = k.line
WHERE l.expires_at > $5 AND l.cause IN ('TIER', 'SEGMENT')
"""


class LineLot(msgspec.Struct, frozen=True):
    """A lot that a line brought a member in a period."""

    member_id: UUID
    line: str
    period: str
    lot: Lot


class LineKey(msgspec.Struct, frozen=True, order=True):
    """A line as it concerns a member."""

    member_id: UUID
    programme: str
    line: str


async def of_tiers(
    conn: Connection,
    ids: Sequence[UUID],
    programme: str,
    lines: Sequence[str],
    *,
    periods: Sequence[str],
    now: datetime,
) -> list[LineLot]:
    """Return lots that lines brought members with their tiers: what lasts, and of some periods."""
    values = ([bucket_of(id_) for id_ in ids], list(ids), programme, list(lines))
    found = await rows(conn, OF_TIERS, *values, list(periods), now)
    return [LineLot(row.member_id, row.line, row.period, lot_of(row)[1]) for row in found]


async def usable(conn: Connection, keys: Iterable[LineKey], now: datetime) -> list[LineLot]:
    """Return the lots of lines that have not ended, of whatever period."""
    some = sorted(set(keys))
    found = await rows(
        conn,
        USABLE,
        [bucket_of(key.member_id) for key in some],
        [key.member_id for key in some],
        [key.programme for key in some],
        [key.line for key in some],
        now,
    )
    return [LineLot(row.member_id, row.line, row.period, lot_of(row)[1]) for row in found]
