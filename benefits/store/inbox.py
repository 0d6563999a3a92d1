"""Callbacks as they came: kept once per (provider, event id), worked off later (V-4)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from benefits.domain.callbacks import Verdict
from benefits.domain.values import BUCKETS, EPOCH, placed_bucket
from benefits.store.db import Connection, rows, run

INSERT = """
INSERT INTO inbox (bucket, provider, event_id, number, body_sealed, notice_sealed, received_at,
                   traceparent)
SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[],
                     $7::timestamptz[], $8::text[])
ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING
RETURNING provider, event_id
"""
# ix_inbox_waiting. What nobody could be found for makes room for those after it.
WAITING = """
SELECT provider, event_id, notice_sealed, traceparent, received_at FROM inbox
WHERE bucket + 0 BETWEEN $1 AND $2 AND processed_at IS NULL
  AND (next_at IS NULL OR next_at <= $4)
ORDER BY received_at, provider, event_id LIMIT $3
FOR NO KEY UPDATE SKIP LOCKED
"""
# Primary key.
TAKE = """
SELECT provider, event_id, notice_sealed, traceparent, received_at FROM inbox
WHERE bucket = $1 AND provider = $2 AND event_id = $3 AND processed_at IS NULL
FOR NO KEY UPDATE SKIP LOCKED
"""
LATER = """
UPDATE inbox AS i SET next_at = $4
FROM unnest($1::smallint[], $2::text[], $3::text[]) AS k (bucket, provider, event_id)
WHERE i.bucket = k.bucket AND i.provider = k.provider AND i.event_id = k.event_id
"""
DONE = """
UPDATE inbox AS i SET processed_at = $5, verdict = k.verdict
FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[])
     AS k (bucket, provider, event_id, verdict)
WHERE i.bucket = k.bucket AND i.provider = k.provider AND i.event_id = k.event_id
"""
_IS_UNSETTLED = "processed_at IS NOT NULL AND verdict NOT IN ('APPLIED', 'IGNORED')"
# ix_inbox_unsettled, in its order.
UNSETTLED = f"""
SELECT provider, event_id, number, body_sealed, notice_sealed, traceparent, received_at, verdict
FROM inbox
WHERE bucket < $1 AND provider = $2 AND {_IS_UNSETTLED}
  AND (received_at, event_id) > ($3::timestamptz, $4::text)
ORDER BY received_at, event_id LIMIT $5
FOR NO KEY UPDATE SKIP LOCKED
"""
STRANGE = f"""
SELECT DISTINCT number FROM inbox
WHERE bucket < $1 AND provider = $2 AND {_IS_UNSETTLED} AND verdict = 'NO_ORDER'
  AND number = ANY($3::text[])
"""
# Primary key.
NAMED = """
SELECT i.received_at, i.event_id, i.number
FROM unnest($1::smallint[], $2::text[], $3::text[]) AS k (bucket, provider, event_id)
JOIN inbox AS i
  ON i.bucket = k.bucket AND i.provider = k.provider AND i.event_id = k.event_id
"""
REREAD = """
UPDATE inbox AS i SET verdict = k.verdict, reread_at = $5, reread_by = $6
FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[])
     AS k (bucket, provider, event_id, verdict)
WHERE i.bucket = k.bucket AND i.provider = k.provider AND i.event_id = k.event_id
"""


class Received(msgspec.Struct, frozen=True):
    """A verified callback of a provider: its raw body and what it says, both sealed."""

    provider: str
    event_id: str
    number: str
    body_sealed: bytes
    notice_sealed: bytes
    received_at: datetime
    traceparent: str


class Waiting(msgspec.Struct, frozen=True):
    """A callback that nobody has worked off: what it says, sealed, and its place in a trace."""

    provider: str
    event_id: str
    notice_sealed: bytes
    traceparent: str
    received_at: datetime


class Unsettled(msgspec.Struct, frozen=True):
    """A callback that was worked off and came to nothing, as far as its `verdict` tells.

    `number` is what the order is called in it, in whichever way.
    """

    provider: str
    event_id: str
    number: str
    body_sealed: bytes
    notice_sealed: bytes
    traceparent: str
    received_at: datetime
    verdict: Verdict | None


class Named(msgspec.Struct, frozen=True):
    """When a callback came, and of which number it speaks."""

    received_at: datetime
    event_id: str
    number: str


Place = tuple[str, str]  # provider and event id
Mark = tuple[datetime, str]  # when one came, and its event id
BEGINNING: Mark = (EPOCH, "")


def bucket(provider: str, event_id: str) -> int:
    """Return where a callback lies."""
    return placed_bucket(provider, event_id)


async def put(conn: Connection, received: Sequence[Received]) -> set[tuple[str, str]]:
    """Keep callbacks that are new; return their (provider, event id)."""
    found = await rows(
        conn,
        INSERT,
        [bucket(r.provider, r.event_id) for r in received],
        [r.provider for r in received],
        [r.event_id for r in received],
        [r.number for r in received],
        [r.body_sealed for r in received],
        [r.notice_sealed for r in received],
        [r.received_at for r in received],
        [r.traceparent for r in received],
    )
    return {(row.provider, row.event_id) for row in found}


async def waiting(
    conn: Connection, buckets: tuple[int, int], now: datetime, limit: int
) -> list[Waiting]:
    """Take callbacks not worked off, oldest first."""
    return [Waiting(*row) for row in await rows(conn, WAITING, *buckets, limit, now)]


async def take(conn: Connection, provider: str, event_id: str) -> Waiting | None:
    """Take one callback unless it was worked off or is being."""
    place = bucket(provider, event_id)
    found = await rows(conn, TAKE, place, provider, event_id)
    return Waiting(*found[0]) if found else None


async def done(conn: Connection, came: Mapping[Place, Verdict], now: datetime) -> None:
    """Mark callbacks as worked off, with what became of them."""
    await run(conn, DONE, *_columns([*came]), [one.value for one in came.values()], now)


async def later(conn: Connection, waiting: Sequence[Place], at: datetime) -> None:
    """Let callbacks wait until `at`."""
    if waiting:
        await run(conn, LATER, *_columns(waiting), at)


async def unsettled(
    conn: Connection, provider: str, after: Mark | None, limit: int
) -> list[Unsettled]:
    """Take a provider's callbacks that came to nothing, oldest first."""
    found = await rows(conn, UNSETTLED, BUCKETS, provider, *(after or BEGINNING), limit)
    return [_unsettled(row) for row in found]


def _unsettled(row: Any) -> Unsettled:
    verdict = Verdict(row.verdict) if row.verdict else None
    return Unsettled(**row._asdict() | {"verdict": verdict})


async def named(conn: Connection, provider: str, event_ids: Sequence[str]) -> list[Named]:
    """Return a provider's callbacks by the ids of their events."""
    places = [(provider, event_id) for event_id in event_ids]
    return [Named(*row) for row in await rows(conn, NAMED, *_columns(places))]


async def strange(conn: Connection, provider: str, numbers: Sequence[str]) -> set[str]:
    """Return those of the numbers of which a provider spoke in callbacks that found no order."""
    return {row.number for row in await rows(conn, STRANGE, BUCKETS, provider, list(numbers))}


async def reread(
    conn: Connection, came: Mapping[Place, Verdict], now: datetime, *, by: str
) -> None:
    """Keep what became of callbacks that somebody had read again."""
    if came:
        verdicts = [one.value for one in came.values()]
        await run(conn, REREAD, *_columns([*came]), verdicts, now, by)


def _columns(places: Sequence[Place]) -> tuple[list[int], list[str], list[str]]:
    buckets = [bucket(*place) for place in places]
    return buckets, [one for one, _ in places], [id_ for _, id_ in places]
