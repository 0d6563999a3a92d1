"""Months of the books: in which a batch is booked, which are closed, what closed ones sum to.

A batch is booked in the month of its `effective_at`, in the zone of the books, or in the first
open month if that is later (L-11). The statement that inserts a batch reads the open month; so
closing moves the open month first, waits until every write that may have read the old one has
ended (`pending`), and only then sums.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.values import BUCKETS, Month, midnight
from benefits.store.db import Connection, rows, run
from benefits.store.past import after_ids

# For whoever inserts batches: `n` is the new rows, `i` the installation. The statement must not be
# the first of its transaction that writes or locks: what has no number yet is not waited for.
BOOKED_MONTH = (
    "greatest(date_trunc('month', n.effective_at AT TIME ZONE i.book_zone)::date, i.open_month)"
)
BOOKS = "SELECT book_zone, open_month FROM installation"
LOCK = "SELECT book_zone, open_month FROM installation FOR UPDATE"
OPEN = "UPDATE installation SET open_month = $1"
# A number of one's own: the end of a snapshot lies below writes under way that are newer than the
# last one that has ended.
NEXT_WRITE = "SELECT pg_current_xact_id()::text::bigint"
OLDEST_WRITE = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
LAST_CLOSED = "SELECT max(month) FROM month_close"
CLOSED = """
SELECT month, actor, closed_at FROM month_close WHERE month < $1 ORDER BY month DESC LIMIT $2
"""
CLOSED_TOTALS = """
SELECT month, unit, party, account, amount FROM month_total
WHERE month = ANY($1::date[]) ORDER BY month, unit, party, account
"""
# Batches below the id $5 are left out, and with it their partitions. What is booked after a closed
# month was recorded after that month was over, give or take what clocks differ: no fact is true
# later than it is recorded. `differences` sums without the bound.
BOOKED = """
SELECT b.booked_month, p.unit, p.party, a.account, sum(a.sign * p.amount) AS amount
FROM batch AS b
JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
CROSS JOIN LATERAL (VALUES (p.debit, -1), (p.credit, 1)) AS a (account, sign)
WHERE b.bucket BETWEEN $1 AND $2 AND b.booked_month > $3 AND b.booked_month <= $4
  AND b.batch_id >= $5 AND p.batch_id >= $5
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT c.booked_month, c.unit, c.party, a.account, sum(a.sign * c.amount)
FROM posting_carried AS c
CROSS JOIN LATERAL (VALUES (c.debit, -1), (c.credit, 1)) AS a (account, sign)
WHERE c.bucket BETWEEN $1 AND $2 AND c.booked_month > $3 AND c.booked_month <= $4
GROUP BY 1, 2, 3, 4
"""
CLOSE = "INSERT INTO month_close (month, actor, closed_at) VALUES ($1, $2, $3)"
FIX = """
INSERT INTO month_total (month, unit, party, account, amount)
SELECT $1, n.* FROM unnest($2::text[], $3::text[], $4::text[], $5::numeric[])
                 AS n (unit, party, account, amount)
"""
STRAY = """
SELECT DISTINCT t.month FROM month_total AS t
WHERE NOT EXISTS (SELECT FROM month_close AS c WHERE c.month = t.month) ORDER BY t.month
"""
BEFORE_ALL = date(1, 1, 1)
NIL = UUID(int=0)
LONGEST_OFF = timedelta(days=1)
FIRST = Month(2000, 1)  # open before anything is closed


class Books(msgspec.Struct, frozen=True):
    """Where months of the books begin, and the first that is open."""

    zone: ZoneInfo
    open_month: Month


class Total(msgspec.Struct, frozen=True, order=True):
    """What an account of a unit and party took in, less what it gave."""

    unit: str
    party: str
    account: str
    amount: int


class Closed(msgspec.Struct, frozen=True):
    """A closed month, who closed it and when, and what was booked in it per account."""

    month: Month
    actor: str
    closed_at: datetime
    totals: tuple[Total, ...]


async def books(conn: Connection, *, lock: bool = False) -> Books:
    """Return the state of the books; with `lock` nobody else closes until the transaction ends."""
    ((zone, month),) = await rows(conn, LOCK if lock else BOOKS)
    return Books(ZoneInfo(zone), Month.of(month))


async def begin_after(conn: Connection, month: Month) -> None:
    """Let everything new be booked after a month."""
    await run(conn, OPEN, month.plus(1).start)


async def next_write(conn: Connection) -> int:
    """Return a number that every write under way has not reached, and every later one has."""
    ((number,),) = await rows(conn, NEXT_WRITE)
    return int(number)


async def pending(conn: Connection, before: int) -> bool:
    """Say whether a write numbered below `before` is still under way, anywhere on the server."""
    ((oldest,),) = await rows(conn, OLDEST_WRITE)
    return int(oldest) < before


async def last_closed(conn: Connection) -> Month | None:
    """Return the last month whose totals are fixed."""
    ((month,),) = await rows(conn, LAST_CLOSED)
    return None if month is None else Month.of(month)


async def fix(conn: Connection, month: Month, *, actor: str, now: datetime) -> tuple[Total, ...]:
    """Fix what was booked since the last closed month, up to and in `month`; return it."""
    last = await last_closed(conn)
    after = last.start if last is not None else BEFORE_ALL
    zone = (await books(conn)).zone
    begun = after_ids(midnight(last.end, zone) - LONGEST_OFF) if last else NIL
    totals = await _summed(conn, after, month.start, begun)
    await run(conn, CLOSE, month.start, actor, now)
    await run(
        conn,
        FIX,
        month.start,
        [t.unit for t in totals],
        [t.party for t in totals],
        [t.account for t in totals],
        [Decimal(t.amount) for t in totals],
    )
    return totals


async def _summed(conn: Connection, after: date, last: date, begun: UUID) -> tuple[Total, ...]:
    sums = dict[tuple[str, str, str], int]()
    for row in await rows(conn, BOOKED, 0, BUCKETS - 1, after, last, begun):
        key = (row.unit, row.party, row.account)
        sums[key] = sums.get(key, 0) + int(row.amount)
    return tuple(sorted(Total(*key, amount) for key, amount in sums.items()))


async def closed(
    conn: Connection, before: Month | None = None, *, limit: int = 12
) -> list[Closed]:
    """Return closed months, the latest first, only those before one if it is named."""
    bound = before.start if before is not None else date.max
    found = await rows(conn, CLOSED, bound, limit)
    by_month = dict[date, list[Total]]()
    for row in await rows(conn, CLOSED_TOTALS, [row.month for row in found]):
        total = Total(row.unit, row.party, row.account, int(row.amount))
        by_month.setdefault(row.month, []).append(total)
    return [
        Closed(Month.of(r.month), r.actor, r.closed_at, tuple(sorted(by_month.get(r.month, ()))))
        for r in found
    ]


async def differences(conn: Connection) -> list[tuple[str, str]]:
    """Return (month, what differs) where a closed month is not what its batches give."""
    fixed = sorted(await closed(conn, limit=10_000), key=lambda one: one.month)
    found = list[tuple[str, str]]()
    after = BEFORE_ALL
    booked = await rows(conn, BOOKED, 0, BUCKETS - 1, BEFORE_ALL, date.max, NIL)
    for one in fixed:
        folded = dict[tuple[str, str, str], int]()
        for row in booked:
            if after < row.booked_month <= one.month.start:
                key = (row.unit, row.party, row.account)
                folded[key] = folded.get(key, 0) + int(row.amount)
        said = {(t.unit, t.party, t.account): t.amount for t in one.totals}
        for key in sorted(folded.keys() | said.keys()):
            if folded.get(key) != said.get(key):
                what = f"{' '.join(key)}: closed {said.get(key)}, booked {folded.get(key)}"
                found.append((str(one.month), what))
        after = one.month.start
    stray = [
        (str(Month.of(row.month)), "has totals and was not closed")
        for row in await rows(conn, STRAY)
    ]
    return found + stray + _unopened(await books(conn), fixed)


def _unopened(state: Books, fixed: Sequence[Closed]) -> list[tuple[str, str]]:
    """Return what is wrong with the first open month: it follows the last closed one.

    While a month is being closed, the one after it is open already.
    """
    last = fixed[-1].month if fixed else None
    if last is not None and state.open_month not in {last.plus(1), last.plus(2)}:
        return [(str(state.open_month), f"is open, and {last} was closed last")]
    if last is None and state.open_month > FIRST:
        return [(str(state.open_month), "is open, and none was closed: gone, or cut short")]
    return []
