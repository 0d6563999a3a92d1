"""New customers who are welcome to a tier: whom to look at, and what is held of a standing (M-8).

`member.welcome_due` is the day on which something is to be carried out of a welcome next: the
opening at first, then the day it ends; empty when all is done, or there is none.
"""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows, run

# ix_member_welcome_due
_DUE = """FROM member AS m
WHERE m.bucket + 0 BETWEEN $1 AND $2 AND m.welcome_due <= $3 AND m.welcome_due IS NOT NULL"""
DUE = f"SELECT m.member_id {_DUE} ORDER BY m.welcome_due LIMIT $4"
COUNT_DUE = f"SELECT count(*) AS members {_DUE}"
PUT_DUE = """
UPDATE member AS m SET welcome_due = k.welcome_due
FROM unnest($1::smallint[], $2::uuid[], $3::date[]) AS k (bucket, member_id, welcome_due)
WHERE m.bucket = k.bucket AND m.member_id = k.member_id
"""


def held(decision: str, day: str) -> str:
    """Return the rank that a decision's row gives on a day: a welcome may have ended by then."""
    return (
        f"CASE WHEN {decision}.welcome_until <= {day} THEN {decision}.earned "
        f"ELSE {decision}.rank END"
    )


async def due(conn: Connection, buckets: tuple[int, int], today: date, limit: int) -> list[UUID]:
    """Return members of a range of buckets whose welcome begins or ends, earliest first."""
    return [row.member_id for row in await rows(conn, DUE, *buckets, today, limit)]


async def count_due(conn: Connection, buckets: tuple[int, int], today: date) -> int:
    """Return how many there are."""
    ((count,),) = await rows(conn, COUNT_DUE, *buckets, today)
    return int(count)


async def put_due(conn: Connection, when: Mapping[UUID, date | None]) -> None:
    """Record when there is something to carry out next of members' welcomes, if ever."""
    if not when:
        return
    ids = sorted(when, key=lambda id_: (bucket_of(id_), id_))
    await run(conn, PUT_DUE, list(map(bucket_of, ids)), ids, [when[id_] for id_ in ids])
