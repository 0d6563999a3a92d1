"""Answers of providers, what they are worth, and when a request is asked next (V-3, V-4)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from benefits.domain.orders import (
    Capabilities,
    Lapsed,
    NotFound,
    NotSent,
    Operation,
    OrderState,
    Outcome,
    Pending,
    Unknown,
    backoff,
    next_query_at,
)
from benefits.store import orders
from benefits.store.db import Connection
from benefits.store.orders import RequestRow


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became known of a claim's order; `operation` is what was asked, `actor` who tells."""

    claim_id: UUID
    operation: Operation
    outcome: Outcome | Lapsed
    actor: str


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a request we made: the request as leased and what was asked in this attempt."""

    request: RequestRow
    operation: Operation
    answer: Answer


class Resolved(msgspec.Struct, frozen=True):
    """Where a claim stands after an answer, and whether its provider is still to be asked."""

    state: OrderState
    ask_on: bool
    capabilities: Capabilities


async def newest(conn: Connection, attempts: Sequence[Attempted]) -> dict[UUID, int]:
    """Return the newest attempts of the requests that somebody says were not sent."""
    unsent = [t.request.request_id for t in attempts if isinstance(t.answer.outcome, NotSent)]
    if not unsent:
        return {}
    return {id_: row.attempt for id_, row in (await orders.by_id(conn, unsent)).items()}


def weighed(attempt: Attempted, newest: dict[UUID, int]) -> Answer:
    """Doubt "not sent" unless it is said of the newest attempt, and of an issue.

    A query that never left, or an attempt after which another was made, says nothing of the order.
    """
    outcome, request = attempt.answer.outcome, attempt.request
    if not isinstance(outcome, NotSent) or (
        attempt.operation is not Operation.QUERY and newest[request.request_id] == request.attempt
    ):
        return attempt.answer
    return msgspec.structs.replace(
        attempt.answer, outcome=Unknown(outcome.evidence, outcome.wait_s)
    )


def after_callback(
    waiting: Sequence[RequestRow], resolved: Resolved, now: datetime
) -> list[orders.Plan]:
    """Take a decided order's requests off the queue; those in flight are their holders' affair."""
    plans = list[orders.Plan]()
    for request in waiting:
        in_flight = request.leased_until is not None and request.leased_until > now
        if in_flight or request.operation is Operation.REVOKE:
            continue
        at = next_at(0, resolved, now) if resolved.ask_on else None
        if resolved.state is OrderState.ISSUED or not resolved.ask_on:
            plans.append(
                orders.Plan(request=request, next_at=at, queries=0, sent_by=request.sent_by)
            )
    return plans


def after_attempt(
    attempt: Attempted, before: OrderState, resolved: Resolved, now: datetime
) -> orders.Plan:
    """Plan what follows an attempt on an order that stood at `before` and now stands resolved."""
    request, outcome = attempt.request, attempt.answer.outcome
    asking = resolved.ask_on or (is_revoking(request) and is_undecided(outcome))
    sent_by, queries = request.sent_by, request.queries
    wait_s = outcome.wait_s if isinstance(outcome, NotSent | Unknown) else 0
    earliest = now + timedelta(seconds=wait_s)  # what the provider asks for, it gets
    if isinstance(outcome, NotSent):
        if attempt.operation is not Operation.QUERY:
            sent_by = None
        at = max(now + backoff(request.attempt), earliest) if asking else None
        return orders.Plan(request=request, next_at=at, queries=queries, sent_by=sent_by)
    if attempt.operation is Operation.ISSUE:
        sent_by = now
    if attempt.operation is not Operation.ISSUE:
        queries += 1
    if resolved.state is OrderState.ISSUED and before is not OrderState.ISSUED:
        queries = 0  # from here on it is watched for its use
    at = next_at(queries, resolved, now) if asking else None
    if at is not None:
        at = max(at, earliest)
    return orders.Plan(request=request, next_at=at, queries=queries, sent_by=sent_by)


def is_undecided(outcome: Outcome | Lapsed) -> bool:
    """Say whether an outcome leaves open what the provider did."""
    return isinstance(outcome, NotSent | NotFound | Pending | Unknown)


def is_revoking(request: RequestRow) -> bool:
    """Say whether a request takes back what was delivered."""
    return request.operation is Operation.REVOKE


def next_at(queries: int, resolved: Resolved, now: datetime) -> datetime | None:
    """Return when to ask again after `queries` queries, None when a person must decide.

    An issued order is watched for its use at the schedule's last pace, without end.
    """
    schedule_s = resolved.capabilities.query_schedule_s
    if resolved.state is OrderState.ISSUED:
        queries = min(queries, len(schedule_s) - 1)
    return next_query_at(queries, schedule_s, now)
