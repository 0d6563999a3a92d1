"""The way out for signed checkpoints: the end of a file, or an address that takes them by POST.

A checkpoint has left when the file is on the disk, or when the other side answered 2xx.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from benefits.providers.client import Client, Response

DEADLINE_S = 20.0
HEADERS = {"Content-Type": "text/plain; charset=utf-8"}


class CheckpointStays(Exception):  # noqa: N818 - what happened, not whose error it is
    """A checkpoint did not get out; it is sent again."""


def sender(place: str, client: Client) -> Callable[[str], Awaitable[None]]:
    """Return what sends a note to a place: an absolute path, or an https address."""
    if "://" not in place:
        path = Path(place)

        async def append(note: str) -> None:
            await asyncio.to_thread(append_note, path, note)

        return append

    async def post(note: str) -> None:
        answer = await client.send(
            place, headers=HEADERS, body=note.encode(), deadline_s=DEADLINE_S
        )
        if not isinstance(answer, Response):
            raise CheckpointStays(answer.evidence)
        if not 200 <= answer.status <= 299:
            raise CheckpointStays(f"the answer was {answer.status}")

    return post


def append_note(path: Path, note: str) -> None:
    """Add a note to a file, behind an empty line, and see it to the disk.

    One that was cut off by a crash stays before it, unfinished: whoever reads passes it by.
    """
    is_new = not path.exists()
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - 2, 0))
        tail = file.read()
        gap = b"" if end == 0 or tail == b"\n\n" else b"\n" if tail.endswith(b"\n") else b"\n\n"
        file.write(gap + note.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
