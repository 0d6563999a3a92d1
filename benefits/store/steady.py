"""Which members a month leaves as they are: one statement over the kept sums, bucket by bucket.

What moves a sum is numbered: a part of an import takes the next number while it holds the row of
`asset_move`, so that whoever reads a number sees all that was moved up to it; what a feed moves
has its generation. An evaluation notes what it saw, read before the sums. A sum with a higher
number, or of a later generation, is news to it.
"""

from collections.abc import Collection, Sequence
from datetime import date
from decimal import Decimal
from uuid import UUID

import msgspec

from benefits.domain.catalogue import Rules
from benefits.domain.steady import Bounds, basis
from benefits.domain.values import Month
from benefits.store.db import Connection, rows, run
from benefits.store.facts import fed_days
from benefits.store.sealed import COUNTED, read_days, sealed_days
from benefits.store.weighing import weighing

SEEN = f"""
SELECT v.number, (SELECT coalesce(max(f.generation), 0) FROM feed AS f WHERE f.state = 'SEALED')
           AS generation, {sealed_days("$1")} AS sealed
FROM asset_move AS v
"""
# Primary key; nothing is taken out, so as many are the same.
DECIDED = """
SELECT d.bucket, count(*) AS before_it, count(*) FILTER (WHERE d.month < $5) AS before_previous
FROM tier_decision AS d
WHERE d.bucket BETWEEN $1 AND $2 AND d.programme = $3 AND d.month < $4 GROUP BY d.bucket
"""
# Primary key.
MARKS = """
SELECT e.bucket, e.month, e.settled, e.seen, e.seen_generation, e.decided FROM evaluation AS e
WHERE e.bucket BETWEEN $1 AND $2 AND e.programme = $3
  AND (e.month = $4 AND e.basis = $5 OR e.month = $6 AND e.basis = $7)
"""
# Primary keys of member and asset_month, unique key of tier_decision: each is read once, in the
# order of buckets. `again`: the month was decided before. A member nobody has a
# balance of is at the bottom and stays there.
STEADY = f"""
WITH mark AS MATERIALIZED (
    SELECT * FROM unnest($8::smallint[], $9::boolean[], $10::bigint[], $11::bigint[])
         AS k (bucket, again, seen, generation)),
sums AS MATERIALIZED (
    SELECT s.bucket, s.member_id,
           sum(({COUNTED}) * w.weight) FILTER (WHERE s.month = $3) AS sum_minor,
           bit_or(s.known_days) FILTER (WHERE s.month = $3 AND w.weight IS NOT NULL) AS known,
           bool_or(s.month = $3 AND w.weight < 0 AND {COUNTED} > 0) AS owes,
           bool_or(s.month < $3) AS is_older,
           bool_or((s.month < $3 OR k.again)
                   AND (s.moved > k.seen OR s.generation > k.generation)) AS is_moved
    FROM asset_month AS s
    JOIN mark AS k ON k.bucket = s.bucket
    LEFT JOIN unnest($5::text[], $6::bigint[]) AS w (asset_class, weight)
      ON w.asset_class = s.asset_class AND s.currency = $7
    WHERE s.bucket BETWEEN $1 AND $2 AND s.month <= $3
    GROUP BY s.bucket, s.member_id),
standing AS MATERIALIZED (
    SELECT DISTINCT ON (d.bucket, d.member_id)
           d.bucket, d.member_id, d.rank, d.month = $3 AS is_decided,
           d.misses = 0 AND d.lock_until IS NULL AND d.grace_until IS NULL AND d.way IS NULL
               AS is_plain, d.earned IS NOT NULL AS is_welcome
    FROM tier_decision AS d
    WHERE d.bucket BETWEEN $1 AND $2 AND d.programme = $4 AND d.month <= $3
    ORDER BY d.bucket, d.member_id, d.month DESC, d.decided_at DESC),
each AS MATERIALIZED (
    SELECT m.member_id, coalesce(d.rank, 0) AS rank,
           CASE WHEN m.has_merged THEN true  -- what counts along is in other buckets
                WHEN d.is_welcome OR m.opened_on >= $21 THEN true  -- or may be
                WHEN k.again THEN coalesce(a.is_moved, false)
                WHEN o.member_id IS NOT NULL THEN true  -- it may be whole now
                WHEN coalesce(a.is_moved, false) OR coalesce(d.is_decided OR NOT d.is_plain, false)
                THEN true
                -- Not looked at before, though something was brought before the opening.
                WHEN coalesce(a.is_older, false) AND m.opened_on >= $3 THEN true
                -- A sum does not tell what its days come to, net (A-8).
                WHEN coalesce(a.owes, false) THEN true
                WHEN a.member_id IS NULL AND d.member_id IS NULL AND $12 THEN false
                ELSE NOT coalesce(
                    (CASE WHEN $12 THEN coalesce(a.known, 0) ELSE $13 END
                     | CASE WHEN m.opened_on > $3 THEN (1 << (m.opened_on - $3)) - 1 ELSE 0 END)
                    = $14
                    AND coalesce(a.sum_minor, 0) >= b.least
                    AND (b.below IS NULL OR coalesce(a.sum_minor, 0) < b.below), false)
           END AS is_open
    FROM member AS m
    JOIN mark AS k ON k.bucket = m.bucket
    LEFT JOIN sums AS a ON a.bucket = m.bucket AND a.member_id = m.member_id
    LEFT JOIN standing AS d ON d.bucket = m.bucket AND d.member_id = m.member_id
    LEFT JOIN evaluation_open AS o ON o.bucket = m.bucket AND o.programme = $4 AND o.month = $3
      AND o.member_id = m.member_id AND o.settled_at IS NULL
    LEFT JOIN unnest($15::int[], $16::numeric[], $17::numeric[]) AS b (rank, least, below)
      ON b.rank = coalesce(d.rank, 0)
    WHERE m.bucket BETWEEN $1 AND $2 AND m.opened_on < $18
      AND (m.closed_on IS NULL OR m.closed_on >= $20) AND m.merged_into IS NULL)
SELECT NULL::uuid AS member_id, e.rank, false AS is_open, count(*) AS members
FROM each AS e WHERE NOT e.is_open AND e.rank <> ALL ($19::int[]) GROUP BY e.rank
UNION ALL
SELECT e.member_id, e.rank, e.is_open, 1 FROM each AS e
WHERE e.is_open OR e.rank = ANY ($19::int[])
"""


# What the planner thinks of rows that are made on the way is no reason to join them one by one.
AT_ONCE = "SET LOCAL enable_nestloop = off"
AS_EVER = "SET LOCAL enable_nestloop = on"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation saw: moves up to a number, feeds up to a generation, judged on a basis.

    `fed` are the month's days that feeds make known, as bits; `decided` counts by bucket what was
    decided for months before it, and before the one before it.
    """

    number: int
    generation: int
    basis: str
    basis_before: str
    fed: int
    decided: dict[int, tuple[int, int]]

    def counts(self, bucket: int) -> tuple[int, int]:
        """Return how many decisions there are for months before the month, and the one before."""
        return self.decided.get(bucket, (0, 0))


class Found(msgspec.Struct, frozen=True):
    """Members who are `open`, for a fold to decide; the steady ones by rank, or one by one."""

    open: list[UUID]
    steady: dict[int, int]
    ranked: list[tuple[UUID, int]]


async def seen(conn: Connection, rules: Rules, month: Month, buckets: tuple[int, int]) -> Seen:
    """Return what whoever reads sums and decisions from now on sees at least."""
    before = month.plus(-1)
    ((number, generation, sealed),) = await rows(conn, SEEN, rules.feeds)
    values = (*buckets, rules.programme, month.start, before.start)
    decided = await rows(conn, DECIDED, *values)
    fed = fed_days(rules, read_days(sealed), month)
    known = {each: days.known for each, days in fed.items()}
    return Seen(
        number=number,
        generation=generation,
        basis=basis(rules, month, known),
        basis_before=basis(rules, before, known),
        fed=known.get(month, 0),
        decided={row.bucket: (row.before_it, row.before_previous) for row in decided},
    )


async def find(
    conn: Connection,
    programme: str,
    bounds: Bounds,
    saw: Seen,
    *,
    buckets: tuple[int, int],
    apart: Collection[int],
    today: date,
    welcomed: date | None,
) -> Found:
    """Return which members a fold must decide; steady ones of the ranks `apart` one by one.

    Who has left by `today` is none of them. Who opened since a day may be `welcomed` (M-8).
    """
    month = bounds.month
    marks = await _marks(conn, programme, month, saw, buckets=buckets)
    found = Found([], {}, [])
    values = (
        *buckets,
        month.start,
        programme,
        list(bounds.basket.classes),
        list(bounds.basket.weights),
        bounds.basket.currency,
        *marks,
        bounds.by_lines,
        saw.fed,
        (1 << month.days) - 1,
        [bound.rank for bound in bounds.ranks],
        [Decimal(bound.least) for bound in bounds.ranks],
        [None if bound.below is None else Decimal(bound.below) for bound in bounds.ranks],
        month.end,
        sorted(apart),
        max(month.end, today),
        welcomed,
    )
    await run(conn, AT_ONCE)
    each = await rows(conn, weighing(STEADY, bounds.basket), *values)
    await run(conn, AS_EVER)
    for row in each:
        if row.member_id is None:
            found.steady[row.rank] = row.members
        elif row.is_open:
            found.open.append(row.member_id)
        else:
            found.ranked.append((row.member_id, row.rank))
    return found


async def _marks(
    conn: Connection, programme: str, month: Month, saw: Seen, *, buckets: tuple[int, int]
) -> tuple[Sequence[int], Sequence[bool], Sequence[int], Sequence[int]]:
    """Return bucket by bucket whether the month is decided again, and what was seen before.

    Where neither the month nor the one before it was decided on this basis, nothing was seen.
    """
    before = month.plus(-1)
    known = {
        (row.bucket, Month.of(row.month)): row
        for row in await rows(
            conn,
            MARKS,
            *buckets,
            programme,
            *(before.start, saw.basis_before),
            *(month.start, saw.basis),
        )
    }
    every = range(buckets[0], buckets[1] + 1)
    again, numbers, generations = list[bool](), list[int](), list[int]()
    for bucket in every:
        of_month, of_previous = known.get((bucket, month)), known.get((bucket, before))
        before_it, before_previous = saw.counts(bucket)
        mark = None
        if is_again := bool(of_month and of_month.settled and of_month.decided == before_it):
            mark = of_month
        elif of_previous and of_previous.decided == before_previous:
            mark = of_previous
        again.append(is_again)
        numbers.append(-1 if mark is None else mark.seen)
        generations.append(-1 if mark is None else mark.seen_generation)
    return every, again, numbers, generations
