"""Providers that call back: verified on the raw bytes, kept, acknowledged after commit (V-4)."""

import asyncio
from typing import Any, Literal

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath

from benefits import measures
from benefits.actions.receive import Callback
from benefits.domain.orders import Callbacks
from benefits.domain.refusal import Refusal
from benefits.domain.signature import Fault, SignatureRefused
from benefits.providers.provider import Acknowledgement, Provider, RawCallback
from benefits.web.problems import STATUSES, NotFound

BODY_BYTES_MAX = 64 * 1024
CALLBACK = "/callbacks/{provider:str}"


@post(
    CALLBACK,
    status_code=200,
    tags=["callbacks"],
    operation_id="receive_callback",
    request_max_body_size=BODY_BYTES_MAX,
)
async def post_callback(
    provider: FromPath[str], request: Request[Any, Any, Any]
) -> Response[bytes]:
    """Take a provider's callback; the answer is the literal its contract asks for."""
    return await _taken(provider, request, method="POST")


@get(
    CALLBACK,
    tags=["callbacks"],
    operation_id="receive_callback_by_query",
    include_in_schema=False,
    request_max_body_size=BODY_BYTES_MAX,
)
async def get_callback(
    provider: FromPath[str], request: Request[Any, Any, Any]
) -> Response[bytes]:
    """Take the callback of a provider whose dialect tells it in a query."""
    return await _taken(provider, request, method="GET")


async def _taken(
    provider: str, request: Request[Any, Any, Any], *, method: Literal["GET", "POST"]
) -> Response[bytes]:
    state, peer = request.app.state, request.client.host if request.client else ""
    raw = RawCallback(
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.body(),
        received_at=state.parts.clock(),
        method=method,
        query=request.scope["query_string"],
    )
    return answer(await take(state, provider, raw, peer=peer))


def answer(ack: Acknowledgement) -> Response[bytes]:
    """Return an acknowledgement as it goes over the wire."""
    return Response(ack.body, status_code=ack.status, media_type=ack.media_type)


async def take(state: State, provider: str, raw: RawCallback, *, peer: str) -> Acknowledgement:
    """Verify a callback, keep it together with others, and acknowledge it to the provider.

    Of one that tells of several events each is kept, and it is acknowledged once all are. A
    refused signature counts against the address it came from, `peer`; a probe's does not.
    """
    known: Provider | None = state.providers.get(provider)
    if known is None or known.capabilities.callbacks is Callbacks.NONE:
        measures.CALLBACKS.labels("unknown", "not_found").inc()
        raise NotFound
    try:
        notices = known.receive(raw)
    except Refusal as refusal:
        measures.CALLBACKS.labels(provider, refusal.code).inc()
        forged = isinstance(refusal, SignatureRefused) and refusal.fault is not Fault.PROBE
        if forged and peer:
            state.rates.failure(peer, f"signatures of {provider}")
        told = known.refused(STATUSES[type(refusal)], refusal.words)
        if told is None:
            raise
        return told
    if not notices:
        measures.CALLBACKS.labels(provider, "ignored").inc()
    callbacks = [Callback(provider=provider, notice=one, raw=raw.told) for one in notices]
    for new in await asyncio.gather(*map(state.callbacks.submit, callbacks)):
        measures.CALLBACKS.labels(provider, "kept" if new else "known").inc()
    return known.ack()


HANDLERS = [post_callback, get_callback]
