"""Tiers: month sums decide exactly, missing days never hurt, and a fold is a fold."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain import metrics, tiers
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.explanation import explain, money
from benefits.domain.ladder import qualifies
from benefits.domain.metrics import MonthSum, Reading
from benefits.domain.news import news
from benefits.domain.policy import Policy, Target
from benefits.domain.programme import Programme
from benefits.domain.progress import (
    Forecast,
    Outlook,
    Running,
    forecast,
    is_far,
    keeping,
    required_daily,
)
from benefits.domain.tiers import (
    Cause,
    Decision,
    State,
    certain_through,
    display_average,
    stays_until,
)
from benefits.domain.values import Month
from tests import golden
from tests.builders import qualified_rank, reference_programme, thresholds

PROGRAMME = reference_programme()
RANKS = {tier.code: rank for rank, tier in enumerate(PROGRAMME.tier)}
BASE, GOLD, PLATINUM, DIAMOND, PRIVATE = range(5)
FIRST = Month(2024, 1)
TARGETS = {"LAST": Target.LAST, "BEST": Target.BEST_OF_WINDOW, "STEP": Target.ONE_STEP}


def always(programme: Programme) -> Rules:
    """Return the rules of a programme that was never changed."""
    return Rules((Judge(1, FIRST, programme),))


def step(programme: Programme, before: State, known: MonthSum) -> Decision:
    """Decide a month by what is known of it."""
    return tiers.step(programme, before, reading(known))


def running(known: MonthSum, closed: int) -> Running:
    """Return a running month of which so many days are over."""
    return Running(readings=(reading(known),), closed=(closed,))


def reading(known: MonthSum) -> Reading:
    """Read the average of a month."""
    return metrics.read(PROGRAMME.policy, known.month, {known.month: known}, scale=1)


def fold(
    programme: Programme,
    months: Sequence[MonthSum],
    start: State | None = None,
    first: Month | None = None,
) -> list[Decision]:
    """Fold months, and those missing between them, by a programme that was never changed."""
    sums = {programme.basket: {known.month: known for known in months}}
    through = months[-1].month if months else FIRST
    return tiers.fold(always(programme), sums, through, start=start, first=first)


daily = st.one_of(
    st.integers(0, 2_000_000_000),
    st.builds(
        lambda threshold, off: max(0, threshold + off),
        st.sampled_from(thresholds(PROGRAMME)),
        st.integers(-2, 2),
    ),
)
targets = st.sampled_from(Target)


def with_target(target: Target) -> Programme:
    """Return the programme with another place to land."""
    return replace(PROGRAMME, policy=Policy(target=target))


@st.composite
def histories(draw: st.DrawFn) -> list[MonthSum]:
    """Draw months in order, some of them incomplete and some left out."""
    known = list[MonthSum]()
    for index in range(draw(st.integers(1, 24))):
        if draw(st.integers(0, 9)) == 0:
            continue
        month = FIRST.plus(index)
        days = month.days if draw(st.integers(0, 3)) else draw(st.integers(0, month.days))
        known.append(MonthSum(month, draw(daily) * days + draw(st.integers(0, days)), days))
    return known


def whole(month: str, yuan: int) -> MonthSum:
    """Return a complete month with the same balance, in major units, on every day."""
    parsed = Month.parse(month)
    return MonthSum(parsed, yuan * 100 * parsed.days, parsed.days)


@pytest.mark.parametrize("id_", [*golden.ids("M-1"), *golden.ids("M-3")])
def test_an_average_decides_on_the_exact_sum(id_: str) -> None:
    """Each worked example of M-1 and M-3: G-AVG-1, G-AVG-2, G-AVG-3a, G-QTR-1."""
    example: dict[str, Any] = golden.given(id_)
    total = sum(days * fen for days, fen in example["daily_runs_fen"])
    days = sum(days for days, _ in example["daily_runs_fen"])
    assert golden.expected(id_) == {
        "sum_fen": total,
        "days": days,
        "display_floor_fen": display_average(total, days),
        "qualifies": qualifies(total, example["threshold_fen"], days),
    }


def test_g_avg_2_shows_the_floor_and_not_the_half_up() -> None:
    """G-AVG-2: the average shown never reaches a threshold that was missed."""
    assert "499,999.99" == money(display_average(15_499_999_90, 31), 2)
    assert GOLD == qualified_rank(PROGRAMME, 15_499_999_90, 31)


@pytest.mark.parametrize(
    ("sum_minor", "tier"),
    [(499_999_99, "GOLD"), (500_000_00, "PLATINUM"), (5_000_000_00, "DIAMOND")],
    ids=["G-TH-1 below", "G-TH-1 exactly", "G-TH-1 skipping"],
)
def test_bounds_are_inclusive_and_ranks_may_be_skipped(sum_minor: int, tier: str) -> None:
    """G-TH-1: the lower bound itself qualifies, and BASE may become DIAMOND at once."""
    assert RANKS[tier] == qualified_rank(PROGRAMME, sum_minor, 1)
    decision = step(PROGRAMME, State(), MonthSum(FIRST, sum_minor * 31, 31))
    assert (RANKS[tier], Cause.UPGRADED) == (decision.after.rank, decision.cause)


@pytest.mark.parametrize("id_", golden.ids("T-4"))
def test_misses_in_a_row_lose_a_tier(id_: str) -> None:
    """Each worked example of T-4 and T-7, G-TIER-1 to G-TIER-5."""
    example = golden.given(id_)
    months = [whole(month, yuan) for month, yuan in example["monthly_metric_yuan"]]
    programme = with_target(TARGETS[example.get("target", "LAST")])
    decisions = fold(programme, months, State(RANKS[example["start"]]))
    told = [
        [
            str(decision.month),
            PROGRAMME.tier[decision.qualified].code,
            decision.after.misses,
            PROGRAMME.tier[decision.after.rank].code,
        ]
        for decision in decisions
    ]
    assert golden.expected(id_) == told


def test_g_up_1_a_month_takes_effect_on_the_first_of_the_next() -> None:
    """G-UP-1: what June decides holds from 1 July."""
    decision = step(PROGRAMME, State(), whole("2025-06", 520_000))
    assert (PLATINUM, date(2025, 7, 1)) == (decision.after.rank, decision.effective_from)


def test_g_miss_1_two_missing_days_do_not_hide_a_qualified_month() -> None:
    """G-MISS-1: 28 known days of 600,000 reach 500,000 for all of June."""
    decision = step(PROGRAMME, State(), MonthSum(Month(2025, 6), 28 * 600_000_00, 28))
    assert (PLATINUM, Cause.UPGRADED) == (decision.after.rank, decision.cause)


def test_g_miss_2_two_missing_days_leave_a_month_undetermined() -> None:
    """G-MISS-2: 28 known days of 530,000 are neither a hit nor a miss for a PLATINUM member."""
    before = State(PLATINUM, 1, (GOLD,))
    decision = step(PROGRAMME, before, MonthSum(Month(2025, 6), 28 * 530_000_00, 28))
    assert (before, Cause.UNDETERMINED) == (decision.after, decision.cause)


def test_g_prog_1_the_level_needed_for_the_rest_of_the_month() -> None:
    """G-PROG-1: 7,000,000.00 short with ten days left is 700,000.00 a day."""
    example = golden.given("G-PROG-1")
    needed = required_daily(
        example["sum_fen"],
        example["threshold_fen"],
        days=example["period_days"],
        closed=example["closed_days"],
    )
    assert golden.expected("G-PROG-1") == {"required_daily_fen": needed}


def test_progress_tells_when_nothing_is_needed_or_nothing_helps() -> None:
    """A month that is won needs nothing, one that is over and lost cannot be reached (M-9)."""
    assert 0 == required_daily(3_000, 100, days=30, closed=30)
    assert None is required_daily(2_999, 100, days=30, closed=30)
    assert 1 == required_daily(2_999, 100, days=30, closed=29)


@given(daily, st.integers(1, 31), st.integers(0, 31), daily)
def test_the_needed_level_is_the_least_that_suffices(
    threshold: int, days: int, closed: int, so_far: int
) -> None:
    """Keeping the needed level qualifies, one minor unit less does not (M-9)."""
    assume(closed < days)
    total = so_far * closed
    needed = required_daily(total, threshold, days=days, closed=closed)
    assert needed is not None
    remaining = days - closed
    assert qualifies(total + needed * remaining, threshold, days)
    assert needed == 0 or not qualifies(total + (needed - 1) * remaining, threshold, days)


def june(sum_minor: int) -> Reading:
    """Return what is known of a month of thirty days."""
    return reading(MonthSum(Month(2025, 6), sum_minor, 0))


def test_g_risk_1_a_month_that_goes_below_is_at_risk() -> None:
    """G-RISK-1: the projection falls short of the tier; the needed level is told (M-11)."""
    told = forecast(june(10_400_000_00), 500_000_00, closed=20, last_minor=380_000_00)
    assert Forecast(460_000_00, 473_333_33, Outlook.AT_RISK) == told


@pytest.mark.parametrize(
    ("sum_minor", "closed", "last_minor", "outlook"),
    [
        (3_000, 1, 0, Outlook.CERTAIN),
        (2_000, 20, 100, Outlook.ON_TRACK),
        (2_000, 20, 99, Outlook.AT_RISK),
        (2_999, 30, 999, Outlook.MISSED),
        (0, 0, 0, Outlook.UNKNOWN),
    ],
)
def test_an_outlook_has_five_answers(
    sum_minor: int, closed: int, last_minor: int, outlook: Outlook
) -> None:
    """Won, on the way, at risk, out of reach, and nothing known yet (M-11)."""
    told = forecast(june(sum_minor), 100, closed=closed, last_minor=last_minor)
    assert outlook is told.outlook


@given(st.integers(0, 10**12), st.integers(1, 366), st.integers(0, 10**10))
def test_the_average_shown_never_contradicts_the_decision(
    total: int, days: int, threshold: int
) -> None:
    """The floored average reaches a threshold exactly when the sum does (C-3)."""
    assert (display_average(total, days) >= threshold) is qualifies(total, threshold, days)


@given(histories(), targets, st.data())
def test_folding_on_equals_folding_from_the_start(
    months: list[MonthSum], target: Target, data: st.DataObject
) -> None:
    """Folding some months, and later the rest from there, gives what folding all gives (T-8)."""
    programme = with_target(target)
    cut = data.draw(st.integers(0, len(months)))
    before = fold(programme, months[:cut])
    rest = fold(
        programme,
        months[cut:],
        before[-1].after if before else None,
        before[-1].month.plus(1) if before and cut < len(months) else None,
    )
    assert fold(programme, months) == before + rest


@given(st.integers(0, 31), st.lists(daily, min_size=31, max_size=31), daily, st.integers(0, 30))
def test_more_balance_never_lowers_the_qualified_rank(
    known: int, balances: list[int], more: int, day: int
) -> None:
    """Adding to one day, known or missing until now, keeps or raises the rank (3.18, 3)."""
    total = sum(balances[:known])
    before = qualified_rank(PROGRAMME, total, 31)
    added = more if day < known else balances[day]
    assert qualified_rank(PROGRAMME, total + added, 31) >= before


@given(st.integers(0, 4), st.integers(0, 30), daily, st.data())
def test_filling_missing_days_never_lowers_a_qualified_result(
    rank: int, known: int, level: int, data: st.DataObject
) -> None:
    """What was qualified with days missing stays qualified with them known (3.18, 3)."""
    before = State(rank)
    early = step(PROGRAMME, before, MonthSum(FIRST, level * known, known))
    filled = data.draw(st.integers(known, 31))
    late_sum = level * known + data.draw(daily) * (filled - known)
    late = step(PROGRAMME, before, MonthSum(FIRST, late_sum, filled))
    assert late.qualified >= early.qualified
    if early.cause in {Cause.UPGRADED, Cause.RETAINED}:
        assert late.after.rank >= early.after.rank
        assert late.cause in {Cause.UPGRADED, Cause.RETAINED}


@given(histories(), targets)
def test_a_standing_moves_only_as_the_rules_say(months: list[MonthSum], target: Target) -> None:
    """Every decision of any history keeps the invariants of T-4, T-7 and A-6."""
    decisions = fold(with_target(target), months)
    for earlier, later in pairwise(decisions):
        assert earlier.after == later.before
    for decision in decisions:
        _keeps_the_rules(decision)


def _keeps_the_rules(decision: Decision) -> None:
    before, after = decision.before, decision.after
    allowed = PROGRAMME.tier[after.rank].misses
    assert after.misses == len(after.window)
    assert after.misses < max(1, allowed)
    assert all(rank < after.rank for rank in after.window)
    match decision.cause:
        case Cause.UPGRADED:
            assert (decision.qualified, 0) == (after.rank, after.misses)
            assert after.rank > before.rank
        case Cause.RETAINED:
            assert (before.rank, 0) == (after.rank, after.misses)
        case Cause.WATCHED:
            assert (before.rank, before.misses + 1) == (after.rank, after.misses)
        case Cause.DOWNGRADED:
            assert PROGRAMME.tier[before.rank].misses == before.misses + 1
            assert decision.qualified <= after.rank < before.rank
            assert decision.known_days == decision.month.days
        case Cause.UNDETERMINED:
            assert before == after
            assert decision.known_days < decision.month.days
        case Cause.HELD | Cause.GRACE:
            pytest.fail("without locks and reviews each month decides")
        case Cause.CORRECTED | Cause.ENDED | Cause.MERGED | Cause.FRAUD:
            pytest.fail("a fold corrects, ends and merges nothing: only a record can be wrong")
        case Cause.WELCOME | Cause.WELCOME_OVER:
            pytest.fail("a welcome lifts what was folded")


@given(histories(), st.builds(State, st.integers(0, 4), st.integers(0, 5)))
def test_news_brings_any_record_to_what_the_fold_says(
    months: list[MonthSum], written: State
) -> None:
    """Nothing is written where the record is right; what is written makes it right (T-8)."""
    assume(months)
    last = fold(PROGRAMME, months)[-1]
    written_anew = news(last, written)
    right = (last.after.rank, last.after.misses)
    if written_anew is None:
        assert right == (written.rank, written.misses)
    else:
        assert right != (written.rank, written.misses)
        assert last.after == written_anew.after
        assert written.rank == written_anew.before.rank
        ranks = {last.before.rank, last.after.rank}
        assert (written_anew.cause is Cause.CORRECTED) == (written.rank not in ranks)
        for language in ("zh", "en"):
            assert explain(PROGRAMME, written_anew)[language]


@pytest.mark.parametrize(
    ("stood", "written", "told"),
    [
        (3, 3, None),  # what stood is not taken back
        (2, 2, None),
        (3, 2, None),  # nor what is on record raised to it
        (1, 1, None),
        (1, 3, 1),  # what raised it since is undone
        (0, 3, 1),
        (2, 3, 2),  # down to what stood
        (None, 3, 1),
    ],
)
def test_a_settled_month_takes_back_what_raised_it_since(
    stood: int | None, written: int, told: int | None
) -> None:
    """A-7: the fold comes to the first tier; what stood when the month was settled stays."""
    last = fold(PROGRAMME, [whole("2024-01", 60_000)])[-1]
    assert 1 == last.after.rank
    found = news(last, State(written), settled=None if stood is None else State(stood))
    assert told == (found and found.after.rank)
    assert found is None or written == found.before.rank


@given(histories(), targets, st.sampled_from(["en", "zh"]))
def test_every_decision_can_be_explained(
    months: list[MonthSum], target: Target, language: str
) -> None:
    """Whatever happened, there is a sentence that names the tier the member has now."""
    for decision in fold(with_target(target), months):
        name = PROGRAMME.tier[decision.after.rank].name[language]
        assert name in explain(PROGRAMME, decision)[language]


@given(histories())
def test_a_promised_day_is_kept_whatever_comes(months: list[MonthSum]) -> None:
    """With nothing at all from now on the tier is lost on the day after the promised one (X-6)."""
    decisions = fold(PROGRAMME, months)
    assume(decisions and decisions[-1].cause is Cause.WATCHED)
    last = decisions[-1]
    left = PROGRAMME.tier[last.after.rank].misses - last.after.misses
    empty = [last.month.plus(n) for n in range(1, left + 1)]
    rest = fold(PROGRAMME, [MonthSum(month, 0, month.days) for month in empty], last.after)
    assert [Cause.WATCHED] * (left - 1) + [Cause.DOWNGRADED] == [d.cause for d in rest]
    assert (rest[-1].effective_from - stays_until(PROGRAMME, last)).days == 1


@given(histories())
def test_a_certain_day_is_the_day_before_the_first_possible_drop(months: list[MonthSum]) -> None:
    """X-6, T-4: with nothing at all from the undecided month on, the tier holds through it."""
    decisions = fold(PROGRAMME, months)
    assume(decisions and decisions[-1].after.rank > BASE)
    state, undecided = decisions[-1].after, decisions[-1].month.plus(1)
    empty = [undecided.plus(n) for n in range(12)]
    rest = fold(PROGRAMME, [MonthSum(month, 0, month.days) for month in empty], state)
    drop = next(d for d in rest if d.cause is Cause.DOWNGRADED)
    assert 1 == (drop.effective_from - certain_through(PROGRAMME, state, undecided)).days


@given(daily, st.integers(0, 29), st.integers(1, 4), st.integers(0, 2))
def test_a_tier_is_kept_by_the_level_that_is_named(
    minor: int, closed: int, rank: int, misses: int
) -> None:
    """T-4, M-9: with that level on each remaining day the month is no miss; a fen less is one."""
    month = Month(2025, 6)
    state = State(rank, misses, (BASE,) * misses)
    known = MonthSum(month, minor * closed, closed)
    kept = keeping(PROGRAMME, state, running(known, closed), undecided=month)
    assert kept is not None
    needed = kept.need.needed_daily
    assert needed is not None
    rest = month.days - closed
    for level, is_kept in ((needed, True), (needed - 1, False)):
        if level < 0:
            continue
        decision = step(PROGRAMME, state, MonthSum(month, known.sum_minor + level * rest, 30))
        assert is_kept == (decision.cause in {Cause.RETAINED, Cause.UPGRADED})
    assert (misses, PROGRAMME.tier[rank].misses) == (kept.misses, kept.allowed)


def test_the_lowest_tier_needs_nothing_and_a_closed_month_cannot_be_mended() -> None:
    """T-4, M-9: nobody loses BASE; with no day left the level is out of reach."""
    month = Month(2025, 6)
    empty = running(MonthSum(month, 0, 30), 30)
    assert None is keeping(PROGRAMME, State(), empty, undecided=month)
    kept = keeping(PROGRAMME, State(PLATINUM, 1, (GOLD,)), empty, undecided=month)
    assert kept is not None
    assert (None, date(2025, 7, 31)) == (kept.need.needed_daily, kept.certain_through)


@pytest.mark.parametrize(
    ("needed", "average", "told"),
    [(100, 0, "near"), (200, 90, "near"), (201, 90, "far"), (90, 30, "near"), (91, 30, "far")],
)
def test_an_aim_that_is_far_is_not_named(needed: int, average: int, told: str) -> None:
    """M-9: more than twice the threshold, or than three times what there is, is no aim."""
    assert told == ("far" if is_far(needed, 100, average) else "near")


@pytest.mark.parametrize(
    ("minor", "digits", "text"),
    [(0, 2, "0.00"), (5, 2, "0.05"), (123456789, 2, "1,234,567.89"), (1500000, 0, "1,500,000")],
)
def test_money_is_written_exactly(minor: int, digits: int, text: str) -> None:
    """Minor units become a grouped amount with the currency's decimals (C-1)."""
    assert text == money(minor, digits)
