"""Choices by themselves: what refuses first, and which lot a unit is taken from (P-8)."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain.choice import Choice
from benefits.domain.choices import ChoiceFacts, Place, choose
from benefits.domain.compliance import Nature, Trigger
from benefits.domain.guard import findings
from benefits.domain.ledger import Lot
from benefits.domain.packages import Line, LinePeriod
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read, write
from benefits.domain.refusal import Refusal
from benefits.domain.terms import changes
from tests.builders import reference_programme

NOW = datetime(2025, 7, 2, tzinfo=UTC)
VIDEO = reference_programme().benefits["VIDEO"]
NAME = {"zh": "二选一", "en": "One of two"}
PICK = Choice(code="PICK", name=NAME, benefits=("LOUNGE", "VIDEO"))
LINE = Line(code="pick", choice="PICK", period=LinePeriod.MONTH, quota={"GOLD": 1})


def lot(number: int, left: int, days: int) -> tuple[Place, Lot]:
    """Return a lot of a month of its own, with what is left, that ends in some days."""
    made = Lot(
        lot_id=UUID(int=number),
        unit="CHOICE:PICK",
        granted=3,
        remaining=left,
        held=0,
        expires_at=NOW + timedelta(days=days),
        granted_at=NOW,
    )
    return Place("wealth", "pick", f"2025-{number:02d}"), made


def facts(*lots: tuple[Place, Lot], **more: Any) -> ChoiceFacts:
    """Return what a member with some lots chooses by."""
    given: dict[str, Any] = {
        "closed": False,
        "blocked": False,
        "made": (),
        "today": date(2025, 7, 2),
        **more,
    }
    return ChoiceFacts(lots=lots, **given)


def told(asked: ChoiceFacts, *, repeat: bool = False) -> int | str:
    """Return the number of the lot that is taken from, or the code of what refuses."""
    found = choose(repeat=repeat, benefit=VIDEO, facts=asked, now=NOW)
    return found.code if isinstance(found, Refusal) else found.lot_id.int


def test_what_refuses_first_is_told() -> None:
    """K-2: the member, blocks, units, and then what was chosen before."""
    here = lot(1, 1, 9)
    made = {(here[0], "VIDEO")}
    assert "member_closed" == told(facts(closed=True, blocked=True))
    assert "blocked" == told(facts(blocked=True))
    assert "contract_ended" == told(facts(last_claim=date(2025, 7, 1)))
    assert "insufficient_units" == told(facts(last_claim=date(2025, 7, 2)))
    assert "insufficient_units" == told(facts(lot(1, 0, 9), made=made))
    assert "expired" == told(facts(lot(1, 1, 0)))
    assert "choice_repeated" == told(facts(here, made=made))
    assert 1 == told(facts(here, made=made), repeat=True)


@pytest.mark.parametrize(
    ("opens", "until", "answer"),
    [
        (None, date(2025, 7, 2), 1),
        (None, date(2025, 7, 1), "claim_window"),
        (NOW + timedelta(days=4), None, 1),
        (NOW + timedelta(days=5), None, 3),  # the first lot ends as it opens
        (NOW + timedelta(days=9), None, "claim_window"),
    ],
)
def test_a_unit_becomes_what_can_be_claimed_with_it(
    opens: datetime | None, until: date | None, answer: int | str
) -> None:
    """P-9: the benefit is claimed by then, and the unit still lasts when it opens."""
    asked = facts(lot(1, 1, 5), lot(3, 1, 9), opens=opens)
    found = choose(repeat=False, benefit=replace(VIDEO, claim_until=until), facts=asked, now=NOW)
    assert answer == (found.code if isinstance(found, Refusal) else found.lot_id.int)


def test_a_unit_is_taken_where_the_benefit_was_not_chosen() -> None:
    """L-3, P-8: the first lot to end, but for those in whose period it was chosen."""
    lots = (lot(3, 1, 9), lot(1, 1, 5), lot(2, 0, 7))
    assert 1 == told(facts(*lots))
    assert 3 == told(facts(*lots, made={(lots[1][0], "VIDEO")}))
    assert 1 == told(facts(*lots, made={(lots[1][0], "VIDEO")}), repeat=True)
    assert 1 == told(facts(*lots, made={(lots[1][0], "LOUNGE")}))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 3)), max_size=4),
    st.sets(st.integers(0, 3)),
    st.booleans(),
)
def test_what_is_taken_is_there_and_lasts(
    figures: list[tuple[int, int]],
    made: set[int],
    repeat: bool,  # noqa: FBT001 - drawn
) -> None:
    """A lot is taken exactly where one has a unit and the benefit may be chosen for it."""
    lots = [lot(n, left, days) for n, (left, days) in enumerate(figures)]
    places = {(place, "VIDEO") for n, (place, _) in enumerate(lots) if n in made}
    may = [n for n, (left, days) in enumerate(figures) if left and days > 0]
    may = [n for n in may if repeat or n not in made]
    answer = told(facts(*lots, made=places), repeat=repeat)
    assert (answer in may) == bool(may)
    assert isinstance(answer, str) == (not may)


@pytest.mark.parametrize(
    ("choice", "line", "problem"),
    [
        (replace(PICK, benefits=("LOUNGE",)), LINE, "choice[0].benefits: there is nothing"),
        (replace(PICK, benefits=("VIDEO",) * 2), LINE, "choice[0].benefits[1]: 'VIDEO' stands"),
        (replace(PICK, benefits=("VIDEO", "VIDE")), LINE, "did you mean 'VIDEO'?"),
        (replace(PICK, code="VIDEO"), LINE, "choice[0].code: 'VIDEO' is a benefit's"),
        (PICK, replace(LINE, choice="PICKS"), "'PICKS' is not defined; did you mean 'PICK'?"),
        (PICK, replace(LINE, benefit="VIDEO"), "a line brings a benefit or a choice; write two"),
        (replace(PICK, name={"en": "One"}), LINE, "choice[0].name: no text in zh"),
    ],
)
def test_what_is_no_choice_is_named(choice: Choice, line: Line, problem: str) -> None:
    """Each contradiction by its path, as of everything in a file."""
    made = replace(reference_programme(), choice=(choice,), line=(line,))
    with pytest.raises(ProgrammeInvalid) as refused:
        read(write(made))
    assert problem in str(refused.value.detail)


def test_parts_of_units_are_not_chosen_among() -> None:
    """C-2: one unit of a choice is one piece, so a benefit of half units is none of several."""
    base = reference_programme()
    halved = tuple(replace(one, scale=1) for one in base.benefit)
    made = replace(base, benefit=halved, choice=(PICK,), line=(LINE,))
    with pytest.raises(ProgrammeInvalid, match="is not one piece of it"):
        read(write(made))


def test_fewer_to_choose_from_is_worse() -> None:
    """U-2: a benefit less, or each only once; one more, or a choice more, is not."""
    base = replace(reference_programme(), choice=(replace(PICK, repeat=True),))
    for after, worse in (
        (replace(PICK, repeat=True, benefits=("LOUNGE",)), True),
        (PICK, True),
        (replace(PICK, repeat=True, benefits=("LOUNGE", "VIDEO", "THIRD")), False),
        (replace(PICK, repeat=True, name={"zh": "选", "en": "Pick"}), False),
    ):
        found = changes(base, replace(base, choice=(after,)))
        assert [worse] == sorted({change.is_worse for change in found})
    assert [False] == [c.is_worse for c in changes(reference_programme(), base)]
    assert [True] == [c.is_worse for c in changes(base, reference_programme())]


def test_a_line_of_a_choice_may_bring_each_of_its_benefits() -> None:
    """X-1: what can be chosen for a tier's units is given for the tier."""
    base = replace(reference_programme(), choice=(PICK,), line=(LINE,))
    assert [True, True, False] == [base.may_bring(LINE, one) for one in (*PICK.benefits, "PICK")]
    plain = replace(LINE, choice="", benefit="VIDEO")
    assert [False, True] == [base.may_bring(plain, one) for one in PICK.benefits]
    gift = tuple(
        replace(one, nature=Nature.CASH, triggers=()) if one.code == "VIDEO" else one
        for one in base.benefit
    )
    found = findings(replace(base, benefit=gift))
    assert [("VIDEO", Trigger.TIER)] == [(each.benefit, each.trigger) for each in found]
    assert () == findings(replace(base, benefit=gift, line=()))
