"""The way out for traces: OTLP over HTTP, in batches, from a thread of the SDK's own.

A collector that is away costs nothing but the spans: they are counted as lost, and the log says so
once when it begins and once when it is over.
"""

import logging
from collections.abc import Callable, Sequence

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from benefits import measures, traces

EXPORT_WITHIN_S = 3.0

log = structlog.get_logger()


class Counted(SpanExporter):
    """Exports and counts, and tells when that begins to fail and when it works again."""

    def __init__(self, endpoint: str) -> None:
        """Export to an endpoint; one without a path is a collector's address."""
        base = endpoint.rstrip("/")
        url = base if base.endswith("/v1/traces") else f"{base}/v1/traces"
        self._inner = OTLPSpanExporter(url, timeout=EXPORT_WITHIN_S)
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = self._inner.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        measures.SPANS.labels("lost" if failing else "exported").inc(len(spans))
        if failing is not self._failing:
            self._failing = failing
            if failing:
                log.warning("traces.lost", spans=len(spans))
            else:
                log.info("traces.exported_again")
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._inner.shutdown()  # type: ignore[no-untyped-call]  # theirs has no types


def export(endpoint: str, *, service: str, version: str, ratio: float) -> Callable[[], None]:
    """Begin to export spans; return what sends the last ones and ends it.

    A trace begun elsewhere is sampled as its beginner decided, one begun here by the ratio.
    """
    # What the SDK would say at each try, `Counted` says once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    resource = Resource.create({"service.name": service, "service.version": version})
    provider = TracerProvider(resource=resource, sampler=ParentBasedTraceIdRatio(ratio))
    provider.add_span_processor(BatchSpanProcessor(Counted(endpoint)))
    traces.begin(provider.get_tracer("benefits", version))

    def end() -> None:
        traces.end()
        provider.shutdown()

    return end
