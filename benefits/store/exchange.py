"""What lines in other currencies come to, kept beside the sums of months and stretches (A-4, A-7).

Each line is converted by itself: its balance in minor units times the factor of its date, half up.
A line without a rate comes to nothing and marks its day. Sums are folded anew from the rows of a
member's month wherever something other than a new feed changed them; a feed of a day that had
none only adds. Rates are used bucket by bucket, so the rate of a line depends on its bucket.
So it is with the stretches of a month that are kept; their marked days are the month's.
"""

from datetime import date
from typing import NamedTuple

from benefits.store import stretches
from benefits.store.db import Connection, rows, run


def rate_of(line: str) -> str:
    """Return what gives the rate that a line is converted with, of an alias with its bucket.

    Primary keys of rate_used and rate_run, backwards.
    """
    return f"""SELECT u.factor, u.rate, u.per, u.rate_date FROM rate_used AS u
    WHERE u.currency = {line}.currency AND u.as_of = {line}.as_of AND u.generation <= (
        SELECT max(r.generation) FROM rate_run AS r WHERE r.next_bucket > {line}.bucket)
    ORDER BY u.generation DESC LIMIT 1"""


def amount(line: str) -> str:
    """Return what a line comes to with the rate `u`; a negative balance to nothing (A-8)."""
    return f"coalesce(round(greatest({line}.balance_minor, 0) * u.factor), 0)"


def unrated(line: str) -> str:
    """Return the bit of the line's day where it has no rate `u`; nothing has none to have."""
    return f"""CASE WHEN u.factor IS NULL AND {line}.balance_minor > 0
        THEN 1 << (extract(day FROM {line}.as_of)::int - 1) ELSE 0 END"""


def counting_feeds(first: str) -> str:
    """Return what gives the revisions that count from a day on, now and before.

    Of a source's day the sealed one counts before, and now the one that is being applied in the
    buckets from `first` up to the `past` one where it is already.
    """
    return f"""(SELECT DISTINCT ON (f.as_of, f.source) f.as_of, f.source, f.revision,
            true AS is_before, coalesce(n.next_bucket, 0)::int AS first, 1024 AS past
     FROM feed AS f
     LEFT JOIN feed AS n ON n.state = 'APPLYING' AND n.as_of = f.as_of AND n.source = f.source
     WHERE f.state = 'SEALED' AND f.as_of >= {first}
     ORDER BY f.as_of, f.source, f.revision DESC)
    UNION ALL
    SELECT n.as_of, n.source, n.revision, false, 0, n.next_bucket FROM feed AS n
    WHERE n.state = 'APPLYING'"""


def _months(asked: str) -> str:
    """Return what is folded of months that are asked for: their keys and days."""
    return f"""
    SELECT DISTINCT q.bucket, q.member_id, q.month, q.asset_class, q.currency, q.month AS first,
           (q.month + interval '1 month')::date AS past
    FROM ({asked}) AS q JOIN currency AS c ON c.code = q.currency"""


def _stretches(asked: str) -> str:
    """Return what is folded of the stretches of months that are asked for, where they are kept."""
    return f"""
    SELECT DISTINCT q.bucket, q.member_id, q.month, q.asset_class, q.currency,
           q.month + (k.first_day - 1) AS first, q.month + k.last_day AS past
    FROM ({asked}) AS q JOIN currency AS c ON c.code = q.currency
    JOIN stretch AS k ON k.month = q.month AND q.bucket < k.folded_bucket"""


def _folded(pieces: str) -> str:
    """Return what folds pieces from their rows, which are looked up by key, piece by piece."""
    return f"""
WITH asked AS MATERIALIZED ({pieces}),
fed AS MATERIALIZED ({counting_feeds("(SELECT min(k.first) FROM asked AS k)")}),
folded AS (
    SELECT k.*, s.*,
           coalesce((SELECT n.generation FROM feed AS n
                     WHERE n.state = 'APPLYING' AND n.next_bucket > k.bucket), 0) AS generation
    FROM asked AS k CROSS JOIN LATERAL (
    SELECT coalesce(sum({amount("l")}) FILTER (WHERE l.is_now), 0) AS sum_minor,
           coalesce(bit_or({unrated("l")}) FILTER (WHERE l.is_now), 0) AS unrated_days,
           coalesce(sum({amount("l")}) FILTER (WHERE l.is_before), 0) AS before_minor,
           coalesce(bit_or({unrated("l")}) FILTER (WHERE l.is_before), 0) AS before_unrated
    FROM (
        (SELECT DISTINCT ON (a.as_of, a.source, a.account)
                a.bucket, a.as_of, a.currency, a.balance_minor, true AS is_now, true AS is_before
         FROM asset AS a
         WHERE a.bucket = k.bucket AND a.member_id = k.member_id AND a.as_of >= k.first
           AND a.as_of < k.past
           AND a.asset_class = k.asset_class AND a.currency = k.currency
         ORDER BY a.as_of, a.source, a.account, a.revision DESC)
        UNION ALL
        SELECT l.bucket, l.as_of, l.currency, l.balance_minor,
               k.bucket >= c.first AND k.bucket < c.past, c.is_before
        FROM fed AS c
        JOIN feed_line AS l ON l.bucket = k.bucket AND l.as_of = c.as_of AND l.source = c.source
         AND l.revision = c.revision AND l.member_id = k.member_id
         AND l.asset_class = k.asset_class AND l.currency = k.currency
        WHERE c.as_of >= k.first AND c.as_of < k.past) AS l
    LEFT JOIN LATERAL ({rate_of("l")}) AS u ON true) AS s)
"""


class Refold(NamedTuple):
    """What folds sums of months anew, and those of their stretches."""

    months: str
    stretches: str


def _refold(asked: str) -> Refold:
    """Return what folds the months that are asked for anew; `asked` gives their keys."""
    return Refold(
        f"""{_folded(_months(asked))}
INSERT INTO asset_converted (bucket, member_id, month, asset_class, currency, sum_minor,
                             unrated_days, before_minor, before_unrated, generation)
SELECT f.bucket, f.member_id, f.month, f.asset_class, f.currency, f.sum_minor, f.unrated_days,
       f.before_minor, f.before_unrated, f.generation
FROM folded AS f
ON CONFLICT (bucket, month, currency, member_id, asset_class) DO UPDATE
SET sum_minor = excluded.sum_minor, unrated_days = excluded.unrated_days,
    before_minor = excluded.before_minor, before_unrated = excluded.before_unrated,
    generation = excluded.generation
""",
        f"""{_folded(_stretches(asked))}
INSERT INTO asset_stretch_folded (bucket, member_id, month, first_day, last_day, asset_class,
                                  currency, kind, sum_minor, before_minor, generation)
SELECT f.bucket, f.member_id, f.month, f.first - f.month + 1, f.past - f.month, f.asset_class,
       f.currency, 'CONVERTED', f.sum_minor, f.before_minor, f.generation
FROM folded AS f
ON CONFLICT (bucket, member_id, month, first_day, last_day, asset_class, currency, kind)
DO UPDATE SET sum_minor = excluded.sum_minor, before_minor = excluded.before_minor,
    generation = excluded.generation
""",
    )


STAGED = _refold(
    "SELECT s.bucket, s.member_id, date_trunc('month', s.as_of)::date AS month, s.asset_class, "
    "s.currency FROM staged AS s"
)
FED = _refold("""
    SELECT l.bucket, l.member_id, date_trunc('month', l.as_of)::date AS month, l.asset_class,
           l.currency
    FROM feed_line AS l
    WHERE l.bucket BETWEEN $1 AND $2 AND l.as_of = $3 AND l.source = $4
      AND l.revision = ANY($5::int[])""")
RATED = _refold("""
    SELECT m.bucket, m.member_id, m.month, m.asset_class, m.currency FROM asset_converted AS m
    WHERE m.bucket BETWEEN $1 AND $2 AND m.month = ANY($3::date[])
      AND m.currency = ANY($4::text[])""")
FILL_STRETCHES = _refold("""
    SELECT m.bucket, m.member_id, m.month, m.asset_class, m.currency FROM asset_converted AS m
    WHERE m.bucket BETWEEN $1 AND $2 AND m.month = $3""").stretches
# Primary key of feed_line, as for the sums themselves.
ADD_FED = f"""
INSERT INTO asset_converted (bucket, member_id, month, asset_class, currency, sum_minor,
                             unrated_days, before_minor, before_unrated, generation)
SELECT l.bucket, l.member_id, date_trunc('month', $3::date)::date, l.asset_class, l.currency,
       sum({amount("l")}), bit_or({unrated("l")}), 0, 0, $6
FROM feed_line AS l
JOIN currency AS c ON c.code = l.currency
LEFT JOIN LATERAL ({rate_of("l")}) AS u ON true
WHERE l.bucket BETWEEN $1 AND $2 AND l.as_of = $3 AND l.source = $4 AND l.revision = $5
  AND l.balance_minor > 0
GROUP BY 1, 2, 4, 5
ON CONFLICT (bucket, month, currency, member_id, asset_class) DO UPDATE
SET sum_minor = asset_converted.sum_minor + excluded.sum_minor,
    unrated_days = asset_converted.unrated_days | excluded.unrated_days,
    before_minor = asset_converted.sum_minor, before_unrated = asset_converted.unrated_days,
    generation = excluded.generation
"""
ADD_FED_STRETCHES = f"""
INSERT INTO asset_stretch_folded (bucket, member_id, month, first_day, last_day, asset_class,
                                  currency, kind, sum_minor, before_minor, generation)
SELECT l.bucket, l.member_id, k.month, k.first_day, k.last_day, l.asset_class, l.currency,
       'CONVERTED', sum({amount("l")}), 0, $6
FROM feed_line AS l
JOIN currency AS c ON c.code = l.currency
JOIN stretch AS k ON {stretches.folds("$3::date", "l.bucket")}
LEFT JOIN LATERAL ({rate_of("l")}) AS u ON true
WHERE l.bucket BETWEEN $1 AND $2 AND l.as_of = $3 AND l.source = $4 AND l.revision = $5
  AND l.balance_minor > 0
GROUP BY 1, 2, 3, 4, 5, 6, 7
ON CONFLICT (bucket, member_id, month, first_day, last_day, asset_class, currency, kind)
DO UPDATE SET sum_minor = asset_stretch_folded.sum_minor + excluded.sum_minor,
    before_minor = asset_stretch_folded.sum_minor, generation = excluded.generation
"""
CONVERTED = "SELECT c.code FROM currency AS c ORDER BY 1"
MARK_STAGED = """
INSERT INTO currency_day (currency, as_of)
SELECT DISTINCT s.currency, s.as_of FROM staged AS s JOIN currency AS c ON c.code = s.currency
ON CONFLICT (currency, as_of) DO NOTHING
"""
MARK = """
INSERT INTO currency_day (currency, as_of) SELECT c.code, $1 FROM unnest($2::text[]) AS c (code)
ON CONFLICT (currency, as_of) DO NOTHING
"""


async def converted(conn: Connection) -> list[str]:
    """Return the currencies that are converted."""
    return [row.code for row in await rows(conn, CONVERTED)]


async def refold_staged(conn: Connection, months: list[date]) -> None:
    """Fold the months anew of the lines that an import has staged and kept."""
    await run(conn, MARK_STAGED)
    await _run(conn, STAGED, months)


async def add_fed(
    conn: Connection,
    feed: tuple[date, str, int],
    buckets: tuple[int, int],
    currencies: list[str],
    *,
    generation: int | None,
) -> None:
    """Add the lines of a feed, in some currencies, that is the first of its day."""
    as_of, source, revision = feed
    await run(conn, MARK, as_of, currencies)
    await run(conn, ADD_FED, *buckets, as_of, source, revision, generation)
    if await stretches.are_folded(conn, [as_of.replace(day=1)]):
        await run(conn, ADD_FED_STRETCHES, *buckets, as_of, source, revision, generation)


async def refold_fed(
    conn: Connection,
    feed: tuple[date, str, list[int]],
    buckets: tuple[int, int],
    currencies: list[str],
) -> None:
    """Fold the months anew of members who stand in a feed or in the one it replaces."""
    as_of, source, revisions = feed
    await run(conn, MARK, as_of, currencies)
    await _run(conn, FED, [as_of.replace(day=1)], *buckets, as_of, source, revisions)


async def refold_months(
    conn: Connection,
    months: list[date],
    currencies: list[str],
    buckets: tuple[int, int],
) -> None:
    """Fold months of some currencies anew."""
    await _run(conn, RATED, months, *buckets, months, currencies)


async def fill_stretches(conn: Connection, month: date, buckets: tuple[int, int]) -> None:
    """Fold the stretches of a month that are kept in some buckets."""
    await run(conn, FILL_STRETCHES, *buckets, month)


async def _run(conn: Connection, refold: Refold, months: list[date], *values: object) -> None:
    await run(conn, refold.months, *values)
    if await stretches.are_folded(conn, months):
        await run(conn, refold.stretches, *values)
