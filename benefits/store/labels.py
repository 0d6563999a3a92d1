"""Which labels members carry on a day, for what is decided by them (S-1, S-2)."""

from collections.abc import Collection
from datetime import date
from uuid import UUID

from benefits.domain.labels import Layer, label_key
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows

# Primary key. Of each label and first day what was recorded last counts; a model's label may rank
# but decides nothing (S-2).
CARRIED = """
SELECT DISTINCT l.member_id, l.layer, l.label FROM (
    SELECT DISTINCT ON (o.bucket, o.member_id, o.label, o.valid_from)
           o.member_id, o.label, o.layer, o.valid_to
    FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
    JOIN member_label AS o ON o.bucket = k.bucket AND o.member_id = k.member_id
    WHERE o.label = ANY($3::text[]) AND o.valid_from <= $4
    ORDER BY o.bucket, o.member_id, o.label, o.valid_from, o.recorded_at DESC) AS l
WHERE l.layer <> 'MODEL' AND (l.valid_to > $4 OR l.valid_to IS NULL)
"""


async def carried(
    conn: Connection, ids: Collection[UUID], labels: Collection[str], day: date
) -> dict[UUID, frozenset[str]]:
    """Return which labels of those names members carry on a day, as keys; none is no entry."""
    ordered = sorted(set(ids))
    buckets = [bucket_of(id_) for id_ in ordered]
    found = dict[UUID, set[str]]()
    for row in await rows(conn, CARRIED, buckets, ordered, sorted(set(labels)), day):
        found.setdefault(row.member_id, set()).add(label_key(Layer(row.layer), row.label))
    return {member_id: frozenset(some) for member_id, some in found.items()}
