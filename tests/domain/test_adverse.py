"""A version that takes anything from anybody waits for its notice, whatever it changes (U-2)."""

from datetime import date
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benefits.domain.programme import Programme
from benefits.domain.programme_file import read, write
from benefits.domain.stacking import StackBy, Stacking
from benefits.domain.terms import NoticeMissing, changes, check_told
from tests.adverse import MONTHS, PLAIN, WORSE, is_worse, programme, versions

TODAY = date(2025, 7, 1)
FEW = {"GOLD": 1, "PLATINUM": 1, "DIAMOND": 1, "segment_days": 70}


def refuse(before: Programme, after: Programme) -> None:
    """Hold against a version of which nobody was told."""
    with pytest.raises(NoticeMissing):
        check_told(changes(before, after), [], begins=TODAY, judged=TODAY, days=30)


@settings(max_examples=25)
@example((FEW | {"stacking": Stacking(by=StackBy.MAX)}, "GOLD", 4), 0)
@example((FEW | {"stacking": Stacking(cap=4)}, "GOLD", 4), 1)
@example((FEW | {"stacking": Stacking(by=StackBy.PRIORITY)}, "stacking", PLAIN["stacking"]), 1)
@example(({"stacking": Stacking(by=StackBy.PRIORITY), "GOLD": 0}, "GOLD", 1), 2)
@given(versions(), st.integers(0, len(MONTHS) - 1))
def test_no_version_that_takes_from_anybody_holds_without_notice(
    drawn: tuple[dict[str, Any], str, Any], since: int
) -> None:
    """Invariant 14: whoever lives through both versions has no less, or had to be told."""
    values, name, value = drawn
    before, after = programme(PLAIN | values), programme(PLAIN | values | {name: value})
    if is_worse(before, after, since):
        refuse(before, after)


@pytest.mark.parametrize("name", WORSE)
def test_each_field_can_take_from_somebody(name: str) -> None:
    """The lives feel it, the version needs a notice, and both versions can be written."""
    before, after = programme(PLAIN), programme(PLAIN | {name: WORSE[name]})
    assert before == read(write(before))
    assert after == read(write(after))
    assert is_worse(before, after, 0)
    refuse(before, after)
