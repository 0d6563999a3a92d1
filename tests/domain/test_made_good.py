"""What comes back ended is made good: never by the member's own doing, never unpromised."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benefits.domain.benefit import Benefit, Late, LateReversal
from benefits.domain.booking import Booking, Cancelled, IfEnded
from benefits.domain.made_good import Over, made_good_days
from benefits.domain.orders import OrderState, Reason
from tests.builders import reference_programme

AT = datetime(2025, 7, 1, tzinfo=UTC)
BOOKING = Booking(free_cancel_hours=48, make_good_days=30)
PROMISED = LateReversal(then=Late.MAKE_GOOD, days=14)


def offered(booking: Booking = BOOKING, late: LateReversal = PROMISED) -> Benefit:
    """Return a benefit with such terms."""
    return replace(reference_programme().benefit[0], booking=booking, late_reversal=late)


def over(state: OrderState, **more: object) -> Over:
    """Return how an order is over that nobody gave up, whose units were held."""
    plain = Over(state=state, reason="", cancelled=Cancelled.NO, ended_at=None, undone=False)
    return replace(plain, **more)


@pytest.mark.parametrize(
    ("how", "days"),
    [
        (over(OrderState.COMPENSATED, reason="stock_out"), 14),
        (over(OrderState.COMPENSATED, reason="invalid"), 0),
        (over(OrderState.COMPENSATED, reason="not_eligible"), 0),
        (over(OrderState.REVOKED), 14),
        (over(OrderState.EXPIRED), 14),
        (over(OrderState.EXPIRED, ended_at=AT), 0),
        (over(OrderState.EXPIRED, ended_at=AT, undone=True), 14),
        (over(OrderState.REVOKED, cancelled=Cancelled.IN_TIME), 30),
        (over(OrderState.COMPENSATED, cancelled=Cancelled.IN_TIME, reason="invalid"), 30),
        (over(OrderState.COMPENSATED, cancelled=Cancelled.LATE), 0),
        (over(OrderState.ISSUED), 0),
    ],
)
def test_it_is_made_good_by_whose_fault_it_is(how: Over, days: int) -> None:
    """V-10 for what was given up in time; L-6, L-7 for what failed or was undone."""
    assert days == made_good_days(offered(), how)


@given(
    st.builds(
        Over,
        state=st.sampled_from(OrderState),
        reason=st.sampled_from(["", *(reason.value.lower() for reason in Reason)]),
        cancelled=st.sampled_from(Cancelled),
        ended_at=st.sampled_from([None, AT]),
        undone=st.booleans(),
    )
)
def test_nothing_is_made_good_that_was_not_promised(how: Over) -> None:
    """Without a word in the terms what ended has ended."""
    unsaid = offered(replace(BOOKING, if_ended=IfEnded.LOSE), LateReversal())
    assert 0 == made_good_days(unsaid, how)
