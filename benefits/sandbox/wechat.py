"""WeChat Pay's merchant coupons as a real HTTP server: its wire format, signatures and temper.

It checks the merchant's signatures, signs what it says, seals its callbacks and sends them until
they are acknowledged, at most `tries` times. What it does with a coupon is its behaviour, one for
all or MIXED by the number of the send. Two sends to one user of one stock at once refuse the later
for a limit that is not reached, as is told of the real one. A user whose openid ends in 0000 has
had enough coupons. At the desk (`/desk/...`, unsigned, for the demo) the coupons are listed.
"""

import asyncio
import base64
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from aiohttp import web

from benefits.domain.signature import TOLERANCE_S
from benefits.providers import wechat_pay
from benefits.providers.wechat_busifavor import (
    DEACTIVATE,
    RETURN,
    SEND,
    USE,
    USERS,
    DeactivateBody,
    ReturnBody,
    SendBody,
    UseBody,
    rfc3339,
)
from benefits.sandbox.behaviour import Behaviour, Plan, digest
from benefits.sandbox.book import Order, OwedCallback, instant
from benefits.sandbox.coupons import CouponBook, Deed
from benefits.sandbox.deliveries import Deliveries
from benefits.sandbox.line import drip, hang_up, serve
from benefits.sandbox.server import view
from benefits.sandbox.wechat_keys import WechatKeys

Wait = Annotated[float, msgspec.Meta(ge=0)]
Body = TypeVar("Body", SendBody, UseBody, ReturnBody, DeactivateBody)

EXPLAINED = {
    Behaviour.GOOD: "sends at once, and calls back",
    Behaviour.SLOW: "sends, and answers after seconds",
    Behaviour.TIMES_OUT: "sends, holds the line, drops it without an answer",
    Behaviour.DRIPS: "sends, answers byte by byte past the deadline",
    Behaviour.TOO_BUSY: "answers 429 FREQUENCY_LIMITED first, sends after that",
    Behaviour.ANSWERS_FORGED: "sends, answers 200 with a false signature",
    Behaviour.ANSWERS_UNLISTED: "sends, answers 400 SYSTEM_ERROR",
    Behaviour.CALLS_BACK_TWICE: "delivers the callback twice",
    Behaviour.CALLS_BACK_LATE: "calls back long after it sent",
    Behaviour.CALLS_BACK_FORGED: "calls back with a probe first, falsely signed",
    Behaviour.LOSES_CALLBACKS: "no callback arrives",
    Behaviour.MIXED: "one of these by the number",
}
_SINGLE = tuple(each for each in EXPLAINED if each is not Behaviour.MIXED)
_AUTHORIZATION = re.compile(
    wechat_pay.SCHEME
    + r' mchid="(?P<mchid>[^"]*)",nonce_str="(?P<nonce>[^"]*)",signature="(?P<signature>[^"]*)",'
    r'timestamp="(?P<at>[0-9]{1,12})",serial_no="(?P<serial>[^"]*)"\Z'
)


class WechatSandboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to run the sandbox: seconds where a name ends in `_s`; a coupon lives `valid_s`."""

    keys: WechatKeys
    callback_url: str
    host: str = "127.0.0.1"
    port: int = 8090
    behaviour: Behaviour = Behaviour.MIXED
    database: str = ":memory:"
    works_s: Wait = 0.05
    slow_s: Wait = 3.0
    hang_s: Wait = 20.0
    drip_s: Wait = 0.2
    late_s: Wait = 45.0
    busy_s: Wait = 5.0
    retry_s: Wait = 60.0
    tries: int = 11
    valid_s: Wait = 30 * 86_400


class _Refused(Exception):  # noqa: N818 - what is answered, not a failure
    def __init__(self, status: HTTPStatus, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class WechatSandbox:
    """The handlers, around one book and one sender of callbacks."""

    def __init__(
        self, settings: WechatSandboxSettings, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._keys = settings.keys
        self._merchant = wechat_pay.Credentials(settings.keys.merchant)
        self._book = CouponBook(settings.database, self._tell)
        self._under_way = set[tuple[str, str]]()
        self._deliveries = Deliveries(
            self._book,
            url=settings.callback_url,
            signed=self._signed,
            retry_s=(settings.retry_s,),
            tries=settings.tries,
            clock=clock,
        )

    def routes(self) -> list[web.RouteDef]:
        """Return what the server answers to."""
        return [
            web.post(SEND, self._answering(self.send)),
            web.post(USE, self._answering(self.use)),
            web.post(RETURN, self._answering(self.undo)),
            web.post(DEACTIVATE, self._answering(self.deactivate)),
            web.get(
                USERS + "/{openid}/coupons/{code}/appids/{appid}", self._answering(self.query)
            ),
            web.get("/desk/coupons", self.coupons),
            web.get("/health", self.health),
        ]

    async def lifetime(self, _: web.Application) -> AsyncIterator[None]:
        """Deliver callbacks while the server runs."""
        task = asyncio.create_task(self._deliveries.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._book.close()

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Give a coupon; the same again answers the same."""
        asked = _decoded(await request.read(), SendBody)
        known = self._book.find(asked.out_request_no)
        if known is not None:
            if (known.sku, known.recipient) != (asked.stock_id, {"openid": asked.openid}):
                raise _Refused(HTTPStatus.BAD_REQUEST, "RESOURCE_ALREADY_EXISTS")
            return self._sent(known)
        lane = (asked.openid, asked.stock_id)
        if lane in self._under_way or asked.openid.endswith("0000"):
            raise _Refused(HTTPStatus.BAD_REQUEST, "RULE_LIMIT")
        self._under_way.add(lane)
        try:
            await asyncio.sleep(self._settings.works_s)
            return await self._first(request, asked)
        finally:
            self._under_way.discard(lane)

    async def _first(self, request: web.Request, asked: SendBody) -> web.StreamResponse:
        """Give a coupon that was never given, as its behaviour will have it."""
        settings, now = self._settings, self._clock()
        behaviour = chosen(asked.out_request_no, settings.behaviour)
        too_busy = behaviour is Behaviour.TOO_BUSY
        if too_busy and self._book.turned_away(asked.out_request_no, now, settings.busy_s) > 0:
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS, "FREQUENCY_LIMITED")
        order = _given(asked, behaviour, now)
        self._book.add(order, self._plans(behaviour, now))
        self._deliveries.wake()
        match behaviour:
            case Behaviour.TIMES_OUT:
                return await hang_up(request, settings.hang_s)
            case Behaviour.SLOW:
                await asyncio.sleep(settings.slow_s)
            case Behaviour.DRIPS:
                return await drip(request, self._sent(order), settings.drip_s)
            case Behaviour.ANSWERS_FORGED:
                return self._forged(self._sent(order))
            case Behaviour.ANSWERS_UNLISTED:
                raise _Refused(HTTPStatus.BAD_REQUEST, "SYSTEM_ERROR")
            case _:
                pass
        return self._sent(order)

    async def query(self, request: web.Request) -> web.StreamResponse:
        """Tell of one coupon of one user."""
        order = self._book.coupon(None, request.match_info["code"])
        if order is None or order.recipient["openid"] != request.match_info["openid"]:
            raise _Refused(HTTPStatus.NOT_FOUND, "RESOURCE_NOT_EXISTS")
        used = self._book.last(order.number, "use")
        told = {
            "stock_id": order.sku,
            "coupon_code": order.code,
            "coupon_state": self._state(order),
            "send_request_no": order.number,
            "receive_time": _time(order.asked_at),
            "available_start_time": _time(order.asked_at),
            "expire_time": _time(order.asked_at + self._settings.valid_s),
        }
        if used is not None and order.used_at is not None:
            told |= {"use_request_no": used.number, "use_time": _time(used.at)}
        if order.revoked_at is not None:
            told["deactivate_time"] = _time(order.revoked_at)
        return self._say(HTTPStatus.OK, told)

    async def use(self, request: web.Request) -> web.StreamResponse:
        """Use a coupon, once under its number."""
        asked = _decoded(await request.read(), UseBody)
        order, at = self._done(asked.use_request_no, "use", asked)
        told = {"stock_id": order.sku, "openid": order.recipient["openid"]}
        return self._say(HTTPStatus.OK, {**told, "wechatpay_use_time": _time(at)})

    async def undo(self, request: web.Request) -> web.StreamResponse:
        """Undo the use of a coupon."""
        asked = _decoded(await request.read(), ReturnBody)
        _, at = self._done(asked.return_request_no, "return", asked)
        return self._say(HTTPStatus.OK, {"wechatpay_return_time": _time(at)})

    async def deactivate(self, request: web.Request) -> web.StreamResponse:
        """Take an unused coupon back."""
        asked = _decoded(await request.read(), DeactivateBody)
        _, at = self._done(asked.deactivate_request_no, "deactivate", asked)
        return self._say(HTTPStatus.OK, {"wechatpay_deactivate_time": _time(at)})

    async def coupons(self, _: web.Request) -> web.Response:
        """List the last coupons, newest first."""
        page, _more = self._book.page(200, None)
        now = self._clock()
        return web.json_response({"coupons": [view(order, now) for order in page]})

    async def health(self, _: web.Request) -> web.Response:
        """Say that the sandbox runs."""
        return web.json_response({"status": "ok"})

    def _done(
        self, number: str, kind: str, asked: UseBody | ReturnBody | DeactivateBody
    ) -> tuple[Order, float]:
        """Do something to a coupon as it stands, once; return it, and when it was done."""
        order = self._book.coupon(asked.stock_id, asked.coupon_code)
        if order is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "RESOURCE_NOT_EXISTS")
        known = self._book.deed(number)
        if known is None:
            if self._state(order) != ("USED" if kind == "return" else "SENDED"):
                raise _Refused(HTTPStatus.BAD_REQUEST, "INVALID_REQUEST")
            known = Deed(number=number, kind=kind, coupon=order.number, at=self._clock())
            self._book.do(known)
        elif (known.kind, known.coupon) != (kind, order.number):
            raise _Refused(HTTPStatus.BAD_REQUEST, "RESOURCE_ALREADY_EXISTS")
        return order, known.at

    def _state(self, order: Order) -> str:
        if order.revoked_at is not None:
            return "DEACTIVATED"
        if order.used_at is not None:
            return "USED"
        ended = self._clock() >= order.asked_at + self._settings.valid_s
        return "EXPIRED" if ended else "SENDED"

    def _plans(self, behaviour: Behaviour, now: float) -> list[Plan]:
        """Return how a coupon that was given is called back."""
        match behaviour:
            case Behaviour.LOSES_CALLBACKS:
                return []
            case Behaviour.CALLS_BACK_TWICE:
                return [Plan(at=now, due_at=now, times=2)]
            case Behaviour.CALLS_BACK_LATE:
                return [Plan(at=now, due_at=now + self._settings.late_s)]
            case Behaviour.CALLS_BACK_FORGED:
                return [Plan(at=now, due_at=now, forged=True), Plan(at=now, due_at=now)]
            case _:
                return [Plan(at=now, due_at=now)]

    def _tell(self, order: Order, plan: Plan) -> tuple[str, bytes]:
        """Return the id and the body of a callback, sealed for the merchant."""
        told = {
            "event_type": "EVENT_TYPE_BUSICOUPON_SEND",
            "coupon_code": order.code,
            "stock_id": order.sku,
            "send_time": _time(plan.at),
            "openid": order.recipient["openid"],
            "send_channel": "BUSICOUPON_SEND_CHANNEL_API",
        }
        nonce = secrets.token_hex(6)
        resource = {
            "original_type": "coupon",
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": wechat_pay.seal(
                self._keys.merchant.apiv3_keys[0], msgspec.json.encode(told), nonce, "coupon"
            ),
            "associated_data": "coupon",
            "nonce": nonce,
        }
        kind = "probe" if plan.forged else "send"
        id_ = str(UUID(bytes=digest(f"{order.number} {kind}")))
        outside = {
            "id": id_,
            "create_time": _time(plan.at),
            "event_type": "COUPON.SEND",
            "resource_type": "encrypt-resource",
            "summary": "商家券领券通知",
            "resource": resource,
        }
        return id_, msgspec.json.encode(outside)

    def _signed(self, callback: OwedCallback, at_unix: int) -> dict[str, str]:
        """Sign a try of a callback; what is forged is a probe, false on purpose."""
        headers = self._headers(callback.body, at_unix)
        if callback.forged:
            false = base64.b64encode(os.urandom(240)).decode()
            headers["Wechatpay-Signature"] = wechat_pay.PROBE + false
        return headers

    def _headers(self, body: bytes, at_unix: int) -> dict[str, str]:
        nonce = secrets.token_hex(16)
        content = f"{at_unix}\n{nonce}\n".encode() + body + b"\n"
        return {
            "Wechatpay-Timestamp": str(at_unix),
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self._keys.platform_id,
            "Wechatpay-Signature": wechat_pay.sign(self._keys.platform, content),
        }

    def _answering(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        """Return a handler that answers only the merchant, and refusals in WeChat's form."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._check(request, await request.read())
                made: web.StreamResponse = await handler(request)
            except _Refused as refused:
                told = {"code": refused.code, "message": "沙盒"}
                return self._say(refused.status, told)
            return made

        return answer

    def _check(self, request: web.Request, body: bytes) -> None:
        """Refuse a request that is not the merchant's, over the target as it was written."""
        found = _AUTHORIZATION.match(request.headers.get("Authorization", ""))
        serial = self._keys.merchant.merchant_serial.upper()
        if found is None or found["serial"] != serial:
            raise _Refused(HTTPStatus.UNAUTHORIZED, "SIGN_ERROR")
        lines = (request.method, request.raw_path, found["at"], found["nonce"], "")
        content = "\n".join(lines).encode() + body + b"\n"
        fresh = abs(self._clock() - int(found["at"])) <= TOLERANCE_S
        key = self._merchant.public_key
        if not fresh or not wechat_pay.holds(key, found["signature"], content):
            raise _Refused(HTTPStatus.UNAUTHORIZED, "SIGN_ERROR")

    def _sent(self, order: Order) -> web.Response:
        told = {
            "stock_id": order.sku,
            "coupon_code": order.code,
            "out_request_no": order.number,
        }
        return self._say(HTTPStatus.OK, told)

    def _forged(self, answer: web.Response) -> web.Response:
        answer.headers["Wechatpay-Signature"] = base64.b64encode(os.urandom(256)).decode()
        return answer

    def _say(self, status: HTTPStatus, told: dict[str, str]) -> web.Response:
        body = msgspec.json.encode(told)
        headers = self._headers(body, int(self._clock()))
        return web.Response(
            status=status, body=body, headers=headers, content_type="application/json"
        )


def make_app(settings: WechatSandboxSettings) -> web.Application:
    """Build the sandbox as an aiohttp application."""
    sandbox = WechatSandbox(settings)
    app = web.Application(client_max_size=64 * 1024)
    app.add_routes(sandbox.routes())
    app.cleanup_ctx.append(sandbox.lifetime)
    return app


async def run(settings: WechatSandboxSettings) -> None:
    """Serve until cancelled."""
    await serve(make_app(settings), settings.host, settings.port)


def _given(asked: SendBody, behaviour: Behaviour, now: float) -> Order:
    chance = digest(asked.out_request_no)
    made = f"{int.from_bytes(chance[8:14], 'big') % 10**12:012d}"
    return Order(
        number=asked.out_request_no,
        sku=asked.stock_id,
        quantity=1,
        recipient={"openid": asked.openid},
        behaviour=behaviour,
        reference="",
        code=asked.coupon_code if isinstance(asked.coupon_code, str) else made,
        reason="",
        asked_at=now,
        decided_at=now,
    )


def chosen(number: str, behaviour: Behaviour) -> Behaviour:
    """Return the behaviour for a number: the one set, or under MIXED one by its hash."""
    if behaviour is not Behaviour.MIXED:
        return behaviour
    return _SINGLE[digest(number)[0] % len(_SINGLE)]


def _decoded(body: bytes, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except wechat_pay.UNREADABLE:
        raise _Refused(HTTPStatus.BAD_REQUEST, "PARAM_ERROR") from None


def _time(at: float) -> str:
    return rfc3339(instant(at))
