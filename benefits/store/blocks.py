"""What members are blocked from, and the ends two people put to it (E-6)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from benefits.domain.blocks import Block, Scope, Why, stop_units
from benefits.domain.values import bucket_of
from benefits.store import merged
from benefits.store.db import Connection, rows, run
from benefits.store.merged import bucket_in

_COLUMNS = """b.member_id, b.block_id, b.scope, b.target, b.why, b.from_at,
       least(b.to_at, e.ended_at) AS until"""
_ENDED = """LEFT JOIN member_block_end AS e
  ON e.bucket = b.bucket AND e.member_id = b.member_id AND e.block_id = b.block_id"""
# Primary keys.
OF = f"""
SELECT {_COLUMNS}
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member_block AS b ON b.bucket = k.bucket AND b.member_id = k.member_id
{_ENDED}
"""
ONE = f"""
SELECT {_COLUMNS} FROM member_block AS b {_ENDED}
WHERE b.bucket BETWEEN 0 AND 1023 AND b.block_id = $1
"""
PUT = """
INSERT INTO member_block (bucket, member_id, block_id, scope, target, why, from_at, to_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
MARK = """
UPDATE member AS m SET has_blocks = true
WHERE m.bucket = $1 AND m.member_id = $2 AND NOT m.has_blocks
"""
END = """
INSERT INTO member_block_end (bucket, member_id, block_id, proposal_id, ended_at)
VALUES ($1, $2, $3, $4, $5)
"""
OVER = f"""
SELECT {_COLUMNS}, e.ended_at IS NOT NULL AS is_told FROM member_block AS b {_ENDED}
LEFT JOIN member_block_over AS o
  ON o.bucket = b.bucket AND o.member_id = b.member_id AND o.block_id = b.block_id
WHERE b.bucket BETWEEN $1 AND $2 AND o.block_id IS NULL AND least(b.to_at, e.ended_at) <= $3
ORDER BY b.bucket, b.member_id, b.block_id LIMIT $4
"""
NOTE = """
INSERT INTO member_block_over (bucket, member_id, block_id, noted_at)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::timestamptz[])
"""
# Primary key.
MARKED = """
SELECT m.member_id, m.has_blocks, m.has_merged
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member AS m ON m.bucket = k.bucket AND m.member_id = k.member_id
WHERE m.has_blocks
"""
# Blocks and ends beside the proposals that two people agreed on.
DIFFERING = f"""
SELECT coalesce(b.block_id, a.proposal_id)::text AS subject,
       format('block %s %s %s %s, agreed %s', b.scope, b.target, b.why, b.to_at, a.body) AS detail
FROM (SELECT * FROM member_block WHERE bucket BETWEEN 0 AND 1023) AS b
FULL JOIN (SELECT p.proposal_id, p.body, p.effect, d.decided_at FROM proposal_decision AS d
           JOIN proposal AS p ON p.proposal_id = d.proposal_id
           WHERE p.kind = 'BLOCK' AND d.verdict = 'APPROVED') AS a ON a.proposal_id = b.block_id
WHERE (b.member_id::text, b.scope, b.target, b.why, b.to_at, b.from_at) IS DISTINCT FROM
      (a.effect ->> 'member_id', a.body ->> 'scope', a.body ->> 'target', a.body ->> 'why',
       (a.body ->> 'to_at')::timestamptz,
       greatest((a.body ->> 'from_at')::timestamptz, a.decided_at))
UNION ALL
SELECT coalesce(e.block_id::text, a.body ->> 'block_id'),
       format('ended %s, agreed %s', e.ended_at, a.decided_at)
FROM (SELECT * FROM member_block_end WHERE bucket BETWEEN 0 AND 1023) AS e
FULL JOIN (SELECT p.proposal_id, p.body, d.decided_at FROM proposal_decision AS d
           JOIN proposal AS p ON p.proposal_id = d.proposal_id
           WHERE p.kind = 'UNBLOCK' AND d.verdict = 'APPROVED') AS a
  ON a.proposal_id = e.proposal_id
WHERE (e.block_id::text, e.ended_at) IS DISTINCT FROM (a.body ->> 'block_id', a.decided_at)
UNION ALL
SELECT m.member_id::text, 'is not marked as blocked' FROM member_block AS b
JOIN member AS o ON o.bucket = b.bucket AND o.member_id = b.member_id
JOIN member AS m ON m.bucket = {bucket_in("coalesce(o.merged_into, o.member_id)")}
 AND m.member_id = coalesce(o.merged_into, o.member_id)
WHERE b.bucket BETWEEN 0 AND 1023 AND NOT m.has_blocks
"""


class Marked(Protocol):
    """A member, who is marked where there are blocks or mergers to ask for."""

    @property
    def member_id(self) -> UUID:
        """The member's id."""

    @property
    def has_blocks(self) -> bool:
        """Whether there ever was a block."""

    @property
    def has_merged(self) -> bool:
        """Whether others were merged into this one."""


class Held(msgspec.Struct, frozen=True):
    """A block, and the member it was put on."""

    member_id: UUID
    block: Block


async def of(conn: Connection, some: Iterable[Marked]) -> dict[UUID, list[Block]]:
    """Return the blocks of members, by the member who is stopped; asks only where there are any.

    What stopped whoever was merged into a member stops that member.
    """
    marked = [one for one in some if one.has_blocks]
    if not marked:
        return {}
    into = await merged.along(conn, [one.member_id for one in marked if one.has_merged])
    ids = [*(one.member_id for one in marked), *into]
    found = dict[UUID, list[Block]]()
    for row in await rows(conn, OF, [bucket_of(id_) for id_ in ids], ids):
        found.setdefault(into.get(row.member_id, row.member_id), []).append(_block(row))
    return found


async def frozen(conn: Connection, ids: Iterable[UUID], at: datetime) -> set[UUID]:
    """Return those of the members to whom tiers and segments bring nothing at an instant."""
    ordered = sorted(set(ids))
    marked = await rows(conn, MARKED, [bucket_of(id_) for id_ in ordered], ordered)
    found = await of(conn, marked)
    return {id_ for id_, some in found.items() if stop_units(some, at)}


class Over(Held, frozen=True):
    """A block that is over; whether two people ended it, which was told then."""

    is_told: bool


async def over(
    conn: Connection, buckets: tuple[int, int], now: datetime, limit: int
) -> list[Over]:
    """Return blocks that are over, and were not noted as such."""
    found = await rows(conn, OVER, *buckets, now, limit)
    return [Over(row.member_id, _block(row), row.is_told) for row in found]


async def note(conn: Connection, some: Iterable[Held], now: datetime) -> None:
    """Note that blocks are over; their members are locked."""
    each = list(some)
    await run(
        conn,
        NOTE,
        [bucket_of(one.member_id) for one in each],
        [one.member_id for one in each],
        [one.block.block_id for one in each],
        [now] * len(each),
    )


async def one(conn: Connection, block_id: UUID) -> Held | None:
    """Return a block by its id: that of its proposal."""
    found = await rows(conn, ONE, block_id)
    return Held(found[0].member_id, _block(found[0])) if found else None


async def put(conn: Connection, member_id: UUID, block: Block) -> None:
    """Keep a block; the member is locked."""
    bucket = bucket_of(member_id)
    what = (block.block_id, block.scope.value, block.target, block.why.value)
    await run(conn, PUT, bucket, member_id, *what, block.from_at, block.until)
    await run(conn, MARK, bucket, member_id)


async def end(conn: Connection, held: Held, proposal_id: UUID, now: datetime) -> None:
    """Keep that a block ends now; the member is locked."""
    bucket = bucket_of(held.member_id)
    await run(conn, END, bucket, held.member_id, held.block.block_id, proposal_id, now)


async def differing(conn: Connection) -> list[tuple[str, str]]:
    """Return blocks and ends that are not what two people agreed on, or the other way round."""
    return [(row.subject, row.detail) for row in await rows(conn, DIFFERING)]


def _block(row: Any) -> Block:
    return Block(
        block_id=row.block_id,
        scope=Scope(row.scope),
        target=row.target,
        why=Why(row.why),
        from_at=row.from_at,
        until=row.until,
    )
