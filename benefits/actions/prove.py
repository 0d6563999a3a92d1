"""Prove to somebody who trusts neither us nor our database that a batch is in the signed log."""

from typing import Any
from uuid import UUID

from benefits.domain import merkle, seals
from benefits.domain.archive import MonthArchived
from benefits.domain.checkpoints import read_notes
from benefits.store import seals as log
from benefits.store.carried import archives
from benefits.store.db import Connection

FORMAT = "benefits.proof/2"
AGREEMENT = "benefits.consistency/1"


async def prove_batch(conn: Connection, batch_id: UUID) -> dict[str, Any] | None:
    """Return what proves a batch; None while no signed checkpoint covers it, or it is gone.

    MonthArchived where its month was taken out.
    """
    leaf = await log.find_leaf(conn, batch_id)
    if leaf is None:
        return None
    note = await log.note_over(conn, leaf.index)
    read = await log.read_batch(conn, leaf.bucket, batch_id)
    if read is None and any(one.has(batch_id) for one in await archives(conn)):
        raise MonthArchived
    if note is None or read is None:
        return None
    size = next(read_notes(note)).checkpoint.size
    ranges = [*merkle.edge(size), *merkle.around(leaf.index, size)]
    path = merkle.inclusion(await log.read_kept(conn, ranges), leaf.index, size)
    return {
        "format": FORMAT,
        "batch": seals.to_words(*read),
        "leaf_index": leaf.index,
        "leaf": leaf.digest.hex(),
        "path": [digest.hex() for digest in path],
        "checkpoint": note,
    }


async def prove_consistency(conn: Connection, old: int, new: int) -> dict[str, Any] | None:
    """Return what proves that the log of one signed size begins as that of an older one."""
    notes = [await log.note_of(conn, size) for size in (old, new)]
    if None in notes or not 0 < old < new:
        return None
    ranges = [*merkle.edge(old), *merkle.edge(new)]
    ranges += [r for index in (old - 1, old) for r in merkle.around(index, new)]
    path = merkle.consistency(await log.read_kept(conn, ranges), old, new)
    return {
        "format": AGREEMENT,
        "path": [digest.hex() for digest in path],
        "checkpoints": notes,
    }
