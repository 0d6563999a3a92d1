"""Member rows: the one lock of all that a member has, and what the bank's customer file says.

Lock order for every action: member rows, then request rows, then counters, each sorted. A
statement that waits for locks reads nothing else: everything is read by later statements of the
same transaction.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec

from benefits.domain.labels import Label, Layer, label_key
from benefits.domain.members import MemberLine
from benefits.domain.values import EPOCH, bucket_of
from benefits.store import assets, member_past, merged
from benefits.store.db import Connection, Writer, rows, run, write
from benefits.store.merged import bucket_in


class Member(msgspec.Struct, frozen=True):
    """A member as locked: the figures that order everything recorded about them."""

    member_id: UUID
    opened_on: date
    closed_on: date | None
    event_seq: int
    recorded_at: datetime
    event_position: int
    deceased: bool
    end_due: date | None
    merged_into: UUID | None
    has_merged: bool
    branch: str
    has_blocks: bool

    @property
    def bucket(self) -> int:
        """The bucket everything of this member lies in."""
        return bucket_of(self.member_id)


# Primary key; locked in (bucket, id) order, because the sort lies below the locking.
_LOCK = """
SELECT m.member_id, m.opened_on, m.closed_on, m.event_seq, m.recorded_at, m.event_position,
       m.deceased, m.end_due, m.merged_into, m.has_merged, m.branch, m.has_blocks
FROM member AS m JOIN unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
  ON m.bucket = k.bucket AND m.member_id = k.member_id
ORDER BY m.bucket, m.member_id
FOR NO KEY UPDATE OF m
"""
LOCK = _LOCK
LOCK_FREE = _LOCK + " SKIP LOCKED"
EXISTING = """
SELECT m.member_id
FROM member AS m JOIN unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
  ON m.bucket = k.bucket AND m.member_id = k.member_id
"""
# Primary key, twice for whoever was merged. A member without a branch or manager is nobody's.
MANAGED = f"""
SELECT k.member_id
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member AS o ON o.bucket = k.bucket AND o.member_id = k.member_id
JOIN member AS m ON m.bucket = {bucket_in("coalesce(o.merged_into, o.member_id)")}
  AND m.member_id = coalesce(o.merged_into, o.member_id)
WHERE (m.branch <> '' AND m.branch = $3) OR (m.manager <> '' AND m.manager = $4)
"""
# Whose sums are judged by other dates from now on.
DATED = """
SELECT n.member_id
FROM unnest($1::smallint[], $2::uuid[], $3::date[], $4::date[])
     AS n (bucket, member_id, opened_on, closed_on)
LEFT JOIN member AS m ON m.bucket = n.bucket AND m.member_id = n.member_id
WHERE (m.opened_on, m.closed_on) IS DISTINCT FROM (n.opened_on, n.closed_on)
"""
# An end that was begun to be carried out is not taken back.
UPSERT = """
INSERT INTO member (bucket, member_id, opened_on, closed_on, branch, manager, deceased,
                    recorded_at, end_due, welcome_due)
SELECT n.*, n.closed_on + 1, CASE WHEN n.opened_on >= $9 THEN n.opened_on END
FROM unnest($1::smallint[], $2::uuid[], $3::date[], $4::date[], $5::text[], $6::text[],
            $7::boolean[], $8::timestamptz[])
     AS n (bucket, member_id, opened_on, closed_on, branch, manager, deceased, recorded_at)
LEFT JOIN member AS m ON m.bucket = n.bucket AND m.member_id = n.member_id
WHERE m.member_id IS NULL
   OR (m.opened_on, m.closed_on, m.branch, m.manager, m.deceased)
      IS DISTINCT FROM (n.opened_on, n.closed_on, n.branch, n.manager, n.deceased)
ORDER BY n.bucket, n.member_id
ON CONFLICT (bucket, member_id) DO UPDATE
SET opened_on = excluded.opened_on, closed_on = excluded.closed_on, branch = excluded.branch,
    manager = excluded.manager, deceased = excluded.deceased,
    end_due = CASE WHEN member.closed_on IS NOT DISTINCT FROM excluded.closed_on
              THEN member.end_due ELSE excluded.end_due END,
    welcome_due = CASE WHEN member.opened_on = excluded.opened_on THEN member.welcome_due
                       WHEN $9 IS NOT NULL THEN excluded.opened_on END
WHERE (member.opened_on, member.closed_on, member.branch, member.manager, member.deceased)
      IS DISTINCT FROM
      (excluded.opened_on, excluded.closed_on, excluded.branch, excluded.manager,
       excluded.deceased)
  AND (member.closed_on IS NULL OR member.end_due = member.closed_on + 1
       OR member.closed_on = excluded.closed_on)
RETURNING member_id
"""
NEW_PROFILES = """
INSERT INTO member_profile (bucket, member_id, reference_sealed)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bytea[])
ON CONFLICT DO NOTHING
"""
# A label's row is never changed: another end or layer is a later row, and the latest counts. The
# same said by a later version of the list is no news. Each is looked up by the primary key: a plan
# is kept that was made when there were few, and to read all of them for each takes minutes.
BY_KEY = "SET LOCAL enable_seqscan = off"
AS_PLANNED = "SET LOCAL enable_seqscan = on"
NEW_LABELS = """
INSERT INTO member_label (bucket, member_id, label, valid_from, recorded_at, valid_to, layer,
                          source_version)
SELECT n.bucket, n.member_id, n.label, n.valid_from, $8, n.valid_to, n.layer,
       nullif(n.source_version, '')
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::date[], $5::date[], $6::text[], $7::text[])
     AS n (bucket, member_id, label, valid_from, valid_to, layer, source_version)
WHERE NOT EXISTS (
    SELECT FROM (
        SELECT o.valid_to, o.layer FROM member_label AS o
        WHERE o.bucket = n.bucket AND o.member_id = n.member_id
          AND o.label = n.label AND o.valid_from = n.valid_from
        ORDER BY o.recorded_at DESC LIMIT 1) AS latest
    WHERE latest.valid_to IS NOT DISTINCT FROM n.valid_to AND latest.layer = n.layer)
RETURNING member_id, layer, label, valid_from
"""
PROFILED = """
SELECT p.member_id
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member_profile AS p ON p.bucket = k.bucket AND p.member_id = k.member_id
"""
# Whatever is recorded of a member who was merged may have left units: the sweep looks for them.
MARK = """
UPDATE member AS m
SET event_seq = k.event_seq, recorded_at = k.recorded_at,
    event_position = greatest(m.event_position, event_position()),
    end_due = CASE WHEN m.merged_into IS NULL THEN m.end_due
                   ELSE (k.recorded_at AT TIME ZONE 'UTC')::date - 1 END
FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::timestamptz[])
     AS k (bucket, member_id, event_seq, recorded_at)
WHERE m.bucket = k.bucket AND m.member_id = k.member_id
"""


def _keys(ids: Iterable[UUID]) -> tuple[list[int], list[UUID]]:
    ordered = sorted(set(ids), key=lambda id_: (bucket_of(id_), id_.int))
    return [bucket_of(id_) for id_ in ordered], ordered


async def lock(conn: Connection, ids: Iterable[UUID], *, wait: bool) -> dict[UUID, Member]:
    """Lock members and return those found; without `wait`, those somebody else holds are not."""
    found = await rows(conn, LOCK if wait else LOCK_FREE, *_keys(ids))
    return {row.member_id: Member(*row) for row in found}


async def lock_current(
    conn: Connection, ids: Iterable[UUID], *, wait: bool
) -> tuple[dict[UUID, Member], dict[UUID, UUID]]:
    """Lock members, and for those who were merged whom they count for now.

    Return those found who were not merged, and who of the ids counts for which other member; of
    those without one somebody else holds the other.
    """
    found = await lock(conn, ids, wait=wait)
    moved = {id_: one.merged_into for id_, one in found.items() if one.merged_into is not None}
    if not moved:
        return found, {}
    found |= await lock(conn, set(moved.values()) - found.keys(), wait=wait)
    now = {id_: one for id_, one in found.items() if one.merged_into is None}
    return now, {id_: into for id_, into in moved.items() if into in now}


class Held(msgspec.Struct, frozen=True):
    """Whom commands are about: those `locked`, who of them `moved` to whom, who is `busy`.

    Whoever is none of these is no member.
    """

    locked: dict[UUID, Member]
    moved: dict[UUID, UUID]
    busy: set[UUID]


async def hold(conn: Connection, ids: Iterable[UUID], *, wait: bool) -> Held:
    """Lock members, or whom they count for now, and tell strangers from those who are busy."""
    wanted = set(ids)
    locked, moved = await lock_current(conn, wanted, wait=wait)
    missing = wanted - locked.keys() - moved.keys()
    return Held(locked, moved, await existing(conn, missing) if missing else set())


async def lock_persons(
    conn: Connection, ids: Iterable[UUID], *, wait: bool
) -> tuple[dict[UUID, Member], set[UUID]]:
    """Lock members, each with the one it counts for now, if it was merged.

    What either takes counts for both (T-10). Return all those locked, and which of the ids are
    busy: somebody else holds them, or the other, which is seen without `wait` alone.
    """
    wanted = set(ids)
    found = await lock(conn, wanted, wait=wait)
    moved = {id_: one.merged_into for id_, one in found.items() if one.merged_into is not None}
    others = set(moved.values()) - found.keys()
    if others:
        found |= await lock(conn, others, wait=wait)
    return found, {id_ for id_ in wanted if id_ not in found or moved.get(id_, id_) not in found}


async def existing(conn: Connection, ids: Iterable[UUID]) -> set[UUID]:
    """Return which of the ids belong to members."""
    return {row.member_id for row in await rows(conn, EXISTING, *_keys(ids))}


async def managed(
    conn: Connection, ids: Iterable[UUID], *, branch: str, manager: str
) -> set[UUID]:
    """Return which of the ids belong to members of a branch or of a manager's book."""
    return {row.member_id for row in await rows(conn, MANAGED, *_keys(ids), branch, manager)}


async def put(
    conn: Connection,
    members: Sequence[tuple[UUID, MemberLine]],
    now: datetime,
    *,
    since: date | None = None,
) -> set[UUID]:
    """Keep members, and of those whose dates change what was said of them until `now`.

    Return those it changed.

    Who opened `since` a day may be welcome to a tier, where any programme has such (M-8). A
    relationship began no later than those of the customers who were merged into it.
    """
    began = await merged.opened(conn, [id_ for id_, _ in members])
    ordered = [
        (
            *(id_, min(line.opened_on, began.get(id_, line.opened_on)), line.closed_on),
            *(line.branch, line.manager, line.deceased),
        )
        for id_, line in sorted(members, key=lambda m: (bucket_of(m[0]), m[0]))
    ]
    columns = list(zip(*ordered, strict=True)) or [()] * 6
    buckets = [bucket_of(id_) for id_ in columns[0]]
    never = [EPOCH] * len(ordered)
    await assets.alone(conn)  # before anybody is locked
    dated = await rows(conn, DATED, buckets, *map(list, columns[:3]))
    await member_past.keep(conn, [row.member_id for row in dated], now)
    found = await rows(conn, UPSERT, buckets, *map(list, columns), never, since)
    await assets.touch(conn, [row.member_id for row in dated])
    return {row.member_id for row in found}


async def profiled(conn: Connection, ids: Iterable[UUID]) -> set[UUID]:
    """Return which members' references are kept."""
    return {row.member_id for row in await rows(conn, PROFILED, *_keys(ids))}


async def put_profiles(conn: Connection, profiles: Sequence[tuple[UUID, bytes]]) -> None:
    """Keep the sealed customer references of members who have none yet."""
    ids = [id_ for id_, _ in profiles]
    await run(conn, NEW_PROFILES, list(map(bucket_of, ids)), ids, [s for _, s in profiles])


async def put_labels(
    conn: Connection,
    labels: Sequence[tuple[UUID, Label, str]],
    now: datetime,
) -> list[tuple[UUID, str, date]]:
    """Record labels (member, label, source version) that are news.

    Return of each whose it is, its key and its first day.
    """
    await run(conn, BY_KEY)
    found = await rows(
        conn,
        NEW_LABELS,
        [bucket_of(id_) for id_, _, _ in labels],
        [id_ for id_, _, _ in labels],
        [label.name for _, label, _ in labels],
        [label.from_ for _, label, _ in labels],
        [label.to for _, label, _ in labels],
        [label.layer.value for _, label, _ in labels],
        [version for _, _, version in labels],
        now,
    )
    await run(conn, AS_PLANNED)
    return [
        (row.member_id, label_key(Layer(row.layer), row.label), row.valid_from) for row in found
    ]


async def mark(writer: Writer, marks: Sequence[tuple[UUID, int, datetime]]) -> None:
    """Store each member's last event number and the instant of what was recorded last."""
    ids = [id_ for id_, _, _ in marks]
    await write(
        writer,
        MARK,
        list(map(bucket_of, ids)),
        ids,
        [seq for _, seq, _ in marks],
        [at for _, _, at in marks],
    )
