"""Keep the sums of the stretches of months that the windows of programmes in force need.

A new programme, another calendar or the next month may need stretches that nobody has kept so far.
Each is filled from the daily rows, some buckets in a transaction; whoever does it next goes on
where it was stopped, and until it is done what needs it is open (A-6). What is needed no more
stays: a calendar may be corrected back.
"""

from collections.abc import Callable

from benefits.actions.parts import Parts
from benefits.actions.seal_feed import apply_next
from benefits.domain.feeds import FeedState
from benefits.domain.stretches import are_needed, folded, needed
from benefits.domain.values import Month, local_date
from benefits.domain.windows import Stretch
from benefits.store import feeds, stretch_sums
from benefits.store.db import Connection, Database

Progress = Callable[[int], None]


async def keep_stretches(
    database: Database, parts: Parts, progress: Progress = lambda _: None
) -> None:
    """Fill what is needed and not kept, and tell how many stretches are left."""

    async def step(conn: Connection) -> int:
        return await fill_next(conn, parts, wait=True)

    while left := await database.transact(step):
        progress(left)


async def fill_next(conn: Connection, parts: Parts, *, wait: bool) -> int:
    """Fill the next buckets of a stretch; return how many stretches were left before.

    0 when there is none or, unless we `wait`, when somebody else moves sums. A feed that is half
    applied is gone on with first.
    """
    left = await unfilled(conn, parts)
    if not left or not await feeds.serial(conn, wait=wait):
        return 0
    feed = await feeds.turn(conn)
    if feed is not None and feed.state is FeedState.APPLYING:
        await apply_next(conn, parts, wait=wait)
    else:
        await stretch_sums.fill(conn, left[0])
    return len(left)


async def unfilled(conn: Connection, parts: Parts) -> list[Stretch]:
    """Return what is needed of months with balances, of the running one, and of the next."""
    catalogue = await parts.catalogue.current(conn)
    asked = [rules for rules in catalogue.rules.values() if are_needed(rules)]
    if not asked:
        return []
    now = Month.of(local_date(parts.clock(), catalogue.zone))
    begun = [month for month in await stretch_sums.months(conn) if month <= now]
    months = {*begun, now, now.plus(1)}
    wanted = {each for rules in asked for month in months for each in needed(rules, month)}
    wide = {each for rules in asked for month in months for each in folded(rules, month)}
    return await stretch_sums.unfilled(conn, wanted, wide)
