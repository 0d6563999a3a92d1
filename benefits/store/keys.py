"""API keys of services: the keyed hash of a random secret, and what its bearer may do."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.store.db import Connection, rows, run
from benefits.store.envelope import HASH_BYTES

INSERT = """
INSERT INTO api_key (key_id, name, secret_hash, scopes, provider, created_at)
VALUES ($1, $2, $3, $4::text[], $5, $6)
"""
_KEY = "SELECT key_id, name, secret_hash, scopes, provider, ends_at FROM api_key"
FIND = f"{_KEY} WHERE key_id = $1 AND (ends_at IS NULL OR ends_at > $2)"
# Two who rotate one key at once: the second waits, and may then end it earlier, never later.
LOCK = f"{FIND} FOR UPDATE"
ALL = """
SELECT key_id, name, scopes, provider, created_at, ends_at FROM api_key ORDER BY name, created_at
"""
END = """
UPDATE api_key SET ends_at = least(ends_at, $3)
WHERE key_id = $1 AND (ends_at IS NULL OR ends_at > $2)
"""
# What can only be read stays as it is.
WRITABLE = "SELECT current_setting('transaction_read_only') = 'off'"
REHASH = "UPDATE api_key SET secret_hash = $3 WHERE key_id = $1 AND secret_hash = $2"
EARLIER = """
SELECT key_id, name, scopes, provider, created_at, ends_at FROM api_key
WHERE (ends_at IS NULL OR ends_at > $1)
  AND (octet_length(secret_hash) <> $2 OR substring(secret_hash FROM 1 FOR $3) <> $4)
ORDER BY name, created_at
"""


class ListedKey(msgspec.Struct, frozen=True):
    """A key as its operators see it: everything but the secret."""

    key_id: UUID
    name: str
    scopes: list[str]
    provider: str
    created_at: datetime
    ends_at: datetime | None


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as stored; `ends_at` may lie ahead."""

    key_id: UUID
    name: str
    secret_hash: bytes
    scopes: list[str]
    provider: str = ""
    ends_at: datetime | None = None


async def put(conn: Connection, key: ApiKey, now: datetime) -> None:
    """Store a new key."""
    await run(conn, INSERT, key.key_id, key.name, key.secret_hash, key.scopes, key.provider, now)


async def find(conn: Connection, key_id: UUID, now: datetime) -> ApiKey | None:
    """Return a key that has not ended."""
    return _key(await rows(conn, FIND, key_id, now))


async def lock(conn: Connection, key_id: UUID, now: datetime) -> ApiKey | None:
    """Return a key that has not ended, locked."""
    return _key(await rows(conn, LOCK, key_id, now))


def _key(found: Sequence[Any]) -> ApiKey | None:
    fields = ApiKey.__struct_fields__
    return ApiKey(**dict(zip(fields, found[0], strict=True))) if found else None


async def everyone(conn: Connection) -> list[ListedKey]:
    """Return all keys by name and age, ended ones too."""
    return [ListedKey(*row) for row in await rows(conn, ALL)]


async def rehash(conn: Connection, key: ApiKey, secret_hash: bytes) -> None:
    """Keep another hash of a key's secret, where anything can be written."""
    ((is_writable,),) = await rows(conn, WRITABLE)
    if is_writable:
        await run(conn, REHASH, key.key_id, key.secret_hash, secret_hash)


async def earlier(conn: Connection, mark: bytes, now: datetime) -> list[ListedKey]:
    """Return the keys that have not ended and whose hashes do not begin with a mark."""
    found = await rows(conn, EARLIER, now, HASH_BYTES, len(mark), mark)
    return [ListedKey(*row) for row in found]


async def end(conn: Connection, key_id: UUID, now: datetime, *, at: datetime) -> bool:
    """Let a key end at an instant, or earlier if it was to; return whether it was valid now."""
    return await run(conn, END, key_id, now, at) == 1
