"""What two people say of an order, as if its provider had said it (V-3)."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from benefits.domain.lattice import Terms
from benefits.domain.orders import (
    Confirmed,
    Done,
    LateSuccess,
    Outcome,
    PartlyUsed,
    Reason,
    Rejected,
    Revoked,
    Used,
)
from benefits.domain.proposals import OrderWanted, ProposalInvalid, asked, told
from tests.builders import NOON

LATER = NOON + timedelta(days=3)
IN_SHANGHAI = NOON.astimezone(timezone(timedelta(hours=8)))


def ended(**more: Any) -> OrderWanted:
    """Return how an order ended, with what shows it."""
    return OrderWanted(number="0" * 32, evidence="Mail.", **more)


def terms(**more: Any) -> Terms:
    """Return terms of an order of two pieces."""
    defaults = {"consumed_at_issue": False, "late_success": LateSuccess.REISSUE, "quantity": 2}
    return Terms(**{**defaults, **more})


@pytest.mark.parametrize(
    ("said", "two_phase", "expected"),
    [
        ({"delivered": False}, False, Rejected(Reason.NOT_FOUND, "not_delivered")),
        ({"delivered": True}, False, Done(LATER)),
        ({"delivered": True, "reference": "T", "at": NOON}, False, Done(NOON, "T")),
        ({"delivered": True, "reference": "T", "at": NOON}, True, Confirmed(NOON, "T", 2)),
        ({"delivered": True, "used": 1}, True, PartlyUsed(LATER, 1)),
        ({"delivered": True, "used": 2, "reference": "T"}, False, Used(LATER, "T")),
        ({"delivered": True, "taken_back": True, "at": NOON}, True, Revoked(NOON)),
    ],
)
def test_people_say_what_a_provider_could_have_said(
    said: dict[str, Any], expected: Outcome, *, two_phase: bool
) -> None:
    """Delivered is what counts as that with the provider; without an instant it is now."""
    assert expected == told(ended(**said), terms(two_phase=two_phase), NOON, LATER)


@pytest.mark.parametrize(
    "said",
    [
        {"delivered": False, "reference": "T"},
        {"delivered": False, "used": 1},
        {"delivered": False, "at": NOON},
        {"delivered": False, "taken_back": True},
        {"delivered": True, "taken_back": True, "used": 1},
        {"delivered": True, "taken_back": True, "reference": "T"},
        {"delivered": True, "used": 3},
        {"delivered": True, "at": NOON - timedelta(microseconds=1)},
        {"delivered": True, "at": LATER + timedelta(microseconds=1)},
    ],
)
def test_what_cannot_be_is_not_proposed(said: dict[str, Any]) -> None:
    """Nothing is known of what was not delivered; a delivery is between the claim and now."""
    with pytest.raises(ProposalInvalid):
        told(ended(**said), terms(), NOON, LATER)


@pytest.mark.parametrize("at", [NOON, IN_SHANGHAI, datetime.fromisoformat(NOON.isoformat())])
def test_one_instant_is_bound_in_whichever_zone_it_is_said(at: datetime) -> None:
    """The digest is of the instant, not of how it is written."""
    assert asked(ended(delivered=True, at=NOON)) == asked(ended(delivered=True, at=at))
    _, bound = asked(ended(delivered=True, at=at))
    assert isinstance(bound, OrderWanted)
    assert NOON.isoformat() == (bound.at or at).isoformat()
