"""What many share is locked when all is written, far from where it refuses or is told of."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import pytest

from benefits.actions.edges import GROUPS, Edge
from benefits.domain.benefit import Settled
from benefits.domain.entitlement import CounterUse
from benefits.domain.limits import WHENEVER, Budget, CapWindow, Dimension, Limit, Scope
from benefits.domain.orders import Done, Outcome, Reason, Rejected, Used
from benefits.domain.prices import Price, PricedAt
from benefits.store import counters
from benefits.store.counters import Kept, SharedCounter
from benefits.store.db import run
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    decide,
    holder,
    number_of,
    said,
    wish,
)
from tests.actions.limiting import limited, rich
from tests.actions.test_budgets import told
from tests.builders import NOON, World, reference_programme

Result = TypeVar("Result")
BUDGET = ("budget:lounge", WHENEVER)
TAKE = "UPDATE counter SET reserved = $1 WHERE counter = $2"
COST = 3800
AUGUST, COST_MOST = date(2025, 8, 1), Decimal(15)
VIDEO = Budget(code="video", total=Decimal(1000))
# Who waits for a lock, and whether they have written to the ledger before.
WAITING = """
SELECT EXISTS (SELECT FROM pg_locks AS h WHERE h.pid = w.pid AND h.relation = 'batch'::regclass
               AND h.mode = 'RowExclusiveLock') AS has_written
FROM pg_locks AS w JOIN pg_stat_activity AS a USING (pid)
WHERE NOT w.granted AND a.datname = current_database()
"""


async def raced(
    world: World,
    work: Coroutine[Any, Any, Result],
    *,
    taken: int = 0,
    of: SharedCounter = BUDGET,
    has_written: bool = True,
) -> Result:
    """Let work wait for a counter that somebody holds, who then comes to have `taken` so much.

    When it waits it has written to the ledger before, or has not.
    """
    async with world.database.transaction() as conn:
        await counters.lock(conn, [of])
        task = asyncio.create_task(work)
        async with asyncio.timeout(10):
            while [has_written] != [row.has_written for row in await world.rows(WAITING)]:
                await asyncio.sleep(0.01)
        if taken:
            await run(conn, TAKE, taken, of[0])
    return await task


async def test_others_wait_for_a_budget_only_while_it_is_written(world: World) -> None:
    """A claim is decided and written before it waits for whoever holds its budget."""
    await limited(world)
    member = await rich(world)
    (outcome,) = await raced(world, decide(world, wish(member, "LOUNGE")))
    assert "ok" == said(outcome)
    assert (COST, 0) == await counter(world, "budget:lounge")
    assert [] == await world.findings()


async def test_who_came_too_near_meanwhile_is_decided_anew(world: World) -> None:
    """The budget held enough when it was read, and does not any more under the lock."""
    await limited(world)
    member = await rich(world)
    taken = 1_000_000_00 - COST + 1
    (outcome,) = await raced(world, decide(world, wish(member, "LOUNGE")), taken=taken)
    assert "budget_exhausted" == said(outcome)
    assert [] == await world.rows("SELECT 1 FROM claim")
    assert [] == await world.rows("SELECT 1 FROM batch WHERE kind = 'claim.placed'")


async def test_what_others_told_meanwhile_is_not_told_again(world: World) -> None:
    """Two claims at once come to a threshold: the one that is first tells of it (K-4)."""
    await limited(world, budgets=(Budget(code="lounge", total=Decimal(1000)), VIDEO))
    first, second = await rich(world), await rich(world)
    (outcome,) = await raced(world, decide(world, wish(first, "LOUNGE")), taken=800_00 - COST)
    assert "ok" == said(outcome)
    await claimed(world, wish(second, "LOUNGE"))
    assert [("lounge", 80)] == await told(world)
    assert (800_00 + COST, 0) == await counter(world, "budget:lounge")


async def test_claims_at_once_take_what_a_limit_allows_and_no_more(world: World) -> None:
    """They begin far from its edge, and end at it."""
    most = 5 * GROUPS
    of_all = Limit(
        code="all",
        scope=Scope.BENEFIT,
        dimension=Dimension.COUNT,
        limit=Decimal(most),
        window=CapWindow.MONTH,
        benefits=("LOUNGE",),
    )
    await limited(world, of_all)
    members = [await rich(world) for _ in range(12)]
    asked = [decide(world, *(wish(member, "LOUNGE") for _ in range(4))) for member in members]
    outcomes = [said(one) for group in await asyncio.gather(*asked) for one in group]
    assert most == outcomes.count("ok")
    assert len(outcomes) - most == outcomes.count("cap_reached")
    assert [] == await world.findings()


@pytest.mark.parametrize("outcome", [Used(at=NOON), Rejected(Reason.LIMIT, "limit")])
async def test_answers_wait_for_a_budget_only_when_they_are_written(
    world: World, outcome: Outcome
) -> None:
    """What is used or given back asks nothing of what is left."""
    await limited(world)
    member = await rich(world)
    (id_,) = await claimed(world, wish(member, "LOUNGE"))
    number = await number_of(world, id_)
    await raced(world, call_back(world, number, outcome), taken=2 * COST)
    spent = COST if isinstance(outcome, Used) else 0
    assert (COST, spent) == await counter(world, "budget:lounge")


async def test_who_asks_what_is_left_decides_behind_the_lock(world: World) -> None:
    """A use that costs more than was spent may come to a threshold: of that it is told (K-4)."""
    programme = reference_programme()
    lounge, video = programme.benefit
    prices = (Price(from_=date(2025, 7, 1), cost=Decimal(10)), Price(from_=AUGUST, cost=COST_MOST))
    video = msgspec.structs.replace(
        video, cap=None, settled=Settled.USE, prices=prices, priced_at=PricedAt.USE
    )
    await world.apply(msgspec.structs.replace(programme, benefit=(lounge, video)))
    member = await holder(world)
    (id_,) = await claimed(world, wish(member))
    number = await number_of(world, id_)
    await call_back(world, number, Done(at=NOON))
    assert (0, 1000) == await counter(world, "budget:video")
    world.clock.now = datetime(2025, 8, 2, tzinfo=UTC)
    used = call_back(world, number, Used(at=world.clock.now))
    await raced(world, used, of=("budget:video", WHENEVER), has_written=False)
    assert (0, 1500) == await counter(world, "budget:video")
    assert [] == await world.findings()


def test_an_edge_is_a_total_or_the_next_threshold_to_be_told() -> None:
    """Just below it is far; at a threshold something is told, above a total it is refused."""
    plain, told_of = Edge(10, 100, is_told=False), Edge(10, 100, is_told=True)
    assert plain.is_far(Kept(CounterUse(80, 10)), 1)
    assert not plain.is_far(Kept(CounterUse(80, 11)), 1)
    assert plain.is_far(Kept(CounterUse(20, 0)), 8)
    assert not plain.is_far(Kept(CounterUse(21, 0)), 8)
    assert told_of.is_far(Kept(CounterUse(69, 0)), 1)
    assert not told_of.is_far(Kept(CounterUse(70, 0)), 1)
    assert told_of.is_far(Kept(CounterUse(70, 0), 80, 100), 1)
    assert not told_of.is_far(Kept(CounterUse(70, 0), 80, 120), 1)
    assert not told_of.is_far(Kept(CounterUse(85, 0), 80, 100), 1)
