"""Two people correct the books: one proposes, another approves what they read, or rejects it.

Nothing is posted by hand in any other way. A proposal is weighed under the member's lock and kept
with the digest of all it would do. Approving weighs it anew under the same lock: if anything of it
would now be otherwise, nothing is written, and it must be proposed again.
"""

from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import msgspec

from benefits import measures
from benefits.actions.capacity import Capacity
from benefits.actions.claim import UnknownMember
from benefits.actions.keyed import Accepted, Decided, Keyed
from benefits.actions.parts import Parts
from benefits.actions.room import change_room, counted, shared_counters
from benefits.actions.weigh_correction import Matter, weigh
from benefits.domain import corrections as rules
from benefits.domain.corrections import NEW_LOT, Effect, Kind, Said, Wanted, Why, same_person
from benefits.domain.ledger import Account, Lot, Posting
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import placed_bucket
from benefits.store import claims, corrections, members, tiers
from benefits.store.catalogue import Cache
from benefits.store.claims import HoldEnd
from benefits.store.corrections import CorrectionSeen, NewCorrection, Reversal, Verdict
from benefits.store.db import Connection, run
from benefits.store.ledger import MAKE_GOOD, Journal, Origin
from benefits.store.members import Member
from benefits.store.requests import RequestKey
from benefits.store.tiers import GrantRow

WAIT = "SET LOCAL lock_timeout = '2s'"
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


class SamePerson(Refusal):
    """Whoever proposed something does not approve it."""

    code = "same_person"
    words = "Whoever proposed it cannot approve it."


class Propose(msgspec.Struct, frozen=True, kw_only=True):
    """A person's proposal, under their key."""

    caller: str
    key: str
    wanted: Wanted
    why: Why
    note: str

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept: by the key alone, so that another member's is found."""
        return _placed(self.caller, "propose_correction", self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is asked."""
        return body_hash([self.wanted, self.why, self.note])


class Decide(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word on a proposal: with its `digest` they approve it, without they reject it."""

    caller: str
    key: str
    correction_id: UUID
    note: str = ""
    digest: str | None = None

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept: by the key alone, so that another correction's is found."""
        operation = "reject_correction" if self.digest is None else "approve_correction"
        return _placed(self.caller, operation, self.key)

    @property
    def body(self) -> bytes:
        """The hash of what is said, and on what."""
        return body_hash([self.correction_id.hex, self.note, self.digest])


def _placed(caller: str, operation: str, key: str) -> RequestKey:
    return RequestKey(placed_bucket(caller, operation, key), caller, operation, key)


async def propose(conn: Connection, command: Propose, parts: Parts) -> Decided | Refusal:
    """Keep a proposal with all it would do, in this transaction; nothing is posted."""
    member_id = command.wanted.member_id
    await run(conn, WAIT)
    locked = await members.lock(conn, [member_id], wait=True)
    if member_id not in locked:
        return UnknownMember()
    keyed = Keyed()
    await keyed.load(conn, [command.request_key])
    outcome = keyed.earlier(command.request_key, command.body)
    now = parts.clock()
    if outcome is None:
        journal = Journal(locked, now, parts.new_id)
        decided: Accepted | Refusal
        try:
            matter = await weigh(
                conn,
                command.wanted,
                parts.catalogue,
                journal,
                why=command.why,
                member=locked[member_id],
            )
        except Refusal as refusal:
            decided = refusal
        else:
            decided = await _keep(conn, command, matter, journal)
        outcome = keyed.decide(command.request_key, command.body, decided)
    await keyed.write(conn, now)
    return outcome


async def _keep(conn: Connection, command: Propose, matter: Matter, journal: Journal) -> Accepted:
    wanted = command.wanted
    id_ = journal.id_for(wanted.member_id)
    effect = {
        "would": matter.effect,
        "before": matter.before,
        "after": matter.after,
        "unit": matter.unit,
    }
    new = NewCorrection(
        correction_id=id_,
        member_id=wanted.member_id,
        kind=wanted.kind.value,
        body=msgspec.json.encode(wanted).decode(),
        effect=msgspec.json.encode(effect).decode(),
        digest=rules.digest(
            id_, wanted, matter.effect, Said(command.caller, matter.now, command.why, command.note)
        ),
        reason=command.why.value,
        note=command.note,
        proposed_by=command.caller,
        proposed_at=matter.now,
        expires_at=matter.now + rules.OPEN_FOR,
    )
    await corrections.put(conn, new)
    return Accepted({"correction_id": str(id_)})


async def decide(conn: Connection, command: Decide, parts: Parts) -> Decided | Refusal:
    """Approve or reject a proposal in this transaction: all of it is posted, or nothing."""
    there = await corrections.one(conn, command.correction_id)
    if there is None:
        return UnknownCorrection()
    await run(conn, WAIT)
    locked = await members.lock(conn, [there.member_id], wait=True)
    keyed = Keyed()
    await keyed.load(conn, [command.request_key])
    outcome = keyed.earlier(command.request_key, command.body)
    now = parts.clock()
    matter: Matter | None = None
    if outcome is None:
        journal = Journal(locked, now, parts.new_id)
        # Read again: another may have decided it before the lock was ours.
        seen = await corrections.one(conn, command.correction_id)
        assert seen is not None, "a proposal stays"
        decided: Accepted | Refusal
        try:
            if seen.state(now) != "PROPOSED":
                raise CorrectionClosed
            if command.digest is None:
                await _reject(conn, command, seen, journal)
            else:
                matter = await _weigh_again(
                    conn, command, seen, (parts.catalogue, journal, locked)
                )
                await _post(conn, command, matter, journal)
            decided = Accepted({"correction_id": str(command.correction_id)})
        except Refusal as refusal:
            decided = refusal
        outcome = keyed.decide(command.request_key, command.body, decided)
    await keyed.write(conn, now)
    if matter is not None:
        await _count(conn, matter)  # counters are locked after request rows
    return outcome


async def _reject(
    conn: Connection, command: Decide, seen: CorrectionSeen, journal: Journal
) -> None:
    is_own = same_person(seen.proposed_by, command.caller)
    verdict = Verdict(
        correction_id=seen.correction_id,
        verdict="WITHDRAWN" if is_own else "REJECTED",
        decided_by=command.caller,
        decided_at=journal.now_for(seen.member_id),
        note=command.note,
    )
    await corrections.decide(conn, verdict)


Surroundings = tuple[Cache, Journal, dict[UUID, Member]]


async def _weigh_again(
    conn: Connection, command: Decide, seen: CorrectionSeen, around: Surroundings
) -> Matter:
    """Return what the proposal does, if that is still what was read (SamePerson, Stale)."""
    if same_person(seen.proposed_by, command.caller):
        raise SamePerson
    if command.digest != seen.digest:
        raise CorrectionStale
    cache, journal, locked = around
    wanted, why = msgspec.convert(seen.body, Wanted), Why(seen.reason)
    try:
        matter = await weigh(conn, wanted, cache, journal, why=why, member=locked[seen.member_id])
    except Refusal as refusal:
        raise CorrectionStale(f"{CorrectionStale.words} ({refusal.code})") from refusal
    said = Said(seen.proposed_by, seen.proposed_at, why, seen.note)
    now = rules.digest(seen.correction_id, wanted, matter.effect, said)
    if now != seen.digest:
        raise CorrectionStale
    return matter


async def _post(conn: Connection, command: Decide, matter: Matter, journal: Journal) -> None:
    """Write everything a correction does, under one batch that names it as its cause."""
    effect, member_id = matter.effect, matter.wanted.member_id
    lot = _lot(matter, journal) if effect.lot else None
    kind, subject_id, data = _told(matter, command.correction_id, lot)
    data["digest"] = command.digest
    batch_id = journal.post(
        member_id,
        kind,
        [_named(posting, lot) for posting in effect.postings],
        actor=command.caller,
        subject_id=subject_id,
        data=data,
        cause_id=command.correction_id,
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
    verdict = Verdict(
        correction_id=command.correction_id,
        verdict="APPROVED",
        decided_by=command.caller,
        decided_at=matter.now,
        note=command.note,
        batch_id=batch_id,
    )
    await corrections.decide(conn, verdict)


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
    shown = partial(matter.programme.whole, matter.benefit)
    data: dict[str, object] = {"benefit": matter.benefit.code, "quantity": shown(matter.steps)}
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
    end = HoldEnd(
        claim.hold_id, batch_id, split.captured, split.released, split.uncapped, matter.now
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
