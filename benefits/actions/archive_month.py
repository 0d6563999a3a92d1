"""Take a closed, sealed month out of the ledger into a file; put it back (decision 25).

    file written and checked  ->  what it leaves behind is made  ->  exchanged, under a lock

The file is written and read again first. All else is one transaction: interrupted anywhere, the
month is where it was, and the same command goes on from the beginning.
"""

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Callable
from itertools import islice
from pathlib import Path

import msgspec

from benefits.actions.parts import Parts
from benefits.actions.read_archive import Checked, batches_of, check_file
from benefits.domain import merkle, seals
from benefits.domain.archive import FORMAT, Archive, ArchiveUnfit, Header, line_of
from benefits.domain.checkpoints import read_notes
from benefits.domain.refusal import Refusal
from benefits.domain.values import Month
from benefits.store import archive as store
from benefits.store import carried, months, roles
from benefits.store import seals as log
from benefits.store.archive import Extent
from benefits.store.db import Connection, Database
from benefits.store.signing import SealKey

PAGE = 2_000
LOCK_TRIES = 30
LOCK_PAUSE_S = 1.0

Progress = Callable[[int, int], None]


class MonthNotClosed(Refusal):
    """Something of the month is booked in a month that finance has not closed."""

    code = "month_not_closed"
    words = "Not all that was recorded in the month is booked in closed months."


class BatchesUnsealed(Refusal):
    """A file of batches that no exported checkpoint signs would prove nothing."""

    code = "batches_unsealed"
    words = "Not all batches of the month are under a checkpoint that has left the database."


class HoldsOpen(Refusal):
    """An open hold must be ended by its postings."""

    code = "holds_open"
    words = "Holds that were placed in the month have not ended."


class MonthAbsent(Refusal):
    """There is nothing of the month to archive, or to restore."""

    code = "month_absent"
    words = "There are no batches of that month."


class LedgerBusy(Refusal):
    """Somebody reads or writes the ledger for too long to exchange a month of it."""

    code = "ledger_busy"
    words = "Something long is using the ledger. Do it again a little later."


class Done(msgspec.Struct, frozen=True):
    """A month as it is archived, whether it is new, and how many of its batches are kept."""

    archive: Archive
    is_new: bool
    kept: int = 0


async def find(database: Database, month: Month) -> Archive | None:
    """Return a month if it is archived."""
    async with database.transaction() as conn:
        found = [one for one in await carried.archives(conn) if one.name == month]
    return found[0] if found else None


async def check_month(conn: Connection, month: Month) -> tuple[Extent, str]:
    """Return what is known of a month that may be archived, and the checkpoint over it.

    MonthAbsent, MonthNotClosed, BatchesUnsealed, HoldsOpen.
    """
    extent, closed = await store.extent(conn, month), await months.last_closed(conn)
    if not extent.batches:
        raise MonthAbsent
    booked_to = Month.of(extent.booked_to) if extent.booked_to else month
    if closed is None or closed < max(month, booked_to):
        raise MonthNotClosed(f"Close {max(month, booked_to)} first.")
    note = await store.exported_note(conn)
    size = next(read_notes(note)).checkpoint.size if note else 0
    if note is None or extent.sealed < extent.batches or (extent.beyond_leaf or 0) > size:
        raise BatchesUnsealed
    if extent.open_holds:
        raise HoldsOpen(f"{extent.open_holds} holds that were placed in {month} have not ended.")
    return extent, note


async def archive_month(
    database: Database, parts: Parts, month: Month, folder: Path, *, key: SealKey, say: Progress
) -> Done:
    """Write a month to a file in `folder` and take it out of the ledger; again changes nothing.

    ArchiveUnfit, LedgerBusy, and what `check_month` refuses.
    """
    if (there := await find(database, month)) is not None:
        return Done(there, is_new=False)
    async with database.transaction() as conn:
        extent, note = await check_month(conn, month)
        header = await _header(conn, month, extent, note)
    path = folder / f"ledger-{month}.ndjson.gz"
    await _write(database, path, header, say)
    checked = check_file(path, lambda _: None)
    if checked.batches != extent.batches:
        raise ArchiveUnfit(f"{checked.batches} of {extent.batches} batches are in the file.")
    done = await database.transact(lambda conn: _take_out(conn, parts, checked, key))
    (folder / f"ledger-{month}.note").write_text(done.archive.note, encoding="utf-8")
    return done


async def _header(conn: Connection, month: Month, extent: Extent, note: str) -> Header:
    assert extent.first_leaf is not None
    assert extent.beyond_leaf is not None
    span = (extent.first_leaf, extent.beyond_leaf)
    size = next(read_notes(note)).checkpoint.size
    ranges = [*merkle.edge(size), *merkle.around(span[0], size), *merkle.around(span[1] - 1, size)]
    beside = merkle.beside(await log.read_kept(conn, ranges), span, size)
    return Header(
        format=FORMAT,
        month=str(month),
        first_leaf=span[0],
        beyond_leaf=span[1],
        beside=[digest.hex() for digest in beside],
        checkpoint=note,
    )


async def _write(database: Database, path: Path, header: Header, say: Progress) -> None:
    """Write a file whole or not at all, each batch as it was sealed (ArchiveUnfit)."""
    part = path.with_suffix(".part")
    with part.open("wb") as plain:
        with gzip.GzipFile(filename="", fileobj=plain, mode="wb", mtime=0) as packed:
            packed.write(msgspec.json.encode(header) + b"\n")
            async for lines, done in _pages(database, header):
                packed.write(lines)
                say(done - header.first_leaf, header.beyond_leaf - header.first_leaf)
        plain.flush()
        os.fsync(plain.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)  # what leaves the database is nowhere else
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def _pages(database: Database, header: Header) -> AsyncIterator[tuple[bytes, int]]:
    month = Month.parse(header.month)
    for start in range(header.first_leaf, header.beyond_leaf, PAGE):
        end = min(start + PAGE, header.beyond_leaf)
        async with database.transaction() as conn:
            page = await store.sealed(conn, month, start, end)
        for one in page:
            if one.batch is None:
                continue
            if one.event is None or (seals.seal(one.batch, one.event, one.postings) != one.digest):
                raise ArchiveUnfit(f"Batch {one.batch['batch_id']} is not what was sealed.")
        yield b"".join(msgspec.json.encode(line_of(one)) + b"\n" for one in page), end


async def _take_out(conn: Connection, parts: Parts, checked: Checked, key: SealKey) -> Done:
    month = checked.month
    await roles.act_as_owner(conn)
    await store.alone(conn)
    if there := [one for one in await carried.archives(conn) if one.name == month]:
        return Done(there[0], is_new=False)
    extent, _ = await check_month(conn, month)
    left = await store.leave(conn, month)
    first, beyond = store.ids_of(month)
    made = Archive(
        month=month.start,
        archived_at=parts.clock(),
        first_id=first,
        beyond_id=beyond,
        first_leaf=checked.span[0],
        beyond_leaf=checked.span[1],
        batches=checked.batches,
        recorded_from=extent.recorded_from,
        recorded_to=extent.recorded_to,
        effective_from=extent.effective_from,
        effective_to=extent.effective_to,
        file_digest=checked.digest,
        carried_digest=left.carried,
        holds_digest=left.holds,
        note="",
    )
    note = key.sign_text(made.text(key.public.name))
    made = msgspec.structs.replace(made, note=note)
    await _lock(conn)
    if await store.given_back_since(conn, month):
        raise LedgerBusy("Something of the month was given back just now. Do it again.")
    await store.take_out(conn, made)
    return Done(made, is_new=True, kept=left.kept)


async def _lock(conn: Connection) -> None:
    """Have the ledger alone; whoever waits behind us waits a second at most (LedgerBusy)."""
    for _ in range(LOCK_TRIES):
        if await store.lock(conn):
            return
        await asyncio.sleep(LOCK_PAUSE_S)
    raise LedgerBusy


async def check_back(database: Database, month: Month, path: Path) -> Archive:
    """Return what a file would put back of an archived month (MonthAbsent, ArchiveUnfit)."""
    there = await find(database, month)
    if there is None:
        raise MonthAbsent(f"{month} is not archived.")
    checked = check_file(path, lambda _: None)
    if (checked.month, checked.batches) != (month, there.batches):
        raise ArchiveUnfit(f"It has {checked.batches} batches of {checked.month}.")
    return there


async def restore_month(
    database: Database, parts: Parts, month: Month, path: Path, *, say: Progress
) -> Archive:
    """Put the batches of an archived month back from its file (MonthAbsent, ArchiveUnfit)."""
    there = await check_back(database, month, path)

    async def work(conn: Connection) -> None:
        await roles.act_as_owner(conn)
        await store.alone(conn)
        if there not in await carried.archives(conn):
            raise MonthAbsent(f"{month} is not archived any more.")
        await store.begin_back(conn, month)
        done = 0
        batches = batches_of(path)
        while page := list(islice(batches, PAGE)):
            await store.put_back(conn, month, page)
            done += len(page)
            say(done, there.batches)
        if await store.count_right(conn, month) != there.batches:
            raise ArchiveUnfit("Its batches are not those that were sealed.")
        await _lock(conn)
        await store.take_in(conn, there, parts.clock())

    await database.transact(work)
    return there
