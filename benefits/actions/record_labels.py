"""Record what the bank's label platform says of members; a re-run changes nothing (S-1)."""

from collections.abc import Sequence

from benefits.actions.parts import Parts
from benefits.actions.tell_news import tell
from benefits.domain import topics
from benefits.domain.members import LabelLine
from benefits.domain.values import member_id
from benefits.store import assets, members, merged, whitelists
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection


async def record_labels(
    conn: Connection, lines: Sequence[tuple[int, LabelLine]], parts: Parts, *, member_key: bytes
) -> ChunkResult:
    """Keep numbered lines, once; the result names those that were refused and why.

    Of two lines about one label and first day the later one counts. One about a customer who was
    merged is about the member they were merged into.
    """
    await assets.alone(conn)  # nobody is merged meanwhile
    given = {line.customer: member_id(line.customer, member_key) for _, line in lines}
    moved = await merged.current(conn, given.values())
    ids = {customer: moved.get(id_, id_) for customer, id_ in given.items()}
    known = await members.existing(conn, ids.values())
    lists = await whitelists.among(conn, {line.label.name for _, line in lines})
    refused = [
        (number, "customer: not a member")
        for number, line in lines
        if ids[line.customer] not in known
    ]
    refused += [
        (number, f"label: {line.label.name!r} is a whitelist's name")
        for number, line in lines
        if ids[line.customer] in known and line.label.name in lists
    ]
    latest = {
        (ids[line.customer], line.label.name, line.label.from_): line
        for _, line in lines
        if ids[line.customer] in known and line.label.name not in lists
    }
    new = await members.put_labels(
        conn,
        [(id_, line.label, line.version) for (id_, _, _), line in latest.items()],
        parts.clock(),
    )
    await tell(conn, parts, ((topics.of_label(key), from_) for _, key, from_ in new))
    return ChunkResult(len(new), len(lines) - len(refused) - len(new), refused)
