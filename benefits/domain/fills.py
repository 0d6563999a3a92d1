"""Fills: what two people put in place of a day that a source never sent (A-6).

    CARRY_FORWARD: the lines the source sent last, at most 3 days on · ZERO: nobody had anything ·
    MANUAL: a file that was received as a feed of a revision below 0, and not sealed

A fill becomes a sealed feed of a revision below 0. What was decided on it is provisional: whatever
the source sends of the day counts in its place, and months it touched are decided anew (A-7).
"""

import enum
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Annotated

import msgspec

from benefits.domain.catalogue import Rules
from benefits.domain.feeds import FILL_MIN, FeedDateInvalid, FeedKind
from benefits.domain.refusal import Refusal
from benefits.domain.values import YEARS, Month
from benefits.domain.windows import span

CARRY_DAYS_MAX = 3


class FillTooEarly(Refusal):
    """The source may still send the day: its programmes' `max_wait` is not over."""

    code = "fill_too_early"
    words = "It is too early to fill this day."


class DayNotMissing(Refusal):
    """The day is sealed or being sealed, so that there is nothing to fill."""

    code = "day_not_missing"
    words = "This day is not missing."


class NothingToCarry(Refusal):
    """The source sent no day before it, or the last one lies too far back."""

    code = "nothing_to_carry"
    words = "There is no day to carry forward."


class FillInvalid(Refusal):
    """A fill names a file though its kind has none, or none; or the file is not whole."""

    code = "fill_invalid"
    words = "The day cannot be filled so."


class FillKind(enum.Enum):
    """What a day is filled with."""

    CARRY_FORWARD = "CARRY_FORWARD"
    ZERO = "ZERO"
    MANUAL = "MANUAL"


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person asks for; a MANUAL fill names the revision under which its file lies."""

    source: str
    date: date
    kind: FillKind
    revision: Annotated[int, msgspec.Meta(ge=FILL_MIN, le=-1)] | None = None


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What a day would hold: so many lines, whose they are, and what they come to in minor units.

    `sha256` is that of the chunks' digests of a file.
    """

    programme: str
    rows: int = 0
    totals: Mapping[str, int] = {}
    sha256: str | None = None
    carried_day: date | None = None
    carried_revision: int | None = None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A day as its source sent it, by the revision that counts."""

    as_of: date
    revision: int
    programme: str
    rows: int
    totals: Mapping[str, int]
    kind: FeedKind = FeedKind.FULL


def fillable_from(source: str, day: date, rules: Iterable[Rules]) -> date | None:
    """Return from when on a source's day may be filled: all who wait for it have waited (A-6).

    None when no programme waits for the source in that month.
    """
    month = Month.of(day)
    judges = [one.at(month).programme for one in rules]
    return max(
        (
            span(judge.policy, month)[1].end + timedelta(days=judge.policy.max_wait)
            for judge in judges
            if source in judge.feeds
        ),
        default=None,
    )


def check(wanted: Wanted) -> None:
    """Refuse a day of no feed, a file where none is meant, none where one is.

    FeedDateInvalid, FillInvalid.
    """
    if not 1970 <= wanted.date.year <= YEARS[-1]:
        raise FeedDateInvalid(f"{wanted.date} is not a day between 1970 and {YEARS[-1]}.")
    if (wanted.kind is FillKind.MANUAL) != (wanted.revision is not None):
        raise FillInvalid("MANUAL names the revision of its file, no other kind names one.")


def carried(day: date, last: Sent | None) -> Effect:
    """Carry forward what a source sent last before a day (NothingToCarry).

    Only what it sent itself is carried, so at most three days one after the other are filled so.
    """
    if last is None:
        raise NothingToCarry("The source sent no day before it.")
    if (day - last.as_of).days > CARRY_DAYS_MAX:
        raise NothingToCarry(
            f"The source sent {last.as_of} last; it is carried {CARRY_DAYS_MAX} days at most."
        )
    return Effect(
        programme=last.programme,
        rows=last.rows,
        totals=last.totals,
        carried_day=last.as_of,
        carried_revision=last.revision,
    )
