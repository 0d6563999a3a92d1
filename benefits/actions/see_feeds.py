"""See feeds: how they stand, what was received, which decided months they touched (A-2, A-7)."""

from collections.abc import Mapping
from datetime import date

import msgspec

from benefits.actions.parts import Parts
from benefits.domain.feeds import (
    Decided,
    Evaluated,
    FeedKey,
    FeedKind,
    FeedUnknown,
    decided_before,
    missing_days,
)
from benefits.domain.values import Month
from benefits.store import feeds
from benefits.store.db import Connection
from benefits.store.feeds import Received


class Seen(msgspec.Struct, frozen=True):
    """A feed as it stands; `decided` are months it touched, to be decided anew."""

    received: Received
    digits: Mapping[str, int]
    decided: list[Decided]


class Missing(msgspec.Struct, frozen=True):
    """Days of a month, as bits, for which a programme waits for a source."""

    programme: str
    source: str
    days: int


async def see_feed(conn: Connection, key: FeedKey, parts: Parts) -> Seen:
    """Return how a feed stands (FeedUnknown)."""
    found = await feeds.seen(conn, key)
    if found is None:
        raise FeedUnknown(f"There is no feed {key}.")
    (seen,) = await _seen(conn, [found], parts)
    return seen


async def list_feeds(
    conn: Connection, parts: Parts, month: Month | None, *, after: FeedKey | None, limit: int
) -> list[Seen]:
    """Return feeds of a month, or of all, by date, source and revision."""
    days = (month.start, month.end) if month else (date.min, date.max)
    found = await feeds.listed(conn, days, after, limit=limit)
    return await _seen(conn, found, parts)


async def _seen(conn: Connection, found: list[Received], parts: Parts) -> list[Seen]:
    """Tell of each feed that moved sums which months had been decided before (A-7)."""
    catalogue = await parts.catalogue.current(conn)
    moved = [one.feed.as_of for one in found if one.feed.generation is not None]
    evaluated: Evaluated = await feeds.evaluated(conn, Month.of(min(moved))) if moved else {}
    standing = [one.feed.as_of for one in found if one.feed.kind is FeedKind.DELTA]
    unnamed = dict[tuple[str, Month], set[str]]()
    if standing:
        unnamed = await feeds.currencies(conn, Month.of(min(standing)), Month.of(max(standing)))
    seen = list[Seen]()
    for one in found:
        feed, decided = one.feed, list[Decided]()
        if feed.sealed_at is not None and feed.generation is not None:
            currencies = {*feed.totals}
            if feed.kind is FeedKind.DELTA:
                currencies |= unnamed.get((feed.source, Month.of(feed.as_of)), set())
            decided = decided_before(
                feed.key, feed.sealed_at, currencies, catalogue.rules, evaluated=evaluated
            )
        seen.append(Seen(one, catalogue.digits, decided))
    return seen


async def list_missing(conn: Connection, parts: Parts, month: Month) -> list[Missing]:
    """Return the days of a month that are not sealed, by programme and source (A-6)."""
    catalogue = await parts.catalogue.current(conn)
    sealed = await feeds.sealed_of_sources(conn, month)
    return [
        Missing(code, source, days)
        for code, rules in catalogue.rules.items()
        for source, days in missing_days(
            sealed, rules.at(month).programme.feeds, month.days
        ).items()
    ]
