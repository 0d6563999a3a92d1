"""What a fall takes of a line's unused units, and what a rise gives back of them (P-6).

    rise          grants what is missing to the higher quota            (P-4)
    fall          takes back what the line's policy says, of unused units; held ones are honoured
    rise again    gives back first what was taken, to the lots it came from, then grants more

So a period's grants, net of what was taken back, are never more than the highest quota reached.
Of lines that stack it says here what they forfeit; what else of them stays says `stacking`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from benefits.domain.ledger import Lot, Part, first_free
from benefits.domain.packages import Downgrade, Line


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Steps that were taken back from a lot, or given back to it: then they are below 0.

    `quota` is that of the tier which the member fell or rose to; `ends_at` is the lot's end, None
    where the lot is no longer the member's.
    """

    lot_id: UUID
    taken: int
    quota: int
    at: datetime
    ends_at: datetime | None = None


FORFEITING = {Downgrade.REVOKE_UNCLAIMED, Downgrade.REVOKE_ALL}


def taken_back(
    line: Line,
    quota: int,
    lots: Iterable[tuple[str, Lot]],
    *,
    period: str,
    now: datetime,
    stays: int | None = None,
) -> list[Part]:
    """Return what a fall to `quota` takes of a line's lots, given with their periods (P-6).

    Of a line that stacks with others as much `stays` as it still brings beside them (P-7).
    """
    whole = list(lots)
    current = [lot for key, lot in whole if key == period]
    free = sum(lot.available(now) for lot in current)
    match line.downgrade:
        case Downgrade.KEEP_UNTIL_EXPIRY:
            return []
        case Downgrade.REVOKE_EXCESS:
            if stays is None:
                stays = max(0, quota - sum(lot.redeemed + lot.held for lot in current))
            return first_free(current, free - stays, now)
        case Downgrade.REVOKE_UNCLAIMED:
            return first_free(current, free, now)
        case Downgrade.REVOKE_ALL:
            every = [lot for _, lot in whole]
            return first_free(every, sum(lot.available(now) for lot in every), now)


def is_forfeit(line: Line, quota: int, changes: Sequence[Change]) -> bool:
    """Say whether a fall took all that was free of a line, and no rise came since (P-6)."""
    if line.downgrade not in FORFEITING or not changes:
        return False
    last = max(changes, key=lambda change: change.at)
    return last.taken > 0 and quota <= last.quota


def spent_of(lot: Lot) -> Lot:
    """Return a lot of who was merged into a member as it counts for them: by what is gone of it.

    What is free of it moves to a lot of the member's own (T-10).
    """
    return replace(lot, remaining=lot.held)


def given_back(changes: Sequence[Change], quantity: int, now: datetime) -> list[Part]:
    """Return what of a rise comes back to the lots it was taken from, as far as they last."""
    left = dict[UUID, int]()
    for change in changes:
        if change.ends_at is not None and change.ends_at > now:
            left[change.lot_id] = left.get(change.lot_id, 0) + change.taken
    parts = list[Part]()
    for lot_id, taken in sorted(left.items()):
        amount = min(taken, quantity)
        if amount > 0:
            parts.append(Part(lot_id, amount))
            quantity -= amount
    return parts
