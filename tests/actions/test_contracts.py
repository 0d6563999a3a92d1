"""Benefits end with their contracts: claims before, units with them."""

from datetime import date, timedelta

from benefits.domain.orders import Reason, Rejected
from benefits.store.migrate import make_partitions
from tests.actions.life import (
    gift,
    give,
    said,
)
from tests.actions.limiting import ask, limited, local, rich
from tests.builders import World
from tests.roles import administrator

REFUSED = Rejected(Reason.LIMIT, "limit")


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
