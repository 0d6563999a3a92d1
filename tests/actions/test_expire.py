"""The sweep: idempotent, splittable, killed at will, late or in time, in any zone (3.18, 7)."""

import asyncio
import itertools
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benefits.actions import expire
from benefits.actions.expire import Swept, sweep
from benefits.actions.keyed import Accepted, Decided
from benefits.domain.orders import Reason, Rejected, Used
from benefits.domain.refusal import Refusal
from benefits.domain.values import bucket_of
from benefits.store import members
from tests import builders
from tests.actions.life import (
    EVERYWHERE,
    call_back,
    change,
    claimed,
    decide,
    expire_lots,
    gift,
    give,
    holder,
    number_of,
    said,
    tables,
    tell,
    wallet,
    wish,
    work_off,
)
from tests.builders import NOON, World
from tests.conftest import database
from tests.roles import administrator
from tests.service import environment, fresh_keys
from tests.tidy.sources import ROOT

# What happened, without ids and without when it was written down.
HISTORY = """
SELECT b.member_id, b.kind, b.effective_at, p.debit, p.credit, p.amount, l.expires_at
FROM batch AS b JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
JOIN lot AS l ON l.bucket = b.bucket AND l.lot_id = p.lot_id ORDER BY 1, 3, 2, 7
"""
DAYS = (1, 2, 3, 5, 8)


async def swept(world: World, buckets: tuple[int, int] = EVERYWHERE) -> Swept:
    """Sweep to the end and return what was seen."""
    return [each async for each in sweep(world.database, world.parts, buckets=buckets)][-1]


LOTS = st.lists(st.integers(1, 9), min_size=1, max_size=4)  # days they are valid
SWEEPS = st.lists(
    st.tuples(st.integers(1, 60), st.booleans(), st.booleans()), max_size=5
)  # hours until then, whether something is claimed before, whether the range is split


async def test_a_sweep_late_or_often_whole_or_split_leaves_one_history(world: World) -> None:
    """3.18, 7: of two members with the same units one is swept now and then, one once at last."""
    loop = asyncio.get_running_loop()

    async def compare(valid: list[int], sweeps: list[tuple[int, bool, bool]]) -> None:
        world.clock.now = NOON
        often, late = await world.member(), await world.member()
        for days in valid:
            both = [gift(member, "LOUNGE", valid_days=days) for member in (often, late)]
            await give(world, *both)
        own = (bucket_of(often), bucket_of(often))
        for hours, is_claimed, is_split in sweeps:
            world.clock.forward(hours=hours)
            if is_claimed:
                used = await decide(world, *(wish(one, "LOUNGE") for one in (often, late)))
                assert 1 == len({said(outcome) for outcome in used})
                await use(world, *used)
            if bucket_of(often) != bucket_of(late):
                await swept(world, own)
            if is_split:
                await swept(world, own)
        world.clock.forward(days=10)
        await swept(world)
        assert 0 == (await swept(world)).lots
        assert await _told(world, often) == await _told(world, late)

    @settings(max_examples=20, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(LOTS, SWEEPS)
    def whatever(valid: list[int], sweeps: list[tuple[int, bool, bool]]) -> None:
        asyncio.run_coroutine_threadsafe(compare(valid, sweeps), loop).result()

    await asyncio.to_thread(whatever)
    assert [] == await world.findings()


async def use(world: World, *outcomes: Decided | Refusal) -> None:
    """Let what was claimed be used at once, if it was."""
    for outcome in outcomes:
        if isinstance(outcome, Accepted):
            number = await number_of(world, UUID(outcome.ids["claim_id"]))
            await tell(world, number, Used(at=world.clock(), reference="R1"))
    await work_off(world)


async def _told(world: World, member: UUID) -> list[tuple[Any, ...]]:
    """Return what happened to a member, without ids and without when it was written down."""
    return [tuple(row)[1:] for row in await world.rows(HISTORY) if row.member_id == member]


async def test_what_comes_back_before_the_end_of_a_swept_lot_ends_with_it(world: World) -> None:
    """A clock that is set back lets units return to a lot whose end is recorded: it ends again."""
    member = await holder(world, valid_days=1)
    (claim_id,) = await claimed(world, wish(member))
    ((end,),) = await world.rows("SELECT expires_at FROM lot")
    world.clock.now = end
    assert 1 == await expire_lots(world)
    world.clock.forward(seconds=-5)
    await call_back(world, await number_of(world, claim_id), Rejected(Reason.LIMIT, "limit"))
    assert (1, 0) == await wallet(world, member)
    world.clock.now = end
    assert [1, 0] == [await expire_lots(world) for _ in range(2)]
    assert (0, 0) == await wallet(world, member)
    assert [] == await world.findings()


async def test_a_busy_member_holds_up_no_sweep(world: World) -> None:
    """The lots of all others are recorded at once; theirs in the next sweep."""
    busy, *_ = [await holder(world, valid_days=1) for _ in range(4)]
    world.clock.forward(days=3)
    async with administrator(world.database) as conn:
        await members.lock(conn, [busy], wait=True)
        assert Swept(3, 0, 4) == await swept(world)
        assert Swept(0, 0, 1) == await swept(world)
    assert Swept(1, 0, 1) == await swept(world)
    assert [] == await world.findings()


@pytest.fixture
async def second(migrated: str, cluster_dsn: str) -> AsyncIterator[World]:
    """Give another installation, whose members have the same ids."""
    async with database(cluster_dsn, migrated) as dsn, builders.world(dsn) as made:
        yield made


async def filled(world: World, members: int = 4) -> None:
    """Give members lots that end day after day."""
    ids = await world.members(members)
    pairs = list(itertools.product(ids, DAYS))
    gifts = [gift(m, quantity=n + 1, valid_days=n, business_key=f"{n}-{m}") for m, n in pairs]
    await give(world, *gifts)


def dsn_of(world: World) -> str:
    """Return the address of a world's database."""
    url = world.database.engine.url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


async def history(world: World) -> list[Any]:
    """Return what happened in effect."""
    return [tuple(row) for row in await world.rows(HISTORY)]


async def test_a_sweep_again_changes_nothing(world: World) -> None:
    """What ended is seen once, and the rest of each lot expires as of its own end (L-5)."""
    await filled(world)
    ((member,), *_) = await world.rows("SELECT member_id FROM member")
    await claimed(world, wish(member))
    world.clock.forward(days=9)
    assert Swept(20, 1, 20) == await swept(world)
    before = await tables(world)
    assert Swept(0, 0, 0) == await swept(world)
    assert before == await tables(world)
    assert [] == await world.findings()


async def test_ranges_together_are_the_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sweeps of parts, and of the same part, run at once and record every end once."""
    monkeypatch.setattr(expire, "PAGE", 3)
    await filled(world, 12)
    world.clock.forward(days=9)
    ((one,), *_) = await world.rows("SELECT bucket FROM lot")
    parts = [(0, 255), (256, 511), (256, 511), (512, 1023), (one, one), (0, 1023)]
    await asyncio.gather(*(swept(world, part) for part in parts))
    await swept(world)  # what they left to each other
    assert [(60, 60)] == await world.rows(
        """SELECT count(*), count(DISTINCT p.lot_id) FROM posting AS p
        WHERE p.credit = 'expired' AND p.debit = 'available' AND p.bucket BETWEEN 0 AND 1023"""
    )
    assert [] == await world.findings()


async def test_late_or_in_time_is_the_same_history(world: World, second: World) -> None:
    """One who sweeps each day and one who sweeps once at the end tell the same (invariant 7)."""
    for each in (world, second):
        await filled(each)
    for _ in range(9):
        world.clock.forward(days=1)
        await swept(world)
    second.clock.forward(days=9)
    for first, last in ((512, 1023), (0, 511)):
        await swept(second, (first, last))
    assert await history(world) == await history(second)


async def sweeping(world: World, zone: str = "UTC") -> Process:
    """Begin the command in a time zone, on a database whose sessions may have another one."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benefits", "expire", "--now", "2025-07-20T00:00:00Z"),
        env=environment(dsn_of(world), fresh_keys()) | {"TZ": zone},
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )


async def test_zones_of_server_session_and_client_have_no_say(world: World, second: World) -> None:
    """Wherever the command and the database think they are, the history is the same."""
    for each, zone in ((world, "UTC"), (second, "America/New_York")):
        await filled(each)
        name = each.database.engine.url.database
        await change(each, f"""ALTER DATABASE "{name}" SET timezone = '{zone}'""")
        process = await sweeping(each, "Pacific/Kiritimati" if zone != "UTC" else zone)
        _, said = await process.communicate()
        assert (0, "20 lots that ended, 0 claims never sent, 0 members who left.\n") == (
            process.returncode,
            said.decode(),
        )
    assert await history(world) == await history(second)
    months = "SELECT DISTINCT booked_month FROM batch"
    assert await world.rows(months) == await second.rows(months)


async def test_a_sweep_that_is_killed_goes_on(world: World) -> None:
    """Killed in the middle, the next one records the rest, and no end twice."""
    for _ in range(10):
        await filled(world, 60)
    process = await sweeping(world)
    async with asyncio.timeout(60):
        while await world.rows("SELECT 1 FROM lot WHERE swept LIMIT 1") == []:
            assert process.returncode is None, "nothing was swept"
            await asyncio.sleep(0.01)
    process.kill()
    await process.communicate()
    process = await sweeping(world)
    await process.communicate()
    assert 0 == process.returncode
    assert [(3000, 3000)] == await world.rows(
        """SELECT count(*), count(DISTINCT p.lot_id) FROM posting AS p
        WHERE p.credit = 'expired' AND p.bucket BETWEEN 0 AND 1023"""
    )
    assert [] == await world.findings()
