"""What falls of a tier took of a line's units, and what rises gave back of them (P-6).

A row is of one lot and one batch, and never changes: `taken` is above 0 where units went, below
where they came back, and `quota` is that of the tier which the member fell or rose to.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.downgrades import Change
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, run
from benefits.store.facts import KEYS, Whom
from benefits.store.tiers import along

# Primary keys.
_CHANGES = """
SELECT c.member_id, c.line, c.period, c.lot_id, c.taken, c.quota, c.changed_at, c.expires_at
FROM {0}
CROSS JOIN LATERAL (
    SELECT e.member_id, e.line, e.period, e.lot_id, e.taken, e.quota, e.changed_at, l.expires_at
    FROM entitlement_change AS e
    JOIN lot AS l ON l.bucket = e.bucket AND l.lot_id = e.lot_id
    WHERE e.bucket = k.bucket AND e.member_id = k.member_id AND e.programme = $1
      AND e.line = ANY($3::text[]) AND e.period = ANY($2::text[])
    OFFSET 0) AS c
WHERE k.bucket BETWEEN $4 AND $5
"""
CHANGES, CHANGES_OF = (_CHANGES.format(keys) for keys in KEYS)
INSERT = """
INSERT INTO entitlement_change (bucket, member_id, programme, line, period, lot_id, batch_id,
                                taken, quota, changed_at)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[],
                     $7::uuid[], $8::bigint[], $9::bigint[], $10::timestamptz[])
"""


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A change as it is written down, with the batch that posted it."""

    member_id: UUID
    programme: str
    line: str
    period: str
    batch_id: UUID
    lot_id: UUID
    taken: int
    quota: int
    changed_at: datetime


Changes = dict[tuple[UUID, str, str], list[Change]]


async def changes(
    conn: Connection,
    programme: str,
    lines: Sequence[str],
    periods: Sequence[str],
    *,
    whom: Whom,
    into: Mapping[UUID, UUID],
) -> Changes:
    """Return what went and came back of lines in the periods, by (member, line, period).

    What went of those who were merged `into` members counts for these, and comes back no more.
    """
    where = (programme, list(periods), list(lines))
    made = Changes()
    for row in await along(conn, (CHANGES, CHANGES_OF), where, whom=whom, into=into):
        key = (into.get(row.member_id, row.member_id), row.line, row.period)
        made.setdefault(key, []).append(
            Change(
                lot_id=row.lot_id,
                taken=row.taken,
                quota=row.quota,
                at=row.changed_at,
                ends_at=None if row.member_id in into else row.expires_at,
            )
        )
    return made


async def put(conn: Connection, made: Sequence[ChangeRow]) -> None:
    """Store changes."""
    if not made:
        return
    await run(
        conn,
        INSERT,
        [bucket_of(c.member_id) for c in made],
        [c.member_id for c in made],
        [c.programme for c in made],
        [c.line for c in made],
        [c.period for c in made],
        [c.lot_id for c in made],
        [c.batch_id for c in made],
        [c.taken for c in made],
        [c.quota for c in made],
        [c.changed_at for c in made],
    )
