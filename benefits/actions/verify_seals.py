"""Verify the log: against the batches, its own tree, and what was signed and taken outside."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from benefits.domain.checkpoints import PublicKey, SignedNote, read_notes
from benefits.store import verify_seals as checks
from benefits.store.db import Database
from benefits.store.signing import is_signed
from benefits.store.verify import Finding
from benefits.store.verify_seals import Broken, Kept, Root


class Audit(msgspec.Struct, frozen=True):
    """What is known from outside the database: whose signatures count, checkpoints, archives."""

    keys: tuple[PublicKey, ...] = ()
    exported: tuple[SignedNote, ...] = ()
    archives: tuple[Path, ...] = ()


async def verify_leaves(database: Database, buckets: tuple[int, int]) -> AsyncIterator[Finding]:
    """Yield batches of a range of buckets that are not as they were sealed."""
    async for kind, batch, detail in checks.leaves(database, buckets):
        match kind:
            case "seal_differs":
                yield Finding("seal_differs", batch, f"{detail}: not what was sealed")
            case "sealed_twice":
                yield Finding("sealed_twice", batch, f"{detail} and another one")
            case "leaf_without_batch":
                yield Finding("leaf_without_batch", batch, f"{detail}: the batch is gone")
            case _:
                yield Finding("batch_unsealed", batch, "added behind the sealer's back")


async def verify_log(database: Database, audit: Audit) -> AsyncIterator[Finding]:
    """Yield what is wrong about the tree and its checkpoints, inside and outside."""
    for finding in _unsigned(audit):
        yield finding
    exported = [note for note in audit.exported if is_signed(note, audit.keys)]
    roots, root = dict[int, bytes](), Root(0, b"")
    sizes = [note.checkpoint.size for note in exported]
    async for one in checks.tree(database, sizes):
        match one:
            case Root():
                root = one
                if one.size in sizes:
                    roots[one.size] = one.digest
            case Kept():
                for finding in _differing(one, root, audit.keys):
                    yield finding
            case Broken():
                kind = "checkpoint_differs" if "checkpoint" in one.subject else "tree_differs"
                yield Finding(kind, one.subject, one.detail)
    for note in exported:
        for finding in _compare(note, roots, root):
            yield finding


def _unsigned(audit: Audit) -> list[Finding]:
    return [
        Finding("signature_invalid", _name(note), "exported; by none of the known keys")
        for note in audit.exported
        if not is_signed(note, audit.keys)
    ]


def _differing(kept: Kept, root: Root, keys: Sequence[PublicKey]) -> list[Finding]:
    """Compare a checkpoint of the database with the tree, and its note with both."""
    subject = f"checkpoint {kept.size}"
    said = [
        (note.checkpoint.size, note.checkpoint.root, note.signatures[0].key_id.hex())
        for note in read_notes(kept.note)
    ]
    found = []
    if kept.root != root.digest or said != [(kept.size, kept.root, kept.key_id)]:
        found.append(Finding("checkpoint_differs", subject, "not what the leaves give"))
    if keys and not all(is_signed(note, keys) for note in read_notes(kept.note)):
        found.append(Finding("signature_invalid", subject, "by none of the known keys"))
    return found


def _compare(note: SignedNote, roots: dict[int, bytes], whole: Root) -> list[Finding]:
    """Compare an exported checkpoint with the tree."""
    said = note.checkpoint
    if said.size > whole.size:
        detail = f"{said.size} batches were signed, {whole.size} are sealed: the end was cut off"
        return [Finding("log_cut", _name(note), detail)]
    if roots.get(said.size) != said.root:
        return [Finding("log_rewritten", _name(note), "the batches are not those signed then")]
    return []


def _name(note: SignedNote) -> str:
    return f"{note.checkpoint.size} of {note.checkpoint.at:%Y-%m-%dT%H:%M:%SZ}"
