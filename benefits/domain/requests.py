"""Idempotency: what a caller's key promises (C-9).

Same key and same body give the first outcome again, with no second effect; same key and another
body conflict. The scope of a key is (caller, operation). Only codes and ids are kept of an
outcome, never a rendered body.
"""

import hashlib
from typing import Any

import msgspec

from benefits.domain.refusal import Refusal

KEY_LENGTH_MAX = 64


class KeyConflict(Refusal):
    """The key was used before for something else (C-9)."""

    code = "idempotency_key_conflict"
    words = "This Idempotency-Key was used before with another body."


class KeyInvalid(Refusal):
    """The key is missing, too long or not printable ASCII."""

    code = "idempotency_key_invalid"
    words = "Send an Idempotency-Key header of 1 to 64 printable ASCII characters."


class StoredOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a decided request: empty `refusal` means it was accepted."""

    refusal: str = ""
    detail: str = ""
    ids: dict[str, str] = {}


def check_key(key: str | None) -> str:
    """Return a usable key or refuse (KeyInvalid)."""
    if not key or len(key) > KEY_LENGTH_MAX or not key.isascii() or not key.isprintable():
        raise KeyInvalid
    return key


def body_hash(body: Any) -> bytes:
    """Return the hash of a command's canonical form: field order and spacing do not matter."""
    canonical = msgspec.json.encode(body, order="deterministic")
    return hashlib.blake2b(canonical, digest_size=16).digest()


def is_said(told: bytes, read: Any, kept: bytes) -> bool:
    """Say whether what was told, as it is `read` today, is what its hash was kept of.

    A release that knew fewer fields told those alone; each must say the same as then.
    """
    then = msgspec.json.decode(told)
    now = msgspec.json.decode(msgspec.json.encode(read))
    fields = {
        name: msgspec.Raw(msgspec.json.encode(value, order="deterministic"))
        for name, value in then.items()
    }
    hashed = hashlib.blake2b(msgspec.json.encode(fields), digest_size=16).digest()
    return hashed == kept and all(now.get(name) == value for name, value in then.items())
