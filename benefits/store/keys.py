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
SELECT key_id, name, secret_hash, scopes FROM api_key WHERE key_id = $1 AND ends_at IS NULL
"""


ALL = """
SELECT key_id, name, scopes, created_at, ends_at FROM api_key ORDER BY name, created_at
"""
REVOKE = "UPDATE api_key SET ends_at = $2 WHERE key_id = $1 AND ends_at IS NULL"


class ListedKey(msgspec.Struct, frozen=True):
    """A key as its operators see it: everything but the secret."""

    key_id: UUID
    name: str
    scopes: list[str]
    created_at: datetime
    ends_at: datetime | None


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


async def everyone(conn: Connection) -> list[ListedKey]:
    """Return all keys by name and age, revoked ones too."""
    return [ListedKey(*row) for row in await rows(conn, ALL)]


async def revoke(conn: Connection, key_id: UUID, now: datetime) -> bool:
    """Revoke a key; return whether it was valid until now."""
    return await run(conn, REVOKE, key_id, now) == 1
