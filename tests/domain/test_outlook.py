"""Looking ahead: near a tier, at risk of one, and tiers reached before a month is over."""

from datetime import UTC, date, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.metrics import MonthSum, Reading, read
from benefits.domain.outlook import Sight, is_near, look_ahead, risen, rises_at
from benefits.domain.policy import Divisor, Lock, Metric, UpgradeTiming
from benefits.domain.programme import Programme
from benefits.domain.progress import Running
from benefits.domain.tiers import Rise, State, begun, judged_again, step
from benefits.domain.values import Month
from tests.builders import reference_programme

JUNE = Month(2025, 6)
GOLD, PLATINUM = 1, 2


def period(reading: Reading, closed: int) -> Running:
    """Return what is known of a running month of which so many days are over."""
    return Running(readings=(reading,), closed=(closed,), past=(reading,))


def timed(upgrade: UpgradeTiming) -> Programme:
    """Return the programme with tiers that rise at another time."""
    programme = reference_programme()
    policy = msgspec.structs.replace(programme.policy, upgrade=upgrade)
    return msgspec.structs.replace(programme, policy=policy)


@pytest.mark.parametrize(
    ("sum_minor", "expected"), [(540_000_000, True), (539_999_999, False), (600_000_000, False)]
)
def test_g_near_1_near_is_below_by_ten_per_cent_at_most(sum_minor: int, *, expected: bool) -> None:
    """M-10: 5,400,000.00 is near 6,000,000; a fen less is not, and 6,000,000.00 has it."""
    assert expected == is_near(sum_minor, 600_000_000, 1, percent=10)


def test_g_risk_1_a_running_month_below_is_at_risk() -> None:
    """M-11: 380,000 on 20 June, 10.4 million so far: 473,333.33, unless 460,000 a day from now."""
    reading = read(reference_programme().policy, JUNE, known(10_400_000_00, 20), scale=1)
    (risk,) = look_ahead(
        reference_programme(), State(PLATINUM), period(reading, 20), last_minor=[380_000_00]
    )
    assert (Sight.AT_RISK, PLATINUM, 473_333_33, 460_000_00) == (
        risk.outlook,
        risk.rank,
        risk.projected_minor,
        risk.needed_daily_minor,
    )


def known(sum_minor: int, days: int) -> dict[Month, MonthSum]:
    """Return a June of which the first days are known."""
    return {JUNE: MonthSum(JUNE, sum_minor, days, days)}


def test_who_is_near_is_told_of_the_next_tier_that_is_missed() -> None:
    """A member of gold who is projected at 490,000 is near platinum, and not at risk."""
    reading = read(reference_programme().policy, JUNE, known(4_900_000_00, 10), scale=1)
    (near,) = look_ahead(
        reference_programme(), State(GOLD), period(reading, 10), last_minor=[490_000_00]
    )
    assert (Sight.NEAR, PLATINUM) == (near.outlook, near.rank)


def test_a_tier_whose_term_goes_on_is_not_at_risk() -> None:
    """T-5: no month touches it before its lock ends; the month that does, may."""
    programme = reference_programme()
    tiers = tuple(
        msgspec.structs.replace(tier, misses=0, lock=Lock(months=12)) if rank else tier
        for rank, tier in enumerate(programme.tier)
    )
    locked = msgspec.structs.replace(programme, tier=tiers)
    reading = read(locked.policy, JUNE, known(0, 20), scale=1)
    for until, expected in ((Month(2026, 1), []), (JUNE, [Sight.AT_RISK])):
        state = State(PLATINUM, lock_until=until.end)
        found = look_ahead(locked, state, period(reading, 20), last_minor=[0])
        assert expected == [one.outlook for one in found]


@pytest.mark.parametrize(
    ("review", "until", "expected"),
    [
        (("06-30",), None, [Sight.AT_RISK]),
        (("12-31",), None, []),
        ((), JUNE.end, [Sight.AT_RISK]),
        ((), Month(2025, 9).end, []),
    ],
)
def test_a_quarter_is_at_risk_from_its_first_month_on(
    review: tuple[str, ...], until: date | None, expected: list[Sight]
) -> None:
    """M-11, T-5, T-6: in April it is seen whether June's end reviews it, or ends its lock."""
    plain, april = reference_programme(), Month(2025, 4)
    programme = msgspec.structs.replace(
        plain,
        policy=msgspec.structs.replace(plain.policy, metric=Metric.QUARTER_AVG, review=review),
        tier=tuple(
            msgspec.structs.replace(tier, misses=0, lock=Lock(months=12)) if n and until else tier
            for n, tier in enumerate(plain.tier)
        ),
    )
    reading = read(programme.policy, april, {april: MonthSum(april, 0, 20, 20)}, scale=1)
    state = State(PLATINUM, lock_until=until)
    found = look_ahead(programme, state, period(reading, 20), last_minor=[0])
    assert expected == [one.outlook for one in found]


def test_before_any_day_is_known_nothing_is_seen() -> None:
    """On the first of a month nobody is at risk."""
    reading = read(reference_programme().policy, JUNE, {}, scale=1)
    assert [] == look_ahead(
        reference_programme(), State(PLATINUM), period(reading, 0), last_minor=[0]
    )


@pytest.mark.parametrize(("days", "rises"), [(18, False), (19, True)])
def test_g_up_2_a_tier_is_reached_with_the_day_that_proves_it(days: int, *, rises: bool) -> None:
    """T-3: 800,000 every day of June prove 500,000 with the 19th, not with the 18th."""
    programme = timed(UpgradeTiming.INSTANT)
    reading = read(programme.policy, JUNE, known(800_000_00 * days, days), scale=1)
    decision = risen(programme, State(GOLD), reading)
    assert rises == (decision is not None)
    assert decision is None or PLATINUM == decision.after.rank


def test_g_up_3_a_tier_may_hold_from_the_next_day() -> None:
    """T-3: decided on 20 June at 3:10 it holds at once, or from the 21st."""
    at = datetime(2025, 6, 19, 19, 10, tzinfo=UTC)
    assert at == rises_at(timed(UpgradeTiming.INSTANT), at)
    next_day = datetime(2025, 6, 20, 16, tzinfo=UTC)
    assert next_day == rises_at(timed(UpgradeTiming.NEXT_DAY), at)


@pytest.mark.parametrize(
    ("rises", "until"),
    [
        ([], date(2026, 7, 1)),
        ([Rise(JUNE, PLATINUM, date(2025, 6, 5))], date(2026, 6, 5)),
        (
            [Rise(JUNE, GOLD, date(2025, 6, 3)), Rise(JUNE, PLATINUM, date(2025, 6, 5))],
            date(2026, 6, 5),
        ),
        ([Rise(JUNE, PLATINUM + 1, date(2025, 6, 5))], date(2026, 6, 5)),
        ([Rise(JUNE, GOLD, date(2025, 6, 3))], date(2026, 7, 1)),
        ([Rise(JUNE.plus(-1), PLATINUM, date(2025, 5, 5))], date(2026, 7, 1)),
    ],
)
def test_a_term_begins_when_the_tier_first_held(rises: list[Rise], until: date) -> None:
    """T-5: with its own early rise or a higher one of the month, else with the month's end."""
    programme = timed(UpgradeTiming.INSTANT)
    tiers = tuple(
        msgspec.structs.replace(tier, misses=0, lock=Lock(months=12)) if rank else tier
        for rank, tier in enumerate(programme.tier)
    )
    programme = msgspec.structs.replace(programme, tier=tiers)
    reading = read(programme.policy, JUNE, known(600_000_00 * 30, 30), scale=1)
    decision = step(programme, State(), reading)
    assert State(PLATINUM, lock_until=until) == begun(programme, decision, rises).after
    held = step(programme, State(PLATINUM, lock_until=date(2025, 9, 1)), reading)
    assert held == begun(programme, held, rises)


@pytest.mark.parametrize(
    ("term", "on"),
    [
        (date(2026, 2, 1), date(2026, 2, 1)),
        (date(2026, 2, 2), date(2026, 3, 1)),
        (date(2025, 12, 31), date(2026, 1, 1)),
    ],
)
def test_a_term_ends_with_a_month(term: date, on: date) -> None:
    """T-5: a tier is judged with the month in which its term ends."""
    assert on == judged_again(term)


@pytest.mark.parametrize(("days", "rises"), [(1, False), (6, False), (7, True)])
def test_a_new_customer_rises_after_the_least_days_alone(days: int, *, rises: bool) -> None:
    """M-8: who opens on 20 June with all that eleven days ask is judged after seven of them."""
    plain = timed(UpgradeTiming.INSTANT)
    policy = msgspec.structs.replace(plain.policy, divisor=Divisor.SINCE_JOIN)
    programme = msgspec.structs.replace(plain, policy=policy)
    opened_on = date(2025, 6, 20)
    sums = {JUNE: MonthSum(JUNE, 5_500_000_00, 19 + days)}
    reading = read(policy, JUNE, sums, scale=1, opened_on=opened_on)
    assert rises == (risen(programme, State(), reading) is not None)


def test_with_the_next_period_nothing_rises_early() -> None:
    """T-3: NEXT_PERIOD waits for the month to be over."""
    programme = reference_programme()
    reading = read(programme.policy, JUNE, known(10**12, 30), scale=1)
    assert risen(programme, State(), reading) is None


@given(
    sums=st.lists(st.integers(0, 60_000_000_00), min_size=30, max_size=30),
    rank=st.integers(0, 4),
    day=st.integers(1, 30),
)
def test_what_rose_early_is_what_the_whole_month_decides_or_less(
    sums: list[int], rank: int, day: int
) -> None:
    """T-3, A-8: no later balance undoes it; the month's own decision reaches at least as high."""
    programme = timed(UpgradeTiming.INSTANT)
    early = read(programme.policy, JUNE, known(sum(sums[:day]), day), scale=1)
    whole = read(programme.policy, JUNE, known(sum(sums), 30), scale=1)
    decision = risen(programme, State(rank), early)
    if decision is not None:
        assert rank < decision.after.rank <= step(programme, State(rank), whole).after.rank
