"""Read models: what the benefits page and the API show of a member. Never part of a decision."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows

MEMBER = """
SELECT member_id, opened_on, closed_on, branch, has_merged, has_blocks FROM member
WHERE bucket = $1 AND member_id = $2
"""
# As `ClaimSeen` has it.
CLAIM_SEEN = """c.claim_id, c.benefit, c.programme, c.quantity, c.state, c.reason, c.claimed_at,
       c.changed_at, c.provider_reference, c.code_sealed IS NOT NULL,
       (SELECT r.request_id FROM provider_request AS r
        WHERE r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
          AND r.operation = 'ISSUE'), c.use_until, c.used,
       c.ended_at, c.instead_of, c.booked_for, c.cancel_until, c.cancelled_at, c.missing"""
CLAIM = f"SELECT c.member_id, {CLAIM_SEEN} FROM claim AS c WHERE c.bucket = $1 AND c.claim_id = $2"
CLAIMER = """
SELECT coalesce(m.merged_into, m.member_id) AS member_id
FROM claim AS c JOIN member AS m ON m.bucket = c.bucket AND m.member_id = c.member_id
WHERE c.bucket = $1 AND c.claim_id = $2
"""
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


class Entitlement(msgspec.Struct, frozen=True, array_like=True):
    """A lot as the page shows it, its columns in the statement's order."""

    unit: str
    programme: str
    granted: int
    available: int
    held: int
    granted_at: datetime
    expires_at: datetime | None


class ClaimSeen(msgspec.Struct, frozen=True, array_like=True):
    """A claim as the page shows it, in the order of `CLAIM_SEEN`."""

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
    request_id: UUID | None
    use_until: datetime | None
    used: int = 0
    ended_at: datetime | None = None
    instead_of: str = ""
    booked_for: datetime | None = None
    cancel_until: datetime | None = None
    cancelled_at: datetime | None = None
    missing: int = 0

    @property
    def number(self) -> str:
        """What the provider knows the claim by; empty when nobody was ever asked for it."""
        return self.request_id.hex if self.request_id else ""


class MemberSeen(msgspec.Struct, frozen=True):
    """The first and the last day of a member's relationship with the bank, and what is on it."""

    member_id: UUID
    opened_on: date
    closed_on: date | None
    branch: str
    has_merged: bool
    has_blocks: bool


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


async def claim(conn: Connection, claim_id: UUID) -> tuple[UUID, ClaimSeen] | None:
    """Return a claim with its member."""
    found = await rows(conn, CLAIM, bucket_of(claim_id), claim_id)
    return (found[0].member_id, ClaimSeen(*found[0][1:])) if found else None


async def member_of_claim(conn: Connection, claim_id: UUID) -> UUID | None:
    """Return whose claim it is now: of whoever was merged, the other's."""
    found = await rows(conn, CLAIMER, bucket_of(claim_id), claim_id)
    return found[0].member_id if found else None


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
