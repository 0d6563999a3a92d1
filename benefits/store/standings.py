"""The history of a member's tiers: decisions as they stood at one time, known at another (T-9)."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.tiers import Decision
from benefits.domain.values import Month, bucket_of
from benefits.store import welcomes
from benefits.store.db import Connection, rows
from benefits.store.tiers import decision_of

FIGURES = """
       d.month, d.cause, d.lock_until, d.grace_until, d.before_rank, d.before_misses, d.rank,
       d.misses, d.qualified, d.sum_minor, d.known_days, d.days, d.divisor, d.before_way, d.way,
       d.grounds, d.earned, d.welcome_until
"""
# Unique key (bucket, member, programme, month, decided_at).
STANDING = f"""
SELECT DISTINCT ON (d.programme) d.decision_id, d.programme, d.programme_version,
       d.effective_from, d.decided_at, {FIGURES}
FROM tier_decision AS d
WHERE d.bucket = $1 AND d.member_id = $2 AND d.effective_from <= $3 AND d.decided_at <= $4
ORDER BY d.programme, d.effective_from DESC, d.decided_at DESC, d.decision_id DESC
"""
DECISIONS = f"""
SELECT d.decision_id, d.programme, d.programme_version, d.effective_from, d.decided_at, {FIGURES}
FROM tier_decision AS d
WHERE d.bucket = $1 AND d.member_id = $2 AND d.decided_at <= $3
  AND ($4::timestamptz IS NULL OR (d.decided_at, d.decision_id) < ($4, $5))
ORDER BY d.decided_at DESC, d.decision_id DESC LIMIT $6
"""
# Primary key.
ONE = f"""
SELECT d.decision_id, d.programme, d.programme_version, d.effective_from, d.decided_at, {FIGURES}
FROM tier_decision AS d WHERE d.bucket = $1 AND d.decision_id = $2 AND d.member_id = $3
"""
# Unique key.
OF_MONTH = f"""
SELECT d.member_id, {FIGURES}
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN tier_decision AS d ON d.bucket = k.bucket AND d.member_id = k.member_id
WHERE d.programme = $3 AND d.month = $4
"""
# Unique key. Who has no decision is of the lowest rank.
RANKS = f"""
SELECT k.member_id, k.programme, coalesce((
    SELECT {welcomes.held("d", "$5")} FROM tier_decision AS d
    WHERE d.bucket = k.bucket AND d.member_id = k.member_id AND d.programme = k.programme
      AND d.effective_from <= $4
    ORDER BY d.effective_from DESC, d.decided_at DESC, d.decision_id DESC LIMIT 1), 0) AS rank
FROM unnest($1::smallint[], $2::uuid[], $3::text[]) AS k (bucket, member_id, programme)
"""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it was written down, with the version of the programme that judged."""

    decision_id: UUID
    programme: str
    version: int
    effective_from: datetime
    decided_at: datetime
    decision: Decision


async def ranks(
    conn: Connection, wanted: Iterable[tuple[UUID, str]], now: datetime, today: date
) -> dict[tuple[UUID, str], int]:
    """Return which ranks members hold in programmes now."""
    pairs = sorted(set(wanted))
    if not pairs:
        return {}
    ids = [id_ for id_, _ in pairs]
    found = await rows(
        conn, RANKS, [bucket_of(id_) for id_ in ids], ids, [code for _, code in pairs], now, today
    )
    return {(row.member_id, row.programme): row.rank for row in found}


async def as_of(
    conn: Connection, member_id: UUID, at: datetime, known_at: datetime
) -> dict[str, Decided]:
    """Return what decided a member's tier at an instant, as known at another, by programme."""
    found = await rows(conn, STANDING, bucket_of(member_id), member_id, at, known_at)
    return {one.programme: one for one in map(decided_of, found)}


async def decisions(
    conn: Connection,
    member_id: UUID,
    known_at: datetime,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Decided]:
    """Return a member's decisions, the latest first, only those before a place if it is named."""
    at, id_ = before or (None, None)
    values = (bucket_of(member_id), member_id, known_at, at, id_, limit)
    return [decided_of(row) for row in await rows(conn, DECISIONS, *values)]


async def one(conn: Connection, member_id: UUID, decision_id: UUID) -> Decided | None:
    """Return one decision about a member."""
    found = await rows(conn, ONE, bucket_of(member_id), decision_id, member_id)
    return decided_of(found[0]) if found else None


async def of_month(
    conn: Connection, programme: str, month: Month, ids: Sequence[UUID]
) -> dict[UUID, list[Decision]]:
    """Return what was decided of a month for some members."""
    found = dict[UUID, list[Decision]]()
    keys = ([*map(bucket_of, ids)], list(ids))
    for row in await rows(conn, OF_MONTH, *keys, programme, month.start):
        found.setdefault(row.member_id, []).append(decision_of(row))
    return found


def decided_of(row: Any) -> Decided:
    """Return a decision from what has its columns by name."""
    return Decided(
        decision_id=row.decision_id,
        programme=row.programme,
        version=row.programme_version,
        effective_from=row.effective_from,
        decided_at=row.decided_at,
        decision=decision_of(row),
    )
