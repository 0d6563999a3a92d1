"""A provider as a real HTTP server: the other side of `openapi/provider.json`, with a temper.

It keeps its orders in SQLite, checks our signatures and signs what it says. What it does with an
order is its *behaviour*, one for all or MIXED by the number:

- good: issues at once, or (for every second number) says pending and calls back;
- slow: issues, but answers only after `slow_s`;
- times_out: issues, holds the line for `hang_s` and drops it without an answer; a query tells;
- calls_back_twice: says pending, then delivers the same callback twice;
- never_calls_back: says pending, issues, and never tells unless asked.

A recipient whose `phone` ends in 0000 is rejected for `account`, at the moment another would be
issued. At the *desk* (`/desk/...`, unsigned, for the demo) an order is used, which always calls
back.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from aiohttp import web

from benefits.domain.signature import SignatureRefused, parse_secret, signed_headers, verify
from benefits.sandbox.book import Behaviour, Book, Order, chosen, digest
from benefits.sandbox.deliveries import Deliveries

Number = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Wait = Annotated[float, msgspec.Meta(ge=0)]
Body = TypeVar("Body")

_CARRIED_BY = {
    "pending": HTTPStatus.ACCEPTED,
    "rejected": HTTPStatus.UNPROCESSABLE_ENTITY,
}


class SandboxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to run the sandbox: seconds where a name ends in `_s`; secrets as `whsec_...`."""

    secrets: tuple[str, ...]
    callback_url: str
    host: str = "127.0.0.1"
    port: int = 8090
    behaviour: Behaviour = Behaviour.MIXED
    database: str = ":memory:"
    callback_after_s: Wait = 2.0
    slow_s: Wait = 3.0
    hang_s: Wait = 20.0
    retry_s: Annotated[tuple[Wait, ...], msgspec.Meta(min_length=1)] = (1.0, 2.0, 5.0, 10.0, 30.0)


class _Issue(msgspec.Struct, kw_only=True):
    operation: Literal["issue"]
    number: Number
    sku: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    recipient: dict[str, str]


class _Query(msgspec.Struct, kw_only=True):
    operation: Literal["query"]
    number: Number


class _Revoke(msgspec.Struct, kw_only=True):
    operation: Literal["revoke"]
    number: Number


class _Use(msgspec.Struct, kw_only=True):
    number: Number


class Sandbox:
    """The handlers, around one book and one sender of callbacks."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._secrets = tuple(parse_secret(text) for text in settings.secrets)
        if not self._secrets:
            msg = "the sandbox needs a signing secret"
            raise ValueError(msg)
        self._book = Book(settings.database)
        self._deliveries = Deliveries(
            self._book,
            url=settings.callback_url,
            secrets=self._secrets,
            retry_s=settings.retry_s,
        )

    def routes(self) -> list[web.RouteDef]:
        """Return what the server answers to."""
        return [
            web.post("/orders", self.issue),
            web.post("/orders/query", self.query),
            web.post("/orders/revoke", self.revoke),
            web.post("/desk/use", self.use),
            web.get("/desk/orders", self.orders),
            web.get("/health", self.health),
        ]

    async def lifetime(self, _: web.Application) -> AsyncIterator[None]:
        """Deliver callbacks while the server runs."""
        task = asyncio.create_task(self._deliveries.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._book.close()

    async def issue(self, request: web.Request) -> web.StreamResponse:
        """Take an order; the same again answers its state, the same number otherwise 409 (V-3)."""
        id_, asked = await self._signed(request, _Issue)
        known = self._book.find(asked.number)
        if known is None:
            order = self._decide(asked)
            self._book.add(order)
            self._deliveries.wake()
            if order.behaviour is Behaviour.TIMES_OUT:
                return await self._hang_up(request)
            if order.behaviour is Behaviour.SLOW:
                await asyncio.sleep(self._settings.slow_s)
            return self._answer(id_, order)
        if (known.sku, known.quantity, known.recipient) != (
            asked.sku,
            asked.quantity,
            asked.recipient,
        ):
            told = {"number": asked.number, "status": "rejected", "reason": "duplicate_different"}
            return self._say(id_, HTTPStatus.CONFLICT, told)
        return self._answer(id_, known)

    async def query(self, request: web.Request) -> web.Response:
        """Tell the state of a number."""
        id_, asked = await self._signed(request, _Query)
        order = self._book.find(asked.number)
        if order is None:
            return self._not_found(id_, asked.number)
        return self._say(id_, HTTPStatus.OK, order.said(time.time()))

    async def revoke(self, request: web.Request) -> web.Response:
        """Take back what is unused; answers the state after it, whatever it is."""
        id_, asked = await self._signed(request, _Revoke)
        now = time.time()
        order = self._book.find(asked.number)
        if order is None:
            return self._not_found(id_, asked.number)
        if order.status(now) in {"pending", "issued"}:
            order = self._book.revoke(order, now)
        return self._say(id_, HTTPStatus.OK, order.said(now))

    async def use(self, request: web.Request) -> web.Response:
        """Use an issued order at the counter, which calls back `order.redeemed`."""
        asked = _decoded(await request.read(), _Use)
        now = time.time()
        order = self._book.find(asked.number)
        if order is None:
            raise _problem(web.HTTPNotFound, "not_found", "no order has this number")
        status = order.status(now)
        if status != "issued":
            raise _problem(web.HTTPConflict, "not_usable", f"the order is {status}, not issued")
        used = self._book.use(order, now)
        self._deliveries.wake()
        return web.json_response(_view(used, now))

    async def orders(self, request: web.Request) -> web.Response:
        """List orders, newest first: `limit` (1 to 200) and `cursor` as given by the last page."""
        limit = _whole(request.query, "limit") or 50
        cursor = _whole(request.query, "cursor")
        now = time.time()
        page, more = self._book.page(min(limit, 200), cursor)
        views = [_view(order, now) for order in page]
        return web.json_response({"orders": views, "next": None if more is None else str(more)})

    async def health(self, _: web.Request) -> web.Response:
        """Say that the sandbox runs."""
        return web.json_response({"status": "ok"})

    async def _signed(self, request: web.Request, kind: type[Body]) -> tuple[str, Body]:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            id_ = verify(self._secrets, headers, body, now_unix=int(time.time()))
        except SignatureRefused as refusal:
            raise _problem(web.HTTPUnauthorized, refusal.code, refusal.detail) from refusal
        return id_, _decoded(body, kind)

    def _decide(self, asked: _Issue) -> Order:
        now = time.time()
        behaviour = chosen(asked.number, self._settings.behaviour)
        chance = digest(asked.number)
        later = behaviour in {Behaviour.CALLS_BACK_TWICE, Behaviour.NEVER_CALLS_BACK} or (
            behaviour is Behaviour.GOOD and chance[1] % 2 == 1
        )
        rejected = asked.recipient.get("phone", "").endswith("0000")
        return Order(
            number=asked.number,
            sku=asked.sku,
            quantity=asked.quantity,
            recipient=asked.recipient,
            behaviour=behaviour,
            reference=f"SB{chance[2:8].hex().upper()}",
            code="" if rejected else f"{int.from_bytes(chance[8:14], 'big') % 10**12:012d}",
            reason="account" if rejected else "",
            asked_at=now,
            decided_at=now + self._settings.callback_after_s if later else now,
        )

    async def _hang_up(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(self._settings.hang_s)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)

    def _answer(self, id_: str, order: Order) -> web.Response:
        told = order.said(time.time())
        return self._say(id_, _CARRIED_BY.get(told["status"], HTTPStatus.OK), told)

    def _not_found(self, id_: str, number: str) -> web.Response:
        return self._say(id_, HTTPStatus.NOT_FOUND, {"number": number, "status": "not_found"})

    def _say(self, id_: str, status: HTTPStatus, told: Mapping[str, str]) -> web.Response:
        body = msgspec.json.encode(told)
        headers = signed_headers(self._secrets, id_, int(time.time()), body)
        return web.Response(
            status=status, body=body, headers=headers, content_type="application/json"
        )


def make_app(settings: SandboxSettings) -> web.Application:
    """Build the sandbox as an aiohttp application; ValueError for a malformed secret."""
    sandbox = Sandbox(settings)
    app = web.Application(client_max_size=64 * 1024)
    app.add_routes(sandbox.routes())
    app.cleanup_ctx.append(sandbox.lifetime)
    return app


async def run(settings: SandboxSettings, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve until cancelled; `ready` is told the base address once requests are answered."""
    runner = web.AppRunner(make_app(settings), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        if ready is not None:
            ready(f"http://{settings.host}:{runner.addresses[0][1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _decoded(body: bytes, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _problem(web.HTTPBadRequest, "malformed", str(error)) from error


def _problem(kind: type[web.HTTPError], code: str, detail: str) -> web.HTTPError:
    text = msgspec.json.encode({"error": code, "detail": detail}).decode()
    return kind(text=text, content_type="application/json")


def _whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 18):
        raise _problem(web.HTTPBadRequest, "malformed", f"{name} is a whole number")
    return int(text)


def _view(order: Order, now: float) -> dict[str, Any]:
    """Return what the desk sees: the order, without the recipient (X-4)."""
    extra = {"sku": order.sku, "quantity": order.quantity, "behaviour": order.behaviour.value}
    return {**order.said(now), **extra, "code": order.code}
