"""The rest of an order that came in part: who pays for it, until when it is asked for (V-5)."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions import expire
from benefits.actions.deliver import Work
from benefits.actions.retry_order import OrderEnded, RetryOrder, retry
from benefits.domain.orders import (
    Confirmed,
    Done,
    Expired,
    NotSent,
    Operation,
    Outcome,
    Reason,
    RedeemBy,
    Rejected,
    Unknown,
    Used,
    patience,
)
from benefits.domain.proposals import OrderWanted
from tests.actions.agreeing import answer, ask, seen
from tests.actions.life import (
    EVERYWHERE,
    call_back,
    claimed,
    counter,
    gift,
    give,
    lease,
    number_of,
    provider_can,
    record,
    states,
    wallet,
    wish,
)
from tests.actions.merging import merged, sweep
from tests.actions.test_pieces import ALL, ONE, TWO, films, ordered, stands
from tests.builders import NOON, World, reference_programme

UNREACHABLE, SILENCE = NotSent("no route"), Unknown("timeout")
SOLD_OUT = Rejected(Reason.STOCK_OUT, "sold_out")
PATIENCE = patience(reference_programme().provider[0].capabilities)
LOST = "SELECT coalesce(sum(amount), 0)::int AS n FROM posting WHERE credit = 'loss'"


async def cases(world: World) -> list[tuple[str, bool]]:
    """Return the kinds of all cases, and whether they are closed."""
    found = await world.rows("SELECT kind, closed_at FROM case_file ORDER BY opened_at, kind")
    return [(row.kind, row.closed_at is not None) for row in found]


async def lost(world: World) -> int:
    """Return what the bank bears: units, and money of their providers."""
    return int((await world.rows(LOST))[0].n)


async def a_part(world: World, told: Outcome = ONE) -> tuple[UUID, UUID]:
    """Return a member of whose three visits one came by the answer, and the claim."""
    member, claim_id = await ordered(world, "LOUNGE")
    (work,) = await lease(world)
    await record(world, work, told)
    return member, claim_id


async def test_the_rest_takes_the_units_of_whom_the_member_counts_for_now(world: World) -> None:
    """They went on with the merger, and so did who ordered: nobody bears anything (T-10, V-4)."""
    a, b = await world.members(2)
    await give(world, gift(b, "LOUNGE", quantity=3))
    (claim_id,) = await claimed(world, wish(b, "LOUNGE", quantity=3))
    number = await number_of(world, claim_id)
    await call_back(world, number, ONE)
    await merged(world, b, a)
    assert [(2, 0), (0, 1)] == [await wallet(world, each, "LOUNGE") for each in (a, b)]
    await call_back(world, number, ALL)
    assert ("ISSUED", 3, 0) == await stands(world, claim_id)
    assert [(0, 0), (0, 3)] == [await wallet(world, each, "LOUNGE") for each in (a, b)]
    assert ([], 0) == (await cases(world), await lost(world))
    assert (3 * 3800, 0) == await counter(world, "budget:lounge")
    assert [] == await world.findings()


async def test_what_is_told_after_the_merger_comes_back_to_who_goes_on(world: World) -> None:
    """A part first, then the rest; what the member spent meanwhile is the bank's (G-CB-4)."""
    a, b = await world.members(2)
    await give(world, gift(b, "LOUNGE", quantity=3), gift(a, "LOUNGE"))
    (claim_id,) = await claimed(world, wish(b, "LOUNGE", quantity=3))
    await merged(world, b, a)
    number = await number_of(world, claim_id)
    await call_back(world, number, ONE)
    await sweep(world)
    assert (3, 0) == await wallet(world, a, "LOUNGE")
    await claimed(world, wish(a, "LOUNGE", quantity=2))
    await call_back(world, number, Done(at=NOON, delivered=2))
    assert ("ISSUED", 2, 1) == await stands(world, claim_id)
    assert (0, 2) == await wallet(world, a, "LOUNGE")
    await call_back(world, number, ALL)
    assert ("ISSUED", 2, 0) == await stands(world, claim_id)
    assert [("delivered_without_entitlement", False)] == await cases(world)
    assert 1 + 3800 == await lost(world)
    assert [] == await world.findings()


@pytest.mark.parametrize("heard", [UNREACHABLE, SILENCE])
async def test_a_rest_that_is_never_answered_becomes_a_persons(
    world: World, heard: Outcome
) -> None:
    """Its time is that of the whole schedule; what came stays, and its word still counts (V-3)."""
    member, claim_id = await a_part(world)
    until = world.clock.now + PATIENCE + timedelta(hours=30)
    while not await cases(world):
        assert world.clock.now < until
        world.clock.forward(hours=6)
        for work in await lease(world):
            assert Operation.QUERY is work.call.operation
            await record(world, work, heard)
    assert [("rest_unanswered", False)] == await cases(world)
    assert ("ISSUED", 1, 2) == await stands(world, claim_id)
    await call_back(world, await number_of(world, claim_id), ALL)
    assert (("ISSUED", 3, 0), (0, 3)) == (
        await stands(world, claim_id),
        await wallet(world, member, "LOUNGE"),
    )
    assert [("rest_unanswered", True)] == await cases(world)
    assert [] == await world.findings()


async def give_up_rests(world: World) -> int:
    """Leave to people what never came of orders; return how many there were."""
    async with world.database.transaction() as conn:
        asked: dict[str, Any] = {"buckets": EVERYWHERE, "limit": 1000}
        return (await expire.give_up_rests(conn, world.parts, **asked)).seen


async def test_a_rest_behind_a_pause_is_found_once(world: World) -> None:
    """By the instant that it is asked for until; whoever waits for its provider waits on (V-3)."""
    await provider_can(world, query_schedule_s=(15, 30))
    await a_part(world)
    world.clock.now += timedelta(seconds=45, hours=1) - timedelta(microseconds=1)
    assert (0, []) == (await give_up_rests(world), await cases(world))
    world.clock.forward(microseconds=1)
    assert 1 == (await expire.due(world.database, world.parts, buckets=EVERYWHERE)).claims
    assert [1, 0] == [await give_up_rests(world) for _ in range(2)]
    assert [("rest_unanswered", False)] == await cases(world)
    (work,) = await lease(world)
    await record(world, work, ONE)
    assert [("rest_unanswered", True)] == await cases(world)
    assert (["ISSUED"], []) == (await states(world), await world.findings())


async def ask_again(world: World, claim_id: UUID) -> None:
    """Let an operator have an order tried at once."""
    command = RetryOrder(caller="ops", request_id=UUID(await number_of(world, claim_id)))
    async with world.database.transaction() as conn:
        await retry(conn, command, world.parts)


async def test_a_person_has_the_rest_asked_for_again(world: World) -> None:
    """Through the whole schedule; of what came whole there is nothing to ask (V-3)."""
    await provider_can(world, query_schedule_s=(15, 30))
    member, claim_id = await a_part(world)
    world.clock.forward(days=1)
    await give_up_rests(world)
    await ask_again(world, claim_id)
    for told in (SILENCE, ONE):
        (work,) = await lease(world)
        assert Operation.QUERY is work.call.operation
        await record(world, work, told)
        world.clock.forward(seconds=30)
    (work,) = await lease(world)
    await record(world, work, ALL)
    assert ("ISSUED", 3, 0) == await stands(world, claim_id)
    with pytest.raises(OrderEnded):
        await ask_again(world, await once(world, member))


async def test_what_comes_after_the_end_a_person_looks_at(world: World) -> None:
    """The order is of the pieces that had come by then; how many more is told (V-5)."""
    member, claim_id = await a_part(world)
    number = await number_of(world, claim_id)
    await call_back(world, number, Expired(at=NOON, delivered=1), SILENCE)
    assert (("EXPIRED", 1, 2), []) == (await stands(world, claim_id), await cases(world))
    late = Used(at=NOON + timedelta(hours=1), delivered=3)
    await call_back(world, number, late, late)
    assert (("REDEEMED", 1, 2), (2, 0)) == (
        await stands(world, claim_id),
        await wallet(world, member, "LOUNGE"),
    )
    assert [("used_after_expired", False)] == await cases(world)
    assert [] == await world.findings()


@pytest.mark.parametrize("came", [None, 1])
async def test_uses_alone_say_nothing_of_the_rest(world: World, came: int | None) -> None:
    """A person is told, unless it is said with them to the end how many came (V-5)."""
    await provider_can(world, query_schedule_s=(15, 30))
    _, claim_id = await a_part(world)
    for _ in range(3):
        world.clock.forward(seconds=30)
        for work in await lease(world):
            await record(world, work, Used(at=NOON, delivered=came))
    assert ("REDEEMED", 1, 2) == await stands(world, claim_id)
    assert ([] if came else [("rest_unanswered", False)]) == await cases(world)
    assert [] == await world.findings()


@pytest.mark.parametrize("two_phase", [False, True])
@pytest.mark.parametrize("benefit", ["LOUNGE", "VIDEO"])
@pytest.mark.parametrize("comes", [True, False])
async def test_two_people_say_what_became_of_the_rest(
    world: World, benefit: str, *, comes: bool, two_phase: bool
) -> None:
    """Once nobody asks for it: all of it came, or none will; the case ends with that (V-3)."""
    await films(world, query_schedule_s=(15, 30), two_phase=two_phase)
    member, claim_id = await ordered(world, benefit)
    number = await number_of(world, claim_id)
    first = [Confirmed(at=NOON, delivered=1)] if two_phase else [ONE]
    await call_back(world, number, *first)
    shown: dict[str, Any] = {"evidence": "Mail of 4 July.", "reference": "T-1" if comes else ""}
    word = OrderWanted(number=number, delivered=comes, **shown)
    assert "order_unfit" == await ask(world, word)
    world.clock.forward(days=1)
    await give_up_rests(world)
    for no in ({"used": 1}, {"taken_back": True, "reference": ""}):
        wrong = msgspec.structs.replace(word, delivered=True, **no)
        assert "proposal_invalid" == await ask(world, wrong)
    proposed = await ask(world, word)
    effect = (await seen(world, proposed)).effect
    state, cost = "CONFIRMED" if two_phase else "ISSUED", {"LOUNGE": 3800, "VIDEO": 1500}[benefit]
    moved = "REISSUE_AND_CAPTURE" if benefit == "VIDEO" else "REISSUE"
    expected = (state, moved, 3, 2 * cost) if comes else (state, "NONE", 1, cost)
    names = ("state", "units", "quantity", "cost_minor")
    assert expected == tuple(effect[name] for name in names)
    assert "ok" == await answer(world, proposed)
    assert ((state, 3, 0) if comes else (state, 1, 2)) == await stands(world, claim_id)
    held = 0 if benefit == "VIDEO" else 3 if comes else 1
    assert (0 if comes else 2, held) == await wallet(world, member, benefit)
    assert [("rest_unanswered", True)] == await cases(world)
    await call_back(world, number, Confirmed(at=NOON) if two_phase else ALL)
    assert (state, 3, 0) == await stands(world, claim_id)
    assert "order_unfit" == await ask(world, word)
    assert [] == await world.findings()


async def once(world: World, member: UUID) -> UUID:
    """Return a claim of the member that was delivered whole."""
    await give(world, gift(member, "LOUNGE"))
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    await call_back(world, await number_of(world, claim_id), Done(at=NOON))
    return claim_id


@pytest.mark.parametrize("redeem_by", [RedeemBy.PROVIDER, RedeemBy.ON_ISSUE, RedeemBy.US])
async def test_each_part_has_the_rest_asked_for_anew(world: World, redeem_by: RedeemBy) -> None:
    """Through the whole schedule, however late in it the part came, and by which way (V-5)."""
    await provider_can(world, query_schedule_s=(15, 30), redeem_by=redeem_by)
    _, claim_id = await a_part(world, SILENCE)
    for told in (SILENCE, ONE, ONE, TWO, TWO):
        assert [] == await cases(world)
        world.clock.forward(seconds=30)
        (work,) = await lease(world)
        assert Operation.QUERY is work.call.operation
        await record(world, work, told)
    world.clock.forward(seconds=30)
    (work,) = await lease(world)
    await record(world, work, ALL)
    assert 3 == (await stands(world, claim_id))[1]
    assert ([], []) == (await cases(world), await world.findings())


async def test_a_part_that_comes_to_a_person_has_the_rest_asked_for(world: World) -> None:
    """Though nobody asked any more, and what came was used as it came (V-3, V-5)."""
    await provider_can(world, query_schedule_s=(15,), redeem_by=RedeemBy.ON_ISSUE)
    _, claim_id = await a_part(world, SILENCE)
    world.clock.forward(seconds=30)
    (work,) = await lease(world)
    await record(world, work, SILENCE)
    assert (["MANUAL"], []) == (await states(world), await lease(world))
    await call_back(world, await number_of(world, claim_id), ONE)
    assert ("REDEEMED", 1, 2) == await stands(world, claim_id)
    world.clock.forward(seconds=30)
    (work,) = await lease(world)
    await record(world, work, ALL)
    assert ("REDEEMED", 3, 0) == await stands(world, claim_id)
    assert [] == await world.findings()


async def asked(world: World, own: str, told: Outcome) -> Work:
    """Answer all other calls until something is asked under a number; return that call."""
    for _ in range(20):
        for work in await lease(world):
            if work.call.own == own:
                return work
            await record(world, work, told)
        world.clock.forward(seconds=30)
    raise AssertionError("nobody asks")


async def test_what_is_set_aside_without_units_is_a_loss_once_it_is_confirmed(
    world: World,
) -> None:
    """Never before, for it may not come; and then once, whatever is told again (V-2, G-CB-4)."""
    await provider_can(world, two_phase=True)
    for end in (Confirmed(at=NOON), SOLD_OUT):
        before = await lost(world)
        member, claim_id = await ordered(world, "LOUNGE")
        number = await number_of(world, claim_id)
        await call_back(world, number, ONE)
        await claimed(world, wish(member, "LOUNGE", quantity=2))
        await call_back(world, number, ALL, ALL)
        assert ("PENDING", 1, 2) == await stands(world, claim_id)
        assert before == await lost(world)
        await call_back(world, number, end, end, ALL)
        is_confirmed = isinstance(end, Confirmed)
        expected = ("CONFIRMED", 1, 0) if is_confirmed else ("COMPENSATED", 1, 0)
        assert expected[0] == (await stands(world, claim_id))[0]
        assert before + (2 + 2 * 3800 if is_confirmed else 0) == await lost(world)
    assert [("delivered_without_entitlement", False)] == await cases(world)
    assert [] == await world.findings()


async def test_what_is_confirmed_is_all_of_it_unless_its_provider_says_less(world: World) -> None:
    """Whatever we heard of it before: a call whose answer was lost set the rest aside (V-5)."""
    await provider_can(world, two_phase=True)
    for confirmed, end in (
        (Confirmed(at=NOON), ("CONFIRMED", 3, 0)),
        (Confirmed(at=NOON, delivered=1), ("CONFIRMED", 1, 2)),
        (Confirmed(at=NOON, delivered=2), ("CONFIRMED", 2, 1)),
    ):
        _, claim_id = await ordered(world, "LOUNGE")
        await call_back(world, await number_of(world, claim_id), ONE, confirmed)
        assert end == await stands(world, claim_id)
    assert ([], []) == (await cases(world), await world.findings())


async def test_less_may_be_confirmed_than_was_set_aside(world: World) -> None:
    """Nobody is charged for what was not; nor where its units had come back meanwhile (V-2)."""
    await provider_can(world, two_phase=True)
    one, two = Confirmed(at=NOON, delivered=1), Confirmed(at=NOON, delivered=2)
    lives: list[tuple[list[Outcome], int]] = [
        ([TWO, one], 1),
        ([ALL, two], 2),
        ([TWO, SOLD_OUT, one], 1),
        ([TWO, one, two], 2),
        ([TWO, two, one], 2),
        ([TWO, one, ALL, Confirmed(at=NOON)], 3),
    ]
    for told, pieces in lives:
        member, claim_id = await ordered(world, "LOUNGE")
        await call_back(world, await number_of(world, claim_id), *told)
        assert ("CONFIRMED", pieces, 3 - pieces) == await stands(world, claim_id), told
        assert (3 - pieces, pieces) == await wallet(world, member, "LOUNGE"), told
    assert ([], []) == (await cases(world), await world.findings())


async def test_a_part_is_confirmed_again_under_its_number_once_the_rest_is_there(
    world: World,
) -> None:
    """Its provider confirmed no part, for so long that a person has it: MANUAL (V-2, V-3)."""
    await provider_can(world, two_phase=True, query_schedule_s=(15, 30))
    member, claim_id = await a_part(world)
    owns = set[str]()
    for _ in range(20):
        world.clock.forward(seconds=60)
        for work in await lease(world):
            if work.call.operation is Operation.CONFIRM:
                owns.add(work.call.own)
            await record(world, work, ONE)
    (own,) = owns
    assert (["MANUAL"], []) == (await states(world), await lease(world))
    number = await number_of(world, claim_id)
    await call_back(world, number, ALL)
    assert ("PENDING", 3, 0) == await stands(world, claim_id)
    work = await asked(world, own, ALL)
    if work.call.operation is Operation.QUERY:
        await record(world, work, ALL)
        work = await asked(world, own, ALL)
    assert Operation.CONFIRM is work.call.operation
    await record(world, work, Confirmed(at=NOON))
    assert (("CONFIRMED", 3, 0), (0, 3)) == (
        await stands(world, claim_id),
        await wallet(world, member, "LOUNGE"),
    )
    assert [("no_answer", True)] == await cases(world)
    assert [] == await world.findings()
    world.clock.forward(seconds=60)
    (work,) = await lease(world)
    assert (number, Operation.QUERY) == (work.call.own, work.call.operation)


async def test_the_rest_of_what_was_confirmed_is_confirmed_in_turn(world: World) -> None:
    """What is set aside beside it counts no more than what was (V-2)."""
    await provider_can(world, two_phase=True)
    member, claim_id = await a_part(world)
    number = await number_of(world, claim_id)
    (row,) = await world.rows(
        "SELECT request_id FROM provider_request WHERE operation = 'CONFIRM'"
    )
    own = row.request_id.hex
    work = await asked(world, own, ONE)
    await record(world, work, Confirmed(at=NOON, delivered=1))
    assert ("CONFIRMED", 1, 2) == await stands(world, claim_id)
    await call_back(world, number, ALL)
    assert (("CONFIRMED", 1, 2), (2, 1)) == (
        await stands(world, claim_id),
        await wallet(world, member, "LOUNGE"),
    )
    for operation, told in ((Operation.QUERY, ALL), (Operation.CONFIRM, Confirmed(at=NOON))):
        work = await asked(world, own, ALL)
        assert operation is work.call.operation
        await record(world, work, told)
    assert (("CONFIRMED", 3, 0), (0, 3)) == (
        await stands(world, claim_id),
        await wallet(world, member, "LOUNGE"),
    )
    assert ([], []) == (await cases(world), await world.findings())


async def test_units_of_the_merged_customer_come_first_by_their_end(world: World) -> None:
    """What is taken anew is spent in the order of ends, whosever it was (L-3)."""
    a, b = await world.members(2)
    await give(world, gift(b, "LOUNGE", quantity=2, valid_days=60))
    (claim_id,) = await claimed(world, wish(b, "LOUNGE", quantity=2))
    await merged(world, b, a)
    await give(world, gift(a, "LOUNGE", valid_days=20))
    number = await number_of(world, claim_id)
    await call_back(world, number, SOLD_OUT)
    await sweep(world)
    assert (3, 0) == await wallet(world, a, "LOUNGE")
    await call_back(world, number, ALL)
    found = await world.rows(
        "SELECT member_id = $1 AS is_hers, remaining, held FROM lot "
        "WHERE remaining > 0 ORDER BY is_hers, held",
        a,
    )
    assert [(False, 1, 1), (False, 1, 1), (True, 1, 0)] == [tuple(row) for row in found]
    assert [] == await world.findings()
