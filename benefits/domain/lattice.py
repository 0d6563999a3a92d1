"""What outcomes do to an order: states that are only ever reached upwards (V-2, V-4, V-5).

Only decided states move units. Final states are sticky: success is never lost, whatever arrives
after it, in any order. What the provider tells of a *use* has the provider's own time, and the
latest holds: a use and its undoing can come in any order, and twice. So an order stands where the
set of all that was heard puts it, not their sequence.

    HELD --send--> SUBMITTED --+-- Done ------> ISSUED ---> PARTLY_REDEEMED ---> REDEEMED
      |                        |   Confirmed -> CONFIRMED        ^                  |
      |                        |                      `-- EXPIRED +--- Reversed ----+
      |                        +-- Pending ---> PENDING -+
      |                        +-- Unknown ---> UNKNOWN -+--> ISSUED | COMPENSATED | MANUAL
      |                        +-- Rejected --> COMPENSATED (units released at once)
      +-- deadline --> EXPIRED
    COMPENSATED or EXPIRED, then success: issued again from the member's units, or revoked

A provider with two phases sets a thing aside when it says Done: the order is PENDING until it says
Confirmed. A booking that ended unused at its time or later was missed: its units are spent. What a
member gave up unused comes back as soon as the provider says in whatever words that it is over, be
it spent; given up late it is spent, unless it never left or was refused.
"""

import enum
from datetime import datetime

import msgspec
from msgspec.structs import replace

from benefits.domain.booking import Cancelled
from benefits.domain.orders import (
    DELIVERED,
    OPEN,
    USABLE,
    Confirmed,
    Done,
    Expired,
    LateSuccess,
    NotFound,
    NotSent,
    OrderState,
    Outcome,
    PartlyUsed,
    Pending,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
)


class Unused(enum.Enum):
    """What becomes of units that are spent by use, when their order ends unused (V-5)."""

    RETURN = "RETURN"
    LOST = "LOST"


class Effect(enum.Enum):
    """What a step does to the units of the claim.

    CAPTURE spends what is held; RELEASE gives it back and LOSE lets it end, but for the pieces
    that were used, which are spent. RESTORE takes back that it was spent, and it is held again;
    RETURN gives it back for good, and FORFEIT lets it end. RECKON leaves it spent, and pays for
    it anew: for the pieces that were used.
    """

    NONE = "NONE"
    CAPTURE = "CAPTURE"
    RELEASE = "RELEASE"
    LOSE = "LOSE"
    REISSUE = "REISSUE"
    REISSUE_AND_CAPTURE = "REISSUE_AND_CAPTURE"
    REVOKE = "REVOKE"
    RESTORE = "RESTORE"
    RETURN = "RETURN"
    FORFEIT = "FORFEIT"
    RECKON = "RECKON"


_PAYING = frozenset({Effect.CAPTURE, Effect.RECKON})


class Course(msgspec.Struct, frozen=True):
    """What a provider told of an order after it delivered, by its own time.

    Of the pieces `used` were used as of `used_at`, the latest it spoke of; at `ended_at` it ended.
    """

    used_at: datetime | None = None
    used: int = 0
    ended_at: datetime | None = None


UNTOLD = Course()


class Step(msgspec.Struct, frozen=True):
    """The next state, its effect, the kind of case a person must look at, and what is known.

    Of the pieces that it spends or reckons so many are `unpaid`: they were not used (V-5).
    """

    state: OrderState
    effect: Effect = Effect.NONE
    case: str = ""
    course: Course = UNTOLD
    unpaid: int = 0


class Terms(msgspec.Struct, frozen=True):
    """What of the claim, its benefit and its provider matters to an order."""

    consumed_at_issue: bool
    late_success: LateSuccess
    two_phase: bool = False
    used_on_issue: bool = False
    quantity: int = 1
    unused: Unused = Unused.RETURN
    booked_for: datetime | None = None
    cancelled: Cancelled = Cancelled.NO
    paid_by_use: bool = False


class Lapsed(msgspec.Struct, frozen=True):
    """Nothing was sent before the hold's deadline."""


class _Units(enum.Enum):
    """Where the units of a claim are."""

    HELD = "HELD"
    SPENT = "SPENT"
    BACK = "BACK"
    PARTED = "PARTED"


def advance(
    state: OrderState, outcome: Outcome | Lapsed, terms: Terms, course: Course = UNTOLD
) -> Step:
    """Return what an outcome does to an order; replays and late ones change nothing twice (V-4).

    "Not found" must have been weighed by `believed` before. Of an order that people settled as
    used, or that was used before uses were told, no time is known: what is told of it is later.
    """
    if state is OrderState.REDEEMED and course.used_at is None:
        course = replace(course, used=terms.quantity)
    given_up = terms.cancelled is not Cancelled.NO and state in OPEN | USABLE
    if given_up and not course.used and (step := _given_up(state, outcome, terms, course)):
        return step
    match outcome:
        case Done() if terms.two_phase:  # what is not confirmed is not delivered
            return Step(OrderState.PENDING if state in OPEN else state, course=course)
        case Expired(used=0) if terms.two_phase and state in OPEN:
            return _rejected(state, terms, _told(course, outcome, terms))
        case Done() | Confirmed() | Used() | PartlyUsed() | Reversed() | Expired():
            return _delivered(state, terms, (course, _told(course, outcome, terms)))
        case Rejected():
            return _rejected(state, terms, course)
        case Revoked():
            return _revoked(state, terms, course)
        case Pending() | Unknown() | NotFound() | NotSent() | Lapsed():
            if isinstance(outcome, Lapsed) and state is OrderState.HELD:
                return Step(OrderState.EXPIRED, Effect.RELEASE, course=course)
            return Step(_undecided(state, outcome), course=course)


# What may be on its way, and nobody has answered to.
_UNHEARD = frozenset({OrderState.HELD, OrderState.SUBMITTED, OrderState.UNKNOWN})


def _given_up(
    state: OrderState, outcome: Outcome | Lapsed, terms: Terms, course: Course
) -> Step | None:
    """Return what an answer does to an unused order that its member gave up; None: as to any.

    Nobody missed what was given up in time, but a provider that lets it end at its time may bill
    it; so may one that refuses what it had delivered. Then a person asks.
    """
    after = _Units.SPENT if terms.cancelled is Cancelled.LATE else _Units.BACK
    kept = replace(terms, unused=Unused.RETURN)
    moved = _moves(_units(state, terms, course), after, kept)
    match outcome:
        case NotSent() if state in _UNHEARD:
            return Step(OrderState.REVOKED, Effect.RELEASE, course=course)
        case Revoked():
            return Step(OrderState.REVOKED, moved, course=course)
        case Expired(used=0):
            ended = _told(course, outcome, terms)
            if terms.cancelled is Cancelled.IN_TIME and _is_missed(terms, ended):
                return Step(OrderState.REVOKED, moved, "missed_after_given_up", ended)
            return Step(OrderState.REVOKED, moved, course=ended)
        case Rejected() if state in USABLE:
            return Step(OrderState.REVOKED, moved, "failed_after_success", course)
        case _:
            return None


def _undecided(state: OrderState, outcome: Outcome | Lapsed) -> OrderState:
    match outcome:
        case Pending() if state in {OrderState.HELD, OrderState.SUBMITTED, OrderState.UNKNOWN}:
            return OrderState.PENDING
        case Unknown() | NotFound() if state in {OrderState.HELD, OrderState.SUBMITTED}:
            return OrderState.UNKNOWN
        case NotSent() if state is OrderState.SUBMITTED:
            return OrderState.HELD
        case _:
            return state


Delivery = Done | Confirmed | Used | PartlyUsed | Reversed | Expired


def pieces_told(outcome: Outcome | Lapsed, wanted: int, known: int) -> int | None:
    """Return how many of the `wanted` pieces an outcome says came; None: it says nothing (V-5).

    A delivery is of all of them unless it says of how many. What follows one may say so, too; and
    of more than were `known`, none if nothing was, so many came as were used.
    """
    match outcome:
        case Done() | Confirmed():
            return wanted if outcome.delivered is None else min(outcome.delivered, wanted)
        case Used() | PartlyUsed() | Reversed() | Expired():
            used = outcome.used if isinstance(outcome, PartlyUsed | Expired) else 0
            if outcome.delivered is None and not 0 < known < used:
                return None
            return min(max(outcome.delivered or 0, used), wanted)
        case _:
            return None


def _told(course: Course, outcome: Delivery, terms: Terms) -> Course:
    """Return what is known of the use after what the provider says now."""
    match outcome:
        case Done() if terms.used_on_issue:
            return _used(course, outcome.at, terms.quantity)
        case Done() | Confirmed():
            return course
        case Used():
            return _used(course, outcome.at, terms.quantity)
        case PartlyUsed():
            return _used(course, outcome.at, min(max(outcome.used, 1), terms.quantity))
        case Reversed():
            return _used(course, outcome.at, 0)
        case Expired():
            ended = replace(course, ended_at=min(outcome.at, course.ended_at or outcome.at))
            used = min(outcome.used, terms.quantity)
            return _used(ended, outcome.at, used) if used > course.used else ended


def _used(course: Course, at: datetime, used: int) -> Course:
    """Return what is known when `used` pieces are said to be used; of one instant 0 is later."""
    if course.used_at is not None:
        known, told = (course.used_at, not course.used, course.used), (at, not used, used)
        if known >= told:
            return course
    return replace(course, used_at=at, used=used)


def _place(terms: Terms, course: Course) -> OrderState:
    """Return where an order that was delivered stands by what is known of its use."""
    if course.used >= terms.quantity:
        return OrderState.REDEEMED
    if course.ended_at is not None:
        return OrderState.EXPIRED
    if course.used:
        return OrderState.PARTLY_REDEEMED
    return OrderState.CONFIRMED if terms.two_phase else OrderState.ISSUED


def _units(state: OrderState, terms: Terms, course: Course) -> _Units:
    if state in OPEN:
        return _Units.HELD
    if state is OrderState.EXPIRED and _is_missed(terms, course):
        return _Units.SPENT
    if state is OrderState.EXPIRED and course.ended_at is not None and course.used:
        return _Units.SPENT if terms.consumed_at_issue else _Units.PARTED
    if state in DELIVERED or (state is OrderState.EXPIRED and course.ended_at is not None):
        if terms.consumed_at_issue or state is OrderState.REDEEMED:
            return _Units.SPENT
        return _Units.HELD if state in DELIVERED else _Units.BACK
    return _Units.BACK


def _is_missed(terms: Terms, course: Course) -> bool:
    """Say whether a booking ended at its time or later, and nobody had come for all of it."""
    ended, booked_for = course.ended_at, terms.booked_for
    return ended is not None and booked_for is not None and ended >= booked_for


def _delivered(state: OrderState, terms: Terms, courses: tuple[Course, Course]) -> Step:
    known, course = courses
    if state is OrderState.REVOKED:
        if course.used and course != known:
            return Step(state, Effect.NONE, "used_after_revoked", course)
        return Step(state, course=course)
    to = _place(terms, course)
    before, after = _units(state, terms, known), _units(to, terms, course)
    is_late = state in {OrderState.COMPENSATED, OrderState.EXPIRED} and before is _Units.BACK
    told = bool(course.used) and course != known
    if is_late and to is OrderState.EXPIRED:  # nobody could have used all of it
        if told:
            return Step(state, Effect.NONE, "used_after_expired", course)
        if terms.two_phase and known.ended_at is not None and _is_spent(to, terms, course):
            # It ended before it was confirmed, and its units came back: which of the two is true?
            return Step(state, Effect.NONE, "failed_after_success", course)
        lapsed = state is OrderState.EXPIRED and known.ended_at is None
        return Step(state, course=known if lapsed else course)
    revoking = terms.late_success is LateSuccess.REVOKE
    if is_late and revoking and to in USABLE and not course.used:
        return Step(state, Effect.REVOKE, course=course)
    is_gone = is_late and state is OrderState.EXPIRED and known.ended_at is not None
    lost = is_gone and terms.unused is Unused.LOST
    if lost or (_Units.PARTED in {before, after} and before not in {_Units.HELD, after}):
        # What was not used was lost, or came back: a person looks at what is said now. That a part
        # is spent is not forgotten, whatever was undone.
        if before is _Units.PARTED and not course.used:
            course = replace(course, used=known.used)
        return Step(state, Effect.NONE, "used_after_expired" if course != known else "", course)
    moved, unpaid = _moves(before, after, terms), _unpaid(to, terms, course)
    known_as = (state, known.used, _unpaid(state, terms, known))
    is_over = terms.paid_by_use and to in {OrderState.REDEEMED, OrderState.EXPIRED}
    if is_over and before is after is _Units.SPENT and (to, course.used, unpaid) != known_as:
        moved = Effect.RECKON
    return Step(to, moved, course=course, unpaid=unpaid if moved in _PAYING else 0)


def _unpaid(state: OrderState, terms: Terms, course: Course) -> int:
    """Return how many of the pieces that are spent the provider is not paid for."""
    if state is not OrderState.EXPIRED or not terms.paid_by_use or _is_missed(terms, course):
        return 0
    return terms.quantity - course.used


def _moves(before: _Units, after: _Units, terms: Terms) -> Effect:
    lost = terms.unused is Unused.LOST
    match before, after:
        case _Units.HELD, _Units.SPENT:
            return Effect.CAPTURE
        case _Units.HELD, _Units.BACK | _Units.PARTED:
            return Effect.LOSE if lost else Effect.RELEASE
        case _Units.SPENT, _Units.HELD:
            return Effect.RESTORE
        case _Units.SPENT, _Units.BACK:
            return Effect.FORFEIT if lost else Effect.RETURN
        case _Units.BACK, _Units.HELD:
            return Effect.REISSUE
        case _Units.BACK, _Units.SPENT:
            return Effect.REISSUE_AND_CAPTURE
        case _:
            return Effect.NONE


def _is_spent(state: OrderState, terms: Terms, course: Course) -> bool:
    """Say whether an order ended delivered, and its units did not come back to the member."""
    ended = state is OrderState.EXPIRED and course.ended_at is not None
    spent = terms.consumed_at_issue or terms.unused is Unused.LOST
    return ended and (spent or _is_missed(terms, course))


def _rejected(state: OrderState, terms: Terms, course: Course) -> Step:
    if state in OPEN:
        return Step(OrderState.COMPENSATED, Effect.RELEASE, course=course)
    late = state is OrderState.REVOKED and terms.cancelled is Cancelled.LATE
    if state in DELIVERED or late or _is_spent(state, terms, course):
        return Step(state, Effect.NONE, "failed_after_success", course)
    return Step(state, course=course)


def _revoked(state: OrderState, terms: Terms, course: Course) -> Step:
    """Give held units back to the member; whether spent ones come back a person decides."""
    if state in OPEN:
        return Step(OrderState.REVOKED, Effect.RELEASE, course=course)
    if state in USABLE and not course.used and not terms.consumed_at_issue:
        return Step(OrderState.REVOKED, Effect.RELEASE, course=course)
    if state in DELIVERED or _is_spent(state, terms, course):
        return Step(state, Effect.NONE, "revoked_after_success", course)
    if state is OrderState.EXPIRED and course.ended_at is not None:
        return Step(state, course=course)
    return Step(OrderState.REVOKED, course=course)
