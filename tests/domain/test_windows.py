"""Windows: days that are no whole months are counted exactly, by pieces whose sums are kept."""

from datetime import date, timedelta
from itertools import groupby

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain import metrics
from benefits.domain.calendars import Calendar, DayKind
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.ladder import qualifies
from benefits.domain.metrics import MonthSum, Reading, known_sum
from benefits.domain.policy import Balance, Divisor, Metric, Policy
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.stretches import needed
from benefits.domain.tiers import Cause, display_average, fold
from benefits.domain.values import Month
from benefits.domain.windows import (
    REACH,
    Days,
    Piece,
    Stretch,
    Window,
    cut,
    days_of,
    posted_by,
    rolling,
    window,
)
from tests import golden
from tests.builders import PROGRAMME as TEXT
from tests.domain.test_policies import PROGRAMME, with_policy

DAY = timedelta(days=1)
MONTHS = st.builds(Month, st.integers(2020, 2030), st.integers(1, 12))
DATES = st.dates(date(2020, 1, 1), date(2030, 12, 31))
# The first days of October are free, and the weekend before them is worked.
CHINA = Calendar(
    {
        date(2025, 9, 28): DayKind.WORKDAY,
        **{date(2025, 10, 1) + n * DAY: DayKind.HOLIDAY for n in range(8)},
        date(2025, 10, 11): DayKind.WORKDAY,
    }
)
LAST_DAY = Policy(metric=Metric.POINT_IN_TIME, calendar="china")
POLICIES = st.one_of(
    st.builds(Policy, metric=st.just(Metric.ROLLING), days=st.integers(2, 366)),
    st.builds(
        Policy,
        metric=st.just(Metric.ROLLING),
        days=st.integers(2, 366),
        balance=st.just(Balance.OPENING),
    ),
    st.builds(
        Policy,
        metric=st.sampled_from([Metric.MONTH_AVG, Metric.QUARTER_AVG, Metric.YEAR_AVG]),
        balance=st.sampled_from(Balance),
    ),
    st.builds(
        Policy,
        metric=st.just(Metric.LAST_K_MONTHS),
        months=st.integers(2, 24),
        balance=st.sampled_from(Balance),
    ),
)


def days(first: date, last: date) -> list[date]:
    """Return the days from one up to and including another."""
    return [first + n * DAY for n in range((last - first).days + 1)]


def kept(balances: dict[date, int], pieces: tuple[Piece, ...]) -> dict[Piece, MonthSum]:
    """Return what is kept of pieces, by the balances of days."""
    found = dict[Piece, MonthSum]()
    for piece in pieces:
        inside = days(piece.start, piece.start + (piece.days - 1) * DAY)
        known = sum(1 << (d.day - 1) for d in inside if d in balances)
        total = sum(balances.get(d, 0) for d in inside)
        found[piece] = known_sum(piece, total, Days(known), date.min)
    return found


def test_g_roll_1_thirty_days_up_to_a_day() -> None:
    """G-ROLL-1: up to 10 March 2025 from 9 February: half at 300, half at 650 are 475,000."""
    first, last = rolling(30, date(2025, 3, 10))
    assert (date(2025, 2, 9), date(2025, 3, 10)) == (first, last)
    levels = [
        level for count, level in golden.given("G-ROLL-1")["daily_runs_fen"] for _ in range(count)
    ]
    balances = dict(zip(days(first, last), levels, strict=True))
    pieces = cut(first, last)
    february, march = Month(2025, 2), Month(2025, 3)
    assert (Stretch(february, 9, 28), Stretch(march, 1, 10)) == pieces
    counted = metrics.count(Window(first, 30, pieces, march), march, kept(balances, pieces))
    total, known = counted.sum_minor, counted.known_days
    expected = golden.expected("G-ROLL-1")
    assert (expected["sum_fen"], expected["days"]) == (total, known)
    assert expected["display_floor_fen"] == display_average(total, known)
    assert expected["qualifies"] is qualifies(
        total, golden.given("G-ROLL-1")["threshold_fen"], known
    )


@given(month=MONTHS, levels=st.lists(st.integers(0, 10**9), min_size=31, max_size=31))
def test_thirty_days_over_a_month_of_thirty_are_its_average(
    month: Month, levels: list[int]
) -> None:
    """3.18, 8: as many days as the month has are the month, whatever its balances."""
    balances = dict(zip(days(month.start, month.end - DAY), levels, strict=False))
    whole = Policy(metric=Metric.ROLLING, days=month.days)
    sums = kept(balances, (month,))
    average = metrics.read(Policy(), month, sums, scale=1)
    assert average == metrics.read(whole, month, sums, scale=1)


@given(policy=POLICIES, month=MONTHS)
def test_the_pieces_of_a_window_are_its_days_once(policy: Policy, month: Month) -> None:
    """M-3, M-4, M-5, M-7: in order, none twice; whole months are taken whole."""
    asked = window(policy, month, Calendar())
    assert asked is not None
    found = [
        day
        for piece in asked.pieces
        for day in days(piece.start, piece.start + (piece.days - 1) * DAY)
    ]
    assert days(asked.first, asked.first + (asked.days - 1) * DAY) == found
    assert all(
        piece.days < piece.month.days for piece in asked.pieces if isinstance(piece, Stretch)
    )
    first, last = days_of(policy, month, None)
    shift = DAY if policy.balance is Balance.OPENING else timedelta()
    assert (first - shift, last - shift) == (found[0], found[-1])


@given(policy=POLICIES, month=MONTHS, levels=st.lists(st.integers(0, 10**9), min_size=1))
def test_a_window_counts_each_of_its_days(policy: Policy, month: Month, levels: list[int]) -> None:
    """Read by pieces it is what adding up its days gives; days after the month are not known."""
    asked = window(policy, month, Calendar())
    assert asked is not None
    inside = days(asked.first, asked.first + (asked.days - 1) * DAY)
    balances = {day: levels[n % len(levels)] for n, day in enumerate(inside) if n % 5}
    got = metrics.read(policy, month, kept(balances, asked.pieces), scale=1)
    counted = [level for day, level in balances.items() if day < month.end]
    assert (sum(counted), len(counted)) == (got.sum_minor, got.known_days)
    assert (asked.days, asked.days) == (got.days, got.divisor)


@given(policy=POLICIES, month=MONTHS, opened_on=DATES)
def test_days_before_the_opening_are_known_zeros(
    policy: Policy, month: Month, opened_on: date
) -> None:
    """M-8, A-6: of a window without a balance they are all that is known, and may leave it."""
    asked = window(policy, month, Calendar())
    assert asked is not None
    inside = days(asked.first, asked.first + (asked.days - 1) * DAY)
    before = sum(day < opened_on for day in inside)
    got = metrics.read(policy, month, {}, scale=1, opened_on=opened_on)
    assert (0, before, asked.days) == (got.sum_minor, got.known_days, got.days)
    since = msgspec.structs.replace(policy, divisor=Divisor.SINCE_JOIN)
    got = metrics.read(since, month, {}, scale=1, opened_on=opened_on)
    assert (0, asked.days - before) == (got.known_days, got.days)
    assert (asked.days - before < since.minimum_days) is got.young


@pytest.mark.parametrize(
    ("month", "day"),
    [
        (Month(2025, 9), date(2025, 9, 30)),
        (Month(2025, 8), date(2025, 8, 29)),
        (Month(2025, 5), date(2025, 5, 30)),
        (Month(2026, 5), None),
    ],
)
def test_the_last_business_day_is_no_weekend(month: Month, day: date | None) -> None:
    """M-6: a Sunday's month ends on Friday; of a year without a line nothing is known."""
    assert day == CHINA.last_business_day(month)


def test_a_calendar_overrules_weekdays() -> None:
    """M-6: holidays at a month's end are passed over, a Sunday that is worked is not."""
    may = Month(2025, 5)
    free = {date(2025, 5, day): DayKind.HOLIDAY for day in (29, 30)}
    assert date(2025, 5, 28) == Calendar(free).last_business_day(may)
    worked = Calendar({**free, date(2025, 5, 31): DayKind.WORKDAY})
    assert date(2025, 5, 31) == worked.last_business_day(may)
    never = {date(2025, 5, day): DayKind.HOLIDAY for day in range(1, 32)}
    assert Calendar(never).last_business_day(may) is None


def test_a_point_in_time_is_one_days_balance() -> None:
    """M-6, A-6: other days are nothing to it; its day is kept, and open while not known."""
    august = Month(2025, 8)
    sums: dict[Piece, MonthSum] = {
        august: MonthSum(august, 31 * 10**9, 31),
        Stretch(august, 29, 29): MonthSum(august, 350_000_00, 1),
    }
    got = metrics.read(LAST_DAY, august, sums, scale=1, calendar=CHINA)
    assert (
        Reading(
            month=august,
            sum_minor=350_000_00,
            known_days=1,
            days=1,
            divisor=1,
            day=date(2025, 8, 29),
        )
        == got
    )
    assert not metrics.read(LAST_DAY, august, {}, scale=1, calendar=CHINA).complete
    unknown = metrics.read(LAST_DAY, august, sums, scale=1)
    assert (0, 0, 1, None) == (unknown.sum_minor, unknown.known_days, unknown.days, unknown.day)
    assert [0, 1, 1] == [
        metrics.closed_days(LAST_DAY, august, day, date.min, calendar=CHINA)
        for day in (28, 29, 31)
    ]
    assert 0 == metrics.closed_days(LAST_DAY, august, 31, date.min)


def test_a_year_without_a_calendar_decides_nothing_against_anybody() -> None:
    """M-6, A-6: who has a tier keeps it, undetermined, until the calendar is there."""
    programme = with_policy(LAST_DAY, lost_by=1)
    august, september = Month(2025, 8), Month(2025, 9)
    sums: dict[Piece, MonthSum] = {
        august: MonthSum(august, 0, 31),
        september: MonthSum(september, 0, 30),
        Stretch(august, 29, 29): MonthSum(august, 500_000_00, 1),
        Stretch(september, 30, 30): MonthSum(september, 0, 1),
    }
    known = fold(Rules((Judge(1, august, programme, CHINA),)), {programme.basket: sums}, september)
    assert [Cause.UPGRADED, Cause.DOWNGRADED] == [each.cause for each in known]
    assert [date(2025, 8, 29), date(2025, 9, 30)] == [each.grounds.day for each in known]
    october = Calendar({date(2024, 10, 1): DayKind.HOLIDAY})
    open_ = fold(
        Rules((Judge(1, august, programme, october),)), {programme.basket: sums}, september
    )
    assert [Cause.RETAINED] * 2 == [each.cause for each in open_]


@given(policy=POLICIES, month=MONTHS)
def test_every_stretch_of_a_window_is_needed_of_its_month(policy: Policy, month: Month) -> None:
    """What is filled ahead is what evaluating reads, wherever a window begins."""
    rules = Rules((Judge(1, Month(2020, 1), with_policy(policy)),))
    asked = window(policy, month, Calendar())
    assert asked is not None
    for piece in asked.pieces:
        if isinstance(piece, Stretch):
            assert piece in needed(rules, piece.month)
    assert month <= asked.pieces[0].month.plus(REACH)


def test_a_version_needs_only_the_stretches_that_it_reads() -> None:
    """U-1: a version's windows are not kept for months that it neither judges nor runs after."""
    rolled = with_policy(Policy(metric=Metric.ROLLING, days=30))
    rules = Rules((Judge(1, Month(2020, 1), PROGRAMME), Judge(2, Month(2025, 7), rolled)))
    assert [] == sorted(needed(rules, Month(2025, 4)))
    # Of July's 30 days, and of June's, which are looked back at from July.
    assert [] == sorted(needed(rules, Month(2025, 6)))
    assert [Stretch(Month(2025, 7), 2, 31)] == sorted(needed(rules, Month(2025, 7)))
    quarters = with_policy(Policy(metric=Metric.QUARTER_AVG, balance=Balance.OPENING))
    later = Rules((Judge(1, Month(2020, 1), PROGRAMME), Judge(2, Month(2025, 8), quarters)))
    assert [Stretch(Month(2025, 6), 1, 29)] == sorted(needed(later, Month(2025, 6)))[:1]
    assert [Stretch(Month(2025, 3), 31, 31)] == sorted(needed(later, Month(2025, 3)))
    assert [] == sorted(needed(later, Month(2024, 12)))
    january = [Stretch(Month(2026, 1), 2, 31), Stretch(Month(2026, 1), 30, 31)]
    assert january == sorted(needed(rules, Month(2026, 1)))


@given(first=DATES, count=st.integers(1, 800))
def test_days_are_cut_at_months_only(first: date, count: int) -> None:
    """Neighbouring pieces are of neighbouring months."""
    pieces = cut(first, first + (count - 1) * DAY)
    months = [piece.month for piece in pieces]
    assert len(months) == len([*groupby(months)])
    assert [months[0].plus(n) for n in range(len(months))] == months


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ('metric = "ROLLING"', "policy.days: say how many days ROLLING averages"),
        ("days = 30", "policy.days: only ROLLING has it, not MONTH_AVG"),
        ('metric = "ROLLING"\ndays = 1', "`int` >= 2 - at `$.policy.days`"),
        ('metric = "ROLLING"\ndays = 367', "`int` <= 366 - at `$.policy.days`"),
        (
            'metric = "ROLLING"\ndays = 30\ndivisor = "FIXED"\ndivisor_days = 30',
            "policy.divisor: ROLLING is divided by its own days; leave FIXED out",
        ),
        (
            'metric = "ROLLING"\ndays = 5\ndivisor = "SINCE_JOIN"',
            "policy.minimum_days: the last 5 days are never the 7 that a member needs",
        ),
        (
            'metric = "POINT_IN_TIME"',
            "policy.calendar: say by which calendar a day is a business day, for policy.metric",
        ),
        ('calendar = "china"', "policy.calendar: only POINT_IN_TIME needs it, and nothing names"),
        ('metric = "POINT_IN_TIME"\ncalendar = "China"', "- at `$.policy.calendar`"),
        (
            'metric = "POINT_IN_TIME"\ncalendar = "china"\ndivisor = "SINCE_JOIN"',
            "policy.divisor: POINT_IN_TIME is one day, which nothing divides; leave it out",
        ),
        (
            'metric = "POINT_IN_TIME"\ncalendar = "china"\nbalance = "OPENING"',
            "policy.balance: POINT_IN_TIME is a day's end, not an opening, for policy.metric",
        ),
    ],
)
def test_a_window_that_cannot_be_is_refused_by_its_path(policy: str, problem: str) -> None:
    """M-4, M-6, M-7: what is missing, or nothing needs, is named where it stands."""
    with pytest.raises(ProgrammeInvalid) as refused:
        read(TEXT.replace("[[tier]]", f"[policy]\n{policy}\n\n[[tier]]", 1))
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("policy", "condition", "problem"),
    [
        ("", 'metric = "ROLLING"', "all[0].days: say how many days ROLLING averages, and of no"),
        ("", 'metric = "MONTH_AVG", days = 30', "all[0].days: say how many days ROLLING averages"),
        ("", 'metric = "POINT_IN_TIME"', "for tier[1].any[0].all[0].metric"),
        (
            'divisor = "SINCE_JOIN"',
            'metric = "ROLLING", days = 6',
            "all[0].days: the last 6 days are never the 7 that a member needs",
        ),
        ("", 'label = "salary", days = 30', "all[0]: one condition is a metric or a label"),
    ],
)
def test_a_ways_window_is_checked_too(policy: str, condition: str, problem: str) -> None:
    """T-2: a condition's metric has its own days; the calendar is the policy's."""
    bound = "" if "label" in condition else ', threshold = "50000"'
    way = (
        '[[tier.any]]\ncode = "WINDOW"\nname = { zh = "近日", en = "Of late" }\n'
        f"all = [{{ {condition}{bound} }}]\n"
    )
    text = TEXT.replace(
        'threshold = "50000"\nmisses = 3\n', f'threshold = "50000"\nmisses = 3\n{way}', 1
    )
    if policy:
        text = text.replace("[[tier]]", f"[policy]\n{policy}\n\n[[tier]]", 1)
    with pytest.raises(ProgrammeInvalid) as refused:
        read(text)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(), None),
        (Policy(post_by=10), date(2025, 12, 10)),
        (Policy(post_by=28, metric=Metric.ROLLING, days=90), date(2025, 12, 28)),
        (Policy(post_by=8, metric=Metric.LAST_K_MONTHS, months=3), date(2025, 12, 8)),
        (Policy(post_by=15, metric=Metric.QUARTER_AVG), date(2026, 1, 15)),
        (Policy(post_by=1, metric=Metric.YEAR_AVG), date(2026, 1, 1)),
    ],
)
def test_results_are_promised_by_a_day_of_the_month_after_the_period(
    policy: Policy, expected: date | None
) -> None:
    """T-3: by the 10th of December for November's average, of January for the last quarter's."""
    assert expected == posted_by(policy, Month(2025, 11))
