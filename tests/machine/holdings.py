"""What the model keeps: lots, the terms of benefits, losses and claims.

An order that may still go either way is OPEN, whatever the provider has said of it so far.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from benefits.domain.corrections import Fault

LOCAL = timedelta(hours=8)


@dataclass
class Lot:
    """Units granted together."""

    member: UUID
    benefit: str
    granted: int
    expires_at: datetime
    nth: int
    available: int = 0
    held: int = 0
    redeemed: int = 0
    expired: int = 0
    revoked: int = 0
    capped: bool = True


@dataclass
class Terms:
    """What the programme says of a benefit; money in minor units."""

    cost: int
    budget: int
    at_issue: bool
    stock: int | None = None
    cap: int | None = None
    owing: bool = False
    prices: tuple[tuple[date, int], ...] = ()
    priced_by_use: bool = False
    paid_by_use: bool = False

    def price(self, at: datetime) -> int:
        """Return what a piece costs at an instant: the last price begun, else the worst cost."""
        day = (at + LOCAL).date()
        begun = [minor for from_, minor in self.prices if from_ <= day]
        return begun[-1] if begun else self.cost


@dataclass
class Loss:
    """Units delivered without entitlement, each at a price, and those recovered since."""

    units: int
    price: int
    recovered: int = 0


@dataclass(eq=False)
class Claim:
    """A claim: units by lot that it has set aside now (`held`) and that are spent (`captured`).

    What is spent was paid with `price` a piece: for what was `taken`, `minor`. `freed` units came
    back as its hold ended, `replaced` ones were made good; of its `delivered` pieces some turned
    out to be `undelivered`. By its state its units are `where`: HELD, SPENT, BACK, or PARTED.
    """

    member: UUID
    benefit: str
    quantity: int
    window: str
    placed_at: datetime
    held: dict[UUID, int]
    state: str = "OPEN"
    deadline: datetime | None = None
    submitted: bool = False
    captured: dict[UUID, int] = field(default_factory=dict)
    freed: int = 0
    returned: int = 0
    replaced: int = 0
    delivered: int = 0
    undelivered: int = 0
    where: str = "HELD"
    price: int | None = None
    taken: int = 0
    minor: int = 0
    # When how many pieces were said to be used: nothing used is the later word of an instant.
    uses: set[tuple[datetime, bool, int]] = field(default_factory=set)
    ended: bool = False
    settled: bool = False
    # What earlier holds spent that only people give back, and what was paid for it.
    before: list[tuple[dict[UUID, int], int]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    charged: int = 0
    cleared: dict[Fault, int] = field(default_factory=lambda: dict.fromkeys(Fault, 0))

    @property
    def used(self) -> int:
        """How many pieces are used by the latest word; people who settle say that all are."""
        if not self.uses:
            return self.quantity if self.settled else 0
        return max(self.uses)[2]

    @property
    def spent(self) -> list[tuple[dict[UUID, int], int]]:
        """What of lots is spent, and what is paid for it: what came back by hand had its share."""
        gone = self.taken - sum(self.captured.values())
        back = self.minor * gone // self.taken if gone else 0
        return [*self.before, (self.captured, self.minor - back)]
