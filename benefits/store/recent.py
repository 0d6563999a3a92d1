"""The books of those who did something last: few enough to look at before every start.

The last batches are found by their events, which stand in one order; then everything of exactly
their members is folded as `verify` folds it: wallets, lots, debts, open holds. Members go in
pages, so that each statement walks keys and none reads a table.
"""

from collections.abc import AsyncIterator

from benefits.domain.values import bucket_of
from benefits.store import verify
from benefits.store.carried import STEADY
from benefits.store.db import Database, rows, run
from benefits.store.verify import Finding

BATCHES = 10_000
PAGE = 2500

# The last lines of ix_outbox_position_bucket_member_id_seq, backwards.
LAST = """
SELECT DISTINCT o.member_id FROM (
    SELECT e.member_id FROM outbox AS e WHERE e.batch_id IS NOT NULL
    ORDER BY e.position DESC, e.bucket DESC, e.member_id DESC, e.seq DESC LIMIT $1) AS o
"""
_MINE = "unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)"
# A member's batches are found by their events too: primary key of outbox, and the one partition
# of posting each. A batch without an event is missing here, and what it moved is found. Of
# archived months there are the sums.
_SUMS = f"""
SELECT m.member_id, m.unit, m.lot_id, a.account, sum(a.sign * m.amount)::bigint AS amount
FROM (SELECT e.member_id, p.unit, p.lot_id, p.debit, p.credit, p.amount
      FROM {_MINE}
      JOIN outbox AS e ON e.bucket = k.bucket AND e.member_id = k.member_id
      JOIN posting AS p ON p.bucket = e.bucket AND p.batch_id = e.batch_id
      UNION ALL
      SELECT c.member_id, c.unit, c.lot_id, c.debit, c.credit, c.amount
      FROM {_MINE}
      JOIN posting_carried AS c ON c.bucket = k.bucket AND c.member_id = k.member_id) AS m
CROSS JOIN LATERAL (VALUES (m.debit, -1), (m.credit, 1)) AS a (account, sign)
WHERE m.lot_id IS NOT NULL OR 'debt' IN (m.debit, m.credit)
GROUP BY 1, 2, 3, 4
"""


def _of(table: str) -> str:
    return (
        f"SELECT t.* FROM {_MINE} "
        f"JOIN {table} AS t ON t.bucket = k.bucket AND t.member_id = k.member_id"
    )


# A hold has no index by member: it is found by its claim, whose member it is.
_HOLDS = f"""
SELECT h.* FROM {_MINE}
JOIN claim AS c ON c.bucket = k.bucket AND c.member_id = k.member_id
JOIN hold AS h ON h.bucket = c.bucket AND h.hold_id = c.hold_id
"""
_MOVED = "SELECT * FROM moved"
DIFFERENT = f"""
WITH moved AS MATERIALIZED ({_SUMS})
SELECT 'wallet_differs' AS kind, w.* FROM ({verify.wallets_differ(_MOVED, _of("wallet"))}) AS w
UNION ALL
SELECT 'lot_differs', l.* FROM ({verify.lots_differ(_MOVED, _of("lot"))}) AS l
UNION ALL
SELECT 'held_without_hold', h.* FROM ({verify.held_differs(_HOLDS, _of("wallet"))}) AS h
"""


async def findings(database: Database, batches: int = BATCHES) -> AsyncIterator[Finding]:
    """Fold the members of the last batches in one consistent view, and yield what is wrong."""
    async with database.transaction() as conn:
        await conn.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await run(conn, STEADY)
        ids = [row.member_id for row in await rows(conn, LAST, batches)]
        ids = sorted(ids, key=lambda id_: (bucket_of(id_), id_))
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            buckets = [bucket_of(id_) for id_ in page]
            for row in await rows(conn, DIFFERENT, buckets, page):
                yield Finding(row.kind, row.subject, row.detail or "")
