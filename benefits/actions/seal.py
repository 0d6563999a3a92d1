"""Seal what was committed, sign what is sealed, take it outside: one transaction each.

Sealing happens behind the writers' backs and never makes one wait. Killed anywhere, the next step
goes on: a leaf, the nodes it completes and nothing else are written together.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from benefits.actions.parts import Parts
from benefits.domain.checkpoints import Checkpoint, read_notes
from benefits.store import seals
from benefits.store.db import Connection, Database
from benefits.store.seals import Signed
from benefits.store.signing import SealKey, is_signed

PAGE = 2_000
CHECKPOINT_EVERY = timedelta(minutes=1)
EXPORTS = 100  # at once, after a time without the place outside

Export = Callable[[str], Awaitable[None]]


async def seal(conn: Connection, *, limit: int = PAGE) -> int:
    """Seal the next batches unless another process is at it; return how many."""
    if not await seals.lease(conn):
        return 0
    return await seals.seal(conn, limit)


class LogContradictedError(Exception):
    """The log is not the one that the last checkpoint signed: nothing more is signed."""


async def sign(conn: Connection, key: SealKey, parts: Parts) -> bool:
    """Sign a checkpoint if something was sealed since the last one and that is a while ago.

    LogContradictedError when the log does not begin as the last one says, with its own signature.
    """
    if not await seals.lease(conn):
        return False
    now = parts.clock().replace(microsecond=0)
    size, last = await seals.size(conn), await seals.last_checkpoint(conn)
    if last is not None:
        await _agree(conn, last, size, key)
    # A clock that was wrong for a while does not stop it for as long.
    if size == (last.size if last else 0) or (last and abs(now - last.at) < CHECKPOINT_EVERY):
        return False
    root = (await seals.frontier(conn, size)).root()
    note = key.sign(Checkpoint(key.public.name, size, root, now))
    key_id = key.public.key_id.hex()
    await seals.add_checkpoint(conn, (size, root), now, key_id=key_id, note=note)
    return True


async def _agree(conn: Connection, last: Signed, size: int, key: SealKey) -> None:
    """Refuse to sign for a log that contradicts what was signed before."""
    if size < last.size:
        raise LogContradictedError(f"{last.size} batches were signed, {size} are sealed")
    if await seals.root_at(conn, last.size) != last.root:
        raise LogContradictedError(f"the first {last.size} batches are not those that were signed")
    said = [note for note in read_notes(last.note) if is_signed(note, [key.public])]
    if any((n.checkpoint.size, n.checkpoint.root) != (last.size, last.root) for n in said):
        raise LogContradictedError(f"the checkpoint of {last.size} batches is not what was signed")


async def export(database: Database, send: Export, parts: Parts) -> int:
    """Send what was signed and has not left yet, oldest first; return how much left.

    It may be sent twice, never left out: that it left is kept after it did.
    """
    async with database.transaction() as conn:
        waiting = await seals.unexported(conn, EXPORTS)
    for size, note in waiting:
        await send(note)
        async with database.transaction() as conn:
            await seals.add_export(conn, size, parts.clock())
    return len(waiting)
