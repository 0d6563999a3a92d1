"""The providers' side: a sandbox's own application, asked with bytes of HTTP and without sockets.

Its clock is the test's, and so is the way that its callbacks take.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from benefits.domain.orders import Unknown
from benefits.domain.values import Clock
from benefits.providers.client import Response
from benefits.sandbox import behaviour
from benefits.sandbox import wechat as their_wechat
from benefits.sandbox.behaviour import Behaviour
from benefits.sandbox.sandbox import Sandbox
from benefits.sandbox.server import OpenSandbox, SandboxSettings
from benefits.sandbox.wechat import WechatSandboxSettings
from tests.sandbox import stage
from tests.sandbox.test_wechat import KEYS
from tests.simulation.ways import Way
from tests.simulation.wire import Message

Chosen = Callable[[str, Behaviour], Behaviour]


class _Pipe(asyncio.Transport):
    """The end of a connection that a server writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.ended = asyncio.Event()

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.ended.is_set()

    def close(self) -> None:
        self.ended.set()

    def abort(self) -> None:
        self.written.clear()
        self.ended.set()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Theirs:
    """A provider's sandbox, asked with bytes of HTTP."""

    def __init__(self, way: Way, sandbox: Sandbox, chosen: Chosen) -> None:
        """Wrap a sandbox whose own sender of callbacks does not run."""
        self.way, self._chosen = way, chosen
        self.book, self.signed = sandbox._kept, sandbox._sender._signed
        app = web.Application()
        app.add_routes(sandbox.routes())
        self._runner = web.AppRunner(app, access_log=None)

    def treats(self, number: str) -> Behaviour:
        """Return how a number is treated."""
        return self._chosen(number, Behaviour.MIXED if self.way.is_wechat else Behaviour.WORST)

    async def open(self) -> None:
        """Begin to answer."""
        await self._runner.setup()

    async def close(self) -> None:
        """Answer no more."""
        await self._runner.cleanup()
        self.book.close()

    async def take(self, message: Message) -> Response | Unknown:
        """Let a message arrive; return the answer as it was written."""
        parts = urlsplit(message.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        return await self.ask(message.method, target, message.headers, message.body)

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Response | Unknown:
        """Make a request; return the answer as it was written."""
        told = {**headers, "Host": "provider", "Connection": "close"}
        told["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in told.items()), "", ""]
        assert self._runner.server is not None
        protocol, pipe = self._runner.server(), _Pipe()
        protocol.connection_made(pipe)
        protocol.data_received("\r\n".join(lines).encode() + body)
        await pipe.ended.wait()
        protocol.connection_lost(None)
        return _read(bytes(pipe.written))


def _read(written: bytes) -> Response | Unknown:
    head, _, content = written.partition(b"\r\n\r\n")
    if not head:
        return Unknown("hung up")
    first, *lines = head.decode().split("\r\n")
    names = [line.partition(": ") for line in lines]
    headers = {name.lower(): value for name, _, value in names}
    return Response(int(first.split()[1]), headers, content)


def sandbox(way: Way, clock: Clock) -> Theirs:
    """Return the way's provider, with all its faults that are not the wire's."""
    common: dict[str, Any] = {"callback_url": "", "slow_s": 0, "hang_s": 0, "drip_s": 0}
    now = lambda: clock().timestamp()  # noqa: E731 - one use
    if way.is_wechat:
        coupons = WechatSandboxSettings(keys=KEYS, works_s=0, **common)
        return Theirs(way, way.sandbox(coupons, now), their_wechat.chosen)
    common["behaviour"] = Behaviour.WORST
    settings = SandboxSettings(secrets=(stage.SECRET,), late_s=100, **common)
    return Theirs(way, OpenSandbox(settings, now), behaviour.chosen)
