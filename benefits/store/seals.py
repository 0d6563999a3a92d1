"""The log of all batches: leaves in the order of events, nodes of their tree, checkpoints.

A batch becomes a leaf once it stands below the oldest open write (`store/feed.py`): nothing can
appear there any more, so what is sealed has no gap. That it is sealed stands in its leaf; a batch
without one is unsealed, wherever it stands. The sealer goes on at the position of the last leaf.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain import seals
from benefits.domain.merkle import Frontier, Kept, edge
from benefits.domain.seals import Kind, Row
from benefits.store.db import Connection, rows, run
from benefits.store.feed import BEGINNING, BOUND, EventsUnordered

# `domain/seals.py` in SQL: how a value's bytes are made, behind its length.
_BYTES: Mapping[Kind, str] = {
    "text": "int4send(octet_length(convert_to({0}, 'UTF8'))) || convert_to({0}, 'UTF8')",
    "json": (
        "int4send(octet_length(convert_to({0}::text, 'UTF8'))) || convert_to({0}::text, 'UTF8')"
    ),
    "uuid": "'\\x00000010'::bytea || uuid_send({0})",
    "int2": "'\\x00000002'::bytea || int2send({0})",
    "int8": "'\\x00000008'::bytea || int8send({0})",
    "xid8": "'\\x00000008'::bytea || xid8send({0})",
    "instant": "'\\x00000008'::bytea || timestamptz_send({0})",
    "date": "'\\x00000004'::bytea || date_send({0})",
}


def canonical(alias: str, columns: Iterable[tuple[str, Kind]]) -> str:
    """Return SQL for the bytes of a row, each of the columns behind its length."""
    return " || ".join(
        f"coalesce({_BYTES[kind].format(f'{alias}.{name}')}, '\\xffffffff'::bytea)"
        for name, kind in columns
    )


_FORM = f"'\\x{len(seals.FORM):08x}{seals.FORM.encode().hex()}'::bytea"
BATCH_BYTES = f"{_FORM} || {canonical('b', seals.BATCH)} || {canonical('e', seals.EVENT)}"
POSTING_BYTES = f"string_agg({canonical('p', seals.POSTING)}, ''::bytea ORDER BY p.line)"
# The zero byte is the leaf's (RFC 6962).
DIGEST = "sha256('\\x00'::bytea || {0} || int4send(coalesce({1}, 0)::int) || coalesce({2}, ''))"

LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('benefits.seal'))"
LAST = "SELECT leaf_index FROM leaf ORDER BY leaf_index DESC LIMIT 1"
# Where the last leaf's event stands; if it is gone, before all that have its position.
LAST_PLACE = """
SELECT l.leaf_index, l.position, coalesce(e.bucket, 0) AS bucket,
       coalesce(e.member_id, '00000000-0000-0000-0000-000000000000'::uuid) AS member_id,
       coalesce(e.seq, 0) AS seq
FROM (SELECT f.* FROM leaf AS f ORDER BY f.leaf_index DESC LIMIT 1) AS l
LEFT JOIN outbox AS e
  ON e.position = l.position AND e.bucket = l.bucket AND e.batch_id = l.batch_id
ORDER BY e.seq LIMIT 1
"""
# ix_outbox_position_bucket_member_id_seq
NEXT = """
SELECT e.position, e.bucket, e.member_id, e.seq, e.batch_id FROM outbox AS e
WHERE (e.position, e.bucket, e.member_id, e.seq)
      > ($1::bigint, $2::smallint, $3::uuid, $4::bigint)
  AND e.position < $5 AND e.batch_id IS NOT NULL
ORDER BY e.position, e.bucket, e.member_id, e.seq LIMIT $6
"""
# Whatever is twice in the outbox is once in the log, with the first; an event whose batch is gone
# is passed by, for `verify` to name.
# OFFSET 0: an event is found by its whole primary key. As a join it was looked for among all of
# its bucket.
SEAL = f"""
INSERT INTO leaf (leaf_index, bucket, batch_id, position, digest)
SELECT $1 - 1 + row_number() OVER (ORDER BY k.place), k.bucket, k.batch_id, e.position,
       {DIGEST.format(BATCH_BYTES, "q.count", "q.lines")}
FROM (SELECT DISTINCT ON (n.bucket, n.batch_id) n.*
      FROM unnest($2::smallint[], $3::uuid[], $4::bigint[], $5::uuid[]) WITH ORDINALITY
           AS n (bucket, member_id, seq, batch_id, place)
      ORDER BY n.bucket, n.batch_id, n.place) AS k
JOIN batch AS b ON b.bucket = k.bucket AND b.batch_id = k.batch_id
CROSS JOIN LATERAL (
    SELECT o.* FROM outbox AS o
    WHERE o.bucket = k.bucket AND o.member_id = k.member_id AND o.seq = k.seq OFFSET 0) AS e
CROSS JOIN LATERAL (
    SELECT count(*) AS count, {POSTING_BYTES} AS lines FROM posting AS p
    WHERE p.bucket = b.bucket AND p.batch_id = b.batch_id) AS q
WHERE NOT EXISTS (
    SELECT FROM leaf AS l WHERE l.bucket = k.bucket AND l.batch_id = k.batch_id)
RETURNING leaf_index, digest
"""
INSERT_NODES = """
INSERT INTO tree_node (level, node_index, digest)
SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
"""
READ_LEAVES = """
SELECT l.leaf_index AS place, l.digest FROM leaf AS l
WHERE l.leaf_index >= $1 AND l.leaf_index < $2 ORDER BY l.leaf_index
"""
READ_NODES = """
SELECT n.level, n.node_index AS place, n.digest
FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS k (level, first, beyond)
JOIN tree_node AS n ON n.level = k.level AND n.node_index >= k.first AND n.node_index < k.beyond
"""
LAST_CHECKPOINT = """
SELECT c.size, c.signed_at, c.root, c.note FROM checkpoint AS c ORDER BY c.size DESC LIMIT 1
"""
INSERT_CHECKPOINT = """
INSERT INTO checkpoint (size, root, signed_at, key_id, note) VALUES ($1, $2, $3, $4, $5)
"""
# Oldest first; almost all that are there have left.
UNEXPORTED = """
SELECT c.size, c.note FROM checkpoint AS c
WHERE c.size > coalesce((SELECT max(x.size) FROM checkpoint_export AS x), -1)
ORDER BY c.size LIMIT $1
"""
INSERT_EXPORT = """
INSERT INTO checkpoint_export (size, exported_at) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""
NOTE_OVER = "SELECT c.note FROM checkpoint AS c WHERE c.size > $1 ORDER BY c.size DESC LIMIT 1"
NOTE_OF = "SELECT c.note FROM checkpoint AS c WHERE c.size = $1"
FIND_LEAF = """
SELECT l.leaf_index, l.bucket, l.digest FROM leaf AS l
WHERE l.bucket BETWEEN 0 AND 1023 AND l.batch_id = $1
"""


_SHOWN: Mapping[Kind, str] = {"xid8": "::text::bigint AS {0}", "json": "::text AS {0}"}


def selected(alias: str, columns: Iterable[tuple[str, Kind]]) -> str:
    """Return SQL for the columns of a row as Python takes them."""
    return ", ".join(
        f"{alias}.{name}" + _SHOWN.get(kind, "").format(name) for name, kind in columns
    )


READ_BATCH = f"""
SELECT {selected("b", seals.BATCH)} FROM batch AS b WHERE b.bucket = $1 AND b.batch_id = $2
"""
# ix_outbox_position_bucket_member_id_seq
READ_EVENT = f"""
SELECT {selected("e", seals.EVENT)} FROM leaf AS l
JOIN outbox AS e ON e.position = l.position AND e.bucket = l.bucket AND e.batch_id = l.batch_id
WHERE l.bucket = $1 AND l.batch_id = $2 ORDER BY e.seq LIMIT 1
"""
READ_POSTINGS = f"""
SELECT {selected("p", seals.POSTING)} FROM posting AS p
WHERE p.bucket = $1 AND p.batch_id = $2 ORDER BY p.line
"""


class Leaf(msgspec.Struct, frozen=True):
    """Where a batch stands in the log."""

    index: int
    bucket: int
    digest: bytes


class Signed(msgspec.Struct, frozen=True):
    """A checkpoint that was signed."""

    size: int
    at: datetime
    root: bytes
    note: str


async def lease(conn: Connection) -> bool:
    """Be the one sealer until the transaction ends; False when another is."""
    ((taken,),) = await rows(conn, LOCK)
    return bool(taken)


async def size(conn: Connection) -> int:
    """Return how many batches are sealed."""
    found = await rows(conn, LAST)
    return found[0].leaf_index + 1 if found else 0


async def seal(conn: Connection, limit: int) -> int:
    """Seal up to `limit` batches that nothing can come before; return how many.

    EventsUnordered while a restored database is not set right. The lease must be held.
    """
    ((_, below, ahead),) = await rows(conn, BOUND)
    if ahead:
        raise EventsUnordered
    last = await rows(conn, LAST_PLACE)
    before, *place = last[0] if last else (-1, *BEGINNING)
    before += 1
    while page := await rows(conn, NEXT, *place, below, limit):
        _, *columns = (list(column) for column in zip(*page, strict=True))
        made = sorted(tuple(r) for r in await rows(conn, SEAL, before, *columns))
        if made:
            await _add_nodes(conn, before, [digest for _, digest in made])
            return len(made)
        place = list(page[-1][:4])  # nothing to seal in all of them
    return 0


async def _add_nodes(conn: Connection, before: int, digests: Sequence[bytes]) -> None:
    """Keep the nodes that are complete with some leaves behind the first `before` ones."""
    tree = await frontier(conn, before)
    nodes = [node for digest in digests for node in tree.push(digest)]
    if nodes:
        await run(conn, INSERT_NODES, *map(list, zip(*nodes, strict=True)))


async def read_kept(conn: Connection, wanted: Iterable[tuple[int, int, int]]) -> Kept:
    """Return the digests of leaves and kept nodes of some ranges (level, first, beyond)."""
    ranges = sorted(set(wanted))
    kept = dict[tuple[int, int], bytes]()
    for level, first, beyond in ranges:
        if level == 0:
            found = await rows(conn, READ_LEAVES, first, beyond)
            kept |= {(0, row.place): row.digest for row in found}
    above = [each for each in ranges if each[0]]
    if above:
        found = await rows(conn, READ_NODES, *map(list, zip(*above, strict=True)))
        kept |= {(row.level, row.place): row.digest for row in found}
    return kept


async def frontier(conn: Connection, count: int) -> Frontier:
    """Return the right edge of the tree over the first `count` leaves."""
    ranges = list(edge(count))
    kept = await read_kept(conn, ranges)
    tree = Frontier()
    for level, first, beyond in ranges:
        for place in range(first, beyond):
            tree.push(kept[level, place], level)
    return tree


async def root_at(conn: Connection, count: int) -> bytes | None:
    """Return the root over the first `count` leaves; None when some of them are gone."""
    try:
        return (await frontier(conn, count)).root()
    except KeyError:
        return None


async def last_checkpoint(conn: Connection) -> Signed | None:
    """Return the newest checkpoint, if there is one."""
    found = await rows(conn, LAST_CHECKPOINT)
    return Signed(*found[0]) if found else None


async def add_checkpoint(
    conn: Connection, root: tuple[int, bytes], at: datetime, *, key_id: str, note: str
) -> None:
    """Keep a signed checkpoint of a size and root."""
    await run(conn, INSERT_CHECKPOINT, *root, at, key_id, note)


async def unexported(conn: Connection, limit: int) -> list[tuple[int, str]]:
    """Return size and note of checkpoints that have not left the database, oldest first."""
    return [(row.size, row.note) for row in await rows(conn, UNEXPORTED, limit)]


async def add_export(conn: Connection, checkpoint: int, at: datetime) -> None:
    """Keep that the checkpoint of a size left the database."""
    await run(conn, INSERT_EXPORT, checkpoint, at)


async def note_over(conn: Connection, index: int) -> str | None:
    """Return the newest signed checkpoint that covers a leaf, if there is one."""
    found = await rows(conn, NOTE_OVER, index)
    return found[0].note if found else None


async def note_of(conn: Connection, checkpoint: int) -> str | None:
    """Return the signed checkpoint of a size, if there is one."""
    found = await rows(conn, NOTE_OF, checkpoint)
    return found[0].note if found else None


async def find_leaf(conn: Connection, batch_id: UUID) -> Leaf | None:
    """Return where a batch stands in the log; None when it is not sealed."""
    found = await rows(conn, FIND_LEAF, batch_id)
    return Leaf(found[0].leaf_index, found[0].bucket, found[0].digest) if found else None


async def read_batch(
    conn: Connection, bucket: int, batch_id: UUID
) -> tuple[Row, Row, Sequence[Row]] | None:
    """Return every column of a sealed batch, its event and its postings; None when it is gone."""
    batches = await rows(conn, READ_BATCH, bucket, batch_id)
    events = await rows(conn, READ_EVENT, bucket, batch_id)
    if not batches or not events:
        return None
    lines = await rows(conn, READ_POSTINGS, bucket, batch_id)
    return (
        _named(seals.BATCH, batches[0]),
        _named(seals.EVENT, events[0]),
        [_named(seals.POSTING, line) for line in lines],
    )


def _named(columns: Iterable[tuple[str, Kind]], row: Iterable[Any]) -> Row:
    return dict(zip([name for name, _ in columns], row, strict=True))
