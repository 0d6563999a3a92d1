"""Chains: the days of a source's month that stand on each other (A-2).

    FULL 1 ◀── DELTA 2 ◀── DELTA 3     FULL 4 ◀── DELTA 5     (6 has not come)     DELTA 7 waits

A DELTA day counts each key (member, class, currency, account) that it does not name with its
balance of the source's day before. So a line counts from its own day until the next line of its
key, or until its chain ends; and what a day's lines change, the DELTA days behind it change with.
The first of a month is FULL: no chain is longer than a month, or in two of them.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import msgspec

from benefits.domain.feeds import FeedKind

_DAY = timedelta(days=1)


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A source's day by a revision: its kind, how many lines it has, their totals by currency."""

    as_of: date
    revision: int
    kind: FeedKind
    rows: int = 0
    totals: dict[str, int] = {}


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed changes: the days from its own up to the `past` one.

    `now` are the days whose lines they count with it, `before` those they counted until then.
    """

    day: date
    past: date
    now: Sequence[Link]
    before: Sequence[Link] = ()

    @property
    def is_plain(self) -> bool:
        """Whether one day is changed, by its own lines alone."""
        alone = len(self.now) == 1 and len(self.before) <= 1
        return alone and self.past == self.day + _DAY

    @property
    def rows(self) -> int:
        """How many lines must be read to apply it."""
        return sum(link.rows for link in [*self.now, *self.before])

    @property
    def days(self) -> list[date]:
        """The days that are changed."""
        return [self.day + _DAY * n for n in range((self.past - self.day).days)]

    @property
    def up_to_day(self) -> list[Link]:
        """The days whose lines count on its first day, now or before."""
        return [link for link in [*self.now, *self.before] if link.as_of <= self.day]

    @property
    def currencies(self) -> set[str]:
        """The currencies of all its lines."""
        return {currency for link in [*self.now, *self.before] for currency in link.totals}


def stands_on(link: Link, counting: Iterable[Link]) -> list[Link]:
    """Return the days whose lines a day counts, from a FULL one to itself."""
    by_day = {each.as_of: each for each in counting}
    found = [link]
    while found[-1].kind is FeedKind.DELTA:
        found.append(by_day[found[-1].as_of - _DAY])
    return found[::-1]


def chain(applied: Link, counting: Iterable[Link]) -> Chain:
    """Return what a day changes, given what counts of its source's month until then."""
    by_day = {each.as_of: each for each in counting}
    behind = list[Link]()
    past = applied.as_of + _DAY
    while past in by_day and by_day[past].kind is FeedKind.DELTA:
        behind.append(by_day[past])
        past += _DAY
    replaced = by_day.get(applied.as_of)
    before = [] if replaced is None else [*stands_on(replaced, by_day.values()), *behind]
    now = [*stands_on(applied, by_day.values()), *behind]
    return Chain(day=applied.as_of, past=past, now=now, before=before)
