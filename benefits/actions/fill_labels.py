"""Fill a label feed: open it, and take its chunks, each once, in any order (S-1, C-9).

A chunk is a label file of its own. Its lines are judged before the transaction and kept sealed in
it; they say nothing of anybody until the feed is sealed.
"""

import msgspec

from benefits.actions.fill_feed import Part, kept_before, same
from benefits.actions.import_files import fitting, read_rows
from benefits.actions.parts import Parts
from benefits.domain.assets import LineInvalid
from benefits.domain.feeds import (
    REASONS_MAX,
    FeedUnknown,
    Tally,
    reason,
)
from benefits.domain.label_feeds import LabelFeedKey, read_line
from benefits.domain.members import LABEL_OPTIONAL, LABEL_REQUIRED, LabelLine
from benefits.store import label_feeds
from benefits.store.db import Connection
from benefits.store.envelope import Envelope
from benefits.store.feeds import Chunk
from benefits.store.label_feeds import LabelsReceived

Lines = list[tuple[int, LabelLine]]


class ReadyLabels(msgspec.Struct, frozen=True):
    """A judged chunk: its tally, and its good lines by their numbers, sealed."""

    chunk: Chunk
    lines_sealed: bytes


async def open_labels(
    conn: Connection, key: LabelFeedKey, parts: Parts
) -> tuple[LabelsReceived, bool]:
    """Open a feed, once; return it and whether it is new."""
    is_new = await label_feeds.open_(conn, key, parts.clock())
    return await see_labels(conn, key), is_new


async def see_labels(conn: Connection, key: LabelFeedKey) -> LabelsReceived:
    """Return how a feed stands (FeedUnknown)."""
    found = await label_feeds.seen(conn, key)
    if found is None:
        raise FeedUnknown(f"There is no feed {key}.")
    return found


async def known_labels(conn: Connection, key: LabelFeedKey, part: Part | Chunk) -> Chunk | None:
    """Return what became of a chunk that was kept before (ChunkConflict for other bytes)."""
    return same(await label_feeds.chunk(conn, key, part.number), part, key)


def judge_labels(part: Part, key: LabelFeedKey, envelope: Envelope) -> ReadyLabels:
    """Judge a chunk's lines and seal the good ones; FileUnreadable for its header."""
    text = part.text.decode("utf-8", "surrogateescape")
    lines = text.removesuffix("\n").split("\n") if text else []
    good, bad, told = Lines(), 0, list[str]()
    for number, row in read_rows([part.header, *lines], LABEL_REQUIRED, LABEL_OPTIONAL):
        try:
            good.append((number, read_line(fitting(row), key.version)))
        except LineInvalid as refusal:
            bad += 1
            if len(told) < REASONS_MAX:
                told.append(reason(part.name.format(number), refusal))
    tally = Tally(len(good) + bad, bad, {}, told)
    sealed = envelope.seal(msgspec.msgpack.encode(good))
    return ReadyLabels(Chunk(part.number, part.digest, tally), sealed)


def lines_of(sealed: bytes, envelope: Envelope) -> Lines:
    """Return the lines of a chunk that was kept."""
    return msgspec.msgpack.decode(envelope.open(sealed), type=Lines)


async def put_labels(
    conn: Connection, key: LabelFeedKey, ready: ReadyLabels, parts: Parts
) -> tuple[Chunk, bool]:
    """Keep a chunk; return it as it stands and whether it is new.

    FeedUnknown, FeedClosed, ChunkConflict.
    """

    async def known() -> Chunk | None:
        return await known_labels(conn, key, ready.chunk)

    async def put() -> bool:
        return await label_feeds.put_chunk(
            conn, key, ready.chunk, parts.clock(), lines_sealed=ready.lines_sealed
        )

    feed = await label_feeds.shared(conn, key)
    there = await kept_before(key, None if feed is None else feed.state, known=known, put=put)
    return (ready.chunk, True) if there is None else (there, False)
