"""Codes bought in advance: taken in, given out, shown, given back, and counted (V-1, V-9).

Rows are like shared counters: they are locked last of all, and no claim waits for another's.
Invariant: a code has one claim, and one that was shown keeps it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.values import bucket_of
from benefits.store.db import Connection, Writer, rows, run, write

# Who imports is alone with what is imported under these two names.
LOCK_BATCH = "SELECT pg_advisory_xact_lock(hashtext('benefits.codes'), hashtext($1 || ' ' || $2))"
OPEN_BATCH = """
INSERT INTO code_batch (provider, sku, batch, cost_minor, cost_centre, imported_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""
BATCH = """
SELECT b.cost_minor, b.cost_centre FROM code_batch AS b
WHERE b.provider = $1 AND b.sku = $2 AND b.batch = $3
"""
# uq_pool_code_provider_code_hash
PUT = """
INSERT INTO pool_code (provider, sku, batch, code_id, code_hash, code_sealed, expires_at,
                       imported_at)
SELECT $1, $2, $3, n.code_id, n.code_hash, n.code_sealed, n.expires_at, $4
FROM unnest($5::uuid[], $6::bytea[], $7::bytea[], $8::timestamptz[])
     AS n (code_id, code_hash, code_sealed, expires_at)
ON CONFLICT (provider, code_hash) DO NOTHING
RETURNING code_id
"""
KNOWN = """
SELECT p.code_id, p.code_hash, p.sku, p.batch FROM pool_code AS p
WHERE p.provider = $1 AND p.code_hash = ANY($2::bytea[])
"""
# Claims share it; whoever writes free codes is alone, so that claims pass none of them over.
SHARED = "SELECT pg_advisory_xact_lock_shared(hashtext('benefits.stock'))"
ALONE = "SELECT pg_advisory_xact_lock(hashtext('benefits.stock'))"
# ix_pool_code_free. Rows that others take at this moment are passed over.
LOCK = """
SELECT k.n, s.code_id, s.code_sealed
FROM unnest($1::int[], $2::text[], $3::text[], $4::timestamptz[], $5::int[])
     AS k (n, provider, sku, lasts, wanted)
CROSS JOIN LATERAL (
    SELECT p.code_id, p.code_sealed, p.expires_at FROM pool_code AS p
    WHERE p.provider = k.provider AND p.sku = k.sku AND p.claim_id IS NULL
      AND (p.expires_at IS NULL OR p.expires_at >= k.lasts)
    ORDER BY p.expires_at, p.code_id LIMIT k.wanted FOR UPDATE SKIP LOCKED) AS s
ORDER BY k.n, s.expires_at, s.code_id
"""
FREE = """
SELECT k.n, s.free
FROM unnest($1::int[], $2::text[], $3::text[], $4::timestamptz[], $5::int[])
     AS k (n, provider, sku, lasts, wanted)
CROSS JOIN LATERAL (
    SELECT count(*) AS free FROM (
        SELECT FROM pool_code AS p
        WHERE p.provider = k.provider AND p.sku = k.sku AND p.claim_id IS NULL
          AND (p.expires_at IS NULL OR p.expires_at >= k.lasts)
        LIMIT k.wanted) AS f) AS s
"""
TAKE = """
UPDATE pool_code AS p SET claim_id = k.claim_id, issued_at = $3
FROM unnest($1::uuid[], $2::uuid[]) AS k (code_id, claim_id)
WHERE p.code_id = k.code_id AND p.claim_id IS NULL
"""
SHOW = """
UPDATE pool_code AS p SET shown_at = coalesce(p.shown_at, $2) WHERE p.claim_id = $1
"""
# Those that last longest first: they are the most use to others.
RETURN = """
UPDATE pool_code AS p SET claim_id = NULL, issued_at = NULL
WHERE p.code_id IN (
    SELECT s.code_id FROM pool_code AS s WHERE s.claim_id = $1 AND s.shown_at IS NULL
    ORDER BY s.expires_at DESC, s.code_id LIMIT $2 FOR UPDATE)
RETURNING p.code_id
"""
OF_CLAIM = """
SELECT p.code_sealed FROM pool_code AS p WHERE p.claim_id = $1
ORDER BY p.expires_at, p.code_id
"""
KEEP = """
UPDATE claim AS c SET codes = $3, code_sealed = $4 WHERE c.bucket = $1 AND c.claim_id = $2
"""
# A look through all codes of a provider: for people, not for claims.
BATCHES = """
SELECT b.sku, b.batch, b.cost_minor, b.cost_centre, b.imported_at, count(p.code_id) AS codes,
       count(p.code_id) FILTER (
           WHERE p.claim_id IS NULL AND (p.expires_at IS NULL OR p.expires_at > $2)) AS free,
       count(p.claim_id) AS issued, count(p.shown_at) AS shown,
       count(p.code_id) FILTER (
           WHERE p.claim_id IS NULL AND p.expires_at <= $2) AS expired,
       min(p.expires_at) FILTER (
           WHERE p.claim_id IS NULL AND p.expires_at > $2) AS next_end
FROM code_batch AS b
LEFT JOIN pool_code AS p ON p.provider = b.provider AND p.sku = b.sku AND p.batch = b.batch
WHERE b.provider = $1
GROUP BY b.provider, b.sku, b.batch ORDER BY b.sku, b.imported_at, b.batch
"""
LOW = """
INSERT INTO stock_low (provider, sku, told_at)
SELECT k.provider, k.sku, $3 FROM unnest($1::text[], $2::text[]) AS k (provider, sku)
ORDER BY k.provider, k.sku ON CONFLICT DO NOTHING RETURNING provider, sku
"""
ENOUGH = """
DELETE FROM stock_low AS l USING unnest($1::text[], $2::text[]) AS k (provider, sku)
WHERE l.provider = k.provider AND l.sku = k.sku
"""

Sku = tuple[str, str]


class Shelf(msgspec.Struct, frozen=True):
    """Codes of a provider's SKU that end at `lasts` or later, or never."""

    provider: str
    sku: str
    lasts: datetime


class Stocked(msgspec.Struct, frozen=True):
    """A free code, sealed."""

    code_id: UUID
    sealed: bytes


class NewCode(msgspec.Struct, frozen=True):
    """A code to be taken in, sealed; `digest` tells whether it is there already."""

    code_id: UUID
    digest: bytes
    sealed: bytes
    expires_at: datetime | None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Codes that were bought together: what each cost, and who bears it."""

    provider: str
    sku: str
    name: str
    cost_minor: int | None = None
    cost_centre: str = ""


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: `issued` codes have a claim, `expired` ended without one."""

    sku: str
    batch: str
    cost_minor: int | None
    cost_centre: str
    imported_at: datetime
    codes: int
    free: int
    issued: int
    shown: int
    expired: int
    next_end: datetime | None


async def open_batch(conn: Connection, batch: Batch, now: datetime) -> Batch:
    """Begin a batch unless it is there, alone; return it as it was begun."""
    await rows(conn, LOCK_BATCH, batch.provider, batch.sku)
    key = (batch.provider, batch.sku, batch.name)
    await run(conn, OPEN_BATCH, *key, batch.cost_minor, batch.cost_centre, now)
    ((cost_minor, cost_centre),) = await rows(conn, BATCH, *key)
    return msgspec.structs.replace(batch, cost_minor=cost_minor, cost_centre=cost_centre)


async def put(
    conn: Connection, batch: Batch, codes: Sequence[NewCode], now: datetime
) -> dict[bytes, tuple[UUID, str, str]]:
    """Take codes in that are not there; return id, SKU and batch of all of them by digest."""
    await run(
        conn,
        PUT,
        *(batch.provider, batch.sku, batch.name, now),
        [c.code_id for c in codes],
        [c.digest for c in codes],
        [c.sealed for c in codes],
        [c.expires_at for c in codes],
    )
    found = await rows(conn, KNOWN, batch.provider, [c.digest for c in codes])
    return {bytes(row.code_hash): (row.code_id, row.sku, row.batch) for row in found}


def _asked(wanted: Sequence[tuple[Shelf, int]]) -> list[list[Any]]:
    return [
        list(range(len(wanted))),
        [shelf.provider for shelf, _ in wanted],
        [shelf.sku for shelf, _ in wanted],
        [shelf.lasts for shelf, _ in wanted],
        [count for _, count in wanted],
    ]


async def lock(
    conn: Connection, wanted: Sequence[tuple[Shelf, int]]
) -> dict[Shelf, list[Stocked]]:
    """Lock so many free codes for each shelf, those that end first, last of all locks."""
    await rows(conn, SHARED)
    found: dict[Shelf, list[Stocked]] = {shelf: [] for shelf, _ in wanted}
    for row in await rows(conn, LOCK, *_asked(wanted)):
        found[wanted[row.n][0]].append(Stocked(row.code_id, row.code_sealed))
    return found


async def alone(conn: Connection) -> None:
    """Wait until no claim is about to take codes, and let none until this transaction ends."""
    await rows(conn, ALONE)


async def free(conn: Connection, wanted: Sequence[tuple[Shelf, int]]) -> dict[Shelf, int]:
    """Return how many codes are free for each shelf, at most as many as are asked for."""
    found = await rows(conn, FREE, *_asked(wanted))
    return {wanted[row.n][0]: row.free for row in found}


async def take(writer: Writer, taken: Sequence[tuple[UUID, UUID]], now: datetime) -> None:
    """Give locked codes to claims: (code, claim) each."""
    if taken:
        await write(writer, TAKE, [code for code, _ in taken], [of for _, of in taken], now)


async def show(conn: Connection, claim_id: UUID, now: datetime) -> None:
    """Note that a claim's codes are shown: from now on they are its own for ever (V-9)."""
    await run(conn, SHOW, claim_id, now)


async def give_back(conn: Connection, claim_id: UUID, count: int) -> list[bytes] | None:
    """Put up to `count` codes of a claim back that nobody saw; return those it keeps, sealed.

    None where nothing came back.
    """
    if not await rows(conn, RETURN, claim_id, count):
        return None
    return [row.code_sealed for row in await rows(conn, OF_CLAIM, claim_id)]


async def keep(conn: Connection, claim_id: UUID, codes: int, sealed: bytes | None) -> None:
    """Store which codes a claim has from now on."""
    await run(conn, KEEP, bucket_of(claim_id), claim_id, codes, sealed)


async def batches(conn: Connection, provider: str, now: datetime) -> list[Stock]:
    """Return what became of each batch of a provider's codes."""
    return [Stock(**row._asdict()) for row in await rows(conn, BATCHES, provider, now)]


async def newly_low(conn: Connection, low: Sequence[Sku], now: datetime) -> set[Sku]:
    """Note which stocks are low; return those that were not."""
    found = await rows(conn, LOW, [code for code, _ in low], [sku for _, sku in low], now)
    return {(row.provider, row.sku) for row in found}


async def enough(conn: Connection, stocks: Sequence[Sku]) -> None:
    """Note that stocks are not low, or not any more."""
    await run(conn, ENOUGH, [code for code, _ in stocks], [sku for _, sku in stocks])
