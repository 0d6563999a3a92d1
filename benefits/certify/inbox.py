"""Where callbacks arrive during a certification: verified and answered as the service does it.

What is not kept is refused with 401 (its signature) or 400 (not a message of the dialect), in the
provider's own form where it has one; what a check wants to see again, with 503.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from benefits.domain.orders import Notice
from benefits.domain.refusal import Refusal
from benefits.domain.signature import Fault, SignatureRefused
from benefits.providers.provider import Acknowledgement, Provider, RawCallback

BODY_BYTES_MAX = 64 * 1024
AGAIN_LATER = 503


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that holds, and whether it was acknowledged."""

    notice: Notice
    kept: bool


class Inbox:
    """Take callbacks for a provider; of each event the first `refuses` tries are put off."""

    def __init__(self, provider: Provider, clock: Callable[[], datetime]) -> None:
        self.arrivals: list[Arrival] = []
        self.refused: list[str] = []
        self.probes = 0
        self.refuses = 0
        self._provider = provider
        self._clock = clock
        self._came = asyncio.Event()

    @property
    def silent(self) -> bool:
        """Say whether nothing came so far, neither what holds nor what does not."""
        return not (self.arrivals or self.refused)

    async def take(self, request: web.Request) -> web.Response:
        """Verify a callback on its raw bytes, and answer it."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        raw = RawCallback(headers=headers, body=body, received_at=self._clock())
        try:
            notices = self._provider.receive(raw)
        except Refusal as refusal:
            return self._refuse(refusal)
        finally:
            self._came.set()
        tried = Counter(one.notice.event_id for one in self.arrivals)
        kept = all(tried[one.event_id] >= self.refuses for one in notices)
        self.arrivals += [Arrival(notice=one, kept=kept) for one in notices]
        return _answer(self._provider.ack()) if kept else web.Response(status=AGAIN_LATER)

    def _refuse(self, refusal: Refusal) -> web.Response:
        if isinstance(refusal, SignatureRefused) and refusal.fault is Fault.PROBE:
            self.probes += 1
        else:
            self.refused.append(refusal.detail)
        status = 401 if isinstance(refusal, SignatureRefused) else 400
        said = self._provider.refused(status, refusal.words)
        return web.Response(status=status) if said is None else _answer(said)

    async def until(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Wait until something holds that callbacks bring about; say whether it does."""
        try:
            async with asyncio.timeout(within_s):
                while not holds():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return False
        return True

    @asynccontextmanager
    async def serve(self, listener: socket.socket, url: str) -> AsyncIterator[None]:
        """Listen for callbacks on the path of their address, as the provider knows it."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_post(urlsplit(url).path or "/", self.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield
        finally:
            await runner.cleanup()


def _answer(said: Acknowledgement) -> web.Response:
    return web.Response(body=said.body, status=said.status, content_type=said.media_type)
