"""Claims that wait for room, in the order of their numbers; and what is shown of them.

Whoever writes a row holds the member, and the counter of its queue where it has one: so numbers
are given in the order of commits.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.values import EPOCH, bucket_of
from benefits.domain.waits import FEW, Reason
from benefits.store.db import Connection, Writer, rows, write

PUT = """
INSERT INTO wait (bucket, wait_id, member_id, programme, benefit, quantity, limit_code, limit_of,
                  queue, number, body_sealed, ends_at, next_at, begun_at)
SELECT n.*, $14 FROM unnest(
    $1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::int[], $7::text[],
    $8::text[], $9::text[], $10::bigint[], $11::bytea[], $12::timestamptz[], $13::timestamptz[]
) AS n
"""
MOVE = """
UPDATE wait AS w SET limit_code = k.limit_code, limit_of = k.limit_of, queue = k.queue,
    number = k.number, next_at = k.next_at
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[],
            $7::timestamptz[]) AS k (bucket, wait_id, limit_code, limit_of, queue, number, next_at)
WHERE w.bucket = k.bucket AND w.wait_id = k.wait_id
"""
END = """
UPDATE wait AS w SET ended_at = $6, reason = k.reason, refusal = k.refusal, claim_id = k.claim_id,
    next_at = NULL, body_sealed = NULL
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::uuid[])
     AS k (bucket, wait_id, reason, refusal, claim_id)
WHERE w.bucket = k.bucket AND w.wait_id = k.wait_id
"""
# uq_wait_open
OPEN = """
SELECT w.member_id, w.benefit FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN wait AS w ON w.bucket = k.bucket AND w.member_id = k.member_id AND w.ended_at IS NULL
"""
# ix_wait_next_at
DUE = """
SELECT w.member_id, w.wait_id, coalesce(w.ends_at <= $3, false) AS is_over FROM wait AS w
WHERE w.bucket + 0 BETWEEN $1 AND $2 AND w.next_at <= $3 AND w.ended_at IS NULL
ORDER BY w.next_at, w.wait_id LIMIT $4
"""
# ix_counter_queue, then ix_wait_queue: the first of each queue in which anybody waits.
HEADS = """
SELECT c.counter AS queue, w.benefit, w.quantity, w.limit_code, w.limit_of,
       coalesce(m.merged_into, m.member_id) AS member_id
FROM counter AS c
CROSS JOIN LATERAL (
    SELECT * FROM wait AS o
    WHERE o.bucket BETWEEN 0 AND 1023 AND o.queue = c.counter AND o.ended_at IS NULL
    ORDER BY o.number LIMIT 1) AS w
JOIN member AS m ON m.bucket = w.bucket AND m.member_id = w.member_id
WHERE c."window" = 'queue' AND c.slice = 0 AND c.reserved > 0
ORDER BY c.counter
"""
# ix_wait_queue
LEADING = """
SELECT q.queue, w.wait_id FROM unnest($1::text[]) AS q (queue)
CROSS JOIN LATERAL (
    SELECT o.wait_id FROM wait AS o
    WHERE o.bucket BETWEEN 0 AND 1023 AND o.queue = q.queue AND o.ended_at IS NULL
    ORDER BY o.number LIMIT 1) AS w
"""
# ix_wait_queue
WANTED = """
SELECT q.queue, (SELECT coalesce(sum(o.quantity), 0) FROM wait AS o
                 WHERE o.bucket BETWEEN 0 AND 1023 AND o.queue = q.queue
                   AND o.ended_at IS NULL)::bigint AS pieces
FROM unnest($1::text[]) AS q (queue)
"""
FIRST = """
SELECT w.member_id, w.wait_id FROM wait AS w
WHERE w.bucket BETWEEN 0 AND 1023 AND w.queue = $1 AND w.ended_at IS NULL
ORDER BY w.number LIMIT $2
"""
# Primary key: as they stand once their members are held.
STILL = """
SELECT w.wait_id, w.member_id, w.programme, w.benefit, w.quantity, w.queue, w.body_sealed,
       w.ends_at
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, wait_id)
JOIN wait AS w ON w.bucket = k.bucket AND w.wait_id = k.wait_id
WHERE w.ended_at IS NULL
ORDER BY w.queue, w.number, w.next_at, w.wait_id
"""
FIND = "SELECT w.member_id FROM wait AS w WHERE w.bucket = $1 AND w.wait_id = $2"
# As `WaitSeen` has it; of those before it no more are counted than are told apart.
_SEEN = f"""w.wait_id, w.member_id, w.programme, w.benefit, w.quantity, w.limit_code, w.begun_at,
       w.ends_at, w.ended_at, w.reason, w.refusal, w.claim_id,
       CASE WHEN w.ended_at IS NULL AND w.queue <> '' THEN (
           SELECT count(*) FROM (
               SELECT FROM wait AS o
               WHERE o.bucket BETWEEN 0 AND 1023 AND o.queue = w.queue
                 AND o.ended_at IS NULL AND o.number < w.number
               LIMIT {FEW + 1}) AS before)
       ELSE 0 END AS ahead"""
# ix_wait_bucket_member_id_wait_id, backwards.
OF_MEMBERS = f"""
SELECT {_SEEN} FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN wait AS w ON w.bucket = k.bucket AND w.member_id = k.member_id
WHERE w.wait_id < $3 AND (w.ended_at IS NULL OR NOT $5)
ORDER BY w.wait_id DESC LIMIT $4
"""
# ix_wait_open
LISTED = f"""
SELECT {_SEEN} FROM wait AS w
WHERE w.bucket BETWEEN 0 AND 1023 AND w.ended_at IS NULL
  AND (w.begun_at, w.wait_id) > ($1, $2) AND ($3::text = '' OR w.benefit = $3)
ORDER BY w.begun_at, w.wait_id LIMIT $4
"""
# How many wait in each queue, for `verify`.
QUEUES = """
SELECT w.queue, count(*)::bigint AS waits FROM wait AS w
WHERE w.bucket BETWEEN 0 AND 1023 AND w.queue <> '' AND w.ended_at IS NULL GROUP BY w.queue
"""


LAST = UUID(int=2**128 - 1)  # after every id


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """Where a claim waits: at which limit, as whose room, as which of its queue."""

    limit: str
    of: str
    queue: str
    number: int
    next_at: datetime | None


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A claim that begins to wait."""

    wait_id: UUID
    member_id: UUID
    programme: str
    benefit: str
    quantity: int
    spot: Spot
    body_sealed: bytes
    ends_at: datetime | None


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """One that waits, its columns in the statement's order."""

    wait_id: UUID
    member_id: UUID
    programme: str
    benefit: str
    quantity: int
    queue: str
    body_sealed: bytes
    ends_at: datetime | None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How one ended: by which claim, or refused by which code."""

    wait: Pending
    reason: Reason
    refusal: str = ""
    claim_id: UUID | None = None


class Head(msgspec.Struct, frozen=True, array_like=True):
    """A queue and the first in it: how many pieces of what they wait for, where, and who.

    Whoever was merged waits for the member who goes on.
    """

    queue: str
    benefit: str
    quantity: int
    limit: str
    of: str
    member_id: UUID


class WaitSeen(msgspec.Struct, frozen=True, array_like=True):
    """A wait as it is shown, in the order of the statement; `ahead` counts no further than few."""

    wait_id: UUID
    member_id: UUID
    programme: str
    benefit: str
    quantity: int
    limit: str
    begun_at: datetime
    ends_at: datetime | None
    ended_at: datetime | None
    reason: str
    refusal: str
    claim_id: UUID | None
    ahead: int


async def put(writer: Writer, new: Sequence[New], now: datetime) -> None:
    """Let claims wait."""
    if not new:
        return
    columns = (
        [bucket_of(one.member_id) for one in new],
        [one.wait_id for one in new],
        [one.member_id for one in new],
        [one.programme for one in new],
        [one.benefit for one in new],
        [one.quantity for one in new],
        *_columns([one.spot for one in new]),
        [one.body_sealed for one in new],
        [one.ends_at for one in new],
        [one.spot.next_at for one in new],
    )
    await write(writer, PUT, *columns, now)


async def move(writer: Writer, moved: Sequence[tuple[UUID, Spot]]) -> None:
    """Write down where claims wait on."""
    if not moved:
        return
    ids = [id_ for id_, _ in moved]
    spots = [spot for _, spot in moved]
    next_at = [spot.next_at for spot in spots]
    await write(writer, MOVE, list(map(bucket_of, ids)), ids, *_columns(spots), next_at)


def _columns(spots: Sequence[Spot]) -> tuple[list[Any], ...]:
    return (
        [spot.limit for spot in spots],
        [spot.of for spot in spots],
        [spot.queue for spot in spots],
        [spot.number for spot in spots],
    )


async def end(writer: Writer, ended: Sequence[Ended], now: datetime) -> None:
    """End waits, and forget what was asked."""
    ids = [one.wait.wait_id for one in ended]
    columns = (
        list(map(bucket_of, ids)),
        ids,
        [one.reason.value for one in ended],
        [one.refusal for one in ended],
        [one.claim_id for one in ended],
    )
    await write(writer, END, *columns, now)


async def waiting(conn: Connection, members: Collection[UUID]) -> set[tuple[UUID, str]]:
    """Return for which benefits claims of members wait, as (member, benefit)."""
    ids = list(members)
    return {(r.member_id, r.benefit) for r in await rows(conn, OPEN, _buckets(ids), ids)}


async def due(
    conn: Connection, buckets: tuple[int, int], now: datetime, limit: int
) -> list[tuple[UUID, UUID, bool]]:
    """Return (member, wait, whether its time is over) of waits to be looked at, earliest first."""
    return [tuple(row) for row in await rows(conn, DUE, *buckets, now, limit)]


async def heads(conn: Connection) -> list[Head]:
    """Return the queues in which anybody waits, each with its first."""
    return [Head(*row) for row in await rows(conn, HEADS)]


async def leading(conn: Connection, queues: Collection[str]) -> dict[str, UUID]:
    """Return the first wait of each of some queues in which anybody waits."""
    return {row.queue: row.wait_id for row in await rows(conn, LEADING, list(queues))}


async def wanted(conn: Connection, queues: Collection[str]) -> dict[str, int]:
    """Return how many pieces those want together who wait in each of some queues."""
    return {row.queue: row.pieces for row in await rows(conn, WANTED, sorted(queues))}


async def first(conn: Connection, queue: str, limit: int) -> list[tuple[UUID, UUID]]:
    """Return (member, wait) of the first in a queue, in its order."""
    return [(row.member_id, row.wait_id) for row in await rows(conn, FIRST, queue, limit)]


async def still(conn: Connection, ids: Sequence[UUID]) -> list[Pending]:
    """Return those of some waits that have not ended, in the order of their numbers."""
    if not ids:
        return []
    return [Pending(*row) for row in await rows(conn, STILL, _buckets(ids), list(ids))]


async def member_of(conn: Connection, wait_id: UUID) -> UUID | None:
    """Return whose a wait is; None where there is none of this id."""
    found = await rows(conn, FIND, bucket_of(wait_id), wait_id)
    return found[0].member_id if found else None


async def of_members(
    conn: Connection, members: Collection[UUID], before: UUID, limit: int, *, only_open: bool
) -> list[WaitSeen]:
    """Return waits of members, the latest first, of those before one."""
    ids = list(members)
    found = await rows(conn, OF_MEMBERS, _buckets(ids), ids, before, limit, only_open)
    return [WaitSeen(*row) for row in found]


async def listed(
    conn: Connection, after: tuple[datetime, UUID] | None, benefit: str, limit: int
) -> list[WaitSeen]:
    """Return who waits for a benefit, or for any, the longest waiting first, after one of them."""
    found = await rows(conn, LISTED, *(after or (EPOCH, UUID(int=0))), benefit, limit)
    return [WaitSeen(*row) for row in found]


async def queues(conn: Connection) -> dict[str, int]:
    """Return how many wait in each queue where any do."""
    return {row.queue: row.waits for row in await rows(conn, QUEUES)}


def _buckets(ids: Sequence[UUID]) -> list[int]:
    return list(map(bucket_of, ids))
