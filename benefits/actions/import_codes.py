"""Import codes that were bought in advance: sealed as they are read, each in stock once (V-1).

A file that was half imported is imported again: what is there changes nothing. A code that is
there under another batch or SKU is refused, whatever its PIN.
"""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal

import msgspec

from benefits.actions.import_files import Imported, Kind, Progress, import_file
from benefits.actions.parts import Parts
from benefits.actions.see_stock import UnknownStock, has_stock
from benefits.domain import code_lines
from benefits.domain.assets import FileUnreadable, LineInvalid
from benefits.domain.programme import Programme
from benefits.domain.values import end_of, local_date
from benefits.store import pool
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection, Database
from benefits.store.pool import Batch, NewCode


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a file of codes: whose, in which batch, its end, what each cost whom."""

    provider: str
    sku: str
    batch: str
    expires_on: date | None = None
    cost: Decimal | None = None
    cost_centre: str = ""


class SealedLine(msgspec.Struct, frozen=True):
    """A line of which nobody can read the code any more."""

    digest: bytes
    sealed: bytes
    expires_at: datetime | None


async def import_codes(
    database: Database,
    parts: Parts,
    sent: Sent,
    text: Iterable[str],
    *,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import a file of codes; FileUnreadable when the file as a whole cannot be taken."""

    async def look(conn: Connection) -> Programme:
        return _programme(sent, (await parts.catalogue.current(conn)).programmes.values())

    programme = await database.transact(look)
    kind = _kind(sent, programme, parts)
    return await import_file(database, parts, kind, text, progress=progress, dry_run=dry_run)


def _programme(sent: Sent, programmes: Iterable[Programme]) -> Programme:
    """Return the programme whose benefit takes such codes (FileUnreadable)."""
    for programme in programmes:
        provider = programme.providers.get(sent.provider)
        if provider is not None and provider.is_stock:
            skus = {one.sku for one in programme.benefit if one.provider == sent.provider}
            if sent.sku in skus:
                return programme
            raise FileUnreadable(f"No benefit of {sent.provider} has the SKU {sent.sku}.")
    raise FileUnreadable(f"No programme in force has a provider {sent.provider} with code_pool.")


def _batch(sent: Sent, programme: Programme) -> Batch:
    """Return the batch that codes are sent for (FileUnreadable: its cost is none)."""
    cost_minor = None
    if sent.cost is not None:
        try:
            cost_minor = programme.minor(sent.cost)
        except ValueError as error:
            raise FileUnreadable(f"cost: {error}.") from error
    return Batch(
        provider=sent.provider,
        sku=sent.sku,
        name=sent.batch,
        cost_minor=cost_minor,
        cost_centre=sent.cost_centre,
    )


def _kind(sent: Sent, programme: Programme, parts: Parts) -> Kind[SealedLine]:
    batch = _batch(sent, programme)

    def read(row: dict[str, str], today: date) -> SealedLine:
        line = code_lines.read_line(row, today, sent.expires_on)
        ends = None if line.expires_on is None else end_of(line.expires_on, programme.tz)
        digest = code_lines.hash_of(sent.provider, line.text, parts.member_key)
        return SealedLine(digest, parts.envelope.seal(line.text.encode()), ends)

    async def record(
        conn: Connection, lines: list[tuple[int, SealedLine]], parts: Parts, **_: bytes
    ) -> ChunkResult:
        return await record_codes(conn, batch, lines, parts)

    return Kind(
        type=SealedLine,
        required=code_lines.REQUIRED,
        optional=code_lines.OPTIONAL,
        read=read,
        about=lambda line: (line.digest,),
        record=record,
        zone=programme.tz,
    )


async def take_codes(
    conn: Connection, parts: Parts, sent: Sent, lines: Iterable[dict[str, str]]
) -> ChunkResult:
    """Take some codes into a batch, each once (UnknownStock, FileUnreadable).

    Those that are refused are named by their number, from 1.
    """
    catalogue = await parts.catalogue.current(conn)
    if not has_stock(catalogue, sent.provider):
        raise UnknownStock
    programme = _programme(sent, catalogue.programmes.values())
    kind, today = _kind(sent, programme, parts), local_date(parts.clock(), programme.tz)
    good, refused = list[tuple[int, SealedLine]](), list[tuple[int, str]]()
    for number, line in enumerate(lines, 1):
        try:
            good.append((number, kind.read(line, today)))
        except LineInvalid as refusal:
            refused.append((number, refusal.detail))
    done = await record_codes(conn, _batch(sent, programme), good, parts)
    return ChunkResult(done.kept, done.unchanged, sorted([*refused, *done.refused]))


async def record_codes(
    conn: Connection, batch: Batch, lines: list[tuple[int, SealedLine]], parts: Parts
) -> ChunkResult:
    """Take numbered codes into a batch, once; the result names those that lie elsewhere."""
    now = parts.clock()
    if await pool.open_batch(conn, batch, now) != batch:
        raise FileUnreadable(f"The batch {batch.name} was begun with another cost or cost centre.")
    fresh = {
        line.digest: NewCode(parts.new_id(now, 0), line.digest, line.sealed, line.expires_at)
        for _, line in lines
    }
    there = await pool.put(conn, batch, list(fresh.values()), now)
    kept = {digest for digest, one in fresh.items() if there[digest][0] == one.code_id}
    refused = [
        (number, f"code: is in stock already, in batch {there[line.digest][2]!r}")
        for number, line in lines
        if there[line.digest][1:] != (batch.sku, batch.name)
    ]
    return ChunkResult(len(kept), len(lines) - len(refused) - len(kept), refused)
