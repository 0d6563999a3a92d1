"""What a rise brings after falls, and what a period that is over lacks (P-4, P-6, A-7)."""

from datetime import date, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.domain.downgrades import Change
from benefits.domain.entitlement import Granted, coming_back, missed, top_up
from benefits.domain.packages import Line, LinePeriod, UpgradePolicy
from benefits.domain.values import PeriodKind, period_of
from tests.builders import NOON

LINE = Line(code="lounge", benefit="LOUNGE", period=LinePeriod.QUARTER, quota={})
QUARTER = period_of(date(2025, 5, 1), PeriodKind.QUARTER)
END = NOON + timedelta(days=30)


def _fell(taken: int, quota: int, *, later: int = 0, is_lost: bool = True) -> Change:
    """Return what a fall to a quota took, of lots that are lost or last."""
    at, ends_at = NOON + timedelta(seconds=later), None if is_lost else END
    return Change(lot_id=UUID(int=1), taken=taken, quota=quota, at=at, ends_at=ends_at)


MERGED = Granted(6, 6, NOON, is_own=False)
AFTER = Granted(12, 6, NOON + timedelta(seconds=2), is_own=False)


@pytest.mark.parametrize(
    ("quota", "before", "changes", "expected"),
    [
        # Of who was merged: a quota that a fall left stands, whatever is left of it.
        (6, [Granted(12, 8, is_own=False)], [_fell(6, 6)], 0),
        # What was granted since the last fall stands as well, and what was before it does not.
        (12, [MERGED, AFTER], [_fell(4, 2, later=1)], 0),
        (6, [MERGED], [_fell(4, 2)], 4),
        # What is the member's own is granted once, whatever went of it.
        (6, [Granted(6, 6), MERGED], [_fell(10, 2)], 0),
        # Who has more than the new quota by an earlier policy is lacking nothing.
        (15, [Granted(6, 6), Granted(12, 12)], [], 0),
    ],
)
def test_a_rise_after_falls_brings_what_is_lacking(
    quota: int, before: list[Granted], changes: list[Change], expected: int
) -> None:
    """P-4, P-6: what falls took of who was merged is granted anew, and nothing else twice."""
    assert expected == top_up(LINE, quota, before, changes, period=QUARTER, from_=QUARTER.start)


def test_a_share_that_is_whole_is_not_rounded_up() -> None:
    """P-4: 26 days are two sevenths of the quarter's 91."""
    line = replace(LINE, upgrade=UpgradePolicy.PRORATE_CEIL)
    assert 2 == top_up(line, 7, [], period=QUARTER, from_=QUARTER.end - timedelta(days=26))
    assert 3 == top_up(line, 7, [], period=QUARTER, from_=QUARTER.end - timedelta(days=27))


def test_what_comes_back_is_of_the_quota_and_those_below_it() -> None:
    """P-6: not what was granted for higher ones, which stay lost."""
    before = [Granted(6, 6), Granted(12, 6)]
    (part,) = coming_back(6, before, [_fell(10, 2, is_lost=False)], NOON)
    assert 4 == part.amount
    assert [] == coming_back(6, before, [_fell(2, 2, is_lost=False)], NOON)


@pytest.mark.parametrize(
    ("quota", "before", "changes", "expected"),
    [
        (7, [], [], 2),  # no more than a rise that day brings
        (6, [Granted(6, 6)], [_fell(4, 2)], 4),  # a fall that was none took it
        (6, [Granted(6, 6), Granted(2, 2)], [_fell(4, 2)], 2),
        (6, [Granted(2, 2)], [], 1),
    ],
)
def test_a_period_that_is_over_lacks_what_was_right_then(
    quota: int, before: list[Granted], changes: list[Change], expected: int
) -> None:
    """A-7, L-9: what a fall took that was none, or as much as a late rise brings."""
    line, late = replace(LINE, upgrade=UpgradePolicy.PRORATE_FLOOR), timedelta(days=26)
    assert expected == missed(
        line, quota, before, changes, made_good=0, period=QUARTER, from_=QUARTER.end - late
    )
