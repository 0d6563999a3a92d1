"""Sums of stretches as they are read beside the months', and as they are filled (M-4, M-6, M-7).

Filling puts a stretch on the list and goes bucket by bucket: each transaction sums the daily rows
that count and moves `next_bucket`, from where on imports and feeds move those sums, too. It runs
while no feed is half applied, so that there is one value of each sum.
"""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import msgspec

from benefits.domain.metrics import Basket
from benefits.domain.values import BUCKETS, Month, bucket_of
from benefits.domain.windows import Days, Stretch
from benefits.store import assets, stretches
from benefits.store.db import Connection, rows, run
from benefits.store.sealed import COUNTED, HIGHEST, chained, standing

# Primary key of asset_stretch, all of a member's lie together.
SUMS = f"""
SELECT s.member_id, s.month, s.first_day, s.last_day, sum(({COUNTED}) * w.weight) AS sum_minor
FROM asset_stretch AS s
JOIN unnest($1::text[], $2::bigint[]) AS w (asset_class, weight) ON w.asset_class = s.asset_class
JOIN unnest($4::date[], $5::smallint[], $6::smallint[]) AS n (month, first_day, last_day)
  ON n.month = s.month AND n.first_day = s.first_day AND n.last_day = s.last_day
WHERE s.bucket BETWEEN $7 AND $8 AND s.currency = $3{{among}}
GROUP BY 1, 2, 3, 4
"""
SUMS_OF_ALL = SUMS.format(among="")
SUMS_OF_SOME = SUMS.format(
    among=" AND (s.bucket, s.member_id) IN (SELECT * FROM unnest($9::smallint[], $10::uuid[]))"
)
# The months in which there may be daily rows are those with a partition.
MONTHS = """
SELECT DISTINCT to_date(right(c.relname, 7), 'YYYY_MM') AS month
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('asset'::regclass, 'feed_line'::regclass)
"""
IS_EMPTY = """
SELECT NOT EXISTS (SELECT FROM asset AS a
                   WHERE a.bucket BETWEEN 0 AND 1023 AND a.as_of >= $1 AND a.as_of < $2)
   AND NOT EXISTS (SELECT FROM feed AS f
                   WHERE f.state = 'SEALED' AND f.as_of >= $1 AND f.as_of < $2)
       AS is_empty
"""
LIST = """
INSERT INTO stretch (month, first_day, last_day, next_bucket) VALUES ($1, $2, $3, $4)
ON CONFLICT (month, first_day, last_day) DO NOTHING
"""
# Of each grain, and of each feed, the highest revision counts.
_FED = chained(HIGHEST.format("AND f.as_of BETWEEN $1 AND $7"))
_FED_LINES = standing("fed", "l.bucket BETWEEN $4 AND $5 AND l.as_of BETWEEN $1 AND $7")
FILL = f"""
WITH fed AS MATERIALIZED ({_FED})
INSERT INTO asset_stretch (bucket, member_id, month, first_day, last_day, asset_class, currency,
                           sum_minor, before_minor, generation)
SELECT b.bucket, b.member_id, $1, $2, $3, b.asset_class, b.currency,
       sum(b.balance_minor)::bigint, sum(b.balance_minor)::bigint, 0
FROM (
    (SELECT DISTINCT ON (a.bucket, a.member_id, a.as_of, a.asset_class, a.currency, a.source,
                         a.account)
            a.bucket, a.member_id, a.asset_class, a.currency, a.balance_minor
     FROM asset AS a
     WHERE a.bucket BETWEEN $4 AND $5 AND a.as_of BETWEEN $6 AND $7
     ORDER BY a.bucket, a.member_id, a.as_of, a.asset_class, a.currency, a.source, a.account,
              a.revision DESC)
    UNION ALL
    SELECT l.bucket, l.member_id, l.asset_class, l.currency, l.balance_minor
    FROM ({_FED_LINES}) AS l WHERE l.as_of >= $6) AS b
WHERE b.balance_minor > 0
GROUP BY 1, 2, 6, 7
"""
ADVANCE = """
UPDATE stretch SET next_bucket = $4 WHERE month = $1 AND first_day = $2 AND last_day = $3
"""
# Rather too many than too few: a row is longer.
MEMBERS = "SELECT pg_relation_size('member'::regclass) / 100 + 1 AS members"
AT_ONCE = 5000  # members

Sums = Mapping[tuple[UUID, Stretch], int]


async def sums(
    conn: Connection,
    wanted: Collection[Stretch],
    basket: Basket,
    *,
    buckets: tuple[int, int],
    members: Sequence[UUID] | None,
) -> Sums:
    """Return the sums of stretches that members have in a basket, times its scale."""
    found = await rows(
        conn,
        SUMS_OF_ALL if members is None else SUMS_OF_SOME,
        list(basket.classes),
        list(basket.weights),
        basket.currency,
        *stretches.columns(wanted),
        *buckets,
        *([] if members is None else [[bucket_of(id_) for id_ in members], list(members)]),
    )
    return {(row.member_id, stretches.stretch_of(row)): int(row.sum_minor) for row in found}


class Known(msgspec.Struct):
    """Which days of months are known of members: a bit for each, but for those before the opening.

    A month that feeds make known is so for everybody, `fed`, who is no row's member as well.
    """

    rows: dict[UUID, dict[Month, Days]]
    fed: Mapping[Month, Days] = {}

    @property
    def months(self) -> set[Month]:
        """The months with days that anybody has."""
        return {*self.fed, *(month for known in self.rows.values() for month in known)}

    def days(self, member_id: UUID, month: Month) -> Days:
        """Return the known days of a member's month."""
        own = self.rows.get(member_id, {}).get(month, Days())
        return own if own.known else self.fed.get(month, Days())


async def months(conn: Connection) -> list[Month]:
    """Return the months of which there may be daily rows."""
    return [Month.of(row.month) for row in await rows(conn, MONTHS)]


async def unfilled(conn: Connection, wanted: Collection[Stretch]) -> list[Stretch]:
    """Return those of some stretches whose sums are not all kept, the latest first."""
    there = await stretches.kept(conn, wanted)
    left = [each for each in wanted if there.get(each, 0) < BUCKETS]
    return sorted(left, reverse=True)


async def fill(conn: Connection, stretch: Stretch) -> int:
    """Fill the next buckets of a stretch; return the first that is left.

    One at a time does so, while no feed is being applied.
    """
    await run(conn, assets.SERIAL)
    place = (stretch.month.start, stretch.first, stretch.last)
    next_bucket = (await stretches.kept(conn, [stretch])).get(stretch)
    if next_bucket is None:
        ((is_empty,),) = await rows(conn, IS_EMPTY, stretch.month.start, stretch.month.end)
        next_bucket = BUCKETS if is_empty else 0
        await run(conn, LIST, *place, next_bucket)
    if next_bucket < BUCKETS:
        ((members,),) = await rows(conn, MEMBERS)
        count = max(BUCKETS * AT_ONCE // members, 1)
        last = min(next_bucket + count, BUCKETS) - 1
        days = (stretch.start, stretch.start.replace(day=stretch.last))
        await run(conn, FILL, *place, next_bucket, last, *days)
        next_bucket = last + 1
        await run(conn, ADVANCE, *place, next_bucket)
    return next_bucket
