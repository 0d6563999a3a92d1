"""Cases as the people who work on them see them: listed by age, closed once, with a note."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.values import BUCKETS, EPOCH, bucket_of
from benefits.store.db import Connection, rows, run

_COLUMNS = """f.case_id, f.kind, f.detail, f.member_id, f.claim_id, f.opened_at, f.closed_at,
       f.closed_by, f.note"""
# ix_case_file_open and ix_case_file_closed, in their order.
OPEN = f"""
SELECT {_COLUMNS} FROM case_file AS f
WHERE f.closed_at IS NULL AND (f.opened_at, f.case_id) > ($1::timestamptz, $2::uuid)
  AND f.bucket < $3 AND ($4::text IS NULL OR f.kind = $4)
ORDER BY f.opened_at, f.case_id LIMIT $5
"""
CLOSED = f"""
SELECT {_COLUMNS} FROM case_file AS f
WHERE f.closed_at IS NOT NULL AND (f.closed_at, f.case_id) > ($1::timestamptz, $2::uuid)
  AND f.bucket < $3 AND ($4::text IS NULL OR f.kind = $4)
ORDER BY f.closed_at, f.case_id LIMIT $5
"""
# Primary key.
CLOSE = """
UPDATE case_file AS f SET closed_at = $3, closed_by = $4, note = $5
WHERE f.bucket = $1 AND f.case_id = $2 AND f.closed_at IS NULL
RETURNING f.case_id
"""
# ix_case_file_bucket_claim_id
CLOSE_THOSE = """
UPDATE case_file AS f SET closed_at = $6, closed_by = k.actor, note = k.note
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[])
     AS k (bucket, claim_id, kind, actor, note)
WHERE f.bucket = k.bucket AND f.claim_id = k.claim_id AND f.kind = k.kind AND f.closed_at IS NULL
"""
# ix_case_file_open: those of earlier releases about a number lie in buckets of its callbacks.
CLOSE_MATTERS = """
UPDATE case_file AS f SET closed_at = $4, closed_by = $5, note = $6
FROM unnest($2::text[], $3::text[]) AS k (kind, detail)
WHERE f.bucket < $1 AND f.claim_id IS NULL AND f.kind = k.kind AND f.detail = k.detail
  AND f.closed_at IS NULL
"""
ONE = f"SELECT {_COLUMNS} FROM case_file AS f WHERE f.bucket = $1 AND f.case_id = $2"


class CaseSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A case, open or closed; a callback for an unknown order belongs to no member."""

    case_id: UUID
    kind: str
    detail: str
    member_id: UUID | None
    claim_id: UUID | None
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str
    note: str


class Closed(msgspec.Struct, frozen=True):
    """A case about a claim that ends with what came, who brought it, and in which words."""

    claim_id: UUID
    kind: str
    actor: str
    note: str


class Matter(msgspec.Struct, frozen=True):
    """What a case of no member is about."""

    bucket: int
    kind: str
    detail: str


Mark = tuple[datetime, UUID]
BEGINNING: Mark = (EPOCH, UUID(int=0))


async def listed(
    conn: Connection, after: Mark | None, *, closed: bool, kind: str | None, limit: int
) -> Sequence[CaseSeen]:
    """Return cases by the instant they were opened, closed ones by that they were closed."""
    sql = CLOSED if closed else OPEN
    found = await rows(conn, sql, *(after or BEGINNING), BUCKETS, kind, limit)
    return [_case(row) for row in found]


async def close(conn: Connection, case_id: UUID, now: datetime, *, actor: str, note: str) -> bool:
    """Close a case; return whether it was open until now."""
    return bool(await rows(conn, CLOSE, bucket_of(case_id), case_id, now, actor, note))


async def close_those(conn: Connection, closed: Sequence[Closed], now: datetime) -> None:
    """Close the cases of these kinds that are open about claims whose members are locked."""
    if not closed:
        return
    ids = [each.claim_id for each in closed]
    await run(
        conn,
        CLOSE_THOSE,
        [bucket_of(id_) for id_ in ids],
        ids,
        [each.kind for each in closed],
        [each.actor for each in closed],
        [each.note for each in closed],
        now,
    )


async def close_matters(
    conn: Connection, matters: Sequence[Matter], now: datetime, *, actor: str, note: str
) -> None:
    """Close the cases that are open about matters of no member, whatever bucket they lie in."""
    if matters:
        kinds, details = [one.kind for one in matters], [one.detail for one in matters]
        await run(conn, CLOSE_MATTERS, BUCKETS, kinds, details, now, actor, note)


async def one(conn: Connection, case_id: UUID) -> CaseSeen | None:
    """Return a case."""
    found = await rows(conn, ONE, bucket_of(case_id), case_id)
    return _case(found[0]) if found else None


def _case(row: Any) -> CaseSeen:
    return CaseSeen(**row._asdict())
