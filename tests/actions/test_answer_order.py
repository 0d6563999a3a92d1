"""Orders that nobody could clear up by asking: two people say how they ended (V-3, X-2)."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from benefits.actions import receive
from benefits.actions.agree import Decide
from benefits.actions.enact import Proposals
from benefits.actions.keyed import Accepted
from benefits.actions.retry_order import RetryOrder, retry
from benefits.domain.benefit import Consumed
from benefits.domain.booking import Booking
from benefits.domain.orders import (
    Confirmed,
    Done,
    Operation,
    Pending,
    QueryBy,
    Reason,
    RedeemBy,
    Rejected,
    Unknown,
)
from benefits.domain.proposals import OrderWanted
from tests.actions.agreeing import answer, ask, seen
from tests.actions.life import (
    EVERYWHERE,
    call_back,
    claimed,
    counter,
    holder,
    lease,
    number_of,
    provider_can,
    record,
    states,
    tell,
    wallet,
    wish,
    work_off,
)
from tests.actions.test_bookings import TIME, bookable, booked, give_up
from tests.actions.test_races import waiting
from tests.actions.test_redeem import answered, end_uses
from tests.builders import NOON, World

NO = Rejected(Reason.LIMIT, "limit")
DONE = Done(at=NOON, reference="R1")


async def manual(world: World, benefit: str = "VIDEO", quantity: int = 1) -> tuple[UUID, str]:
    """Claim what the provider never answers, until nobody asks on; return member and number."""
    await provider_can(world, query_schedule_s=(15,))
    member = await holder(world, benefit, quantity)
    (claim_id,) = await claimed(world, wish(member, benefit, quantity=quantity))
    for _ in range(2):
        world.clock.forward(minutes=2)
        for work in await lease(world):
            await record(world, work, Unknown("no answer"))
    return member, await number_of(world, claim_id)


def delivered(number: str, **more: Any) -> OrderWanted:
    """Return what says that an order was delivered."""
    return OrderWanted(number=number, delivered=True, evidence="Mail of 4 July.", **more)


async def cases(world: World) -> list[tuple[str, str, str]]:
    """Return kind, who closed it and with which words, of all cases, the oldest first."""
    found = await world.rows(
        "SELECT kind, closed_by, note FROM case_file ORDER BY opened_at, kind"
    )
    return [tuple(row) for row in found]


CLOSED = ("no_answer", "checker", "Proposed by maker: Mail of 4 July.")


async def test_two_people_say_that_an_order_was_delivered(world: World) -> None:
    """It ends as by its provider's answer, and its case with it; later ones count as ever."""
    member, number = await manual(world)
    assert (["MANUAL"], (0, 1)) == (await states(world), await wallet(world, member))
    asked = await ask(world, delivered(number, reference="T-1"))
    effect = (await seen(world, asked)).effect
    assert ("ISSUED", "CAPTURE", 1500) == tuple(
        effect[name] for name in ("state", "units", "cost_minor")
    )
    assert "same_person" == await answer(world, asked, by="maker")
    assert (["MANUAL"], [("no_answer", "", "")]) == (await states(world), await cases(world))
    assert "ok" == await answer(world, asked)
    assert (["ISSUED"], (0, 0)) == (await states(world), await wallet(world, member))
    assert "ISSUED" == (await seen(world, asked)).result
    assert (0, 1500) == await counter(world, "budget:video")
    ((reference,),) = await world.rows("SELECT provider_reference FROM claim")
    assert "T-1" == reference
    await call_back(world, number, NO, DONE)
    assert ["ISSUED"] == await states(world)
    assert [CLOSED, ("failed_after_success", "", "")] == await cases(world)
    told = await world.rows("SELECT type FROM outbox WHERE type LIKE 'case.%' ORDER BY seq")
    assert ["case.opened", "case.closed", "case.opened"] == [row.type for row in told]
    assert "order_unfit" == await ask(world, delivered(number))
    assert "unknown_order" == await ask(world, delivered("0" * 32))
    assert [] == await world.findings()


async def test_no_two_orders_are_given_one_reference(world: World) -> None:
    """V-4: a callback that names nothing else would be of neither; nor between the two words."""
    _, first = await manual(world)
    _, second = await manual(world)
    asked = await ask(world, delivered(second, reference="T-1"))
    assert "ok" == await answer(world, await ask(world, delivered(first, reference="T-1")))
    assert "proposal_stale" == await answer(world, asked)
    assert "proposal_invalid" == await ask(world, delivered(second, reference="T-1"))
    assert "ok" == await answer(world, await ask(world, delivered(second, reference="T-2")))


async def test_an_answer_that_comes_meanwhile_makes_it_stale(world: World) -> None:
    """Whoever waits for the member sees what was told first; the case ended with that."""
    _, number = await manual(world)
    asked = await ask(world, delivered(number))
    await tell(world, number, DONE)
    async with world.database.transaction() as conn:
        assert 1 == await receive.work_off(conn, world.parts, buckets=EVERYWHERE, limit=1)
        task = await waiting(answer(world, asked))
    assert "proposal_stale" == await task
    assert [("no_answer", "provider:sandbox", "The order was answered.")] == await cases(world)
    assert [] == await world.findings()


async def test_an_answer_that_comes_second_is_weighed_after_the_approval(world: World) -> None:
    """A callback whose member an approval holds waits on, and then contradicts what stands."""
    _, number = await manual(world)
    asked = await seen(world, await ask(world, delivered(number)))
    world.clock.forward(minutes=1)
    await tell(world, number, NO)
    said = Decide(caller="checker", key="k", proposal_id=asked.proposal_id, digest=asked.digest)
    async with world.database.transaction() as conn:
        assert isinstance(await Proposals(conn, world.parts).decide(said), Accepted)
        assert 0 == await work_off(world)
    assert (1, ["ISSUED"]) == (await work_off(world), await states(world))
    assert [CLOSED, ("failed_after_success", "", "")] == await cases(world)
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("back", "consumed"), [(True, Consumed.ISSUE), (True, Consumed.USE), (False, Consumed.USE)]
)
async def test_two_people_say_whether_what_was_given_up_was_taken_back(
    world: World, consumed: Consumed, *, back: bool
) -> None:
    """Once nobody asks about it any more: it comes back, or stands, and can be missed (V-10)."""
    can = {"query_schedule_s": (60,), "redeem_by": RedeemBy.US}
    booking = Booking(free_cancel_hours=48)
    member = await bookable(world, booking, can=can, consumed=consumed)
    claim_id = await booked(world, member)
    number = await number_of(world, claim_id)
    await answered(world, Done(at=world.clock.now))
    word = delivered(number, taken_back=back)
    assert "ok" == await give_up(world, claim_id)
    assert "order_unfit" == await ask(world, word)
    await answered(world, Unknown("timeout"))
    asked = await ask(world, word)
    effect = (await seen(world, asked)).effect
    units = {Consumed.ISSUE: "RETURN", Consumed.USE: "RELEASE"}[consumed] if back else "NONE"
    state = "REVOKED" if back else "ISSUED"
    assert (state, units, 3800) == tuple(effect[name] for name in ("state", "units", "cost_minor"))
    assert "ok" == await answer(world, asked)
    assert [("revoke_unanswered", "checker", CLOSED[2])] == await cases(world)
    assert (back, [state]) == ((1, 0) == await wallet(world, member, "SPA"), await states(world))
    world.clock.now = TIME + timedelta(days=9)
    assert ("order_unfit", 0 if back else 1) == (await ask(world, word), await end_uses(world))
    assert [] == await world.findings()


async def test_a_retry_confirms_what_was_set_aside(world: World) -> None:
    """Where nobody had answered the confirmation it is asked about, and confirmed again (V-2)."""
    await provider_can(world, query_schedule_s=(15, 15), two_phase=True)
    member = await holder(world)
    await claimed(world, wish(member))
    (work,) = await lease(world)
    await record(world, work, DONE)
    for _ in range(4):
        world.clock.forward(minutes=2)
        for work in await lease(world):
            await record(world, work, Unknown("no answer"))
    assert ["MANUAL"] == await states(world)
    ((request_id,),) = await world.rows(
        "SELECT request_id FROM provider_request WHERE operation = 'ISSUE'"
    )
    async with world.database.transaction() as conn:
        await retry(conn, RetryOrder(caller="op", request_id=request_id), world.parts)
    for _ in range(4):
        world.clock.forward(seconds=15)
        for work in await lease(world):
            confirms = work.call.operation is Operation.CONFIRM
            await record(world, work, Confirmed(at=world.clock.now) if confirms else DONE)
    assert ["CONFIRMED"] == await states(world)
    assert [] == await world.findings()


async def test_a_word_is_old_once_the_order_is_sent_again(world: World) -> None:
    """What was not delivered yesterday may be by a retry of today; nor is it said meanwhile."""
    await provider_can(world, query_schedule_s=(15,), query=QueryBy.NONE)
    member = await holder(world)
    (claim_id,) = await claimed(world, wish(member))
    number = await number_of(world, claim_id)
    for _ in range(2):
        world.clock.forward(minutes=2)
        for work in await lease(world):
            await record(world, work, Unknown("no answer"))
    assert ["MANUAL"] == await states(world)
    no = OrderWanted(number=number, delivered=False, evidence="Ticket 88.")
    old = await ask(world, no)
    assert 2 == (await seen(world, old)).effect["sent"]
    async with world.database.transaction() as conn:
        await retry(conn, RetryOrder(caller="op", request_id=UUID(number)), world.parts)
    (work,) = await lease(world)
    assert "order_unfit" == await ask(world, no)
    assert "proposal_stale" == await answer(world, old)
    await record(world, work, Pending())
    assert "proposal_stale" == await answer(world, old)
    assert (["MANUAL"], (0, 1)) == (await states(world), await wallet(world, member))
    assert "ok" == await answer(world, await ask(world, delivered(number)))
    assert ["ISSUED"] == await states(world)
