"""Two people correct the books: one proposes, another approves what they read (L-7 to L-9).

Nothing is posted by hand in any other way.
"""

from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import msgspec

from benefits import measures
from benefits.actions.agree import WAIT, Agreed, Desk, Propose
from benefits.actions.capacity import Capacity
from benefits.actions.claim import UnknownMember
from benefits.actions.new_lots import named
from benefits.actions.parts import Parts
from benefits.actions.room import change_room, counted, shared_counters
from benefits.actions.weigh_correction import Matter, weigh
from benefits.domain import code_lines
from benefits.domain.corrections import NEW_LOT, UNDELIVERED, Effect, Kind, Wanted, Why
from benefits.domain.ledger import Account, Lot, Posting
from benefits.domain.refusal import Refusal
from benefits.domain.values import bucket_of
from benefits.store import agreements, claims, corrections, members, pool, tiers
from benefits.store.claims import HoldEnd
from benefits.store.corrections import CorrectionSeen, Reversal
from benefits.store.db import Connection, run
from benefits.store.ledger import MAKE_GOOD, Journal, Origin
from benefits.store.tiers import GrantRow

PRIORITY = 1


class UnknownCorrection(Refusal):
    """No correction has this id."""

    code = "unknown_correction"
    words = "No correction has this id."


class CorrectionClosed(Refusal):
    """The correction was decided before, or its time is over."""

    code = "correction_closed"
    words = "This correction was decided before, or its time is over."


class CorrectionStale(Refusal):
    """What the correction would do now is not what was proposed and read."""

    code = "correction_stale"
    words = "This correction would now do something else. Reject it and propose it anew."


class Asked(msgspec.Struct, frozen=True):
    """What a person asks for, and for which reason."""

    wanted: Wanted
    why: Why


class Corrections(Desk[Asked, Effect, CorrectionSeen]):
    """The desk of corrections; all that it weighs, it weighs under the member's lock."""

    noun, proposing, book = "correction", "propose_correction", corrections.BOOK
    unknown, closed, stale = UnknownCorrection, CorrectionClosed, CorrectionStale

    _posted: Matter | None = None

    async def lock(self, about: Asked | UUID) -> None:
        """Lock the member (UnknownMember, UnknownCorrection)."""
        if isinstance(about, UUID):
            seen = await agreements.one(self.conn, self.book, about)
            if seen is None:
                raise UnknownCorrection
            self._member_id = seen.member_id
        else:
            self._member_id = about.wanted.member_id
        await run(self.conn, WAIT)
        self._locked = await members.lock(self.conn, [self._member_id], wait=True)
        if self._member_id not in self._locked:
            raise UnknownMember
        self._journal = Journal(self._locked, self.parts.clock(), self.parts.new_id)

    async def weigh(self, wanted: Asked) -> Effect:
        """Return what a correction would do now (whatever `weigh` refuses)."""
        self._matter = await weigh(
            self.conn,
            wanted.wanted,
            self.parts.catalogue,
            self._journal,
            why=wanted.why,
            member=self._locked[self._member_id],
        )
        return self._matter.effect

    async def read(self, seen: CorrectionSeen) -> Asked:
        """Return what was asked, and why."""
        return Asked(msgspec.convert(seen.body, Wanted), Why(seen.reason))

    def now(self) -> datetime:
        """Return the instant of the member's next record."""
        return self._journal.now_for(self._member_id)

    def hashed(self, wanted: Asked) -> list[object]:
        """Return what tells two requests under one key apart."""
        return [wanted.wanted, wanted.why]

    def bound(self, wanted: Asked) -> list[object]:
        """Return what of a request its digest binds."""
        return [wanted.wanted]

    def why(self, wanted: Asked) -> Why:
        """Return the reason."""
        return wanted.why

    def bucket(self, command: Propose[Asked]) -> int:
        """Return the member's bucket."""
        return bucket_of(command.wanted.wanted.member_id)

    def row(self, wanted: Asked, effect: Effect) -> tuple[tuple[object, ...], object, object]:
        """Return what is kept: whose it is, what is asked, what it would do beside the figures."""
        asked, matter = wanted.wanted, self._matter
        would = {
            "would": effect,
            "before": matter.before,
            "after": matter.after,
            "unit": matter.unit,
        }
        return (asked.member_id, asked.kind.value, wanted.why.value), asked, would

    async def do(self, agreed: Agreed[Asked, Effect, CorrectionSeen]) -> UUID:
        """Write everything a correction does, under one batch that names it as its cause."""
        self._posted = self._matter
        return await _post(self.conn, agreed, self._matter, self._journal)

    async def finish(self) -> None:
        """Give back what it took of counters, which are locked after request rows."""
        if self._posted is not None:
            await _count(self.conn, self._posted)
            await _put_back(self.conn, self._posted, self.parts)


async def _post(
    conn: Connection,
    agreed: Agreed[Asked, Effect, CorrectionSeen],
    matter: Matter,
    journal: Journal,
) -> UUID:
    """Write everything a correction does; return its batch."""
    effect, member_id, seen = agreed.effect, matter.wanted.member_id, agreed.seen
    lot = _lot(matter, journal) if effect.lot else None
    kind, subject_id, data = _told(matter, seen.proposal_id, lot)
    data["digest"] = seen.digest
    batch_id = journal.post(
        member_id,
        kind,
        [_named(posting, lot) for posting in effect.postings],
        actor=agreed.by,
        subject_id=subject_id,
        data=data,
        cause_id=seen.proposal_id,
        reverses=effect.reverses,
    )
    await journal.write(conn)
    if effect.reverses is not None:
        reversal = Reversal(effect.reverses, batch_id, effect.undone)
        await corrections.put_reversals(conn, [reversal])
    if lot is not None:
        await tiers.put_grants(conn, [_grant(matter, lot)])
    if effect.split is not None:
        await _end(conn, matter, batch_id)
    return batch_id


def _lot(matter: Matter, journal: Journal) -> Lot:
    """Bring the lot of a make-good into the journal (L-9)."""
    new, wanted = matter.effect.lot, matter.wanted
    assert new is not None, "it makes a lot"
    lot = Lot(
        lot_id=journal.id_for(wanted.member_id),
        unit=matter.unit,
        granted=new.quantity,
        remaining=new.quantity,
        held=0,
        expires_at=matter.end_of_lot(new.valid_days),
        granted_at=matter.now,
        priority=PRIORITY,
        capped=False,
    )
    origin = Origin(matter.programme.code, matter.benefit.code, str(wanted.claim_id), MAKE_GOOD)
    journal.new_lot(wanted.member_id, lot, origin)
    return lot


def _named(posting: Posting, lot: Lot | None) -> Posting:
    if lot is None or posting.lot_id != NEW_LOT:
        return posting
    return msgspec.structs.replace(posting, lot_id=lot.lot_id)


def _grant(matter: Matter, lot: Lot) -> GrantRow:
    """Return the grant of a make-good: its quota counts what the claim was made good in all."""
    return GrantRow(
        member_id=matter.wanted.member_id,
        programme=matter.programme.code,
        line=matter.benefit.code,
        period=str(matter.wanted.claim_id),
        cause=MAKE_GOOD,
        quota=matter.made_good + lot.granted,
        quantity=lot.granted,
        lot_id=lot.lot_id,
        granted_at=lot.granted_at,
    )


def _told(
    matter: Matter, correction_id: UUID, lot: Lot | None
) -> tuple[str, UUID | None, dict[str, object]]:
    """Return type, subject and data of the event."""
    wanted, effect = matter.wanted, matter.effect
    shown = partial(matter.programme.whole, matter.item)
    data: dict[str, object] = {**named(matter.item), "quantity": shown(matter.steps)}
    match wanted.kind:
        case Kind.REVERSE:
            data["expired"] = shown(_sum(effect, Account.AVAILABLE, Account.EXPIRED))
            data["made_good"] = shown(lot.granted if lot else 0)
            data["lot_id"] = lot.lot_id if lot else None
            data["expires_at"] = _in_utc(lot.expires_at) if lot else None
            return "entitlement.returned", wanted.claim_id, data
        case Kind.REVOKE:
            return "entitlement.revoked", wanted.lot_id, data
        case Kind.CLAW_BACK:
            data["taken"] = shown(_sum(effect, Account.AVAILABLE, Account.REVOKED))
            data["owed"] = shown(_sum(effect, Account.DEBT, Account.REVOKED))
            data["borne"] = shown(_sum(effect, Account.REDEEMED, Account.LOSS))
            return "entitlement.clawed_back", correction_id, data
        case Kind.FORGIVE:
            return "entitlement.debt_forgiven", correction_id, data
        case Kind.MAKE_GOOD:
            assert lot is not None, "a make-good makes a lot"
            data |= {"claim_id": str(wanted.claim_id), "expires_at": _in_utc(lot.expires_at)}
            return "entitlement.made_good", lot.lot_id, data
        case Kind.SETTLE:
            assert effect.state is not None, "a settled order has a state"
            data |= {"quantity": matter.of_claim.quantity, "delivered": wanted.quantity}
            data["state"] = effect.state.value
            return "order.settled", wanted.claim_id, data
        case Kind.RECOVER:
            return "loss.recovered", wanted.claim_id, data
        case Kind.CLEAR:
            return "charge.cleared", wanted.claim_id, _cleared(matter)


def _cleared(matter: Matter) -> dict[str, object]:
    """Return what is told of a charge that ended; all of it is money of one provider."""
    (posting,), fault = matter.effect.postings, matter.wanted.fault
    assert fault is not None, "its kind needs it"
    return {
        "benefit": matter.benefit.code,
        "provider": posting.party,
        "amount_minor": posting.amount,
        "fault": fault.value,
    }


def _in_utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


def _sum(effect: Effect, debit: Account, credit: Account) -> int:
    return sum(p.amount for p in effect.postings if (p.debit, p.credit) == (debit, credit))


async def _end(conn: Connection, matter: Matter, batch_id: UUID) -> None:
    """End the hold and the order of a claim that was settled."""
    claim, split, state = matter.of_claim, matter.effect.split, matter.effect.state
    assert split is not None, "a settled order ends its hold"
    assert state is not None, "a settled order has a state"
    claim.state, claim.changed_at, claim.deadline = state, matter.now, None
    await claims.update(conn, [claim])
    worst = matter.of_hold.cost_minor * split.captured // matter.of_hold.quantity
    spent = matter.effect.budget.spent
    end = HoldEnd(
        claim.hold_id,
        batch_id,
        split.captured,
        split.released,
        split.uncapped,
        matter.now,
        None if spent == worst else spent,
    )
    await claims.end_holds(conn, [end])
    measures.count_claims(state.value, 1)


async def _count(conn: Connection, matter: Matter) -> None:
    """Give back what a claim took of caps, limits, budgets and stock; shared ones last of all."""
    effect, claim = matter.effect, matter.claim
    if not (effect.cap or effect.budget.moves or effect.stock.moves) or claim is None:
        return
    capacity, programme, benefit = Capacity(), matter.programme, matter.benefit
    await capacity.lock(conn, shared_counters(programme, benefit, claim))
    before = counted(claim, matter.of_hold, matter.counts)
    after = counted(claim, matter.of_hold, matter.counts + effect.cap)
    change_room(capacity, claim, before, after)
    capacity.add_money(programme, benefit, effect.budget, effect.stock)
    await capacity.write(conn)


async def _put_back(conn: Connection, matter: Matter, parts: Parts) -> None:
    """Put codes of what was not delivered back into stock, unless somebody saw them (V-9)."""
    claim, is_reverse = matter.claim, matter.wanted.kind is Kind.REVERSE
    if claim is None or not claim.codes or not is_reverse or matter.why is not UNDELIVERED:
        return
    kept = await pool.give_back(conn, claim.claim_id, matter.steps // matter.piece)
    if kept is None:
        return
    text = code_lines.together(parts.envelope.open(sealed).decode() for sealed in kept)
    sealed = parts.envelope.seal(text.encode()) if kept else None
    await pool.keep(conn, claim.claim_id, len(kept), sealed)
