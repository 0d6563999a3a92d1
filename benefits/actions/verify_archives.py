"""Verify archived months: what they left behind against what was signed, and files against both.

Without a file the carried sums and the holds are compared with the digests in the signed note. A
file is checked by itself first, up to the root of its signed checkpoint, then against the log and
the sums here. The sums of a file are kept in memory meanwhile: one for each row it left behind.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec

from benefits.actions.read_archive import Checked, check_file
from benefits.actions.verify_seals import Audit
from benefits.domain import seals
from benefits.domain.archive import Archive, ArchiveUnfit, Sealed, Sums, read_note
from benefits.domain.values import BUCKETS, Month, bucket_of
from benefits.store import archive as store
from benefits.store import seals as log
from benefits.store.carried import STEADY, archives
from benefits.store.db import Connection, Database, run
from benefits.store.signing import is_signed, is_text_signed
from benefits.store.verify import Finding

AT_ONCE = 64  # buckets whose carried sums are read together
PAGE = 65_536


class Told(msgspec.Struct, frozen=True):
    """What a file tells: its leaves, their events, and what its postings come to."""

    digests: list[bytes]
    events: list[bytes]
    sums: Sums

    def add(self, sealed: Sealed) -> None:
        """Take a leaf."""
        self.digests.append(sealed.digest)
        self.events.append(seals.told(sealed.event))
        if sealed.batch is not None:
            self.sums.add_batch(sealed.batch, sealed.postings)


async def verify_archives(database: Database, audit: Audit) -> AsyncIterator[Finding]:
    """Yield what is wrong about archived months, and about the files that are given."""
    async with _steady(database) as conn:
        there = await archives(conn)
        for one in there:
            for finding in _unsigned(one, audit):
                yield finding
        for finding in await _left(conn, there):
            yield finding
    for path in audit.archives:
        told = Told([], [], Sums())
        try:  # it may take long, and needs nothing of the database
            checked = check_file(path, told.add)
        except ArchiveUnfit as refusal:
            yield Finding("archive_differs", path.name, refusal.detail)
            continue
        if not is_signed(checked.note, audit.keys):
            yield Finding("signature_invalid", path.name, "by none of the known keys")
        async with _steady(database) as conn:
            async for finding in _compare(conn, path.name, checked, told):
                yield finding


@asynccontextmanager
async def _steady(database: Database) -> AsyncIterator[Connection]:
    """Open a view that does not change."""
    async with database.transaction() as conn:
        await run(conn, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await run(conn, STEADY)
        yield conn


def _unsigned(one: Archive, audit: Audit) -> Iterator[Finding]:
    """Compare a row with its note, and the note with the keys."""
    text, signatures = read_note(one.note)
    origin = text.partition("\n")[0]
    if text != one.text(origin):
        yield Finding("archive_differs", str(one.name), "not what its note says")
    if audit.keys and not is_text_signed(origin, text, signatures, audit.keys):
        yield Finding("signature_invalid", f"archive {one.name}", "by none of the known keys")


async def _left(conn: Connection, there: list[Archive]) -> list[Finding]:
    """Compare what all archived months left behind with their digests."""
    found = list[Finding]()
    start, end = Month(1, 1), Month(9000, 1)
    carried = await store.carried_digests(conn, start, end)
    for one in there:
        if carried.pop(one.name, store.EMPTY) != one.carried_digest:
            found.append(Finding("carried_differs", str(one.name), "not what was signed"))
    found += [
        Finding("carried_differs", str(month), "carried, and the month is not archived")
        for month in carried
    ]
    if there:
        holds = await store.holds_digests(conn, there[0].name, there[-1].name.plus(1))
        found += [
            Finding("hold_differs", str(one.name), "holds of that month differ")
            for one in there
            if holds.get(one.name, store.EMPTY) != one.holds_digest
        ]
    return found


async def _compare(
    conn: Connection, name: str, checked: Checked, told: Told
) -> AsyncIterator[Finding]:
    """Compare a file that is whole with what the database knows of it."""
    if not await _same_leaves(conn, checked, told.digests):
        yield Finding("archive_differs", name, "its leaves are not those of the log")
    for one in await archives(conn):
        if one.name != checked.month:
            continue
        if (one.file_digest, one.batches) != (checked.digest, checked.batches):
            yield Finding("archive_differs", name, f"not the file of {one.archived_at}")
        for finding in [
            *await _events(conn, checked, told.events),
            *await _sums(conn, one.name, told.sums),
        ]:
            yield finding


async def _same_leaves(conn: Connection, checked: Checked, digests: list[bytes]) -> bool:
    first, beyond = checked.span
    for start in range(first, beyond, PAGE):
        end = min(start + PAGE, beyond)
        kept = await log.read_kept(conn, [(0, start, end)])
        if any(kept.get((0, n)) != digests[n - first] for n in range(start, end)):
            return False
    return True


async def _events(conn: Connection, checked: Checked, told: list[bytes]) -> list[Finding]:
    """Compare the events of a file, which stay in the database, with those that are there."""
    first, beyond = checked.span
    found = list[Finding]()
    for start in range(first, beyond, PAGE):
        end = min(start + PAGE, beyond)
        there = await store.events(conn, checked.month, start, end)
        found += [
            Finding("archive_differs", f"leaf {n}", "its event is not the one in the file")
            for n in range(start, end)
            if seals.told(there.get(n)) != told[n - first]
        ]
    return found


async def _sums(conn: Connection, month: Month, sums: Sums) -> list[Finding]:
    """Compare the sums of a file with the carried ones; name the members that differ.

    Batches that are here too are not carried.
    """
    for id_ in await store.kept_ids(conn, month):
        if (read := await log.read_batch(conn, bucket_of(id_), id_)) is not None:
            batch, _, postings = read
            sums.add_batch(batch, postings, sign=-1)
    for first in range(0, BUCKETS, AT_ONCE):
        for row in await store.carried_rows(conn, month, (first, first + AT_ONCE - 1)):
            moved = (row.booked_month, row.unit, row.lot_id, row.debit, row.credit, row.party)
            sums.add(row.member_id, moved, -row.amount)
    return [
        Finding("carried_differs", f"{month} {member}", "carried sums are not those of the file")
        for member in sorted({member for member, _ in sums.amounts})
    ]
