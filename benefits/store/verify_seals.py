"""The log, checked anew: leaves against the batches, the tree against its leaves.

Both read everything once. `docs/operations/findings.md` lists the findings.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from benefits.domain.merkle import LEVELS, Frontier
from benefits.store.carried import STEADY, is_away
from benefits.store.db import Connection, Database, rows, run
from benefits.store.seals import BATCH_BYTES, DIGEST, POSTING_BYTES

CHUNK = 65_536
# Of batches without a leaf, those are to be that the sealer has not come to: their event stands
# at or behind the last leaf. Those of archived months are in files.
LEAVES = f"""
WITH lines AS (
    SELECT p.bucket, p.batch_id, count(*) AS count, {POSTING_BYTES} AS lines
    FROM posting AS p WHERE p.bucket BETWEEN $1 AND $2 GROUP BY p.bucket, p.batch_id),
made AS (
    SELECT b.bucket, b.batch_id, e.position,
           {DIGEST.format(BATCH_BYTES, "n.count", "n.lines")} AS digest
    FROM batch AS b
    LEFT JOIN outbox AS e ON e.bucket = b.bucket AND e.batch_id = b.batch_id
         AND e.member_id = b.member_id AND e.bucket BETWEEN $1 AND $2
    LEFT JOIN lines AS n ON n.bucket = b.bucket AND n.batch_id = b.batch_id
    WHERE b.bucket BETWEEN $1 AND $2),
differing AS MATERIALIZED (
    SELECT coalesce(m.bucket, l.bucket) AS bucket, coalesce(m.batch_id, l.batch_id) AS batch_id,
           l.leaf_index, m.batch_id IS NULL AS gone, l.again
    FROM made AS m
    FULL JOIN (
        SELECT f.*, f.batch_id IS NOT DISTINCT FROM lag(f.batch_id) OVER (
                   ORDER BY f.bucket, f.batch_id) AS again
        FROM leaf AS f WHERE f.bucket BETWEEN $1 AND $2) AS l
      ON l.bucket = m.bucket AND l.batch_id = m.batch_id
    WHERE m.digest IS DISTINCT FROM l.digest OR m.position IS DISTINCT FROM l.position OR l.again)
SELECT CASE WHEN d.again THEN 'sealed_twice' WHEN d.gone THEN 'leaf_without_batch'
       WHEN d.leaf_index IS NULL THEN 'batch_unsealed'
       ELSE 'seal_differs' END AS kind, d.batch_id, d.leaf_index
FROM differing AS d
WHERE NOT (d.gone AND NOT coalesce(d.again, false) AND {is_away("d.batch_id")})
  AND (d.leaf_index IS NOT NULL OR NOT EXISTS (
    SELECT FROM outbox AS e
    WHERE e.bucket = d.bucket AND e.batch_id = d.batch_id AND e.position >= coalesce(
        (SELECT f.position FROM leaf AS f ORDER BY f.leaf_index DESC LIMIT 1), -1)))
ORDER BY d.leaf_index NULLS LAST, d.batch_id
"""
DIGESTS = """
SELECT count(*) AS count, string_agg(l.digest, ''::bytea ORDER BY l.leaf_index) AS digests
FROM leaf AS l WHERE l.leaf_index >= $1 AND l.leaf_index < $2
"""
EXTENT = """
SELECT count(*) AS count, coalesce(max(leaf_index) + 1, 0) AS beyond, coalesce(min(leaf_index), 0)
       AS first FROM leaf
"""
# The nodes that are complete with one of these leaves.
NODES = """
SELECT n.level, n.node_index, n.digest
FROM unnest($3::smallint[]) AS v (level)
JOIN tree_node AS n ON n.level = v.level AND n.node_index >= ($1 >> v.level::int)
  AND n.node_index <= ($2 >> v.level::int)
"""
BEYOND = """
SELECT n.level, n.node_index FROM tree_node AS n
WHERE ((n.node_index + 1) << n.level::int) > $1 ORDER BY 1, 2
"""
CHECKPOINTS = """
SELECT c.size, c.root, c.signed_at, c.key_id, c.note FROM checkpoint AS c
WHERE c.size > $1 AND c.size <= $2 ORDER BY c.size
"""
CHECKPOINTS_BEYOND = "SELECT c.size FROM checkpoint AS c WHERE c.size > $1 ORDER BY c.size"


class Root(msgspec.Struct, frozen=True):
    """The root of the tree at a size."""

    size: int
    digest: bytes


class Kept(msgspec.Struct, frozen=True):
    """A checkpoint as the database has it."""

    size: int
    root: bytes
    key_id: str
    note: str


class Broken(msgspec.Struct, frozen=True):
    """Something about the tree that is not as its leaves say; `size` is how many hold."""

    size: int
    subject: str
    detail: str


async def leaves(
    database: Database, buckets: tuple[int, int]
) -> AsyncIterator[tuple[str, str, str]]:
    """Compare batches with their leaves over a range of buckets; yield kind, batch, detail."""
    async with database.transaction() as conn:
        await _steady(conn)
        for row in await rows(conn, LEAVES, *buckets):
            place = "no leaf" if row.leaf_index is None else f"leaf {row.leaf_index}"
            yield row.kind, str(row.batch_id), place


async def tree(database: Database, sizes: Sequence[int]) -> AsyncIterator[Root | Kept | Broken]:
    """Grow the tree anew from its leaves, in one consistent view.

    Yields the root at each of `sizes` that it comes to, each kept checkpoint right behind the
    root of its size, whatever is broken, and as the last root that of the whole.
    """
    async with database.transaction() as conn:
        await _steady(conn)
        ((count, beyond, first),) = await rows(conn, EXTENT)
        if (first, beyond) != (0, count):
            yield Broken(0, "leaves", f"{count} leaves from {first} to {beyond - 1}")
        wanted, grown = set(sizes), Frontier()
        while grown.size < count:
            end = min(grown.size + CHUNK, count)
            async for one in _chunk(conn, grown, end, wanted):
                yield one
            if grown.size < end:
                break
        async for one in _rest(conn, grown):
            yield one


async def _steady(conn: Connection) -> None:
    """See one state of the database, and only PostgreSQL's own functions."""
    await run(conn, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await run(conn, STEADY)
    await run(conn, "SET LOCAL search_path = pg_catalog, public, pg_temp")


async def _chunk(
    conn: Connection, grown: Frontier, end: int, wanted: set[int]
) -> AsyncIterator[Root | Kept | Broken]:
    """Add the leaves up to `end`; when some are missing, none."""
    start = grown.size
    ((count, digests),) = await rows(conn, DIGESTS, start, end)
    if count != end - start or len(digests) != 32 * count:
        yield Broken(start, f"leaves {start} to {end - 1}", f"{count} of {end - start} there")
        return
    levels = list(LEVELS[1:])
    nodes = {
        (row.level, row.node_index): row.digest
        for row in await rows(conn, NODES, start, end - 1, levels)
    }
    kept = {row.size: row for row in await rows(conn, CHECKPOINTS, start, end)}
    for place in range(count):
        for level, index, digest in grown.push(digests[32 * place : 32 * place + 32]):
            if nodes.get((level, index)) != digest:
                yield Broken(grown.size, f"node {level}/{index}", "not what its leaves give")
        size = grown.size
        if size in wanted or size in kept:
            yield Root(size, grown.root())
            if size in kept:
                yield _kept(kept[size])


async def _rest(conn: Connection, grown: Frontier) -> AsyncIterator[Root | Broken]:
    """Name what the database has beyond the leaves; end with the root of the whole."""
    for row in await rows(conn, BEYOND, grown.size):
        yield Broken(grown.size, f"node {row.level}/{row.node_index}", "beyond the leaves")
    for row in await rows(conn, CHECKPOINTS_BEYOND, grown.size):
        yield Broken(grown.size, f"checkpoint {row.size}", f"there are {grown.size} leaves")
    yield Root(grown.size, grown.root())


def _kept(row: Any) -> Kept:
    return Kept(row.size, row.root, row.key_id, row.note)
