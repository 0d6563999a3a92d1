"""Jobs: lists in parts, taken by whoever is free, and what became of their rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from benefits.domain.jobs import Ending
from benefits.domain.values import bucket_of
from benefits.store.db import Connection, rows, run


class JobKey(msgspec.Struct, frozen=True):
    """By what a caller knows a job; it lies in the bucket."""

    bucket: int
    caller: str
    key: str


class Job(msgspec.Struct, frozen=True):
    """A job as it stands: of its lines so many granted, known before and refused."""

    job_id: UUID
    caller: str
    digest: bytes
    lines: int
    granted: int
    known: int
    refused: int
    begun_at: datetime
    changed_at: datetime
    ended_at: datetime | None

    @property
    def decided(self) -> int:
        """How many rows are decided."""
        return self.granted + self.known + self.refused


class Taken(msgspec.Struct, frozen=True):
    """A part that this transaction holds, with its job's caller and size."""

    job_id: UUID
    part: int
    lines_sealed: bytes
    caller: str
    lines: int


class RowEnding(msgspec.Struct, frozen=True):
    """What became of one row; `code` and `detail` say why it was refused."""

    line: int
    ending: Ending
    code: str = ""
    detail: str = ""
    lot_id: UUID | None = None
    part: int = 0  # where it is known: of rows of long lists that were not refused


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a reader of rows stands: behind a line, and behind the parts before one."""

    line: int = 0
    part: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0

    def behind(self, page: Sequence[RowEnding]) -> "Place":
        """Return where a reader stands after a page."""
        return Place(page[-1].line, max(self.part, *(one.part for one in page)))


BEGINNING = Place()


_JOB = """j.job_id, j.caller, j.digest, j.lines, j.granted, j.known, j.refused, j.begun_at,
       j.changed_at, j.ended_at"""
# Unique key (bucket, caller, key).
BY_KEY = f"SELECT {_JOB} FROM job AS j WHERE j.bucket = $1 AND j.caller = $2 AND j.key = $3"
BY_ID = f"SELECT {_JOB} FROM job AS j WHERE j.bucket = $1 AND j.job_id = $2"
UNENDED = f"""
SELECT {_JOB} FROM job AS j
WHERE j.bucket = $1 AND j.caller = $2 AND j.digest = $3 AND j.ended_at IS NULL
ORDER BY j.begun_at LIMIT 1
"""
PUT = """
INSERT INTO job (bucket, job_id, caller, key, digest, lines, begun_at, changed_at, ended_at)
VALUES ($1, $2, $3, $4, $5, $6::bigint, $7::timestamptz, $7,
        CASE WHEN $6::bigint = 0 THEN $7 END)
"""
PUT_PART = """
INSERT INTO job_part (bucket, job_id, part, lines_sealed, not_before) VALUES ($1, $2, $3, $4, $5)
"""
# A part goes to whoever takes it first; what another process holds is passed over.
_TAKE = """
SELECT p.job_id, p.part, p.lines_sealed, j.caller, j.lines
FROM job AS j JOIN job_part AS p ON p.bucket = j.bucket AND p.job_id = j.job_id
WHERE {} AND j.ended_at IS NULL AND p.not_before <= $3
ORDER BY j.begun_at, p.not_before, p.part LIMIT 1
FOR UPDATE OF p SKIP LOCKED
"""
TAKE_OF = _TAKE.format("j.bucket = $1 AND j.job_id = $2")
# ix_job_running
TAKE_ANY = _TAKE.format("j.bucket BETWEEN $1 AND $2")
DROP_PART = "DELETE FROM job_part WHERE bucket = $1 AND job_id = $2 AND part = $3"
DEFER = """
UPDATE job_part SET lines_sealed = $4, not_before = $5
WHERE bucket = $1 AND job_id = $2 AND part = $3
"""
PUT_ROWS = """
INSERT INTO job_row (bucket, job_id, line, outcome, code, detail, lot_id)
SELECT $1, $2, n.* FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::uuid[]) AS n
"""
PUT_OUTCOME = """
INSERT INTO job_outcome (bucket, job_id, part, tries, lines, lots, known)
VALUES ($1, $2, $3, $4, $5::bigint[], $6::uuid[], $7::boolean[])
"""
COUNT = """
UPDATE job
SET granted = granted + $3, known = known + $4, refused = refused + $5,
    changed_at = greatest(changed_at, $6),
    ended_at = CASE WHEN granted + known + refused + $3 + $4 + $5 = lines
               THEN greatest(changed_at, $6) END
WHERE bucket = $1 AND job_id = $2
"""
# Primary key.
ROWS = """
SELECT r.line, r.outcome, r.code, r.detail, r.lot_id FROM job_row AS r
WHERE r.bucket = $1 AND r.job_id = $2 AND r.line > $3 AND ($4::text IS NULL OR r.outcome = $4)
ORDER BY r.line LIMIT $5
"""
# Primary key, in its order: parts are cut from a list one after the other, so only rows of one
# part are to be sorted.
OUTCOMES = """
SELECT n.line, n.lot_id, n.is_known, o.part
FROM job_outcome AS o
CROSS JOIN LATERAL unnest(o.lines, o.lots, o.known) AS n (line, lot_id, is_known)
WHERE o.bucket = $1 AND o.job_id = $2 AND o.part >= $3 AND n.line > $4
  AND ($5::boolean IS NULL OR n.is_known = $5)
ORDER BY o.part, n.line LIMIT $6
"""


def _job(found: Sequence[Any]) -> Job | None:
    return Job(*found[0]) if found else None


async def by_key(conn: Connection, place: JobKey) -> Job | None:
    """Return the job that a caller began under a key."""
    return _job(await rows(conn, BY_KEY, place.bucket, place.caller, place.key))


async def by_id(conn: Connection, job_id: UUID) -> Job | None:
    """Return a job."""
    return _job(await rows(conn, BY_ID, bucket_of(job_id), job_id))


async def unended(conn: Connection, bucket: int, caller: str, digest: bytes) -> Job | None:
    """Return a job of the same file that has not ended."""
    return _job(await rows(conn, UNENDED, bucket, caller, digest))


async def put(
    conn: Connection, place: JobKey, job_id: UUID, *, digest: bytes, lines: int, now: datetime
) -> None:
    """Begin a job whose parts are there already."""
    await run(conn, PUT, place.bucket, job_id, place.caller, place.key, digest, lines, now)


async def put_part(
    conn: Connection, job_id: UUID, part: int, *, lines_sealed: bytes, now: datetime
) -> None:
    """Keep a part of a job."""
    await run(conn, PUT_PART, bucket_of(job_id), job_id, part, lines_sealed, now)


async def take(conn: Connection, which: UUID | tuple[int, int], now: datetime) -> Taken | None:
    """Take the next part of a job, or of any in a range of buckets; None when none is free."""
    if isinstance(which, UUID):
        found = await rows(conn, TAKE_OF, bucket_of(which), which, now)
    else:
        found = await rows(conn, TAKE_ANY, *which, now)
    return Taken(*found[0]) if found else None


async def drop_part(conn: Connection, taken: Taken) -> None:
    """Let a part go that is decided."""
    await run(conn, DROP_PART, bucket_of(taken.job_id), taken.job_id, taken.part)


async def defer(
    conn: Connection, taken: Taken, *, lines_sealed: bytes, not_before: datetime
) -> None:
    """Let a part wait with what is left of it, behind all that waits already."""
    await run(
        conn,
        DEFER,
        bucket_of(taken.job_id),
        taken.job_id,
        taken.part,
        lines_sealed,
        not_before,
    )


async def put_rows(conn: Connection, job_id: UUID, endings: Sequence[RowEnding]) -> None:
    """Record what became of rows."""
    await run(
        conn,
        PUT_ROWS,
        bucket_of(job_id),
        job_id,
        [one.line for one in endings],
        [one.ending.value for one in endings],
        [one.code for one in endings],
        [one.detail for one in endings],
        [one.lot_id for one in endings],
    )


async def put_outcome(
    conn: Connection, taken: Taken, tries: int, endings: Sequence[RowEnding]
) -> None:
    """Record which lots rows of a part have; none of them was refused."""
    await run(
        conn,
        PUT_OUTCOME,
        bucket_of(taken.job_id),
        taken.job_id,
        taken.part,
        tries,
        [one.line for one in endings],
        [one.lot_id for one in endings],
        [one.ending is Ending.KNOWN for one in endings],
    )


async def count(
    conn: Connection, job_id: UUID, figures: tuple[int, int, int], now: datetime
) -> None:
    """Add to a job's granted, known and refused; it ends when no line is left."""
    await run(conn, COUNT, bucket_of(job_id), job_id, *figures, now)


async def endings(
    conn: Connection, job_id: UUID, ending: Ending | None, *, after: Place, limit: int
) -> list[RowEnding]:
    """Return what became of rows beyond a place, in order."""
    bucket, wanted = bucket_of(job_id), ending.value if ending else None
    found = [
        RowEnding(r.line, Ending(r.outcome), r.code, r.detail, r.lot_id)
        for r in await rows(conn, ROWS, bucket, job_id, after.line, wanted, limit)
    ]
    if ending is not Ending.REFUSED:
        known = None if ending is None else ending is Ending.KNOWN
        found += [
            RowEnding(
                r.line,
                Ending.KNOWN if r.is_known else Ending.GRANTED,
                lot_id=r.lot_id,
                part=r.part,
            )
            for r in await rows(
                conn, OUTCOMES, bucket, job_id, after.part, after.line, known, limit
            )
        ]
    return sorted(found, key=lambda one: one.line)[:limit]
