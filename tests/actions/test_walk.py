"""The main job, walked through once on the actions alone."""

from benefits.actions import deliver, receive
from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.keyed import Accepted
from benefits.domain.orders import Done, Notice, Operation, Pending, Used
from tests.builders import World


async def test_assets_become_a_redeemed_benefit_and_the_books_balance(world: World) -> None:
    """Assets in, tier up, units granted, claimed, asked, called back, redeemed."""
    member = await world.member()
    await world.month(world.name(1), "2025-06", 520_000_00)
    evaluated = await world.evaluate("2025-06", member)
    assert (1, 2) == (evaluated.decisions, evaluated.grants)

    wish = ClaimUnits(
        caller="mobile",
        key="k1",
        member_id=member,
        benefit="LOUNGE",
        recipient={"phone": "13800000001"},
    )
    async with world.database.transaction() as conn:
        (outcome,) = await claim(conn, [wish], world.parts, wait=False)
    assert isinstance(outcome, Accepted)

    async with world.database.transaction() as conn:
        (work,) = await deliver.lease(conn, world.parts, buckets=(0, 1023), limit=10)
    assert Operation.ISSUE is work.call.operation
    assert {"phone": "13800000001"} == work.call.request.recipient
    async with world.database.transaction() as conn:
        await deliver.record(conn, [deliver.Attempt(work, Pending("R1"))], world.parts)
    for event, what in (
        ("e1", Done(at=world.clock(), reference="R1")),
        ("e2", Used(at=world.clock(), reference="R1")),
    ):
        world.clock.forward(seconds=1)
        notice = Notice(event_id=event, number=work.call.number, outcome=what)
        async with world.database.transaction() as conn:
            callback = receive.Callback(provider="sandbox", notice=notice, raw=b"{}")
            await receive.receive(conn, [callback], world.parts)
        async with world.database.transaction() as conn:
            assert 1 == await receive.work_off(conn, world.parts, buckets=(0, 1023), limit=10)

    assert [("REDEEMED",)] == await world.rows("SELECT state FROM claim")
    assert [(1, 0)] == await world.rows(
        "SELECT available, held FROM wallet WHERE unit = 'BENEFIT:LOUNGE'"
    )
    assert [(0, 3800)] == await world.rows(
        "SELECT reserved, spent FROM counter WHERE counter = 'budget:lounge'"
    )
    assert [] == await world.findings()
