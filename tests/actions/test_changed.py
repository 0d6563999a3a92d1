"""A request is not sent, nor asked about, that would not say what it said at first (V-3)."""

from typing import Any

import pytest

from benefits.domain.orders import Done, Operation, Unknown
from tests.actions.life import (
    change,
    claimed,
    counter,
    give_up_unheard,
    holder,
    lapse_holds,
    lease,
    number_of,
    record,
    states,
    tell,
    wallet,
    wish,
    work_off,
)
from tests.actions.test_rests import cases
from tests.builders import NOON, World

SWAP = """
UPDATE provider_request AS r SET body_sealed = o.body_sealed FROM provider_request AS o
WHERE o.request_id <> r.request_id
"""


async def two_orders(world: World) -> list[Any]:
    """Return two members with an order each, for somebody else."""
    members = [await holder(world) for _ in range(2)]
    for number, member in enumerate(members):
        await claimed(world, wish(member, recipient={"phone": f"1380000000{number}"}))
    return members


async def test_what_was_changed_before_it_left_never_leaves(world: World) -> None:
    """A person is told at once; after a day it lapses, and the units are back."""
    members = await two_orders(world)
    await change(world, SWAP)
    assert [] == await lease(world)
    assert ["HELD"] * 2 == await states(world)
    assert [("request_changed", False)] * 2 == await cases(world)
    tries = await world.rows("SELECT outcome, evidence FROM provider_attempt")
    assert {("not_sent", "what is kept of the request is not what it was, not sent")} == {*tries}
    details = [row.detail for row in await world.rows("SELECT detail FROM case_file")]
    assert ["ISSUE: what is kept of it is not what it was. Nothing is sent."] * 2 == details
    world.clock.forward(days=1)
    await lapse_holds(world)
    assert (["EXPIRED"] * 2, [(1, 0)] * 2) == (
        await states(world),
        [await wallet(world, member) for member in members],
    )
    assert ((0, 0), []) == (await counter(world, "budget:video"), await world.findings())


async def test_of_what_may_have_left_nobody_is_asked_with_other_words(world: World) -> None:
    """No question names another recipient; a person has it, and as it was it goes on."""
    await two_orders(world)
    for work in await lease(world):
        await record(world, work, Unknown("timeout"))
    await change(world, SWAP)
    for _ in range(3):
        world.clock.forward(hours=12)
        assert [] == await lease(world)
    assert ["UNKNOWN"] * 2 == await states(world)
    world.clock.forward(days=3)
    await give_up_unheard(world)
    assert ["MANUAL"] * 2 == await states(world)
    assert 4 == len(await cases(world))
    await change(world, SWAP)
    for work in await lease(world):
        assert Operation.QUERY is work.call.operation
        await record(world, work, Done(at=NOON))
    assert (["ISSUED"] * 2, []) == (await states(world), await world.findings())


@pytest.mark.parametrize("column", ["body_hash", "body_sealed"])
async def test_either_side_of_it_counts(world: World, column: str) -> None:
    """Whichever of the two was changed, the request and its hash differ."""
    await two_orders(world)
    await change(world, SWAP.replace("body_sealed", column))
    assert [] == await lease(world)
    await change(world, SWAP.replace("body_sealed", column))
    world.clock.forward(minutes=10)
    numbers = {work.call.number for work in await lease(world)}
    ids = [row.claim_id for row in await world.rows("SELECT claim_id FROM claim")]
    assert {await number_of(world, id_) for id_ in ids} == numbers


TURN = """
UPDATE {table} SET {column} = set_byte({column}, {at}, get_byte({column}, {at}) # 1)
WHERE {key} = (SELECT {key} FROM {table} ORDER BY 1 LIMIT 1)
"""
TRIED = "SELECT outcome, evidence FROM provider_attempt"
SHUT = "what is kept of the request opens with none of the keys, not sent"


async def test_what_no_key_opens_waits_and_keeps_nobody_back(world: World) -> None:
    """A process whose key has not come yet sends the others; no question is used up (V-3)."""
    await two_orders(world)
    shut = {"table": "provider_request", "column": "body_sealed", "key": "request_id", "at": 2}
    await change(world, TURN, **shut)
    (work,) = await lease(world)
    await record(world, work, Done(at=NOON))
    assert (["HELD", "ISSUED"], []) == (sorted(await states(world)), await cases(world))
    assert {("not_sent", SHUT), ("done", "")} == {*map(tuple, await world.rows(TRIED))}
    await change(world, TURN, **shut)
    world.clock.forward(seconds=5)
    (work,) = await lease(world)
    assert Operation.ISSUE is work.call.operation
    await record(world, work, Unknown("timeout"))
    await change(world, TURN.replace("ORDER", "WHERE next_at IS NOT NULL ORDER"), **shut)
    world.clock.forward(seconds=15)
    assert [] == await lease(world)
    assert [(0,)] == [*map(tuple, await world.rows("SELECT max(queries) FROM provider_request"))]
    assert (["ISSUED", "UNKNOWN"], []) == (sorted(await states(world)), await cases(world))


async def test_what_is_damaged_keeps_nobody_back(world: World) -> None:
    """It is not what it was: a person is told, and the others are sent (V-3)."""
    await two_orders(world)
    damaged = {"table": "provider_request", "column": "body_sealed", "key": "request_id"}
    await change(world, TURN, **damaged, at=40)
    assert 1 == len(await lease(world))
    assert [("request_changed", False)] == await cases(world)


async def test_a_callback_that_no_key_opens_waits_for_its_key(world: World) -> None:
    """The others are applied; nobody is told, for nothing is wrong with it (V-4)."""
    await two_orders(world)
    ids = [row.claim_id for row in await world.rows("SELECT claim_id FROM claim")]
    for id_ in ids:
        await tell(world, await number_of(world, id_), Done(at=NOON))
    shut = {"table": "inbox", "column": "notice_sealed", "key": "event_id", "at": 2}
    await change(world, TURN, **shut)
    assert [1, 0] == [await work_off(world) for _ in range(2)]
    assert (["HELD", "ISSUED"], []) == (sorted(await states(world)), await cases(world))
    await change(world, TURN, **shut)
    world.clock.forward(seconds=10)
    assert (1, ["ISSUED"] * 2) == (await work_off(world), await states(world))
    assert ([], []) == (await cases(world), await world.findings())
