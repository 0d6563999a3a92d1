"""Providers that break the open contract, each in its own way: the sandbox with one fault."""

import asyncio
import json
import time
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from benefits.domain.signature import verify
from benefits.sandbox.book import Order, OwedCallback
from benefits.sandbox.server import (
    OpenSandbox,
    SandboxSettings,
    _Confirm,
    _Issue,
    _Reverse,
    _Revoke,
)


class DeliversAgain(OpenSandbox):
    """Delivers anew whenever a number is sent, whatever was sent before."""

    sent = 0

    async def issue(self, request: web.Request) -> web.StreamResponse:
        """Answer a delivery of its own."""
        id_, asked = await self._signed(request, _Issue)
        known = self._book.find(asked.number)
        if known is None:
            return await super().issue(request)
        self.sent += 1
        return self._answer(id_, msgspec.structs.replace(known, reference=f"again{self.sent}"))


class TakesAnyContent(OpenSandbox):
    """Answers the state of a number, whatever the content."""

    async def issue(self, request: web.Request) -> web.StreamResponse:
        """Compare nothing."""
        id_, asked = await self._signed(request, _Issue)
        known = self._book.find(asked.number)
        return await super().issue(request) if known is None else self._answer(id_, known)


class HidesCodes(OpenSandbox):
    """Tells codes in its first answer only."""

    async def query(self, request: web.Request) -> web.Response:
        """Leave the code out."""
        answer = await super().query(request)
        told = json.loads(answer.body or b"{}")  # type: ignore[arg-type]  # bytes, as it was made
        told.pop("code", None)
        return self._say(answer.headers["webhook-id"], HTTPStatus(answer.status), told)


class KnowsEverything(OpenSandbox):
    """Says "pending" of numbers that it never saw, and confirms and takes them back."""

    def _not_found(self, id_: str, number: str) -> web.Response:
        status = "revoked" if id_.endswith("revoke") else "pending"
        status = "confirmed" if id_.endswith("confirm") else status
        told = {"number": number, "status": status, "at": "2025-07-01T04:00:00Z"}
        return self._say(id_, HTTPStatus.OK, told)


class ServesEverybody(OpenSandbox):
    """Delivers to whom it cannot."""

    def _decide(self, asked: Any, behaviour: Any, now: float) -> Order:
        return msgspec.structs.replace(super()._decide(asked, behaviour, now), reason="")


class CountsTwice(OpenSandbox):
    """Says that all was delivered, and when asked a part."""

    async def query(self, request: web.Request) -> web.Response:
        """Tell a part."""
        answer = await super().query(request)
        told = json.loads(answer.body or b"{}")  # type: ignore[arg-type]  # bytes, as it was made
        told |= {"status": "partly_issued", "delivered": 1}
        return self._say(answer.headers["webhook-id"], HTTPStatus(answer.status), told)


class StumblesAtOnce(OpenSandbox):
    """Answers 500 to what is being worked on."""

    def __init__(self, settings: SandboxSettings) -> None:
        """Nothing is being worked on."""
        super().__init__(settings)
        self.busy = set[str]()

    async def issue(self, request: web.Request) -> web.StreamResponse:
        """Work a while, and fail meanwhile."""
        _, asked = await self._signed(request, _Issue)
        if asked.number in self.busy:
            return web.Response(status=500)
        self.busy.add(asked.number)
        await asyncio.sleep(0.05)
        self.busy.discard(asked.number)
        return await super().issue(request)


class TakesHalves(OpenSandbox):
    """Works on what it has read, whether or not all of it came."""

    async def issue(self, request: web.Request) -> web.StreamResponse:
        """Guess the end of the body."""
        body = await request.content.readany()
        whole = body if body.endswith(b"}}") else body + b"}"
        asked = msgspec.json.decode(whole, type=_Issue)
        known = self._book.find(asked.number)
        if known is None:
            known = self._decide(asked, self._settings.behaviour, time.time())
            self._book.add(known, [])
        return self._answer(asked.number, known)


class BelievesEverybody(OpenSandbox):
    """Checks no signature."""

    async def _signed(self, request: web.Request, kind: Any) -> Any:
        asked = msgspec.json.decode(await request.read(), type=kind)
        return request.headers.get("webhook-id", asked.number), asked


class BelievesAnyTime(OpenSandbox):
    """Checks signatures, but not their age."""

    async def _signed(self, request: web.Request, kind: Any) -> Any:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        now_unix = int(headers["webhook-timestamp"])
        id_ = verify(self._secrets, headers, body, now_unix=now_unix)
        return id_, msgspec.json.decode(body, type=kind)


class IgnoresOperations(OpenSandbox):
    """Does what the address says, not what was signed."""

    async def _signed(self, request: web.Request, kind: Any) -> Any:
        if kind is not _Revoke:
            return await super()._signed(request, kind)
        asked = json.loads(await request.read())
        return request.headers["webhook-id"], _Revoke(operation="revoke", number=asked["number"])


class FallsOver(OpenSandbox):
    """Answers 500 to what it cannot read."""

    async def _signed(self, request: web.Request, kind: Any) -> Any:
        try:
            return await super()._signed(request, kind)
        except web.HTTPBadRequest:
            raise web.HTTPInternalServerError from None


class NeverConfirms(OpenSandbox):
    """Answers a confirmation with the state before it."""

    async def confirm(self, request: web.Request) -> web.StreamResponse:
        """Confirm nothing."""
        id_, asked = await self._signed(request, _Confirm)
        order = self._book.find(asked.number)
        assert order is not None
        return self._answer(id_, order)


class GrantsUses(OpenSandbox):
    """Grants every use, however often."""

    def _refuse(self, id_: str, number: str, reason: str) -> web.Response:
        order = self._book.find(number)
        assert order is not None, reason
        return self._answer(id_, order, "redeemed")


class ForgetsReversals(OpenSandbox):
    """Says that a use is undone, and leaves it."""

    async def reverse(self, request: web.Request) -> web.StreamResponse:
        """Do nothing."""
        id_, asked = await self._signed(request, _Reverse)
        order = self._book.find(asked.number)
        assert order is not None
        return self._answer(id_, order, "reversed")


class ForgetsRevocations(OpenSandbox):
    """Says that an order is taken back, and leaves it."""

    async def revoke(self, request: web.Request) -> web.Response:
        """Do nothing."""
        id_, asked = await self._signed(request, _Revoke)
        order = self._book.find(asked.number)
        assert order is not None
        return self._answer(id_, msgspec.structs.replace(order, revoked_at=order.decided_at))


class TakesUsedBack(OpenSandbox):
    """Takes back what was used."""

    async def revoke(self, request: web.Request) -> web.Response:
        """Ask for no state."""
        id_, asked = await self._signed(request, _Revoke)
        order = self._book.find(asked.number)
        assert order is not None
        return self._answer(id_, self._book.revoke(order, time.time()))


class CallsBackOnce(OpenSandbox):
    """Tries a callback once."""

    def __init__(self, settings: SandboxSettings) -> None:
        """Give up after a try."""
        super().__init__(settings)
        self._deliveries._tries = 1


class RenamesEvents(OpenSandbox):
    """Gives each try of a callback an id of its own."""

    tries = 0

    def __init__(self, settings: SandboxSettings) -> None:
        """Sign under another id."""
        super().__init__(settings)
        signed = self._deliveries._signed

        def renamed(callback: OwedCallback, at_unix: int) -> dict[str, str]:
            self.tries += 1
            other = msgspec.structs.replace(callback, id=f"{callback.id}_{self.tries}")
            return signed(other, at_unix)

        self._deliveries._signed = renamed


class NeverStops(OpenSandbox):
    """Calls back for ever."""

    def __init__(self, settings: SandboxSettings) -> None:
        """Note no acknowledgement."""
        super().__init__(settings)
        owed = self._book.postponed
        self._book.delivered = (  # type: ignore[method-assign]  # the fault
            lambda callback: owed(callback, time.time() + 0.01)
        )


class TurnsAwayAndTakes(OpenSandbox):
    """Answers 429 to what it takes."""

    async def issue(self, request: web.Request) -> web.StreamResponse:
        """Take an order, and say otherwise."""
        id_, asked = await self._signed(request, _Issue)
        is_known = self._book.find(asked.number) is not None
        answer = await super().issue(request)
        return answer if is_known else self._turn_away(id_, asked.number, 0)
