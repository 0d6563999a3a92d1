"""The service as its callers see it: a running app on a database of its own, over real HTTP."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import uvicorn
from litestar import Litestar

from benefits.actions.keys import make_key
from benefits.app import make_web, server_config
from benefits.settings import Keys, Settings
from tests import builders
from tests.builders import MEMBER_KEY, World

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
        app = make_web(settings, clock=world.clock)
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
