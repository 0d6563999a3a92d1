"""Record who holds the bank's joint accounts; what they count is folded anew (A-5)."""

from collections.abc import Sequence

from benefits.actions.parts import Parts
from benefits.actions.tell_news import tell
from benefits.domain import topics
from benefits.domain.holders import HolderLine
from benefits.domain.values import member_id
from benefits.store import holders, members, merged, rates
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection


async def record_holders(
    conn: Connection, lines: Sequence[tuple[int, HolderLine]], parts: Parts, *, member_key: bytes
) -> ChunkResult:
    """Keep numbered lines, once; the result names those that were refused and why.

    Of two lines about one account, customer and first day the later one counts. One about a
    customer who was merged is about the member they were merged into; both are named.
    """
    await rates.serial(conn)
    given = {line.customer: member_id(line.customer, member_key) for _, line in lines}
    moved = await merged.current(conn, given.values())
    ids = {customer: moved.get(id_, id_) for customer, id_ in given.items()}
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
    into = await merged.along(conn, known)
    kept = [
        (named, line)
        for (_, id_, _), line in latest.items()
        for named in (id_, *(other for other, whose in into.items() if whose == id_))
    ]
    new = await holders.put(conn, kept, parts.clock()) if kept else []
    await tell(conn, parts, ((topics.HOLDERS, from_) for from_ in new))
    return ChunkResult(len(new), len(lines) - len(refused) - len(new), refused)
