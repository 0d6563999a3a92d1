"""What lines in other currencies come to, kept beside the sums of months and stretches (A-4, A-7).

Each line is converted by itself: its balance in minor units times the factor of its date, half up.
A line without a rate comes to nothing and marks its day. Sums are folded anew from the rows of a
member's month wherever something other than a new feed changed them; a feed of a day that had
none only adds. Rates are used bucket by bucket, so the rate of a line depends on its bucket.
So it is with the stretches of a month that are kept; their marked days are the month's.
"""

from datetime import date
from typing import NamedTuple

from benefits.domain.chains import Chain
from benefits.store import stretches
from benefits.store.chains import columns, last_lines, lines_of
from benefits.store.db import Connection, rows, run
from benefits.store.sealed import HIGHEST, chained


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


_BEFORE = chained(HIGHEST.format("AND f.as_of >= {0}"))
# One at most is being applied: uq_feed_applying.
_NOW = chained("""
    SELECT DISTINCT ON (f.as_of) f.as_of, f.source, f.revision, f.kind, n.next_bucket
    FROM feed AS n
    JOIN feed AS f ON f.source = n.source AND f.as_of >= date_trunc('month', n.as_of)
     AND f.as_of < date_trunc('month', n.as_of) + interval '1 month'
     AND (f.state = 'APPLYING' OR f.state = 'SEALED' AND f.as_of <> n.as_of)
    WHERE n.state = 'APPLYING' AND (f.as_of = n.as_of OR EXISTS (
        SELECT FROM feed AS d
        WHERE d.source = n.source AND d.kind = 'DELTA' AND d.state IN ('APPLYING', 'SEALED')
          AND d.as_of >= date_trunc('month', n.as_of)
          AND d.as_of < date_trunc('month', n.as_of) + interval '1 month'))
    ORDER BY f.as_of, f.revision DESC""")


def counting_feeds(first: str) -> str:
    """Return what gives the revisions that count from a month's first day on, now and before.

    Of a source's day the sealed one counts before. A feed that is being applied counts now, in
    the buckets from `first` up to the `past` one where it is already; and where days of its month
    stand on each other, all of them stand otherwise there.
    """
    return f"""(
     SELECT b.as_of, b.source, b.revision, b.kind, b.chain, b.until, true AS is_before,
            coalesce(n.next_bucket, 0)::int AS first, 1024 AS past
     FROM ({_BEFORE.format(first)}) AS b
     LEFT JOIN ({_NOW}) AS n ON n.source = b.source AND n.as_of = b.as_of)
    UNION ALL
    SELECT n.as_of, n.source, n.revision, n.kind, n.chain, n.until, false, 0, n.next_bucket
    FROM ({_NOW}) AS n"""


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
fed AS MATERIALIZED ({counting_feeds("(SELECT min(k.month) FROM asked AS k)")}),
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
        SELECT t.bucket, t.as_of + n.day, t.currency, t.balance_minor, t.is_now, t.is_before
        FROM (SELECT l.bucket, l.as_of, l.currency, l.balance_minor, c.is_before,
                     k.bucket >= c.first AND k.bucket < c.past AS is_now,
                     lead(l.as_of, 1, c.until) OVER (
                         PARTITION BY c.is_before, c.source, c.chain, l.account
                         ORDER BY l.as_of) AS until
              FROM fed AS c
              JOIN feed_line AS l ON l.bucket = k.bucket AND l.as_of = c.as_of
               AND l.source = c.source AND l.revision = c.revision AND l.member_id = k.member_id
               AND l.asset_class = k.asset_class AND l.currency = k.currency
              WHERE c.as_of >= k.month AND c.as_of < k.past) AS t
        CROSS JOIN generate_series(greatest(k.first - t.as_of, 0),
                                   least(t.until, k.past) - t.as_of - 1) AS n (day)) AS l
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
FED = _refold(
    """
    SELECT l.bucket, l.member_id, date_trunc('month', l.as_of)::date AS month, l.asset_class,
           l.currency
    FROM """
    + lines_of("$1::int, $2::int", "$3", "$4::date[], $5::int[], $6::boolean[]")
    + " AS l"
)
RATED = _refold("""
    SELECT m.bucket, m.member_id, m.month, m.asset_class, m.currency FROM asset_converted AS m
    WHERE m.bucket BETWEEN $1 AND $2 AND m.month = ANY($3::date[])
      AND m.currency = ANY($4::text[])""")
FILL_STRETCHES = _refold("""
    SELECT m.bucket, m.member_id, m.month, m.asset_class, m.currency FROM asset_converted AS m
    WHERE m.bucket BETWEEN $1 AND $2 AND m.month = $3""").stretches
# What a day counts of other currencies, day $7. Primary key of feed_line, as for the sums
# themselves. Of days that stand on each other each key's last line.
_DAY = f"""(
    SELECT t.*, $7::date AS as_of
    FROM {last_lines("$1::int, $2::int", "$3", "$4::date[], $5::int[], $6::boolean[]")} AS t
    JOIN currency AS c ON c.code = t.currency
    WHERE t.balance_minor > 0)"""
ADD_FED = f"""
INSERT INTO asset_converted (bucket, member_id, month, asset_class, currency, sum_minor,
                             unrated_days, before_minor, before_unrated, generation)
SELECT l.bucket, l.member_id, date_trunc('month', $7::date)::date, l.asset_class, l.currency,
       sum({amount("l")}), bit_or({unrated("l")}), 0, 0, $8
FROM {_DAY} AS l
LEFT JOIN LATERAL ({rate_of("l")}) AS u ON true
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
       'CONVERTED', sum({amount("l")}), 0, $8
FROM {_DAY} AS l
JOIN stretch AS k ON {stretches.folds("l.as_of", "l.bucket")}
LEFT JOIN LATERAL ({rate_of("l")}) AS u ON true
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
INSERT INTO currency_day (currency, as_of)
SELECT c.code, d.day FROM unnest($1::text[]) AS c (code), unnest($2::date[]) AS d (day)
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
    source: str,
    chain: Chain,
    buckets: tuple[int, int],
    *,
    currencies: list[str],
    generation: int | None,
) -> None:
    """Add the lines, in some currencies, of a feed that is the first of its day."""
    await run(conn, MARK, currencies, chain.days)
    values = (*buckets, source, *columns(chain.now), chain.day, generation)
    await run(conn, ADD_FED, *values)
    if await stretches.are_folded(conn, [chain.day.replace(day=1)]):
        await run(conn, ADD_FED_STRETCHES, *values)


async def refold_fed(
    conn: Connection,
    source: str,
    chain: Chain,
    buckets: tuple[int, int],
    *,
    currencies: list[str],
) -> None:
    """Fold the months anew of members who stand in a feed or in the one it replaces."""
    await run(conn, MARK, currencies, chain.days)
    months = [chain.day.replace(day=1)]
    await _run(conn, FED, months, *buckets, source, *columns(chain.up_to_day))


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
