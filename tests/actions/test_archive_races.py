"""A month leaves while others read the ledger and correct it, or has left: all stays right."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from benefits.actions import archive_month as archiving
from benefits.actions.archive_month import LedgerBusy
from benefits.domain.corrections import Fault, Kind
from benefits.domain.past import Bounds
from benefits.store import past, totals
from benefits.store.db import Connection, rows, run
from benefits.store.past import Stretch
from tests.actions import test_archive_month as months
from tests.actions.desk import ask, correct
from tests.actions.test_archive_month import archive, restore
from tests.builders import World
from tests.roles import administrator

lived, world = months.lived, months.world  # two closed months, and a copy of them for each test

WAITING = "SELECT count(*) AS n FROM pg_locks AS l WHERE NOT l.granted"


async def wait_for(conn: Connection, waiting: int) -> None:
    """Go on when so many wait for a lock."""
    while (await rows(conn, WAITING))[0].n < waiting:
        await asyncio.sleep(0.01)


async def read_sums(world: World, member: UUID) -> object:
    """Return what a member's accounts come to."""
    async with world.database.transaction() as conn:
        sums = await past.sums(conn, member, Bounds(None, None, world.clock()))
    return {key: amount for key, amount in sums.items() if amount}


async def read_lots(world: World, member: UUID) -> object:
    """Return a member's lots."""
    async with world.database.transaction() as conn:
        bounds = Bounds(None, None, world.clock())
        return await past.lots(conn, member, bounds, after=None, limit=100)


async def read_totals(world: World, _: UUID) -> object:
    """Return what all accounts come to."""
    async with world.database.transaction() as conn:
        return await totals.totals(conn, Bounds(None, None, world.clock()))


async def read_vintages(world: World, _: UUID) -> object:
    """Return what became of each month's units."""
    async with world.database.transaction() as conn:
        zone = (await world.parts.catalogue.current(conn)).zone
        return await totals.vintages(conn, Bounds(None, None, world.clock()), zone)


READS = (read_sums, read_lots, read_totals, read_vintages)


async def test_whoever_reads_while_a_month_leaves_is_told_all(
    world: World, lived: tuple[str, dict[str, UUID]], tmp_path: Path
) -> None:
    """Asked before the month has left and answered after, with its units all the same."""
    other = lived[1]["other"]
    before = [await read(world, other) for read in READS]
    async with administrator(world.database) as conn:
        await run(conn, "LOCK TABLE month_archive IN SHARE MODE")
        leaving = asyncio.create_task(archive(world, tmp_path))
        await wait_for(conn, 1)
        reading = asyncio.gather(*(read(world, other) for read in READS))
        await wait_for(conn, 1 + len(READS))
    assert before == await reading
    assert (await leaving).is_new


async def test_a_statement_names_a_month_that_comes_back_meanwhile_or_shows_it(
    world: World, lived: tuple[str, dict[str, UUID]], tmp_path: Path
) -> None:
    """What is not shown is said to be missing."""
    member = lived[1]["other"]
    await archive(world, tmp_path)
    stretch = Stretch(None, None, None)

    async def statement() -> tuple[int, list[str]]:
        async with world.database.transaction() as conn:
            missing = await past.not_shown(conn, member, stretch)
            found = await past.entries(conn, member, stretch, before=None, limit=100)
            return len(found), missing

    without = await statement()
    assert ["2025-06"] == without[1]
    async with administrator(world.database) as conn:
        await run(conn, "LOCK TABLE month_restore IN SHARE MODE")
        back = asyncio.create_task(restore(world, tmp_path / months.FILE))
        await wait_for(conn, 1)
        reading = asyncio.create_task(statement())
        await wait_for(conn, 2)
    await back
    assert await statement() == await reading
    assert without != await reading


async def test_what_is_given_back_while_a_month_leaves_keeps_it(
    world: World,
    lived: tuple[str, dict[str, UUID]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch of which something was given back stays: the month leaves the next time."""
    monkeypatch.setattr(archiving, "LOCK_PAUSE_S", 0.2)
    who = lived[1]
    async with world.database.transaction() as conn:
        await totals.totals(conn, Bounds(None, None, world.clock()))  # uses the ledger
        leaving = asyncio.create_task(archive(world, tmp_path))
        await wait_for(conn, 1)
        done = await correct(world, Kind.REVERSE, who["other"], 1, claim_id=who["plain"])
        assert "ok" == done
    with pytest.raises(LedgerBusy, match="given back"):
        await leaving
    assert [] == await world.findings()
    again = await archive(world, tmp_path)
    assert (True, 3) == (again.is_new, again.kept)
    assert [] == await world.findings()


async def test_what_came_back_in_an_archived_month_is_not_made_good(
    world: World, lived: tuple[str, dict[str, UUID]], tmp_path: Path
) -> None:
    """Whether a refused order gave its unit back is in the month's file: it is asked for (L-9)."""
    member = lived[1]["member"]
    ((refused,),) = await world.rows("SELECT claim_id FROM claim WHERE state = 'COMPENSATED'")
    more = {"claim_id": refused, "fault": Fault.OURS, "valid_days": 7}
    assert "correction_exceeds" == await ask(world, Kind.MAKE_GOOD, member, 1, **more)
    await archive(world, tmp_path)
    assert "month_archived" == await ask(world, Kind.MAKE_GOOD, member, 1, **more)
