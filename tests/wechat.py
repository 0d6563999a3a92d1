"""Both sides of WeChat Pay for tests: a merchant's secrets, and the platform that signs."""

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import strategies as st

from benefits.domain.orders import Call, IssueRequest, Operation
from benefits.domain.wechat import CodeMode, Wechat
from benefits.providers import wechat_pay
from benefits.providers.client import Response
from benefits.providers.provider import RawCallback
from benefits.providers.wechat_busifavor import WechatBusifavorDialect
from benefits.providers.wechat_coupons import CouponCodes
from benefits.providers.wechat_pay import BusifavorSecrets, Credentials, ProductCouponSecrets
from benefits.providers.wechat_product_coupon import WechatProductCouponDialect

NOW = datetime(2025, 7, 1, 4, 0, tzinfo=UTC)
NOW_UNIX = int(NOW.timestamp())
NUMBER = "0197c3a5b6d07e8f9a0b1c2d3e4f5061"
OWN = "0197c3a5b6d07e8f9a0b1c2d3e4f5062"
CODES = CouponCodes(b"k" * 32)
CODE = CODES.of(NUMBER)  # where we name it
REFERENCE = CODES.reference(CODE)
OPENID = "oHkLxt_htg84TUEbzvlMwQzVDBqo"
STOCK = "98065001"
APIV3_KEY = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"
OTHER_KEY = "b7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"
SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
PLATFORM = "PUB_KEY_ID_0119000000012025010200000000000001"
MERCHANT = Wechat(mchid="1900000001", appid="wx233544546545989")
THEIRS = Wechat(mchid="1900000001", appid="wx233544546545989", code_mode=CodeMode.WECHATPAY_MODE)
BRANDED = Wechat(mchid="1900000001", appid="wx233544546545989", brand_id="120344")
PRODUCT = "1000000013/1000000013001"
BASE = "https://api.mch.weixin.qq.com"


TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
).map(msgspec.json.encode)
BODIES = st.binary(max_size=200) | TEXTS  # of strange messages


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """Return a key pair, the same for the same name while the tests run."""
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(name: str) -> str:
    """Return a private key as settings hold it."""
    made = key(name).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.decode()


def public_pem(name: str) -> str:
    """Return a public key as settings hold it."""
    made = (
        key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return made.decode()


def secrets(
    kind: type[BusifavorSecrets] | type[ProductCouponSecrets] = BusifavorSecrets, **other: Any
) -> BusifavorSecrets | ProductCouponSecrets:
    """Return what a merchant knows."""
    known: dict[str, Any] = {
        "merchant_serial": SERIAL,
        "merchant_key": private_pem("merchant"),
        "apiv3_keys": (APIV3_KEY,),
        "platform_keys": {PLATFORM: public_pem("platform")},
    }
    return kind(**{**known, **other})


@cache
def credentials() -> Credentials:
    """Return the keys that most tests use."""
    return Credentials(secrets())


def dialect(merchant: Wechat = MERCHANT, **other: Any) -> WechatBusifavorDialect:
    """Return our side."""
    keys = Credentials(secrets(**other)) if other else credentials()
    return WechatBusifavorDialect(base_url=BASE, merchant=merchant, credentials=keys, codes=CODES)


def products(merchant: Wechat = BRANDED) -> WechatProductCouponDialect:
    """Return our side of product coupons."""
    return WechatProductCouponDialect(
        base_url=BASE, merchant=merchant, credentials=credentials(), codes=CODES
    )


def call(operation: Operation = Operation.ISSUE, **other: Any) -> Call:
    """Return a call about the number."""
    known: dict[str, Any] = {"number": NUMBER, "own": NUMBER, "request": ordered(STOCK)}
    return Call(operation=operation, **{**known, **other})


def ordered(sku: str) -> IssueRequest:
    """Return an order of one coupon."""
    return IssueRequest(sku=sku, quantity=1, recipient={"openid": OPENID})


def signed(
    body: bytes, *, at_unix: int = NOW_UNIX, by: str = "platform", serial: str = PLATFORM
) -> dict[str, str]:
    """Return the headers that the platform signs a body with."""
    nonce = "Ecb1fRmZ9rJ3Kq0W"
    content = f"{at_unix}\n{nonce}\n".encode() + body + b"\n"
    return {
        "wechatpay-timestamp": str(at_unix),
        "wechatpay-nonce": nonce,
        "wechatpay-serial": serial,
        "wechatpay-signature": wechat_pay.sign(key(by), content),
    }


def answer(content: Any, status: int = 200, **how: Any) -> Response:
    """Return a signed answer: an object, or bytes as they are."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Response(status, signed(body, **how), body)


def callback(content: Any, *, under: str = APIV3_KEY, **other: Any) -> RawCallback:
    """Return a callback as WeChat seals and signs it; `other` changes what is outside."""
    nonce = "uluk4a9R25RW"
    plain = content if isinstance(content, bytes) else json.dumps(content).encode()
    outside: dict[str, Any] = {
        "id": "3baf1a5c-6f2e-5d0a-8f0e-1b2f5b3f9f10",
        "create_time": "2025-07-01T12:00:00+08:00",
        "event_type": "COUPON.SEND",
        "resource_type": "encrypt-resource",
        "summary": "商家券领券通知",
        "resource": {
            "original_type": "coupon",
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": wechat_pay.seal(under, plain, nonce, "coupon"),
            "nonce": nonce,
            "associated_data": "coupon",
        },
    }
    body = json.dumps({**outside, **other}).encode()
    return RawCallback(headers=signed(body), body=body, received_at=NOW)


def given(**other: Any) -> dict[str, Any]:
    """Return what a callback about a given coupon says."""
    return {
        "event_type": "EVENT_TYPE_BUSICOUPON_SEND",
        "coupon_code": CODE,
        "stock_id": STOCK,
        "send_time": "2025-07-01T11:59:58+08:00",
        "openid": OPENID,
        "send_channel": "BUSICOUPON_SEND_CHANNEL_API",
        **other,
    }
