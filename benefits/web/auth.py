"""Who calls: service API keys with scopes; verified keys are remembered by hash for a minute."""

import hashlib
import time
from typing import Annotated, Any

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import HeaderParameter
from litestar.types import Guard

from benefits.actions.keys import KeyUnknown, check_key
from benefits.actions.parts import Parts
from benefits.store.db import Database
from benefits.web.problems import Forbidden

REMEMBERED_MAX = 10_000
REMEMBERED_S = 60.0


IdempotencyKey = Annotated[
    str,
    HeaderParameter(
        name="Idempotency-Key",
        description="Required: 1 to 64 printable ASCII characters, the same for every try.",
    ),
]


class Caller(msgspec.Struct, frozen=True):
    """A service that calls, by its key's name, and what it may do."""

    name: str
    scopes: frozenset[str]


class Callers:
    """Knows callers by the keys they send."""

    def __init__(self, database: Database, parts: Parts) -> None:
        """Look keys up in a database."""
        self._database = database
        self._parts = parts
        self._known: dict[bytes, tuple[Caller, float]] = {}

    async def caller(self, key: str) -> Caller:
        """Return who sends a key (KeyUnknown)."""
        mark = hashlib.sha256(key.encode()).digest()
        found = self._known.get(mark)
        now = time.monotonic()
        if found is not None and found[1] > now:
            return found[0]
        async with self._database.transaction() as conn:
            stored = await check_key(conn, key, self._parts)
        caller = Caller(stored.name, frozenset(stored.scopes))
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[mark] = (caller, now + REMEMBERED_S)
        return caller


def needs(*scopes: str) -> Guard:
    """Return a guard that lets callers with one of the scopes pass, as `request.auth`."""

    async def guard(
        connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
    ) -> None:
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise KeyUnknown
        caller = await connection.app.state.callers.caller(key.strip())
        if caller.scopes.isdisjoint(scopes):
            raise Forbidden(f"This needs a scope of: {', '.join(scopes)}.")
        connection.scope["auth"] = caller

    return guard
