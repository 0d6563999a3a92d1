"""What members' rows said of relationships until they were changed (C-8).

When one began and ended, and for whom a customer counts, stands on the member's row, which is
changed when the bank says otherwise. What it said before is kept here as it changes: of most
members nothing.
"""

from collections.abc import Collection
from datetime import date, datetime
from uuid import UUID

import msgspec

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows, run

# Primary key. What was said for no time is nothing that was said.
KEEP = """
INSERT INTO member_past (bucket, member_id, until_at, opened_on, closed_on, merged_into)
SELECT m.bucket, m.member_id, $3, m.opened_on, m.closed_on, m.merged_into
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member AS m ON m.bucket = k.bucket AND m.member_id = k.member_id
ON CONFLICT DO NOTHING
"""
# Primary keys.
AS_KNOWN = """
SELECT m.member_id,
       CASE WHEN p.until_at IS NULL THEN m.opened_on ELSE p.opened_on END AS opened_on,
       CASE WHEN p.until_at IS NULL THEN m.closed_on ELSE p.closed_on END AS closed_on,
       CASE WHEN p.until_at IS NULL THEN m.merged_into ELSE p.merged_into END AS merged_into
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member AS m ON m.bucket = k.bucket AND m.member_id = k.member_id
LEFT JOIN LATERAL (
    SELECT o.until_at, o.opened_on, o.closed_on, o.merged_into FROM member_past AS o
    WHERE o.bucket = k.bucket AND o.member_id = k.member_id AND o.until_at > $3
    ORDER BY o.until_at LIMIT 1) AS p ON true
"""


class Relationship(msgspec.Struct, frozen=True, kw_only=True):
    """When a relationship began and ended, and for which other member it counts."""

    opened_on: date
    closed_on: date | None
    merged_into: UUID | None


async def keep(conn: Connection, ids: Collection[UUID], now: datetime) -> None:
    """Keep what is said of members until now, before it is changed."""
    if ids:
        ordered = sorted(set(ids))
        await run(conn, KEEP, [bucket_of(id_) for id_ in ordered], ordered, now)


async def as_known(
    conn: Connection, ids: Collection[UUID], known_at: datetime
) -> dict[UUID, Relationship]:
    """Return what was said of members by an instant."""
    ordered = sorted(set(ids))
    keys = ([bucket_of(id_) for id_ in ordered], ordered)
    return {
        row.member_id: Relationship(
            opened_on=row.opened_on, closed_on=row.closed_on, merged_into=row.merged_into
        )
        for row in await rows(conn, AS_KNOWN, *keys, known_at)
    }
