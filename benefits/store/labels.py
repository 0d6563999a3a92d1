"""Which labels members carry on a day, for what is decided by them (S-1, S-2)."""

from collections import Counter
from collections.abc import Collection
from datetime import date
from uuid import UUID

from benefits.domain.labels import Layer, label_key, label_name
from benefits.domain.values import BUCKETS, bucket_of
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
# Primary keys, some buckets at a time; of each label the same counts.
COUNTED = """
SELECT l.layer, l.label, count(DISTINCT l.member_id) AS members FROM (
    SELECT DISTINCT ON (o.bucket, o.member_id, o.label, o.valid_from)
           o.bucket, o.member_id, o.label, o.layer, o.valid_to
    FROM member_label AS o
    WHERE o.bucket BETWEEN $1 AND $2 AND o.label = ANY($3::text[]) AND o.valid_from <= $4
    ORDER BY o.bucket, o.member_id, o.label, o.valid_from, o.recorded_at DESC) AS l
JOIN member AS m ON m.bucket = l.bucket AND m.member_id = l.member_id
WHERE l.layer <> 'MODEL' AND (l.valid_to > $4 OR l.valid_to IS NULL)
  AND m.merged_into IS NULL AND (m.closed_on IS NULL OR m.closed_on >= $4)
GROUP BY 1, 2
"""
AT_ONCE = BUCKETS // 16


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


async def count(conn: Connection, keys: Collection[str], day: date) -> dict[str, int]:
    """Return how many members carry labels, given as keys, on a day."""
    names, counted = sorted({label_name(key) for key in keys}), Counter[str]()
    for first in range(0, BUCKETS, AT_ONCE) if names else ():
        for row in await rows(conn, COUNTED, first, first + AT_ONCE - 1, names, day):
            counted[label_key(Layer(row.layer), row.label)] += row.members
    return {key: counted[key] for key in keys}
