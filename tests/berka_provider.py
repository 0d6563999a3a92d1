"""A provider with all its faults, and our side of it: a worker that asks, an inbox it calls back.

The service's clock stands where the test puts it; signatures are of the present.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from benefits.actions import receive
from benefits.domain.programme import Provider
from benefits.domain.signature import SignatureRefused, parse_secret
from benefits.providers.client import Client
from benefits.providers.http import HttpProvider
from benefits.providers.open import OpenDialect
from benefits.providers.provider import RawCallback
from benefits.sandbox.behaviour import Behaviour
from benefits.sandbox.server import SandboxSettings, make_app
from benefits.store.db import Connection
from benefits.worker import Worker
from tests.builders import World
from tests.sandbox import stage


class Inbox:
    """Where the provider's callbacks arrive: checked, kept, acknowledged, as the service does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.provider: HttpProvider | None = None
        self.arrived = self.new = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Take one callback."""
        assert self.provider is not None
        raw = RawCallback(
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            received_at=stage.clock(),
        )
        try:
            (notice,) = self.provider.receive(raw)
        except SignatureRefused:
            return web.Response(status=401)
        callback = receive.Callback(provider="sandbox", notice=notice, raw=raw.body)

        async def keep(conn: Connection) -> int:
            return sum(await receive.receive(conn, [callback], self.world.parts))

        new = await self.world.database.transact(keep)
        self.new += new
        self.arrived += 1
        return web.Response(body=self.provider.ack().body)


class Desk(NamedTuple):
    """The provider as its own people see it."""

    http: aiohttp.ClientSession
    base: str

    async def orders(self) -> dict[str, dict[str, Any]]:
        """Return all orders in the provider's book, by number."""
        found, cursor = dict[str, dict[str, Any]](), ""
        while cursor is not None:
            query = {"limit": "200", **({"cursor": cursor} if cursor else {})}
            async with self.http.get(f"{self.base}/desk/orders", params=query) as response:
                page = await response.json()
            found |= {order["number"]: order for order in page["orders"]}
            cursor = page["next"]
        return found

    async def use(self, number: str) -> None:
        """Let the customer use an order."""
        async with self.http.post(f"{self.base}/desk/use", json={"number": number}) as response:
            assert 200 == response.status


@asynccontextmanager
async def provider(world: World, config: Provider) -> AsyncIterator[tuple[Worker, Inbox, Desk]]:
    """Run a provider with all its faults, a worker that asks it, and an inbox it calls back to."""
    inbox, app = Inbox(world), web.Application()
    app.router.add_post("/callbacks", inbox.handle)
    async with stage.serving(app) as here:
        sandbox = SandboxSettings(
            secrets=(stage.SECRET,),
            callback_url=f"{here}/callbacks",
            behaviour=Behaviour.MIXED,
            callback_after_s=0.05,
            slow_s=0.2,
            hang_s=1.0,
            retry_s=(0.05,),
            late_s=0.3,
            retry_after_s=0.3,
            drip_s=0.02,
        )
        async with (
            stage.serving(make_app(sandbox)) as base,
            Client(stage.LOOPBACK) as client,
            aiohttp.ClientSession() as http,
        ):
            inbox.provider = HttpProvider(
                OpenDialect(base_url=base, secrets=[parse_secret(stage.SECRET)]),
                client,
                stage.clock,  # signatures are of the present
                config.capabilities,
            )
            worker = Worker(world.database, world.parts, {"sandbox": inbox.provider})
            yield worker, inbox, Desk(http, base)


async def work(worker: Worker) -> None:
    """Let the worker do all there is to do now; callbacks get a moment to arrive."""
    while await worker.deliver():
        pass
    await worker.finish()
    await asyncio.sleep(0.1)
    for step in (worker.work_off, worker.expire):
        while await step():
            pass


async def work_until(world: World, worker: Worker, left: str) -> None:
    """Work, and move the clock, until a statement counts nothing that is left to do."""
    for _ in range(100):
        await work(worker)
        if [(0,)] == await world.rows(left):
            return
        world.clock.forward(seconds=15)
    raise AssertionError(
        await world.rows("SELECT benefit, state, count(*) FROM claim GROUP BY 1, 2")
    )
