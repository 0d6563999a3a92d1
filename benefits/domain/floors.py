"""Floors: the tier that a new customer has at least, whatever is earned below it (M-8, O-1).

    held = the higher of what is earned and what the welcome gives, while that runs

What is earned goes on by itself beneath, misses and terms too; a welcome begins none. It is of the
version in force on the day of the opening, or if that has none of the one that judges its month
(U-1); it runs from the opening to the local midnight some months later (C-6), and then leaves what
is earned.
"""

from collections.abc import Iterable
from datetime import date, timedelta

import msgspec

from benefits.domain.catalogue import Rules
from benefits.domain.tiers import Cause, Decision, Grounds, State
from benefits.domain.values import Month, add_months

CLIPPED = timedelta(days=3)  # a month's end may be so much earlier than the day of the opening


class Floor(msgspec.Struct, frozen=True):
    """A rank that is held at least on the days `[first, until)`."""

    rank: int
    first: date
    until: date

    def runs(self, on: date) -> bool:
        """Say whether a day is one of them."""
        return self.first <= on < self.until


def floor_of(rules: Rules, opened_on: date) -> Floor | None:
    """Return what welcomes whoever opened a relationship on a day."""
    welcome = rules.welcome(opened_on)
    if welcome is None:
        return None
    until = add_months(opened_on, welcome.months)
    return Floor(rules.judges[-1].programme.ranks[welcome.tier], opened_on, until)


def opened_since(rules: Iterable[Rules], on: date) -> date | None:
    """Return a day before which nobody opened who is welcome on another; None if nobody is."""
    each = [judge.programme.policy.welcome for one in rules for judge in one.judges]
    each += [past.welcome for one in rules for past in one.welcomes]
    months = [welcome.months for welcome in each if welcome is not None]
    return add_months(on, -max(months)) - CLIPPED if months else None


def lifted(earned: State, floor: Floor | None, on: date) -> State:
    """Return what is held on a day where a standing is earned."""
    if floor is None or not floor.runs(on) or floor.rank <= earned.rank:
        return earned
    return msgspec.structs.replace(
        earned, rank=floor.rank, earned=earned.rank, welcome_until=floor.until
    )


def moved(written: State, floor: Floor | None, month: Month, on: date) -> Decision | None:
    """Return what a welcome that begins, ends or was moved makes of a standing on record.

    None where it is as it should be on the day. What is decided is of `month`.
    """
    after = lifted(written.own, floor, on)
    if after.shown == written.shown:
        return None
    cause, grounds = Cause.WELCOME, Grounds()
    if after.welcome_until is None:
        cause, grounds = Cause.WELCOME_OVER, Grounds(ended_on=written.welcomed_through(on))
    return Decision(
        month=month,
        before=written,
        after=after,
        cause=cause,
        qualified=0,
        sum_minor=0,
        known_days=0,
        days=month.days,
        divisor=month.days,
        grounds=grounds,
    )
