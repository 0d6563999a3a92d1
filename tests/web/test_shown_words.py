"""Whatever a member can meet on the page has words in both languages."""

from typing import Any

from benefits.actions import claim, evaluate
from benefits.actions.read_code import SecondLook
from benefits.actions.redeem import RedemptionOpen
from benefits.domain import entitlement, ledger, waits
from benefits.domain.benefit import Kind
from benefits.domain.blocks import Blocked
from benefits.domain.booking import (
    BookingTime,
    CancellationOpen,
    CancelledTooLate,
    NotCancellable,
)
from benefits.domain.choices import ChoiceNotOffered, ChoiceRepeated, UnknownChoice
from benefits.domain.consents import ConsentRequired
from benefits.domain.eligibility import NotEligible
from benefits.domain.exclusions import Excluded
from benefits.domain.limits import CapWindow, Left
from benefits.domain.orders import OrderState, Reason
from benefits.domain.packages import Claiming, Downgrade, LinePeriod, Start, UpgradePolicy
from benefits.domain.refusal import Refusal
from benefits.domain.requests import KeyConflict
from benefits.domain.stacking import StackBy
from benefits.domain.tiers import Cause
from benefits.domain.use import ClaimWindow, Length
from benefits.store.pages import EventSeen
from benefits.web.page import (
    shown,
    shown_benefit,
    shown_booking,
    shown_choice,
    shown_days,
    shown_history,
    shown_limits,
    shown_lines,
    shown_order,
    shown_tier,
    shown_waits,
)
from benefits.web.problems import ReadOnly


def test_everything_a_member_can_meet_has_words() -> None:
    """A customer never reads a code: states, refusals, reasons, rules, causes and events."""
    assert set(OrderState) == set(shown.STATE_WORDS) == set(shown.SHORT_WORDS)
    assert set(OrderState) == set(shown_order.EXPLAINED)
    assert set(Reason) == set(shown_order.REASONS)
    assert set(Cause) == set(shown_tier.CAUSES)
    assert set(LinePeriod) == set(shown_lines.PERIODS) == set(shown_lines.ENDS)
    assert set(LinePeriod) == set(shown_lines.OWN_PERIODS) == set(shown_lines.OWN_ENDS)
    assert {-1, *range(1, 6)} == set(shown_days.NTH)
    assert set(CapWindow) == set(shown_limits.WINDOWS)
    assert set(Left) == set(shown_limits.LEFT)
    assert set(Downgrade) == set(shown_lines.FALLS)
    assert set(StackBy) == set(shown_lines.STACKS)
    assert set(Start) == set(shown_lines.STARTS)
    assert set(Claiming) == set(shown_lines.CLAIMS)
    assert set(UpgradePolicy) == set(shown_lines.RISES)
    assert set(Kind) == set(shown_benefit.AFTER)
    assert set(SecondLook) == set(shown_order.AGAIN)
    assert set(evaluate._EVENTS.values()) <= set(shown_history.types_of("tier"))
    some = ("rewarded", "joined", "remade", "righted", "ended", "replaced", "owing", "cut")
    variants = {f"entitlement.{how}" for how in some} | {"claim.left"}
    variants |= {"order.missed", "order.cancelled"}
    variants |= {f"wait.{how.value.lower()}" for how in waits.Reason}
    told = set(shown_history.types_of("")) - {"wait.ended"}
    assert told == set(shown_history.WORDS) - variants
    assert set(waits.Ahead) == set(shown_waits.AHEAD)
    assert {waits.UnknownWait.code, waits.WaitOver.code} == set(shown_waits.OVER_WORDS)
    refusals = {each.code for each in (UnknownChoice, ChoiceNotOffered, ChoiceRepeated)}
    otherwise = {each.code for each in (ledger.InsufficientUnits, ledger.LotExpired, KeyConflict)}
    assert refusals | otherwise == set(shown_choice.CHOICE_WORDS)
    assert {True, False} == set(shown_choice.REPEATS)
    codes = {KeyConflict.code, ReadOnly.code, Blocked.code}
    codes |= {ConsentRequired.code, NotEligible.code, Excluded.code}
    codes |= {ClaimWindow.code, BookingTime.code, waits.AlreadyWaiting.code}
    assert {kind.code for kind in (NotCancellable, CancellationOpen, CancelledTooLate)} | {
        RedemptionOpen.code
    } == set(shown_booking.CANCEL_WORDS)
    assert set(Length) == set(shown_limits.USES)
    for module in (claim, entitlement, ledger):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Refusal):
                codes |= {kind.code} if kind.__module__ == module.__name__ else set()
    assert codes == set(shown_benefit.REFUSED_WORDS)


def test_what_a_segment_brings_came_with_no_tier() -> None:
    """P-2: each cause of a grant has words of its own."""
    unsaid: dict[str, Any] = dict.fromkeys(EventSeen.__struct_fields__)

    def told(cause: str, period: str = "2025-07") -> str:
        data = {"cause": cause, "period": period}
        granted = {**unsaid, "type": "entitlement.granted", "data": data}
        return shown_history._word(EventSeen(**granted))

    expected = {"TIER": "granted", "SEGMENT": "joined", "REWARD": "rewarded"}
    expected |= {"MAKE_GOOD": "righted"}  # of a line's period, else of a claim
    words = {cause: f"entitlement.{word}" for cause, word in expected.items()}
    assert words == {cause: told(cause) for cause in expected}
    assert "entitlement.remade" == told("MAKE_GOOD", "0197c94d-5d20-7b2f-90de-38ae04163ac4")
