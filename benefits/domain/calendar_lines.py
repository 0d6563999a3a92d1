"""Lines of a calendar's file, `date,kind`: what is said of a day (M-6)."""

from collections.abc import Mapping
from datetime import date

import msgspec

from benefits.domain.assets import LineInvalid, read_date
from benefits.domain.calendars import DayKind
from benefits.domain.spelling import suggestion

REQUIRED = ("date", "kind")


class CalendarLine(msgspec.Struct, frozen=True):
    """A line of a calendar's file: what is said of a day."""

    day: date
    kind: DayKind


def read_line(row: Mapping[str, str]) -> CalendarLine:
    """Read one line; LineInvalid says which field is wrong and why."""
    day, text = read_date(row["date"], "date"), row["kind"]
    kinds = [kind.value for kind in DayKind]
    if text not in kinds:
        raise LineInvalid(f"kind: {text!r} is not {' or '.join(kinds)}{suggestion(text, kinds)}")
    return CalendarLine(day, DayKind(text))
