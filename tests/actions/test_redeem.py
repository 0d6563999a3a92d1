"""Uses that the bank tells a provider of, and undoes; deliveries that want to be confirmed."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits import measures
from benefits.actions import expire, receive
from benefits.actions.keyed import Accepted
from benefits.actions.redeem import Command, RedeemClaim, ReverseRedemption, redeem
from benefits.domain.lattice import Unused
from benefits.domain.orders import (
    Callbacks,
    Confirmed,
    Done,
    Notice,
    NotSent,
    Operation,
    Outcome,
    PartlyUsed,
    Pending,
    QueryBy,
    Reason,
    RedeemBy,
    Rejected,
    Reversed,
    Unknown,
    Used,
)
from benefits.domain.use import Use
from benefits.store import members
from benefits.store.db import Connection
from tests.actions.life import (
    EVERYWHERE,
    call_back,
    claimed,
    counter,
    fresh,
    holder,
    lease,
    number_of,
    provider_can,
    record,
    said,
    states,
    tell,
    wallet,
    wish,
    work_off,
)
from tests.builders import NOON, World, reference_programme


async def ask(world: World, command: Command) -> Any:
    """Redeem or reverse, in a transaction."""

    async def work(conn: Connection) -> Any:
        (outcome,) = await redeem(conn, [command], world.parts, wait=True)
        return outcome

    return await world.database.transact(work)


def use(claim_id: UUID, **more: Any) -> RedeemClaim:
    """Return the word that a claim is used."""
    return RedeemClaim(caller="till", key=fresh("u"), claim_id=claim_id, **more)


def undo(claim_id: UUID, redemption: str) -> ReverseRedemption:
    """Return the word that a use is undone."""
    return ReverseRedemption(
        caller="till", key=fresh("r"), claim_id=claim_id, redemption_id=UUID(redemption)
    )


async def answered(world: World, outcome: Outcome, *, after_s: int = 0) -> Operation:
    """Make the one call that is due, and record what came of it; return what was asked."""
    world.clock.forward(seconds=after_s)
    (work,) = await lease(world)
    await record(world, work, outcome)
    return work.call.operation


async def tell_of(world: World, reference: str, outcome: Outcome, **more: str) -> None:
    """Receive a callback that knows an order by the provider's reference."""
    notice = Notice(event_id=fresh("e"), reference=reference, outcome=outcome, **more)
    async with world.database.transaction() as conn:
        callback = receive.Callback(provider="sandbox", notice=notice, raw=b"{}")
        await receive.receive(conn, [callback], world.parts)


def ignored() -> float:
    """Return how many callbacks were of what others order."""
    labels = {"provider": "sandbox", "verdict": "ignored"}
    return measures.REGISTRY.get_sample_value("benefits_callbacks_total", labels) or 0.0


async def story(world: World) -> list[str]:
    """Return what was told of orders."""
    found = await world.rows(
        "SELECT type FROM outbox WHERE type LIKE 'order.%' OR type LIKE 'case.%' ORDER BY seq"
    )
    return [row.type for row in found]


async def test_a_use_is_told_and_undone_and_told_again(world: World) -> None:
    """Units are spent, come back to their lot into a new hold, and are spent again (L-7)."""
    await provider_can(world, redeem_by=RedeemBy.US, reverse=True)
    member = await holder(world, "LOUNGE")
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    early = await ask(world, use(claim_id))
    assert "order_not_usable" == said(early)
    await answered(world, Done(at=NOON, reference="R1"))
    assert [] == await lease(world)  # the bank is the one who knows of uses
    command = use(claim_id, place="Gate 7", amount_minor=12_00)
    first = await ask(world, command)
    again = await ask(world, command)
    assert isinstance(first, Accepted)
    assert first.ids == again.ids
    assert "redemption_open" == said(await ask(world, use(claim_id)))
    redemption = first.ids["redemption_id"]
    assert "redemption_open" == said(await ask(world, undo(claim_id, redemption)))

    (work,) = await lease(world)
    call = work.call
    assert (Operation.REDEEM, UUID(redemption).hex) == (call.operation, call.own)
    assert (await number_of(world, claim_id), "R1") == (call.number, call.reference)
    assert call.redemption is not None
    assert ("Gate 7", 12_00) == (call.redemption.place, call.redemption.amount_minor)
    await record(world, work, Unknown("timeout"))
    # The provider is asked, and says that it does not know of a use: it is told once more.
    assert Operation.QUERY is await answered(world, Done(at=NOON), after_s=60)
    assert Operation.REDEEM is await answered(world, Used(at=NOON), after_s=60)
    assert (["REDEEMED"], (0, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert (0, 3800) == await counter(world, "budget:lounge")
    assert "order_not_usable" == said(await ask(world, use(claim_id)))

    undone = await ask(world, undo(claim_id, redemption))
    assert isinstance(undone, Accepted)
    (work,) = await lease(world)
    assert (Operation.REVERSE, UUID(redemption).hex) == (work.call.operation, work.call.undoes)
    assert work.call.own not in {work.call.number, work.call.undoes}
    await record(world, work, Reversed(at=NOON + timedelta(hours=1)))
    assert (["ISSUED"], (0, 1)) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert (3800, 0) == await counter(world, "budget:lounge")
    assert "redemption_not_final" == said(await ask(world, undo(claim_id, redemption)))
    assert [] == await world.findings()

    await ask(world, use(claim_id))
    await answered(world, Used(at=NOON + timedelta(hours=2)))
    assert (["REDEEMED"], (0, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))
    told = ["order.issued", "order.redeemed", "order.reversed", "order.redeemed"]
    assert told == await story(world)
    assert [] == await world.findings()


async def test_uses_and_undoings_of_one_second_count_as_they_were_asked_for(world: World) -> None:
    """Where a provider tells whole seconds: each is final before the next is asked for (V-4)."""
    await provider_can(world, redeem_by=RedeemBy.US, reverse=True)
    member = await holder(world, "LOUNGE")
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    await answered(world, Done(at=NOON))
    for _ in range(3):
        used = await ask(world, use(claim_id))
        await answered(world, Used(at=NOON))
        assert ["REDEEMED"] == await states(world)
        await ask(world, undo(claim_id, used.ids["redemption_id"]))
        await answered(world, Reversed(at=NOON))
        assert (["ISSUED"], (0, 1)) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert [] == await world.findings()


async def test_words_said_together_are_decided_one_after_the_other(world: World) -> None:
    """Each sees the one before it, the same key is decided once, and who is held is busy."""
    await provider_can(world, redeem_by=RedeemBy.US, reverse=True)
    holders = [await holder(world, "LOUNGE") for _ in range(3)]
    first, second, held = await claimed(world, *(wish(id_, "LOUNGE") for id_ in holders))
    for work in await lease(world):
        await record(world, work, Done(at=NOON))
    once, other = use(first), undo(second, str(first))
    words: list[Command] = [once, use(first), other, use(second), use(held), once]
    async with world.database.transaction() as elsewhere:
        await members.lock(elsewhere, [holders[2]], wait=True)
        async with world.database.transaction() as conn:
            asked = [*words, use(UUID(int=7))]
            outcomes: list[Any] = await redeem(conn, asked, world.parts, wait=False)
    expected = ["ok", "redemption_open", "unknown_redemption", "ok", "busy", "ok", "unknown_claim"]
    assert expected == [said(outcome) for outcome in outcomes]
    assert outcomes[0].ids == outcomes[5].ids
    for work in await lease(world):
        await record(world, work, Used(at=NOON))
    assert ["ISSUED", "REDEEMED", "REDEEMED"] == sorted(await states(world))
    assert "ok" == said(await ask(world, words[4]))
    assert [] == await world.findings()


async def test_a_use_that_is_refused_leaves_the_order_as_it_stands(world: World) -> None:
    """A definitive no is told with its reason; another use may be tried."""
    await provider_can(world, redeem_by=RedeemBy.US)
    member = await holder(world, "LOUNGE")
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    await answered(world, Done(at=NOON))
    first = await ask(world, use(claim_id))
    await answered(world, Rejected(Reason.NOT_ELIGIBLE, "wrong_shop"))
    assert (["ISSUED"], (0, 1)) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert "not_reversible" == said(await ask(world, undo(claim_id, first.ids["redemption_id"])))
    found = await world.rows("SELECT verdict FROM provider_request WHERE operation = 'REDEEM'")
    assert ["not_eligible"] == [row.verdict for row in found]
    await ask(world, use(claim_id))
    await answered(world, Used(at=NOON))
    assert ["REDEEMED"] == await states(world)
    assert [] == await world.findings()


async def test_a_use_nobody_answers_is_left_to_a_person(world: World) -> None:
    """At the end of the schedule a case says so; the order stands (V-3)."""
    await provider_can(world, redeem_by=RedeemBy.US, query_schedule_s=(15,))
    member = await holder(world, "LOUNGE")
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    await answered(world, Done(at=NOON))
    await ask(world, use(claim_id))
    await answered(world, Unknown("timeout"), after_s=20)
    assert [] == await lease(world)
    assert "case.opened" in await story(world)
    (case,) = await world.rows("SELECT kind FROM case_file")
    assert ("redeem_unanswered", ["ISSUED"]) == (case.kind, await states(world))


async def test_what_was_reversed_before_its_use_was_told_ends_the_same(world: World) -> None:
    """Callbacks of a use and its undoing come disorderly, twice, and together (V-4)."""
    member = await holder(world, "LOUNGE")
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    number = await number_of(world, claim_id)
    later = Reversed(at=NOON + timedelta(hours=1))
    await call_back(world, number, later, Used(at=NOON), later, Done(at=NOON))
    assert (["ISSUED"], (0, 1)) == (await states(world), await wallet(world, member, "LOUNGE"))
    await call_back(world, number, Used(at=NOON + timedelta(hours=2)), later)
    assert ["REDEEMED"] == await states(world)
    await call_back(world, number, Reversed(at=NOON + timedelta(hours=3)), later)
    assert (["ISSUED"], (0, 1)) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert [] == await world.findings()


async def test_a_delivery_that_wants_to_be_confirmed_counts_from_then(world: World) -> None:
    """Done sets aside, the engine confirms by itself, and only then units are spent (V-2)."""
    await provider_can(world, two_phase=True)
    member = await holder(world)
    (claim_id,) = await claimed(world, wish(member))
    await answered(world, Done(at=NOON, reference="R1", code="4711"))
    assert (["PENDING"], (0, 1)) == (await states(world), await wallet(world, member))
    (work,) = await lease(world)  # as after a crash: its outcome is never told
    assert (Operation.CONFIRM, "R1") == (work.call.operation, work.call.reference)
    assert await number_of(world, claim_id) == work.call.number != work.call.own
    assert Operation.QUERY is await answered(world, Unknown("timeout"), after_s=120)
    assert Operation.QUERY is await answered(world, Done(at=NOON), after_s=3600)
    # The order's own request is asked about, too; whichever is due, it ends with one confirmation.
    while ["PENDING"] == await states(world):
        world.clock.forward(hours=1)
        for work in await lease(world):
            confirms = work.call.operation is Operation.CONFIRM
            await record(world, work, Confirmed(at=NOON) if confirms else Done(at=NOON))
    assert (["CONFIRMED"], (0, 0)) == (await states(world), await wallet(world, member))
    assert ["order.pending", "order.confirmed"] == await story(world)
    world.clock.forward(days=3)
    for work in await lease(world):
        assert Operation.CONFIRM is not work.call.operation
        await record(world, work, Confirmed(at=NOON))
    world.clock.forward(days=3)
    assert [] == await lease(world)
    assert [] == await world.findings()


async def test_what_was_refused_is_never_confirmed(world: World) -> None:
    """Units that went back to the member are not bought after all."""
    await provider_can(world, two_phase=True)
    member = await holder(world)
    (claim_id,) = await claimed(world, wish(member))
    await answered(world, Done(at=NOON))
    await call_back(world, await number_of(world, claim_id), Rejected(Reason.LIMIT, "limit"))
    assert (["COMPENSATED"], (1, 0)) == (await states(world), await wallet(world, member))
    assert Operation.QUERY is await answered(world, Rejected(Reason.LIMIT, "limit"))
    world.clock.forward(days=3)
    assert [] == await lease(world)
    assert [] == await world.findings()


async def test_a_hint_makes_us_ask_and_changes_nothing_else(world: World) -> None:
    """What it says is not believed; the provider is not asked more often than it bears (V-4)."""
    await provider_can(world, callbacks=Callbacks.HINT, query_min_interval_s=30)
    member = await holder(world)
    (claim_id,) = await claimed(world, wish(member))
    number = await number_of(world, claim_id)
    (work,) = await lease(world)
    await tell(world, number, Done(at=NOON))
    assert 0 == await work_off(world)  # a call is under way, whose answer may be from before
    await record(world, work, Pending("R1"))
    assert 1 == await work_off(world)
    assert (["PENDING"], []) == (await states(world), await lease(world))
    assert Operation.QUERY is await answered(world, Done(at=NOON), after_s=30)
    assert ["ISSUED"] == await states(world)
    world.clock.forward(days=1)
    assert [] == await lease(world)
    await tell(world, number, Used(at=NOON))
    assert (1, ["ISSUED"]) == (await work_off(world), await states(world))
    assert Operation.QUERY is await answered(world, Used(at=NOON))
    assert ["REDEEMED"] == await states(world)


async def test_a_callback_may_know_the_providers_reference_alone(world: World) -> None:
    """It waits until our call has told us the reference; a strange one opens a case at last.

    Not so of what nobody orders there: that is somebody else's, kept and counted.
    """
    await provider_can(world, query=QueryBy.REFERENCE)
    sku = reference_programme().benefits["LOUNGE"].sku
    for reference, what in (("R3", "another"), ("R4", sku)):
        await tell_of(world, reference, Done(at=NOON), sku=what)
    before = ignored()
    member = await holder(world, "LOUNGE")
    await claimed(world, wish(member, "LOUNGE"))
    for reference in ("R1", "R2"):
        await tell_of(world, reference, Used(at=NOON))
    assert (1, before + 1) == (await work_off(world), ignored())
    # Without a reference nothing can be asked: the same request is sent again.
    assert Operation.ISSUE is await answered(world, Unknown("timeout"))
    assert Operation.ISSUE is await answered(world, Pending("R1"), after_s=30)
    assert (1, ["REDEEMED"]) == (await work_off(world), await states(world))
    world.clock.forward(minutes=10)
    assert 2 == await work_off(world)
    cases = [row.detail for row in await world.rows("SELECT detail FROM case_file ORDER BY 1")]
    assert [f"sandbox speaks of number '{one}'." for one in ("R2", "R4")] == cases
    assert [(0,)] == await world.rows("SELECT count(*) FROM inbox WHERE processed_at IS NULL")


async def test_a_provider_without_queries_is_sent_the_same_again(world: World) -> None:
    """After a crash too; that a later try was not sent says nothing of the first (V-3)."""
    await provider_can(world, query=QueryBy.NONE, lane=False)
    member = await holder(world, quantity=2)
    await claimed(world, wish(member), wish(member))
    works = await lease(world)  # without lanes, both at once
    assert 2 == len(works)
    world.clock.forward(minutes=2)
    works = await lease(world)
    assert [Operation.ISSUE] * 2 == [work.call.operation for work in works]
    for work in works:
        await record(world, work, NotSent("refused"))
    assert ["UNKNOWN"] * 2 == await states(world)
    # What is refused now may be done by the send before, until the grace is over.
    refused = Rejected(Reason.LIMIT, "limit")
    for _ in range(2):
        world.clock.forward(minutes=2)
        works = await lease(world)
        for work in works:
            await record(world, work, refused)
    assert (2, ["UNKNOWN"] * 2) == (len(works), await states(world))
    world.clock.forward(minutes=10)
    outcomes: list[Outcome] = [Done(at=NOON), refused]
    for work, outcome in zip(await lease(world), outcomes, strict=True):
        await record(world, work, outcome)
    assert ["COMPENSATED", "ISSUED"] == sorted(await states(world))
    assert [] == await world.findings()


async def test_a_provider_that_cannot_be_asked_is_sent_the_same_as_often_as_it_would_be_asked(
    world: World,
) -> None:
    """At the pace of its schedule, and at the schedule's end a person decides (V-3)."""
    await provider_can(world, query=QueryBy.NONE, query_schedule_s=(15, 60))
    member = await holder(world)
    await claimed(world, wish(member))
    for after_s in (0, 15, 60):
        assert Operation.ISSUE is await answered(world, Unknown("in part"), after_s=after_s)
    assert (["MANUAL"], (0, 1)) == (await states(world), await wallet(world, member))
    (case,) = await world.rows("SELECT kind FROM case_file")
    assert "no_answer" == case.kind
    world.clock.forward(days=1)
    assert [] == await lease(world)


async def vouchers(world: World, **more: Any) -> tuple[UUID, str]:
    """Return a member with three delivered lounge visits of one claim, to be used in a week."""
    programme = reference_programme()
    lounge, video = programme.benefit
    lounge = msgspec.structs.replace(lounge, use=Use(days=7), **more)
    await world.apply(msgspec.structs.replace(programme, benefit=(lounge, video)))
    member = await holder(world, "LOUNGE", 3)
    (claim_id,) = await claimed(world, wish(member, "LOUNGE", quantity=3))
    number = await number_of(world, claim_id)
    await call_back(world, number, Done(at=NOON))
    return member, number


async def end_uses(world: World) -> int:
    """End what was not used in time."""
    async with world.database.transaction() as conn:
        seen = await expire.end_unused(conn, world.parts, buckets=EVERYWHERE, limit=100)
        return seen.seen


@pytest.mark.parametrize(
    ("more", "back", "spent"),
    [
        ({}, 2, 3800),
        ({"unused": Unused.LOST}, 0, 3800),
    ],
    ids=["G-PART-1 back to the member", "G-PART-1 lost"],
)
async def test_g_part_1_what_was_not_used_in_time_ends(
    world: World, more: dict[str, Any], back: int, spent: int
) -> None:
    """G-PART-1: of three pieces one is used; the others come back or are lost, as is agreed."""
    member, number = await vouchers(world, **more)
    await call_back(world, number, PartlyUsed(at=NOON, used=1), PartlyUsed(at=NOON, used=1))
    assert (["PARTLY_REDEEMED"], (0, 3)) == (
        await states(world),
        await wallet(world, member, "LOUNGE"),
    )
    world.clock.forward(days=10)
    assert 0 == await end_uses(world)  # news of a use may still come
    world.clock.forward(days=2)
    assert (1, 0) == (await end_uses(world), await end_uses(world))
    assert (["EXPIRED"], (back, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert (0, spent) == await counter(world, "budget:lounge")
    told = ["order.issued", "order.partly_redeemed", "order.expired"]
    assert told == await story(world)
    assert [] == await world.findings()
    await call_back(world, number, Used(at=NOON + timedelta(hours=1)))
    (case,) = await world.rows("SELECT kind FROM case_file")
    assert ("used_after_expired", ["EXPIRED"]) == (case.kind, await states(world))


async def test_late_news_of_a_use_in_time_counts_and_its_undoing_ends_the_order(
    world: World,
) -> None:
    """The member's units are taken again for what was used; undone, they are the member's."""
    member, number = await vouchers(world)
    world.clock.forward(days=12)
    assert 1 == await end_uses(world)
    assert (["EXPIRED"], (3, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))
    await call_back(world, number, Used(at=NOON + timedelta(days=1)))
    assert (["REDEEMED"], (0, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))
    await call_back(world, number, Reversed(at=NOON + timedelta(days=2)))
    assert (["EXPIRED"], (3, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert (0, 0) == await counter(world, "budget:lounge")
    assert [] == await world.findings()
