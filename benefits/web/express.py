"""The hot operation, answered without the framework where a request is just what nearly all are.

Most of what is asked under load are claims by a backend. Finding the route, building the handler's
arguments and an answer's object cost more than deciding one. What is plain is done here with the
same functions that the framework's handler calls; everything else goes there with the body as it
came: dry runs, tokens, keys not seen lately, bodies that do not fit. So no mistake is worded here.
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
from benefits.web import mobile, problems
from benefits.web.auth import Callers
from benefits.web.limits import send_whole

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_CLAIMS = re.compile(mobile.CLAIMS.replace("{member_id:uuid}", f"({_ID})"))
_BODY_BYTES_MAX = 16 * 1024
_BODY = msgspec.json.Decoder(mobile.ClaimRequest)


class _Wish(NamedTuple):
    caller: Caller
    member_id: UUID
    key: bytes


class Express:
    """An ASGI application before another."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        """Answer what is plain; ask `app` for the rest. `state` is the service's."""
        self._app = app
        self._state = state

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer a claim, or go on."""
        wish = self._wish(scope)
        if wish is None:
            await self._app(scope, receive, send)
            return
        first: Any = await receive()
        command = None if first.get("more_body") else _command(wish, first.get("body", b""))
        if command is None:
            await self._app(scope, _again(first, receive), send)
            return
        scope["auth"], scope["path_template"] = wish.caller, mobile.CLAIMS
        try:
            self._state.rates.caller(scope, wish.caller.name)
            self._state.rates.member(scope, wish.member_id)
            outcome = await self._state.claims.submit(command)
        except Exception as error:  # noqa: BLE001 - the framework would answer it just so
            await send_whole(send, problems.answer(Request(scope), error))
            return
        if not isinstance(outcome, Accepted):
            problems.hear(Request(scope))
        await send_whole(send, mobile.answer(outcome))

    def _wish(self, scope: Any) -> _Wish | None:
        """Return who claims for whom under which key; None for what is not plain."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
            return None
        path = _CLAIMS.fullmatch(scope["path"])
        if path is None or self._state.wrong:
            return None
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or int(length) > _BODY_BYTES_MAX:
            return None
        if len(headers) != len(scope["headers"]) or b"content-encoding" in headers:
            return None
        callers: Callers = self._state.callers
        caller = callers.remembered(headers.get(b"authorization", b""))
        if caller is None or caller.is_bound or "mobile" not in caller.scopes:
            return None
        return _Wish(caller, UUID(path[1]), headers.get(b"idempotency-key", b""))


def _command(wish: _Wish, body: bytes) -> ClaimUnits | None:
    try:
        asked = _BODY.decode(body)
        key = check_key(wish.key.decode("latin-1"))
    except (msgspec.MsgspecError, KeyInvalid, UnicodeDecodeError, RecursionError):
        return None
    return mobile.command(wish.caller, key, wish.member_id, asked)


def _again(first: Any, receive: Receive) -> Receive:
    """Return what receives a message once more, and then what follows it."""
    waiting = [first]

    async def receiving() -> Any:
        return waiting.pop() if waiting else await receive()

    return receiving
