"""Seal a label feed by its manifest: refuse it whole, or take its lines as a label file's (S-1).

    judge: is it what the manifest says?  ->  take: chunk by chunk, in their order  ->  sealed

Each chunk is a step: its labels, the count of its lines and its going. The worker makes each in a
transaction of its own, a request the first ones in its own; so a feed that was interrupted goes on
where it was. One feed is taken at a time, in the order in which
they met their manifests.
"""

import msgspec

from benefits.actions.fill_labels import lines_of
from benefits.actions.import_files import CHUNK
from benefits.actions.parts import Parts
from benefits.actions.record_labels import record_labels
from benefits.actions.seal_feed import UNDER_WAY, gaps, tell_refused
from benefits.domain.feeds import (
    REASONS_MAX,
    FeedState,
    FeedUnknown,
    Manifest,
    ManifestConflict,
    Tally,
    differences,
    digest_of,
)
from benefits.domain.label_feeds import LabelFeedKey
from benefits.store import label_feeds
from benefits.store.db import Connection
from benefits.store.label_feeds import LabelFeed

STEPS_AT_ONCE = 20  # of one request: chunks, and the seal


class LabelSealing(msgspec.Struct, frozen=True):
    """A label feed to be sealed, by a manifest without totals."""

    key: LabelFeedKey
    manifest: Manifest


async def seal_labels_at_once(conn: Connection, sealing: LabelSealing, parts: Parts) -> None:
    """Judge a feed, and take it where it is short and its turn; else the worker does.

    FeedUnknown, ManifestConflict.
    """
    feed = await _judged(conn, sealing, parts)
    for _ in range(STEPS_AT_ONCE):
        if feed.state not in UNDER_WAY or feed.rows > CHUNK:
            return
        mine = await label_feeds.turn(conn)
        if mine is None or mine.key != feed.key:
            return
        feed = await _take(conn, mine, parts)


async def _judged(conn: Connection, sealing: LabelSealing, parts: Parts) -> LabelFeed:
    """Judge a feed once; return it (FeedUnknown, ManifestConflict)."""
    key = sealing.key
    feed = await label_feeds.locked(conn, key)
    if feed is None:
        raise FeedUnknown(f"There is no feed {key}.")
    if feed.state is FeedState.OPEN:
        await _judge(conn, sealing, parts)
        feed = await _still(conn, key)
    if feed.manifest != sealing.manifest:
        raise ManifestConflict(f"{key} is {feed.state.value} by another manifest.")
    return feed


async def _judge(conn: Connection, sealing: LabelSealing, parts: Parts) -> None:
    chunks = await label_feeds.chunks(conn, sealing.key)
    received = Tally()
    for chunk in chunks:
        received = received.plus(chunk.tally)
    digest = digest_of(chunk.digest for chunk in chunks)
    reasons = gaps(chunks) + differences(sealing.manifest, received, digest, {})
    reasons, now = reasons[:REASONS_MAX], parts.clock()
    await tell_refused(conn, sealing.key, reasons, now, parts=parts)
    await label_feeds.judge(conn, sealing.key, sealing.manifest, reasons, now=now)


async def take_next(conn: Connection, parts: Parts) -> LabelFeed | None:
    """Take the next chunk of the feed whose turn it is; return how it stands then.

    None when there is no such feed, or when somebody else is at it.
    """
    feed = await label_feeds.turn(conn)
    return None if feed is None else await _take(conn, feed, parts)


async def _take(conn: Connection, feed: LabelFeed, parts: Parts) -> LabelFeed:
    """Take the next chunk of a feed; seal it where none is left, or a later revision counts."""
    key = feed.key
    taken = None
    if feed.state is FeedState.APPLYING or not await label_feeds.is_overtaken(conn, key):
        taken = await label_feeds.take(conn, key)
    if taken is None:
        await label_feeds.seal(conn, key, parts.clock())
        return await _still(conn, key)
    number, sealed = taken
    lines = lines_of(sealed, parts.envelope)
    result = await record_labels(conn, lines, parts, member_key=parts.member_key)
    told = [f"chunk {number}, line {line}: {why}" for line, why in sorted(result.refused)]
    await label_feeds.count(conn, key, result, [*feed.told, *told][:REASONS_MAX])
    return await _still(conn, key)


async def _still(conn: Connection, key: LabelFeedKey) -> LabelFeed:
    feed = await label_feeds.locked(conn, key)
    assert feed is not None, "a feed stays"
    return feed
