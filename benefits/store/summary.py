"""A member at a glance: what was claimed, used and spent lately, and what is still open."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec

from benefits.domain.metrics import Basket
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows
from benefits.store.feeds import HIGHEST

# ix_claim_bucket_member_id_claim_id, then the primary keys of hold and hold_end. A claim counts
# from when it was placed; its pieces and their cost, once they are captured, and until they come
# back.
USAGE = """
SELECT c.programme, c.benefit, max(c.claimed_at) AS last_claim_at,
       count(*) FILTER (WHERE c.state = ANY($6::text[])) AS open_orders,
       array[count(*) FILTER (WHERE c.claimed_at > $3),
             count(*) FILTER (WHERE c.claimed_at > $4),
             count(*) FILTER (WHERE c.claimed_at > $5)] AS claims,
       array[coalesce(sum(k.pieces) FILTER (WHERE c.claimed_at > $3), 0)::bigint,
             coalesce(sum(k.pieces) FILTER (WHERE c.claimed_at > $4), 0)::bigint,
             coalesce(sum(k.pieces) FILTER (WHERE c.claimed_at > $5), 0)::bigint] AS redeemed,
       array[coalesce(sum(h.cost_minor * u.units / h.quantity) FILTER (WHERE c.claimed_at > $3), 0)
                 ::bigint,
             coalesce(sum(h.cost_minor * u.units / h.quantity) FILTER (WHERE c.claimed_at > $4), 0)
                 ::bigint,
             coalesce(sum(h.cost_minor * u.units / h.quantity) FILTER (WHERE c.claimed_at > $5), 0)
                 ::bigint] AS cost_minor
FROM claim AS c
JOIN hold AS h ON h.bucket = c.bucket AND h.hold_id = c.hold_id
LEFT JOIN hold_end AS e ON e.bucket = c.bucket AND e.hold_id = c.hold_id
LEFT JOIN LATERAL (
    SELECT e.captured - coalesce(sum(v.amount), 0) AS units
    FROM reversal AS v
    JOIN posting AS p ON p.bucket = v.bucket AND p.batch_id = v.reverses AND p.line = v.line
    WHERE v.bucket = e.bucket AND v.reverses = e.batch_id AND p.credit = 'redeemed'
    ) AS u ON e.hold_id IS NOT NULL
CROSS JOIN LATERAL (SELECT u.units * c.quantity / h.quantity AS pieces) AS k
WHERE c.bucket = $1 AND c.member_id = $2
GROUP BY c.programme, c.benefit ORDER BY c.programme, c.benefit
"""
# ix_claim_bucket_member_id_claim_id, then ix_case_file_bucket_claim_id.
OPEN_CASES = """
SELECT f.kind, count(*) AS n
FROM claim AS c JOIN case_file AS f ON f.bucket = c.bucket AND f.claim_id = c.claim_id
WHERE c.bucket = $1 AND c.member_id = $2 AND f.closed_at IS NULL
GROUP BY f.kind ORDER BY f.kind
"""
# Primary keys of the partitions a day lies in; of each grain, and of each feed, the highest
# revision counts.
BALANCE = f"""
SELECT coalesce(sum(greatest(b.balance_minor, 0) * w.weight), 0) AS balance_minor
FROM ((SELECT DISTINCT ON (a.asset_class, a.source, a.account) a.asset_class, a.balance_minor
       FROM asset AS a
       WHERE a.bucket = $1 AND a.member_id = $2 AND a.as_of = $3 AND a.currency = $4
       ORDER BY a.asset_class, a.source, a.account, a.revision DESC)
      UNION ALL
      SELECT l.asset_class, l.balance_minor FROM ({HIGHEST.format("AND f.as_of = $3")}) AS c
      JOIN feed_line AS l ON l.bucket = $1 AND l.as_of = c.as_of AND l.source = c.source
       AND l.revision = c.revision AND l.member_id = $2
      WHERE l.as_of = $3 AND l.currency = $4) AS b
JOIN unnest($5::text[], $6::bigint[]) AS w (asset_class, weight)
  ON w.asset_class = b.asset_class
"""


class Used(msgspec.Struct, frozen=True):
    """How a benefit was used; the three figures of a list count the windows, shortest first."""

    programme: str
    benefit: str
    last_claim_at: datetime
    open_orders: int
    claims: list[int]
    redeemed: list[int]
    cost_minor: list[int]


async def usage(
    conn: Connection,
    member_id: UUID,
    since: tuple[datetime, datetime, datetime],
    open_states: Sequence[str],
) -> list[Used]:
    """Return how a member used each benefit since three instants, the latest first."""
    found = await rows(conn, USAGE, bucket_of(member_id), member_id, *since, list(open_states))
    return [Used(*row) for row in found]


async def open_cases(conn: Connection, member_id: UUID) -> dict[str, int]:
    """Return how many cases of each kind are open about a member's claims."""
    found = await rows(conn, OPEN_CASES, bucket_of(member_id), member_id)
    return {row.kind: row.n for row in found}


async def balance(conn: Connection, member_id: UUID, *, day: date, basket: Basket) -> int:
    """Return what a member's balances of a day count for, in minor units."""
    ((minor,),) = await rows(
        conn,
        BALANCE,
        bucket_of(member_id),
        member_id,
        day,
        basket.currency,
        list(basket.classes),
        list(basket.weights),
    )
    return int(minor) // basket.scale
