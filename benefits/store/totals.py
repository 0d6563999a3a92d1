"""Sums over all accounts of the bank as of a time; one pass over the postings each.

Totals begin at the last closed month that counts whole: its fixed totals, and the postings booked
after it. Archived months count by what they left behind. The unspent rest of a lot that has ended
counts as expired, recorded or not (L-5). Sums are exact: PostgreSQL adds them up as NUMERIC.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.past import Bounds
from benefits.domain.values import BUCKETS, Month, midnight
from benefits.store.carried import months_below
from benefits.store.db import Connection, rows
from benefits.store.months import books
from benefits.store.past import CLOCKS_APART, NEVER, after_ids

# Without a closed month to begin at.
TOTALS = """
SELECT m.unit, m.party,
       CASE WHEN a.account = 'available' AND l.lot_id IS NOT NULL THEN 'expired'
            ELSE a.account END AS account,
       sum(a.sign * m.amount) AS amount
FROM (SELECT p.bucket, p.unit, p.party, p.lot_id, p.debit, p.credit, p.amount
      FROM batch AS b
      JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
      WHERE b.bucket BETWEEN $5 AND $6 AND b.batch_id < $1 AND p.batch_id < $1
        AND b.recorded_at < $2 AND b.effective_at < $3
      UNION ALL
      SELECT c.bucket, c.unit, c.party, c.lot_id, c.debit, c.credit, c.amount
      FROM posting_carried AS c WHERE c.bucket BETWEEN $5 AND $6 AND c.month = ANY ($7::date[])
     ) AS m
LEFT JOIN lot AS l ON l.bucket = m.bucket AND l.lot_id = m.lot_id AND l.expires_at <= $4
CROSS JOIN LATERAL (VALUES (m.debit, -1), (m.credit, 1)) AS a (account, sign)
GROUP BY 1, 2, 3
HAVING sum(a.sign * m.amount) <> 0
ORDER BY 1, 2, 3
"""
# From a closed month ($8) on: its totals, then what was booked later, whose ids are not below $9.
# What the lots that have ended had left is what they have left now, less what moved beyond the
# bounds.
TOTALS_SINCE = """
WITH moved AS NOT MATERIALIZED (
    SELECT p.bucket, p.unit, p.party, p.lot_id, p.debit, p.credit, p.amount,
           b.batch_id < $1 AND b.recorded_at < $2 AND b.effective_at < $3 AS inside
    FROM batch AS b
    JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
    WHERE b.bucket BETWEEN $5 AND $6 AND b.batch_id >= $9 AND p.batch_id >= $9
      AND b.booked_month > $8
    UNION ALL
    SELECT c.bucket, c.unit, c.party, c.lot_id, c.debit, c.credit, c.amount,
           c.month = ANY ($7::date[])
    FROM posting_carried AS c WHERE c.bucket BETWEEN $5 AND $6 AND c.booked_month > $8),
summed AS (
    SELECT m.unit, m.party, a.account, m.inside, l.lot_id IS NOT NULL AS over,
           sum(a.sign * m.amount) AS amount
    FROM moved AS m
    LEFT JOIN lot AS l ON l.bucket = m.bucket AND l.lot_id = m.lot_id AND l.expires_at <= $4
    CROSS JOIN LATERAL (VALUES (m.debit, -1), (m.credit, 1)) AS a (account, sign)
    GROUP BY 1, 2, 3, 4, 5),
ended AS (
    SELECT l.unit, '' AS party, sum(l.remaining - l.held) AS amount FROM lot AS l
    WHERE l.bucket BETWEEN $5 AND $6 AND l.expires_at <= $4 AND l.remaining > l.held GROUP BY 1
    UNION ALL
    SELECT s.unit, s.party, -s.amount FROM summed AS s
    WHERE s.over AND NOT s.inside AND s.account = 'available')
SELECT n.unit, n.party, n.account, sum(n.amount) AS amount
FROM (SELECT t.unit, t.party, t.account, t.amount FROM month_total AS t WHERE t.month <= $8
      UNION ALL
      SELECT s.unit, s.party, s.account, s.amount FROM summed AS s WHERE s.inside
      UNION ALL
      SELECT e.unit, e.party, a.account, a.sign * e.amount FROM ended AS e
      CROSS JOIN LATERAL (VALUES ('available', -1), ('expired', 1)) AS a (account, sign)) AS n
GROUP BY 1, 2, 3
HAVING sum(n.amount) <> 0
ORDER BY 1, 2, 3
"""
CLOSED = "SELECT c.month, c.closed_at FROM month_close AS c ORDER BY c.month DESC"
# `over`: the lot has ended. Its month is the one it was granted in, in the zone of the books.
VINTAGES = """
SELECT l.unit, date_trunc('month', l.granted_at AT TIME ZONE $8)::date AS month,
       coalesce(l.expires_at <= $4, false) AS over,
       CASE WHEN a.account = 'available' AND l.expires_at <= $4 THEN 'expired'
            ELSE a.account END AS account,
       sum(a.sign * m.amount) AS amount
FROM (SELECT p.bucket, p.lot_id, p.debit, p.credit, p.amount
      FROM batch AS b
      JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
      WHERE b.bucket BETWEEN $5 AND $6 AND b.batch_id < $1 AND p.batch_id < $1
        AND b.recorded_at < $2 AND b.effective_at < $3
      UNION ALL
      SELECT c.bucket, c.lot_id, c.debit, c.credit, c.amount
      FROM posting_carried AS c WHERE c.bucket BETWEEN $5 AND $6 AND c.month = ANY ($7::date[])
     ) AS m
JOIN lot AS l ON l.bucket = m.bucket AND l.lot_id = m.lot_id
CROSS JOIN LATERAL (VALUES (m.debit, -1), (m.credit, 1)) AS a (account, sign)
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
"""
CLOCK_WRONG_MAX = timedelta(days=2)


class Sum(msgspec.Struct, frozen=True):
    """What an account of a unit and party came to."""

    unit: str
    party: str
    account: str
    amount: int


class LotSum(msgspec.Struct, frozen=True):
    """What an account of the lots of one month came to; `over` are those that have ended."""

    unit: str
    month: date
    over: bool
    account: str
    amount: int


async def _bounds(conn: Connection, bounds: Bounds) -> tuple[object, ...]:
    known = bounds.known_at or NEVER
    carried = await months_below(conn, bounds)
    return (
        *(after_ids(known), known, bounds.as_of or NEVER, bounds.ends),
        *(0, BUCKETS - 1, carried),
    )


async def totals(conn: Connection, bounds: Bounds) -> list[Sum]:
    """Return the balance of every account that has one over all members, in a fixed order.

    MonthArchived when a part of an archived month would count.
    """
    values = await _bounds(conn, bounds)
    month = await closed_below(conn, bounds)
    if month is None:
        found = await rows(conn, TOTALS, *values)
    else:
        ended = datetime.combine(month.end, time(), UTC)
        beyond = after_ids(ended - CLOCK_WRONG_MAX)
        found = await rows(conn, TOTALS_SINCE, *values, month.start, beyond)
    return [Sum(r.unit, r.party, r.account, int(r.amount)) for r in found]


async def closed_below(conn: Connection, bounds: Bounds) -> Month | None:
    """Return the last closed month of which all counts within bounds.

    What is booked in it was true before its end, in the zone of the books and, from before months
    were closed at all, in UTC; it was recorded before the closing ended.
    """
    zone = (await books(conn)).zone
    for row in await rows(conn, CLOSED):
        month = Month.of(row.month)
        ended = max(midnight(month.end, zone), midnight(month.end, ZoneInfo("UTC")))
        known = bounds.known_at is None or bounds.known_at > row.closed_at + CLOCKS_APART
        if known and (bounds.as_of is None or bounds.as_of >= ended):
            return month
    return None


async def vintages(conn: Connection, bounds: Bounds, zone: ZoneInfo) -> list[LotSum]:
    """Return the balance of every account of lots, by unit and month of grant (MonthArchived)."""
    found = await rows(conn, VINTAGES, *await _bounds(conn, bounds), zone.key)
    return [LotSum(r.unit, r.month, r.over, r.account, int(r.amount)) for r in found]
