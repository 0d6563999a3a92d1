"""Lots of members who were frozen, and what of them ended meanwhile (E-6)."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import cast
from uuid import UUID

import msgspec

from benefits.domain.ledger import Lot
from benefits.domain.units import Quantity, plain
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows
from benefits.store.ledger import Origin, lot_of

# ix_lot_bucket_member_id_unit_expires_at; where anything ended, too, primary key of outbox: events
# stay where a month is archived. What was cut says why (P-5, T-10): it did not end with its lot.
SINCE = """
SELECT l.member_id, l.lot_id, l.unit, l.granted, l.remaining, l.held, l.expires_at, l.granted_at,
       l.priority, l.expired, l.redeemed, l.cause, l.programme, l.line, l.period,
       coalesce(x.ended, 0) AS ended
FROM unnest($1::smallint[], $2::uuid[], $3::timestamptz[]) AS k (bucket, member_id, since)
JOIN lot AS l ON l.bucket = k.bucket AND l.member_id = k.member_id AND l.expires_at > k.since
CROSS JOIN LATERAL (
    SELECT sum((e.data ->> 'quantity')::numeric) AS ended FROM outbox AS e
    WHERE l.expired > 0 AND e.bucket = l.bucket AND e.member_id = l.member_id
      AND e.type = 'entitlement.expired' AND e.subject_id = l.lot_id
      AND NOT e.data ?| array['cap', 'ended']) AS x
WHERE l.programme = ANY($4::text[]) AND (l.remaining > l.held OR l.expired > 0)
ORDER BY l.bucket, l.lot_id
"""
# Primary key of outbox.
EXTENDED = """
SELECT max(e.recorded_at) AS at FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN outbox AS e ON e.bucket = k.bucket AND e.member_id = k.member_id
WHERE e.type = 'entitlement.extended'
"""


class FrozenLot(msgspec.Struct, frozen=True):
    """A lot, what it came for, and how many whole units `ended` with it, exactly."""

    member_id: UUID
    lot: Lot
    origin: Origin
    ended: Quantity


async def extended_at(conn: Connection, ids: Collection[UUID]) -> datetime | None:
    """Return when days were last added to the units of any of some members."""
    (row,) = await rows(conn, EXTENDED, [bucket_of(id_) for id_ in ids], list(ids))
    return cast("datetime | None", row.at)


async def lots_since(
    conn: Connection, since: Mapping[UUID, datetime], programmes: Collection[str]
) -> list[FrozenLot]:
    """Return the lots of programmes that members, who are locked, had after an instant each."""
    ids = sorted(since)
    found = await rows(
        conn,
        SINCE,
        [bucket_of(id_) for id_ in ids],
        ids,
        [since[id_] for id_ in ids],
        list(programmes),
    )
    return [
        FrozenLot(
            row.member_id,
            lot_of(row)[1],
            Origin(row.programme, row.line, row.period, row.cause),
            plain(row.ended),
        )
        for row in found
    ]
