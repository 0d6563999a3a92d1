"""Checkpoints: what a log says of itself, signed, as C2SP's `tlog-checkpoint` and `signed-note`.

    benefits/3f2a9c01d4e5b6a7        which log
    1234                             how many leaves it has
    q83v…=                           the root of its tree, in base64
    2025-07-02T04:00:00Z             when this was said

    — benefits/3f2a9c01d4e5b6a7 Az3g…=     the signature: key id and Ed25519 over all above

A key is told by `name+key id+key`, the last in base64 behind a byte that says Ed25519.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

ED25519 = b"\x01"
_DASH = "—"
_NOTE = re.compile(
    rf"^(?P<text>(?P<origin>[^\s+]+)\n(?P<size>0|[1-9][0-9]{{0,17}})\n"
    rf"(?P<root>[A-Za-z0-9+/]{{43}}=)\n(?P<at>[0-9T:-]+Z)\n)"
    rf"\n(?P<signatures>(?:{_DASH} [^\s+]+ [A-Za-z0-9+/=]+\n)+)",
    re.MULTILINE,
)


class Checkpoint(msgspec.Struct, frozen=True):
    """What a checkpoint says: which log, how many leaves, which root, when."""

    origin: str
    size: int
    root: bytes
    at: datetime

    def text(self) -> str:
        """Return what is signed."""
        root = base64.b64encode(self.root).decode()
        at = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{self.origin}\n{self.size}\n{root}\n{at}\n"


class Signature(msgspec.Struct, frozen=True):
    """A line below a note: whose it says it is, the key's id, the signature."""

    name: str
    key_id: bytes
    signature: bytes


class SignedNote(msgspec.Struct, frozen=True):
    """A checkpoint as it was read: what it says, the text that is signed, the signatures."""

    checkpoint: Checkpoint
    text: str
    signatures: tuple[Signature, ...]


class PublicKey(msgspec.Struct, frozen=True):
    """A key that checks signatures, with the name of the log it signs for."""

    name: str
    key: bytes

    @property
    def key_id(self) -> bytes:
        """Return the four bytes by which a signature names it."""
        said = self.name.encode() + b"\n" + ED25519 + self.key
        return hashlib.sha256(said).digest()[:4]

    def __str__(self) -> str:
        """Say it in one word, as auditors are given it."""
        key = base64.b64encode(ED25519 + self.key).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"


def parse_key(word: str) -> PublicKey:
    """Read a public key from its one word; ValueError when it is none."""
    name, _, rest = word.partition("+")
    key_id, _, text = rest.partition("+")
    key = base64.b64decode(text, validate=True)
    made = PublicKey(name, key[1:])
    if not name or key[:1] != ED25519 or len(key) != 33 or made.key_id.hex() != key_id:
        raise ValueError("not a public key")
    return made


def signed(text: str, key: PublicKey, signature: bytes) -> str:
    """Return the whole note of a text and its signature."""
    line = base64.b64encode(key.key_id + signature).decode()
    return f"{text}\n{_DASH} {key.name} {line}\n"


def read_notes(text: str) -> Iterator[SignedNote]:
    """Yield the checkpoints of a text, one after the other; what is no whole one is passed by."""
    for found in _NOTE.finditer(text.replace("\r\n", "\n")):
        try:
            at = datetime.strptime(found["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            signatures = read_signatures(found["signatures"])
        except ValueError:
            continue
        root = base64.b64decode(found["root"])
        checkpoint = Checkpoint(found["origin"], int(found["size"]), root, at)
        yield SignedNote(checkpoint, found["text"], signatures)


def read_signatures(lines: str) -> tuple[Signature, ...]:
    """Return the signatures below a note; ValueError when a line is none."""
    return tuple(map(_signature, lines.splitlines()))


def _signature(line: str) -> Signature:
    _, name, word = line.split(" ")
    try:
        both = base64.b64decode(word, validate=True)
    except binascii.Error as error:
        raise ValueError(line) from error
    if len(both) < 4 + 64:  # of a note that was cut off
        raise ValueError(line)
    return Signature(name, both[:4], both[4:])
