"""A provider as a real HTTP server: the other side of `openapi/provider.json`, with a temper.

It keeps its orders in SQLite, checks our signatures and signs what it says. What it does with an
order is its behaviour, one for all or one by the number: see `behaviour.py`.

A recipient whose `phone` ends in 0000 is rejected for `account`, at the moment another would be
issued, and as if we were at fault one that ends in 4010 for `auth`, 4020 for `budget` and 4030 for
`config`. One whose `phone` ends in 1111 uses by himself what was issued, soon after it, and one of
1112 one piece of it. At the *desk* (`/desk/...`, unsigned, for the demo) an order is used, or some
of its pieces are, it ends, or one that was delivered in part is completed; all are called back.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Literal, TypeVar

import msgspec
from aiohttp import web

from benefits.domain.signature import SignatureRefused, parse_secret, signed_headers, verify
from benefits.sandbox.behaviour import (
    MIXTURES,
    PENDING_FIRST,
    Behaviour,
    Plan,
    chosen,
    decided,
    digest,
    used,
)
from benefits.sandbox.book import Book, Order
from benefits.sandbox.deliveries import Deliveries, webhooks
from benefits.sandbox.line import body_of, drip, hang_up, serve
from benefits.sandbox.sandbox import Sandbox, problem, view

Number = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Wait = Annotated[float, msgspec.Meta(ge=0)]
Body = TypeVar("Body")

UNLISTED_REASON = "risk_control"
_UNUSED = frozenset({"pending", "issued", "confirmed", "partly_issued"})
_USABLE = frozenset({"issued", "confirmed"})
_PARTS = frozenset({"partly_issued", "partly_redeemed"})
_LEFT = _USABLE | _PARTS  # of which something can be used
_REFUSED = {"0000": "account", "4010": "auth", "4020": "budget", "4030": "config"}
_USING = {"1111": 0, "1112": 1}  # pieces; 0 are all of them
_CARRIED_BY = {
    "pending": HTTPStatus.ACCEPTED,
    "rejected": HTTPStatus.UNPROCESSABLE_ENTITY,
}


class SandboxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to run the sandbox: seconds where a name ends in `_s`; secrets as `whsec_...`."""

    secrets: tuple[str, ...]
    callback_url: str
    host: str = "127.0.0.1"
    port: int = 8090
    behaviour: Behaviour = Behaviour.MIXED
    database: str = ":memory:"
    callback_after_s: Wait = 2.0
    slow_s: Wait = 3.0
    hang_s: Wait = 20.0
    drip_s: Wait = 0.2
    late_s: Wait = 45.0
    retry_after_s: Wait = 5.0
    retry_s: Annotated[tuple[Wait, ...], msgspec.Meta(min_length=1)] = (1.0, 2.0, 5.0, 10.0, 30.0)


class _Issue(msgspec.Struct, kw_only=True):
    operation: Literal["issue"]
    number: Number
    sku: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    recipient: dict[str, str]


class _Query(msgspec.Struct, kw_only=True):
    operation: Literal["query"]
    number: Number


class _Revoke(msgspec.Struct, kw_only=True):
    operation: Literal["revoke"]
    number: Number


class _Confirm(msgspec.Struct, kw_only=True):
    operation: Literal["confirm"]
    number: Number


class _Redeem(msgspec.Struct, kw_only=True):
    operation: Literal["redeem"]
    number: Number
    redemption: Number


class _Reverse(msgspec.Struct, kw_only=True):
    operation: Literal["reverse"]
    number: Number
    reversal: Number
    redemption: Number


class _Named(msgspec.Struct, kw_only=True):
    number: Number
    pieces: Annotated[int, msgspec.Meta(ge=1)] | None = None


class OpenSandbox(Sandbox):
    """The handlers, around one book and one sender of callbacks."""

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._secrets = tuple(parse_secret(text) for text in settings.secrets)
        if not self._secrets:
            msg = "the sandbox needs a signing secret"
            raise ValueError(msg)
        self._book = Book(settings.database)
        self._deliveries = Deliveries(
            self._book,
            url=settings.callback_url,
            signed=webhooks(self._secrets),
            retry_s=settings.retry_s,
            clock=clock,
        )
        super().__init__(self._book, self._deliveries, clock)

    def routes(self) -> list[web.RouteDef]:
        """Return what the server answers to."""
        return [
            web.post("/orders", self.issue),
            web.post("/orders/query", self.query),
            web.post("/orders/revoke", self.revoke),
            web.post("/orders/confirm", self.confirm),
            web.post("/orders/redeem", self.redeem),
            web.post("/orders/reverse", self.reverse),
            web.post("/desk/use", self.use),
            web.post("/desk/complete", self.complete),
            web.post("/desk/expire", self.expire),
            *super().routes(),
        ]

    async def issue(self, request: web.Request) -> web.StreamResponse:
        """Take an order; the same again answers its state, the same number otherwise 409 (V-3)."""
        id_, asked = await self._signed(request, _Issue)
        known = self._book.find(asked.number)
        if known is None:
            return await self._first(request, id_, asked)
        if (known.sku, known.quantity, known.recipient) != (
            asked.sku,
            asked.quantity,
            asked.recipient,
        ):
            told = {"number": asked.number, "status": "rejected", "reason": "duplicate_different"}
            return self._say(id_, HTTPStatus.CONFLICT, told)
        return self._answer(id_, known)

    async def _first(self, request: web.Request, id_: str, asked: _Issue) -> web.StreamResponse:
        """Answer a number that was never taken, as its behaviour will have it."""
        settings, now = self._settings, self.clock()
        behaviour = chosen(asked.number, settings.behaviour)
        if behaviour is Behaviour.TOO_BUSY:
            wait_s = self._book.turned_away(asked.number, now, settings.retry_after_s)
            if wait_s > 0:
                return self._turn_away(id_, asked.number, wait_s)
        order = self._decide(asked, behaviour, now)
        self._book.add(order, self._told_later(order))
        self._deliveries.wake()
        return await self._tempered(request, id_, order, behaviour)

    async def _tempered(
        self,
        request: web.Request,
        id_: str,
        order: Order,
        behaviour: Behaviour,
        *,
        status: str = "",
    ) -> web.StreamResponse:
        """Answer what was done with an order as its behaviour will have it."""
        match behaviour:
            case Behaviour.TIMES_OUT:
                return await hang_up(request, self._settings.hang_s)
            case Behaviour.SLOW:
                await asyncio.sleep(self._settings.slow_s)
            case Behaviour.DRIPS:
                answer = self._answer(id_, order, status)
                return await drip(request, answer, self._settings.drip_s)
            case Behaviour.ANSWERS_FORGED:
                told = order.said(self.clock(), status)
                return self._say(id_, HTTPStatus.OK, told, secrets=(os.urandom(32),))
            case Behaviour.ANSWERS_UNLISTED:
                return self._refuse(id_, order.number, UNLISTED_REASON)
            case _:
                pass
        return self._answer(id_, order, status)

    def _refuse(self, id_: str, number: str, reason: str) -> web.Response:
        told = {"number": number, "status": "rejected", "reason": reason}
        return self._say(id_, HTTPStatus.UNPROCESSABLE_ENTITY, told)

    def _told_later(self, order: Order) -> list[Plan]:
        late_s, plans = self._settings.late_s, list[Plan]()
        if order.decided_at > order.asked_at:
            plans = decided(order.behaviour, order.asked_at, order.decided_at, late_s=late_s)
        if order.used_at is not None:
            plans += self._told_used(order, order.used_at)
        return plans

    def _told_used(self, order: Order, at: float) -> list[Plan]:
        mixed = self._settings.behaviour in MIXTURES
        return used(order.behaviour, at, late_s=self._settings.late_s, mixed=mixed)

    async def query(self, request: web.Request) -> web.Response:
        """Tell the state of a number."""
        id_, asked = await self._signed(request, _Query)
        order = self._book.find(asked.number)
        if order is None:
            return self._not_found(id_, asked.number)
        return self._say(id_, HTTPStatus.OK, order.said(self.clock()))

    async def revoke(self, request: web.Request) -> web.Response:
        """Take back what is unused; answers the state after it, whatever it is."""
        id_, asked = await self._signed(request, _Revoke)
        now = self.clock()
        order = self._book.find(asked.number)
        if order is None:
            return self._not_found(id_, asked.number)
        if order.status(now) in _UNUSED:
            order = self._book.revoke(order, now)
        return self._say(id_, HTTPStatus.OK, order.said(now))

    async def confirm(self, request: web.Request) -> web.StreamResponse:
        """Confirm what is issued; answers the state after it."""
        id_, asked = await self._signed(request, _Confirm)
        now = self.clock()
        order = self._book.find(asked.number)
        if order is None:
            return self._not_found(id_, asked.number)
        if order.status(now) != "issued":
            return self._answer(id_, order)
        order = self._book.confirm(order, now)
        return await self._tempered(request, id_, order, order.behaviour)

    async def redeem(self, request: web.Request) -> web.StreamResponse:
        """Use an order by a number of its own; the same again answers the same."""
        id_, asked = await self._signed(request, _Redeem)
        now = self.clock()
        order = self._book.find(asked.number)
        if order is None:
            return self._not_found(id_, asked.number)
        known = self._book.redemption(asked.redemption)
        if known is not None:
            return self._answer(id_, order, "reversed" if known[1] else "")
        if order.status(now) not in _USABLE:
            return self._refuse(id_, asked.number, "invalid")
        order = self._book.redeem(order, asked.redemption, now)
        return await self._tempered(request, id_, order, order.behaviour)

    async def reverse(self, request: web.Request) -> web.StreamResponse:
        """Undo a use by a number of its own; the same again answers the same."""
        id_, asked = await self._signed(request, _Reverse)
        order = self._book.find(asked.number)
        if order is None:
            return self._not_found(id_, asked.number)
        known = self._book.redemption(asked.redemption)
        if known == (asked.number, asked.reversal):
            return self._answer(id_, order, "reversed")
        if known != (asked.number, None):
            return self._refuse(id_, asked.number, "invalid")
        order = self._book.reverse(order, asked.redemption, asked.reversal, self.clock())
        return await self._tempered(request, id_, order, order.behaviour, status="reversed")

    async def use(self, request: web.Request) -> web.Response:
        """Use an issued order at the counter, or some `pieces` of it, which calls back."""
        now = self.clock()
        order, pieces = await self._at_the_desk(request, _LEFT, "not_usable", now)
        if not pieces:
            raise problem(web.HTTPConflict, "not_usable", "all that was delivered is used")
        done = self._book.use(order, pieces, now, self._told_used(order, now))
        self._deliveries.wake()
        return web.json_response(view(done, now))

    async def complete(self, request: web.Request) -> web.Response:
        """Deliver the rest of an order that was delivered in part, which calls back."""
        now = self.clock()
        order, _ = await self._at_the_desk(request, _PARTS, "not_in_part", now)
        if order.delivered == order.quantity:
            raise problem(web.HTTPConflict, "not_in_part", "all of it was delivered")
        done = self._book.complete(order, now, [Plan(at=now, due_at=now)])
        self._deliveries.wake()
        return web.json_response(view(done, now))

    async def expire(self, request: web.Request) -> web.Response:
        """Let what is unused of an order end, which calls back."""
        now = self.clock()
        order, _ = await self._at_the_desk(request, _LEFT, "not_usable", now)
        if not order.unused:
            raise problem(web.HTTPConflict, "not_usable", "all that was delivered is used")
        done = self._book.expire(order, now, [Plan(at=now, due_at=now)])
        self._deliveries.wake()
        return web.json_response(view(done, now))

    async def _at_the_desk(
        self, request: web.Request, wanted: Collection[str], code: str, now: float
    ) -> tuple[Order, int]:
        """Return the order a request at the desk names, if it stands as wanted, and the pieces."""
        asked = _decoded(await request.read(), _Named)
        order = self._book.find(asked.number)
        if order is None:
            raise problem(web.HTTPNotFound, "not_found", "no order has this number")
        status = order.status(now)
        if status not in wanted:
            words = f"the order is {status}, not {' or '.join(sorted(wanted))}"
            raise problem(web.HTTPConflict, code, words)
        pieces = order.unused if asked.pieces is None else asked.pieces
        if pieces > order.unused:
            raise problem(web.HTTPConflict, code, f"of the order {order.unused} can be used")
        return order, pieces

    async def _signed(self, request: web.Request, kind: type[Body]) -> tuple[str, Body]:
        body = await body_of(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            id_ = verify(self._secrets, headers, body, now_unix=int(self.clock()))
        except SignatureRefused as refusal:
            raise problem(web.HTTPUnauthorized, refusal.code, refusal.detail) from refusal
        return id_, _decoded(body, kind)

    def _decide(self, asked: _Issue, behaviour: Behaviour, now: float) -> Order:
        chance = digest(asked.number)
        later = behaviour in PENDING_FIRST or (behaviour is Behaviour.GOOD and chance[1] % 2 == 1)
        who = asked.recipient.get("phone", "")[-4:]
        reason, uses = _REFUSED.get(who, ""), _USING.get(who)
        after_s = self._settings.callback_after_s
        decided_at = now + after_s if later else now
        order = Order(
            number=asked.number,
            sku=asked.sku,
            quantity=asked.quantity,
            recipient=asked.recipient,
            behaviour=behaviour,
            reference=f"SB{chance[2:8].hex().upper()}",
            code="" if reason else f"{int.from_bytes(chance[8:14], 'big') % 10**12:012d}",
            reason=reason,
            asked_at=now,
            decided_at=decided_at,
            used_at=None if uses is None else decided_at + after_s,
            used_part=(uses or 0) % asked.quantity,
        )
        if uses is None or not order.is_parted:
            return order
        return msgspec.structs.replace(order, used_part=uses or order.delivered)

    def _turn_away(self, id_: str, number: str, wait_s: float) -> web.Response:
        told = {"number": number, "status": "not_processed"}
        answer = self._say(id_, HTTPStatus.TOO_MANY_REQUESTS, told)
        answer.headers["Retry-After"] = str(math.ceil(wait_s))
        return answer

    def _answer(self, id_: str, order: Order, status: str = "") -> web.Response:
        told = order.said(self.clock(), status)
        return self._say(id_, _CARRIED_BY.get(str(told["status"]), HTTPStatus.OK), told)

    def _not_found(self, id_: str, number: str) -> web.Response:
        return self._say(id_, HTTPStatus.NOT_FOUND, {"number": number, "status": "not_found"})

    def _say(
        self,
        id_: str,
        status: HTTPStatus,
        told: Mapping[str, str | int],
        *,
        secrets: Sequence[bytes] = (),
    ) -> web.Response:
        body = msgspec.json.encode(told)
        headers = signed_headers(secrets or self._secrets, id_, int(self.clock()), body)
        return web.Response(
            status=status, body=body, headers=headers, content_type="application/json"
        )


def make_app(settings: SandboxSettings) -> web.Application:
    """Build the sandbox as an aiohttp application; ValueError for a malformed secret."""
    return OpenSandbox(settings).application()


async def run(settings: SandboxSettings, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve until cancelled; `ready` is told the base address once requests are answered."""
    await serve(make_app(settings), settings.host, settings.port, ready=ready)


def _decoded(body: bytes, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise problem(web.HTTPBadRequest, "malformed", str(error)) from error
