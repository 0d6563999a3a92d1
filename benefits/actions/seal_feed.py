"""Seal a feed by its manifest: refuse it whole, or apply it until its day is known (A-2).

    judge: is it what the manifest says?  ->  apply: move sums, some buckets at a time  ->  sealed

Each step is a transaction of its own; the worker, or whoever seals anything, goes on with what was
interrupted. One feed is applied at a time. The last step seals: until then every reader sees the
sums without it, afterwards with it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from benefits.actions.parts import Parts
from benefits.domain.feeds import (
    REASONS_MAX,
    FeedKey,
    FeedKind,
    FeedState,
    FeedUnknown,
    Manifest,
    ManifestConflict,
    Tally,
    check_kind,
    differences,
    digest_of,
)
from benefits.domain.label_feeds import LabelFeedKey
from benefits.domain.values import BUCKETS, placed_bucket
from benefits.store import claims, feeds
from benefits.store.claims import Case
from benefits.store.db import Connection, Database
from benefits.store.feeds import Chunk, Feed

AT_ONCE = 50_000
Progress = Callable[[Feed], None]
REFUSED = "feed_refused"
UNDER_WAY = {FeedState.WAITING, FeedState.APPLYING}


class Sealing(msgspec.Struct, frozen=True):
    """A feed to be sealed; `digest` of the file it came in, if it came in one."""

    key: FeedKey
    manifest: Manifest
    digest: str | None = None


async def seal_feed(
    database: Database, parts: Parts, sealing: Sealing, progress: Progress = lambda _: None
) -> Feed:
    """Judge a feed and apply it; a run again goes on.

    FeedUnknown, ManifestConflict, ManifestInvalid.

    A DELTA feed whose day before is not sealed is left waiting for it.
    """

    async def judge(conn: Connection) -> Feed:
        return await judge_feed(conn, sealing, parts)

    async def step(conn: Connection) -> Feed | None:
        return await apply_next(conn, parts, wait=True)

    while (feed := await database.transact(judge)).state in UNDER_WAY:
        moved = await database.transact(step)
        if moved is not None:
            progress(moved)
        elif feed.kind is FeedKind.DELTA:
            return await database.transact(judge)
    return feed


async def seal_at_once(conn: Connection, sealing: Sealing, parts: Parts) -> Feed:
    """Judge a feed, and apply it where it is short and its turn; else the worker does.

    FeedUnknown, ManifestConflict, ManifestInvalid.
    """
    feed = await judge_feed(conn, sealing, parts)
    return await apply_at_once(conn, feed.key, parts)


async def apply_at_once(conn: Connection, key: FeedKey, parts: Parts) -> Feed:
    """Apply a waiting feed where it is short and its turn, else the worker does; return it."""
    feed = await _still(conn, key)
    if feed.state is FeedState.WAITING and feed.rows <= AT_ONCE:
        mine = await feeds.serial(conn, wait=False) and await feeds.turn(conn)
        if mine and mine.key == key and (await feeds.chain(conn, feed)).rows > AT_ONCE:
            return feed
        while mine and mine.key == key and mine.state in UNDER_WAY:
            mine = await apply_next(conn, parts, wait=False)
        feed = await _still(conn, key)
    return feed


async def judge_feed(conn: Connection, sealing: Sealing, parts: Parts) -> Feed:
    """Judge a feed once; return it (FeedUnknown, ManifestConflict, ManifestInvalid)."""
    key = sealing.key
    check_kind(key, sealing.manifest.kind)
    feed = await feeds.locked(conn, key)
    if feed is None:
        raise FeedUnknown(f"There is no feed {key}.")
    if feed.state is FeedState.OPEN:
        await _judge(conn, feed, sealing, parts)
        feed = await _still(conn, key)
    if feed.manifest != sealing.manifest:
        raise ManifestConflict(f"{key} is {feed.state.value} by another manifest.")
    return feed


async def _judge(conn: Connection, feed: Feed, sealing: Sealing, parts: Parts) -> None:
    key = feed.key
    catalogue = await parts.catalogue.current(conn)
    chunks = await feeds.chunks(conn, key)
    received = Tally()
    for chunk in chunks:
        received = received.plus(chunk.tally)
    digest = sealing.digest or digest_of(chunk.digest for chunk in chunks)
    reasons = gaps(chunks) + differences(sealing.manifest, received, digest, catalogue.digits)
    reasons, now = reasons[:REASONS_MAX], parts.clock()
    await tell_refused(conn, key, reasons, now, parts=parts)
    await feeds.judge(conn, key, sealing.manifest, reasons, received=received, now=now)


async def tell_refused(
    conn: Connection,
    key: FeedKey | LabelFeedKey,
    reasons: Sequence[str],
    now: datetime,
    *,
    parts: Parts,
) -> None:
    """Open a case about a feed that is refused, where there are reasons."""
    if reasons:
        case_id = parts.new_id(now, placed_bucket("feed", str(key)))
        detail = f"{key}: {'; '.join(reasons[:3])}"
        await claims.open_cases(conn, [Case(case_id, None, None, REFUSED, detail, now)])


async def apply_next(conn: Connection, parts: Parts, *, wait: bool) -> Feed | None:
    """Move the next sums of the feed whose turn it is; return how it stands then.

    None when there is no such feed or, unless we `wait`, when somebody else is at it.
    """
    if not (await feeds.is_due(conn) and await feeds.serial(conn, wait=wait)):
        return None
    feed = await feeds.turn(conn)
    if feed is None:
        return None
    key, now = feed.key, parts.clock()
    if feed.state is FeedState.WAITING:
        counting = await feeds.sealed_revision(conn, key)
        if counting is not None and counting > key.revision:
            await feeds.pass_over(conn, key, now)
            return await _still(conn, key)
        await feeds.begin(conn, key, replaces=counting)
        feed = await _still(conn, key)
    lines = (await feeds.chain(conn, feed)).rows
    count = max(1, BUCKETS * AT_ONCE // max(lines, 1))
    await feeds.apply(conn, feed, min(count, BUCKETS), now)
    return await _still(conn, key)


async def _still(conn: Connection, key: FeedKey) -> Feed:
    feed = await feeds.one(conn, key)
    assert feed is not None, "a feed stays"
    return feed


def gaps(chunks: list[Chunk]) -> list[str]:
    """Return what is missing between the chunks of a feed."""
    numbers = {chunk.number for chunk in chunks}
    missing = sorted(set(range(1, max(numbers, default=0))) - numbers)
    return [f"chunks: {missing[0]} is missing, and {len(missing)} in all"] if missing else []
