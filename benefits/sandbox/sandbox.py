"""What every sandbox is besides what it speaks: it calls back while it runs, and has a desk.

At the desk (`/desk/...`, unsigned, for the demo) whoever runs it sees its orders.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web

from benefits.sandbox.book import Book, Order
from benefits.sandbox.deliveries import Deliveries


class Sandbox:
    """A sandbox around one book and one sender of callbacks; a dialect adds its handlers."""

    def __init__(self, book: Book, deliveries: Deliveries, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._kept = book
        self._sender = deliveries

    def routes(self) -> list[web.RouteDef]:
        """Return what the server answers to."""
        return [web.get("/desk/orders", self.orders), web.get("/health", self.health)]

    def application(self) -> web.Application:
        """Build the sandbox as an aiohttp application."""
        app = web.Application(client_max_size=64 * 1024)
        app.add_routes(self.routes())
        app.cleanup_ctx.append(self._lifetime)
        return app

    async def _lifetime(self, _: web.Application) -> AsyncIterator[None]:
        """Deliver callbacks while the server runs."""
        task = asyncio.create_task(self._sender.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._kept.close()

    async def orders(self, request: web.Request) -> web.Response:
        """List orders, newest first: `limit` (1 to 200) and `cursor` as given by the last page."""
        limit = _whole(request.query, "limit") or 50
        cursor = _whole(request.query, "cursor")
        now = self.clock()
        page, more = self._kept.page(min(limit, 200), cursor)
        views = [view(order, now) for order in page]
        return web.json_response({"orders": views, "next": None if more is None else str(more)})

    async def health(self, _: web.Request) -> web.Response:
        """Say that the sandbox runs."""
        return web.json_response({"status": "ok"})


def view(order: Order, now: float) -> dict[str, Any]:
    """Return what the desk sees: the order, without the recipient (X-4)."""
    extra = {"sku": order.sku, "quantity": order.quantity, "behaviour": order.behaviour.value}
    return {**order.said(now), **extra, "code": order.code}


def problem(kind: type[web.HTTPError], code: str, detail: str) -> web.HTTPError:
    """Return a refusal in JSON."""
    text = msgspec.json.encode({"error": code, "detail": detail}).decode()
    return kind(text=text, content_type="application/json")


def _whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 18):
        raise problem(web.HTTPBadRequest, "malformed", f"{name} is a whole number")
    return int(text)
