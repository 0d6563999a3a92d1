"""What a provider may say of an order, at any time and in any order."""

from datetime import timedelta

from benefits.domain.orders import (
    Done,
    Expired,
    NotFound,
    NotSent,
    Outcome,
    PartlyUsed,
    Pending,
    Reason,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
)
from tests.builders import NOON

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REFUSED = Rejected(Reason.LIMIT, "limit")
TOLD: list[Outcome] = [
    Done(at=NOON, reference="R", code="C"),
    Used(at=NOON),
    Used(at=NOON + 31 * DAY),
    PartlyUsed(at=NOON + HOUR, used=1),
    Reversed(at=NOON),
    Reversed(at=NOON + 2 * HOUR),
    Expired(at=NOON + DAY),
    REFUSED,
    Pending(),
    Revoked(NOON),
]
ANSWERED: list[Outcome] = [*TOLD, NotSent("no route"), Unknown("timeout"), NotFound()]
