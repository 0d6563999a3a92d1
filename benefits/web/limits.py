"""What no request may exceed: time to arrive, time to be answered, and how many there are at once.

Stands around the whole application, so that it also holds where nothing is found. A body arrives
part by part, each in time and, unless it is a stream, all of it in time too; then the answer has
its own deadline, at which the work is cancelled and its transaction rolled back. A claim that was
already handed to its group is decided all the same: the same request under the same key tells how.

Every answer of the API is also told here not to be stored or guessed at, and how much of the
caller's rate is left. HEAD is answered like GET, without a body.
"""

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec
from litestar import Response
from litestar.types import ASGIApp, Message, Receive, Send

from benefits.domain.refusal import Refusal
from benefits.store.group import Overloaded
from benefits.web.problems import RequestTooSlow, TimedOut, refused
from benefits.web.rates import told_headers

PART_S = 10.0
BODY_S = 30.0
ANSWER_S = 30.0
REQUESTS_MAX = 4096
HEALTH = {"/health", "/ready"}
_PRIVATE = ("/v1/", "/callbacks/")


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds for a part of a body, for all of it, and for the answer."""

    part_s: float = PART_S
    body_s: float = BODY_S
    answer_s: float = ANSWER_S


class Limits:
    """An ASGI application around another.

    Bodies and answers of `streamed` paths take as long as they do: each of their parts has a
    deadline of its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        streamed: Collection[str] = (),
        times: Times | None = None,
        requests_max: int = REQUESTS_MAX,
    ) -> None:
        """Wrap an application."""
        self._app = app
        self._streamed = frozenset(streamed)
        self._times = times or Times()
        self._requests_max = requests_max
        self._under_way = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer a request within the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, asked = scope["path"], scope
        if scope["method"] == "HEAD" and not path.startswith("/page"):
            # The server keeps the body back by itself: its own scope still says HEAD. A page's
            # entry works once and is not to be used up by whoever only looks at a link.
            scope = {**scope, "method": "GET"}
        answer = _Answer(scope, send)
        if self._under_way >= self._requests_max and path not in HEALTH:
            await answer.refuse(Overloaded())
            return
        body = _Body(receive, self._times, is_streamed=path in self._streamed)
        self._under_way += 1
        try:
            async with asyncio.timeout(None if path in self._streamed else self._allowed_s):
                await self._app(scope, body.receive, answer.send)
        except TimeoutError:
            if not answer.is_started:
                await answer.refuse(TimedOut())
            # Otherwise the answer breaks off, and the server closes the connection.
        finally:
            self._under_way -= 1
            if scope is not asked:  # who looks from outside is told all the same
                asked.update({k: scope[k] for k in ("path_template", "auth") if k in scope})

    @property
    def _allowed_s(self) -> float:
        return self._times.body_s + self._times.answer_s


class _Body:
    """What receives a request's body, part by part."""

    def __init__(self, receive: Receive, times: Times, *, is_streamed: bool) -> None:
        self._receive = receive
        self._part_s = times.part_s
        loop = asyncio.get_running_loop()
        self._late = None if is_streamed else loop.time() + times.body_s
        self._is_whole = False

    async def receive(self) -> Any:
        """Return the next part, in time (RequestTooSlow)."""
        if self._is_whole:
            return await self._receive()
        late = asyncio.get_running_loop().time() + self._part_s
        try:
            async with asyncio.timeout_at(late if self._late is None else min(late, self._late)):
                message = await self._receive()
        except TimeoutError:
            raise RequestTooSlow from None
        self._is_whole = not message.get("more_body")
        return message


class _Answer:
    """What sends an answer, with the headers that every answer has."""

    def __init__(self, scope: Any, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.is_started = False

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.is_started = True
            message["headers"] = self._with_more(message.get("headers", []))
        await self._send(message)

    def _with_more(self, headers: Any) -> list[tuple[bytes, bytes]]:
        there = {name.lower() for name, _ in headers}
        more = [(b"x-content-type-options", b"nosniff"), *told_headers(self._scope)]
        if self._scope["path"].startswith(_PRIVATE):
            more.append((b"cache-control", b"no-store"))
        return [*headers, *[one for one in more if one[0] not in there]]

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal as the whole answer."""
        await send_whole(self.send, refused(refusal))


async def send_whole(send: Send, answer: Response[Any]) -> None:
    """Send an answer where no framework does it."""
    await _send(send, *raw(answer))


async def send_view(send: Send, view: msgspec.Struct) -> None:
    """Send a view as a whole good answer, without an answer's object."""
    body = msgspec.json.encode(view)
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await _send(send, 200, headers, body)


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    start: Any = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


def raw(answer: Response[Any]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return an answer, in JSON unless it is bytes already, as status, headers and body."""
    content = answer.content
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    media_type = answer.media_type or "application/json"
    if media_type == "text/plain":
        media_type += "; charset=utf-8"  # as the framework says it
    more = {"Content-Type": media_type, "Content-Length": str(len(body)), **answer.headers}
    headers = [(name.lower().encode(), value.encode()) for name, value in more.items()]
    return answer.status_code or 500, headers, body
