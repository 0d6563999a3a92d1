"""Budgets as a tree, and what is told when they run out."""

from decimal import Decimal

import msgspec

from benefits.domain.limits import Budget
from benefits.domain.orders import Done, Reason, Rejected, Used
from tests.actions.life import (
    call_back,
    change,
    claimed,
    counter,
    gift,
    give,
    number_of,
    wish,
)
from tests.actions.limiting import ask, limited, programme_of, rich
from tests.builders import World

REFUSED = Rejected(Reason.LIMIT, "limit")


def tree(head: str = "100.00", branch: str = "80.00", own: str = "60.00") -> tuple[Budget, ...]:
    """Return the lounge's budget below a branch below the head office, which has another, too."""
    return (
        Budget(code="head", total=Decimal(head)),
        Budget(code="branch", total=Decimal(branch), parent="head"),
        Budget(code="lounge", total=Decimal(own), parent="branch"),
        Budget(code="video", total=Decimal("20.00"), parent="head"),
    )


async def test_a_claim_fits_in_every_budget_above_its_own(world: World) -> None:
    """Reserved, spent and freed in each; one that is full refuses all below it (K-4)."""
    await world.apply(programme_of(budgets=tree(head="100.00")))
    member = await rich(world)
    await give(world, gift(member))
    (id_,) = await claimed(world, wish(member, "LOUNGE"))
    await claimed(world, wish(member))
    for code, use in (("lounge", 3800), ("branch", 3800), ("head", 5300), ("video", 1500)):
        assert (use, 0) == await counter(world, f"budget:{code}")
    assert "budget_exhausted" == await ask(world, member)
    now = world.clock.now
    await call_back(world, await number_of(world, id_), Done(at=now), Used(at=now))
    assert (0, 3800) == await counter(world, "budget:branch")
    assert (1500, 3800) == await counter(world, "budget:head")
    await change(world, "UPDATE counter SET spent = 9000 WHERE counter = 'budget:head'")
    assert {"budget:head"} == {finding.subject for finding in await world.findings()}


async def test_a_full_head_office_refuses_what_a_branch_could_bear(world: World) -> None:
    """The one above is asked, too, and nothing is taken anywhere."""
    await world.apply(programme_of(budgets=tree("80.00", "60.00", "60.00")))
    member = await rich(world)
    await change(world, "UPDATE counter SET spent = 4201 WHERE counter = 'budget:head'")
    assert "budget_exhausted" == await ask(world, member)
    await change(world, "UPDATE counter SET spent = 4200 WHERE counter = 'budget:head'")
    assert "ok" == await ask(world, member)


async def test_a_claim_is_borne_by_the_tree_it_was_made_under(world: World) -> None:
    """Put under another later, a budget brings nothing along, and takes nothing out (K-4, K-5)."""
    await limited(world)
    member = await rich(world)
    (old,) = await claimed(world, wish(member, "LOUNGE"))
    await world.apply(programme_of(budgets=tree()))
    assert (0, 0) == await counter(world, "budget:head")
    await call_back(world, await number_of(world, old), REFUSED)
    assert (0, 0) == await counter(world, "budget:lounge")
    assert (0, 0) == await counter(world, "budget:head")
    assert "ok" == await ask(world, member)
    assert (3800, 0) == await counter(world, "budget:head")
    assert [] == await world.findings()


async def test_a_late_delivery_tells_thresholds_of_the_total_in_force(world: World) -> None:
    """Not of the total the claim was made under, nor of a budget that is gone (K-4)."""
    head = Budget(code="head", total=Decimal(100_000))
    own = tuple(msgspec.structs.replace(one, parent="head") for one in _total("380.00"))
    await world.apply(programme_of(budgets=(head, *own)))
    member = await rich(world)
    (id_,) = await claimed(world, wish(member, "LOUNGE"))
    await call_back(world, await number_of(world, id_), REFUSED)
    await world.apply(programme_of(budgets=_total("3800.00")))
    await claimed(world, wish(member, "LOUNGE", quantity=7))
    await call_back(world, await number_of(world, id_), Done(at=world.clock.now))
    assert [] == await told(world)
    await claimed(world, wish(member, "LOUNGE", quantity=72))
    assert [("lounge", 80)] == await told(world)
    assert [] == await world.findings()


async def told(world: World) -> list[tuple[str, int]]:
    """Return which thresholds of which budgets were told, in order."""
    found = await world.rows(
        "SELECT data ->> 'budget' AS budget, (data ->> 'percent')::int AS percent FROM outbox "
        "WHERE type = 'budget.threshold' ORDER BY recorded_at, seq"
    )
    return [(row.budget, row.percent) for row in found]


def _total(total: str) -> tuple[Budget, ...]:
    return (
        Budget(code="lounge", total=Decimal(total)),
        Budget(code="video", total=Decimal(1000)),
    )


async def test_a_threshold_is_told_once_for_a_total(world: World) -> None:
    """However often it is passed; another total tells anew what it has come to (K-4)."""
    await world.apply(programme_of(budgets=_total("380.00")))
    member = await rich(world)
    await claimed(world, wish(member, "LOUNGE", quantity=7))
    assert [] == await told(world)
    (id_,) = await claimed(world, wish(member, "LOUNGE"))
    assert [("lounge", 80)] == await told(world)
    await call_back(world, await number_of(world, id_), REFUSED)
    await claimed(world, wish(member, "LOUNGE"))
    assert [("lounge", 80)] == await told(world)
    await claimed(world, wish(member, "LOUNGE", quantity=2))
    assert [("lounge", 80), ("lounge", 95), ("lounge", 100)] == await told(world)
    await world.apply(programme_of(budgets=_total("418.00")))
    await claimed(world, wish(member, "LOUNGE"))
    assert ("lounge", 100) == (await told(world))[-1]
    assert 6 == len(await told(world))
    (data,) = await world.rows(
        "SELECT data FROM outbox WHERE type = 'budget.threshold' ORDER BY recorded_at DESC LIMIT 1"
    )
    assert {
        "programme": "wealth",
        "budget": "lounge",
        "percent": 100,
        "total_minor": 41800,
        "taken_minor": 41800,
    } == data.data
    assert [] == await world.findings()
