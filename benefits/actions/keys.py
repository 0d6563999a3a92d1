"""Make API keys, `bk_<id>_<secret>`, and check them; a key is shown once, its keyed hash kept.

Rotating makes the next key under the same name, scopes and provider; the old one ends after an
overlap in which both are good.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from benefits.actions.parts import Parts
from benefits.domain.callers import KEY_SCOPES, stand_well
from benefits.domain.refusal import Refusal
from benefits.store import keys
from benefits.store.db import Connection
from benefits.store.keys import ApiKey, ListedKey

PREFIX = "bk"
NAME = re.compile("[a-z0-9-]{1,40}")


class KeyUnknown(Refusal):
    """No valid API key or token came with the request."""

    code = "unauthenticated"
    words = "Send a valid API key or token as `Authorization: Bearer …`."


class ScopeUnknown(Refusal):
    """A scope that does not exist was asked for."""

    code = "scope_unknown"
    words = f"Scopes are: {', '.join(KEY_SCOPES)}."


class NameInvalid(Refusal):
    """A caller's name stands in the books, and some are the service's own."""

    code = "name_invalid"
    words = "A name has 1 to 40 lower-case letters, digits and hyphens."


class ProviderUnknown(Refusal):
    """The scope `provider` goes with the code of a provider in force, alone; no other does."""

    code = "provider_unknown"
    words = "A key of scope provider names a provider in force and has no other scope."


async def make_key(
    conn: Connection, name: str, scopes: Sequence[str], parts: Parts, *, provider: str = ""
) -> str:
    """Make a key and return it, this once (NameInvalid, ScopeUnknown, ProviderUnknown)."""
    if not NAME.fullmatch(name):
        raise NameInvalid
    if not scopes or any(scope not in KEY_SCOPES for scope in scopes):
        raise ScopeUnknown
    known = {""}
    if "provider" in scopes:
        programmes = (await parts.catalogue.current(conn)).programmes.values()
        known = {code for programme in programmes for code in programme.providers}
    if provider not in known or not stand_well(frozenset(scopes)):
        raise ProviderUnknown
    return await _make(conn, name, scopes, parts, provider=provider)


async def _make(
    conn: Connection, name: str, scopes: Sequence[str], parts: Parts, *, provider: str
) -> str:
    now = parts.clock()
    key_id = parts.new_id(now, 0)
    secret = secrets.token_bytes(32)
    key = ApiKey(
        key_id=key_id,
        name=name,
        secret_hash=parts.envelope.hash(secret),
        scopes=list(dict.fromkeys(scopes)),
        provider=provider,
    )
    await keys.put(conn, key, now)
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
    now = parts.clock()
    if not await keys.end(conn, key_id, now, at=now):
        raise KeyNotValid


async def rotate_key(conn: Connection, key_id: UUID, parts: Parts, *, keep: timedelta) -> str:
    """Make the next key, return it this once, and end this one after `keep` (KeyNotValid)."""
    now = parts.clock()
    old = await keys.lock(conn, key_id, now)
    if old is None:
        raise KeyNotValid
    await keys.end(conn, key_id, now, at=now + keep)
    return await _make(conn, old.name, old.scopes, parts, provider=old.provider)


async def check_key(conn: Connection, text: str, parts: Parts) -> ApiKey:
    """Return the key a caller sent (KeyUnknown).

    What is kept of it is made anew where it was made with an earlier secret key.
    """
    try:
        prefix, id_, secret = text.split("_")
        key_id, given = UUID(hex=id_), bytes.fromhex(secret)
    except ValueError:
        raise KeyUnknown from None
    found = await keys.find(conn, key_id, parts.clock()) if prefix == PREFIX else None
    if found is None or not parts.envelope.matches(given, found.secret_hash):
        raise KeyUnknown
    if not found.secret_hash.startswith(parts.envelope.mark):
        await keys.rehash(conn, found, parts.envelope.hash(given))
    return found
