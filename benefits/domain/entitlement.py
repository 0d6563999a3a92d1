"""Entitlements: what a tier grants per period, and whether a claim may be made (P-3, P-4, K-2).

Both are decided from loaded facts alone. A grant tops the period up to the quota of the tier,
whatever path led there. A claim checks in one fixed order and the first failure is the reason;
then it takes units, capacity and budget together or nothing at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction
from uuid import UUID

import msgspec

from benefits.domain.benefit import Benefit
from benefits.domain.downgrades import Change
from benefits.domain.ledger import Lot, Part, take
from benefits.domain.limits import CapWindow
from benefits.domain.packages import Line, UpgradePolicy
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.values import EPOCH, Period, PeriodKind, period_of

RECIPIENT_MAX = 128


class MemberClosed(Refusal):
    """The relationship has ended."""

    code = "member_closed"
    words = "The relationship of this member has ended."


class RecipientIncomplete(Refusal):
    """The claim does not bring the recipient's fields the benefit needs, or brings others."""

    code = "recipient_incomplete"
    words = "The claim must bring exactly the recipient fields the benefit needs."


class CapReached(Refusal):
    """The member's own cap of the window is used up (K-1)."""

    code = "cap_reached"
    words = "The limit for this benefit in this period is reached."


class StockExhausted(Refusal):
    """No stock is left (V-9)."""

    code = "stock_exhausted"
    words = "This benefit is sold out."


class BudgetExhausted(Refusal):
    """The budget cannot bear the worst cost of this claim (K-4)."""

    code = "budget_exhausted"
    words = "This benefit is not available at the moment."


class Granted(msgspec.Struct, frozen=True):
    """An earlier grant of a line in a period: the quota it reached, its units, and when."""

    quota: int
    quantity: int
    at: datetime = EPOCH


def top_up(
    line: Line,
    quota: int,
    before: Sequence[Granted],
    changes: Sequence[Change] = (),
    *,
    period: Period,
    from_: date,
) -> int:
    """Return what brings the period to `quota`; 0 when it is there (P-3, P-4).

    All figures are in steps, so a share is rounded to one, as the line's policy says.

    `before` are the line's tier grants in the period, `changes` what falls took of them and rises
    gave back; `from_` is the first day of the new tier.
    """
    reached = _reached(before, changes)
    if before and quota <= reached:
        return 0  # reached before, by whatever policy
    match line.upgrade:
        case UpgradePolicy.TOP_UP:
            taken = sum(change.taken for change in changes)
            return max(0, quota - sum(grant.quantity for grant in before) + taken)
        case UpgradePolicy.PRORATE_FLOOR | UpgradePolicy.PRORATE_CEIL:
            exact = prorated(max(0, quota - reached), period, from_)
            floor = exact.numerator // exact.denominator
            whole = exact.denominator == 1
            return floor if whole or line.upgrade is UpgradePolicy.PRORATE_FLOOR else floor + 1
        case UpgradePolicy.FULL:
            return quota
        case UpgradePolicy.NEXT_PERIOD:
            return 0 if before or from_ > period.start else quota


def _reached(before: Sequence[Granted], changes: Sequence[Change]) -> int:
    """Return the quota that stands: the highest, or that of the last change and those after it."""
    if not changes:
        return max((grant.quota for grant in before), default=0)
    last = max(changes, key=lambda change: change.at)
    return max([last.quota, *(grant.quota for grant in before if grant.at > last.at)])


def parted(
    amount: int, quota: int, before: Sequence[Granted], back: Sequence[Part]
) -> tuple[Sequence[Part], int]:
    """Part what a rise brings into what comes `back` to its lots, and what is granted anew (P-6).

    What was granted for the quota before, or for a higher one, is not granted again.
    """
    given = sum(part.amount for part in back)
    is_new = all(grant.quota < quota for grant in before)
    return back, amount - given if is_new else 0


def prorated(difference: int, period: Period, from_: date) -> Fraction:
    """Return the share of `difference` for the days left in the period, from `from_` (P-4)."""
    remaining = (period.end - max(from_, period.start)).days
    return Fraction(difference * remaining, period.days)


class CounterUse(msgspec.Struct, frozen=True):
    """What of a shared counter is taken: `reserved` by holds, `spent` for good."""

    reserved: int = 0
    spent: int = 0

    @property
    def taken(self) -> int:
        """Units that are not free."""
        return self.reserved + self.spent


class ClaimCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A member asks for `quantity` pieces of a benefit; `recipient` goes to its provider only."""

    quantity: int
    recipient: dict[str, str] = {}


class ClaimFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim is decided on, as read under the member's lock.

    `piece` is what one piece takes of the units. That, `cap_limit` and `cap_used`, the member's
    in the current window, are in the ledger's steps; stock is in pieces, costs in minor units.
    """

    closed: bool
    lots: tuple[Lot, ...]
    piece: int
    cap_limit: int | None
    cap_used: int
    stock: CounterUse
    budget: CounterUse
    budget_total: int
    piece_cost: int


class Claim(msgspec.Struct, frozen=True):
    """An accepted claim: the units it takes, and the worst cost it reserves in minor units.

    `taken` is what the parts come to; `uncapped` of it does not count against the member's cap:
    the units of a make-good (L-9).
    """

    parts: list[Part]
    taken: int
    cost_minor: int
    uncapped: int


def claim(
    command: ClaimCommand, benefit: Benefit, facts: ClaimFacts, now: datetime
) -> Claim | Refusal:
    """Decide a claim: member, recipient, member cap, stock, budget, lots, in this order (K-2)."""
    cost = facts.piece_cost * command.quantity
    wanted = facts.piece * command.quantity
    if facts.closed:
        return MemberClosed()
    if set(command.recipient) != set(benefit.recipient) or not all(
        value.strip() and value.isprintable() and len(value) <= RECIPIENT_MAX
        for value in command.recipient.values()
    ):
        needed = ", ".join(benefit.recipient) or "none"
        return RecipientIncomplete(
            f"Recipient fields needed: {needed}; each 1 to {RECIPIENT_MAX} printable characters."
        )
    try:
        parts, short = take(facts.lots, wanted, now), None
    except Refusal as refusal:
        parts, short = [], refusal
    uncapped = uncapped_units(parts, {lot.lot_id: lot for lot in facts.lots})
    counted = wanted - uncapped
    if facts.cap_limit is not None and counted and facts.cap_used + counted > facts.cap_limit:
        return CapReached()
    if benefit.stock is not None and facts.stock.taken + command.quantity > benefit.stock:
        return StockExhausted()
    if facts.budget.taken + cost > facts.budget_total:
        return BudgetExhausted()
    return short or Claim(parts, wanted, cost, uncapped)


def cap_limit(programme: Programme, benefit: Benefit) -> int | None:
    """Return the limit of a benefit's cap in steps; None without a cap (K-1, C-2)."""
    return None if benefit.cap is None else programme.steps(benefit, benefit.cap.limit)


def uncapped_units(parts: Iterable[Part], lots: Mapping[UUID, Lot]) -> int:
    """Return how many units do not count against a cap: a make-good's (L-9)."""
    return sum(part.amount for part in parts if not lots[part.lot_id].capped)


def cap_window(window: CapWindow, day: date) -> str:
    """Return the key of the window that `day` lies in; it resets at local midnight (K-3)."""
    match window:
        case CapWindow.LIFETIME:
            return "all"
        case CapWindow.MONTH | CapWindow.QUARTER | CapWindow.YEAR:
            return period_of(day, PeriodKind[window.name]).key


def stock_counter(benefit: Benefit) -> str:
    """Return the name of the counter that guards a benefit's stock."""
    return f"stock:{benefit.code}"


def budget_counter(budget: str) -> str:
    """Return the name of the counter that guards a budget."""
    return f"budget:{budget}"
