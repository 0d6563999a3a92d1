"""Baselines as they were frozen: which there are, and what each member's metric was."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.growth import Measure
from benefits.domain.values import BUCKETS, Month, bucket_of
from benefits.store.db import Connection, rows, run

BEGIN = """
INSERT INTO baseline (name, programme, month, scale, frozen_by, begun_at, next_bucket)
VALUES ($1, $2, $3, $4, $5, $6, 0)
ON CONFLICT (name) DO NOTHING
"""
_COLUMNS = """b.name, b.programme, b.month, b.scale, b.frozen_by, b.begun_at, b.next_bucket,
       b.ended_at"""
# Primary key. Who freezes some buckets holds the row to the end.
LOCK = f"SELECT {_COLUMNS} FROM baseline AS b WHERE b.name = $1 FOR NO KEY UPDATE"
ONE = f"SELECT {_COLUMNS} FROM baseline AS b WHERE b.name = $1"
ALL = f"SELECT {_COLUMNS} FROM baseline AS b ORDER BY b.begun_at, b.name"
ADVANCE = "UPDATE baseline SET next_bucket = $2, ended_at = $3 WHERE name = $1"
FREEZE = """
INSERT INTO member_baseline (bucket, member_id, name, total, divisor, known_days, days,
                             recorded_at)
SELECT n.bucket, n.member_id, $1, n.total, n.divisor, n.known_days, n.days, $2
FROM unnest($3::smallint[], $4::uuid[], $5::numeric[], $6::int[], $7::int[], $8::int[])
     AS n (bucket, member_id, total, divisor, known_days, days)
ORDER BY n.bucket, n.member_id
"""
# Primary key.
FROZEN = """
SELECT f.member_id, f.total, f.divisor, f.known_days, f.days
FROM member_baseline AS f WHERE f.bucket BETWEEN $2 AND $3 AND f.name = $1
"""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline; members of the buckets below `next_bucket` are frozen."""

    name: str
    programme: str
    month: Month
    scale: int
    frozen_by: str
    begun_at: datetime
    next_bucket: int = 0
    ended_at: datetime | None = None


async def begin(conn: Connection, one: Baseline) -> Baseline:
    """Record a baseline unless its name is taken; hold whichever has the name."""
    await run(
        conn,
        BEGIN,
        one.name,
        one.programme,
        one.month.start,
        one.scale,
        one.frozen_by,
        one.begun_at,
    )
    (row,) = await rows(conn, LOCK, one.name)
    return _baseline(row)


async def advance(conn: Connection, name: str, next_bucket: int, now: datetime) -> None:
    """Record how far freezing has come."""
    await run(conn, ADVANCE, name, next_bucket, now if next_bucket == BUCKETS else None)


async def find(conn: Connection, name: str) -> Baseline | None:
    """Return a baseline."""
    found = await rows(conn, ONE, name)
    return _baseline(found[0]) if found else None


async def listed(conn: Connection) -> list[Baseline]:
    """Return all baselines, in the order they were begun."""
    return [_baseline(row) for row in await rows(conn, ALL)]


async def freeze(
    conn: Connection, name: str, measures: Sequence[tuple[UUID, Measure]], now: datetime
) -> None:
    """Keep what members' metrics are, for good."""
    await run(
        conn,
        FREEZE,
        name,
        now,
        [bucket_of(id_) for id_, _ in measures],
        [id_ for id_, _ in measures],
        [one.total for _, one in measures],
        [one.divisor for _, one in measures],
        [one.known_days for _, one in measures],
        [one.days for _, one in measures],
    )


async def frozen(conn: Connection, one: Baseline, buckets: tuple[int, int]) -> dict[UUID, Measure]:
    """Return what the metrics of members in some buckets were."""
    return {
        row.member_id: Measure(int(row.total), one.scale, row.divisor, row.known_days, row.days)
        for row in await rows(conn, FROZEN, one.name, *buckets)
    }


def _baseline(row: Any) -> Baseline:
    return Baseline(**row._asdict() | {"month": Month.of(row.month)})
