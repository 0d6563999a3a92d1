"""Merchant coupons of WeChat Pay v3 (商家券): sent to a user, used by us, found by their code.

What is shared with other coupons stands in `wechat_coupons`. Here: the messages, and that the
table of states is closed; that an answer to a return or a deactivation names no coupon, and so
tells no more than that it was taken, and a query tells the rest; that a callback names no number,
but a code, which tells ours where we make the codes.
"""

import re
from datetime import datetime
from typing import assert_never
from urllib.parse import quote

import msgspec
from msgspec import UNSET, UnsetType

from benefits.domain.orders import (
    Call,
    Done,
    Expired,
    NotFound,
    Notice,
    Operation,
    Outcome,
    Pending,
    Reason,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
)
from benefits.providers.provider import CallbackRefused
from benefits.providers.wechat_coupons import (
    ELSEWHERE,
    CouponDialect,
    credible,
    dated,
    rfc3339,
)

SEND = "/v3/marketing/busifavor/coupons/send"
USE = "/v3/marketing/busifavor/coupons/use"
RETURN = "/v3/marketing/busifavor/coupons/return"
DEACTIVATE = "/v3/marketing/busifavor/coupons/deactivate"
USERS = "/v3/marketing/busifavor/users"
BY_US = "BUSICOUPON_SEND_CHANNEL_API"  # WeChat also tells of what users take elsewhere

_CODE = re.compile(r"\A[0-9A-Za-z_|*=/\\-]{1,32}\Z")
_STOCK = re.compile(r"\A[0-9A-Za-z]{1,20}\Z")


class SendBody(msgspec.Struct, frozen=True, kw_only=True):
    """What we send to give a coupon."""

    openid: str
    appid: str
    stock_id: str
    out_request_no: str
    coupon_code: str | UnsetType = UNSET


class UseBody(msgspec.Struct, frozen=True, kw_only=True):
    """What we send when a customer used a coupon."""

    coupon_code: str
    stock_id: str
    appid: str
    use_time: str
    use_request_no: str
    openid: str | UnsetType = UNSET


class ReturnBody(msgspec.Struct, frozen=True, kw_only=True):
    """What we send to undo a use."""

    coupon_code: str
    stock_id: str
    return_request_no: str


class DeactivateBody(msgspec.Struct, frozen=True, kw_only=True):
    """What we send to take an unused coupon back."""

    coupon_code: str
    stock_id: str
    deactivate_request_no: str


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a send."""

    stock_id: str
    coupon_code: str
    out_request_no: str


class WasUsed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a use."""

    stock_id: str
    openid: str
    wechatpay_use_time: datetime


class WasReturned(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the undoing of a use."""

    wechatpay_return_time: datetime


class WasDeactivated(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a deactivation."""

    wechatpay_deactivate_time: datetime


class Coupon(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon as a query tells it."""

    stock_id: str
    coupon_code: str
    coupon_state: str
    send_request_no: str
    receive_time: datetime
    expire_time: datetime
    use_time: datetime | None = None
    use_request_no: str = ""
    deactivate_time: datetime | None = None


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a callback tells of a coupon that was given."""

    event_type: str
    coupon_code: str
    stock_id: str
    send_time: datetime
    send_channel: str = BY_US


class WechatBusifavorDialect(CouponDialect):
    """The merchant's coupons."""

    EVENT = "COUPON.SEND"

    def given(self, event_id: str, content: bytes) -> Notice | None:
        """Read what a callback holds (CallbackRefused); ValidationError when it is none."""
        told = msgspec.json.decode(content.decode(), type=Given)
        if told.send_channel != BY_US:
            return None
        code, at = told.coupon_code, credible(told.send_time)
        if at is None or not (_CODE.match(code) and _STOCK.match(told.stock_id)):
            raise CallbackRefused
        reference = self.codes.reference(code)
        ours = self.merchant.makes_codes(told.stock_id)
        number = self.codes.number(code) if ours else ""
        return Notice(
            event_id=event_id,
            number=number,
            reference="" if number else reference,
            sku=told.stock_id,
            outcome=Done(at, reference, code),
        )

    def impossible(self, call: Call) -> Outcome | None:
        """Return what comes of a call that is not made; what is refused here was never sent."""
        if call.operation is Operation.CONFIRM:
            return Rejected(Reason.CONFIG, "merchant coupons are not confirmed")
        return super().impossible(call)

    def written(self, call: Call) -> tuple[str, bytes]:
        """Return where a call goes and its body: always the same for the same call."""
        if call.operation is Operation.ISSUE or self.resends(call):
            return SEND, self._send(call)
        code, asked, appid = self.code(call), call.request, self.merchant.appid
        match call.operation:
            case Operation.QUERY:
                user, coupon = asked.recipient["openid"], quote(code, safe="")
                return f"{USERS}/{user}/coupons/{coupon}/appids/{appid}", b""
            case Operation.REDEEM:
                assert call.redemption is not None, "a redemption says when"
                use = UseBody(
                    coupon_code=code,
                    stock_id=asked.sku,
                    appid=appid,
                    use_time=rfc3339(call.redemption.at),
                    use_request_no=call.own,
                    openid=asked.recipient.get("openid") or UNSET,
                )
                return USE, msgspec.json.encode(use)
            case Operation.REVERSE:
                undo = ReturnBody(coupon_code=code, stock_id=asked.sku, return_request_no=call.own)
                return RETURN, msgspec.json.encode(undo)
            case Operation.REVOKE:
                end = DeactivateBody(
                    coupon_code=code, stock_id=asked.sku, deactivate_request_no=call.own
                )
                return DEACTIVATE, msgspec.json.encode(end)
            case Operation.ISSUE | Operation.CONFIRM:
                raise AssertionError(call.operation)
            case never:
                assert_never(never)

    def _send(self, call: Call) -> bytes:
        return msgspec.json.encode(
            SendBody(
                openid=call.request.recipient["openid"],
                appid=self.merchant.appid,
                stock_id=call.request.sku,
                out_request_no=call.number,
                coupon_code=self.named(call) or UNSET,
            )
        )

    def done(self, call: Call, body: bytes, at: datetime) -> Outcome:
        """Read a signed success of `at`; ValidationError when it is not of the API."""
        if call.operation is Operation.ISSUE or self.resends(call):
            return self._sent(call, msgspec.json.decode(body, type=Sent), at)
        match call.operation:
            case Operation.QUERY:
                return self._told(call, msgspec.json.decode(body, type=Coupon), at)
            case Operation.REDEEM:
                used = msgspec.json.decode(body, type=WasUsed)
                user = call.request.recipient.get("openid", used.openid)
                if (used.stock_id, used.openid) != (call.request.sku, user):
                    return Unknown(ELSEWHERE)
                when = credible(used.wechatpay_use_time)
                return dated(Used(when, self._reference(call)) if when else None)
            case Operation.REVERSE:
                msgspec.json.decode(body, type=WasReturned)
                return Pending()
            case Operation.REVOKE:
                msgspec.json.decode(body, type=WasDeactivated)
                return Pending()
            case Operation.CONFIRM:
                return Unknown("merchant coupons are not confirmed")
            case never:
                assert_never(never)

    def _reference(self, call: Call) -> str:
        return self.codes.reference(self.code(call))

    def _sent(self, call: Call, sent: Sent, at: datetime) -> Outcome:
        """Read the answer to a send; it names no time of its own, so the signature's is taken."""
        code = sent.coupon_code
        expected = self.code(call) or code
        if (sent.out_request_no, sent.stock_id, code) != (call.number, call.request.sku, expected):
            return Unknown(ELSEWHERE)
        if not _CODE.match(code):
            return Unknown("the code is no code")
        return Done(at, self.codes.reference(code), code)

    def _told(self, call: Call, coupon: Coupon, at: datetime) -> Outcome:
        """Read what a query tells, of the order or of the use it asks about."""
        about = (coupon.coupon_code, coupon.stock_id, coupon.send_request_no)
        if about != (self.code(call), call.request.sku, call.number):
            return Unknown(ELSEWHERE)
        state = _state(coupon, at, self._reference(call))
        if call.redemption is None:
            return dated(state)
        if call.undoes:
            return _of_reversal(call, coupon, state, at)
        return _of_use(call, coupon, state)


def _of_use(call: Call, coupon: Coupon, state: Outcome | None) -> Outcome:
    """Return what a coupon's state says of the use `call.own`: what stands can be used again."""
    match coupon.coupon_state:
        case "USED" if coupon.use_request_no != call.own:
            return Unknown("used under another number")
        case "DELETED":
            return Unknown("deleted after a use") if coupon.use_request_no else NotFound()
        case _:
            return dated(state)


def _of_reversal(call: Call, coupon: Coupon, state: Outcome | None, at: datetime) -> Outcome:
    """Return what a coupon's state says of the undoing of the use `call.undoes`."""
    match coupon.coupon_state:
        case "USED" if coupon.use_request_no == call.undoes:
            return dated(state)
        case "SENDED" | "EXPIRED" | "DEACTIVATED":
            return Reversed(at)
        case _:
            return Unknown("used under another number, or in a state that is not listed")


def _state(coupon: Coupon, at: datetime, reference: str) -> Outcome | None:
    """Return what a coupon's state means; None when its time is not credible.

    One that its user deleted was given all the same.
    """
    when: datetime | None
    match coupon.coupon_state:
        case "SENDED" | "DELETED":
            when = credible(coupon.receive_time)
            return Done(when, reference, coupon.coupon_code) if when else None
        case "USED":
            when = credible(coupon.use_time)
            return Used(when, reference) if when else None
        case "EXPIRED":
            when = credible(coupon.expire_time)
            return Expired(when) if when else None
        case "DEACTIVATED":
            when = credible(coupon.deactivate_time or at)
            return Revoked(when) if when else None
        case _:
            return Unknown("a state that is not listed")
