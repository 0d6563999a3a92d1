"""Values: ids find their bucket, months keep their anchor, intervals end before their end."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.values import (
    BUCKETS,
    Month,
    Period,
    PeriodKind,
    add_months,
    bucket_of,
    end_of,
    local_date,
    member_id,
    midnight,
    period_of,
    placed_bucket,
    time_ordered_id,
)
from tests import golden

SHANGHAI = ZoneInfo("Asia/Shanghai")
NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

days = st.dates(date(1970, 1, 1), date(2199, 12, 31))
instants = st.integers(0, 7 * 10**15).map(lambda us: EPOCH + timedelta(microseconds=us))
zones = st.sampled_from(
    [ZoneInfo(name) for name in ("Asia/Shanghai", "America/New_York", "Africa/Cairo", "UTC")]
)
buckets = st.integers(0, BUCKETS - 1)


def test_the_member_id_vector_is_reproduced() -> None:
    """Reference C0001 under the key of bytes 0 to 31 has the published id and bucket."""
    id_ = member_id("C0001", bytes(range(32)))
    assert UUID("38f3582b76c2185e9b6c7aa886b32ffd") == id_
    assert 1021 == bucket_of(id_)


@given(st.text(max_size=64), st.binary(min_size=32, max_size=64))
def test_a_member_id_depends_on_reference_and_key_alone(reference: str, key: bytes) -> None:
    """The same reference and key give the same id; another key or reference gives another."""
    id_ = member_id(reference, key)
    assert id_ == member_id(reference, key)
    assert id_ != member_id(reference, bytes(byte ^ 1 for byte in key))
    assert id_ != member_id(reference + "x", key)


@given(instants, st.binary(min_size=8, max_size=8), buckets)
def test_a_new_id_lies_in_its_bucket_and_tells_its_instant(
    at: datetime, chance: bytes, bucket: int
) -> None:
    """A made id is a UUIDv7 of its instant, to the millisecond, and of its bucket."""
    id_ = time_ordered_id(at, chance, bucket)
    assert (7, "specified in RFC 4122") == (id_.version, id_.variant)
    assert bucket == bucket_of(id_)
    assert (at - EPOCH) // timedelta(milliseconds=1) == id_.int >> 80


@given(instants, st.binary(min_size=16, max_size=16), buckets, buckets)
def test_later_ids_sort_after_earlier_ones(
    at: datetime, chance: bytes, one: int, other: int
) -> None:
    """A millisecond later, whatever chance and bucket, the id is greater."""
    later = at + timedelta(milliseconds=1)
    assert time_ordered_id(at, chance[:8], one) < time_ordered_id(later, chance[8:], other)


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_a_row_of_no_member_has_one_bucket(parts: list[str]) -> None:
    """What names a row gives its bucket, within range and always the same."""
    assert placed_bucket(*parts) == placed_bucket(*parts)
    assert 0 <= placed_bucket(*parts) < BUCKETS


def test_names_are_not_run_together_for_a_bucket() -> None:
    """("ab", "c") and ("a", "bc") are different names."""
    assert placed_bucket("ab", "c") != placed_bucket("a", "bc")


@pytest.mark.parametrize("id_", golden.ids("C-6"))
def test_months_are_counted_from_the_anchor(id_: str) -> None:
    """Each worked example of C-6."""
    example = golden.given(id_)
    moved = add_months(date.fromisoformat(example["anchor"]), example["months"])
    assert golden.expected(id_) == moved.isoformat()


@given(days, st.integers(0, 600))
def test_an_anchor_keeps_its_day_or_the_end_of_the_month(anchor: date, months: int) -> None:
    """The day of the month is the anchor's, or the last one where the month has no such day."""
    moved = add_months(anchor, months)
    landed = Month.of(anchor).plus(months)
    assert landed == Month.of(moved)
    assert min(anchor.day, landed.days) == moved.day


@given(days, st.integers(-240, 240))
def test_anchored_steps_are_not_chained_steps(anchor: date, months: int) -> None:
    """Going and coming back keeps the month; a day that was clipped on the way stays so."""
    there = add_months(anchor, months)
    back = add_months(there, -months)
    assert Month.of(anchor) == Month.of(back)
    assert there.day == back.day


def test_g_exp_1_valid_through_a_day_ends_at_the_next_midnight() -> None:
    """G-EXP-1: valid through 31 March in Shanghai is until 16:00 UTC, that instant excluded."""
    end = end_of(date(2025, 3, 31), SHANGHAI)
    assert datetime(2025, 3, 31, 16, 0, tzinfo=UTC) == end
    assert date(2025, 3, 31) == local_date(end - timedelta(microseconds=1), SHANGHAI)
    assert date(2025, 4, 1) == local_date(end, SHANGHAI)


def test_g_exp_2_the_business_date_is_that_of_the_programmes_zone() -> None:
    """G-EXP-2: half past twelve in New York on 31 March is 1 April in Shanghai."""
    claimed = datetime(2025, 3, 31, 12, 30, tzinfo=NEW_YORK)
    assert date(2025, 4, 1) == local_date(claimed, SHANGHAI)
    assert claimed >= end_of(date(2025, 3, 31), SHANGHAI)


def test_g_exp_3_a_day_of_23_hours_ends_at_its_own_midnight() -> None:
    """G-EXP-3: valid through 9 March 2025 in New York ends at 04:00 UTC of the tenth."""
    end = end_of(date(2025, 3, 9), NEW_YORK)
    assert datetime(2025, 3, 10, 4, 0, tzinfo=UTC) == end
    assert timedelta(hours=23) == end - midnight(date(2025, 3, 9), NEW_YORK)


@given(days, zones)
def test_a_day_is_half_open(day: date, zone: ZoneInfo) -> None:
    """A day holds its midnight and not its end; its end is the next day's midnight."""
    start, end = midnight(day, zone), end_of(day, zone)
    assert end == midnight(day + timedelta(days=1), zone)
    assert day == local_date(start, zone)
    assert day == local_date(end - timedelta(microseconds=1), zone)
    assert day + timedelta(days=1) == local_date(end, zone)


@given(days)
def test_a_month_reads_back_as_written(day: date) -> None:
    """A month's text is read as the same month, and months sort as their texts do."""
    month = Month.of(day)
    assert month == Month.parse(str(month))
    assert (month < month.plus(1)) is (str(month) < str(month.plus(1)))
    assert month.days == (month.end - month.start).days


@pytest.mark.parametrize(
    "text", ["2025-6", "25-06", "2025-13", "2025-00", "2025/06", "", "june", "9999-12", "1899-12"]
)
def test_what_is_not_a_month_is_refused(text: str) -> None:
    """Only four digits, a dash and a month's two digits are a month."""
    with pytest.raises(ValueError, match="month"):
        Month.parse(text)


@pytest.mark.parametrize(
    ("kind", "period"),
    [
        (PeriodKind.MONTH, Period("2025-05", date(2025, 5, 1), date(2025, 6, 1))),
        (PeriodKind.QUARTER, Period("2025-Q2", date(2025, 4, 1), date(2025, 7, 1))),
        (PeriodKind.YEAR, Period("2025", date(2025, 1, 1), date(2026, 1, 1))),
    ],
)
def test_a_period_is_named_and_bounded_by_the_calendar(kind: PeriodKind, period: Period) -> None:
    """16 May 2025 lies in May, in the second quarter and in 2025."""
    assert period == period_of(date(2025, 5, 16), kind)


@given(days, st.sampled_from(PeriodKind))
def test_periods_tile_the_calendar(day: date, kind: PeriodKind) -> None:
    """Every day lies in its period, and the day of its end begins the next one."""
    period = period_of(day, kind)
    assert period.start <= day < period.end
    assert period == period_of(period.start, kind)
    assert period.end == period_of(period.end, kind).start
    assert period.days == (period.end - period.start).days
