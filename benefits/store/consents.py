"""Consents: what members said, row by row; what was said last counts (E-4, X-4)."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows, run

# Primary key. The same said again of the same day is no news; what is, comes after what there is,
# whatever the clocks of those who record say.
INSERT = """
INSERT INTO consent (bucket, member_id, purpose, provider, said_on, recorded_at, is_given, actor)
SELECT n.bucket, n.member_id, n.purpose, n.provider, n.said_on,
       greatest($7, o.recorded_at + interval '1 microsecond'), n.is_given, $8
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::date[], $6::boolean[])
     AS n (bucket, member_id, purpose, provider, said_on, is_given)
LEFT JOIN LATERAL (
    SELECT c.is_given, c.recorded_at FROM consent AS c
    WHERE c.bucket = n.bucket AND c.member_id = n.member_id AND c.purpose = n.purpose
      AND c.provider = n.provider AND c.said_on = n.said_on
    ORDER BY c.recorded_at DESC LIMIT 1) AS o ON true
WHERE o.is_given IS DISTINCT FROM n.is_given
ORDER BY n.bucket, n.member_id, n.purpose, n.provider, n.said_on
RETURNING member_id
"""
CURRENT = """
SELECT DISTINCT ON (c.purpose, c.provider) c.purpose, c.provider, c.is_given, c.said_on
FROM consent AS c WHERE c.bucket = $1 AND c.member_id = $2
ORDER BY c.purpose, c.provider, c.said_on DESC, c.recorded_at DESC
"""
# What was said of one customer was said by the person that both are.
COPY = """
INSERT INTO consent (bucket, member_id, purpose, provider, said_on, recorded_at, is_given, actor)
SELECT $3, $4, c.purpose, c.provider, c.said_on, c.recorded_at, c.is_given, c.actor
FROM consent AS c WHERE c.bucket = $1 AND c.member_id = $2
ON CONFLICT DO NOTHING
"""


class Said(msgspec.Struct, frozen=True):
    """What a member said of a purpose and a provider, on a day."""

    member_id: UUID
    purpose: str
    provider: str
    said_on: date
    is_given: bool


class Consented(msgspec.Struct, frozen=True):
    """Whether a member agrees to a purpose for a provider, and since when it stands like that."""

    purpose: str
    provider: str
    is_given: bool
    said_on: date


async def put(conn: Connection, said: Sequence[Said], now: datetime, *, actor: str) -> int:
    """Record what is news of what locked members said; return how many rows that were."""
    found = await rows(
        conn,
        INSERT,
        [bucket_of(each.member_id) for each in said],
        [each.member_id for each in said],
        [each.purpose for each in said],
        [each.provider for each in said],
        [each.said_on for each in said],
        [each.is_given for each in said],
        now,
        actor,
    )
    return len(found)


async def current(conn: Connection, member_id: UUID) -> list[Consented]:
    """Return what a member said last, by purpose and provider."""
    return [Consented(*row) for row in await rows(conn, CURRENT, bucket_of(member_id), member_id)]


async def merge(conn: Connection, of: UUID, into: UUID) -> None:
    """Let what one member said count for another, who is the same person."""
    await run(conn, COPY, bucket_of(of), of, bucket_of(into), into)
