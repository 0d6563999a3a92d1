"""A version holds from its instant on, without anything having to happen then: U-1, U-2."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from benefits.actions.give_notice import Given, compare, give_notice
from benefits.actions.parts import Parts
from benefits.actions.start_period import start_next
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.terms import Channel, NoticeMissing
from benefits.domain.values import Month
from benefits.store import catalogue, feed, versions
from benefits.store.catalogue import Cache
from benefits.worker import Worker
from tests.actions.agreeing import answer, ask, seen, version
from tests.actions.life import change, claimed, decide, holder, said, wish
from tests.actions.test_agree import LESS, MORE
from tests.actions.test_try_programme import HIGHER, attempt, platinum
from tests.builders import PROGRAMME, World, reference_programme

BEGINS = datetime(2025, 7, 31, 16, 0, tzinfo=UTC)  # 2025-08-01T00:00+08
JUST = timedelta(microseconds=1)
TAXI = """
[[benefit]]
code = "TAXI"
name = { zh = "接送", en = "Taxi" }
kind = "BOOKING"
provider = "sandbox"
sku = "taxi-ride"
cost = "20.00"
consumed = "USE"
budget = "lounge"
recipient = ["phone"]

[[line]]
code = "taxi"
benefit = "TAXI"
period = "MONTH"
start = "PERIOD"
quota = { PLATINUM = 1 }
"""
OTHER = (
    PROGRAMME.replace('"wealth"', '"other"')
    .replace('"lounge"', '"visits"')
    .replace('"video"', '"films"')
    .replace('"LOUNGE"', '"VISIT"')
    .replace('"VIDEO"', '"FILM"')
)
AHEAD = MORE.replace("PLATINUM = 3", "PLATINUM = 4")


async def in_force(world: World, parts: Parts | None = None) -> int:
    """Return which version of the reference programme is in force by what a process knows."""
    async with world.database.transaction() as conn:
        return (await (parts or world.parts).catalogue.current(conn)).programme_versions["wealth"]


async def told(world: World) -> list[tuple[int, str, datetime, datetime | None]]:
    """Return the versions as they are told: newest first."""
    async with world.database.transaction() as conn:
        return [
            (one.version.version, one.state.value, one.version.effective_from, one.ends_at)
            for one in await versions.of(conn, "wealth", world.clock())
        ]


async def test_g_ver_1_a_claim_is_made_under_the_version_of_its_instant(world: World) -> None:
    """G-VER-1: v2 from local midnight of a month; just before it v1 is, for any process."""
    began = world.clock()
    member = await holder(world, quantity=2)
    proposal_id = await ask(world, version(MORE, effective_from=BEGINS))
    assert "2025-08" == (await seen(world, proposal_id)).effect["first_month"]
    assert "ok" == await answer(world, proposal_id)
    other = msgspec.structs.replace(world.parts, catalogue=Cache(world.clock))
    assert (1, 1) == (await in_force(world), await in_force(world, other))
    (_, pending), (_, first) = [(one[0], one[1:]) for one in await told(world)]
    assert ("PENDING", BEGINS, None) == pending
    assert ("IN_FORCE", BEGINS) == (first[0], first[2])
    world.clock.now = BEGINS - JUST
    await claimed(world, wish(member))
    assert 1 == await in_force(world)
    world.clock.now = BEGINS
    await claimed(world, wish(member))
    assert (2, 2) == (await in_force(world), await in_force(world, other))
    found = await world.rows("SELECT programme_version FROM claim ORDER BY claimed_at")
    assert [1, 2] == [row.programme_version for row in found]
    assert [(2, "IN_FORCE", BEGINS), (1, "SUPERSEDED", first[1])] == [
        one[:3] for one in await told(world)
    ]
    async with world.database.transaction() as conn:
        known = [
            await catalogue.as_known(conn, at) for at in (began + JUST, BEGINS, BEGINS + JUST)
        ]
    assert [1, 1, 2] == [one.programme_versions["wealth"] for one in known]
    assert [] == await world.findings()


async def test_what_begins_before_another_withdraws_it(world: World) -> None:
    """Two people read what is withdrawn; one is compared with that before it."""
    assert "ok" == await answer(world, await ask(world, version(MORE, effective_from=BEGINS)))
    assert "proposal_invalid" == await ask(world, version(MORE, effective_from=BEGINS + JUST))
    after = BEGINS + timedelta(days=5)
    later = await ask(world, version(AHEAD, effective_from=after))
    (change,) = (await seen(world, later)).effect["changes"]
    assert ("3", "4") == (change["change"]["before"], change["change"]["after"])
    assert "ok" == await answer(world, later)
    same = await ask(world, version(PROGRAMME))
    effect = (await seen(world, same)).effect
    assert (1, [2, 3], []) == (effect["replaces"], effect["withdraws"], effect["changes"])
    over = await ask(world, version(LESS, effective_from=BEGINS))
    assert "ok" == await answer(world, same)
    assert "proposal_stale" == await answer(world, over)
    versions_told = await told(world)
    assert ["IN_FORCE", "WITHDRAWN", "WITHDRAWN", "SUPERSEDED"] == [
        one[1] for one in versions_told
    ]
    assert [True, True, True, False] == [one[3] is None for one in versions_told]
    world.clock.now = after
    assert 4 == await in_force(world)
    assert [] == await world.findings()


async def test_a_notice_is_judged_by_the_day_of_the_instant(world: World) -> None:
    """U-2: told today it may hold in 30 days; what waits to hold is not spent before it does."""
    less, today = read(LESS), date(2025, 7, 2)
    given = Given(channel=Channel.SMS, given_on=today, text="One visit a quarter.", by="anna-li")
    for at in (BEGINS, None):
        with pytest.raises(NoticeMissing):
            await world.apply(less, effective_from=at, needs_notice=True)
    async with world.database.transaction() as conn:
        await give_notice(conn, world.parts, less, given, effective_from=BEGINS)
    with pytest.raises(NoticeMissing, match="told on 2025-07-02"):
        await world.apply(less, effective_from=BEGINS - JUST, needs_notice=True)
    for at in (BEGINS + timedelta(hours=1), BEGINS, BEGINS):
        await world.apply(less, effective_from=at, needs_notice=True)
    assert ["PENDING", "WITHDRAWN", "IN_FORCE"] == [one[1] for one in await told(world)]
    async with world.database.transaction() as conn:
        (later,) = await compare(
            conn, world.parts, reference_programme(), effective_from=BEGINS + JUST
        )
        assert [] == await compare(conn, world.parts, reference_programme())
    assert ("1", "2") == (later.change.before, later.change.after)


async def test_what_tiers_were_put_off_to_is_not_brought_forward(world: World) -> None:
    """U-1: told from September on, it judges from then on whatever else changes in July."""
    await world.apply(read(HIGHER), tiers_from=Month.parse("2025-09"))
    named = HIGHER.replace('en = "Airport lounge"', 'en = "Lounge"')
    proposal_id = await ask(world, version(named))
    assert "2025-09" == (await seen(world, proposal_id)).effect["first_month"]
    assert "ok" == await answer(world, proposal_id)
    later = await ask(world, version(PROGRAMME, effective_from=BEGINS + timedelta(days=70)))
    assert "2025-10" == (await seen(world, later)).effect["first_month"]
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules["wealth"]
    months = ("2025-07", "2025-08", "2025-09")
    assert [1, 1, 3] == [rules.at(Month.parse(month)).version for month in months]
    assert "ok" == await answer(world, await ask(world, version(HIGHER, tiers_from="2025-08")))
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules["wealth"]
    assert [1, 4, 4] == [rules.at(Month.parse(month)).version for month in months]


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-12:00", "2999-12-31T23:00:00+00:00"])
async def test_no_version_begins_at_the_end_of_all_days(world: World, at: str) -> None:
    """C-4: it is refused as it is proposed, not as somebody approves it."""
    wanted = version(MORE, effective_from=datetime.fromisoformat(at))
    assert "programme_invalid" == await ask(world, wanted)


async def test_an_instant_is_to_come_and_after_a_first_version(world: World) -> None:
    """What never held before holds at once, and nothing begins in the past."""
    with pytest.raises(ProgrammeInvalid, match="a first version holds at once"):
        await world.apply(read(OTHER), effective_from=world.clock() + JUST)
    with pytest.raises(ProgrammeInvalid, match="is over"):
        await world.apply(read(MORE), effective_from=world.clock())
    with pytest.raises(ProgrammeInvalid, match="is less than a minute away"):
        await world.apply(read(MORE), effective_from=world.clock() + timedelta(minutes=1))
    await world.apply(read(MORE), effective_from=BEGINS)
    world.clock.now = BEGINS - timedelta(minutes=1)
    with pytest.raises(ProgrammeInvalid, match="version 2 begins within a minute"):
        await world.apply(read(AHEAD))
    assert 1 == await in_force(world)


async def test_what_it_brings_is_granted_and_claimed_once_it_holds(world: World) -> None:
    """Its lines, benefits and codes: nothing of them before, all of it after; a trial tells it."""
    member = await platinum(world)
    begins = world.clock() + timedelta(hours=3)
    await world.apply(read(PROGRAMME + TAXI), effective_from=begins)
    with pytest.raises(ProgrammeInvalid, match="'TAXI' is already defined by programme 'wealth'"):
        await world.apply(read(OTHER + TAXI.replace('"lounge"', '"visits"')))
    tried = await attempt(world, PROGRAMME + TAXI, member, at=begins)
    assert ([("TAXI", 1)], ["", "", ""]) == (tried.granted, [one.refusal for one in tried.claims])
    await started(world)
    assert 0 == await taxis(world)
    world.clock.now = begins - JUST
    (early,) = await decide(world, wish(member, "TAXI"))
    assert "unknown_benefit" == said(early)
    world.clock.now = begins
    await started(world)
    assert 1 == await taxis(world)
    await claimed(world, wish(member, "TAXI"))
    assert [] == await world.findings()


async def started(world: World) -> None:
    """Start periods, as the worker does, until nothing is left to start."""
    while await start_next(world.database, world.parts) is not None:
        pass


async def taxis(world: World) -> int:
    """Return how many units of the new benefit there are."""
    ((found,),) = await world.rows(
        "SELECT coalesce(sum(granted), 0) FROM lot WHERE unit = 'BENEFIT:TAXI'"
    )
    return int(found)


async def test_a_version_is_told_of_once_it_holds(world: World) -> None:
    """N-5: each once, in its order, however late; of what was before, the one in force."""
    worker = Worker(world.database, world.parts, {})
    for document in (MORE, AHEAD):
        await world.apply(read(document))
    await worker.tell_held()
    await world.apply(read(MORE), effective_from=BEGINS)
    await world.apply(read(PROGRAMME), effective_from=BEGINS + timedelta(days=31))
    await worker.tell_held()
    assert [3] == await activated(world)
    world.clock.now = BEGINS + timedelta(days=40)
    for _ in range(2):
        await worker.tell_held()
    assert [3, 4, 5] == await activated(world)
    assert [] == await world.findings()
    hide = "DELETE FROM outbox WHERE data ->> 'version' = '4'"
    await change(world, "SET LOCAL session_replication_role = replica", hide)
    assert {"history_disordered"} == {one.kind for one in await world.findings()}


async def activated(world: World) -> list[int]:
    """Return of which versions the feed tells that they came into force."""
    async with world.database.transaction() as conn:
        page = await feed.page(conn, None, limit=100, types=["rule.activated"])
    assert {UUID(int=0)} == {event.member_id for event in page.events}
    assert list(range(1, len(page.events) + 1)) == [event.seq for event in page.events]
    return [event.data["version"] for event in page.events]
