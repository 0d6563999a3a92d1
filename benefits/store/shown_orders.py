"""Orders and uses as providers and merchants see them: no member, no recipient, no evidence."""

from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows


class RedemptionSeen(msgspec.Struct, frozen=True):
    """A use that the provider was told of, and what it answered; then whether it was undone."""

    redemption_id: UUID
    created_at: datetime
    verdict: str
    is_reversing: bool
    is_reversed: bool


# ix_provider_request_bucket_member_id_claim_id; a claim has few.
REDEMPTIONS = """
SELECT r.request_id, r.created_at, r.verdict,
       coalesce(bool_or(u.verdict = ''), false) AS reversing,
       coalesce(bool_or(u.verdict = 'done'), false) AS reversed
FROM provider_request AS r
LEFT JOIN provider_request AS u
  ON u.bucket = r.bucket AND u.member_id = r.member_id AND u.claim_id = r.claim_id
 AND u.undoes = r.request_id
WHERE r.bucket = $1 AND r.member_id = $2 AND r.claim_id = $3 AND r.operation = 'REDEEM'
GROUP BY r.request_id, r.created_at, r.verdict
ORDER BY r.created_at, r.request_id
"""


async def redemptions(conn: Connection, member_id: UUID, claim_id: UUID) -> list[RedemptionSeen]:
    """Return the uses of a claim that its provider was told of, oldest first."""
    found = await rows(conn, REDEMPTIONS, bucket_of(claim_id), member_id, claim_id)
    return [RedemptionSeen(*row) for row in found]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A request to issue, as its provider may see it: no member, no recipient, no evidence."""

    number: str
    provider: str
    sku: str
    quantity: int
    state: str
    created_at: datetime
    changed_at: datetime
    next_at: datetime | None
    provider_reference: str


class AttemptSeen(msgspec.Struct, frozen=True):
    """One try: what was asked, when, and what came of it; an empty outcome was never told."""

    operation: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str


# Primary keys.
ORDER = """
SELECT r.provider, r.sku, c.quantity, c.state, r.created_at, c.changed_at, r.next_at,
       c.provider_reference
FROM provider_request AS r
JOIN claim AS c ON c.bucket = r.bucket AND c.claim_id = r.claim_id
WHERE r.bucket = $1 AND r.request_id = $2 AND r.provider = $3 AND r.operation = 'ISSUE'
"""
# The attempts to take the order back stand with a request of their own, of the same claim.
ATTEMPTS = """
SELECT a.operation, a.started_at, a.ended_at, a.outcome
FROM provider_request AS r
JOIN provider_request AS o
  ON o.bucket = r.bucket AND o.member_id = r.member_id AND o.claim_id = r.claim_id
JOIN provider_attempt AS a ON a.bucket = o.bucket AND a.request_id = o.request_id
WHERE r.bucket = $1 AND r.request_id = $2
ORDER BY a.started_at DESC, a.attempt DESC LIMIT $3
"""


async def order(
    conn: Connection, provider: str, request_id: UUID, *, limit: int
) -> tuple[Order, list[AttemptSeen]] | None:
    """Return what we hold about a number of a provider, with its latest attempts."""
    place = (bucket_of(request_id), request_id)
    found = await rows(conn, ORDER, *place, provider)
    if not found:
        return None
    attempts = await rows(conn, ATTEMPTS, *place, limit)
    seen = Order(number=request_id.hex, **found[0]._asdict())
    return seen, [AttemptSeen(*row) for row in attempts]
