"""Confirmed, used, undone and used again against a provider with a temper: the ledger agrees."""

import asyncio

import pytest

from benefits.domain.orders import Callbacks, Operation, RedeemBy
from benefits.sandbox.behaviour import Behaviour
from tests.actions.life import (
    claimed,
    holder,
    lease,
    number_of,
    provider_can,
    record,
    states,
    wallet,
    wish,
)
from tests.actions.test_redeem import ask, undo, use
from tests.builders import World
from tests.sandbox.stage import Stage, stage

TEMPERS = [
    Behaviour.GOOD,
    Behaviour.TIMES_OUT,
    Behaviour.DRIPS,
    Behaviour.ANSWERS_FORGED,
    Behaviour.ANSWERS_UNLISTED,
]


async def until(world: World, on: Stage, state: str) -> None:
    """Work until the order stands so."""
    for _ in range(20):
        if [state] == await states(world):
            return
        world.clock.forward(hours=1)
        for work in await lease(world):
            await record(world, work, await on.provider.call(work.call))
        await asyncio.sleep(0.02)
    raise AssertionError(await states(world))


@pytest.mark.parametrize("temper", TEMPERS)
async def test_uses_end_as_the_provider_has_them(world: World, temper: Behaviour) -> None:
    """Lost, forged and strange answers are asked about; each thing is done once."""
    await provider_can(
        world, two_phase=True, redeem_by=RedeemBy.US, reverse=True, callbacks=Callbacks.NONE
    )
    member = await holder(world, "LOUNGE")
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    async with stage(temper, deadline_s=0.25, callback_after_s=0.01, hang_s=0.5) as on:
        await until(world, on, "CONFIRMED")
        first = await ask(world, use(claim_id))
        await until(world, on, "REDEEMED")
        assert (0, 0) == await wallet(world, member, "LOUNGE")
        await ask(world, undo(claim_id, first.ids["redemption_id"]))
        await until(world, on, "CONFIRMED")
        assert (0, 1) == await wallet(world, member, "LOUNGE")
        await ask(world, use(claim_id))
        await until(world, on, "REDEEMED")
        _, book = await on.get("/desk/orders")
    ((number, status),) = [(order["number"], order["status"]) for order in book["orders"]]
    assert (await number_of(world, claim_id), "redeemed") == (number, status)
    calls = await world.rows(
        "SELECT DISTINCT request_id, operation FROM provider_attempt WHERE operation <> 'QUERY'"
    )
    once = {Operation.ISSUE, Operation.CONFIRM, Operation.REVERSE}
    assert {each.value for each in once} | {"REDEEM"} == {row.operation for row in calls}
    assert len(once) + 2 == len(calls)
    assert [] == await world.findings()
