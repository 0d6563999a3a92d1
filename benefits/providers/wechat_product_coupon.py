"""Product coupons of WeChat Pay v3 (商品券), in two phases, for a brand that a partner serves.

A coupon that was sent is CONFIRMING until it is confirmed; only then can its user use it.

    CONFIRMING --confirm--> PENDING --its time--> EFFECTIVE --use--> USED
                                                      ^---return------'
    each but USED: deactivate -> DEACTIVATED, its time -> EXPIRED, its user -> DELETED

What is shared with other coupons stands in `wechat_coupons`. Every answer is the whole coupon: by
brand, product, stock, code and the number of its send it names the order, and the number of each
deed the request, so one reading serves them all. A benefit's SKU is a product and a stock of it.
Coupons that are used several times (usage_mode PROGRESSIVE_BUNDLE) are not spoken of.
"""

import re
from datetime import datetime
from typing import assert_never
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, UnsetType

from benefits.domain.orders import (
    Call,
    Confirmed,
    Done,
    Expired,
    NotFound,
    Notice,
    Operation,
    Outcome,
    Reversed,
    Revoked,
    Unknown,
    Used,
)
from benefits.providers.provider import CallbackRefused
from benefits.providers.wechat_coupons import (
    ELSEWHERE,
    OPENID,
    CouponDialect,
    credible,
    dated,
    rfc3339,
)

USERS = "/v3/marketing/partner/product-coupon/users"
BY_US = "API"  # WeChat also tells of what it gives out itself, by other channels
WHY = "权益已收回"  # an unused coupon is taken back only with a reason

_CODE = re.compile(r"\A[0-9A-Za-z_-]{1,40}\Z")
_ID = re.compile(r"\A[0-9A-Za-z]{1,32}\Z")
_SENT = re.compile(r"\A[0-9A-Za-z_-]{6,128}\Z")
# Some of WeChat's examples have no seconds.
_INSTANT = re.compile(
    r"\A\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)\Z", re.ASCII
)
_GIVEN = frozenset({"CONFIRMING", "PENDING", "EFFECTIVE", "DELETED"})


class SendBody(msgspec.Struct, frozen=True, kw_only=True):
    """What we send to give a coupon."""

    brand_id: str
    product_coupon_id: str
    stock_id: str
    appid: str
    send_request_no: str
    coupon_code: str | UnsetType = UNSET


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """The payment at which a coupon was used."""

    transaction_id: str


class DeedBody(msgspec.Struct, frozen=True, kw_only=True):
    """What we send to confirm a coupon, or to undo its use."""

    brand_id: str
    product_coupon_id: str
    stock_id: str
    appid: str
    out_request_no: str


class UseBody(DeedBody, frozen=True, kw_only=True):
    """What we send when a customer used a coupon: when, and at which payment."""

    use_time: str
    associated_order_info: Payment


class DeactivateBody(DeedBody, frozen=True, kw_only=True):
    """What we send to take an unused coupon back, and why."""

    deactivate_reason: str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """The last use of a coupon, and its undoing."""

    use_request_no: str | None = None
    use_time: str | None = None
    return_request_no: str | None = None
    return_time: str | None = None


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """What a coupon is of, as far as we know it."""

    product_coupon_id: str


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """The stock that a coupon comes from, as far as we know it."""

    stock_id: str


class Coupon(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon as every answer tells it."""

    brand_id: str
    product_coupon: Product
    stock: Stock
    coupon_code: str
    coupon_state: str
    send_request_no: str
    receive_time: str
    valid_end_time: str
    confirm_time: str | None = None
    deactivate_time: str | None = None
    single_usage_detail: Usage | None = None


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a callback tells of a coupon that was given."""

    brand_id: str
    product_coupon_id: str
    stock_id: str
    coupon_code: str
    send_request_no: str
    send_channel: str
    receive_time: str


class WechatProductCouponDialect(CouponDialect):
    """The product coupons of a merchant's brand."""

    EVENT = "PRODUCT_COUPON_SP.SEND"

    def given(self, event_id: str, content: bytes) -> Notice | None:
        """Read what a callback holds (CallbackRefused); ValidationError when it is none."""
        told = msgspec.json.decode(content.decode(), type=Given)
        if told.send_channel != BY_US:
            return None
        ids = (told.brand_id, told.product_coupon_id, told.stock_id)
        code, number, at = told.coupon_code, told.send_request_no, _instant(told.receive_time)
        if not (at and _CODE.match(code) and _SENT.match(number) and all(map(_ID.match, ids))):
            raise CallbackRefused
        brand = "" if told.brand_id == self.merchant.brand_id else f"{told.brand_id}/"
        return Notice(
            event_id=event_id,
            number=number,
            sku=f"{brand}{told.product_coupon_id}/{told.stock_id}",
            outcome=Done(at, self.codes.reference(code), code),
        )

    def impossible(self, call: Call) -> Outcome | None:
        """Return what comes of a call that is not made; what is refused here was never sent."""
        known = OPENID.match(call.request.recipient.get("openid", ""))
        if not known and call.operation is not Operation.ISSUE:
            return Unknown("without an openid nothing can be asked")
        return super().impossible(call)

    def written(self, call: Call) -> tuple[str, bytes]:
        """Return where a call goes and its body: always the same for the same call."""
        coupons = f"{USERS}/{call.request.recipient['openid']}/coupons"
        if call.operation is Operation.ISSUE or self.resends(call):
            sent = SendBody(
                **self._ids(call),
                send_request_no=call.number,
                coupon_code=self.named(call) or UNSET,
            )
            return coupons, msgspec.json.encode(sent)
        coupon = f"{coupons}/{quote(self.code(call), safe='')}"
        deed = {**self._ids(call), "out_request_no": call.own}
        match call.operation:
            case Operation.QUERY:
                return f"{coupon}?{urlencode(self._ids(call))}", b""
            case Operation.CONFIRM:
                return f"{coupon}/confirm", msgspec.json.encode(DeedBody(**deed))
            case Operation.REDEEM:
                used = call.redemption
                assert used is not None, "a redemption says when"
                assert used.payment, "and at which payment"
                paid = Payment(transaction_id=used.payment)
                use = UseBody(**deed, use_time=rfc3339(used.at), associated_order_info=paid)
                return f"{coupon}/use", msgspec.json.encode(use)
            case Operation.REVERSE:
                return f"{coupon}/return", msgspec.json.encode(DeedBody(**deed))
            case Operation.REVOKE:
                end = DeactivateBody(**deed, deactivate_reason=WHY)
                return f"{coupon}/deactivate", msgspec.json.encode(end)
            case Operation.ISSUE:
                raise AssertionError(call.operation)
            case never:
                assert_never(never)

    def done(self, call: Call, body: bytes, at: datetime) -> Outcome:
        """Read a signed success of `at`; ValidationError when it is not of the API."""
        coupon = msgspec.json.decode(body, type=Coupon)
        code = self.code(call) or coupon.coupon_code
        sku = f"{coupon.product_coupon.product_coupon_id}/{coupon.stock.stock_id}"
        about = (coupon.brand_id, sku, coupon.coupon_code, coupon.send_request_no)
        if about != (self.merchant.brand_id, call.request.sku, code, call.number):
            return Unknown(ELSEWHERE)
        if not _CODE.match(code):
            return Unknown("the code is no code")
        sent = call.operation is Operation.ISSUE or self.resends(call)
        if sent and coupon.coupon_state in _GIVEN:
            return dated(self._given(coupon))
        state = self._state(coupon, at)
        if call.redemption is None:
            return dated(state)
        usage = coupon.single_usage_detail or Usage()
        if call.undoes:
            return _of_reversal(call, coupon.coupon_state, usage, (state, at))
        return _of_use(call, coupon.coupon_state, usage, state)

    def _ids(self, call: Call) -> dict[str, str]:
        product, _, stock = call.request.sku.partition("/")
        return {
            "brand_id": self.merchant.brand_id,
            "product_coupon_id": product,
            "stock_id": stock,
            "appid": self.merchant.appid,
        }

    def _given(self, coupon: Coupon) -> Outcome | None:
        at, code = _instant(coupon.receive_time), coupon.coupon_code
        return Done(at, self.codes.reference(code), code) if at else None

    def _state(self, coupon: Coupon, at: datetime) -> Outcome | None:
        """Return what a coupon's state means; None when its time is not credible.

        One that its user deleted was given all the same, and confirmed, if its time tells so.
        """
        when: datetime | None
        match coupon.coupon_state:
            case "DELETED" if coupon.confirm_time:
                when = _instant(coupon.confirm_time)
                return Confirmed(when) if when else None
            case "CONFIRMING" | "DELETED":
                return self._given(coupon)
            case "PENDING" | "EFFECTIVE":
                when = _instant(coupon.confirm_time) if coupon.confirm_time else at
                return Confirmed(when) if when else None
            case "USED":
                when = _instant((coupon.single_usage_detail or Usage()).use_time)
                return Used(when, self.codes.reference(coupon.coupon_code)) if when else None
            case "EXPIRED":
                when = _instant(coupon.valid_end_time)
                return Expired(when) if when else None
            case "DEACTIVATED":
                when = _instant(coupon.deactivate_time) if coupon.deactivate_time else at
                return Revoked(when) if when else None
            case _:
                return Unknown("a state that is not listed")


def _of_use(call: Call, stands: str, usage: Usage, state: Outcome | None) -> Outcome:
    """Return what a coupon's state says of the use `call.own`: what stands can be used again."""
    match stands:
        case "USED" if usage.use_request_no != call.own:
            return Unknown("used under another number")
        case "DELETED":
            return Unknown("deleted after a use") if usage.use_request_no else NotFound()
        case _:
            return dated(state)


def _of_reversal(
    call: Call, stands: str, usage: Usage, told: tuple[Outcome | None, datetime]
) -> Outcome:
    """Return what a coupon's state says of the undoing of the use `call.undoes`."""
    state, at = told
    match stands:
        case "USED" if usage.use_request_no == call.undoes:
            return dated(state)
        case "PENDING" | "EFFECTIVE" | "EXPIRED" | "DEACTIVATED":
            undone_at = usage.return_time if usage.return_request_no == call.own else None
            when = _instant(undone_at) if undone_at else at
            return dated(Reversed(when) if when else None)
        case _:
            return Unknown("used under another number, or in a state that is not listed")


def _instant(text: str | None) -> datetime | None:
    """Read an instant; None unless it is one of our times, with a zone."""
    if text is None or not _INSTANT.match(text):
        return None
    try:
        return credible(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None
