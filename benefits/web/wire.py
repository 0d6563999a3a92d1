"""The HTTP server's protocol, with limits on what comes before an application is asked.

uvicorn times neither the head of a request nor the rest of a body that nobody reads any more, and
httptools counts no headers. Here a connection that says nothing, a head that trickles in, one that
is too long, and a body that goes on after its answer are ended; one connection too many is told so
and closed. Upgrades are not spoken: such a request is answered as if it had not asked.
"""

import asyncio
import re
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from benefits.domain.refusal import Refusal
from benefits.store.group import Overloaded
from benefits.web.limits import raw
from benefits.web.problems import HeadTooLarge, RequestInvalid, refused

SILENT_S = 30.0
HEAD_S = 10.0
REST_S = 10.0
HEAD_BYTES_MAX = 32 * 1024
HEADERS_MAX = 100
CONNECTIONS_MAX = 8192
# The parser gives up a body that comes with this header, although nobody here upgrades anything.
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class _Corked:
    """A transport that sends head and body of an answer at once: a call to the kernel less.

    What is written waits for the next write, at most until the loop's next turn.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Keep the first part; send it with the second."""
        if self._waiting:
            data, self._waiting = self._waiting + data, b""
            self._transport.write(data)
        elif data:
            self._waiting = data
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            data, self._waiting = self._waiting, b""
            self._transport.write(data)

    def close(self) -> None:
        """Close when everything is sent."""
        self.flush()
        self._transport.close()


class Wire(HttpToolsProtocol):
    """A connection.

    silent --first byte--> head --whole--> request --body whole and answered--> silent
    30 s                   10 s            (limits.py)  rest after the answer: 10 s
    """

    silent_s = SILENT_S
    head_s = HEAD_S
    rest_s = REST_S
    connections_max = CONNECTIONS_MAX

    def __init__(self, *arguments: Any, **more: Any) -> None:
        """Begin in silence."""
        super().__init__(*arguments, **more)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head_bytes = 0
        self._headers_bytes = 0
        self._is_head_too_large = False
        self._why = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Take a connection, or say that there are too many."""
        super().connection_made(cast("asyncio.Transport", _Corked(transport, self.loop)))
        if len(self.connections) > self.connections_max:
            self._end(Overloaded())
        else:
            self._within(self.silent_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._within(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; the head of a request counts from its first byte."""
        if self._in_head:
            if self._head_bytes == 0:
                self._within(self.head_s)
            self._head_bytes += len(data)
            head, end, body = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"\r\nx-not-spoken:", head) + end + body
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self._is_closing():
            self._end(HeadTooLarge())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of a head that is not too large."""
        super().on_header(name, value)
        self._headers_bytes += len(name) + len(value)
        length = len(self.url) + self._headers_bytes
        if length > HEAD_BYTES_MAX or len(self.headers) > HEADERS_MAX:
            self._is_head_too_large = True
            msg = "too large"  # the parser gives up, and `send_400_response` says why
            raise ValueError(msg)

    def on_headers_complete(self) -> None:
        """Begin with a request whose head is whole and names one host (RFC 9112, 3.2)."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            self._why = "A request names its host in one Host header."
            raise ValueError(self._why)
        self._within(None)
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Be ready for the next head."""
        self._within(None)
        self._in_head = True
        self._head_bytes = self._headers_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait a while for the rest of a body that nobody reads."""
        super().on_response_complete()
        if not self._in_head:
            self._within(self.rest_s)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or too much of it."""
        self._end(HeadTooLarge() if self._is_head_too_large else RequestInvalid(self._why or msg))

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: anybody can ask for an upgrade, as often as they like."""

    def _is_closing(self) -> bool:
        return self.transport.is_closing()

    def _within(self, seconds: float | None) -> None:
        """Close the connection unless what is waited for happens within some seconds."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        """Close the connection, unless an earlier request on it is still being answered."""
        cycle: Any = self.cycle  # None before the first request, whatever uvicorn declares
        if cycle is not None and not cycle.response_complete:
            self._within(self.head_s)
        else:
            self.transport.close()

    def _end(self, refusal: Refusal) -> None:
        """Answer without asking the application, and close."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self.transport.close()  # words now would be taken for that request's answer
            return
        status, headers, body = raw(refused(refusal))
        head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
        head += [name + b": " + value for name, value in headers]
        head.append(b"connection: close")
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        self.transport.close()
