"""What is right for a period, and what was held in it (A-7)."""

from datetime import date

import msgspec
import pytest

from benefits.domain.catalogue import Judge, Rules
from benefits.domain.floors import Floor
from benefits.domain.news import fraud
from benefits.domain.packages import UpgradePolicy
from benefits.domain.policy import UpgradeTiming
from benefits.domain.rights import (
    Record,
    highest_held,
    right_quota,
    right_ranks,
    right_since,
)
from benefits.domain.tiers import Cause, Decision, State
from benefits.domain.values import Month, Period
from tests.builders import reference_programme

PROGRAMME = reference_programme()
APRIL = Period("2025-04", date(2025, 4, 1), date(2025, 5, 1))
QUARTER = Period("2025-Q2", date(2025, 4, 1), date(2025, 7, 1))
GOLD, PLATINUM, DIAMOND = 1, 2, 3


def decision(month: int, before: int, after: int) -> Decision:
    """Return a month's decision."""
    of = Month(2025, month)
    return Decision(
        month=of,
        before=State(before),
        after=State(after),
        cause=Cause.RETAINED,
        qualified=after,
        sum_minor=0,
        known_days=of.days,
        days=of.days,
        divisor=of.days,
    )


def rules(upgrade: UpgradeTiming = UpgradeTiming.NEXT_PERIOD) -> Rules:
    """Return rules by which tiers rise at some time."""
    policy = msgspec.structs.replace(PROGRAMME.policy, upgrade=upgrade)
    changed = msgspec.structs.replace(PROGRAMME, policy=policy)
    return Rules((Judge(1, Month(2024, 1), changed),))


def test_the_highest_tier_that_was_held_counts() -> None:
    """What was held as a period began and what came within it; what came before is over."""
    record = [Record(rank, date(2025, month, 1)) for rank, month in ((3, 2), (1, 3), (2, 5))]
    assert [0, 3, 1, 1, 2] == [
        highest_held(record, Period("", date(2025, n, 1), date(2025, n + 1, 1)))
        for n in range(1, 6)
    ]
    assert 2 == highest_held(record, QUARTER)


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [(UpgradeTiming.NEXT_PERIOD, {GOLD}), (UpgradeTiming.INSTANT, {GOLD, DIAMOND})],
)
def test_a_tier_is_right_from_the_month_after_or_within(
    upgrade: UpgradeTiming, expected: set[int]
) -> None:
    """T-3: what April decides holds from May, or within April where tiers rise early."""
    decisions = [decision(3, 0, GOLD), decision(4, GOLD, DIAMOND), decision(5, DIAMOND, 0)]
    assert expected == right_ranks(rules(upgrade), decisions, None, APRIL)
    assert {GOLD, DIAMOND, 0} == right_ranks(rules(upgrade), decisions, None, QUARTER)
    assert {0} == right_ranks(rules(upgrade), [], None, APRIL)


def test_a_welcome_is_right_on_its_days() -> None:
    """M-8: whatever is earned beneath it."""
    floor = Floor(PLATINUM, date(2025, 1, 1), date(2025, 4, 2))
    assert {0, PLATINUM} == right_ranks(rules(), [], floor, APRIL)
    may = Period("2025-05", date(2025, 5, 1), date(2025, 6, 1))
    assert {0} == right_ranks(rules(), [], floor, may)


def test_a_quota_is_the_highest_of_any_tier_and_version() -> None:
    """U-3, P-4: an earlier version's stays, and FULL quotas come on top of each other."""
    video = PROGRAMME.line[1]
    full = msgspec.structs.replace(video, upgrade=UpgradePolicy.FULL)
    less = msgspec.structs.replace(video, quota={"GOLD": 1})
    versions = [msgspec.structs.replace(PROGRAMME, line=(line,)) for line in (less, video, full)]
    assert 1 == right_quota("video", {0, PLATINUM, GOLD}, versions[:1])
    assert 2 == right_quota("video", {0, PLATINUM, GOLD}, versions[:2])
    assert 3 == right_quota("video", {0, PLATINUM, GOLD}, versions)
    assert 0 == right_quota("lounge", {PLATINUM}, versions)


def test_only_what_is_lower_is_decided_anew() -> None:
    """A-7: what is favourable or the same needs nobody's word."""
    last, since = decision(4, GOLD, GOLD), Month(2025, 3)
    assert [None, None] == [fraud(last, State(rank), since) for rank in (GOLD, 0)]
    made = fraud(last, State(PLATINUM, 1), since)
    assert made is not None
    assert (Cause.FRAUD, PLATINUM, GOLD) == (made.cause, made.before.rank, made.after.rank)
    assert date(2025, 3, 1) == made.grounds.wrong_from


def test_a_tier_is_right_since_a_month_of_the_period() -> None:
    """P-4: a share is counted from there."""
    decisions = [decision(3, 0, GOLD), decision(4, GOLD, DIAMOND), decision(5, DIAMOND, 0)]
    found = [
        right_since(rules(), decisions, None, period=QUARTER, rank=rank)
        for rank in (GOLD, DIAMOND, 0)
    ]
    assert [date(2025, month, 1) for month in (4, 5, 6)] == found
