"""Fill a feed: open it, and take its chunks, each once, in any order (A-1, C-9).

A chunk is CSV with its own header. Its bytes are judged before the transaction, its lines kept in
it; lines of a feed count nowhere until the feed is sealed.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from itertools import chain

import msgspec

from benefits.actions.evaluate import UnknownProgramme
from benefits.actions.import_files import read_rows
from benefits.actions.parts import Parts
from benefits.domain import assets, feed_lines
from benefits.domain.feed_lines import Lines, Read
from benefits.domain.feeds import (
    REASONS_MAX,
    ChunkConflict,
    FeedClosed,
    FeedKey,
    FeedState,
    FeedUnknown,
    Tally,
    check_feed,
)
from benefits.domain.label_feeds import LabelFeedKey
from benefits.domain.programme import Programme
from benefits.domain.values import local_date
from benefits.store import feeds
from benefits.store.db import Connection, Database
from benefits.store.feeds import Chunk, Feed

# What keeps lines from being read by columns: quotes, and what no line may hold.
_UNUSUAL = re.compile('[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff"]')


class Part(msgspec.Struct, frozen=True):
    """A chunk as it was received: its number, its text, and what stands above its lines.

    `before` counts the lines of the same text before it; places are told as `name` says.
    """

    number: int
    digest: bytes
    text: bytes
    header: str
    before: int
    name: str

    @classmethod
    def of(cls, number: int, body: bytes) -> "Part":
        """Return a chunk that was sent by itself, with its header."""
        first, _, text = body.partition(b"\n")
        header = first.decode("utf-8", "surrogateescape")
        digest = hashlib.sha256(body).digest()
        return cls(number, digest, text, header, 1, f"chunk {number}, line {{}}")


class Ready(msgspec.Struct, frozen=True):
    """A judged chunk: its tally, its good lines, and these as they are copied."""

    chunk: Chunk
    lines: Lines
    text: bytes
    name: str


async def open_feed(
    conn: Connection, key: FeedKey, programme_code: str | None, parts: Parts
) -> tuple[Feed, bool]:
    """Open a feed, once; return it and whether it is new (FeedNotNamed, FeedDateInvalid)."""
    programme = await programme_of(conn, programme_code, parts)
    now = parts.clock()
    check_feed(programme, key, local_date(now, programme.tz))
    return await feeds.open_(conn, key, programme=programme.code, now=now)


async def programme_of(conn: Connection, code: str | None, parts: Parts) -> Programme:
    """Return the programme of a code, or the only one (UnknownProgramme)."""
    known = (await parts.catalogue.current(conn)).programmes
    if code is None and len(known) == 1:
        return next(iter(known.values()))
    if code not in known:
        raise UnknownProgramme(f"Programmes are: {', '.join(sorted(known)) or 'none yet'}.")
    return known[code]


def judge(part: Part, key: FeedKey, programme: Programme, member_key: bytes) -> Ready:
    """Judge a chunk's lines and write the good ones for COPY; FileUnreadable for its header."""
    read = _read(part, key, programme)
    text = feeds.written(key, read.lines, member_key)
    chunk = Chunk(part.number, part.digest, read.tally)
    return Ready(chunk, read.lines, text, part.name)


def _read(part: Part, key: FeedKey, programme: Programme) -> Read:
    names = part.header.removeprefix("\ufeff").rstrip("\r\n").split(",")
    text = part.text.decode("utf-8", "surrogateescape")
    lines = text.removesuffix("\n").split("\n") if text else []
    if lines and not _UNUSUAL.search(text):
        assets.check_header(names, feed_lines.REQUIRED, feed_lines.OPTIONAL)
        read = feed_lines.read_columns(lines, names, key, programme, first=part.before + 1)
        if read is not None:
            return read
    named = read_rows(chain([part.header], lines), feed_lines.REQUIRED, feed_lines.OPTIONAL)
    placed = ((part.before + number - 1, row) for number, row in named)
    return feed_lines.read_each(placed, key, programme, name=part.name)


async def put_chunk(
    conn: Connection, key: FeedKey, ready: Ready, parts: Parts
) -> tuple[Chunk, bool]:
    """Keep a chunk; return it as it stands and whether it is new.

    FeedUnknown, FeedClosed, ChunkConflict.
    """

    async def known() -> Chunk | None:
        return await known_chunk(conn, key, ready.chunk)

    async def put() -> bool:
        is_new = await feeds.put_chunk(conn, key, ready.chunk, parts.clock())
        if is_new and ready.text:
            await feeds.put_lines(conn, ready.text)
        return is_new

    feed = await feeds.shared(conn, key)
    there = await kept_before(key, None if feed is None else feed.state, known=known, put=put)
    return (ready.chunk, True) if there is None else (there, False)


async def kept_before(
    key: FeedKey | LabelFeedKey,
    state: FeedState | None,
    *,
    known: Callable[[], Awaitable[Chunk | None]],
    put: Callable[[], Awaitable[bool]],
) -> Chunk | None:
    """Return the chunk that there was of a number; if there was none, `put` has kept the new one.

    `state` is that of a feed that nobody seals meanwhile. FeedUnknown, FeedClosed, ChunkConflict.
    """
    if state is None:
        raise FeedUnknown(f"There is no feed {key}.")
    if (there := await known()) is not None:
        return there
    if state is not FeedState.OPEN:
        raise FeedClosed(f"{key} is {state.value}.")
    if await put():
        return None
    there = await known()  # somebody else sent it just now
    assert there is not None, "a chunk stays"
    return there


async def known_chunk(conn: Connection, key: FeedKey, chunk: Part | Chunk) -> Chunk | None:
    """Return what became of a chunk that was kept before (ChunkConflict for other bytes)."""
    return same(await feeds.chunk(conn, key, chunk.number), chunk, key)


def same(there: Chunk | None, chunk: Part | Chunk, key: FeedKey | LabelFeedKey) -> Chunk | None:
    """Return the chunk that there is of a number (ChunkConflict: it had other bytes)."""
    if there is not None and there.digest != chunk.digest:
        raise ChunkConflict(f"Chunk {chunk.number} of {key} had another digest.")
    return there


async def keep_chunk(
    database: Database, key: FeedKey, ready: Ready, parts: Parts
) -> tuple[Chunk, bool]:
    """Keep a chunk in a transaction of its own; lines that stand twice are told, not kept."""

    async def keep(conn: Connection) -> tuple[Chunk, bool]:
        return await put_chunk(conn, key, ready, parts)

    async def careful(conn: Connection) -> tuple[Chunk, bool]:
        rest = await _without_twice(conn, key, ready, parts.member_key)
        return await put_chunk(conn, key, rest, parts)

    try:
        return await database.transact(keep)
    except Exception as error:
        if not feeds.is_twice(error):
            raise
    return await database.transact(careful)


async def _without_twice(conn: Connection, key: FeedKey, ready: Ready, member_key: bytes) -> Ready:
    """Return a chunk without the lines that stand twice, which are told as not valid."""
    found = await feeds.twice(conn, key, ready.lines, member_key)
    gone = set(found)
    kept = [index for index in range(len(ready.lines.customers)) if index not in gone]
    columns = (getattr(ready.lines, name) for name in Lines.__struct_fields__)
    lines = Lines(*([column[index] for index in kept] for column in columns))
    places = [ready.name.format(ready.lines.places[index]) for index in found[:REASONS_MAX]]
    told = [f"{place}: stands there twice" for place in places]
    tally = ready.chunk.tally
    more = Tally(0, len(found), {}, told)
    chunk = Chunk(ready.chunk.number, ready.chunk.digest, tally.plus(more))
    return Ready(chunk, lines, feeds.written(key, lines, member_key), ready.name)
