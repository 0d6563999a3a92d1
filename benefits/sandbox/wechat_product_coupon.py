"""WeChat Pay's product coupons (商品券), over the sandbox that `wechat` describes.

What was sent is CONFIRMING until it is confirmed; the confirmation has the behaviour of the send.
"""

from http import HTTPStatus
from typing import Any

from aiohttp import web

from benefits.providers.wechat_product_coupon import (
    BY_US,
    USERS,
    DeactivateBody,
    DeedBody,
    SendBody,
    UseBody,
)
from benefits.sandbox.book import Order
from benefits.sandbox.coupons import Deed
from benefits.sandbox.wechat import Refused, WechatSandbox, decoded, written

BRAND = "120344"
# What is said to ask for each deed, and where a coupon must stand for it.
_DEEDS: dict[str, tuple[type[DeedBody], set[str]]] = {
    "confirm": (DeedBody, {"CONFIRMING"}),
    "use": (UseBody, {"EFFECTIVE"}),
    "return": (DeedBody, {"USED"}),
    "deactivate": (DeactivateBody, {"CONFIRMING", "EFFECTIVE"}),
}


class ProductCouponSandbox(WechatSandbox):
    """WeChat with the product coupons of the brand 120344."""

    EVENT = "PRODUCT_COUPON_SP.SEND"
    SEALED_FOR = "product_coupon_sp"

    def routes(self) -> list[web.RouteDef]:
        """Return what the server answers to."""
        coupons = USERS + "/{openid}/coupons"
        one = coupons + "/{code}"
        return [
            web.post(coupons, self.answering(self.send)),
            web.get(one, self.answering(self.query)),
            web.post(one + "/{deed:confirm|use|return|deactivate}", self.answering(self.deed)),
            *super().routes(),
        ]

    def state(self, order: Order) -> str:
        """Return where a coupon stands."""
        if order.revoked_at is not None:
            return "DEACTIVATED"
        if order.used_at is not None:
            return "USED"
        if self.ended(order):
            return "EXPIRED"
        return "CONFIRMING" if order.confirmed_at is None else "EFFECTIVE"

    def told(self, order: Order, at: float) -> dict[str, str]:
        """Return what a callback holds about a coupon that was given."""
        product, _, stock = order.sku.partition("/")
        return {
            "brand_id": BRAND,
            "product_coupon_id": product,
            "stock_id": stock,
            "coupon_code": order.code,
            "openid": order.recipient["openid"],
            "receive_time": written(at),
            "send_request_no": order.number,
            "send_channel": BY_US,
        }

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Give a coupon."""
        asked = await decoded(request, SendBody)
        sku = _sku(asked)
        code = asked.coupon_code if isinstance(asked.coupon_code, str) else None
        wish = (asked.send_request_no, sku, request.match_info["openid"])
        return await self.give(request, wish, code, lambda: self._coupon(asked.send_request_no))

    async def query(self, request: web.Request) -> web.StreamResponse:
        """Tell of one coupon of one user."""
        asked = request.query
        if asked.get("brand_id") != BRAND:
            raise Refused(HTTPStatus.BAD_REQUEST, "PARAM_ERROR")
        sku = f"{asked.get('product_coupon_id')}/{asked.get('stock_id')}"
        return self._coupon(self._of_user(request, sku).number)

    async def deed(self, request: web.Request) -> web.StreamResponse:
        """Confirm a coupon, use it, undo that, or take it back: once under its number."""
        kind = request.match_info["deed"]
        says, where = _DEEDS[kind]
        asked = await decoded(request, says)
        order = self._of_user(request, _sku(asked))
        is_first = self.book.deed(asked.out_request_no) is None
        self.do(order, kind, asked.out_request_no, where)
        if kind == "confirm" and is_first:
            return await self.tempered(
                request, order.behaviour, lambda: self._coupon(order.number)
            )
        return self._coupon(order.number)

    def _of_user(self, request: web.Request, sku: str) -> Order:
        order = self.coupon(sku, request.match_info["code"])
        if order.recipient["openid"] != request.match_info["openid"]:
            raise Refused(HTTPStatus.NOT_FOUND, "RESOURCE_NOT_EXISTS")
        return order

    def _coupon(self, number: str) -> web.Response:
        """Answer with a whole coupon, as it stands."""
        order = self.book.find(number)
        assert order is not None, "it was given"
        product, _, stock = order.sku.partition("/")
        told: dict[str, Any] = {
            "brand_id": BRAND,
            "product_coupon": {"product_coupon_id": product, "brand_id": BRAND},
            "stock": {"product_coupon_id": product, "stock_id": stock, "brand_id": BRAND},
            "coupon_code": order.code,
            "coupon_state": self.state(order),
            "send_request_no": order.number,
            "send_channel": BY_US,
            "receive_time": written(order.asked_at),
            "valid_begin_time": written(order.asked_at),
            "valid_end_time": written(order.asked_at + self.settings.valid_s),
        }
        told |= _done("confirm", self.book.last(number, "confirm"))
        told |= _done("deactivate", self.book.last(number, "deactivate"))
        used, undone = self.book.last(number, "use"), self.book.last(number, "return")
        if used is not None:
            told["single_usage_detail"] = _done("use", used) | _done("return", undone)
        return self.say(told)


def _done(kind: str, deed: Deed | None) -> dict[str, str]:
    if deed is None:
        return {}
    return {f"{kind}_request_no": deed.number, f"{kind}_time": written(deed.at)}


def _sku(asked: SendBody | DeedBody) -> str:
    """Return the product and the stock that a request is about, of the only brand."""
    if asked.brand_id != BRAND:
        raise Refused(HTTPStatus.BAD_REQUEST, "PARAM_ERROR")
    return f"{asked.product_coupon_id}/{asked.stock_id}"
