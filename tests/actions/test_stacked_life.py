"""What lines that stack bring in a period, through lives of every kind (P-7, P-4)."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.actions.stack import Brought, Due, matters, stacked
from benefits.actions.top_up import missing
from benefits.domain.downgrades import Change
from benefits.domain.eligibility import Rule
from benefits.domain.entitlement import Granted
from benefits.domain.labels import Layer, label_key
from benefits.domain.programme import Programme
from benefits.domain.stacking import StackBy, Stacking
from tests.actions.test_stacking import TIERS, of_label
from tests.builders import reference_programme

SUM, MAX, PRIORITY = StackBy
WAYS = [(SUM, None), (SUM, 4), (SUM, 7), (MAX, None), (PRIORITY, None)]
MEMBER, PERIOD, UNIT = UUID(int=1), "2025", "BENEFIT:LOUNGE"
BEGIN, END = datetime(2025, 7, 3, 2, tzinfo=UTC), datetime(2025, 12, 31, 16, tzinfo=UTC)
CODES = ("tiers", "payroll", "cars", "paid")  # first by priority; `paid` is of payroll, too


class Moment(NamedTuple):
    """What holds for a while: the tier, the labels, which lines let in, and which there are."""

    rank: int
    labels: frozenset[str]
    shut: frozenset[str]
    there: frozenset[str]


class Terms(NamedTuple):
    """How many units each line brings, and how they stack."""

    way: tuple[StackBy, int | None]
    tiers: tuple[int, int]
    segments: tuple[int, int, int]

    def programme(self, there: frozenset[str]) -> Programme:
        """Return the programme with those of the lines that there are."""
        by, cap = self.way
        base, rule = reference_programme(), Rule(staff=True)
        lounge, *others = base.benefit
        gold, platinum = self.tiers
        payroll, cars, paid = self.segments
        lines = (
            replace(TIERS, quota={"GOLD": gold, "PLATINUM": platinum}, eligible=rule),
            replace(of_label("payroll", payroll, 1), eligible=rule),
            replace(of_label("cars", cars, 2), eligible=rule),
            replace(of_label("payroll", paid, 3), code="paid", eligible=rule),
        )
        return replace(
            base,
            benefit=(replace(lounge, stacking=Stacking(by=by, cap=cap)), *others),
            line=tuple(line for line in lines if line.code in there),
        )

    def quotas(self, moment: Moment) -> dict[str, int]:
        """Return what each line alone brings at a moment, of those that apply, first by first."""
        of_tier = {1: self.tiers[0], 2: self.tiers[1]}
        payroll, cars, paid = self.segments
        each = {
            "tiers": of_tier.get(moment.rank, 0),
            "payroll": payroll if "payroll" in moment.labels else 0,
            "cars": cars if "cars" in moment.labels else 0,
            "paid": paid if "payroll" in moment.labels else 0,
        }
        applying = moment.there - moment.shut
        return {code: quota for code, quota in each.items() if quota and code in applying}

    def best(self, first: dict[str, int], life: list[Moment]) -> int:
        """Return the most that any moment brings, or what there was at first."""
        by, cap = self.way
        moments, whole = [self.quotas(moment) for moment in life], sum(first.values())
        match by:
            case StackBy.SUM:
                own = [max([first[c], *(each.get(c, 0) for each in moments)]) for c in CODES]
                return sum(own) if cap is None else max(whole, min(cap, sum(own)))
            case StackBy.MAX:
                return max([whole, *(quota for each in moments for quota in each.values())])
            case StackBy.PRIORITY:
                return max([whole, *(next(iter(each.values())) for each in moments if each)])


class Books:
    """What the lines granted one member in the period, what falls took, and what came back."""

    def __init__(self) -> None:
        """Start empty."""
        self.grants = defaultdict[tuple[UUID, str, str], list[Granted]](list)
        self.changes = defaultdict[tuple[UUID, str, str], list[Change]](list)
        self.lot = count(1)

    def begin(self, code: str, granted: int, taken: int, *, is_own: bool) -> None:
        """Let a line have brought units, of which a fall took some, before it stacked so.

        What was not the member's own was of a customer who was merged into them: it does not come
        back, as its lot is gone, but is granted anew.
        """
        place, left = (MEMBER, code, PERIOD), granted - taken
        if granted:
            self.grants[place].append(Granted(granted, granted, BEGIN, is_own))
        if taken:
            at = BEGIN + timedelta(hours=1)
            lot, end = UUID(int=next(self.lot)), END if is_own else None
            change = Change(lot_id=lot, taken=taken, quota=left, at=at, ends_at=end)
            self.changes[place].append(change)

    def net(self, code: str) -> int:
        """Return what a line brought, without what was taken and did not come back."""
        place = (MEMBER, code, PERIOD)
        gone = sum(change.taken for change in self.changes[place])
        return sum(grant.quantity for grant in self.grants[place]) - gone

    def write(self, due: Due, now: datetime) -> None:
        """Write down what came: each quota once, and no more back than was taken."""
        place = (MEMBER, due.line.code, PERIOD)
        if due.quantity:
            own = {grant.quota for grant in self.grants[place] if grant.is_own}
            assert due.for_.quota not in own
            self.grants[place].append(Granted(due.for_.quota, due.quantity, now))
        for part in due.back:
            change = Change(
                lot_id=part.lot_id, taken=-part.amount, quota=due.for_.quota, at=now, ends_at=END
            )
            self.changes[place].append(change)
            of_lot = [one.taken for one in self.changes[place] if one.lot_id == part.lot_id]
            assert sum(of_lot) >= 0

    def ask(self, programme: Programme, moment: Moment, now: datetime) -> list[Due]:
        """Return what is due at a moment."""
        gone = {code for _, code, _ in self.grants} - {line.code for line in programme.line}
        before = Brought(
            lines=programme.line,
            day=now.date(),
            grants=self.grants,
            changes=self.changes,
            opened={},
            carried={MEMBER: {label_key(Layer.FACT, label) for label in moment.labels}},
            gone={(MEMBER, UNIT, PERIOD): gone},
        )
        ranks = [(MEMBER, moment.rank)]
        found = missing(programme, ranks, before, since=now.date(), now=now)
        let_in = [due for due in found if due.line.code not in moment.shut or not matters(due)]
        return [due for due in stacked(let_in, now) if due.quantity or due.back]


def some(*names: str) -> st.SearchStrategy[frozenset[str]]:
    """Return any of some names."""
    return st.frozensets(st.sampled_from(names))


few = st.integers(1, 5)
terms = st.builds(Terms, st.sampled_from(WAYS), st.tuples(few, few), st.tuples(few, few, few))
moments = st.builds(Moment, st.integers(0, 2), some("payroll", "cars"), some(*CODES), some(*CODES))
brought = st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans())


@given(terms, st.tuples(*[brought] * 4), st.lists(moments, min_size=1, max_size=6))
@settings(max_examples=60)
def test_a_stack_brings_what_its_best_moment_does(
    terms: Terms, at_first: tuple[tuple[int, int, bool], ...], life: list[Moment]
) -> None:
    """Invariant 4, P-7: net, after any rises, falls, labels, rules, and lines that go."""
    books, first = Books(), dict[str, int]()
    for code, (granted, taken, is_own) in zip(CODES, at_first, strict=True):
        books.begin(code, granted, min(granted, taken), is_own=is_own)
        first[code] = books.net(code)
    for nth, moment in enumerate(life):
        now = BEGIN + timedelta(days=nth + 1)
        programme = terms.programme(moment.there)
        for due in books.ask(programme, moment, now):
            books.write(due, now)
        assert terms.best(first, life[: nth + 1]) == sum(books.net(code) for code in CODES)
        assert [] == books.ask(programme, moment, now)
    for code in CODES:
        own = [terms.quotas(moment).get(code, 0) for moment in life]
        assert first[code] <= books.net(code) <= max([first[code], *own])
