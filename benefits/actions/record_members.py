"""Record what the bank's customer file says; a re-run changes nothing."""

from collections.abc import Sequence

from benefits.actions.parts import Parts
from benefits.domain.members import MemberLine
from benefits.domain.values import member_id
from benefits.store import members
from benefits.store.db import Connection


async def record_members(
    conn: Connection, lines: Sequence[MemberLine], parts: Parts, *, member_key: bytes
) -> int:
    """Keep members, their sealed references and labels; return how many are new or changed."""
    now = parts.clock()
    latest = {line.customer: line for line in lines}
    keyed = [(member_id(line.customer, member_key), line) for line in latest.values()]
    changed = await members.put(
        conn,
        [(id_, line.opened_on, line.closed_on, line.branch, line.manager) for id_, line in keyed],
    )
    known = await members.profiled(conn, [id_ for id_, _ in keyed])
    await members.put_profiles(
        conn,
        [
            (id_, parts.envelope.seal(line.customer.encode()))
            for id_, line in keyed
            if id_ not in known
        ],
    )
    labels = [(id_, label, "") for id_, line in keyed for label in line.labels]
    return len(changed.union(await members.put_labels(conn, labels, now)))
