"""The end of a relationship: the tier ends with the day, the units some days later (T-10).

A member who died loses both with the day, and nobody is told: no event tells of the tier, and that
of the units says `DECEASED`. What had been decided and used stays in the history.
"""

from datetime import date, datetime, timedelta
from typing import Literal

from benefits.domain.ledger import Lot
from benefits.domain.programme import Programme
from benefits.domain.tiers import Cause, Decision, Grounds, State
from benefits.domain.values import Month, end_of, midnight

Ended = Literal["CLOSED", "DECEASED"]
LAST_INSTANT = timedelta(microseconds=1)


def why(*, deceased: bool) -> Ended:
    """Return how an end is told."""
    return "DECEASED" if deceased else "CLOSED"


def last_day(programme: Programme, closed_on: date, *, deceased: bool) -> date:
    """Return the last day on which units live after the end of a relationship."""
    return closed_on + timedelta(days=0 if deceased else programme.closing_days)


def lot_ends(
    programme: Programme, lot: Lot, closed_on: date, *, deceased: bool, now: datetime
) -> datetime | None:
    """Return when a lot has ended with its relationship; None while it has not, or by itself.

    That is the last instant of its last day: unlike the end that a lot has by its terms, this one
    is known by its record alone, and as of the day's end what was recorded before it counts.
    """
    end = end_of(last_day(programme, closed_on, deceased=deceased), programme.tz)
    return end - LAST_INSTANT if end <= now and not lot.ended(now) else None


def end_tier(last: Decision, closed_on: date) -> Decision | None:
    """Return the decision that ends a tier; None where the lowest is held already."""
    if last.after.rank == 0:
        return None
    month = max(Month.of(closed_on), last.month)
    return Decision(
        month=month,
        before=last.after,
        after=State(),
        cause=Cause.ENDED,
        qualified=0,
        sum_minor=0,
        known_days=0,
        days=month.days,
        divisor=month.days,
        grounds=Grounds(ended_on=closed_on),
    )


def tier_ends(programme: Programme, closed_on: date, before: datetime, now: datetime) -> datetime:
    """Return from when the lowest tier holds: the next day, or now where later was decided.

    `before` is when what was decided last began. What was learned late leaves its gap (A-7).
    """
    end = midnight(closed_on + timedelta(days=1), programme.tz)
    return end if before <= end else max(before, now)
