"""Make API keys, `bk_<id>_<secret>`, and check them; a key is shown once, its keyed hash kept."""

import re
import secrets
from collections.abc import Sequence
from uuid import UUID

from benefits.actions.parts import Parts
from benefits.domain.refusal import Refusal
from benefits.store import keys
from benefits.store.db import Connection
from benefits.store.keys import ApiKey, ListedKey

PREFIX = "bk"
NAME = re.compile("[a-z0-9-]{1,40}")
SCOPES = ("mobile", "crm", "operator", "approver", "auditor")


class KeyUnknown(Refusal):
    """No valid API key came with the request."""

    code = "unauthenticated"
    words = "Send a valid API key as `Authorization: Bearer …`."


class ScopeUnknown(Refusal):
    """A scope that does not exist was asked for."""

    code = "scope_unknown"
    words = f"Scopes are: {', '.join(SCOPES)}."


class NameInvalid(Refusal):
    """A caller's name stands in the books, and some are the service's own."""

    code = "name_invalid"
    words = "A name has 1 to 40 lower-case letters, digits and hyphens."


async def make_key(conn: Connection, name: str, scopes: Sequence[str], parts: Parts) -> str:
    """Make a key and return it, this once (NameInvalid, ScopeUnknown)."""
    if not NAME.fullmatch(name):
        raise NameInvalid
    if not scopes or any(scope not in SCOPES for scope in scopes):
        raise ScopeUnknown
    now = parts.clock()
    key_id = parts.new_id(now, 0)
    secret = secrets.token_bytes(32)
    key = ApiKey(key_id, name, parts.envelope.hash(secret), list(scopes))
    await keys.put(conn, key, scopes, now)
    return f"{PREFIX}_{key_id.hex}_{secret.hex()}"


async def list_keys(conn: Connection) -> list[ListedKey]:
    """Return all keys, without their secrets."""
    return await keys.everyone(conn)


class KeyNotValid(Refusal):
    """No key of this id is valid."""

    code = "key_not_valid"
    words = "No key of this id is valid."


async def revoke_key(conn: Connection, key_id: UUID, parts: Parts) -> None:
    """Revoke a key; processes that have seen it forget it within a minute (KeyNotValid)."""
    if not await keys.revoke(conn, key_id, parts.clock()):
        raise KeyNotValid


async def check_key(conn: Connection, text: str, parts: Parts) -> ApiKey:
    """Return the key a caller sent (KeyUnknown)."""
    try:
        prefix, id_, secret = text.split("_")
        key_id, given = UUID(hex=id_), bytes.fromhex(secret)
    except ValueError:
        raise KeyUnknown from None
    found = await keys.find(conn, key_id) if prefix == PREFIX else None
    if found is None or not parts.envelope.matches(given, found.secret_hash):
        raise KeyUnknown
    return found
