"""WeChat Pay's merchant coupons (商家券), over the sandbox that `wechat` describes."""

from http import HTTPStatus

from aiohttp import web

from benefits.providers.wechat_busifavor import (
    BY_US,
    DEACTIVATE,
    RETURN,
    SEND,
    USE,
    USERS,
    DeactivateBody,
    ReturnBody,
    SendBody,
    UseBody,
)
from benefits.sandbox.book import Order
from benefits.sandbox.wechat import Refused, WechatSandbox, decoded, written


class BusifavorSandbox(WechatSandbox):
    """WeChat with merchant coupons."""

    EVENT = "COUPON.SEND"
    SEALED_FOR = "coupon"

    def routes(self) -> list[web.RouteDef]:
        """Return what the server answers to."""
        one = USERS + "/{openid}/coupons/{code}/appids/{appid}"
        return [
            web.post(SEND, self.answering(self.send)),
            web.post(USE, self.answering(self.use)),
            web.post(RETURN, self.answering(self.undo)),
            web.post(DEACTIVATE, self.answering(self.deactivate)),
            web.get(one, self.answering(self.query)),
            *super().routes(),
        ]

    def state(self, order: Order) -> str:
        """Return where a coupon stands."""
        if order.revoked_at is not None:
            return "DEACTIVATED"
        if order.used_at is not None:
            return "USED"
        return "EXPIRED" if self.ended(order) else "SENDED"

    def told(self, order: Order, at: float) -> dict[str, str]:
        """Return what a callback holds about a coupon that was given."""
        return {
            "event_type": "EVENT_TYPE_BUSICOUPON_SEND",
            "coupon_code": order.code,
            "stock_id": order.sku,
            "send_time": written(at),
            "openid": order.recipient["openid"],
            "send_channel": BY_US,
        }

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Give a coupon."""
        asked = await decoded(request, SendBody)

        def answer() -> web.Response:
            order = self.book.find(asked.out_request_no)
            assert order is not None, "it was given"
            told = {"stock_id": order.sku, "coupon_code": order.code}
            return self.say({**told, "out_request_no": order.number})

        code = asked.coupon_code if isinstance(asked.coupon_code, str) else None
        wish = (asked.out_request_no, asked.stock_id, asked.openid)
        return await self.give(request, wish, code, answer)

    async def query(self, request: web.Request) -> web.StreamResponse:
        """Tell of one coupon of one user."""
        order = self.coupon(None, request.match_info["code"])
        if order.recipient["openid"] != request.match_info["openid"]:
            raise Refused(HTTPStatus.NOT_FOUND, "RESOURCE_NOT_EXISTS")
        used = self.book.last(order.number, "use")
        told = {
            "stock_id": order.sku,
            "coupon_code": order.code,
            "coupon_state": self.state(order),
            "send_request_no": order.number,
            "receive_time": written(order.asked_at),
            "available_start_time": written(order.asked_at),
            "expire_time": written(order.asked_at + self.settings.valid_s),
        }
        if used is not None and order.used_at is not None:
            told |= {"use_request_no": used.number, "use_time": written(used.at)}
        if order.revoked_at is not None:
            told["deactivate_time"] = written(order.revoked_at)
        return self.say(told)

    async def use(self, request: web.Request) -> web.StreamResponse:
        """Use a coupon, once under its number."""
        asked = await decoded(request, UseBody)
        order = self.coupon(asked.stock_id, asked.coupon_code)
        deed = self.do(order, "use", asked.use_request_no, {"SENDED"})
        told = {"stock_id": order.sku, "openid": order.recipient["openid"]}
        return self.say({**told, "wechatpay_use_time": written(deed.at)})

    async def undo(self, request: web.Request) -> web.StreamResponse:
        """Undo the use of a coupon."""
        asked = await decoded(request, ReturnBody)
        order = self.coupon(asked.stock_id, asked.coupon_code)
        deed = self.do(order, "return", asked.return_request_no, {"USED"})
        return self.say({"wechatpay_return_time": written(deed.at)})

    async def deactivate(self, request: web.Request) -> web.StreamResponse:
        """Take an unused coupon back."""
        asked = await decoded(request, DeactivateBody)
        order = self.coupon(asked.stock_id, asked.coupon_code)
        deed = self.do(order, "deactivate", asked.deactivate_request_no, {"SENDED"})
        return self.say({"wechatpay_deactivate_time": written(deed.at)})
