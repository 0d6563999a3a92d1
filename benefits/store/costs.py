"""What a month's units cost, by the package line that brought them (P-7, Q-6).

Money of a batch is shared among the lots whose units it is for, by how many were used of each. The
shares of a batch add up to its money exactly, whatever does not divide (C-3).
"""

from datetime import UTC, datetime, time, timedelta

import msgspec

from benefits.domain.archive import MonthArchived
from benefits.domain.values import BUCKETS, Month
from benefits.store.carried import steady
from benefits.store.db import Connection, rows
from benefits.store.past import after_ids

# A batch of money alone is about the units of the one that it reverses. Of a batch's lots each has
# what its units and those before it come to, less what those before it do: nothing is left over.
# What is made good of a line's period is the line's; what is of an order has its claim for one.
COSTS = """
WITH money AS NOT MATERIALIZED (
    SELECT b.bucket, b.batch_id, b.reverses, p.unit, p.party,
           sum(CASE WHEN p.credit = 'budget.spent' THEN p.amount ELSE -p.amount END) AS minor
    FROM batch AS b
    JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
    WHERE b.bucket BETWEEN $1 AND $2 AND b.booked_month = $3 AND b.batch_id >= $4
      AND p.batch_id >= $4 AND 'budget.spent' IN (p.debit, p.credit)
    GROUP BY 1, 2, 3, 4, 5),
shared AS (
    SELECT m.unit AS money, m.party, u.lot_id, m.bucket,
           div(m.minor * coalesce(u.so_far, 1), coalesce(u.whole, 1))
           - div(m.minor * coalesce(u.so_far - u.amount, 0), coalesce(u.whole, 1)) AS minor
    FROM money AS m
    LEFT JOIN LATERAL (
        SELECT u.lot_id, u.amount, sum(u.amount) OVER (ORDER BY u.lot_id) AS so_far,
               sum(u.amount) OVER () AS whole
        FROM (SELECT p.lot_id, sum(p.amount) AS amount FROM posting AS p
              WHERE p.bucket = m.bucket AND 'redeemed' IN (p.debit, p.credit)
                AND p.lot_id IS NOT NULL
                AND p.batch_id = CASE WHEN EXISTS (
                    SELECT FROM posting AS o
                    WHERE o.bucket = m.bucket AND o.batch_id = m.batch_id
                      AND o.lot_id IS NOT NULL) THEN m.batch_id ELSE m.reverses END
              GROUP BY 1) AS u) AS u ON true)
SELECT coalesce(l.programme, '') AS programme,
       CASE WHEN l.cause IN ('TIER', 'SEGMENT') OR l.cause = 'MAKE_GOOD' AND length(l.period) < 36
            THEN l.line ELSE '' END AS line,
       coalesce(l.unit, '') AS unit, s.party, s.money, sum(s.minor) AS minor
FROM shared AS s LEFT JOIN lot AS l ON l.bucket = s.bucket AND l.lot_id = s.lot_id
GROUP BY 1, 2, 3, 4, 5
HAVING sum(s.minor) <> 0
ORDER BY 1, 2, 3, 4, 5
"""
CARRIED = """
SELECT DISTINCT c.month FROM posting_carried AS c
WHERE c.bucket BETWEEN $1 AND $2 AND c.month = ANY ($4::date[]) AND c.booked_month = $3
  AND 'budget.spent' IN (c.debit, c.credit)
ORDER BY 1
"""
CLOCK_WRONG_MAX = timedelta(days=2)


class Spent(msgspec.Struct, frozen=True):
    """Minor units spent of a budget (`party`) in a currency, for a line's units of a benefit.

    `line` is empty where no line brought them, and `unit` where it is not known what for.
    """

    programme: str
    line: str
    unit: str
    party: str
    money: str
    minor: int


async def spent(conn: Connection, month: Month) -> list[Spent]:
    """Return what was spent in a month of the books, net of what came back, in a fixed order.

    MonthArchived when a part of it is archived: then there are sums, without what they were for.
    """
    away = [one.month for one in await steady(conn)]
    for row in await rows(conn, CARRIED, 0, BUCKETS - 1, month.start, away):
        raise MonthArchived(
            f"{row.month:%Y-%m} is archived, and what {month} cost is not told without it. "
            "Ask for it to be restored."
        )
    begun = datetime.combine(month.start, time(), UTC)
    first = after_ids(begun - CLOCK_WRONG_MAX)
    found = await rows(conn, COSTS, 0, BUCKETS - 1, month.start, first)
    return [Spent(r.programme, r.line, r.unit, r.party, r.money, int(r.minor)) for r in found]
