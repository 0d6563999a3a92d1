"""Standard Webhooks signatures over bytes: made, and checked (V-4).

Signed are the bytes `{id}.{timestamp}.{body}` with HMAC-SHA256, so nobody may parse a body before
it is checked. Invariants: timestamps are whole unix seconds; a message must be fresh in both
directions; comparison takes constant time; with several secrets any one may match, which is how
they are rotated without down-time; whatever the headers hold, the only exception is
`SignatureRefused`.
"""

import base64
import enum
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from benefits.domain.refusal import Refusal

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"
TOLERANCE_S = 300

_PREFIX = "whsec_"
_VERSION = "v1,"
# Visible ASCII except '.', which would make the signed content ambiguous.
_ID = re.compile(r"[!-\-/-~]{1,128}")
_SECONDS = re.compile(r"[0-9]{1,12}")


class Fault(enum.Enum):
    """What is wrong with a signature."""

    MISSING_HEADER = "a signature header is missing"
    MALFORMED_HEADER = "a signature header is malformed"
    STALE = "the timestamp is too far from now"
    NO_MATCH = "no signature matches"
    PROBE = "the signature is a probe, false on purpose"


class SignatureRefused(Refusal):
    """The message is not, or not freshly, from the one who holds the secret: `fault` tells why."""

    code = "signature_refused"
    words = "The signature does not hold."

    def __init__(self, fault: Fault) -> None:
        """Refuse for `fault`."""
        super().__init__(fault.value)
        self.fault = fault


def parse_secret(text: str) -> bytes:
    """Return the key in `whsec_<base64>`; ValueError unless it holds 24 to 64 bytes."""
    if not text.startswith(_PREFIX):
        msg = f"a signing secret begins with {_PREFIX}"
        raise ValueError(msg)
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX).encode("ascii"), validate=True)
    except ValueError:
        msg = f"a signing secret is {_PREFIX} and base64"
        raise ValueError(msg) from None  # the cause would show the secret
    if not 24 <= len(key) <= 64:
        msg = f"a signing secret holds 24 to 64 bytes, not {len(key)}"
        raise ValueError(msg)
    return key


def sign(secrets: Sequence[bytes], id_: str, at_unix: int, body: bytes) -> str:
    """Return the `webhook-signature` value: a `v1` signature per secret, space separated."""
    if not secrets or not _ID.fullmatch(id_) or at_unix < 0:
        msg = "signing needs a secret, a visible ASCII id without '.', and a unix time"
        raise ValueError(msg)
    content = f"{id_}.{at_unix}.".encode() + body
    return " ".join(_signature(secret, content) for secret in secrets)


def signed_headers(
    secrets: Sequence[bytes], id_: str, at_unix: int, body: bytes
) -> dict[str, str]:
    """Return the three headers that go with `body`."""
    return {
        ID: id_,
        TIMESTAMP: str(at_unix),
        SIGNATURE: sign(secrets, id_, at_unix, body),
    }


def verify(
    secrets: Sequence[bytes],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_unix: int,
    tolerance_s: int = TOLERANCE_S,
) -> str:
    """Return the message's id or refuse (V-4); header names are lower-case, `body` as received."""
    try:
        id_, at, offered = (headers[name] for name in (ID, TIMESTAMP, SIGNATURE))
    except KeyError:
        raise SignatureRefused(Fault.MISSING_HEADER) from None
    known = [item.encode(errors="replace") for item in offered.split(" ") if item[:3] == _VERSION]
    if not (_ID.fullmatch(id_) and _SECONDS.fullmatch(at) and known):
        raise SignatureRefused(Fault.MALFORMED_HEADER)
    if abs(now_unix - int(at)) > tolerance_s:
        raise SignatureRefused(Fault.STALE)
    content = f"{id_}.{at}.".encode() + body
    for secret in secrets:
        right = _signature(secret, content).encode()
        if any(hmac.compare_digest(right, item) for item in known):
            return id_
    raise SignatureRefused(Fault.NO_MATCH)


def _signature(secret: bytes, content: bytes) -> str:
    digest = hmac.digest(secret, content, hashlib.sha256)
    return _VERSION + base64.b64encode(digest).decode()
