"""Orders, and what was asked about them, of which nothing was heard for too long (V-3).

Each is looked for up to an instant of its own benefit or provider, so that only what is over is
read, however much else waits.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows, run

# ix_claim_unheard. What changes where a claim stands was heard of its order.
_ORDERS = """
FROM unnest($3::text[], $4::timestamptz[]) AS b (benefit, before)
CROSS JOIN LATERAL (
    SELECT c.member_id, c.claim_id, c.changed_at FROM claim AS c
    WHERE c.bucket + 0 BETWEEN $1 AND $2 AND c.benefit = b.benefit AND c.changed_at <= b.before
      AND c.state IN ('SUBMITTED', 'PENDING', 'UNKNOWN')
    ORDER BY c.changed_at {}) AS c
"""
ORDERS = f"""
SELECT c.member_id, c.claim_id {_ORDERS.format("LIMIT $5")} ORDER BY c.changed_at LIMIT $5
"""
COUNT_ORDERS = f"SELECT count(*) {_ORDERS.format('')}"
# ix_provider_request_unheard. One that is leased is its holder's affair; what never left waits for
# a day at least, as orders do.
_REQUESTS = """
FROM unnest($3::text[], $4::timestamptz[]) AS p (provider, before)
CROSS JOIN LATERAL (
    SELECT r.member_id, r.request_id, r.created_at FROM provider_request AS r
    WHERE r.bucket + 0 BETWEEN $1 AND $2 AND r.provider = p.provider AND r.created_at <= p.before
      AND r.next_at IS NOT NULL AND r.operation IN ('REVOKE', 'REDEEM', 'REVERSE')
      AND coalesce(r.sent_by <= p.before, r.created_at <= $5::timestamptz - interval '1 day')
      AND coalesce(r.leased_until <= $5, true)
    ORDER BY r.created_at {}) AS r
"""
REQUESTS = f"""
SELECT r.member_id, r.request_id {_REQUESTS.format("LIMIT $6")} ORDER BY r.created_at LIMIT $6
"""
COUNT_REQUESTS = f"SELECT count(*) {_REQUESTS.format('')}"
# ix_claim_rest
_RESTS = """
FROM claim AS c
WHERE c.bucket + 0 BETWEEN $1 AND $2 AND c.rest_until <= $3 AND c.rest_until IS NOT NULL
"""
RESTS = f"SELECT c.member_id, c.claim_id {_RESTS} ORDER BY c.rest_until LIMIT $4"
COUNT_RESTS = f"SELECT count(*) {_RESTS}"
# Primary key.
AWAIT_REST = """
UPDATE claim SET rest_until = $3 WHERE bucket = $1 AND claim_id = $2 AND missing > 0
"""

Before = Mapping[str, datetime]


async def orders(
    conn: Connection, buckets: tuple[int, int], before: Before, limit: int
) -> list[tuple[UUID, UUID]]:
    """Return (member, claim) of orders, by benefit, that stand as they did `before`."""
    told = list(before), list(before.values())
    return [
        (row.member_id, row.claim_id) for row in await rows(conn, ORDERS, *buckets, *told, limit)
    ]


async def count_orders(conn: Connection, buckets: tuple[int, int], before: Before) -> int:
    """Return how many orders stand as they did `before`."""
    ((count,),) = await rows(conn, COUNT_ORDERS, *buckets, list(before), list(before.values()))
    return int(count)


async def requests(
    conn: Connection, buckets: tuple[int, int], before: Before, now: datetime, *, limit: int
) -> list[tuple[UUID, UUID]]:
    """Return (member, request) of what was asked of providers about orders `before`, and waits."""
    told = list(before), list(before.values())
    found = await rows(conn, REQUESTS, *buckets, *told, now, limit)
    return [(row.member_id, row.request_id) for row in found]


async def count_requests(
    conn: Connection, buckets: tuple[int, int], before: Before, now: datetime
) -> int:
    """Return how much was asked of providers about orders `before`, and waits."""
    told = list(before), list(before.values())
    ((count,),) = await rows(conn, COUNT_REQUESTS, *buckets, *told, now)
    return int(count)


async def rests(
    conn: Connection, buckets: tuple[int, int], now: datetime, limit: int
) -> list[tuple[UUID, UUID]]:
    """Return (member, claim) of what came in part, and whose rest is asked for no longer."""
    found = await rows(conn, RESTS, *buckets, now, limit)
    return [(row.member_id, row.claim_id) for row in found]


async def count_rests(conn: Connection, buckets: tuple[int, int], now: datetime) -> int:
    """Return how many there are."""
    ((count,),) = await rows(conn, COUNT_RESTS, *buckets, now)
    return int(count)


async def await_rest(conn: Connection, claim_id: UUID, until: datetime) -> None:
    """Let the rest of a claim whose member is locked be asked for until an instant."""
    await run(conn, AWAIT_REST, bucket_of(claim_id), claim_id, until)
