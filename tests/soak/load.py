"""The load of a soak: clients that send until they are answered, as C-9 asks of them."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec

from tests.simulation import ways
from tests.simulation.ways import WAYS, Way

COFFEE = "coffee"
PAYMENT = "4200000000123456789123456789"
_BY_US = [way for way in WAYS if way.by_us]
_AT_DESKS = [way for way in WAYS if way.has_desk]
_AGAIN = {429, 500, 502, 503, 504}
REFUSED_OF = 300  # of so many claims each refusal comes once; ours pause the SKU for all behind it


class Known(msgspec.Struct):
    """What clients know: which commands were sent under which key, and what was answered."""

    claims: dict[str, str] = {}  # by key
    uses: list[tuple[str, str]] = []
    answers: Counter[str] = msgspec.field(default_factory=Counter)
    contradicted: list[str] = []


class Clients:
    """Clients of the services at `urls`, under keys of callers by scope."""

    def __init__(
        self,
        urls: list[str],
        desks: dict[str, str],
        members: list[UUID],
        *,
        keys: dict[str, str],
        seed: int,
    ) -> None:
        """Begin with nothing asked."""
        self._urls, self._desks, self._members, self._keys = urls, desks, members, keys
        self._chance = random.Random(seed)
        self.known = Known()
        self.stop = asyncio.Event()
        self._mine = list[tuple[str, Way | None]]()

    async def run(self, clients: int) -> None:
        """Ask for whatever chance says, until told to stop; what was begun is finished."""
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            await asyncio.gather(*(self._client(http) for _ in range(clients)))

    async def _client(self, http: aiohttp.ClientSession) -> None:
        deeds = [self._claim] * 8 + [self._redeem] * 4 + [self._undo] * 2 + [self._desk] * 3
        while not self.stop.is_set():
            await self._chance.choice(deeds)(http)
            await asyncio.sleep(self._chance.random() * 0.3)

    async def _claim(self, http: aiohttp.ClientSession) -> None:
        chance, key = self._chance, uuid4().hex
        way = chance.choice([*WAYS, None])
        wish: dict[str, Any] = {"benefit": COFFEE if way is None else way.code}
        if way is not None:
            wish["recipient"] = ways.recipient(way, chance.randrange(REFUSED_OF))
            wish["quantity"] = chance.randint(1, 3) if way.many else 1
            if booked_for := way.time(datetime.now(UTC), chance.randrange(3)):
                wish["booked_for"] = booked_for.isoformat()
        path = f"/v1/members/{chance.choice(self._members)}/claims"
        for _ in range(1 + (chance.random() < 0.1)):  # some ask twice, as an app does
            told = await self._ask(http, "mobile", path, wish, key=key)
            if told is None:
                return
            if self.known.claims.setdefault(key, told["id"]) != told["id"]:
                self.known.contradicted.append(key)
        self._mine.append((told["id"], way))

    async def _redeem(self, http: aiohttp.ClientSession) -> None:
        mine = [claim for claim, way in self._mine if way in _BY_US]
        if mine:
            claim = self._chance.choice(mine[-50:])
            body = {"place": "till", "payment": PAYMENT}
            told = await self._ask(http, "crm", f"/v1/claims/{claim}/redemptions", body)
            if told is not None:
                self.known.uses.append((claim, told["id"]))

    async def _undo(self, http: aiohttp.ClientSession) -> None:
        if self.known.uses:
            claim, use = self._chance.choice(self.known.uses[-50:])
            await self._ask(http, "crm", f"/v1/claims/{claim}/redemptions/{use}/reverse", None)

    async def _desk(self, http: aiohttp.ClientSession) -> None:
        """Let a provider's people use what was issued, complete it, or let it end."""
        base = self._desks[self._chance.choice(_AT_DESKS).code]
        deed = self._chance.choice(["use", "use", "use", "complete", "expire"])
        wanted = "partly_issued" if deed == "complete" else "issued"
        try:
            async with http.get(f"{base}/desk/orders?limit=50") as answer:
                found = [o for o in (await answer.json())["orders"] if o["status"] == wanted]
            if found:
                number = self._chance.choice(found)["number"]
                async with http.post(f"{base}/desk/{deed}", json={"number": number}) as answer:
                    self.known.answers[f"desk {deed} {answer.status}"] += 1
        except (aiohttp.ClientError, TimeoutError):
            self.known.answers["desk unanswered"] += 1

    async def retry(self, numbers: list[str]) -> None:
        """Have orders tried that were left to people, as an operator does."""
        async with aiohttp.ClientSession() as http:
            for number in numbers:
                await self._ask(http, "operator", f"/v1/orders/{number}/retry", None)

    async def _ask(
        self,
        http: aiohttp.ClientSession,
        scope: str,
        path: str,
        body: Any,
        *,
        key: str = "",
    ) -> Any:
        """Send a command until it is answered; return what was accepted, None when refused."""
        kind = path.rpartition("/")[2]
        headers = {
            "Authorization": f"Bearer {self._keys[scope]}",
            "Idempotency-Key": key or uuid4().hex,
        }
        while True:
            url = self._chance.choice(self._urls) + path
            try:
                async with http.post(url, json=body, headers=headers) as answer:
                    told, status = await answer.json(content_type=None), answer.status
            except (aiohttp.ClientError, TimeoutError, ValueError):
                self.known.answers[f"{kind} unanswered"] += 1
                await asyncio.sleep(0.5)
                continue
            code = "" if status < 300 else f" {told.get('code', '')}"
            self.known.answers[f"{kind} {status}{code}"] += 1
            if status < 300:
                return told
            if status not in _AGAIN and told.get("code") != "busy":
                return None
            await asyncio.sleep(0.5)
