"""Fills over HTTP: an operator proposes what fills a missing day, an approver decides (A-6)."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from benefits.actions.fill_day import Decide, Propose, UnknownFill, decide, propose
from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.domain.catalogue import Catalogue
from benefits.domain.feeds import FILL_MIN, SOURCE, FeedKey
from benefits.domain.fills import Effect, FillKind, Wanted
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store import feeds, fills
from benefits.store.db import Connection, Database
from benefits.store.feeds import Feed
from benefits.store.fills import FillSeen, Mark
from benefits.web import cursors, rehearsal
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.corrections import ApproveRequest, Note, RejectRequest, StateName
from benefits.web.feeds import KindName, OtherDay
from benefits.web.problems import refused, stored

PAGE_MAX = 100


class FillRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a missing day is to be filled with. The note holds no personal data.

    `CARRY_FORWARD`: the lines the source sent last, at most 3 days on; `ZERO`: nobody had
    anything; `MANUAL`: the file whose chunks were sent under a `revision` below 0.
    """

    source: Annotated[str, msgspec.Meta(pattern=SOURCE)]
    date: date
    kind: KindName
    note: Note
    revision: Annotated[int, msgspec.Meta(ge=FILL_MIN, le=-1)] | None = None


class FillView(msgspec.Struct, kw_only=True):
    """A fill: what was asked, what the day would hold, under which hash, and who decided.

    `sha256` is that of the digests of a file's chunks. An approved fill is the feed of `revision`,
    and counts when that is `SEALED` (`feed_state`).
    """

    id: UUID
    state: StateName
    source: str
    date: date
    kind: KindName
    revision: int | None
    lines: int
    totals: dict[str, str]
    sha256: str | None
    carried_day: OtherDay
    carried_revision: int | None
    note: str
    hash: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision_note: str | None
    feed_state: str | None


class FillsView(msgspec.Struct, kw_only=True):
    """A page of fills; `next` is the cursor of the next page."""

    fills: list[FillView]
    next: str | None


async def _feed(conn: Connection, seen: FillSeen) -> Feed | None:
    """Return the feed that an approved fill became."""
    if seen.revision is None:
        return None
    wanted = msgspec.convert(seen.body, Wanted)
    return await feeds.one(conn, FeedKey(wanted.source, wanted.date, seen.revision))


def _view(seen: FillSeen, feed: Feed | None, now: datetime, catalogue: Catalogue) -> FillView:
    wanted = msgspec.convert(seen.body, Wanted)
    effect = msgspec.convert(seen.effect, Effect)
    digits = catalogue.digits
    state: Any = seen.state(now)
    return FillView(
        id=seen.fill_id,
        state=state,
        source=wanted.source,
        date=wanted.date,
        kind=wanted.kind.value,
        revision=wanted.revision if seen.revision is None else seen.revision,
        lines=effect.rows,
        totals={c: f"{Decimal(n).scaleb(-digits[c]):f}" for c, n in effect.totals.items()},
        sha256=effect.sha256,
        carried_day=effect.carried_day,
        carried_revision=effect.carried_revision,
        note=seen.note,
        hash=seen.digest,
        proposed_by=seen.proposed_by,
        proposed_at=seen.proposed_at,
        expires_at=seen.expires_at,
        decided_by=seen.decided_by,
        decided_at=seen.decided_at,
        decision_note=seen.decision_note,
        feed_state=None if feed is None else feed.state.value,
    )


Work = Callable[[Connection], Awaitable[Decided | Refusal]]


async def _answer(
    request: Request[Any, Any, Any], work: Work, status: int, on: Database
) -> Response[FillView]:
    """Do the work in one transaction and answer with the fill it was about."""

    async def whole(conn: Connection) -> tuple[Decided | Refusal, FillView | None]:
        outcome = await work(conn)
        if not isinstance(outcome, Accepted):
            return outcome, None
        return outcome, await _seen(conn, UUID(outcome.ids["fill_id"]), request)

    done: tuple[Decided | Refusal, FillView | None] = await on.transact(whole)
    outcome, view = done
    match outcome:
        case Accepted():
            assert view is not None, "it is shown"
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            return Response(view, status_code=status, headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


async def _seen(conn: Connection, fill_id: UUID, request: Request[Any, Any, Any]) -> FillView:
    """Return a fill as the API shows it (UnknownFill)."""
    parts = request.app.state.parts
    seen = await fills.one(conn, fill_id)
    if seen is None:
        raise UnknownFill
    catalogue = await parts.catalogue.current(conn)
    return _view(seen, await _feed(conn, seen), parts.clock(), catalogue)


@post("/v1/fills", guards=[needs("operator")], tags=["feeds"], operation_id="propose_fill")
async def post_fill(
    data: JSONBody[FillRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[FillView]:
    """Propose to fill a day that its source did not send in time. Needs an Idempotency-Key.

    Another person approves it within 7 days by the `hash`, which covers all that is shown of it.
    """
    wanted = Wanted(
        source=data.source, date=data.date, kind=FillKind(data.kind), revision=data.revision
    )
    command = Propose(
        caller=request.auth.name, key=check_key(idempotency_key), wanted=wanted, note=data.note
    )
    parts = request.app.state.parts
    on = rehearsal.database(request, dry_run=dry_run)
    return await _answer(request, lambda conn: propose(conn, command, parts), 201, on)


@post(
    "/v1/fills/{fill_id:uuid}/approve",
    guards=[needs("approver")],
    tags=["feeds"],
    operation_id="approve_fill",
    status_code=200,
)
async def post_fill_approve(
    fill_id: FromPath[UUID],
    data: JSONBody[ApproveRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[FillView]:
    """Approve what another person proposed, by the hash that was read. Needs an Idempotency-Key.

    It is weighed anew (`fill_stale`). The day counts when its feed is `SEALED`: at once where it
    is short and nothing is before it, else when the worker has come to it.
    """
    command = Decide(
        caller=request.auth.name,
        key=check_key(idempotency_key),
        fill_id=fill_id,
        digest=data.hash,
    )
    return await _decided(request, command, dry_run=dry_run)


@post(
    "/v1/fills/{fill_id:uuid}/reject",
    guards=[needs("operator", "approver")],
    tags=["feeds"],
    operation_id="reject_fill",
    status_code=200,
)
async def post_fill_reject(
    fill_id: FromPath[UUID],
    data: JSONBody[RejectRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[FillView]:
    """Reject a proposal, or withdraw one's own, with a note. Needs an Idempotency-Key."""
    command = Decide(
        caller=request.auth.name, key=check_key(idempotency_key), fill_id=fill_id, note=data.note
    )
    return await _decided(request, command, dry_run=dry_run)


async def _decided(
    request: Request[Any, Any, Any], command: Decide, *, dry_run: bool
) -> Response[FillView]:
    """Say a person's word on a proposal, for good or only as if."""
    parts = request.app.state.parts
    on = rehearsal.database(request, dry_run=dry_run)
    return await _answer(request, lambda conn: decide(conn, command, parts), 200, on)


READERS = ("operator", "approver", "auditor")


@get("/v1/fills", guards=[needs(*READERS)], tags=["feeds"], operation_id="get_fills")
async def get_fills(
    request: Request[Any, Any, Any],
    *,
    in_state: Annotated[StateName | None, QueryParameter(name="state")] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> FillsView:
    """Return fills in the order they were proposed, those of one state if it is named."""
    kind = f"fills {in_state or ''}"
    after = cursors.read(kind, cursor, Mark)  # type: ignore[arg-type]  # a tuple type is a type to msgspec
    parts = request.app.state.parts
    now = parts.clock()
    async with request.app.state.database.transaction() as conn:
        found = await fills.listed(conn, after, now, state=in_state, limit=limit + 1)
        page, catalogue = found[:limit], await parts.catalogue.current(conn)
        views = [_view(seen, await _feed(conn, seen), now, catalogue) for seen in page]
    following = None
    if len(found) > limit:
        following = cursors.write(kind, (page[-1].proposed_at, page[-1].fill_id))
    return FillsView(fills=views, next=following)


@get(
    "/v1/fills/{fill_id:uuid}",
    guards=[needs(*READERS)],
    tags=["feeds"],
    operation_id="get_fill",
)
async def get_fill(fill_id: FromPath[UUID], request: Request[Any, Any, Any]) -> FillView:
    """Return a fill, all it does, and who decided."""
    async with request.app.state.database.transaction() as conn:
        return await _seen(conn, fill_id, request)


HANDLERS = [get_fills, get_fill, post_fill, post_fill_approve, post_fill_reject]
