"""Seal a feed by its manifest: refuse it whole, or apply it until its day is known (A-2).

    judge: is it what the manifest says?  ->  apply: move sums, some buckets at a time  ->  sealed

Each step is a transaction of its own; whoever seals anything goes on with what was interrupted.
One feed is applied at a time. The last step seals: until then every reader sees the sums without
it, afterwards with it.
"""

from collections.abc import Callable

import msgspec

from benefits.actions.parts import Parts
from benefits.domain.feeds import (
    REASONS_MAX,
    FeedKey,
    FeedState,
    FeedUnknown,
    Manifest,
    ManifestConflict,
    Tally,
    differences,
    digest_of,
)
from benefits.domain.values import BUCKETS, placed_bucket
from benefits.store import claims, feeds
from benefits.store.claims import Case
from benefits.store.db import Connection, Database
from benefits.store.feeds import Chunk, Feed, Verdict

AT_ONCE = 50_000
Progress = Callable[[Feed], None]
REFUSED = "feed_refused"


class Sealing(msgspec.Struct, frozen=True):
    """A feed to be sealed; `digest` of the file it came in, if it came in one."""

    key: FeedKey
    manifest: Manifest
    digest: str | None = None


async def seal_feed(
    database: Database, parts: Parts, sealing: Sealing, progress: Progress = lambda _: None
) -> Feed:
    """Judge a feed and apply it; a run again goes on (FeedUnknown, ManifestConflict)."""

    async def judge(conn: Connection) -> tuple[Feed, Feed | None]:
        return await judge_feed(conn, sealing, parts)

    while True:
        feed, busy = await database.transact(judge)
        if busy is None:
            return feed
        await _apply(database, parts, busy, progress)


async def _apply(database: Database, parts: Parts, feed: Feed, progress: Progress) -> None:
    key = feed.key

    async def step(conn: Connection) -> Feed | None:
        now = await feeds.locked(conn, key)
        if now is None or now.state is not FeedState.APPLYING:
            return None
        count = max(1, BUCKETS * AT_ONCE // max(now.rows, 1))
        await feeds.apply(conn, now, min(count, BUCKETS), parts.clock())
        return now

    while (before := await database.transact(step)) is not None:
        progress(before)


async def judge_feed(conn: Connection, sealing: Sealing, parts: Parts) -> tuple[Feed, Feed | None]:
    """Judge a feed once; return it, and the feed that is to be applied first, if any."""
    await feeds.serial(conn)
    key = sealing.key
    feed = await feeds.locked(conn, key)
    if feed is None:
        raise FeedUnknown(f"There is no feed {key}.")
    busy = await feeds.applying(conn)
    if feed.state is FeedState.OPEN and busy is None:
        await _judge(conn, feed, sealing, parts)
        feed = await feeds.one(conn, key)
        assert feed is not None, "a feed stays"
        busy = feed if feed.state is FeedState.APPLYING else None
    if feed.manifest is not None and feed.manifest != sealing.manifest:
        raise ManifestConflict(f"{key} is {feed.state.value} by another manifest.")
    done = feed.state in {FeedState.SEALED, FeedState.REFUSED}
    return feed, None if done else busy


async def _judge(conn: Connection, feed: Feed, sealing: Sealing, parts: Parts) -> None:
    key = feed.key
    catalogue = await parts.catalogue.current(conn)
    digits = catalogue.programmes[feed.programme].minor_digits
    chunks = await feeds.chunks(conn, key)
    received = Tally()
    for chunk in chunks:
        received = received.plus(chunk.tally)
    digest = sealing.digest or digest_of(chunk.digest for chunk in chunks)
    reasons = _gaps(chunks) + differences(sealing.manifest, received, digest, digits)
    now = parts.clock()
    if reasons:
        verdict = Verdict(state=FeedState.REFUSED, reasons=reasons[:REASONS_MAX])
        case_id = parts.new_id(now, placed_bucket("feed", str(key)))
        detail = f"{key}: {'; '.join(verdict.reasons[:3])}"
        await claims.open_cases(conn, [Case(case_id, None, None, REFUSED, detail, now)])
    else:
        verdict = await _accepted(conn, key)
    await feeds.judge(conn, key, verdict, received=received, manifest=sealing.manifest, now=now)


async def _accepted(conn: Connection, key: FeedKey) -> Verdict:
    """Return what becomes of a feed that matches: a later revision may count already."""
    counting = await feeds.sealed_revision(conn, key)
    if counting is not None and counting > key.revision:
        return Verdict(state=FeedState.SEALED)
    return Verdict(
        state=FeedState.APPLYING,
        replaces=counting,
        generation=await feeds.next_generation(conn),
    )


def _gaps(chunks: list[Chunk]) -> list[str]:
    """Return what is missing between the chunks of a feed."""
    numbers = {chunk.number for chunk in chunks}
    missing = sorted(set(range(1, max(numbers, default=0))) - numbers)
    return [f"chunks: {missing[0]} is missing, and {len(missing)} in all"] if missing else []
