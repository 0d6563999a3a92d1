"""Take a month's batches out of the ledger, and put them back: the owner's work (decision 25).

In place of a month's partition comes one with those batches only that a correction touched; the
others leave their sums in a partition of `posting_carried`. Whatever takes long is done beside the
ledger; `lock` is held for the exchange alone.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.exc import DBAPIError

from benefits.domain import seals as form
from benefits.domain.archive import Archive, Sealed
from benefits.domain.seals import Kind
from benefits.domain.values import BUCKETS, EPOCH, Month
from benefits.store import functions
from benefits.store.carried import STEADY
from benefits.store.db import Connection, is_busy, rows, run
from benefits.store.seals import BATCH_BYTES, DIGEST, POSTING_BYTES, canonical, selected
from benefits.store.verify import BY_HAND

CARRIED: tuple[tuple[str, Kind], ...] = (
    *(("bucket", "int2"), ("member_id", "uuid"), ("month", "date"), ("line", "int8")),
    *(("booked_month", "date"), ("unit", "text"), ("lot_id", "uuid"), ("debit", "text")),
    *(("credit", "text"), ("party", "text"), ("amount", "int8")),
)
HOLD: tuple[tuple[str, Kind], ...] = (
    *(("bucket", "int2"), ("hold_id", "uuid"), ("member_id", "uuid"), ("claim_id", "uuid")),
    *(("batch_id", "uuid"), ("unit", "text"), ("quantity", "int8"), ("cost_minor", "int8")),
    *(("placed_at", "instant"), ("uncapped", "int8")),
)
HOLD_END: tuple[tuple[str, Kind], ...] = (
    *(("bucket", "int2"), ("hold_id", "uuid"), ("batch_id", "uuid"), ("captured", "int8")),
    *(("released", "int8"), ("ended_at", "instant"), ("uncapped", "int8")),
)
# What was paid is in the digest where it is not the worst cost: so those of earlier releases hold.
_HOLD_END_BYTES = (
    f"{canonical('e', HOLD_END)} || CASE WHEN e.spent_minor IS NULL THEN ''::bytea "
    f"ELSE {canonical('e', [('spent_minor', 'int8')])} END"
)
_TYPES = {
    "text": "text",
    "uuid": "uuid",
    "int2": "smallint",
    "int8": "bigint",
    "xid8": "text",  # the driver has no type of its own for it
    "instant": "timestamptz",
    "date": "date",
}
# The month of an id, which is as old as its record.
_MONTH = (
    "date_trunc('month', to_timestamp(('x' || left(replace({0}::text, '-', ''), 12))"
    "::bit(48)::bigint / 1000.0) AT TIME ZONE 'UTC')::date"
)

PARTITIONS = """
SELECT right(c.relname, 7) AS month, sum(pg_total_relation_size(c.oid))::bigint AS bytes,
       greatest(sum(c.reltuples) FILTER (WHERE p.relname = 'batch'), 0)::bigint AS batches
FROM pg_inherits AS i
JOIN pg_class AS p ON p.oid = i.inhparent
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE p.relname IN ('batch', 'posting') AND p.relnamespace = 'public'::regnamespace
  AND c.relkind = 'r'
GROUP BY 1 ORDER BY 1
"""
# What the sealer has not come to: at or behind the last leaf. ix_outbox_position_…
UNSEALED = f"""
SELECT DISTINCT {_MONTH.format("e.batch_id")} AS month FROM outbox AS e
WHERE e.bucket BETWEEN 0 AND 1023 AND e.batch_id IS NOT NULL AND e.position >= coalesce(
    (SELECT f.position FROM leaf AS f ORDER BY f.leaf_index DESC LIMIT 1), -1)
  AND NOT EXISTS (SELECT FROM leaf AS l WHERE l.bucket = e.bucket AND l.batch_id = e.batch_id)
"""
EXTENT = """
SELECT count(*) AS batches, count(l.leaf_index) AS sealed, min(l.leaf_index) AS first_leaf,
       max(l.leaf_index) + 1 AS beyond_leaf, max(b.booked_month) AS booked_to,
       min(b.recorded_at) AS recorded_from, max(b.recorded_at) AS recorded_to,
       min(b.effective_at) AS effective_from, max(b.effective_at) AS effective_to
FROM batch AS b LEFT JOIN leaf AS l ON l.bucket = b.bucket AND l.batch_id = b.batch_id
WHERE b.bucket BETWEEN 0 AND 1023 AND b.batch_id >= $1 AND b.batch_id < $2
"""
OPEN_HOLDS = """
SELECT count(*) AS n FROM hold AS h
WHERE h.bucket BETWEEN 0 AND 1023 AND h.batch_id >= $1 AND h.batch_id < $2 AND NOT EXISTS (
    SELECT FROM hold_end AS e WHERE e.bucket = h.bucket AND e.hold_id = h.hold_id)
"""
EXPORTED = """
SELECT c.note FROM checkpoint AS c JOIN checkpoint_export AS x ON x.size = c.size
ORDER BY c.size DESC LIMIT 1
"""
LEAVES = """
SELECT l.leaf_index, l.bucket, l.batch_id, l.digest FROM leaf AS l
WHERE l.leaf_index >= $1 AND l.leaf_index < $2 ORDER BY l.leaf_index
"""


BATCHES = f"""
SELECT {selected("b", form.BATCH)} FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, batch_id)
JOIN batch AS b ON b.bucket = k.bucket AND b.batch_id = k.batch_id
"""
# ix_outbox_position_bucket_member_id_seq; the first counts, as for the sealer.
EVENTS = f"""
SELECT e.batch_id, {selected("e", form.EVENT)}
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, batch_id)
JOIN leaf AS l ON l.bucket = k.bucket AND l.batch_id = k.batch_id
JOIN outbox AS e ON e.position = l.position AND e.bucket = l.bucket AND e.batch_id = l.batch_id
ORDER BY e.seq DESC
"""
POSTINGS = f"""
SELECT p.batch_id, {selected("p", form.POSTING)}
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, batch_id)
JOIN posting AS p ON p.bucket = k.bucket AND p.batch_id = k.batch_id
ORDER BY p.batch_id, p.line
"""
# Those that a correction posted, or gave something back of: later ones must know them line by
# line.
_KEPT = f"""
b.bucket BETWEEN 0 AND 1023 AND b.batch_id >= $1 AND b.batch_id < $2 AND ({BY_HAND} OR EXISTS (
    SELECT FROM reversal AS v WHERE v.bucket = b.bucket AND v.reverses = b.batch_id))
"""
KEPT_IDS = """
SELECT b.batch_id FROM batch AS b
WHERE b.bucket BETWEEN 0 AND 1023 AND b.batch_id >= $1 AND b.batch_id < $2
"""
KEEP_BATCHES = f"INSERT INTO {{0}} SELECT b.* FROM batch AS b WHERE {_KEPT}"
KEEP_POSTINGS = """
INSERT INTO {0} SELECT p.* FROM {1} AS b
JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
"""
CARRY = """
INSERT INTO {0} (bucket, member_id, month, line, booked_month, unit, lot_id, debit, credit, party,
                 amount)
SELECT s.bucket, s.member_id, $3, row_number() OVER (
           PARTITION BY s.bucket, s.member_id
           ORDER BY s.booked_month, s.unit, s.lot_id, s.debit, s.credit, s.party),
       s.booked_month, s.unit, s.lot_id, s.debit, s.credit, s.party, s.amount
FROM (SELECT b.bucket, b.member_id, b.booked_month, p.unit, p.lot_id, p.debit, p.credit, p.party,
             sum(p.amount)::bigint AS amount
      FROM batch AS b JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
      WHERE b.bucket BETWEEN 0 AND 1023 AND b.batch_id >= $1 AND b.batch_id < $2
        AND p.batch_id >= $1 AND p.batch_id < $2
        AND NOT EXISTS (SELECT FROM {1} AS k WHERE k.bucket = b.bucket AND k.batch_id = b.batch_id)
      GROUP BY 1, 2, 3, 4, 5, 6, 7, 8) AS s
"""
# Primary key of reversal, whose rows are few.
GIVEN_BACK_SINCE = """
SELECT EXISTS (
    SELECT FROM reversal AS v
    WHERE v.bucket BETWEEN 0 AND 1023 AND v.reverses >= $1 AND v.reverses < $2
      AND NOT EXISTS (
          SELECT FROM {0} AS k WHERE k.bucket = v.bucket AND k.batch_id = v.reverses))
"""
CARRIED_DIGESTS = f"""
SELECT c.month, c.bucket,
       sha256(string_agg({canonical("c", CARRIED)}, ''::bytea ORDER BY c.member_id, c.line))
           AS digest
FROM posting_carried AS c
WHERE c.bucket BETWEEN 0 AND 1023 AND c.month >= $1 AND c.month < $2
GROUP BY 1, 2 ORDER BY 1, 2
"""
HOLDS_DIGESTS = f"""
SELECT {_MONTH.format("h.batch_id")} AS month, 0 AS part, h.bucket,
       sha256(string_agg({canonical("h", HOLD)}, ''::bytea ORDER BY h.hold_id)) AS digest
FROM hold AS h WHERE h.bucket BETWEEN 0 AND 1023 AND h.batch_id >= $1 AND h.batch_id < $2
GROUP BY 1, 2, 3
UNION ALL
SELECT {_MONTH.format("e.batch_id")}, 1, e.bucket,
       sha256(string_agg({_HOLD_END_BYTES}, ''::bytea ORDER BY e.hold_id))
FROM hold_end AS e WHERE e.bucket BETWEEN 0 AND 1023 AND e.batch_id >= $1 AND e.batch_id < $2
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
"""
CARRIED_ROWS = """
SELECT c.member_id, c.booked_month, c.unit, c.lot_id, c.debit, c.credit, c.party, c.amount
FROM posting_carried AS c WHERE c.bucket BETWEEN $2 AND $3 AND c.month = $1
"""
INSERT_ARCHIVE = """
INSERT INTO month_archive
       (month, archived_at, first_id, beyond_id, first_leaf, beyond_leaf, batches, recorded_from,
        recorded_to, effective_from, effective_to, file_digest, carried_digest, holds_digest, note)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
"""
INSERT_RESTORE = "INSERT INTO month_restore (month, archived_at, restored_at) VALUES ($1, $2, $3)"
# How many of the restored batches are what was sealed.
RIGHT = f"""
SELECT count(*) AS n FROM {{0}} AS b
CROSS JOIN LATERAL (
    SELECT count(*) AS count, {POSTING_BYTES} AS lines FROM {{1}} AS p
    WHERE p.bucket = b.bucket AND p.batch_id = b.batch_id) AS q
JOIN leaf AS l ON l.bucket = b.bucket AND l.batch_id = b.batch_id
JOIN outbox AS e ON e.position = l.position AND e.bucket = l.bucket AND e.batch_id = l.batch_id
WHERE l.digest = {DIGEST.format(BATCH_BYTES, "q.count", "q.lines")}
"""
_REFUSE_TRUNCATE = (
    "CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {0} "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
)
EMPTY = hashlib.sha256().digest()
LOCK_WAIT = "SET LOCAL lock_timeout = '1s'"
LOCK = STEADY.replace("ACCESS SHARE", "ACCESS EXCLUSIVE")
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('benefits.archive'))"


class Partition(msgspec.Struct, frozen=True):
    """A month's partitions of the ledger: about how many batches, their bytes, whether sealed."""

    month: Month
    batches: int
    bytes: int
    is_sealed: bool


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What is to know of a month before it is archived."""

    batches: int
    sealed: int
    first_leaf: int | None
    beyond_leaf: int | None
    booked_to: date | None
    recorded_from: datetime
    recorded_to: datetime
    effective_from: datetime
    effective_to: datetime
    open_holds: int


class Left(msgspec.Struct, frozen=True):
    """What a month left behind: how many batches are kept, digests of its sums and holds."""

    kept: int
    carried: bytes
    holds: bytes


def ids_of(month: Month) -> tuple[UUID, UUID]:
    """Return the first id of a month and the first behind it; see `first_id` in SQL."""
    first, beyond = (
        (datetime(d.year, d.month, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
        for d in (month.start, month.end)
    )
    return UUID(int=first << 80), UUID(int=beyond << 80)


def _name(table: str, month: Month, more: str = "") -> str:
    return f"{table}_{month.year:04d}_{month.number:02d}{more}"


async def partitions(conn: Connection) -> list[Partition]:
    """Return the months that have partitions, in their order."""
    unsealed = {Month.of(row.month) for row in await rows(conn, UNSEALED)}
    found = [
        (Month.parse(row.month.replace("_", "-")), row) for row in await rows(conn, PARTITIONS)
    ]
    return [Partition(m, r.batches, r.bytes, m not in unsealed) for m, r in found]


async def extent(conn: Connection, month: Month) -> Extent:
    """Return what is to know of a month's batches."""
    span = ids_of(month)
    (found,) = await rows(conn, EXTENT, *span)
    ((open_holds,),) = await rows(conn, OPEN_HOLDS, *span)
    return Extent(**found._asdict(), open_holds=open_holds)


async def exported_note(conn: Connection) -> str | None:
    """Return the newest checkpoint that has left the database."""
    found = await rows(conn, EXPORTED)
    return found[0].note if found else None


async def sealed(conn: Connection, month: Month, start: int, end: int) -> list[Sealed]:
    """Return leaves [start, end), those of the month with their batches if they are there."""
    first, beyond = ids_of(month)
    leaves = await rows(conn, LEAVES, start, end)
    ours = [leaf for leaf in leaves if first <= leaf.batch_id < beyond]
    keys = ([leaf.bucket for leaf in ours], [leaf.batch_id for leaf in ours])
    names, told, line = (
        [name for name, _ in each] for each in (form.BATCH, form.EVENT, form.POSTING)
    )
    batches = {
        row.batch_id: dict(zip(names, row, strict=True))
        for row in await rows(conn, BATCHES, *keys)
    }
    events = {
        row.batch_id: dict(zip(told, row[1:], strict=True))
        for row in await rows(conn, EVENTS, *keys)
    }
    postings = dict[UUID, list[dict[str, Any]]]()
    for row in await rows(conn, POSTINGS, *keys):
        postings.setdefault(row.batch_id, []).append(dict(zip(line, row[1:], strict=True)))
    return [
        Sealed(
            leaf.leaf_index,
            leaf.digest,
            batches.get(leaf.batch_id),
            events.get(leaf.batch_id),
            postings.get(leaf.batch_id, ()),
        )
        for leaf in leaves
    ]


async def events(conn: Connection, month: Month, start: int, end: int) -> dict[int, form.Row]:
    """Return the events of a month's batches by leaf, of leaves [start, end)."""
    first, beyond = ids_of(month)
    leaves = {
        leaf.batch_id: leaf
        for leaf in await rows(conn, LEAVES, start, end)
        if first <= leaf.batch_id < beyond
    }
    names = [name for name, _ in form.EVENT]
    buckets = [leaf.bucket for leaf in leaves.values()]
    return {
        leaves[row.batch_id].leaf_index: dict(zip(names, row[1:], strict=True))
        for row in await rows(conn, EVENTS, buckets, list(leaves))
    }


async def alone(conn: Connection) -> None:
    """Be the only one who archives or restores until the transaction ends."""
    await rows(conn, ONE_AT_A_TIME)


async def leave(conn: Connection, month: Month) -> Left:
    """Make what comes in the place of a month, beside the ledger."""
    span = ids_of(month)
    kept = [_name(table, month, "_kept") for table in functions.PARTITIONED_BY_ID]
    for table, name in zip(functions.PARTITIONED_BY_ID, kept, strict=True):
        await run(conn, f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    count = await run(conn, KEEP_BATCHES.format(kept[0]), *span)
    await run(conn, KEEP_POSTINGS.format(kept[1], kept[0]))
    name = _name("posting_carried", month)
    await run(conn, f"CREATE TABLE {name} (LIKE posting_carried INCLUDING ALL)")
    await run(conn, CARRY.format(name, kept[0]), *span, month.start)
    await run(conn, _REFUSE_TRUNCATE.format(name))
    await run(
        conn,
        f"ALTER TABLE posting_carried ATTACH PARTITION {name} "
        f"FOR VALUES FROM ('{month.start}') TO ('{month.end}')",
    )
    carried = await carried_digests(conn, month, month.plus(1))
    holds = await holds_digests(conn, month, month.plus(1))
    return Left(count, carried.get(month, EMPTY), holds.get(month, EMPTY))


async def given_back_since(conn: Connection, month: Month) -> bool:
    """Say whether something was given back of a batch of a month since `leave`; under `lock`."""
    name = _name("batch", month, "_kept")
    ((is_so,),) = await rows(conn, GIVEN_BACK_SINCE.format(name), *ids_of(month))
    return bool(is_so)


async def carried_digests(conn: Connection, start: Month, end: Month) -> dict[Month, bytes]:
    """Return a digest over the carried sums of each month."""
    found = await rows(conn, CARRIED_DIGESTS, start.start, end.start)
    return _joined([(row.month, row.bucket, row.digest) for row in found])


async def holds_digests(conn: Connection, start: Month, end: Month) -> dict[Month, bytes]:
    """Return a digest over the holds placed and ended by the batches of each month."""
    found = await rows(conn, HOLDS_DIGESTS, ids_of(start)[0], ids_of(end)[0])
    return _joined([(row.month, row.part * BUCKETS + row.bucket, row.digest) for row in found])


def _joined(parts: Sequence[tuple[date, int, bytes]]) -> dict[Month, bytes]:
    hashes = dict[Month, Any]()
    for month, place, digest in parts:
        hashed = hashes.setdefault(Month.of(month), hashlib.sha256())
        hashed.update(place.to_bytes(2) + digest)
    return {month: hashed.digest() for month, hashed in hashes.items()}


async def lock(conn: Connection) -> bool:
    """Let nobody use the ledger until the transaction ends; False when somebody does too long."""
    await run(conn, LOCK_WAIT)
    await run(conn, "SAVEPOINT before_lock")
    try:
        await run(conn, LOCK)
    except DBAPIError as error:
        if not is_busy(error):
            raise
        await run(conn, "ROLLBACK TO SAVEPOINT before_lock")
        return False
    return True


async def take_out(conn: Connection, archive: Archive) -> None:
    """Put what `leave` made in a month's place, and keep that it is archived; under `lock`."""
    for table in functions.PARTITIONED_BY_ID:
        name = await _exchange(conn, table, archive.name, "_kept")
        await run(
            conn,
            f"CREATE TRIGGER refuse_archived BEFORE INSERT ON {name} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_archived()",
        )
    await run(conn, INSERT_ARCHIVE, *msgspec.structs.astuple(archive))


async def _exchange(conn: Connection, table: str, month: Month, more: str) -> str:
    """Attach another table in the place of a month's partition, which is gone then."""
    name, other = _name(table, month), _name(table, month, more)
    low, high = ids_of(month)
    await run(conn, f"ALTER TABLE {table} DETACH PARTITION {name}")
    await run(conn, f"DROP TABLE {name}")
    await run(conn, f"ALTER TABLE {other} RENAME TO {name}")
    await run(conn, _REFUSE_TRUNCATE.format(name))
    await run(
        conn,
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')",
    )
    return name


async def begin_back(conn: Connection, month: Month) -> None:
    """Make room for the batches of an archived month, beside the ledger."""
    for table in functions.PARTITIONED_BY_ID:
        name = _name(table, month, "_back")
        await run(conn, f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")


async def put_back(conn: Connection, month: Month, batches: Sequence[Sealed]) -> None:
    """Insert batches with their postings there."""
    wanted = [(one.batch, one.postings) for one in batches if one.batch is not None]
    await _insert(conn, _name("batch", month, "_back"), form.BATCH, [batch for batch, _ in wanted])
    await _insert(
        conn,
        _name("posting", month, "_back"),
        (("bucket", "int2"), ("batch_id", "uuid"), *form.POSTING),
        [
            {"bucket": batch["bucket"], "batch_id": batch["batch_id"], **line}
            for batch, lines in wanted
            for line in lines
        ],
    )


async def _insert(
    conn: Connection, table: str, columns: Sequence[tuple[str, Kind]], found: Sequence[Any]
) -> None:
    names = ", ".join(name for name, _ in columns)
    arrays = ", ".join(f"${n}::{_TYPES[kind]}[]" for n, (_, kind) in enumerate(columns, 1))
    shown = ", ".join(f"n.{name}" + "::xid8" * (kind == "xid8") for name, kind in columns)
    values = [
        [str(row[name]) if kind == "xid8" else row[name] for row in found]
        for name, kind in columns
    ]
    await run(
        conn,
        f"INSERT INTO {table} ({names}) SELECT {shown} FROM unnest({arrays}) AS n ({names})",
        *values,
    )


async def count_right(conn: Connection, month: Month) -> int:
    """Return how many of the batches that were put back are what was sealed."""
    names = [_name(table, month, "_back") for table in functions.PARTITIONED_BY_ID]
    ((count,),) = await rows(conn, RIGHT.format(*names))
    return int(count)


async def take_in(conn: Connection, archive: Archive, at: datetime) -> None:
    """Attach the batches of an archived month again, drop what it left behind; under `lock`."""
    month = archive.name
    for table in functions.PARTITIONED_BY_ID:
        await _exchange(conn, table, month, "_back")
    name = _name("posting_carried", month)
    await run(conn, f"ALTER TABLE posting_carried DETACH PARTITION {name}")
    await run(conn, f"DROP TABLE {name}")
    await run(conn, INSERT_RESTORE, archive.month, archive.archived_at, at)


async def kept_ids(conn: Connection, month: Month) -> set[UUID]:
    """Return the batches of an archived month that are in the database all the same."""
    return {row.batch_id for row in await rows(conn, KEPT_IDS, *ids_of(month))}


async def carried_rows(conn: Connection, month: Month, buckets: tuple[int, int]) -> Sequence[Any]:
    """Return the carried sums of a month over a range of buckets."""
    return await rows(conn, CARRIED_ROWS, month.start, *buckets)
