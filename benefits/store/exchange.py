"""What lines in other currencies come to, kept beside the month sums (A-4, A-7).

Each line is converted by itself: its balance in minor units times the factor of its date, half up.
A line without a rate comes to nothing and marks its day. Sums are folded anew from the rows of a
member's month wherever something other than a new feed changed them; a feed of a day that had
none only adds. Rates are used bucket by bucket, so the rate of a line depends on its bucket.
"""

from datetime import date

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


def _refold(asked: str) -> str:
    """Return what folds the months that are asked for anew; `asked` gives their keys.

    Rows are looked up by key, month by month.
    """
    return f"""
WITH asked AS MATERIALIZED (
    SELECT DISTINCT q.bucket, q.member_id, q.month, q.asset_class, q.currency FROM ({asked}) AS q
    JOIN currency AS c ON c.code = q.currency),
fed AS MATERIALIZED ({counting_feeds("(SELECT min(k.month) FROM asked AS k)")})
INSERT INTO asset_converted (bucket, member_id, month, asset_class, currency, sum_minor,
                             unrated_days, before_minor, before_unrated, generation)
SELECT k.bucket, k.member_id, k.month, k.asset_class, k.currency, s.*,
       coalesce((SELECT n.generation FROM feed AS n
                 WHERE n.state = 'APPLYING' AND n.next_bucket > k.bucket), 0)
FROM asked AS k CROSS JOIN LATERAL (
    SELECT coalesce(sum({amount("l")}) FILTER (WHERE l.is_now), 0),
           coalesce(bit_or({unrated("l")}) FILTER (WHERE l.is_now), 0),
           coalesce(sum({amount("l")}) FILTER (WHERE l.is_before), 0),
           coalesce(bit_or({unrated("l")}) FILTER (WHERE l.is_before), 0)
    FROM (
        (SELECT DISTINCT ON (a.as_of, a.source, a.account)
                a.bucket, a.as_of, a.currency, a.balance_minor, true AS is_now, true AS is_before
         FROM asset AS a
         WHERE a.bucket = k.bucket AND a.member_id = k.member_id AND a.as_of >= k.month
           AND a.as_of < (k.month + interval '1 month')::date
           AND a.asset_class = k.asset_class AND a.currency = k.currency
         ORDER BY a.as_of, a.source, a.account, a.revision DESC)
        UNION ALL
        SELECT l.bucket, l.as_of, l.currency, l.balance_minor,
               k.bucket >= c.first AND k.bucket < c.past, c.is_before
        FROM fed AS c
        JOIN feed_line AS l ON l.bucket = k.bucket AND l.as_of = c.as_of AND l.source = c.source
         AND l.revision = c.revision AND l.member_id = k.member_id
         AND l.asset_class = k.asset_class AND l.currency = k.currency
        WHERE c.as_of >= k.month AND c.as_of < (k.month + interval '1 month')::date) AS l
    LEFT JOIN LATERAL ({rate_of("l")}) AS u ON true) AS s
ON CONFLICT (bucket, month, currency, member_id, asset_class) DO UPDATE
SET sum_minor = excluded.sum_minor, unrated_days = excluded.unrated_days,
    before_minor = excluded.before_minor, before_unrated = excluded.before_unrated,
    generation = excluded.generation
"""


REFOLD_STAGED = _refold(
    "SELECT s.bucket, s.member_id, date_trunc('month', s.as_of)::date AS month, s.asset_class, "
    "s.currency FROM staged AS s"
)
REFOLD_FED = _refold("""
    SELECT l.bucket, l.member_id, date_trunc('month', l.as_of)::date AS month, l.asset_class,
           l.currency
    FROM feed_line AS l
    WHERE l.bucket BETWEEN $1 AND $2 AND l.as_of = $3 AND l.source = $4
      AND l.revision = ANY($5::int[])""")
REFOLD_MONTHS = _refold("""
    SELECT m.bucket, m.member_id, m.month, m.asset_class, m.currency FROM asset_converted AS m
    WHERE m.bucket BETWEEN $1 AND $2 AND m.month = ANY($3::date[])
      AND m.currency = ANY($4::text[])""")
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


async def refold_staged(conn: Connection) -> None:
    """Fold the months anew of the lines that an import has staged and kept."""
    await run(conn, MARK_STAGED)
    await run(conn, REFOLD_STAGED)


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


async def refold_fed(
    conn: Connection,
    feed: tuple[date, str, list[int]],
    buckets: tuple[int, int],
    currencies: list[str],
) -> None:
    """Fold the months anew of members who stand in a feed or in the one it replaces."""
    as_of, source, revisions = feed
    await run(conn, MARK, as_of, currencies)
    await run(conn, REFOLD_FED, *buckets, as_of, source, revisions)


async def refold_months(
    conn: Connection,
    months: list[date],
    currencies: list[str],
    buckets: tuple[int, int],
) -> None:
    """Fold months of some currencies anew."""
    await run(conn, REFOLD_MONTHS, *buckets, months, currencies)
