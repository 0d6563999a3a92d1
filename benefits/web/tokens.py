"""Bearer tokens (JWT) of the configured issuers: signed by a listed key, for us, now.

The algorithm is one of the issuer's own list and fits the kind of the key, so that no token
chooses how it is checked; symmetric ones and `none` cannot be configured. A header that asks for
more than we know (`crit`) is refused, keys that a token brings along are never looked at.
"""

import json
from collections.abc import Sequence
from typing import Any, Self

import jwt
from jwt.utils import base64url_decode

from benefits.domain.callers import Caller
from benefits.domain.tokens import Issuer, TokenInvalid, caller_of
from benefits.domain.values import Clock
from benefits.web.jwks import KeySet, open_session

LENGTH_MAX = 8192
KID_LENGTH_MAX = 256
TYPES = {"jwt", "at+jwt", "application/at+jwt"}
# Times are judged by our own clock, in the domain.
_OPTIONS: Any = {
    "require": ["exp", "iss", "aud"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
    "enforce_minimum_key_length": True,
}


def looks_like_one(text: str) -> bool:
    """Say whether a bearer's text has the shape of a token rather than of an API key."""
    return text.count(".") == 2


class Tokens:
    """Knows the issuers and their keys; an async context manager."""

    def __init__(self, issuers: Sequence[Issuer], *, member_key: bytes, clock: Clock) -> None:
        """Ask no issuer before the first of its tokens comes."""
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._member_key = member_key
        self._clock = clock
        self._sets: dict[str, KeySet] = {}

    async def __aenter__(self) -> Self:
        """Open the way to the issuers."""
        self._http = open_session()
        self._sets = {
            name: KeySet(issuer, self._http, self._clock) for name, issuer in self._issuers.items()
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        for keys in self._sets.values():
            await keys.close()
        await self._http.close()

    async def verify(self, text: str) -> tuple[Caller, float]:
        """Return whom a token speaks for and how many seconds yet (TokenInvalid)."""
        header, claims = _parts(text)
        issuer = self._issuers.get(_text(claims.get("iss")))
        if issuer is None:
            raise TokenInvalid(f"{TokenInvalid.words} Its issuer is not known here.")
        algorithm, kid = _checked(header, issuer)
        key = await self._sets[issuer.issuer].key(kid, algorithm)
        try:
            jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=issuer.audience,
                issuer=issuer.issuer,
                options=_OPTIONS,
            )
        except jwt.InvalidAudienceError:
            raise TokenInvalid(f"{TokenInvalid.words} It is for another audience.") from None
        except jwt.MissingRequiredClaimError as error:
            raise TokenInvalid(f"{TokenInvalid.words} It has no `{error.claim}`.") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise TokenInvalid(f"{TokenInvalid.words} Its signature does not fit.") from None
        return caller_of(claims, issuer, member_key=self._member_key, now=self._clock())


def _checked(header: dict[str, Any], issuer: Issuer) -> tuple[str, str]:
    """Return algorithm and key id of a header that asks for nothing else (TokenInvalid)."""
    algorithm, kid = _text(header.get("alg")), _text(header.get("kid"))
    if algorithm not in issuer.algorithms:
        raise TokenInvalid(f"{TokenInvalid.words} Its algorithm is not one of its issuer's.")
    if not 0 < len(kid) <= KID_LENGTH_MAX:
        raise TokenInvalid(f"{TokenInvalid.words} It does not name its key by a `kid`.")
    if "crit" in header or "b64" in header:
        raise TokenInvalid(f"{TokenInvalid.words} Its header asks for more than is known here.")
    if _text(header.get("typ", "JWT")).lower() not in TYPES:
        raise TokenInvalid(f"{TokenInvalid.words} It is of another type.")
    return algorithm, kid


def _parts(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims, not verified yet; each name once, no number beyond numbers."""
    if len(text) > LENGTH_MAX:
        raise TokenInvalid(f"{TokenInvalid.words} It is longer than {LENGTH_MAX} bytes.")
    try:
        header, claims = (
            json.loads(
                base64url_decode(part), object_pairs_hook=_once, parse_constant=_no_constant
            )
            for part in text.split(".")[:2]
        )
    except (ValueError, RecursionError):
        raise TokenInvalid(f"{TokenInvalid.words} It is malformed.") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise TokenInvalid(f"{TokenInvalid.words} It is malformed.")
    return header, claims


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a name stands twice"
        raise ValueError(msg)
    return found


def _no_constant(name: str) -> Any:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
