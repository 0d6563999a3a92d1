"""A recurring day that no worker saw is made good while its units would live (P-10)."""

from datetime import UTC, date, datetime, timedelta

from benefits.actions.start_period import begin, go_on
from benefits.domain.packages import LinePeriod
from benefits.domain.recurring import Recurring
from benefits.domain.values import BUCKETS
from tests.actions.test_start_period import PAYROLL, RICH, having, label, line, work
from tests.builders import World


async def test_a_day_whose_units_live_on_is_made_good(world: World) -> None:
    """P-3, P-10: after an outage and past midnight, to the end it has; to whom it was of then."""
    of_segment = {"quota": {}, "segment": PAYROLL, "quantity": 1, "valid_days": 14}
    await having(world, line("cars", LinePeriod.OCCURRENCE, on=Recurring(day=18), **of_segment))
    await world.members(2)
    await label(world, 1, "2025-06-01,")
    await label(world, 2, "2025-07-19,")
    assert [] == await work(world, datetime(2025, 7, 17, 2, tzinfo=UTC))
    await world.member(date(2025, 7, 20))
    await label(world, 3, "2025-06-01,")
    late = datetime(2025, 7, 20, 2, tzinfo=UTC)
    assert [("cars", "2025-07-18", 1)] == await work(world, late)
    ((ends,),) = await world.rows("SELECT expires_at FROM lot")
    assert datetime(2025, 8, 1, 16, tzinfo=UTC) == ends
    world.clock.now = datetime(2025, 8, 18, 15, 59, tzinfo=UTC)
    leased = await begin(world.database, world.parts, "wealth")
    world.clock.now += timedelta(minutes=5)
    started = await go_on(world.database, world.parts, leased, BUCKETS)
    assert (3, 3) == (started.done.members, started.done.grants)
    assert 4 == len(await work(world, datetime(2025, 9, 17, 2, tzinfo=UTC)))
    assert 4 == len(await work(world, datetime(2025, 10, 3, 2, tzinfo=UTC)))
    assert [] == await world.findings()


async def test_a_missed_day_brings_what_the_tier_of_that_day_does(world: World) -> None:
    """P-3: who is platinum from 1 August on was not on 30 July."""
    await having(world, line("cars", LinePeriod.OCCURRENCE, on=Recurring(day=30), valid_days=14))
    member = await world.member()
    assert [] == await work(world, datetime(2025, 7, 29, 2, tzinfo=UTC))
    world.clock.now = datetime(2025, 8, 3, 2, tzinfo=UTC)
    await world.month(world.name(1), "2025-07", RICH)
    await world.evaluate("2025-07", member)
    assert [("cars", "2025-07-30", 1)] == await work(world)
