"""Providers' codes: sealed with their claims, and a row for each time somebody looked at one."""

from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.orders import OrderState
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows, run

# Primary key.
OF_CLAIM = """
SELECT c.member_id, c.state, c.code_sealed FROM claim AS c
WHERE c.bucket = $1 AND c.claim_id = $2
"""
NEW_READING = """
INSERT INTO code_reading (bucket, reading_id, member_id, claim_id, actor, read_at, again)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
# ix_code_reading_bucket_claim_id
READINGS = """
SELECT count(*) AS times, max(r.read_at) AS last FROM code_reading AS r
WHERE r.bucket = $1 AND r.claim_id = $2
"""


class SealedCode(msgspec.Struct, frozen=True):
    """A claim's code as stored, if it has one."""

    member_id: UUID
    state: OrderState
    sealed: bytes | None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A look at a claim's code, and why, if it was shown before."""

    reading_id: UUID
    member_id: UUID
    claim_id: UUID
    actor: str
    read_at: datetime
    again: str


class Readings(msgspec.Struct, frozen=True):
    """How often a code was looked at, and when last."""

    times: int
    last: datetime | None


async def of_claim(conn: Connection, claim_id: UUID) -> SealedCode | None:
    """Return the code of a claim; None when there is no such claim."""
    found = await rows(conn, OF_CLAIM, bucket_of(claim_id), claim_id)
    if not found:
        return None
    return SealedCode(found[0].member_id, OrderState(found[0].state), found[0].code_sealed)


async def put_reading(conn: Connection, reading: Reading) -> None:
    """Record that somebody looked at a claim's code."""
    bucket, said = bucket_of(reading.reading_id), msgspec.structs.astuple(reading)
    await run(conn, NEW_READING, bucket, *said)


async def readings(conn: Connection, claim_id: UUID) -> Readings:
    """Return how often a claim's code was looked at."""
    ((times, last),) = await rows(conn, READINGS, bucket_of(claim_id), claim_id)
    return Readings(times, last)
