"""Package lines: their periods, of the calendar and of a member's own, and when units end."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain.carry import Carry
from benefits.domain.labels import Layer
from benefits.domain.packages import (
    Anchor,
    Downgrade,
    Line,
    LinePeriod,
    Segment,
    Start,
    UpgradePolicy,
    beginning,
    counts_for,
    ends_at,
    keys_at,
    line_problems,
    next_start,
    over,
    period_at,
    period_named,
    starting,
)
from benefits.domain.recurring import Missing, Recurring
from benefits.domain.values import Period

ZONE = ZoneInfo("Asia/Shanghai")
OPENED = date(2024, 1, 31)
days = st.dates(date(2024, 1, 1), date(2032, 12, 31))


def line(period: LinePeriod = LinePeriod.MONTH, **more: Any) -> Line:
    """Return a line of lounge visits."""
    every: dict[str, Any] = {"code": "lounge", "benefit": "LOUNGE", "quota": {"GOLD": 1}}
    return Line(period=period, **(every | more))


def own(period: LinePeriod, length: int = 0) -> Line:
    """Return one with periods of a member's own."""
    return line(period, anchor=Anchor.ANNIVERSARY, days=length, start=Start.PERIOD)


def daily(**more: object) -> Line:
    """Return one of every 18th."""
    return line(LinePeriod.OCCURRENCE, **({"on": Recurring(day=18), "start": Start.PERIOD} | more))


ONE_OF = "write one of day, last_day = true, or a weekday with its nth"
OWN = [
    own(LinePeriod.MONTH),
    own(LinePeriod.QUARTER),
    own(LinePeriod.YEAR),
    own(LinePeriod.ROLLING, 45),
    own(LinePeriod.ROLLING, 1),
]


@pytest.mark.parametrize(
    ("period", "key"),
    [
        (LinePeriod.MONTH, "2025-05"),
        (LinePeriod.QUARTER, "2025-Q2"),
        (LinePeriod.YEAR, "2025"),
        (LinePeriod.ONCE, "once"),
    ],
)
def test_a_period_of_the_calendar_is_the_same_for_all(period: LinePeriod, key: str) -> None:
    """P-2: it is named by its key, before the opening too."""
    for opened_on in (date(2020, 2, 3), date(2030, 1, 1)):
        found = period_at(line(period), date(2025, 5, 16), opened_on)
        assert found is not None
        assert key == found.key
    assert [key] == list(keys_at(line(period), date(2025, 5, 16)))


@pytest.mark.parametrize(
    ("day", "start", "end"),
    [
        (date(2024, 1, 31), date(2024, 1, 31), date(2024, 2, 29)),
        (date(2024, 2, 28), date(2024, 1, 31), date(2024, 2, 29)),
        (date(2024, 2, 29), date(2024, 2, 29), date(2024, 3, 31)),
        (date(2025, 2, 27), date(2025, 1, 31), date(2025, 2, 28)),
        (date(2025, 3, 30), date(2025, 2, 28), date(2025, 3, 31)),
        (date(2025, 4, 30), date(2025, 4, 30), date(2025, 5, 31)),
    ],
)
def test_months_of_whoever_joined_on_a_31st_are_clipped(day: date, start: date, end: date) -> None:
    """C-6: counted from the opening each time, so a short month shortens no later one."""
    found = period_at(own(LinePeriod.MONTH), day, OPENED)
    assert Period(start.isoformat(), start, end) == found


def test_years_of_whoever_joined_on_a_29th_of_february() -> None:
    """C-6: 28 February in common years, 29 in leap years."""
    starts = [
        found.start
        for year in (2025, 2026, 2028)
        if (found := period_at(own(LinePeriod.YEAR), date(year, 3, 1), date(2024, 2, 29)))
    ]
    assert [date(2025, 2, 28), date(2026, 2, 28), date(2028, 2, 29)] == starts


@given(st.sampled_from(OWN), days, days)
def test_periods_of_ones_own_follow_each_other(one: Line, opened_on: date, day: date) -> None:
    """Each day since the opening is in one period, whose end is the next one's start."""
    found = period_at(one, day, opened_on)
    if day < opened_on:
        assert found is None
        return
    assert found is not None
    assert found.start <= day < found.end
    assert found == period_at(one, found.start, opened_on)
    following = period_at(one, found.end, opened_on)
    assert following is not None
    assert found.end == following.start
    assert found.key in {*keys_at(one, day)}
    for each in (found, following):
        assert each.key == counts_for(one, each.key, opened_on)


@given(st.sampled_from(OWN), days, st.integers(-300, 300), days)
def test_what_was_granted_before_an_opening_was_corrected_still_counts(
    one: Line, opened_on: date, moved: int, day: date
) -> None:
    """P-3: for the one period that begins nearest, and it is among those that are read then."""
    before, corrected = period_at(one, day, opened_on), opened_on + timedelta(days=moved)
    if before is None:
        return
    start = max(before.start, corrected)
    around = [period_at(one, start, corrected)]
    around += [each and period_at(one, each.end, corrected) for each in around]
    first = around[0]
    if first and 2 * (corrected - before.start).days > first.days:
        assert before.key == counts_for(one, before.key, corrected)
        assert before.key not in {p.key for p in around if p}
        return
    (home,) = [p for p in around if p and p.key == counts_for(one, before.key, corrected)]
    distances = [abs((p.start - before.start).days) for p in around if p]
    assert min(distances) == abs((home.start - before.start).days)
    if corrected <= before.start:
        assert before.key in {*keys_at(one, home.start)} & {
            *keys_at(one, home.end - timedelta(days=1))
        }


@pytest.mark.parametrize(
    ("opened_on", "key"), [(date(2024, 7, 9), "2024-07-09"), (date(2025, 1, 10), "2024-01-10")]
)
def test_what_began_long_before_the_opening_counts_for_none(opened_on: date, key: str) -> None:
    """P-3: a whole year before it is another year, less than half a year before it the first."""
    assert key == counts_for(own(LinePeriod.YEAR), "2024-01-10", opened_on)


def test_a_period_of_the_calendar_counts_for_none_of_ones_own() -> None:
    """A line whose anchor was changed begins anew."""
    for key in ("2025-06", "2025-Q2", "once"):
        assert key == counts_for(own(LinePeriod.MONTH), key, OPENED)


def test_units_end_with_their_period_or_after_a_life_of_their_own() -> None:
    """P-5: `valid_days` are days after the day of the grant, whole ones (C-4)."""
    now = datetime(2025, 5, 16, 4, tzinfo=UTC)
    period = Period("2025-05", date(2025, 5, 1), date(2025, 6, 1))
    assert datetime(2025, 5, 31, 16, tzinfo=UTC) == ends_at(
        line(), period, ZONE, now, opened_on=OPENED
    )
    living = line(valid_days=30)
    assert datetime(2025, 6, 15, 16, tzinfo=UTC) == ends_at(
        living, period, ZONE, now, opened_on=OPENED
    )
    for one in (line(), living, line(carry=Carry(periods=1, cap=3))):
        over = datetime(2025, 5, 31, 16, tzinfo=UTC)
        assert ends_at(one, period, ZONE, over, opened_on=OPENED) is None


def test_what_comes_once_comes_after_its_day_too() -> None:
    """P-2, P-3: a part of a run that is done after midnight brings it as well."""
    once, day = line(LinePeriod.ONCE, valid_days=30), date(2025, 5, 16)
    period = period_at(once, day, day)
    assert period is not None
    now = datetime(2025, 5, 16, 16, tzinfo=UTC)
    ended = ends_at(once, period, ZONE, now, opened_on=day)
    assert datetime(2025, 6, 16, 16, tzinfo=UTC) == ended


@given(
    st.sampled_from([*OWN, line(), line(LinePeriod.QUARTER), line(LinePeriod.YEAR)]),
    days,
    days,
    st.integers(1, 40),
)
def test_nobody_whose_period_begins_is_left_out(
    one: Line, opened_on: date, after: date, count: int
) -> None:
    """P-3: whoever's period began after a day and up to another is among those looked at."""
    day = after + timedelta(days=count)
    period = period_at(one, day, opened_on)
    if period is None or period.start <= after:
        return
    begin = beginning([one], after, day)
    assert (
        begin.month_days is None
        or opened_on.day in begin.month_days
        or any((day - opened_on).days % n < begin.window for n in begin.rolling)
    )


def test_on_most_days_few_are_looked_at() -> None:
    """P-3: calendar periods begin on the first, members' own with their day of the month."""
    tenth, eleventh = date(2025, 2, 10), date(2025, 2, 11)
    for one in (line(), line(LinePeriod.QUARTER), line(LinePeriod.ONCE, valid_days=9)):
        begin = beginning([one], tenth, eleventh)
        assert ([], [], []) == (begin.month_days, begin.rolling, begin.labels)
    assert [11] == beginning([own(LinePeriod.YEAR)], tenth, eleventh).month_days
    last = beginning([own(LinePeriod.MONTH)], date(2025, 2, 27), date(2025, 2, 28))
    assert [28, 29, 30, 31] == last.month_days


def test_once_a_month_everybody_is_looked_at() -> None:
    """P-3: on the first, whatever the lines, and in a run of which there is none before."""
    lines = [own(LinePeriod.YEAR)]
    for after, day in (
        (date(2025, 1, 31), date(2025, 2, 1)),
        (date(2025, 1, 31), date(2025, 2, 10)),
        (None, date(2025, 2, 11)),
    ):
        assert beginning(lines, after, day).month_days is None


def test_lines_start_with_their_period_where_they_say_so() -> None:
    """P-3: all others wait for the decision on their tier."""
    early = line(start=Start.PERIOD)
    assert [early] == starting([line(), early])


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (own(LinePeriod.ROLLING), "line[0].days: a ROLLING period needs its days"),
        (line(days=30), "line[0].days: only a ROLLING period has days; units live valid_days"),
        (
            line(LinePeriod.ROLLING, days=30),
            'line[0].anchor: ROLLING is counted from the opening; write "ANNIVERSARY"',
        ),
        (
            replace(own(LinePeriod.ONCE), valid_days=30),
            "line[0].anchor: what comes ONCE has no anniversary",
        ),
        (
            replace(own(LinePeriod.ROLLING, 7), start=Start.EVALUATION),
            'line[0].start: periods of members\' own begin on any day; write "PERIOD"',
        ),
        (
            line(LinePeriod.ONCE),
            "line[0].valid_days: what comes ONCE ends with no period; say how long it lives",
        ),
        (
            line(LinePeriod.ONCE, valid_days=30, upgrade=UpgradePolicy.NEXT_PERIOD),
            "line[0].upgrade: what comes ONCE is TOP_UP or FULL, not NEXT_PERIOD",
        ),
        (
            line(LinePeriod.ONCE, valid_days=30, carry=Carry(periods=1, cap=3)),
            "line[0].carry: what comes ONCE has no next period; say valid_days",
        ),
        (
            line(valid_days=30, carry=Carry(periods=1, cap=3)),
            "line[0].carry: units live valid_days of their own, or are carried over; say one",
        ),
        (line(on=Recurring(day=18)), 'line[0].on: stands with period = "OCCURRENCE"'),
        (line(missing=Missing.LAST_DAY), "line[0].missing: stands with a recurring day"),
        (daily(on=None), "line[0].on: an OCCURRENCE needs its day, as on = { day = 18 }"),
        (daily(on=Recurring()), f"line[0].on: {ONE_OF}"),
        (daily(anchor=Anchor.ANNIVERSARY), "line[0].anchor: a recurring day is the calendar's"),
        (
            daily(start=Start.EVALUATION),
            'line[0].start: units of a day come on it; write "PERIOD"',
        ),
        (
            daily(downgrade=Downgrade.REVOKE_ALL),
            "line[0].downgrade: what a day brings is kept until it ends",
        ),
    ],
)
def test_what_does_not_go_together_is_named_by_its_path(one: Line, problem: str) -> None:
    """P-2: a line says how its period is counted, once."""
    assert [problem] == list(line_problems("line[0]", one))


PAYROLL = Segment(label="payroll", layer=Layer.FACT, name={"zh": "代发客户", "en": "Payroll"})


def of_segment(layer: Layer = Layer.FACT, **more: object) -> Line:
    """Return a line of a segment."""
    segment = replace(PAYROLL, layer=layer)
    fields = {"quota": {}, "segment": segment, "quantity": 2, "start": Start.PERIOD} | more
    return line(LinePeriod.MONTH, **fields)


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (line(quota={}), "quota: names no tier; write a quota by tier, or a segment"),
        (line(quantity=2), "quantity: is a segment's; tiers have a quota each"),
        (
            of_segment(quota={"GOLD": 1}),
            "segment: a line is of tiers or of a segment; write two",
        ),
        (
            of_segment(Layer.MODEL),
            "segment.layer: a MODEL label may rank, never decide; FACT, RULE, LIST may",
        ),
        (
            of_segment(start=Start.EVALUATION),
            'start: a segment has no decision to wait for; write "PERIOD"',
        ),
        (
            of_segment(upgrade=UpgradePolicy.FULL),
            "upgrade: a segment has no tiers to rise in",
        ),
    ],
)
def test_a_line_is_of_tiers_or_of_a_segment(one: Line, problem: str) -> None:
    """P-2, S-2: and a model's label brings nothing."""
    assert [f"line[0].{problem}"] == list(line_problems("line[0]", one))


def test_a_recurring_day_is_a_period_of_its_own() -> None:
    """P-10: its key is its date; between two there is none, and only who is new is looked at."""
    day, one = date(2025, 2, 18), daily()
    assert Period("2025-02-18", day, date(2025, 2, 19)) == period_at(one, day, OPENED)
    assert ["2025-02-18"] == list(keys_at(one, day))
    assert period_at(one, date(2025, 2, 19), OPENED) is None
    assert [] == list(keys_at(one, date(2025, 2, 19)))
    assert [] == beginning([one], date(2025, 2, 16), date(2025, 2, 17)).month_days
    assert beginning([one], date(2025, 2, 16), day).month_days is None
    assert [] == beginning([one], day, date(2025, 2, 19)).month_days
    assert [day, date(2025, 3, 18)] == [
        next_start(one, date(2025, 2, n), OPENED) for n in (17, 18)
    ]
    assert date(2025, 3, 1) == next_start(line(), day, OPENED)


def test_who_joins_a_segment_is_looked_at() -> None:
    """P-3: by its label, on every day."""
    begin = beginning([of_segment()], date(2025, 2, 10), date(2025, 2, 11))
    assert ([], ["payroll"]) == (begin.month_days, begin.labels)


def test_lines_that_go_together_have_no_problem() -> None:
    """Every kind of period has a way to be written."""
    fine = [*OWN, line(), daily(), of_segment(Layer.RULE), line(LinePeriod.ONCE, valid_days=90)]
    assert [] == [each for one in fine for each in line_problems("line[0]", one)]


@given(
    st.sampled_from([*OWN, line(), line(LinePeriod.QUARTER), daily()]), days, st.integers(0, 500)
)
def test_the_periods_that_are_over_follow_each_other(each: Line, since: date, later: int) -> None:
    """From the one in which a day lies, or the next; none that runs, and none is left out."""
    until = since + timedelta(days=later)
    found = list(over(each, since, until, OPENED))
    assert all(period.end <= until for period in found)
    assert found == sorted(found, key=lambda period: period.start)
    asked = (since + timedelta(days=n) for n in range(later))
    there = {period for day in asked if (period := period_at(each, day, OPENED))}
    assert {period for period in there if period.end <= until} == set(found)


def test_what_comes_once_is_never_over() -> None:
    """P-2: it has the one period for ever."""
    once = line(LinePeriod.ONCE, valid_days=30)
    assert [] == list(over(once, OPENED, date(2030, 1, 1), OPENED))
    assert Period("once", OPENED, date.max) == period_named(once, "once", OPENED, OPENED)


@given(st.sampled_from([*OWN, line(), line(LinePeriod.YEAR), daily()]), days)
def test_a_period_is_found_by_its_key(each: Line, day: date) -> None:
    """By a day on which something of it was granted, if the key does not say one."""
    period = period_at(each, max(day, OPENED), OPENED)
    if period is not None:
        assert period == period_named(each, period.key, max(day, OPENED), OPENED)
    assert None is period_named(each, "1999", day, OPENED)
