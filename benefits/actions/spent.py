"""What an order spent: the batch that did, and what of it could come back (L-7)."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from benefits.domain import ledger
from benefits.domain.corrections import Line
from benefits.domain.ledger import Account, Cost, Part, Posting
from benefits.store.claims import HoldRow


class Spent(msgspec.Struct, frozen=True):
    """The batch that spent the units of a hold, with its lines; none where it is archived."""

    hold: HoldRow
    batch_id: UUID
    lines: Sequence[Line]

    @property
    def whole(self) -> list[Part]:
        """What was spent, by lot; nothing unless all of it still is, and is not archived."""
        parts = [
            Part(line.posting.lot_id, line.posting.amount)
            for line in self._units
            if line.posting.lot_id is not None
        ]
        by_hand = any(line.reversed for line in self.lines)
        is_whole = sum(part.amount for part in parts) == self.hold.quantity
        return parts if is_whole and not by_hand else []

    @property
    def is_given_back(self) -> bool:
        """Whether all that was spent came back by hand."""
        return bool(self._units) and not any(line.left for line in self._units)

    @property
    def minor(self) -> int:
        """What was paid for it."""
        return sum(
            line.posting.amount
            for line in self.lines
            if line.posting.credit is Account.BUDGET_SPENT
        )

    def money_back(self) -> list[Posting]:
        """Take back what was paid for it."""
        paid = [one.posting for one in self.lines if one.posting.credit is Account.BUDGET_SPENT]
        owed = [one.posting for one in self.lines if one.posting.credit is Account.EXPENSE]
        if not paid or not owed:
            return []
        cost = Cost(paid[0].unit, paid[0].party, owed[0].party, self.minor)
        return ledger.unspend(cost, self.minor)

    @property
    def _units(self) -> list[Line]:
        return [line for line in self.lines if line.posting.credit is Account.REDEEMED]
