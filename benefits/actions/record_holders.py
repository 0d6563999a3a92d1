"""Record who holds the bank's joint accounts; what they count is folded anew (A-5)."""

from collections.abc import Sequence

from benefits.actions.parts import Parts
from benefits.domain.holders import HolderLine
from benefits.domain.values import member_id
from benefits.store import holders, members, rates
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection


async def record_holders(
    conn: Connection, lines: Sequence[tuple[int, HolderLine]], parts: Parts, *, member_key: bytes
) -> ChunkResult:
    """Keep numbered lines, once; the result names those that were refused and why.

    Of two lines about one account, customer and first day the later one counts.
    """
    await rates.serial(conn)
    ids = {line.customer: member_id(line.customer, member_key) for _, line in lines}
    known = await members.existing(conn, ids.values())
    refused = [
        (number, "customer: not a member")
        for number, line in lines
        if ids[line.customer] not in known
    ]
    latest = {
        (line.account, ids[line.customer], line.from_): line
        for _, line in lines
        if ids[line.customer] in known
    }
    kept = [(id_, line) for (_, id_, _), line in latest.items()]
    new = await holders.put(conn, kept, parts.clock()) if kept else 0
    return ChunkResult(new, len(lines) - len(refused) - new, refused)
