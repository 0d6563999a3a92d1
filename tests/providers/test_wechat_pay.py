"""What the APIs of WeChat Pay v3 share: published examples, the public SDK, what is refused."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from wechatpayv3 import utils as sdk

from benefits.domain.orders import Done, Notice
from benefits.domain.signature import Fault, SignatureRefused
from benefits.providers import wechat_pay
from benefits.providers.provider import CallbackRefused, RawCallback
from benefits.providers.wechat_pay import Credentials, Resource
from tests import wechat
from tests.tidy.sources import ROOT

FILE = json.loads((ROOT / "tests" / "provider_vectors.json").read_text(encoding="utf-8"))
VECTORS = {one["name"]: one for one in FILE["vectors"]}
PUBLISHED = FILE["rsa_test_public_key"]


def published() -> RawCallback:
    """Return the published callback as it would have arrived."""
    one = VECTORS["wechat COUPON.SEND callback"]
    headers = {name.lower(): value for name, value in one["headers"].items()}
    at = datetime.fromtimestamp(int(headers["wechatpay-timestamp"]), UTC)
    return RawCallback(headers=headers, body=one["body"].encode(), received_at=at)


def test_a_resource_is_opened_as_published() -> None:
    """The example of WeChat's own SDK, by us and by the other public one."""
    one = VECTORS["wechat aes-256-gcm"]
    resource = Resource(
        algorithm="AEAD_AES_256_GCM",
        ciphertext=one["ciphertext"],
        nonce=one["nonce"],
        associated_data=one["aad"],
    )
    opened = Credentials(wechat.secrets(apiv3_keys=(one["key"],))).open(resource)
    assert one["plaintext"] == opened.decode()
    sealed = wechat_pay.seal(one["key"], opened, one["nonce"], one["aad"])
    assert one["ciphertext"] == sealed
    assert one["plaintext"] == sdk.aes_decrypt(one["nonce"], sealed, one["aad"], one["key"])


def test_a_published_request_holds_over_the_lines_that_we_sign() -> None:
    """The whole header is made of the same parts, and its signature is of our lines."""
    one = VECTORS["wechat request authorization"]
    parts = dict(re.findall(r'(\w+)="([^"]*)"', one["authorization"]))
    assert (parts["mchid"], parts["serial_no"]) == ("1900000001", wechat.SERIAL)
    lines = ("POST", "/v3/marketing/busifavor/coupons/send", parts["timestamp"])
    content = "\n".join((*lines, parts["nonce_str"], one["body"], "")).encode()
    key = serialization.load_pem_public_key(PUBLISHED.encode())
    assert isinstance(key, rsa.RSAPublicKey)
    assert wechat_pay.holds(key, parts["signature"], content)
    ours = wechat.credentials().authorization(
        parts["mchid"],
        (lines[0], lines[1]),
        one["body"].encode(),
        (int(parts["timestamp"]), parts["nonce_str"]),
    )
    assert re.sub('signature="[^"]*"', "", one["authorization"]) == re.sub(
        'signature="[^"]*"', "", ours
    )


def test_a_published_callback_is_believed() -> None:
    """Verified by the id of its key, opened, and read; late or by another key it is refused."""
    raw = published()
    keys: Any = {wechat.PLATFORM: PUBLISHED}
    theirs = wechat.dialect(wechat.THEIRS, platform_keys=keys)
    at = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    code = "1227944103"
    reference = wechat.CODES.reference(code)
    expected = Notice(
        event_id="3baf1a5c-6f2e-5d0a-8f0e-1b2f5b3f9f10",
        reference=reference,
        sku=wechat.STOCK,
        outcome=Done(at, reference, code),
    )
    assert (expected,) == theirs.receive(raw)
    (notice,) = wechat.dialect(platform_keys=keys).receive(raw)
    assert (notice.number, notice.reference) == ("", reference)  # none that we named
    with pytest.raises(SignatureRefused, match=Fault.NO_MATCH.value):
        wechat.dialect().receive(raw)


def test_a_probe_is_refused() -> None:
    """A signature that is false on purpose is told from others, and refused as they are."""
    assert "wechat signature probe must be refused" in VECTORS
    raw = published()
    raw.headers["wechatpay-signature"] = wechat_pay.PROBE + raw.headers["wechatpay-signature"]
    with pytest.raises(SignatureRefused) as refused:
        wechat.dialect(platform_keys={wechat.PLATFORM: PUBLISHED}).receive(raw)
    assert Fault.PROBE is refused.value.fault


def test_the_public_sdk_writes_and_believes_the_same() -> None:
    """Its header is ours, byte for byte, and it believes what our side of tests signs."""
    key, body = wechat.key("merchant"), '{"stock_id":"1","name":"券"}'
    target = "/v3/marketing/busifavor/coupons/send"
    theirs = sdk.build_authorization(
        target, "POST", "1900000001", wechat.SERIAL, key, data=body, nonce_str="N" * 32
    )
    at_unix = int(re.findall('timestamp="([0-9]+)"', theirs)[0])
    ours = wechat.credentials().authorization(
        "1900000001", ("POST", target), body.encode(), (at_unix, "N" * 32)
    )
    assert theirs == ours
    headers = wechat.signed(body.encode())
    names = ("wechatpay-timestamp", "wechatpay-nonce", "wechatpay-signature")
    at, nonce, signature = (headers[name] for name in names)
    public = wechat.key("platform").public_key()
    assert sdk.rsa_verify(at, nonce, body, signature, public)
    at_now = wechat.credentials().verify(headers, body.encode(), now_unix=wechat.NOW_UNIX)
    assert wechat.NOW_UNIX == at_now


@pytest.mark.parametrize(
    ("header", "value", "fault"),
    [
        ("wechatpay-signature", None, Fault.MISSING_HEADER),
        ("wechatpay-serial", None, Fault.MISSING_HEADER),
        ("wechatpay-timestamp", "1e9", Fault.MALFORMED_HEADER),
        ("wechatpay-timestamp", "٣", Fault.MALFORMED_HEADER),
        ("wechatpay-timestamp", str(wechat.NOW_UNIX + 1), Fault.NO_MATCH),
        ("wechatpay-nonce", "a\nb", Fault.MALFORMED_HEADER),
        ("wechatpay-nonce", "other", Fault.NO_MATCH),
        ("wechatpay-serial", "PUB_KEY_ID_2", Fault.NO_MATCH),
        ("wechatpay-signature", "not base64", Fault.NO_MATCH),
        ("wechatpay-signature", "é", Fault.NO_MATCH),
        ("wechatpay-signature", "", Fault.NO_MATCH),
        ("wechatpay-signature-type", "WECHATPAY2-SHA1-RSA2048", None),
    ],
)
def test_what_does_not_hold_is_refused(
    header: str, value: str | None, fault: Fault | None
) -> None:
    """Each header counts, and none of them chooses how a signature is checked."""
    headers = wechat.signed(b"{}")
    if value is None:
        del headers[header]
    else:
        headers[header] = value
    credentials = wechat.credentials()
    if fault is None:
        credentials.verify(headers, b"{}", now_unix=wechat.NOW_UNIX)
        return
    with pytest.raises(SignatureRefused) as refused:
        credentials.verify(headers, b"{}", now_unix=wechat.NOW_UNIX)
    assert fault is refused.value.fault


@pytest.mark.parametrize("off_s", [-301, 301])
def test_a_signature_is_fresh_in_both_directions(off_s: int) -> None:
    """300 seconds are, one more is not."""
    credentials, headers = wechat.credentials(), wechat.signed(b"")
    near = wechat.NOW + timedelta(seconds=off_s - (1 if off_s > 0 else -1))
    credentials.verify(headers, b"", now_unix=int(near.timestamp()))
    with pytest.raises(SignatureRefused, match=Fault.STALE.value):
        credentials.verify(headers, b"", now_unix=wechat.NOW_UNIX + off_s)


def certificate(name: str, number: int) -> str:
    """Return a platform certificate under a serial number."""
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "platform")])
    made = (
        x509.CertificateBuilder(who, who, wechat.key(name).public_key(), number)
        .not_valid_before(wechat.NOW)
        .not_valid_after(wechat.NOW + timedelta(days=1))
        .sign(wechat.key(name), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_keys_are_rotated_without_a_pause() -> None:
    """An old certificate beside a new public key, an old APIv3 key beside the new one."""
    credentials = Credentials(
        wechat.secrets(
            apiv3_keys=(wechat.OTHER_KEY, wechat.APIV3_KEY),
            platform_keys={
                wechat.PLATFORM: wechat.public_pem("platform"),
                "5f1c72e2a8931b72": certificate("before", 0x5F1C72E2A8931B72),
            },
        )
    )
    assert wechat.PLATFORM == credentials.preferred
    for by, serial in (("platform", wechat.PLATFORM), ("before", "5F1C72E2A8931B72")):
        headers = wechat.signed(b"x", by=by, serial=serial)
        assert wechat.NOW_UNIX == credentials.verify(headers, b"x", now_unix=wechat.NOW_UNIX)
    crossed = wechat.signed(b"x", by="before", serial=wechat.PLATFORM)
    with pytest.raises(SignatureRefused):
        credentials.verify(crossed, b"x", now_unix=wechat.NOW_UNIX)


def small() -> str:
    """Return a key that is too short."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def curved() -> str:
    """Return a public key of another kind."""
    made = ec.generate_private_key(ec.SECP256R1()).public_key()
    return made.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


@pytest.mark.parametrize(
    ("name", "made", "words"),
    [
        ("merchant_serial", lambda: "no hex", "merchant_serial"),
        ("merchant_key", lambda: "SECRET", "merchant_key is not a private key in PEM"),
        ("merchant_key", small, "merchant_key is not an RSA key of 2048 bits"),
        ("apiv3_keys", tuple, "apiv3_keys must be one or more"),
        ("apiv3_keys", lambda: ("SECRET",), "apiv3_keys must be one or more, each of 32"),
        ("platform_keys", dict, "platform_keys holds no key"),
        ("platform_keys", lambda: {"PUB_KEY_ID_1": "SECRET"}, "PUB_KEY_ID_1 is neither"),
        ("platform_keys", lambda: {"SECRET-": "x"}, "neither a serial number nor"),
        ("platform_keys", lambda: {"PUB_KEY_ID_1": curved()}, "PUB_KEY_ID_1 is not an RSA key"),
        ("platform_keys", lambda: {"AB" * 8: certificate("before", 7)}, "has another number"),
    ],
)
def test_wrong_keys_are_named_and_not_shown(
    name: str, made: Callable[[], Any], words: str
) -> None:
    """Whoever sets it up reads which part is wrong, and nobody reads the part."""
    with pytest.raises(ValueError, match=words) as refused:
        Credentials(wechat.secrets(**{name: made()}))
    assert "SECRET" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__cause__ is None


@given(st.binary(max_size=200), st.binary(max_size=16), st.sampled_from(["coupon", ""]))
def test_no_sealed_bytes_raise_anything_else(sealed: bytes, nonce: bytes, about: str) -> None:
    """Whatever stands in a resource, it is opened or refused."""
    resource = Resource(
        algorithm="AEAD_AES_256_GCM",
        ciphertext=sealed.decode("latin-1"),
        nonce=nonce.decode("latin-1"),
        associated_data=about,
    )
    with pytest.raises(CallbackRefused):
        wechat.credentials().open(resource)
