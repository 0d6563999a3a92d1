"""Fill a day that never came: one person proposes with what, another approves it (A-6).

What was approved is a feed of a revision below 0 and moves the sums like any other, when its turn
comes.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from uuid import UUID

import msgspec

from benefits.actions.agree import Agreed, Desk
from benefits.actions.parts import Parts
from benefits.actions.seal_feed import UNDER_WAY, apply_at_once, apply_next, gaps
from benefits.domain import fills as rules
from benefits.domain.feeds import (
    FeedKey,
    FeedKind,
    FeedNotNamed,
    FeedState,
    Manifest,
    Tally,
    digest_of,
)
from benefits.domain.fills import (
    DayNotMissing,
    Effect,
    FillInvalid,
    FillKind,
    FillTooEarly,
    Wanted,
)
from benefits.domain.refusal import Refusal
from benefits.domain.values import local_date
from benefits.store import agreements, chains, feeds, fills
from benefits.store.chains import Stood
from benefits.store.db import Connection, Database
from benefits.store.feeds import Feed
from benefits.store.fills import FillSeen


class UnknownFill(Refusal):
    """No fill has this id."""

    code = "unknown_fill"
    words = "No fill has this id."


class FillClosed(Refusal):
    """The fill was decided before, or its time is over."""

    code = "fill_closed"
    words = "This fill was decided before, or its time is over."


class FillStale(Refusal):
    """What the fill would do now is not what was proposed and read."""

    code = "fill_stale"
    words = "This fill would now do something else. Reject it and propose it anew."


Progress = Callable[[Feed], None]


class Fills(Desk[Wanted, Effect, FillSeen]):
    """The desk of fills."""

    noun, proposing, book = "fill", "propose_fill", fills.BOOK
    unknown, closed, stale = UnknownFill, FillClosed, FillStale
    _made: FeedKey | None = None

    async def lock(self, about: Wanted | UUID) -> None:  # noqa: ARG002 - whatever it is
        """Come one at a time."""
        await agreements.serial(self.conn, "fills")

    async def weigh(self, wanted: Wanted) -> Effect:
        """Return what a fill would do now (whatever `weigh` refuses)."""
        return await weigh(self.conn, wanted, self.parts)

    async def read(self, seen: FillSeen) -> Wanted:
        """Return what was asked."""
        return msgspec.convert(seen.body, Wanted)

    async def do(self, agreed: Agreed[Wanted, Effect, FillSeen]) -> int:
        """Let the fill wait for its turn; return the revision of its feed."""
        self._made = await _become(self.conn, agreed, self.parts)
        return self._made.revision

    async def finish(self) -> None:
        """Move the sums of a short one whose turn it is."""
        if self._made is not None:
            await apply_at_once(self.conn, self._made, self.parts)


async def weigh(conn: Connection, wanted: Wanted, parts: Parts) -> Effect:
    """Return what a fill would do now.

    FeedDateInvalid, FillInvalid, FeedNotNamed, FillTooEarly, DayNotMissing, NothingToCarry.
    """
    rules.check(wanted)
    catalogue = await parts.catalogue.current(conn)
    source, day = wanted.source, wanted.date
    start = rules.fillable_from(source, day, catalogue.rules.values())
    if start is None:
        raise FeedNotNamed(f"No programme waits for {source!r} in the month of {day}.")
    if local_date(parts.clock(), catalogue.zone) < start:
        raise FillTooEarly(f"{source} {day} may be filled from {start} on.")
    if (await fills.there(conn, source, day)).given:
        raise DayNotMissing(f"{source} {day} is sealed, or is being sealed.")
    match wanted.kind:
        case FillKind.CARRY_FORWARD:
            return await _carried(conn, source, day)
        case FillKind.ZERO:
            waiting = (c for c, p in catalogue.programmes.items() if source in p.feeds)
            return Effect(programme=next(waiting, next(iter(catalogue.programmes))))
        case FillKind.MANUAL:
            assert wanted.revision is not None, "checked"
            return await _received(conn, FeedKey(source, day, wanted.revision))


async def _carried(conn: Connection, source: str, day: date) -> Effect:
    """Return what the day would hold that a source sent last (NothingToCarry).

    Of a day that stands on others that is more than its own lines; nothing moves them meanwhile.
    """
    sent = await fills.last_sent(conn, source, day)
    effect = rules.carried(day, sent)
    assert sent is not None, "else there is nothing to carry"
    if sent.kind is FeedKind.FULL:
        return effect
    await feeds.serial(conn, wait=True)
    rows, totals = await chains.standing(conn, Stood(source, sent.as_of, sent.revision))
    return msgspec.structs.replace(effect, rows=rows, totals=totals)


async def _received(conn: Connection, key: FeedKey) -> Effect:
    """Return what was received of a file for a day (FillInvalid)."""
    feed = await feeds.locked(conn, key)
    if feed is None or feed.state is not FeedState.OPEN:
        raise FillInvalid(f"There is no open feed {key}.")
    chunks = await feeds.chunks(conn, key)
    tally = Tally()
    for chunk in chunks:
        tally = tally.plus(chunk.tally)
    reasons = gaps(chunks)
    if tally.bad:
        reasons += [f"lines: {tally.bad} are not valid", *tally.told]
    if not chunks:
        reasons.append("nothing was received")
    if reasons:
        raise FillInvalid(f"{key}: {'; '.join(reasons[:3])}")
    return Effect(
        programme=feed.programme,
        rows=tally.rows,
        totals=tally.totals,
        sha256=digest_of(chunk.digest for chunk in chunks),
    )


async def _become(
    conn: Connection, agreed: Agreed[Wanted, Effect, FillSeen], parts: Parts
) -> FeedKey:
    """Make a fill a feed that waits for its turn; return which."""
    wanted, effect, now = agreed.wanted, agreed.effect, agreed.now
    if wanted.revision is not None:
        key = FeedKey(wanted.source, wanted.date, wanted.revision)
        digits = (await parts.catalogue.current(conn)).digits
        assert effect.sha256 is not None, "a file has a digest"
        totals = {c: f"{Decimal(n).scaleb(-digits[c]):f}" for c, n in effect.totals.items()}
        manifest = Manifest(rows=effect.rows, totals=totals, sha256=effect.sha256)
        received = Tally(effect.rows, 0, effect.totals)
        await feeds.judge(conn, key, manifest, [], received=received, now=now)
        return key
    lowest = (await fills.there(conn, wanted.source, wanted.date)).lowest
    key = FeedKey(wanted.source, wanted.date, lowest - 1)
    await fills.add(conn, key, wanted.kind, effect, now=now)
    return key


async def fill_now(database: Database, parts: Parts, key: FeedKey, progress: Progress) -> Feed:
    """Move the sums of an approved fill until it is sealed, after what is before it."""

    async def step(conn: Connection) -> Feed | None:
        return await apply_next(conn, parts, wait=True)

    async def now(conn: Connection) -> Feed:
        feed = await feeds.one(conn, key)
        assert feed is not None, "a feed stays"
        return feed

    while (feed := await database.transact(now)).state in UNDER_WAY:
        moved = await database.transact(step)
        if moved is not None:
            progress(moved)
    return feed
