"""Record whitelists, snapshot by snapshot; one counts as a whole, or not at all (P-2, S-1).

    open  ->  keep, chunk by chunk  ->  close: the labels of all follow, in one transaction

The same snapshot again goes on where it was stopped. Once it is whole, it changes nothing.
"""

import asyncio
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import islice
from typing import IO

import msgspec

from benefits.actions.import_files import (
    CHUNK,
    Imported,
    Progress,
    Row,
    fitting,
    read_rows,
)
from benefits.actions.parts import Parts
from benefits.actions.tell_news import tell
from benefits.domain import topics
from benefits.domain import whitelists as rules
from benefits.domain.assets import LineInvalid
from benefits.domain.labels import Layer, label_key
from benefits.domain.members import customer_of
from benefits.domain.values import local_date, member_id
from benefits.domain.whitelists import (
    Snapshot,
    Wanted,
    WhitelistInvalid,
    WhitelistReplaced,
)
from benefits.store import assets, members, merged, whitelists
from benefits.store.db import Connection, Database

_BLOCK = 2**20
Lines = Sequence[tuple[int, str]]


class Kept(msgspec.Struct, frozen=True):
    """How many lines of a snapshot were new, and which customers are no members, by line."""

    new: int
    unknown: list[tuple[int, str]]


async def open_snapshot(conn: Connection, wanted: Wanted, parts: Parts) -> Snapshot:
    """Open a snapshot, or return the last one where it is the same (WhitelistInvalid).

    One that a later one replaced comes late, by a retry: WhitelistReplaced.
    """
    await assets.alone(conn)
    last = await whitelists.last(conn, wanted.name)
    if last is not None and last.is_what(wanted):
        return last
    catalogue = await parts.catalogue.current(conn)
    today = local_date(parts.clock(), catalogue.zone)
    rules.check(wanted, await whitelists.last_whole(conn, wanted.name, today))
    whole = await whitelists.last_whole(conn, wanted.name)
    is_last = whole is not None and whole.is_what(wanted)
    if not is_last and await whitelists.was_whole(conn, wanted):
        raise WhitelistReplaced(
            "This snapshot was replaced by a later one. If it is to hold again, send it with "
            "another first or last day."
        )
    if last is None and await whitelists.is_label(conn, wanted.name):
        raise WhitelistInvalid(f"{wanted.name!r} is a label's name already.")
    await whitelists.open_(conn, wanted, 1 if last is None else last.number + 1, parts.clock())
    opened = await whitelists.last(conn, wanted.name)
    assert opened is not None
    return opened


async def keep(conn: Connection, snapshot: Snapshot, lines: Lines, *, member_key: bytes) -> Kept:
    """Keep numbered customers of a snapshot (WhitelistReplaced).

    One who was merged stands for the member they were merged into.
    """
    await _still(conn, snapshot)
    given = {customer: member_id(customer, member_key) for _, customer in lines}
    moved = await merged.current(conn, given.values())
    ids = {customer: moved.get(id_, id_) for customer, id_ in given.items()}
    known = await members.existing(conn, ids.values())
    unknown = [line for line in lines if ids[line[1]] not in known]
    new = 0
    if snapshot.whole_at is None:
        new = await whitelists.put(conn, snapshot, sorted(known & set(ids.values())))
    return Kept(new, unknown)


async def close(conn: Connection, snapshot: Snapshot, parts: Parts) -> Snapshot:
    """Let a snapshot count from its first day on: it is whole (WhitelistReplaced)."""
    await _still(conn, snapshot)
    if snapshot.whole_at is None:
        await whitelists.follow(conn, snapshot, parts.clock())
        topic = topics.of_label(label_key(Layer.LIST, snapshot.name))
        await tell(conn, parts, [(topic, snapshot.from_)])
    found = await whitelists.last(conn, snapshot.name)
    assert found is not None
    return found


async def _still(conn: Connection, snapshot: Snapshot) -> None:
    """Be alone, and go on only with the last snapshot of the list."""
    await assets.alone(conn)
    last = await whitelists.last(conn, snapshot.name)
    if last is None or last.number != snapshot.number:
        raise WhitelistReplaced


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a list as somebody sends it; without a first day it holds from today on."""

    name: str
    file: IO[bytes]
    from_: date | None
    to: date | None


async def import_whitelist(
    database: Database,
    parts: Parts,
    sent: Sent,
    *,
    progress: Progress,
    dry_run: bool = False,
) -> Imported:
    """Import a file of customers as a snapshot (FileUnreadable, WhitelistInvalid).

    In a dry run each chunk is kept in a transaction that is undone.
    """
    digest = await asyncio.to_thread(_digest, sent.file)

    async def begin(conn: Connection) -> Snapshot:
        catalogue = await parts.catalogue.current(conn)
        wanted = Wanted(
            name=sent.name,
            digest=digest,
            from_=sent.from_ or local_date(parts.clock(), catalogue.zone),
            to=sent.to,
            actor="system:import",
        )
        return await open_snapshot(conn, wanted, parts)

    on = database.rehearsal() if dry_run else database
    snapshot = await on.transact(begin)
    done = Imported()
    text = io.TextIOWrapper(sent.file, "utf-8", "surrogateescape", newline="")
    for lines, bad in _chunks(read_rows(text, rules.REQUIRED, ())):

        async def write(conn: Connection, lines: Lines = lines) -> Kept:
            of = await begin(conn) if dry_run else snapshot
            return await keep(conn, of, lines, member_key=parts.member_key)

        kept = await on.transact(write)
        done.lines += len(lines) + len(bad)
        done.kept += kept.new
        done.unchanged += len(lines) - kept.new - len(kept.unknown)
        unknown = [(number, "customer: not a member") for number, _ in kept.unknown]
        for number, reason in sorted([*bad, *unknown]):
            done.refuse(number, reason)
        progress(done)
    text.detach()

    async def end(conn: Connection) -> Snapshot:
        return await close(conn, snapshot, parts)

    if not dry_run:
        await database.transact(end)
    return done


def _chunks(rows: Iterable[Row]) -> Iterator[tuple[list[tuple[int, str]], list[tuple[int, str]]]]:
    """Yield customers by their lines, and the lines that name none with the reason."""
    numbered = iter(rows)
    while some := list(islice(numbered, CHUNK)):
        good, bad = list[tuple[int, str]](), list[tuple[int, str]]()
        for number, row in some:
            try:
                good.append((number, customer_of(fitting(row))))
            except LineInvalid as refusal:
                bad.append((number, refusal.detail))
        yield good, bad


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()
