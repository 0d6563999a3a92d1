"""WeChat Pay as a real HTTP server, as far as its coupons share it: signatures, seals and temper.

It checks the merchant's signatures, signs what it says, seals its callbacks and sends them until
they are acknowledged, at most `tries` times. What it does with a coupon is its behaviour, one for
all or MIXED by the number of the send. Two sends to one user of one stock at once refuse the later
for a limit that is not reached, as is told of the real one. A user whose openid ends in 0000 has
had enough coupons. For one of 4000, 4010 and 4030 our set-up, our key and our rights are at fault,
`busy_s` long.
"""

import asyncio
import base64
import os
import re
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, TypeVar
from uuid import UUID

import msgspec
from aiohttp import web

from benefits.domain.signature import TOLERANCE_S
from benefits.providers import wechat_pay
from benefits.providers.wechat_coupons import rfc3339
from benefits.sandbox.behaviour import Behaviour, Plan, digest
from benefits.sandbox.book import Order, OwedCallback, instant
from benefits.sandbox.coupons import CouponBook, Deed
from benefits.sandbox.deliveries import Deliveries
from benefits.sandbox.line import body_of, drip, hang_up
from benefits.sandbox.sandbox import Sandbox
from benefits.sandbox.wechat_keys import WechatKeys

Wait = Annotated[float, msgspec.Meta(ge=0)]
Body = TypeVar("Body")
Answer = Callable[[], web.Response]

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
_OURS = {
    "4000": (HTTPStatus.BAD_REQUEST, "APPID_MCHID_NOT_MATCH"),
    "4010": (HTTPStatus.UNAUTHORIZED, "SIGN_ERROR"),
    "4030": (HTTPStatus.FORBIDDEN, "NO_AUTH"),
}
_NUMBER = re.compile(r"\A[0-9A-Za-z|_*-]{1,128}\Z")
_STOCK = re.compile(r"\A[0-9A-Za-z]{1,40}(/[0-9A-Za-z]{1,40})?\Z")  # a product before it
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


class Refused(Exception):  # noqa: N818 - what is answered, not a failure
    """What WeChat says instead of doing as asked."""

    def __init__(self, status: HTTPStatus, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class WechatSandbox(Sandbox, ABC):
    """WeChat with its coupons; what they are called, and what can be done to them, adds a dialect.

    `EVENT` and `SEALED_FOR` are of the callback about a coupon that was given.
    """

    EVENT: ClassVar[str]
    SEALED_FOR: ClassVar[str]

    def __init__(
        self, settings: WechatSandboxSettings, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self._keys = settings.keys
        self._merchant = wechat_pay.Credentials(settings.keys.merchant)
        self.book = CouponBook(settings.database, self._tell)
        self._under_way = set[tuple[str, str]]()
        self._deliveries = Deliveries(
            self.book,
            url=settings.callback_url,
            signed=self._signed,
            retry_s=(settings.retry_s,),
            tries=settings.tries,
            clock=clock,
        )
        super().__init__(self.book, self._deliveries, clock)

    @abstractmethod
    def state(self, order: Order) -> str:
        """Return where a coupon stands."""

    @abstractmethod
    def told(self, order: Order, at: float) -> dict[str, str]:
        """Return what a callback holds about a coupon that was given."""

    async def give(
        self, request: web.Request, asked: tuple[str, str, str], code: str | None, answer: Answer
    ) -> web.StreamResponse:
        """Give a coupon: its number, stock and user; the same again answers the same."""
        number, stock, openid = asked
        if not (_NUMBER.match(number) and _STOCK.match(stock)):
            raise Refused(HTTPStatus.BAD_REQUEST, "PARAM_ERROR")
        known = self.book.find(number)
        if known is not None:
            if (known.sku, known.recipient) != (stock, {"openid": openid}):
                raise Refused(HTTPStatus.BAD_REQUEST, "RESOURCE_ALREADY_EXISTS")
            return answer()
        lane = (openid, stock)
        if lane in self._under_way or openid.endswith("0000"):
            raise Refused(HTTPStatus.BAD_REQUEST, "RULE_LIMIT")
        self._under_way.add(lane)
        try:
            await asyncio.sleep(self.settings.works_s)
            now, behaviour = self.clock(), chosen(number, self.settings.behaviour)
            too_busy = (HTTPStatus.TOO_MANY_REQUESTS, "FREQUENCY_LIMITED")
            refused = too_busy if behaviour is Behaviour.TOO_BUSY else _OURS.get(openid[-4:])
            if refused and self.book.turned_away(number, now, self.settings.busy_s) > 0:
                raise Refused(*refused)
            order = _given(asked, code, behaviour, now)
            self.book.add(order, self._plans(behaviour, now))
            self._deliveries.wake()
            return await self.tempered(request, behaviour, answer)
        finally:
            self._under_way.discard(lane)

    async def tempered(
        self, request: web.Request, behaviour: Behaviour, answer: Answer
    ) -> web.StreamResponse:
        """Answer what was done as its behaviour will have it."""
        match behaviour:
            case Behaviour.TIMES_OUT:
                return await hang_up(request, self.settings.hang_s)
            case Behaviour.SLOW:
                await asyncio.sleep(self.settings.slow_s)
            case Behaviour.DRIPS:
                return await drip(request, answer(), self.settings.drip_s)
            case Behaviour.ANSWERS_FORGED:
                forged = answer()
                forged.headers["Wechatpay-Signature"] = base64.b64encode(os.urandom(256)).decode()
                return forged
            case Behaviour.ANSWERS_UNLISTED:
                raise Refused(HTTPStatus.BAD_REQUEST, "SYSTEM_ERROR")
            case _:
                pass
        return answer()

    def coupon(self, stock: str | None, code: str) -> Order:
        """Return the coupon with a code, of a stock where one is named."""
        order = self.book.coupon(stock, code)
        if order is None:
            raise Refused(HTTPStatus.NOT_FOUND, "RESOURCE_NOT_EXISTS")
        return order

    def do(self, order: Order, kind: str, number: str, where: Collection[str]) -> Deed:
        """Do something to a coupon that stands as it must, once under its number."""
        known = self.book.deed(number)
        if known is None:
            if self.state(order) not in where:
                raise Refused(HTTPStatus.BAD_REQUEST, "INVALID_REQUEST")
            known = Deed(number=number, kind=kind, coupon=order.number, at=self.clock())
            self.book.do(known)
        elif (known.kind, known.coupon) != (kind, order.number):
            raise Refused(HTTPStatus.BAD_REQUEST, "RESOURCE_ALREADY_EXISTS")
        return known

    def ended(self, order: Order) -> bool:
        """Say whether a coupon's time is over."""
        return self.clock() >= order.asked_at + self.settings.valid_s

    def say(self, told: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
        """Return a signed answer."""
        body = msgspec.json.encode(told)
        headers = self._headers(body, int(self.clock()))
        return web.Response(
            status=status, body=body, headers=headers, content_type="application/json"
        )

    def answering(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        """Return a handler that answers only the merchant, and refusals in WeChat's form."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._check(request, await body_of(request))
                made: web.StreamResponse = await handler(request)
            except Refused as refused:
                return self.say({"code": refused.code, "message": "沙盒"}, refused.status)
            return made

        return answer

    def _plans(self, behaviour: Behaviour, now: float) -> list[Plan]:
        """Return how a coupon that was given is called back."""
        match behaviour:
            case Behaviour.LOSES_CALLBACKS:
                return []
            case Behaviour.CALLS_BACK_TWICE:
                return [Plan(at=now, due_at=now, times=2)]
            case Behaviour.CALLS_BACK_LATE:
                return [Plan(at=now, due_at=now + self.settings.late_s)]
            case Behaviour.CALLS_BACK_FORGED:
                return [Plan(at=now, due_at=now, forged=True), Plan(at=now, due_at=now)]
            case _:
                return [Plan(at=now, due_at=now)]

    def _tell(self, order: Order, plan: Plan) -> tuple[str, bytes]:
        """Return the id and the body of a callback, sealed for the merchant."""
        content = msgspec.json.encode(self.told(order, plan.at))
        nonce, key = secrets.token_hex(6), self._keys.merchant.apiv3_keys[0]
        kind = "probe" if plan.forged else "send"
        id_ = str(UUID(bytes=digest(f"{order.number} {kind}")))
        outside = {
            "id": id_,
            "create_time": written(plan.at),
            "event_type": self.EVENT,
            "resource_type": "encrypt-resource",
            "summary": "领券通知",
            "resource": {
                "original_type": "coupon",
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": wechat_pay.seal(key, content, nonce, self.SEALED_FOR),
                "associated_data": self.SEALED_FOR,
                "nonce": nonce,
            },
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

    def _check(self, request: web.Request, body: bytes) -> None:
        """Refuse a request that is not the merchant's, over the target as it was written."""
        found = _AUTHORIZATION.match(request.headers.get("Authorization", ""))
        serial = self._keys.merchant.merchant_serial.upper()
        if found is None or found["serial"] != serial:
            raise Refused(HTTPStatus.UNAUTHORIZED, "SIGN_ERROR")
        lines = (request.method, request.raw_path, found["at"], found["nonce"], "")
        content = "\n".join(lines).encode() + body + b"\n"
        fresh = abs(self.clock() - int(found["at"])) <= TOLERANCE_S
        key = self._merchant.public_key
        if not fresh or not wechat_pay.holds(key, found["signature"], content):
            raise Refused(HTTPStatus.UNAUTHORIZED, "SIGN_ERROR")


def chosen(number: str, behaviour: Behaviour) -> Behaviour:
    """Return the behaviour for a number: the one set, or under MIXED one by its hash."""
    if behaviour is not Behaviour.MIXED:
        return behaviour
    return _SINGLE[digest(number)[0] % len(_SINGLE)]


async def decoded(request: web.Request, kind: type[Body]) -> Body:
    """Read what a request asks."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except wechat_pay.UNREADABLE:
        raise Refused(HTTPStatus.BAD_REQUEST, "PARAM_ERROR") from None


def written(at: float) -> str:
    """Write an instant as WeChat does."""
    return rfc3339(instant(at))


def _given(
    asked: tuple[str, str, str], code: str | None, behaviour: Behaviour, now: float
) -> Order:
    number, stock, openid = asked
    made = f"{int.from_bytes(digest(number)[8:14], 'big') % 10**12:012d}"
    return Order(
        number=number,
        sku=stock,
        quantity=1,
        recipient={"openid": openid},
        behaviour=behaviour,
        reference="",
        code=code or made,
        reason="",
        asked_at=now,
        decided_at=now,
    )
