"""The largest balances that are taken decide like any others, whatever they weigh (A-3, C-1)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from benefits.actions.keep_stretches import keep_stretches
from benefits.actions.look_ahead import look_ahead
from benefits.domain.assets import AssetLine
from benefits.domain.policy import Metric
from benefits.domain.programme import Programme
from benefits.domain.values import Month
from benefits.store import summary
from tests.actions.feeding import EARLY
from tests.actions.test_windows import standing
from tests.builders import World, reference_programme

LARGEST = 10**15
HEAVY = Decimal("9.9999")
PRIVATE = 4


def weighing(**policy: Any) -> Programme:
    """Return the reference programme with funds that weigh much, to four decimals."""
    plain = reference_programme()
    more = {"weights": {"FUND": HEAVY}} | policy
    return msgspec.structs.replace(
        plain,
        asset_classes=(*plain.asset_classes, "LOAN"),
        policy=msgspec.structs.replace(plain.policy, **more),
    )


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"metric": Metric.QUARTER_AVG},
        {"metric": Metric.ROLLING, "days": 7},
        {"liabilities": {"LOAN": Decimal("0.5")}},
    ],
    ids=str,
)
async def test_the_largest_balances_decide_like_any_others(
    world: World, policy: dict[str, Any]
) -> None:
    """Nobody's month is left undecided for one line: sums are exact beyond 64 bits."""
    world.clock.now = datetime(2025, 7, 2, 4, tzinfo=UTC)
    programme = weighing(**policy)
    await world.apply(programme, tiers_from=EARLY)
    member, name = await world.member(), world.name(1)
    first = date(2025, 4, 1)
    days = [first + timedelta(days=n) for n in range(92)]
    lines = [AssetLine(name, day, "FUND", "CNY", LARGEST) for day in days]
    lines += [AssetLine(name, day, "LOAN", "CNY", 100) for day in days]
    await world.assets(lines)
    await keep_stretches(world.database, world.parts)
    await world.evaluate("2025-06", member)
    ((rank, sum_minor, days_),) = await world.rows(
        "SELECT rank, sum_minor, days FROM tier_decision"
    )
    each = LARGEST * HEAVY + (-50 if "liabilities" in policy else 100)
    assert (PRIVATE, each * days_) == (rank, sum_minor)
    await look_ahead(world.database, world.parts, "wealth")
    place = await standing(world, member)
    assert place.judge.policy == programme.policy
    assert place.held.rank == PRIVATE
    async with world.database.transaction() as conn:
        day = Month(2025, 7).start
        assert each == await summary.balance(conn, member, day=day, basket=programme.basket)
    assert [] == await world.findings()
