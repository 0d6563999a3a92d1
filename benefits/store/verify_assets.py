"""Kept sums of balances, checked anew from the rows, the rates and the holders (A-1 to A-7)."""

from benefits.store.exchange import amount, rate_of, unrated
from benefits.store.holders import HELD_SHARES
from benefits.store.sealed import (
    COUNTED,
    COUNTED_CONVERTED,
    COUNTED_FOLDED,
    COUNTED_JOINT,
    COUNTED_JOINT_UNRATED,
    COUNTED_UNRATED,
    HIGHEST,
    chained,
    standing,
)
from benefits.store.stretches import folds, holds

# The balances that count, by lines or by feeds.
_FED = f"""fed AS MATERIALIZED ({chained(HIGHEST.format(""))}),"""
_LINES = f"""{_FED}
counting AS (
    SELECT DISTINCT ON (a.bucket, a.member_id, a.as_of, a.asset_class, a.currency, a.source,
                        a.account)
           a.bucket, a.member_id, a.as_of, a.asset_class, a.currency, a.balance_minor
    FROM asset AS a WHERE a.bucket BETWEEN $1 AND $2
    ORDER BY a.bucket, a.member_id, a.as_of, a.asset_class, a.currency, a.source, a.account,
             a.revision DESC),
lines AS (
    SELECT bucket, member_id, as_of, asset_class, currency, balance_minor,
           1 << (extract(day FROM as_of)::int - 1) AS known
    FROM counting
    UNION ALL
    SELECT l.bucket, l.member_id, l.as_of, l.asset_class, l.currency, l.balance_minor, 0
    FROM ({standing("fed", "l.bucket BETWEEN $1 AND $2")}) AS l)"""
_CONVERTED = "l.bucket BETWEEN $1 AND $2 AND l.currency IN (SELECT y.code FROM currency AS y)"

ASSETS: dict[str, str] = {
    # what lines in other currencies come to is what their rates give, and their days are
    # marked that have none.
    "asset_converted_differs": f"""
WITH {_FED}
counting AS (
    SELECT DISTINCT ON (a.bucket, a.member_id, a.as_of, a.asset_class, a.currency, a.source,
                        a.account)
           a.bucket, a.member_id, a.as_of, a.asset_class, a.currency, a.balance_minor
    FROM asset AS a JOIN currency AS c ON c.code = a.currency WHERE a.bucket BETWEEN $1 AND $2
    ORDER BY a.bucket, a.member_id, a.as_of, a.asset_class, a.currency, a.source, a.account,
             a.revision DESC),
lines AS (
    SELECT * FROM counting
    UNION ALL
    SELECT l.bucket, l.member_id, l.as_of, l.asset_class, l.currency, l.balance_minor
    FROM ({standing("fed", _CONVERTED)}) AS l),
folded AS (
    SELECT l.member_id, date_trunc('month', l.as_of)::date AS month, l.asset_class, l.currency,
           sum({amount("l")}) AS sum_minor, bit_or({unrated("l")}) AS unrated_days
    FROM lines AS l LEFT JOIN LATERAL ({rate_of("l")}) AS u ON true GROUP BY 1, 2, 3, 4)
SELECT format('%s %s %s', coalesce(m.member_id, f.member_id), coalesce(m.month, f.month),
              coalesce(m.currency, f.currency)) AS subject,
       format('kept %s, rows %s', m.sum_minor, f.sum_minor) AS detail
FROM (SELECT c.member_id, c.month, c.asset_class, c.currency,
             {COUNTED_CONVERTED} AS sum_minor, {COUNTED_UNRATED} AS unrated_days
      FROM asset_converted AS c WHERE c.bucket BETWEEN $1 AND $2) AS m
FULL JOIN folded AS f ON f.member_id = m.member_id AND f.month = m.month
  AND f.asset_class = m.asset_class AND f.currency = m.currency
WHERE coalesce(m.sum_minor, 0) <> coalesce(f.sum_minor, 0)
   OR coalesce(m.unrated_days, 0) <> coalesce(f.unrated_days, 0)
""",
    # what joint accounts add for a member is what their lines and holders give.
    "asset_joint_differs": f"""
WITH folded AS (
    SELECT s.member_id, date_trunc('month', s.as_of)::date AS month, s.asset_class, s.currency,
           s.joint, sum(s.amount) AS sum_minor, bit_or(s.known) AS known_days,
           bit_or(s.unrated) AS unrated_days
    FROM ({HELD_SHARES}) AS s WHERE s.before GROUP BY 1, 2, 3, 4, 5)
SELECT format('%s %s %s', coalesce(m.member_id, f.member_id), coalesce(m.month, f.month),
              coalesce(m.joint, f.joint)) AS subject,
       format('kept %s, rows %s', m.sum_minor, f.sum_minor) AS detail
FROM (SELECT j.member_id, j.month, j.asset_class, j.currency, j.joint, j.known_days,
             {COUNTED_JOINT} AS sum_minor, {COUNTED_JOINT_UNRATED} AS unrated_days
      FROM asset_joint AS j WHERE j.bucket BETWEEN $1 AND $2) AS m
FULL JOIN folded AS f ON f.member_id = m.member_id AND f.month = m.month
  AND f.asset_class = m.asset_class AND f.currency = m.currency AND f.joint = m.joint
WHERE (coalesce(m.sum_minor, 0), coalesce(m.known_days, 0), coalesce(m.unrated_days, 0))
      <> (coalesce(f.sum_minor, 0), coalesce(f.known_days, 0), coalesce(f.unrated_days, 0))
""",
    # a month's sum and known days are what the highest revisions give, and what
    # counts is so while a feed is applied too. Days with lines of feeds are known by the feeds.
    "asset_month_differs": f"""
WITH {_LINES},
folded AS (
    SELECT member_id, date_trunc('month', as_of)::date AS month, asset_class, currency,
           sum(greatest(balance_minor, 0)) AS sum_minor, bit_or(known) AS known_days
    FROM lines GROUP BY 1, 2, 3, 4)
SELECT coalesce(m.member_id, f.member_id)::text || ' ' || coalesce(m.month, f.month) AS subject,
       format('kept %s, rows %s', m.sum_minor, f.sum_minor) AS detail
FROM (SELECT s.member_id, s.month, s.asset_class, s.currency, s.known_days,
             {COUNTED} AS sum_minor
      FROM asset_month AS s WHERE s.bucket BETWEEN $1 AND $2) AS m
FULL JOIN folded AS f ON f.member_id = m.member_id AND f.month = m.month
  AND f.asset_class = m.asset_class AND f.currency = m.currency
WHERE coalesce(m.sum_minor, 0) <> coalesce(f.sum_minor, 0)
   OR coalesce(m.known_days, 0) <> coalesce(f.known_days, 0)
""",
    # M-4, M-6, M-7: so is the sum of each stretch, in the buckets that are filled.
    "asset_stretch_differs": f"""
WITH {_LINES},
folded AS (
    SELECT l.member_id, k.month, k.first_day, k.last_day, l.asset_class, l.currency,
           sum(greatest(l.balance_minor, 0)) AS sum_minor
    FROM lines AS l
    JOIN stretch AS k ON {holds("l.as_of", "l.bucket")}
    GROUP BY 1, 2, 3, 4, 5, 6)
SELECT format('%s %s %s-%s', coalesce(m.member_id, f.member_id), coalesce(m.month, f.month),
              coalesce(m.first_day, f.first_day), coalesce(m.last_day, f.last_day)) AS subject,
       format('kept %s, rows %s', m.sum_minor, f.sum_minor) AS detail
FROM (SELECT s.member_id, s.month, s.first_day, s.last_day, s.asset_class, s.currency,
             {COUNTED} AS sum_minor
      FROM asset_stretch AS s WHERE s.bucket BETWEEN $1 AND $2) AS m
FULL JOIN folded AS f ON f.member_id = m.member_id AND f.month = m.month
  AND f.first_day = m.first_day AND f.last_day = m.last_day
  AND f.asset_class = m.asset_class AND f.currency = m.currency
WHERE coalesce(m.sum_minor, 0) <> coalesce(f.sum_minor, 0)
""",
    # And what is folded of it: what its lines in other currencies come to, and what joint accounts
    # add by each policy.
    "asset_stretch_folded_differs": f"""
WITH {_LINES},
folded AS (
    SELECT l.member_id, k.month, k.first_day, k.last_day, l.asset_class, l.currency,
           'CONVERTED' AS kind, sum({amount("l")}) AS sum_minor
    FROM lines AS l JOIN currency AS c ON c.code = l.currency
    JOIN stretch AS k ON {folds("l.as_of", "l.bucket")}
    LEFT JOIN LATERAL ({rate_of("l")}) AS u ON true
    GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT s.member_id, k.month, k.first_day, k.last_day, s.asset_class, s.currency, s.joint,
           sum(s.amount)
    FROM ({HELD_SHARES}) AS s JOIN stretch AS k ON {folds("s.as_of", "s.bucket")}
    WHERE s.before GROUP BY 1, 2, 3, 4, 5, 6, 7)
SELECT format('%s %s %s-%s %s', coalesce(m.member_id, f.member_id), coalesce(m.month, f.month),
              coalesce(m.first_day, f.first_day), coalesce(m.last_day, f.last_day),
              coalesce(m.kind, f.kind)) AS subject,
       format('kept %s, rows %s', m.sum_minor, f.sum_minor) AS detail
FROM (SELECT g.member_id, g.month, g.first_day, g.last_day, g.asset_class, g.currency, g.kind,
             {COUNTED_FOLDED} AS sum_minor
      FROM asset_stretch_folded AS g WHERE g.bucket BETWEEN $1 AND $2) AS m
FULL JOIN folded AS f ON f.member_id = m.member_id AND f.month = m.month
  AND f.first_day = m.first_day AND f.last_day = m.last_day
  AND f.asset_class = m.asset_class AND f.currency = m.currency AND f.kind = m.kind
WHERE coalesce(m.sum_minor, 0) <> coalesce(f.sum_minor, 0)
""",
}
