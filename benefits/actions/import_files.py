"""Import whole files: streamed, line by line judged, chunk by chunk committed, run again at will.

A bad line is told with its number and reason and does not stop the rest. A file that was half
imported is simply imported again: what is known already changes nothing. However long a file is,
two chunks of it are in memory: one is judged while the database takes the one before.

A dry run takes the same chunks in transactions of the same length, and undoes each.
"""

import asyncio
import csv
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import date
from typing import Generic, TypeVar

import msgspec

from benefits.actions.merge_members import record_merges
from benefits.actions.parts import Parts
from benefits.actions.record_assets import record_assets
from benefits.actions.record_calendar import record_calendar
from benefits.actions.record_consents import record_consents
from benefits.actions.record_holders import record_holders
from benefits.actions.record_labels import record_labels
from benefits.actions.record_members import record_members
from benefits.actions.record_rates import RatesUnderWayError, record_rates, use_rates
from benefits.domain import (
    assets,
    calendar_lines,
    consent_lines,
    exchange,
    holders,
    members,
    merges,
)
from benefits.domain.assets import AssetLine, FileUnreadable, LineInvalid
from benefits.domain.calendar_lines import CalendarLine
from benefits.domain.consent_lines import ConsentLine
from benefits.domain.exchange import Converted, RateLine
from benefits.domain.holders import HolderLine
from benefits.domain.members import LabelLine, MemberLine
from benefits.domain.merges import MergeLine
from benefits.domain.programme import Programme
from benefits.domain.requests import body_hash
from benefits.domain.values import local_date
from benefits.store import rates
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection, Database
from benefits.store.earlier import Earlier, Kept

CHUNK = 20_000
HOLDERS = 200
CONSENTS = 1000
MERGES = 200
AT_ONCE = 200  # lines judged before others have their turn: some 2 ms
REFUSED_SHOWN = 100
Line = TypeVar("Line")
Write = Callable[[list[tuple[int, Line]]], Awaitable[ChunkResult]]
Row = tuple[int, dict[str, str] | str]
STRANGE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


class Imported(msgspec.Struct):
    """What an import did so far; `shown` are the first refused lines with their reasons."""

    lines: int = 0
    kept: int = 0
    unchanged: int = 0
    refused: int = 0
    shown: list[tuple[int, str]] = []

    def refuse(self, number: int, reason: str) -> None:
        """Count a refused line."""
        self.refused += 1
        if len(self.shown) < REFUSED_SHOWN:
            self.shown.append((number, reason))


Progress = Callable[[Imported], None]


def read_rows(
    text: Iterable[str], required: tuple[str, ...], optional: tuple[str, ...]
) -> Iterator[Row]:
    """Yield line numbers with columns by name, or with the reason why a line has none.

    Every line stands for itself: a quote that is never closed spoils its own line only. Bytes that
    are no UTF-8 are expected as surrogates (FileUnreadable for the header alone).
    """
    lines = enumerate(text, 1)
    _, first = next(lines, (1, ""))
    header = _values(first.removeprefix("\ufeff"))
    if isinstance(header, str) or not header:
        raise FileUnreadable("The file is empty, or its first line is not CSV in UTF-8.")
    assets.check_header(header, required, optional)
    for number, line in lines:
        values = _values(line)
        if isinstance(values, str):
            yield number, values
        elif len(values) == len(header):
            yield number, dict(zip(header, values, strict=True))
        elif values:
            yield number, "the line has another number of columns than the header"


def _values(line: str) -> list[str] | str:
    """Return the values of a line, or why it cannot be read."""
    line = line.rstrip("\r\n")
    if STRANGE.search(line):
        return "the line holds control characters or bytes that are not UTF-8"
    if '"' not in line:  # then the reader does nothing else, and takes five times as long
        return line.split(",") if line else []
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        return f"the line is not CSV: {error}"


def fitting(row: dict[str, str] | str) -> dict[str, str]:
    """Return the columns of a line (LineInvalid: it has none)."""
    if isinstance(row, str):
        raise LineInvalid(row)
    return row


def _not_after(today: date, line: AssetLine) -> AssetLine:
    if line.as_of > today:
        raise LineInvalid(f"as_of: {line.as_of} lies in the future")
    return line


class _Chunk(msgspec.Struct, Generic[Line]):
    """Lines that were judged and are to be written together."""

    lines: int = 0
    good: list[tuple[int, Line]] = []
    refused: list[tuple[int, str]] = []


async def _chunks(
    rows: Iterator[Row],
    judge: Callable[[dict[str, str]], Line],
    *,
    length: int | None = None,
) -> AsyncIterator[_Chunk[Line]]:
    """Judge lines and yield them in chunks; between them others have their turn."""
    chunk = _Chunk[Line]()
    for number, row in rows:
        chunk.lines += 1
        try:
            chunk.good.append((number, judge(fitting(row))))
        except LineInvalid as refusal:
            chunk.refused.append((number, refusal.detail))
        if chunk.lines % AT_ONCE == 0:
            await asyncio.sleep(0)
        if chunk.lines == (length or CHUNK):
            yield chunk
            chunk = _Chunk[Line]()
    if chunk.lines:
        yield chunk


async def _write(
    chunks: AsyncIterator[_Chunk[Line]],
    write: Write[Line],
    progress: Progress,
) -> Imported:
    """Write one chunk after the other, each while the next one is judged."""
    done = Imported()

    async def one(chunk: _Chunk[Line]) -> None:
        result = await write(chunk.good)
        done.lines += chunk.lines
        done.kept += result.kept
        done.unchanged += result.unchanged
        for number, reason in sorted(chunk.refused + result.refused):
            done.refuse(number, reason)
        progress(done)

    writing: asyncio.Task[None] | None = None
    try:
        async for chunk in chunks:
            if writing is not None:
                await writing
            writing = asyncio.create_task(one(chunk))
        if writing is not None:
            await writing
    finally:
        if writing is not None and not writing.done():
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
    return done


class _Kind(msgspec.Struct, Generic[Line], frozen=True):
    """How the lines of a kind of file are taken, and what two lines are about if they meet."""

    type: type[Line]
    take: Callable[[Connection, list[tuple[int, Line]]], Awaitable[ChunkResult]]
    about: Callable[[Line], tuple[object, ...]]


@asynccontextmanager
async def _writer(
    database: Database, kind: _Kind[Line], *, dry_run: bool
) -> AsyncIterator[Write[Line]]:
    """Give what writes a chunk of lines, in a transaction of its own.

    In a dry run the transaction is undone, and begins with what earlier chunks said of the same
    things, so that each line meets what it would meet.
    """

    async def write(lines: list[tuple[int, Line]]) -> ChunkResult:
        async def work(conn: Connection) -> ChunkResult:
            return await kind.take(conn, lines)

        return await database.transact(work)

    async def rehearse(lines: list[tuple[int, Line]]) -> ChunkResult:
        before = await asyncio.to_thread(_meet, earlier, kind, lines)

        async def work(conn: Connection) -> ChunkResult:
            for chunk in before:
                await kind.take(conn, chunk)
            return await kind.take(conn, lines)

        return await database.rehearsal().transact(work)

    if not dry_run:
        yield write
        return
    with closing(Earlier()) as earlier:
        yield rehearse


def _meet(
    earlier: Earlier, kind: _Kind[Line], lines: list[tuple[int, Line]]
) -> list[list[tuple[int, Line]]]:
    """Keep a chunk for later ones; return the lines of earlier chunks it has to do with."""
    decode = msgspec.json.Decoder(kind.type).decode
    kept = [
        Kept(number, body_hash(kind.about(line)).hex(), msgspec.json.encode(line).decode())
        for number, line in lines
    ]
    return [[(n, decode(said)) for n, said in chunk] for chunk in earlier.meet(kept)]


async def import_assets(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    programme: Programme,
    *,
    member_key: bytes,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import day-end balances (A-1); FileUnreadable when the file as a whole cannot be taken."""
    today = local_date(parts.clock(), programme.tz)

    def judge(row: dict[str, str]) -> AssetLine:
        return _not_after(today, assets.read_line(row, programme))

    async def take(conn: Connection, lines: list[tuple[int, AssetLine]]) -> ChunkResult:
        return await record_assets(conn, lines, parts, member_key=member_key)

    def about(line: AssetLine) -> tuple[object, ...]:
        return (
            *(line.customer, line.as_of, line.asset_class, line.currency),
            *(line.source, line.account),
        )

    rows = read_rows(text, assets.REQUIRED, assets.OPTIONAL)
    kind = _Kind(AssetLine, take, about)
    async with _writer(database, kind, dry_run=dry_run) as write:
        return await _write(_chunks(rows, judge), write, progress)


async def import_rates(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    *,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import exchange rates and put them to use; FileUnreadable when the file cannot be taken."""

    async def known(conn: Connection) -> tuple[dict[str, Converted], date]:
        catalogue = await parts.catalogue.current(conn)
        return await rates.converted(conn), local_date(parts.clock(), catalogue.zone)

    currencies, today = await database.transact(known)

    def judge(row: dict[str, str]) -> RateLine:
        return exchange.read_line(row, currencies, today)

    async def take(conn: Connection, lines: list[tuple[int, RateLine]]) -> ChunkResult:
        return await record_rates(conn, lines, parts)

    def about(line: RateLine) -> tuple[object, ...]:
        return (line.currency, line.as_of)

    kind = _Kind(RateLine, take, about)
    async with _writer(database, kind, dry_run=dry_run) as write:

        async def use(lines: list[tuple[int, RateLine]]) -> ChunkResult:
            while True:
                if not dry_run:
                    await use_rates(database)
                with suppress(RatesUnderWayError):
                    result = await write(lines)
                    break
            if not dry_run:
                await use_rates(database)
            return result

        found = read_rows(text, exchange.REQUIRED, exchange.OPTIONAL)
        return await _write(_chunks(found, judge), use, progress)


async def import_holders(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    *,
    member_key: bytes,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import who holds accounts (A-5); FileUnreadable when the file as a whole cannot be taken."""

    async def take(conn: Connection, lines: list[tuple[int, HolderLine]]) -> ChunkResult:
        return await record_holders(conn, lines, parts, member_key=member_key)

    def about(line: HolderLine) -> tuple[object, ...]:
        return (line.account,)

    rows = read_rows(text, holders.REQUIRED, holders.OPTIONAL)
    kind = _Kind(HolderLine, take, about)
    async with _writer(database, kind, dry_run=dry_run) as write:
        # The months of each holder are folded anew: few lines are much work.
        chunks = _chunks(rows, holders.read_line, length=HOLDERS)
        return await _write(chunks, write, progress)


async def import_merges(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    *,
    member_key: bytes,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import who is to be merged (T-10); FileUnreadable when the file cannot be taken."""

    async def take(conn: Connection, lines: list[tuple[int, MergeLine]]) -> ChunkResult:
        return await record_merges(conn, lines, parts, member_key=member_key)

    def about(_line: MergeLine) -> tuple[object, ...]:
        return ()  # one may lead on from any other

    rows = read_rows(text, merges.REQUIRED, ())
    kind = _Kind(MergeLine, take, about)
    async with _writer(database, kind, dry_run=dry_run) as write:
        # All members of a chunk are held until it is done: few, for a moment.
        chunks = _chunks(rows, merges.read_line, length=MERGES)
        return await _write(chunks, write, progress)


async def import_members(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    *,
    member_key: bytes,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import the bank's customer file; FileUnreadable when the file as a whole cannot be taken."""

    async def take(conn: Connection, lines: list[tuple[int, MemberLine]]) -> ChunkResult:
        return await record_members(conn, lines, parts, member_key=member_key)

    def about(line: MemberLine) -> tuple[object, ...]:
        return (line.customer,)

    rows = read_rows(text, members.REQUIRED, members.OPTIONAL)
    kind = _Kind(MemberLine, take, about)
    async with _writer(database, kind, dry_run=dry_run) as write:
        return await _write(_chunks(rows, members.read_line), write, progress)


async def import_labels(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    *,
    member_key: bytes,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import labels (S-1); FileUnreadable when the file as a whole cannot be taken."""

    async def take(conn: Connection, lines: list[tuple[int, LabelLine]]) -> ChunkResult:
        return await record_labels(conn, lines, parts, member_key=member_key)

    def about(line: LabelLine) -> tuple[object, ...]:
        return (line.customer, line.label.name, line.label.from_)

    rows = read_rows(text, members.LABEL_REQUIRED, members.LABEL_OPTIONAL)
    kind = _Kind(LabelLine, take, about)
    async with _writer(database, kind, dry_run=dry_run) as write:
        return await _write(_chunks(rows, members.read_label_line), write, progress)


async def import_consents(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    *,
    member_key: bytes,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import consents (E-4); FileUnreadable when the file as a whole cannot be taken."""

    async def zone(conn: Connection) -> date:
        catalogue = await parts.catalogue.current(conn)
        return local_date(parts.clock(), catalogue.zone)

    today = await database.transact(zone)

    def judge(row: dict[str, str]) -> ConsentLine:
        return consent_lines.read_line(row, today)

    async def take(conn: Connection, lines: list[tuple[int, ConsentLine]]) -> ChunkResult:
        return await record_consents(
            conn, lines, parts, member_key=member_key, actor="system:import"
        )

    def about(line: ConsentLine) -> tuple[object, ...]:
        return (line.customer, line.purpose, line.provider, line.said_on)

    rows = read_rows(text, consent_lines.REQUIRED, ())
    kind = _Kind(ConsentLine, take, about)
    async with _writer(database, kind, dry_run=dry_run) as write:
        # All members of a chunk are held until it is done.
        return await _write(_chunks(rows, judge, length=CONSENTS), write, progress)


async def import_calendar(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    name: str,
    *,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import a calendar (M-6); FileUnreadable when the file as a whole cannot be taken."""

    async def take(conn: Connection, lines: list[tuple[int, CalendarLine]]) -> ChunkResult:
        return await record_calendar(conn, name, lines, parts)

    def about(line: CalendarLine) -> tuple[object, ...]:
        return (line.day,)

    rows = read_rows(text, calendar_lines.REQUIRED, ())
    kind = _Kind(CalendarLine, take, about)
    async with _writer(database, kind, dry_run=dry_run) as write:
        return await _write(_chunks(rows, calendar_lines.read_line), write, progress)
