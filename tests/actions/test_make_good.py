"""Make-goods: what an order took and did not bring is replaced once, at the price it had."""

from datetime import timedelta

import pytest

from benefits.domain.benefit import ClawBack, Late, LateReversal
from benefits.domain.corrections import Fault, Kind
from benefits.domain.orders import (
    Done,
    Expired,
    Outcome,
    Reason,
    Rejected,
    Reversed,
    Revoked,
    Used,
)
from benefits.domain.programme_file import read
from tests.actions.desk import ask, correct, figures, lost, money, offered, spent
from tests.actions.life import (
    call_back,
    claimed,
    counter,
    holder,
    lapse_holds,
    number_of,
    states,
    wallet,
    wish,
)
from tests.builders import NOON, PROGRAMME, World

OURS = {"fault": Fault.OURS, "valid_days": 30}
LATER = NOON + timedelta(hours=1)


async def test_the_provider_owes_what_the_order_cost_whatever_it_costs_today(
    world: World,
) -> None:
    """A price that rose between the order and its make-good is not theirs to pay (L-9)."""
    member = await holder(world, quantity=2)
    claim = await spent(world, member, quantity=2)
    await world.apply(read(PROGRAMME.replace('cost = "15.00"', 'cost = "20.00"')))
    more = {"claim_id": claim, "fault": Fault.PROVIDER, "valid_days": 7}
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 1, **more)
    assert -1500 == await money(world, "suspense")
    assert [] == await world.findings()


@pytest.mark.parametrize(("ends", "first"), [(30, "correction_exceeds"), (1, "ok")])
async def test_what_came_back_by_itself_is_not_made_good(
    world: World, ends: int, first: str
) -> None:
    """A rejected order gave its unit back, unless its time was over: then it is replaced once."""
    member = await holder(world, valid_days=ends)
    (claim,) = await claimed(world, wish(member))
    world.clock.forward(days=3)
    await call_back(world, await number_of(world, claim), Rejected(Reason.LIMIT, "limit"))
    more = {"claim_id": claim, "fault": Fault.PROVIDER, "valid_days": 30}
    for expected in (first, "correction_exceeds"):
        assert expected == await correct(world, Kind.MAKE_GOOD, member, 1, **more)
    assert (1, 0) == await wallet(world, member)
    assert [] == await world.findings()


async def test_of_what_was_settled_in_part_only_what_is_gone_is_made_good(world: World) -> None:
    """Three were held and two delivered: one came back."""
    member = await holder(world, "LOUNGE", quantity=3)
    claim = await lost(world, member, "LOUNGE", 3)
    assert "ok" == await correct(world, Kind.SETTLE, member, 2, claim_id=claim)
    more = {"claim_id": claim, "fault": Fault.OURS, "valid_days": 30}
    assert "correction_exceeds" == await ask(world, Kind.MAKE_GOOD, member, 3, **more)
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 2, **more)
    assert (3, 0) == await wallet(world, member, "LOUNGE")
    assert [] == await world.findings()


async def test_a_claim_is_corrected_by_the_terms_it_was_made_under(world: World) -> None:
    """A later version gives no old claim what was not promised (U-3)."""
    member = await holder(world, quantity=2, valid_days=1)
    claim = await spent(world, member, quantity=2)
    await offered(world, late_reversal=LateReversal(then=Late.MAKE_GOOD, days=14))
    world.clock.forward(days=3)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=claim)
    assert [(2, 0, 0, 1, 1)] == await figures(world, member)
    assert [] == await world.findings()


async def test_what_an_order_holds_is_not_made_good(world: World) -> None:
    """Delivered and not used it may still be used, or come back by itself, once (L-9)."""
    member = await holder(world, "LOUNGE", quantity=2)
    (claim,) = await claimed(world, wish(member, "LOUNGE"))
    number = await number_of(world, claim)
    await call_back(world, number, Done(at=NOON))
    asked = await ask(world, Kind.MAKE_GOOD, member, 1, claim_id=claim, **OURS)
    assert ("order_unfit", ["ISSUED"]) == (asked, await states(world))
    await call_back(world, number, Expired(at=NOON))
    asked = await ask(world, Kind.MAKE_GOOD, member, 1, claim_id=claim, **OURS)
    assert ("correction_exceeds", (2, 0)) == (asked, await wallet(world, member, "LOUNGE"))
    assert [] == await world.findings()


async def test_a_use_that_was_made_good_and_is_undone_is_a_persons(world: World) -> None:
    """The member has the other unit: this one is not held again, and nobody gets it (L-9)."""
    member = await holder(world, "LOUNGE")
    (claim,) = await claimed(world, wish(member, "LOUNGE"))
    number = await number_of(world, claim)
    await call_back(world, number, Used(at=NOON))
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 1, claim_id=claim, **OURS)
    await call_back(world, number, Reversed(at=LATER))
    (case,) = await world.rows("SELECT kind FROM case_file")
    assert ("reversed_by_hand", ["ISSUED"]) == (case.kind, await states(world))
    await call_back(world, number, Expired(at=LATER + timedelta(hours=1)))
    assert (1, 0) == await wallet(world, member, "LOUNGE")
    assert [] == await world.findings()


async def test_of_what_ended_unused_after_all_only_the_rest_comes_back(world: World) -> None:
    """One of two was made good: it ends with its order, and both are paid back (L-7, L-9)."""
    member = await holder(world, "LOUNGE", quantity=2)
    (claim,) = await claimed(world, wish(member, "LOUNGE", quantity=2))
    number = await number_of(world, claim)
    await call_back(world, number, Used(at=NOON), Expired(at=LATER))
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 1, claim_id=claim, **OURS)
    await call_back(world, number, Reversed(at=NOON + timedelta(minutes=1)))
    assert (["EXPIRED"], (2, 0)) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert [(2, 1, 0, 0, 1), (1, 1, 0, 0, 0)] == await figures(world, member)
    assert (0, 0) == await counter(world, "budget:lounge")
    assert [] == await world.findings()


@pytest.mark.parametrize(
    ("told", "state", "cases", "left"),
    [
        ((Reversed(at=LATER),), "ISSUED", ["reversed_by_hand"], (0, 1)),
        ((Expired(at=LATER), Reversed(at=LATER)), "EXPIRED", [], (1, 0)),
    ],
)
async def test_what_was_clawed_back_comes_back_by_no_provider(
    world: World,
    *,
    told: tuple[Outcome, ...],
    state: str,
    cases: list[str],
    left: tuple[int, int],
) -> None:
    """The bank has borne one of two uses: both undone, one unit is the member's (L-8)."""
    member = await holder(world, "LOUNGE", quantity=2)
    claims = await claimed(world, wish(member, "LOUNGE"), wish(member, "LOUNGE"))
    numbers = [await number_of(world, claim) for claim in claims]
    for number in numbers:
        await call_back(world, number, Used(at=NOON))
    assert "ok" == await correct(world, Kind.CLAW_BACK, member, 1, benefit="LOUNGE")
    for number in numbers:
        assert [] == await world.rows("SELECT kind FROM case_file")
        await call_back(world, number, *told)
    assert ([state] * 2, left) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert cases == [row.kind for row in await world.rows("SELECT kind FROM case_file")]
    assert [] == await world.findings()


PROMISED = {"late_reversal": LateReversal(then=Late.MAKE_GOOD, days=14)}
LIVED = (1, 0, 0, 0, 1)  # one unit that ended
ANEW = (1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("code", "told", "expected"),
    [
        ("VIDEO", (Rejected(Reason.STOCK_OUT, "out"),), [LIVED, ANEW]),
        ("VIDEO", (), [LIVED, ANEW]),  # never sent
        ("LOUNGE", (Done(at=NOON), Revoked(at=LATER)), [LIVED, ANEW]),
        ("LOUNGE", (Used(at=NOON), Expired(at=LATER), Reversed(at=LATER)), [LIVED, ANEW]),
        ("VIDEO", (Rejected(Reason.INVALID, "no_such_phone"),), [LIVED]),
        ("LOUNGE", (Done(at=NOON), Expired(at=LATER)), [LIVED]),
    ],
)
async def test_what_comes_back_ended_is_made_good_once_where_that_is_promised(
    world: World,
    code: str,
    *,
    told: tuple[Outcome, ...],
    expected: list[tuple[int, ...]],
) -> None:
    """L-6, L-7: failed or undone without the member's fault; not what nobody used (V-5)."""
    await offered(world, **PROMISED)
    member = await holder(world, code, valid_days=1)
    (claim,) = await claimed(world, wish(member, code))
    world.clock.forward(days=3)
    number = await number_of(world, claim)
    if told:
        for _ in range(2):
            await call_back(world, number, *told)
    else:
        assert 1 == await lapse_holds(world)
    assert expected == await figures(world, member)
    ends = await world.rows("SELECT expires_at FROM lot WHERE cause = 'MAKE_GOOD'")
    now = world.clock()
    assert all(timedelta(days=14) < end - now <= timedelta(days=15) for (end,) in ends)
    asked = await ask(world, Kind.MAKE_GOOD, member, 1, claim_id=claim, **OURS)
    assert (asked == "correction_exceeds") == (ANEW in expected)
    assert [] == await world.findings()


async def test_what_people_made_good_is_not_made_good_by_itself_besides(world: World) -> None:
    """The use is undone after its lot's end: its unit is replaced already (L-9)."""
    await offered(world, **PROMISED)
    member = await holder(world, "LOUNGE", valid_days=1)
    (claim,) = await claimed(world, wish(member, "LOUNGE"))
    number = await number_of(world, claim)
    await call_back(world, number, Used(at=NOON))
    world.clock.forward(days=3)
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 1, claim_id=claim, **OURS)
    await call_back(world, number, Expired(at=LATER), Reversed(at=LATER))
    assert [LIVED, ANEW] == await figures(world, member)
    assert [] == await world.findings()


async def test_a_debt_is_paid_first_by_what_is_made_good_and_who_left_gets_nothing(
    world: World,
) -> None:
    """As by any other grant (L-8); a member who is gone can use nothing (T-10)."""
    await offered(world, claw_back=ClawBack.DEBT, **PROMISED)
    member = await holder(world, "LOUNGE", quantity=2, valid_days=1)
    used, held = await claimed(world, wish(member, "LOUNGE"), wish(member, "LOUNGE"))
    await call_back(world, await number_of(world, used), Used(at=NOON))
    assert "ok" == await correct(world, Kind.CLAW_BACK, member, 1, benefit="LOUNGE")
    gone = await holder(world, "LOUNGE", valid_days=1)
    (left,) = await claimed(world, wish(gone, "LOUNGE"))
    await world.rows("UPDATE member SET closed_on = $1 WHERE member_id = $2 RETURNING 1",
                     NOON.date(), gone)  # fmt: skip
    world.clock.forward(days=3)
    for claim in (held, left):
        await call_back(world, await number_of(world, claim), Rejected(Reason.CONFIG, "ours"))
    assert [(2, 0, 0, 1, 1), (1, 0, 0, 0, 0)] == await figures(world, member)
    assert [LIVED] == await figures(world, gone)
    assert [(0,)] == [
        tuple(row)
        for row in await world.rows("SELECT owed FROM wallet WHERE member_id = $1", member)
    ]
    assert [] == await world.findings()
