"""What two people may correct, what comes of it, and that nothing comes of anything else."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from benefits.actions.agree import Decide
from benefits.domain.benefit import ClawBack, Late, LateReversal
from benefits.domain.corrections import Fault, Kind, Why
from benefits.domain.orders import Done, Reason, Rejected, Used
from benefits.domain.programme_file import read
from tests.actions.desk import (
    CHECKER,
    MAKER,
    approve,
    ask,
    correct,
    figures,
    lost,
    lot_of,
    money,
    offered,
    reject,
    seen,
    spent,
    used,
    word,
)
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    decide,
    expire_lots,
    fresh,
    gift,
    give,
    holder,
    number_of,
    said,
    states,
    wallet,
    wish,
)
from tests.builders import NOON, PROGRAMME, World, reference_programme


async def test_a_capture_is_reversed_whole_with_money_stock_and_cap(world: World) -> None:
    """Units return to their lot, and all that they had taken is free again (L-7)."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    assert [("2025-07", 2)] == await used(world, member)
    assert (3000, 3000) == (await money(world, "budget.spent"), await money(world, "expense"))
    asked = {"claim_id": claim, "why": Why.NOT_DELIVERED}
    assert "ok" == await correct(world, Kind.REVERSE, member, 2, **asked)
    assert [(2, 2, 0, 0, 0)] == await figures(world, member)
    assert (0, 0) == (await money(world, "budget.spent"), await money(world, "expense"))
    assert ((0, 0), (0, 0)) == (
        await counter(world, "stock:VIDEO"),
        await counter(world, "budget:video"),
    )
    assert [("2025-07", 0)] == await used(world, member)
    assert ["ISSUED"] == await states(world)
    assert [] == await world.findings()


@pytest.mark.parametrize("why", [why for why in Why if why is not Why.NOT_DELIVERED])
async def test_what_was_delivered_is_in_no_stock_again(world: World, why: Why) -> None:
    """The unit returns, but the last piece of the stock is the member's who saw it (V-9)."""
    await world.apply(read(PROGRAMME.replace("stock = 50", "stock = 1")))
    member = await holder(world, quantity=2)
    claim = await spent(world, member)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim, why=why)
    assert ((2, 0), (0, 1)) == (await wallet(world, member), await counter(world, "stock:VIDEO"))
    assert ["stock_exhausted"] == [said(o) for o in await decide(world, wish(member))]
    assert [] == await world.findings()


async def test_parts_are_reversed_until_nothing_is_left(world: World) -> None:
    """One unit, then another; a third was never spent (I7)."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    for expected in ("ok", "ok", "correction_exceeds"):
        assert expected == await correct(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert [(2, 2, 0, 0, 0)] == await figures(world, member)
    assert (0, 0) == await counter(world, "budget:video")
    assert [] == await world.findings()


async def test_what_comes_back_can_be_claimed_again(world: World) -> None:
    """The cap of the month has room for it, and the second capture is no part of the first."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    assert "ok" == await correct(world, Kind.REVERSE, member, 2, claim_id=claim)
    again = await spent(world, member, quantity=2)
    assert [("2025-07", 2)] == await used(world, member)
    assert "correction_exceeds" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=again)
    assert [] == await world.findings()


async def test_the_cap_is_given_back_to_the_window_it_was_taken_from(world: World) -> None:
    """A reversal in August frees July, not August (K-5)."""
    member = await holder(world, quantity=2, valid_days=90)
    claim = await spent(world, member)
    world.clock.forward(days=35)
    await spent(world, member)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert [("2025-07", 0), ("2025-08", 1)] == await used(world, member)
    assert [] == await world.findings()


@pytest.mark.parametrize("swept", [True, False])
async def test_units_of_an_ended_lot_expire_as_they_come_back(
    world: World, *, swept: bool
) -> None:
    """Their end stays what it was (L-7)."""
    member = await holder(world, valid_days=1)
    claim = await spent(world, member)
    world.clock.forward(days=3)
    if swept:
        await expire_lots(world)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert [(1, 0, 0, 0, 1)] == await figures(world, member)
    assert [] == await world.findings()


async def test_units_of_an_ended_lot_are_made_good_where_the_terms_say_so(world: World) -> None:
    """As many come anew, with an end of their own, outside the cap (L-7, L-9)."""
    await offered(world, late_reversal=LateReversal(then=Late.MAKE_GOOD, days=14))
    member = await holder(world, quantity=2, valid_days=1)
    claim = await spent(world, member, quantity=2)
    world.clock.forward(days=3)
    assert "ok" == await correct(world, Kind.REVERSE, member, 2, claim_id=claim)
    assert [(2, 0, 0, 0, 2), (2, 2, 0, 0, 0)] == await figures(world, member)
    anew = await spent(world, member, quantity=2)
    assert [("2025-07", 0)] == await used(world, member)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=anew)
    assert [("2025-07", 0)] == await used(world, member)
    assert [] == await world.findings()


async def test_an_open_order_is_not_reversed_and_a_refused_one_has_nothing(world: World) -> None:
    """What may still come is left to its order."""
    member = await holder(world, quantity=2)
    open_, refused = await claimed(world, wish(member), wish(member))
    await call_back(world, await number_of(world, refused), Rejected(Reason.LIMIT, "limit"))
    assert "order_unfit" == await ask(world, Kind.REVERSE, member, 1, claim_id=open_)
    assert "correction_exceeds" == await ask(world, Kind.REVERSE, member, 1, claim_id=refused)


async def test_unused_units_are_revoked_and_no_others(world: World) -> None:
    """Held ones stay with their order."""
    member = await holder(world, quantity=3)
    await claimed(world, wish(member))
    lot = await lot_of(world, member)
    assert "correction_exceeds" == await ask(world, Kind.REVOKE, member, 3, lot_id=lot)
    assert "ok" == await correct(world, Kind.REVOKE, member, 2, lot_id=lot)
    assert (0, 1) == await wallet(world, member)
    assert [] == await world.findings()


async def owed(world: World) -> list[int]:
    """Return what wallets owe."""
    return [row[0] for row in await world.rows("SELECT owed FROM wallet")]


async def test_a_claw_back_takes_what_is_left_and_the_bank_bears_the_rest(world: World) -> None:
    """The default: no debt (L-8)."""
    member = await holder(world, "LOUNGE", quantity=30)
    (claim,) = await claimed(world, wish(member, "LOUNGE", quantity=18))
    await call_back(world, await number_of(world, claim), Used(at=NOON))
    assert "ok" == await correct(world, Kind.CLAW_BACK, member, 30, benefit="LOUNGE")
    assert ((0, 0), [0]) == (await wallet(world, member, "LOUNGE"), await owed(world))
    for quantity in (1, 30):
        asked = await ask(world, Kind.CLAW_BACK, member, quantity, benefit="LOUNGE")
        assert "correction_exceeds" == asked
    assert [] == await world.findings()


async def test_a_debt_is_paid_by_later_grants_and_forgiven_by_people(world: World) -> None:
    """Make-goods pay as grants do; what is forgiven is borne (L-8)."""
    await offered(world, claw_back=ClawBack.DEBT)
    member = await holder(world, "LOUNGE", quantity=9)
    (claim,) = await claimed(world, wish(member, "LOUNGE", quantity=9))
    await call_back(world, await number_of(world, claim), Used(at=NOON))
    assert "ok" == await correct(world, Kind.CLAW_BACK, member, 9, benefit="LOUNGE")
    assert [9] == await owed(world)
    more = {"claim_id": claim, "fault": Fault.OURS, "valid_days": 7}
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 2, **more)
    assert ([7], (0, 0)) == (await owed(world), await wallet(world, member, "LOUNGE"))
    assert "ok" == await correct(world, Kind.FORGIVE, member, 3, benefit="LOUNGE")
    assert "correction_exceeds" == await ask(world, Kind.FORGIVE, member, 5, benefit="LOUNGE")
    await give(world, gift(member, "LOUNGE", quantity=5))
    assert ([0], (1, 0)) == (await owed(world), await wallet(world, member, "LOUNGE"))
    assert [] == await world.findings()


@pytest.mark.parametrize(("fault", "suspense"), [(Fault.OURS, 0), (Fault.PROVIDER, -3000)])
async def test_a_failed_order_is_made_good_at_the_cost_of_who_is_at_fault(
    world: World, fault: Fault, suspense: int
) -> None:
    """New units for at least a week, once for each that was claimed, outside the cap (L-9)."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    more = {"claim_id": claim, "fault": fault, "valid_days": 7}
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 2, **more)
    assert suspense == await money(world, "suspense")
    assert "correction_exceeds" == await ask(world, Kind.MAKE_GOOD, member, 1, **more)
    ((ends,),) = await world.rows("SELECT expires_at FROM lot WHERE cause = 'MAKE_GOOD'")
    assert timedelta(days=7) < ends - world.clock() <= timedelta(days=8)
    assert ["ok"] == [said(o) for o in await decide(world, wish(member, quantity=2))]
    assert [("2025-07", 2)] == await used(world, member)
    assert [] == await world.findings()


async def test_a_make_good_needs_an_order_that_is_over_and_a_member_who_is_there(
    world: World,
) -> None:
    """Nothing is given for what may still be delivered, nor to whom has left."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member)
    (open_,) = await claimed(world, wish(member))
    more = {"fault": Fault.OURS, "valid_days": 7}
    assert "order_unfit" == await ask(world, Kind.MAKE_GOOD, member, 1, claim_id=open_, **more)
    await world.rows("UPDATE member SET closed_on = '2025-07-01' RETURNING 1")
    assert "member_closed" == await ask(world, Kind.MAKE_GOOD, member, 1, claim_id=claim, **more)


@pytest.mark.parametrize(
    ("code", "delivered", "state"),
    [
        ("VIDEO", 0, "COMPENSATED"),
        ("VIDEO", 1, "ISSUED"),
        ("VIDEO", 2, "ISSUED"),
        ("LOUNGE", 1, "REDEEMED"),
    ],
)
async def test_a_manual_order_is_settled_for_what_was_delivered(
    world: World, code: str, delivered: int, state: str
) -> None:
    """The rest is released, with its money, stock and cap (I6)."""
    member = await holder(world, code, quantity=2)
    claim = await lost(world, member, code, 2)
    assert "ok" == await correct(world, Kind.SETTLE, member, delivered, claim_id=claim)
    assert ([state], (2 - delivered, 0)) == (
        await states(world),
        await wallet(world, member, code),
    )
    cost = 1500 if code == "VIDEO" else 3800
    assert (0, delivered * cost) == await counter(world, f"budget:{code.lower()}")
    assert "order_unfit" == await ask(world, Kind.SETTLE, member, 1, claim_id=claim)
    assert [] == await world.findings()


async def test_what_was_settled_in_part_hears_late_answers_and_is_reversed(world: World) -> None:
    """A late callback moves no unit; of two, the one that was delivered can come back."""
    member = await holder(world, quantity=2)
    claim = await lost(world, member, quantity=2)
    assert "ok" == await correct(world, Kind.SETTLE, member, 1, claim_id=claim)
    number = await number_of(world, claim)
    await call_back(world, number, Done(at=NOON), Used(at=NOON), Rejected(Reason.LIMIT, "no"))
    assert [(2, 1, 0, 1, 0)] == await figures(world, member)
    assert "correction_exceeds" == await ask(world, Kind.REVERSE, member, 2, claim_id=claim)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert [("2025-07", 0)] == await used(world, member)
    assert [] == await world.findings()


async def test_more_than_was_held_is_not_settled(world: World) -> None:
    """A typing error delivers nothing."""
    member = await holder(world, quantity=2)
    claim = await lost(world, member, quantity=2)
    assert "correction_exceeds" == await ask(world, Kind.SETTLE, member, 3, claim_id=claim)


@pytest.mark.parametrize(
    ("kind", "quantity", "more"),
    [
        (Kind.REVERSE, 1, {}),
        (Kind.REVERSE, 0, {"claim_id": uuid4()}),
        (Kind.REVERSE, 10_001, {"claim_id": uuid4()}),
        (Kind.REVERSE, 1, {"claim_id": uuid4(), "lot_id": uuid4()}),
        (Kind.SETTLE, -1, {"claim_id": uuid4()}),
        (Kind.REVOKE, 1, {"claim_id": uuid4()}),
        (Kind.CLAW_BACK, 1, {}),
        (Kind.FORGIVE, 1, {"benefit": "VIDEO", "valid_days": 7}),
        (Kind.MAKE_GOOD, 1, {"claim_id": uuid4(), "fault": Fault.OURS, "valid_days": 6}),
        (Kind.MAKE_GOOD, 1, {"claim_id": uuid4(), "fault": Fault.OURS, "valid_days": 3661}),
        (Kind.MAKE_GOOD, 1, {"claim_id": uuid4(), "valid_days": 7}),
    ],
)
async def test_a_proposal_brings_exactly_what_its_kind_needs(
    world: World, kind: Kind, quantity: int, more: dict[str, object]
) -> None:
    """Nothing is passed over, nothing is guessed."""
    assert "correction_invalid" == await ask(world, kind, await world.member(), quantity, **more)


async def test_what_is_another_members_is_not_there(world: World) -> None:
    """Neither a claim nor a lot of somebody else, nor one that never was."""
    member, other = await holder(world), await holder(world)
    claim, lot = await spent(world, other), await lot_of(world, other)
    for claim_id in (claim, uuid4()):
        asked = await ask(world, Kind.REVERSE, member, 1, claim_id=claim_id)
        assert "target_unknown" == asked
    for lot_id in (lot, uuid4()):
        assert "target_unknown" == await ask(world, Kind.REVOKE, member, 1, lot_id=lot_id)
    assert "unknown_benefit" == await ask(world, Kind.FORGIVE, member, 1, benefit="YACHT")
    assert "unknown_member" == await ask(world, Kind.FORGIVE, uuid4(), 1, benefit="VIDEO")


async def test_one_person_is_not_two(world: World) -> None:
    """Whoever proposed is refused, and another is not."""
    member = await holder(world)
    asked = await ask(world, Kind.REVOKE, member, 1, lot_id=await lot_of(world, member))
    assert "same_person" == await approve(world, asked, MAKER)
    assert (1, 0) == await wallet(world, member)
    assert "ok" == await approve(world, asked, CHECKER)


async def test_a_key_stands_for_one_proposal_and_one_word_of_its_caller(world: World) -> None:
    """For another member, or on another proposal, it conflicts; another person's is their own."""
    one, two = await holder(world, quantity=2), await holder(world, quantity=2)
    lots = [await lot_of(world, member) for member in (one, two)]
    first = await ask(world, Kind.REVOKE, one, 1, lot_id=lots[0], key="k")
    conflict = await ask(world, Kind.REVOKE, two, 1, lot_id=lots[1], key="k")
    assert "idempotency_key_conflict" == conflict
    again = await ask(world, Kind.REVOKE, one, 1, lot_id=lots[0], key="k")
    assert first.proposal_id == again.proposal_id
    second = await ask(world, Kind.REVOKE, two, 1, lot_id=lots[1], key="k", caller="colleague")
    assert "ok" == await approve(world, first, key="a")
    assert "idempotency_key_conflict" == await approve(world, second, key="a")
    assert "ok" == await approve(world, first, key="a")
    assert "ok" == await reject(world, second, key="a")
    assert "idempotency_key_conflict" == await reject(world, first, key="a")
    assert [(1, 0), (2, 0)] == [await wallet(world, member) for member in (one, two)]
    assert [] == await world.findings()


async def test_a_proposal_is_decided_once(world: World) -> None:
    """Rejected, withdrawn or approved, it is over; nothing was posted by saying no."""
    member = await holder(world, quantity=3)
    lot = await lot_of(world, member)
    for caller, verdict in ((CHECKER, "REJECTED"), (MAKER, "WITHDRAWN")):
        asked = await ask(world, Kind.REVOKE, member, 1, lot_id=lot)
        assert "ok" == await reject(world, asked, caller)
        assert "correction_closed" == await approve(world, asked)
        assert "correction_closed" == await reject(world, asked)
        assert verdict == (await seen(world, asked.proposal_id)).verdict
    assert (3, 0) == await wallet(world, member)
    assert [] == await world.findings()


async def test_a_proposal_ends_after_a_week(world: World) -> None:
    """At its end it is over, like everything that ends."""
    member = await holder(world)
    asked = await ask(world, Kind.REVOKE, member, 1, lot_id=await lot_of(world, member))
    assert timedelta(days=7) == asked.expires_at - asked.proposed_at
    assert "PROPOSED" == asked.state(asked.expires_at - timedelta(microseconds=1))
    world.clock.now = asked.expires_at
    assert "EXPIRED" == asked.state(world.clock())
    assert "correction_closed" == await approve(world, asked)
    assert (1, 0) == await wallet(world, member)


async def test_what_would_now_be_otherwise_is_not_approved(world: World) -> None:
    """The checker approves what was read, or nothing: it is proposed anew."""
    member = await holder(world, "LOUNGE", quantity=3)
    asked = await ask(world, Kind.CLAW_BACK, member, 2, benefit="LOUNGE")
    await claimed(world, wish(member, "LOUNGE", quantity=2))
    assert "correction_stale" == await approve(world, asked)
    assert (1, 2) == await wallet(world, member, "LOUNGE")
    assert None is (await seen(world, asked.proposal_id)).verdict
    anew = await ask(world, Kind.CLAW_BACK, member, 1, benefit="LOUNGE")
    assert anew.digest != asked.digest
    assert "ok" == await approve(world, anew)
    assert [] == await world.findings()


async def test_a_lot_that_ends_meanwhile_changes_what_was_read(world: World) -> None:
    """Units that would have come back would now expire."""
    member = await holder(world, valid_days=1)
    claim = await spent(world, member)
    asked = await ask(world, Kind.REVERSE, member, 1, claim_id=claim)
    world.clock.forward(days=3)
    assert "correction_stale" == await approve(world, asked)
    assert [(1, 0, 0, 1, 0)] == await figures(world, member)


async def test_other_movements_of_the_member_do_not_disturb_a_proposal(world: World) -> None:
    """Only what the correction itself does is bound."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member)
    asked = await ask(world, Kind.REVERSE, member, 1, claim_id=claim)
    await give(world, gift(member, quantity=3))
    assert "ok" == await approve(world, asked)
    assert [] == await world.findings()


async def test_of_two_alike_proposals_one_is_approved(world: World) -> None:
    """The other was read before a unit came back or was made good, and is stale."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    make_good = {"fault": Fault.OURS, "valid_days": 7}
    for kind, more in ((Kind.REVERSE, {}), (Kind.MAKE_GOOD, make_good)):
        asked = [await ask(world, kind, member, 1, claim_id=claim, **more) for _ in range(2)]
        assert ["ok", "correction_stale"] == [await approve(world, each) for each in asked]


async def test_the_digest_read_must_be_that_of_the_proposal(world: World) -> None:
    """Whoever read something else approves nothing; an unknown proposal is told as such."""
    member = await holder(world)
    asked = await ask(world, Kind.REVOKE, member, 1, lot_id=await lot_of(world, member))
    for id_, code in (
        (asked.proposal_id, "correction_stale"),
        (uuid4(), "unknown_correction"),
    ):
        command = Decide(caller=CHECKER, key=fresh("a"), proposal_id=id_, digest="0" * 64)
        assert code == await word(world, command)
    assert (1, 0) == await wallet(world, member)


async def test_what_was_clawed_back_does_not_come_back(world: World) -> None:
    """Units that were borne as a loss, or are owed, are nobody's to return (L-7, L-8)."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    assert "ok" == await correct(world, Kind.CLAW_BACK, member, 1, benefit="VIDEO")
    assert "correction_exceeds" == await ask(world, Kind.REVERSE, member, 2, claim_id=claim)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert "correction_exceeds" == await ask(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert (1, 0) == await wallet(world, member)
    assert [] == await world.findings()


async def test_what_was_owed_and_paid_can_be_reversed_and_clawed_back(world: World) -> None:
    """Paid for with other units, it is the member's like any that was used (L-7, L-8)."""
    await offered(world, claw_back=ClawBack.DEBT)
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    assert "ok" == await correct(world, Kind.CLAW_BACK, member, 2, benefit="VIDEO")
    assert "correction_exceeds" == await ask(world, Kind.REVERSE, member, 1, claim_id=claim)
    await give(world, gift(member))
    assert ([1], (0, 0)) == (await owed(world), await wallet(world, member))
    assert "correction_exceeds" == await ask(world, Kind.REVERSE, member, 2, claim_id=claim)
    await give(world, gift(member, quantity=2))
    assert ([0], (1, 0)) == (await owed(world), await wallet(world, member))
    asked = await ask(world, Kind.CLAW_BACK, member, 4, benefit="VIDEO")
    assert "correction_exceeds" == asked
    assert "ok" == await correct(world, Kind.REVERSE, member, 2, claim_id=claim)
    assert (3, 0) == await wallet(world, member)
    assert [] == await world.findings()


async def test_a_unit_comes_back_or_is_made_good_and_not_both(world: World) -> None:
    """Whichever is first, the other finds nothing left of the claim (L-7, L-9)."""
    for first, second in ((Kind.REVERSE, Kind.MAKE_GOOD), (Kind.MAKE_GOOD, Kind.REVERSE)):
        more: dict[Kind, dict[str, Any]] = {
            Kind.REVERSE: {},
            Kind.MAKE_GOOD: {"fault": Fault.OURS, "valid_days": 7},
        }
        member = await holder(world)
        claim = await spent(world, member)
        assert "ok" == await correct(world, first, member, 1, claim_id=claim, **more[first])
        asked = await ask(world, second, member, 1, claim_id=claim, **more[second])
        assert "correction_exceeds" == asked


async def test_of_two_alike_revocations_one_is_approved(world: World) -> None:
    """The other was read before units were taken back, and is stale."""
    member = await holder(world, quantity=4)
    lot = await lot_of(world, member)
    asked = [await ask(world, Kind.REVOKE, member, 2, lot_id=lot) for _ in range(2)]
    assert ["ok", "correction_stale"] == [await approve(world, each) for each in asked]
    assert (2, 0) == await wallet(world, member)


async def test_who_was_asked_is_paid_whatever_the_programme_says_today(world: World) -> None:
    """A benefit changes its provider while an order is out: the old one delivered it."""
    member = await holder(world)
    (claim,) = await claimed(world, wish(member))
    programme = reference_programme()
    other = msgspec.structs.replace(programme.provider[0], code="other")
    benefits = tuple(msgspec.structs.replace(b, provider="other") for b in programme.benefit)
    providers = (*programme.provider, other)
    await world.apply(msgspec.structs.replace(programme, provider=providers, benefit=benefits))
    await call_back(world, await number_of(world, claim), Done(at=NOON))
    found = await world.rows("SELECT party FROM posting WHERE credit = 'expense'")
    assert ["sandbox"] == [row.party for row in found]
    assert [] == await world.findings()
