"""Tokens: what an issuer may say, and how verified claims become a caller.

Signature, issuer and audience are verified before; times and claims are judged here. Nothing of
what a token says stands in a refusal's words.
"""

import hashlib
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import msgspec

from benefits.domain.callers import SCOPES, Caller, stand_well
from benefits.domain.refusal import Refusal
from benefits.domain.values import member_id

DEMO_ISSUER = "urn:benefits:demo"
# What a signature may be made with, and the kind (and curve) of key that it needs.
ALGORITHMS: dict[str, tuple[str, str]] = {
    **{f"{family}{bits}": ("RSA", "") for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
CLAIM_LENGTH_MAX = 256
_SUBJECT = b"benefits.subject"


class TokenInvalid(Refusal):
    """A token is not one that a configured issuer made for us, now, for somebody we know."""

    code = "token_invalid"
    words = "The token is not valid here."


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose tokens are taken, and where the issuer's public keys are; seconds where `_s`.

    `alias` begins the names of its callers. Keys are asked for anew after `max_age_s`, for an
    unknown one at most every `refetch_s`, and known ones are trusted for `keep_s` while the issuer
    cannot be reached.
    """

    issuer: str
    alias: str
    audience: str
    algorithms: tuple[str, ...]
    jwks_url: str = ""
    jwks_file: str = ""
    scope_prefix: str = ""
    leeway_s: int = 30
    max_age_s: int = 300
    refetch_s: int = 10
    keep_s: int = 86_400


def caller_of(
    claims: Mapping[str, Any], issuer: Issuer, *, member_key: bytes, now: datetime
) -> tuple[Caller, float]:
    """Return whom verified claims speak for, and for how many seconds yet (TokenInvalid)."""
    left_s = _left_s(claims, issuer.leeway_s, now.timestamp())
    scopes = _scopes(claims.get("scope"), issuer.scope_prefix)
    if not stand_well(scopes):
        _refuse(
            "It has none of our scopes."
            if not scopes
            else "The scopes member, relationship_manager and provider each stand alone."
        )
    bound: dict[str, Any] = {}
    name = ""
    match min(scopes) if len(scopes) == 1 else "":
        case "member":
            bound = {"member_id": _member(claims, member_key)}
            name = f"{issuer.alias}:{bound['member_id'].hex}"
        case "relationship_manager":
            bound = {key: _text(claims, key) for key in ("branch", "manager") if key in claims}
            if not bound:
                _refuse("A relationship manager's token needs `branch` or `manager`.")
        case "provider":
            bound = {"provider": _text(claims, "provider")}
        case _:
            pass
    name = name or name_in_books(issuer.alias, _text(claims, "sub"), member_key)
    return Caller(name=name, scopes=scopes, **bound), left_s


def _refuse(words: str) -> NoReturn:
    raise TokenInvalid(f"{TokenInvalid.words} {words}")


def _left_s(claims: Mapping[str, Any], leeway_s: int, now_s: float) -> float:
    expires = _instant(claims, "exp")
    if expires is None:
        _refuse("It does not say when it ends.")
    if now_s >= expires + leeway_s:
        _refuse("It has expired.")
    for name, words in (("nbf", "It is not valid yet."), ("iat", "It is from the future.")):
        at = _instant(claims, name)
        if at is not None and now_s + leeway_s < at:
            _refuse(words)
    return expires - now_s


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a claim that is a number of seconds; JSON's true is a number in Python."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        _refuse(f"Its `{name}` is not a number of seconds.")
    if abs(value) >= 2**53:
        _refuse(f"Its `{name}` is out of all time.")
    return float(value)


def _scopes(claim: Any, prefix: str) -> frozenset[str]:
    """Return which of our scopes a claim holds; the words of other services mean nothing here."""
    words = claim.split() if isinstance(claim, str) else claim
    if not isinstance(words, list):
        return frozenset()
    given = {word for word in words if isinstance(word, str)}
    return frozenset(scope for scope in SCOPES if prefix + scope in given)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= CLAIM_LENGTH_MAX:
        _refuse(f"Its `{name}` is missing or not a text.")
    if not value.isprintable():
        _refuse(f"Its `{name}` holds characters that are none.")
    return value


def _member(claims: Mapping[str, Any], member_key: bytes) -> UUID:
    """Return whose token it is; the bank's reference goes no further than this."""
    found = set[UUID]()
    if "customer" in claims:
        found.add(member_id(_text(claims, "customer"), member_key))
    if "member_id" in claims:
        try:
            found.add(UUID(_text(claims, "member_id")))
        except ValueError:
            _refuse("Its `member_id` is not an id.")
    if len(found) != 1:
        _refuse("A member's token needs `member_id` or `customer`, and one member.")
    return found.pop()


def name_in_books(alias: str, subject: str, member_key: bytes) -> str:
    """Return a name for an issuer's subject: always the same, and it does not tell who it is."""
    said = subject.encode()
    hashed = hashlib.blake2b(said, key=member_key, digest_size=16, person=_SUBJECT)
    return f"{alias}:{hashed.hexdigest()}"
