"""Who calls, whether they may, and how often: API keys and tokens, scopes and bindings, rates.

`needs` is the one way into an operation. It finds the caller, takes one request from the caller's
rate, compares scopes, and holds a bound caller to what is its own: to members by `member_id` and
claims by `claim_id` in the path, to a provider by `provider`. What is not one's own answers just
like what is not there, so that nobody learns whom the bank knows. A bound caller never gets to an
operation whose path says none of these, unless its handler itself shows only what is the
caller's (`filters`).

Verified keys and tokens are remembered by hash for a minute at most, never themselves.
"""

import hashlib
import time
from collections import OrderedDict
from typing import Annotated, Any
from uuid import UUID

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import HeaderParameter
from litestar.types import Guard

from benefits.actions.claim import UnknownMember
from benefits.actions.keys import KeyUnknown, check_key
from benefits.actions.parts import Parts
from benefits.domain.callers import Caller
from benefits.domain.tokens import TokenInvalid
from benefits.store import members, merged, pages
from benefits.store.db import Database
from benefits.web.problems import Forbidden, NotFound
from benefits.web.rates import Rates
from benefits.web.tokens import Tokens, looks_like_one

REMEMBERED_MAX = 10_000
REMEMBERED_S = 60.0
READS = {"GET", "HEAD"}

Connected = ASGIConnection[Any, Any, Any, Any]

IdempotencyKey = Annotated[
    str,
    HeaderParameter(
        name="Idempotency-Key",
        description="Required: 1 to 64 printable ASCII characters, the same for every try.",
    ),
]


class Callers:
    """Knows callers by the keys and tokens they send."""

    def __init__(self, database: Database, parts: Parts, tokens: Tokens, rates: Rates) -> None:
        """Look keys up in a database, and ask the issuers of tokens."""
        self._database = database
        self._parts = parts
        self._tokens = tokens
        self._rates = rates
        self._known = OrderedDict[bytes, tuple[Caller, float]]()

    def remembered(self, authorization: bytes) -> Caller | None:
        """Return who sends a key or token that was good within the last minute."""
        if not authorization.startswith(b"Bearer "):
            return None
        found = self._known.get(hashlib.sha256(authorization[7:].strip()).digest())
        return found[0] if found is not None and found[1] > time.monotonic() else None

    async def caller(self, bearer: str, peer: str) -> Caller:
        """Return who sends a key or token from an address (KeyUnknown, TokenInvalid, RateLimited).

        Whatever is refused counts against the address. Once it has spent its tries, keys never
        seen are not even looked up there; those seen before and tokens, which cost no query, are.
        """
        mark = hashlib.sha256(bearer.encode()).digest()
        found = self._known.get(mark)
        if found is not None and found[1] > time.monotonic():
            self._known.move_to_end(mark)
            return found[0]
        is_token = looks_like_one(bearer)
        if not is_token and found is None:
            self._rates.check_failures(peer)
        try:
            caller, good_s = await (self._tokens.verify if is_token else self._check)(bearer)
        except (KeyUnknown, TokenInvalid):
            self._known.pop(mark, None)
            self._rates.failure(peer)
            raise
        self._remember(mark, caller, min(good_s, REMEMBERED_S))
        return caller

    async def _check(self, key: str) -> tuple[Caller, float]:
        async with self._database.transaction() as conn:
            stored = await check_key(conn, key, self._parts)
        left_s = REMEMBERED_S
        if stored.ends_at is not None:
            left_s = (stored.ends_at - self._parts.clock()).total_seconds()
        caller = Caller(
            name=stored.name, scopes=frozenset(stored.scopes), provider=stored.provider
        )
        return caller, left_s

    def _remember(self, mark: bytes, caller: Caller, good_s: float) -> None:
        self._known[mark] = (caller, time.monotonic() + good_s)
        self._known.move_to_end(mark)
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)


def needs(*scopes: str, filters: bool = False) -> Guard:
    """Return a guard that lets callers with one of the scopes pass, as `request.auth`.

    With `filters` the handler itself shows only what the caller may see.
    """

    async def guard(connection: Connected, _handler: BaseRouteHandler) -> None:
        scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not bearer.strip():
            raise KeyUnknown
        peer = connection.client.host if connection.client else ""
        caller = await connection.app.state.callers.caller(bearer.strip(), peer)
        connection.scope["auth"] = caller
        _take(connection, caller)
        if caller.scopes.isdisjoint(scopes):
            raise Forbidden(f"This needs a scope of: {', '.join(scopes)}.")
        if caller.is_bound and not filters:
            await _hold(connection, caller)
        _take_from_member(connection, caller)

    return guard


def _take(connection: Connected, caller: Caller) -> None:
    """Take one request from the caller's own rate.

    What a member's own tokens ask counts for the member, so that a second token is no second rate.
    """
    rates: Rates = connection.app.state.rates
    if caller.member_id is None:
        rates.caller(connection.scope, caller.name)
    else:
        rates.member(connection.scope, caller.member_id)


def _take_from_member(connection: Connected, caller: Caller) -> None:
    """Take a write by somebody else from the member's rate too.

    Only once it is allowed: whoever may not write for a member cannot spend what is theirs.
    """
    if caller.member_id is not None or connection.scope.get("method") in READS:
        return
    member: UUID | None = connection.path_params.get("member_id")
    if member is not None:
        rates: Rates = connection.app.state.rates
        rates.member(connection.scope, member)


async def _hold(connection: Connected, caller: Caller) -> None:
    """Hold a bound caller to what is its own (UnknownMember, NotFound, Forbidden)."""
    path = connection.path_params
    if "member_id" in path:
        if not await may_see(connection, path["member_id"]):
            raise UnknownMember
    elif "claim_id" in path:
        async with connection.app.state.database.transaction() as conn:
            owner = await pages.member_of_claim(conn, path["claim_id"])
        if owner is None or not await may_see(connection, owner):
            raise NotFound
    elif "provider" in path:
        if caller.provider != path["provider"]:
            raise NotFound
    else:
        raise Forbidden


async def may_see(request: Request[Any, Any, Any] | Connected, member_id: UUID) -> bool:
    """Say whether the caller may see a member; nobody learns from it who is one."""
    return member_id in await visible(request, [member_id])


async def visible(request: Request[Any, Any, Any] | Connected, ids: list[UUID]) -> set[UUID]:
    """Return which of the ids belong to members that the caller may see."""
    caller: Caller = request.scope["auth"]
    async with request.app.state.database.transaction() as conn:
        if "relationship_manager" in caller.scopes:
            return await members.managed(conn, ids, branch=caller.branch, manager=caller.manager)
        if caller.is_bound and caller.member_id is not None:
            own = {caller.member_id, *(await merged.current(conn, [caller.member_id])).values()}
            ids = [id_ for id_ in ids if id_ in own]
        elif caller.is_bound:
            ids = []
        return await members.existing(conn, ids)
