"""Members who were merged: whom they count for now, and what counts along with whom (T-10).

What was recorded of a customer stays with that customer's own id, and so does what the bank goes
on bringing for it: balances, holders, answers of providers. Whoever reads for a decision or for
the member adds what counts along, by the functions here; `has_merged` tells for whom there is
anything to add. There are no chains: `merged_into` names a member who was not merged.
"""

from collections.abc import Collection, Iterable
from datetime import date
from uuid import UUID

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows


def bucket_in(id_: str) -> str:
    """Return what gives the bucket in an id, as SQL; `bucket_of` is the same."""
    return f"(('x' || right(({id_})::text, 3))::bit(12)::int & 1023)"


# ix_member_merged_into
ALONG = """
SELECT m.member_id, m.merged_into FROM member AS m
WHERE m.bucket + 0 BETWEEN 0 AND 1023 AND m.merged_into = ANY($1::uuid[])
ORDER BY m.bucket, m.member_id
"""
OPENED = """
SELECT m.merged_into AS member_id, min(m.opened_on) AS opened_on FROM member AS m
WHERE m.bucket + 0 BETWEEN 0 AND 1023 AND m.merged_into = ANY($1::uuid[]) GROUP BY 1
"""
# Primary key.
CURRENT = """
SELECT m.member_id, m.merged_into
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member AS m ON m.bucket = k.bucket AND m.member_id = k.member_id
WHERE m.merged_into IS NOT NULL
"""


async def along(conn: Connection, ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Return who was merged into the members of the ids, each with the one they count for."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    return {row.member_id: row.merged_into for row in await rows(conn, ALONG, wanted)}


async def opened(conn: Connection, ids: Collection[UUID]) -> dict[UUID, date]:
    """Return when the first of the relationships began that were merged into members."""
    return {row.member_id: row.opened_on for row in await rows(conn, OPENED, list(ids))}


async def current(conn: Connection, ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Return whom those of the ids count for now who were merged."""
    ordered = sorted(set(ids))
    found = await rows(conn, CURRENT, [bucket_of(id_) for id_ in ordered], ordered)
    return {row.member_id: row.merged_into for row in found}
