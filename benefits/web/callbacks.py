"""Providers that call back: verified on the raw bytes, kept, acknowledged after commit (V-4)."""

from typing import Any

from litestar import Request, Response, post
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
    headers = {name.lower(): value for name, value in request.headers.items()}
    peer = request.client.host if request.client else ""
    ack = await take(request.app.state, provider, headers, await request.body(), peer=peer)
    return answer(ack)


def answer(ack: Acknowledgement) -> Response[bytes]:
    """Return an acknowledgement as it goes over the wire."""
    return Response(ack.body, status_code=ack.status, media_type=ack.media_type)


async def take(
    state: State, provider: str, headers: dict[str, str], body: bytes, *, peer: str
) -> Acknowledgement:
    """Verify a callback, keep it together with others, and acknowledge it to the provider.

    A refused signature counts against the address it came from, `peer`; a probe's does not.
    """
    known: Provider | None = state.providers.get(provider)
    if known is None or known.capabilities.callbacks is Callbacks.NONE:
        measures.CALLBACKS.labels("unknown", "not_found").inc()
        raise NotFound
    raw = RawCallback(headers=headers, body=body, received_at=state.parts.clock())
    try:
        notice = known.receive(raw)
    except Refusal as refusal:
        measures.CALLBACKS.labels(provider, refusal.code).inc()
        forged = isinstance(refusal, SignatureRefused) and refusal.fault is not Fault.PROBE
        if forged and peer:
            state.rates.failure(peer, f"signatures of {provider}")
        told = known.refused(STATUSES[type(refusal)], refusal.words)
        if told is None:
            raise
        return told
    if notice is None:
        measures.CALLBACKS.labels(provider, "ignored").inc()
        return known.ack()
    new = await state.callbacks.submit(Callback(provider=provider, notice=notice, raw=raw.body))
    measures.CALLBACKS.labels(provider, "kept" if new else "known").inc()
    return known.ack()


HANDLERS = [post_callback]
