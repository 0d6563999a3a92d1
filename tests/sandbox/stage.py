"""A sandbox, our side of the contract, and a place where callbacks arrive, all over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import aiohttp
from aiohttp import web

from benefits.domain.orders import (
    Call,
    Capabilities,
    IssueRequest,
    Notice,
    Operation,
    Outcome,
    Redemption,
)
from benefits.domain.signature import SignatureRefused, parse_secret
from benefits.providers.client import Client
from benefits.providers.http import HttpProvider
from benefits.providers.open import OpenDialect
from benefits.providers.provider import RawCallback
from benefits.sandbox.behaviour import Behaviour, chosen
from benefits.sandbox.server import SandboxSettings, make_app

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
LOOPBACK = (ip_network("127.0.0.0/8"),)


def numbered(behaviour: Behaviour, nth: int = 0) -> str:
    """Return the nth number that a mixed sandbox treats with the behaviour."""
    found = -1
    for index in range(1000):
        number = f"{index:032x}"
        found += chosen(number, Behaviour.MIXED) is behaviour
        if found == nth:
            return number
    raise AssertionError(behaviour)


def clock() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


class Stage:
    """What a test sees: our provider, the callbacks that came, and the sandbox's plain pages."""

    def __init__(self, base: str, provider: HttpProvider, arrivals: "Arrivals") -> None:
        self.base = base
        self.provider = provider
        self.arrivals = arrivals

    async def issue(
        self,
        number: str,
        *,
        sku: str = "lounge",
        phone: str = "13800001234",
        quantity: int = 1,
        companions: int = 0,
        booked_for: datetime | None = None,
    ) -> Outcome:
        """Ask for one unit, or more."""
        request = IssueRequest(
            sku=sku,
            quantity=quantity,
            companions=companions,
            recipient={"phone": phone},
            booked_for=booked_for,
        )
        return await self._call(number, Operation.ISSUE, request)

    async def query(self, number: str, *, quantity: int = 1) -> Outcome:
        """Ask what became of a number."""
        request = IssueRequest(sku="lounge", quantity=quantity)
        return await self._call(number, Operation.QUERY, request)

    async def revoke(self, number: str) -> Outcome:
        """Ask to take a number back."""
        return await self._call(number, Operation.REVOKE, IssueRequest(sku="lounge", quantity=1))

    async def do(
        self, operation: Operation, number: str, *, own: str = "", undoes: str = ""
    ) -> Outcome:
        """Confirm, redeem or reverse an order."""
        of_use = operation in {Operation.REDEEM, Operation.REVERSE}
        return await self.provider.call(
            Call(
                number=number,
                operation=operation,
                request=IssueRequest(sku="lounge", quantity=1),
                own=own,
                redemption=Redemption(at=clock()) if of_use else None,
                undoes=undoes,
            )
        )

    async def get(self, path: str) -> tuple[int, Any]:
        """Get a page of the sandbox."""
        async with aiohttp.ClientSession() as session, session.get(self.base + path) as response:
            return response.status, await response.json()

    async def use(self, content: Any, deed: str = "use") -> tuple[int, Any]:
        """Use an order at the counter, or do something else with it there."""
        url = f"{self.base}/desk/{deed}"
        async with aiohttp.ClientSession() as session, session.post(url, json=content) as response:
            return response.status, await response.json()

    async def _call(self, number: str, operation: Operation, request: IssueRequest) -> Outcome:
        return await self.provider.call(Call(number=number, operation=operation, request=request))


class Arrivals:
    """The callbacks that came, raw and read; the first `refusals` are answered 503."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.raws: list[RawCallback] = []
        self.forged = 0
        self.reader: HttpProvider | None = None
        self._came = asyncio.Event()

    @property
    def notices(self) -> list[Notice]:
        """What the callbacks say."""
        assert self.reader is not None
        return [notice for raw in self.raws for notice in self.reader.receive(raw)]

    async def handle(self, request: web.Request) -> web.Response:
        """Keep a callback, or refuse one whose signature does not hold."""
        names = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        raw = RawCallback(headers=names, body=body, received_at=clock())
        assert self.reader is not None
        try:
            self.reader.receive(raw)
        except SignatureRefused:
            self.forged += 1
            return web.Response(status=401)
        self.raws.append(raw)
        self._came.set()
        if len(self.raws) <= self.refusals:
            return web.Response(status=503)
        return web.Response(body=self.reader.ack().body)

    async def count(self, expected: int) -> list[Notice]:
        """Wait until so many have come, and a moment longer to see that no more do."""
        async with asyncio.timeout(5):
            while len(self.raws) < expected:
                self._came.clear()
                await self._came.wait()
        await asyncio.sleep(0.1)
        return self.notices


@asynccontextmanager
async def stage(
    behaviour: Behaviour,
    *,
    client: Client | None = None,
    deadline_s: float = 3.0,
    refusals: int = 0,
    secret: str = SECRET,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """Run a sandbox that calls back to us; waits are short, the settings given go first."""
    arrivals = Arrivals(refusals)
    inbox = web.Application()
    inbox.router.add_post("/callbacks", arrivals.handle)
    async with serving(inbox) as here:
        quick = {
            "callback_after_s": 0.05,
            "slow_s": 0.1,
            "hang_s": 5.0,
            "drip_s": 0.02,
            "late_s": 1.0,
            "retry_after_s": 0.2,
            "retry_s": (0.02,),
        }
        sandbox = SandboxSettings(
            secrets=(SECRET,),
            callback_url=f"{here}/callbacks",
            behaviour=behaviour,
            **{**quick, **settings},
        )
        async with serving(make_app(sandbox)) as base, client or Client(LOOPBACK) as used:
            arrivals.reader = HttpProvider(
                OpenDialect(base_url=base, secrets=(parse_secret(secret),)),
                used,
                clock,
                Capabilities(deadline_s=deadline_s),
            )
            yield Stage(base, arrivals.reader, arrivals)


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free loopback port."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
