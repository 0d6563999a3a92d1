"""What is wrong with the bookings of a programme file (V-10)."""

from collections.abc import Iterator

from benefits.domain.benefit import Benefit, Kind
from benefits.domain.booking import Booking, LateCancel
from benefits.domain.programme import Programme


def booking_problems(programme: Programme) -> Iterator[str]:
    """Yield what of a benefit's bookings could not be, by path."""
    for index, benefit in enumerate(programme.benefit):
        if benefit.booking is not None:
            path = f"benefit[{index}].booking"
            yield from _booking(programme, path, benefit, benefit.booking)


def _booking(programme: Programme, path: str, benefit: Benefit, booking: Booking) -> Iterator[str]:
    if benefit.kind is not Kind.BOOKING:
        yield f"{path}: stands with the kind BOOKING"
    if booking.last_days < booking.first_days:
        yield f"{path}.last_days: is before first_days, {booking.first_days}"
    if booking.free_cancel_hours is None and booking.late_cancel is LateCancel.CAPTURE:
        yield f"{path}.late_cancel: stands with free_cancel_hours; without, nothing is cancelled"
    provider = programme.providers.get(benefit.provider)
    able = provider is None or provider.capabilities.revoke
    if booking.free_cancel_hours is not None and not able:
        yield f"{path}.free_cancel_hours: {benefit.provider!r} takes no orders back (revoke)"
