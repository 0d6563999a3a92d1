"""Prove to somebody who trusts neither us nor our database that a batch is in the signed log."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from benefits.domain import merkle, seals
from benefits.domain.checkpoints import read_notes
from benefits.store import seals as log
from benefits.store.db import Connection

FORMAT = "benefits.proof/1"
AGREEMENT = "benefits.consistency/1"


async def prove_batch(conn: Connection, batch_id: UUID) -> dict[str, Any] | None:
    """Return what proves a batch; None while no signed checkpoint covers it, or it is gone."""
    leaf = await log.find_leaf(conn, batch_id)
    if leaf is None:
        return None
    note = await log.note_over(conn, leaf.index)
    read = await log.read_batch(conn, leaf.bucket, batch_id)
    if note is None or read is None:
        return None
    size = next(read_notes(note)).checkpoint.size
    ranges = [*merkle.edge(size), *merkle.around(leaf.index, size)]
    path = merkle.inclusion(await log.read_kept(conn, ranges), leaf.index, size)
    batch, postings = read
    return {
        "format": FORMAT,
        "batch": {
            **{name: _word(batch[name]) for name, _ in seals.BATCH},
            "postings": [{n: _word(line[n]) for n, _ in seals.POSTING} for line in postings],
        },
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


def _word(value: Any) -> Any:
    """Return a column's value as JSON has it; instants to the microsecond, in UTC."""
    match value:
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case date() | UUID():
            return str(value)
        case _:
            return value
