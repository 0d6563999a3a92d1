"""A bank whose every provider has one fault of its own: real service, real worker, real time."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import aiohttp

from benefits import app
from benefits.actions.keys import make_key
from benefits.domain.programme_file import read
from benefits.house import open_house, real_clock
from benefits.providers.client import Client
from benefits.sandbox.behaviour import SINGLE, Behaviour
from benefits.sandbox.server import SandboxSettings, make_app
from benefits.settings import Keys, Settings
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import ensure_partitions
from benefits.worker import Worker
from tests.actions.life import gift, give, said
from tests.builders import MEMBER_KEY, World
from tests.sandbox import stage
from tests.web import site

RETRY_AFTER_S = 7  # longer than what we would wait unasked
HEAD = """
code = "faults"
name = { zh = "故障", en = "Faults" }
currency = "CNY"
minor_digits = 2
zone = "Asia/Shanghai"
asset_classes = ["DEPOSIT"]

[[tier]]
code = "BASE"
name = { zh = "大众", en = "Base" }
threshold = "0"

[[budget]]
code = "faults"
total = "1000000.00"
"""
PROVIDER = """
[[provider]]
code = "CODE"
name = { zh = "沙盒", en = "Sandbox" }
dialect = "open"
url = "URL"

[provider.capabilities]
deadline_s = 4.0
query_schedule_s = [1, 1, 1, 1, 1, 1]

[[benefit]]
code = "BENEFIT"
name = { zh = "权益", en = "Benefit" }
kind = "BOOKING"
provider = "CODE"
sku = "thing"
cost = "1.00"
consumed = "USE"
budget = "faults"
recipient = ["phone"]
"""


class Part(NamedTuple):
    """What a member asks for, and whether the provider refuses it or the member uses it."""

    quantity: int
    refused: bool = False
    used: bool = False


PARTS = {
    "one, used": Part(1, used=True),
    "several, kept": Part(3),
    "several, refused": Part(2, refused=True),
    "several, used": Part(3, used=True),
}


class Claimed(NamedTuple):
    """A claim that was placed: who asked which provider for what."""

    behaviour: Behaviour
    part: str
    member: UUID
    claim: UUID


class Bank:
    """The installation and its providers, while they run and after."""

    def __init__(self, dsn: str, books: Path) -> None:
        """Use a migrated database; the providers' books lie in a folder."""
        secrets: dict[str, tuple[str, ...]] = {each.value: (stage.SECRET,) for each in SINGLE}
        keys = Keys(member_key=MEMBER_KEY, secret_keys=(os.urandom(32),), provider_secrets=secrets)
        self.settings = Settings(database_url=dsn, keys=keys, pool_size=4)
        self.world = World(
            connect(dsn, pool_size=4), envelope=Envelope(keys.secret_keys), clock=real_clock
        )
        self.books = books
        self.bases: dict[Behaviour, str] = {}
        self.claims: list[Claimed] = []
        self.in_part: list[Any] = []

    async def until(self, nothing: str, *values: object) -> None:
        """Wait until a statement finds nothing any more."""
        async with asyncio.timeout(120):
            while await self.world.rows(nothing, *values):
                await asyncio.sleep(0.1)

    async def order(self, claim: UUID) -> str:
        """Return the number of a claim's order."""
        ((number,),) = await self.world.rows(
            "SELECT request_id FROM provider_request WHERE claim_id = $1", claim
        )
        return str(number.hex)

    async def at_the_desk(self, deed: str, claims: Iterable[Claimed]) -> None:
        """Do something with orders where their providers' people sit."""
        async with aiohttp.ClientSession() as http:
            for one in claims:
                url = f"{self.bases[one.behaviour]}/desk/{deed}"
                async with http.post(url, json={"number": await self.order(one.claim)}) as answer:
                    assert 200 == answer.status, (one, await answer.text())

    def book(self, behaviour: Behaviour, statement: str) -> list[Any]:
        """Read in a provider's book."""
        book = sqlite3.connect(self.books / behaviour.value)
        try:
            return book.execute(statement).fetchall()
        finally:
            book.close()


@asynccontextmanager
async def running(bank: Bank) -> AsyncIterator[None]:
    """Run a service, a provider for each fault, and a worker, with claims to work on."""
    await ensure_partitions(bank.world.database, real_clock())
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(
            site.served(app.make_web(bank.settings), bank.settings)
        )
        for each in SINGLE:
            sandbox = make_app(_settings(each, url, bank.books))
            bank.bases[each] = await stack.enter_async_context(stage.serving(sandbox))
        await bank.world.apply(read(HEAD + "".join(_provider(bank, each) for each in SINGLE)))
        bank.claims = await _claim(bank, url)
        await stack.enter_async_context(working(bank.settings))
        yield


def _settings(behaviour: Behaviour, url: str, books: Path) -> SandboxSettings:
    return SandboxSettings(
        secrets=(stage.SECRET,),
        callback_url=f"{url}/callbacks/{behaviour.value}",
        behaviour=behaviour,
        database=str(books / behaviour.value),
        callback_after_s=0.5,
        slow_s=0.3,
        hang_s=9.0,
        drip_s=0.1,
        late_s=3.0,
        retry_after_s=RETRY_AFTER_S,
        retry_s=(0.3,),
    )


def _provider(bank: Bank, behaviour: Behaviour) -> str:
    text = PROVIDER.replace("CODE", behaviour.value).replace("BENEFIT", behaviour.name)
    return text.replace("URL", bank.bases[behaviour])


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Run a worker."""
    stop = asyncio.Event()
    async with (
        open_house(settings) as house,
        Client(app.allowed_networks(house)) as client,
    ):
        providers = app.Providers(house, client)
        running = asyncio.create_task(Worker(house.database, house.parts, providers).run(stop))
        try:
            yield
        finally:
            stop.set()
            await running


async def _claim(bank: Bank, url: str) -> list[Claimed]:
    """Give members just what they ask for, and ask for it as the mobile bank does."""
    async with bank.world.database.transaction() as conn:
        key = await make_key(conn, "mobile", ["mobile"], bank.world.parts)
    claims = list[Claimed]()
    async with aiohttp.ClientSession(url) as http:
        for behaviour in SINGLE:
            members = await bank.world.members(len(PARTS))
            for member, (name, part) in zip(members, PARTS.items(), strict=True):
                given = await give(
                    bank.world, gift(member, behaviour.name, quantity=part.quantity)
                )
                assert ["ok"] == [said(one) for one in given]
                phone = "13900000000" if part.refused else "13900000001"
                wish = {
                    "benefit": behaviour.name,
                    "quantity": part.quantity,
                    "recipient": {"phone": phone},
                }
                headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": uuid4().hex}
                path = f"/v1/members/{member}/claims"
                async with http.post(path, json=wish, headers=headers) as answer:
                    assert 201 == answer.status, await answer.text()
                    claim = UUID((await answer.json())["id"])
                claims.append(Claimed(behaviour, name, member, claim))
    return claims
