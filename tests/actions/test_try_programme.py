"""A file is tried on one member: what they would have under it, and nothing stays (U-5)."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from benefits.actions.claim import UnknownMember
from benefits.actions.try_programme import ClaimTried, Tried, try_programme
from benefits.domain.blocks import Scope
from benefits.domain.guard import ComplianceForbidden
from benefits.domain.programme_file import read
from benefits.store.db import Connection
from tests.actions.agreeing import agreed, block
from tests.actions.life import claimed, holder, wish
from tests.actions.listing import send
from tests.actions.test_ways import take
from tests.builders import PROGRAMME, World

SEGMENTS = PROGRAMME + "".join(
    f"""
[[line]]
code = "{label}"
benefit = "{benefit}"
{period}
segment = {{ label = "{label}", layer = "{layer}", name = {{ zh = "{label}", en = "{label}" }} }}
quantity = 1
start = "PERIOD"
"""
    for label, benefit, layer, period in (
        ("payroll", "LOUNGE", "FACT", 'period = "MONTH"'),
        ("founders", "VIDEO", "LIST", 'period = "YEAR"'),
        ("cars", "VIDEO", "RULE", 'period = "OCCURRENCE"\non = { day = 18 }'),
    )
)
HIGHER = PROGRAMME.replace('threshold = "500000"', 'threshold = "600000"')
MORE = PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 3, DIAMOND = 6")


async def attempt(world: World, text: str, member: UUID, *, at: datetime | None = None) -> Tried:
    """Try a file on a member, as the command does."""

    async def work(conn: Connection) -> Tried:
        return await try_programme(conn, world.parts, read(text), member, at=at)

    return await world.database.rehearsal().transact(work)


async def platinum(world: World) -> UUID:
    """Return a member whom June made PLATINUM, with what that brings."""
    member = await world.member()
    await world.month(world.name(1), "2025-06", 520_000_00)
    await world.evaluate("2025-06", member)
    return member


async def test_a_member_gets_what_the_file_brings_beyond_what_was_brought(world: World) -> None:
    """A third lounge visit, and claims that would be held; a second trial says the same."""
    member = await platinum(world)
    wallets = "SELECT unit, available, held FROM wallet ORDER BY unit"
    before = await world.rows(wallets)
    for _ in range(2):
        tried = await attempt(world, MORE, member)
        assert tried.before is not None
        assert ("PLATINUM", "PLATINUM", [("LOUNGE", 1)]) == (
            tried.before.tier,
            tried.after.tier,
            tried.granted,
        )
        assert [ClaimTried("LOUNGE"), ClaimTried("VIDEO")] == tried.claims
    assert before == await world.rows(wallets)
    assert [(1,)] == [tuple(row) for row in await world.rows("SELECT count(*) FROM programme")]
    assert [(0,)] == [tuple(row) for row in await world.rows("SELECT count(*) FROM claim")]
    async with world.database.transaction() as conn:
        assert 1 == (await world.parts.catalogue.current(conn)).programme_versions["wealth"]
    assert [] == await world.findings()


async def test_segments_bring_what_they_bring_today(world: World) -> None:
    """P-2: a payroll customer on a whitelist; a car owners' day on the day itself alone."""
    member, _ = await world.members(2)
    name = world.name(1)
    await take(world, f"{name},payroll,FACT,2025-06-01,,v1", f"{name},cars,RULE,2025-06-01,,v1")
    await send(world, name)
    assert [("LOUNGE", 1), ("VIDEO", 1)] == (await attempt(world, SEGMENTS, member)).granted
    on_the_18th = datetime(2025, 7, 18, 2, tzinfo=UTC)
    tried = await attempt(world, SEGMENTS, member, at=on_the_18th)
    assert [("LOUNGE", 1), ("VIDEO", 1), ("VIDEO", 1)] == tried.granted
    assert [ClaimTried("LOUNGE"), ClaimTried("VIDEO")] == tried.claims


async def test_a_tier_that_stays_is_no_rise(world: World) -> None:
    """P-4: a new line brings whoever was platinum before the quarter the whole of it."""
    member = await platinum(world)
    world.clock.now = datetime(2025, 8, 3, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-07", 520_000_00)
    await world.evaluate("2025-07", member)
    line = """
[[line]]
code = "video-quarterly"
benefit = "VIDEO"
period = "QUARTER"
upgrade = "NEXT_PERIOD"
quota = { PLATINUM = 3 }
"""
    assert [("VIDEO", 3)] == (await attempt(world, PROGRAMME + line, member)).granted


async def test_a_member_reads_why_the_tier_would_be_another(world: World) -> None:
    """A higher threshold: GOLD instead of PLATINUM, in the words that would tell it."""
    tried = await attempt(world, HIGHER, await platinum(world))
    assert tried.before is not None
    assert ("PLATINUM", "GOLD") == (tried.before.tier, tried.after.tier)
    assert "520,000.00" in tried.after.why
    assert [] == tried.granted


ONE = '\n[[limit]]\ncode = "one"\nscope = "PROGRAMME"\nlimit = "1"\nwindow = "MONTH"\n'
ON_THE_PAGE = PROGRAMME.replace(
    'sku = "video-month"', 'sku = "video-month"\neligible = { channel = { is = "MOBILE" } }'
)


async def test_each_claim_is_tried_by_itself_on_the_page(world: World) -> None:
    """None meets what the one before it took, and nobody else waits for what all share."""
    member, other = await platinum(world), await holder(world)

    async def work(conn: Connection) -> Tried:
        tried = await try_programme(conn, world.parts, read(ON_THE_PAGE + ONE), member)
        async with asyncio.timeout(5):
            await claimed(world, wish(other))
        return tried

    tried = await world.database.rehearsal().transact(work)
    assert [ClaimTried("LOUNGE"), ClaimTried("VIDEO")] == tried.claims
    assert [] == await world.findings()


CAR = """
[[benefit]]
code = "CAR"
name = { zh = "接送", en = "Car" }
kind = "BOOKING"
provider = "sandbox"
sku = "car"
cost = "38.00"
consumed = "USE"
budget = "lounge"
recipient = ["phone", "flight"]
draws = "LOUNGE"
"""
WITH_CAR = PROGRAMME.replace("[[line]]", CAR + "[[line]]", 1)
BOOKED = PROGRAMME.replace(
    'kind = "BOOKING"', 'kind = "BOOKING"\nbooking = { first_days = 0, last_days = 1 }'
)


@pytest.mark.parametrize("text", [BOOKED, WITH_CAR])
async def test_a_trial_asks_as_a_member_would(world: World, text: str) -> None:
    """V-10: for a time at which there is room, with the fields of what would be delivered."""
    found = (await attempt(world, text, await platinum(world))).claims
    assert {""} == {one.refusal for one in found}


async def test_what_replaces_a_benefit_is_asked_with_its_own_fields(world: World) -> None:
    """V-6: after the contract's end a claim is served by another, which asks for more."""
    ends = 'kind = "BOOKING"\ncontract_end = 2025-06-30\nreplacement = "CAR"'
    text = WITH_CAR.replace('kind = "BOOKING"', ends, 1)
    found = (await attempt(world, text, await platinum(world))).claims
    assert ClaimTried("LOUNGE") == found[0]


async def test_what_would_be_refused_is_told_by_its_code(world: World) -> None:
    """Who has nothing, who is blocked, who is nobody, and a file that may not be."""
    member = await world.member()
    tried = (await attempt(world, PROGRAMME, member)).claims
    assert ["insufficient_units", "insufficient_units"] == [one.refusal for one in tried]
    assert "There are not enough units left." == tried[0].why
    await agreed(world, block(member, Scope.BENEFIT, target="VIDEO"))
    refusals = [one.refusal for one in (await attempt(world, PROGRAMME, member)).claims]
    assert ["insufficient_units", "blocked"] == refusals
    with pytest.raises(UnknownMember):
        await attempt(world, PROGRAMME, uuid4())
    with pytest.raises(ComplianceForbidden):
        await attempt(
            world,
            PROGRAMME.replace('kind = "BOOKING"', 'kind = "BOOKING"\nnature = "SECURITY"'),
            member,
        )
