"""Sums over all accounts of the bank as of a time; one pass over the postings each.

The unspent rest of a lot that has ended counts as expired, recorded or not (L-5). Sums are exact:
PostgreSQL adds them up as NUMERIC.
"""

from datetime import date
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.past import Bounds
from benefits.domain.values import BUCKETS
from benefits.store.db import Connection, rows
from benefits.store.past import NEVER, after_ids

TOTALS = """
SELECT p.unit, p.party,
       CASE WHEN a.account = 'available' AND l.lot_id IS NOT NULL THEN 'expired'
            ELSE a.account END AS account,
       sum(a.sign * p.amount) AS amount
FROM batch AS b
JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
LEFT JOIN lot AS l ON l.bucket = p.bucket AND l.lot_id = p.lot_id AND l.expires_at <= $4
CROSS JOIN LATERAL (VALUES (p.debit, -1), (p.credit, 1)) AS a (account, sign)
WHERE b.bucket BETWEEN $5 AND $6 AND b.batch_id < $1 AND p.batch_id < $1
  AND b.recorded_at < $2 AND b.effective_at < $3
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
"""
# `over`: the lot has ended. Its month is the one it was granted in, in the zone of the books.
VINTAGES = """
SELECT l.unit, date_trunc('month', l.granted_at AT TIME ZONE $7)::date AS month,
       coalesce(l.expires_at <= $4, false) AS over,
       CASE WHEN a.account = 'available' AND l.expires_at <= $4 THEN 'expired'
            ELSE a.account END AS account,
       sum(a.sign * p.amount) AS amount
FROM batch AS b
JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
JOIN lot AS l ON l.bucket = p.bucket AND l.lot_id = p.lot_id
CROSS JOIN LATERAL (VALUES (p.debit, -1), (p.credit, 1)) AS a (account, sign)
WHERE b.bucket BETWEEN $5 AND $6 AND b.batch_id < $1 AND p.batch_id < $1
  AND b.recorded_at < $2 AND b.effective_at < $3
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
"""


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


def _bounds(bounds: Bounds) -> tuple[object, ...]:
    known = bounds.known_at or NEVER
    return (after_ids(known), known, bounds.as_of or NEVER, bounds.ends, 0, BUCKETS - 1)


async def totals(conn: Connection, bounds: Bounds) -> list[Sum]:
    """Return the balance of every account over all members, in a fixed order."""
    found = await rows(conn, TOTALS, *_bounds(bounds))
    return [Sum(r.unit, r.party, r.account, int(r.amount)) for r in found]


async def vintages(conn: Connection, bounds: Bounds, zone: ZoneInfo) -> list[LotSum]:
    """Return the balance of every account of lots, by unit and month of grant."""
    found = await rows(conn, VINTAGES, *_bounds(bounds), zone.key)
    return [LotSum(r.unit, r.month, r.over, r.account, int(r.amount)) for r in found]
