"""Bookings: for which times a benefit is claimed, and how such a claim is given up (V-10).

    claimed ------- cancel_until ------- booked_for ------- missed
              free               late               grace

Whose units a booking takes, and which windows it counts in, is as of the claim. What is cancelled
in time comes back, once the provider says so; what nobody came for is spent.
"""

import enum
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.orders import OPEN, USABLE, OrderState
from benefits.domain.refusal import Refusal
from benefits.domain.values import end_of, local_date, midnight

HOURS_MAX = 8784


class BookingTime(Refusal):
    """The benefit is booked for a time that was not named, or is not to be had; or for none."""

    code = "booking_time"
    words = "The time of the booking is missing, not to be had, or not wanted."

    @classmethod
    def within(cls, slots: "Slots | None") -> "BookingTime":
        """Say no, and for which times it can be booked."""
        if slots is None:
            return cls()
        first, until = (at.astimezone(UTC).isoformat() for at in (slots.first, slots.until))
        return cls(f"It must be booked for a time from {first} on and before {until}.")


class NotCancellable(Refusal):
    """The claim is no booking that can be cancelled, or it is used, ended or taken back."""

    code = "not_cancellable"
    words = "This claim cannot be cancelled as it stands."


class CancellationOpen(Refusal):
    """The booking is being cancelled already: its provider has not answered yet."""

    code = "cancellation_open"
    words = "This booking is being cancelled already."


class CancelledTooLate(Refusal):
    """The time in which the booking could be cancelled is over."""

    code = "cancelled_too_late"
    words = "It is too late to cancel this booking."


class LateCancel(enum.Enum):
    """What is done about who cancels after the free time: refused, or the units are spent."""

    REFUSE = "REFUSE"
    CAPTURE = "CAPTURE"


class IfEnded(enum.Enum):
    """What becomes of units whose lot ended before their booking was cancelled in time."""

    LOSE = "LOSE"
    MAKE_GOOD = "MAKE_GOOD"


class Cancelled(enum.Enum):
    """Whether a member cancelled a booking, and when."""

    NO = "NO"
    IN_TIME = "IN_TIME"
    LATE = "LATE"


Hours = Annotated[int, msgspec.Meta(ge=0, le=HOURS_MAX)]
Days = Annotated[int, msgspec.Meta(ge=0, le=366)]


class Booking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A claim is for a time from `first_days` through `last_days` days after its own day.

    It is cancelled freely until `free_cancel_hours` before; without them never. Later it is as
    `late_cancel` says. Where a lot ended meanwhile `if_ended` says what becomes of its units; what
    is made good lives `make_good_days`. Who has not come `no_show_hours` after has missed it.
    """

    first_days: Days = 0
    last_days: Days = 60
    free_cancel_hours: Hours | None = None
    late_cancel: LateCancel = LateCancel.REFUSE
    if_ended: IfEnded = IfEnded.MAKE_GOOD
    make_good_days: Annotated[int, msgspec.Meta(ge=7, le=3660)] = 30
    no_show_hours: Hours = 24

    def cancel_until(self, booked_for: datetime) -> datetime | None:
        """Return until when a booking is cancelled freely; None where it never is."""
        if self.free_cancel_hours is None:
            return None
        return booked_for - timedelta(hours=self.free_cancel_hours)

    def missed_at(self, booked_for: datetime) -> datetime:
        """Return when nobody is waited for any more."""
        return booked_for + timedelta(hours=self.no_show_hours)


class Slots(msgspec.Struct, frozen=True):
    """The times in [first, until)."""

    first: datetime
    until: datetime

    def has(self, at: datetime) -> bool:
        """Say whether an instant is among them."""
        return self.first <= at < self.until

    @property
    def middle(self) -> datetime:
        """The one that stays among them the longest, whenever they were asked for."""
        return self.first + (self.until - self.first) / 2


def slots(booking: Booking, now: datetime, ends: datetime | None, zone: ZoneInfo) -> Slots:
    """Return for which times a claim made now can be; none from `ends` on."""
    today = local_date(now, zone)
    first = midnight(today + timedelta(days=booking.first_days), zone)
    until = end_of(today + timedelta(days=booking.last_days), zone)
    return Slots(max(first, now), until if ends is None else min(until, ends))


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """A booking as it stands: its order's state, what of it was used, and if it is taken back."""

    state: OrderState
    used: int
    booked_for: datetime | None
    cancel_until: datetime | None
    is_revoking: bool


def may_cancel(booking: Booking | None, booked: Booked, now: datetime) -> Refusal | None:
    """Return why a booking is not cancelled now, or None."""
    if booking is None or booked.booked_for is None or booked.cancel_until is None:
        return NotCancellable()
    if booked.state not in OPEN | USABLE or booked.used:
        return NotCancellable()
    if booked.is_revoking:
        return CancellationOpen()
    late = now >= booked.cancel_until and booking.late_cancel is LateCancel.REFUSE
    if late or now >= booked.booked_for:
        until = booked.booked_for if not late else booked.cancel_until
        return CancelledTooLate(
            f"{CancelledTooLate.words} It could be until {until.astimezone(UTC).isoformat()}."
        )
    return None
