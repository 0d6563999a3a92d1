"""What is stored sealed or as a keyed hash: customer references, recipients, callers' keys.

The first of the installation's secret keys seals and hashes, every one opens and compares, so that
keys rotate without a pause. What is kept names its key, so that what is under an earlier one is
found.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benefits.domain.refusal import Refusal

KEY_BYTES = 32
NONCE_BYTES = 12
_FORM = b"\x01"
HEAD_BYTES = 5
MARK_BYTES = 4
HASH_BYTES = MARK_BYTES + 32


class EnvelopeBroken(Refusal):
    """A sealed value opens with none of the keys."""

    code = "envelope_broken"
    words = "A sealed value cannot be opened with the configured secret keys."


class Envelope:
    """Seals, opens and hashes with the installation's secret keys (32 bytes each).

    A sealed value: a byte for its form, four that name the key, a nonce of twelve, AES-GCM's text.
    Fernet's tokens, which were the form before, still open. A hash: four bytes that name the key,
    and the HMAC; those of before, without a name, are still compared.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take the keys, newest first; ValueError when one is not a key."""
        if any(len(key) != KEY_BYTES for key in keys) or not keys:
            msg = "a secret key has 32 bytes"
            raise ValueError(msg)
        ciphers = [_labelled(b"benefits.seal:", key) for key in keys]
        self._ciphers = {_FORM + hashlib.sha256(key).digest()[:4]: AESGCM(key) for key in ciphers}
        self._before = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
        self._newest = next(iter(self._ciphers.items()))
        hash_keys = [_labelled(b"benefits.hash:", key) for key in keys]
        self._hash_keys = [(hashlib.sha256(key).digest()[:MARK_BYTES], key) for key in hash_keys]

    @property
    def head(self) -> bytes:
        """How a value begins that is sealed with the newest key."""
        return self._newest[0]

    @property
    def mark(self) -> bytes:
        """How a hash begins that is made with the newest key."""
        return self._hash_keys[0][0]

    def seal(self, plain: bytes) -> bytes:
        """Encrypt with the newest key."""
        head, cipher = self._newest
        nonce = os.urandom(NONCE_BYTES)
        return head + nonce + cipher.encrypt(nonce, plain, head)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt with the key it was sealed with (EnvelopeBroken)."""
        head, nonce = sealed[:HEAD_BYTES], sealed[HEAD_BYTES : HEAD_BYTES + NONCE_BYTES]
        cipher = self._ciphers.get(head)
        try:
            if cipher is None:
                return self._before.decrypt(sealed)
            return cipher.decrypt(nonce, sealed[HEAD_BYTES + NONCE_BYTES :], head)
        except (InvalidTag, InvalidToken, ValueError):  # of no key, changed, or cut short
            raise EnvelopeBroken from None

    def lacks_key(self, sealed: bytes) -> bool:
        """Say whether a value is sealed with a key that is none of these; else it is damaged."""
        head = sealed[:HEAD_BYTES]
        return head.startswith(_FORM) and head not in self._ciphers

    def hash(self, secret: bytes) -> bytes:
        """Return the keyed hash to store of a random secret."""
        return self._hashes(secret)[0]

    def matches(self, secret: bytes, stored: bytes) -> bool:
        """Say in constant time whether a secret is the one whose hash was stored."""
        hashes = self._hashes(secret)
        if len(stored) != HASH_BYTES:
            hashes = [made[MARK_BYTES:] for made in hashes]
        return any([hmac.compare_digest(made, stored) for made in hashes])  # noqa: C419 - all are compared

    def _hashes(self, secret: bytes) -> list[bytes]:
        return [mark + hmac.digest(key, secret, "sha256") for mark, key in self._hash_keys]


def _labelled(label: bytes, key: bytes) -> bytes:
    """Return a key of its own for each use of a secret key."""
    return hashlib.sha256(label + key).digest()
