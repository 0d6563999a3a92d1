"""A list of rewards by command: begun as a job, decided here, told as it goes."""

import csv
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, NamedTuple, TextIO, cast

import rich_click as click
from rich.status import Status

from benefits.actions.run_jobs import ListTooLong, at_once, begin_file, rows_of, run_job
from benefits.cli.console import console
from benefits.cli.house import record, say_if_dry
from benefits.domain.jobs import PART_LINES, Ending, Format
from benefits.house import House
from benefits.store import jobs
from benefits.store.db import Connection
from benefits.store.jobs import BEGINNING, Job, RowEnding

CALLER = "system:import"
IN_MEMORY_BYTES = 2**20
PROGRESS_EVERY_S = 5.0  # where it is written down; a terminal shows every step in one place
REFUSED_SHOWN = 100
STOPPED = "Interrupted. The same command goes on where it stood; so does `benefits work`."


def format_of(name: str) -> Format:
    """Return how a file is written, by its name's end; a name without one says CSV."""
    if name.lower().endswith((".ndjson", ".jsonl")):
        return Format.NDJSON
    if name.lower().endswith(".csv") or "." not in name or name.startswith("<"):
        return Format.CSV
    raise click.UsageError("Say --format csv or --format ndjson; the file's name does not tell.")


class Told(NamedTuple):
    """Where what became of rows goes as CSV: the refused ones, and all."""

    refused: TextIO | None
    outcomes: TextIO | None


async def grant_file(
    house: House, file: BinaryIO, format_: Format, *, status: Status, told: Told
) -> None:
    """Decide a file to its end and tell what was done; exit with 2 when rows were refused."""
    with _seekable(file) as list_:

        async def store(conn: Connection) -> tuple[Job, bool]:
            return await begin_file(conn, CALLER, house.parts, file=list_, format_=format_)

        job, is_new = await house.database.transact(store)
    how = "Began" if is_new else "Goes on with"
    console.print(f"{how} job {job.job_id}: {job.lines:,} lines.")
    shown = _Shown(status, job)
    done = await run_job(house.database, house.parts, job.job_id, progress=shown.show)
    await _tell(house, done, told)


async def rehearse_file(house: House, file: BinaryIO, format_: Format, *, told: Told) -> None:
    """Tell what a short file would do now, row by row, and leave nothing (ListTooLong)."""

    async def decide(conn: Connection) -> tuple[Job, list[RowEnding]]:
        job, _ = await begin_file(
            conn, CALLER, house.parts, file=list_, format_=format_, is_dry=True
        )
        if job.lines > PART_LINES:
            raise ListTooLong
        job, _ = await at_once(conn, house.parts, job)
        rows = await jobs.endings(conn, job.job_id, None, after=BEGINNING, limit=PART_LINES)
        return job, rows

    with _seekable(file) as list_:
        job, rows = await house.database.rehearsal().transact(decide)
    await _say(job, _each([row for row in rows if row.ending is Ending.REFUSED]), told.refused)
    await _write(_each(rows), told.outcomes)
    if job.decided < job.lines:
        console.print(f"{job.lines - job.decided:,} lines wait for members who are busy.")
    say_if_dry(dry_run=True)
    if job.refused:
        sys.exit(2)


async def _each(rows: list[RowEnding]) -> AsyncIterator[RowEnding]:
    for row in rows:
        yield row


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[IO[bytes]]:
    """Give a list that can be read again: a pipe is kept until the end."""
    if file.seekable():
        yield file
        return
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as spool:
        shutil.copyfileobj(file, spool)
        spool.seek(0)
        yield cast("IO[bytes]", spool)


class _Shown:
    """Where a job's progress is shown."""

    def __init__(self, status: Status, job: Job) -> None:
        self._status = status
        self._before = job.decided
        self._start = self._told = time.monotonic()

    def show(self, job: Job) -> None:
        """Show how far a job is."""
        now = time.monotonic()
        per_s = (job.decided - self._before) / max(now - self._start, 0.001)
        text = (
            f"{job.decided:,} of {job.lines:,} lines, {job.granted:,} granted, "
            f"{job.refused:,} refused; {per_s:,.0f} lines/s"
        )
        if per_s:
            left = round((job.lines - job.decided) / per_s)
            text += f"; about {left // 60}:{left % 60:02d} min left"
        self._status.update(text)
        if not console.is_terminal and now - self._told >= PROGRESS_EVERY_S:
            self._told = now
            console.print(text)


async def _tell(house: House, job: Job, told: Told) -> None:
    record(
        "import.done",
        what="grants",
        job=job.job_id.hex,
        lines=job.lines,
        kept=job.granted,
        unchanged=job.known,
        refused=job.refused,
    )
    refused = rows_of(house.database, job.job_id, Ending.REFUSED)
    await _say(job, refused, told.refused)
    await _write(rows_of(house.database, job.job_id), told.outcomes)
    if job.refused:
        sys.exit(2)


async def _write(rows: AsyncIterator[RowEnding], outcomes: TextIO | None) -> None:
    """Write what became of every row to a file, if one is wanted."""
    if outcomes is None:
        return
    writer = csv.writer(outcomes)
    writer.writerow(("line", "outcome", "lot_id", "code", "detail"))
    async for row in rows:
        writer.writerow((row.line, row.ending.value, row.lot_id or "", row.code, row.detail))


async def _say(job: Job, rows: AsyncIterator[RowEnding], refused: TextIO | None) -> None:
    """Print what became of a list, its first refused rows, and all of them to a file."""
    writer = csv.writer(refused) if refused else None
    if writer:
        writer.writerow(("line", "code", "detail"))
    shown = 0
    async for row in rows:
        if writer:
            writer.writerow((row.line, row.code, row.detail))
        if shown < REFUSED_SHOWN:
            console.print(f"line {row.line}: {row.code}: {row.detail}")
        shown += 1
        if writer is None and shown == REFUSED_SHOWN:
            break
    if job.refused > REFUSED_SHOWN:
        console.print(f"… and {job.refused - REFUSED_SHOWN:,} more lines were refused")
    console.print(
        f"{job.lines:,} lines: {job.granted:,} granted, {job.known:,} known already, "
        f"{job.refused:,} refused."
    )
