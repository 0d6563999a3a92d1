"""Which months are evaluated, and since when they are settled (A-7)."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.tiers import State
from benefits.domain.values import Month, bucket_of
from benefits.store.db import Connection, rows, run
from benefits.store.facts import state_of


class Settled(msgspec.Struct, frozen=True):
    """Buckets in which a month was decided, and those where it is the last one that was.

    In `passed` ones a later month was decided, whether it was or not. It was decided on all days
    of each member, but of those who are `open`.
    """

    buckets: frozenset[int]
    last: frozenset[int]
    passed: frozenset[int]
    open: frozenset[UUID]

    def holds(self, member_id: UUID) -> bool:
        """Say whether the month was decided on all days of a member."""
        return bucket_of(member_id) in self.buckets and member_id not in self.open


EVALUATED = """
INSERT INTO evaluation (bucket, programme, month, evaluated_at, settled, decided, seen,
                        seen_generation, basis, settled_at)
SELECT n.bucket, $3, $4, $5, true, n.decided,
       CASE WHEN n.decided IS NOT NULL THEN $6::bigint END,
       CASE WHEN n.decided IS NOT NULL THEN $7::bigint END,
       CASE WHEN n.decided IS NOT NULL THEN $8 END, $5
FROM unnest($1::int[], $2::bigint[]) AS n (bucket, decided)
ON CONFLICT (bucket, programme, month) DO UPDATE
SET evaluated_at = excluded.evaluated_at, settled = true,
    decided = coalesce(excluded.decided, evaluation.decided),
    seen = coalesce(excluded.seen, evaluation.seen),
    seen_generation = coalesce(excluded.seen_generation, evaluation.seen_generation),
    basis = coalesce(excluded.basis, evaluation.basis),
    settled_at = coalesce(evaluation.settled_at, excluded.settled_at)
"""
INSERT_OPEN = """
INSERT INTO evaluation_open (bucket, programme, month, member_id)
SELECT k.bucket, $1, $2, k.member_id FROM unnest($3::smallint[], $4::uuid[])
    AS k (bucket, member_id)
ON CONFLICT DO NOTHING
"""
SETTLE = """
UPDATE evaluation_open AS o SET settled_at = $3
FROM unnest($4::smallint[], $5::uuid[]) AS k (bucket, member_id)
WHERE o.bucket = k.bucket AND o.programme = $1 AND o.month = $2 AND o.member_id = k.member_id
  AND o.settled_at IS NULL
"""
# Primary key.
IS_EVALUATED = """
SELECT e.bucket FROM evaluation AS e
WHERE e.bucket BETWEEN $1 AND $2 AND e.programme = $3 AND e.month = $4
"""
SETTLED = """
SELECT e.bucket FROM evaluation AS e
WHERE e.bucket BETWEEN $1 AND $2 AND e.programme = $3 AND e.month = $4 AND e.settled
"""
# Primary key.
OPEN = """
SELECT o.member_id FROM evaluation_open AS o
WHERE o.bucket BETWEEN $1 AND $2 AND o.programme = $3 AND o.month = $4 AND o.settled_at IS NULL
"""
# Primary keys.
CONFIRMED = """
SELECT DISTINCT k.member_id
FROM unnest($3::smallint[], $4::uuid[]) AS k (bucket, member_id)
JOIN evaluation AS e ON e.bucket = k.bucket AND e.programme = $1 AND e.month > $2 AND e.settled
LEFT JOIN evaluation_open AS o ON o.bucket = k.bucket AND o.programme = $1 AND o.month = e.month
  AND o.member_id = k.member_id AND o.settled_at IS NULL
WHERE o.member_id IS NULL
"""
# Primary keys and unique key. A merger's tier holds until the next month is decided (T-10); what
# fraud took was not the member's.
STOOD = """
SELECT DISTINCT ON (d.bucket, d.member_id)
       d.member_id, d.rank, d.misses, d.lock_until, d.grace_until, d.way, d.earned,
       d.welcome_until
FROM unnest($3::smallint[], $4::uuid[]) AS k (bucket, member_id)
JOIN evaluation AS e ON e.bucket = k.bucket AND e.programme = $1 AND e.month = $2
LEFT JOIN evaluation_open AS o ON o.bucket = k.bucket AND o.programme = $1 AND o.month = $2
  AND o.member_id = k.member_id
JOIN tier_decision AS d ON d.bucket = k.bucket AND d.member_id = k.member_id
  AND d.programme = $1 AND d.month <= $2
  AND (d.decided_at <= coalesce(o.settled_at, e.settled_at) OR d.cause IN ('MERGED', 'FRAUD'))
ORDER BY d.bucket, d.member_id, d.month DESC, d.decided_at DESC
"""
# Primary key.
LAST = """
SELECT e.bucket, max(e.month) AS month FROM evaluation AS e
WHERE e.bucket = ANY($1::int[]) AND e.programme = $2 GROUP BY e.bucket
"""
LATER = """
SELECT e.bucket FROM evaluation AS e
WHERE e.bucket BETWEEN $1 AND $2 AND e.programme = $3 AND e.month > $4
"""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation leaves for later ones: which moves and feeds it saw, judged on a basis.

    `decided` tells of each bucket how many decisions there were for months before. In `pending`
    ones a correction waits for the next month (A-7): of them stays noted what was. Of members
    `open` days of the month are missing, of those `closed` no more.
    """

    decided: Mapping[int, int]
    seen: int
    generation: int
    basis: str
    pending: Collection[int]
    open: Collection[UUID]
    closed: Collection[UUID]


async def evaluated(
    conn: Connection,
    programme: str,
    month: Month,
    *,
    now: datetime,
    mark: Mark,
) -> None:
    """Record that buckets were evaluated for a month, and what is to be known of that later."""
    for statement, at, ids in (
        (INSERT_OPEN, (), sorted(mark.open)),
        (SETTLE, (now,), sorted(mark.closed)),
    ):
        if ids:
            keys = ([bucket_of(id_) for id_ in ids], ids)
            await run(conn, statement, programme, month.start, *at, *keys)
    await run(
        conn,
        EVALUATED,
        list(mark.decided),
        [None if n in mark.pending else count for n, count in mark.decided.items()],
        programme,
        month.start,
        now,
        mark.seen,
        mark.generation,
        mark.basis,
    )


async def decided_buckets(
    conn: Connection, programme: str, month: Month, buckets: tuple[int, int]
) -> frozenset[int]:
    """Return the buckets in which a month was evaluated."""
    found = await rows(conn, IS_EVALUATED, *buckets, programme, month.start)
    return frozenset(row.bucket for row in found)


async def settled(
    conn: Connection, programme: str, month: Month, buckets: tuple[int, int]
) -> Settled:
    """Return where a month was decided before, and of whom days were missing (A-7)."""
    where = (*buckets, programme, month.start)
    found = frozenset(row.bucket for row in await rows(conn, SETTLED, *where))
    passed = frozenset(row.bucket for row in await rows(conn, LATER, *where))
    missing = frozenset(row.member_id for row in await rows(conn, OPEN, *where))
    return Settled(found, found - passed, passed, missing)


async def last(conn: Connection, programme: str, buckets: Collection[int]) -> dict[int, Month]:
    """Return the last month that was evaluated in each of some buckets."""
    found = await rows(conn, LAST, sorted(buckets), programme)
    return {row.bucket: Month.of(row.month) for row in found}


async def stood(
    conn: Connection, programme: str, month: Month, ids: Sequence[UUID]
) -> dict[UUID, State]:
    """Return the standings on record when a month was first decided on all days (A-7).

    Who had none by then is not among them.
    """
    buckets = [bucket_of(id_) for id_ in ids]
    found = await rows(conn, STOOD, programme, month.start, buckets, list(ids))
    return {row.member_id: state_of(row) for row in found}


async def confirmed(
    conn: Connection, programme: str, month: Month, ids: Sequence[UUID]
) -> frozenset[UUID]:
    """Return of whom a later month was decided on all days (A-7)."""
    buckets = [bucket_of(id_) for id_ in ids]
    found = await rows(conn, CONFIRMED, programme, month.start, buckets, list(ids))
    return frozenset(row.member_id for row in found)
