"""Fills over HTTP: an operator proposes what fills a missing day, an approver decides (A-6)."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from benefits.actions.fill_day import Fills
from benefits.domain.feeds import FILL_MIN, SOURCE, FeedKey
from benefits.domain.fills import Effect, FillKind, Wanted
from benefits.store import feeds
from benefits.store.db import Connection
from benefits.store.fills import FillSeen
from benefits.web import agreements
from benefits.web.agreements import (
    PAGE_MAX,
    READERS,
    AgreementView,
    ApproveRequest,
    Around,
    Asking,
    Counter,
    Note,
    Page,
    RejectRequest,
    StateName,
)
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.feeds import KindName, OtherDay


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


class FillView(AgreementView, kw_only=True):
    """A fill: what was asked, what the day would hold, under which hash, and who decided.

    `sha256` is that of the digests of a file's chunks. An approved fill is the feed of `revision`,
    and counts when that is `SEALED` (`feed_state`).
    """

    source: str
    date: date
    kind: KindName
    revision: int | None
    lines: int
    totals: dict[str, str]
    sha256: str | None
    carried_day: OtherDay
    carried_revision: int | None
    feed_state: str | None


class FillsView(msgspec.Struct, kw_only=True):
    """A page of fills; `next` is the cursor of the next page."""

    fills: list[FillView]
    next: str | None


async def _shown(conn: Connection, seen: FillSeen, around: Around) -> FillView:
    """Return a fill as the API shows it, with the feed that an approved one became."""
    wanted = msgspec.convert(seen.body, Wanted)
    effect = msgspec.convert(seen.effect, Effect)
    feed, revision, digits = None, wanted.revision, around.catalogue.digits
    if seen.revision is not None:
        revision = seen.revision
        feed = await feeds.one(conn, FeedKey(wanted.source, wanted.date, revision))
    return FillView(
        **agreements.words(seen, around.now),
        source=wanted.source,
        date=wanted.date,
        kind=wanted.kind.value,
        revision=revision,
        lines=effect.rows,
        totals={c: f"{Decimal(n).scaleb(-digits[c]):f}" for c, n in effect.totals.items()},
        sha256=effect.sha256,
        carried_day=effect.carried_day,
        carried_revision=effect.carried_revision,
        feed_state=None if feed is None else feed.state.value,
    )


COUNTER = Counter(Fills, _shown)


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
    asking = Asking(request, idempotency_key, dry_run)
    return await COUNTER.propose(asking, wanted, data.note)


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
    return await COUNTER.decide(Asking(request, idempotency_key, dry_run), fill_id, data)


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
    return await COUNTER.decide(Asking(request, idempotency_key, dry_run), fill_id, data)


@get("/v1/fills", guards=[needs(*READERS)], tags=["feeds"], operation_id="get_fills")
async def get_fills(
    request: Request[Any, Any, Any],
    *,
    in_state: Annotated[StateName | None, QueryParameter(name="state")] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> FillsView:
    """Return fills in the order they were proposed, those of one state if it is named."""
    page = Page(cursor, limit, in_state)
    views, following = await COUNTER.listed(request, "fills", page)
    return FillsView(fills=views, next=following)


@get(
    "/v1/fills/{fill_id:uuid}",
    guards=[needs(*READERS)],
    tags=["feeds"],
    operation_id="get_fill",
)
async def get_fill(fill_id: FromPath[UUID], request: Request[Any, Any, Any]) -> FillView:
    """Return a fill, all it does, and who decided."""
    return await COUNTER.one(request, fill_id)


HANDLERS = [get_fills, get_fill, post_fill, post_fill_approve, post_fill_reject]
