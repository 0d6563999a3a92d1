"""What effects do to the units of claims: spent, given back, held again, taken anew, or lost.

They are moved in the ledger together with the money reserved or spent for them, and the room they
took. A hold ends once; what is held again is held by a new one. Invariant: what was spent and
comes back names the batch that spent it, line by line (L-7).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import msgspec
from msgspec.structs import replace

from benefits.actions.capacity import Capacity
from benefits.actions.new_lots import GrantFor, add_lot
from benefits.actions.pricing import cost_of, piece_price
from benefits.actions.room import change_room, check_room, counted
from benefits.actions.spent import Spent
from benefits.actions.transfer import Reach
from benefits.domain import corrections as rules
from benefits.domain import entitlement, ledger
from benefits.domain.benefit import UNITS, Benefit, Late
from benefits.domain.catalogue import Catalogue
from benefits.domain.corrections import Line
from benefits.domain.entitlement import CounterUse
from benefits.domain.lattice import Effect, Step
from benefits.domain.ledger import Account, Cost, Posting
from benefits.domain.limits import Counted
from benefits.domain.made_good import Over, made_good_days
from benefits.domain.orders import OrderState
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.values import end_of, local_date
from benefits.store import claims, corrections
from benefits.store import ledger as books
from benefits.store.claims import ClaimRow, HoldEnd, HoldRow, Reserved
from benefits.store.corrections import Reversal
from benefits.store.db import Connection, Writer
from benefits.store.ledger import MAKE_GOOD, Journal
from benefits.store.tiers import GrantRow

Offer = tuple[Programme, Benefit]
COUNTED = "order.counted"  # the event that tells how many of the pieces came


class Trouble(msgspec.Struct, frozen=True):
    """What could not be done by itself: the kind of case, and what to tell the person."""

    kind: str
    detail: str


class Units:
    """The units of claims whose members are locked, while effects are applied to them.

    `offers` are the terms that the claims were made under, the catalogue's those in force.
    """

    def __init__(
        self, journal: Journal, offers: Mapping[UUID, Offer], catalogue: Catalogue
    ) -> None:
        self.journal = journal
        self.capacity = Capacity()
        self.reach = Reach(journal, catalogue)
        self.holds: dict[UUID, HoldRow] = {}
        self._offers = offers
        self._today = catalogue.offers
        self._spent: dict[UUID, Spent] = {}
        self._new_holds: list[HoldRow] = []
        self._ends: list[HoldEnd] = []
        self._reversals: list[Reversal] = []
        self._made_good: dict[UUID, int] = {}
        self._gone: dict[UUID, int] = {}
        self.grants: list[GrantRow] = []

    async def load_spent(self, conn: Connection, found: Sequence[ClaimRow]) -> list[UUID]:
        """Read what claims spent that may come back, and return the lots it is of."""
        if not found:
            return []
        captures = await corrections.captures(conn, [claim.hold_id for claim in found])
        lines = await corrections.lines(conn, captures.values())
        for claim in found:
            if (batch_id := captures.get(claim.hold_id)) is not None:
                hold = self.holds[claim.hold_id]
                self._spent[claim.claim_id] = Spent(hold, batch_id, lines[batch_id])
        every = (line.posting.lot_id for some in lines.values() for line in some)
        return [lot_id for lot_id in every if lot_id is not None]

    async def load_made_good(self, conn: Connection, found: Sequence[ClaimRow]) -> None:
        """Read what claims were made good whose units may come back, and what members owe.

        What people made good, or clawed back, comes back to nobody (L-8, L-9).
        """
        about = [
            c for c in found if c.claim_id in self._spent or c.cancelled_at or self._is_late(c)
        ]
        if not about:
            return
        spent = [claim for claim in about if claim.claim_id in self._spent]
        pairs = [(claim.member_id, self.holds[claim.hold_id].unit) for claim in about]
        self.journal.load_owed(await books.owed(conn, pairs))
        self._made_good = await corrections.made_good(conn, about)
        clawed = set[UUID]()
        if spent:
            clawed = await corrections.clawed_back(conn, {claim.member_id for claim in spent})
        for claim in spent:
            hold, gone = self.holds[claim.hold_id], self._made_good[claim.claim_id]
            if claim.member_id in clawed:
                now = self.journal.now
                there = await corrections.there(conn, claim.member_id, hold.unit, now)
                gone += max(0, hold.quantity - there.used)
            self._gone[claim.claim_id] = gone

    def _is_late(self, claim: ClaimRow) -> bool:
        """Say whether held units of a claim would come back ended, and be made good."""
        hold, lots, now = self.holds[claim.hold_id], self.journal.lots, self.journal.now
        promised = self._offers[claim.claim_id][1].late_reversal.then is Late.MAKE_GOOD
        if hold.ended or not promised:
            return False
        return any(lots[part.lot_id].ended(now) for part in hold.parts)

    async def write(self, writer: Writer) -> None:
        """Write holds, their ends, and what was given back; the journal was written before."""
        await claims.put_holds(writer, self._new_holds)
        await claims.end_holds(writer, self._ends)
        await corrections.put_reversals(writer, self._reversals)

    def move(
        self, claim: ClaimRow, step: Step, actor: str, *, used_at: datetime
    ) -> Trouble | None:
        """Do to a claim's units what a step says, which the claim has taken already.

        What is spent is paid for as on the day that the contract names; `used_at` may be it.
        """
        hold, end = self.holds[claim.hold_id], partial(self._end, used_at=used_at)
        match step.effect:
            case Effect.CAPTURE:
                paid = claim.quantity - step.unpaid
                end(claim, hold, actor, used=claim.quantity, paid=paid)
            case Effect.RELEASE:
                end(claim, hold, actor, used=step.course.used)
                return None if hold.ended else self._make_good(claim, actor, undone=False)
            case Effect.LOSE:
                end(claim, hold, actor, used=step.course.used, lost=True)
            case Effect.REISSUE | Effect.REISSUE_AND_CAPTURE:
                captured = step.effect is Effect.REISSUE_AND_CAPTURE
                return self._reissue(claim, actor, used_at, captured=captured)
            case Effect.RESTORE | Effect.RETURN | Effect.FORFEIT:
                was_spent = claim.claim_id in self._spent
                trouble = self._give_back(claim, actor, step.effect)
                if trouble is None and was_spent and step.effect is Effect.RETURN:
                    return self._make_good(claim, actor, undone=True)
                return trouble
            case Effect.RECKON:
                return self._reckon(claim, actor, used_at, claim.quantity - step.unpaid)
            case Effect.NONE | Effect.REVOKE:
                pass
        return None

    def tell(self, claim: ClaimRow, kind: str) -> None:
        """Tell of a claim without moving units."""
        data = told(claim, kind)
        self.journal.event(claim.member_id, kind, subject_id=claim.claim_id, data=data)

    def _post(
        self,
        claim: ClaimRow,
        postings: list[Posting],
        actor: str,
        *,
        kind: str = "",
        reverses: UUID | None = None,
    ) -> UUID:
        kind = kind or kind_of(claim)
        return self.journal.post(
            claim.member_id,
            kind,
            postings,
            actor=actor,
            subject_id=claim.claim_id,
            data=told(claim, kind),
            cause_id=claim.claim_id,
            reverses=reverses,
        )

    def _piece(self, claim: ClaimRow, used_at: datetime) -> int:
        """Return what a piece of a claim costs that is spent now (K-4)."""
        agreed, now = self._offers[claim.claim_id], self.journal.now
        return piece_price(claim, agreed, self._terms(claim), used_at=used_at, now=now)

    def _terms(self, claim: ClaimRow) -> Offer:
        """Return a claim's benefit as in force, or as agreed on where none of its code is."""
        return self._today.get(claim.benefit, self._offers[claim.claim_id])

    def _end(
        self,
        claim: ClaimRow,
        hold: HoldRow,
        actor: str,
        *,
        used: int,
        used_at: datetime,
        paid: int | None = None,
        lost: bool = False,
    ) -> None:
        """Spend `used` pieces of a hold; the rest goes back to the member, or is lost.

        What they cost less than was reserved for all is free again. If not all of them are paid,
        so many are.
        """
        if hold.ended:  # delivered at the bank's loss: no units of the member are concerned
            self.tell(claim, kind_of(claim))
            return
        self.holds[hold.hold_id] = replace(hold, ended=True)
        cost = self._reserved(claim, hold)
        minor = (used if paid is None else paid) * self._piece(claim, used_at) if used else 0
        at = self.journal.now_for(claim.member_id)
        taken = hold.quantity // claim.quantity * used
        spent, rest = ledger.split(hold.parts, taken)
        uncapped = entitlement.uncapped_units(rest, self.journal.lots)
        postings = ledger.capture(hold.unit, spent)
        if lost:
            postings += ledger.let_end(Account.HELD, hold.unit, rest)
        else:
            postings += ledger.release(rest, self.journal.lots, at)
        if used:
            postings += ledger.spend(cost, minor)
        else:
            postings += ledger.unreserve(cost)
        batch_id = self._post(claim, postings, actor)
        back = hold.quantity - taken
        worst = hold.cost_minor * used // claim.quantity
        told = None if minor == worst else minor
        self._ends.append(HoldEnd(hold.hold_id, batch_id, taken, back, uncapped, at, told))
        self.capacity.add_money(
            *self._offers[claim.claim_id],
            CounterUse(-hold.cost_minor, minor),
            CounterUse(-claim.quantity, used),
        )
        if back:
            all_of_it = hold.quantity - hold.uncapped
            counts = counted(claim, hold, all_of_it - (back - uncapped))
            change_room(self.capacity, claim, counted(claim, hold, all_of_it), counts)
        if used:
            self._keep_spent(claim, hold, batch_id, postings)

    def _keep_spent(
        self, claim: ClaimRow, hold: HoldRow, batch_id: UUID, postings: Sequence[Posting]
    ) -> None:
        """Remember what was spent: the next answer may take it back."""
        lines = [Line(number, posting, 0) for number, posting in enumerate(postings)]
        self._spent[claim.claim_id] = Spent(hold, batch_id, lines)

    def _reserved(self, claim: ClaimRow, hold: HoldRow) -> Cost:
        """Return what a hold reserved, with the budget it was reserved in and whom it pays."""
        if hold.reserved is None:
            return cost_of(*self._offers[claim.claim_id], 0, provider=hold.provider)
        reserved = hold.reserved
        return Cost(reserved.unit, reserved.budget, hold.provider, reserved.minor)

    def _reserved_again(self, claim: ClaimRow, hold: HoldRow) -> Reserved | None:
        """Return what a hold reserves that takes the place of one that was spent: as much again.

        What that one reserved may be archived; its programme's currency and its budget stay.
        """
        if hold.reserved is not None or not hold.cost_minor:
            return hold.reserved
        cost = cost_of(*self._offers[claim.claim_id], hold.cost_minor)
        return Reserved(cost.unit, cost.budget, cost.minor)

    def _count(self, claim: ClaimRow, money: CounterUse, sign: CounterUse) -> None:
        pieces = CounterUse(sign.reserved * claim.quantity, sign.spent * claim.quantity)
        self.capacity.add_money(*self._offers[claim.claim_id], money, pieces)

    def _hold(self, claim: ClaimRow, hold: HoldRow) -> None:
        """Let a claim's units be in a new hold."""
        claim.hold_id = hold.hold_id
        self.holds[hold.hold_id] = hold
        self._new_holds.append(hold)

    def _reissue(
        self, claim: ClaimRow, actor: str, used_at: datetime, *, captured: bool
    ) -> Trouble | None:
        """Take the units again for what was delivered after all; else it is a loss (G-CB-4)."""
        programme, benefit = self._offers[claim.claim_id]
        today = self._terms(claim)
        was = self.holds[claim.hold_id]  # whatever the programme says today of what it takes
        pieces, piece = claim.quantity, was.quantity // claim.quantity
        claim.quantity = claim.came
        provider, unit, taken = was.provider, was.unit, piece * claim.came
        piece_cost = programme.minor(benefit.cost)
        cost, paid = piece_cost * claim.came, self._piece(claim, used_at) * claim.came
        price = cost_of(programme, benefit, cost, provider=provider)
        bearers = programme.bearers[benefit.budget]
        try:
            parts = self.reach.choose(claim.member_id, unit, taken)
            uncapped = entitlement.uncapped_units(parts, self.journal.lots)
            counts = Counted(taken - uncapped, piece, piece_cost)
            check_room(self.capacity, today, claim, counts, bearers=bearers)
        except Refusal as refusal:
            claim.quantity = pieces  # as its hold is, which has ended
            lost = ledger.make_up(unit, taken)
            self._post(claim, lost + ledger.bear(replace(price, minor=paid)), actor)
            return Trouble("delivered_without_entitlement", refusal.code)
        parts = self.reach.bring(claim.member_id, parts, actor=actor)
        at = self.journal.now_for(claim.member_id)
        postings = ledger.hold(unit, parts) + ledger.reserve(price)
        if captured:
            postings += ledger.capture(unit, parts) + ledger.spend(price, paid)
        batch_id = self._post(claim, postings, actor)
        hold = replace(
            was,
            hold_id=self.journal.id_for(claim.member_id),
            batch_id=batch_id,
            quantity=taken,
            cost_minor=cost,
            placed_at=at,
            uncapped=uncapped,
            parts=tuple(parts),
            reserved=Reserved(price.unit, price.budget, cost) if cost else None,
            ended=captured,
        )
        claim.reason = ""
        self._hold(claim, hold)
        if captured:
            self._count(claim, CounterUse(0, paid), CounterUse(0, 1))
        else:
            self._count(claim, CounterUse(cost, 0), CounterUse(1, 0))
        change_room(self.capacity, claim, counted(claim, hold, 0), counts)
        ids = (claim.member_id, claim.claim_id)
        self.capacity.tell(self.journal, today[0], bearers, ids)
        if captured:
            told = None if paid == cost else paid
            self._ends.append(HoldEnd(hold.hold_id, batch_id, taken, 0, 0, at, told))
            self._keep_spent(claim, hold, batch_id, postings)
        return None

    def _give_back(self, claim: ClaimRow, actor: str, effect: Effect) -> Trouble | None:
        """Take back that units were spent: they are held again, or the member's, or lost (L-7)."""
        spent = self._spent.pop(claim.claim_id, None)
        kind = kind_of(claim) if claim.state is OrderState.REVOKED else "order.reversed"
        if spent is None:  # delivered at the bank's loss: no units of the member are concerned
            self.tell(claim, kind)
            return None
        hold, unit, parts = spent.hold, spent.hold.unit, spent.whole
        known = self._gone.get(claim.claim_id, 0)
        if not parts or (known and effect is Effect.RESTORE):
            self.tell(claim, kind)
            return BY_HAND
        at = self.journal.now_for(claim.member_id)
        reserved, minor = self._reserved_again(claim, hold), spent.minor
        if effect is Effect.RESTORE:
            postings = ledger.unspent(unit, parts) + spent.money_back()
            postings += ledger.hold(unit, parts)
            if reserved is not None:
                cost = Cost(reserved.unit, reserved.budget, hold.provider, reserved.minor)
                postings += ledger.reserve(cost)
        elif effect is Effect.RETURN:
            gone, lots = ledger.split(parts, known)[0], self.journal.lots
            postings = ledger.restore(parts, lots, at) + spent.money_back()
            postings += ledger.cut(unit, [one for one in gone if not lots[one.lot_id].ended(at)])
        else:
            postings = ledger.let_end(Account.REDEEMED, unit, parts) + spent.money_back()
        batch_id = self._post(claim, postings, actor, kind=kind, reverses=spent.batch_id)
        undone = list(rules.undone(spent.lines, postings))
        self._reversals.append(Reversal(spent.batch_id, batch_id, undone))
        if effect is Effect.RESTORE:
            new = replace(
                hold,
                hold_id=self.journal.id_for(claim.member_id),
                batch_id=batch_id,
                placed_at=at,
                parts=tuple(parts),
                reserved=reserved,
                ended=False,
            )
            self._hold(claim, new)
            self._count(claim, CounterUse(hold.cost_minor, -minor), CounterUse(1, -1))
            return None
        self._count(claim, CounterUse(0, -minor), CounterUse(0, -1))
        counts = counted(claim, hold, hold.quantity - hold.uncapped)
        change_room(self.capacity, claim, counts, counted(claim, hold, 0))
        return None

    def _reckon(self, claim: ClaimRow, actor: str, used_at: datetime, paid: int) -> Trouble | None:
        """Pay anew for what stays spent: for `paid` pieces, whatever the budget has left (V-5).

        It is taken back and spent again in one batch, by a new hold that ends with it.
        """
        spent = self._spent.get(claim.claim_id)
        if spent is None or spent.is_given_back:  # the bank bore it, or nothing is spent
            self.tell(claim, kind_of(claim))
            return None
        hold, unit, parts = spent.hold, spent.hold.unit, spent.whole
        minor, before = paid * self._piece(claim, used_at), spent.minor
        if not parts or minor == before:
            self.tell(claim, kind_of(claim))
            return None if parts else BY_HAND
        at, reserved = self.journal.now_for(claim.member_id), self._reserved_again(claim, hold)
        cost = self._reserved(claim, replace(hold, reserved=reserved))
        postings = ledger.unspent(unit, parts) + spent.money_back()
        postings += ledger.hold(unit, parts) + ledger.reserve(cost)
        postings += ledger.capture(unit, parts) + ledger.spend(cost, minor)
        batch_id = self._post(claim, postings, actor, reverses=spent.batch_id)
        undone = list(rules.undone(spent.lines, postings))
        self._reversals.append(Reversal(spent.batch_id, batch_id, undone))
        new = replace(
            hold,
            hold_id=self.journal.id_for(claim.member_id),
            batch_id=batch_id,
            placed_at=at,
            parts=tuple(parts),
            reserved=reserved,
        )
        self._hold(claim, new)
        self._count(claim, CounterUse(0, minor - before), CounterUse())
        told = None if minor == hold.cost_minor else minor
        self._ends.append(HoldEnd(new.hold_id, batch_id, hold.quantity, 0, 0, at, told))
        self._keep_spent(claim, new, batch_id, postings)
        if minor > before:
            (programme, _), (_, benefit) = self._terms(claim), self._offers[claim.claim_id]
            bearers = self._offers[claim.claim_id][0].bearers[benefit.budget]
            ids = (claim.member_id, claim.claim_id)
            self.capacity.tell(self.journal, programme, bearers, ids)
        return None

    def _make_good(self, claim: ClaimRow, actor: str, *, undone: bool) -> Trouble | None:
        """Give new units for those that came back ended, where that is promised (V-10, L-9).

        They were spent, where that is `undone`. Where they could not be used for the least of
        days, a person makes good in another way.
        """
        programme, benefit = self._offers[claim.claim_id]
        over = Over(
            state=claim.state,
            reason=claim.reason,
            cancelled=claim.cancelled,
            ended_at=claim.course.ended_at,
            undone=undone,
        )
        days, at = made_good_days(benefit, over), self.journal.now_for(claim.member_id)
        hold, lots = self.holds[claim.hold_id], self.journal.lots
        before = self._made_good.get(claim.claim_id, 0)
        ended = sum(part.amount for part in hold.parts if lots[part.lot_id].ended(at))
        ended -= min(ended, self._gone.get(claim.claim_id, before))
        zone, today = programme.tz, local_date(at, programme.tz)
        if not ended or not days or self.journal.has_left(claim.member_id, today):
            return None
        item, last_day = programme.benefits[hold.unit.removeprefix(UNITS)], today + timedelta(days)
        end = entitlement.last_use(end_of(last_day, zone), programme.contract_end(item), zone)
        if end < at + timedelta(days=rules.VALID_DAYS_MIN):
            return Trouble(
                "make_good_impossible",
                f"{ended} ended when they came back, and the contract of their benefit ends.",
            )
        period, quota = str(claim.claim_id), before + ended
        for_ = GrantFor(claim.programme, claim.benefit, period, MAKE_GOOD, quota)
        grant = add_lot(
            self.journal,
            claim.member_id,
            item,
            for_,
            quantity=ended,
            expires_at=end,
            actor=actor,
        )
        self.grants.append(grant)
        return None


BY_HAND = Trouble(
    "reversed_by_hand",
    "What it had spent came back before, was made good, clawed back or settled, or is archived.",
)


def kind_of(claim: ClaimRow) -> str:
    """Return the type of the event that a claim stands where it does now."""
    return f"order.{claim.state.value.lower()}"


def told(claim: ClaimRow, kind: str) -> dict[str, object]:
    """Return what an event of the kind tells of a claim."""
    data = {"benefit": claim.benefit, "quantity": claim.quantity, "reason": claim.reason}
    if kind == "order.reversed":
        return {**data, "state": claim.state.value}
    if kind == COUNTED:
        return {**data, "quantity": claim.ordered, "missing": claim.missing}
    if kind == "order.partly_redeemed":
        return {**data, "used": claim.course.used}
    return data
