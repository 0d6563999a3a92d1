"""Ends of relationships: tiers end with the day, units some days later, history stays (T-10)."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions import expire
from benefits.actions.end_members import end_relationships
from benefits.actions.expire import Swept
from benefits.actions.record_members import record_members
from benefits.domain.explanation import explain
from benefits.domain.members import MemberLine
from benefits.domain.orders import Pending, Reason, Rejected
from benefits.domain.past import Bounds, balances_of, lots_of
from benefits.store import past, standings
from tests.actions.life import (
    EVERYWHERE,
    call_back,
    claimed,
    gift,
    give,
    number_of,
    wallet,
    wish,
)
from tests.builders import MEMBER_KEY, World, reference_programme

RICH = 520_000_00
LAST = date(2025, 7, 10)
OVER = datetime(2025, 7, 10, 16, 0, tzinfo=UTC)  # the end of that day in Shanghai
UNITS_END = OVER + timedelta(days=30)


def left(closed_on: date | None, *, deceased: bool = False, number: int = 1) -> MemberLine:
    """Return the customer file's line of a member, the first unless said."""
    return MemberLine(f"T{number:06d}", date(2020, 1, 1), closed_on, deceased=deceased)


async def told(world: World, line: MemberLine) -> list[tuple[int, str]]:
    """Import a line of the customer file; return what is refused."""
    async with world.database.transaction() as conn:
        done = await record_members(conn, [(2, line)], world.parts, member_key=MEMBER_KEY)
    return done.refused


async def sweep(world: World) -> Swept:
    """Record all that time has done."""
    swept = [one async for one in expire.sweep(world.database, world.parts, buckets=EVERYWHERE)]
    return swept[-1]


async def platinum(world: World) -> UUID:
    """Return a PLATINUM member of July 2025 who has a reward for the whole year, besides."""
    member = await world.member()
    await world.month(world.name(1), "2025-06", RICH)
    await world.evaluate("2025-06", member)
    await give(world, gift(member, "LOUNGE", quantity=3, valid_days=180))
    return member


async def tier(world: World, member: UUID, at: datetime, known: datetime | None = None) -> int:
    """Return a member's rank at a time, as known at another."""
    async with world.database.transaction() as conn:
        found = await standings.as_of(conn, member, at, known or datetime(2030, 1, 1, tzinfo=UTC))
    return found["wealth"].decision.after.rank if found else 0


async def free(world: World, member: UUID, at: datetime) -> dict[str, tuple[int, int]]:
    """Return what a member's units were at a time: available and expired."""
    async with world.database.transaction() as conn:
        bounds = Bounds(at, None, world.clock())
        sums = await past.sums(conn, member, bounds)
        terms = await past.terms(conn, member)
    found = balances_of(sums, lots_of(sums, terms, at))
    return {one.unit.removeprefix("BENEFIT:"): (one.available, one.expired) for one in found}


async def events(world: World) -> list[tuple[str, Any]]:
    """Return the types of what was told since the units came, with how units ended."""
    return [
        (row.type, row.data.get("ended"))
        for row in await world.rows(
            "SELECT type, data FROM outbox WHERE type IN ('tier.ended', 'entitlement.expired') "
            "ORDER BY member_id, seq"
        )
    ]


async def test_a_tier_ends_with_the_day_and_units_thirty_days_later(world: World) -> None:
    """The history stays: what was before is as it was, and each end is of its own time."""
    member = await platinum(world)
    assert [] == await told(world, left(LAST))
    world.clock.now = OVER - timedelta(microseconds=1)
    assert 0 == (await sweep(world)).members
    world.clock.now = OVER
    assert [1, 0] == [(await sweep(world)).members for _ in range(2)]
    assert [2, 0] == [await tier(world, member, OVER + timedelta(seconds=n)) for n in (-1, 1)]
    assert {"LOUNGE": (5, 0), "VIDEO": (2, 0)} == await free(world, member, world.clock())
    world.clock.now = UNITS_END + timedelta(hours=3)
    assert [1, 0] == [(await sweep(world)).members for _ in range(2)]
    before, after = UNITS_END - timedelta(seconds=1), UNITS_END
    assert (5, 0) == (await free(world, member, before))["LOUNGE"]
    assert (0, 5) == (await free(world, member, after))["LOUNGE"]
    assert (0, 0) == await wallet(world, member, "LOUNGE")
    kinds = await events(world)
    assert [("tier.ended", None)] == [one for one in kinds if one[0] == "tier.ended"]
    assert {None, "CLOSED"} == {ended for kind, ended in kinds if kind != "tier.ended"}
    assert [] == await world.findings()


async def test_an_end_is_explained(world: World) -> None:
    """In both languages, with its day and without a threshold."""
    member = await platinum(world)
    await told(world, left(LAST))
    world.clock.now = OVER
    await sweep(world)
    async with world.database.transaction() as conn:
        later = OVER + timedelta(days=1)
        (last, _) = await standings.decisions(conn, member, later, before=None, limit=9)
    words = explain(reference_programme(), last.decision)
    assert "The relationship ended on 10 July 2025: your tier is Base." == words["en"]
    assert "客户关系于2025年7月10日终止，等级为大众。" == words["zh"]


async def test_who_died_loses_all_with_the_day_and_nobody_is_told(world: World) -> None:
    """Units end at once; no event tells of the tier, and that of the units says why."""
    member = await platinum(world)
    assert [] == await told(world, left(LAST, deceased=True))
    world.clock.now = OVER + timedelta(minutes=1)
    assert 1 == (await sweep(world)).members
    assert 0 == await tier(world, member, world.clock())
    assert {"LOUNGE": (0, 5), "VIDEO": (0, 2)} == await free(world, member, OVER)
    assert {("entitlement.expired", "DECEASED")} == set(await events(world))
    world.clock.now = datetime(2025, 8, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-07", 10)
    done = await world.evaluate("2025-07", member)
    assert (0, 0) == (done.decisions, done.grants)
    assert [] == await world.findings()


async def test_an_end_that_is_learned_late_holds_from_then_on(world: World) -> None:
    """What was decided and used in between stays; the gap is in the history (A-7)."""
    member = await platinum(world)
    await told(world, left(date(2025, 5, 20)))
    world.clock.forward(seconds=1)
    before = world.clock()
    world.clock.forward(seconds=1)
    assert 1 == (await sweep(world)).members
    after = world.clock() + timedelta(seconds=1)
    assert [2, 0] == [await tier(world, member, at) for at in (before, after)]
    assert {"LOUNGE": (5, 0), "VIDEO": (2, 0)} == await free(world, member, before)
    assert {"LOUNGE": (0, 5), "VIDEO": (0, 2)} == await free(world, member, after)
    for month in ("2025-05", "2025-06"):
        done = await world.evaluate(month, member)
        assert (0, 0) == (done.decisions, done.grants)
    assert 0 == await tier(world, member, after)
    assert [] == await world.findings()


async def test_units_that_come_back_after_the_end_end_when_they_do(world: World) -> None:
    """A provider's refusal after the units' time: held until then, expired with the next sweep."""
    member = await platinum(world)
    (claim,) = await claimed(world, wish(member, "LOUNGE", quantity=2))
    await call_back(world, await number_of(world, claim), Pending("R1"))
    await told(world, left(LAST))
    world.clock.now = UNITS_END + timedelta(hours=1)
    await sweep(world)
    assert (0, 2) == await wallet(world, member, "LOUNGE")
    world.clock.forward(hours=5)
    released = world.clock()
    await call_back(world, await number_of(world, claim), Rejected(Reason.LIMIT, "limit"))
    world.clock.forward(days=1)
    await sweep(world)
    assert (0, 0) == await wallet(world, member, "LOUNGE")
    for at in (UNITS_END, released, world.clock()):
        assert all(n >= 0 for pair in (await free(world, member, at)).values() for n in pair)
    assert [] == await world.findings()


async def test_an_end_is_taken_back_only_before_it_is_carried_out(world: World) -> None:
    """Until then a later line counts; afterwards moving it or reopening is refused."""
    member = await platinum(world)
    for closed_on in (LAST, None, LAST, LAST + timedelta(days=3), LAST):
        assert [] == await told(world, left(closed_on))
    world.clock.now = OVER
    assert 1 == (await sweep(world)).members
    for closed_on in (None, LAST + timedelta(days=1)):
        ((number, reason),) = await told(world, left(closed_on))
        assert (2, True) == (number, "ended on 2025-07-10, and that was carried out" in reason)
    assert [] == await told(world, left(LAST, deceased=True))
    assert [(LAST,)] == await world.rows("SELECT closed_on FROM member")
    assert 0 == await tier(world, member, world.clock() + timedelta(days=40))


async def test_the_programme_says_how_long_units_live_on(world: World) -> None:
    """By `closing_days`; 0 is with the day."""
    await world.apply(msgspec.structs.replace(reference_programme(), closing_days=0))
    member = await platinum(world)
    await told(world, left(LAST))
    world.clock.now = OVER
    await sweep(world)
    assert (0, 5) == (await free(world, member, OVER))["LOUNGE"]


@pytest.mark.parametrize("order", list(permutations(("file", "june", "sweep"))))
async def test_whatever_comes_first_nobody_who_left_keeps_a_tier(
    world: World, order: tuple[str, ...]
) -> None:
    """Learning of an end, evaluating and sweeping commute as far as the tier in the end goes."""
    member = await world.member()
    await world.month(world.name(1), "2025-06", RICH)
    world.clock.now = OVER + timedelta(days=1)
    for step in (*order, "sweep"):
        world.clock.forward(seconds=1)
        match step:
            case "file":
                await told(world, left(LAST))
            case "june":
                await world.evaluate("2025-06", member)
            case _:
                await sweep(world)
    world.clock.forward(seconds=1)
    assert 0 == await tier(world, member, world.clock())
    assert [] == await world.findings()


async def test_two_sweeps_end_a_relationship_once(world: World) -> None:
    """Side by side each end is decided and recorded by one of them."""
    await platinum(world)
    await told(world, left(LAST))
    world.clock.now = UNITS_END

    async def one() -> int:
        async with world.database.transaction() as conn:
            seen, _ = await end_relationships(conn, world.parts, buckets=EVERYWHERE, limit=9)
            return seen

    assert 1 == sum(await asyncio.gather(one(), one()))
    ((ended,),) = await world.rows("SELECT count(*) FROM tier_decision WHERE cause = 'ENDED'")
    assert 1 == ended
    assert [] == await world.findings()
