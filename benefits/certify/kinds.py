"""What a certification must know of each dialect, beside the dialect itself: one entry in KINDS.

Everything else follows from the dialect and from what the provider's entry in a programme says.
"""

import base64
import os
from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benefits.domain.programme import Dialect
from benefits.providers.secrets import ProviderSecrets
from benefits.providers.wechat_pay import BusifavorSecrets, ProductCouponSecrets, WechatSecrets


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is ordered, and for whom: people of the provider's test system, who are nobody.

    `other_recipient` could be served as well, `refused_recipient` is refused, `using_recipient`
    uses at the provider what was given, soon after it, and `partly_using_recipient` a part of it.
    Where there is none of them it is empty.
    A use that we tell is at the `payment`, where the provider wants to know of one.
    """

    sku: str
    recipient: dict[str, str]
    other_recipient: dict[str, str]
    refused_recipient: dict[str, str]
    using_recipient: dict[str, str] = {}
    partly_using_recipient: dict[str, str] = {}
    payment: str = ""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What is particular to a dialect: its secrets are of the type `holds`.

    `foreign` makes some that are as good as ours, and that the provider does not know. What it
    takes for no number is `bad_number`, which the dialect can still write.
    """

    trial: Trial
    holds: type
    foreign: Callable[[ProviderSecrets], ProviderSecrets]
    bad_number: str
    tells_each: bool = False  # a delivery that was answered at once is called back, too
    limits_at_once: bool = False  # sends at once may be refused for a limit that is not reached


def _foreign_word(_: ProviderSecrets) -> ProviderSecrets:
    return ("whsec_" + base64.b64encode(os.urandom(32)).decode(),)


def _foreign_merchant(secrets: ProviderSecrets) -> ProviderSecrets:
    assert isinstance(secrets, WechatSecrets), "the dialect was made with them"
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return msgspec.structs.replace(secrets, merchant_key=pem.decode())


_TOO_LONG = "0" * 160
_COUPON = Trial(
    sku="98065001",
    recipient={"openid": "certified-user"},
    other_recipient={"openid": "another-user"},
    refused_recipient={"openid": "user0000"},
)

KINDS = {
    Dialect.OPEN: Kind(
        trial=Trial(
            sku="lounge-single",
            recipient={"phone": "13800001234"},
            other_recipient={"phone": "13800001235"},
            refused_recipient={"phone": "13800000000"},
            using_recipient={"phone": "13800001111"},
            partly_using_recipient={"phone": "13800001112"},
        ),
        holds=tuple,
        foreign=_foreign_word,
        bad_number="no!number",
    ),
    Dialect.WECHAT_BUSIFAVOR: Kind(
        trial=_COUPON,
        holds=BusifavorSecrets,
        foreign=_foreign_merchant,
        bad_number=_TOO_LONG,
        tells_each=True,
        limits_at_once=True,
    ),
    Dialect.WECHAT_PRODUCT_COUPON: Kind(
        trial=msgspec.structs.replace(
            _COUPON, sku="1000000013/1000000013001", payment="4200000000123456789123456789"
        ),
        holds=ProductCouponSecrets,
        foreign=_foreign_merchant,
        bad_number=_TOO_LONG,
        tells_each=True,
        limits_at_once=True,
    ),
}
