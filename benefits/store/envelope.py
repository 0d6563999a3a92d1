"""What is stored sealed or as a keyed hash: customer references, recipients, callers' keys.

The first of the installation's secret keys seals, every one opens, so that keys rotate without a
pause. Hashes of secrets are made with each key, and a match with any of them counts.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from benefits.domain.refusal import Refusal


class EnvelopeBroken(Refusal):
    """A sealed value opens with none of the keys."""

    code = "envelope_broken"
    words = "A sealed value cannot be opened with the configured secret keys."


class Envelope:
    """Seals, opens and hashes with the installation's secret keys (32 bytes each)."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take the keys, newest first; ValueError when one is not a key."""
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
        self._hash_keys = [hashlib.sha256(b"benefits.hash:" + key).digest() for key in keys]

    def seal(self, plain: bytes) -> bytes:
        """Encrypt with the newest key."""
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt with whichever key fits (EnvelopeBroken)."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise EnvelopeBroken from None

    def hash(self, secret: bytes) -> bytes:
        """Return the keyed hash to store of a random secret."""
        return hmac.digest(self._hash_keys[0], secret, "sha256")

    def matches(self, secret: bytes, stored: bytes) -> bool:
        """Say in constant time whether a secret is the one whose hash was stored."""
        hashes = [hmac.digest(key, secret, "sha256") for key in self._hash_keys]
        return any([hmac.compare_digest(made, stored) for made in hashes])  # noqa: C419 - all are compared
