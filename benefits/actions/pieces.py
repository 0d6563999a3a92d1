"""Of an order fewer pieces may come than were ordered: a claim is of those that came (V-5).

The units of the others come back as that is told, and are taken again if they come after all.
What is held or spent for a claim is held anew by one batch, and the answer goes on from there: so
a hold ends once, and has whole pieces of its claim.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec.structs import replace

from benefits.actions.effects import BY_HAND, COUNTED, Trouble, Units
from benefits.actions.pricing import cost_of
from benefits.actions.room import change_room, check_room, counted
from benefits.domain import corrections as rules
from benefits.domain import entitlement, ledger
from benefits.domain.entitlement import CounterUse
from benefits.domain.ledger import InsufficientUnits, Part, Posting
from benefits.domain.limits import Counted
from benefits.domain.orders import OrderState
from benefits.domain.refusal import Refusal
from benefits.store.claims import ClaimRow, HoldEnd
from benefits.store.corrections import Reversal

_BACK = frozenset({OrderState.COMPENSATED, OrderState.EXPIRED})


class Pieces(Units):
    """The units of claims whose members are locked, by the pieces that came."""

    def recount(self, claim: ClaimRow, came: int, actor: str) -> Trouble | None:
        """Let a claim be of the pieces that `came` all in all; it holds them then.

        Where no units are left for more pieces those are a loss, and nothing else moves (G-CB-4).
        """
        try:
            return self._be_of(claim, came, actor)
        except Refusal as refusal:
            return self._bear(claim, came - claim.told, actor, refusal.code)

    def set_aside(self, claim: ClaimRow, came: int, actor: str) -> Trouble | None:
        """Let a claim be of the pieces that its provider set aside, as far as units are left."""
        try:
            return self._be_of(claim, came, actor)
        except Refusal:
            return None  # a loss it is once they are confirmed

    def _be_of(self, claim: ClaimRow, came: int, actor: str) -> Trouble | None:
        """Let a claim be of so many pieces (InsufficientUnits, or whatever has no room)."""
        if self.holds[claim.hold_id].ended and claim.state in _BACK:
            # Whatever delivers it takes the units of so many.
            claim.ordered, claim.missing = claim.wanted, claim.wanted - min(came, claim.quantity)
            self.tell(claim, COUNTED)
            return None
        if 0 < claim.told < came:
            return self._add(claim, came - claim.told, actor)
        self._keep(claim, came, actor)
        return None

    def _keep(self, claim: ClaimRow, came: int, actor: str) -> None:
        """Hold the units of the pieces; those of the others are the member's again."""
        hold = self.holds[claim.hold_id]
        kept, back = ledger.split(hold.parts, hold.quantity // claim.quantity * came)
        claim.ordered, claim.missing = claim.wanted, claim.wanted - came
        self._renew(claim, kept, self._let_go(claim, kept, back), actor, pieces=came)

    def _add(self, claim: ClaimRow, more: int, actor: str) -> Trouble | None:
        """Hold what is held or spent anew, together with units for more pieces."""
        hold, spent = self.holds[claim.hold_id], self._spent.get(claim.claim_id)
        if spent is not None and not spent.whole:
            return BY_HAND
        if hold.ended and spent is None:
            raise InsufficientUnits  # so it was when it was delivered
        parts = self._take_more(claim, more, actor)
        claim.missing -= more
        if spent is None:
            held = list(hold.parts)
            postings = self._let_go(claim, held, [])
        else:
            held = spent.whole
            postings = ledger.unspent(hold.unit, held) + spent.money_back()
        self._renew(claim, _together(held + parts), postings, actor, pieces=claim.quantity + more)
        programme, benefit = self._offers[claim.claim_id]
        bearers = programme.bearers[benefit.budget]
        ids = (claim.member_id, claim.claim_id)
        self.capacity.tell(self.journal, self._terms(claim)[0], bearers, ids)
        return None

    def _let_go(
        self, claim: ClaimRow, kept: Sequence[Part], back: Sequence[Part]
    ) -> list[Posting]:
        """End what is held: what is `kept` is held again at once, the rest is the member's."""
        hold, at = self.holds[claim.hold_id], self.journal.now_for(claim.member_id)
        postings = ledger.unheld(hold.unit, kept) + ledger.release(back, self.journal.lots, at)
        return postings + ledger.unreserve(self._reserved(claim, hold))

    def _renew(
        self,
        claim: ClaimRow,
        parts: Sequence[Part],
        postings: list[Posting],
        actor: str,
        *,
        pieces: int,
    ) -> None:
        """Hold units for so many pieces of a claim by a new hold, after what was postings."""
        hold, spent = self.holds[claim.hold_id], self._spent.pop(claim.claim_id, None)
        at, reserved = self.journal.now_for(claim.member_id), self._reserved_again(claim, hold)
        before = counted(claim, hold, hold.quantity - hold.uncapped)
        cost = before.piece_cost * pieces
        uncapped = entitlement.uncapped_units(parts, self.journal.lots)
        new = replace(
            hold,
            hold_id=self.journal.id_for(claim.member_id),
            quantity=before.piece * pieces,
            cost_minor=cost,
            placed_at=at,
            uncapped=uncapped,
            parts=tuple(parts),
            reserved=None if reserved is None else replace(reserved, minor=cost),
            ended=False,
            paid_minor=None,
        )
        postings = postings + ledger.hold(hold.unit, parts)
        postings += ledger.reserve(self._reserved(claim, new))
        was, claim.quantity = claim.quantity, pieces
        reverses = None if spent is None else spent.batch_id
        batch_id = self._post(claim, postings, actor, kind=COUNTED, reverses=reverses)
        money, counts = CounterUse(cost - hold.cost_minor, 0), CounterUse(pieces - was, 0)
        if spent is None:
            end = HoldEnd(hold.hold_id, batch_id, 0, hold.quantity, hold.uncapped, at, None)
            self._ends.append(end)
        else:
            undone = list(rules.undone(spent.lines, postings))
            self._reversals.append(Reversal(spent.batch_id, batch_id, undone))
            money, counts = CounterUse(cost, -spent.minor), CounterUse(pieces, -was)
        self._hold(claim, replace(new, batch_id=batch_id))
        self.capacity.add_money(*self._offers[claim.claim_id], money, counts)
        after = Counted(new.quantity - uncapped, before.piece, before.piece_cost)
        change_room(self.capacity, claim, before, after)

    def _take_more(self, claim: ClaimRow, more: int, actor: str) -> list[Part]:
        """Take units for more pieces (InsufficientUnits, or whatever has no room)."""
        hold, (programme, benefit) = self.holds[claim.hold_id], self._offers[claim.claim_id]
        piece = hold.quantity // claim.quantity
        parts = self.reach.choose(claim.member_id, hold.unit, piece * more)
        units = piece * more - entitlement.uncapped_units(parts, self.journal.lots)
        wanted = Counted(units, piece, hold.cost_minor // claim.quantity)
        asked = replace(claim, quantity=more)
        bearers = programme.bearers[benefit.budget]
        check_room(self.capacity, self._terms(claim), asked, wanted, bearers=bearers)
        return self.reach.bring(claim.member_id, parts, actor=actor)

    def _bear(self, claim: ClaimRow, more: int, actor: str, why: str) -> Trouble:
        """Book pieces as a loss that came without units for them (G-CB-4)."""
        hold, now = self.holds[claim.hold_id], self.journal.now
        claim.missing -= more
        minor = more * self._piece(claim, now)
        price = cost_of(*self._offers[claim.claim_id], minor, provider=hold.provider)
        lost = ledger.make_up(hold.unit, hold.quantity // claim.quantity * more)
        self._post(claim, lost + ledger.bear(price), actor, kind=COUNTED)
        return Trouble("delivered_without_entitlement", why)


def _together(parts: Sequence[Part]) -> list[Part]:
    amounts = dict[UUID, int]()
    for part in parts:
        amounts[part.lot_id] = amounts.get(part.lot_id, 0) + part.amount
    return [Part(lot_id, amount) for lot_id, amount in amounts.items()]
