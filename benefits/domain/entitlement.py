"""Entitlements: what a tier grants per period, and whether a claim may be made (P-3, P-4, K-2).

Both are decided from loaded facts alone. A grant tops the period up to the quota of the tier,
whatever path led there. A claim checks in one fixed order and the first failure is the reason;
then it takes units, capacity and budget together or nothing at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from fractions import Fraction
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain import eligibility
from benefits.domain.benefit import Benefit
from benefits.domain.blocks import Blocked
from benefits.domain.booking import BookingTime, Slots
from benefits.domain.downgrades import Change, given_back
from benefits.domain.exclusions import Excluded
from benefits.domain.fields import Known
from benefits.domain.ledger import Lot, Part, take
from benefits.domain.limits import Counted, Left, Room, coarse, full, opens
from benefits.domain.packages import Line, UpgradePolicy
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.use import ClaimWindow
from benefits.domain.values import EPOCH, Period, end_of
from benefits.domain.waits import Waiting

RECIPIENT_MAX = 128


class MemberClosed(Refusal):
    """The relationship has ended."""

    code = "member_closed"
    words = "The relationship of this member has ended."


CODES_SEEN = 100  # of codes in stock: as many as a claim may ask for, whatever more there are


class ContractEnded(Refusal):
    """The contract with the provider is over, or about to be (V-6)."""

    code = "contract_ended"
    words = "This benefit is not offered any more: its contract has ended, or is about to."


class GuestLimit(Refusal):
    """More companions are asked for than the member's tier brings along (V-10)."""

    code = "guest_limit"
    words = "So many companions cannot come along."


class RecipientIncomplete(Refusal):
    """The claim does not bring the recipient's fields the benefit needs, or brings others."""

    code = "recipient_incomplete"
    words = "The claim must bring exactly the recipient fields the benefit needs."


class CapReached(Refusal):
    """The room of a cap or limit is used up, of the member's own or of all in its scope (K-1)."""

    code = "cap_reached"
    words = "The limit for this benefit in this period is reached."

    @classmethod
    def of(cls, lacking: Sequence[tuple[Room, int]]) -> "CapReached":
        """Say no, whether a claim may wait, and when there is room again where that is told."""
        words, at = cls.words, opens(lacking)
        if _may_wait(lacking):
            words = f"{words} A claim may wait for room."
        if at is not None:
            words = f"{words} There is room again from {at.astimezone(UTC).isoformat()} on."
        return cls(words)


class StockExhausted(Refusal):
    """No stock is left (V-9)."""

    code = "stock_exhausted"
    words = "This benefit is sold out."


class BudgetExhausted(Refusal):
    """The budget cannot bear the worst cost of this claim (K-4)."""

    code = "budget_exhausted"
    words = "This benefit is not available at the moment."


class Granted(msgspec.Struct, frozen=True):
    """An earlier grant of a line in a period: the quota it reached, its units, and when.

    What was granted to who was merged into the member is not the member's `is_own`.
    """

    quota: int
    quantity: int
    at: datetime = EPOCH
    is_own: bool = True


def net_of(before: Sequence[Granted], changes: Sequence[Change]) -> int:
    """Return what a line brought in a period, without what falls took of it (P-4, P-6).

    What people revoked stays in it: else whoever grants next would undo their correction.
    """
    return sum(grant.quantity for grant in before) - sum(change.taken for change in changes)


def top_up(
    line: Line,
    quota: int,
    before: Sequence[Granted],
    changes: Sequence[Change] = (),
    *,
    back: int = 0,
    period: Period,
    from_: date,
) -> int:
    """Return what is granted anew to bring the period to `quota`; 0 when it is there (P-3, P-4).

    All figures are in steps, so a share is rounded to one, as the line's policy says.

    `before` are the line's tier grants in the period, `changes` what falls took of them and rises
    gave back, `back` is what comes back now; `from_` is the first day of the new tier. A
    quota is granted once, whatever went of it: what falls took comes back, or is lost with its
    lots. What they took of who was merged comes back to nobody, and is granted anew.
    """
    if _is_reached(quota, before, changes):
        return 0
    if any(grant.is_own and grant.quota >= quota for grant in before):
        return 0
    missing = max(0, quota - net_of(before, changes) - back)
    lost = min(missing, _lost(changes))
    highest = max((grant.quota for grant in before), default=0)
    if quota <= highest:
        return lost
    match line.upgrade:
        case UpgradePolicy.TOP_UP:
            return missing
        case UpgradePolicy.PRORATE_FLOOR | UpgradePolicy.PRORATE_CEIL:
            exact = prorated(quota - highest, period, from_)
            floor = exact.numerator // exact.denominator
            whole = exact.denominator == 1
            is_floor = whole or line.upgrade is UpgradePolicy.PRORATE_FLOOR
            return min(missing, lost + (floor if is_floor else floor + 1))
        case UpgradePolicy.FULL:
            return lost + quota
        case UpgradePolicy.NEXT_PERIOD:
            return lost if from_ > period.start else missing


def missed(
    line: Line,
    quota: int,
    before: Sequence[Granted],
    changes: Sequence[Change],
    *,
    made_good: int,
    period: Period,
    from_: date,
) -> int:
    """Return what a period that is over lacks of the `quota` that was right for it (A-7, L-9).

    It is never more than the quota, net of all that came and was `made_good`. What a fall took
    that was none is lacking; what never came is as much as a rise on `from_` brings (P-4).
    """
    lacking = max(0, quota - net_of(before, changes) - made_good)
    if any(grant.quota >= quota for grant in before):
        return lacking
    return min(lacking, top_up(line, quota, before, period=period, from_=from_))


def anew(quota: int, missing: int, before: Sequence[Granted], changes: Sequence[Change]) -> int:
    """Return what is granted of units `missing` to a line that stacks, up to `quota` (P-7).

    A quota is granted once, and of one that a merged customer had what falls took of them.
    """
    reached = [grant for grant in before if grant.quota >= quota]
    if any(grant.is_own for grant in reached):
        return 0
    return min(missing, _lost(changes)) if reached else missing


def _lost(changes: Sequence[Change]) -> int:
    """Return what falls took of who was merged, which comes back to nobody."""
    return sum(change.taken for change in changes if change.ends_at is None)


def coming_back(
    quota: int, before: Sequence[Granted], changes: Sequence[Change], now: datetime
) -> list[Part]:
    """Return what a rise to `quota` gives back of what falls took, to its lots (P-6).

    It comes whatever the line's policy says of what is new: as much as was granted for the quota
    and those below it, or as the quota where that is more.
    """
    if _is_reached(quota, before, changes):
        return []
    granted = sum(grant.quantity for grant in before if grant.quota <= quota)
    return given_back(changes, max(0, max(quota, granted) - net_of(before, changes)), now)


def _is_reached(quota: int, before: Sequence[Granted], changes: Sequence[Change]) -> bool:
    """Say whether a quota stands after changes: that of the last, or of a grant since then."""
    if not changes:
        return False
    last = max(changes, key=lambda change: change.at)
    after = (grant.quota for grant in before if grant.at > last.at)
    return quota <= max([last.quota, *after])


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

    @property
    def moves(self) -> bool:
        """Whether it changes anything."""
        return bool(self.reserved or self.spent)


class ClaimCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A member asks for pieces of a benefit; `recipient` goes to its provider only.

    `quantity` is all of them: with each of the member's own come as many as `companions`. A
    booking is for the time `booked_for`. It `waits` for room if it may.
    """

    quantity: int
    companions: int = 0
    recipient: dict[str, str] = {}
    booked_for: datetime | None = None
    waits: bool = False


class Node(msgspec.Struct, frozen=True):
    """A budget above the one that a benefit is charged to: what is taken, of how much (K-4)."""

    use: CounterUse
    total: int


class ClaimFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim is decided on, as read under the member's lock.

    `piece` is what one piece takes of the units. That, `cap_limit` and `cap_used`, the member's
    in the current window, are in the ledger's steps; stock is in pieces, costs in minor units.
    `known` is what the benefit's rule and consent are judged by, where it has any.
    `excluded_by` is the benefit of its exclusion group that the member has claimed, if any.
    `rooms` are those of the limits, in the order in which they are asked; `above` are the budgets
    that bear along, the nearest first. As many `companions` may come along. Of `codes` so many
    lie in stock; None where the provider is asked. What is booked is so for one of the `slots`.
    """

    today: date
    closed: bool
    lots: tuple[Lot, ...]
    piece: int
    cap_limit: int | None
    cap_used: int
    stock: CounterUse
    budget: CounterUse
    budget_total: int
    piece_cost: int
    blocked: bool = False
    known: Known | None = None
    excluded_by: str = ""
    rooms: tuple[Room, ...] = ()
    above: tuple[Node, ...] = ()
    companions: int = 0
    codes: int | None = None
    slots: Slots | None = None


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
) -> Claim | Waiting | Refusal:
    """Decide a claim, by what refuses it first (K-2).

    The order is: member, blocks, contract, window, consent, eligibility, companions, recipient,
    booking, exclusion group, the member's caps, shared limits, stock, budget and those above it,
    lots. One that `waits` does so where nothing but room is missing, for the first limit's.
    """
    cost = facts.piece_cost * command.quantity
    wanted = facts.piece * command.quantity
    barred = _barred(command, benefit, facts)
    if barred is not None:
        return barred
    try:
        parts, short = take(facts.lots, wanted, now), None
    except Refusal as refusal:
        parts, short = [], refusal
    uncapped = uncapped_units(parts, {lot.lot_id: lot for lot in facts.lots})
    counted = wanted - uncapped
    if facts.excluded_by and counted:
        return Excluded(facts.excluded_by)
    if facts.cap_limit is not None and counted and facts.cap_used + counted > facts.cap_limit:
        return CapReached()
    lacking = full(facts.rooms, Counted(counted, facts.piece, facts.piece_cost))
    if lacking and not (command.waits and _may_wait(lacking)):
        return CapReached.of(lacking)
    short = _exhausted(command, benefit, facts) or short
    if short is not None:
        return short
    return Waiting(*lacking[0]) if lacking else Claim(parts, wanted, cost, uncapped)


def _exhausted(command: ClaimCommand, benefit: Benefit, facts: ClaimFacts) -> Refusal | None:
    """Return what there is too little of for everybody: stock, codes, or money (K-4)."""
    if benefit.stock is not None and facts.stock.taken + command.quantity > benefit.stock:
        return StockExhausted()
    if facts.codes is not None and facts.codes < command.quantity:
        return StockExhausted()
    cost = facts.piece_cost * command.quantity
    nodes = (Node(facts.budget, facts.budget_total), *facts.above)
    if any(node.use.taken + cost > node.total for node in nodes):
        return BudgetExhausted()
    return None


def _may_wait(lacking: Sequence[tuple[Room, int]]) -> bool:
    return all(room.may_wait(amount) for room, amount in lacking)


def _barred(command: ClaimCommand, benefit: Benefit, facts: ClaimFacts) -> Refusal | None:
    """Return what refuses a claim whatever there is left: the first part of the order (K-2)."""
    if facts.closed:
        return MemberClosed()
    if facts.blocked:
        return Blocked()
    if benefit.last_claim is not None and facts.today > benefit.last_claim:
        return ContractEnded()
    first, last = benefit.claim_from, benefit.window_ends
    if (first is not None and facts.today < first) or (last is not None and facts.today > last):
        return ClaimWindow.of(first, last)
    if facts.known is not None:
        kept_out = eligibility.admit(benefit.eligible, benefit.consent_key, facts.known)
        if kept_out is not None:
            return kept_out
    if command.companions > facts.companions:
        return GuestLimit(f"Companions who can come along: {facts.companions}.")
    if set(command.recipient) != set(benefit.recipient) or not all(
        value.strip() and value.isprintable() and len(value) <= RECIPIENT_MAX
        for value in command.recipient.values()
    ):
        needed = ", ".join(benefit.recipient) or "none"
        return RecipientIncomplete(
            f"Recipient fields needed: {needed}; each 1 to {RECIPIENT_MAX} printable characters."
        )
    at, slots = command.booked_for, facts.slots
    fits = at is None if slots is None else at is not None and slots.has(at)
    return None if fits else BookingTime.within(slots)


def left(benefit: Benefit, facts: ClaimFacts) -> Left | None:
    """Return how much is left of what all members share; None where nothing of it ends (K-8)."""
    found = [
        coarse(room.used + room.kept, room.most)
        for room in facts.rooms
        if not room.place.is_ones_own
    ]
    if benefit.stock is not None:
        found.append(coarse(facts.stock.taken, benefit.stock))
    if facts.codes is not None:
        found.append(coarse(CODES_SEEN - facts.codes, CODES_SEEN))
    order = list(Left)
    return max(found, key=order.index, default=None)


def cap_limit(programme: Programme, benefit: Benefit) -> int | None:
    """Return the limit of a benefit's cap in steps; None without a cap (K-1, C-2)."""
    return None if benefit.cap is None else programme.steps(benefit, benefit.cap.limit)


def capped_units(lots: Iterable[Lot], wanted: int, now: datetime) -> int:
    """Return how many of the units that a claim would take count; all where there are too few."""
    there = list(lots)
    try:
        parts = take(there, wanted, now)
    except Refusal:
        return wanted
    return wanted - uncapped_units(parts, {lot.lot_id: lot for lot in there})


def uncapped_units(parts: Iterable[Part], lots: Mapping[UUID, Lot]) -> int:
    """Return how many units do not count against a cap: a make-good's (L-9)."""
    return sum(part.amount for part in parts if not lots[part.lot_id].capped)


def cap_counter(benefit: str) -> str:
    """Return the name of a member's counter for the cap of a benefit."""
    return f"cap:{benefit}"


def stock_counter(benefit: Benefit) -> str:
    """Return the name of the counter that guards a benefit's stock."""
    return f"stock:{benefit.code}"


def budget_counter(budget: str) -> str:
    """Return the name of the counter that guards a budget."""
    return f"budget:{budget}"


def last_use(expires_at: datetime, contract_end: date | None, zone: ZoneInfo) -> datetime:
    """Return when units end that would end at `expires_at`: no later than the contract (V-6)."""
    return expires_at if contract_end is None else min(expires_at, end_of(contract_end, zone))
