"""Traces: one story from a request through worker and provider to the callback.

Off until `begin` is called, and then nothing here costs more than a look at a flag. A span's name
and attributes hold templates, codes, kinds and counts; never an id of a member, a path or a body.
A place in a trace is kept as the text of a W3C `traceparent`, with the order it belongs to.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()
_tracer: trace.Tracer | None = None


def on() -> bool:
    """Say whether spans are exported."""
    return _tracer is not None


def place() -> str:
    """Return the traceparent of where we are; empty when there is no trace."""
    if _tracer is None:
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")


def outgoing() -> dict[str, str]:
    """Return the headers that let the other side continue the trace."""
    here = place()
    return {"traceparent": here} if here else {}


def trace_id() -> str:
    """Return the id of the trace we are in, for the log; empty when there is none."""
    found = trace.get_current_span().get_span_context() if _tracer is not None else None
    return f"{found.trace_id:032x}" if found is not None and found.is_valid else ""


def _from(traceparent: str) -> Context:
    """Return the context of a place; a malformed one begins a trace of its own."""
    return _propagator.extract({"traceparent": traceparent} if traceparent else {}, Context())


def _at(traceparent: str) -> SpanContext:
    return trace.get_current_span(_from(traceparent)).get_span_context()


@contextlib.contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    of: str | None = None,
    linked: Iterable[str] = (),
    **attributes: str | int,
) -> Iterator[Span]:
    """Open a span, in the trace of the place `of`, or where we are; it links to other places."""
    if _tracer is None:
        yield trace.INVALID_SPAN
        return
    places = [_at(one) for one in linked if one]
    made = _tracer.start_span(
        name,
        _from(of) if of is not None else None,
        kind,
        attributes=attributes,
        links=[Link(one) for one in places if one.is_valid],
    )
    with trace.use_span(
        made, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        try:
            yield made
        except Exception as error:
            failed(made, type(error).__name__)
            raise


@contextlib.contextmanager
def each(name: str, places: Sequence[str], **attributes: str | int) -> Iterator[list[str]]:
    """Open one span in each place's trace around work done for all; yield their traceparents.

    Each links to the span we are in, if we are in one.
    """
    if _tracer is None:
        yield ["" for _ in places]
        return
    here = trace.get_current_span().get_span_context()
    links = [Link(here)] if here.is_valid else []
    made = [
        _tracer.start_span(name, _from(one), attributes=attributes, links=links) if one else None
        for one in places
    ]
    carriers: list[dict[str, str]] = [{} for _ in places]
    for one, carrier in zip(made, carriers, strict=True):
        if one is not None:
            _propagator.inject(carrier, trace.set_span_in_context(one, Context()))
    try:
        yield [carrier.get("traceparent", "") for carrier in carriers]
    finally:
        for one in made:
            if one is not None:
                one.end()


def failed(one: Span, why: str) -> None:
    """Mark a span as failed, by a kind and never by a message."""
    one.set_status(Status(StatusCode.ERROR, why))


def begin(tracer: trace.Tracer) -> None:
    """Make spans from here on with a tracer that exports them."""
    global _tracer  # noqa: PLW0603 - one process, one way out for its traces
    _tracer = tracer


def end() -> None:
    """Make no more spans."""
    global _tracer  # noqa: PLW0603 - see `begin`
    _tracer = None
