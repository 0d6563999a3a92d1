"""Answers of providers, what they are worth, and when a request is asked next (V-3, V-4)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from benefits.actions.pricing import Offer
from benefits.domain.benefit import Consumed
from benefits.domain.events import CANCELLED, NO_SHOW
from benefits.domain.lattice import Course, Lapsed, Terms
from benefits.domain.orders import (
    OPEN,
    USABLE,
    Capabilities,
    Confirmed,
    Done,
    Expired,
    LateSuccess,
    NotFound,
    NotSent,
    Operation,
    OrderState,
    Outcome,
    PartlyUsed,
    Pending,
    Reason,
    RedeemBy,
    Rejected,
    Reversed,
    Revoked,
    Unknown,
    Used,
    backoff,
    next_query_at,
    patience,
)
from benefits.domain.requests import body_hash
from benefits.store import orders
from benefits.store.claims import ClaimRow
from benefits.store.db import Connection
from benefits.store.envelope import Envelope
from benefits.store.orders import RequestRow

DONE = "done"
NOT_SENT = "not_sent"  # nothing of it ever left
KEPT = "kept"  # the order stands, or was used: it is not taken back
ENDED = "ended"  # the order ended, or was taken back, without what was asked

TOLD_FOR = timedelta(days=1)  # that a use which never left is still told


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became known of a claim's order; `operation` is what was asked, `actor` who tells.

    `asked_at` is when the request was made that it answers, if it answers one. `note` is said of
    the case that it closes. After the last one a person decides, if nobody has.
    """

    claim_id: UUID
    operation: Operation
    outcome: Outcome | Lapsed
    actor: str
    asked_at: datetime | None = None
    note: str = "The order was answered."
    is_last: bool = False


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a request we made: the request as leased and what was asked in this attempt.

    `is_send` where what was asked is what the request wants, done again by a question perhaps.
    `came_to` is kept with the attempt: the outcome's name, and its evidence. None where nobody
    called. Nothing was sent of one that `is_changed`: it would not say what it said at first.
    """

    request: RequestRow
    operation: Operation
    answer: Answer
    came_to: tuple[str, str] | None
    is_send: bool = False
    is_changed: bool = False


class Resolved(msgspec.Struct, frozen=True):
    """Where a claim stands after an answer, and whether its provider is still to be asked.

    Where it `is_watched` it is asked without end; of pieces that are missing until `rest_until`.
    """

    state: OrderState
    ask_on: bool
    capabilities: Capabilities
    is_watched: bool = True
    rest_until: datetime | None = None


def terms_of(claim: ClaimRow, agreed: Offer) -> Terms:
    """Return what matters to an order of the terms that its claim was made under."""
    programme, benefit = agreed
    able = programme.providers[benefit.provider].capabilities
    late = LateSuccess.REVOKE if claim.cancelled_at else able.late_success
    return Terms(
        consumed_at_issue=benefit.consumed is Consumed.ISSUE,
        late_success=late if able.revoke else LateSuccess.REISSUE,
        two_phase=able.two_phase,
        used_on_issue=able.redeem_by is RedeemBy.ON_ISSUE,
        quantity=claim.came,
        unused=benefit.unused,
        booked_for=claim.booked_for,
        cancelled=claim.cancelled,
        paid_by_use=benefit.is_paid_by_use,
    )


async def newest(conn: Connection, attempts: Sequence[Attempted]) -> dict[UUID, int]:
    """Return the newest attempts of the requests that somebody says were not sent."""
    unsent = [t.request.request_id for t in attempts if isinstance(t.answer.outcome, NotSent)]
    if not unsent:
        return {}
    return {id_: row.attempt for id_, row in (await orders.by_id(conn, unsent)).items()}


def weighed(attempt: Attempted, newest: dict[UUID, int]) -> Answer:
    """Doubt "not sent" unless it is said of the newest attempt, and none before may have left.

    A query that never left, or an attempt after which another was made, says nothing of the order;
    nor does what was asked about it.
    """
    outcome, request = attempt.answer.outcome, attempt.request
    if not isinstance(outcome, NotSent) or (
        attempt.operation is Operation.ISSUE
        and newest[request.request_id] == request.attempt
        and is_first(request)
    ):
        return attempt.answer
    return msgspec.structs.replace(
        attempt.answer, outcome=Unknown(outcome.evidence, outcome.wait_s)
    )


def is_first(request: RequestRow) -> bool:
    """Say whether a request as leased can not have left before: then its lease begins its time."""
    return request.sent_by in {None, request.leased_until}


def is_out_of_time(request: RequestRow, able: Capabilities, now: datetime) -> bool:
    """Say whether a request was not heard of for as long as its provider is asked (V-3).

    An order that never left lapses instead.
    """
    if request.operation is Operation.ISSUE and is_first(request):
        return False
    left_at = None if is_first(request) else request.sent_by
    return now >= (left_at or request.created_at) + patience(able)


def _is_over(attempt: Attempted, resolved: Resolved, now: datetime) -> bool:
    """Say whether a call that never left was the last: the time of its request is over (V-3)."""
    if attempt.answer.is_last:
        return True
    if attempt.request.operation is Operation.ISSUE and resolved.rest_until is not None:
        return now >= resolved.rest_until
    return is_out_of_time(attempt.request, resolved.capabilities, now)


def ends_rest(attempt: Attempted, plan: orders.Plan, resolved: Resolved, now: datetime) -> bool:
    """Say whether pieces that are missing are asked for no more after an attempt (V-5).

    They are so through the schedule once, or as long as that takes. A use may be asked about on.
    """
    if resolved.rest_until is None or attempt.request.operation is not Operation.ISSUE:
        return False
    is_through = plan.queries >= len(resolved.capabilities.query_schedule_s)
    return plan.next_at is None or is_through or now >= resolved.rest_until


def unsent(request: RequestRow) -> orders.Plan:
    """Return the end of a use that is told no more, for nothing of it ever left."""
    return orders.Plan(request=request, next_at=None, queries=0, sent_by=None, verdict=NOT_SENT)


# A refusal of who we are, or of how we are set up there, is none of what we asked for.
_OURS = frozenset({Reason.AUTH, Reason.CONFIG, Reason.BUDGET})


def doubted(attempt: Attempted, now: datetime, grace_s: int) -> Attempted:
    """Doubt a refusal of something about an order that stands, unless it is final.

    It is once nothing sent before can still act: no attempt may have left before, or the last one
    was the grace ago, and was asked about since. What a question tells of an order is no refusal
    to take it back.
    """
    request, outcome = attempt.request, attempt.answer.outcome
    queried = attempt.operation is Operation.QUERY
    if request.operation is Operation.REVOKE and queried and not _leaves_nothing(outcome):
        return _unknown(attempt, "not taken back so far")
    about = {Operation.CONFIRM, Operation.REVOKE, Operation.REDEEM, Operation.REVERSE}
    if request.operation not in about or not isinstance(outcome, Rejected):
        return attempt
    if outcome.reason not in _OURS:
        over = request.sent_by and now - request.sent_by >= timedelta(seconds=grace_s)
        if queried or is_first(request) or over:
            return attempt
    return _unknown(attempt, f"{attempt.operation.value.lower()} refused: {outcome.code}")


def _leaves_nothing(outcome: Outcome | Lapsed) -> bool:
    """Say whether an answer to a question leaves nothing to take back, or to ask about."""
    if isinstance(outcome, Rejected):
        return outcome.reason is Reason.NOT_FOUND
    return not isinstance(outcome, Done | Confirmed)


def _unknown(attempt: Attempted, evidence: str) -> Attempted:
    answer = msgspec.structs.replace(attempt.answer, outcome=Unknown(evidence))
    return msgspec.structs.replace(attempt, answer=answer)


def lapses(request: RequestRow, claim: ClaimRow, now: datetime) -> bool:
    """Say whether a use that never left is told no more: its day is over, or the order's last."""
    if request.operation is not Operation.REDEEM or not is_first(request):
        return False
    until = request.created_at + TOLD_FOR
    return now >= (until if claim.use_until is None else min(until, claim.use_until))


def of_use(answer: Answer, claim: ClaimRow, now: datetime) -> Outcome | Lapsed:
    """Return what an answer to REDEEM or REVERSE says of the order, which stands either way.

    That a use is not told, or was refused, is no news of the order; nor is it that it is unknown.
    After a reversal was sent, an order that is unused was reversed, as of the use, for the
    provider's clock alone could tell of when. What we asked for after a use or its undoing comes
    after that, of whichever instant the provider says it is: some tell whole seconds.
    """
    outcome, course = answer.outcome, claim.course
    if isinstance(outcome, Rejected):
        return Unknown(f"{answer.operation.value.lower()} refused: {outcome.code}")
    if answer.operation is Operation.REVERSE and isinstance(
        outcome, Done | Confirmed | Expired | Revoked
    ):
        return Reversed(course.used_at or now)
    known_at = course.used_at
    if (
        known_at is None
        or answer.asked_at is None
        or claim.changed_at > answer.asked_at  # it was not known when it was asked for
    ):
        return outcome
    if answer.operation is Operation.REVERSE and isinstance(outcome, Reversed) and course.used:
        return msgspec.structs.replace(outcome, at=max(outcome.at, known_at))
    if answer.operation is Operation.REDEEM and isinstance(outcome, Used) and not course.used:
        later = max(outcome.at, known_at + timedelta(microseconds=1))
        return msgspec.structs.replace(outcome, at=later)
    return outcome


# How a provider says that it does not take an order back.
Stands = Rejected | Done | Confirmed | Used | PartlyUsed


class Kept(msgspec.Struct, frozen=True):
    """What it says of an order that its provider does not take it back.

    It `stands` where its member gave it up, who may do so once more. Why a person looks at it is
    the `case`.
    """

    outcome: Outcome
    case: str = ""
    stands: bool = False


def not_taken_back(outcome: Stands, claim: ClaimRow, now: datetime) -> Kept:
    """Weigh that a provider does not take back what came late, or what its member gave up."""
    refused = isinstance(outcome, Rejected)
    unknown = isinstance(outcome, Rejected) and outcome.reason is Reason.NOT_FOUND
    if claim.cancelled_at is None:
        if unknown:
            return Kept(Unknown("not found"), "The provider does not know the order.")
        # What cannot be taken back was delivered: it is the member's, or the bank's loss.
        return Kept(Done(at=now) if refused else outcome)
    if unknown:
        return Kept(outcome if claim.state in OPEN | USABLE else Unknown("not found"))
    said = Unknown("not taken back") if refused else outcome
    match claim.state:
        case OrderState.REVOKED:
            return Kept(said)
        case OrderState.COMPENSATED if refused:  # or there was nothing to take back
            return Kept(said, "It had failed, and is not taken back.")
        case OrderState.EXPIRED if refused:
            return Kept(said)
        case _:
            return Kept(said, stands=True)


def spent_at(outcome: Outcome | Lapsed, course: Course, now: datetime) -> datetime:
    """Return when the provider says that was delivered or used what an answer spends (V-7).

    What was used of an order that ends was used before.
    """
    match outcome:
        case Expired() if course.used:
            return course.used_at or now
        case Done() | Confirmed() | Used() | PartlyUsed() | Expired():
            return outcome.at
        case _:
            return now


def may_undo(answer: Answer, claim: ClaimRow, *, paid_by_use: bool) -> bool:
    """Say whether an answer about a claim's order may take back that units were spent, or paid.

    What was missed may turn out to have ended sooner; what was given up, to be over.
    """
    undone = isinstance(answer.outcome, Reversed | PartlyUsed | Revoked)
    if paid_by_use:
        undone = undone or isinstance(answer.outcome, Used | Expired)
    sooner = claim.state is OrderState.EXPIRED and isinstance(answer.outcome, Expired)
    over = claim.cancelled_at is not None and isinstance(answer.outcome, Expired | Rejected)
    return undone or sooner or over or answer.operation is Operation.REVERSE


def why_over(claim: ClaimRow, state: OrderState) -> str:
    """Return why a booking is over that its member had, if it is not for its use."""
    if state is OrderState.REVOKED and claim.cancelled_at is not None:
        return CANCELLED
    ended, booked_for = claim.course.ended_at, claim.booked_for
    missed = ended is not None and booked_for is not None and ended >= booked_for
    return NO_SHOW if missed and state is OrderState.EXPIRED else ""


def verdict(request: RequestRow, outcome: Outcome | Lapsed) -> str:
    """Return what an answer decides of a request about an order that stands; empty if nothing.

    A refusal is in the words of its reason; that the provider does not know the order is none.
    """
    match request.operation, outcome:
        case Operation.CONFIRM, Confirmed() | Used() | PartlyUsed():
            return DONE
        case Operation.REDEEM, Used() | PartlyUsed():
            return DONE
        case Operation.REVERSE, Reversed() | Done() | Confirmed() | Expired() | Revoked():
            return DONE
        case Operation.REVOKE, Revoked():
            return DONE
        case Operation.REVOKE, Done() | Confirmed() | Used() | PartlyUsed():
            return KEPT
        case (Operation.REDEEM | Operation.REVOKE, Expired()) | (Operation.REDEEM, Revoked()):
            return ENDED
        case (
            Operation.CONFIRM | Operation.REVOKE | Operation.REDEEM | Operation.REVERSE,
            Rejected(),
        ):
            return "" if outcome.reason is Reason.NOT_FOUND else outcome.reason.value.lower()
        case _:
            return ""


def after_callback(
    waiting: Sequence[RequestRow], resolved: Resolved, now: datetime
) -> list[orders.Plan]:
    """Take a decided order's requests off the queue; those in flight are their holders' affair."""
    plans = list[orders.Plan]()
    for request in waiting:
        in_flight = request.leased_until is not None and request.leased_until > now
        if in_flight or request.operation is not Operation.ISSUE:
            continue
        at = next_at(request, 0, resolved, now) if resolved.ask_on else None
        if resolved.state in USABLE or not resolved.ask_on or has_new_rest(resolved, now):
            plans.append(orders.Plan.again(request, at, queries=0))
    return plans


def after_attempt(
    attempt: Attempted, before: OrderState, resolved: Resolved, now: datetime
) -> orders.Plan:
    """Plan what follows an attempt on an order that stood at `before` and now stands resolved."""
    request, outcome = attempt.request, attempt.answer.outcome
    said, asking = verdict(request, outcome), _is_asking(attempt, resolved)
    sent_by, queries = request.sent_by, request.queries
    wait_s = outcome.wait_s if isinstance(outcome, NotSent | Unknown) else 0
    not_before = now + timedelta(seconds=wait_s) if wait_s else None
    earliest = now + timedelta(seconds=resolved.capabilities.query_min_interval_s)
    issues = request.operation is Operation.ISSUE
    watching = issues and resolved.state in USABLE
    if isinstance(outcome, NotSent):
        if attempt.operation is not Operation.QUERY and is_first(request):
            sent_by = None
        over = _is_over(attempt, resolved, now)
        if over and before is OrderState.MANUAL and request.operation is Operation.ISSUE:
            # A person let it be asked again, or its way opened: each try has its place.
            queries += 1
            at = next_at(request, queries, resolved, now) if asking else None
        elif asking and (not over or (watching and resolved.is_watched)):
            at = max(now + backoff(request.attempt, request.request_id), earliest)
        else:
            at = None
        return orders.Plan(
            request=request, next_at=at, queries=queries, sent_by=sent_by, not_before=not_before
        )
    if attempt.is_send and is_undecided(attempt.answer.outcome):
        sent_by = now  # it may act from now on
    if attempt.operation is not Operation.ISSUE or not is_first(request):
        queries += 1  # the same order again is a question, where nothing else can be asked
    if (watching and before not in USABLE) or (issues and has_new_rest(resolved, now)):
        queries = 0  # from here on it is watched for its use, or asked for what is missing
    at = next_at(request, queries, resolved, now, watching=watching) if asking else None
    if at is not None:
        at = max(at, earliest)
    return orders.Plan(
        request=request,
        next_at=at,
        queries=queries,
        sent_by=sent_by,
        verdict=said,
        not_before=not_before,
    )


def has_new_rest(resolved: Resolved, now: datetime) -> bool:
    """Say whether a part came just now, so that the others are asked for anew (V-5)."""
    return resolved.rest_until == now + patience(resolved.capabilities)


def _is_asking(attempt: Attempted, resolved: Resolved) -> bool:
    """Say whether the provider is to be asked on about what a request wants."""
    request, outcome = attempt.request, attempt.answer.outcome
    match request.operation:
        case Operation.REVOKE:
            waits = resolved.ask_on or is_undecided(outcome)
            return waits and not verdict(request, outcome)
        case Operation.CONFIRM:
            waits = resolved.state in OPEN or resolved.rest_until is not None
            return waits and not verdict(request, outcome)
        case Operation.REDEEM | Operation.REVERSE:
            return not verdict(request, outcome)
        case _:
            return resolved.ask_on


def is_undecided(outcome: Outcome | Lapsed) -> bool:
    """Say whether an outcome leaves open what the provider did."""
    return isinstance(outcome, NotSent | NotFound | Pending | Unknown)


def is_unanswered(attempt: Attempted, resolved: Resolved) -> bool:
    """Say whether what a request wants is still open, now that nobody asks on."""
    if attempt.request.operation in {Operation.CONFIRM, Operation.REDEEM, Operation.REVERSE}:
        return _is_asking(attempt, resolved)
    return is_undecided(attempt.answer.outcome)


def follow_up(
    issued: RequestRow, request_id: UUID, operation: Operation, *, now: datetime
) -> RequestRow:
    """Return a request about an order that stands; its body is still to be said."""
    return RequestRow(
        request_id=request_id,
        member_id=issued.member_id,
        claim_id=issued.claim_id,
        provider=issued.provider,
        sku=issued.sku,
        operation=operation,
        body_sealed=b"",
        body_hash=b"",
        disclosed=[],
        created_at=now,
        next_at=now,
        traceparent=issued.traceparent,
    )


def saying(request: RequestRow, said: object, envelope: Envelope) -> RequestRow:
    """Return a request with what it says."""
    return msgspec.structs.replace(
        request, body_sealed=envelope.seal(msgspec.json.encode(said)), body_hash=body_hash(said)
    )


def next_at(
    request: RequestRow, queries: int, resolved: Resolved, now: datetime, *, watching: bool = True
) -> datetime | None:
    """Return when to ask again after `queries` queries, None when a person must decide.

    While an order is watched for its use, it is asked about at the schedule's last pace, without
    end.
    """
    schedule_s = resolved.capabilities.query_schedule_s
    if watching and resolved.is_watched and resolved.state in USABLE:
        queries = min(queries, len(schedule_s) - 1)
    return next_query_at(queries, schedule_s, now, request.request_id)
