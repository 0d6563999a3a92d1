"""Carry-over: unused units live on into the line's next periods, up to a cap (P-5).

    grant of a period  ->  carried units beyond the cap end, earliest end first
                           the period's own units and held ones stay

So carry-over is no grant: it counts for no quota, and what is cut comes back with none.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import msgspec

from benefits.domain.ledger import Lot, Part, first_free
from benefits.domain.units import Quantity

PERIODS_MAX = 12


class Carry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unused units live `periods` more; with each new grant the line keeps `cap` at most."""

    periods: Annotated[int, msgspec.Meta(ge=1, le=PERIODS_MAX)]
    cap: Quantity


def beyond(cap: int, lots: Iterable[tuple[str, Lot]], *, period: str, now: datetime) -> list[Part]:
    """Return which carried units of a line end after a grant for a period (P-5).

    Lots are given with the periods that they count for.
    """
    whole = list(lots)
    carried = [lot for key, lot in whole if key != period]
    return first_free(carried, sum(lot.available(now) for _, lot in whole) - cap, now)
