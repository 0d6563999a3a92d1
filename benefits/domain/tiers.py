"""Tiers: from month sums to a standing, as a fold (T-1, T-3 to T-8).

A sum of day-end balances is compared with `threshold x divisor` in exact integers; nothing is
rounded before a decision. Missing days never hurt (A-6): they count as zero for what is proven,
and forbid a miss. Misses, locks and grace times are not stored anywhere as truth: they are what
folding the months gives, each by the version of the programme that judges it.
"""

import enum
from collections.abc import Mapping
from datetime import date, timedelta

import msgspec

from benefits.domain import metrics
from benefits.domain.catalogue import Programme, Rules
from benefits.domain.metrics import Basket, MonthSum, Reading
from benefits.domain.policy import REVIEWS, Lock, Target, UpgradeTiming
from benefits.domain.values import Month, add_months


class Cause(enum.Enum):
    """What a month did to a standing (T-12).

    HELD: nothing could fall, since the tier is locked, or no period or review ended. GRACE: a lock
    ended below, and the tier falls when its grace time ends.
    """

    UPGRADED = "UPGRADED"
    RETAINED = "RETAINED"
    WATCHED = "WATCHED"
    DOWNGRADED = "DOWNGRADED"
    HELD = "HELD"
    GRACE = "GRACE"
    UNDETERMINED = "UNDETERMINED"
    CORRECTED = "CORRECTED"


class State(msgspec.Struct, frozen=True):
    """A standing between months: rank, misses in a row, and the ranks reached in those misses.

    A tier that is kept by a lock has the day from which it is judged again instead, and after
    that the end of its grace time.
    """

    rank: int = 0
    misses: int = 0
    window: tuple[int, ...] = ()
    lock_until: date | None = None
    grace_until: date | None = None

    @property
    def shown(self) -> tuple[int, int, date | None, date | None]:
        """What a record of it says."""
        return self.rank, self.misses, self.lock_until, self.grace_until


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one month decided, with everything needed to explain it (X-6).

    `qualified` is the highest rank proven by the sum over `divisor`, of whose `days` some are
    known; the new rank holds from the first day of the next month (T-3).
    """

    month: Month
    before: State
    after: State
    cause: Cause
    qualified: int
    sum_minor: int
    known_days: int
    days: int
    divisor: int

    @property
    def effective_from(self) -> date:
        """The first day on which the new rank holds."""
        return self.month.end


def qualifies(sum_minor: int, threshold_minor: int, days: int) -> bool:
    """Say whether a sum's daily average reaches a threshold, in exact integers (M-1, C-3)."""
    return sum_minor >= threshold_minor * days


def display_average(sum_minor: int, days: int) -> int:
    """Return the average to show, in minor units: floored, never used to decide (C-3)."""
    return sum_minor // days


def required_daily(
    sum_minor: int, threshold_minor: int, *, days: int, closed: int, divisor: int | None = None
) -> int | None:
    """Return the level each remaining day needs; 0: certain, None: out of reach (M-9).

    The sum is divided by `divisor` where that is not `days`.
    """
    short = threshold_minor * (divisor or days) - sum_minor
    if short <= 0:
        return 0
    remaining = days - closed
    return -(-short // remaining) if remaining > 0 else None


class Outlook(enum.Enum):
    """Whether the running period will keep a tier, as far as its known days say (M-11)."""

    CERTAIN = "CERTAIN"
    ON_TRACK = "ON_TRACK"
    AT_RISK = "AT_RISK"
    MISSED = "MISSED"
    UNKNOWN = "UNKNOWN"


class Forecast(msgspec.Struct, frozen=True):
    """What a tier still needs on each remaining day, and where the month goes if nothing moves."""

    needed_daily_minor: int | None
    projected_minor: int
    outlook: Outlook


def forecast(reading: Reading, threshold_minor: int, *, closed: int, last_minor: int) -> Forecast:
    """Project a period whose remaining days are all like the last known one (M-9, M-11)."""
    needed = needed_daily(reading, threshold_minor, closed=closed)
    projected = reading.sum_minor + max(reading.days - closed, 0) * last_minor
    if needed == 0:
        outlook = Outlook.CERTAIN
    elif needed is None:
        outlook = Outlook.MISSED
    elif not closed:
        outlook = Outlook.UNKNOWN
    else:
        kept = qualifies(projected, threshold_minor, reading.divisor)
        outlook = Outlook.ON_TRACK if kept else Outlook.AT_RISK
    return Forecast(needed, display_average(projected, reading.divisor), outlook)


def needed_daily(reading: Reading, threshold_minor: int, *, closed: int) -> int | None:
    """Return the level each remaining day of a running period needs (M-9)."""
    return required_daily(
        reading.sum_minor,
        threshold_minor,
        days=reading.days,
        closed=closed,
        divisor=reading.divisor,
    )


def qualified_rank(thresholds: tuple[int, ...], sum_minor: int, days: int) -> int:
    """Return the highest rank whose lower bound the sum reaches; ranks may be skipped (T-1)."""
    return max(
        rank
        for rank, threshold in enumerate(thresholds)
        if rank == 0 or qualifies(sum_minor, threshold, days)
    )


def step(programme: Programme, before: State, reading: Reading) -> Decision:
    """Decide a month that is over from the standing before it (T-4, T-5)."""
    qualified = qualified_rank(programme.thresholds, reading.sum_minor, reading.divisor)
    after, cause = before, Cause.HELD
    if reading.decides:
        after, cause = settle(
            programme, before, qualified, complete=reading.complete, on=reading.month.end
        )
    return Decision(
        month=reading.month,
        before=before,
        after=after,
        cause=cause,
        qualified=qualified,
        sum_minor=reading.sum_minor,
        known_days=reading.known_days,
        days=reading.days,
        divisor=reading.divisor,
    )


def settle(
    programme: Programme, before: State, qualified: int, *, complete: bool, on: date
) -> tuple[State, Cause]:
    """Judge a standing on a day by the rank a whole period proved; `complete` if all is known."""
    if qualified > before.rank:
        return _entered(programme, qualified, on), Cause.UPGRADED
    lock = programme.tier[before.rank].lock
    if lock is not None:
        return _locked(programme, lock, before, qualified, complete=complete, on=on)
    unlocked = State(before.rank, before.misses, before.window)
    if not _reviewed(programme, on):
        return unlocked, Cause.RETAINED if qualified == before.rank else Cause.HELD
    if qualified == before.rank:
        return State(before.rank), Cause.RETAINED
    if not complete:
        return unlocked, Cause.UNDETERMINED
    missed = State(before.rank, before.misses + 1, (*before.window, qualified))
    if missed.misses < programme.tier[before.rank].misses:
        return missed, Cause.WATCHED
    return _entered(programme, _target(programme.policy.target, missed), on), Cause.DOWNGRADED


def risen(programme: Programme, before: State, reading: Reading) -> Decision | None:
    """Decide a running month early: it has proven a higher tier already (T-3); None if not.

    No later balance can undo what is proven, as none is negative (A-8). A term begins with the
    next month, as if the month had been decided at its end: so it is, once it is over.
    """
    policy = programme.policy
    qualified = qualified_rank(programme.thresholds, reading.sum_minor, reading.divisor)
    if policy.upgrade is UpgradeTiming.NEXT_PERIOD or qualified <= before.rank:
        return None
    return step(programme, before, reading) if reading.decides else None


def _entered(programme: Programme, rank: int, on: date) -> State:
    """Return a standing that begins on a day: with a term where its tier has one."""
    lock = programme.tier[rank].lock
    return State(rank, lock_until=add_months(on, lock.months)) if lock else State(rank)


def _reviewed(programme: Programme, on: date) -> bool:
    """Say whether misses count in the month that ended before `on` (T-6)."""
    dates = programme.policy.review
    return not dates or (on - timedelta(days=1)).month in {REVIEWS[day] for day in dates}


def _locked(
    programme: Programme, lock: Lock, before: State, qualified: int, *, complete: bool, on: date
) -> tuple[State, Cause]:
    """Judge a tier that is kept by a lock and a grace time (T-5).

    A tier that is held from before it had a lock gets its first term now.
    """
    held = qualified == before.rank
    rank, until = before.rank, before.lock_until
    if until is None:
        return _entered(programme, rank, on), Cause.RETAINED if held else Cause.HELD
    if before.grace_until is None and on < until:
        return before, Cause.RETAINED if held else Cause.HELD
    if held:
        anchor = until if before.grace_until is None else on
        return State(rank, lock_until=add_months(anchor, lock.months)), Cause.RETAINED
    if not complete:
        return before, Cause.UNDETERMINED
    if before.grace_until is None and lock.grace:
        grace_until = add_months(until, lock.grace)
        return State(rank, lock_until=until, grace_until=grace_until), Cause.GRACE
    if before.grace_until is not None and on < before.grace_until:
        return before, Cause.HELD
    missed = State(rank, window=(qualified,))
    return _entered(programme, _target(programme.policy.target, missed), on), Cause.DOWNGRADED


def _target(target: Target, missed: State) -> int:
    match target:
        case Target.LAST:
            return missed.window[-1]
        case Target.BEST_OF_WINDOW:
            return max(missed.window)
        case Target.ONE_STEP:
            return missed.rank - 1


Sums = Mapping[Basket, Mapping[Month, MonthSum]]


def fold(
    rules: Rules,
    sums: Sums,
    through: Month,
    *,
    opened_on: date = date.min,
    start: State | None = None,
    first: Month | None = None,
) -> list[Decision]:
    """Fold the months from the first known one (or `first`) into a decision each (T-8).

    A month without a row has no known day: nothing falls in it.
    """
    decisions = list[Decision]()
    state = start or State()
    known = [month for months in sums.values() for month in months]
    if not known:
        return decisions
    month = first or min(known)
    while month <= through:
        programme = rules.at(month).programme
        reading = metrics.read(
            programme.policy,
            month,
            sums.get(programme.basket, {}),
            scale=programme.basket.scale,
            opened_on=opened_on,
        )
        decisions.append(step(programme, state, reading))
        state = decisions[-1].after
        month = month.plus(1)
    return decisions


def news(decision: Decision, written: State, *, settled: bool = False) -> Decision | None:
    """Return what must be written where `written` is the standing on record; None when nothing.

    When the fold has another tier than the record without the month itself having moved it, a
    month before was left out, completed or judged by another rule: the record is corrected (T-8).
    A month that was `settled`, decided on all its days, takes no tier back when it is corrected:
    that waits for the evaluation of the next one (A-7).
    """
    before, after = decision.before, decision.after
    if after.shown == written.shown or (settled and after.rank < written.rank):
        return None
    if before.rank == written.rank:
        return decision
    corrected = State(
        written.rank,
        written.misses,
        lock_until=written.lock_until,
        grace_until=written.grace_until,
    )
    cause = decision.cause if after.rank == written.rank else Cause.CORRECTED
    return msgspec.structs.replace(decision, before=corrected, cause=cause)


def stays_until(programme: Programme, decision: Decision) -> date:
    """Return the last day the tier is certain: no drop comes before it (X-6)."""
    return certain_through(programme, decision.after, decision.month.plus(1))


def certain_through(programme: Programme, state: State, undecided: Month) -> date:
    """Return the last day of a tier if all from the month `undecided` on is missed (X-6)."""
    assert state.rank, "nobody loses the lowest tier"
    month, after = undecided, state
    while True:
        if month == metrics.span(programme.policy, month)[1]:
            after, _ = settle(programme, after, 0, complete=True, on=month.end)
        if after.rank < state.rank:
            return month.end - timedelta(days=1)
        month = month.plus(1)


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """What the running period asks of a tier that is held (T-4, T-5, M-9).

    `needed_daily` is the level each remaining day needs: 0 is certain, None out of reach. Of
    `allowed` misses in a row there are `misses` so far; with the last one the tier is lost. A tier
    that is kept by a lock allows none, and is judged again from `lock_until` on.
    """

    threshold_minor: int
    needed_daily: int | None
    misses: int
    allowed: int
    lock_until: date | None
    grace_until: date | None
    certain_through: date


def keeping(
    programme: Programme, state: State, reading: Reading, *, closed: int, undecided: Month
) -> Keeping | None:
    """Return what keeps the tier of `state`; None for the lowest one, which nobody loses (T-4).

    `closed` counts the days of the period that are over, `undecided` is the first month that
    is not evaluated: the running one, or the one before.
    """
    if state.rank == 0:
        return None
    threshold = programme.thresholds[state.rank]
    return Keeping(
        threshold_minor=threshold,
        needed_daily=needed_daily(reading, threshold, closed=closed),
        misses=state.misses,
        allowed=programme.tier[state.rank].misses,
        lock_until=state.lock_until,
        grace_until=state.grace_until,
        certain_through=certain_through(programme, state, undecided),
    )


def is_far(needed: int, threshold: int, average: int) -> bool:
    """Say whether a level is too far from what a member has to be named as an aim (M-9).

    It is when it is more than twice the threshold itself, or three times the average so far.
    """
    return needed > 2 * threshold or needed > 3 * average > 0
