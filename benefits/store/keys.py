"""API keys of services: the keyed hash of a random secret, and what its bearer may do."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.store.db import Connection, rows, run

INSERT = """
INSERT INTO api_key (key_id, name, secret_hash, scopes, created_at)
VALUES ($1, $2, $3, $4::text[], $5)
"""
FIND = """
SELECT key_id, name, secret_hash, scopes FROM api_key WHERE key_id = $1 AND revoked_at IS NULL
"""


class ApiKey(msgspec.Struct, frozen=True):
    """A key as stored."""

    key_id: UUID
    name: str
    secret_hash: bytes
    scopes: list[str]


async def put(conn: Connection, key: ApiKey, scopes: Sequence[str], now: datetime) -> None:
    """Store a new key."""
    await run(conn, INSERT, key.key_id, key.name, key.secret_hash, list(scopes), now)


async def find(conn: Connection, key_id: UUID) -> ApiKey | None:
    """Return a key that is not revoked."""
    found = await rows(conn, FIND, key_id)
    return ApiKey(*found[0]) if found else None
