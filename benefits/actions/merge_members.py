"""Merge two customers who are one person: all that one has is the other's from then on (T-10).

One transaction, under both members' locks. Free units and debts move by transfers, each under its
terms; what an order holds stays with it, and the sweep moves what comes back of it. Balances,
claims and counters stay where they are and count along (`store/merged`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits.actions.claim import UnknownMember
from benefits.actions.evaluate import told_of
from benefits.actions.keyed import Accepted, once
from benefits.actions.keyed import Decided as Outcome
from benefits.actions.parts import Parts
from benefits.actions.tell_news import tell
from benefits.actions.transfer import transfer
from benefits.domain import ledger, merges, topics
from benefits.domain.catalogue import Catalogue
from benefits.domain.floors import opened_since
from benefits.domain.ledger import Part
from benefits.domain.merges import MergeLine, Party
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.domain.values import Month, local_date, member_id
from benefits.store import (
    assets,
    consents,
    endings,
    holders,
    members,
    merged,
    people,
    tiers,
    welcomes,
)
from benefits.store import ledger as books
from benefits.store.assets import ChunkResult
from benefits.store.db import Connection, run
from benefits.store.ledger import Journal
from benefits.store.members import Member
from benefits.store.requests import RequestKey
from benefits.store.tiers import Decided

OPERATION = "merge"
SWEEP = "system:expire"
WAIT = "SET LOCAL lock_timeout = '2s'"


class MergeMembers(msgspec.Struct, frozen=True, kw_only=True):
    """The bank's word that one customer is another one, who goes on."""

    caller: str
    key: str
    of: UUID
    into: UUID

    @property
    def request_key(self) -> RequestKey:
        """Where the outcome is kept: by the key alone, so that another merger's is found."""
        return RequestKey.placed(self.caller, OPERATION, self.key)

    @property
    def body(self) -> bytes:
        """The hash of who is merged into whom."""
        return body_hash([self.of.hex, self.into.hex])


class Merged(msgspec.Struct, frozen=True):
    """Whom a customer counts for now; whether that is news."""

    into: UUID
    is_new: bool


class _Merging(msgspec.Struct, frozen=True):
    """What members are merged with: who, whose, by which programmes, when."""

    locked: dict[UUID, Member]
    of: UUID
    into: UUID
    catalogue: Catalogue
    journal: Journal
    now: datetime


async def merge_members(
    conn: Connection, command: MergeMembers, parts: Parts
) -> Outcome | Refusal:
    """Merge two members under a key (UnknownMember, and what `domain/merges` refuses)."""
    await assets.alone(conn)  # what the bank brings is judged by who counts for whom
    await run(conn, WAIT)
    await _lock(conn, [command.of, command.into])

    async def work() -> Accepted | Refusal:
        done = await _merge(conn, command.of, command.into, parts, actor=command.caller)
        if isinstance(done, Refusal):
            return done
        return Accepted({"member_id": str(command.of), "into": str(done.into)})

    return await once(conn, command.request_key, command.body, parts, work=work)


async def record_merges(
    conn: Connection, lines: Sequence[tuple[int, MergeLine]], parts: Parts, *, member_key: bytes
) -> ChunkResult:
    """Merge customers in the order of numbered lines; the result names those refused and why."""
    pairs = [
        (number, member_id(line.customer, member_key), member_id(line.into, member_key))
        for number, line in lines
    ]
    await assets.alone(conn)
    await _lock(conn, [id_ for _, of, into in pairs for id_ in (of, into)])
    kept, refused = 0, list[tuple[int, str]]()
    for number, of, into in pairs:
        done = await _merge(conn, of, into, parts, actor="system:import")
        if isinstance(done, Merged):
            kept += done.is_new
        else:
            refused.append((number, f"{done.code}: {done.detail}"))
    return ChunkResult(kept, len(lines) - kept - len(refused), refused)


async def _lock(conn: Connection, ids: Sequence[UUID]) -> None:
    """Lock members and whoever was merged into them, in one order for all.

    Nobody is merged into a member whose row is locked. The caller is `alone`.
    """
    wanted = {*ids, *await merged.along(conn, ids)}
    while True:
        await members.lock(conn, wanted, wait=True)
        more = {*ids, *await merged.along(conn, ids)} - wanted
        if not more:
            return
        wanted |= more


async def _merge(
    conn: Connection, of: UUID, into: UUID, parts: Parts, *, actor: str
) -> Merged | Refusal:
    """Merge two members who are locked, with whoever was merged into the first of them."""
    locked = await members.lock(conn, [of, into], wait=True)
    if of not in locked or into not in locked:
        return UnknownMember()
    plan, now = await parts.catalogue.plan(conn), parts.clock()
    catalogue = plan.at(now)
    first, second = _party(locked[of]), _party(locked[into])
    if of != into and merges.is_done(first, second):
        assert first.merged_into is not None, "they are one"
        return Merged(first.merged_into, is_new=False)
    today = local_date(now, catalogue.zone)
    refusal = merges.refusal(first, second, today)
    if refusal is not None:
        return refusal
    journal = Journal(locked, now, parts.new_id)
    merging = _Merging(locked, of, into, catalogue, journal, now)
    for id_, other in ((of, into), (into, of)):
        data = {"merged": of, "into": into}
        journal.event(id_, "member.merged", subject_id=other, data=data)
    decided = await _decide_tiers(conn, merging)
    await _move(conn, journal, catalogue, {of: into}, now=now, actor=actor)
    await journal.write(conn)
    for code, one in decided:
        await tiers.put(conn, catalogue.rules[code], [one])
    opened_on = min(member.opened_on for member in locked.values())
    await merged.put(conn, [of, *await merged.along(conn, [of])], into, opened_on, now=now)
    if opened_since(plan.rules, today) is not None:
        due = max(today, opened_on)
        await welcomes.put_due(conn, {into: due})  # it may have opened before, with the other
    await merged.copy_labels(conn, of, into, now)
    await people.merge(conn, of, into)
    await consents.merge(conn, of, into)
    await merged.end_outlook(conn, of, now)
    if await holders.any_(conn):
        await holders.merge(conn, of, into, now)
    await tell(conn, parts, [(topics.MERGERS, Month.of(today).plus(-1).start)])
    return Merged(into, is_new=True)


def _party(member: Member) -> Party:
    return Party(
        member_id=member.member_id,
        closed_on=member.closed_on,
        deceased=member.deceased,
        merged_into=member.merged_into,
    )


async def _decide_tiers(conn: Connection, merging: _Merging) -> list[tuple[str, Decided]]:
    """Decide the higher tier of the two in each programme, until the next month is decided."""
    found = await endings.latest(conn, [merging.of, merging.into])
    latest = {(id_, code): (since, decision) for id_, code, since, decision in found}
    evaluated = await merged.evaluated(conn, merging.into)
    decided = list[tuple[str, Decided]]()
    for code, programme in sorted(merging.catalogue.programmes.items()):
        theirs, own = latest.get((merging.of, code)), latest.get((merging.into, code))
        if theirs is None:
            continue
        decision = merges.higher(theirs[1], own[1] if own else None, evaluated.get(code))
        if decision is None:
            continue
        at = merging.journal.now_for(merging.into)
        one = Decided(
            decision_id=merging.journal.id_for(merging.into),
            member_id=merging.into,
            decision=decision,
            decided_at=at,
            effective_from=max(at, theirs[0], own[0]) if own else max(at, theirs[0]),
        )
        merging.journal.event(
            merging.into,
            "tier.merged",
            subject_id=one.decision_id,
            data=told_of(programme, decision, one.effective_from),
        )
        decided.append((code, one))
    return decided


async def move_left(
    conn: Connection, parts: Parts, *, buckets: tuple[int, int], limit: int
) -> tuple[int, int]:
    """Move what came free of those who were merged; return how many were seen, how many are busy.

    A part of the sweep: idempotent, and members whom somebody else holds are left to the next.
    """
    catalogue = await parts.catalogue.current(conn)
    found = await merged.left(conn, buckets, local_date(parts.clock(), catalogue.zone), limit)
    if not found:
        return 0, 0
    locked = await members.lock(conn, {*found, *found.values()}, wait=False)
    now = parts.clock()
    into = {
        id_: other
        for id_ in found
        if id_ in locked and (other := locked[id_].merged_into) is not None and other in locked
    }
    journal = Journal(locked, now, parts.new_id)
    moved = await _move(conn, journal, catalogue, into, now=now, actor=SWEEP)
    await journal.write(conn)
    today = local_date(now, catalogue.zone)
    over = {  # what comes to whoever has left ends with the next sweep
        id_: today
        for id_ in moved
        if locked[id_].closed_on is not None and not locked[id_].end_due
    }
    await endings.put_due(conn, dict.fromkeys(into) | over)
    return len(into), len(found) - len(into)


async def _move(
    conn: Connection,
    journal: Journal,
    catalogue: Catalogue,
    into: Mapping[UUID, UUID],
    *,
    now: datetime,
    actor: str,
) -> set[UUID]:
    """Move debts and then free units of members to others; return who received any (L-2, L-8)."""
    owed = {(id_, unit): debt for id_, unit, debt in await merged.owed(conn, list(into))}
    free = {one.lot_id: one for one in await merged.free(conn, list(into), now)}
    lots = await books.lots_by_id(conn, sorted(free))
    journal.load(lots)
    pairs = {(into[id_], lot.unit) for id_, lot in lots} | {(into[i], unit) for i, unit in owed}
    journal.load_owed(await books.owed(conn, pairs) if pairs else {})
    for (id_, unit), debt in sorted(owed.items()):
        told = {"unit": unit, "quantity": catalogue.whole(unit, debt)}
        gives, takes = ledger.give_debt(unit, debt), ledger.take_debt(unit, debt)
        first = journal.post(
            id_,
            "entitlement.debt_given",
            gives,
            actor=actor,
            subject_id=into[id_],
            data=told,
        )
        journal.post(
            into[id_],
            "entitlement.debt_taken",
            takes,
            actor=actor,
            subject_id=id_,
            data=told,
            cause_id=first,
        )
    for id_, lot in sorted(lots, key=lambda pair: (pair[0], ledger.fefo(pair[1]))):
        other, part = into[id_], Part(lot.lot_id, lot.remaining - lot.held)
        owed_now = journal.owed(other, lot.unit)
        whose, of = (id_, other), (part, free[lot.lot_id])
        transfer(journal, catalogue, whose, of, actor=actor, owed=owed_now)
    return {into[id_] for id_, _ in lots}
