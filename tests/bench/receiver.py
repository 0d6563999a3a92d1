"""A provider of the `open` contract that costs little: every order is issued, some ms later.

Run it as a process: `python -m tests.bench.receiver PORT`. Under `/dead` it never answers.
"""

import asyncio
import sys
from datetime import UTC, datetime
from typing import cast

import msgspec
import uvloop

from benefits.domain.signature import parse_secret, signed_headers
from tests.service import WEBHOOK_SECRET

ANSWER_AFTER_S = 0.02
_SECRETS = [parse_secret(WEBHOOK_SECRET)]


class Order(msgspec.Struct, frozen=True):
    """What is read of a request."""

    number: str


class Receiver(asyncio.Protocol):
    """One connection; a request at a time, as HTTP/1.1 clients send them."""

    def __init__(self) -> None:
        """Start with nothing received."""
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it; an answer that is due goes nowhere."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer a whole request, after a while."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        lower = head.lower()
        if len(body) < int(lower.split(b"content-length:")[1].split(b"\r\n")[0]):
            return
        self._received = b""
        if head.startswith(b"POST /dead"):
            return
        id_ = lower.split(b"webhook-id:")[1].split(b"\r\n")[0].strip().decode()
        asyncio.get_running_loop().call_later(ANSWER_AFTER_S, self._answer, id_, body)

    def _answer(self, id_: str, body: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer(id_, msgspec.json.decode(body, type=Order).number))


def answer(id_: str, number: str) -> bytes:
    """Return the signed answer that an order was issued."""
    now = datetime.now(UTC)
    told = {"number": number, "status": "issued", "at": now, "reference": number[:16]}
    body = msgspec.json.encode(told)
    headers = signed_headers(_SECRETS, id_, int(now.timestamp()), body)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def main(port: int) -> None:
    """Answer until killed."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
