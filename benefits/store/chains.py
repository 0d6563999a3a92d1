"""What a feed moves in the kept sums: its day's, and those of the days that stand on it (A-2).

Its sums move in many transactions and count at once (`sealed`).
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from benefits.domain.chains import Chain, Link, chain, stands_on
from benefits.domain.feeds import FeedKey, FeedKind
from benefits.domain.values import BUCKETS, Month
from benefits.store import stretches
from benefits.store.db import Connection, rows, run

# Primary key of feed. What counts, or counted at an instant, of a source's month.
COUNTING = """
SELECT DISTINCT ON (f.as_of) f.as_of, f.revision, f.kind, f.rows, f.totals FROM feed AS f
WHERE f.state = 'SEALED' AND f.as_of >= $1 AND f.as_of < $2 AND f.source = $3
  AND ($4::timestamptz IS NULL OR f.sealed_at <= $4)
ORDER BY f.as_of, f.revision DESC
"""
KIND = "SELECT f.kind FROM feed AS f WHERE f.as_of = $1 AND f.source = $2 AND f.revision = $3"


def lines_of(
    buckets: str, source: str, links: str, columns: str = "as_of, revision, is_delta"
) -> str:
    """Return what gives the lines of a source's days, bucket by bucket: there they lie together.

    OFFSET holds the planner to it.
    """
    return f"""(SELECT o.*, c.* FROM generate_series({buckets}) AS b (bucket)
        CROSS JOIN unnest({links}) AS c (line_{columns.replace(", ", ", line_")})
        CROSS JOIN LATERAL (
            SELECT l.* FROM feed_line AS l
            WHERE l.bucket = b.bucket AND l.as_of = c.line_as_of AND l.source = {source}
              AND l.revision = c.line_revision OFFSET 0) AS o)"""


def last_lines(buckets: str, source: str, links: str) -> str:
    """Return what gives the lines that count on the last of days that stand on each other.

    A change to 0 leaves no line.
    """
    return f"""(SELECT t.* FROM (
        SELECT DISTINCT ON (l.bucket, l.member_id, l.asset_class, l.currency, l.account)
               l.bucket, l.member_id, l.asset_class, l.currency, l.account, l.balance_minor,
               l.line_is_delta
        FROM {lines_of(buckets, source, links)} AS l
        ORDER BY l.bucket, l.member_id, l.asset_class, l.currency, l.account, l.as_of DESC) AS t
        WHERE NOT (t.line_is_delta AND t.balance_minor = 0))"""


# A feed's own lines, and in their place those of the feed that it replaces.
_MOVED = """
SELECT b.bucket::smallint AS bucket, m.member_id, m.asset_class, m.currency, m.moved
FROM generate_series($4::int, $5::int) AS b (bucket) CROSS JOIN LATERAL (
    SELECT l.member_id, l.asset_class, l.currency,
           sum(CASE WHEN l.revision = $3 THEN greatest(l.balance_minor, 0)
               ELSE -greatest(l.balance_minor, 0) END)::bigint AS moved
    FROM feed_line AS l
    WHERE l.bucket = b.bucket AND l.as_of = $1 AND l.source = $2
      AND l.revision = ANY($6::int[])
    GROUP BY 1, 2, 3) AS m
"""
# Each line from its day until its key's next one, as it counts now and counted before ($9 is 1 and
# -1), of the days from $1 up to $3.
_HELD = f"""
SELECT l.bucket, l.member_id, l.asset_class, l.currency, l.account, l.as_of,
       l.line_sign * greatest(l.balance_minor, 0) AS balance_minor,
       lead(l.as_of, 1, $3::date) OVER (
           PARTITION BY l.line_sign, l.bucket, l.member_id, l.asset_class, l.currency, l.account
           ORDER BY l.as_of) AS until
FROM {
    lines_of(
        "$4::int, $5::int",
        "$2",
        "$6::date[], $8::int[], $9::int[]",
        "as_of, revision, sign",
    )
} AS l
"""
_DAYS = "greatest(least(l.until, {1}) - greatest(l.as_of, {0}), 0)"
# A sum may stay where its days change: what one account has more another had on other days.
_MOVED_ON = f"""
SELECT a.bucket, a.member_id, a.asset_class, a.currency, sum(a.moved)::bigint AS moved,
       bool_or(a.moved <> 0) AS is_changed
FROM (SELECT l.bucket, l.member_id, l.asset_class, l.currency, l.account,
             sum(l.balance_minor * {_DAYS.format("$1::date", "$3::date")}) AS moved
      FROM ({_HELD}) AS l GROUP BY 1, 2, 3, 4, 5) AS a
GROUP BY 1, 2, 3, 4
"""
_FIRST = "greatest($1::date, k.month + k.first_day - 1)"
_PAST = "least($3::date, k.month + k.last_day)"
_MOVED_ON_IN = f"""
SELECT l.bucket, l.member_id, l.asset_class, l.currency, k.month, k.first_day, k.last_day,
       sum(l.balance_minor * {_DAYS.format(_FIRST, _PAST)})::bigint AS moved
FROM ({_HELD}) AS l JOIN stretch AS k
  ON k.month = date_trunc('month', $1::date)::date AND l.bucket < k.next_bucket
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""


def _add(moved: str) -> str:
    """Return what adds what is `moved` to month sums.

    A sum that moves down exists, and its difference would not pass the check of a new row.
    """
    return f"""
INSERT INTO asset_month (bucket, member_id, month, asset_class, currency, sum_minor, known_days,
                         before_minor, generation)
SELECT v.bucket, v.member_id, date_trunc('month', $1::date)::date, v.asset_class, v.currency,
       v.moved, 0, 0, $7
FROM ({moved}) AS v WHERE v.moved > 0
ON CONFLICT (bucket, member_id, month, asset_class, currency) DO UPDATE
SET sum_minor = asset_month.sum_minor + excluded.sum_minor,
    before_minor = asset_month.sum_minor, generation = excluded.generation
"""


def _take(moved: str, taken: str = "v.moved < 0") -> str:
    """Return what takes what is `moved` from month sums."""
    return f"""
UPDATE asset_month AS s
SET sum_minor = s.sum_minor + v.moved, before_minor = s.sum_minor, generation = $7
FROM ({moved}) AS v
WHERE {taken} AND s.bucket = v.bucket AND s.member_id = v.member_id
  AND s.month = date_trunc('month', $1::date)::date AND s.asset_class = v.asset_class
  AND s.currency = v.currency
"""


ADD_SUMS, ADD_SUMS_ON = _add(_MOVED), _add(_MOVED_ON)
TAKE_FROM_SUMS = _take(_MOVED)
TAKE_FROM_SUMS_ON = _take(_MOVED_ON, "v.moved <= 0 AND v.is_changed")
ADD_STRETCHES = stretches.add_fed(stretches.moved_in(_MOVED))
TAKE_FROM_STRETCHES = stretches.take_fed(stretches.moved_in(_MOVED))
ADD_STRETCHES_ON = stretches.add_fed(_MOVED_ON_IN)
TAKE_FROM_STRETCHES_ON = stretches.take_fed(_MOVED_ON_IN)
# The sums are looked up by key, one after the other: what the planner thinks of a table that is
# filled this very moment is no reason to read all of it.
BY_KEY = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
# What a day is filled with that has no lines of its own: those of an earlier day, as they were.
CARRY = f"""
INSERT INTO feed_line (bucket, as_of, source, revision, member_id, asset_class, currency, account,
                       balance_minor)
SELECT l.bucket, $1, $2, $3, l.member_id, l.asset_class, l.currency, l.account, l.balance_minor
FROM {last_lines("$4::int, $5::int", "$2", "$6::date[], $7::int[], $8::boolean[]")} AS l
"""
STANDING = f"""
SELECT l.currency, count(*) AS rows, sum(l.balance_minor)::bigint AS total
FROM {last_lines("$1::int, $2::int", "$3", "$4::date[], $5::int[], $6::boolean[]")} AS l
GROUP BY 1 ORDER BY 1
"""


class Moving(msgspec.Struct, frozen=True):
    """What moves sums: a feed's day and generation, what it changes, in which buckets."""

    key: FeedKey
    generation: int | None
    chain: Chain
    buckets: tuple[int, int]

    @property
    def values(self) -> Sequence[Any]:
        """The values that statements take where one day changes, or else all that do."""
        key, chain = self.key, self.chain
        if chain.is_plain:
            revisions = [link.revision for link in [*chain.now, *chain.before]]
            return (
                *(key.as_of, key.source, key.revision, *self.buckets),
                *(revisions, self.generation),
            )
        days, revisions, _ = columns([*chain.now, *chain.before])
        signs = [1] * len(chain.now) + [-1] * len(chain.before)
        return (
            *(key.as_of, key.source, chain.past, *self.buckets),
            *(days, self.generation, revisions, signs),
        )


def columns(links: Sequence[Link]) -> tuple[list[date], list[int], list[bool]]:
    """Return days as columns: their dates, their revisions, whether they are changes alone."""
    return (
        [link.as_of for link in links],
        [link.revision for link in links],
        [link.kind is FeedKind.DELTA for link in links],
    )


async def counting(
    conn: Connection, source: str, month: Month, at: datetime | None = None
) -> list[Link]:
    """Return what counts of a source's month, or what counted at an instant."""
    found = await rows(conn, COUNTING, month.start, month.end, source, at)
    return [msgspec.convert(row._asdict(), Link) for row in found]


async def of(conn: Connection, source: str, applied: Link) -> Chain:
    """Return what a feed changes that is being applied, or will be next."""
    return chain(applied, await counting(conn, source, Month.of(applied.as_of)))


async def move(conn: Connection, moving: Moving) -> None:
    """Move the sums of months and of stretches."""
    chain, values = moving.chain, moving.values
    has_stretches = await stretches.are_in(conn, [Month.of(chain.day).start])
    plain = chain.is_plain
    await run(conn, ADD_SUMS if plain else ADD_SUMS_ON, *values)
    if has_stretches:
        await run(conn, ADD_STRETCHES if plain else ADD_STRETCHES_ON, *values)
    if chain.before:
        await run(conn, BY_KEY)
        await run(conn, TAKE_FROM_SUMS if plain else TAKE_FROM_SUMS_ON, *values)
        if has_stretches:
            await run(conn, TAKE_FROM_STRETCHES if plain else TAKE_FROM_STRETCHES_ON, *values)


class Stood(msgspec.Struct, frozen=True):
    """A day by a revision, with all that it counted `at` an instant, or counts now."""

    source: str
    day: date
    revision: int
    at: datetime | None = None


async def _stood(conn: Connection, stood: Stood) -> list[Link]:
    """Return the days whose lines a day counted."""
    ((kind,),) = await rows(conn, KIND, stood.day, stood.source, stood.revision)
    last = Link(as_of=stood.day, revision=stood.revision, kind=FeedKind(kind))
    return stands_on(last, await counting(conn, stood.source, Month.of(stood.day), stood.at))


async def carry(conn: Connection, key: FeedKey, stood: Stood, buckets: tuple[int, int]) -> None:
    """Give a feed the lines that another day of its source counted."""
    values = (key.as_of, key.source, key.revision, *buckets)
    await run(conn, CARRY, *values, *columns(await _stood(conn, stood)))


async def standing(conn: Connection, stood: Stood) -> tuple[int, dict[str, int]]:
    """Return how many lines a day counts that stands on others, and their totals."""
    links = columns(await _stood(conn, stood))
    found = await rows(conn, STANDING, 0, BUCKETS - 1, stood.source, *links)
    return sum(row.rows for row in found), {row.currency: row.total for row in found}
