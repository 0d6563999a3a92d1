"""Make-goods: what an order took and did not bring is replaced once, at the price it had."""

import pytest

from benefits.domain.benefit import Late, LateReversal
from benefits.domain.corrections import Fault, Kind
from benefits.domain.orders import Reason, Rejected
from benefits.domain.programme_file import read
from tests.actions.desk import ask, correct, figures, lost, money, offered, spent
from tests.actions.life import call_back, claimed, holder, number_of, wallet, wish
from tests.builders import PROGRAMME, World


async def test_the_provider_owes_what_the_order_cost_whatever_it_costs_today(
    world: World,
) -> None:
    """A price that rose between the order and its make-good is not theirs to pay (L-9)."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    await world.apply(read(PROGRAMME.replace('cost = "15.00"', 'cost = "20.00"')))
    more = {"claim_id": claim, "fault": Fault.PROVIDER, "valid_days": 7}
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 1, **more)
    assert -1500 == await money(world, "suspense")
    assert [] == await world.findings()


@pytest.mark.parametrize(("ends", "first"), [(30, "correction_exceeds"), (1, "ok")])
async def test_what_came_back_by_itself_is_not_made_good(
    world: World, ends: int, first: str
) -> None:
    """A rejected order gave its unit back, unless its time was over: then it is replaced once."""
    member = await holder(world, valid_days=ends)
    (claim,) = await claimed(world, wish(member))
    world.clock.forward(days=3)
    await call_back(world, await number_of(world, claim), Rejected(Reason.LIMIT, "limit"))
    more = {"claim_id": claim, "fault": Fault.PROVIDER, "valid_days": 30}
    for expected in (first, "correction_exceeds"):
        assert expected == await correct(world, Kind.MAKE_GOOD, member, 1, **more)
    assert (1, 0) == await wallet(world, member)
    assert [] == await world.findings()


async def test_of_what_was_settled_in_part_only_what_is_gone_is_made_good(world: World) -> None:
    """Three were held and two delivered: one came back."""
    member = await holder(world, "LOUNGE", quantity=3)
    claim = await lost(world, member, "LOUNGE", 3)
    assert "ok" == await correct(world, Kind.SETTLE, member, 2, claim_id=claim)
    more = {"claim_id": claim, "fault": Fault.OURS, "valid_days": 30}
    assert "correction_exceeds" == await ask(world, Kind.MAKE_GOOD, member, 3, **more)
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 2, **more)
    assert (3, 0) == await wallet(world, member, "LOUNGE")
    assert [] == await world.findings()


async def test_a_claim_is_corrected_by_the_terms_it_was_made_under(world: World) -> None:
    """A later version gives no old claim what was not promised (U-3)."""
    member = await holder(world, quantity=2, valid_days=1)
    claim = await spent(world, member, quantity=2)
    await offered(world, late_reversal=LateReversal(then=Late.MAKE_GOOD, days=14))
    world.clock.forward(days=3)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert [(2, 0, 0, 1, 1)] == await figures(world, member)
    assert [] == await world.findings()
