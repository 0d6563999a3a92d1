"""Read the file of an archived month, and check it by itself: every batch, up to the signed root.

Files are gzip or plain text. What is read is believed only as far as `check_file` came.
"""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benefits.domain import merkle
from benefits.domain.archive import FORMAT, ArchiveUnfit, Header, Line, Sealed, sealed_of
from benefits.domain.checkpoints import SignedNote, read_notes
from benefits.domain.values import Month
from benefits.store.archive import ids_of

_HEADER = msgspec.json.Decoder(Header)
_LINE = msgspec.json.Decoder(Line)


class Checked(msgspec.Struct, frozen=True):
    """A file that is whole: its month and leaves, the checkpoint over them, its digest."""

    month: Month
    span: tuple[int, int]
    batches: int
    note: SignedNote
    digest: bytes


def check_file(path: Path, each: Callable[[Sealed], None]) -> Checked:
    """Read a file and show `each` leaf; its leaves must give the checkpoint's root (ArchiveUnfit).

    Whether anybody signed the checkpoint is not looked at here.
    """
    hashed, batches = hashlib.sha256(), 0
    lines = _lines(path, hashed.update)
    header, note, month = _header(lines)
    first, beyond = ids_of(month)
    span = (header.first_leaf, header.beyond_leaf)

    def leaves() -> Iterator[bytes]:
        nonlocal batches
        for place, text in enumerate(lines, span[0]):
            sealed = _sealed(text, place)
            if sealed.batch is not None:
                batches += 1
                if not first <= sealed.batch["batch_id"] < beyond:
                    raise ArchiveUnfit(f"Leaf {place} is of another month.")
            each(sealed)
            yield sealed.digest

    told = leaves()
    try:
        others = iter([bytes.fromhex(word) for word in header.beside])
        root = merkle.root_of(told, others, span, note.checkpoint.size)
    except (StopIteration, RuntimeError, ValueError) as error:
        raise ArchiveUnfit("The file ends too early.") from error
    if root != note.checkpoint.root or next(others, None) or next(told, None):
        raise ArchiveUnfit("Its batches are not those that the checkpoint signs.")
    return Checked(month, span, batches, note, hashed.digest())


def batches_of(path: Path) -> Iterator[Sealed]:
    """Yield the batches of a file that was checked, in their order."""
    lines = _lines(path, lambda _: None)
    header, _, _ = _header(lines)
    for place, text in enumerate(lines, header.first_leaf):
        sealed = _sealed(text, place)
        if sealed.batch is not None:
            yield sealed


def _lines(path: Path, also: Callable[[bytes], object]) -> Iterator[bytes]:
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            for line in gzip.GzipFile(fileobj=plain) if packed else plain:
                also(line)
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise ArchiveUnfit(f"{path} cannot be read: {error}") from error


def _header(lines: Iterator[bytes]) -> tuple[Header, SignedNote, Month]:
    try:
        header = _HEADER.decode(next(lines, b""))
        month = Month.parse(header.month)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ArchiveUnfit("It is not the file of an archived month.") from error
    notes = list(read_notes(header.checkpoint))
    if header.format != FORMAT or len(notes) != 1:
        raise ArchiveUnfit("It is not the file of an archived month.")
    size = notes[0].checkpoint.size
    if not 0 <= header.first_leaf < header.beyond_leaf <= size:
        raise ArchiveUnfit("Its leaves are not under its checkpoint.")
    return header, notes[0], month


def _sealed(text: bytes, place: int) -> Sealed:
    try:
        line = _LINE.decode(text)
    except msgspec.MsgspecError as error:
        raise ArchiveUnfit(f"Line {place} cannot be read.") from error
    if line.leaf_index != place:
        raise ArchiveUnfit(f"Leaf {place} is not there.")
    return sealed_of(line)
