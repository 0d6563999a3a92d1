"""Orders whose provider cannot be called at all: in the end they are a person's (V-3)."""

from datetime import timedelta
from uuid import UUID

import pytest

from benefits.actions import expire
from benefits.actions.retry_order import RetryOrder, retry
from benefits.domain.booking import Booking
from benefits.domain.orders import (
    Done,
    NotSent,
    Operation,
    Outcome,
    Pending,
    RedeemBy,
    Unknown,
    patience,
)
from tests.actions.life import (
    EVERYWHERE,
    claimed,
    counter,
    give_up_unheard,
    holder,
    lease,
    number_of,
    provider_can,
    record,
    said,
    states,
    wallet,
    wish,
)
from tests.actions.test_bookings import bookable, booked, give_up
from tests.actions.test_redeem import answered, ask, use
from tests.builders import NOON, World, reference_programme

UNREACHABLE = NotSent("no route")
PATIENCE = patience(reference_programme().provider[0].capabilities)
MOMENT = timedelta(microseconds=1)


async def cases(world: World) -> list[tuple[str, bool]]:
    """Return the kinds of all cases, and whether they are closed."""
    found = await world.rows("SELECT kind, closed_at FROM case_file ORDER BY opened_at, kind")
    return [(row.kind, row.closed_at is not None) for row in found]


@pytest.mark.parametrize(
    ("before", "two_phase"),
    [(Unknown("timeout"), False), (Pending("R1"), False), (Done(NOON), True)],
)
async def test_who_cannot_be_asked_is_not_asked_for_ever(
    world: World, before: Outcome, *, two_phase: bool
) -> None:
    """Its time is that of the whole schedule; nor is a confirmation tried without end (V-2)."""
    await provider_can(world, two_phase=two_phase)
    member = await holder(world)
    await claimed(world, wish(member))
    (work,) = await lease(world)
    await record(world, work, before)
    until = world.clock.now + PATIENCE + timedelta(hours=6)
    while "MANUAL" not in await states(world):
        assert [] == await cases(world)
        assert world.clock.now < until
        world.clock.forward(hours=6)
        for _ in range(1 + two_phase):  # of one lane, one after the other
            (work,) = await lease(world)
            await record(world, work, UNREACHABLE)
    assert [("no_answer", False)] == await cases(world)
    assert [] == await lease(world)


async def test_a_person_has_it_asked_through_the_whole_schedule_again(world: World) -> None:
    """Each question has its place in it then, also one that never left (V-3)."""
    await provider_can(world, query_schedule_s=(15, 30, 60))
    member = await holder(world)
    (claim_id,) = await claimed(world, wish(member))
    (work,) = await lease(world)
    await record(world, work, Unknown("timeout"))
    world.clock.forward(days=1)
    assert (1, 0) == await give_up_unheard(world)
    again = RetryOrder(caller="ops", request_id=UUID(await number_of(world, claim_id)), whole=True)
    async with world.database.transaction() as conn:
        await retry(conn, again, world.parts)
    for _ in range(3):
        (work,) = await lease(world)
        await record(world, work, UNREACHABLE)
        world.clock.forward(seconds=61)
    assert ([], ["MANUAL"]) == (await lease(world), await states(world))


async def test_what_waits_behind_a_pause_becomes_a_persons_and_waits_on(world: World) -> None:
    """Once, page by page, by its last news; the answer that comes after all closes its case."""
    members = [await holder(world) for _ in range(2)]
    await claimed(world, *(wish(one) for one in members))
    for work in await lease(world):
        await record(world, work, Unknown("timeout"))
    world.clock.now += PATIENCE - MOMENT
    assert (0, 0) == await give_up_unheard(world)
    world.clock.forward(microseconds=1)
    assert 2 == (await expire.due(world.database, world.parts, buckets=EVERYWHERE)).claims
    sweep = expire.sweep(world.database, world.parts, buckets=EVERYWHERE)
    *_, last = [swept async for swept in sweep]
    assert (2, (0, 0)) == (last.claims, await give_up_unheard(world))
    assert (["MANUAL"] * 2, [("no_answer", False)] * 2) == (
        await states(world),
        await cases(world),
    )
    assert (3000, 0) == await counter(world, "budget:video")
    for work in await lease(world):
        assert Operation.QUERY is work.call.operation
        await record(world, work, Done(at=world.clock.now))
    assert (["ISSUED"] * 2, [("no_answer", True)] * 2) == (
        await states(world),
        await cases(world),
    )
    assert [] == await world.findings()


async def test_what_was_given_up_at_who_cannot_be_called_is_a_persons(world: World) -> None:
    """Whether it was tried or stood behind a pause: it may be given up anew (V-10)."""
    member = await bookable(world, Booking(free_cancel_hours=48))
    claim_id = await booked(world, member)
    await answered(world, Done(at=world.clock.now))
    for tried in (True, False):
        assert "ok" == await give_up(world, claim_id)
        world.clock.now += PATIENCE
        if tried:
            assert Operation.REVOKE is await answered(world, UNREACHABLE)
        assert (0, 0 if tried else 1) == await give_up_unheard(world)
        assert [("revoke_unanswered", False)] == await cases(world)
        asked = await world.rows(
            "SELECT FROM provider_request WHERE operation = 'REVOKE' AND next_at IS NOT NULL"
        )
        assert [] == asked
    assert (0, 1) == await wallet(world, member, "SPA")
    assert [] == await world.findings()


async def test_a_use_that_waits_behind_a_pause_is_not_told_for_ever(world: World) -> None:
    """What never left is told no more, after a day at least; of the other a person is told."""
    await provider_can(world, redeem_by=RedeemBy.US, query_schedule_s=(15, 15))
    ids = await claimed(world, *[wish(await holder(world), "VIDEO") for _ in range(2)])
    for work in await lease(world):
        await record(world, work, Done(at=world.clock.now))
    assert "ok" == said(await ask(world, use(ids[0])))
    (work,) = await lease(world)
    await record(world, work, Unknown("timeout"))
    assert "ok" == said(await ask(world, use(ids[1])))
    world.clock.forward(hours=2)
    assert (0, 1) == await give_up_unheard(world)
    assert [("redeem_unanswered", False)] == await cases(world)
    world.clock.forward(hours=22)
    assert [(0, 1), (0, 0)] == [await give_up_unheard(world) for _ in range(2)]
    assert [("redeem_unanswered", False)] == await cases(world)
    found = await world.rows("SELECT verdict FROM provider_request WHERE operation = 'REDEEM'")
    assert {"", "not_sent"} == {row.verdict for row in found}
    assert [] == await world.findings()
