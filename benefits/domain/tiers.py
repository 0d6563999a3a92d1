"""Tiers: from month sums to a standing, as a fold (M-1, T-1, T-3, T-4, T-7, T-8).

A month's sum of day-end balances is compared with `threshold x days` in exact integers; nothing is
rounded before a decision. Missing days never hurt (A-6): they count as zero for what is proven,
and forbid a miss. The miss counter is not stored anywhere as truth: it is what folding the months
gives.
"""

import enum
from collections.abc import Iterable
from datetime import date, timedelta

import msgspec

from benefits.domain.catalogue import Programme, Target, Tier
from benefits.domain.values import Month


class Cause(enum.Enum):
    """What a month did to a standing (T-12)."""

    UPGRADED = "UPGRADED"
    RETAINED = "RETAINED"
    WATCHED = "WATCHED"
    DOWNGRADED = "DOWNGRADED"
    UNDETERMINED = "UNDETERMINED"
    CORRECTED = "CORRECTED"


class MonthSum(msgspec.Struct, frozen=True):
    """What is known of a month: its day-end balances' sum (minor units) and how many days."""

    month: Month
    sum_minor: int
    known_days: int

    @property
    def complete(self) -> bool:
        """Whether every day of the month is known."""
        return self.known_days == self.month.days


class State(msgspec.Struct, frozen=True):
    """A standing between months: rank, misses in a row, and the ranks reached in those misses."""

    rank: int = 0
    misses: int = 0
    window: tuple[int, ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one month decided, with everything needed to explain it (X-6).

    `qualified` is the highest rank proven by the sum; the new rank holds from the first day of the
    next month (T-3).
    """

    month: Month
    before: State
    after: State
    cause: Cause
    qualified: int
    sum_minor: int
    known_days: int

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


def required_daily(sum_minor: int, threshold_minor: int, *, days: int, closed: int) -> int | None:
    """Return the level each remaining day needs; 0: certain, None: out of reach (M-9)."""
    short = threshold_minor * days - sum_minor
    if short <= 0:
        return 0
    remaining = days - closed
    return -(-short // remaining) if remaining > 0 else None


class Outlook(enum.Enum):
    """Whether the running month will keep a tier, as far as its known days say (M-11)."""

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


def forecast(
    sum_minor: int, threshold_minor: int, *, days: int, closed: int, last_minor: int
) -> Forecast:
    """Project a month whose remaining days are all like the last known one (M-9, M-11)."""
    needed = required_daily(sum_minor, threshold_minor, days=days, closed=closed)
    projected = sum_minor + (days - closed) * last_minor
    if needed == 0:
        outlook = Outlook.CERTAIN
    elif needed is None:
        outlook = Outlook.MISSED
    elif not closed:
        outlook = Outlook.UNKNOWN
    else:
        kept = qualifies(projected, threshold_minor, days)
        outlook = Outlook.ON_TRACK if kept else Outlook.AT_RISK
    return Forecast(needed, display_average(projected, days), outlook)


def qualified_rank(thresholds: tuple[int, ...], sum_minor: int, days: int) -> int:
    """Return the highest rank whose lower bound the sum reaches; ranks may be skipped (T-1)."""
    return max(
        rank
        for rank, threshold in enumerate(thresholds)
        if rank == 0 or qualifies(sum_minor, threshold, days)
    )


def step(programme: Programme, before: State, known: MonthSum) -> Decision:
    """Decide one closed month from the standing before it (T-4)."""
    qualified = qualified_rank(programme.thresholds, known.sum_minor, known.month.days)
    after, cause = _next(programme, before, qualified, known)
    return Decision(
        month=known.month,
        before=before,
        after=after,
        cause=cause,
        qualified=qualified,
        sum_minor=known.sum_minor,
        known_days=known.known_days,
    )


def _next(
    programme: Programme, before: State, qualified: int, known: MonthSum
) -> tuple[State, Cause]:
    if qualified > before.rank:
        return State(qualified), Cause.UPGRADED
    if qualified == before.rank:
        return State(before.rank), Cause.RETAINED
    if not known.complete:
        return before, Cause.UNDETERMINED
    missed = State(before.rank, before.misses + 1, (*before.window, qualified))
    if missed.misses < programme.tier[before.rank].misses:
        return missed, Cause.WATCHED
    return State(_target(programme.policy.target, missed)), Cause.DOWNGRADED


def _target(target: Target, missed: State) -> int:
    match target:
        case Target.LAST:
            return missed.window[-1]
        case Target.BEST_OF_WINDOW:
            return max(missed.window)
        case Target.ONE_STEP:
            return missed.rank - 1


def fold(
    programme: Programme, months: Iterable[MonthSum], start: State | None = None
) -> list[Decision]:
    """Fold months, in order, into a decision each (T-8); a month without rows changes nothing."""
    decisions = list[Decision]()
    state = start or State()
    for known in months:
        decision = step(programme, state, known)
        decisions.append(decision)
        state = decision.after
    return decisions


def news(decision: Decision, written: State) -> Decision | None:
    """Return what must be written where `written` is the standing on record; None when nothing.

    When the fold has another tier than the record without the month itself having moved it, a
    month before was left out, completed or judged by another rule: the record is corrected (T-8).
    """
    before, after = decision.before, decision.after
    if (after.rank, after.misses) == (written.rank, written.misses):
        return None
    if before.rank == written.rank:
        return decision
    corrected = State(written.rank, written.misses)
    cause = decision.cause if after.rank == written.rank else Cause.CORRECTED
    return msgspec.structs.replace(decision, before=corrected, cause=cause)


def stays_until(programme: Programme, decision: Decision) -> date:
    """Return the last day the tier is certain: no drop comes before the misses run out (X-6)."""
    return certain_through(programme, decision.after, decision.month.plus(1))


def certain_through(programme: Programme, state: State, undecided: Month) -> date:
    """Return the last day of a tier if every month from `undecided` on were missed (X-6, T-4)."""
    left = programme.tier[state.rank].misses - state.misses
    return undecided.plus(left - 1).end - timedelta(days=1)


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """What the running month asks of a tier that is held (T-4, M-9).

    `needed_daily` is the level each remaining day needs: 0 is certain, None out of reach. Of
    `allowed` misses in a row there are `misses` so far; with the last one the tier is lost.
    """

    threshold_minor: int
    needed_daily: int | None
    misses: int
    allowed: int
    certain_through: date


def keeping(
    programme: Programme, state: State, known: MonthSum, *, closed: int, undecided: Month
) -> Keeping | None:
    """Return what keeps the tier of `state`; None for the lowest one, which nobody loses (T-4).

    `closed` counts the days of `known.month` that are over, `undecided` is the first month that
    is not evaluated: the running one, or the one before.
    """
    if state.rank == 0:
        return None
    threshold = programme.thresholds[state.rank]
    return Keeping(
        threshold_minor=threshold,
        needed_daily=required_daily(
            known.sum_minor, threshold, days=known.month.days, closed=closed
        ),
        misses=state.misses,
        allowed=programme.tier[state.rank].misses,
        certain_through=certain_through(programme, state, undecided),
    )


def is_far(needed: int, threshold: int, average: int) -> bool:
    """Say whether a level is too far from what a member has to be named as an aim (M-9).

    It is when it is more than twice the threshold itself, or three times the average so far.
    """
    return needed > 2 * threshold or needed > 3 * average > 0


def money(minor: int, digits: int) -> str:
    """Write minor units as a grouped amount in major units: `499,999.99`."""
    whole, part = divmod(minor, 10**digits)
    return f"{whole:,}.{part:0{digits}d}" if digits else f"{whole:,}"


_ENGLISH_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def explain(programme: Programme, decision: Decision, language: str) -> str:
    """Tell a customer in a sentence (`zh` or `en`) what a month decided and why (X-6)."""
    return _chinese(programme, decision) if language == "zh" else _english(programme, decision)


def _amounts(programme: Programme, decision: Decision) -> tuple[str, str]:
    average = display_average(decision.sum_minor, decision.month.days)
    rank = max(decision.before.rank, decision.after.rank)
    digits = programme.minor_digits
    return money(average, digits), money(programme.thresholds[rank], digits)


def _english(programme: Programme, decision: Decision) -> str:
    month = decision.month
    average, needed = _amounts(programme, decision)
    name = _name(programme.tier[decision.after.rank], "en")
    head = (
        f"{_ENGLISH_MONTHS[month.number - 1]} {month.year} daily average {average} "
        f"({decision.known_days} of {month.days} days known); {needed} needed; "
    )
    start = _english_date(decision.effective_from)
    match decision.cause:
        case Cause.UPGRADED:
            return head + f"reached: your tier is {name} from {start}."
        case Cause.RETAINED:
            return head + f"reached: your tier stays {name}."
        case Cause.WATCHED:
            nth = decision.after.misses
            ordinal = _ORDINALS[nth - 1] if nth <= len(_ORDINALS) else f"{nth}th"
            until = _english_date(stays_until(programme, decision))
            return (
                head + f"{ordinal} month below; your tier stays {name} at least through {until}."
            )
        case Cause.DOWNGRADED:
            nth = decision.before.misses + 1
            return head + f"{nth} months below in a row: your tier is {name} from {start}."
        case Cause.UNDETERMINED:
            return head + f"days are missing, so nothing is decided: your tier stays {name}."
        case Cause.CORRECTED:
            return head + f"decided anew with earlier months: your tier is {name} from {start}."


def _chinese(programme: Programme, decision: Decision) -> str:
    month = decision.month
    average, needed = _amounts(programme, decision)
    name = _name(programme.tier[decision.after.rank], "zh")
    head = (
        f"{month.year}年{month.number}月日均{average}（已知{decision.known_days}/{month.days}天），"
        f"达标线{needed}；"
    )
    start = _chinese_date(decision.effective_from)
    match decision.cause:
        case Cause.UPGRADED:
            return head + f"已达标，自{start}起为{name}。"
        case Cause.RETAINED:
            return head + f"已达标，等级保持{name}。"
        case Cause.WATCHED:
            until = _chinese_date(stays_until(programme, decision))
            nth = decision.after.misses
            return head + f"连续第{nth}个月未达标，{name}等级至少保留至{until}。"
        case Cause.DOWNGRADED:
            nth = decision.before.misses + 1
            return head + f"连续{nth}个月未达标，自{start}起为{name}。"
        case Cause.UNDETERMINED:
            return head + f"部分日期数据缺失，暂不判定，等级保持{name}。"
        case Cause.CORRECTED:
            return head + f"结合此前月份重新判定，自{start}起为{name}。"


def _name(tier: Tier, language: str) -> str:
    return tier.name[language]


def _english_date(day: date) -> str:
    return f"{day.day} {_ENGLISH_MONTHS[day.month - 1]} {day.year}"


def _chinese_date(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"
