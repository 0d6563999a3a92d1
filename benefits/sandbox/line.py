"""The line between a sandbox and who calls it: it serves, hangs up, and answers byte by byte."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

from aiohttp import web


async def serve(
    app: web.Application, host: str, port: int, *, ready: Callable[[str], None] | None = None
) -> None:
    """Serve until cancelled; `ready` is told the base address once requests are answered."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        if ready is not None:
            ready(f"http://{host}:{runner.addresses[0][1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def body_of(request: web.Request) -> bytes:
    """Read the body of a request; of one that broke off nothing is done."""
    try:
        return await request.read()
    except ConnectionError:
        raise web.HTTPBadRequest from None


async def hang_up(request: web.Request, hang_s: float) -> web.StreamResponse:
    """Hold the line, then drop it without an answer."""
    await asyncio.sleep(hang_s)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)


async def drip(request: web.Request, answer: web.Response, drip_s: float) -> web.StreamResponse:
    """Give an answer byte by byte."""
    body = answer.body
    assert isinstance(body, bytes)
    stream = web.StreamResponse(status=answer.status, headers=answer.headers)
    stream.content_length = len(body)
    with suppress(ConnectionError):  # nobody waits for ever
        await stream.prepare(request)
        for at in range(len(body)):
            await stream.write(body[at : at + 1])
            await asyncio.sleep(drip_s)
    return stream
