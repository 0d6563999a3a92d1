"""The bank's operators and auditors: cases that wait for a person, and one order by its number."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from benefits.actions.close_case import CloseCase, close_case
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store import cases, shown_orders
from benefits.store.cases import CaseSeen, Mark
from benefits.store.db import Connection
from benefits.web import cursors, rehearsal
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.problems import NotFound, refused, stored

PAGE_MAX = 100
ATTEMPTS_SHOWN = 100
KIND = r"\A[a-z_]{1,40}\Z"


class CaseView(msgspec.Struct, kw_only=True):
    """What a person must look at; `kind` says what to do, in the handbook for operators."""

    id: UUID
    kind: str
    detail: str
    member_id: UUID | None
    claim_id: UUID | None
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str
    note: str


class CasesView(msgspec.Struct, kw_only=True):
    """A page of cases; `next` is the cursor of the next page."""

    cases: list[CaseView]
    next: str | None


class CloseCaseRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the matter was settled, without personal data."""

    note: Annotated[
        str, msgspec.Meta(min_length=1, max_length=1000, pattern=r"\A[^\x00]*[^\s\x00][^\x00]*\Z")
    ]


class AttemptView(msgspec.Struct, kw_only=True):
    """One try to reach the provider; `outcome` is empty when it was never told."""

    operation: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str


class OrderView(msgspec.Struct, kw_only=True):
    """What we hold about one order number; `next_at` is when the provider is asked again."""

    number: str
    provider: str
    sku: str
    quantity: int
    state: str
    created_at: datetime
    changed_at: datetime
    next_at: datetime | None
    provider_reference: str
    attempts: list[AttemptView]


def case_view(seen: CaseSeen) -> CaseView:
    """Return a case as the API shows it."""
    return CaseView(
        id=seen.case_id,
        kind=seen.kind,
        detail=seen.detail,
        member_id=seen.member_id,
        claim_id=seen.claim_id,
        opened_at=seen.opened_at,
        closed_at=seen.closed_at,
        closed_by=seen.closed_by,
        note=seen.note,
    )


@get(
    "/v1/cases",
    guards=[needs("operator", "approver", "auditor")],
    tags=["cases"],
    operation_id="get_cases",
)
async def get_cases(
    request: Request[Any, Any, Any],
    *,
    closed: FromQuery[bool] = False,
    kind: Annotated[str | None, QueryParameter(pattern=KIND)] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> CasesView:
    """Return cases, the longest waiting first; closed ones in the order they were closed."""
    after = cursors.read(_kind(closed=closed, kind=kind), cursor, Mark)  # type: ignore[arg-type]  # a tuple type is a type to msgspec
    async with request.app.state.database.transaction() as conn:
        found = await cases.listed(conn, after, closed=closed, kind=kind, limit=limit + 1)
    page = found[:limit]
    following = None
    if len(found) > limit:
        last = page[-1]
        mark = (last.closed_at if closed else last.opened_at, last.case_id)
        following = cursors.write(_kind(closed=closed, kind=kind), mark)
    return CasesView(cases=[case_view(seen) for seen in page], next=following)


def _kind(*, closed: bool, kind: str | None) -> str:
    return f"{'closed' if closed else 'open'} cases {kind or ''}"


@post(
    "/v1/cases/{case_id:uuid}/close",
    guards=[needs("operator")],
    tags=["cases"],
    operation_id="close_case",
    status_code=200,
)
async def post_close(
    case_id: FromPath[UUID],
    data: JSONBody[CloseCaseRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[CaseView]:
    """Close a case with a note of how it was settled. Needs an Idempotency-Key."""
    state = request.app.state
    command = CloseCase(
        caller=request.auth.name, key=check_key(idempotency_key), case_id=case_id, note=data.note
    )

    async def work(conn: Connection) -> tuple[Decided | Refusal, CaseSeen | None]:
        outcome = await close_case(conn, command, state.parts)
        return outcome, await cases.one(conn, case_id)

    outcome, seen = await rehearsal.database(request, dry_run=dry_run).transact(work)
    match outcome:
        case Accepted():
            assert seen is not None, "a closed case stays"
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            return Response(case_view(seen), headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


@get(
    "/v1/providers/{provider:str}/orders/{number:str}",
    guards=[needs("provider", "operator", "auditor")],
    tags=["providers"],
    operation_id="get_order",
)
async def get_order(
    provider: FromPath[str], number: FromPath[str], request: Request[Any, Any, Any]
) -> OrderView:
    """Return what we hold about an order by the number its provider knows it by."""
    try:
        request_id = UUID(hex=number)
    except ValueError:
        raise NotFound from None
    if request_id.hex != number or "\x00" in provider:
        raise NotFound
    async with request.app.state.database.transaction() as conn:
        found = await shown_orders.order(conn, provider, request_id, limit=ATTEMPTS_SHOWN)
    if found is None:
        raise NotFound
    order, attempts = found
    return OrderView(
        number=order.number,
        provider=order.provider,
        sku=order.sku,
        quantity=order.quantity,
        state=order.state,
        created_at=order.created_at,
        changed_at=order.changed_at,
        next_at=order.next_at,
        provider_reference=order.provider_reference,
        attempts=[
            AttemptView(
                operation=a.operation,
                started_at=a.started_at,
                ended_at=a.ended_at,
                outcome=a.outcome,
            )
            for a in attempts
        ],
    )


HANDLERS = [get_cases, post_close, get_order]
