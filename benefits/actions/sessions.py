"""Open, enter and recognise page sessions: a code for one entry, then a cookie's secret.

Both are base64url of the session's id and 32 random bytes; only keyed hashes of them are kept.

    open --code, 60 s, once--> enter --secret, 30 minutes in all--> recognise
"""

import base64
import binascii
import secrets
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from benefits.actions.claim import UnknownMember
from benefits.actions.parts import Parts
from benefits.domain.values import bucket_of
from benefits.store import members, sessions
from benefits.store.db import Connection
from benefits.store.sessions import PageSession

CODE_LIFE = timedelta(seconds=60)
SESSION_LIFE = timedelta(minutes=30)
_ID_BYTES = 16
_CHANCE_BYTES = 32
_TEXT_LENGTH = (_ID_BYTES + _CHANCE_BYTES) * 4 // 3


class Secret(msgspec.Struct, frozen=True):
    """A code or a cookie's value, and until when it is good."""

    text: str
    expires_at: datetime


async def open_session(conn: Connection, member_id: UUID, parts: Parts) -> Secret:
    """Make a session for a member and return the code that enters it once (UnknownMember)."""
    if not await members.existing(conn, [member_id]):
        raise UnknownMember
    now = parts.clock()
    session_id = parts.new_id(now, bucket_of(member_id))
    code = _new(session_id)
    code_hash = parts.envelope.hash(code.encode())
    await sessions.put(conn, session_id, member_id, code_hash, expires_at=now + CODE_LIFE)
    return Secret(code, now + CODE_LIFE)


async def enter_session(conn: Connection, code: str, parts: Parts) -> Secret | None:
    """Use a code up for the session's secret; None when it is wrong, used or too old."""
    session_id = _id(code)
    if session_id is None:
        return None
    now = parts.clock()
    kept = await sessions.code_hash(conn, session_id, now)
    if kept is None or not parts.envelope.matches(code.encode(), kept):
        return None
    secret = _new(session_id)
    made = parts.envelope.hash(secret.encode())
    ends = now + SESSION_LIFE
    first = await sessions.enter(conn, session_id, made, now, expires_at=ends)
    return Secret(secret, ends) if first else None


async def recognise(conn: Connection, secret: str, parts: Parts) -> PageSession | None:
    """Return the session whose secret this is; None when it is wrong or the session has ended."""
    session_id = _id(secret)
    if session_id is None:
        return None
    session = await sessions.entered(conn, session_id, parts.clock())
    if session is None or not parts.envelope.matches(secret.encode(), session.secret_hash):
        return None
    return session


def _new(session_id: UUID) -> str:
    chance = secrets.token_bytes(_CHANCE_BYTES)
    return base64.urlsafe_b64encode(session_id.bytes + chance).decode()


def _id(text: str) -> UUID | None:
    """Return the session's id that a code or secret begins with, if it has their shape."""
    if len(text) != _TEXT_LENGTH or not text.isascii():
        return None
    try:
        return UUID(bytes=base64.b64decode(text, altchars=b"-_", validate=True)[:_ID_BYTES])
    except (binascii.Error, ValueError):
        return None
