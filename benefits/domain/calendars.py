"""Calendars of business days: Monday to Friday, but for what the bank's calendar says (M-6).

HOLIDAY is a day on which banks are closed though it is no weekend, WORKDAY one on which they work
though it is, as around China's long holidays. Of a day what came last counts.
"""

import enum
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cached_property

import msgspec

from benefits.domain.values import Month

_SATURDAY = 5
_DAY = timedelta(days=1)


class DayKind(enum.Enum):
    """What a calendar says of a day."""

    HOLIDAY = "HOLIDAY"
    WORKDAY = "WORKDAY"


class Calendar(msgspec.Struct, frozen=True, dict=True):
    """The days that are not what their weekday says, by date.

    Of a year of which it names no day it knows nothing: no year is without a holiday.
    """

    days: Mapping[date, DayKind] = {}

    @cached_property
    def years(self) -> frozenset[int]:
        """The years that it knows."""
        return frozenset(day.year for day in self.days)

    def is_business_day(self, day: date) -> bool:
        """Say whether banks work on a day of a year that it knows."""
        kind = self.days.get(day)
        return kind is DayKind.WORKDAY if kind else day.weekday() < _SATURDAY

    def last_business_day(self, month: Month, nth: int = 1) -> date | None:
        """Return a month's last business day, or the nth last; None where its year is not known.

        None, too, in a month that has not so many.
        """
        if month.year not in self.years:
            return None
        day, left = month.end, nth
        while left and day > month.start:
            day -= _DAY
            left -= self.is_business_day(day)
        return None if left else day


NO_CALENDAR = Calendar()
