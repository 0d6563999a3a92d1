"""A version that is worse for members holds only after they were told in time (U-2)."""

from datetime import date, timedelta

import pytest

from benefits.actions.evaluate import UnknownProgramme
from benefits.actions.give_notice import Given, compare, give_notice
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.terms import Change, Channel, NoticeInvalid, NoticeMissing
from tests.adverse import PLAIN, WORSE, programme
from tests.builders import PROGRAMME, World, reference_programme
from tests.domain.test_ways import TIERS

FEWER = read(PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 1, DIAMOND = 6"))
TODAY = date(2025, 7, 2)
LOST = Change("line.lounge.quota.PLATINUM", "2", "1", is_worse=True)


async def told(world: World, after: Programme, *, days_ago: int) -> list[Change]:
    """Record that members were told of a version so many days ago."""
    on = TODAY - timedelta(days=days_ago)
    words = Given(channel=Channel.SMS, given_on=on, text="自8月起每季一次。", by="anna-li")
    async with world.database.transaction() as conn:
        return await give_notice(conn, world.parts, after, words)


async def in_force(world: World) -> Programme:
    """Return the version in force."""
    async with world.database.transaction() as conn:
        return (await world.parts.catalogue.current(conn)).programmes["wealth"]


async def test_a_worse_version_waits_for_its_notice(world: World) -> None:
    """Not told, told 29 days ago, told 30 days ago; what else it changes does not matter."""
    await world.apply()
    with pytest.raises(NoticeMissing, match="not told"):
        await world.apply(FEWER, needs_notice=True)
    assert [LOST] == await told(world, FEWER, days_ago=29)
    assert [LOST] == await told(world, FEWER, days_ago=29)
    assert 1 == len(await world.rows("SELECT 1 FROM programme_notice"))
    with pytest.raises(NoticeMissing, match="told on 2025-06-03"):
        await world.apply(FEWER, needs_notice=True)
    assert reference_programme() == await in_force(world)
    world.clock.forward(days=1)
    text = PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 1, DIAMOND = 7")
    await world.apply(read(text), needs_notice=True)
    assert read(text) == await in_force(world)


async def test_a_notice_is_of_what_was_told(world: World) -> None:
    """Of less than the version takes it does not speak, and of nothing there is none to record."""
    await world.apply()
    await told(world, FEWER, days_ago=40)
    none = read(PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "DIAMOND = 6"))
    with pytest.raises(NoticeMissing, match="2 -> none"):
        await world.apply(none, needs_notice=True)
    with pytest.raises(NoticeInvalid, match="no notice is needed"):
        await told(world, reference_programme(), days_ago=40)
    async with world.database.transaction() as conn:
        found = await compare(conn, world.parts, FEWER)
    assert [(LOST, TODAY - timedelta(days=40))] == [(one.change, one.on) for one in found]


async def test_there_must_be_something_to_compare_with(world: World) -> None:
    """A first version takes nothing from anybody."""
    first = read(TIERS)
    with pytest.raises(UnknownProgramme):
        await told(world, first, days_ago=40)
    await world.apply(first, needs_notice=True)


async def test_no_worse_version_holds_without_notice(world: World) -> None:
    """Invariant 14: whichever field takes from members, nothing comes into force untold."""
    before = programme(PLAIN)
    await world.apply(before)
    for name, value in WORSE.items():
        after = programme(PLAIN | {name: value})
        with pytest.raises(NoticeMissing):
            await world.apply(after, needs_notice=True)
        assert before == await in_force(world), name
    await told(world, after, days_ago=40)
    await world.apply(after, needs_notice=True)
    assert after == await in_force(world)
