"""What no request may exceed, in time and length, and what every answer says besides."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvicorn
from litestar import Litestar, Request, get, post

from benefits.app import server_config
from benefits.settings import Keys, Settings
from benefits.store.db import run
from benefits.web import problems
from benefits.web.limits import Limits, Times
from benefits.web.wire import HEAD_BYTES_MAX, HEADERS_MAX, Wire
from tests import roles
from tests.web.site import Site
from tests.web.test_mobile import call

SETTINGS = Settings(
    database_url="", keys=Keys(member_key=b"", secret_keys=(), provider_secrets={})
)
SOON = Times(part_s=0.2, body_s=0.5, answer_s=0.1)
LONG = Times()


class Impatient(Wire):
    """The protocol, with little time."""

    silent_s = head_s = rest_s = 0.5


class Narrow(Wire):
    """The protocol, for few connections."""

    connections_max = 1


@post("/echo", status_code=200)
async def echo(request: Request[Any, Any, Any]) -> dict[str, int]:
    """Read the whole body."""
    return {"read": len(await request.body())}


@post("/stream", status_code=200)
async def stream(request: Request[Any, Any, Any]) -> dict[str, int]:
    """Read the body as it comes."""
    return {"read": sum([len(part) async for part in request.stream()])}


@post("/deaf", status_code=200)
async def deaf() -> dict[str, int]:
    """Answer without reading."""
    return {"read": 0}


@get("/never")
async def never(request: Request[Any, Any, Any]) -> None:
    """Wait until it is over or cancelled, and say so."""
    try:
        await request.app.state.over.wait()
    finally:
        request.app.state.ended = True


@get("/health")
async def health() -> dict[str, str]:
    """Answer at once."""
    return {"status": "ok"}


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[], Awaitable[Line]]


@asynccontextmanager
async def serving(
    times: Times = LONG, *, wire: type[Wire] = Wire, requests_max: int = 100
) -> AsyncIterator[tuple[Dial, Litestar]]:
    """Serve a small app within limits; give a way to dial it."""
    web = Litestar(
        [echo, stream, deaf, never, health],
        exception_handlers=problems.HANDLERS,
        logging_config=None,
        openapi_config=None,
    )
    web.asgi_handler = Limits(
        web.asgi_handler, streamed={"/stream"}, times=times, requests_max=requests_max
    )
    web.state.over = asyncio.Event()
    config = server_config(web, SETTINGS)
    config.http = wire
    lines = list[Line]()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)

        async def dial() -> Line:
            lines.append(await asyncio.open_connection(*listening.getsockname()))
            return lines[-1]

        try:
            yield dial, web
        finally:
            for _, writer in lines:
                writer.close()
            web.state.over.set()
            server.should_exit = True
            await task


def head(method: str, path: str, *more: str) -> bytes:
    """Return the head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *more, "", ""]).encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    """Read one answer: status, head in lower case, body."""
    got = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(got.split("content-length: ")[1].split("\r\n")[0])
    return int(got[9:12]), got, await reader.readexactly(length)


async def test_a_body_that_trickles_is_told_off() -> None:
    """A part that does not come, and a body that takes too long, are 408 and the end."""
    async with serving(SOON) as (dial, _):
        for pause, parts in ((0.0, 1), (0.1, 100)):
            reader, writer = await dial()
            writer.write(head("POST", "/echo", "Content-Length: 1000"))
            reading = asyncio.create_task(answer(reader))
            for _ in range(parts):
                if not reading.done():
                    writer.write(b"x")
                    await asyncio.sleep(pause)
            status, told, body = await reading
            assert (408, True) == (status, b'"request_too_slow"' in body)
            assert "connection: close" in told
            assert b"" == await reader.read()


async def test_a_stream_takes_as_long_as_it_does_part_by_part() -> None:
    """A long import is not cut, one that stops is."""
    times = Times(part_s=5, body_s=0.1, answer_s=0.1)
    async with serving(times) as (dial, _):
        reader, writer = await dial()
        writer.write(head("POST", "/stream", "Content-Length: 5"))
        for _ in range(5):
            await asyncio.sleep(0.1)
            writer.write(b"x")
        assert (200, b'{"read":5}') == (await answer(reader))[::2]
    async with serving(SOON) as (dial, _):
        reader, writer = await dial()
        writer.write(head("POST", "/stream", "Content-Length: 5"))
        assert 408 == (await answer(reader))[0]


async def test_work_that_takes_too_long_is_ended_and_told() -> None:
    """The handler is cancelled, so that its transaction rolls back; the caller may come again."""
    async with serving(SOON) as (dial, web):
        reader, writer = await dial()
        writer.write(head("GET", "/never"))
        status, told, body = await answer(reader)
        assert (503, True, True) == (status, b'"timed_out"' in body, "retry-after: 2" in told)
        assert web.state.ended
        writer.write(head("GET", "/health"))
        assert 200 == (await answer(reader))[0]


async def test_work_that_was_ended_gives_its_connection_back(running: Site) -> None:
    """More requests than the pool has connections end late, and the next one is answered."""
    member = await running.world.member()
    handler: Any = running.app.asgi_handler._app  # type: ignore[attr-defined]  # of Observed
    path = f"/v1/members/{member}/history"
    handler._times = Times(body_s=0.2, answer_s=0.1)
    async with roles.administrator(running.world.database) as conn:
        await run(conn, "LOCK TABLE member IN ACCESS EXCLUSIVE MODE")
        answers = await asyncio.gather(*(call(running, "GET", path) for _ in range(9)))
        assert {(503, "timed_out")} == {(status, body["code"]) for status, _, body in answers}
    handler._times = LONG
    answers = await asyncio.gather(*(call(running, "GET", path) for _ in range(9)))
    assert {200} == {status for status, _, _ in answers}


async def test_one_request_too_many_is_told_so_and_health_still_answers() -> None:
    """A full process answers in our own shape, at once."""
    async with serving(requests_max=1) as (dial, _):
        _, busy = await dial()
        busy.write(head("GET", "/never"))
        reader, writer = await dial()
        status = 0
        while status != 503:
            writer.write(head("POST", "/deaf", "Content-Length: 0"))
            status, told, body = await answer(reader)
        assert b'"overloaded"' in body
        assert "application/problem+json" in told
        assert "retry-after: 2" in told
        writer.write(head("GET", "/health"))
        assert 200 == (await answer(reader))[0]


async def test_one_connection_too_many_is_told_so_and_closed() -> None:
    """Without a request being read."""
    async with serving(wire=Narrow) as (dial, _):
        first, writer = await dial()
        writer.write(head("GET", "/health"))
        assert 200 == (await answer(first))[0]
        second, _ = await dial()
        status, told, body = await answer(second)
        assert (503, True) == (status, b'"overloaded"' in body)
        assert "connection: close" in told
        assert b"" == await second.read()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /hea",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"\r\n\r\n",
    ],
    ids=["silence", "line", "header", "blank"],
)
async def test_a_head_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    """A connection costs nobody's patience, also after a request that was answered."""
    async with serving(wire=Impatient) as (dial, _):
        reader, writer = await dial()
        writer.write(sent)
        assert b"" == await reader.read()
        reader, writer = await dial()
        writer.write(head("GET", "/health"))
        assert 200 == (await answer(reader))[0]
        if sent:
            writer.write(sent)
            assert b"" == await reader.read()


async def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for() -> None:
    """After the answer the connection ends, unless the body does in time."""
    async with serving(wire=Impatient) as (dial, _):
        reader, writer = await dial()
        writer.write(head("POST", "/deaf", "Content-Length: 1000"))
        assert 200 == (await answer(reader))[0]
        sending = asyncio.create_task(_trickle(writer))
        assert b"" == await reader.read()
        sending.cancel()
    async with serving() as (dial, _):
        reader, writer = await dial()
        writer.write(head("POST", "/deaf", "Content-Length: 3"))
        assert 200 == (await answer(reader))[0]
        writer.write(b"xxx" + head("GET", "/health"))
        assert 200 == (await answer(reader))[0]


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "sent",
    [
        head("GET", "/health", "X: " + "x" * HEAD_BYTES_MAX),
        head("GET", "/" + "x" * HEAD_BYTES_MAX),
        head("GET", "/health", *(f"X-{n}: 1" for n in range(HEADERS_MAX))),
        b"GET /health HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES_MAX,
    ],
    ids=["header", "address", "headers", "endless"],
)
async def test_a_head_that_is_too_large_is_refused(sent: bytes) -> None:
    """Long, many or without an end: told in our own shape, then closed."""
    async with serving() as (dial, _):
        reader, writer = await dial()
        writer.write(sent)
        status, _, body = await answer(reader)
        assert (431, True) == (status, b'"headers_too_large"' in body)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"HTTP/1.1", 400),
        (b"HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        (b"HTTP/1.0\r\nHost: a\r\nHost: a", 400),
        (b"HTTP/1.1\r\nHost: a", 200),
        (b"HTTP/1.0", 200),
    ],
)
async def test_a_request_names_its_host_once(lines: bytes, expected: int) -> None:
    """Whoever stands before us must not read another address than we do (RFC 9112, 3.2)."""
    async with serving() as (dial, _):
        reader, writer = await dial()
        writer.write(b"GET /health " + lines + b"\r\n\r\n")
        status, _, body = await answer(reader)
        assert (expected, expected == 400) == (status, b'"request_invalid"' in body)


async def test_what_is_not_http_is_refused_in_our_shape() -> None:
    """And an upgrade that we do not speak is answered as if it had not been asked for."""
    async with serving() as (dial, _):
        reader, writer = await dial()
        writer.write(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
        status, told, body = await answer(reader)
        assert (400, True) == (status, b'"request_invalid"' in body)
        assert "application/problem+json" in told
        reader, writer = await dial()
        writer.write(head("GET", "/health", "Connection: Upgrade", "Upgrade: websocket"))
        assert 200 == (await answer(reader))[0]


@pytest.mark.parametrize("in_two", [False, True])
async def test_a_request_that_asks_for_an_upgrade_keeps_its_body(in_two: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Clients that offer HTTP/2 in clear get their answer over HTTP/1.1."""
    body = b'{"references": []}'
    more = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", f"Content-Length: {len(body)}")
    async with serving() as (dial, _):
        reader, writer = await dial()
        sent = head("POST", "/echo", *more)
        writer.write(sent if in_two else sent + body)
        if in_two:
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(body)
        status, _, answered = await answer(reader)
        assert (200, {"read": len(body)}) == (status, json.loads(answered))


async def test_a_line_between_requests_ends_no_request() -> None:
    """Some clients send one after a body: the answer is still waited for."""
    async with serving(Times(part_s=5, body_s=1, answer_s=1), wire=Impatient) as (dial, _):
        reader, writer = await dial()
        writer.write(head("GET", "/never") + b"\r\n")
        assert 503 == (await answer(reader))[0]


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Three heads in one write are three answers."""
    async with serving() as (dial, _):
        reader, writer = await dial()
        writer.write(head("GET", "/health") * 2 + head("POST", "/deaf", "Content-Length: 0"))
        assert [200, 200, 200] == [(await answer(reader))[0] for _ in range(3)]


async def test_answers_of_the_api_are_not_stored_and_head_is_get(running: Site) -> None:
    """Whatever lies between keeps no copy; HEAD tells the same headers; 405 says what there is."""
    member = await running.world.member()
    path = f"/v1/members/{member}/benefits"
    got = await call(running, "GET", path)
    async with (
        aiohttp.ClientSession(running.url) as http,
        http.head(path, headers=running.headers(running.mobile_key)) as answer,
    ):
        assert (200, b"") == (answer.status, await answer.read())
        assert got[1]["Content-Length"] == answer.headers["Content-Length"]
    for headers in (got[1], (await call(running, "GET", "/v1/nowhere"))[1]):
        assert ["no-store", "nosniff"] == [
            headers["Cache-Control"],
            headers["X-Content-Type-Options"],
        ]
    for method in ("DELETE", "PATCH", "BREW"):
        status, headers, problem = await call(running, method, path)
        if method == "BREW":
            assert 400 == status
            continue
        assert (405, "method_not_allowed") == (status, problem["code"])
        assert "GET" in headers["Allow"]
    async with aiohttp.ClientSession(running.url) as http, http.head("/page/enter") as answer:
        assert 405 == answer.status
