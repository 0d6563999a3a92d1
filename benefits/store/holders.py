"""Who holds an account, and what joint accounts change in the sums of months and stretches (A-5).

Beside a row of `asset_month` stands, for each policy, what its lines of joint accounts add for the
member: the shares of what others and they brought, less what was brought for them. It is folded
anew from the rows whenever a line, a rate or a holder of such an account changes. In a converted
currency it is in the programmes' own. So it is with the stretches of a month that are kept.

A line is of a joint account when it was brought for somebody who was ever named as its holder and
somebody holds it on its day. Where it is brought for several, it counts once.
"""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from benefits.domain.chains import Chain
from benefits.domain.holders import HolderLine
from benefits.domain.values import EPOCH, bucket_of
from benefits.store.chains import columns, lines_of
from benefits.store.db import Connection, rows, run
from benefits.store.exchange import amount, counting_feeds, rate_of, unrated
from benefits.store.stretches import folds

POLICIES = ("FULL_TO_EACH", "PRIMARY_ONLY", "SPLIT_EQUAL")
# Who holds the account of a line `l` on its day, the primary holder first. Whoever was merged is
# named as ever, but it is another who holds.
_HOLDERS = """SELECT array_agg(e.member_id ORDER BY e.role = 'PRIMARY' DESC, e.member_id)
               AS holders
        FROM (SELECT DISTINCT ON (d.member_id) d.member_id, d.role FROM (
                  SELECT DISTINCT ON (o.member_id, o.valid_from) o.member_id, o.role,
                         o.valid_from, o.valid_to
                  FROM account_holder AS o
                  JOIN member AS m ON m.bucket = o.bucket AND m.member_id = o.member_id
                  WHERE o.bucket BETWEEN 0 AND 1023 AND o.account = l.account
                    AND m.merged_into IS NULL
                  ORDER BY o.member_id, o.valid_from, o.recorded_at DESC) AS d
              WHERE d.valid_from <= l.as_of AND (d.valid_to IS NULL OR d.valid_to > l.as_of)
              ORDER BY d.member_id, d.valid_from DESC) AS e"""
# The lines of accounts, by the keys of those who were ever named as their holders.
_LINES = """lines AS (
    SELECT n.whose_bucket, n.whose, n.account, n.bucket, n.member_id, b.*
    FROM named AS n CROSS JOIN LATERAL (
        (SELECT DISTINCT ON (a.as_of, a.asset_class, a.currency, a.source)
                a.as_of, a.asset_class, a.currency, a.source, a.balance_minor,
                1 << (extract(day FROM a.as_of)::int - 1) AS known, true AS is_now,
                true AS is_before
         FROM asset AS a
         WHERE a.bucket = n.bucket AND a.member_id = n.member_id AND a.account = n.account
           AND a.as_of >= n.first AND a.as_of < n.past
         ORDER BY a.as_of, a.asset_class, a.currency, a.source, a.revision DESC)
        UNION ALL
        SELECT t.as_of + d.day, t.asset_class, t.currency, t.source, t.balance_minor, 0, t.is_now,
               t.is_before
        FROM (SELECT l.as_of, l.asset_class, l.currency, l.source, l.balance_minor, c.is_before,
                     c.kind = 'DELTA' AND l.balance_minor = 0 AS is_gone,
                     n.bucket >= c.first AND n.bucket < c.past AS is_now,
                     lead(l.as_of, 1, c.until) OVER (
                         PARTITION BY c.is_before, c.source, c.chain, l.asset_class, l.currency
                         ORDER BY l.as_of) AS until
              FROM fed AS c
              JOIN feed_line AS l ON l.bucket = n.bucket AND l.as_of = c.as_of
               AND l.source = c.source AND l.revision = c.revision AND l.member_id = n.member_id
               AND l.account = n.account
              WHERE c.as_of >= date_trunc('month', n.first) AND c.as_of < n.past) AS t
        CROSS JOIN generate_series(0, t.until - t.as_of - 1) AS d (day)
        WHERE NOT t.is_gone AND t.as_of + d.day >= n.first AND t.as_of + d.day < n.past) AS b),
"""
# What each comes to, in its own currency or converted.
_VALUED = f"""valued AS (
    SELECT l.*, CASE WHEN y.code IS NULL THEN greatest(l.balance_minor, 0) ELSE {amount("l")} END
               AS amount,
           CASE WHEN y.code IS NULL THEN 0 ELSE {unrated("l")} END AS unrated
    FROM held AS l
    LEFT JOIN currency AS y ON y.code = l.currency
    LEFT JOIN LATERAL ({rate_of("l")}) AS u ON y.code IS NOT NULL)
"""


_FIRST = "(SELECT date_trunc('month', min(k.first)) FROM asked AS k)"


def shares(asked: str) -> str:
    """Return what gives each share of each line, as it is now and as it was before a feed.

    `asked` gives members with the first and the past day of what is wanted.
    """
    return f"""
WITH asked AS MATERIALIZED ({asked}),
fed AS MATERIALIZED ({counting_feeds(_FIRST)}),
named AS MATERIALIZED (
    SELECT DISTINCT k.bucket AS whose_bucket, k.member_id AS whose, k.first, k.past, h.account,
           o.bucket, o.member_id
    FROM asked AS k
    JOIN account_holder AS h ON h.bucket = k.bucket AND h.member_id = k.member_id
    JOIN account_holder AS o ON o.bucket BETWEEN 0 AND 1023 AND o.account = h.account),
{_LINES}held AS (
    SELECT l.*, w.is_before AS before, v.holders, cardinality(v.holders) AS several,
           row_number() OVER (
               PARTITION BY l.whose, w.is_before, l.account, l.as_of, l.asset_class, l.currency,
                            l.source
               ORDER BY coalesce(o.merged_into, l.member_id) <> v.holders[1], l.member_id) AS nth
    FROM lines AS l
    JOIN member AS o ON o.bucket = l.bucket AND o.member_id = l.member_id
    JOIN (VALUES (true), (false)) AS w (is_before)
      ON CASE WHEN w.is_before THEN l.is_before ELSE l.is_now END
    CROSS JOIN LATERAL (
        {_HOLDERS}) AS v
    WHERE v.holders IS NOT NULL),
{_VALUED}SELECT l.whose_bucket AS bucket, l.whose AS member_id, l.as_of, l.asset_class, l.currency,
       p.joint, l.before,
       CASE WHEN NOT s.counts THEN 0
            WHEN p.joint = 'SPLIT_EQUAL' THEN div(l.amount, l.several) + CASE
                WHEN l.whose = l.holders[1] THEN mod(l.amount, l.several) ELSE 0 END
            ELSE l.amount END
           - CASE WHEN l.whose = l.member_id THEN l.amount ELSE 0 END AS amount,
       CASE WHEN s.counts THEN l.known ELSE 0 END AS known,
       CASE WHEN s.counts THEN l.unrated ELSE 0 END AS unrated
FROM valued AS l
CROSS JOIN (VALUES ('FULL_TO_EACH'), ('PRIMARY_ONLY'), ('SPLIT_EQUAL')) AS p (joint)
CROSS JOIN LATERAL (
    SELECT l.nth = 1 AND CASE WHEN p.joint = 'PRIMARY_ONLY' THEN l.whose = l.holders[1]
                         ELSE l.whose = ANY(l.holders) END AS counts) AS s
"""


# Everybody who was ever named as a holder of an account of `h`.
_CO_HOLDERS = "JOIN account_holder AS o ON o.bucket BETWEEN 0 AND 1023 AND o.account = h.account"
TOUCHED = """
CREATE TEMP TABLE touched (bucket smallint, member_id uuid, month date) ON COMMIT DROP
"""
TOUCHED_STAGED = f"""
INSERT INTO touched
SELECT DISTINCT o.bucket, o.member_id, date_trunc('month', s.as_of)::date
FROM staged AS s
JOIN account_holder AS h ON h.bucket = s.bucket AND h.member_id = s.member_id
 AND h.account = s.account
{_CO_HOLDERS}
"""
TOUCHED_FED = f"""
INSERT INTO touched
SELECT DISTINCT o.bucket, o.member_id, date_trunc('month', l.as_of)::date
FROM {lines_of("$1::int, $2::int", "$3", "$4::date[], $5::int[], $6::boolean[]")} AS l
JOIN account_holder AS h ON h.bucket = l.bucket AND h.member_id = l.member_id
 AND h.account = l.account
{_CO_HOLDERS}
"""
TOUCHED_RATED = f"""
INSERT INTO touched
SELECT DISTINCT o.bucket, o.member_id, j.month
FROM asset_joint AS j
JOIN account_holder AS h ON h.bucket = j.bucket AND h.member_id = j.member_id
{_CO_HOLDERS}
WHERE j.bucket BETWEEN $1 AND $2 AND j.month = ANY($3::date[]) AND j.currency = ANY($4::text[])
"""
TOUCHED_FILLED = """
INSERT INTO touched
SELECT DISTINCT j.bucket, j.member_id, j.month FROM asset_joint AS j
WHERE j.bucket BETWEEN $1 AND $2 AND j.month = $3
"""
# Who is named for the first time makes all lines brought for them the account's, those of months
# before, too.
TOUCHED_HELD = """
INSERT INTO touched
SELECT DISTINCT o.bucket, o.member_id, m.month
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::date[])
     AS n (bucket, member_id, account, month)
JOIN account_holder AS h ON h.bucket BETWEEN 0 AND 1023 AND h.account = n.account
JOIN account_holder AS o ON o.bucket BETWEEN 0 AND 1023 AND o.account = n.account
JOIN asset_month AS m ON m.bucket = h.bucket AND m.member_id = h.member_id
 AND (m.month >= n.month OR NOT EXISTS (
     SELECT FROM account_holder AS e
     WHERE e.bucket = n.bucket AND e.member_id = n.member_id AND e.account = n.account
       AND e.recorded_at < $5))
"""
SHARES = shares("""
    SELECT t.bucket, t.member_id, t.month AS first, (t.month + interval '1 month')::date AS past
    FROM touched AS t""")
# Of all holders in some buckets, for whomever anything was brought on any day.
HELD_SHARES = shares("""
    SELECT DISTINCT h.bucket, h.member_id, date '1970-01-01' AS first, date '9999-01-01' AS past
    FROM account_holder AS h WHERE h.bucket BETWEEN $1 AND $2""")
REFOLD = f"""
WITH folded AS (
    SELECT s.bucket, s.member_id, date_trunc('month', s.as_of)::date AS month, s.asset_class,
           s.currency, s.joint, sum(s.amount) FILTER (WHERE NOT s.before) AS sum_minor,
           bit_or(s.known) AS known_days, bit_or(s.unrated) FILTER (WHERE NOT s.before) AS unrated,
           sum(s.amount) FILTER (WHERE s.before) AS before_minor,
           bit_or(s.unrated) FILTER (WHERE s.before) AS before_unrated
    FROM ({SHARES}) AS s GROUP BY 1, 2, 3, 4, 5, 6),
kept AS (
    SELECT j.bucket, j.member_id, j.month, j.asset_class, j.currency, j.joint
    FROM (SELECT DISTINCT t.* FROM touched AS t) AS k
    JOIN asset_joint AS j ON j.bucket = k.bucket AND j.member_id = k.member_id
     AND j.month = k.month)
INSERT INTO asset_joint (bucket, member_id, month, asset_class, currency, joint, sum_minor,
                         known_days, unrated_days, before_minor, before_unrated, generation)
SELECT bucket, member_id, month, asset_class, currency, joint, coalesce(f.sum_minor, 0),
       coalesce(f.known_days, 0), coalesce(f.unrated, 0), coalesce(f.before_minor, 0),
       coalesce(f.before_unrated, 0),
       coalesce((SELECT n.generation FROM feed AS n WHERE n.state = 'APPLYING'), 0)
FROM kept AS k FULL JOIN folded AS f
  USING (bucket, member_id, month, asset_class, currency, joint)
ON CONFLICT (bucket, member_id, month, asset_class, currency, joint) DO UPDATE
SET sum_minor = excluded.sum_minor, known_days = excluded.known_days,
    unrated_days = excluded.unrated_days, before_minor = excluded.before_minor,
    before_unrated = excluded.before_unrated, generation = excluded.generation
"""
IS_FOLDED = """
SELECT EXISTS (SELECT FROM touched AS t JOIN stretch AS k
               ON k.month = t.month AND t.bucket < k.folded_bucket) AS is_folded
"""
REFOLD_STRETCHES = f"""
WITH folded AS (
    SELECT s.bucket, s.member_id, k.month, k.first_day, k.last_day, s.asset_class, s.currency,
           s.joint AS kind, sum(s.amount) FILTER (WHERE NOT s.before) AS sum_minor,
           sum(s.amount) FILTER (WHERE s.before) AS before_minor
    FROM ({SHARES}) AS s JOIN stretch AS k ON {folds("s.as_of", "s.bucket")}
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8),
kept AS (
    SELECT j.bucket, j.member_id, j.month, j.first_day, j.last_day, j.asset_class, j.currency,
           j.kind
    FROM (SELECT DISTINCT t.* FROM touched AS t) AS k
    JOIN asset_stretch_folded AS j ON j.bucket = k.bucket AND j.member_id = k.member_id
     AND j.month = k.month AND j.kind <> 'CONVERTED')
INSERT INTO asset_stretch_folded (bucket, member_id, month, first_day, last_day, asset_class,
                                  currency, kind, sum_minor, before_minor, generation)
SELECT bucket, member_id, month, first_day, last_day, asset_class, currency, kind,
       coalesce(f.sum_minor, 0), coalesce(f.before_minor, 0),
       coalesce((SELECT n.generation FROM feed AS n WHERE n.state = 'APPLYING'), 0)
FROM kept AS k FULL JOIN folded AS f
  USING (bucket, member_id, month, first_day, last_day, asset_class, currency, kind)
ON CONFLICT (bucket, member_id, month, first_day, last_day, asset_class, currency, kind)
DO UPDATE SET sum_minor = excluded.sum_minor, before_minor = excluded.before_minor,
    generation = excluded.generation
"""
# Sums are read from the month's row on: a holder for whom nothing was brought has one, too.
MAKE_MONTHS = """
INSERT INTO asset_month (bucket, member_id, month, asset_class, currency, sum_minor, known_days)
SELECT DISTINCT j.bucket, j.member_id, j.month, j.asset_class, j.currency, 0, 0
FROM touched AS t
JOIN asset_joint AS j ON j.bucket = t.bucket AND j.member_id = t.member_id AND j.month = t.month
ON CONFLICT (bucket, member_id, month, asset_class, currency) DO NOTHING
"""
UNTOUCHED = "DROP TABLE touched"
ANY = """
SELECT EXISTS (SELECT FROM account_holder AS h WHERE h.bucket BETWEEN 0 AND 1023) AS any
"""
PUT = """
INSERT INTO account_holder (bucket, member_id, account, valid_from, recorded_at, role, valid_to)
SELECT n.bucket, n.member_id, n.account, n.valid_from, $7, n.role, n.valid_to
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::date[], $5::text[], $6::date[])
     AS n (bucket, member_id, account, valid_from, role, valid_to)
WHERE NOT EXISTS (
    SELECT FROM (
        SELECT o.role, o.valid_to FROM account_holder AS o
        WHERE o.bucket = n.bucket AND o.member_id = n.member_id AND o.account = n.account
          AND o.valid_from = n.valid_from
        ORDER BY o.recorded_at DESC LIMIT 1) AS latest
    WHERE latest.role = n.role AND latest.valid_to IS NOT DISTINCT FROM n.valid_to)
RETURNING bucket, member_id, account, valid_from
"""
# Each is named where the other is; of the same account and first day what was recorded last.
COPY = """
INSERT INTO account_holder (bucket, member_id, account, valid_from, recorded_at, role, valid_to)
SELECT k.bucket, k.member_id, b.account, b.valid_from, $5, b.role, b.valid_to
FROM (VALUES ($1::smallint, $2::uuid, $3::smallint, $4::uuid), ($3, $4, $1, $2))
     AS k (of_bucket, of, bucket, member_id)
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (o.account, o.valid_from) o.* FROM account_holder AS o
    WHERE o.bucket = k.of_bucket AND o.member_id = k.of
    ORDER BY o.account, o.valid_from, o.recorded_at DESC) AS b
LEFT JOIN LATERAL (
    SELECT o.recorded_at, o.role, o.valid_to FROM account_holder AS o
    WHERE o.bucket = k.bucket AND o.member_id = k.member_id AND o.account = b.account
      AND o.valid_from = b.valid_from
    ORDER BY o.recorded_at DESC LIMIT 1) AS a ON true
WHERE a.recorded_at IS NULL
   OR a.recorded_at < b.recorded_at
      AND (a.role <> b.role OR a.valid_to IS DISTINCT FROM b.valid_to)
"""
ACCOUNTS = """
SELECT DISTINCT h.account FROM account_holder AS h WHERE h.bucket = $1 AND h.member_id = $2
"""


async def any_(conn: Connection) -> bool:
    """Say whether any holder is known."""
    ((found,),) = await rows(conn, ANY)
    return bool(found)


async def refold_staged(conn: Connection) -> None:
    """Fold anew what an import touches of joint accounts."""
    if await any_(conn):
        await _refold(conn, TOUCHED_STAGED)


async def refold_fed(
    conn: Connection, source: str, chain: Chain, buckets: tuple[int, int]
) -> None:
    """Fold anew what a feed, or the one it replaces, touches of joint accounts."""
    if await any_(conn):
        await _refold(conn, TOUCHED_FED, *buckets, source, *columns(chain.up_to_day))


async def refold_rated(
    conn: Connection, months: list[date], currencies: list[str], buckets: tuple[int, int]
) -> None:
    """Fold anew what rates touch of joint accounts in some currencies."""
    await _refold(conn, TOUCHED_RATED, *buckets, months, currencies)


async def put(
    conn: Connection, lines: Sequence[tuple[UUID, HolderLine]], now: datetime
) -> list[date]:
    """Keep what is news of holders and fold anew what it touches; return its first days."""
    new = await rows(
        conn,
        PUT,
        [bucket_of(id_) for id_, _ in lines],
        [id_ for id_, _ in lines],
        [line.account for _, line in lines],
        [line.from_ for _, line in lines],
        [line.role.value for _, line in lines],
        [line.to for _, line in lines],
        now,
    )
    if new:
        await _refold(
            conn,
            TOUCHED_HELD,
            [row.bucket for row in new],
            [row.member_id for row in new],
            [row.account for row in new],
            [row.valid_from.replace(day=1) for row in new],
            now,
        )
    return [row.valid_from for row in new]


async def fill_stretches(conn: Connection, month: date, buckets: tuple[int, int]) -> None:
    """Fold the stretches of a month that are kept in some buckets."""
    await run(conn, TOUCHED)
    await run(conn, TOUCHED_FILLED, *buckets, month)
    await run(conn, REFOLD_STRETCHES)
    await run(conn, UNTOUCHED)


async def merge(conn: Connection, of: UUID, into: UUID, now: datetime) -> None:
    """Name each of two who were merged in the accounts of the other, and fold these anew."""
    await run(conn, COPY, bucket_of(of), of, bucket_of(into), into, now)
    found = [row.account for row in await rows(conn, ACCOUNTS, bucket_of(into), into)]
    whose = ([bucket_of(into)] * len(found), [into] * len(found))
    await _refold(conn, TOUCHED_HELD, *whose, found, [EPOCH.date()] * len(found), now)


async def _refold(conn: Connection, touched: str, *values: object) -> None:
    await run(conn, TOUCHED)
    await run(conn, touched, *values)
    await run(conn, REFOLD)
    await run(conn, MAKE_MONTHS)
    ((is_folded,),) = await rows(conn, IS_FOLDED)
    if is_folded:
        await run(conn, REFOLD_STRETCHES)
    await run(conn, UNTOUCHED)
