"""The hot operations, answered without the framework where a request is as nearly all are.

Most of what is asked under load are a backend's claims and looks at what a member has, and then
what providers tell of the claims. Finding the route, building the handler's arguments and an
answer's object cost more than answering. What is plain is done here with the same functions that
the framework's handlers call; everything else goes there with the body as it came: dry runs,
tokens, keys not seen lately, bodies that do not fit. So no mistake is worded here.
"""

import re
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.types import ASGIApp, Receive, Send

from benefits.actions.claim import ClaimUnits
from benefits.actions.keyed import Accepted
from benefits.domain.callers import Caller
from benefits.domain.requests import KeyInvalid, check_key
from benefits.providers.provider import RawCallback
from benefits.web import callbacks, claims, mobile, problems
from benefits.web.auth import Callers
from benefits.web.language import hear
from benefits.web.limits import send_view, send_whole

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_CLAIMS = re.compile(claims.CLAIMS.replace("{member_id:uuid}", f"({_ID})"))
_BENEFITS = re.compile(mobile.BENEFITS.replace("{member_id:uuid}", f"({_ID})"))
_CALLBACK = re.compile(callbacks.CALLBACK.replace("{provider:str}", "([^/]+)"))
_BODY_BYTES_MAX = 16 * 1024
_BODY = msgspec.json.Decoder(claims.ClaimRequest)
_Headers = dict[bytes, bytes]


class _Asked(NamedTuple):
    caller: Caller
    member_id: UUID
    headers: dict[bytes, bytes]


class Express:
    """An ASGI application before another."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        """Answer what is plain; ask `app` for the rest. `state` is the service's."""
        self._app = app
        self._state = state

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer a look, a claim or a callback, or go on with the body as it came."""
        left: Receive | None = receive
        if scope["type"] == "http" and not scope["query_string"]:
            headers = dict(scope["headers"])
            is_plain = len(headers) == len(scope["headers"]) and b"content-encoding" not in headers
            if is_plain and scope["method"] == "GET":
                left = await self._look(scope, headers, receive, send=send)
            elif is_plain and _writes(scope, headers) and not self._state.wrong:
                way = self._callback if scope["path"].startswith("/callbacks/") else self._claim
                left = await way(scope, headers, receive, send=send)
        if left is not None:
            await self._app(scope, left, send)

    def _asked(
        self, path: str, headers: _Headers, address: re.Pattern[str], scopes: tuple[str, ...]
    ) -> _Asked | None:
        """Return who asks about whom; None for what is not plain."""
        found = address.fullmatch(path)
        if found is None:
            return None
        callers: Callers = self._state.callers
        caller = callers.remembered(headers.get(b"authorization", b""))
        if caller is None or caller.is_bound or caller.scopes.isdisjoint(scopes):
            return None
        return _Asked(caller, UUID(found[1]), headers)

    async def _look(
        self, scope: Any, headers: _Headers, receive: Receive, *, send: Send
    ) -> Receive | None:
        asked = self._asked(scope["path"], headers, _BENEFITS, mobile.LOOKERS)
        if asked is None:
            return receive
        scope["auth"], scope["path_template"] = asked.caller, mobile.BENEFITS
        try:
            self._state.rates.caller(scope, asked.caller.name)
            seen = await mobile.seen(self._state, asked.caller, asked.member_id)
            view = mobile.overview(seen)
        except Exception as error:  # noqa: BLE001 - the framework would answer it just so
            await send_whole(send, problems.answer(Request(scope), error))
            return None
        await send_view(send, view)
        return None

    async def _claim(
        self, scope: Any, headers: _Headers, receive: Receive, *, send: Send
    ) -> Receive | None:
        asked = self._asked(scope["path"], headers, _CLAIMS, claims.CLAIMERS)
        if asked is None:
            return receive
        first: Any = await receive()
        command = None if first.get("more_body") else _command(asked, first.get("body", b""))
        if command is None:
            return _again(first, receive)
        scope["auth"], scope["path_template"] = asked.caller, claims.CLAIMS
        try:
            self._state.rates.caller(scope, asked.caller.name)
            self._state.rates.member(scope, asked.member_id)
            outcome = await self._state.claims.submit(command)
        except Exception as error:  # noqa: BLE001 - the framework would answer it just so
            await send_whole(send, problems.answer(Request(scope), error))
            return None
        if not isinstance(outcome, Accepted):
            hear(Request(scope))
        await send_whole(send, claims.answer(outcome, command))
        return None

    async def _callback(
        self, scope: Any, headers: _Headers, receive: Receive, *, send: Send
    ) -> Receive | None:
        provider = _CALLBACK.fullmatch(scope["path"])
        if provider is None:
            return receive
        first: Any = await receive()
        if first.get("more_body"):
            return _again(first, receive)
        scope["path_template"] = callbacks.CALLBACK
        told = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        try:
            peer = scope["client"][0] if scope.get("client") else ""
            now = self._state.parts.clock()
            raw = RawCallback(headers=told, body=first.get("body", b""), received_at=now)
            ack = await callbacks.take(self._state, provider[1], raw, peer=peer)
            answer = callbacks.answer(ack)
        except Exception as error:  # noqa: BLE001 - the framework would answer it just so
            answer = problems.answer(Request(scope), error)
        await send_whole(send, answer)
        return None


def _writes(scope: Any, headers: _Headers) -> bool:
    """Say whether a request brings a short body whose length is told."""
    length = headers.get(b"content-length", b"")
    return scope["method"] == "POST" and length.isdigit() and int(length) <= _BODY_BYTES_MAX


def _command(asked: _Asked, body: bytes) -> ClaimUnits | None:
    try:
        wish = _BODY.decode(body)
        key = check_key(asked.headers.get(b"idempotency-key", b"").decode("latin-1"))
    except (msgspec.MsgspecError, KeyInvalid, UnicodeDecodeError, RecursionError):
        return None
    return claims.command(asked.caller, key, asked.member_id, wish)


def _again(first: Any, receive: Receive) -> Receive:
    """Return what receives a message once more, and then what follows it."""
    waiting = [first]

    async def receiving() -> Any:
        return waiting.pop() if waiting else await receive()

    return receiving
