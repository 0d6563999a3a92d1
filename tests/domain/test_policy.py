"""A policy that contradicts itself is refused by its path, with what was perhaps meant."""

from decimal import Decimal

import msgspec
import pytest

from benefits.domain.policy import Joint, PointInTime, Policy, policy_problems
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from tests.builders import PROGRAMME as TEXT


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        (
            'metric = "QUARTER_AVG"\nupgrade = "INSTANT"',
            "policy.upgrade: INSTANT is for what is decided every month, not for QUARTER_AVG",
        ),
        ('metric = "LAST_K_MONTHS"', "policy.months: say how many months"),
        ("make_good_days = 6", "policy.make_good_days"),
        ("months = 3", "policy.months: only LAST_K_MONTHS has it, not MONTH_AVG"),
        ('divisor = "FIXED"', "policy.divisor_days: say the number that FIXED divides by"),
        ("divisor_days = 30", "policy.divisor_days: only FIXED has it, not PERIOD_DAYS"),
        ('weights = { FUNT = "0.5" }', "policy.weights.FUNT: is not among asset_classes; did you"),
        ('weights = { FUND = "-0.1" }', "policy.weights.FUND: must be from 0, which leaves the"),
        ('weights = { FUND = "10.1" }', "policy.weights.FUND: must be from 0, which leaves the"),
        ('weights = { FUND = "NaN" }', "policy.weights.FUND: must be from 0, which leaves the"),
        ('weights = { FUND = "sNaN" }', "policy.weights.FUND: must be from 0, which leaves the"),
        ('weights = { FUND = "0.12345" }', "policy.weights.FUND: 0.12345 has more than 4"),
        ('liabilities = { LONE = "1" }', "policy.liabilities.LONE: is not among asset_classes"),
        ('liabilities = { FUND = "-1" }', "policy.liabilities.FUND: must be from 0, which"),
        ('liabilities = { FUND = "0" }', "policy.liabilities.FUND: must be above 0; else leave"),
        (
            'weights = { FUND = "0.5" }\nliabilities = { FUND = "1" }',
            "policy.liabilities.FUND: weighs as an asset, too; keep one of the two",
        ),
        ('review = ["06-31"]', "policy.review[0]: '06-31' is not the last day of a month; did"),
        (
            'metric = "QUARTER_AVG"\nreview = ["12-31", "07-31"]',
            "policy.review[1]: no QUARTER_AVG is decided on 07-31",
        ),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused_by_path(policy: str, problem: str) -> None:
    """Every contradiction is named where it stands, with what was perhaps meant."""
    text = TEXT.replace("[[tier]]", f"[policy]\n{policy}\n\n[[tier]]", 1)
    with pytest.raises(ProgrammeInvalid) as refused:
        read(text)
    assert problem in str(refused.value)


HEAD = "[[tier]]"
TERM = "lock = { months = 12, grace = 3 }"


@pytest.mark.parametrize(
    ("was", "becomes", "problem"),
    [
        ("misses = 6", "misses = 121", "tier[4].misses: at most 120"),
        ("misses = 6", "misses = 6\nlock = { months = 12 }", "tier[4].misses: a tier with a lock"),
        (
            HEAD,
            f'[policy]\ntarget = "BEST_OF_WINDOW"\n{HEAD}',
            "tier[4].lock: a lock has no window",
        ),
        (HEAD, f'[policy]\nreview = ["06-30"]\n{HEAD}', "tier[4].lock: a lock is not reviewed"),
        (
            'threshold = "0"',
            'threshold = "0"\nlock = { months = 1 }',
            "tier[0].lock: nobody loses",
        ),
    ],
)
def test_a_tier_that_cannot_be_kept_so_is_refused_by_path(
    was: str, becomes: str, problem: str
) -> None:
    """A lock goes with neither misses, windows nor reviews."""
    text = TEXT.replace(was, becomes, 1)
    if was != "misses = 6":
        text = text.replace("misses = 6", TERM, 1)
    with pytest.raises(ProgrammeInvalid) as refused:
        read(text)
    assert problem in str(refused.value)


def test_what_cannot_be_deducted_day_by_day_is_refused() -> None:
    """A-8: not a class that counts by one day itself, and somebody must have something."""
    classes = ["DEPOSIT", "FUND", "LOAN"]
    tiers = read(TEXT).tier
    owing = Policy(liabilities={"LOAN": Decimal(1)})
    joint = msgspec.structs.replace(owing, joint=Joint.SPLIT_EQUAL)
    assert [] == [*policy_problems(owing, tiers, classes), *policy_problems(joint, tiers, classes)]
    by_day = msgspec.structs.replace(
        owing, calendar="china", point_in_time=PointInTime(classes=("FUND",))
    )
    assert [] == list(policy_problems(by_day, tiers, classes))
    both = msgspec.structs.replace(by_day, liabilities={"FUND": Decimal(1)})
    (problem,) = policy_problems(both, tiers, classes)
    assert problem.startswith("policy.point_in_time.classes[0]: 'FUND' is owed, and so deducted")
    all_ = Policy(liabilities=dict.fromkeys(classes, Decimal(1)))
    (problem,) = policy_problems(all_, tiers, classes)
    assert "policy.liabilities: every class is owed, so nobody has anything" in problem
