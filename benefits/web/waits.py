"""Claims that wait for room: of a member, of everybody, and waiting no longer (K-1, K-8)."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from benefits.actions.claim import UnknownMember
from benefits.actions.close_waits import StopWaiting, stop_waiting
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.domain.waits import ahead
from benefits.store import merged, pages, waits
from benefits.store.db import Connection
from benefits.store.open_orders import Mark
from benefits.store.waits import WaitSeen
from benefits.web import cursors, rehearsal
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.claims import CLAIMERS
from benefits.web.mobile import LOOKERS
from benefits.web.operating import CODE, PAGE_MAX
from benefits.web.problems import refused, stored

WAITS = "/v1/members/{member_id:uuid}/waits"
Size = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]


class WaitView(msgspec.Struct, kw_only=True):
    """A claim that waits at a limit until `ends_at`, if to any end; so many wait `ahead` of it.

    Once it has `ended_at` its `reason` says how: SERVED is the claim `claim_id`; REFUSED is what
    refused it, by the code `refusal`; else the member wished it, or its time was over.
    """

    id: UUID
    programme: str
    benefit: str
    quantity: int
    limit: str
    begun_at: datetime
    ends_at: datetime | None
    ahead: str
    ended_at: datetime | None
    reason: str | None
    refusal: str | None
    claim_id: UUID | None


class WaitsView(msgspec.Struct, kw_only=True):
    """A page of a member's waits, the latest first; `next` is the cursor of the next page."""

    waits: list[WaitView]
    next: str | None


class OpenWaitView(WaitView, kw_only=True):
    """A claim that waits, and whose it is."""

    member_id: UUID


class OpenWaitsView(msgspec.Struct, kw_only=True):
    """A page of claims that wait, the longest waiting first; `next` is the next page's cursor."""

    waits: list[OpenWaitView]
    next: str | None


class StoppedAnswer(msgspec.Struct, kw_only=True):
    """The wait that is given up."""

    id: str


def _view(seen: WaitSeen) -> WaitView:
    return WaitView(**_fields(seen))


def _fields(seen: WaitSeen) -> dict[str, Any]:
    return {
        "id": seen.wait_id,
        "programme": seen.programme,
        "benefit": seen.benefit,
        "quantity": seen.quantity,
        "limit": seen.limit,
        "begun_at": seen.begun_at,
        "ends_at": seen.ends_at,
        "ahead": ahead(seen.ahead).value,
        "ended_at": seen.ended_at,
        "reason": seen.reason or None,
        "refusal": seen.refusal or None,
        "claim_id": seen.claim_id,
    }


@get(WAITS, guards=[needs(*LOOKERS)], tags=["claims"], operation_id="get_waits")
async def get_waits(
    member_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    *,
    cursor: FromQuery[str | None] = None,
    limit: Size = 20,
) -> WaitsView:
    """Return claims of a member that wait, and those that did, the latest first."""
    kind = f"waits {member_id}"
    before = cursors.read(kind, cursor, UUID) or waits.LAST
    async with request.app.state.database.transaction() as conn:
        if not await pages.member_exists(conn, member_id):
            raise UnknownMember
        whose = {member_id, *await merged.along(conn, [member_id])}
        found = await waits.of_members(conn, whose, before, limit + 1, only_open=False)
    page, more = found[:limit], len(found) > limit
    following = cursors.write(kind, page[-1].wait_id) if more else None
    return WaitsView(waits=[_view(seen) for seen in page], next=following)


@get(
    "/v1/waits",
    guards=[needs("operator", "approver", "auditor")],
    tags=["claims"],
    operation_id="get_open_waits",
)
async def get_open_waits(
    request: Request[Any, Any, Any],
    *,
    benefit: Annotated[str | None, QueryParameter(pattern=CODE)] = None,
    cursor: FromQuery[str | None] = None,
    limit: Size = 20,
) -> OpenWaitsView:
    """Return claims that wait, for one benefit or for any, the longest waiting first."""
    kind = f"open waits {benefit or ''}"
    after = cursors.read(kind, cursor, Mark)  # type: ignore[arg-type]  # a tuple type is a type to msgspec
    async with request.app.state.database.transaction() as conn:
        found = await waits.listed(conn, after, benefit or "", limit + 1)
    page, more = found[:limit], len(found) > limit
    following = cursors.write(kind, (page[-1].begun_at, page[-1].wait_id)) if more else None
    views = [OpenWaitView(member_id=seen.member_id, **_fields(seen)) for seen in page]
    return OpenWaitsView(waits=views, next=following)


@post(
    WAITS + "/{wait_id:uuid}/end",
    guards=[needs(*CLAIMERS)],
    tags=["claims"],
    operation_id="stop_waiting",
    status_code=200,
)
async def post_end(
    member_id: FromPath[UUID],
    wait_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[StoppedAnswer]:
    """Let a claim of a member wait no longer. Needs an Idempotency-Key."""
    asked = StopWaiting(
        caller=request.auth.name,
        key=check_key(idempotency_key),
        member_id=member_id,
        wait_id=wait_id,
    )

    async def work(conn: Connection) -> Decided | Refusal:
        return await stop_waiting(conn, asked, request.app.state.parts)

    outcome = await rehearsal.database(request, dry_run=dry_run).transact(work)
    match outcome:
        case Accepted():
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            return Response(StoppedAnswer(id=outcome.ids["wait_id"]), headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


TYPES = (WaitsView, OpenWaitsView, StoppedAnswer)
HANDLERS = [get_waits, get_open_waits, post_end]
