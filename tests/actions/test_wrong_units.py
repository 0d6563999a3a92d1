"""Units that rest on a wrong tier, of lines that stack: what goes leaves its room (A-7, P-7)."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.domain.packages import Downgrade, Line
from benefits.domain.stacking import Stacking
from tests.actions.agreeing import agreed, ask
from tests.actions.test_decide_again import fraud
from tests.actions.test_evaluate_again import corrected
from tests.actions.test_stacking import (
    CAPPED,
    FIRST,
    LINES,
    MAX,
    PLATINUM,
    POOR,
    TIERS,
    having,
    label,
    start,
    tier,
    units,
)
from tests.builders import World


async def deceived(world: World, stacking: Stacking, *lines: Line) -> UUID:
    """Return a member of false platinum with a salary and a car, whose units came with periods."""
    await having(world, stacking, *lines, misses=1)
    member = await world.member()
    world.clock.now = datetime(2025, 7, 3, 2, tzinfo=UTC)
    await label(world, 1, "payroll", "cars")
    await tier(world, member, PLATINUM)
    await start(world)
    await corrected(world, "2025-06", POOR)
    world.clock.forward(days=1)
    await world.evaluate("2025-06", member)
    return member


@pytest.mark.parametrize("downgrade", Downgrade)
@pytest.mark.parametrize(("stacking", "cars"), [(MAX, 0), (FIRST, 0), (CAPPED, 1)])
async def test_what_a_wrong_tier_hid_comes_as_its_units_go(
    world: World, downgrade: Downgrade, stacking: Stacking, cars: int
) -> None:
    """A-7, P-7: what others bring beside no tier comes with the decision, and once."""
    member = await deceived(world, stacking, replace(TIERS, downgrade=downgrade), *LINES[1:])
    await agreed(world, fraud(member))
    whole = {"tiers": 0, "payroll": 2, "cars": cars}
    for _ in range(2):
        found = await units(world)
        assert whole == {line.code: found.get(line.code, (0, 0))[0] for line in LINES}
        await start(world)
        await world.evaluate("2025-06", member)
    assert "proposal_invalid" == await ask(world, fraud(member))
