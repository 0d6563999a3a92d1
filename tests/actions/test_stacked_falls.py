"""What falls take of lines that stack, through lives of every kind (P-6, P-7, P-4)."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.actions.follow_quota import Falling, Place
from benefits.actions.stack import Brought, Due, matters, stacked
from benefits.actions.top_up import missing
from benefits.domain import ledger
from benefits.domain.downgrades import Change, taken_back
from benefits.domain.eligibility import Rule
from benefits.domain.entitlement import Granted
from benefits.domain.labels import Layer, label_key
from benefits.domain.ledger import Lot, Part
from benefits.domain.packages import Downgrade
from benefits.domain.programme import Programme
from benefits.domain.stacking import StackBy, Stacking
from tests.actions.test_stacking import TIERS, of_label
from tests.builders import reference_programme

KEEP, EXCESS, UNCLAIMED, ALL = Downgrade
WAYS = [(StackBy.SUM, 3), (StackBy.SUM, 7), (StackBy.MAX, None), (StackBy.PRIORITY, None)]
MEMBER, PERIOD, UNIT = UUID(int=1), "2025", "BENEFIT:LOUNGE"
BEGIN, END = datetime(2025, 7, 3, 2, tzinfo=UTC), datetime(2025, 12, 31, 16, tzinfo=UTC)
CODES = ("tiers", "payroll", "cars", "second")  # first by priority
LABELS = ("payroll", "cars")
OF_TIERS = ("tiers", "second")


class Moment(NamedTuple):
    """What holds for a while: the tier, the labels, which lines let nobody in; what is used."""

    rank: int
    labels: frozenset[str]
    shut: frozenset[str]
    used: int


TOP = Moment(2, frozenset(LABELS), frozenset(), 0)


class Terms(NamedTuple):
    """How many units each line brings, by rank and by label, what falls take, how they stack."""

    way: tuple[StackBy, int | None]
    quotas: tuple[tuple[int, int], tuple[int, int]]
    policies: tuple[Downgrade, Downgrade]
    segments: tuple[int, int]

    def programme(self) -> Programme:
        """Return the programme with these lines."""
        by, cap = self.way
        base, rule = reference_programme(), Rule(staff=True)
        lounge, *others = base.benefit
        of_tiers = [
            replace(
                TIERS,
                code=code,
                quota={"GOLD": gold, "PLATINUM": platinum},
                downgrade=downgrade,
                priority=priority,
                eligible=rule,
            )
            for code, (gold, platinum), downgrade, priority in zip(
                OF_TIERS, self.quotas, self.policies, (0, 3), strict=True
            )
        ]
        of_labels = [
            replace(of_label(label, quantity, priority), eligible=rule)
            for label, quantity, priority in zip(LABELS, self.segments, (1, 2), strict=True)
        ]
        return replace(
            base,
            benefit=(replace(lounge, stacking=Stacking(by=by, cap=cap)), *others),
            line=(*of_tiers, *of_labels),
        )

    def quota(self, code: str, moment: Moment) -> int:
        """Return what a line alone brings at a moment."""
        if code in OF_TIERS:
            return (0, *self.quotas[OF_TIERS.index(code)])[moment.rank]
        return self.segments[LABELS.index(code)] if code in moment.labels else 0

    def bringing(self, moment: Moment) -> dict[str, int]:
        """Return what each line alone brings of those that let in, the first by priority first."""
        each = {code: self.quota(code, moment) for code in CODES if code not in moment.shut}
        return {code: quota for code, quota in each.items() if quota}

    def alone(self, moment: Moment) -> int:
        """Return what a moment brings to whom nothing was brought before."""
        by, cap = self.way
        each = list(self.bringing(moment).values())
        if by is StackBy.SUM:
            return sum(each) if cap is None else min(cap, sum(each))
        return max(each, default=0) if by is StackBy.MAX else next(iter(each), 0)

    def best(self, life: list[Moment]) -> int:
        """Return the most that any path through some moments may bring."""
        by, cap = self.way
        if by is not StackBy.SUM:
            # Where units are forfeit a line that was hidden brings what it would.
            every = [quota for moment in life for quota in self.bringing(moment).values()]
            hidden = by is StackBy.PRIORITY and {UNCLAIMED, ALL} & {*self.policies}
            return max(every if hidden else [self.alone(moment) for moment in life], default=0)
        whole = sum(max(self.bringing(moment).get(code, 0) for moment in life) for code in CODES)
        return whole if cap is None else min(cap, whole)


class Life:
    """A member's units of all lines in one period, as the books would have them."""

    def __init__(self, terms: Terms) -> None:
        """Begin with nothing."""
        self.terms, self.programme = terms, terms.programme()
        self.grants = defaultdict[Place, list[Granted]](list)
        self.changes = defaultdict[Place, list[Change]](list)
        self.lots: dict[UUID, Lot] = {}
        self.of: dict[UUID, str] = {}
        self.last, self.now = Moment(0, frozenset(), frozenset(), 0), BEGIN
        self.took = dict[str, int]()

    def live(self, moment: Moment) -> None:
        """Have what a moment brings, after what it takes; a fall takes once."""
        self.now += timedelta(days=1)
        falling = self.falling(moment)
        found = self.ask(moment, falling)
        stays = dict.fromkeys(falling, 0) | {due.place: due.stays for due in found}
        self.took = {}
        for place, one in falling.items():
            parts = taken_back(
                one.line, one.quota, one.lots, period=PERIOD, now=self.now, stays=stays[place]
            )
            self.took[one.line.code] = sum(part.amount for part in parts)
            self._change(place, parts, one.quota, sign=1)
        self.now += timedelta(hours=1)
        for due in found:
            self._write(due)
        self.last = moment
        assert [] == [due for due in self.ask(moment, {}) if due.whole]

    def falling(self, moment: Moment) -> dict[Place, Falling]:
        """Return the lines of which a fall takes something."""
        some = dict[Place, Falling]()
        for line in self.programme.line:
            quota = self.terms.quota(line.code, moment)
            is_lower = quota < self.terms.quota(line.code, self.last)
            if line.downgrade is not KEEP and is_lower and moment.rank < self.last.rank:
                one = Falling(
                    member_id=MEMBER,
                    line=line,
                    item=self.programme.brought(line),
                    quota=quota,
                    period=PERIOD,
                    lots=[(PERIOD, lot) for lot in self.lots_of(line.code)],
                    own_periods={},
                )
                some[one.place] = one
        return some

    def ask(self, moment: Moment, falling: Mapping[Place, Falling]) -> list[Due]:
        """Return what is due at a moment, and what stays."""
        before = Brought(
            lines=self.programme.line,
            day=self.now.date(),
            grants=self.grants,
            changes=self.changes,
            opened={},
            carried={MEMBER: {label_key(Layer.FACT, label) for label in moment.labels}},
            gone={},
            falling=falling,
        )
        found = missing(
            self.programme, [(MEMBER, moment.rank)], before, since=self.now.date(), now=self.now
        )
        let_in = list[Due]()
        for due in found:
            if due.line.code not in moment.shut or not matters(due):
                let_in.append(due)
            elif due.stacks is not None and due.stacks.fall is not None:
                let_in.append(replace(due, stacks=replace(due.stacks, lets_in=False)))
        return stacked(let_in, self.now)

    def _write(self, due: Due) -> None:
        place = due.place
        if due.quantity:
            assert due.for_.quota > max((one.quota for one in self.grants[place]), default=0)
            lot = Lot(
                lot_id=UUID(int=len(self.lots)),
                unit=UNIT,
                granted=due.quantity,
                remaining=due.quantity,
                held=0,
                expires_at=END,
                granted_at=self.now,
                priority=due.line.order,
            )
            self.lots[lot.lot_id], self.of[lot.lot_id] = lot, due.line.code
            self.grants[place].append(Granted(due.for_.quota, due.quantity, self.now))
        self._change(place, due.back, due.for_.quota, sign=-1)

    def _change(self, place: Place, parts: list[Part] | object, quota: int, *, sign: int) -> None:
        move = ledger.revoke if sign == 1 else ledger.give_again
        assert isinstance(parts, list)
        self.lots = ledger.post(self.lots, move(UNIT, parts))
        self.changes[place] += [
            Change(lot_id=p.lot_id, taken=sign * p.amount, quota=quota, at=self.now, ends_at=END)
            for p in parts
        ]

    def use(self, count: int) -> None:
        """Use some units in the spending order, as many as there are."""
        count = min(count, sum(lot.available(self.now) for lot in self.lots.values()))
        parts = ledger.take(self.lots.values(), count, self.now)
        self.lots = ledger.post(self.lots, ledger.hold(UNIT, parts))
        self.lots = ledger.post(self.lots, ledger.capture(UNIT, parts))

    def lots_of(self, code: str) -> list[Lot]:
        """Return the lots of a line."""
        return [lot for lot_id, lot in self.lots.items() if self.of[lot_id] == code]

    def free(self, code: str) -> int:
        """Return what can be claimed of a line's units."""
        return sum(lot.available(self.now) for lot in self.lots_of(code))

    def gone(self, code: str) -> int:
        """Return what was used of a line's units."""
        return sum(lot.redeemed for lot in self.lots_of(code))

    @property
    def whole(self) -> int:
        """What all lines brought, and was not taken back."""
        return sum(self.free(code) + self.gone(code) for code in CODES)


def stays_one_by_one(terms: Terms, moment: Moment, life: Life) -> dict[str, int]:
    """Count, unit by unit, what stays of the lines that fall: the oracle.

    All that is free of them is laid aside. Then one unit after the other is handed to whichever
    line the rule names first, beside what is used of it or what others have.
    """
    by, cap = terms.way
    policies = dict(zip(OF_TIERS, terms.policies, strict=True))
    lower = {c for c in OF_TIERS if terms.quota(c, moment) < terms.quota(c, life.last)}
    falling = {c for c in lower if policies[c] is not KEEP and moment.rank < life.last.rank}
    has = {c: life.gone(c) + (0 if c in falling else life.free(c)) for c in CODES}
    forfeit = {c for c in falling if policies[c] is not EXCESS and life.free(c)}
    for code in OF_TIERS:
        last = life.changes[MEMBER, code, PERIOD][-1:]
        if policies[code] in {UNCLAIMED, ALL} and last and last[0].taken > 0:
            forfeit |= {code} if terms.quota(code, moment) <= last[0].quota else set()
    quota = dict[str, int]()
    for code in CODES:
        most = terms.quota(code, moment)
        if code in moment.shut:  # what is there may stay, and nothing else comes
            stands = code in falling and life.free(code)
            most = min(most, life.gone(code) + life.free(code)) if stands else 0
        if most and code not in forfeit:
            quota[code] = most
    there = list(quota)
    stays = dict.fromkeys(falling, 0)
    while there:
        whole = sum(has.values())
        if by is StackBy.SUM:
            code = next((c for c in there if has[c] < quota[c] and whole < (cap or 99)), "")
        else:
            first = max(there, key=lambda c: quota[c]) if by is StackBy.MAX else there[0]
            code = first if whole < quota[first] else ""
        if not code:
            break
        has[code] += 1
        if code in falling:
            stays[code] += 1
    return {code: min(count, life.free(code)) for code, count in stays.items()}


def some(*names: str) -> st.SearchStrategy[frozenset[str]]:
    """Return any of some names."""
    return st.frozensets(st.sampled_from(names))


few = st.integers(1, 6)
pairs = st.tuples(few, few).map(lambda pair: (min(pair), max(pair)))
terms = st.builds(
    Terms,
    st.sampled_from(WAYS),
    st.tuples(pairs, pairs),
    st.tuples(*[st.sampled_from([EXCESS, EXCESS, UNCLAIMED, ALL, KEEP])] * 2),
    st.tuples(few, few),
)
moments = st.builds(Moment, st.integers(0, 2), some(*LABELS), some(*CODES), st.integers(0, 3))
lives = st.tuples(st.sampled_from([[TOP], []]), st.lists(moments, min_size=1, max_size=6)).map(
    lambda parts: [*parts[0], *parts[1]]
)


@given(terms, lives)
@settings(max_examples=150)
def test_what_stays_is_what_would_be_brought_again(terms: Terms, moments: list[Moment]) -> None:
    """P-6, P-7: counted unit by unit; of lines that do not fall nothing goes."""
    life = Life(terms)
    for moment in moments:
        expected = stays_one_by_one(terms, moment, life)
        free = {code: life.free(code) for code in CODES}
        life.live(moment)
        assert {c: free[c] - stay for c, stay in expected.items()} == life.took
        for code in {*CODES} - {*life.took}:
            assert free[code] <= life.free(code)
        life.use(moment.used)


@given(terms, lives)
@settings(max_examples=150)
def test_the_whole_is_never_above_the_best_moment(terms: Terms, moments: list[Moment]) -> None:
    """Invariant 4: whatever falls took and rises brought, and no line is above its own highest."""
    life = Life(terms)
    for nth, moment in enumerate(moments):
        life.live(moment)
        assert life.whole <= terms.best(moments[: nth + 1])
        for code in CODES:
            highest = max(terms.quota(code, each) for each in moments[: nth + 1])
            assert life.free(code) + life.gone(code) <= highest
        life.use(moment.used)


@given(terms, lives)
@settings(max_examples=150)
def test_who_is_up_again_has_all_that_the_moment_brings(
    terms: Terms, moments: list[Moment]
) -> None:
    """Invariant 4: net grants are the highest quota reached; a sum's and the largest's exactly."""
    life = Life(terms)
    for moment in [*moments, TOP]:
        life.live(moment)
        if not {UNCLAIMED, ALL} & {*terms.policies}:
            assert life.whole >= terms.alone(moment)
        life.use(moment.used)
    assert life.whole >= terms.alone(TOP)
    if terms.way[0] is not StackBy.PRIORITY:
        assert life.whole == terms.best([*moments, TOP])


@given(terms, lives, st.integers(0, 1))
@settings(max_examples=100)
@example(
    Terms((StackBy.PRIORITY, None), ((1, 1), (1, 2)), (EXCESS, EXCESS), (1, 1)),
    [TOP, Moment(2, frozenset(), frozenset({"tiers"}), 0)],
    0,
)
def test_a_fall_that_is_undone_leaves_as_much(
    terms: Terms, moments: list[Moment], rank: int
) -> None:
    """P-6: in all; of other lines what came in between.

    By PRIORITY that may be more; it is less where a line had come while the first one shut its
    member out: as that lets in again it hides the other one, and the moment's own units are there.
    """
    life = Life(terms)
    for moment in moments:
        life.live(moment)
        life.use(moment.used)
    life.live(TOP)
    whole = life.whole
    life.live(TOP._replace(rank=rank))
    life.live(TOP)
    if terms.way[0] is StackBy.PRIORITY:
        assert min(whole, terms.alone(TOP)) <= life.whole
    else:
        assert whole == life.whole
