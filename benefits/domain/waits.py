"""Claims that wait for room: how long they do, and who is before them (K-1, K-8).

A wait takes neither units nor money. It ends with its claim, by the member's word, when its time
is over, or by the first refusal that waiting does not change.
"""

import enum
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.domain.benefit import Benefit
from benefits.domain.ledger import Lot
from benefits.domain.limits import Room
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.values import end_of

FEW = 10


class AlreadyWaiting(Refusal):
    """A claim of this benefit waits for the member."""

    code = "already_waiting"
    words = "A claim of this benefit is waiting for this member already."


class UnknownWait(Refusal):
    """The member has no wait of this id."""

    code = "unknown_wait"
    words = "This member has no waiting claim of this id."


class WaitOver(Refusal):
    """The wait has ended, well or badly."""

    code = "wait_over"
    words = "This claim waits no longer."


class Reason(enum.Enum):
    """How a wait ended: by its claim, the member's word, its time, or what refused the claim."""

    SERVED = "SERVED"
    CANCELLED = "CANCELLED"
    OVER = "OVER"
    REFUSED = "REFUSED"


class Ahead(enum.Enum):
    """How many wait before one, as everybody may know: nobody, at most ten, or more (K-8)."""

    NONE = "NONE"
    FEW = "FEW"
    MANY = "MANY"


class Waiting(msgspec.Struct, frozen=True):
    """A claim lacks nothing but so much of a room, and waits for that."""

    room: Room
    wanted: int


class Turn(msgspec.Struct, frozen=True):
    """A wait whose claim is tried, the first of its `queue`: a member's own room has none."""

    wait_id: UUID
    queue: str
    ends_at: datetime | None

    def passes(self, queue: str, first: UUID | None) -> bool:
        """Say whether nobody in a queue is before it: in its own, or where the first is younger.

        Ids are in the order of instants. Else the first of two queues would wait for each other.
        """
        return queue == self.queue or (first is not None and self.wait_id < first)

    def is_over(self, now: datetime) -> bool:
        """Say whether its time is over: what there is now is for whoever waits later."""
        return self.ends_at is not None and self.ends_at <= now


def ahead(waits: int) -> Ahead:
    """Return how many wait before one, coarsely."""
    if waits == 0:
        return Ahead.NONE
    return Ahead.FEW if waits <= FEW else Ahead.MANY


def ends_at(
    room: Room, offer: tuple[Programme, Benefit], units: datetime | None, *, at: datetime | None
) -> datetime | None:
    """Return until when a claim waits for a room; None where nothing ends it.

    That is as long as its limit lets it, the benefit is offered, enough `units` last, and the time
    it is booked for lies ahead.
    """
    programme, benefit = offer
    last = programme.succession(benefit)[-1]
    days = (day for day in (last.last_claim, last.window_ends) if day is not None)
    ends = [room.waits_until, units, at, *(end_of(day, programme.tz) for day in days)]
    return min((end for end in ends if end is not None), default=None)


def lasting(lots: Iterable[Lot], units: int, now: datetime) -> datetime | None:
    """Return when fewer than so many of the units there are will be left; None for never."""
    there = [lot for lot in lots if lot.available(now)]
    ending = sorted((lot.expires_at, lot.available(now)) for lot in there if lot.expires_at)
    left = sum(lot.available(now) for lot in there)
    for end, amount in ending:
        left -= amount
        if left < units:
            return end
    return None
