"""Versions hold one after the other, each from its instant on: U-1."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain import dating
from benefits.domain.dating import Dated

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)


def dated(version: int, applied: int, begins: int, judges: int = 1) -> Dated:
    """Return a version that was applied on one day, to begin on another, judging from a month."""
    return Dated(
        version=version,
        applied_at=BEGAN + timedelta(days=applied),
        effective_from=BEGAN + timedelta(days=begins),
        tiers_from=date(2025, judges, 1),
    )


def numbers(versions: list[Dated]) -> list[int]:
    """Return the numbers of versions."""
    return [one.version for one in versions]


def at(versions: list[Dated], day: float) -> int:
    """Return which version is in force on a day."""
    found = dating.in_force(versions, BEGAN + timedelta(days=day))
    assert found is not None
    return found.version


@pytest.mark.parametrize(
    ("versions", "kept", "held"),
    [
        ([(0, 0)], [1], [1, 1, 1]),
        ([(0, 0), (5, 10)], [1, 2], [1, 2, 2]),  # one is to come
        ([(0, 0), (5, 10), (6, 15)], [1, 2, 3], [1, 2, 3]),  # and another after it
        ([(0, 0), (5, 10), (6, 6)], [1, 3], [3, 3, 3]),  # what holds at once withdraws it
        ([(0, 0), (5, 15), (6, 10)], [1, 3], [1, 3, 3]),  # as does what begins before it
        ([(0, 0), (5, 10), (6, 10)], [1, 3], [1, 3, 3]),  # or with it
        ([(0, 0), (5, 10), (12, 12)], [1, 2, 3], [1, 2, 3]),  # not what comes after it began
        ([(0, 0), (0, 0)], [1, 2], [2, 2, 2]),  # the same instant: the later one
    ],
)
def test_one_that_begins_before_another_withdraws_it(
    versions: list[tuple[int, int]], kept: list[int], held: list[int]
) -> None:
    """On the days 8, 11 and 16; a version that began before stays whatever follows."""
    made = [dated(n, *days) for n, days in enumerate(versions, 1)]
    assert kept == numbers(dating.kept(made))
    assert held == [at(made, day) for day in (8, 11, 16)]


def test_g_ver_1_the_microsecond_before_is_the_earlier_version() -> None:
    """G-VER-1: half-open, as every interval is (U-1, C-4)."""
    made = [dated(1, 0, 0), dated(2, 1, 10)]
    begins = made[1].effective_from
    before = dating.in_force(made, begins - timedelta(microseconds=1))
    assert (made[0], made[1]) == (before, dating.in_force(made, begins))
    assert (begins, None) == (dating.until(made, made[0]), dating.until(made, made[1]))


def test_a_version_to_come_judges_nothing_yet() -> None:
    """U-1: it judges from its month on once it holds; of two from one month the later does."""
    made = [dated(1, 0, 0), dated(2, 1, 10, judges=3), dated(3, 1, 20, judges=3)]
    days = [BEGAN + timedelta(days=day) for day in (9, 10, 20)]
    assert [[1], [1, 2], [1, 3]] == [numbers(dating.judging(made, day)) for day in days]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_what_is_read_of_a_version_is_what_it_does(steps: list[tuple[int, int]]) -> None:
    """The one before it when it was applied is the one that it follows, or it is withdrawn."""
    made, before, day = [dated(1, 0, 0)], {1: 0}, 0
    for number, (wait, ahead) in enumerate(steps, 2):
        day += wait
        new = dated(number, day, day + ahead)
        stays = dating.stays(made, new.effective_from, new.applied_at)
        gone = dating.withdrawn(made, new.effective_from, new.applied_at)
        assert set(numbers(dating.kept(made))) == {*numbers(stays), *gone}
        made.append(new)
        before[number] = stays[-1].version
        assert numbers(dating.kept(made)) == [*numbers(stays), number]
    kept = numbers(dating.kept(made))
    assert [before[number] for number in kept[1:]] == kept[:-1]
    starts = [one.effective_from for one in dating.kept(made)]
    assert sorted(starts) == starts
