"""What the APIs of WeChat Pay v3 share: signed requests, answers and callbacks, sealed resources.

We sign the bytes that leave with the merchant's key; WeChat signs the bytes that arrive with a
platform key that it names by a serial number or a `PUB_KEY_ID_`. Invariants: nothing is parsed
before its signature holds; the algorithm is fixed here and never by the message; a signature is
fresh, within 300 s in both directions; a probe, whose signature is false on purpose, is refused
like any other false one; whatever the bytes hold, the only refusals are SignatureRefused and
CallbackRefused. A signature binds time and body alone, so an answer must name what it is about.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from benefits.domain.signature import TOLERANCE_S, Fault, SignatureRefused
from benefits.providers.provider import CallbackRefused

SCHEME = "WECHATPAY2-SHA256-RSA2048"
TIMESTAMP = "wechatpay-timestamp"
NONCE = "wechatpay-nonce"
SIGNATURE = "wechatpay-signature"
SERIAL = "wechatpay-serial"
PROBE = "WECHATPAY/SIGNTEST/"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_BITS_LEAST = 2048
_NONCE_BYTES = 12
_SECONDS = re.compile(r"\A[0-9]{1,12}\Z")
_WORD = re.compile(r"\A[\x20-\x7e]{1,128}\Z")
_MERCHANT_SERIAL = re.compile(r"\A[0-9A-Fa-f]{8,64}\Z")
_PLATFORM_SERIAL = re.compile(r"\A([0-9A-Fa-f]{8,64}|PUB_KEY_ID_[0-9A-Za-z]{1,64})\Z")
_APIV3_KEY = re.compile(r"\A[\x21-\x7e]{32}\Z")


class WechatSecrets(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="dialect"
):
    """What only a merchant of WeChat Pay knows, as its settings hold it; keys in PEM.

    `merchant_key` signs and is known to WeChat by `merchant_serial`. Any of `apiv3_keys` opens a
    callback, and any of `platform_keys`, by serial or id, may have signed what arrives: so both
    are rotated without a pause. The first platform key is the one that answers are asked to use.
    """

    merchant_serial: str
    merchant_key: str
    apiv3_keys: tuple[str, ...]
    platform_keys: dict[str, str]

    def __repr__(self) -> str:
        """Show nothing."""
        return f"{type(self).__name__}(...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show nothing to rich either."""
        return []


class BusifavorSecrets(WechatSecrets, frozen=True, kw_only=True, tag="wechat_busifavor"):
    """The secrets of a merchant with merchant coupons."""


class ProductCouponSecrets(WechatSecrets, frozen=True, kw_only=True, tag="wechat_product_coupon"):
    """The secrets of a merchant with product coupons."""


class Credentials:
    """The keys of one merchant, read; ValueError names what is wrong and shows none of it."""

    def __init__(self, secrets: WechatSecrets) -> None:
        if not _MERCHANT_SERIAL.match(secrets.merchant_serial):
            raise ValueError("merchant_serial is not a certificate's serial number in hex")
        if not secrets.apiv3_keys or not all(map(_APIV3_KEY.match, secrets.apiv3_keys)):
            raise ValueError("apiv3_keys must be one or more, each of 32 visible characters")
        if not secrets.platform_keys:
            raise ValueError("platform_keys holds no key")
        self.serial = secrets.merchant_serial.upper()
        self._key = _private_key(secrets.merchant_key)
        self._ciphers = tuple(AESGCM(key.encode()) for key in secrets.apiv3_keys)
        self._platform = {
            serial.upper() if not serial.startswith("PUB_") else serial: _platform_key(serial, pem)
            for serial, pem in secrets.platform_keys.items()
        }

    def __repr__(self) -> str:
        """Show nothing."""
        return "Credentials(...)"

    @property
    def public_key(self) -> RSAPublicKey:
        """Return the key by which WeChat knows the merchant's signatures."""
        return self._key.public_key()

    @property
    def preferred(self) -> str:
        """Return the name of the platform key that WeChat is asked to sign answers with."""
        return next(iter(self._platform))

    def authorization(
        self, mchid: str, request: tuple[str, str], body: bytes, signed: tuple[int, str]
    ) -> str:
        """Return the header that signs a request: (method, target), body, (unix time, nonce)."""
        at_unix, nonce = signed
        lines = "\n".join((*request, str(at_unix), nonce, ""))
        signature = sign(self._key, lines.encode() + body + b"\n")
        return (
            f'{SCHEME} mchid="{mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{at_unix}",serial_no="{self.serial}"'
        )

    def verify(self, headers: Mapping[str, str], body: bytes, *, now_unix: int) -> int:
        """Return when WeChat signed what arrived, or refuse: SignatureRefused (V-4).

        Header names are lower-case, `body` is as received.
        """
        try:
            at, nonce, offered, serial = (
                headers[name] for name in (TIMESTAMP, NONCE, SIGNATURE, SERIAL)
            )
        except KeyError:
            raise SignatureRefused(Fault.MISSING_HEADER) from None
        if offered.startswith(PROBE):
            raise SignatureRefused(Fault.PROBE)
        if not (_SECONDS.match(at) and _WORD.match(nonce)):
            raise SignatureRefused(Fault.MALFORMED_HEADER)
        if abs(now_unix - int(at)) > TOLERANCE_S:
            raise SignatureRefused(Fault.STALE)
        key = self._platform.get(serial if serial.startswith("PUB_") else serial.upper())
        if key is None or not holds(key, offered, f"{at}\n{nonce}\n".encode() + body + b"\n"):
            raise SignatureRefused(Fault.NO_MATCH)
        return int(at)

    def open(self, resource: "Resource") -> bytes:
        """Return what a callback's resource holds, or refuse: CallbackRefused."""
        nonce = resource.nonce.encode()
        if len(nonce) != _NONCE_BYTES:
            raise CallbackRefused
        try:
            sealed = base64.b64decode(resource.ciphertext.encode(), validate=True)
        except ValueError:
            raise CallbackRefused from None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, sealed, resource.associated_data.encode())
            except (InvalidTag, ValueError):
                continue
        raise CallbackRefused


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """The sealed part of a callback."""

    algorithm: Literal["AEAD_AES_256_GCM"]
    ciphertext: str
    nonce: str
    original_type: str = ""
    associated_data: str = ""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A callback as it arrives; `id` is the same each time that it is sent."""

    id: str
    event_type: str
    resource_type: Literal["encrypt-resource"]
    resource: Resource


def envelope(body: bytes) -> Envelope:
    """Read the outside of a callback whose signature holds, or refuse: CallbackRefused."""
    try:
        return msgspec.json.decode(body.decode(), type=Envelope)
    except UNREADABLE:
        raise CallbackRefused from None


def sign(key: RSAPrivateKey, content: bytes) -> str:
    """Return a signature in base64."""
    return base64.b64encode(key.sign(content, PKCS1v15(), SHA256())).decode()


def holds(key: RSAPublicKey, offered: str, content: bytes) -> bool:
    """Say whether an offered signature, in base64, is one of the content by the key."""
    try:
        key.verify(
            base64.b64decode(offered.encode(), validate=True), content, PKCS1v15(), SHA256()
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def seal(key: str, content: bytes, nonce: str, associated_data: str) -> str:
    """Return content as WeChat seals it: AES-256-GCM under an APIv3 key, in base64."""
    sealed = AESGCM(key.encode()).encrypt(nonce.encode(), content, associated_data.encode())
    return base64.b64encode(sealed).decode()


def _private_key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("merchant_key is not a private key in PEM without a password") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _BITS_LEAST:
        raise ValueError(f"merchant_key is not an RSA key of {_BITS_LEAST} bits or more")
    return key


def _platform_key(serial: str, pem: str) -> RSAPublicKey:
    if not _PLATFORM_SERIAL.match(serial):
        raise ValueError("platform_keys names a key by neither a serial number nor a PUB_KEY_ID_")
    key: object
    try:
        if "BEGIN CERTIFICATE" in pem:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            key, number = certificate.public_key(), certificate.serial_number
        else:
            key, number = load_pem_public_key(pem.encode()), None
    except (UnsupportedAlgorithm, ValueError):
        raise ValueError(
            f"platform_keys: {serial} is neither a public key nor a certificate in PEM"
        ) from None
    if number is not None and (serial.startswith("PUB_") or int(serial, 16) != number):
        raise ValueError(f"platform_keys: the certificate under {serial} has another number")
    if not isinstance(key, RSAPublicKey) or key.key_size < _BITS_LEAST:
        raise ValueError(
            f"platform_keys: {serial} is not an RSA key of {_BITS_LEAST} bits or more"
        )
    return key
