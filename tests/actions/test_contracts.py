"""Benefits end with their contracts: claims before, units with them."""

from datetime import date, timedelta
from decimal import Decimal

from msgspec.structs import replace

from benefits.domain.corrections import Fault, Kind
from benefits.domain.limits import Cap, CapWindow
from benefits.domain.orders import Done, Reason, Rejected, Used
from benefits.domain.programme import Programme
from benefits.store.migrate import make_partitions
from tests.actions.desk import correct
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    decide,
    gift,
    give,
    number_of,
    said,
    wallet,
    wish,
)
from tests.actions.limiting import ask, limited, local, programme_of, rich
from tests.builders import World
from tests.roles import administrator


async def test_g_con_1_units_end_with_the_contract(world: World) -> None:
    """G-CON-1: granted on 1 July for a year, units end with the contract on 31 October (V-6)."""
    world.clock.now = local(2024, 7, 1, 12)
    async with administrator(world.database) as conn:
        await make_partitions(conn, world.clock.now, 6)
    await limited(world, contract_end=date(2024, 10, 31))
    member = await world.member()
    await give(world, gift(member, valid_days=365))
    (lot,) = await world.rows("SELECT expires_at FROM lot")
    assert local(2024, 11, 1) == lot.expires_at
    world.clock.now = local(2024, 10, 31, 23, 59, 59)
    (outcome,) = await give(world, gift(member))
    assert "ok" == said(outcome)
    world.clock.now = local(2024, 11, 1)
    (outcome,) = await give(world, gift(member))
    assert "contract_ended" == said(outcome)
    assert [] == await world.findings()


async def test_what_a_tier_brings_ends_with_the_contract(world: World) -> None:
    """Nothing is granted for a period after it (V-6)."""
    await limited(world, contract_end=date(2025, 7, 15))
    member = await world.member()
    await world.month(world.name(1), "2025-06", 520_000_00)
    await world.evaluate("2025-06", member)
    found = await world.rows("SELECT unit, expires_at FROM lot ORDER BY unit")
    assert [
        ("BENEFIT:LOUNGE", local(2025, 10, 1)),
        ("BENEFIT:VIDEO", local(2025, 7, 16)),
    ] == [tuple(row) for row in found]


async def test_claims_end_lead_days_before_the_contract(world: World) -> None:
    """The last day is the contract's less the lead days, until midnight (V-6)."""
    await limited(world, contract_end=date(2025, 7, 10), lead_days=3)
    member = await rich(world, "VIDEO", 5)
    world.clock.now = local(2025, 7, 8) - timedelta(microseconds=1)
    assert "ok" == await ask(world, member, "VIDEO")
    world.clock.now = local(2025, 7, 8)
    assert "contract_ended" == await ask(world, member, "VIDEO")


def followed() -> Programme:
    """Return a programme whose lounges end on 10 July, and are taxis from the 8th on."""
    programme = programme_of()
    lounge, video = programme.benefit
    taxi = replace(
        lounge,
        code="TAXI",
        sku="taxi-ride",
        cost=Decimal("50.00"),
        budget="video",
        recipient=(),
        cap=Cap(limit=1, window=CapWindow.MONTH),
    )
    over = replace(lounge, contract_end=date(2025, 7, 10), lead_days=3, replacement="TAXI")
    return replace(programme, benefit=(over, video, taxi))


async def test_a_replacement_serves_where_a_contract_ended(world: World) -> None:
    """V-6: by its own terms, of the units there are, which end with their own time alone."""
    await world.apply(followed())
    member = await rich(world, "LOUNGE", 3)
    ((lot,),) = await world.rows("SELECT expires_at::date - granted_at::date FROM lot")
    assert 3660 <= lot
    (before,) = await claimed(world, wish(member, "LOUNGE"))
    world.clock.now = local(2025, 7, 8)
    (refused,) = await decide(world, wish(member, "LOUNGE"))
    assert "recipient_incomplete" == said(refused)
    (taxi,) = await claimed(world, wish(member, "LOUNGE", recipient={}))
    (refused,) = await decide(world, wish(member, "LOUNGE", recipient={}))
    assert "cap_reached" == said(refused)
    found = await world.rows(
        "SELECT c.benefit, c.instead_of, r.sku FROM claim AS c "
        "JOIN provider_request AS r ON r.claim_id = c.claim_id ORDER BY c.claimed_at"
    )
    assert [("LOUNGE", "", "lounge-visit"), ("TAXI", "LOUNGE", "taxi-ride")] == [
        tuple(row) for row in found
    ]
    assert (1, 2) == await wallet(world, member, "LOUNGE")
    assert (5000, 0) == await counter(world, "budget:video")
    for claim_id in (before, taxi):
        number = await number_of(world, claim_id)
        await call_back(world, number, Done(at=world.clock.now), Used(at=world.clock.now))
    assert ((1, 0), (0, 5000)) == (
        await wallet(world, member, "LOUNGE"),
        await counter(world, "budget:video"),
    )
    world.clock.now = local(2025, 8, 1)
    (failing,) = await claimed(world, wish(member, "LOUNGE", recipient={}))
    await call_back(world, await number_of(world, failing), Rejected(Reason.LIMIT, "limit"))
    assert (1, 0) == await wallet(world, member, "LOUNGE")
    assert [] == await world.findings()


async def test_a_make_good_lasts_as_long_as_its_units_can_be_claimed(world: World) -> None:
    """V-6, L-9: claimed as a taxi, whose contract ends before that of a ride they buy, too."""
    made = followed()
    taxi = replace(made.benefits["TAXI"], contract_end=date(2025, 8, 31), cap=None)
    ride = replace(made.benefits["VIDEO"], code="RIDE", draws="LOUNGE")
    await world.apply(replace(made, benefit=(*made.benefit[:2], taxi, ride)))
    member = await rich(world, "LOUNGE", 2)
    world.clock.now = local(2025, 7, 8)
    (claim_id,) = await claimed(world, wish(member, "LOUNGE", quantity=2, recipient={}))
    await call_back(world, await number_of(world, claim_id), Used(at=world.clock.now))
    for day in (local(2025, 7, 8), local(2025, 9, 1)):
        world.clock.now = day
        more = {"claim_id": claim_id, "fault": Fault.OURS, "valid_days": 60}
        assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 1, **more)
    ends = await world.rows("SELECT expires_at FROM lot WHERE cause = 'MAKE_GOOD' ORDER BY 1")
    assert [local(2025, 9, 7), local(2025, 11, 1)] == [end for (end,) in ends]
    assert [] == await world.findings()
