"""A past decision comes out again of the rule's version and what was known by then (3.18, 10)."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benefits.domain.assets import AssetLine
from benefits.domain.catalogue import Rules
from benefits.domain.metrics import Basket, MonthSum, known_sum
from benefits.domain.tiers import fold
from benefits.domain.values import Month, bucket_of
from benefits.domain.windows import Days
from tests.builders import World

FIRST = Month(2025, 1)
MONTHS = [FIRST.plus(n) for n in range(4)]
LEVELS = [0, 40_000_00, 60_000_00, 480_000_00, 520_000_00, 5_200_000_00]
BEGIN = datetime(2025, 5, 2, 4, 0, tzinfo=UTC)
OPENED = date(2020, 1, 1)
# All that was recorded of a member by an instant, of each day what then counted.
KNOWN = """
SELECT DISTINCT ON (a.as_of) a.as_of, a.balance_minor FROM asset AS a
WHERE a.bucket = $1 AND a.member_id = $2 AND a.recorded_at <= $3
ORDER BY a.as_of, a.revision DESC
"""
DECIDED = """
SELECT d.month, d.decided_at, d.programme_version, d.sum_minor, d.known_days, d.qualified, d.rank,
       d.misses
FROM tier_decision AS d WHERE d.bucket = $1 AND d.member_id = $2
"""
Step = tuple[int, int, int, bool]
steps = st.tuples(
    st.integers(0, len(MONTHS) - 1),
    st.integers(0, 31),  # the day that is corrected; 31 is the whole month
    st.sampled_from(LEVELS),
    st.booleans(),  # whether it is evaluated then, and the months after it
)


class Life:
    """What the bank brings of a member, and when it decides."""

    def __init__(self, world: World, name: str, member: UUID) -> None:
        """Begin with nothing known."""
        self.world = world
        self.name = name
        self.member = member
        self.revision = 0

    async def take(self, step: Step) -> None:
        """Bring a day or a month anew, and evaluate or not, each a minute later."""
        which, nth, level, is_decided = step
        month = MONTHS[which]
        self.revision += 1
        days = range(month.days) if nth >= month.days else [nth]
        self.world.clock.forward(minutes=1)
        await self.world.assets(
            [
                AssetLine(
                    self.name,
                    month.start + timedelta(days=n),
                    "DEPOSIT",
                    "CNY",
                    level,
                    revision=self.revision,
                )
                for n in days
            ]
        )
        for each in MONTHS[which:] if is_decided else ():
            self.world.clock.forward(minutes=1)
            await self.world.evaluate(str(each), self.member)

    async def check(self, rules: Rules) -> int:
        """Fold each decision anew from what was known when it was made; return how many."""
        found = await self.world.rows(DECIDED, bucket_of(self.member), self.member)
        for row in found:
            known = await self.world.rows(
                KNOWN, bucket_of(self.member), self.member, row.decided_at
            )
            balances = {each.as_of: each.balance_minor for each in known}
            month = Month.of(row.month)
            anew = fold(rules, sums(rules, balances), month, opened_on=OPENED)[-1]
            assert 1 == row.programme_version
            assert (row.sum_minor, row.known_days, row.qualified, row.rank, row.misses) == (
                *(anew.sum_minor, anew.known_days, anew.qualified),
                *(anew.after.rank, anew.after.misses),
            )
        return len(found)


def sums(rules: Rules, balances: dict[date, int]) -> dict[Basket, dict[Month, MonthSum]]:
    """Sum days by month, as an import keeps them."""
    months = sorted({Month.of(day) for day in balances})
    of = {month: [day for day in balances if Month.of(day) == month] for month in months}
    basket = rules.judges[0].programme.basket
    return {
        basket: {
            month: known_sum(
                month,
                sum(balances[day] for day in days),
                Days(sum(1 << (day.day - 1) for day in days)),
                OPENED,
            )
            for month, days in of.items()
        }
    }


async def test_a_past_decision_comes_out_again(world: World) -> None:
    """3.18, 10: whatever was corrected since, as known at its time by the version it names."""
    loop = asyncio.get_running_loop()
    world.clock.now = BEGIN
    checked = list[int]()
    async with world.database.transaction() as conn:
        rules = (await world.parts.catalogue.current(conn)).rules["wealth"]

    async def live(life: Sequence[Step]) -> None:
        member = await world.member()
        one = Life(world, world.name(len(checked) + 1), member)
        checked.append(0)
        await one.take((0, 31, LEVELS[2], True))
        for step in life:
            await one.take(step)
        checked[-1] = await one.check(rules)

    @settings(max_examples=20, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(steps, max_size=6))
    def whatever(life: list[Step]) -> None:
        asyncio.run_coroutine_threadsafe(live(life), loop).result()

    await asyncio.to_thread(whatever)
    assert sum(checked) > len(checked)
