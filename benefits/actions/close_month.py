"""Close a month of the books: whatever is recorded from now on is booked later (L-11).

    open month moves on  ->  writes that may not know it have ended  ->  totals are fixed

Each step is a transaction of its own. A closing that was interrupted between them goes on where
it was when it is run again; one that is done says so.
"""

import asyncio
import time

import msgspec

from benefits.actions.parts import Parts
from benefits.domain.refusal import Refusal
from benefits.domain.values import Month, midnight
from benefits.store import months
from benefits.store.db import Connection, Database
from benefits.store.months import Closed

LOOK_EVERY_S = 0.05
WAIT_S = 60.0


class MonthOpen(Refusal):
    """The month is not over in the zone of the books."""

    code = "month_open"
    words = "The month is not over yet."


class MonthOutOfOrder(Refusal):
    """An earlier month must be closed first."""

    code = "month_out_of_order"
    words = "An earlier month is not closed yet."


class WritesPending(Refusal):
    """A write that began before the closing does not end; nothing is lost by trying again."""

    code = "writes_pending"
    words = "A write from before is still under way. Close the month again a little later."


class ClosedNow(msgspec.Struct, frozen=True):
    """A month as it is closed, and whether this closing did it."""

    closed: Closed
    is_new: bool


async def close_month(
    database: Database, parts: Parts, month: Month, *, actor: str, wait_s: float = WAIT_S
) -> ClosedNow:
    """Close a month (MonthOpen, MonthOutOfOrder, WritesPending); again changes nothing."""

    async def begin(conn: Connection) -> None:
        await _begin(conn, parts, month)

    async def fix(conn: Connection) -> ClosedNow:
        return await _fix(conn, parts, month, actor=actor)

    await database.transact(begin)
    async with database.transaction() as conn:
        before = await months.next_write(conn)
    until = time.monotonic() + wait_s
    while True:
        async with database.transaction() as conn:
            if not await months.pending(conn, before):
                break
        if time.monotonic() > until:
            raise WritesPending
        await asyncio.sleep(LOOK_EVERY_S)
    return await database.transact(fix)


async def rehearse_month(
    database: Database, parts: Parts, month: Month, *, actor: str
) -> ClosedNow:
    """Say what closing a month would fix now, in one transaction that is undone.

    Writes under way are not waited for: the totals are without them.
    """

    async def whole(conn: Connection) -> ClosedNow:
        await _begin(conn, parts, month)
        return await _fix(conn, parts, month, actor=actor)

    return await database.rehearsal().transact(whole)


async def _begin(conn: Connection, parts: Parts, month: Month) -> None:
    state = await months.books(conn, lock=True)
    if parts.clock() < midnight(month.end, state.zone):
        raise MonthOpen
    last = await months.last_closed(conn)
    if last is not None and month > last.plus(1):
        raise MonthOutOfOrder(f"Close {last.plus(1)} first.")
    begun = state.open_month.plus(-1)
    if last is None and state.open_month > months.FIRST and month != begun:
        raise MonthOutOfOrder(f"Close {begun}, which was begun, first.")
    if state.open_month <= month:
        await months.begin_after(conn, month)


async def _fix(conn: Connection, parts: Parts, month: Month, *, actor: str) -> ClosedNow:
    await months.books(conn, lock=True)
    last = await months.last_closed(conn)
    is_new = last is None or last < month
    if is_new:
        await months.fix(conn, month, actor=actor, now=parts.clock())
    found = await months.closed(conn, month.plus(1), limit=1)
    if not found or found[0].month != month:
        raise MonthOutOfOrder(f"{month} is closed with the months before {last}.")
    return ClosedNow(found[0], is_new)
