"""A listener for those who watch: `/metrics` for Prometheus, `/health` for whoever restarts us.

It stands apart from the public port, and on its own connection to the database, so that neither a
full pool nor a database that is away keeps the figures of the process from being read.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from benefits import measures
from benefits.domain.values import Clock
from benefits.store import gauges
from benefits.store.catalogue import Cache
from benefits.store.db import Database, connect

LOOK_EVERY_S = 5.0
LOOK_WITHIN_S = 2.0
STUCK_AFTER_S = 300.0

Ages = Callable[[], dict[str, tuple[float, float]]]


def nothing_repeats() -> dict[str, tuple[float, float]]:
    """Say that there are no steps whose age would tell anything."""
    return {}


class Scrape:
    """Answers those who watch one process."""

    def __init__(self, database: Database, clock: Clock, ages: Ages) -> None:
        """Look into a database; `ages` says by step how long ago it ended, and succeeded."""
        self._database = database
        self._ages = ages
        self._catalogue = Cache(clock)
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    async def metrics(self, _: web.Request) -> web.Response:
        """Return all that is measured; a database that is away is a figure, not a failure."""
        async with self._looking:
            if time.monotonic() - self._looked_at > LOOK_EVERY_S:
                await self._look()
                self._looked_at = time.monotonic()
        return web.Response(body=measures.text(), headers={"Content-Type": measures.CONTENT_TYPE})

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(LOOK_WITHIN_S), self._database.transaction() as conn:
                await gauges.read(conn, await self._catalogue.current(conn))
        except Exception:  # noqa: BLE001 - whatever is wrong, the figure says so
            gauges.forget()
            measures.DATABASE_UP.set(0)
        else:
            measures.DATABASE_UP.set(1)

    async def health(self, _: web.Request) -> web.Response:
        """Say whether steps still come to an end, well or badly, and when each last succeeded."""
        ages = self._ages()
        stuck = sorted(name for name, (ended, _) in ages.items() if ended > STUCK_AFTER_S)
        told = {
            "status": f"stuck: {', '.join(stuck)}" if stuck else "ok",
            "last_success_s": {name: round(success, 1) for name, (_, success) in ages.items()},
        }
        return web.json_response(told, status=503 if stuck else 200)


@asynccontextmanager
async def listening(
    taken: socket.socket | None, database_url: str, clock: Clock, ages: Ages = nothing_repeats
) -> AsyncIterator[None]:
    """Answer on a bound socket until the block ends; without a socket do nothing."""
    if taken is None:
        yield
        return
    database = connect(database_url, pool_size=1, answer_within_s=LOOK_WITHIN_S)
    scrape = Scrape(database, clock, ages)
    app = web.Application()
    app.add_routes([web.get("/metrics", scrape.metrics), web.get("/health", scrape.health)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, taken).start()
        yield
    finally:
        await runner.cleanup()
        await database.close()
