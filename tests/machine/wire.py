"""A wire between the service and PostgreSQL that can be cut just before or after a commit."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from tests.conftest import roomy_folder

COMMIT = b"COMMIT"
READY = b"Z\x00\x00\x00\x05"


class Wire:
    """Carries bytes both ways; `cut` says where the next commit's connections are to break."""

    def __init__(self, dsn: str) -> None:
        """Lead to the server that a DSN names."""
        self.cut = ""
        self.cuts = 0
        parts = urlsplit(dsn)
        asked = parse_qs(parts.query)
        self._host = asked["host"][0] if "host" in asked else parts.hostname or ""
        self._port = asked["port"][0] if "port" in asked else str(parts.port or 5432)

    async def carry(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Carry one connection until an end of it closes, or it is cut."""
        if self._host.startswith("/"):
            path = f"{self._host}/.s.PGSQL.{self._port}"
            server, forth = await asyncio.open_unix_connection(path)
        else:
            server, forth = await asyncio.open_connection(self._host, int(self._port))
        answers = asyncio.create_task(self._carry_back(server, back))
        try:
            while sent := await client.read(65536):
                if self.cut and COMMIT in sent:
                    how, self.cut = self.cut, ""
                    self.cuts += 1
                    answers.cancel()
                    if how == "after":
                        forth.write(sent)
                        await self._until_ready(server)
                    return
                forth.write(sent)
        except OSError:
            pass  # an end that broke is an end
        finally:
            answers.cancel()
            forth.close()
            back.close()

    @staticmethod
    async def _carry_back(server: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while answer := await server.read(65536):
            back.write(answer)
        back.close()

    @staticmethod
    async def _until_ready(server: asyncio.StreamReader) -> None:
        """Wait until the server has done what it was told; nobody hears of it."""
        heard = b""
        while READY not in heard:
            heard += await server.read(65536)


@asynccontextmanager
async def wired(dsn: str) -> AsyncIterator[tuple[Wire, str]]:
    """Give a wire to a database, and the DSN that leads over it."""
    wire = Wire(dsn)
    folder = Path(tempfile.mkdtemp(prefix="benefits-wire-", dir=roomy_folder()))
    listening = await asyncio.start_unix_server(wire.carry, folder / ".s.PGSQL.5432")
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0]
    query = f"host={quote(str(folder))}&port=5432"
    try:
        yield wire, parts._replace(netloc=f"{user}@", query=query).geturl()
    finally:
        listening.close()
        shutil.rmtree(folder)
