"""What the ledger ought to do, told again in plain Python: lots and claims, no I/O.

It is written from the rules, not from the code it is compared with, and keeps only what matters to
units and to what they cost.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from benefits.domain.corrections import Fault
from benefits.domain.orders import (
    Done,
    Expired,
    Outcome,
    PartlyUsed,
    Rejected,
    Reversed,
    Revoked,
    Used,
)
from tests.machine.holdings import LOCAL, Claim, Loss, Lot, Terms

UNSENT_FOR = timedelta(days=1)
DELIVERED = {"ISSUED", "PARTLY_REDEEMED", "REDEEMED"}


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
            self.counted(claim.held) + sum(self.counted(units) for units, _ in claim.spent)
            for claim in self.claims.values()
            if (claim.member, claim.benefit, claim.window) == (member, benefit, window)
        )

    def counted(self, units: dict[UUID, int]) -> int:
        """Return how many units count against a cap: not those of a make-good."""
        return sum(part for lot_id, part in units.items() if self.lots[lot_id].capped)

    def taken(self, benefit: str) -> tuple[int, int]:
        """Return what of a benefit's budget is reserved, at the worst cost, and spent."""
        of = [claim for claim in self.claims.values() if claim.benefit == benefit]
        return (
            self.reserved(benefit) * self.terms[benefit].cost,
            sum(minor for claim in of for _, minor in claim.spent),
        )

    def reserved(self, benefit: str) -> int:
        """Return how many units of a benefit are held."""
        of = [claim for claim in self.claims.values() if claim.benefit == benefit]
        return sum(sum(claim.held.values()) for claim in of)

    def money(self) -> tuple[int, int]:
        """Return what the bank bears of money, and what is claimed from providers (L-9)."""
        every = self.claims.values()
        borne = sum((one.units - one.recovered) * one.price for c in every for one in c.losses)
        waiting = sum(claim.charged - sum(claim.cleared.values()) for claim in every)
        return borne - sum(claim.cleared[Fault.PROVIDER] for claim in every), -waiting

    def in_stock(self, benefit: str) -> tuple[int, int]:
        """Return how many pieces of a stock are reserved and gone; what came stays gone."""
        of = [claim for claim in self.claims.values() if claim.benefit == benefit]
        return self.reserved(benefit), sum(c.delivered - c.undelivered for c in of)

    def room(
        self, member: UUID, benefit: str, quantity: int, *, window: str, now: datetime
    ) -> str:
        """Return the code of what has no room for more, in the order of checks, or nothing."""
        terms = self.terms[benefit]
        taken = sum(self.taken(benefit)) + quantity * terms.cost
        chosen = self.choose(member, benefit, quantity, now)
        counted = quantity if chosen is None else self.counted(chosen)
        used = self.used(member, benefit, window) + counted
        if terms.cap is not None and counted and used > terms.cap:
            return "cap_reached"
        gone = sum(self.in_stock(benefit)) + quantity
        if terms.stock is not None and gone > terms.stock:
            return "stock_exhausted"
        return "budget_exhausted" if taken > terms.budget else ""

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
        self._begin(claim)
        claim.held = chosen

    def _begin(self, claim: Claim) -> None:
        """Begin a new hold: what came of the one before is history."""
        claim.before = [one for one in claim.spent if any(one[0].values())]
        claim.captured, claim.price, claim.freed, claim.returned = {}, None, 0, 0
        claim.taken, claim.minor = 0, 0

    def _capture(
        self, claim: Claim, used_at: datetime, now: datetime, quantity: int | None = None
    ) -> None:
        left = sum(claim.held.values()) if quantity is None or not claim.held else quantity
        if left:
            claim.price = self.price(claim, used_at, now)
            claim.taken, claim.minor = left, left * claim.price
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

    def price(self, claim: Claim, used_at: datetime, now: datetime) -> int:
        """Return what a piece costs that is spent now, by the day that the contract names."""
        terms, at = self.terms[claim.benefit], claim.placed_at
        return terms.price(min(max(used_at, at), now) if terms.priced_by_use else at)

    def _unspend(self, claim: Claim, now: datetime, *, hold: bool) -> None:
        """Take back that all was spent, unless people gave some of it back before, or settled."""
        if sum(claim.captured.values()) != claim.quantity:
            return
        parts = claim.captured
        claim.delivered -= claim.quantity
        claim.captured, claim.taken, claim.minor = {}, 0, 0
        if hold:
            self._begin(claim)
            claim.held = dict(parts)
        else:
            claim.returned += claim.quantity
        for lot_id, part in parts.items():
            lot = self.lots[lot_id]
            lot.redeemed -= part
            if hold:
                lot.held += part
            elif now < lot.expires_at:
                lot.available += part
            else:
                lot.expired += part

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

    def place(self, claim: Claim) -> tuple[str, str]:
        """Return where what is known of a delivery puts an order, and where its units are then."""
        if claim.used >= claim.quantity:
            state, where = "REDEEMED", "SPENT"
        elif claim.ended:
            state, where = "EXPIRED", "PARTED" if claim.used else "BACK"
        else:
            state, where = "PARTLY_REDEEMED" if claim.used else "ISSUED", "HELD"
        return state, "SPENT" if self.terms[claim.benefit].at_issue else where

    def delivered(self, id_: UUID, outcome: Outcome, now: datetime) -> None:
        """Apply that the provider delivered, and what it tells of the use (V-4, V-5)."""
        claim = self.claims[id_]
        match outcome:
            case Used(at=at):
                claim.uses.add((at, False, claim.quantity))
            case PartlyUsed(at=at, used=used):
                claim.uses.add((at, False, min(used, claim.quantity)))
            case Reversed(at=at):
                claim.uses.add((at, True, 0))
            case Expired() if (claim.state, claim.where) != ("EXPIRED", "BACK"):
                claim.ended = True
        state, where = self.place(claim)
        ended = isinstance(outcome, Expired) and claim.where == "BACK"
        late = claim.where == "BACK" and (state == "EXPIRED" or ended)
        parted = "PARTED" in {claim.where, where} and claim.where not in {"HELD", where}
        if claim.state == "REVOKED" or late or parted:
            return
        self.heard(id_)
        spent_at = now
        if isinstance(outcome, Expired) and claim.used:
            spent_at = max(claim.uses)[0]  # it was used before it ended
        elif isinstance(outcome, Done | Used | PartlyUsed | Expired):
            spent_at = outcome.at
        self._move(claim, where, spent_at, now)
        claim.state, claim.where = state, where
        if self.terms[claim.benefit].paid_by_use and state in {"REDEEMED", "EXPIRED"}:
            self._reckon(claim, spent_at, now)

    def _reckon(self, claim: Claim, used_at: datetime, now: datetime) -> None:
        """Pay for the used pieces of an order that is over, unless people gave some back."""
        if claim.captured and sum(claim.captured.values()) == claim.quantity:
            claim.price = self.price(claim, used_at, now)
            claim.minor = claim.used * claim.price

    def _move(self, claim: Claim, where: str, used_at: datetime, now: datetime) -> None:
        """Move the units of a claim to where they are now."""
        if claim.where == "BACK":
            asked = (claim.member, claim.benefit, claim.quantity)
            full = self.room(*asked, window=claim.window, now=now)
            if full or self.choose(*asked, now) is None:
                price = self.price(claim, used_at, now)
                claim.losses.append(Loss(claim.quantity, price))
                return
            self._hold(claim, now)
        match where:
            case "SPENT" if claim.where != "SPENT":
                self._capture(claim, used_at, now)
            case "PARTED" if claim.where == "HELD":
                self._capture(claim, used_at, now, claim.used)
                self._release(claim, now)
            case "BACK" if claim.where == "HELD":
                self._release(claim, now)
            case "HELD" | "BACK" if claim.where == "SPENT":
                self._unspend(claim, now, hold=where == "HELD")

    def rejected(self, id_: UUID, now: datetime) -> None:
        """Apply that the provider definitively refused."""
        claim = self.claims[id_]
        if claim.state == "OPEN":
            self.heard(id_)
            self._release(claim, now)
            claim.state, claim.where = "COMPENSATED", "BACK"

    def revoked(self, id_: UUID, now: datetime) -> None:
        """Apply that the provider took the thing back; spent units stay spent."""
        claim = self.claims[id_]
        spent = self.terms[claim.benefit].at_issue or claim.used > 0
        if (claim.state in DELIVERED and spent) or (claim.state == "EXPIRED" and claim.ended):
            return
        self.heard(id_)
        self._release(claim, now)
        claim.state, claim.where = "REVOKED", "BACK"

    def undecided(self, id_: UUID) -> None:
        """Hear something that decides nothing."""
        if self.claims[id_].state == "OPEN":
            self.heard(id_)

    def learn(self, id_: UUID, outcome: Outcome, now: datetime) -> None:
        """Apply what the provider said."""
        match outcome:
            case Done() | Used() | PartlyUsed() | Reversed() | Expired():
                self.delivered(id_, outcome, now)
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
            claim.state, claim.where, claim.deadline = "EXPIRED", "BACK", None

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

    def make_good(
        self, id_: UUID, new: tuple[UUID, datetime], quantity: int, *, fault: Fault, now: datetime
    ) -> None:
        """Give a new lot, with its end, outside of caps; a provider at fault owes the pieces.

        Where nothing was spent they are what they cost now.
        """
        lot_id, end = new
        claim = self.claims[id_]
        claim.replaced += quantity
        if fault is Fault.PROVIDER:
            piece = self.price(claim, now, now) if claim.price is None else claim.price
            claim.charged += quantity * piece
        self.grant(lot_id, claim.member, claim.benefit, quantity=quantity, end=end)
        self.lots[lot_id].capped = False

    def settle(self, id_: UUID, delivered: int, now: datetime) -> None:
        """End an order that nobody could clear up: some came, the rest is released."""
        claim = self.claims[id_]
        self.heard(id_)
        self._capture(claim, now, now, delivered)
        self._release(claim, now)
        at_issue = self.terms[claim.benefit].at_issue
        claim.settled = bool(delivered) and not at_issue
        done = "ISSUED" if at_issue else "REDEEMED"
        claim.state = done if delivered else "COMPENSATED"
        claim.where = "SPENT" if delivered else "BACK"

    def may_recover(self, id_: UUID, quantity: int) -> str:
        """Return what people hear who would recover units of the first loss there is."""
        left = [one.units - one.recovered for one in self.claims[id_].losses]
        return "ok" if quantity <= next(filter(None, left), 0) else "correction_exceeds"

    def recover(self, id_: UUID, quantity: int) -> None:
        """Let units be no loss any more: the member has what they have."""
        losses = self.claims[id_].losses
        next(one for one in losses if one.units > one.recovered).recovered += quantity

    def may_clear(self, id_: UUID, minor: int) -> str:
        """Return what people hear who would end a charge, or some of it."""
        claim = self.claims[id_]
        fits = minor <= claim.charged - sum(claim.cleared.values())
        return "ok" if fits else "correction_exceeds"

    def clear(self, id_: UUID, minor: int, fault: Fault) -> None:
        """End a charge: the provider has settled it, or it is owed again."""
        self.claims[id_].cleared[fault] += minor

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
