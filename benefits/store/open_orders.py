"""Orders that are not decided, as those who run the service look at them: no member, no recipient.

What stands with an attempt is of the adapter's own words; of what was delivered nothing is shown.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.orders import DELIVERED, OrderState
from benefits.domain.values import BUCKETS, EPOCH, bucket_of
from benefits.store.db import Connection, rows, run

Mark = tuple[datetime, UUID]
BEGINNING: Mark = (EPOCH, UUID(int=0))
COUNTED_MAX = 10_000
_OPEN = "c.state IN ('HELD', 'SUBMITTED', 'PENDING', 'UNKNOWN', 'MANUAL')"
_COLUMNS = """r.request_id, r.member_id, c.claim_id, r.provider, r.sku, c.benefit, c.quantity,
       c.state, r.created_at, c.changed_at, r.next_at, r.leased_until, r.attempt,
       c.provider_reference, r.not_before, c.missing"""
# ix_claim_open, in its order; ix_provider_request_bucket_member_id_claim_id.
LISTED = f"""
SELECT {_COLUMNS}
FROM claim AS c
JOIN provider_request AS r
  ON r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
 AND r.operation = 'ISSUE'
WHERE {_OPEN} AND c.bucket < $1 AND (c.claimed_at, c.claim_id) > ($2::timestamptz, $3::uuid)
  AND ($4::text IS NULL OR c.state = $4) AND ($5::text IS NULL OR r.provider = $5)
  AND ($6::text IS NULL OR r.sku = $6)
  AND ($7::timestamptz IS NULL OR c.claimed_at <= $7)
ORDER BY c.claimed_at, c.claim_id LIMIT $8
"""
# Primary keys.
ONE = f"""
SELECT {_COLUMNS}
FROM provider_request AS r
JOIN claim AS c ON c.bucket = r.bucket AND c.claim_id = r.claim_id
WHERE r.bucket = $1 AND r.request_id = $2 AND r.operation = 'ISSUE'
"""
TRIES = """
SELECT a.operation, a.attempt, a.started_at, a.ended_at, a.outcome,
       CASE WHEN a.outcome IN ('not_sent', 'unknown', 'rejected') THEN a.evidence ELSE '' END
           AS evidence
FROM provider_request AS r
JOIN provider_request AS o
  ON o.bucket = r.bucket AND o.member_id = r.member_id AND o.claim_id = r.claim_id
JOIN provider_attempt AS a ON a.bucket = o.bucket AND a.request_id = o.request_id
WHERE r.bucket = $1 AND r.request_id = $2
ORDER BY a.started_at DESC, a.attempt DESC LIMIT $3
"""
# With the order its confirmation, through its schedule again: nothing else would ask for it.
DUE_NOW = """
UPDATE provider_request AS r
SET next_at = $3, not_before = NULL,
    queries = CASE WHEN $4 OR r.operation = 'CONFIRM' THEN 0 ELSE r.queries END
FROM provider_request AS o
WHERE o.bucket = $1 AND o.request_id = $2
  AND r.bucket = o.bucket AND r.member_id = o.member_id AND r.claim_id = o.claim_id
  AND (r.request_id = o.request_id OR (r.operation = 'CONFIRM' AND r.verdict = ''
       AND coalesce(r.leased_until, $3) <= $3))
"""
# ix_claim_open: of the oldest orders.
COUNTED = f"""
SELECT r.provider, c.state, count(*) AS orders, min(c.claimed_at) AS oldest_at
FROM (SELECT c.bucket, c.member_id, c.claim_id, c.claimed_at, c.state FROM claim AS c
      WHERE {_OPEN} AND c.bucket < $1 ORDER BY c.claimed_at, c.claim_id LIMIT $2) AS c
JOIN provider_request AS r
  ON r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
 AND r.operation = 'ISSUE'
GROUP BY r.provider, c.state ORDER BY r.provider, c.state
"""


class OrderSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An order and how far its request came."""

    request_id: UUID
    member_id: UUID
    claim_id: UUID
    provider: str
    sku: str
    benefit: str
    quantity: int
    state: str
    created_at: datetime
    changed_at: datetime
    next_at: datetime | None
    leased_until: datetime | None
    attempt: int
    provider_reference: str
    not_before: datetime | None
    missing: int

    @property
    def lacks(self) -> bool:
        """Whether it was delivered, and some of its pieces were not."""
        return self.missing > 0 and OrderState(self.state) in DELIVERED


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One call: what was asked, what came of it, and why it failed, in the adapter's words."""

    operation: str
    attempt: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    evidence: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which orders are wanted; None is any."""

    state: str | None = None
    provider: str | None = None
    sku: str | None = None
    until: datetime | None = None


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """How many orders of a provider stand in a state, and since when the oldest."""

    provider: str
    state: str
    orders: int
    oldest_at: datetime


async def listed(
    conn: Connection, asked: Asked, after: Mark | None, *, limit: int
) -> list[OrderSeen]:
    """Return orders that are not decided, oldest first."""
    where = (asked.state, asked.provider, asked.sku, asked.until)
    found = await rows(conn, LISTED, BUCKETS, *(after or BEGINNING), *where, limit)
    return [_order(row) for row in found]


async def one(conn: Connection, request_id: UUID) -> OrderSeen | None:
    """Return an order, decided or not."""
    found = await rows(conn, ONE, bucket_of(request_id), request_id)
    return _order(found[0]) if found else None


async def tries(conn: Connection, request_id: UUID, *, limit: int) -> Sequence[Try]:
    """Return the calls about an order, latest first."""
    found = await rows(conn, TRIES, bucket_of(request_id), request_id, limit)
    return [Try(**row._asdict()) for row in found]


async def due_now(conn: Connection, request_id: UUID, now: datetime, *, whole: bool) -> None:
    """Let a request whose member is locked be due, whatever its provider asked for.

    With `whole` its schedule begins anew.
    """
    await run(conn, DUE_NOW, bucket_of(request_id), request_id, now, whole)


async def counted(conn: Connection) -> Sequence[Counted]:
    """Return how many of the oldest open orders stand in which state, by provider."""
    return [Counted(**row._asdict()) for row in await rows(conn, COUNTED, BUCKETS, COUNTED_MAX)]


def _order(row: Any) -> OrderSeen:
    return OrderSeen(**row._asdict())
