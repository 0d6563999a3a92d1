"""Every request, seen from outside: one line in the log, its figures, its span.

Stands around routing, so that what has no route is seen as well. A route is named by its template
and a caller by the name of its key: no path, query, header or body is looked at, but for a
`traceparent` and the code of a problem, which we wrote ourselves.
"""

import os
import re
import time
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from opentelemetry.trace import Span, SpanKind
from prometheus_client import Counter, Histogram

from benefits import measures, traces
from benefits.web import rehearsal

QUIET = ("/health", "/ready")
UNMATCHED = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NONE = frozenset[str]()
_TYPES = re.compile(r":\w+}")

log = structlog.get_logger()


class _Coded(msgspec.Struct):
    code: str = ""


class _Seen:
    """What became known of one request."""

    __slots__ = (
        *("begun", "bytes_in", "bytes_out", "code", "id", "problem", "rehearsed", "replayed"),
        "status",
    )

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.id = os.urandom(16).hex()
        self.status = 0
        self.bytes_in = self.bytes_out = 0
        self.replayed = self.rehearsed = self.problem = False
        self.code = ""

    def began(self, message: Message, scope: Scope) -> None:
        """Read the head of the answer; put the request's id into it, and that it is rehearsed."""
        self.status = message["status"]  # type: ignore[typeddict-item]  # of the start's message
        headers = [*message["headers"]]  # type: ignore[typeddict-item]  # as above
        for name, value in headers:
            if name == b"content-type":
                self.problem = value.startswith(b"application/problem+json")
            elif name == b"idempotency-replayed":
                self.replayed = True
        if rehearsal.is_rehearsed(scope):
            self.rehearsed = True
            headers.append((rehearsal.HEADER.lower().encode(), b"true"))
        message["headers"] = [*headers, (b"x-request-id", self.id.encode())]  # type: ignore[typeddict-unknown-key]  # as above

    def went_on(self, message: Message) -> None:
        """Count what is sent; of a problem, which is ours, read the code."""
        body: bytes = message.get("body", b"")  # type: ignore[assignment]  # of the body's message
        self.bytes_out += len(body)
        if self.problem and body and not self.code:
            try:
                self.code = msgspec.json.decode(body, type=_Coded).code
            except msgspec.MsgspecError:
                self.problem = False


class Observed:
    """Wraps the app; give it the app's own handler."""

    def __init__(self, app: ASGIApp) -> None:
        """Begin to look."""
        self._app = app
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._templates: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and tell of it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        seen = _Seen()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.began(message, scope)
            elif message["type"] == "http.response.body":
                seen.went_on(message)
            await send(message)

        async def receiving() -> Any:
            message = await receive()
            if message["type"] == "http.request":
                seen.bytes_in += len(message.get("body", b""))
            return message

        measures.IN_FLIGHT.inc()
        try:
            if traces.on() and scope["path"] not in QUIET:
                await self._traced(scope, receiving, sending, seen)
            else:
                await self._logged(scope, receiving, sending, seen)
        finally:
            measures.IN_FLIGHT.dec()

    async def _traced(self, scope: Scope, receive: Receive, send: Send, seen: _Seen) -> None:
        headers = dict(scope["headers"])
        came_from = headers.get(b"traceparent", b"").decode("latin-1")
        method = _method(scope)
        with traces.span(method, SpanKind.SERVER, of=came_from) as span:
            try:
                await self._logged(scope, receive, send, seen)
            finally:
                self._describe(span, scope, seen)

    def _describe(self, span: Span, scope: Scope, seen: _Seen) -> None:
        method, route = _method(scope), self._route(scope)
        span.update_name(f"{method} {route}")
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", seen.status)
        if seen.code:
            span.set_attribute("benefits.problem", seen.code)
        if seen.status >= 500:
            traces.failed(span, seen.code or str(seen.status))

    async def _logged(self, scope: Scope, receive: Receive, send: Send, seen: _Seen) -> None:
        trace_id = traces.trace_id()
        about = {"request_id": seen.id} | ({"trace_id": trace_id} if trace_id else {})
        structlog.contextvars.bind_contextvars(**about)  # each request has a task of its own
        try:
            await self._app(scope, receive, send)
        finally:
            self._tell(scope, seen)

    def _tell(self, scope: Scope, seen: _Seen) -> None:
        took = time.perf_counter() - seen.begun
        method, route = _method(scope), self._route(scope)
        counted = self._counted.get((route, method, seen.status))
        if counted is None:
            counted = self._counted[route, method, seen.status] = (
                measures.REQUESTS.labels(route, method, seen.status),
                measures.REQUEST_DURATION.labels(route),
            )
        counted[0].inc()
        counted[1].observe(took)
        caller = scope.get("auth")
        tell = log.debug if scope["path"] in QUIET else log.info
        tell(
            "request.done",
            method=method,
            route=route,
            status=seen.status,
            code=seen.code,
            caller=_named(caller),
            scope=_listed(getattr(caller, "scopes", _NONE)),
            duration_ms=round(took * 1000, 2),
            bytes_in=seen.bytes_in,
            bytes_out=seen.bytes_out,
            replayed=seen.replayed,
            dry_run=seen.rehearsed,
        )

    def _route(self, scope: Scope) -> str:
        """Return the template of the route that answered, without the types of its parameters."""
        template: str = scope.get("path_template", "")
        known = self._templates.get(template)
        if known is None:
            known = self._templates[template] = _TYPES.sub("}", template) or UNMATCHED
        return known


@lru_cache(256)
def _listed(scopes: frozenset[str]) -> str:
    return ",".join(sorted(scopes))


def _named(caller: Any) -> str:
    """Return a service's name; who is bound to a member is told by the scope alone."""
    return "" if getattr(caller, "member_id", None) else getattr(caller, "name", "")


def _method(scope: Scope) -> str:
    """Return the method, and one word for all that are none."""
    method = str(scope.get("method", ""))
    return method if method in _METHODS else "OTHER"
