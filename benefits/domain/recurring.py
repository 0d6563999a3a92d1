"""Recurring days: the one day of each month on which something happens, "every 18th" (P-10).

A day is of the programme's zone. A month that has no such day has none, or its last one stands in.
"""

import enum
from calendar import monthrange
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

import msgspec

from benefits.domain.values import Month

LAST = -1
SURE = 28  # days that every month has
MONTHS_AHEAD = 12  # the longest wait is for a fifth weekday or a 31st: less than a year


class Weekday(enum.Enum):
    """A day of the week, as a programme names it."""

    MONDAY = "MONDAY"
    TUESDAY = "TUESDAY"
    WEDNESDAY = "WEDNESDAY"
    THURSDAY = "THURSDAY"
    FRIDAY = "FRIDAY"
    SATURDAY = "SATURDAY"
    SUNDAY = "SUNDAY"


class Missing(enum.Enum):
    """What a month does that has no such day: it has none, or its last day stands in (P-10)."""

    SKIP = "SKIP"
    LAST_DAY = "LAST_DAY"


class Recurring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One day of each month: the `day`, the `last_day`, or the `nth` of a weekday, -1 the last."""

    day: Annotated[int, msgspec.Meta(ge=1, le=31)] | None = None
    last_day: bool = False
    weekday: Weekday | None = None
    nth: Literal[1, 2, 3, 4, 5, -1] = 1

    @property
    def is_sure(self) -> bool:
        """Whether every month has it."""
        if self.day is not None:
            return self.day <= SURE
        return self.weekday is None or self.nth != 5


def day_in(on: Recurring, missing: Missing, month: Month) -> date | None:
    """Return a recurring day's date in a month; None where the month is skipped (P-10)."""
    last = monthrange(month.year, month.number)[1]
    found: int | None = last
    if on.day is not None:
        found = on.day if on.day <= last else None
    elif on.weekday is not None:
        first = 1 + (list(Weekday).index(on.weekday) - month.start.weekday()) % 7
        days = range(first, last + 1, 7)
        found = days[on.nth if on.nth == LAST else on.nth - 1] if on.nth <= len(days) else None
    if found is None and missing is Missing.LAST_DAY:
        found = last
    return None if found is None else month.start.replace(day=found)


def falls_on(on: Recurring, missing: Missing, day: date) -> bool:
    """Say whether a day is one of them."""
    return day == day_in(on, missing, Month.of(day))


def next_day(on: Recurring, missing: Missing, day: date) -> date:
    """Return the first of them that is not before a day."""
    months = (Month.of(day).plus(n) for n in range(MONTHS_AHEAD + 1))
    each = (day_in(on, missing, month) for month in months)
    return next(found for found in each if found is not None and found >= day)


def latest_day(on: Recurring, missing: Missing, day: date) -> date:
    """Return the last of them that is not after a day."""
    months = (Month.of(day).plus(-n) for n in range(MONTHS_AHEAD + 1))
    each = (day_in(on, missing, month) for month in months)
    return next(found for found in each if found is not None and found <= day)


def recurring_problems(path: str, on: Recurring, missing: Missing) -> Iterator[str]:
    """Yield what of a recurring day does not go together, by its path."""
    said = [on.day is not None, on.last_day, on.weekday is not None]
    if sum(said) != 1:
        yield f"{path}.on: write one of day, last_day = true, or a weekday with its nth"
        return
    if on.nth != 1 and on.weekday is None:
        yield f"{path}.on.nth: counts a weekday"
    if missing is Missing.LAST_DAY and on.is_sure:
        yield f"{path}.missing: every month has this day"
    if missing is Missing.LAST_DAY and on.weekday is not None:
        yield f"{path}.missing: the last day of a month is hardly that weekday; write nth = -1"
