"""A provider that several programmes name: whoever changes it last says how it is called."""

from datetime import timedelta

import pytest

from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from tests.actions.test_dating import BEGINS, JUST, OTHER
from tests.builders import PROGRAMME, World

OLD, NEW = "http://127.0.0.1:9", "http://127.0.0.1:7"
MOVED = PROGRAMME.replace(OLD, NEW)
LESS = OTHER.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 1, DIAMOND = 6")


async def url(world: World) -> str:
    """Return where the provider is called."""
    async with world.database.transaction() as conn:
        return (await world.parts.catalogue.current(conn)).providers["sandbox"].url


async def test_a_provider_of_two_programmes_moves(world: World) -> None:
    """One version says so for both; the other programme's next one says it, too."""
    await world.apply(read(OTHER))
    world.clock.forward(seconds=1)
    await world.apply(read(MOVED))
    assert NEW == await url(world)
    world.clock.forward(seconds=1)
    with pytest.raises(ProgrammeInvalid, match="defined otherwise by programme 'wealth'"):
        await world.apply(read(LESS))
    await world.apply(read(LESS.replace(OLD, NEW)))
    assert NEW == await url(world)
    world.clock.forward(seconds=1)
    await world.apply(read(LESS))  # and back again
    assert OLD == await url(world)
    assert [] == await world.findings()


async def test_a_first_version_names_a_provider_as_it_is(world: World) -> None:
    """Nobody changes it for others by joining them."""
    with pytest.raises(ProgrammeInvalid, match="defined otherwise by programme 'wealth'"):
        await world.apply(read(OTHER.replace(OLD, NEW)))
    await world.apply(read(OTHER))


async def test_what_is_to_come_does_not_move_it_back(world: World) -> None:
    """U-1: who waits to say otherwise begins first, or says it anew."""
    await world.apply(read(OTHER))
    await world.apply(read(LESS), effective_from=BEGINS)
    for at in (None, BEGINS - JUST, BEGINS):
        with pytest.raises(ProgrammeInvalid, match="defined otherwise by programme 'other'"):
            await world.apply(read(MOVED), effective_from=at)
    later = BEGINS + timedelta(days=1)
    await world.apply(read(MOVED), effective_from=later)
    world.clock.now = BEGINS
    await world.apply(read(OTHER))  # which begins before, and says what counts by then
    with pytest.raises(ProgrammeInvalid, match="defined otherwise by programme 'wealth'"):
        await world.apply(read(LESS), effective_from=later + JUST)
    assert OLD == await url(world)
    world.clock.now = later
    assert NEW == await url(world)
