"""Read models: what the benefits page and the API show of a member. Never part of a decision."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows

MEMBER = "SELECT opened_on, closed_on FROM member WHERE bucket = $1 AND member_id = $2"
# ix_lot_bucket_member_id_unit_expires_at
ENTITLEMENTS = """
SELECT l.unit, l.programme, l.granted, l.remaining - l.held AS available, l.held, l.granted_at,
       l.expires_at
FROM lot AS l
WHERE l.bucket = $1 AND l.member_id = $2 AND (l.expires_at > $3 OR l.expires_at IS NULL)
  AND l.remaining > 0
ORDER BY l.unit, l.expires_at, l.lot_id
"""
_CLAIM = """c.claim_id, c.benefit, c.programme, c.quantity, c.state, c.reason, c.claimed_at,
       c.changed_at, c.provider_reference, (c.code_sealed IS NOT NULL) AS has_code,
       (SELECT r.request_id FROM provider_request AS r
        WHERE r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
          AND r.operation = 'ISSUE') AS request_id"""
# ix_claim_bucket_member_id_claim_id
CLAIMS = f"""
SELECT {_CLAIM} FROM claim AS c
WHERE c.bucket = $1 AND c.member_id = $2 ORDER BY c.claim_id DESC LIMIT $3
"""
CLAIM = f"SELECT c.member_id, {_CLAIM} FROM claim AS c WHERE c.bucket = $1 AND c.claim_id = $2"
CLAIMER = "SELECT c.member_id FROM claim AS c WHERE c.bucket = $1 AND c.claim_id = $2"
# Primary key, backwards.
HISTORY = """
SELECT e.seq, e.type, e.subject_id, e.data, e.recorded_at FROM outbox AS e
WHERE e.bucket = $1 AND e.member_id = $2 AND e.seq < $3 ORDER BY e.seq DESC LIMIT $4
"""
STORY = """
SELECT e.seq, e.type, e.subject_id, e.data, e.recorded_at FROM outbox AS e
WHERE e.bucket = $1 AND e.member_id = $2 AND e.seq < $3 AND e.type = ANY($5::text[])
  AND e.recorded_at >= $6
  AND ($7::text = '' OR e.data ->> 'benefit' = $7 OR e.data ->> 'unit' = 'BENEFIT:' || $7)
ORDER BY e.seq DESC LIMIT $4
"""
OF_CLAIM = """
SELECT e.seq, e.type, e.subject_id, e.data, e.recorded_at FROM outbox AS e
WHERE e.bucket = $1 AND e.member_id = $2 AND e.subject_id = $3 ORDER BY e.seq
"""
# ix_lot_bucket_member_id_unit_expires_at; whether the sweep has recorded the end or not (L-5).
EXPIRED = """
SELECT l.unit, sum(l.expired + l.remaining - l.held)::bigint AS quantity, l.expires_at
FROM lot AS l
WHERE l.bucket = $1 AND l.member_id = $2 AND l.expires_at <= $3 AND l.expires_at > $4
GROUP BY l.unit, l.expires_at
HAVING sum(l.expired + l.remaining - l.held) > 0
ORDER BY l.expires_at DESC, l.unit
"""
MONTH = """
SELECT coalesce(sum(s.sum_minor), 0)::bigint AS sum_minor,
       coalesce(bit_or(s.known_days), 0) AS known
FROM asset_month AS s
WHERE s.bucket = $1 AND s.member_id = $2 AND s.month = $3 AND s.currency = $4
  AND s.asset_class = ANY($5::text[])
"""
EVALUATED = """
SELECT count(*) AS n FROM evaluation AS e WHERE e.bucket = $1 AND e.programme = $2 AND e.month = $3
"""


class Entitlement(msgspec.Struct, frozen=True):
    """A lot as the page shows it."""

    unit: str
    programme: str
    granted: int
    available: int
    held: int
    granted_at: datetime
    expires_at: datetime | None


class ClaimSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A claim as the page shows it; `number` is what the provider knows it by."""

    claim_id: UUID
    benefit: str
    programme: str
    quantity: int
    state: str
    reason: str
    claimed_at: datetime
    changed_at: datetime
    provider_reference: str
    has_code: bool
    number: str


class MemberSeen(msgspec.Struct, frozen=True):
    """The first and the last day of a member's relationship with the bank."""

    opened_on: date
    closed_on: date | None


class Expired(msgspec.Struct, frozen=True):
    """Units whose time ended before they were used."""

    unit: str
    quantity: int
    expires_at: datetime


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which events of a history are wanted: types, an instant to begin at, a benefit or any."""

    types: Sequence[str]
    since: datetime
    benefit: str = ""


class EventSeen(msgspec.Struct, frozen=True):
    """An event of a member's history."""

    seq: int
    type: str
    subject_id: UUID | None
    data: dict[str, Any]
    recorded_at: datetime


async def member_exists(conn: Connection, member_id: UUID) -> bool:
    """Say whether there is a member of this id."""
    return bool(await rows(conn, MEMBER, bucket_of(member_id), member_id))


async def member(conn: Connection, member_id: UUID) -> MemberSeen | None:
    """Return a member's relationship with the bank."""
    found = await rows(conn, MEMBER, bucket_of(member_id), member_id)
    return MemberSeen(*found[0]) if found else None


async def entitlements(conn: Connection, member_id: UUID, now: datetime) -> list[Entitlement]:
    """Return the lots a member has now, by unit, earliest expiry first."""
    found = await rows(conn, ENTITLEMENTS, bucket_of(member_id), member_id, now)
    return [Entitlement(*row) for row in found]


async def latest_claims(conn: Connection, member_id: UUID, limit: int) -> list[ClaimSeen]:
    """Return a member's claims, newest first."""
    found = await rows(conn, CLAIMS, bucket_of(member_id), member_id, limit)
    return [_claim(row) for row in found]


async def claim(conn: Connection, claim_id: UUID) -> tuple[UUID, ClaimSeen] | None:
    """Return a claim with its member."""
    found = await rows(conn, CLAIM, bucket_of(claim_id), claim_id)
    return (found[0].member_id, _claim(found[0])) if found else None


async def member_of_claim(conn: Connection, claim_id: UUID) -> UUID | None:
    """Return whose claim it is."""
    found = await rows(conn, CLAIMER, bucket_of(claim_id), claim_id)
    return found[0].member_id if found else None


def _claim(row: Any) -> ClaimSeen:
    return ClaimSeen(
        claim_id=row.claim_id,
        benefit=row.benefit,
        programme=row.programme,
        quantity=row.quantity,
        state=row.state,
        reason=row.reason,
        claimed_at=row.claimed_at,
        changed_at=row.changed_at,
        provider_reference=row.provider_reference,
        has_code=row.has_code,
        number=row.request_id.hex if row.request_id else "",
    )


async def history(
    conn: Connection, member_id: UUID, *, before: int, limit: int
) -> Sequence[EventSeen]:
    """Return a member's events numbered below `before`, newest first."""
    found = await rows(conn, HISTORY, bucket_of(member_id), member_id, before, limit)
    return [EventSeen(r.seq, r.type, r.subject_id, r.data, r.recorded_at) for r in found]


async def story(
    conn: Connection, member_id: UUID, chosen: Chosen, *, before: int, limit: int
) -> list[EventSeen]:
    """Return the chosen events of a member numbered below `before`, newest first."""
    found = await rows(
        conn,
        STORY,
        bucket_of(member_id),
        member_id,
        before,
        limit,
        list(chosen.types),
        chosen.since,
        chosen.benefit,
    )
    return [EventSeen(r.seq, r.type, r.subject_id, r.data, r.recorded_at) for r in found]


async def events_of(conn: Connection, member_id: UUID, claim_id: UUID) -> list[EventSeen]:
    """Return the events of one claim of a member, oldest first."""
    found = await rows(conn, OF_CLAIM, bucket_of(member_id), member_id, claim_id)
    return [EventSeen(r.seq, r.type, r.subject_id, r.data, r.recorded_at) for r in found]


async def expired(
    conn: Connection, member_id: UUID, now: datetime, since: datetime
) -> list[Expired]:
    """Return the units that ended unused between `since` and `now`, latest first."""
    found = await rows(conn, EXPIRED, bucket_of(member_id), member_id, now, since)
    return [Expired(*row) for row in found]


async def month_so_far(
    conn: Connection, member_id: UUID, *, month: Any, currency: str, classes: Sequence[str]
) -> tuple[int, int]:
    """Return the sum of a month's known day-end balances and the bits of its known days."""
    ((sum_minor, known),) = await rows(
        conn, MONTH, bucket_of(member_id), member_id, month, currency, list(classes)
    )
    return sum_minor, known


async def is_evaluated(conn: Connection, member_id: UUID, programme: str, month: Any) -> bool:
    """Say whether a month has been evaluated for a member's bucket."""
    ((count,),) = await rows(conn, EVALUATED, bucket_of(member_id), programme, month)
    return bool(count)
