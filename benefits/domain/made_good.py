"""Units that come back when their lot has ended: whether they are made good, and for how long.

What a member gave up in time is, as its booking says (V-10). Where the benefit's `late_reversal`
promises it, so is what was spent and is undone (L-7), and what failed by the provider's fault or
ours (L-6, L-9): refused, taken back by the provider, or never sent. What nobody used in time ended
by itself, and is not (V-5); nor is what was refused for what the member asked.
"""

from datetime import datetime

import msgspec

from benefits.domain.benefit import Benefit, Late
from benefits.domain.booking import Cancelled, IfEnded
from benefits.domain.orders import OrderState, Reason

_GIVEN_UP = frozenset({OrderState.REVOKED, OrderState.COMPENSATED})
_ASKED = frozenset({Reason.INVALID.value.lower(), Reason.NOT_ELIGIBLE.value.lower()})


class Over(msgspec.Struct, frozen=True, kw_only=True):
    """How an order is over whose units came back: where it stands, why, who gave it up.

    They were held, or spent and that is `undone`.
    """

    state: OrderState
    reason: str
    cancelled: Cancelled
    ended_at: datetime | None
    undone: bool


def made_good_days(benefit: Benefit, over: Over) -> int:
    """Return for how many days units that came back ended are made good; 0 where they are not."""
    if over.cancelled is Cancelled.IN_TIME and over.state in _GIVEN_UP:
        booking = benefit.booking
        assert booking is not None, "what is cancelled was booked"
        return 0 if booking.if_ended is IfEnded.LOSE else booking.make_good_days
    late = benefit.late_reversal
    return late.days if late.then is Late.MAKE_GOOD and _is_ours(over) else 0


def _is_ours(over: Over) -> bool:
    """Say whether it is no fault of the member's that the units came back so late."""
    if over.cancelled is not Cancelled.NO:
        return False
    if over.undone:
        return True
    match over.state:
        case OrderState.COMPENSATED:
            return over.reason not in _ASKED
        case OrderState.REVOKED:
            return True
        case OrderState.EXPIRED:
            return over.ended_at is None
        case _:
            return False
