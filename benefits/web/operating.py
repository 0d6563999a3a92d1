"""Those who run the service: orders that wait, and providers, looked at and paused (V-3)."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from benefits.actions.keyed import Accepted, Decided, Refused
from benefits.actions.pause_provider import SayWord, UnknownProvider, say_keyed
from benefits.actions.retry_order import RetryOrder, UnknownOrder, read_number, retry_keyed
from benefits.actions.see_providers import ProviderSeen, see
from benefits.domain.orders import redacted
from benefits.domain.refusal import Refusal
from benefits.domain.requests import check_key
from benefits.store import open_orders
from benefits.store.db import Connection
from benefits.store.open_orders import Asked, Mark, OrderSeen
from benefits.web import cursors, rehearsal
from benefits.web.auth import IdempotencyKey, needs
from benefits.web.problems import refused, stored

View = TypeVar("View")
PAGE_MAX = 100
TRIES_SHOWN = 100
YEAR_S = 31_622_400
CODE = r"\A[^\x00]{1,64}\Z"
OpenState = Literal["HELD", "SUBMITTED", "PENDING", "UNKNOWN", "MANUAL"]
Reason = Annotated[
    str, msgspec.Meta(min_length=1, max_length=1000, pattern=r"\A[^\x00]*[^\s\x00][^\x00]*\Z")
]
Sku = Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[^\x00]*\Z")]


class OpenOrderView(msgspec.Struct, kw_only=True):
    """An order: since when it is, and stands as it does; `next_at` is when it is tried next."""

    number: str
    provider: str
    sku: str
    benefit: str
    quantity: int
    state: str
    created_at: datetime
    changed_at: datetime
    age_s: int
    next_at: datetime | None
    attempts: int
    in_flight: bool


class OpenOrdersView(msgspec.Struct, kw_only=True):
    """A page of orders; `next` is the cursor of the next page."""

    orders: list[OpenOrderView]
    next: str | None


class TryView(msgspec.Struct, kw_only=True):
    """One call about an order; `outcome` is empty when it was never told, `evidence` says why."""

    operation: str
    attempt: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    evidence: str


class OrderTriedView(msgspec.Struct, kw_only=True):
    """An order with the calls about it, latest first: no code, no recipient."""

    order: OpenOrderView
    provider_reference: str
    tries: list[TryView]


class BreakerView(msgspec.Struct, kw_only=True):
    """A SKU's breaker: CLOSED, PAUSED, or PROBE when the next call decides."""

    sku: str
    stand: str
    why: str
    paused_until: datetime | None
    pauses: int


class PauseView(msgspec.Struct, kw_only=True):
    """A pause that a person asked for; an empty `sku` is the whole provider."""

    sku: str
    until: datetime | None
    reason: str
    by: str
    since: datetime


class OrdersCountedView(msgspec.Struct, kw_only=True):
    """How many orders stand in a state, and since when the oldest of them is."""

    state: str
    orders: int
    oldest_at: datetime


class ProviderView(msgspec.Struct, kw_only=True):
    """A provider: breakers, pauses, and the orders that wait for it, of the oldest 10,000."""

    code: str
    breakers: list[BreakerView]
    pauses: list[PauseView]
    orders: list[OrdersCountedView]
    oldest_age_s: int | None


class ProvidersView(msgspec.Struct, kw_only=True):
    """All providers, by code."""

    providers: list[ProviderView]


class PauseRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why nothing is to be sent, and until when; for one SKU, or without one for all."""

    reason: Reason
    sku: Sku = ""
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class ResumeRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it goes on; for one SKU, or without one for what was paused as a whole."""

    reason: Reason
    sku: Sku = ""


def order_view(seen: OrderSeen, now: datetime) -> OpenOrderView:
    """Return an order as the API shows it."""
    return OpenOrderView(
        number=seen.request_id.hex,
        provider=seen.provider,
        sku=seen.sku,
        benefit=seen.benefit,
        quantity=seen.quantity,
        state=seen.state,
        created_at=seen.created_at,
        changed_at=seen.changed_at,
        age_s=max(int((now - seen.created_at).total_seconds()), 0),
        next_at=seen.next_at,
        attempts=seen.attempt,
        in_flight=seen.leased_until is not None and seen.leased_until > now,
    )


def provider_view(seen: ProviderSeen, now: datetime) -> ProviderView:
    """Return a provider as the API shows it."""
    oldest = seen.oldest_at
    return ProviderView(
        code=seen.code,
        breakers=[
            BreakerView(
                sku=one.sku,
                stand=one.stand,
                why=one.circuit.why,
                paused_until=one.circuit.paused_until,
                pauses=one.circuit.pauses,
            )
            for one in seen.breakers
        ],
        pauses=[
            PauseView(
                sku=word.sku,
                until=word.until,
                reason=word.reason,
                by=word.actor,
                since=word.said_at,
            )
            for word in seen.words
        ],
        orders=[
            OrdersCountedView(state=one.state, orders=one.orders, oldest_at=one.oldest_at)
            for one in seen.orders
        ],
        oldest_age_s=None if oldest is None else max(int((now - oldest).total_seconds()), 0),
    )


@get(
    "/v1/orders",
    guards=[needs("operator", "approver", "auditor")],
    tags=["providers"],
    operation_id="get_orders",
)
async def get_orders(
    request: Request[Any, Any, Any],
    *,
    in_state: Annotated[OpenState | None, QueryParameter(name="state")] = None,
    of_provider: Annotated[str | None, QueryParameter(name="provider", pattern=CODE)] = None,
    sku: Annotated[str | None, QueryParameter(pattern=CODE)] = None,
    older_than_s: Annotated[int, QueryParameter(ge=0, le=YEAR_S)] = 0,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> OpenOrdersView:
    """Return orders that are not decided yet, the oldest first."""
    kind = f"orders {in_state or ''} {of_provider or ''} {sku or ''}"
    after = cursors.read(kind, cursor, Mark)  # type: ignore[arg-type]  # a tuple type is a type to msgspec
    now = request.app.state.parts.clock()
    until = now - timedelta(seconds=older_than_s) if older_than_s else None
    asked = Asked(state=in_state, provider=of_provider, sku=sku, until=until)
    async with request.app.state.database.transaction() as conn:
        found = await open_orders.listed(conn, asked, after, limit=limit + 1)
    page, following = found[:limit], None
    if len(found) > limit:
        following = cursors.write(kind, (page[-1].created_at, page[-1].claim_id))
    return OpenOrdersView(orders=[order_view(seen, now) for seen in page], next=following)


async def _tried(conn: Connection, text: str, now: datetime) -> OrderTriedView:
    seen = await open_orders.one(conn, request_id := read_number(text))
    if seen is None:
        raise UnknownOrder
    tries = await open_orders.tries(conn, request_id, limit=TRIES_SHOWN)
    return OrderTriedView(
        order=order_view(seen, now),
        provider_reference=seen.provider_reference,
        tries=[
            TryView(**msgspec.structs.asdict(one) | {"evidence": redacted(one.evidence)})
            for one in tries
        ],
    )


@get(
    "/v1/orders/{number:str}",
    guards=[needs("operator", "approver", "auditor")],
    tags=["providers"],
    operation_id="get_order_tried",
)
async def get_order_tried(
    number: FromPath[str], request: Request[Any, Any, Any]
) -> OrderTriedView:
    """Return an order by its number, decided or not, with the calls about it."""
    async with request.app.state.database.transaction() as conn:
        return await _tried(conn, number, request.app.state.parts.clock())


@post(
    "/v1/orders/{number:str}/retry",
    guards=[needs("operator")],
    tags=["providers"],
    operation_id="retry_order",
    status_code=200,
)
async def post_retry(
    number: FromPath[str],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    anyway: FromQuery[bool] = False,
    whole: FromQuery[bool] = False,
    dry_run: FromQuery[bool] = False,
) -> Response[OrderTriedView]:
    """Let an order that is not decided be asked about, or sent, at once. Needs an Idempotency-Key.

    It is done as always: nothing that may have arrived is sent again. What is paused waits on. Of
    an order that came in part the rest is asked for, through the provider's schedule.
    Where the provider asked not to be called yet, it is called only `anyway`. With `whole` the
    provider's schedule of queries begins anew, also of an order that is MANUAL.
    """
    state, key = request.app.state, check_key(idempotency_key)
    request_id, caller = read_number(number), request.auth.name
    command = RetryOrder(caller=caller, request_id=request_id, anyway=anyway, whole=whole)

    async def work(conn: Connection) -> tuple[Decided | Refusal, OrderTriedView | None]:
        outcome = await retry_keyed(conn, command, key, state.parts)
        if not isinstance(outcome, Accepted):
            return outcome, None
        return outcome, await _tried(conn, number, state.parts.clock())

    done = await rehearsal.database(request, dry_run=dry_run).transact(work)
    return _answer(*done)


@get(
    "/v1/providers",
    guards=[needs("operator", "approver", "auditor")],
    tags=["providers"],
    operation_id="get_providers",
)
async def get_providers(request: Request[Any, Any, Any]) -> ProvidersView:
    """Return how all providers stand: breakers, pauses, and orders that wait."""
    parts = request.app.state.parts
    async with request.app.state.database.transaction() as conn:
        found = await see(conn, parts)
    return ProvidersView(providers=[provider_view(seen, parts.clock()) for seen in found])


@post(
    "/v1/providers/{provider:str}/pause",
    guards=[needs("operator")],
    tags=["providers"],
    operation_id="pause_provider",
    status_code=200,
)
async def post_pause(
    provider: FromPath[str],
    data: JSONBody[PauseRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[ProviderView]:
    """Send nothing to a provider, or nothing of one SKU, for a while. Needs an Idempotency-Key.

    Orders wait; the last word holds.
    """
    command = SayWord(
        caller=request.auth.name,
        provider=provider,
        pauses=True,
        reason=data.reason,
        sku=data.sku,
        until=data.until,
    )
    return await _say(request, command, idempotency_key, dry_run=dry_run)


@post(
    "/v1/providers/{provider:str}/resume",
    guards=[needs("operator")],
    tags=["providers"],
    operation_id="resume_provider",
    status_code=200,
)
async def post_resume(
    provider: FromPath[str],
    data: JSONBody[ResumeRequest],
    request: Request[Any, Any, Any],
    idempotency_key: IdempotencyKey = "",
    *,
    dry_run: FromQuery[bool] = False,
) -> Response[ProviderView]:
    """End the pause of a provider or a SKU, and close its breakers. Needs an Idempotency-Key."""
    command = SayWord(
        caller=request.auth.name,
        provider=provider,
        pauses=False,
        reason=data.reason,
        sku=data.sku,
    )
    return await _say(request, command, idempotency_key, dry_run=dry_run)


async def _say(
    request: Request[Any, Any, Any], command: SayWord, idempotency_key: str, *, dry_run: bool
) -> Response[ProviderView]:
    parts, key = request.app.state.parts, check_key(idempotency_key)

    async def work(conn: Connection) -> tuple[Decided | Refusal, ProviderView | None]:
        outcome = await say_keyed(conn, command, key, parts)
        if not isinstance(outcome, Accepted):
            return outcome, None
        found = [one for one in await see(conn, parts) if one.code == command.provider]
        return outcome, provider_view(found[0], parts.clock()) if found else None

    done = await rehearsal.database(request, dry_run=dry_run).transact(work)
    return _answer(*done)


def _answer(outcome: Decided | Refusal, seen: View | None) -> Response[View]:
    match outcome:
        case Accepted():
            if seen is None:  # it was there when it was said
                return refused(UnknownProvider())
            headers = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
            return Response(seen, headers=headers)
        case Refused():
            return stored(outcome)
        case Refusal():
            return refused(outcome)


HANDLERS = [
    get_orders,
    get_order_tried,
    post_retry,
    get_providers,
    post_pause,
    post_resume,
]
TYPES: tuple[type, ...] = (
    OpenOrdersView,
    OrderTriedView,
    ProvidersView,
    PauseRequest,
    ResumeRequest,
)
