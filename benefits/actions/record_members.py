"""Record what the bank's customer file says; a re-run changes nothing."""

from collections.abc import Sequence

from benefits.actions.parts import Parts
from benefits.actions.tell_news import tell
from benefits.domain import topics
from benefits.domain.floors import opened_since
from benefits.domain.members import MemberLine
from benefits.domain.values import local_date, member_id
from benefits.store import assets, endings, members, merged, people, whitelists
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection


async def record_members(
    conn: Connection, lines: Sequence[tuple[int, MemberLine]], parts: Parts, *, member_key: bytes
) -> ChunkResult:
    """Keep members, their sealed references, labels and people; the last line of each counts.

    A line that moves or takes back the end of a relationship that was carried out is refused, as
    is one with a label of a whitelist's name. Of a customer who was merged the labels alone are
    taken, for the member they were merged into.
    """
    latest = {line.customer: (number, line) for number, line in lines}
    keyed = [
        (number, member_id(line.customer, member_key), line) for number, line in latest.values()
    ]
    await assets.alone(conn)  # nobody is merged meanwhile
    now = parts.clock()
    moved = await merged.current(conn, [id_ for _, id_, _ in keyed])
    over = await endings.carried_out(conn, [id_ for _, id_, _ in keyed if id_ not in moved])
    lists = await whitelists.among(
        conn, {label.name for _, _, line in keyed for label in line.labels}
    )
    reasons = {
        number: f"labels: {label.name!r} is a whitelist's name"
        for number, _, line in keyed
        for label in line.labels
        if label.name in lists
    }
    reasons |= {
        number: f"closed_on: the relationship ended on {over[id_]}, and that was carried out"
        for number, id_, line in keyed
        if id_ in over and over[id_] != line.closed_on
    }
    refused = list(reasons.items())
    told = [(id_, line) for number, id_, line in keyed if number not in reasons]
    taken = [(id_, line) for id_, line in told if id_ not in moved]
    plan = await parts.catalogue.plan(conn)
    since = opened_since(plan.rules, local_date(now, plan.at(now).zone))
    changed = await members.put(conn, taken, now, since=since)
    changed |= await people.put(conn, [(id_, line.person) for id_, line in taken], member_key)
    known = await members.profiled(conn, [id_ for id_, _ in taken])
    await members.put_profiles(
        conn,
        [
            (id_, parts.envelope.seal(line.customer.encode()))
            for id_, line in taken
            if id_ not in known
        ],
    )
    labels = [(moved.get(id_, id_), label, "") for id_, line in told for label in line.labels]
    new = await members.put_labels(conn, labels, now)
    await tell(conn, parts, ((topics.of_label(key), from_) for _, key, from_ in new))
    kept = len(changed.union(id_ for id_, _, _ in new))
    return ChunkResult(kept, max(0, len(lines) - kept - len(refused)), refused)
