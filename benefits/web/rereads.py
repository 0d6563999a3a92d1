"""Callbacks that came to nothing are read again, page by page, by who runs the service (V-4)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response, post
from litestar.params import FromPath, FromQuery, JSONBody

from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.actions.pause_provider import UnknownProvider
from benefits.actions.reread import Again, Reread, RereadPage, reread_keyed
from benefits.domain.callbacks import SETTLED
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store.db import Connection
from benefits.store.inbox import Mark
from benefits.web import cursors, rehearsal
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.problems import refused, stored

PAGE_MAX = 100
log = structlog.get_logger()


class CallbackAgainView(msgspec.Struct, kw_only=True):
    """A callback that was read again: what had become of it, and what became of it now.

    `was` is null of what a release before verdicts worked off; `now` of what waits for its member.
    """

    received_at: datetime
    event_id: str
    number: str
    was: str | None
    now: str | None


class CallbacksAgainView(msgspec.Struct, kw_only=True):
    """A page of callbacks, oldest first, and how many are settled; `next` is the next's cursor."""

    callbacks: list[CallbackAgainView]
    settled: int
    next: str | None


class RereadRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which callbacks: those that came after an instant, or after a page; so many at most."""

    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    cursor: Annotated[str, msgspec.Meta(min_length=1, max_length=400)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 20


@post(
    "/v1/providers/{provider:str}/callbacks/reread",
    guards=[needs("operator")],
    tags=["providers"],
    operation_id="reread_callbacks",
    status_code=200,
)
async def post_reread(
    provider: FromPath[str],
    data: JSONBody[RereadRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[CallbacksAgainView]:
    """Read a page of a provider's callbacks again that came to nothing. Needs an Idempotency-Key.

    What they say now is applied as if they had just come. What is settled is not read again; what
    could not be read, found or applied stays as it is.
    """
    state, key = request.app.state, check_key(idempotency_key)
    kind = f"callbacks {provider}"
    after = cursors.read(kind, data.cursor, Mark)  # type: ignore[arg-type]  # a tuple type is a type to msgspec
    async with state.database.transaction() as conn:
        await state.parts.catalogue.current(conn)
    known = state.providers.get(provider)
    if known is None:
        raise UnknownProvider
    command = Reread(
        caller=request.auth.name,
        provider=provider,
        understand=known.understand,
        since=data.since,
    )
    page = RereadPage(command=command, after=after, limit=data.limit)

    async def work(conn: Connection) -> tuple[Decided | Refusal, list[Again]]:
        return await reread_keyed(conn, page, key, state.parts)

    outcome, again = await rehearsal.database(request, dry_run=dry_run).transact(work)
    match outcome:
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)
        case Accepted():
            settled = sum(one.now in SETTLED for one in again)
            if not dry_run and not outcome.replayed:
                figures = {"read": len(again), "settled": settled}
                log.info("callbacks.reread", provider=provider, **figures, by=command.caller)
            following = cursors.write(kind, again[-1].mark) if len(again) == data.limit else None
            return Response(
                CallbacksAgainView(
                    callbacks=[_view(one) for one in again], settled=settled, next=following
                ),
                headers={"Idempotency-Replayed": "true"} if outcome.replayed else {},
            )


def _view(one: Again) -> CallbackAgainView:
    return CallbackAgainView(
        received_at=one.received_at,
        event_id=one.event_id,
        number=one.number,
        was=one.was.value if one.was else None,
        now=one.now.value if one.now else None,
    )


HANDLERS = [post_reread]
TYPES: tuple[type, ...] = (CallbacksAgainView, RereadRequest)
