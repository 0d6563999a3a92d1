"""A welcome lifts what is earned, for its days and no longer, and begins nothing (M-8, O-1)."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain import tiers
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.explanation import explain
from benefits.domain.floors import Floor, floor_of, lifted, moved, opened_since
from benefits.domain.metrics import MonthSum
from benefits.domain.news import news
from benefits.domain.policy import Policy, policy_problems
from benefits.domain.tiers import Cause, Decision, State, certain_through
from benefits.domain.values import Month
from benefits.domain.welcome import Welcome
from tests.builders import reference_programme

GOLD, PLATINUM = 1, 2
PLAIN = reference_programme()
WELCOME = Welcome(tier="GOLD", months=3)
PROGRAMME = replace(PLAIN, policy=Policy(welcome=WELCOME))
APRIL = Month(2025, 4)
RULES = Rules((Judge(1, Month(2000, 1), PROGRAMME), Judge(2, Month(2025, 6), PLAIN)))
FLOOR = Floor(GOLD, date(2025, 4, 16), date(2025, 7, 16))
LIFTED = State(GOLD, earned=0, welcome_until=FLOOR.until)
HIGH = State(PLATINUM, earned=0, welcome_until=FLOOR.until)
HALFWAY = replace(HIGH, earned=GOLD)


@pytest.mark.parametrize(
    ("opened_on", "until"),
    [
        (date(2025, 4, 16), date(2025, 7, 16)),
        (date(2024, 11, 30), date(2025, 2, 28)),  # C-6
        (date(2025, 5, 31), date(2025, 8, 31)),
        (date(2025, 6, 1), None),  # U-1: the version of June welcomes nobody
    ],
)
def test_a_welcome_is_of_the_month_of_the_opening(opened_on: date, until: date | None) -> None:
    """It runs for whole months from the day of the opening, clipped to a month's end."""
    found = floor_of(RULES, opened_on)
    assert until == (found.until if found else None)
    assert found is None or (GOLD, opened_on) == (found.rank, found.first)


@given(st.dates(date(2024, 1, 1), date(2025, 5, 31)), st.dates(date(2024, 1, 1), date(2026, 1, 1)))
def test_whom_to_look_at_misses_nobody(opened_on: date, on: date) -> None:
    """Whoever is welcome on a day opened since the day that is named for it."""
    floor, since = floor_of(RULES, opened_on), opened_since([RULES], on)
    assert floor is not None
    assert since is not None
    assert not floor.runs(on) or opened_on >= since
    assert opened_since([Rules((Judge(1, APRIL, PLAIN),))], on) is None


standings = st.builds(
    State, st.integers(0, 3), st.integers(0, 2), lock_until=st.none() | st.just(date(2026, 1, 1))
)


@given(standings, st.dates(date(2025, 4, 1), date(2025, 8, 1)))
def test_what_is_held_is_never_below_what_is_earned(earned: State, on: date) -> None:
    """Invariant 12; after it what is earned is as it was, misses and locks too."""
    held = lifted(earned, FLOOR, on)
    assert held.rank == max(earned.rank, GOLD if FLOOR.runs(on) else 0)
    assert earned == held.own == held.on(FLOOR.until)
    assert held == lifted(held.own, FLOOR, on)
    if held.earned is not None:
        assert date(2025, 7, 15) == certain_through(PROGRAMME, held, Month(2025, 5))


def decided(before: State, after: State, cause: Cause) -> Decision:
    """Return what April decided of what is earned, lifted as on its last day."""
    return Decision(
        month=APRIL,
        before=before,
        after=lifted(after, FLOOR, APRIL.end),
        cause=cause,
        qualified=after.rank,
        sum_minor=0,
        known_days=30,
        days=30,
        divisor=30,
    )


@pytest.mark.parametrize(
    ("before", "after", "cause", "written", "told"),
    [
        (State(), State(), Cause.RETAINED, LIFTED, None),
        (State(), State(), Cause.RETAINED, State(), Cause.WELCOME),
        (State(), State(GOLD), Cause.UPGRADED, LIFTED, Cause.RETAINED),
        (State(), State(PLATINUM), Cause.UPGRADED, LIFTED, Cause.UPGRADED),
        (State(PLATINUM), State(), Cause.DOWNGRADED, State(PLATINUM), Cause.DOWNGRADED),
        (State(GOLD), State(), Cause.DOWNGRADED, State(GOLD), Cause.WELCOME),
        (State(), State(), Cause.RETAINED, State(PLATINUM), Cause.CORRECTED),
        (State(), State(PLATINUM), Cause.RETAINED, State(3), Cause.CORRECTED),
    ],
)
def test_news_are_told_by_what_is_held(
    before: State, after: State, cause: Cause, written: State, told: Cause | None
) -> None:
    """Whatever is earned beneath a welcome, the record follows, and each is explained."""
    found = news(decided(before, after, cause), written, on=APRIL.end)
    assert told == (found.cause if found else None)
    if found is not None:
        for language in ("zh", "en"):
            name = PROGRAMME.tier[found.after.rank].name[language]
            assert name in explain(PROGRAMME, found)[language]


@pytest.mark.parametrize(
    ("after", "written", "stood", "held"),
    [
        (HIGH, HALFWAY, HALFWAY, None),
        (HIGH, HALFWAY, State(GOLD), None),
        (HIGH, HALFWAY, State(), HIGH),
        (State(), HALFWAY, HALFWAY, State(GOLD)),
        (State(), State(GOLD), HALFWAY, None),
    ],
)
def test_a_settled_month_takes_back_nothing_that_is_earned_beneath_a_welcome(
    after: State, written: State, stood: State, held: State | None
) -> None:
    """A-7, M-8: gold was earned and is corrected away; it is what the welcome leaves."""
    decision = replace(decided(State(), State(), Cause.RETAINED), after=after)
    found = news(decision, written, settled=stood, on=APRIL.end)
    assert held == (found.after if found else None)


def test_a_welcome_ends_with_its_last_day_and_says_so() -> None:
    """Who qualified for nothing falls at once to what is earned, without misses or a grace."""
    begun = moved(State(), FLOOR, APRIL, date(2025, 4, 17))
    assert begun is not None
    assert (Cause.WELCOME, LIFTED) == (begun.cause, begun.after)
    assert "GOLD" not in explain(PROGRAMME, begun)["en"]
    assert "at least Gold through 15 July 2025" in explain(PROGRAMME, begun)["en"]
    assert "2025年7月15日前（含当日）至少享有金卡" in explain(PROGRAMME, begun)["zh"]
    assert moved(LIFTED, FLOOR, APRIL, date(2025, 7, 15)) is None
    over = moved(LIFTED, FLOOR, Month(2025, 6), date(2025, 7, 16))
    assert over is not None
    assert (Cause.WELCOME_OVER, State()) == (over.cause, over.after)
    assert (
        "As a new customer you had Gold through 15 July 2025: now what you have reached holds, "
        "Base." == explain(PROGRAMME, over)["en"]
    )
    assert "已于2025年7月15日到期" in explain(PROGRAMME, over)["zh"]
    withdrawn = moved(LIFTED, None, APRIL, date(2025, 5, 2))  # the opening was another day
    assert withdrawn is not None
    assert date(2025, 5, 1) == withdrawn.grounds.ended_on


@given(st.lists(st.integers(0, 600_000), min_size=1, max_size=6))
def test_what_is_earned_knows_of_no_welcome(levels: list[int]) -> None:
    """The fold is the same with it and without: a floor begins no term and hides no miss."""
    known = [APRIL.plus(nth) for nth in range(len(levels))]
    sums = {
        PROGRAMME.basket: {
            month: MonthSum(month, level * 100 * month.days, month.days)
            for month, level in zip(known, levels, strict=True)
        }
    }
    both = [
        tiers.fold(Rules((Judge(1, APRIL, each),)), sums, known[-1]) for each in (PROGRAMME, PLAIN)
    ]
    assert both[1] == both[0]


@pytest.mark.parametrize(
    ("tier", "problem"),
    [
        ("GOLDEN", "policy.welcome.tier: 'GOLDEN' is none of the tiers; did you mean 'GOLD'?"),
        ("BASE", "policy.welcome.tier: everybody has the lowest tier; name a higher one"),
    ],
)
def test_a_welcome_names_a_tier_that_lifts(tier: str, problem: str) -> None:
    """A programme that names another is refused by the path."""
    policy = Policy(welcome=Welcome(tier=tier, months=3))
    assert [problem] == list(policy_problems(policy, PLAIN.tier, PLAIN.asset_classes))
