"""A list of rewards by command: begun as a job, decided here, told as it goes."""

import csv
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import IO, BinaryIO, TextIO, cast

import rich_click as click
from rich.status import Status

from benefits.actions.run_jobs import begin_file, refused_rows, run_job
from benefits.cli.console import console
from benefits.cli.house import record
from benefits.domain.jobs import Format
from benefits.house import House
from benefits.store.db import Connection
from benefits.store.jobs import Job

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


async def grant_file(
    house: House, file: BinaryIO, format_: Format, *, status: Status, refused: TextIO | None
) -> None:
    """Decide a file to its end and tell what was done; exit with 2 when rows were refused."""
    with ExitStack() as ends:
        list_ = cast("IO[bytes]", file)
        if not file.seekable():
            list_ = ends.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES))
            shutil.copyfileobj(file, list_)
            list_.seek(0)

        async def store(conn: Connection) -> tuple[Job, bool]:
            return await begin_file(conn, CALLER, house.parts, file=list_, format_=format_)

        job, is_new = await house.database.transact(store)
    how = "Began" if is_new else "Goes on with"
    console.print(f"{how} job {job.job_id}: {job.lines:,} lines.")
    shown = _Shown(status, job)
    done = await run_job(house.database, house.parts, job.job_id, progress=shown.show)
    await _tell(house, done, refused)


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


async def _tell(house: House, job: Job, refused: TextIO | None) -> None:
    record(
        "import.done",
        what="grants",
        job=job.job_id.hex,
        lines=job.lines,
        kept=job.granted,
        unchanged=job.known,
        refused=job.refused,
    )
    writer = csv.writer(refused) if refused else None
    if writer:
        writer.writerow(("line", "code", "detail"))
    shown = 0
    async for row in refused_rows(house.database, job.job_id):
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
    if job.refused:
        sys.exit(2)
