"""Bookings in words: which times there are, how one is given up, and what became of it (V-10)."""

import re
from datetime import datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec

from benefits.actions.redeem import RedemptionOpen
from benefits.domain.booking import (
    Booked,
    Booking,
    CancellationOpen,
    CancelledTooLate,
    IfEnded,
    LateCancel,
    NotCancellable,
    Slots,
    may_cancel,
)
from benefits.domain.events import CANCELLED, NO_SHOW
from benefits.domain.orders import OPEN, USABLE, OrderState
from benefits.store.pages import ClaimSeen
from benefits.web.page.facts import OrderFacts
from benefits.web.tongue import Message, Tongue, n_

CANCEL_WORDS: dict[str, Message] = {
    NotCancellable.code: n_("This claim cannot be cancelled any more."),
    CancellationOpen.code: n_("You have cancelled it; we are waiting for the provider."),
    CancelledTooLate.code: n_("It is too late to cancel this booking."),
    RedemptionOpen.code: n_("It is being used at the moment, so it cannot be cancelled."),
}
_LATE: dict[LateCancel, Message] = {
    LateCancel.REFUSE: n_("Later it cannot be cancelled."),
    LateCancel.CAPTURE: n_("Cancelled later, it counts as used."),
}
_MINUTE = timedelta(minutes=1)
_LOCAL = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}\Z")


class Times(msgspec.Struct, frozen=True):
    """The first and the last time that a form can name, as its input wants them, and in words."""

    first: str
    last: str
    hint: str


def times(tongue: Tongue, slots: Slots | None, zone: ZoneInfo) -> Times | None:
    """Return for which times something can be booked; None where it is for none."""
    if slots is None:
        return None
    first = slots.first.astimezone(zone)
    first += (_MINUTE - timedelta(seconds=first.second, microseconds=first.microsecond)) % _MINUTE
    last = (slots.until - timedelta(microseconds=1)).astimezone(zone)
    words = n_("From %(first)s through %(last)s.")
    hint = tongue.say(words, first=tongue.moment(first, zone), last=tongue.moment(last, zone))
    return Times(f"{first:%Y-%m-%dT%H:%M}", f"{last:%Y-%m-%dT%H:%M}", hint)


def typed_time(text: str, zone: ZoneInfo) -> datetime | None:
    """Return the time that was typed into a form, in a zone; None for what is none."""
    if not _LOCAL.match(text):
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone)
    except ValueError:
        return None


def booking_words(tongue: Tongue, booking: Booking | None) -> list[str]:
    """Return the rules of a booking."""
    if booking is None:
        return []
    days = n_("You choose a time from %(first)s through %(last)s days after your claim.")
    found = [tongue.say(days, first=booking.first_days, last=booking.last_days)]
    if booking.free_cancel_hours is None:
        found.append(tongue.word(n_("It cannot be cancelled.")))
    else:
        free = n_("You can cancel it free of charge until %(hours)s hours before.")
        found.append(tongue.say(free, hours=booking.free_cancel_hours))
        found.append(tongue.word(_LATE[booking.late_cancel]))
        if booking.if_ended is IfEnded.MAKE_GOOD:
            anew = n_("If your units have ended by then, you get new ones for %(days)s days.")
            found.append(tongue.say(anew, days=booking.make_good_days))
        else:
            found.append(tongue.word(n_("If your units have ended by then, they are lost.")))
    found.append(tongue.word(n_("If you do not come, it counts as used.")))
    return found


def over_word(claim: ClaimSeen) -> Message | None:
    """Return what it is called that a booking is over by its member's doing."""
    return {CANCELLED: n_("Cancelled"), NO_SHOW: n_("Missed")}.get(claim.reason)


def over_words(claim: ClaimSeen) -> Message | None:
    """Return what that means for the units."""
    if claim.reason == NO_SHOW:
        return n_("It was booked and not used, so it counts as used.")
    if claim.reason != CANCELLED:
        return None
    if claim.cancelled_at and claim.cancel_until and claim.cancelled_at >= claim.cancel_until:
        return n_("You cancelled it late, so it counts as used.")
    return n_("You cancelled it. What came back stands among your benefits.")


class Cancelling(msgspec.Struct, frozen=True):
    """How a claim is cancelled on the page: what that does, and the form's own key."""

    words: str
    key: str


def cancelling(tongue: Tongue, order: OrderFacts) -> Cancelling | None:
    """Return how a booking is cancelled; None where it cannot be."""
    claim, (_, benefit) = order.claim, order.offer
    booked = Booked(
        state=OrderState(claim.state),
        used=claim.used,
        booked_for=claim.booked_for,
        cancel_until=claim.cancel_until,
        is_revoking=claim.cancelled_at is not None,
    )
    if may_cancel(benefit.booking, booked, order.now) is not None:
        return None
    free = claim.cancel_until is not None and order.now < claim.cancel_until
    comes = n_("Your unit comes back as soon as the provider has taken the booking back.")
    words = comes if free else n_("If you cancel it now, it counts as used.")
    return Cancelling(tongue.word(words), uuid4().hex)


def time_words(tongue: Tongue, order: OrderFacts) -> list[str]:
    """Return for when a claim is booked, and until when it is free to cancel."""
    claim, zone = order.claim, order.offer[0].tz
    if claim.booked_for is None or OrderState(claim.state) not in OPEN | USABLE:
        return []
    words = n_("It is booked for %(moment)s.")
    found = [tongue.say(words, moment=tongue.moment(claim.booked_for, zone))]
    if claim.cancelled_at is not None:
        found.append(tongue.word(CANCEL_WORDS[CancellationOpen.code]))
    elif claim.cancel_until is not None and order.now < claim.cancel_until:
        free = n_("You can cancel it free of charge until %(moment)s.")
        found.append(tongue.say(free, moment=tongue.moment(claim.cancel_until, zone)))
    return found
