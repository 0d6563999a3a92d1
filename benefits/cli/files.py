"""Take a file of the bank by command: tell how far it is, and in the end what was done."""

import os
import stat
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TextIO

import rich_click as click

from benefits.actions.import_files import Imported, Progress
from benefits.cli.console import console
from benefits.cli.house import record, run, say_if_dry
from benefits.house import House

# Bytes that are no UTF-8 come as surrogates, so that they spoil their own line only.
TEXT = click.File(encoding="utf-8", errors="surrogateescape")
DOCUMENT = click.File(encoding="utf-8")  # what is read as a whole, or not at all
PROGRESS_EVERY_S = 5.0  # where it is written down; a terminal shows every step in one place


def whole(file: TextIO) -> str:
    """Return all that a document says (click.BadParameter where it is not in UTF-8)."""
    try:
        return file.read()
    except UnicodeDecodeError as error:
        told = f"{file.name} is not in UTF-8 from byte {error.start} on; save it in UTF-8"
        raise click.BadParameter(told) from None


def take_file(
    what: str,
    file: TextIO,
    take: Callable[[House, Progress], Awaitable[Imported]],
    *,
    dry_run: bool,
) -> None:
    """Take a file into the house, tell how far it is, and in the end what was done."""
    done = Imported()
    start = told = time.monotonic()

    async def work_(house: House) -> None:
        nonlocal done
        done = await take(house, progress)

    with console.status("Importing …") as status:

        def progress(so_far: Imported) -> None:
            nonlocal done, told
            done, now = so_far, time.monotonic()
            text = _how_far(so_far, now - start, _part_read(file))
            status.update(text)
            if not console.is_terminal and now - told >= PROGRESS_EVERY_S:
                told = now
                console.print(text)

        try:
            run(work_)
        except KeyboardInterrupt:
            say_if_dry(dry_run=dry_run)
            if not dry_run:
                console.print(
                    f"Interrupted; {done.lines:,} lines are done. "
                    "Import the whole file again: what is known already changes nothing."
                )
            sys.exit(130)
    _tell(what, done, dry_run=dry_run)


def _part_read(file: TextIO) -> float | None:
    """Return how much of a file has been read, from 0 to 1; None for a pipe."""
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
        return None
    return min(file.buffer.tell() / found.st_size, 1.0)


def _how_far(done: Imported, seconds: float, part: float | None) -> str:
    text = (
        f"{done.lines:,} lines read, {done.kept:,} kept, {done.refused:,} refused; "
        f"{done.lines / max(seconds, 0.001):,.0f} lines/s"
    )
    if not part:
        return text
    left = round(seconds * (1 - part) / part)
    return f"{text}; {part:.0%} of the file, about {left // 60}:{left % 60:02d} min left"


def _tell(what: str, done: Imported, *, dry_run: bool) -> None:
    if not dry_run:
        record(
            "import.done",
            what=what,
            lines=done.lines,
            kept=done.kept,
            unchanged=done.unchanged,
            refused=done.refused,
        )
    for number, reason in done.shown:
        console.print(f"line {number}: {reason}")
    if done.refused > len(done.shown):
        console.print(f"… and {done.refused - len(done.shown):,} more lines were refused")
    console.print(
        f"{done.lines:,} lines: {done.kept:,} new or changed, {done.unchanged:,} known already, "
        f"{done.refused:,} refused."
    )
    say_if_dry(dry_run=dry_run)
    if done.refused:
        sys.exit(2)
