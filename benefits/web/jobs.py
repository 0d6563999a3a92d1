"""Lists of rewards from the CRM: short ones are answered at once, long ones become a job."""

import asyncio
import hashlib
import tempfile
from datetime import datetime
from typing import IO, Annotated, Any, cast
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, QueryParameter

from benefits.actions import run_jobs
from benefits.actions.run_jobs import UnknownJob
from benefits.domain.callers import Caller
from benefits.domain.jobs import Ending, Format
from benefits.domain.requests import check_key
from benefits.store import jobs
from benefits.store.db import Connection
from benefits.store.jobs import BEGINNING, Job, Place, RowEnding
from benefits.web import cursors, rehearsal
from benefits.web.auth import IdempotencyKey, needs

BULK_PATH = "/v1/grants:bulk"
BULK_BYTES_MAX = 2**28
IN_MEMORY_BYTES = 2**20
PAGE_MAX = 1000
SEE_ALL = ("operator", "auditor")
OUTCOMES = r"\A(granted|known|refused)\Z"
FORMATS = {
    "text/csv": Format.CSV,
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
}


class JobView(msgspec.Struct, kw_only=True):
    """How a job stands: of its lines so many granted, known before and refused."""

    id: UUID
    state: str
    lines: int
    granted: int
    known: int
    refused: int
    lines_per_s: float
    begun_at: datetime
    changed_at: datetime
    ended_at: datetime | None


class JobRowView(msgspec.Struct, kw_only=True):
    """What became of a line; `code` and `detail` say why it was refused."""

    line: int
    outcome: str
    lot_id: UUID | None
    code: str | None
    detail: str | None


class BulkView(msgspec.Struct, kw_only=True):
    """A job, and its rows where the list is short and decided."""

    job: JobView
    rows: list[JobRowView]


class JobRowsView(msgspec.Struct, kw_only=True):
    """A page of a job's rows; `next` is absent at the end."""

    rows: list[JobRowView]
    next: str | None


@post(
    BULK_PATH,
    guards=[needs("crm")],
    tags=["rewards"],
    operation_id="grant_bulk",
    status_code=200,
    request_max_body_size=BULK_BYTES_MAX,
)
async def grant_bulk(
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[BulkView]:
    """Reward a list of members, each once per business key. Needs an Idempotency-Key.

    CSV with a header or NDJSON: `benefit,business_key`, `member_id` or `customer`, and if wanted
    `quantity,valid_days,expires_on`. Up to 1000 lines are decided at once and answered line by
    line (200); a longer list becomes a job (202), which the worker decides and `GET /v1/jobs/{id}`
    tells of. The same list again under the same key is the same job. A dry run takes up to 1000
    lines.
    """
    parts = request.app.state.parts
    place = run_jobs.place_of(request.auth.name, check_key(idempotency_key))
    on = rehearsal.database(request, dry_run=dry_run)
    format_ = _format(request)
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as spool:
        file = cast("IO[bytes]", spool)
        digest = await _spool(request, file, format_)

        async def begin(conn: Connection) -> tuple[Job, bool]:
            return await run_jobs.begin(
                conn, place, parts, digest=digest, file=file, format_=format_, is_dry=dry_run
            )

        async def rehearse(conn: Connection) -> tuple[Job, list[RowEnding], bool]:
            job, is_new = await begin(conn)
            return *await run_jobs.at_once(conn, parts, job), is_new

        if dry_run:  # one transaction: nothing would be left for a second
            job, rows, is_new = await on.transact(rehearse)
            return _answer(job, rows, replayed=not is_new)
        job, is_new = await on.transact(begin)
    job, rows = await on.transact(lambda conn: run_jobs.at_once(conn, parts, job))
    return _answer(job, rows, replayed=not is_new)


def _format(request: Request[Any, Any, Any]) -> Format:
    name, parameters = request.content_type
    if name not in FORMATS or parameters.get("charset", "utf-8").lower() != "utf-8":
        raise HTTPException(
            status_code=415, detail="Send text/csv or application/x-ndjson, in UTF-8."
        )
    return FORMATS[name]


async def _spool(request: Request[Any, Any, Any], spool: IO[bytes], format_: Format) -> bytes:
    """Write the body to a file as it comes; return the hash of what is asked."""
    digest = hashlib.blake2b(format_.value.encode() + b"\x00", digest_size=16)
    async for part in request.stream():
        digest.update(part)
        await asyncio.to_thread(spool.write, part)
    return digest.digest()


def _answer(job: Job, rows: list[RowEnding], *, replayed: bool) -> Response[BulkView]:
    headers = {"Location": f"/v1/jobs/{job.job_id}"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    view = BulkView(job=_view(job), rows=[_row_view(row) for row in rows])
    return Response(view, status_code=200 if job.ended_at else 202, headers=headers)


def _view(job: Job) -> JobView:
    seconds = (job.changed_at - job.begun_at).total_seconds()
    return JobView(
        id=job.job_id,
        state="done" if job.ended_at else "running",
        lines=job.lines,
        granted=job.granted,
        known=job.known,
        refused=job.refused,
        lines_per_s=round(job.decided / seconds, 1) if seconds else 0.0,
        begun_at=job.begun_at,
        changed_at=job.changed_at,
        ended_at=job.ended_at,
    )


def _row_view(row: RowEnding) -> JobRowView:
    return JobRowView(
        line=row.line,
        outcome=row.ending.value,
        lot_id=row.lot_id,
        code=row.code or None,
        detail=row.detail or None,
    )


@get(
    "/v1/jobs/{job_id:uuid}",
    guards=[needs("crm", "operator", "auditor")],
    tags=["rewards"],
    operation_id="get_job",
)
async def get_job(job_id: FromPath[UUID], request: Request[Any, Any, Any]) -> JobView:
    """Return how a job stands. It is `done` when every line is granted, known or refused.

    Operators and auditors see every job, others their own.
    """
    return _view(await _seen(request, job_id))


@get(
    "/v1/jobs/{job_id:uuid}/rows",
    guards=[needs("crm", "operator", "auditor")],
    tags=["rewards"],
    operation_id="get_job_rows",
)
async def get_job_rows(
    job_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    *,
    outcome: Annotated[str | None, QueryParameter(pattern=OUTCOMES)] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
) -> JobRowsView:
    """Return a job's rows by line: what became of each, and the lot of those not refused.

    While the job is `running`, lines that were passed may still be decided.
    """
    kind = f"rows of {job_id} {outcome or ''}"
    wanted = Ending(outcome) if outcome else None
    after = cursors.read(kind, cursor, Place) or BEGINNING
    await _seen(request, job_id)
    async with request.app.state.database.transaction() as conn:
        found = await jobs.endings(conn, job_id, wanted, after=after, limit=limit + 1)
    page = found[:limit]
    more = cursors.write(kind, after.behind(page)) if len(found) > limit else None
    return JobRowsView(rows=[_row_view(row) for row in page], next=more)


async def _seen(request: Request[Any, Any, Any], job_id: UUID) -> Job:
    """Return a job that the caller may see (UnknownJob)."""
    job = await run_jobs.look(request.app.state.database, job_id)
    caller: Caller = request.auth
    if job.caller != caller.name and caller.scopes.isdisjoint(SEE_ALL):
        raise UnknownJob
    return job


HANDLERS = [grant_bulk, get_job, get_job_rows]
