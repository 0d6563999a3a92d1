"""Import whole files: streamed, line by line judged, chunk by chunk committed, run again at will.

A bad line is told with its number and reason and does not stop the rest. A file that was half
imported is simply imported again: what is known already changes nothing.
"""

import csv
from collections.abc import Callable, Iterable, Iterator

import msgspec

from benefits.actions.parts import Parts
from benefits.actions.record_assets import record_assets
from benefits.actions.record_members import record_members
from benefits.domain import assets, members
from benefits.domain.assets import AssetLine, FileUnreadable, LineInvalid
from benefits.domain.catalogue import Programme
from benefits.domain.members import MemberLine
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection, Database

CHUNK = 20_000
REFUSED_SHOWN = 100
Row = tuple[int, dict[str, str] | None]


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
    """Yield line numbers and rows by column, None where columns do not fit (FileUnreadable)."""
    reader = csv.reader(text)
    try:
        header = next(reader, None)
        if header is None:
            raise FileUnreadable("The file is empty.")
        header[0] = header[0].removeprefix("\ufeff")
        assets.check_header(header, required, optional)
        for values in reader:
            if not values:
                continue
            fits = len(values) == len(header)
            yield reader.line_num, dict(zip(header, values, strict=True)) if fits else None
    except (csv.Error, UnicodeDecodeError) as error:
        raise FileUnreadable(f"The file is not CSV in UTF-8: {error}") from None


def _fitting(row: dict[str, str] | None) -> dict[str, str]:
    if row is None:
        raise LineInvalid("the line has another number of columns than the header")
    return row


async def import_assets(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    programme: Programme,
    *,
    member_key: bytes,
    progress: Progress,
) -> Imported:
    """Import day-end balances (A-1); FileUnreadable when the file as a whole cannot be taken."""
    done = Imported()
    chunk = list[tuple[int, AssetLine]]()

    async def flush() -> None:
        async def work(conn: Connection) -> ChunkResult:
            return await record_assets(conn, chunk, parts, member_key=member_key)

        result = await database.transact(work)
        done.kept += result.kept
        done.unchanged += result.unchanged
        for number, reason in result.refused:
            done.refuse(number, reason)
        chunk.clear()
        progress(done)

    for number, row in read_rows(text, assets.REQUIRED, assets.OPTIONAL):
        done.lines += 1
        try:
            chunk.append((number, assets.read_line(_fitting(row), programme)))
        except LineInvalid as refusal:
            done.refuse(number, refusal.detail)
        if len(chunk) >= CHUNK:
            await flush()
    await flush()
    done.shown.sort()
    return done


async def import_members(
    database: Database,
    parts: Parts,
    text: Iterable[str],
    *,
    member_key: bytes,
    progress: Progress,
) -> Imported:
    """Import the bank's customer file; FileUnreadable when the file as a whole cannot be taken."""
    done = Imported()
    chunk = list[MemberLine]()

    async def flush() -> None:
        async def work(conn: Connection) -> int:
            return await record_members(conn, chunk, parts, member_key=member_key)

        changed = await database.transact(work)
        done.kept += changed
        done.unchanged += max(0, len(chunk) - changed)
        chunk.clear()
        progress(done)

    for number, row in read_rows(text, members.REQUIRED, members.OPTIONAL):
        done.lines += 1
        try:
            chunk.append(members.read_line(_fitting(row)))
        except LineInvalid as refusal:
            done.refuse(number, refusal.detail)
        if len(chunk) >= CHUNK:
            await flush()
    await flush()
    return done
