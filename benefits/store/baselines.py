"""Baselines as they were frozen: which there are, and what each member's metric was."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.growth import Measure
from benefits.domain.values import Month, bucket_of
from benefits.store.db import BEGIN_PLANNED, Connection, rows, run

# A baseline is of one moment: all members are read in one snapshot.
BEGIN_SNAPSHOT = BEGIN_PLANNED.replace("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ", 1)
BEGIN = """
INSERT INTO baseline (name, programme, programme_version, month, scale, frozen_by, frozen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (name) DO NOTHING
"""
_COLUMNS = """b.name, b.programme, b.programme_version, b.month, b.scale, b.frozen_by,
       b.frozen_at"""
ONE = f"SELECT {_COLUMNS} FROM baseline AS b WHERE b.name = $1"
ALL = f"SELECT {_COLUMNS} FROM baseline AS b ORDER BY b.frozen_at, b.name"
FREEZE = """
INSERT INTO member_baseline (bucket, member_id, name, total, divisor, days, filled_days,
                             generation, recorded_at)
SELECT n.bucket, n.member_id, $1, n.total, n.divisor, n.days, n.filled_days,
       (SELECT coalesce(max(f.generation), 0) FROM feed AS f WHERE f.state = 'SEALED'), $2
FROM unnest($3::smallint[], $4::uuid[], $5::numeric[], $6::int[], $7::int[], $8::int[])
     AS n (bucket, member_id, total, divisor, days, filled_days)
ORDER BY n.bucket, n.member_id
"""
# Primary key.
FROZEN = """
SELECT f.member_id, f.total, f.divisor, f.days, f.filled_days
FROM member_baseline AS f WHERE f.bucket BETWEEN $2 AND $3 AND f.name = $1
"""
FROZEN_OF = """
SELECT f.member_id, f.total, f.divisor, f.days, f.filled_days
FROM unnest($2::smallint[], $3::uuid[]) AS k (bucket, member_id)
JOIN member_baseline AS f ON f.bucket = k.bucket AND f.member_id = k.member_id AND f.name = $1
"""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline, and the programme's version that measured it."""

    name: str
    programme: str
    programme_version: int
    month: Month
    scale: int
    frozen_by: str
    frozen_at: datetime


async def begin(conn: Connection, one: Baseline) -> Baseline:
    """Record a baseline unless its name is taken; return whichever has the name."""
    month = one.month.start
    values = (one.name, one.programme, one.programme_version, month, one.scale)
    await run(conn, BEGIN, *values, one.frozen_by, one.frozen_at)
    (row,) = await rows(conn, ONE, one.name)
    return _baseline(row)


async def find(conn: Connection, name: str) -> Baseline | None:
    """Return a baseline."""
    found = await rows(conn, ONE, name)
    return _baseline(found[0]) if found else None


async def listed(conn: Connection) -> list[Baseline]:
    """Return all baselines, in the order they were frozen."""
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
        [one.days for _, one in measures],
        [one.filled_days for _, one in measures],
    )


async def frozen(conn: Connection, one: Baseline, buckets: tuple[int, int]) -> dict[UUID, Measure]:
    """Return what the metrics of members in some buckets were."""
    found = await rows(conn, FROZEN, one.name, *buckets)
    return {row.member_id: _measure(one, row) for row in found}


async def frozen_of(conn: Connection, one: Baseline, ids: Collection[UUID]) -> dict[UUID, Measure]:
    """Return what the metrics of some members were."""
    wanted = list(ids)
    found = await rows(conn, FROZEN_OF, one.name, [bucket_of(id_) for id_ in wanted], wanted)
    return {row.member_id: _measure(one, row) for row in found}


def _measure(one: Baseline, row: Any) -> Measure:
    return Measure(int(row.total), one.scale, row.divisor, row.days, row.days, row.filled_days)


def _baseline(row: Any) -> Baseline:
    return Baseline(**row._asdict() | {"month": Month.of(row.month)})
