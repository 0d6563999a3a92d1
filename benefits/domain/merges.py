"""Two customer numbers of one person become one member: who may be merged, and what holds (T-10).

    customer  --- merged into --->  another, who was not merged
    units, debts, labels, holders   move, or are recorded there too
    balances, claims, counters      stay, and count for the other along with their own

Whoever was merged into a member goes with them when they are merged themselves, so there are no
chains. A merger is not taken back.
"""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

import msgspec

from benefits.domain.assets import SHORT_MAX, LineInvalid
from benefits.domain.refusal import Refusal
from benefits.domain.tiers import Cause, Decision, State
from benefits.domain.values import Month

REQUIRED = ("customer", "into")


class MergedIntoItself(Refusal):
    """A customer cannot be merged into the same customer."""

    code = "merged_into_itself"
    words = "A customer cannot be merged into itself."


class MergedElsewhere(Refusal):
    """The customer was merged into another one before, and that is not taken back."""

    code = "merged_elsewhere"
    words = "This customer was merged into another one before."


class MergedAway(Refusal):
    """Who is to take over was merged into somebody else."""

    code = "merged_away"
    words = "Who is to take over was merged into another customer: name that one."


class MergerEnded(Refusal):
    """Who has left takes nobody over, and nobody takes over who died."""

    code = "merger_ended"
    words = "The relationship that is to go on has ended, or a customer died."


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """One of two who are to be merged, as their row says."""

    member_id: UUID
    closed_on: date | None
    deceased: bool
    merged_into: UUID | None


class MergeLine(msgspec.Struct, frozen=True):
    """A line of the file of mergers: a customer is merged into another."""

    customer: str
    into: str


def read_line(row: Mapping[str, str]) -> MergeLine:
    """Read one line; LineInvalid says which field is wrong and why."""
    for field in REQUIRED:
        if not 1 <= len(row[field].strip()) <= SHORT_MAX:
            raise LineInvalid(f"{field}: must have 1 to {SHORT_MAX} characters")
    return MergeLine(row["customer"].strip(), row["into"].strip())


def is_done(of: Party, into: Party) -> bool:
    """Say whether they are one already, be it by way of others."""
    return of.merged_into is not None and of.merged_into == (into.merged_into or into.member_id)


def refusal(of: Party, into: Party, today: date) -> Refusal | None:
    """Return why one cannot be merged into the other, who is not the same already; None if not.

    A customer whose number was closed may be merged: banks close a number when they give it up.
    """
    if of.member_id == into.member_id:
        return MergedIntoItself()
    if of.merged_into is not None:
        return MergedElsewhere()
    if into.merged_into is not None:
        return MergedAway()
    if of.deceased or into.deceased or (into.closed_on is not None and into.closed_on < today):
        return MergerEnded()
    return None


def higher(of: Decision, into: Decision | None, evaluated: Month | None) -> Decision | None:
    """Return the decision that the higher tier of two holds; None where it is held already.

    It holds until a month is decided next: it is of the last one that was, `evaluated`.
    """
    before = into.after if into is not None else State()
    if of.after.rank <= before.rank:
        return None
    months = [evaluated, into.month if into is not None else None]
    month = max((each for each in months if each is not None), default=of.month)
    return Decision(
        month=month,
        before=before,
        after=of.after,
        cause=Cause.MERGED,
        qualified=0,
        sum_minor=0,
        known_days=0,
        days=month.days,
        divisor=month.days,
    )
