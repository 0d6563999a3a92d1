"""Classes that count by one day of the month, for the whole month (A-3)."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.calendars import NO_CALENDAR, Calendar, DayKind
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.metrics import MonthSum, Reading, basket, known_sum, net_sum, value_of
from benefits.domain.metrics import read as read_metric
from benefits.domain.policy import (
    Balance,
    Condition,
    Divisor,
    Metric,
    PointInTime,
    Policy,
    Way,
    policy_problems,
)
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.progress import Outlook, Running, expecting, forecast
from benefits.domain.steady import bounds
from benefits.domain.values import Month
from benefits.domain.windows import Days, Kept, Point, Stretch
from tests.builders import reference_programme

JUNE = Month(2025, 6)
CHINA = Calendar({date(2025, 6, 2): DayKind.HOLIDAY})
THIRD_LAST = PointInTime(classes=("INSURANCE",), business_day=3)
POLICY = Policy(calendar="china", point_in_time=THIRD_LAST)
CLASSES = ("DEPOSIT", "INSURANCE")
VALUED = Point(Stretch(JUNE, 26, 26))


@pytest.mark.parametrize(
    ("month", "nth", "day"),
    [
        (JUNE, 1, date(2025, 6, 30)),
        (JUNE, 3, date(2025, 6, 26)),
        (Month(2025, 5), 1, date(2025, 5, 30)),
        (JUNE, 15, date(2025, 6, 10)),
        (Month(2024, 6), 1, None),
    ],
)
def test_business_days_are_counted_from_the_last(month: Month, nth: int, day: date | None) -> None:
    """28 and 29 June 2025 are a weekend; of 2024 the calendar knows nothing."""
    assert day == CHINA.last_business_day(month, nth)


def test_a_month_may_have_fewer_business_days() -> None:
    """Then there is none to count by."""
    closed = {JUNE.start + timedelta(days=n): DayKind.HOLIDAY for n in range(28)}
    assert None is Calendar(closed).last_business_day(JUNE, 2)
    assert date(2025, 6, 30) == Calendar(closed).last_business_day(JUNE, 1)


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"calendar": None}, "policy.calendar: say by which calendar"),
        ({"metric": Metric.QUARTER_AVG}, "policy.metric: QUARTER_AVG has no classes by a point"),
        ({"metric": Metric.ROLLING, "days": 30}, "policy.metric: ROLLING has no classes"),
        ({"metric": Metric.POINT_IN_TIME}, "policy.metric: POINT_IN_TIME has no classes"),
        ({"balance": Balance.OPENING}, "policy.balance: a class of policy.point_in_time"),
        ({"divisor": Divisor.SINCE_JOIN}, "policy.divisor: policy.point_in_time counts"),
        ({"point_in_time": PointInTime(classes=())}, "policy.point_in_time.classes: name"),
        (
            {"point_in_time": PointInTime(classes=("INSURANC",))},
            "policy.point_in_time.classes[0]: 'INSURANC' is not among asset_classes; did you",
        ),
        (
            {"point_in_time": PointInTime(classes=("INSURANCE", "INSURANCE"))},
            "policy.point_in_time.classes[1]: 'INSURANCE' stands twice",
        ),
        (
            {"weights": {"INSURANCE": Decimal(0)}},
            "policy.point_in_time.classes[0]: 'INSURANCE' weighs 0, and so counts on no day",
        ),
    ],
)
def test_what_cannot_be_exact_is_refused_by_its_path(
    policy: dict[str, object], problem: str
) -> None:
    """A-3: whole months only, day ends only, a calendar and classes that there are."""
    changed = msgspec.structs.replace(POLICY, **policy)
    found = list(policy_problems(changed, reference_programme().tier, CLASSES))
    assert [True] == [problem in one for one in found]


def test_ways_count_whole_months_only() -> None:
    """T-2: a way's metric weighs classes as the policy does."""
    week = Condition(metric=Metric.ROLLING, days=7, threshold=Decimal(1))
    way = Way(code="WEEK", name={"zh": "周", "en": "a week"}, all=(week,))
    first, second, *rest = reference_programme().tier
    tiers = (first, msgspec.structs.replace(second, any=(way,)), *rest)
    (found,) = policy_problems(POLICY, tiers, CLASSES)
    assert found.startswith("tier[1].any[0].all[0].metric: ROLLING has no classes")


def test_a_file_says_it() -> None:
    """The third-last business day is a number from 1 to 15."""
    with pytest.raises(ProgrammeInvalid, match="business_day"):
        read("[policy.point_in_time]\nclasses = ['X']\nbusiness_day = 0\ncode = 'x'")


def test_weights_are_of_days_or_of_the_point() -> None:
    """A-3: a class weighs what it weighs, on its day only."""
    weighed = msgspec.structs.replace(POLICY, weights={"INSURANCE": Decimal("0.5")})
    got = basket("CNY", ("INSURANCE", "DEPOSIT"), weighed)
    assert (("DEPOSIT", "INSURANCE"), (10, 0), (0, 5)) == (got.classes, got.weights, got.points)
    assert (0, 5) == got.by_point.weights


def test_a_way_that_leaves_a_class_out_does_not_wait_for_its_day() -> None:
    """A-3, T-2: deposits alone are judged by the month, whatever insurance comes to."""
    plain = reference_programme()
    first, second, *rest = plain.tier
    deposits = Condition(
        metric=Metric.MONTH_AVG, threshold=Decimal(1), weights={"INSURANCE": Decimal(0)}
    )
    way = Way(code="DEPOSITS", name={"zh": "存款", "en": "deposits"}, all=(deposits,))
    programme = msgspec.structs.replace(
        plain,
        policy=POLICY,
        asset_classes=CLASSES,
        tier=(first, msgspec.structs.replace(second, any=(way,)), *rest),
    )
    assert [] == list(policy_problems(POLICY, programme.tier, CLASSES))
    own, by_way = programme.ladder.metrics
    assert (THIRD_LAST, None) == (own.point_in_time, by_way.point_in_time)
    assert [(1, 0), (1, 0)] == [each.weights for each in programme.baskets]
    assert [(0, 1), ()] == [each.points for each in programme.baskets]


def reading(sums: dict[Kept, MonthSum], calendar: Calendar = CHINA, **more: date) -> Reading:
    """Read June."""
    return read_metric(POLICY, JUNE, sums, scale=1, calendar=calendar, **more)


def test_until_the_day_is_known_nothing_is_decided_against_anybody() -> None:
    """A-6: not its balance, not the calendar, not the sum: a day is missing."""
    june = MonthSum(JUNE, 900, 30)
    cases: list[tuple[dict[Kept, MonthSum], Calendar]] = [
        ({JUNE: june}, CHINA),
        ({JUNE: june, VALUED: MonthSum(JUNE, 0, 0)}, CHINA),
        ({JUNE: june, VALUED: MonthSum(JUNE, 7, 1)}, NO_CALENDAR),
    ]
    for sums, calendar in cases:
        got = reading(sums, calendar)
        assert (900, 29, False) == (got.sum_minor, got.known_days, got.complete)
        assert 30 == got.unvalued_days
    got = reading({JUNE: june, VALUED: MonthSum(JUNE, 7, 1)})
    assert (900 + 7 * 30, True, 0) == (got.sum_minor, got.complete, got.unvalued_days)
    assert date(2025, 6, 26) == got.valued_on


def test_nobody_is_told_steady_by_the_sums_of_days() -> None:
    """T-8: what a class comes to on its day is not among them."""
    programme = msgspec.structs.replace(reference_programme(), policy=POLICY)
    assert None is bounds(Rules((Judge(1, JUNE, programme, CHINA),)), JUNE)


def test_before_the_opening_there_is_no_day_to_wait_for() -> None:
    """M-8: a month that ended before the opening is known; one that began after counts as ever."""
    assert reading({}, opened_on=JUNE.end).complete
    assert not reading({}, opened_on=JUNE.start).complete


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=30, max_size=30),
    st.integers(0, (1 << 30) - 1),
    st.integers(0, 40),
)
def test_a_point_counts_for_each_day_of_its_month(
    days: list[tuple[int, int]], known: int, opened: int
) -> None:
    """A-3, I3: the exact average is the deposits' and the insurance of the 26th; more adds."""
    opened_on = JUNE.start + timedelta(days=opened)
    there = [n for n in range(30) if known >> n & 1 and n >= opened]
    deposits = sum(days[n][0] for n in there)
    insurance = days[25][1] if 25 in there else 0
    bits = Days(known)
    sums: dict[Kept, MonthSum] = {
        JUNE: known_sum(JUNE, deposits, bits, opened_on),
        VALUED: known_sum(VALUED, insurance, bits, opened_on),
    }
    got = reading(sums, opened_on=opened_on)
    average = Fraction(deposits, 30) + insurance
    assert average == Fraction(got.sum_minor, got.divisor)
    known_days = sum(1 for n in range(30) if n < opened or known >> n & 1)
    assert known_days == got.known_days
    sums[VALUED] = msgspec.structs.replace(sums[VALUED], sum_minor=insurance + 1)
    assert reading(sums, opened_on=opened_on).sum_minor >= got.sum_minor


def test_what_is_not_valued_yet_is_projected_as_it_is_now() -> None:
    """M-11: on the 10th, 300,000 of deposits and 200,000 of insurance go to 500,000."""
    before = reading({JUNE: MonthSum(JUNE, 10 * 300_000_00, 10)})
    running = expecting(Running(readings=(before,), closed=(10,), past=(before,)), [200_000_00])
    told = forecast(running.readings[0], 500_000_00, closed=10, last_minor=300_000_00)
    assert (500_000_00, Outlook.ON_TRACK) == (told.projected_minor, told.outlook)
    assert 600_000_00 == told.needed_daily_minor  # whatever the insurance will be
    sums: dict[Kept, MonthSum] = {
        JUNE: MonthSum(JUNE, 26 * 300_000_00, 26),
        VALUED: MonthSum(JUNE, 199_999_99, 1),
    }
    after = reading(sums)
    running = expecting(Running(readings=(after,), closed=(26,), past=(after,)), [10**12])
    told = forecast(running.readings[0], 500_000_00, closed=26, last_minor=300_000_00)
    assert (499_999_99, Outlook.AT_RISK) == (told.projected_minor, told.outlook)


@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=30, max_size=30),
    st.integers(0, 10**9),
    st.integers(0, (1 << 30) - 1),
)
def test_a_point_is_less_what_is_owed_on_each_known_day(
    nets: list[int], insurance: int, known: int
) -> None:
    """A-3, A-8, I3: no day below 0, nothing of unknown ones, and no more is proven than comes."""
    days, by_day = Days(known), dict(enumerate(nets, 1))
    is_known = bool(known >> 25 & 1)
    point = known_sum(VALUED, insurance if is_known else 0, days, date.min)
    value = value_of(POLICY, JUNE, {VALUED: point}, date.min, calendar=CHINA)
    assert (insurance if is_known else None) == value
    assert value_of(POLICY, JUNE, {VALUED: point}, JUNE.end, calendar=CHINA) is None
    sums: dict[Kept, MonthSum] = {
        VALUED: point,
        JUNE: net_sum(JUNE, by_day, days, date.min, valued=value),
    }
    got = reading(sums)
    there = [n for n in range(30) if known >> n & 1]
    assert sum(max(0, nets[n] + (value or 0)) for n in there) == got.sum_minor
    assert (30 - len(there) if is_known else 30) == got.unvalued_days
    whole = net_sum(JUNE, by_day, Days((1 << 30) - 1), date.min, valued=insurance)
    assert whole.sum_minor >= got.sum_minor
