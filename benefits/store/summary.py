"""A member at a glance: what was claimed, used and spent lately, and what is still open."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec

from benefits.domain.metrics import Basket
from benefits.domain.values import bucket_of
from benefits.store import merged, outlook
from benefits.store.db import Connection, rows

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
       array[coalesce(sum(k.minor) FILTER (WHERE c.claimed_at > $3), 0)::bigint,
             coalesce(sum(k.minor) FILTER (WHERE c.claimed_at > $4), 0)::bigint,
             coalesce(sum(k.minor) FILTER (WHERE c.claimed_at > $5), 0)::bigint] AS cost_minor
FROM unnest($1::smallint[], $2::uuid[]) AS w (bucket, member_id)
JOIN claim AS c ON c.bucket = w.bucket AND c.member_id = w.member_id
JOIN hold AS h ON h.bucket = c.bucket AND h.hold_id = c.hold_id
LEFT JOIN hold_end AS e ON e.bucket = c.bucket AND e.hold_id = c.hold_id
LEFT JOIN LATERAL (
    SELECT e.captured - coalesce(sum(v.amount), 0) AS units
    FROM reversal AS v
    JOIN posting AS p ON p.bucket = v.bucket AND p.batch_id = v.reverses AND p.line = v.line
    WHERE v.bucket = e.bucket AND v.reverses = e.batch_id AND p.credit = 'redeemed'
    ) AS u ON e.hold_id IS NOT NULL
CROSS JOIN LATERAL (
    SELECT u.units * c.quantity / h.quantity AS pieces,
           coalesce(e.spent_minor * u.units / nullif(e.captured, 0),
                    h.cost_minor * u.units / h.quantity) AS minor) AS k
GROUP BY c.programme, c.benefit ORDER BY c.programme, c.benefit
"""
# ix_claim_bucket_member_id_claim_id, then ix_case_file_bucket_claim_id.
OPEN_CASES = """
SELECT f.kind, count(*) AS n
FROM unnest($1::smallint[], $2::uuid[]) AS w (bucket, member_id)
JOIN claim AS c ON c.bucket = w.bucket AND c.member_id = w.member_id
JOIN case_file AS f ON f.bucket = c.bucket AND f.claim_id = c.claim_id
WHERE f.closed_at IS NULL
GROUP BY f.kind ORDER BY f.kind
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


async def _with(conn: Connection, member_id: UUID) -> tuple[list[int], list[UUID]]:
    """Return a member and whoever was merged into them, with their buckets."""
    ids = [member_id, *await merged.along(conn, [member_id])]
    return [bucket_of(id_) for id_ in ids], ids


async def usage(
    conn: Connection,
    member_id: UUID,
    since: tuple[datetime, datetime, datetime],
    open_states: Sequence[str],
) -> list[Used]:
    """Return how a member used each benefit since three instants, the latest first."""
    found = await rows(conn, USAGE, *await _with(conn, member_id), *since, list(open_states))
    return [Used(*row) for row in found]


async def open_cases(conn: Connection, member_id: UUID) -> dict[str, int]:
    """Return how many cases of each kind are open about a member's claims."""
    found = await rows(conn, OPEN_CASES, *await _with(conn, member_id))
    return {row.kind: row.n for row in found}


async def balance(conn: Connection, member_id: UUID, *, day: date, basket: Basket) -> int:
    """Return what a member's balances of a day count for, in minor units."""
    into = await merged.along(conn, [member_id])
    found = await outlook.balances(conn, [(member_id, day)], basket, into=into)
    return found.get(member_id, 0)
