"""Tiers: from month sums to a standing, as a fold (T-1, T-3 to T-8).

A sum of day-end balances is compared with `threshold x divisor` in exact integers; nothing is
rounded before a decision. Missing days never hurt (A-6): they count as zero for what is proven,
and forbid a miss where they could change it. A label counts in a month when it is valid on the
month's last day (T-2). Misses, locks and grace times are not stored anywhere as truth: they are
what folding the months gives, each by the version of the programme that judges it.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from benefits.domain import metrics
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.labels import Label, held
from benefits.domain.ladder import NOTHING, THRESHOLD, Term, Verdict
from benefits.domain.metrics import Basket, Reading, Sums
from benefits.domain.policy import REVIEWS, Target
from benefits.domain.programme import Programme
from benefits.domain.remembered import remembered
from benefits.domain.values import Month, add_months
from benefits.domain.windows import last_whole, span


class Cause(enum.Enum):
    """What a month did to a standing (T-12).

    HELD: nothing could fall, since the tier is locked, or no period or review ended. GRACE: a lock
    ended below, and the tier falls when its grace time ends. ENDED: the relationship did; MERGED:
    with another customer, whose tier was higher (T-10). WELCOME: a new customer has the tier at
    least, whatever was decided below it; WELCOME_OVER: no more (M-8). FRAUD: two people had it
    decided anew at once (A-7).
    """

    UPGRADED = "UPGRADED"
    RETAINED = "RETAINED"
    WATCHED = "WATCHED"
    DOWNGRADED = "DOWNGRADED"
    HELD = "HELD"
    GRACE = "GRACE"
    UNDETERMINED = "UNDETERMINED"
    CORRECTED = "CORRECTED"
    ENDED = "ENDED"
    MERGED = "MERGED"
    WELCOME = "WELCOME"
    WELCOME_OVER = "WELCOME_OVER"
    FRAUD = "FRAUD"


class State(msgspec.Struct, frozen=True):
    """A standing between months: rank, misses in a row, and the ranks reached in those misses.

    A tier that is kept by a lock has the day from which it is judged again instead, and after
    that the end of its grace time. Its term is that of the `way` it was last won or kept by (T-2);
    the threshold's is empty.

    Where a welcome lifts it until a day, `rank` is what is held and `earned` what lies beneath, of
    which all else is (M-8).
    """

    rank: int = 0
    misses: int = 0
    window: tuple[int, ...] = ()
    lock_until: date | None = None
    grace_until: date | None = None
    way: str = THRESHOLD
    earned: int | None = None
    welcome_until: date | None = None

    @property
    def shown(self) -> tuple[object, ...]:
        """What a record of it says."""
        return (
            *(self.rank, self.misses, self.lock_until, self.grace_until, self.way),
            *(self.earned, self.welcome_until),
        )

    @property
    def own(self) -> "State":
        """What is earned, without a welcome."""
        if self.earned is None:
            return self
        return msgspec.structs.replace(self, rank=self.earned, earned=None, welcome_until=None)

    def on(self, day: date) -> "State":
        """Return what is held of it on a day: a welcome may have ended by then."""
        over = self.welcome_until is not None and self.welcome_until <= day
        return self.own if over else self

    def welcomed_through(self, day: date) -> date | None:
        """Return the last day of a welcome that is no more on a day; None of a standing alone."""
        until = self.welcome_until
        return None if until is None else min(until, day) - timedelta(days=1)


class Grounds(msgspec.Struct, frozen=True):
    """What a month counted besides the policy's metric: other metrics, labels by layer (T-2).

    `day` is the one that the policy's metric was of, where it is a point in time (M-6). Of its
    days people filled some in (A-6), and currencies were `converted` (A-4). Classes that count by
    a point in time were `valued_on` a day (A-3).
    A relationship `ended_on` a day (T-10), or a welcome (M-8). Balances were false `wrong_from` a
    day on (A-7).
    """

    others: tuple[Reading, ...] = ()
    labels: tuple[str, ...] = ()
    day: date | None = None
    filled_days: int = 0
    ended_on: date | None = None
    converted: tuple[str, ...] = ()
    valued_on: date | None = None
    wrong_from: date | None = None


NO_GROUNDS = Grounds()


class Rise(msgspec.Struct, frozen=True):
    """A tier that was proven before its month was over, and the day from which it held (T-3)."""

    month: Month
    rank: int
    day: date


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one month decided, with everything needed to explain it (X-6).

    `qualified` is the highest rank proven by the sum over `divisor`, of whose `days` some are
    known; the new rank holds from the first day of the next month (T-3). It `is_whole` when every
    day of the policy's metric is known, and of the others where they could have changed anything.
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
    is_whole: bool = True
    grounds: Grounds = NO_GROUNDS

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What each of the programme's metrics was."""
        own = Reading(
            month=self.month,
            sum_minor=self.sum_minor,
            known_days=self.known_days,
            days=self.days,
            divisor=self.divisor,
            day=self.grounds.day,
            filled_days=self.grounds.filled_days,
            converted=self.grounds.converted,
            valued_on=self.grounds.valued_on,
        )
        return (own, *self.grounds.others)

    @property
    def is_provisional(self) -> bool:
        """Whether it counted days that people filled in, until the source sends them (A-6)."""
        return any(reading.filled_days for reading in self.readings)

    @property
    def effective_from(self) -> date:
        """The first day on which the new rank holds."""
        return self.month.end


def display_average(sum_minor: int, days: int) -> int:
    """Return the average to show, in minor units: floored, never used to decide (C-3)."""
    return sum_minor // days


def step(
    programme: Programme, before: State, reading: Reading, grounds: Grounds = NO_GROUNDS
) -> Decision:
    """Decide a month that is over from the standing before it (T-2, T-4, T-5)."""
    if reading.converted or reading.valued_on:
        grounds = msgspec.structs.replace(
            grounds, converted=reading.converted, valued_on=reading.valued_on
        )
    readings, labels = (reading, *grounds.others), frozenset(grounds.labels)
    verdict = programme.ladder.judge(readings, labels)
    after, cause = before, Cause.HELD
    is_too_young = reading.young and verdict.possible > verdict.qualified == 0
    if reading.end and not is_too_young:
        after, cause = settle(programme, before, verdict, on=reading.month.end)
    return Decision(
        month=reading.month,
        before=before,
        after=after,
        cause=cause,
        qualified=verdict.qualified,
        sum_minor=reading.sum_minor,
        known_days=reading.known_days,
        days=reading.days,
        divisor=reading.divisor,
        is_whole=reading.complete
        and (
            verdict.possible == verdict.qualified
            or all(other.complete for other in grounds.others)
        ),
        grounds=msgspec.structs.replace(grounds, filled_days=reading.filled_days),
    )


def settle(
    programme: Programme, before: State, verdict: Verdict, *, on: date
) -> tuple[State, Cause]:
    """Judge a standing on a day by what a whole period proved."""
    if verdict.qualified > before.rank:
        return _entered(programme, verdict.qualified, verdict, on=on), Cause.UPGRADED
    term = programme.ladder.by(before.rank, before.way).term
    if term.lock is not None:
        return _locked(programme, before, verdict, term=term, on=on)
    is_hit = verdict.qualified == before.rank
    unlocked = State(before.rank, before.misses, before.window, way=before.way)
    if not _reviewed(programme, on):
        return unlocked, Cause.RETAINED if is_hit else Cause.HELD
    if is_hit:
        return _entered(programme, before.rank, verdict, on=on, now=before.way), Cause.RETAINED
    missed = State(
        before.rank, before.misses + 1, (*before.window, verdict.qualified), way=before.way
    )
    is_lost = missed.misses >= term.misses
    if _is_open(programme, missed, verdict, is_lost=is_lost):
        return unlocked, Cause.UNDETERMINED
    if not is_lost:
        return missed, Cause.WATCHED
    return _fallen(programme, missed, verdict, on=on), Cause.DOWNGRADED


def _is_open(programme: Programme, missed: State, verdict: Verdict, *, is_lost: bool) -> bool:
    """Say whether what is not known could still change a miss: undo it, or where one lands."""
    if verdict.possible >= missed.rank:
        return True
    target = programme.policy.target
    best = State(
        missed.rank, missed.misses, (*missed.window[:-1], verdict.possible), way=missed.way
    )
    matters = is_lost or target is Target.BEST_OF_WINDOW
    return matters and _target(target, missed) != _target(target, best)


def _fallen(programme: Programme, missed: State, verdict: Verdict, *, on: date) -> State:
    """Return where a standing lands that is lost (T-7)."""
    landing = _target(programme.policy.target, missed)
    if landing != verdict.qualified:
        first = programme.ladder.rungs[landing][0].code
        verdict = Verdict(landing, landing, (first,))
    return _entered(programme, landing, verdict, on=on)


def _entered(
    programme: Programme, rank: int, verdict: Verdict, *, on: date, now: str = THRESHOLD
) -> State:
    """Return a standing that begins on a day, by the best way that holds, and with its term.

    `now` is the way by which it was held before.
    """
    if rank == 0:
        return State()
    way = programme.ladder.best(rank, verdict.ways, now=now)
    return _term(programme, rank, way, on=on)


def _term(programme: Programme, rank: int, way: str, *, on: date) -> State:
    lock = programme.ladder.by(rank, way).term.lock
    return State(rank, lock_until=add_months(on, lock.months) if lock else None, way=way)


def may_fall(programme: Programme, month: Month) -> bool:
    """Say whether tiers fall with a month: inside a period or between reviews none does (T-3)."""
    return month == span(programme.policy, month)[1] and _reviewed(programme, month.end)


def begun(programme: Programme, decision: Decision, rises: Sequence[Rise]) -> Decision:
    """Return a month's decision, with the term of a tier that rose within it begun then (T-5).

    It is the first day from which such a tier held, or a higher one that the month does not prove.
    """
    after, month = decision.after, decision.month
    days = [one.day for one in rises if one.month == month and one.rank >= after.rank]
    if decision.cause is not Cause.UPGRADED or not days:
        return decision
    after = _term(programme, after.rank, after.way, on=min(days))
    return msgspec.structs.replace(decision, after=after)


def judged_again(term: date) -> date:
    """Return when a tier is judged whose term ends on a day: with the month of it (T-5)."""
    return term if term.day == 1 else Month.of(term).end


def _reviewed(programme: Programme, on: date) -> bool:
    """Say whether misses count in the month that ended before `on` (T-6)."""
    dates = programme.policy.review
    return not dates or (on - timedelta(days=1)).month in {REVIEWS[day] for day in dates}


def _locked(
    programme: Programme, before: State, verdict: Verdict, *, term: Term, on: date
) -> tuple[State, Cause]:
    """Judge a tier that is kept by a lock and a grace time (T-5).

    A tier that is held from before it had a lock gets its first term now.
    """
    assert term.lock is not None, "kept by a lock"
    is_hit = verdict.qualified == before.rank
    rank, until, lock = before.rank, before.lock_until, term.lock
    if until is None:
        if is_hit:
            return _entered(programme, rank, verdict, on=on, now=before.way), Cause.RETAINED
        return _term(programme, rank, before.way, on=on), Cause.HELD
    if before.grace_until is None and on < until:
        return before, Cause.RETAINED if is_hit else Cause.HELD
    if is_hit:
        anchor = until if before.grace_until is None else on
        return _entered(programme, rank, verdict, on=anchor, now=before.way), Cause.RETAINED
    is_lost = not lock.grace if before.grace_until is None else on >= before.grace_until
    missed = State(rank, window=(verdict.qualified,), way=before.way)
    if _is_open(programme, missed, verdict, is_lost=is_lost):
        return before, Cause.UNDETERMINED
    if is_lost:
        return _fallen(programme, missed, verdict, on=on), Cause.DOWNGRADED
    if before.grace_until is not None:
        return before, Cause.HELD
    grace_until = add_months(until, lock.grace)
    state = State(rank, lock_until=until, grace_until=grace_until, way=before.way)
    return state, Cause.GRACE


def _target(target: Target, missed: State) -> int:
    match target:
        case Target.LAST:
            return missed.window[-1]
        case Target.BEST_OF_WINDOW:
            return max(missed.window)
        case Target.ONE_STEP:
            return missed.rank - 1


def fold(
    rules: Rules,
    sums: Mapping[Basket, Sums],
    through: Month,
    *,
    opened_on: date = date.min,
    labels: Sequence[Label] = (),
    rises: Sequence[Rise] = (),
    start: State | None = None,
    first: Month | None = None,
) -> list[Decision]:
    """Fold the months from the first known one (or `first`) into a decision each (T-8).

    A month without a row has no known day: nothing falls in it. A label that is asked for begins
    a standing like a balance, in the first month that ends with it. What rose early is a fact, as
    no balance tells when it was looked at. What is held is earned alone: a welcome lifts it when
    it is decided (`domain/floors`).
    """
    decisions = list[Decision]()
    state = start or State()
    asked = [label for label in labels if label.key in rules.labels]
    month = first or first_known(rules, sums, opened_on, labels)
    if month is None:
        return decisions
    readings = _Readings(sums, opened_on)
    while month <= through:
        judge = rules.at(month)
        own = readings.read(judge, 0, month)
        grounds = Grounds(day=own.day) if own.day else NO_GROUNDS
        if judge.programme.ladder.has_ways:
            valid = held(asked, month.end - timedelta(days=1)) & judge.programme.ladder.labels
            others = readings.others(judge, month)
            grounds = Grounds(others, tuple(sorted(valid)), own.day)
        decision = step(judge.programme, state, own, grounds)
        decisions.append(begun(judge.programme, decision, rises))
        state = decisions[-1].after
        month = month.plus(1)
    return decisions


def first_known(
    rules: Rules, sums: Mapping[Basket, Sums], opened_on: date, labels: Iterable[Label]
) -> Month | None:
    """Return the first month of which anything is known that decides; None if nothing is."""
    earliest = max(opened_on, rules.judges[0].tiers_from.start)
    known = [piece.month for pieces in sums.values() for piece in pieces]
    asked = (label for label in labels if label.key in rules.labels)
    known += [Month.of(max(label.from_, earliest)) for label in asked]
    return min(known, default=None)


class _Readings:
    """A member's metrics; what ways name besides is read once for each period that is over."""

    def __init__(self, sums: Mapping[Basket, Sums], opened_on: date) -> None:
        self._sums = sums
        self._opened_on = opened_on
        self._kept = dict[tuple[int, int, Month], Reading]()

    def read(self, judge: Judge, metric: int, month: Month) -> Reading:
        """Read one of a programme's metrics with a month."""
        basket = judge.programme.baskets[metric]
        return metrics.read(
            judge.programme.ladder.metrics[metric],
            month,
            self._sums.get(basket, {}),
            scale=basket.scale,
            opened_on=self._opened_on,
            calendar=judge.calendar,
        )

    def others(self, judge: Judge, month: Month) -> tuple[Reading, ...]:
        """Read the metrics but the policy's own, of the last periods that are over by then."""
        found = list[Reading]()
        for metric, policy in enumerate(judge.programme.ladder.metrics[1:], 1):
            key = (judge.version, metric, last_whole(policy, month))
            if key not in self._kept:
                self._kept[key] = self.read(judge, metric, key[2])
            found.append(self._kept[key])
        return tuple(found)


def stays_until(programme: Programme, decision: Decision) -> date:
    """Return the last day the tier is certain: no drop comes before it (X-6)."""
    return certain_through(programme, decision.after, decision.month.plus(1))


@remembered
def certain_through(programme: Programme, state: State, undecided: Month) -> date:
    """Return the last day of a tier if all from the month `undecided` on is missed (X-6)."""
    assert state.rank, "nobody loses the lowest tier"
    if state.welcome_until is not None:
        return state.welcome_until - timedelta(days=1)
    month, after = undecided, state
    while True:
        if month == span(programme.policy, month)[1]:
            after, _ = settle(programme, after, NOTHING, on=month.end)
        if after.rank < state.rank:
            return month.end - timedelta(days=1)
        month = month.plus(1)
