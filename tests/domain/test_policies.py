"""Policies: averages over months, weights, locks, reviews and versions decide exactly."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain import metrics
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.explanation import explain
from benefits.domain.ladder import Verdict
from benefits.domain.metrics import MonthSum, Reading
from benefits.domain.policy import Divisor, Lock, Metric, Policy, Target
from benefits.domain.programme import Programme
from benefits.domain.progress import Running, keeping
from benefits.domain.tiers import (
    Cause,
    Decision,
    State,
    certain_through,
    fold,
    may_fall,
    settle,
    step,
)
from benefits.domain.values import Month
from tests.builders import reference_programme

PROGRAMME = reference_programme()
BASE, GOLD, PLATINUM, DIAMOND, PRIVATE = range(5)
FIRST = Month(2024, 1)
LAST_3 = Policy(metric=Metric.LAST_K_MONTHS, months=3)


def months(*levels: int, first: Month = FIRST) -> dict[Month, MonthSum]:
    """Return complete months of a balance, in major units, on each of their days."""
    found = dict[Month, MonthSum]()
    for index, level in enumerate(levels):
        month = first.plus(index)
        found[month] = MonthSum(month, level * 100 * month.days, month.days)
    return found


def with_policy(policy: Policy, *, lock: Lock | None = None, lost_by: int = 3) -> Programme:
    """Return the programme by another policy, its tiers kept by a lock where one is given."""
    tiers = tuple(
        replace(tier, misses=0 if lock else lost_by, lock=lock) if tier.threshold else tier
        for tier in PROGRAMME.tier
    )
    return replace(PROGRAMME, policy=policy, tier=tiers)


def folded(
    programme: Programme, sums: dict[Month, MonthSum], start: State | None = None
) -> list[Decision]:
    """Fold months by a programme that was never changed."""
    rules = Rules((Judge(1, FIRST, programme),))
    return fold(rules, {programme.basket: sums}, max(sums), start=start)


def test_a_relationship_of_a_few_days_reaches_no_tier() -> None:
    """M-8: since the opening, six days decide nothing, seven do; before it all is known."""
    april, policy = Month(2025, 4), Policy(divisor=Divisor.SINCE_JOIN)
    programme = with_policy(policy)
    for days, cause in ((6, Cause.HELD), (7, Cause.UPGRADED)):
        sums = {april: MonthSum(april, days * 1_000_000_00, 30)}
        got = metrics.read(policy, april, sums, scale=1, opened_on=date(2025, 4, 31 - days))
        assert (days, days) == (got.divisor, got.known_days)
        assert cause is step(programme, State(), got).cause


def test_a_quarter_is_decided_with_its_last_month() -> None:
    """M-3: January and February decide nothing, whatever they hold; March decides for all."""
    programme = with_policy(Policy(metric=Metric.QUARTER_AVG))
    got = folded(programme, months(900_000, 900_000, 900_000, 0, 0, 0))
    causes = [each.cause for each in got]
    assert [Cause.HELD, Cause.HELD, Cause.UPGRADED] == causes[:3]
    assert [Cause.HELD, Cause.HELD, Cause.WATCHED] == causes[3:]
    assert (PLATINUM, 1) == (got[-1].after.rank, got[-1].after.misses)


def test_a_quarter_with_a_month_missing_is_undetermined() -> None:
    """A-6: a month without any row is unknown days of its quarter, and no miss."""
    programme = with_policy(Policy(metric=Metric.QUARTER_AVG))
    sums = months(0, 0, 0)
    del sums[FIRST.plus(1)]
    got = folded(programme, sums, State(GOLD))
    assert (Cause.UNDETERMINED, 31 + 31, 91) == (
        got[-1].cause,
        got[-1].known_days,
        got[-1].days,
    )


def proven(rank: int) -> Verdict:
    """Return the verdict of a period that is known whole."""
    return Verdict(rank, rank)


def judged(lock: Lock, *verdicts: tuple[date, int], from_: State) -> list[tuple[State, Cause]]:
    """Judge a standing at each of the days by the rank that was proven."""
    programme = with_policy(Policy(), lock=lock)
    found = list[tuple[State, Cause]]()
    state = from_
    for on, qualified in verdicts:
        found.append(settle(programme, state, proven(qualified), on=on))
        state = found[-1][0]
    return found


def fifths(begin: date, until: date) -> list[date]:
    """Return the fifth of each month from a day until another."""
    month, found = Month.of(begin), list[date]()
    while (day := month.start.replace(day=5)) <= until:
        found.append(day)
        month = month.plus(1)
    return found


LOCKED = State(PLATINUM, lock_until=date(2026, 2, 5))
YEAR_AND_GRACE = Lock(months=12, grace=3)


def test_g_lock_1_a_lock_and_its_grace_run_out() -> None:
    """G-LOCK-1: below from June, locked until 2026-02-05, in grace until 2026-05-05, then GOLD."""
    entered, cause = settle(
        with_policy(Policy(), lock=YEAR_AND_GRACE),
        State(),
        proven(PLATINUM),
        on=date(2025, 2, 5),
    )
    assert (LOCKED, Cause.UPGRADED) == (entered, cause)
    days = fifths(date(2025, 6, 1), date(2026, 5, 5))
    got = judged(YEAR_AND_GRACE, *((day, GOLD) for day in days), from_=entered)
    told = dict(zip(days, got, strict=True))
    assert (LOCKED, Cause.HELD) == told[date(2026, 1, 5)]
    grace = replace(LOCKED, grace_until=date(2026, 5, 5))
    assert (grace, Cause.GRACE) == told[date(2026, 2, 5)]
    assert (grace, Cause.HELD) == told[date(2026, 4, 5)]
    fell = State(GOLD, lock_until=date(2027, 5, 5))
    assert (fell, Cause.DOWNGRADED) == told[date(2026, 5, 5)]


def test_g_lock_2_a_tier_reached_in_its_grace_is_locked_from_then() -> None:
    """G-LOCK-2: PLATINUM again on 2026-04-05: kept, locked until 2027-04-05."""
    got = judged(
        YEAR_AND_GRACE,
        (date(2026, 2, 5), GOLD),
        (date(2026, 3, 5), GOLD),
        (date(2026, 4, 5), PLATINUM),
        from_=LOCKED,
    )
    assert (State(PLATINUM, lock_until=date(2027, 4, 5)), Cause.RETAINED) == got[-1]


def test_g_lock_3_a_tier_reached_as_its_lock_ends_is_locked_on() -> None:
    """G-LOCK-3: qualified on 2026-02-05: locked until 2027-02-05, from the old end."""
    got = judged(YEAR_AND_GRACE, (date(2026, 2, 5), PLATINUM), from_=LOCKED)
    assert (State(PLATINUM, lock_until=date(2027, 2, 5)), Cause.RETAINED) == got[-1]


def test_g_lock_4_without_grace_a_tier_falls_as_its_lock_ends() -> None:
    """G-LOCK-4: no grace: GOLD on 2026-02-05."""
    got = judged(Lock(months=12), (date(2026, 2, 5), GOLD), from_=LOCKED)
    assert (State(GOLD, lock_until=date(2027, 2, 5)), Cause.DOWNGRADED) == got[-1]


def test_a_tier_from_before_there_was_a_lock_gets_its_first_term() -> None:
    """T-5, U-1: a programme that begins to lock takes nothing from who holds a tier."""
    on = date(2025, 7, 1)
    for qualified, cause in ((PLATINUM, Cause.RETAINED), (BASE, Cause.HELD)):
        got = judged(YEAR_AND_GRACE, (on, qualified), from_=State(PLATINUM, 2, (GOLD, GOLD)))
        assert [(State(PLATINUM, lock_until=date(2026, 7, 1)), cause)] == got


def test_days_missing_end_no_term() -> None:
    """A-6, T-5: as a lock or a grace time ends with days missing, nothing is decided."""
    programme = with_policy(Policy(), lock=YEAR_AND_GRACE)
    grace = replace(LOCKED, grace_until=date(2026, 5, 5))
    for state, on in ((LOCKED, date(2026, 2, 5)), (grace, date(2026, 5, 5))):
        got = settle(programme, state, Verdict(BASE, PRIVATE), on=on)
        assert (state, Cause.UNDETERMINED) == got


def test_a_lock_may_lose_one_step_only() -> None:
    """T-5, T-7: with ONE_STEP who proves nothing falls one rank, and is locked there."""
    programme = with_policy(Policy(target=Target.ONE_STEP), lock=Lock(months=12))
    got = settle(programme, LOCKED, proven(BASE), on=date(2026, 2, 5))
    assert (State(GOLD, lock_until=date(2027, 2, 5)), Cause.DOWNGRADED) == got


HALF_YEARS = Policy(review=("06-30", "12-31"))


def test_misses_count_on_review_dates_only() -> None:
    """T-6: N = 2: below in June begins the buffer, below in December loses the tier."""
    programme = with_policy(HALF_YEARS, lost_by=2)
    got = folded(programme, months(500_000, *[0] * 11))
    told = [(str(each.month), each.cause, each.after.rank, each.after.misses) for each in got]
    assert ("2024-01", Cause.UPGRADED, PLATINUM, 0) == told[0]
    assert {Cause.HELD} == {each.cause for each in (*got[1:5], *got[6:11])}
    assert ("2024-06", Cause.WATCHED, PLATINUM, 1) == told[5]
    assert ("2024-12", Cause.DOWNGRADED, BASE, 0) == told[11]


@given(levels=st.lists(st.sampled_from((0, 60_000, 520_000)), min_size=24, max_size=24))
def test_tiers_fall_with_periods_and_reviews_alone(levels: list[int]) -> None:
    """T-3, T-6: with the months that end a period or have a review, whatever was held."""
    for policy, falling in (
        (Policy(), set(range(1, 13))),
        (Policy(metric=Metric.QUARTER_AVG), {3, 6, 9, 12}),
        (Policy(metric=Metric.YEAR_AVG), {12}),
        (Policy(review=("06-30", "12-31")), {6, 12}),
    ):
        programme = with_policy(policy, lost_by=1)
        assert falling == {n for n in range(1, 13) if may_fall(programme, Month(2024, n))}
        decided = folded(programme, months(*levels))
        fell = {one.month.start.month for one in decided if one.after.rank < one.before.rank}
        assert fell <= falling


def test_between_reviews_a_tier_rises_and_a_hit_ends_no_miss() -> None:
    """T-6: fast up, slow down; only a hit on a review date ends the misses."""
    programme = with_policy(HALF_YEARS, lost_by=2)
    got = folded(programme, months(50_000, 0, 0, 0, 0, 0, 50_000, 500_000))
    assert (GOLD, 1) == (got[6].after.rank, got[6].after.misses)
    assert (PLATINUM, 0) == (got[7].after.rank, got[7].after.misses)


policies = st.one_of(
    st.sampled_from(
        [
            Policy(),
            Policy(target=Target.ONE_STEP),
            Policy(target=Target.BEST_OF_WINDOW),
            Policy(metric=Metric.QUARTER_AVG),
            Policy(metric=Metric.YEAR_AVG),
            LAST_3,
            HALF_YEARS,
            Policy(divisor=Divisor.FIXED, divisor_days=30),
        ]
    ).map(with_policy),
    st.builds(
        lambda policy, term, grace: with_policy(policy, lock=Lock(months=term, grace=grace)),
        st.sampled_from([Policy(), Policy(target=Target.ONE_STEP), LAST_3]),
        st.integers(1, 14),
        st.integers(0, 5),
    ),
)
levels = st.sampled_from([0, 49_999, 50_000, 499_999, 500_000, 5_000_000, 10_000_000])
lives = st.lists(levels, min_size=1, max_size=24)


@given(policies, lives, st.data())
def test_folding_on_equals_folding_from_the_start(
    programme: Programme, life: list[int], data: st.DataObject
) -> None:
    """T-8: whatever the policy, folding on from a cut gives what folding all gives."""
    sums, cut = months(*life), data.draw(st.integers(1, len(life)))
    rules, at = Rules((Judge(1, FIRST, programme),)), FIRST.plus(cut - 1)
    counted = {programme.basket: sums}
    before = fold(rules, counted, at)
    rest = fold(rules, counted, max(sums), start=before[-1].after, first=at.plus(1))
    assert folded(programme, sums) == before + rest


@given(policies, lives, st.integers(0, 39), st.integers(0, 10**9))
def test_more_balance_never_lowers_the_qualified_rank(
    programme: Programme, life: list[int], where: int, more: int
) -> None:
    """3.18, 3: adding to a day keeps or raises the rank that each period proves."""
    sums = months(*life)
    month = FIRST.plus(where % len(life))
    richer = sums | {month: replace(sums[month], sum_minor=sums[month].sum_minor + more)}
    pairs = zip(folded(programme, sums), folded(programme, richer), strict=True)
    assert all(poor.qualified <= rich.qualified for poor, rich in pairs)


@given(policies, lives, st.data())
def test_filling_missing_days_never_lowers_what_is_proven(
    programme: Programme, life: list[int], data: st.DataObject
) -> None:
    """3.18, 3: whatever comes of days that were missing, each period proves as much or more."""
    sums, filled = months(*life), months(*life)
    for month, whole in sums.items():
        known = data.draw(st.integers(0, month.days))
        later = data.draw(st.integers(known, month.days))
        sums[month] = replace(
            whole, sum_minor=whole.sum_minor * known // month.days, known_days=known
        )
        more = data.draw(st.sampled_from([0, 1, 10**9, 10**11])) * (later > known)
        filled[month] = replace(whole, sum_minor=sums[month].sum_minor + more, known_days=later)
    pairs = zip(folded(programme, sums), folded(programme, filled), strict=True)
    assert all(early.qualified <= late.qualified for early, late in pairs)


@given(policies, lives)
def test_a_certain_day_is_the_day_before_the_first_possible_drop(
    programme: Programme, life: list[int]
) -> None:
    """X-6: with nothing at all from now on, the tier holds through the certain day exactly."""
    sums = months(*life)
    last = folded(programme, sums)[-1]
    if last.after.rank == BASE:
        return
    undecided = last.month.plus(1)
    told = certain_through(programme, last.after, undecided)
    sums |= months(*[0] * 60, first=undecided)
    rest = folded(programme, sums)[len(life) :]
    drop = next(each for each in rest if each.after.rank < last.after.rank)
    assert (drop.effective_from - told).days >= 1
    if programme.policy.metric is Metric.MONTH_AVG:
        assert 1 == (drop.effective_from - told).days


@given(policies, lives, st.sampled_from(["zh", "en"]))
def test_every_decision_is_explained_whatever_the_policy(
    programme: Programme, life: list[int], language: str
) -> None:
    """X-6: there is a sentence that names the tier held; states follow each other."""
    decisions = folded(programme, months(*life))
    for each in decisions:
        name = programme.tier[each.after.rank].name[language]
        assert name in explain(programme, each)[language]
    assert all(one.after == two.before for one, two in pairwise(decisions))


def told(programme: Programme, sums: dict[Month, MonthSum], start: State) -> tuple[str, str]:
    """Return what the last month's decision is told as."""
    last = folded(programme, sums, start)[-1]
    told = explain(programme, last)
    return told["en"], told["zh"]


@pytest.mark.parametrize(
    ("programme", "life", "start", "english", "chinese"),
    [
        (
            with_policy(Policy(metric=Metric.QUARTER_AVG)),
            [400_000, 700_000, 400_000],
            State(PLATINUM),
            (
                "First quarter of 2024: daily average 495,604.39 (91 of 91 days known); "
                "500,000.00 needed; first quarter below; your tier stays Platinum at least "
                "through 30 September 2024."
            ),
            (
                "2024年第1季度日均495,604.39（已知91/91天），达标线500,000.00；"
                "连续第1个季度未达标，白金等级至少保留至2024年9月30日。"
            ),
        ),
        (
            with_policy(LAST_3),
            [500_000, 500_000, 500_000],
            State(),
            (
                "January to March 2024: daily average 500,000.00 (91 of 91 days known); "
                "500,000.00 needed; reached: your tier is Platinum from 1 April 2024."
            ),
            (
                "2024年1月至3月日均500,000.00（已知91/91天），达标线500,000.00；"
                "已达标，自2024年4月1日起为白金。"
            ),
        ),
        (
            with_policy(Policy(), lock=YEAR_AND_GRACE),
            [0],
            State(PLATINUM, lock_until=date(2024, 2, 1)),
            (
                "January 2024 daily average 0.00 (31 of 31 days known); 500,000.00 needed; below "
                "as its term ended; your tier stays Platinum at least through 30 April 2024."
            ),
            (
                "2024年1月日均0.00（已知31/31天），达标线500,000.00；"
                "锁定期满未达标，白金等级至少保留至2024年4月30日。"
            ),
        ),
        (
            with_policy(Policy(), lock=Lock(months=12)),
            [50_000],
            State(PLATINUM, lock_until=date(2024, 2, 1)),
            (
                "January 2024 daily average 50,000.00 (31 of 31 days known); 500,000.00 needed; "
                "below when its term ended: your tier is Gold from 1 February 2024."
            ),
            (
                "2024年1月日均50,000.00（已知31/31天），达标线500,000.00；"
                "保级期满仍未达标，自2024年2月1日起为金卡。"
            ),
        ),
        (
            with_policy(HALF_YEARS, lost_by=2),
            [0],
            State(PLATINUM),
            (
                "January 2024 daily average 0.00 (31 of 31 days known); 500,000.00 needed; "
                "nothing is lost by this month: your tier stays Platinum."
            ),
            "2024年1月日均0.00（已知31/31天），达标线500,000.00；本月不影响等级，等级保持白金。",
        ),
    ],
    ids=["quarter", "last months", "grace", "term", "between reviews"],
)
def test_policies_are_explained_in_both_languages(
    programme: Programme, life: Sequence[int], start: State, english: str, chinese: str
) -> None:
    """X-6: the sentence names the period that was averaged, and what follows."""
    assert (english, chinese) == told(programme, months(*life), start)


def running(policy: Policy, known: dict[Month, MonthSum], month: Month) -> Reading:
    """Read a metric in the month that runs."""
    return metrics.read(policy, month, known, scale=1)


def test_a_running_quarter_tells_what_each_day_left_needs() -> None:
    """M-9: after a month at 400,000 the 60 days left of the quarter need 551,666.67 each."""
    programme = with_policy(Policy(metric=Metric.QUARTER_AVG))
    month = Month(2024, 2)
    got = running(programme.policy, months(400_000), month)
    closed = metrics.closed_days(programme.policy, month, 0, date.min)
    known = Running(readings=(got,), closed=(closed,))
    kept = keeping(programme, State(PLATINUM), known, undecided=month)
    assert kept is not None
    assert (31, 551_666_67) == (closed, kept.need.needed_daily)
    assert date(2024, 9, 30) == kept.certain_through


def test_g_ver_1_a_month_is_judged_by_the_version_of_its_time() -> None:
    """U-1: a threshold raised from March on makes no miss of January and February."""
    raised = replace(
        PROGRAMME,
        tier=tuple(
            replace(tier, threshold=Decimal(600_000)) if tier.code == "PLATINUM" else tier
            for tier in PROGRAMME.tier
        ),
    )
    rules = Rules((Judge(1, Month(2000, 1), PROGRAMME), Judge(4, Month(2024, 3), raised)))
    sums = {PROGRAMME.basket: months(550_000, 550_000, 550_000)}
    got = fold(rules, sums, Month(2024, 3))
    assert [0, 0, 1] == [each.after.misses for each in got]
    assert [1, 1, 4] == [rules.at(each.month).version for each in got]
    assert 1 == rules.at(Month(1993, 1)).version


def test_versions_may_count_otherwise() -> None:
    """U-1, A-3: each month is read from what its version counts."""
    half = replace(PROGRAMME, policy=Policy(weights={"DEPOSIT": Decimal("0.5")}))
    rules = Rules((Judge(1, FIRST, PROGRAMME), Judge(2, FIRST.plus(1), half)))
    assert [PROGRAMME.basket, half.basket] == rules.baskets
    sums = {
        PROGRAMME.basket: months(500_000, 500_000),
        half.basket: {
            month: replace(known, sum_minor=known.sum_minor * 5)
            for month, known in months(500_000, 500_000).items()
        },
    }
    assert [PLATINUM, GOLD] == [each.qualified for each in fold(rules, sums, FIRST.plus(1))]
