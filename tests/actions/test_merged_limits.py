"""Limits of a member who was two customers: a late delivery to either finds what both took."""

from typing import Any

import pytest

from benefits.actions.claim import claim
from benefits.domain.limits import CapWindow, Scope
from benefits.domain.orders import Done, Reason, Rejected
from tests.actions.life import call_back, claimed, number_of, said, tell, wish, work_off
from tests.actions.limiting import ask, limit, limited, rich
from tests.actions.merging import merged
from tests.builders import World

REFUSED = Rejected(Reason.LIMIT, "limit")


@pytest.mark.parametrize("how", [{"days": 7}, {"window": CapWindow.MONTH}])
async def test_a_late_success_counts_along_with_the_others_claims(
    world: World, how: dict[str, Any]
) -> None:
    """Of three at once, of both customers, two have room; whose they are decides nothing (K-7)."""
    await limited(world, limit("mine", 2, Scope.MEMBER, **how))
    a, b = await rich(world, quantity=2), await rich(world, quantity=1)
    some = [await claimed(world, wish(one, "LOUNGE")) for one in (a, b, a)]
    numbers = [await number_of(world, claim_id) for (claim_id,) in some]
    await merged(world, b, a)
    for number in numbers:
        await call_back(world, number, REFUSED)
    for number in numbers:
        await tell(world, number, Done(at=world.clock()))
    assert 3 == await work_off(world)
    states = await world.rows("SELECT state, count(*) AS n FROM claim GROUP BY 1")
    assert [("ISSUED", 3)] == [(row.state, row.n) for row in states]
    (case,) = await world.rows(
        "SELECT claim_id FROM case_file WHERE kind = 'delivered_without_entitlement'"
    )
    assert some[2] == [case.claim_id]
    assert "cap_reached" == await ask(world, a)
    assert [] == await world.findings()


async def test_a_late_success_of_the_merged_customer_has_the_members_room(world: World) -> None:
    """What the one who goes on took leaves none; while somebody holds them it waits (T-10)."""
    await limited(world, limit("mine", 1, Scope.MEMBER))
    a, b = await rich(world), await rich(world)
    (claim_id,) = await claimed(world, wish(b, "LOUNGE"))
    number = await number_of(world, claim_id)
    await merged(world, b, a)
    await call_back(world, number, REFUSED)
    await tell(world, number, Done(at=world.clock()))
    async with world.database.transaction() as conn:
        (outcome,) = await claim(conn, [wish(a, "LOUNGE")], world.parts, wait=True)
        assert "ok" == said(outcome)
        assert 0 == await work_off(world)
    assert 1 == await work_off(world)
    used = await world.rows("SELECT used FROM member_counter WHERE used > 0")
    assert [1] == [row.used for row in used]
    (case,) = await world.rows("SELECT kind FROM case_file")
    assert "delivered_without_entitlement" == case.kind
    assert [] == await world.findings()
