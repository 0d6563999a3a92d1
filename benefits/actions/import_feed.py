"""Import a file as a feed: cut in chunks, each judged while the one before is kept, then sealed.

The same command goes on where one was stopped: chunks that are there are passed over, and what was
being applied is applied. However long the file is, two chunks of it are in memory.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import msgspec

from benefits.actions.fill_feed import (
    Part,
    Ready,
    judge,
    keep_chunk,
    open_feed,
    programme_of,
)
from benefits.actions.parts import Parts
from benefits.actions.seal_feed import Sealing, seal_feed
from benefits.domain.assets import FileUnreadable
from benefits.domain.feeds import FeedKey, FeedManifest, FeedState, Tally, differences
from benefits.domain.programme import Programme
from benefits.store import feeds
from benefits.store.db import Connection, Database
from benefits.store.feeds import Feed

CHUNK_BYTES = 2**19
HEADER_MAX = 4096


class Filled(msgspec.Struct):
    """How far a file is: lines read, the tally of what was judged, buckets applied."""

    tally: Tally = Tally()
    known: int = 0
    applied: int = 0


Progress = Callable[[Filled], None]


async def import_feed(
    database: Database,
    parts: Parts,
    file: BinaryIO,
    manifest: FeedManifest,
    *,
    programme_code: str | None,
    progress: Progress,
) -> list[str]:
    """Fill a feed from a file and seal it; return why it was refused, nothing if it was not.

    A DELTA feed may be left waiting for the day before. A file of a revision below 0 is kept for
    two people to fill the day with, and not sealed (A-6).
    FileUnreadable, and what opening and sealing refuse.
    """
    key = manifest.key

    async def opened(conn: Connection) -> tuple[Programme, Feed, dict[int, bytes]]:
        feed, _ = await open_feed(conn, key, programme_code, parts)
        there = {chunk.number: chunk.digest for chunk in await feeds.chunks(conn, key)}
        return await programme_of(conn, feed.programme, parts), feed, there

    programme, feed, there = await database.transact(opened)
    source = _File(file)
    done = Filled()
    keeper = _Keeper(database, parts, key, done=done, progress=progress)
    if feed.state is FeedState.OPEN:
        try:
            async for ready in source.judged(key, programme, parts, there):
                await keeper.take(ready)
        finally:
            await keeper.end()
    else:
        await asyncio.to_thread(source.read_on)

    digest = source.digest.hexdigest()
    if key.is_fill:
        received = await _received(database, key)
        return differences(manifest, received, digest, programme.digits)

    def applied(now: Feed) -> None:
        done.applied = now.next_bucket
        progress(done)

    sealing = Sealing(key, manifest.manifest, digest)
    return (await seal_feed(database, parts, sealing, applied)).reasons


async def _received(database: Database, key: FeedKey) -> Tally:
    """Return what was received of a feed."""
    async with database.transaction() as conn:
        tally = Tally()
        for chunk in await feeds.chunks(conn, key):
            tally = tally.plus(chunk.tally)
    return tally


async def rehearse_feed(
    database: Database,
    parts: Parts,
    file: BinaryIO,
    manifest: FeedManifest,
    *,
    programme_code: str | None,
    progress: Progress,
) -> list[str]:
    """Say why a file would be refused by its manifest, without keeping anything of it.

    Lines that stand twice are found only where a chunk holds both.
    """
    key = manifest.key

    async def opened(conn: Connection) -> Programme:
        feed, _ = await open_feed(conn, key, programme_code, parts)
        return await programme_of(conn, feed.programme, parts)

    programme = await database.rehearsal().transact(opened)
    source, done = _File(file), Filled()
    async for ready in source.judged(key, programme, parts, {}):
        assert isinstance(ready, Ready), "no chunk is known"
        done.tally = done.tally.plus(ready.chunk.tally)
        progress(done)
    digest = source.digest.hexdigest()
    return differences(manifest, done.tally, digest, programme.digits)


class _Keeper:
    """Keeps one chunk after the other, each while the next one is judged."""

    def __init__(
        self, database: Database, parts: Parts, key: FeedKey, *, done: Filled, progress: Progress
    ) -> None:
        self._database, self._parts, self._key = database, parts, key
        self._done, self._progress = done, progress
        self._keeping: asyncio.Task[None] | None = None

    async def take(self, ready: Ready | int) -> None:
        """Begin to keep a chunk when the one before is kept."""
        await self.end()
        if isinstance(ready, int):
            self._done.known += 1
        else:
            self._keeping = asyncio.create_task(self._keep(ready))

    async def end(self) -> None:
        """Wait for what is being kept."""
        if self._keeping is not None:
            keeping, self._keeping = self._keeping, None
            await keeping

    async def _keep(self, ready: Ready) -> None:
        await keep_chunk(self._database, self._key, ready, self._parts)
        self._done.tally = self._done.tally.plus(ready.chunk.tally)
        self._progress(self._done)


class _File:
    """A file cut into chunks at the ends of lines; its digest grows as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self._file = file
        self._header = ""
        self._number, self._before = 0, 1

    def _next(self) -> Part | None:
        if not self._number:
            first = self._file.readline(HEADER_MAX)
            self.digest.update(first)
            self._header = first.decode("utf-8", "surrogateescape")
            if not self._header.strip() or not first.endswith(b"\n"):
                raise FileUnreadable("The file is empty, or its first line is no header.")
        lines = self._file.readlines(CHUNK_BYTES)
        text = b"".join(lines)
        if not text and self._number:
            return None
        self.digest.update(text)
        self._number += 1
        digest = hashlib.sha256(text).digest()
        part = Part(self._number, digest, text, self._header, self._before, "line {}")
        self._before += len(lines)
        return part

    def read_on(self) -> None:
        """Read the rest for its digest."""
        while self._next() is not None:
            pass

    async def judged(
        self, key: FeedKey, programme: Programme, parts: Parts, there: dict[int, bytes]
    ) -> AsyncIterator[Ready | int]:
        """Yield the chunks of the file, judged; of those that are there only their number."""

        def next_() -> Ready | int | None:
            part = self._next()
            if part is None:
                return None
            if there.get(part.number) == part.digest:
                return part.number
            return judge(part, key, programme, parts.member_key)

        # One thread for all: each thread would keep the memory of its largest chunk.
        with ThreadPoolExecutor(1) as one:
            loop = asyncio.get_running_loop()
            while (ready := await loop.run_in_executor(one, next_)) is not None:
                yield ready
