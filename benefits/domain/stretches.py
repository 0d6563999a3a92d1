"""Which stretches of months the windows of a programme need (M-4, M-6, M-7)."""

from collections.abc import Iterator
from itertools import zip_longest

from benefits.domain.catalogue import Rules
from benefits.domain.metrics import Basket
from benefits.domain.values import Month
from benefits.domain.windows import REACH, Stretch, Window, is_whole, last_whole, point, window


def are_needed(rules: Rules) -> bool:
    """Say whether any version counts other days than whole months."""
    policies = (each for judge in rules.judges for each in judge.programme.ladder.metrics)
    return any(not is_whole(policy) for policy in policies)


def needed(rules: Rules, month: Month) -> frozenset[Stretch]:
    """Return the stretches of a month that any window needs, by the version that reads it."""
    return frozenset(piece for _, piece in _asked(rules, month))


def folded(rules: Rules, month: Month) -> frozenset[Stretch]:
    """Return those in which other currencies or joint accounts count (A-4, A-5)."""
    return frozenset(piece for basket, piece in _asked(rules, month) if basket.is_wide)


def _asked(rules: Rules, month: Month) -> Iterator[tuple[Basket, Stretch]]:
    """Yield what the windows need of a month, each with the basket that is summed.

    A version reads each metric's last period that was over as it began, too.
    """
    for judge, until in zip_longest(rules.judges, rules.judges[1:]):
        is_first = judge is rules.judges[0]
        for policy in judge.programme.ladder.metrics:
            begin = last_whole(policy, judge.tiers_from.plus(-1))
            for end in (month.plus(index) for index in range(REACH + 1)):
                is_read = (is_first or end >= begin) and (not until or end < until.tiers_from)
                asked = window(policy, end, judge.calendar) if is_read else None
                for piece in _stretches(asked):
                    if piece.month == month:
                        yield judge.programme.basket, piece
                valued = point(policy, month, judge.calendar) if is_read and end == month else None
                if valued is not None:
                    yield judge.programme.basket, valued.stretch


def _stretches(asked: Window | None) -> Iterator[Stretch]:
    """Yield the pieces of a window that are no whole months."""
    for piece in asked.pieces if asked else ():
        if isinstance(piece, Stretch):
            yield piece
