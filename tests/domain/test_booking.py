"""Bookings by their rules alone: which times, when one is given up, and what ends it (V-10)."""

from datetime import datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from benefits.domain.auto_claims import claiming_problems
from benefits.domain.benefit import Kind
from benefits.domain.booking import (
    Booked,
    Booking,
    Cancelled,
    IfEnded,
    LateCancel,
    Slots,
    may_cancel,
    slots,
)
from benefits.domain.booking_problems import booking_problems
from benefits.domain.entitlement import ClaimCommand, ClaimFacts, CounterUse, claim
from benefits.domain.lattice import Effect, Terms, Unused, advance
from benefits.domain.orders import (
    Capabilities,
    Done,
    Expired,
    LateSuccess,
    NotSent,
    OrderState,
    Outcome,
    PartlyUsed,
    Reason,
    Rejected,
    Revoked,
    Used,
)
from benefits.domain.packages import Claiming
from benefits.domain.refusal import Refusal
from benefits.domain.terms import changes
from tests.actions.limiting import local
from tests.builders import NOON, reference_programme

ZONE = ZoneInfo("Asia/Shanghai")
BASE = reference_programme()
LOUNGE = BASE.benefits["LOUNGE"]
TIME = NOON + timedelta(days=3)


@pytest.mark.parametrize(
    ("booking", "ends", "first", "until"),
    [
        (Booking(last_days=0), None, NOON, local(2025, 7, 3)),
        (Booking(first_days=1, last_days=2), None, local(2025, 7, 3), local(2025, 7, 5)),
        (Booking(first_days=1), local(2025, 7, 4), local(2025, 7, 3), local(2025, 7, 4)),
    ],
)
def test_times_are_whole_local_days_from_now_on(
    booking: Booking, ends: datetime | None, first: datetime, until: datetime
) -> None:
    """None is behind us, and none at the end of the contract or of the use or later."""
    found = slots(booking, NOON, ends, ZONE)
    assert Slots(first, until) == found
    step = timedelta(microseconds=1)
    inside = [first - step, first, until - step, until]
    assert [False, True, True, False] == [found.has(at) for at in inside]


@pytest.mark.parametrize(
    ("found", "at", "code"),
    [
        (None, None, "insufficient_units"),
        (None, TIME, "booking_time"),
        (Slots(NOON, TIME), None, "booking_time"),
        (Slots(NOON, TIME), TIME, "booking_time"),
        (Slots(NOON, TIME), NOON, "insufficient_units"),
    ],
)
def test_a_time_is_named_where_there_are_times(
    found: Slots | None, at: datetime | None, code: str
) -> None:
    """And nowhere else; it is asked before what is left (K-2)."""
    none = CounterUse()
    facts = ClaimFacts(
        today=NOON.date(),
        closed=False,
        lots=(),
        piece=1,
        cap_limit=None,
        cap_used=0,
        stock=none,
        budget=none,
        budget_total=1,
        piece_cost=0,
        slots=found,
    )
    asked = ClaimCommand(quantity=1, recipient={"phone": "1"}, booked_for=at)
    refusal = claim(asked, LOUNGE, facts, NOON)
    assert isinstance(refusal, Refusal)
    assert code == refusal.code


FREE = Booking(free_cancel_hours=24)
BOOKED = Booked(
    state=OrderState.ISSUED,
    used=0,
    booked_for=TIME,
    cancel_until=FREE.cancel_until(TIME),
    is_revoking=False,
)
LAST = TIME - timedelta(hours=24, microseconds=1)
LATE = LAST + timedelta(microseconds=1)
CAPTURE = replace(FREE, late_cancel=LateCancel.CAPTURE)


@pytest.mark.parametrize(
    ("booking", "more", "at", "code"),
    [
        (FREE, {}, LAST, ""),
        (FREE, {"state": OrderState.UNKNOWN}, LAST, ""),
        (FREE, {}, LATE, "cancelled_too_late"),
        (CAPTURE, {}, LATE, ""),
        (CAPTURE, {}, TIME, "cancelled_too_late"),
        (FREE, {"is_revoking": True}, LAST, "cancellation_open"),
        (FREE, {"state": OrderState.REDEEMED}, LAST, "not_cancellable"),
        (FREE, {"state": OrderState.PARTLY_REDEEMED, "used": 1}, LAST, "not_cancellable"),
        (FREE, {"state": OrderState.REVOKED, "is_revoking": True}, LAST, "not_cancellable"),
        (Booking(), {"cancel_until": None}, LAST, "not_cancellable"),
        (None, {}, LAST, "not_cancellable"),
    ],
)
def test_a_booking_is_given_up_in_its_time(
    booking: Booking | None, more: dict[str, Any], at: datetime, code: str
) -> None:
    """To the microsecond, while it stands unused, and once."""
    refusal = may_cancel(booking, replace(BOOKED, **more), at)
    assert code == ("" if refusal is None else refusal.code)


def moves(outcomes: list[Outcome], **more: Any) -> tuple[OrderState, list[Effect], list[str]]:
    """Return where a booking ends that hears so, with what became of its units, and cases."""
    terms: dict[str, Any] = {
        "consumed_at_issue": False,
        "late_success": LateSuccess.REISSUE,
        "quantity": 2,
    }
    state, course, effects, cases = OrderState.SUBMITTED, None, list[Effect](), list[str]()
    for outcome in outcomes:
        given = Terms(booked_for=TIME, **(terms | more))
        step = advance(state, outcome, given, *([course] if course else []))
        state, course = step.state, step.course
        effects += [step.effect] if step.effect is not Effect.NONE else []
        cases += [step.case] if step.case else []
    return state, effects, cases


@pytest.mark.parametrize(
    ("outcomes", "more", "effects", "cases"),
    [
        ([Expired(TIME)], {}, [Effect.CAPTURE], []),
        ([Expired(TIME)], {"unused": Unused.LOST}, [Effect.CAPTURE], []),
        ([Expired(TIME)], {"consumed_at_issue": True}, [Effect.CAPTURE], []),
        ([PartlyUsed(TIME, 1), Expired(TIME)], {}, [Effect.CAPTURE], []),
        ([Expired(LAST)], {}, [Effect.RELEASE], []),
        ([Expired(LAST)], {"unused": Unused.LOST}, [Effect.LOSE], []),
        ([Expired(TIME), Revoked(TIME)], {}, [Effect.CAPTURE], ["revoked_after_success"]),
    ],
)
def test_what_is_missed_is_spent(
    outcomes: list[Outcome], more: dict[str, Any], effects: list[Effect], cases: list[str]
) -> None:
    """All of it, once, also if it is used later; what ended before its time goes as always."""
    expected = (OrderState.EXPIRED, effects, cases)
    assert expected == moves([Done(NOON), *outcomes, Done(NOON)], **more)
    if effects == [Effect.CAPTURE]:
        used = moves([Done(NOON), *outcomes, Used(TIME)], **more)
        assert (OrderState.REDEEMED, effects, cases) == used


@pytest.mark.parametrize(
    ("outcomes", "cancelled", "at_issue", "effects"),
    [
        ([Done(NOON)], Cancelled.IN_TIME, False, [Effect.RELEASE]),
        ([Done(NOON)], Cancelled.IN_TIME, True, [Effect.CAPTURE, Effect.RETURN]),
        ([Done(NOON)], Cancelled.LATE, False, [Effect.CAPTURE]),
        ([Done(NOON)], Cancelled.LATE, True, [Effect.CAPTURE]),
        ([], Cancelled.LATE, False, [Effect.CAPTURE]),
        ([NotSent("refused")], Cancelled.LATE, False, [Effect.RELEASE]),
    ],
)
def test_what_is_given_up_comes_back_once_it_was_taken_back(
    outcomes: list[Outcome], cancelled: Cancelled, effects: list[Effect], *, at_issue: bool
) -> None:
    """In time whatever was spent; late nothing that left; success after it is nothing."""
    more: dict[str, Any] = {"cancelled": cancelled, "consumed_at_issue": at_issue}
    words: list[Outcome] = [Revoked(NOON), Expired(LAST)]
    for unused, over in product(Unused, words):
        heard = [*outcomes, over, over, Done(NOON)]
        assert (OrderState.REVOKED, effects, []) == moves(heard, unused=unused, **more)


@pytest.mark.parametrize("at_issue", [True, False])
def test_nobody_missed_what_was_given_up_in_time(*, at_issue: bool) -> None:
    """But who lets it end at its time may bill it, as may who refuses it: a person asks."""
    more: dict[str, Any] = {"cancelled": Cancelled.IN_TIME, "consumed_at_issue": at_issue}
    effects = [Effect.CAPTURE, Effect.RETURN] if at_issue else [Effect.RELEASE]
    words: dict[str, Outcome] = {
        "missed_after_given_up": Expired(TIME),
        "failed_after_success": Rejected(Reason.NOT_FOUND, "not_found"),
    }
    for case, over in words.items():
        expected = (OrderState.REVOKED, effects, [case])
        assert expected == moves([Done(NOON), over, over], **more)


@pytest.mark.parametrize(
    ("booking", "more", "told"),
    [
        (FREE, {}, ""),
        (FREE, {"kind": Kind.WALLET_COUPON}, ": stands with the kind BOOKING"),
        (Booking(first_days=9, last_days=8), {}, ".last_days: is before first_days, 9"),
        (Booking(late_cancel=LateCancel.CAPTURE), {}, ".late_cancel: stands with free_cancel_h"),
        (FREE, {"provider": "firm"}, ".free_cancel_hours: 'firm' takes no orders back"),
        (Booking(), {"provider": "firm"}, ""),
    ],
)
def test_a_booking_that_could_not_be_is_refused_by_its_path(
    booking: Booking, more: dict[str, Any], told: str
) -> None:
    """Each contradiction is told."""
    firm = replace(BASE.provider[0], code="firm", capabilities=Capabilities(revoke=False))
    lounge = replace(LOUNGE, booking=booking, **more)
    made = replace(BASE, provider=(*BASE.provider, firm), benefit=(lounge,))
    found = list(booking_problems(made))
    assert bool(told) == bool(found)
    assert all(each.startswith(f"benefit[0].booking{told}") for each in found)


def test_nobody_books_for_a_member() -> None:
    """What is AUTO names no time (P-2)."""
    lounge = replace(LOUNGE, recipient=(), booking=Booking())
    line = replace(BASE.line[0], claim=Claiming.AUTO)
    made = replace(BASE, benefit=(lounge, BASE.benefits["VIDEO"]), line=(line,))
    (told,) = claiming_problems(made, "line[0]", line)
    assert "line[0].claim: a claim of 'LOUNGE' is for a time, which nobody knows" == told


@pytest.mark.parametrize(
    ("more", "is_worse"),
    [
        ({"first_days": 1}, True),
        ({"last_days": 61}, False),
        ({"free_cancel_hours": 25}, True),
        ({"free_cancel_hours": None}, True),
        ({"free_cancel_hours": 23}, False),
        ({"late_cancel": LateCancel.CAPTURE}, False),
        ({"if_ended": IfEnded.LOSE}, True),
        ({"make_good_days": 29}, True),
        ({"no_show_hours": 23}, True),
        ({"no_show_hours": 25}, False),
    ],
)
def test_a_booking_is_judged_by_what_it_leaves(more: dict[str, Any], *, is_worse: bool) -> None:
    """Fewer times, less freedom and a shorter wait are worse; so is to be booked at all (U-2)."""
    video = BASE.benefits["VIDEO"]
    of = (
        replace(BASE, benefit=(replace(LOUNGE, booking=one), video))
        for one in (FREE, replace(FREE, **more))
    )
    (found,) = changes(*of)
    assert (f"benefit.LOUNGE.booking.{next(iter(more))}", is_worse) == (
        found.path,
        found.is_worse,
    )
    (new,) = changes(BASE, replace(BASE, benefit=(replace(LOUNGE, booking=FREE), video)))
    assert ("benefit.LOUNGE.booking", True) == (new.path, new.is_worse)
