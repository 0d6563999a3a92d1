"""Callbacks that are truly signed and strangely written: refused in words, or kept; no more."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from benefits.domain.signature import Fault, SignatureRefused, parse_secret, signed_headers
from benefits.providers.http import Dialect
from benefits.providers.open import OpenDialect
from benefits.providers.provider import CallbackRefused, RawCallback
from tests import wechat
from tests.providers.test_wechat_product_coupon import told as product_told
from tests.sandbox.stage import SECRET
from tests.wechat import NUMBER

Message = dict[str, Any]
DEEP = b"[" * 30_000 + b"]" * 30_000


def as_open(message: Message) -> tuple[Dialect, Callable[[bytes], RawCallback], Message]:
    """Return the contract `open`, how it is signed, and what it says."""
    secrets = [parse_secret(SECRET)]

    def signed(body: bytes) -> RawCallback:
        headers = signed_headers(secrets, "evt_1", wechat.NOW_UNIX, body)
        return RawCallback(headers=headers, body=body, received_at=wechat.NOW)

    at = "2025-07-01T04:00:00Z"
    data = {"number": NUMBER, "at": at, "reference": "R1", **message}
    dialect = OpenDialect(base_url=wechat.BASE, secrets=secrets)
    return dialect, signed, {"type": "order.issued", "timestamp": at, "data": data}


def sealed(event: str) -> Callable[[bytes], RawCallback]:
    """Return how WeChat says what it says: under a seal."""
    return lambda content: wechat.callback(content, event_type=event)


def as_busifavor(message: Message) -> tuple[Dialect, Callable[[bytes], RawCallback], Message]:
    """Return merchant coupons, how they are told of, and what is told."""
    return wechat.dialect(), sealed("COUPON.SEND"), wechat.given(**message)


def as_product(message: Message) -> tuple[Dialect, Callable[[bytes], RawCallback], Message]:
    """Return product coupons, how they are told of, and what is told."""
    return wechat.products(), sealed("PRODUCT_COUPON_SP.SEND"), product_told(**message)


SPOKEN = pytest.mark.parametrize("spoken", [as_open, as_busifavor, as_product])


def twice(body: bytes) -> bytes:
    """Say everything twice."""
    return body[:-1] + b"," + body[1:]


def deeper(body: bytes) -> bytes:
    """Add something that nobody asked for, nested without end."""
    return body[:-1] + b',"more":' + DEEP + b"}"


@SPOKEN
@pytest.mark.parametrize(
    "change",
    [
        deeper,
        lambda body: DEEP,
        lambda body: body[:-1] + b',"more":"\xff\xfe"}',
        lambda body: body[:-1] + b',"more":"\\ud800"}',
        lambda body: body + b"\x00",
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body.decode().encode("utf-16"),
        lambda body: body.replace(b'"', b"'"),
        lambda body: body.replace(b"2025-07-01T", b"2025-07-01\\u0000T"),
        lambda body: (
            body.replace(b'"R1"', b'"\\u0000"')
            .replace(b'"98', b'"\\u000098')
            .replace(b'"1000', b'"\\u00001000')
        ),
    ],
)
def test_what_is_no_json_of_the_dialect_is_refused(
    spoken: Callable[[Message], Any], change: Callable[[bytes], bytes]
) -> None:
    """Nothing but the one refusal, whatever the bytes are, though the signature holds."""
    dialect, signed, message = spoken({})
    body = json.dumps(message).encode()
    assert 1 == len(dialect.receive(signed(body)))
    with pytest.raises(CallbackRefused):
        dialect.receive(signed(change(body)))


@SPOKEN
def test_what_is_said_twice_counts_as_said_last(spoken: Callable[[Message], Any]) -> None:
    """One reading of it, always the same; what came is kept as it came."""
    dialect, signed, message = spoken({})
    body = json.dumps(message).encode()
    assert dialect.receive(signed(body)) == dialect.receive(signed(twice(body)))


@pytest.mark.parametrize("id_", ["a" * 10_000, "a\x00b", "", "a.b", "é", "a\nb"])
def test_an_id_that_is_none_is_refused(id_: str) -> None:
    """Of `open` it stands in a header that is signed, of WeChat in the envelope."""
    dialect, signed, message = as_open({})
    raw = signed(json.dumps(message).encode())
    with pytest.raises(SignatureRefused) as refused:
        dialect.receive(
            RawCallback(
                headers={**raw.headers, "webhook-id": id_},
                body=raw.body,
                received_at=raw.received_at,
            )
        )
    assert Fault.MALFORMED_HEADER is refused.value.fault
    for one, event, content in (
        (wechat.dialect(), "COUPON.SEND", wechat.given()),
        (wechat.products(), "PRODUCT_COUPON_SP.SEND", product_told()),
    ):
        with pytest.raises(CallbackRefused):
            one.receive(wechat.callback(content, event_type=event, id=id_))
