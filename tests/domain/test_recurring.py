"""Recurring days: each month has at most one, the same from wherever one looks."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.recurring import (
    Missing,
    Recurring,
    Weekday,
    day_in,
    falls_on,
    next_day,
    recurring_problems,
)
from benefits.domain.values import Month

days = st.dates(date(2000, 1, 1), date(2100, 12, 31))
recurring = (
    st.builds(Recurring, day=st.integers(1, 31))
    | st.just(Recurring(last_day=True))
    | st.builds(
        Recurring, weekday=st.sampled_from(Weekday), nth=st.sampled_from([1, 2, 3, 4, 5, -1])
    )
)


@pytest.mark.parametrize(
    ("missing", "expected"), [("SKIP", None), ("LAST_DAY", date(2025, 6, 30))]
)
def test_g_rec_1_day_31_in_june(missing: str, expected: date | None) -> None:
    """G-REC-1, P-10: June has none, or its last day stands in; July has its own."""
    on = Recurring(day=31)
    assert expected == day_in(on, Missing(missing), Month(2025, 6))
    assert date(2025, 7, 31) == day_in(on, Missing(missing), Month(2025, 7))


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (Recurring(day=18), date(2024, 2, 18)),
        (Recurring(last_day=True), date(2024, 2, 29)),
        (Recurring(weekday=Weekday.SATURDAY), date(2024, 2, 3)),
        (Recurring(weekday=Weekday.THURSDAY, nth=1), date(2024, 2, 1)),
        (Recurring(weekday=Weekday.THURSDAY, nth=5), date(2024, 2, 29)),
        (Recurring(weekday=Weekday.FRIDAY, nth=5), None),
        (Recurring(weekday=Weekday.FRIDAY, nth=-1), date(2024, 2, 23)),
    ],
)
def test_a_recurring_day_has_a_date(on: Recurring, expected: date | None) -> None:
    """P-10: by number, the last, or by weekday."""
    assert expected == day_in(on, Missing.SKIP, Month(2024, 2))


@given(recurring, st.sampled_from(Missing), days)
def test_the_next_day_is_the_first_that_is_one(on: Recurring, missing: Missing, day: date) -> None:
    """P-10: none lies before it, and there is always one."""
    found = next_day(on, missing, day)
    assert falls_on(on, missing, found)
    between = (day + timedelta(days=n) for n in range((found - day).days))
    assert not any(falls_on(on, missing, each) for each in between)


@given(recurring, st.sampled_from(Missing), days)
def test_a_month_has_at_most_one(on: Recurring, missing: Missing, day: date) -> None:
    """P-10: exactly one where every month has the day, or the last stands in."""
    month = Month.of(day)
    each = [month.start + timedelta(days=n) for n in range(month.days)]
    found = [one for one in each if falls_on(on, missing, one)]
    assert [one for one in [day_in(on, missing, month)] if one] == found
    if on.is_sure or missing is Missing.LAST_DAY:
        assert found
    if on.weekday is not None and missing is Missing.SKIP:
        assert all(one.weekday() == list(Weekday).index(on.weekday) for one in found)


@pytest.mark.parametrize(
    ("on", "missing", "problem"),
    [
        (Recurring(), Missing.SKIP, "on: write one of day, last_day = true, or a weekday"),
        (Recurring(day=1, last_day=True), Missing.SKIP, "on: write one of day"),
        (Recurring(day=1, nth=2), Missing.SKIP, "on.nth: counts a weekday"),
        (Recurring(day=28), Missing.LAST_DAY, "missing: every month has this day"),
        (
            Recurring(weekday=Weekday.MONDAY, nth=5),
            Missing.LAST_DAY,
            "missing: the last day of a month is hardly that weekday",
        ),
    ],
)
def test_what_is_no_recurring_day_is_named(on: Recurring, missing: Missing, problem: str) -> None:
    """P-10: by its path."""
    (found,) = recurring_problems("line[0]", on, missing)
    assert found.startswith(f"line[0].{problem}")
