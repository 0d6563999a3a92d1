"""Lanes of persons: of customers who were merged, one call at a time of each kind (T-10).

`store/orders` keeps at most one call in flight per (provider, member, SKU). Two members who are
one person share their lanes: whoever leases holds all of that person, and looks here.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from benefits.store import merged, orders
from benefits.store.db import Connection
from benefits.store.members import Member


async def of_persons(
    conn: Connection,
    ids: Sequence[UUID],
    locked: Mapping[UUID, Member],
    *,
    now: datetime,
    laneless: Collection[str],
) -> list[UUID]:
    """Return which requests may go beside what is asked for other members of their person.

    Of several members with something due in a lane the one whose turn is first has it.
    """
    persons = {
        id_: one.merged_into or id_
        for id_, one in locked.items()
        if one.merged_into is not None or one.has_merged
    }
    if not persons:
        return list(ids)
    persons |= await merged.along(conn, persons.values())
    taken = {
        (persons[member_id], provider, sku): member_id
        for member_id, provider, sku in await orders.in_flight(conn, sorted(persons), now)
    }
    asked = (await orders.by_id(conn, ids)).values()
    free = set(ids)
    for one in sorted(asked, key=lambda r: (r.next_at or now, r.request_id)):
        person = persons.get(one.member_id)
        if person is None or one.provider in laneless:
            continue
        if taken.setdefault((person, one.provider, one.sku), one.member_id) != one.member_id:
            free.discard(one.request_id)
    return [id_ for id_ in ids if id_ in free]
