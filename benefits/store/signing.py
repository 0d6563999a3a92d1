"""The key that signs checkpoints, and what a signature is worth.

A log is named after its installation: by the fingerprint of the member key, which a restore and a
new signing key leave as it is.
"""

from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from benefits.domain.checkpoints import Checkpoint, PublicKey, Signature, SignedNote, signed
from benefits.store.migrate import fingerprint


def origin(member_key: bytes) -> str:
    """Return the name of an installation's log."""
    return f"benefits/{fingerprint(member_key)[:8].hex()}"


class SealKey:
    """Signs the checkpoints of one log."""

    def __init__(self, seed: bytes, name: str) -> None:
        """Take the 32 bytes of the key and the log's name."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(name, self._key.public_key().public_bytes_raw())

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return a checkpoint as a signed note."""
        return self.sign_text(checkpoint.text())

    def sign_text(self, text: str) -> str:
        """Return a text as a signed note."""
        return signed(text, self.public, self._key.sign(text.encode()))


def is_signed(note: SignedNote, keys: Sequence[PublicKey]) -> bool:
    """Say whether a note is of the log of one of the keys, and signed by it."""
    return is_text_signed(note.checkpoint.origin, note.text, note.signatures, keys)


def is_text_signed(
    origin: str, text: str, signatures: Sequence[Signature], keys: Sequence[PublicKey]
) -> bool:
    """Say whether a text of a log is signed by one of the keys."""
    for signature in signatures:
        for key in keys:
            if (key.name, key.key_id) != (origin, signature.key_id):
                continue
            try:
                public = Ed25519PublicKey.from_public_bytes(key.key)
                public.verify(signature.signature, text.encode())
            except InvalidSignature:
                continue
            return signature.name == key.name
    return False
