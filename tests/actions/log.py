"""The log of sealed batches, as tests drive it."""

from pathlib import Path

from benefits.actions import seal
from benefits.actions.verify import verify
from benefits.actions.verify_seals import Audit
from benefits.domain.checkpoints import read_notes
from benefits.store.signing import SealKey, origin
from benefits.store.verify import Finding
from tests.builders import MEMBER_KEY, World

KEY = SealKey(bytes(range(32, 64)), origin(MEMBER_KEY))


async def seal_all(world: World, limit: int = seal.PAGE) -> int:
    """Seal until nothing is left; return how many."""
    total = 0
    while True:
        async with world.database.transaction() as conn:
            made = await seal.seal(conn, limit=limit)
        if not made:
            return total
        total += made


async def sign(world: World, key: SealKey = KEY) -> bool:
    """Sign a checkpoint if it is time."""
    async with world.database.transaction() as conn:
        return await seal.sign(conn, key, world.parts)


async def checkpointed(world: World) -> str:
    """Seal everything, sign it, and return all notes as they are exported."""
    await seal_all(world)
    world.clock.forward(minutes=1)
    await sign(world)
    notes = [row.note for row in await world.rows("SELECT note FROM checkpoint ORDER BY size")]
    return "\n".join(notes)


async def audit(
    world: World, exported: str = "", key: SealKey = KEY, *, archives: tuple[Path, ...] = ()
) -> list[Finding]:
    """Verify the books with what an auditor has."""
    known = Audit((key.public,), tuple(read_notes(exported)), archives)
    return [
        one async for one in verify(world.database, world.parts, known) if isinstance(one, Finding)
    ]
