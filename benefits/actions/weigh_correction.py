"""What a correction would do, weighed under the member's lock: for maker and checker."""

from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from benefits.actions.claim import UnknownBenefit
from benefits.actions.pricing import Offer, cost_of, piece_price
from benefits.domain import corrections as rules
from benefits.domain import ledger, recoveries
from benefits.domain.archive import MonthArchived
from benefits.domain.benefit import UNITS, Benefit, ClawBack, Consumed, Late
from benefits.domain.corrections import (
    Captured,
    CorrectionExceeds,
    Effect,
    Failed,
    Fault,
    Held,
    Kind,
    Line,
    NewLot,
    OrderUnfit,
    TargetUnknown,
    Wanted,
    Why,
)
from benefits.domain.entitlement import ContractEnded, CounterUse, MemberClosed, last_use
from benefits.domain.ledger import Account, Cost
from benefits.domain.orders import OPEN
from benefits.domain.programme import Item, Programme
from benefits.domain.units import UnitsDrawn
from benefits.domain.values import end_of, local_date
from benefits.store import claims, corrections
from benefits.store import ledger as books
from benefits.store.catalogue import Cache
from benefits.store.claims import ClaimRow, HoldRow
from benefits.store.corrections import Figures
from benefits.store.db import Connection
from benefits.store.ledger import Journal
from benefits.store.members import Member


class Matter(msgspec.Struct, kw_only=True):
    """A correction with all it concerns, as read under the member's lock at `now`.

    `item` is what its units are of: of a choice units are revoked, and nothing else (P-8). A
    claim's programme and benefit are those it was made under, `today` has those in force. `steps`
    is what its quantity comes to in the ledger; `counts` is how many units of the claim count
    against caps and limits.
    """

    wanted: Wanted
    why: Why
    programme: Programme
    item: Item
    now: datetime
    claim: ClaimRow | None = None
    hold: HoldRow | None = None
    today: Offer | None = None
    steps: int = 0
    counts: int = 0
    made_good: int = 0
    effect: Effect = Effect(postings=())
    before: Figures = Figures()

    @property
    def after(self) -> Figures:
        """What the wallet would say."""
        moved = dict[Account, int]()
        for (_, account), amount in ledger.fold(self.effect.postings).items():
            moved[account] = moved.get(account, 0) + amount
        return Figures(
            self.before.available + moved.get(Account.AVAILABLE, 0),
            self.before.held + moved.get(Account.HELD, 0),
            self.before.owed - moved.get(Account.DEBT, 0),
        )

    def end_of_lot(self, days: int) -> datetime:
        """Return when a lot ends that is made now and valid for so many days, by contract."""
        zone = self.programme.tz
        end = end_of(local_date(self.now, zone) + timedelta(days=days), zone)
        return last_use(end, self.contract_end, zone)

    @property
    def contract_end(self) -> date | None:
        """Through which day its units can be used, whatever claims of them are served by (V-6)."""
        item = self.programme.benefits[self.unit.removeprefix(UNITS)]
        return self.programme.contract_end(item)

    @property
    def benefit(self) -> Benefit:
        """The benefit, where the kind is about one."""
        assert isinstance(self.item, Benefit), "this kind of correction is about a benefit"
        return self.item

    @property
    def of_claim(self) -> ClaimRow:
        """The claim, where the kind has one."""
        assert self.claim is not None, "this kind of correction is about a claim"
        return self.claim

    @property
    def of_hold(self) -> HoldRow:
        """The hold of the claim, where the kind has one."""
        assert self.hold is not None, "this kind of correction is about a claim"
        return self.hold

    @property
    def unit(self) -> str:
        """The ledger's unit: what a claim took, or what the benefit or choice has."""
        return self.hold.unit if self.hold else self.item.unit

    @property
    def piece(self) -> int:
        """What a piece of the claim took of the units, whatever the programme says today."""
        return self.of_hold.quantity // self.of_claim.quantity


async def weigh(
    conn: Connection,
    wanted: Wanted,
    cache: Cache,
    journal: Journal,
    *,
    why: Why,
    member: Member,
) -> Matter:
    """Decide what a correction would do; refuses what cannot be (Refusal)."""
    rules.check(wanted)
    matter = await _matter(conn, wanted, cache, journal, why=why)
    member_id, unit = wanted.member_id, matter.unit
    if matter.claim is not None:
        assert isinstance(wanted.quantity, int), "pieces are whole: it was checked"
        matter.steps = wanted.quantity * matter.piece
    else:
        matter.steps = matter.programme.steps(matter.item, wanted.quantity)
    journal.load_owed(await books.owed(conn, [(member_id, unit)]))
    matter.before = await corrections.figures(conn, member_id, unit)
    effect = await _EFFECTS[wanted.kind](conn, matter, journal)
    if effect.lot:
        today, over = local_date(matter.now, matter.programme.tz), matter.contract_end
        if member.closed_on is not None and member.closed_on < today:
            raise MemberClosed
        if over is not None and over < today:
            raise ContractEnded
    if matter.claim is not None and matter.benefit.stock is None:
        effect = msgspec.structs.replace(effect, stock=CounterUse())
    matter.effect = effect
    return matter


async def _matter(
    conn: Connection, wanted: Wanted, cache: Cache, journal: Journal, *, why: Why
) -> Matter:
    """Find the claim, lot or benefit that is meant (TargetUnknown, UnknownBenefit).

    A claim is corrected by the terms it was made under (U-3), the rest by those of today. Only a
    lot may be of a choice: with its units nobody has chosen yet (P-8).
    """
    unit, claim = f"{UNITS}{wanted.benefit}", None
    if wanted.claim_id is not None:
        claim = (await claims.by_id(conn, [wanted.claim_id])).get(wanted.claim_id)
        if claim is None or claim.member_id != wanted.member_id:
            raise TargetUnknown
        unit = f"{UNITS}{claim.benefit}"
    if wanted.lot_id is not None:
        found = await books.lots_by_id(conn, [wanted.lot_id])
        if not found or found[0][0] != wanted.member_id:
            raise TargetUnknown
        journal.load(found)
        unit = found[0][1].unit
    catalogue = await cache.current(conn)
    offered = catalogue.item_of(unit)
    if offered is None:
        raise UnknownBenefit
    programme, item = offered
    matter = Matter(
        wanted=wanted,
        why=why,
        programme=programme,
        item=item,
        now=journal.now_for(wanted.member_id),
    )
    if claim is not None:
        await _of_claim(conn, matter, claim, cache, today=catalogue.offers[claim.benefit])
    elif isinstance(item, Benefit) and item.draws:
        raise UnitsDrawn
    return matter


async def _of_claim(
    conn: Connection, matter: Matter, claim: ClaimRow, cache: Cache, *, today: Offer
) -> None:
    """Bring in a claim, with the terms it was made under and those of `today`."""
    matter.claim, matter.today = claim, today
    matter.hold = (await claims.holds(conn, [claim.hold_id]))[claim.hold_id]
    matter.programme, matter.item = await cache.made_under(conn, claim)
    matter.made_good = (await corrections.made_good(conn, [claim]))[claim.claim_id]


async def _spent(conn: Connection, hold: HoldRow) -> tuple[UUID | None, list[Line]]:
    """Return the batch that spent units of a hold, if any did, with its lines."""
    captures = await corrections.captures(conn, [hold.hold_id])
    lines = await corrections.lines(conn, captures.values())
    batch_id = captures.get(hold.hold_id)
    return batch_id, [] if batch_id is None else lines[batch_id]


async def _reverse(conn: Connection, matter: Matter, journal: Journal) -> Effect:
    claim, hold = matter.of_claim, matter.of_hold
    if claim.state in OPEN:
        raise OrderUnfit
    batch_id, lines = await _spent(conn, hold)
    if batch_id is None:
        raise CorrectionExceeds
    if not lines:
        raise MonthArchived
    lots = {line.posting.lot_id for line in lines if line.posting.lot_id is not None}
    journal.load(await books.lots_by_id(conn, sorted(lots)))
    matter.counts = rules.counting(lines, journal.lots)
    captured = Captured(
        batch_id=batch_id,
        lines=lines,
        piece=matter.piece,
        is_capped=bool(claim.cap_window or claim.limits),
    )
    late = matter.benefit.late_reversal
    taken = await corrections.there(conn, claim.member_id, hold.unit, matter.now)
    if matter.steps > taken.used:
        raise CorrectionExceeds  # they were clawed back, as a loss or a debt
    return rules.reverse(
        captured,
        matter.steps,
        journal.lots,
        matter.now,
        late_days=late.days if late.then is Late.MAKE_GOOD else 0,
        owed=journal.owed(claim.member_id, hold.unit),
        replaced=await _replaced(conn, matter),
        undelivered=matter.why is rules.UNDELIVERED,
    )


async def _replaced(conn: Connection, matter: Matter) -> int:
    """Return how many units of a claim were made good, by people or by themselves (L-9).

    What came with a reversal is not among them: it counts as what was given back.
    """
    claim = matter.of_claim
    by_hand = await corrections.replaced(conn, claim.member_id, claim.claim_id)
    return by_hand.pieces * matter.piece + matter.made_good - by_hand.units


async def _revoke(conn: Connection, matter: Matter, journal: Journal) -> Effect:
    lot_id: UUID | None = matter.wanted.lot_id
    assert lot_id is not None, "its kind needs it"
    unit = journal.lots[lot_id].unit
    taken = await corrections.there(conn, matter.wanted.member_id, unit, matter.now)
    return rules.revoke(journal.lots[lot_id], matter.steps, matter.now, earlier=taken.revoked)


async def _claw_back(conn: Connection, matter: Matter, journal: Journal) -> Effect:
    member_id, unit = matter.wanted.member_id, matter.benefit.unit
    journal.load(await books.lots_of(conn, [(member_id, unit)], matter.now))
    taken = await corrections.there(conn, member_id, unit, matter.now)
    return rules.claw_back(
        journal.lots_of(member_id, unit),
        unit,
        matter.steps,
        matter.now,
        taken=taken,
        owing=matter.benefit.claw_back is ClawBack.DEBT,
    )


async def _forgive(conn: Connection, matter: Matter, journal: Journal) -> Effect:
    member_id, unit = matter.wanted.member_id, matter.benefit.unit
    taken = await corrections.there(conn, member_id, unit, matter.now)
    owed = journal.owed(member_id, unit)
    return rules.forgive(unit, matter.steps, owed, earlier=taken.revoked)


async def _make_good(conn: Connection, matter: Matter, journal: Journal) -> Effect:
    wanted, claim, hold = matter.wanted, matter.of_claim, matter.of_hold
    # Of an archived batch that is not there nothing was given back.
    batch_id, spent = await _spent(conn, hold)
    replaced = await _replaced(conn, matter) + rules.given_back(spent)
    replaced += await corrections.released(conn, claim.hold_id)
    charged = None
    if wanted.fault is Fault.PROVIDER and hold.reserved is not None:
        whole = hold.cost_minor if hold.paid_minor is None else hold.paid_minor
        if batch_id is None or matter.benefit.is_paid_by_use:  # what all would cost now
            whole = _price(matter)
        minor = whole * matter.steps // hold.quantity  # exact: what its pieces cost then
        charged = Cost(hold.reserved.unit, hold.reserved.budget, hold.provider, minor)
    return rules.make_good(
        matter.unit,
        NewLot(matter.steps, wanted.valid_days),
        Failed(not hold.ended, hold.quantity, replaced),
        owed=journal.owed(claim.member_id, matter.unit),
        charged=charged,
    )


def _price(matter: Matter) -> int:
    """Return what all of a claim costs that is used now, in minor units (K-4)."""
    claim, agreed, now = matter.of_claim, (matter.programme, matter.benefit), matter.now
    assert matter.today is not None, "of a claim the terms of today are known"
    return claim.quantity * piece_price(claim, agreed, matter.today, used_at=now, now=now)


async def _settle(conn: Connection, matter: Matter, journal: Journal) -> Effect:
    claim, hold = matter.of_claim, matter.of_hold
    journal.load(await books.lots_by_id(conn, [part.lot_id for part in hold.parts]))
    matter.counts = hold.quantity - hold.uncapped
    cost = cost_of(matter.programme, matter.benefit, 0, provider=hold.provider)
    if hold.reserved is not None:
        kept = hold.reserved
        cost = Cost(kept.unit, kept.budget, hold.provider, kept.minor)
    return rules.settle(
        Held(
            unit=hold.unit,
            piece=matter.piece,
            parts=hold.parts,
            cost_minor=hold.cost_minor,
            cost=cost,
            paid_minor=_price(matter),
            is_capped=bool(claim.cap_window or claim.limits),
        ),
        matter.steps,
        journal.lots,
        matter.now,
        state=claim.state,
        at_issue=matter.benefit.consumed is Consumed.ISSUE,
    )


async def _recover(conn: Connection, matter: Matter, _journal: Journal) -> Effect:
    claim = matter.of_claim
    batches = await corrections.deliveries(conn, claim.member_id, claim.claim_id)
    lines = await corrections.lines(conn, batches)
    for batch_id in batches:
        if recoveries.loss_left(lines[batch_id]):
            return recoveries.recover(batch_id, lines[batch_id], matter.steps)
    raise CorrectionExceeds if all(lines.values()) else MonthArchived


async def _clear(conn: Connection, matter: Matter, _journal: Journal) -> Effect:
    wanted, claim = matter.wanted, matter.of_claim
    assert isinstance(wanted.quantity, int), "minor units are whole: it was checked"
    assert wanted.fault is not None, "its kind needs it"
    postings = await corrections.charges(conn, claim.member_id, claim.claim_id)
    return recoveries.clear(recoveries.charged(postings), wanted.quantity, wanted.fault)


_EFFECTS = {
    Kind.REVERSE: _reverse,
    Kind.REVOKE: _revoke,
    Kind.CLAW_BACK: _claw_back,
    Kind.FORGIVE: _forgive,
    Kind.MAKE_GOOD: _make_good,
    Kind.SETTLE: _settle,
    Kind.RECOVER: _recover,
    Kind.CLEAR: _clear,
}
