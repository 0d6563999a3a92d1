"""Orders: silence is not failure, and whatever order answers come in, they end the same."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations, permutations, product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain.booking import Cancelled
from benefits.domain.lattice import UNTOLD, Effect, Lapsed, Step, Terms, Unused, advance
from benefits.domain.orders import (
    DELIVERED,
    OPEN,
    Capabilities,
    Confirmed,
    Done,
    Expired,
    LateSuccess,
    NotFound,
    NotSent,
    Operation,
    OrderState,
    Outcome,
    PartlyUsed,
    Pending,
    Reason,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
    backoff,
    believed,
    next_operation,
    next_query_at,
)
from tests.builders import NOON

AT_ISSUE = Terms(consumed_at_issue=True, late_success=LateSuccess.REISSUE)
AT_USE = Terms(consumed_at_issue=False, late_success=LateSuccess.REISSUE)
REVOKING = Terms(consumed_at_issue=True, late_success=LateSuccess.REVOKE)
DONE, USED, PENDING = Done(NOON), Used(NOON), Pending("R1")
REJECTED, UNKNOWN = Rejected(Reason.STOCK_OUT, "E7"), Unknown("timeout")
REVOKED, NOT_SENT = Revoked(NOON), NotSent("refused")

terms_of_any = st.builds(Terms, st.booleans(), st.sampled_from(LateSuccess))
successes: st.SearchStrategy[Outcome] = st.sampled_from([DONE, USED])
outcomes = st.sampled_from(
    [DONE, USED, PENDING, REJECTED, UNKNOWN, REVOKED, NOT_SENT, NotFound(), Lapsed()]
)


class Life:
    """An order with the units of its claim, to which answers come."""

    def __init__(self, terms: Terms, state: OrderState = OrderState.SUBMITTED) -> None:
        """Begin with the units held."""
        self.terms = terms
        self.state = state
        self.course = UNTOLD
        self.units = "held"
        self.captures = 0
        self.releases = 0
        self.cases: list[str] = []

    def hear(self, *answers: Outcome | Lapsed) -> "Life":
        """Apply answers one after the other; units can only move from where they are."""
        for answer in answers:
            step = advance(self.state, answer, self.terms, self.course)
            self.state, self.course = step.state, step.course
            self._move(step.effect)
            self.cases += [step.case] if step.case else []
        return self

    def _move(self, effect: Effect) -> None:
        match effect:
            case Effect.CAPTURE:
                self._from("held", "captured")
                self.captures += 1
            case Effect.RELEASE | Effect.LOSE:
                partly = bool(self.course.used) and not self.terms.consumed_at_issue
                self._from("held", "parted" if partly else "released")
                self.releases += 1
            case Effect.RESTORE:
                self._from("captured", "held")
                self.captures -= 1
            case Effect.RETURN | Effect.FORFEIT:
                self._from("captured", "released")
                self.captures -= 1
            case Effect.REISSUE:
                self._from("released", "held")
            case Effect.REISSUE_AND_CAPTURE:
                self._from("released", "captured")
                self.captures += 1
            case Effect.REVOKE:
                assert "released" == self.units
            case Effect.NONE:
                pass

    def _from(self, before: str, after: str) -> None:
        assert before == self.units
        self.units = after


@given(
    st.sampled_from([AT_ISSUE, AT_USE]),
    st.lists(st.sampled_from([DONE, USED, PENDING, UNKNOWN, NOT_SENT]), max_size=8),
    st.data(),
)
def test_answers_in_any_order_end_the_same(
    terms: Terms, answers: list[Outcome], data: st.DataObject
) -> None:
    """Any permutation, repeated as it may be, ends in one state with one capture (V-4)."""
    succeeded = [*answers, data.draw(successes)]
    shuffled = data.draw(st.permutations(succeeded))
    repeats = data.draw(st.lists(st.sampled_from(succeeded), max_size=5))
    lives = [Life(terms).hear(*succeeded), Life(terms).hear(*shuffled, *repeats)]
    used = USED in succeeded
    state = OrderState.REDEEMED if used else OrderState.ISSUED
    captures = 1 if used or terms.consumed_at_issue else 0
    assert [(state, captures, [])] * 2 == [(o.state, o.captures, o.cases) for o in lives]


@given(
    st.sampled_from([AT_ISSUE, AT_USE]),
    st.lists(
        st.sampled_from([DONE, USED, PENDING, UNKNOWN, NOT_SENT, REJECTED, Lapsed()]), max_size=10
    ),
    st.sampled_from([DONE, USED]),
    st.data(),
)
def test_success_is_never_lost(
    terms: Terms, answers: list[Outcome | Lapsed], success: Outcome, data: st.DataObject
) -> None:
    """With refusals among them too, an order that succeeded once ends delivered (3.18, 5)."""
    life = Life(terms).hear(*data.draw(st.permutations([*answers, success])))
    used = USED in [*answers, success]
    assert (OrderState.REDEEMED if used else OrderState.ISSUED) is life.state
    spent = used or terms.consumed_at_issue
    assert (1 if spent else 0, "captured" if spent else "held") == (life.captures, life.units)


def _uses(hours: int, kind: int) -> Outcome:
    at = NOON + timedelta(hours=hours)
    return (Used(at), Reversed(at), PartlyUsed(at, 1), PartlyUsed(at, 2))[kind]


@given(
    st.booleans(),
    st.booleans(),
    st.lists(st.builds(_uses, st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6),
    st.data(),
)
def test_uses_in_any_order_end_the_same(
    at_issue: bool,  # noqa: FBT001 - drawn
    two_phase: bool,  # noqa: FBT001 - drawn
    uses: list[Outcome],
    data: st.DataObject,
) -> None:
    """Uses, parts of them and their undoing, permuted and repeated, end in one state (V-2)."""
    terms = Terms(at_issue, LateSuccess.REISSUE, two_phase=two_phase, quantity=3)
    told = [DONE, Confirmed(NOON), *uses]
    lives = [
        Life(terms).hear(*data.draw(st.permutations(told + data.draw(repeats))))
        for repeats in (st.just([]), st.lists(st.sampled_from(told), max_size=4))
    ]
    assert 1 == len({(life.state, life.units, life.captures, life.course) for life in lives})
    assert lives[0].state in DELIVERED
    spent = at_issue or lives[0].state is OrderState.REDEEMED
    assert ("captured" if spent else "held", []) == (lives[0].units, lives[0].cases)


@given(st.booleans(), st.sampled_from(Unused), st.data())
def test_what_ends_ends_whenever_it_is_told(
    at_issue: bool,  # noqa: FBT001 - drawn
    unused: Unused,
    data: st.DataObject,
) -> None:
    """An end, a use before it and the use's undoing: only what stays used is spent (V-5)."""
    terms = Terms(at_issue, LateSuccess.REISSUE, unused=unused)
    undone = Reversed(NOON + timedelta(hours=1))
    for told, ended in (([USED], False), ([USED, undone], True), ([undone], True)):
        heard = data.draw(st.permutations([DONE, Expired(NOON + timedelta(days=1)), *told]))
        life = Life(terms).hear(*heard, heard[-1])
        if life.cases and not at_issue and unused is Unused.LOST:  # a use after what is lost
            assert ("released", ["used_after_expired"]) == (life.units, sorted({*life.cases}))
            continue
        state = OrderState.EXPIRED if ended else OrderState.REDEEMED
        units = "captured" if at_issue or not ended else "released"
        assert (state, units, []) == (life.state, life.units, life.cases)


def test_a_part_that_was_spent_is_never_paid_again() -> None:
    """Its undoing and a later use of all, told after the end, are left to a person (V-5)."""
    terms, hour = Terms(False, LateSuccess.REISSUE, quantity=3), timedelta(hours=1)
    state, course, effects = OrderState.ISSUED, UNTOLD, list[Effect]()
    heard = (Expired(NOON + 9 * hour), Reversed(NOON + hour), Used(NOON + 2 * hour))
    for told in (PartlyUsed(NOON, 1), *heard):
        step = advance(state, told, terms, course)
        state, course = step.state, step.course
        effects.append(step.effect)
    assert [Effect.NONE, Effect.RELEASE, Effect.NONE, Effect.NONE] == effects
    assert OrderState.EXPIRED is state


@pytest.mark.parametrize("at_issue", [True, False])
@pytest.mark.parametrize("told", [(), (PartlyUsed(NOON, 1),)])
def test_an_end_may_tell_what_was_used(told: tuple[Outcome, ...], *, at_issue: bool) -> None:
    """Then no unit comes back that was used, though nobody heard of its use (V-5)."""
    terms = Terms(at_issue, LateSuccess.REISSUE, quantity=3)
    ended = Expired(NOON + timedelta(days=1), used=1)
    for heard in permutations([DONE, ended, *told]):
        state, course, effects = OrderState.SUBMITTED, UNTOLD, list[Effect]()
        for outcome in heard:
            step = advance(state, outcome, terms, course)
            state, course = step.state, step.course
            effects.append(step.effect)
        assert (OrderState.EXPIRED, 1) == (state, course.used)
        moved = [effect for effect in effects if effect is not Effect.NONE]
        assert [Effect.CAPTURE if at_issue else Effect.RELEASE] == moved


@given(st.sampled_from([DONE, Confirmed(NOON), Expired(NOON), USED]))
def test_what_people_settled_as_used_stays_used(told: Outcome) -> None:
    """An order of whose use no time is known falls back for its undoing alone (V-4)."""
    step = advance(OrderState.REDEEMED, told, AT_USE)
    assert (OrderState.REDEEMED, Effect.NONE, "") == (step.state, step.effect, step.case)
    undone = advance(OrderState.REDEEMED, Reversed(NOON), AT_USE, step.course)
    expected = {USED: Effect.RESTORE, Expired(NOON): Effect.RETURN}.get(told, Effect.RESTORE)
    assert expected is undone.effect


def test_what_lapsed_and_then_ended_can_still_be_delivered() -> None:
    """That an order ended which was never sent says nothing of its units (G-CB-4)."""
    terms = Terms(consumed_at_issue=True, late_success=LateSuccess.REISSUE)
    ended = advance(OrderState.EXPIRED, Expired(NOON), terms)
    assert Step(OrderState.EXPIRED) == ended
    late = advance(ended.state, USED, terms, ended.course)
    assert (OrderState.REDEEMED, Effect.REISSUE_AND_CAPTURE) == (late.state, late.effect)


@given(terms_of_any, st.lists(outcomes, max_size=15))
def test_units_are_held_exactly_as_long_as_something_may_come(
    terms: Terms, answers: list[Outcome | Lapsed]
) -> None:
    """Whatever is heard, open orders hold their units and ended ones do not (3.18, 13)."""
    life = Life(terms).hear(*answers)
    waiting = life.state is OrderState.ISSUED and not terms.consumed_at_issue
    assert (life.state in OPEN or waiting) is (life.units == "held")
    assert (life.state in DELIVERED and not waiting) is (life.units == "captured")
    assert life.captures <= 1


@given(terms_of_any, st.lists(outcomes, max_size=10), outcomes)
def test_hearing_the_same_again_moves_nothing(
    terms: Terms, answers: list[Outcome | Lapsed], last: Outcome | Lapsed
) -> None:
    """A replay changes neither state nor units, save for a thing that is to be taken back."""
    life = Life(terms).hear(*answers, last)
    again = advance(life.state, last, terms, life.course)
    if again.effect is not Effect.REVOKE and not isinstance(last, NotSent | Lapsed):
        assert (life.state, Effect.NONE) == (again.state, again.effect)


def test_g_unk_1_an_unknown_outcome_is_cleared_up_by_asking_and_by_callback() -> None:
    """G-UNK-1: a timeout, then "processing", then success: issued with one capture."""
    life = Life(AT_ISSUE).hear(UNKNOWN)
    assert (OrderState.UNKNOWN, "held") == (life.state, life.units)
    life.hear(PENDING, DONE)
    assert (OrderState.ISSUED, 1) == (life.state, life.captures)


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (timedelta(minutes=9, seconds=59), OrderState.UNKNOWN),
        (timedelta(minutes=10), OrderState.COMPENSATED),
    ],
    ids=["G-UNK-2 before the grace ends", "G-UNK-2 as it ends"],
)
def test_not_found_is_a_refusal_only_after_the_grace(after: timedelta, state: OrderState) -> None:
    """G-UNK-2: at 9:59 the order stays unknown, at 10:00 it is refused and released."""
    life = Life(AT_ISSUE).hear(UNKNOWN)
    grace_s = Capabilities().not_found_grace_s
    life.hear(believed(NotFound(), sent_by=NOON, now=NOON + after, grace_s=grace_s))
    assert (state, int(state is OrderState.COMPENSATED)) == (life.state, life.releases)


CALLBACKS: dict[str, tuple[Terms, list[Outcome | Lapsed], OrderState, str, list[str]]] = {
    "G-CB-1": (AT_ISSUE, [DONE, DONE], OrderState.ISSUED, "captured", []),
    "G-CB-2": (AT_ISSUE, [REJECTED, REJECTED], OrderState.COMPENSATED, "released", []),
    "G-CB-3": (
        AT_ISSUE,
        [DONE, REJECTED],
        OrderState.ISSUED,
        "captured",
        ["failed_after_success"],
    ),
    "G-CB-4": (AT_ISSUE, [REJECTED, DONE], OrderState.ISSUED, "captured", []),
    "G-CB-4 held until used": (AT_USE, [REJECTED, DONE], OrderState.ISSUED, "held", []),
    "G-CB-4 used at once": (AT_USE, [REJECTED, USED], OrderState.REDEEMED, "captured", []),
    "G-CB-6": (AT_ISSUE, [DONE, PENDING], OrderState.ISSUED, "captured", []),
    "G-CB-6 timed out": (AT_ISSUE, [DONE, UNKNOWN], OrderState.ISSUED, "captured", []),
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_that_contradict_or_repeat_end_where_they_must(name: str) -> None:
    """Final states are sticky and contradictions open a case (V-4); G-CB-5 has no order."""
    terms, answers, state, units, cases = CALLBACKS[name]
    life = Life(terms).hear(*answers)
    assert (state, units, cases) == (life.state, life.units, life.cases)


def test_g_cb_4_a_provider_that_can_revoke_is_asked_to() -> None:
    """Where late success is revoked the order stays compensated until the provider has."""
    life = Life(REVOKING).hear(REJECTED)
    assert Step(OrderState.COMPENSATED, Effect.REVOKE) == advance(life.state, DONE, REVOKING)
    assert OrderState.REVOKED is life.hear(DONE, REVOKED).state
    assert OrderState.REDEEMED is Life(REVOKING).hear(REJECTED, USED).state


@pytest.mark.parametrize(
    ("terms", "answers", "state", "units", "cases"),
    [
        (AT_USE, [DONE], OrderState.REVOKED, "released", []),
        (AT_USE, [PENDING], OrderState.REVOKED, "released", []),
        (AT_USE, [USED], OrderState.REDEEMED, "captured", ["revoked_after_success"]),
        (AT_ISSUE, [DONE], OrderState.ISSUED, "captured", ["revoked_after_success"]),
    ],
)
def test_what_is_taken_back_gives_held_units_back(
    terms: Terms, answers: Sequence[Outcome], state: OrderState, units: str, cases: list[str]
) -> None:
    """Unspent units are the member's again; spent ones stay spent and a person is told."""
    life = Life(terms).hear(*answers, REVOKED)
    assert (state, units, cases) == (life.state, life.units, life.cases)


def test_a_hold_lapses_only_before_anything_was_sent() -> None:
    """A deadline ends a held order; once sent only the provider's answer does (V-2)."""
    assert OrderState.EXPIRED is Life(AT_USE, OrderState.HELD).hear(Lapsed()).state
    for state in OPEN - {OrderState.HELD}:
        assert Step(state) == advance(state, Lapsed(), AT_USE)


def test_what_never_left_may_be_sent_again() -> None:
    """A submission that provably never left is held again; nothing else is (V-3)."""
    assert OrderState.HELD is Life(AT_USE).hear(NOT_SENT).state
    assert OrderState.UNKNOWN is Life(AT_USE).hear(UNKNOWN, NOT_SENT).state


ALL: list[Outcome] = [DONE, USED, PENDING, REJECTED, UNKNOWN, REVOKED, NOT_SENT]


@pytest.mark.parametrize("outcome", ALL)
def test_only_not_found_is_weighed(outcome: Outcome) -> None:
    """Every other answer is worth what it says, whenever it comes."""
    assert outcome == believed(outcome, sent_by=NOON, now=NOON, grace_s=600)


@pytest.mark.parametrize("after_s", [0, 599, 600])
def test_an_order_that_was_sent_again_is_refused_only_after_the_grace(after_s: int) -> None:
    """The send before may still be under way, and what it brings would be given (V-3)."""
    doubt = Unknown("sent again and refused, within the grace: E7")
    now = NOON + timedelta(seconds=after_s)
    for outcome, is_resent, expected in (
        (REJECTED, False, REJECTED),
        (REJECTED, True, REJECTED if after_s == 600 else doubt),
        (DONE, True, DONE),
    ):
        assert expected == believed(
            outcome, sent_by=NOON, now=now, grace_s=600, is_resent=is_resent
        )


@pytest.mark.parametrize(
    ("asked", "last", "outcome", "does"),
    [
        (Operation.ISSUE, None, "", Operation.ISSUE),
        (Operation.ISSUE, Operation.ISSUE, "not_sent", Operation.ISSUE),
        (Operation.ISSUE, Operation.ISSUE, "", Operation.QUERY),
        (Operation.ISSUE, Operation.ISSUE, "unknown", Operation.QUERY),
        (Operation.ISSUE, Operation.ISSUE, "pending", Operation.QUERY),
        (Operation.ISSUE, Operation.QUERY, "not_sent", Operation.QUERY),
        (Operation.ISSUE, Operation.QUERY, "not_found", Operation.QUERY),
        (Operation.REVOKE, None, "", Operation.REVOKE),
        (Operation.REVOKE, Operation.REVOKE, "unknown", Operation.REVOKE),
        (Operation.REVOKE, Operation.REVOKE, "pending", Operation.QUERY),
        (Operation.REVOKE, Operation.QUERY, "done", Operation.REVOKE),
        (Operation.REVOKE, Operation.QUERY, "pending", Operation.REVOKE),
    ],
)
def test_nothing_is_issued_twice(
    asked: Operation, last: Operation | None, outcome: str, does: Operation
) -> None:
    """After an attempt that may have arrived we ask, also after a crash told nothing (V-3)."""
    assert does is next_operation(asked, last, outcome)


def test_queries_back_off_and_then_a_person_decides() -> None:
    """15 s, 30 s, 1 min and so on to a day, then nothing more (V-3)."""
    schedule = Capabilities().query_schedule_s
    waits = [next_query_at(n, schedule, NOON) for n in range(len(schedule) + 1)]
    assert [*(NOON + timedelta(seconds=s) for s in schedule), None] == waits
    assert (15, 30, 60, 180, 600) == schedule[:5]


def test_what_could_not_be_sent_is_tried_again_ever_later() -> None:
    """Five seconds, doubling, at most ten minutes, however often."""
    waits = [backoff(attempt).total_seconds() for attempt in (1, 2, 3, 7, 8, 100)]
    assert [5, 10, 20, 320, 600, 600] == waits


@given(st.sampled_from(ALL))
def test_an_outcome_is_stored_and_read_back(outcome: Outcome) -> None:
    """Every outcome survives its encoding, the kind included."""
    assert outcome == msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome)


HEARD: list[Outcome] = [
    DONE,
    REJECTED,
    Expired(NOON + timedelta(days=1)),
    Expired(NOON + timedelta(days=1), used=1),
    Used(NOON + timedelta(hours=1)),
    PartlyUsed(NOON + timedelta(minutes=1), 1),
    Reversed(NOON + timedelta(hours=2)),
    REVOKED,
]


@pytest.mark.parametrize("count", [2, 3])
def test_where_the_order_of_coming_matters_a_person_is_asked(count: int) -> None:
    """All orders of some news leave the units in one place, or a case says that they may not."""
    kinds = product((True, False), (True, False), (1, 3), Unused, Cancelled)
    for at_issue, two_phase, quantity, unused, cancelled in kinds:
        late = LateSuccess.REISSUE if cancelled is Cancelled.NO else LateSuccess.REVOKE
        terms = Terms(at_issue, late, two_phase=two_phase, quantity=quantity, unused=unused)
        terms = replace(terms, booked_for=NOON + timedelta(days=1), cancelled=cancelled)
        heard = [*HEARD, Confirmed(NOON)] if two_phase else HEARD
        for told in combinations(heard, count):
            lives = [Life(terms).hear(*order) for order in permutations(told)]
            places = {life.units for life in lives}
            assert 1 == len(places) or any(life.cases for life in lives), (terms, told)


OVER: list[Outcome] = [REVOKED, REJECTED, Expired(NOON), Expired(NOON + timedelta(days=1))]


@pytest.mark.parametrize("cancelled", [Cancelled.IN_TIME, Cancelled.LATE])
def test_what_was_given_up_ends_by_whatever_word(cancelled: Cancelled) -> None:
    """In time it comes back, whatever was spent; late it is spent, if not refused (V-10)."""
    for at_issue, two_phase, unused in product((True, False), (True, False), Unused):
        terms = Terms(at_issue, LateSuccess.REVOKE, two_phase=two_phase, unused=unused)
        terms = replace(terms, booked_for=NOON + timedelta(days=1), cancelled=cancelled)
        done: list[Outcome] = [DONE, Confirmed(NOON)] if two_phase else [DONE]
        for over, more in product(OVER, [UNKNOWN, *OVER]):
            for heard in permutations([*done, over, more]):
                life = Life(terms).hear(*heard, over)
                units = {"released"} if cancelled is Cancelled.IN_TIME else {"captured"}
                if REJECTED in heard:
                    units.add("released")
                assert life.units in units, (terms, heard)
                assert life.state in {OrderState.REVOKED, OrderState.COMPENSATED}
