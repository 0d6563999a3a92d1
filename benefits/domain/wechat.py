"""Which merchant of WeChat Pay gives out a provider's coupons, and who makes their codes.

A *stock* is a batch of coupons of one kind, made at WeChat before anything is given; a benefit
names it as its `sku`, a product coupon's as `product/stock`. The stock says where the codes of its
coupons come from, for all of them.
"""

import enum
from typing import Annotated

import msgspec

Stock = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z]{1,32}\Z")]


class CodeMode(enum.Enum):
    """Where a coupon's code comes from: a send names it, WeChat makes it, or takes one it stores.

    With MERCHANT_API a coupon can be asked for from the start. Of product coupons WeChat calls the
    three API_ASSIGN, WECHATPAY and UPLOAD.
    """

    MERCHANT_API = "MERCHANT_API"
    WECHATPAY_MODE = "WECHATPAY_MODE"
    MERCHANT_UPLOAD = "MERCHANT_UPLOAD"


class Wechat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The merchant `mchid`, whose users are known to the app `appid`.

    Product coupons are of the brand `brand_id`, which the merchant serves. The codes of coupons
    come from where `code_mode` says, or for some stocks `stocks`.
    """

    mchid: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{6,20}\Z")]
    appid: Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z_-]{1,32}\Z")]
    brand_id: Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z]{0,32}\Z")] = ""
    code_mode: CodeMode = CodeMode.MERCHANT_API
    stocks: dict[Stock, CodeMode] = {}

    def mode(self, sku: str) -> CodeMode:
        """Return where the codes of a stock's coupons come from."""
        return self.stocks.get(sku.rpartition("/")[2], self.code_mode)

    def makes_codes(self, sku: str) -> bool:
        """Say whether we name the code of a stock's coupons."""
        return self.mode(sku) is CodeMode.MERCHANT_API
