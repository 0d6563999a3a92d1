"""Import whole files: streamed, line by line judged, chunk by chunk committed, run again at will.

A bad line is told with its number and reason and does not stop the rest. A file that was half
imported is simply imported again: what is known already changes nothing. However long a file is,
two chunks of it are in memory: one is judged and made ready while the database takes the one
before.

A dry run takes the same chunks in transactions of the same length, and undoes each.
"""

import asyncio
import csv
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from datetime import date
from functools import partial
from typing import Any, Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from benefits.actions.merge_members import record_merges
from benefits.actions.parts import Parts
from benefits.actions.record_assets import ready_assets, record_assets
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
AT_ONCE = 200  # lines judged before others have their turn: some 2 ms
REFUSED_SHOWN = 100
Line = TypeVar("Line")
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


class _Recording(Protocol):
    """How numbered lines are kept, once; what it returns names those refused and why.

    They come as the kind makes them `ready`.
    """

    async def __call__(
        self, conn: Connection, lines: Any, parts: Parts, /, *, member_key: bytes
    ) -> ChunkResult: ...


class Kind(msgspec.Struct, Generic[Line], frozen=True, kw_only=True):
    """A kind of file: its columns, how a line is read on a day and what it is about, and kept.

    What two lines are about tells whether they meet. `length` is how many are written together,
    `zone` says in which zone today is; else it is the catalogue's. What makes lines `ready` with
    the member key needs no database.
    """

    type: type[Line]
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    read: Callable[[dict[str, str], date], Line]
    about: Callable[[Line], tuple[object, ...]]
    record: _Recording
    ready: Callable[[list[tuple[int, Line]], bytes], Any] = lambda lines, _: lines
    length: int | None = None
    zone: ZoneInfo | None = None


async def _chunks(
    database: Database, parts: Parts, kind: Kind[Line], text: Iterable[str]
) -> AsyncIterator[_Chunk[Line]]:
    """Return what reads a file in chunks, as of today where it is judged."""

    async def zone(conn: Connection) -> ZoneInfo:
        return kind.zone or (await parts.catalogue.current(conn)).zone

    today = local_date(parts.clock(), await database.transact(zone))
    return _judged(read_rows(text, kind.required, kind.optional), kind, today)


async def _judged(
    rows: Iterator[Row], kind: Kind[Line], today: date
) -> AsyncIterator[_Chunk[Line]]:
    """Judge lines and yield them in chunks; between them others have their turn."""
    chunk = _Chunk[Line]()
    for number, row in rows:
        chunk.lines += 1
        try:
            chunk.good.append((number, kind.read(fitting(row), today)))
        except LineInvalid as refusal:
            chunk.refused.append((number, refusal.detail))
        if chunk.lines % AT_ONCE == 0:
            await asyncio.sleep(0)
        if chunk.lines == (kind.length or CHUNK):
            yield chunk
            chunk = _Chunk[Line]()
    if chunk.lines:
        yield chunk


class _Way(msgspec.Struct, Generic[Line], frozen=True):
    """How chunks are written: each is made ready first, while the one before is written."""

    ready: Callable[[list[tuple[int, Line]]], Awaitable[Any]]
    write: Callable[[Any], Awaitable[ChunkResult]]


async def _write(
    chunks: AsyncIterator[_Chunk[Line]],
    way: _Way[Line],
    progress: Progress,
) -> Imported:
    """Write one chunk after the other, each while the next one is judged and made ready."""
    done = Imported()

    async def one(chunk: _Chunk[Line], made: Any) -> None:
        result = await way.write(made)
        done.lines += chunk.lines
        done.kept += result.kept
        done.unchanged += result.unchanged
        for number, reason in sorted(chunk.refused + result.refused):
            done.refuse(number, reason)
        progress(done)

    writing: asyncio.Task[None] | None = None
    try:
        async for chunk in chunks:
            made = await way.ready(chunk.good)
            if writing is not None:
                await writing
            writing = asyncio.create_task(one(chunk, made))
        if writing is not None:
            await writing
    finally:
        if writing is not None and not writing.done():
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
    return done


@asynccontextmanager
async def _writer(
    database: Database, parts: Parts, kind: Kind[Line], *, dry_run: bool
) -> AsyncIterator[_Way[Line]]:
    """Give the way in which chunks of lines are written, each in a transaction of its own.

    In a dry run the transaction is undone, and begins with what earlier chunks said of the same
    things, so that each line meets what it would meet.
    """
    key = parts.member_key

    async def write(made: Any) -> ChunkResult:
        async def work(conn: Connection) -> ChunkResult:
            return await kind.record(conn, made, parts, member_key=key)

        return await database.transact(work)

    async def rehearse(lines: list[tuple[int, Line]]) -> ChunkResult:
        chunks = [*await asyncio.to_thread(_meet, earlier, kind, lines), lines]

        async def work(conn: Connection) -> ChunkResult:
            for chunk in chunks:
                result = await kind.record(conn, kind.ready(chunk, key), parts, member_key=key)
            return result

        return await database.rehearsal().transact(work)

    async def in_thread(lines: list[tuple[int, Line]]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(one, kind.ready, lines, key)

    async def as_they_are(lines: list[tuple[int, Line]]) -> Any:
        return lines

    if not dry_run:
        # One thread for all: each thread would keep the memory of its largest chunk.
        with ThreadPoolExecutor(1) as one:
            yield _Way(in_thread, write)
        return
    with closing(Earlier()) as earlier:
        yield _Way(as_they_are, rehearse)


def _meet(
    earlier: Earlier, kind: Kind[Line], lines: list[tuple[int, Line]]
) -> list[list[tuple[int, Line]]]:
    """Keep a chunk for later ones; return the lines of earlier chunks it has to do with."""
    decode = msgspec.json.Decoder(kind.type).decode
    kept = [
        Kept(number, body_hash(kind.about(line)).hex(), msgspec.json.encode(line).decode())
        for number, line in lines
    ]
    return [[(n, decode(said)) for n, said in chunk] for chunk in earlier.meet(kept)]


KINDS: Mapping[str, Kind[Any]] = {
    "members": Kind(
        type=MemberLine,
        required=members.REQUIRED,
        optional=members.OPTIONAL,
        read=lambda row, _: members.read_line(row),
        about=lambda line: (line.customer,),
        record=record_members,
    ),
    "labels": Kind(
        type=LabelLine,
        required=members.LABEL_REQUIRED,
        optional=members.LABEL_OPTIONAL,
        read=lambda row, _: members.read_label_line(row),
        about=lambda line: (line.customer, line.label.name, line.label.from_),
        record=record_labels,
    ),
    "consents": Kind(
        type=ConsentLine,
        required=consent_lines.REQUIRED,
        read=consent_lines.read_line,
        about=lambda line: (line.customer, line.purpose, line.provider, line.said_on),
        record=partial(record_consents, actor="system:import"),
        length=1000,  # all members of a chunk are held until it is done
    ),
    "merges": Kind(
        type=MergeLine,
        required=merges.REQUIRED,
        read=lambda row, _: merges.read_line(row),
        about=lambda _: (),  # one may lead on from any other
        record=record_merges,
        length=200,  # all members of a chunk are held until it is done: few, for a moment
    ),
    "holders": Kind(
        type=HolderLine,
        required=holders.REQUIRED,
        optional=holders.OPTIONAL,
        read=lambda row, _: holders.read_line(row),
        about=lambda line: (line.account,),
        record=record_holders,
        length=200,  # the months of each holder are folded anew: few lines are much work
    ),
}


def assets_of(programme: Programme) -> Kind[AssetLine]:
    """Return the kind of day-end balances in a programme's currency and classes (A-1)."""
    return Kind(
        type=AssetLine,
        required=assets.REQUIRED,
        optional=assets.OPTIONAL,
        read=lambda row, today: _not_after(today, assets.read_line(row, programme)),
        about=lambda line: (
            *(line.customer, line.as_of, line.asset_class, line.currency),
            *(line.source, line.account),
        ),
        ready=ready_assets,
        record=lambda conn, made, parts, **_: record_assets(conn, made, parts),
        zone=programme.tz,
    )


def calendar_of(name: str) -> Kind[CalendarLine]:
    """Return the kind of a calendar's days (M-6)."""

    async def record(
        conn: Connection, lines: list[tuple[int, CalendarLine]], parts: Parts, **_: bytes
    ) -> ChunkResult:
        return await record_calendar(conn, name, lines, parts)

    return Kind(
        type=CalendarLine,
        required=calendar_lines.REQUIRED,
        read=lambda row, _: calendar_lines.read_line(row),
        about=lambda line: (line.day,),
        record=record,
    )


def _rates_of(currencies: Mapping[str, Converted]) -> Kind[RateLine]:
    """Return the kind of rates of the currencies that programmes convert."""

    async def record(
        conn: Connection, lines: list[tuple[int, RateLine]], parts: Parts, **_: bytes
    ) -> ChunkResult:
        return await record_rates(conn, lines, parts)

    return Kind(
        type=RateLine,
        required=exchange.REQUIRED,
        optional=exchange.OPTIONAL,
        read=lambda row, today: exchange.read_line(row, currencies, today),
        about=lambda line: (line.currency, line.as_of),
        record=record,
    )


async def import_file(
    database: Database,
    parts: Parts,
    kind: Kind[Line],
    text: Iterable[str],
    *,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import a file of a kind; FileUnreadable when the file as a whole cannot be taken."""
    async with _writer(database, parts, kind, dry_run=dry_run) as way:
        return await _write(await _chunks(database, parts, kind, text), way, progress)


async def import_rates(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    *,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import exchange rates and put them to use; FileUnreadable when the file cannot be taken."""
    kind = _rates_of(await database.transact(rates.converted))
    async with _writer(database, parts, kind, dry_run=dry_run) as way:

        async def use(lines: list[tuple[int, RateLine]]) -> ChunkResult:
            while True:
                if not dry_run:
                    await use_rates(database)
                with suppress(RatesUnderWayError):
                    result = await way.write(lines)
                    break
            if not dry_run:
                await use_rates(database)
            return result

        chunks = await _chunks(database, parts, kind, text)
        return await _write(chunks, _Way(way.ready, use), progress)
