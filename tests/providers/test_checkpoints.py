"""Checkpoints leave by the end of a file or by POST; what did not leave is said."""

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web

from benefits.domain.checkpoints import read_notes
from benefits.providers.checkpoints import CheckpointStays, append_note, sender
from benefits.providers.client import Client
from tests.domain.test_checkpoints import NOTE, SAID

NETWORKS = [ip_network("127.0.0.0/8")]


async def test_a_file_grows_note_by_note(tmp_path: Path) -> None:
    """Each is whole behind an empty line, and read back as it was."""
    path = tmp_path / "checkpoints"
    async with Client() as client:
        send = sender(str(path), client)
        await send(NOTE)
        await send(NOTE)
    assert f"{NOTE}\n{NOTE}\n" == path.read_text()
    assert [SAID, SAID] == [note.checkpoint for note in read_notes(path.read_text())]
    assert stat.S_ISREG(path.stat().st_mode)


@pytest.mark.parametrize("cut", [1, 2, 30, len(NOTE) - 3])
def test_an_unfinished_note_spoils_no_later_one(tmp_path: Path, cut: int) -> None:
    """A crash in the middle of a write leaves a rest; the note is sent again behind it."""
    path = tmp_path / "checkpoints"
    path.write_text(f"{NOTE}\n{NOTE[:cut]}")
    append_note(path, NOTE)
    assert [SAID, SAID] == [note.checkpoint for note in read_notes(path.read_text())]


async def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The step fails, and the checkpoint is sent again."""
    async with Client() as client:
        with pytest.raises(FileNotFoundError):
            await sender(str(tmp_path / "missing" / "checkpoints"), client)(NOTE)


@asynccontextmanager
async def taking(status: int, taken: list[str]) -> AsyncIterator[str]:
    """Serve an address that answers with a status and keeps what it was sent."""

    async def take(request: web.Request) -> web.Response:
        taken.append(f"{request.content_type} {await request.text()}")
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/checkpoints", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/checkpoints"
    finally:
        await runner.cleanup()


async def test_an_address_gets_the_note(tmp_path: Path) -> None:
    """By POST, as text, whole."""
    taken = list[str]()
    async with taking(201, taken) as url, Client(NETWORKS) as client:
        await sender(url, client)(NOTE)
    assert [f"text/plain {NOTE}"] == taken


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_what_was_not_taken_stays(status: int) -> None:
    """Only a 2xx says that it left."""
    async with taking(status, []) as url, Client(NETWORKS) as client:
        with pytest.raises(CheckpointStays, match=str(status)):
            await sender(url, client)(NOTE)


async def test_an_address_that_may_not_be_reached_is_not() -> None:
    """Checkpoints go nowhere that providers may not be either."""
    taken = list[str]()
    async with taking(200, taken) as url, Client() as client:
        with pytest.raises(CheckpointStays):
            await sender(url, client)(NOTE)
    assert [] == taken
