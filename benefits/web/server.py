"""The HTTP server as a process lives with it: told to stop, it says so, waits, and drains.

SIGTERM -> /ready answers 503 -> (drain_s: balancers look elsewhere, requests are still served)
-> no new connections -> requests and groups under way are finished -> exit 0
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn


class Server(uvicorn.Server):
    """Serves until SIGINT or SIGTERM, and ends well; the second one ends the wait."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        on_started: Callable[[], None],
        on_draining: Callable[[], None],
        drain_s: float,
    ) -> None:
        """Call `on_started` when requests are taken, and `on_draining` at once when told to stop.

        Accepting stops `drain_s` later.
        """
        super().__init__(config)
        self._on_started = on_started
        self._on_draining = on_draining
        self._drain_s = drain_s
        self._leaving = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests, and say so."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals that tell us to stop; a stop that was asked for is no failure."""
        loop = asyncio.get_running_loop()
        which = (signal.SIGINT, signal.SIGTERM)
        for one in which:
            loop.add_signal_handler(one, self._told, loop)
        try:
            yield
        finally:
            for one in which:
                loop.remove_signal_handler(one)

    def _told(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._leaving:
            self._leave()
            return
        self._leaving = True
        self._on_draining()
        loop.call_later(self._drain_s, self._leave)

    def _leave(self) -> None:
        self.should_exit = True
