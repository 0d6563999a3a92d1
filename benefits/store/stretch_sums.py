"""Sums of stretches as they are read beside the months', and as they are filled (M-4, M-6, M-7).

Filling puts a stretch on the list and goes bucket by bucket: each transaction sums the daily rows
that count and moves `next_bucket`, from where on imports and feeds move those sums, too. It runs
while no feed is half applied, so that there is one value of each sum. What other currencies and
joint accounts come to is folded after that, where it is needed, and moves `folded_bucket`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from uuid import UUID

import msgspec

from benefits.domain.metrics import Basket
from benefits.domain.values import BUCKETS, Month, bucket_of
from benefits.domain.windows import Days, Stretch
from benefits.store import assets, exchange, holders, stretches
from benefits.store.db import Connection, rows, run
from benefits.store.sealed import COUNTED, COUNTED_FOLDED, HIGHEST, chained, standing
from benefits.store.stretches import Filled
from benefits.store.weighing import weighing

# Primary key of asset_stretch, all of a member's lie together.
SUMS = f"""
SELECT s.member_id, s.month, s.first_day, s.last_day, sum(({COUNTED}) * w.weight) AS sum_minor,
       NULL::text[] AS converted
FROM asset_stretch AS s
JOIN unnest($1::text[], $2::bigint[]) AS w (asset_class, weight) ON w.asset_class = s.asset_class
JOIN unnest($4::date[], $5::smallint[], $6::smallint[]) AS n (month, first_day, last_day)
  ON n.month = s.month AND n.first_day = s.first_day AND n.last_day = s.last_day
WHERE s.bucket BETWEEN $7 AND $8 AND s.currency = ($3::text[])[1]{{among}}
GROUP BY 1, 2, 3, 4
"""
_AMONG = " AND ({0}.bucket, {0}.member_id) IN (SELECT * FROM unnest($9::smallint[], $10::uuid[]))"
OF_ALL, OF_SOME = SUMS.format(among=""), SUMS.format(among=_AMONG.format("s"))
# What was brought in the programme's own currency, the first, and what is folded of others and of
# joint accounts.
WIDE_SUMS = f"""
SELECT y.member_id, y.month, y.first_day, y.last_day, sum(y.amount * w.weight) AS sum_minor,
       array_agg(DISTINCT y.currency)
           FILTER (WHERE y.currency <> ($3::text[])[1] AND y.amount > 0) AS converted
FROM (
    SELECT s.member_id, s.month, s.first_day, s.last_day, s.asset_class, s.currency,
           {COUNTED} AS amount
    FROM asset_stretch AS s
    WHERE s.bucket BETWEEN $7 AND $8 AND s.currency = ($3::text[])[1]{{among}}
    UNION ALL
    SELECT g.member_id, g.month, g.first_day, g.last_day, g.asset_class, g.currency,
           {COUNTED_FOLDED}
    FROM asset_stretch_folded AS g
    WHERE g.bucket BETWEEN $7 AND $8 AND g.currency = ANY($3::text[])
      AND g.kind IN ('CONVERTED', '{{joint}}'){{folded_among}}) AS y
JOIN unnest($1::text[], $2::bigint[]) AS w (asset_class, weight) ON w.asset_class = y.asset_class
JOIN unnest($4::date[], $5::smallint[], $6::smallint[]) AS n (month, first_day, last_day)
  ON n.month = y.month AND n.first_day = y.first_day AND n.last_day = y.last_day
GROUP BY 1, 2, 3, 4
"""
# By policy of joint accounts, of all and of some members.
WIDE = {
    joint: (
        WIDE_SUMS.format(joint=joint, among="", folded_among=""),
        WIDE_SUMS.format(joint=joint, among=_AMONG.format("s"), folded_among=_AMONG.format("g")),
    )
    for joint in ("", *holders.POLICIES)
}
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
ADVANCE_FOLDED = """
UPDATE stretch SET folded_bucket = $4 WHERE month = $1 AND first_day = $2 AND last_day = $3
"""
# Rather too many than too few: a row is longer.
MEMBERS = "SELECT pg_relation_size('member'::regclass) / 100 + 1 AS members"
AT_ONCE = 5000  # members


class Sum(msgspec.Struct, frozen=True):
    """What a stretch comes to, and which currencies were converted for it (A-4)."""

    sum_minor: int = 0
    converted: tuple[str, ...] = ()

    def plus(self, other: "Sum") -> "Sum":
        """Return the two together."""
        converted = tuple(sorted({*self.converted, *other.converted}))
        return Sum(self.sum_minor + other.sum_minor, converted)


NOTHING = Sum()
Sums = Mapping[tuple[UUID, Stretch], Sum]


async def sums(
    conn: Connection,
    wanted: Collection[Stretch],
    basket: Basket,
    *,
    buckets: tuple[int, int],
    members: Sequence[UUID] | None,
) -> Sums:
    """Return the sums of stretches that members have in a basket, times its scale."""
    of_all, of_some = WIDE[basket.joint] if basket.is_wide else (OF_ALL, OF_SOME)
    found = await rows(
        conn,
        weighing(of_all if members is None else of_some, basket),
        list(basket.classes),
        list(basket.weights),
        basket.currencies,
        *stretches.columns(wanted),
        *buckets,
        *([] if members is None else [[bucket_of(id_) for id_ in members], list(members)]),
    )
    return {
        (row.member_id, stretches.stretch_of(row)): Sum(
            int(row.sum_minor), tuple(row.converted or ())
        )
        for row in found
    }


class Known(msgspec.Struct):
    """Which days of months are known of members: a bit for each, but for those before the opening.

    A month that feeds make known is so for everybody, `fed`, who is no row's member as well. Whose
    sums count for another is told by `into`.
    """

    rows: dict[UUID, dict[Month, Days]]
    fed: Mapping[Month, Days] = {}
    into: Mapping[UUID, UUID] = {}

    @property
    def months(self) -> set[Month]:
        """The months with days that anybody has."""
        return {*self.fed, *(month for known in self.rows.values() for month in known)}

    def days(self, member_id: UUID, month: Month) -> Days:
        """Return the known days of a member's month."""
        own = self.rows.get(member_id, {}).get(month)
        return self.fed.get(month, Days()) if own is None else own


async def months(conn: Connection) -> list[Month]:
    """Return the months of which there may be daily rows."""
    return [Month.of(row.month) for row in await rows(conn, MONTHS)]


async def unfilled(
    conn: Connection, wanted: Collection[Stretch], wide: Collection[Stretch]
) -> list[Stretch]:
    """Return those of some stretches whose sums are not all kept, the latest first.

    Of the `wide` ones other currencies and joint accounts are kept, too.
    """
    there = await stretches.kept(conn, wanted)
    left = [
        each
        for each in wanted
        if each not in there
        or not there[each].is_kept(BUCKETS - 1, folded=False)
        or (each in wide and not there[each].is_kept(BUCKETS - 1, folded=True))
    ]
    return sorted(left, reverse=True)


async def fill(conn: Connection, stretch: Stretch) -> None:
    """Fill the next buckets of a stretch; once all are, fold the next ones.

    One at a time does so, while no feed is being applied.
    """
    await run(conn, assets.SERIAL)
    kept = (await stretches.kept(conn, [stretch])).get(stretch)
    if kept is None:
        ((is_empty,),) = await rows(conn, IS_EMPTY, stretch.month.start, stretch.month.end)
        kept = Filled(BUCKETS if is_empty else 0, 0)
        await run(conn, LIST, *_place(stretch), kept.next_bucket)
        if is_empty:
            return
    if kept.next_bucket < BUCKETS:
        await _fill(conn, stretch, kept.next_bucket)
    else:
        await _fold(conn, stretch, kept.folded_bucket)


async def _fill(conn: Connection, stretch: Stretch, first: int) -> None:
    last = await _last(conn, first)
    days = (stretch.start, stretch.start.replace(day=stretch.last))
    await run(conn, FILL, *_place(stretch), first, last, *days)
    await run(conn, ADVANCE, *_place(stretch), last + 1)


async def _fold(conn: Connection, stretch: Stretch, first: int) -> None:
    """Fold what other currencies and joint accounts come to in the next buckets (A-4, A-5).

    What is kept already of the month's stretches is folded along, and comes to the same.
    """
    last = await _last(conn, first)
    await run(conn, ADVANCE_FOLDED, *_place(stretch), last + 1)
    await exchange.fill_stretches(conn, stretch.month.start, (first, last))
    await holders.fill_stretches(conn, stretch.month.start, (first, last))


async def _last(conn: Connection, first: int) -> int:
    """Return the last bucket of a step that begins with one."""
    ((members,),) = await rows(conn, MEMBERS)
    count = max(BUCKETS * AT_ONCE // int(members), 1)
    return min(first + count, BUCKETS) - 1


def _place(stretch: Stretch) -> tuple[date, int, int]:
    return stretch.month.start, stretch.first, stretch.last
