"""The public keys of an issuer: fetched, kept, and fetched again when it rotates them.

- Keys are trusted for the issuer's `max_age_s`; from half of it on they are asked for anew beside
  the requests, so that nobody waits while the issuer answers.
- A key id nobody knows makes us ask at once, but at most every `refetch_s`, however many unknown
  ids arrive; all who need the answer wait for one and the same fetch.
- While the issuer cannot be reached, known keys stay good for `keep_s`; then nothing is verified.
- An answer counts whole: keys it no longer lists are forgotten. Entries that are no public key for
  signatures are passed over; an answer that is not a set of keys counts as none.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from benefits.domain.refusal import Refusal
from benefits.domain.tokens import ALGORITHMS, Issuer, TokenInvalid
from benefits.domain.values import Clock

SET_BYTES_MAX = 128 * 1024
KEYS_MAX = 100
FETCH_S = 5.0
RSA_BITS_MIN = 2048
_UNKNOWN = f"{TokenInvalid.words} Its issuer lists no such key."

log = structlog.get_logger()


class IssuerUnavailable(Refusal):
    """The issuer's keys cannot be had, so its tokens can be neither taken nor refused."""

    code = "issuer_unavailable"
    words = "The issuer of this token cannot be asked for its keys. Send the same request again."


class KeySet:
    """The keys of one issuer."""

    def __init__(self, issuer: Issuer, http: aiohttp.ClientSession, clock: Clock) -> None:
        """Know nothing yet; the first token makes it ask."""
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._keys: dict[tuple[str, str], Any] = {}
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str, algorithm: str) -> Any:
        """Return the key of an id that fits an algorithm (TokenInvalid, IssuerUnavailable)."""
        name = (kid, algorithm)
        age = self._since(self._fetched_s)
        if name in self._keys and age < self._issuer.max_age_s:
            if age >= self._issuer.max_age_s / 2 and self._may_try():
                self._fetch()
        elif self._fetching is not None or self._may_try():
            fetching = self._fetch()
            # Whoever has a key is not kept waiting, again and again, for an issuer that hangs.
            if not (self._failed and name in self._keys):
                await asyncio.shield(fetching)
        if self._since(self._fetched_s) >= max(self._issuer.keep_s, self._issuer.max_age_s):
            raise IssuerUnavailable
        if name not in self._keys:
            raise IssuerUnavailable if self._failed else TokenInvalid(_UNKNOWN)
        return self._keys[name]

    async def close(self) -> None:
        """Give up a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _since(self, at_s: float | None) -> float:
        """Return the seconds since an instant; one that never was, or lies ahead, is long ago."""
        passed = self._clock().timestamp() - at_s if at_s is not None else -1.0
        return passed if passed >= 0 else float("inf")

    def _may_try(self) -> bool:
        return self._since(self._tried_s) >= self._issuer.refetch_s

    def _fetch(self) -> asyncio.Task[None]:
        """Ask the issuer, or join who is asking."""
        if self._fetching is None:
            self._tried_s = self._clock().timestamp()
            self._fetching = asyncio.create_task(self._refresh(), name="jwks")
        return self._fetching

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(FETCH_S):
                keys = dict(_keys(await self._read(), self._issuer.algorithms))
        except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            self._failed = True
            log.error(  # noqa: TRY400 - the kind of the error tells all
                "issuer.keys_unavailable", issuer=self._issuer.alias, reason=type(error).__name__
            )
        else:
            self._failed = False
            self._keys, self._fetched_s = keys, self._clock().timestamp()
        finally:
            self._fetching = None

    async def _read(self) -> bytes:
        if self._issuer.jwks_file:
            return await asyncio.to_thread(_read_file, Path(self._issuer.jwks_file))
        url = self._issuer.jwks_url
        async with self._http.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                msg = "the issuer did not answer with a set of keys"
                raise ValueError(msg)
            content = bytearray()
            async for chunk in answer.content.iter_any():
                content += chunk
                if len(content) > SET_BYTES_MAX:
                    answer.close()
                    break
            return _within(bytes(content))


def open_session() -> aiohttp.ClientSession:
    """Open what asks issuers: no cookies, no compression, no proxy of the environment."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "benefits", "Accept-Encoding": "identity"},
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=FETCH_S),
        trust_env=False,
    )


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return _within(file.read(SET_BYTES_MAX + 1))


def _within(content: bytes) -> bytes:
    if len(content) > SET_BYTES_MAX:
        msg = f"the set of keys is longer than {SET_BYTES_MAX} bytes"
        raise ValueError(msg)
    return content


def _keys(content: bytes, algorithms: tuple[str, ...]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield the usable keys of a set by id and algorithm; ValueError when it is no set."""
    document = json.loads(content)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        msg = "the answer is not a set of keys"
        raise ValueError(msg)  # noqa: TRY004 - what came is malformed, whatever its type
    for entry in entries[:KEYS_MAX]:
        if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
            continue
        for algorithm in algorithms:
            key = _usable(entry, algorithm)
            if key is not None:
                yield (entry["kid"], algorithm), key


def _usable(entry: dict[str, Any], algorithm: str) -> Any:
    """Return an entry as a public key for an algorithm, or None when it is none."""
    kind, curve = ALGORITHMS[algorithm]
    told = entry.get("key_ops", ["verify"])
    if (
        entry.get("kty") != kind
        or (curve and entry.get("crv") != curve)
        or entry.get("use", "sig") != "sig"
        or entry.get("alg", algorithm) not in {algorithm, curve}
        or not (isinstance(told, list) and "verify" in told)
        or "d" in entry  # a private key that is published is nobody's any more
    ):
        return None
    try:
        key = jwt.PyJWK(entry, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    weak = isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS_MIN
    return None if weak else key
