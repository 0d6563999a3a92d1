"""What the ledger ought to do, told again in plain Python: lots and claims, no I/O.

It is written from the rules, not from the code it is compared with, and keeps only what matters to
units: an order that may still go either way is OPEN, whatever the provider has said of it so far.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from benefits.domain.orders import Done, Outcome, Rejected, Revoked, Used

LOCAL = timedelta(hours=8)
UNSENT_FOR = timedelta(days=1)


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


@dataclass(eq=False)
class Claim:
    """A claim: units by lot that it has set aside now (`held`) and that are spent (`captured`).

    `freed` units came back as its hold ended, `replaced` ones were made good; of its `delivered`
    pieces some turned out to be `undelivered`.
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


@dataclass
class Model:
    """Lots and claims, and how each event changes them."""

    terms: dict[str, Terms]
    lots: dict[UUID, Lot] = field(default_factory=dict)
    claims: dict[UUID, Claim] = field(default_factory=dict)
    borne: dict[tuple[UUID, str], int] = field(default_factory=dict)
    owed: dict[tuple[UUID, str], int] = field(default_factory=dict)

    def used(self, member: UUID, benefit: str, window: str) -> int:
        """Return the units of a member's cap that are taken in a window."""
        return sum(
            self.counted(claim.held) + self.counted(claim.captured)
            for claim in self.claims.values()
            if (claim.member, claim.benefit, claim.window) == (member, benefit, window)
        )

    def counted(self, units: dict[UUID, int]) -> int:
        """Return how many units count against a cap: not those of a make-good."""
        return sum(part for lot_id, part in units.items() if self.lots[lot_id].capped)

    def taken(self, benefit: str) -> tuple[int, int]:
        """Return how many units of a benefit are reserved and spent."""
        of = [claim for claim in self.claims.values() if claim.benefit == benefit]
        return (
            sum(sum(claim.held.values()) for claim in of),
            sum(sum(claim.captured.values()) for claim in of),
        )

    def in_stock(self, benefit: str) -> tuple[int, int]:
        """Return how many pieces of a stock are reserved and gone; what came stays gone."""
        of = [claim for claim in self.claims.values() if claim.benefit == benefit]
        return self.taken(benefit)[0], sum(c.delivered - c.undelivered for c in of)

    def room(
        self, member: UUID, benefit: str, quantity: int, *, window: str, now: datetime
    ) -> str:
        """Return the code of what has no room for more, in the order of checks, or nothing."""
        terms = self.terms[benefit]
        taken = sum(self.taken(benefit)) + quantity
        chosen = self.choose(member, benefit, quantity, now)
        counted = quantity if chosen is None else self.counted(chosen)
        used = self.used(member, benefit, window) + counted
        if terms.cap is not None and counted and used > terms.cap:
            return "cap_reached"
        gone = sum(self.in_stock(benefit)) + quantity
        if terms.stock is not None and gone > terms.stock:
            return "stock_exhausted"
        return "budget_exhausted" if taken * terms.cost > terms.budget else ""

    def choose(
        self, member: UUID, benefit: str, quantity: int, now: datetime
    ) -> dict[UUID, int] | None:
        """Return units of the lots that end first, then of the oldest; None: too few."""
        mine = [
            (lot.expires_at, lot.nth, id_)
            for id_, lot in self.lots.items()
            if (lot.member, lot.benefit) == (member, benefit) and now < lot.expires_at
        ]
        chosen = dict[UUID, int]()
        for _, _, id_ in sorted(mine):
            part = min(quantity - sum(chosen.values()), self.lots[id_].available)
            if part:
                chosen[id_] = part
        return chosen if sum(chosen.values()) == quantity else None

    def grant(
        self, id_: UUID, member: UUID, benefit: str, *, quantity: int, end: datetime
    ) -> None:
        """Make a new lot; what is owed is paid from it."""
        paid = min(self.owed.get((member, benefit), 0), quantity)
        lot = Lot(member, benefit, quantity, end, len(self.lots))
        lot.available, lot.revoked = quantity - paid, paid
        self.lots[id_] = lot
        self.owed[member, benefit] = self.owed.get((member, benefit), 0) - paid

    def answer(self, member: UUID, benefit: str, quantity: int, now: datetime) -> set[str]:
        """Return the codes that may refuse a claim; none when it must be accepted."""
        refusal = self.room(member, benefit, quantity, window=self.window(benefit, now), now=now)
        if refusal:
            return {refusal}
        too_few = self.choose(member, benefit, quantity, now) is None
        return {"insufficient_units", "expired"} if too_few else set()

    def window(self, benefit: str, now: datetime) -> str:
        """Return the window a claim's units count in."""
        return f"{now + LOCAL:%Y-%m}" if self.terms[benefit].cap is not None else ""

    def claim(
        self, id_: UUID, member: UUID, benefit: str, *, quantity: int, now: datetime
    ) -> None:
        """Accept a claim."""
        window = self.window(benefit, now)
        claim = Claim(member, benefit, quantity, window, now, {}, deadline=now + UNSENT_FOR)
        self.claims[id_] = claim
        self._hold(claim, now)

    def _hold(self, claim: Claim, now: datetime) -> None:
        chosen = self.choose(claim.member, claim.benefit, claim.quantity, now)
        assert chosen is not None
        for lot_id, part in chosen.items():
            self.lots[lot_id].available -= part
            self.lots[lot_id].held += part
        claim.held, claim.freed = chosen, 0

    def _capture(self, claim: Claim, quantity: int | None = None) -> None:
        left = sum(claim.held.values()) if quantity is None else quantity
        claim.delivered += left
        for lot_id, part in list(claim.held.items()):
            spent = min(part, left)
            left -= spent
            self.lots[lot_id].held -= spent
            self.lots[lot_id].redeemed += spent
            claim.held[lot_id] -= spent
            if spent:
                claim.captured[lot_id] = spent
        claim.held = {lot_id: part for lot_id, part in claim.held.items() if part}

    def _release(self, claim: Claim, now: datetime) -> None:
        for lot_id, part in claim.held.items():
            lot = self.lots[lot_id]
            lot.held -= part
            if now < lot.expires_at:
                lot.available += part
                claim.freed += part
            else:
                lot.expired += part
        claim.held = {}

    def leased(self, id_: UUID) -> None:
        """Begin an attempt: only its outcome ends the hold from here on."""
        claim = self.claims[id_]
        if claim.deadline is not None:
            claim.submitted = True
        claim.deadline = None

    def not_sent(self, id_: UUID) -> None:
        """Take an attempt back that provably never left."""
        claim = self.claims[id_]
        if claim.state == "OPEN" and claim.submitted:
            claim.submitted = False
            claim.deadline = claim.placed_at + UNSENT_FOR

    def heard(self, id_: UUID) -> None:
        """Note that something was heard of the order, so that it never lapses."""
        claim = self.claims[id_]
        claim.submitted = False
        claim.deadline = None

    def delivered(self, id_: UUID, *, used: bool, now: datetime) -> None:
        """Apply that the provider delivered, or that the customer even used it."""
        claim = self.claims[id_]
        spent = used or self.terms[claim.benefit].at_issue
        if claim.state in {"COMPENSATED", "EXPIRED"}:
            asked = (claim.member, claim.benefit, claim.quantity)
            full = self.room(*asked, window=claim.window, now=now)
            found = self.choose(*asked, now)
            if not full and found is not None:
                self._hold(claim, now)
        elif claim.state not in {"OPEN", "ISSUED"}:
            return
        self.heard(id_)
        if spent:
            self._capture(claim)
        if claim.state != "ISSUED" or used:
            claim.state = "REDEEMED" if used else "ISSUED"

    def rejected(self, id_: UUID, now: datetime) -> None:
        """Apply that the provider definitively refused."""
        claim = self.claims[id_]
        if claim.state == "OPEN":
            self.heard(id_)
            self._release(claim, now)
            claim.state = "COMPENSATED"

    def revoked(self, id_: UUID, now: datetime) -> None:
        """Apply that the provider took the thing back; spent units stay spent."""
        claim = self.claims[id_]
        at_issue = self.terms[claim.benefit].at_issue
        if claim.state == "REDEEMED" or (claim.state == "ISSUED" and at_issue):
            return
        self.heard(id_)
        self._release(claim, now)
        claim.state = "REVOKED"

    def undecided(self, id_: UUID) -> None:
        """Hear something that decides nothing."""
        if self.claims[id_].state == "OPEN":
            self.heard(id_)

    def learn(self, id_: UUID, outcome: Outcome, now: datetime) -> None:
        """Apply what the provider said."""
        match outcome:
            case Done() | Used():
                self.delivered(id_, used=isinstance(outcome, Used), now=now)
            case Rejected():
                self.rejected(id_, now)
            case Revoked():
                self.revoked(id_, now)
            case _:
                self.undecided(id_)

    def overdue(self, now: datetime) -> set[UUID]:
        """Return the claims whose time to be sent is over."""
        return {
            id_
            for id_, claim in self.claims.items()
            if claim.state == "OPEN" and claim.deadline is not None and claim.deadline <= now
        }

    def lapse(self, now: datetime, only: Collection[UUID] | None = None) -> None:
        """Give back what was never sent in time, or only some of it."""
        for id_ in self.overdue(now) if only is None else only:
            claim = self.claims[id_]
            self._release(claim, now)
            claim.state, claim.deadline = "EXPIRED", None

    def expire(self, now: datetime) -> None:
        """Expire what is left of ended lots; held units wait for their orders."""
        for lot in self.lots.values():
            if lot.expires_at <= now:
                lot.expired += lot.available
                lot.available = 0

    def spendable(self, member: UUID, benefit: str) -> int:
        """Return how many used units nobody took back yet."""
        used = sum(
            lot.redeemed
            for lot in self.lots.values()
            if (lot.member, lot.benefit) == (member, benefit)
        )
        taken = self.borne.get((member, benefit), 0) + self.owed.get((member, benefit), 0)
        return max(used - taken, 0)

    def may_reverse(self, id_: UUID, quantity: int) -> str:
        """Return what people hear who would give units of a claim back."""
        claim = self.claims[id_]
        if claim.state == "OPEN":
            return "order_unfit"
        left = sum(claim.captured.values()) - claim.replaced
        fits = quantity <= min(left, self.spendable(claim.member, claim.benefit))
        return "ok" if fits else "correction_exceeds"

    def reverse(self, id_: UUID, quantity: int, now: datetime, *, came: bool) -> None:
        """Give units back to the lots they came from, first taken first."""
        claim = self.claims[id_]
        claim.returned += quantity
        claim.undelivered += 0 if came else quantity
        for lot_id, spent in claim.captured.items():
            part = min(quantity, spent)
            quantity -= part
            claim.captured[lot_id] -= part
            lot = self.lots[lot_id]
            lot.redeemed -= part
            if now < lot.expires_at:
                lot.available += part
            else:
                lot.expired += part

    def may_make_good(self, id_: UUID, quantity: int) -> str:
        """Return what people hear who would replace units of an order that failed."""
        claim = self.claims[id_]
        if claim.state == "OPEN":
            return "order_unfit"
        back = claim.replaced + claim.returned + claim.freed
        return "ok" if back + quantity <= claim.quantity else "correction_exceeds"

    def make_good(self, id_: UUID, lot_id: UUID, quantity: int, end: datetime) -> None:
        """Give a new lot outside of caps."""
        claim = self.claims[id_]
        claim.replaced += quantity
        self.grant(lot_id, claim.member, claim.benefit, quantity=quantity, end=end)
        self.lots[lot_id].capped = False

    def settle(self, id_: UUID, delivered: int, now: datetime) -> None:
        """End an order that nobody could clear up: some came, the rest is released."""
        claim = self.claims[id_]
        self.heard(id_)
        self._capture(claim, delivered)
        self._release(claim, now)
        done = "ISSUED" if self.terms[claim.benefit].at_issue else "REDEEMED"
        claim.state = done if delivered else "COMPENSATED"

    def may_revoke(self, lot_id: UUID, quantity: int, now: datetime) -> str:
        """Return what people hear who would take units of a lot back."""
        lot = self.lots[lot_id]
        fits = now < lot.expires_at and quantity <= lot.available
        return "ok" if fits else "correction_exceeds"

    def revoke(self, lot_id: UUID, quantity: int) -> None:
        """Take units of a lot back."""
        self.lots[lot_id].available -= quantity
        self.lots[lot_id].revoked += quantity

    def may_claw_back(self, member: UUID, benefit: str, quantity: int, now: datetime) -> str:
        """Return what people hear who would take units back, used ones too."""
        free = sum(
            lot.available
            for lot in self.lots.values()
            if (lot.member, lot.benefit) == (member, benefit) and now < lot.expires_at
        )
        fits = quantity <= free + self.spendable(member, benefit)
        return "ok" if fits else "correction_exceeds"

    def claw_back(self, member: UUID, benefit: str, quantity: int, now: datetime) -> None:
        """Take what is left, that which ends first; the rest is owed, or the bank bears it."""
        mine = [
            lot for lot in self.lots.values() if (lot.member, lot.benefit) == (member, benefit)
        ]
        for lot in sorted(mine, key=lambda lot: (lot.expires_at, lot.nth)):
            part = min(quantity, lot.available) if now < lot.expires_at else 0
            lot.available -= part
            lot.revoked += part
            quantity -= part
        rest = self.owed if self.terms[benefit].owing else self.borne
        rest[member, benefit] = rest.get((member, benefit), 0) + quantity

    def may_forgive(self, member: UUID, benefit: str, quantity: int) -> str:
        """Return what people hear who would write off what a member owes."""
        fits = quantity <= self.owed.get((member, benefit), 0)
        return "ok" if fits else "correction_exceeds"

    def forgive(self, member: UUID, benefit: str, quantity: int) -> None:
        """Let the bank bear what a member owes: nobody takes those units back again."""
        self.owed[member, benefit] -= quantity
        self.borne[member, benefit] = self.borne.get((member, benefit), 0) + quantity
