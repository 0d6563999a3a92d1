"""Uses as the bank asks for them: clocks that differ, answers that are late, and refusals."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from benefits.actions import receive
from benefits.actions.close_case import CloseCase, close_case
from benefits.domain.lattice import Unused
from benefits.domain.orders import (
    Callbacks,
    Done,
    Expired,
    NotSent,
    Operation,
    Outcome,
    PartlyUsed,
    Reason,
    RedeemBy,
    Rejected,
    Reversed,
    Unknown,
    Used,
)
from benefits.store.db import Connection
from tests.actions.life import (
    EVERYWHERE,
    call_back,
    claimed,
    gift,
    give,
    holder,
    lapse_holds,
    lease,
    number_of,
    provider_can,
    record,
    said,
    states,
    tell,
    wallet,
    wish,
)
from tests.actions.test_redeem import answered, ask, end_uses, tell_of, undo, use, vouchers
from tests.builders import NOON, World


async def delivered(world: World, benefit: str = "LOUNGE") -> UUID:
    """Return a claim of one piece that was delivered."""
    member = await holder(world, benefit)
    (claim_id,) = await claimed(world, wish(member, benefit))
    await answered(world, Done(at=NOON))
    return claim_id


async def verdicts(world: World, operation: str = "REDEEM") -> list[str]:
    """Return what was decided of requests about orders, oldest first."""
    found = await world.rows(
        "SELECT verdict FROM provider_request WHERE operation = $1 ORDER BY created_at", operation
    )
    return [row.verdict for row in found]


@pytest.mark.parametrize("behind_s", [20, 0, -20])
async def test_a_use_after_an_undoing_counts_whatever_the_providers_clock_says(
    world: World, behind_s: int
) -> None:
    """That it stands unused is asked, so no instant of the undoing is the provider's (V-2)."""
    await provider_can(world, redeem_by=RedeemBy.US, reverse=True)
    claim_id = await delivered(world)
    behind = timedelta(seconds=behind_s)
    first = await ask(world, use(claim_id))
    await answered(world, Used(at=world.parts.clock() - behind))
    assert ["REDEEMED"] == await states(world)
    await ask(world, undo(claim_id, first.ids["redemption_id"]))
    await answered(world, Unknown("timeout"))
    await answered(world, Done(at=NOON), after_s=60)
    assert ["ISSUED"] == await states(world)
    world.clock.forward(seconds=5)
    await ask(world, use(claim_id))
    await answered(world, Used(at=world.parts.clock() - behind))
    assert (["done", "done"], ["REDEEMED"]) == (await verdicts(world), await states(world))
    assert [] == await world.findings()


async def test_a_use_of_the_same_second_as_the_undoing_before_it_counts(world: World) -> None:
    """A provider may tell whole seconds; a late answer about the use that was undone is none."""
    await provider_can(world, redeem_by=RedeemBy.US, reverse=True)
    claim_id = await delivered(world)
    first = await ask(world, use(claim_id))
    world.clock.forward(seconds=1)
    (early,) = await lease(world)
    await record(world, early, Used(at=NOON))
    await ask(world, undo(claim_id, first.ids["redemption_id"]))
    undone = NOON + timedelta(seconds=1)
    await answered(world, Reversed(at=undone))
    await record(world, early, Used(at=NOON))
    assert ["ISSUED"] == await states(world)
    await ask(world, use(claim_id))
    await answered(world, Used(at=undone))
    assert ["REDEEMED"] == await states(world)
    assert [] == await world.findings()


async def test_uses_are_told_of_claims_of_one_piece(world: World) -> None:
    """Of several, the answer about one use could be taken for another's."""
    await provider_can(world, redeem_by=RedeemBy.US)
    member = await holder(world, "LOUNGE", 3)
    (claim_id,) = await claimed(world, wish(member, "LOUNGE", quantity=3))
    await answered(world, Done(at=NOON))
    assert "order_not_usable" == said(await ask(world, use(claim_id)))
    assert (["ISSUED"], []) == (await states(world), await lease(world))


@pytest.mark.parametrize(
    ("unused", "told"),
    [(Unused.RETURN, PartlyUsed(at=NOON, used=2)), (Unused.LOST, Used(at=NOON))],
)
async def test_a_use_told_after_the_end_is_never_lost_and_never_paid_twice(
    world: World, unused: Unused, told: Outcome
) -> None:
    """Of a part, or of what was lost, a person decides; other units stay the member's (V-5)."""
    member, number = await vouchers(world, unused=unused)
    world.clock.forward(days=12)
    assert 1 == await end_uses(world)
    await give(world, gift(member, "LOUNGE", quantity=3))
    before = await wallet(world, member, "LOUNGE")
    await call_back(world, number, told, told)
    (case,) = await world.rows("SELECT kind FROM case_file")
    assert ("used_after_expired", ["EXPIRED"]) == (case.kind, await states(world))
    assert before == await wallet(world, member, "LOUNGE")
    assert [] == await world.findings()


async def test_a_refusal_is_final_once_nothing_sent_before_can_act(world: World) -> None:
    """The first use may act a little after it timed out; a refused repetition says nothing."""
    await provider_can(world, redeem_by=RedeemBy.US)
    claim_id = await delivered(world)
    await ask(world, use(claim_id))
    await answered(world, Unknown("timeout"))
    refused = Rejected(Reason.NOT_ELIGIBLE, "wrong_shop")
    assert Operation.QUERY is await answered(world, Done(at=NOON), after_s=60)
    assert Operation.REDEEM is await answered(world, refused, after_s=60)
    assert "redemption_open" == said(await ask(world, use(claim_id)))
    assert Operation.QUERY is await answered(world, Done(at=NOON), after_s=180)
    assert Operation.REDEEM is await answered(world, refused, after_s=600)
    assert (["not_eligible"], ["ISSUED"]) == (await verdicts(world), await states(world))
    assert "ok" == said(await ask(world, use(claim_id)))
    await answered(world, Rejected(Reason.AUTH, "sign_error"))
    assert ["not_eligible", ""] == await verdicts(world)


async def test_our_key_refused_is_no_news_of_what_is_to_be_confirmed(world: World) -> None:
    """What the first confirmation may have done is not known; the units stay held (V-3)."""
    await provider_can(world, two_phase=True)
    member = await holder(world)
    await claimed(world, wish(member))
    await answered(world, Done(at=NOON))
    for _ in range(6):
        for work in await lease(world):
            confirms = work.call.operation is Operation.CONFIRM
            refused = Rejected(Reason.AUTH, "auth")
            await record(world, work, refused if confirms else Done(at=NOON))
        world.clock.forward(seconds=400)
    assert (["PENDING"], (0, 1)) == (await states(world), await wallet(world, member))


async def test_what_nobody_answered_is_settled_with_its_case(world: World) -> None:
    """A person's word ends what was asked, and it holds up nothing any more."""
    await provider_can(world, redeem_by=RedeemBy.US, query_schedule_s=(15,))
    claim_id = await delivered(world)
    await ask(world, use(claim_id))
    await answered(world, Unknown("timeout"), after_s=20)
    (case,) = await world.rows("SELECT case_id FROM case_file")
    assert "redemption_open" == said(await ask(world, use(claim_id)))

    async def close(conn: Connection) -> Any:
        word = CloseCase(caller="op", key="k", case_id=case.case_id, note="It was not used.")
        return await close_case(conn, word, world.parts)

    await world.database.transact(close)
    assert ["settled"] == await verdicts(world)
    assert "ok" == said(await ask(world, use(claim_id)))


async def test_the_end_of_an_order_answers_what_was_asked_about_its_use(world: World) -> None:
    """What ended unused was not used, and nobody asks on."""
    await provider_can(world, redeem_by=RedeemBy.US)
    claim_id = await delivered(world)
    await ask(world, use(claim_id))
    await answered(world, Unknown("timeout"))
    await answered(world, Expired(at=NOON), after_s=60)
    assert (["ended"], ["EXPIRED"]) == (await verdicts(world), await states(world))
    world.clock.forward(days=3)
    assert [] == await lease(world)


async def test_callbacks_about_strangers_make_room_for_others(world: World) -> None:
    """What waits for a reference to become known is looked at again later."""
    member = await holder(world)
    (claim_id,) = await claimed(world, wish(member))
    for number in range(3):
        await tell_of(world, f"foreign{number}", Done(at=NOON))
    world.clock.forward(seconds=1)
    await tell(world, await number_of(world, claim_id), Done(at=NOON))
    for worked in (0, 1):
        async with world.database.transaction() as conn:
            found = await receive.work_off(conn, world.parts, buckets=EVERYWHERE, limit=3)
        assert worked == found
    assert ["ISSUED"] == await states(world)


async def test_a_use_that_never_left_is_not_told_after_the_last_day(world: World) -> None:
    """The member is long gone; nor does it keep the order from ending (V-5)."""
    await provider_can(world, redeem_by=RedeemBy.US)
    claim_id = await delivered(world)
    await ask(world, use(claim_id))
    await answered(world, NotSent("dns"))
    await answered(world, NotSent("dns"), after_s=60)
    world.clock.forward(days=1)
    assert [] == await lease(world)
    assert (["not_sent"], ["ISSUED"]) == (await verdicts(world), await states(world))
    assert "ok" == said(await ask(world, use(claim_id)))


async def test_a_hint_asks_no_sooner_than_the_provider_wants(world: World) -> None:
    """Nor does news by a callback; what is decided is asked about, not sent again (V-4)."""
    await provider_can(world, callbacks=Callbacks.HINT)
    member = await holder(world, "LOUNGE")
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    number = await number_of(world, claim_id)
    await answered(world, NotSent("HTTP 429", 3000))
    await call_back(world, number, Done(at=NOON))
    assert [] == await lease(world)
    await provider_can(world)
    await call_back(world, number, Done(at=NOON))
    assert (["ISSUED"], []) == (await states(world), await lease(world))
    world.clock.forward(seconds=2990)
    assert [] == await lease(world)
    assert Operation.QUERY is await answered(world, Done(at=NOON), after_s=10)


async def test_a_hint_about_what_lapsed_sends_nothing(world: World) -> None:
    """A provider that had refused us for a fault of ours may speak of it a day later (V-4)."""
    await provider_can(world, callbacks=Callbacks.HINT)
    member = await holder(world)
    (claim_id,) = await claimed(world, wish(member))
    await answered(world, Rejected(Reason.AUTH, "SIGN_ERROR", keeps_nothing=True))
    world.clock.forward(days=1, seconds=1)
    await lapse_holds(world)
    await call_back(world, await number_of(world, claim_id), Done(at=NOON))
    assert (["EXPIRED"], (1, 0)) == (await states(world), await wallet(world, member))
    assert [] == await lease(world)
