"""Closing months: where batches are booked, in which order months close, what never changes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from benefits.actions import close_month as closing
from benefits.actions import report
from benefits.actions.apply_programme import apply_programme
from benefits.actions.close_month import (
    ClosedNow,
    MonthOpen,
    MonthOutOfOrder,
    WritesPending,
    close_month,
)
from benefits.actions.grant import reward
from benefits.domain.orders import Done
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.values import Month
from benefits.store import members, months
from benefits.store.db import run
from benefits.store.months import Closed
from tests.actions import life
from tests.actions.life import claimed, expire_lots, gift, give, holder, wish
from tests.builders import PROGRAMME, World

JUNE, JULY, AUGUST = Month(2025, 6), Month(2025, 7), Month(2025, 8)
JUNE_ENDS = datetime(2025, 6, 30, 16, 0, tzinfo=UTC)
JULY_ENDS = datetime(2025, 7, 31, 16, 0, tzinfo=UTC)


async def close(world: World, month: Month, **more: Any) -> ClosedNow:
    """Close a month."""
    return await close_month(world.database, world.parts, month, actor="finance", **more)


async def booked(world: World) -> list[tuple[str, str]]:
    """Return kind and booked month of all batches, in the order they were recorded."""
    found = await world.rows(
        "SELECT kind, booked_month FROM batch WHERE bucket BETWEEN 0 AND 1023 "
        "ORDER BY recorded_at, batch_id"
    )
    return [(row.kind, f"{row.booked_month:%Y-%m}") for row in found]


async def fixed(world: World) -> list[Closed]:
    """Return all closed months."""
    async with world.database.transaction() as conn:
        return await months.closed(conn, limit=100)


async def june(world: World) -> UUID:
    """Give a member five units in June that end with June, in Shanghai."""
    world.clock.now = JUNE_ENDS - timedelta(days=1, hours=8)
    return await holder(world, "LOUNGE", quantity=5, valid_days=2)


async def test_a_clock_that_was_once_ahead_books_nothing_later_into_the_future(
    world: World,
) -> None:
    """Records stay in order; what they say was true when it was."""
    member = await holder(world, "LOUNGE", quantity=2, valid_days=60)
    now = world.clock.now
    world.clock.forward(days=31)
    await claimed(world, wish(member, "LOUNGE"))
    world.clock.now = now
    await claimed(world, wish(member, "LOUNGE"))
    assert ["2025-07", "2025-08", "2025-07"] == [month for _, month in await booked(world)]
    last = "SELECT effective_at, recorded_at FROM batch ORDER BY recorded_at DESC LIMIT 1"
    ((true_at, recorded_at),) = await world.rows(last)
    assert now == true_at
    assert recorded_at > now + timedelta(days=31)


@pytest.mark.parametrize(
    ("at", "month"),
    [
        (JUNE_ENDS - timedelta(microseconds=2), "2025-06"),
        (JUNE_ENDS, "2025-07"),
        (JUNE_ENDS + timedelta(hours=8), "2025-07"),
    ],
)
async def test_a_batch_is_booked_in_the_month_of_the_banks_zone(
    world: World, at: datetime, month: str
) -> None:
    """Midnight in Shanghai parts the months, not midnight in London."""
    world.clock.now = at
    await holder(world)
    assert [("entitlement.granted", month)] == await booked(world)


async def test_a_late_fact_keeps_its_time_and_is_booked_in_the_open_month(world: World) -> None:
    """L-11: a sweep in August records an end of July: July while that is open, then August."""
    world.clock.now = JUNE_ENDS + timedelta(days=9)
    early = await holder(world, "LOUNGE", valid_days=10)
    late = await holder(world, "LOUNGE", valid_days=15)
    world.clock.now = JULY_ENDS - timedelta(days=10)
    await expire_lots(world)
    world.clock.now = JULY_ENDS + timedelta(hours=9)
    assert (await close(world, JULY)).is_new
    await expire_lots(world)
    assert ["2025-07", "2025-07", "2025-07", "2025-08"] == [m for _, m in await booked(world)]
    found = await world.rows(
        "SELECT member_id, effective_at FROM batch WHERE kind = 'entitlement.expired' "
        "AND bucket BETWEEN 0 AND 1023 ORDER BY effective_at"
    )
    assert [early, late] == [row.member_id for row in found]
    assert all(row.effective_at < JULY_ENDS for row in found)


async def test_a_closed_months_totals_never_change(world: World) -> None:
    """What happens later is booked later; the sums of all months are those of the ledger."""
    await june(world)
    world.clock.now = JUNE_ENDS + timedelta(hours=1)
    first = await close(world, JUNE)
    assert [("BENEFIT:LOUNGE", "available", 5), ("BENEFIT:LOUNGE", "issued", -5)] == [
        (t.unit, t.account, t.amount) for t in first.closed.totals
    ]
    world.clock.forward(days=2)
    await expire_lots(world)
    await holder(world, "LOUNGE", quantity=2)
    assert [first.closed] == await fixed(world)
    world.clock.now = JULY_ENDS + timedelta(hours=1)
    second = await close(world, JULY)
    assert [second.closed, first.closed] == await fixed(world)
    assert {
        ("BENEFIT:LOUNGE", "available"): -3,
        ("BENEFIT:LOUNGE", "expired"): 5,
        ("BENEFIT:LOUNGE", "issued"): -2,
    } == {(t.unit, t.account): t.amount for t in second.closed.totals}
    assert [] == await world.findings()


async def test_money_is_closed_by_budget_and_provider(world: World) -> None:
    """A claim of June that was delivered is spent in its budget and owed to its provider."""
    member = await june(world)
    (claim_id,) = await life.claimed(world, life.wish(member, "LOUNGE"))
    await life.lease(world)
    number = await life.number_of(world, claim_id)
    await life.call_back(world, number, Done(at=world.clock()))
    world.clock.now = JUNE_ENDS + timedelta(hours=1)
    closed = (await close(world, JUNE)).closed
    for unit in {t.unit for t in closed.totals}:
        assert 0 == sum(t.amount for t in closed.totals if t.unit == unit)
    assert {"lounge"} == {t.party for t in closed.totals if t.account.startswith("budget.")}


async def test_months_close_in_order_when_they_are_over_and_once(world: World) -> None:
    """The first closing takes what was booked before it along; a second one says so."""
    await june(world)
    with pytest.raises(MonthOpen):
        await close(world, JUNE)
    world.clock.now = JULY_ENDS
    assert [True, False] == [(await close(world, JUNE)).is_new for _ in range(2)]
    with pytest.raises(MonthOpen):
        await close(world, AUGUST)
    world.clock.now += timedelta(days=70)
    with pytest.raises(MonthOutOfOrder, match="Close 2025-07 first"):
        await close(world, AUGUST)
    with pytest.raises(MonthOutOfOrder, match="2025-05 is closed with the months before"):
        await close(world, Month(2025, 5))
    assert (await close(world, JULY)).is_new
    assert (await close(world, AUGUST)).is_new
    assert [AUGUST, JULY, JUNE] == [one.month for one in await fixed(world)]
    assert [] == await world.findings()


async def test_a_write_that_began_before_the_closing_is_waited_for(world: World) -> None:
    """It may have read the old month; its batch is in the month's totals or booked later."""
    member = await june(world)
    world.clock.now = JUNE_ENDS - timedelta(hours=1)
    async with world.database.transaction() as conn:
        await reward(conn, [gift(member, "LOUNGE")], world.parts, wait=True)
        world.clock.now = JUNE_ENDS + timedelta(hours=1)
        with pytest.raises(WritesPending):
            await close(world, JUNE, wait_s=0)
        assert [] == await fixed(world)
        # Whoever writes meanwhile books in July already, even what was true in June.
        other = await holder(world, "VIDEO")
        under_way = asyncio.create_task(close(world, JUNE))
        await asyncio.sleep(3 * closing.LOOK_EVERY_S)
        assert not under_way.done()
    done = await under_way
    assert (True, 6) == (
        done.is_new,
        {t.account: t.amount for t in done.closed.totals}["available"],
    )
    found = await world.rows(
        "SELECT booked_month FROM batch WHERE bucket BETWEEN 0 AND 1023 AND member_id = $1", other
    )
    assert ["2025-07"] == [f"{row.booked_month:%Y-%m}" for row in found]
    assert [] == await world.findings()


async def test_a_write_newer_than_all_that_have_ended_is_waited_for(world: World) -> None:
    """It may have read the old open month just before the closing moved it."""
    member = await holder(world, "LOUNGE", quantity=5)
    async with world.database.transaction() as slow, world.database.transaction() as conn:
        await members.lock(slow, [member], wait=True)
        before = await months.next_write(conn)
        assert await months.pending(conn, before)
        await run(slow, "ROLLBACK")
        assert not await months.pending(conn, before)
    async with world.database.transaction() as conn:
        assert not await months.pending(conn, before)


async def test_an_interrupted_closing_goes_on(world: World) -> None:
    """After the open month moved and before the totals were fixed, the same closing ends it."""
    await june(world)
    world.clock.now = JULY_ENDS
    async with world.database.transaction() as conn:
        await months.begin_after(conn, JUNE)
    for other in (Month(2025, 5), JULY):
        with pytest.raises(MonthOutOfOrder, match="Close 2025-06, which was begun, first"):
            await close(world, other)
    assert (await close(world, JUNE)).is_new
    assert (await close(world, JULY)).is_new
    assert [] == await world.findings()


async def test_many_who_close_at_once_close_it_once(world: World) -> None:
    """One does it, the others are told that it is done, while members go on."""
    member = await june(world)
    world.clock.now = JUNE_ENDS + timedelta(hours=1)
    done, _ = await asyncio.gather(
        asyncio.gather(*(close(world, JUNE) for _ in range(3))),
        asyncio.gather(*(give(world, gift(member)) for _ in range(5))),
    )
    assert 1 == sum(one.is_new for one in done)
    assert {done[0].closed} == {one.closed for one in done}
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ('zone = "Europe/London"', "zone must be 'Asia/Shanghai'"),
        ("minor_digits = 3", "minor_digits must be 2"),
    ],
)
async def test_programmes_share_the_books(world: World, changed: str, named: str) -> None:
    """A second programme has the zone of the first, and its currency's decimals."""
    field = changed.partition(" =")[0]
    lines = [line for line in PROGRAMME.splitlines() if not line.startswith(f"{field} =")]
    text = "\n".join([changed, *lines]).replace('"wealth"', '"other"')
    for code in ("lounge", "LOUNGE", "video", "VIDEO"):
        text = text.replace(f'"{code}"', f'"{code}2"')
    async with world.database.transaction() as conn:
        with pytest.raises(ProgrammeInvalid, match=named):
            await apply_programme(conn, read(text), world.parts)


async def test_months_are_read_page_by_page_with_none_twice(world: World) -> None:
    """At most a page is held, each is read when it is wanted, and together they are all (L-11)."""
    close = "INSERT INTO month_close (month, actor, closed_at) VALUES ('{}-01', 'x', now())"
    total = "INSERT INTO month_total VALUES ('{}-01', 'BENEFIT:VIDEO', '', 'issued', -1)"
    for month in ("2025-01", "2025-02", "2025-03", "2025-04", "2025-05"):
        await life.change(world, close.format(month), total.format(month))
    every = await fixed(world)
    pages = report.months_by_page(world.database, None, 2)
    found = [await anext(pages)]
    await life.change(world, close.format("2025-06"))
    found += [page async for page in pages]
    assert [2, 2, 1] == [len(page) for page in found]
    assert (5, every) == (len(every), [one for page in found for one in page])
    april = [page async for page in report.months_by_page(world.database, Month(2025, 5), 4)]
    assert [every[1:]] == april
