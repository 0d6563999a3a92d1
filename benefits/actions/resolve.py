"""Providers' answers are applied to orders: units are captured, released, issued anew, or lost.

Every way an answer can come (a call's response, a query, a callback, a deadline) ends here.
Answers are idempotent by the order's lattice: a replay or a late arrival changes nothing twice
(V-3, V-4). They are weighed by the terms the claim was made under (U-3); how often a provider is
asked, and how much room there is, is told by the programme of today.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits import measures
from benefits.actions.answers import (
    Answer,
    Attempted,
    Resolved,
    after_attempt,
    after_callback,
    is_revoking,
    is_undecided,
    newest,
    weighed,
)
from benefits.actions.capacity import Capacity
from benefits.actions.claim import UNSENT_FOR, cost_of
from benefits.actions.parts import Parts
from benefits.actions.pricing import paid
from benefits.actions.room import (
    change_room,
    check_room,
    counted,
    other_counters,
    own_counters,
    recent_counters,
    shared_counters,
)
from benefits.domain import entitlement, ledger
from benefits.domain.benefit import Benefit, Consumed
from benefits.domain.catalogue import Catalogue
from benefits.domain.entitlement import CounterUse
from benefits.domain.ledger import Cost, Posting
from benefits.domain.limits import Counted
from benefits.domain.orders import (
    OPEN,
    Capabilities,
    Done,
    Effect,
    IssueRequest,
    Lapsed,
    LateSuccess,
    NotSent,
    Operation,
    OrderState,
    Outcome,
    Pending,
    Reason,
    Rejected,
    Step,
    Terms,
    Unknown,
    Used,
    advance,
)
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.requests import body_hash
from benefits.store import claims, members, orders
from benefits.store import ledger as books
from benefits.store.claims import Case, ClaimRow, HoldEnd, HoldRow, Reserved
from benefits.store.db import Connection, Together
from benefits.store.ledger import Journal
from benefits.store.orders import RequestRow

_ENDED = frozenset({OrderState.COMPENSATED, OrderState.EXPIRED})


class _Group:
    """Answers applied one after the other to claims whose members are locked."""

    def __init__(self, parts: Parts, offers: Catalogue, journal: Journal, now: datetime) -> None:
        self.parts = parts
        self.catalogue = offers
        self.journal = journal
        self.now = now
        self.claims: dict[UUID, ClaimRow] = {}
        self.offers: dict[UUID, tuple[Programme, Benefit]] = {}
        self.holds: dict[UUID, HoldRow] = {}
        self.capacity = Capacity()
        self.new_holds: list[HoldRow] = []
        self.ends: list[HoldEnd] = []
        self.requests: list[RequestRow] = []
        self.cases: list[Case] = []
        self.changed: set[UUID] = set()
        self.revoking: set[UUID] = set()
        self.issued: dict[UUID, RequestRow] = {}
        self.open_cases: set[tuple[UUID, str]] = set()
        self.came_to: Counter[OrderState] = Counter()

    async def load(
        self,
        conn: Connection,
        ids: Sequence[UUID],
        told_twice: Collection[UUID],
        *,
        taken: Sequence[UUID],
    ) -> None:
        """Read claims, holds, lots, members' counters; lock the shared counters, last of all.

        A claim whose units came back, or may come back to it before its last answer, can need
        others of the member's lots. Others were merged into the `taken` members.
        """
        self.claims = await claims.by_id(conn, ids)
        found = list(self.claims.values())
        for claim in found:
            self.offers[claim.claim_id] = await self.parts.catalogue.made_under(conn, claim)
        self.open_cases = await claims.open_cases_of(conn, ids)
        self.holds = await claims.holds(conn, [c.hold_id for c in found])
        lots = sorted({part.lot_id for h in self.holds.values() for part in h.parts})
        self.journal.load(await books.lots_by_id(conn, lots))
        ended = [c for c in found if c.state in _ENDED or c.claim_id in told_twice]
        if ended:
            pairs = [(c.member_id, self._offer(c)[1].unit) for c in ended]
            self.journal.load(await books.lots_of(conn, pairs, self.now))
            asked = await orders.of_claims(conn, [(c.member_id, c.claim_id) for c in ended])
            for request in (r for of in asked.values() for r in of):
                if not is_revoking(request):
                    self.issued[request.claim_id] = request
                elif request.next_at:
                    self.revoking.add(request.claim_id)
        mine = [key for c in found for key in own_counters(c)]
        mine += [key for c in ended for key in other_counters(self._today(c)[0], c)]
        recent = [key for c in ended for key in recent_counters(self._today(c)[0], c)]
        await self.capacity.load_own(conn, mine, recent, taken=taken)
        if found:
            shared = {key for c in found for key in shared_counters(*self._offer(c), c)}
            await self.capacity.lock(conn, shared)

    def _today(self, claim: ClaimRow) -> tuple[Programme, Benefit]:
        return self.catalogue.offers[claim.benefit]

    def _offer(self, claim: ClaimRow) -> tuple[Programme, Benefit]:
        return self.offers[claim.claim_id]

    def terms(self, claim: ClaimRow) -> tuple[Terms, Capabilities]:
        """Return what of the claim's terms matters to the order, and how to ask its provider."""
        programme, benefit = self._offer(claim)
        agreed = programme.providers[benefit.provider].capabilities
        at_issue = benefit.consumed is Consumed.ISSUE
        today = self.catalogue.programmes[programme.code].providers[benefit.provider]
        return Terms(at_issue, agreed.late_success), today.capabilities

    def apply(self, answer: Answer) -> Resolved:
        """Apply one answer; what it changes is written at the end."""
        claim = self.claims[answer.claim_id]
        terms, capabilities = self.terms(claim)
        outcome: Outcome | Lapsed = answer.outcome
        if answer.operation is Operation.REVOKE:
            if isinstance(outcome, Rejected) and outcome.reason is Reason.NOT_FOUND:
                self._case(claim, "revoke_unanswered", "The provider does not know the order.")
                outcome = Unknown("not found")
            elif isinstance(outcome, Rejected):
                # What cannot be taken back was delivered: it is the member's, or the bank's loss.
                outcome = Done(at=self.now)
            terms = msgspec.structs.replace(terms, late_success=LateSuccess.REISSUE)
        step = advance(claim.state, outcome, terms)
        if step != Step(claim.state):
            self._take(claim, step, outcome, answer.actor)
        elif isinstance(outcome, Done) and outcome.code and claim.code_sealed is None:
            self._note(claim, step, outcome)
        watch = claim.state is OrderState.ISSUED and not terms.consumed_at_issue
        return Resolved(claim.state, claim.state in OPEN or watch, capabilities)

    def _take(self, claim: ClaimRow, step: Step, outcome: Outcome | Lapsed, actor: str) -> None:
        before = claim.state
        claim.state = step.state
        self.came_to[step.state] += 1
        self._note(claim, step, outcome)
        match step.effect:
            case Effect.CAPTURE:
                self._end(claim, self.holds[claim.hold_id], actor, paid=self._paid(claim, outcome))
            case Effect.RELEASE:
                self._end(claim, self.holds[claim.hold_id], actor, paid=None)
            case Effect.REISSUE | Effect.REISSUE_AND_CAPTURE:
                captured = step.effect is Effect.REISSUE_AND_CAPTURE
                self._reissue(claim, actor, self._paid(claim, outcome), captured=captured)
            case Effect.REVOKE:
                self._revoke(claim)
            case Effect.NONE if claim.state is OrderState.HELD:
                pass  # it was tried and never left: for the member nothing happened
            case Effect.NONE if claim.state is not before:
                self._event(claim, None)
            case Effect.NONE:
                pass
        if step.case:
            said = type(outcome).__name__.lower()
            self._case(
                claim, step.case, f"The order was {before.value}, the provider says {said}."
            )

    def _note(self, claim: ClaimRow, step: Step, outcome: Outcome | Lapsed) -> None:
        """Keep what an answer tells besides the state."""
        claim.changed_at = self.now
        # Only what was provably never sent may lapse.
        unsent = step.state is OrderState.HELD
        claim.deadline = claim.claimed_at + UNSENT_FOR if unsent else None
        if isinstance(outcome, Done | Used | Pending) and outcome.reference:
            claim.provider_reference = outcome.reference
        if isinstance(outcome, Done) and outcome.code:
            claim.code_sealed = self.parts.envelope.seal(outcome.code.encode())
        if isinstance(outcome, Rejected) and step.effect is Effect.RELEASE:
            claim.reason = outcome.reason.value.lower()
        self.changed.add(claim.claim_id)

    def _data(self, claim: ClaimRow) -> dict[str, object]:
        return {"benefit": claim.benefit, "quantity": claim.quantity, "reason": claim.reason}

    def _kind(self, claim: ClaimRow) -> str:
        return f"order.{claim.state.value.lower()}"

    def _event(self, claim: ClaimRow, kind: str | None) -> None:
        self.journal.event(
            claim.member_id,
            kind or self._kind(claim),
            subject_id=claim.claim_id,
            data=self._data(claim),
        )

    def _post(self, claim: ClaimRow, postings: list[Posting], actor: str) -> UUID:
        return self.journal.post(
            claim.member_id,
            self._kind(claim),
            postings,
            actor=actor,
            subject_id=claim.claim_id,
            data=self._data(claim),
            cause_id=claim.claim_id,
        )

    def _paid(self, claim: ClaimRow, outcome: Outcome | Lapsed) -> int:
        """Return what the pieces of a claim cost, if they are delivered as an outcome says."""
        used_at = outcome.at if isinstance(outcome, Done | Used) else self.now
        return paid(claim, self._offer(claim), self._today(claim), used_at=used_at, now=self.now)

    def _end(self, claim: ClaimRow, hold: HoldRow, actor: str, *, paid: int | None) -> None:
        """End a hold: its pieces are `paid` for, or were released."""
        if hold.ended:  # delivered at the bank's loss: no units of the member are concerned
            self._event(claim, None)
            return
        self.holds[hold.hold_id] = msgspec.structs.replace(hold, ended=True)
        cost = self._reserved(claim, hold)
        at = self.journal.now_for(claim.member_id)
        if paid is not None:
            postings = ledger.capture(hold.unit, hold.parts) + ledger.spend(cost, paid)
        else:
            postings = ledger.release(hold.parts, self.journal.lots, at) + ledger.unreserve(cost)
        batch_id = self._post(claim, postings, actor)
        quantity = hold.quantity
        given_back = (quantity, hold.uncapped) if paid is None else (0, 0)
        spent = None if paid == hold.cost_minor else paid
        self.ends.append(
            HoldEnd(hold.hold_id, batch_id, quantity - given_back[0], *given_back, at, spent)
        )
        pieces = CounterUse(-claim.quantity, 0 if paid is None else claim.quantity)
        self._count(claim, CounterUse(-hold.cost_minor, paid or 0), pieces)
        if paid is None:
            counts = counted(claim, hold, quantity - hold.uncapped)
            change_room(self.capacity, claim, counts, counted(claim, hold, 0))

    def _reserved(self, claim: ClaimRow, hold: HoldRow) -> Cost:
        """Return what a hold reserved, with the budget it was reserved in and whom it pays."""
        programme, benefit = self._offer(claim)
        if hold.reserved is None:
            return cost_of(programme, benefit, 0, provider=hold.provider)
        reserved = hold.reserved
        return Cost(reserved.unit, reserved.budget, hold.provider, reserved.minor)

    def _count(self, claim: ClaimRow, cost: CounterUse, pieces: CounterUse) -> None:
        self.capacity.add_money(*self._offer(claim), cost, pieces)

    def _reissue(self, claim: ClaimRow, actor: str, paid: int, *, captured: bool) -> None:
        """Take the units again for what was delivered after all; else it is a loss (G-CB-4)."""
        programme, benefit = self._offer(claim)
        cost = programme.minor(benefit.cost) * claim.quantity
        was = self.holds[claim.hold_id]  # whatever the programme says today of what it takes
        provider, unit, taken = was.provider, was.unit, was.quantity
        price = cost_of(programme, benefit, cost, provider=provider)
        at, bearers = self.journal.now_for(claim.member_id), programme.bearers[benefit.budget]
        try:
            parts = ledger.take(self.journal.lots_of(claim.member_id, unit), taken, at)
            uncapped = entitlement.uncapped_units(parts, self.journal.lots)
            piece, piece_cost = taken // claim.quantity, programme.minor(benefit.cost)
            counts = Counted(taken - uncapped, piece, piece_cost)
            check_room(self.capacity, self._today(claim), claim, counts, bearers=bearers)
        except Refusal as refusal:
            lost = ledger.make_up(unit, taken)
            owed = msgspec.structs.replace(price, minor=paid)
            self._post(claim, lost + ledger.bear(owed), actor)
            self._case(claim, "delivered_without_entitlement", refusal.code)
            return
        postings = ledger.hold(unit, parts) + ledger.reserve(price)
        if captured:
            postings += ledger.capture(unit, parts) + ledger.spend(price, paid)
        batch_id = self._post(claim, postings, actor)
        hold = HoldRow(
            hold_id=self.journal.id_for(claim.member_id),
            member_id=claim.member_id,
            claim_id=claim.claim_id,
            batch_id=batch_id,
            unit=unit,
            quantity=taken,
            cost_minor=cost,
            placed_at=at,
            uncapped=uncapped,
            parts=tuple(parts),
            reserved=Reserved(price.unit, price.budget, cost) if cost else None,
            provider=provider,
            ended=captured,
        )
        claim.hold_id = hold.hold_id
        claim.reason = ""
        self.holds[hold.hold_id] = hold
        self.new_holds.append(hold)
        use = CounterUse(0, claim.quantity) if captured else CounterUse(claim.quantity, 0)
        self._count(claim, CounterUse(0, paid) if captured else CounterUse(cost, 0), use)
        change_room(self.capacity, claim, counted(claim, hold, 0), counts)
        ids = (claim.member_id, claim.claim_id)
        self.capacity.tell(self.journal, self._today(claim)[0], bearers, ids)
        if captured:
            spent = None if paid == cost else paid
            end = HoldEnd(hold.hold_id, batch_id, taken, 0, 0, at, spent)
            self.ends.append(end)

    def _revoke(self, claim: ClaimRow) -> None:
        if claim.claim_id in self.revoking:
            return
        self.revoking.add(claim.claim_id)
        issued = self.issued[claim.claim_id]  # whatever the programme says today
        asked = IssueRequest(sku=issued.sku, quantity=claim.quantity)
        self.requests.append(
            RequestRow(
                request_id=self.journal.id_for(claim.member_id),
                member_id=claim.member_id,
                claim_id=claim.claim_id,
                provider=issued.provider,
                sku=issued.sku,
                operation=Operation.REVOKE,
                body_sealed=self.parts.envelope.seal(msgspec.json.encode(asked)),
                body_hash=body_hash(asked),
                disclosed=[],
                created_at=self.now,
                traceparent=issued.traceparent,
            )
        )
        self._event(claim, "order.revoking")

    def _case(self, claim: ClaimRow, kind: str, detail: str) -> None:
        if (claim.claim_id, kind) in self.open_cases:
            return
        self.open_cases.add((claim.claim_id, kind))
        case_id = self.journal.id_for(claim.member_id)
        self.cases.append(Case(case_id, claim.member_id, claim.claim_id, kind, detail, self.now))
        self._event(claim, "case.opened")

    def leave_revocation(self, claim_id: UUID) -> None:
        """Leave to a person whether a provider took back what it delivered late."""
        self._case(self.claims[claim_id], "revoke_unanswered", "The provider never said.")

    def give_up(self, claim_id: UUID, last: Outcome | Lapsed) -> None:
        """Leave an order nobody could clear up by asking to a person (V-3)."""
        claim = self.claims[claim_id]
        if claim.state is OrderState.MANUAL:
            return
        claim.state = OrderState.MANUAL
        self.came_to[OrderState.MANUAL] += 1
        claim.changed_at = self.now
        self.changed.add(claim_id)
        self._event(claim, None)
        evidence = f" Last: {last.evidence}." if isinstance(last, NotSent | Unknown) else ""
        words = f"The provider never said what became of the order.{evidence}"
        self._case(claim, "no_answer", words)

    async def write(self, conn: Connection, plans: Sequence[orders.Plan]) -> None:
        """Write everything the answers changed, and when requests are asked next."""
        together = Together(conn)
        await self.journal.write(together)
        await claims.update(together, [self.claims[id_] for id_ in sorted(self.changed)])
        await claims.put_holds(together, self.new_holds)
        await claims.end_holds(together, self.ends)
        await claims.open_cases(together, self.cases)
        await orders.put(together, self.requests, self.now)
        await orders.schedule(together, plans)
        await self.capacity.write(together)
        await together.send()
        for state, claims_ in self.came_to.items():
            measures.count_claims(state.value, claims_)


async def resolve(
    conn: Connection,
    answers: Sequence[Answer],
    parts: Parts,
    *,
    attempts: Sequence[Attempted] = (),
) -> frozenset[UUID]:
    """Apply answers in order, those of `attempts` last; decide when each request is asked next.

    Nobody is waited for: returns the claims whose member somebody else holds. Their answers were
    left, for the caller to bring again.
    """
    ids = sorted({a.claim_id for a in (*answers, *(t.answer for t in attempts))})
    if not ids:
        return frozenset()
    plan = await parts.catalogue.plan(conn)
    owners = await claims.owners(conn, ids)
    locked, busy = await members.lock_persons(conn, set(owners.values()))
    left = frozenset(id_ for id_, member_id in owners.items() if member_id in busy)
    if left:
        ids = [id_ for id_ in ids if id_ not in left]
        answers = [answer for answer in answers if answer.claim_id not in left]
        attempts = [attempt for attempt in attempts if attempt.answer.claim_id not in left]
    if not ids:
        return left
    now = parts.clock()
    group = _Group(parts, plan.at(now), Journal(locked, now, parts.new_id), now)
    times = Counter(a.claim_id for a in (*answers, *(t.answer for t in attempts)))
    twice = [id_ for id_, n in times.items() if n > 1]
    taken = [id_ for id_, one in locked.items() if one.has_merged]
    await group.load(conn, ids, twice, taken=taken)
    plans = list[orders.Plan]()
    if answers:
        told = {answer.claim_id for answer in answers}
        pairs = [(group.claims[id_].member_id, id_) for id_ in sorted(told)]
        waiting = await orders.of_claims(conn, pairs)
        for answer in answers:
            resolved = group.apply(answer)
            plans += after_callback(waiting.get(answer.claim_id, []), resolved, now)
    latest_attempts = await newest(conn, attempts)
    for attempt in attempts:
        plans.append(_after_attempt(group, attempt, weighed(attempt, latest_attempts), now))
    latest = {(p.request.request_id, p.request.attempt): p for p in plans}
    await group.write(conn, list(latest.values()))
    return left


def _after_attempt(
    group: _Group, attempt: Attempted, answer: Answer, now: datetime
) -> orders.Plan:
    """Apply what an attempt learned, and say when to ask again; a person, when never (V-3)."""
    before = group.claims[answer.claim_id].state
    resolved = group.apply(answer)
    plan = after_attempt(attempt, before, resolved, now)
    if plan.next_at is None and is_undecided(attempt.answer.outcome):
        if is_revoking(attempt.request):
            group.leave_revocation(answer.claim_id)
        elif resolved.state in OPEN:
            group.give_up(answer.claim_id, attempt.answer.outcome)
    return plan
