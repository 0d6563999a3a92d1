"""Recurring days in words: on which day of each month something is given, and when next (P-10)."""

from datetime import date, timedelta

from babel.dates import format_date

from benefits.domain.packages import Line
from benefits.domain.recurring import Missing, Recurring, Weekday, next_day
from benefits.web.tongue import Message, Tongue, n_

NTH: dict[int, Message] = {
    1: n_("on the first %(weekday)s of each month"),
    2: n_("on the second %(weekday)s of each month"),
    3: n_("on the third %(weekday)s of each month"),
    4: n_("on the fourth %(weekday)s of each month"),
    5: n_("on the fifth %(weekday)s of each month that has one"),
    -1: n_("on the last %(weekday)s of each month"),
}
_MONDAY = date(2024, 1, 1)


def occurrence_words(tongue: Tongue, line: Line, today: date) -> str:
    """Return on which days a line brings its units, and which is the next one."""
    assert line.on is not None, "it is checked as the programme is read"
    new = next_day(line.on, line.missing, today)
    when, words = _when(tongue, line.on, line.missing), n_("%(when)s (next: %(day)s)")
    return tongue.say(words, when=when, day=tongue.day(new))


def _when(tongue: Tongue, on: Recurring, missing: Missing) -> str:
    if on.weekday is not None:
        day = _MONDAY + timedelta(days=list(Weekday).index(on.weekday))
        return tongue.say(NTH[on.nth], weekday=format_date(day, "EEEE", locale=tongue.locale))
    if on.day is None:
        return tongue.word(n_("on the last day of each month"))
    if on.is_sure:
        return tongue.say(n_("on day %(day)s of each month"), day=on.day)
    if missing is Missing.LAST_DAY:
        words = n_("on day %(day)s of each month, or the last where there is none")
        return tongue.say(words, day=on.day)
    return tongue.say(n_("on day %(day)s of each month that has one"), day=on.day)
