"""Page sessions: the keyed hashes of an entry code and of the cookie it is changed for.

A row lives in its member's bucket, and so does its id: the id alone finds it. Until it is entered
a session lives as long as its code.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows, run

INSERT = """
INSERT INTO page_session (bucket, session_id, member_id, code_hash, code_expires_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $5)
"""
# Primary key, as for the two below.
CODE = """
SELECT s.code_hash FROM page_session AS s
WHERE s.bucket = $1 AND s.session_id = $2 AND s.entered_at IS NULL AND s.code_expires_at > $3
"""
# Of two who bring the same code at once, one waits for the other and then finds it entered.
ENTER = """
UPDATE page_session SET secret_hash = $3, entered_at = $4, expires_at = $5
WHERE bucket = $1 AND session_id = $2 AND entered_at IS NULL AND code_expires_at > $4
"""
# Whoever was merged since sees what the member has they were merged into.
ENTERED = """
SELECT s.session_id, coalesce(m.merged_into, s.member_id) AS member_id, s.secret_hash
FROM page_session AS s
LEFT JOIN member AS m ON m.bucket = s.bucket AND m.member_id = s.member_id
WHERE s.bucket = $1 AND s.session_id = $2 AND s.secret_hash IS NOT NULL AND s.expires_at > $3
"""


class PageSession(msgspec.Struct, frozen=True):
    """A session that was entered and has not ended."""

    session_id: UUID
    member_id: UUID
    secret_hash: bytes


async def put(
    conn: Connection, session_id: UUID, member_id: UUID, code_hash: bytes, *, expires_at: datetime
) -> None:
    """Keep a new session with its code, which opens it before `expires_at`."""
    await run(conn, INSERT, bucket_of(session_id), session_id, member_id, code_hash, expires_at)


async def code_hash(conn: Connection, session_id: UUID, now: datetime) -> bytes | None:
    """Return the hash of a session's code while it can still be used."""
    found = await rows(conn, CODE, bucket_of(session_id), session_id, now)
    return found[0].code_hash if found else None


async def enter(
    conn: Connection, session_id: UUID, secret_hash: bytes, now: datetime, *, expires_at: datetime
) -> bool:
    """Use a session's code up; False when somebody else has, or its time is over."""
    bucket = bucket_of(session_id)
    return bool(await run(conn, ENTER, bucket, session_id, secret_hash, now, expires_at))


async def entered(conn: Connection, session_id: UUID, now: datetime) -> PageSession | None:
    """Return a session that was entered and has not ended."""
    found = await rows(conn, ENTERED, bucket_of(session_id), session_id, now)
    return PageSession(*found[0]) if found else None
