"""Providers' answers are applied to orders: units are captured, released, issued anew, or lost.

Every way an answer can come (a call's response, a query, a callback, a deadline) ends here.
Answers are idempotent by the order's lattice: a replay or a late arrival changes nothing twice
(V-3, V-4). They are weighed by the terms the claim was made under (U-3); how often a provider is
asked, and how much room there is, is told by the programme of today.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from benefits import measures
from benefits.actions.answers import (
    Answer,
    Attempted,
    Resolved,
    Stands,
    after_attempt,
    after_callback,
    doubted,
    ends_rest,
    has_new_rest,
    is_unanswered,
    is_undecided,
    may_undo,
    newest,
    not_taken_back,
    of_use,
    spent_at,
    terms_of,
    weighed,
    why_over,
)
from benefits.actions.capacity import Unlocked
from benefits.actions.effects import Offer, kind_of
from benefits.actions.follow import Follow
from benefits.actions.parts import Parts
from benefits.actions.pieces import Pieces
from benefits.actions.pricing import UNSENT_FOR
from benefits.actions.room import (
    other_counters,
    own_counters,
    recent_counters,
    shared_counters,
    turns_of_many,
)
from benefits.domain.catalogue import Catalogue
from benefits.domain.events import NO_SHOW
from benefits.domain.lattice import (
    Course,
    Delivery,
    Effect,
    Lapsed,
    Step,
    Terms,
    advance,
    pieces_told,
)
from benefits.domain.orders import (
    DELIVERED,
    OPEN,
    USABLE,
    Capabilities,
    Confirmed,
    Done,
    Expired,
    LateSuccess,
    NotSent,
    Operation,
    OrderState,
    Outcome,
    PartlyUsed,
    Pending,
    RedeemBy,
    Rejected,
    Reversed,
    Unknown,
    Used,
    can_query,
    patience,
    redacted,
)
from benefits.store import claims, members, orders, tiers
from benefits.store import ledger as books
from benefits.store.claims import ClaimRow
from benefits.store.db import Connection, Together
from benefits.store.ledger import Journal

# The cases about what was asked of an order that stands and never answered; of a part, the rest.
UNANSWERED = {
    Operation.ISSUE: "rest_unanswered",
    Operation.REVOKE: "revoke_unanswered",
    Operation.REDEEM: "redeem_unanswered",
    Operation.REVERSE: "reverse_unanswered",
}
_ENDED = frozenset({OrderState.COMPENSATED, OrderState.EXPIRED})
# Whose answers say how many pieces came.
_COUNTING = frozenset({Operation.ISSUE, Operation.CONFIRM})
_REFERRING = Done | Confirmed | Used | PartlyUsed | Pending
NO_ANSWER = "no_answer"  # the case about an order that nobody could clear up by asking


class _Group:
    """Answers applied one after the other to claims whose members are locked."""

    def __init__(self, parts: Parts, offers: Catalogue, journal: Journal, now: datetime) -> None:
        self.parts = parts
        self.catalogue = offers
        self.journal = journal
        self.now = now
        self.claims: dict[UUID, ClaimRow] = {}
        self.offers: dict[UUID, Offer] = {}
        self.units = Pieces(journal, self.offers, offers)
        self.follow = Follow(parts, journal, self.units)
        self.changed: set[UUID] = set()
        self.came_to: Counter[OrderState] = Counter()

    async def load(
        self, conn: Connection, answers: Sequence[Answer], *, taken: Sequence[UUID], locks: bool
    ) -> None:
        """Read claims, holds, lots, members' counters; lock the shared counters, last of all.

        Unless it `locks`, and where nothing is likely to be taken again, that is put off until
        all is written.
        A claim whose units came back, or may come back to it before its last answer, can need
        others of the member's lots. Others were merged into the `taken` members.
        """
        times = Counter(answer.claim_id for answer in answers)
        self.claims = await claims.by_id(conn, times)
        found = list(self.claims.values())
        for claim in found:
            self.offers[claim.claim_id] = await self.parts.catalogue.made_under(conn, claim)
        await self.follow.load_cases(conn, times)
        holds = await claims.holds(conn, [c.hold_id for c in found])
        self.units.holds.update(holds)
        lots = [part.lot_id for h in holds.values() for part in h.parts]
        undone = {a.claim_id for a in answers if self._may_undo(a)}
        lots += await self.units.load_spent(conn, [c for c in found if c.claim_id in undone])
        self.journal.load(await books.lots_by_id(conn, sorted(set(lots))))
        await self.units.load_made_good(conn, found)
        ended = [c for c in found if c.state in _ENDED or times[c.claim_id] > 1 or c.missing]
        if ended:
            pairs = [(c.member_id, self.units.holds[c.hold_id].unit) for c in ended]
            await self.units.reach.load(conn, pairs)
        about = [c for c in found if c in ended or self._confirms(c)]
        await self.follow.load_requests(conn, about)
        mine = [key for c in found for key in own_counters(c)]
        mine += [key for c in ended for key in other_counters(self._today(c)[0], c)]
        recent = [key for c in ended for key in recent_counters(self._today(c)[0], c)]
        await self.units.capacity.load_own(conn, mine, recent, taken=taken)
        if not ended and not locks:
            self.units.capacity.put_off()
        elif found:
            shared = {key for c in found for key in shared_counters(*self._offer(c), c)}
            turns = [turn for c in ended for turn in turns_of_many(self._today(c)[0], c)]
            shared |= {place.turn for place, _ in turns}
            many = dict[str, str]()
            for place, since in turns:
                many[place.counter] = min(since, many.get(place.counter, since))
            await self.units.capacity.lock(conn, shared, many)

    def _may_undo(self, answer: Answer) -> bool:
        claim = self.claims[answer.claim_id]
        is_paid_by_use = self._offer(claim)[1].is_paid_by_use
        if claim.missing and isinstance(answer.outcome, Delivery):
            return True
        return may_undo(answer, claim, paid_by_use=is_paid_by_use)

    def _today(self, claim: ClaimRow) -> Offer:
        return self.catalogue.offers.get(claim.benefit, self._offer(claim))

    def _offer(self, claim: ClaimRow) -> Offer:
        return self.offers[claim.claim_id]

    def agreed(self, claim: ClaimRow) -> Capabilities:
        """Return what the provider can do, as the claim was made."""
        programme, benefit = self._offer(claim)
        return programme.providers[benefit.provider].capabilities

    def able(self, claim: ClaimRow) -> Capabilities:
        """Return what the provider can do today."""
        programme, benefit = self._offer(claim)
        return self.catalogue.programmes[programme.code].providers[benefit.provider].capabilities

    def _confirms(self, claim: ClaimRow) -> bool:
        return self.agreed(claim).two_phase and claim.state in OPEN

    def terms(self, claim: ClaimRow) -> Terms:
        """Return what of the claim's terms matters to the order."""
        return terms_of(claim, self._offer(claim))

    def apply(self, answer: Answer) -> Resolved:
        """Apply one answer; what it changes is written at the end."""
        claim = self.claims[answer.claim_id]
        outcome = answer.outcome
        is_counted = self._count(claim, answer)
        if answer.operation is Operation.REVOKE and isinstance(outcome, Stands):
            outcome = self._not_taken_back(claim, answer, outcome)
        elif answer.operation in {Operation.REDEEM, Operation.REVERSE}:
            outcome = of_use(answer, claim, self.now)
        terms = self.terms(claim)
        if answer.operation is Operation.REVOKE:
            terms = msgspec.structs.replace(terms, late_success=LateSuccess.REISSUE)
        step = advance(claim.state, outcome, terms, claim.course)
        if step != Step(claim.state, course=claim.course):
            self._take(claim, step, answer, outcome)
        elif isinstance(outcome, Done) and outcome.code and claim.code_sealed is None:
            self._note(claim, step, outcome)
        if isinstance(outcome, Done) and self._confirms(claim):
            self.follow.confirm(claim)
        if answer.operation is Operation.ISSUE and is_counted:
            self.follow.close(claim, UNANSWERED[Operation.ISSUE], answer)
        return self._resolved(claim, terms)

    def _count(self, claim: ClaimRow, answer: Answer) -> bool:
        """Let a claim be of the pieces that an answer says came; say whether it does (V-5).

        None that came is lost: fewer than were told before are old news. Of more the answer is a
        delivery, as of all of them. Of a provider with two phases they come when it is confirmed,
        be it fewer; what is set aside until then is held as far as there are units. Of what ended
        unused before it was delivered none came.
        """
        outcome, two_phase = answer.outcome, self.agreed(claim).two_phase
        came = pieces_told(outcome, claim.wanted, claim.told)
        if answer.operation not in _COUNTING or came is None:
            return False
        ended = isinstance(outcome, Expired) and not outcome.used
        is_over = claim.course.ended_at is not None or claim.state is OrderState.REVOKED
        is_over = is_over or (ended and (two_phase or claim.state in _ENDED))
        is_whole = claim.ordered is None and came == claim.wanted
        is_aside = two_phase and isinstance(outcome, Done)
        confirms = two_phase and not is_aside and claim.state not in DELIVERED
        if claim.course.ended_at is not None and claim.missing and came > claim.told:
            words = f"Of {claim.told} pieces it ended, the provider says that {came} came."
            self.follow.case(claim, "used_after_expired", words)
        if is_over or is_whole or came == claim.told or (came < claim.told and not confirms):
            return True
        if is_aside and claim.state in DELIVERED:
            self.follow.confirm(claim)
            return True
        count = self.units.set_aside if is_aside else self.units.recount
        trouble = count(claim, came, answer.actor)
        if trouble is not None:
            self.follow.case(claim, trouble.kind, trouble.detail)
        elif claim.state in DELIVERED:  # what is held anew is delivered anew
            claim.state = OrderState.PENDING
        if claim.missing == 0:
            claim.rest_until = None
        claim.changed_at = self.now
        self.changed.add(claim.claim_id)
        return True

    def _not_taken_back(self, claim: ClaimRow, answer: Answer, outcome: Stands) -> Outcome:
        """Return what it says of an order that its provider does not take it back."""
        kept = not_taken_back(outcome, claim, self.now)
        if kept.case:
            self.follow.case(claim, UNANSWERED[Operation.REVOKE], kept.case)
        if kept.stands:
            claim.cancelled_at, claim.changed_at = None, self.now
            self.changed.add(claim.claim_id)
            self.units.tell(claim, "order.kept")
            self.follow.close(claim, UNANSWERED[Operation.REVOKE], answer)
        return kept.outcome

    def _resolved(self, claim: ClaimRow, terms: Terms) -> Resolved:
        today = self.able(claim)
        watch = (
            claim.state in USABLE
            and (terms.paid_by_use or not terms.consumed_at_issue)
            and today.redeem_by is RedeemBy.PROVIDER
            and can_query(today, claim.provider_reference)
        )
        rest = claim.rest_until is not None and can_query(today, claim.provider_reference)
        return Resolved(
            claim.state,
            claim.state in OPEN or watch or rest,
            today,
            is_watched=watch,
            rest_until=claim.rest_until,
        )

    def _take(
        self, claim: ClaimRow, step: Step, answer: Answer, outcome: Outcome | Lapsed
    ) -> None:
        """Let an order stand where an answer, as it was weighed, puts it."""
        before, known = claim.state, claim.course
        claim.state, claim.course = step.state, step.course
        self.changed.add(claim.claim_id)
        if step.state is not before:
            self.came_to[step.state] += 1
        self._note(claim, step, outcome)
        used_at = spent_at(outcome, step.course, self.now)
        trouble = self.units.move(claim, step, answer.actor, used_at=used_at)
        if trouble is not None:
            self.follow.case(claim, trouble.kind, trouble.detail)
        if step.effect is Effect.REVOKE:
            if self.follow.ask(claim, Operation.REVOKE):
                self.units.tell(claim, "order.revoking")
        elif step.effect is Effect.NONE and claim.state is not OrderState.HELD:
            # One that is held was tried and never left: for the member nothing happened.
            self._tell(claim, before, known)
        if step.case:
            said = type(outcome).__name__.lower()
            self.follow.case(
                claim, step.case, f"The order was {before.value}, the provider says {said}."
            )
        self._await_rest(claim, before)
        if before in OPEN and claim.state not in OPEN:
            self.follow.close(claim, NO_ANSWER, answer)
        if claim.state is OrderState.REVOKED:
            self.follow.close(claim, UNANSWERED[Operation.REVOKE], answer)

    def _await_rest(self, claim: ClaimRow, before: OrderState) -> None:
        """Let pieces that are missing of an order that was delivered be asked for (V-5)."""
        able = self.able(claim)
        if claim.state not in DELIVERED or not claim.missing:
            claim.rest_until = None
        elif before not in DELIVERED and can_query(able, claim.provider_reference):
            claim.rest_until = self.now + patience(able)

    def _tell(self, claim: ClaimRow, before: OrderState, known: Course) -> None:
        """Tell where an order stands after a step that moved no units, if that changed."""
        undone = claim.course.used < known.used
        more = claim.state is OrderState.PARTLY_REDEEMED and claim.course.used != known.used
        if undone and claim.state in USABLE | {OrderState.EXPIRED}:
            self.units.tell(claim, "order.reversed")
        elif claim.state is not before or more:
            self.units.tell(claim, kind_of(claim))

    def _note(self, claim: ClaimRow, step: Step, outcome: Outcome | Lapsed) -> None:
        """Keep what an answer tells besides the state."""
        claim.changed_at = self.now
        # Only what was provably never sent may lapse.
        unsent = step.state is OrderState.HELD
        claim.deadline = claim.claimed_at + UNSENT_FOR if unsent else None
        if isinstance(outcome, _REFERRING) and outcome.reference:
            claim.provider_reference = outcome.reference
        if isinstance(outcome, Done) and outcome.code:
            claim.code_sealed = self.parts.envelope.seal(outcome.code.encode())
        if isinstance(outcome, Rejected) and step.state is OrderState.COMPENSATED:
            claim.reason = outcome.reason.value.lower()
        elif (why := why_over(claim, step.state)) or claim.reason == NO_SHOW:
            claim.reason = why
        self.changed.add(claim.claim_id)

    def leave_unanswered(self, claim_id: UUID, operation: Operation) -> None:
        """Leave to a person whether a provider did what was asked about an order that stands."""
        self.follow.case(self.claims[claim_id], UNANSWERED[operation], "The provider never said.")

    def end_rest(self, claim_id: UUID, last: Outcome | Lapsed) -> None:
        """Ask for missing pieces no more; of those nothing was heard of a person is told (V-5)."""
        claim = self.claims[claim_id]
        claim.rest_until = None
        self.changed.add(claim_id)
        uncounted = isinstance(last, Used | PartlyUsed | Reversed) and last.delivered is None
        if is_undecided(last) or uncounted:
            words = f"The provider never said what became of {claim.missing} pieces more."
            self.follow.case(claim, UNANSWERED[Operation.ISSUE], words)

    def refuse(self, claim_id: UUID, operation: Operation) -> None:
        """Tell a person that nothing is sent, for it would not be what was said at first (V-3)."""
        words = f"{operation.value}: what is kept of it is not what it was. Nothing is sent."
        self.follow.case(self.claims[claim_id], "request_changed", words)

    def give_up(self, claim_id: UUID, last: Outcome | Lapsed) -> None:
        """Leave an order nobody could clear up by asking to a person (V-3)."""
        claim = self.claims[claim_id]
        if claim.state is OrderState.MANUAL:
            return
        claim.state = OrderState.MANUAL
        self.came_to[OrderState.MANUAL] += 1
        claim.changed_at = self.now
        self.changed.add(claim_id)
        self.units.tell(claim, kind_of(claim))
        words = "The provider never said what became of the order."
        if isinstance(last, NotSent | Unknown):
            words += f" Last: {redacted(last.evidence)}."
        self.follow.case(claim, NO_ANSWER, words)

    async def write(
        self, conn: Connection, plans: Sequence[orders.Plan], attempts: Sequence[Attempted]
    ) -> None:
        """Write everything the answers changed, what attempts came to, and what is asked when."""
        together = Together(conn)
        await self.journal.write(together)
        await claims.update(together, [self.claims[id_] for id_ in sorted(self.changed)])
        await self.units.write(together)
        await self.follow.write(together)
        await orders.schedule(together, plans)
        ended = [(each.request, *each.came_to) for each in attempts if each.came_to]
        await orders.end_attempts(together, ended, self.now)
        await self.units.capacity.write(together)
        await together.send()
        await self.follow.close_cases(conn, self.now)
        await tiers.put_grants(conn, self.units.grants)
        await self.units.capacity.settle(conn)
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
    owners = {t.request.claim_id: t.request.member_id for t in attempts}
    if answers:
        owners |= await claims.owners(conn, [answer.claim_id for answer in answers])
    locked, busy = await members.lock_persons(conn, set(owners.values()), wait=False)
    left = frozenset(id_ for id_, member_id in owners.items() if member_id in busy)
    if left:
        ids = [id_ for id_ in ids if id_ not in left]
        answers = [answer for answer in answers if answer.claim_id not in left]
        attempts = [attempt for attempt in attempts if attempt.answer.claim_id not in left]
    if not ids:
        return left
    plan = await parts.catalogue.plan(conn)  # as it is once the members are held
    now = parts.clock()
    taken = [id_ for id_, one in locked.items() if one.has_merged]

    async def applied(*, locks: bool) -> tuple[_Group, list[orders.Plan]]:
        group = _Group(parts, plan.at(now), Journal(locked, now, parts.new_id), now)
        await group.load(conn, [*answers, *(t.answer for t in attempts)], taken=taken, locks=locks)
        return group, await _apply(conn, group, answers, attempts)

    try:
        group, plans = await applied(locks=False)
    except Unlocked:
        group, plans = await applied(locks=True)
    await group.write(conn, plans, attempts)
    return left


async def _apply(
    conn: Connection, group: _Group, answers: Sequence[Answer], attempts: Sequence[Attempted]
) -> list[orders.Plan]:
    """Apply answers and what attempts learned; return what is asked when (Unlocked)."""
    now, plans = group.now, list[orders.Plan]()
    if answers:
        told = {answer.claim_id for answer in answers}
        pairs = [(group.claims[id_].member_id, id_) for id_ in sorted(told)]
        waiting = await orders.of_claims(conn, pairs)
        for answer in answers:
            resolved = group.apply(answer)
            if answer.is_last and resolved.rest_until is not None:
                group.end_rest(answer.claim_id, answer.outcome)
                continue  # it is due as it was, and heard whenever its provider can be reached
            if answer.is_last and resolved.state in OPEN:
                group.give_up(answer.claim_id, answer.outcome)
            plans += after_callback(waiting.get(answer.claim_id, []), resolved, now)
    latest_attempts = await newest(conn, attempts)
    for each in attempts:
        grace_s = group.agreed(group.claims[each.answer.claim_id]).not_found_grace_s
        attempt = doubted(each, now, grace_s)
        plans += _after_attempt(group, attempt, weighed(attempt, latest_attempts), now)
    latest = {(p.request.request_id, p.request.attempt): p for p in plans}
    return list(latest.values())


def _after_attempt(
    group: _Group, attempt: Attempted, answer: Answer, now: datetime
) -> list[orders.Plan]:
    """Apply what an attempt learned, and say when to ask again; a person, when never (V-3).

    An order that is confirmed is asked about from then on, whoever had given it up.
    """
    before = group.claims[answer.claim_id].state
    resolved = group.apply(answer)
    if attempt.is_changed:
        group.refuse(answer.claim_id, attempt.request.operation)
    plan = after_attempt(attempt, before, resolved, now)
    if ends_rest(attempt, plan, resolved, now):
        group.end_rest(answer.claim_id, attempt.answer.outcome)
        return [plan]
    if attempt.request.operation is Operation.CONFIRM and resolved.state in DELIVERED:
        issued = group.follow.issued(answer.claim_id)
        if before in OPEN or has_new_rest(resolved, now):
            return [plan, *after_callback(issued, resolved, now)]
    if plan.next_at is None and is_unanswered(attempt, resolved):
        operation = attempt.request.operation
        if operation in {Operation.ISSUE, Operation.CONFIRM}:
            if resolved.state in OPEN:
                group.give_up(answer.claim_id, attempt.answer.outcome)
        else:
            group.leave_unanswered(answer.claim_id, operation)
    return [plan]
