"""The service as its callers see it: a running app on a database of its own, over real HTTP."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

import aiohttp
import msgspec
import uvicorn
from litestar import Litestar

from benefits.actions.keys import make_key
from benefits.app import make_web, server_config
from benefits.domain.values import Clock
from benefits.settings import Keys, Settings
from tests import builders
from tests.builders import MEMBER_KEY, FrozenClock, World

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


class Site:
    """A running app, its callers' keys, and its world, with which it shares clock and envelope."""

    def __init__(self, app: Litestar, world: World, url: str, keys: Mapping[str, str]) -> None:
        self.app = app
        self.world = world
        self.url = url
        self.mobile_key = keys["mobile"]
        self.crm_key = keys["crm"]

    def headers(self, key: str, **more: str) -> dict[str, str]:
        """Return what a caller sends along: an API key and a fresh Idempotency-Key."""
        return {"Authorization": f"Bearer {key}", "Idempotency-Key": uuid4().hex, **more}

    def browser(self, **headers: str) -> aiohttp.ClientSession:
        """Return a client that keeps cookies, as a phone does; close it."""
        return aiohttp.ClientSession(
            self.url, cookie_jar=aiohttp.CookieJar(unsafe=True), headers=headers
        )

    async def post(self, path: str, body: Any, key: str) -> tuple[int, Any]:
        """Send JSON as a caller; return the status and the answer."""
        async with (
            aiohttp.ClientSession(self.url) as http,
            http.post(path, json=body, headers=self.headers(key)) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    async def page_url(self, member_id: UUID, language: str | None = None) -> str:
        """Open a page session for a member and return its address."""
        body = {"member_id": str(member_id)} | ({"language": language} if language else {})
        status, answer = await self.post("/v1/page-sessions", body, self.mobile_key)
        assert 201 == status
        return str(answer["url"])


class _App:
    """An app that one site runs after the other: making it costs more than most of their tests.

    What it kept, and what a test put around its routes, is forgotten before another site runs it.
    """

    def __init__(self) -> None:
        self.settings = Settings(database_url="", keys=cast("Keys", None))
        self.clock: Clock = FrozenClock()
        self.web = make_web(self.settings, clock=self._now)
        self._layers = list(self._around(self.web.asgi_handler))

    @staticmethod
    def _around(handler: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Give what stands around the routes, from outside, with what it was made with."""
        while handler.__module__.startswith("benefits."):
            yield handler, dict(vars(handler))
            handler = handler._app

    def _now(self) -> datetime:
        return self.clock()

    def prepare(self, settings: Settings, clock: Clock) -> None:
        """Let it be as if it had been made with these."""
        self.clock = clock
        for name in settings.__struct_fields__:
            msgspec.structs.force_setattr(self.settings, name, getattr(settings, name))
        self.web.state.clear()
        self.web.asgi_handler = self._layers[0][0]
        for layer, made in self._layers:
            vars(layer).update(made)


_free: list[_App] = []


@contextmanager
def lent(settings: Settings, clock: Clock) -> Iterator[Litestar]:
    """Lend an app that nobody runs, made if there is none."""
    app = _free.pop() if _free else _App()
    app.prepare(settings, clock)
    try:
        yield app.web
    finally:
        _free.append(app)


@asynccontextmanager
async def site(dsn: str, **more: Any) -> AsyncIterator[Site]:
    """Run the app on a migrated database, at a free port, by the still clock of its world.

    `more` are further settings.
    """
    keys = Keys(
        member_key=MEMBER_KEY,
        secret_keys=(os.urandom(32),),
        provider_secrets={"sandbox": (SECRET,)},
    )
    settings = Settings(database_url=dsn, keys=keys, pool_size=4, **more)
    async with builders.world(dsn) as world:
        with lent(settings, world.clock) as app:
            async with served(app, settings) as url:
                # What either of them seals or hashes, the other opens.
                msgspec.structs.force_setattr(world.parts, "envelope", app.state.parts.envelope)
                async with world.database.transaction() as conn:
                    made = {
                        name: await make_key(conn, name, [name], world.parts)
                        for name in ("mobile", "crm")
                    }
                yield Site(app, world, url, made)


@asynccontextmanager
async def served(app: Litestar, settings: Settings) -> AsyncIterator[str]:
    """Serve an app in this process and give its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(server_config(app, settings))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            while not server.started:
                assert not task.done(), "the app did not start"
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
