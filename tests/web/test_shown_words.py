"""Whatever a member can meet on the page has words in both languages."""

from benefits.actions import claim, evaluate
from benefits.domain import entitlement, ledger
from benefits.domain.benefit import Kind
from benefits.domain.blocks import Blocked
from benefits.domain.limits import CapWindow
from benefits.domain.orders import OrderState, Reason
from benefits.domain.packages import UpgradePolicy
from benefits.domain.refusal import Refusal
from benefits.domain.requests import KeyConflict
from benefits.domain.tiers import Cause
from benefits.domain.values import PeriodKind
from benefits.web.page import shown, shown_benefit, shown_history, shown_order, shown_tier
from benefits.web.problems import ReadOnly


def test_everything_a_member_can_meet_has_words() -> None:
    """A customer never reads a code: states, refusals, reasons, rules, causes and events."""
    assert set(OrderState) == set(shown.STATE_WORDS) == set(shown.SHORT_WORDS)
    assert set(OrderState) == set(shown_order.EXPLAINED)
    assert set(Reason) == set(shown_order.REASONS)
    assert set(Cause) == set(shown_tier.CAUSES)
    assert set(PeriodKind) == set(shown_benefit.PERIODS) == set(shown_benefit.ENDS)
    assert set(CapWindow) == set(shown_benefit.WINDOWS)
    assert set(UpgradePolicy) == set(shown_benefit.RISES)
    assert set(Kind) == set(shown_benefit.AFTER)
    assert set(evaluate._EVENTS.values()) <= set(shown_history.types_of("tier"))
    variants = {f"entitlement.{how}" for how in ("rewarded", "ended", "replaced", "owing")}
    assert set(shown_history.types_of("")) == set(shown_history.WORDS) - variants
    codes = {KeyConflict.code, ReadOnly.code, Blocked.code}
    for module in (claim, entitlement, ledger):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Refusal):
                codes |= {kind.code} if kind.__module__ == module.__name__ else set()
    assert codes == set(shown_benefit.REFUSED_WORDS)
