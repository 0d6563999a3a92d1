"""A callback that is a hint: its order is asked about at once, and nothing else changes (V-4)."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from benefits.actions.parts import Parts
from benefits.domain.orders import OPEN, Capabilities, Operation, can_query
from benefits.store import claims, members, orders
from benefits.store.db import Connection
from benefits.store.orders import Plan, RequestRow

KNOWN = Capabilities()  # of a provider that no programme names any more


async def ask_now(conn: Connection, ids: Collection[UUID], parts: Parts) -> frozenset[UUID]:
    """Let the providers be asked about claims, but none more often or sooner than it bears.

    An order that ended before it was sent is not asked about: that could be to send it. Return
    those left to be brought again: somebody else holds the member, or a call is under way whose
    answer may be from before.
    """
    if not ids:
        return frozenset()
    owners = await claims.owners(conn, ids)
    locked, busy = await members.lock_persons(conn, set(owners.values()), wait=False)
    left = {id_ for id_, member_id in owners.items() if member_id in busy}
    free = {id_: owners[id_] for id_ in owners if id_ not in left and owners[id_] in locked}
    able = (await parts.catalogue.current(conn)).capabilities
    now = parts.clock()
    found = await claims.by_id(conn, free)
    asked = await orders.of_claims(conn, [(owner, id_) for id_, owner in sorted(free.items())])
    due = list[RequestRow]()
    for id_, requests in asked.items():
        waiting = [r for r in requests if _waits(r) or r.operation is Operation.ISSUE]
        if any(r.leased_until is not None and r.leased_until > now for r in waiting):
            left.add(id_)
        elif can_query(able.get(waiting[0].provider, KNOWN), found[id_].provider_reference):
            due += [r for r in waiting if found[id_].state in OPEN or r.sent_by is not None]
    tried = await orders.tried_at(conn, due)
    plans = list[Plan]()
    for request in due:
        pause = timedelta(seconds=able.get(request.provider, KNOWN).query_min_interval_s)
        at = max(now, tried[request.request_id] + pause) if request.request_id in tried else now
        if request.next_at is None or at < request.next_at:
            plans.append(Plan.again(request, at, queries=request.queries))
    await orders.schedule(conn, plans)
    return frozenset(left)


def _waits(request: RequestRow) -> bool:
    return request.next_at is not None
