"""Read a member's ledger as of a time, and say whether the answer can still change.

A record is written in a transaction and takes its time from the service's clock after the locks,
so after the transaction began. What was recorded before the begin of the oldest transaction still
open is therefore complete: nothing can come any more (I11). Clocks differ: `CLOCKS_APART` is how
far that of a service may be behind the database's.

The server hides from a role when the transactions of others began, but not that they have written.
What has not written yet reads the clock later, so it is no matter; a hidden write is waited for.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.past import Bounds, PastLot, Terms, lots_of
from benefits.domain.values import EPOCH, bucket_of
from benefits.store.carried import months_below, months_of, steady
from benefits.store.db import Connection, rows

CLOCKS_APART = timedelta(seconds=5)
NEVER = datetime(9000, 1, 1, tzinfo=UTC)
LOOK_EVERY_S = 0.02
WAIT_S = 2.0  # for writes whose begin is hidden
Mark = tuple[datetime, UUID]
BEGINNING: Mark = (EPOCH, UUID(int=0))

# Where the server does not follow transactions, this session's own is not there either; a standby
# tells of none but its own. A write that has a number and no begin is another role's.
OPEN_SINCE = """
SELECT least(clock_timestamp(), min(a.xact_start) FILTER (WHERE a.pid <> pg_backend_pid())) AS at,
       bool_or(a.pid = pg_backend_pid() AND a.xact_start IS NOT NULL)
           AND NOT pg_is_in_recovery() AS followed,
       array_agg(a.backend_xid::text) FILTER (
           WHERE a.xact_start IS NULL AND a.backend_xid IS NOT NULL) AS hidden
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND coalesce(a.backend_type, 'client backend') = 'client backend'
"""
# Everybody sees these locks; each write holds that of its own number until what it did is seen.
UNENDED = """
SELECT EXISTS (SELECT FROM pg_locks AS l
               WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock'
                 AND l.transactionid::text = ANY ($1::text[])) AS there
"""
# ix_batch_bucket_member_id_batch_id, then primary key of posting. An id is as old as its record,
# so the bound of ids leaves later partitions out; OFFSET 0 keeps the planner at one batch a time.
# Archived months are added up.
SUMS = """
SELECT p.unit, p.lot_id, a.account, sum(a.sign * p.amount) AS amount
FROM batch AS b
CROSS JOIN LATERAL (
    SELECT o.* FROM posting AS o
    WHERE o.bucket = b.bucket AND o.batch_id = b.batch_id AND o.batch_id < $3 OFFSET 0) AS p
CROSS JOIN LATERAL (VALUES (p.debit, -1), (p.credit, 1)) AS a (account, sign)
WHERE b.bucket = $1 AND b.member_id = $2 AND b.batch_id < $3
  AND b.recorded_at < $4 AND b.effective_at < $5 AND p.unit NOT LIKE 'MONEY:%'
GROUP BY 1, 2, 3
UNION ALL
SELECT c.unit, c.lot_id, a.account, sum(a.sign * c.amount)
FROM posting_carried AS c
CROSS JOIN LATERAL (VALUES (c.debit, -1), (c.credit, 1)) AS a (account, sign)
WHERE c.bucket = $1 AND c.member_id = $2 AND c.month = ANY ($6::date[])
  AND c.unit NOT LIKE 'MONEY:%'
GROUP BY 1, 2, 3
"""
# ix_lot_bucket_member_id_unit_expires_at
TERMS = """
SELECT l.lot_id, l.unit, l.programme, l.line, l.period, l.cause, l.granted_at, l.expires_at
FROM lot AS l WHERE l.bucket = $1 AND l.member_id = $2
"""
# The same, of one page of lots only: those that have sums, by their key.
LOTS = f"""
WITH summed AS MATERIALIZED ({SUMS}),
page AS (
    SELECT l.lot_id, l.unit, l.programme, l.line, l.period, l.cause, l.granted_at, l.expires_at
    FROM lot AS l
    WHERE l.bucket = $1 AND l.member_id = $2
      AND (l.granted_at, l.lot_id) > ($7::timestamptz, $8::uuid)
      AND l.lot_id IN (SELECT s.lot_id FROM summed AS s)
    ORDER BY l.granted_at, l.lot_id LIMIT $9)
SELECT p.*, s.account, s.amount FROM page AS p JOIN summed AS s ON s.lot_id = p.lot_id
"""
# ix_batch_bucket_member_id_batch_id, backwards. Ids are in the order of records but for those of
# one millisecond, so all of the last one's millisecond come along.
ENTRIES = """
WITH found AS NOT MATERIALIZED (
    SELECT b.batch_id, b.kind, b.actor, b.cause_id, b.reverses, b.effective_at,
           b.recorded_at, b.booked_month
    FROM batch AS b
    WHERE b.bucket = $1 AND b.member_id = $2 AND b.batch_id < $3
      AND b.recorded_at < $4 AND b.effective_at >= $5 AND b.effective_at < $6),
edge AS (SELECT f.batch_id FROM found AS f ORDER BY f.batch_id DESC OFFSET $7 LIMIT 1)
SELECT f.batch_id, f.kind, f.actor, f.cause_id, f.reverses, f.effective_at, f.recorded_at,
       f.booked_month
FROM found AS f
WHERE f.batch_id >= coalesce((SELECT (left(e.batch_id::text, 13)
                                      || '-0000-0000-000000000000')::uuid FROM edge AS e),
                             '00000000-0000-0000-0000-000000000000'::uuid)
ORDER BY f.recorded_at DESC
"""
# Primary key of posting.
LINES = """
SELECT p.batch_id, p.line, p.debit, p.credit, p.unit, p.amount, p.lot_id, p.party
FROM unnest($1::uuid[]) AS k (batch_id)
CROSS JOIN LATERAL (
    SELECT o.* FROM posting AS o WHERE o.bucket = $2 AND o.batch_id = k.batch_id OFFSET 0) AS p
ORDER BY p.batch_id, p.line
"""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A posting as a statement shows it."""

    debit: str
    credit: str
    unit: str
    amount: int
    lot_id: UUID | None
    party: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as a statement shows it."""

    batch_id: UUID
    kind: str
    actor: str
    cause_id: UUID | None
    reverses: UUID | None
    effective_at: datetime
    recorded_at: datetime
    booked_month: str
    lines: tuple[Line, ...]


class Stretch(msgspec.Struct, frozen=True):
    """What of a statement is wanted: facts of [start, end), records before `known_at`."""

    start: datetime | None
    end: datetime | None
    known_at: datetime | None


def after_ids(at: datetime) -> UUID:
    """Return an id above those of everything recorded before `at`; see `first_id` in SQL."""
    milliseconds = (at - EPOCH) // timedelta(milliseconds=1) + 1
    return UUID(int=milliseconds << 80)


async def is_provisional(conn: Connection, bounds: Bounds) -> bool:
    """Say whether the same question may get another answer later; ask before reading (I11)."""
    if bounds.known_at is None:
        return True
    ((at, followed, hidden),) = await rows(conn, OPEN_SINCE)
    settled: datetime = min(at, bounds.now) - CLOCKS_APART
    if not followed or bounds.known_at > settled:
        return True
    return bool(hidden) and not await _ended(conn, hidden)


async def _ended(conn: Connection, numbers: Sequence[str]) -> bool:
    """Wait for writes to end, and say whether all have."""
    until = time.monotonic() + WAIT_S
    while (await rows(conn, UNENDED, numbers))[0].there:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(LOOK_EVERY_S)
    return True


async def sums(
    conn: Connection, member_id: UUID, bounds: Bounds
) -> dict[tuple[str, UUID | None, str], int]:
    """Return what each account of a member came to, by unit and lot; money left out.

    MonthArchived when a part of an archived month would count.
    """
    return _added(await rows(conn, SUMS, *await _summed(conn, member_id, bounds)))


async def _summed(conn: Connection, member_id: UUID, bounds: Bounds) -> tuple[object, ...]:
    """Return what the sums of a member are asked with (MonthArchived)."""
    known = bounds.known_at or NEVER
    carried = await months_below(conn, bounds, member_id)
    return (
        *(bucket_of(member_id), member_id),
        *(after_ids(known), known, bounds.as_of or NEVER, carried),
    )


def _added(found: Sequence[Any]) -> dict[tuple[str, UUID | None, str], int]:
    made = dict[tuple[str, UUID | None, str], int]()
    for r in found:
        key = (r.unit, r.lot_id, r.account)
        made[key] = made.get(key, 0) + int(r.amount)
    return made


async def terms(conn: Connection, member_id: UUID) -> list[Terms]:
    """Return what never changes of a member's lots."""
    return [_terms(r) for r in await rows(conn, TERMS, bucket_of(member_id), member_id)]


async def lots(
    conn: Connection, member_id: UUID, bounds: Bounds, *, after: Mark | None, limit: int
) -> list[PastLot]:
    """Return up to `limit` lots of a member behind a place, the oldest first.

    MonthArchived as for their sums.
    """
    asked = await _summed(conn, member_id, bounds)
    found = await rows(conn, LOTS, *asked, *(after or BEGINNING), limit)
    each = {r.lot_id: _terms(r) for r in found}
    return lots_of(_added(found), each.values(), bounds.ends)


def _terms(r: Any) -> Terms:
    return Terms(
        lot_id=r.lot_id,
        unit=r.unit,
        programme=r.programme,
        line=r.line,
        period=r.period,
        cause=r.cause,
        granted_at=r.granted_at,
        expires_at=r.expires_at,
    )


async def entries(
    conn: Connection,
    member_id: UUID,
    stretch: Stretch,
    *,
    before: datetime | None,
    limit: int,
) -> list[Entry]:
    """Return up to `limit` batches recorded before `before`, the last recorded first."""
    known = min(stretch.known_at or NEVER, before or NEVER)
    found = await rows(
        conn,
        ENTRIES,
        bucket_of(member_id),
        member_id,
        after_ids(known),
        known,
        stretch.start or EPOCH,
        stretch.end or NEVER,
        limit - 1,
    )
    shown = found[:limit]
    lines = await _lines(conn, bucket_of(member_id), [row.batch_id for row in shown])
    return [_entry(row, lines.get(row.batch_id, [])) for row in shown]


async def not_shown(conn: Connection, member_id: UUID, stretch: Stretch) -> list[str]:
    """Return the archived months of whose entries some would be in a stretch of a member.

    They stay so until the transaction ends: ask before the entries are read.
    """
    touched = [
        one.month
        for one in await steady(conn)
        if (stretch.known_at or NEVER) > one.recorded_from
        and (stretch.start or EPOCH) <= one.effective_to
        and (stretch.end or NEVER) > one.effective_from
    ]
    return [f"{month:%Y-%m}" for month in await months_of(conn, member_id, touched)]


async def _lines(conn: Connection, bucket: int, ids: Sequence[UUID]) -> dict[UUID, list[Line]]:
    by_batch = dict[UUID, list[Line]]()
    for row in await rows(conn, LINES, list(ids), bucket):
        line = Line(
            debit=row.debit,
            credit=row.credit,
            unit=row.unit,
            amount=row.amount,
            lot_id=row.lot_id,
            party=row.party,
        )
        by_batch.setdefault(row.batch_id, []).append(line)
    return by_batch


def _entry(row: Any, lines: Sequence[Line]) -> Entry:
    return Entry(
        batch_id=row.batch_id,
        kind=row.kind,
        actor=row.actor,
        cause_id=row.cause_id,
        reverses=row.reverses,
        effective_at=row.effective_at,
        recorded_at=row.recorded_at,
        booked_month=f"{row.booked_month:%Y-%m}",
        lines=tuple(lines),
    )
