"""Merchant coupons of WeChat Pay v3 (商家券): sent to a user, used by us, found by their code.

Our number is the `out_request_no` of a send, and where we make the codes of a stock it is the
coupon's code, too; elsewhere the code comes with the answer, and until it is known a query is the
same send again, which answers the same. Invariants: an outcome other than Unknown or NotSent is
read only from an answer that WeChat signed, that is fresh and names our order (V-3); the tables of
states and of refusals are closed; an answer which another request of ours may have caused is a
reason to query; what WeChat cannot be asked is refused before anything leaves.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import assert_never
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import UNSET, UnsetType

from benefits.domain.orders import (
    Call,
    Done,
    Expired,
    NotFound,
    Notice,
    NotSent,
    Operation,
    Outcome,
    Reason,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
)
from benefits.domain.signature import SignatureRefused
from benefits.domain.wechat import Wechat
from benefits.providers import wechat_pay
from benefits.providers.client import Response
from benefits.providers.http import Moment, Outgoing
from benefits.providers.provider import Acknowledgement, CallbackRefused, RawCallback
from benefits.providers.wechat_pay import UNREADABLE, Credentials

BEIJING = timezone(timedelta(hours=8))
SEND = "/v3/marketing/busifavor/coupons/send"
USE = "/v3/marketing/busifavor/coupons/use"
RETURN = "/v3/marketing/busifavor/coupons/return"
DEACTIVATE = "/v3/marketing/busifavor/coupons/deactivate"
USERS = "/v3/marketing/busifavor/users"

# What certainly was not done, when a signed answer with a status from 400 says so. Absent on
# purpose: SYSTEM_ERROR, FREQUENCY_LIMITED, RESOURCE_ALREADY_EXISTS and INVALID_REQUEST, which is
# also said of a number that is past the time for tries: in each the coupon may have been given.
REASONS = {
    "PARAM_ERROR": Reason.INVALID,
    "RULE_LIMIT": Reason.LIMIT,
    "APPID_MCHID_NOT_MATCH": Reason.CONFIG,
    "MCH_NOT_EXISTS": Reason.CONFIG,
    "SIGN_ERROR": Reason.AUTH,
    "NO_AUTH": Reason.AUTH,
}
NOT_THERE = "RESOURCE_NOT_EXISTS"
BY_US = "BUSICOUPON_SEND_CHANNEL_API"  # WeChat also tells of what users take elsewhere

_OPENID = re.compile(r"\A[0-9A-Za-z_-]{1,128}\Z")
_CODE = re.compile(r"\A[0-9A-Za-z_|*=/\\-]{1,32}\Z")
_EVENT = re.compile(r"\A[0-9A-Za-z_-]{1,64}\Z")
_ERROR = re.compile(r"\A[A-Z][A-Z_]{1,63}\Z")


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


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What WeChat says when it does not do as asked."""

    code: str


class WechatBusifavorDialect:
    """The merchant's coupons at `base_url`, as the merchant that `merchant` names."""

    def __init__(self, *, base_url: str, merchant: Wechat, credentials: Credentials) -> None:
        parts = urlsplit(base_url.rstrip("/"))
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._path = parts.path
        self._merchant = merchant
        self._credentials = credentials

    def request(self, call: Call, moment: Moment) -> Outgoing | Outcome:
        """Write a call, or say at once what comes of one that WeChat cannot be asked."""
        return self._impossible(call) or self._outgoing(*self._written(call), moment)

    def read(self, call: Call, response: Response, moment: Moment) -> Outcome:
        """Read the answer to a call; Unknown unless it is certain what it means (V-3)."""
        now_unix = int(moment.now.timestamp())
        try:
            at_unix = self._credentials.verify(response.headers, response.body, now_unix=now_unix)
        except SignatureRefused as refusal:
            return Unknown(f"HTTP {response.status}{_hint(response.body)}, {refusal.detail}")
        try:
            if response.status != 200:
                return self._refused(call, response)
            return self._done(call, response.body, datetime.fromtimestamp(at_unix, UTC))
        except UNREADABLE:
            return Unknown(f"HTTP {response.status}, not an answer of the API")

    def receive(self, raw: RawCallback) -> Notice | None:
        """Check and read a callback, or refuse: SignatureRefused, CallbackRefused (V-4).

        None is of a coupon that another channel gave.
        """
        received = int(raw.received_at.timestamp())
        self._credentials.verify(raw.headers, raw.body, now_unix=received)
        return self.understand(wechat_pay.envelope(raw.body).id, raw.body)

    def understand(self, event_id: str, body: bytes) -> Notice | None:
        """Read a callback that was verified when it came, or refuse: CallbackRefused (V-4)."""
        outside = wechat_pay.envelope(body)
        if outside.event_type != "COUPON.SEND" or not _EVENT.match(event_id):
            raise CallbackRefused
        try:
            given = msgspec.json.decode(self._credentials.open(outside.resource), type=Given)
        except UNREADABLE:
            raise CallbackRefused from None
        if given.send_channel != BY_US:
            return None
        at = _credible(given.send_time)
        if not _CODE.match(given.coupon_code) or at is None:
            raise CallbackRefused
        outcome = Done(at, given.coupon_code, given.coupon_code)
        if self._merchant.makes_codes(given.stock_id):
            return Notice(event_id=event_id, number=given.coupon_code, outcome=outcome)
        return Notice(event_id=event_id, reference=given.coupon_code, outcome=outcome)

    def ack(self) -> Acknowledgement:
        """Return what tells WeChat that we have kept its callback (V-4)."""
        return Acknowledgement(b"")

    def refused(self, status: int, words: str) -> Acknowledgement:
        """Return what tells WeChat that its callback was refused, and why."""
        body = msgspec.json.encode({"code": "FAIL", "message": words})
        return Acknowledgement(body, status, "application/json")

    def _impossible(self, call: Call) -> Outcome | None:
        """Return what comes of a call that is not made; what is refused here was never sent."""
        known = _OPENID.match(call.request.recipient.get("openid", ""))
        match call.operation:
            case Operation.ISSUE if call.request.quantity != 1:
                return Rejected(Reason.INVALID, "one coupon is sent at a time")
            case Operation.ISSUE if not known:
                return Rejected(Reason.ACCOUNT, "this is no openid")
            case Operation.QUERY if not known:
                return Unknown("without an openid nothing can be asked")
            case Operation.CONFIRM:
                return Rejected(Reason.CONFIG, "merchant coupons are not confirmed")
            case Operation.ISSUE:
                return None
            case _ if self._resends(call) or self._code(call):
                return None
            case _:
                return NotSent("the coupon's code is not known yet")

    def _written(self, call: Call) -> tuple[str, bytes]:
        """Return where a call goes and its body: always the same for the same call."""
        if call.operation is Operation.ISSUE or self._resends(call):
            return SEND, self._send(call)
        code, asked, appid = self._code(call), call.request, self._merchant.appid
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

    def _code(self, call: Call) -> str:
        """Return the code of an order's coupon; empty while it is not known."""
        ours = self._merchant.makes_codes(call.request.sku)
        return call.number if ours else call.reference

    def _resends(self, call: Call) -> bool:
        """Say whether a query is the same send again: nothing else can be asked yet."""
        asks = call.operation is Operation.QUERY and call.redemption is None
        return asks and not self._code(call)

    def _send(self, call: Call) -> bytes:
        ours = self._merchant.makes_codes(call.request.sku)
        return msgspec.json.encode(
            SendBody(
                openid=call.request.recipient["openid"],
                appid=self._merchant.appid,
                stock_id=call.request.sku,
                out_request_no=call.number,
                coupon_code=call.number if ours else UNSET,
            )
        )

    def _outgoing(self, path: str, body: bytes, moment: Moment) -> Outgoing:
        """Sign what leaves; what has no body is got."""
        target, method = self._path + path, "POST" if body else "GET"
        signed = (int(moment.now.timestamp()), moment.nonce.upper())
        headers = {
            "accept": "application/json",
            "authorization": self._credentials.authorization(
                self._merchant.mchid, (method, target), body, signed
            ),
            "wechatpay-serial": self._credentials.preferred,
        }
        if not body:
            return Outgoing(url=self._origin + target, headers=headers, method="GET")
        headers["content-type"] = "application/json"
        return Outgoing(url=self._origin + target, headers=headers, body=body)

    def _refused(self, call: Call, response: Response) -> Outcome:
        """Read a signed answer that is no success; ValidationError when it is not of the API."""
        code = msgspec.json.decode(response.body, type=Problem).code
        told = f"HTTP {response.status}{_hint(response.body)}"
        queried = call.operation is Operation.QUERY
        if response.status == 404 and code == NOT_THERE and queried and not self._resends(call):
            return NotFound()
        reason = REASONS.get(code)
        if reason is None or not 400 <= response.status <= 499:
            return Unknown(told)
        if not queried:
            # Nothing is kept of a send that was not ours to make: its number can be sent again.
            return Rejected(reason, code, keeps_nothing=reason in {Reason.AUTH, Reason.CONFIG})
        # Of a send that was made again: what is refused now was not given before.
        gone = self._resends(call) and reason not in {Reason.AUTH, Reason.CONFIG}
        return NotFound() if gone else Unknown(told)

    def _done(self, call: Call, body: bytes, at: datetime) -> Outcome:
        """Read a signed success of `at`; ValidationError when it is not of the API."""
        if call.operation is Operation.ISSUE or self._resends(call):
            return self._given(call, msgspec.json.decode(body, type=Sent), at)
        when: datetime | None
        match call.operation:
            case Operation.QUERY:
                return self._told(call, msgspec.json.decode(body, type=Coupon), at)
            case Operation.REDEEM:
                used = msgspec.json.decode(body, type=WasUsed)
                user = call.request.recipient.get("openid", used.openid)
                if (used.stock_id, used.openid) != (call.request.sku, user):
                    return Unknown("the answer is about another coupon")
                when = _credible(used.wechatpay_use_time)
                return _dated(Used(when, self._code(call)) if when else None)
            case Operation.REVERSE:
                when = _credible(msgspec.json.decode(body, type=WasReturned).wechatpay_return_time)
                return _dated(Reversed(when) if when else None)
            case Operation.REVOKE:
                ended = msgspec.json.decode(body, type=WasDeactivated)
                when = _credible(ended.wechatpay_deactivate_time)
                return _dated(Revoked(when) if when else None)
            case Operation.CONFIRM:
                return Unknown("merchant coupons are not confirmed")
            case never:
                assert_never(never)

    def _given(self, call: Call, sent: Sent, at: datetime) -> Outcome:
        """Read the answer to a send; it names no time of its own, so the signature's is taken."""
        code = sent.coupon_code
        expected = self._code(call) or code
        if (sent.out_request_no, sent.stock_id, code) != (call.number, call.request.sku, expected):
            return Unknown("the answer is about another coupon")
        return Done(at, code, code) if _CODE.match(code) else Unknown("the code is no code")

    def _told(self, call: Call, coupon: Coupon, at: datetime) -> Outcome:
        """Read what a query tells, of the order or of the use it asks about."""
        about = (coupon.coupon_code, coupon.stock_id, coupon.send_request_no)
        if about != (self._code(call), call.request.sku, call.number):
            return Unknown("the answer is about another coupon")
        if call.redemption is None:
            return _dated(_state(coupon, at))
        return _of_reversal(call, coupon, at) if call.undoes else _of_use(call, coupon, at)


def _of_use(call: Call, coupon: Coupon, at: datetime) -> Outcome:
    """Return what a coupon's state says of the use `call.own`: what stands can be used again."""
    match coupon.coupon_state:
        case "USED" if coupon.use_request_no != call.own:
            return Unknown("used under another number")
        case "DELETED":
            return Unknown("deleted after a use") if coupon.use_request_no else NotFound()
        case _:
            return _dated(_state(coupon, at))


def _of_reversal(call: Call, coupon: Coupon, at: datetime) -> Outcome:
    """Return what a coupon's state says of the undoing of the use `call.undoes`."""
    match coupon.coupon_state:
        case "USED" if coupon.use_request_no == call.undoes:
            return _dated(_state(coupon, at))
        case "SENDED" | "EXPIRED" | "DEACTIVATED":
            return Reversed(at)
        case _:
            return Unknown("used under another number, or in a state that is not listed")


def rfc3339(at: datetime) -> str:
    """Write an instant as WeChat's examples do: in Beijing's time, to the second."""
    return at.astimezone(BEIJING).isoformat(timespec="seconds")


def _state(coupon: Coupon, at: datetime) -> Outcome | None:
    """Return what a coupon's state means; None when its time is not credible.

    One that its user deleted was given all the same.
    """
    when: datetime | None
    match coupon.coupon_state:
        case "SENDED" | "DELETED":
            when = _credible(coupon.receive_time)
            return Done(when, coupon.coupon_code, coupon.coupon_code) if when else None
        case "USED":
            when = _credible(coupon.use_time)
            return Used(when, coupon.coupon_code) if when else None
        case "EXPIRED":
            when = _credible(coupon.expire_time)
            return Expired(when) if when else None
        case "DEACTIVATED":
            when = _credible(coupon.deactivate_time or at)
            return Revoked(when) if when else None
        case _:
            return Unknown("a state that is not listed")


def _credible(at: datetime | None) -> datetime | None:
    """Return an instant in UTC; None unless it has a zone and lies in our times."""
    if at is None or at.tzinfo is None or not 2000 <= at.year < 2200:
        return None
    return at.astimezone(UTC)


def _dated(outcome: Outcome | None) -> Outcome:
    return Unknown("without a credible instant") if outcome is None else outcome


def _hint(body: bytes) -> str:
    """Return the code of an answer for whoever looks into it; empty unless it looks like one."""
    try:
        code = msgspec.json.decode(body, type=Problem).code
    except UNREADABLE:
        return ""
    return f" {code}" if _ERROR.match(code) else ""
