"""The service as a process of its own, as an operator runs it; killed when a test says so."""

import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from benefits.settings import Keys
from tests.builders import MEMBER_KEY

WEBHOOK_SECRET = "whsec_" + b64encode(bytes(range(32))).decode()


def fresh_keys() -> Keys:
    """Return keys for the databases of the tests, with secrets of their own."""
    return Keys(
        member_key=MEMBER_KEY,
        secret_keys=(os.urandom(32),),
        provider_secrets={"sandbox": (WEBHOOK_SECRET,)},
    )


def environment(dsn: str, keys: Keys) -> dict[str, str]:
    """Return the environment of a command that works on a database."""
    mine = {name: value for name, value in os.environ.items() if "BENEFITS_" not in name}
    return {
        **mine,
        "BENEFITS_DATABASE_URL": dsn,
        "BENEFITS_MEMBER_KEY": keys.member_key.hex(),
        "BENEFITS_SECRET_KEYS": " ".join(key.hex() for key in keys.secret_keys),
        "BENEFITS_PROVIDER_SECRETS": f'{{"sandbox": ["{WEBHOOK_SECRET}"]}}',
    }


def free_port() -> int:
    """Return a port nobody listens on, of those that connections going out are never given."""
    while True:
        port = 12_000 + secrets.randbelow(20_000)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def free_ports(count: int) -> list[int]:
    """Return so many ports nobody listens on, no two of which are one."""
    found = set[int]()
    while len(found) < count:
        found.add(free_port())
    return list(found)


class Serving:
    """A running `benefits serve`."""

    def __init__(self, process: Process, port: int) -> None:
        """Wrap a process that listens on a port."""
        self.said = ""
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def serve(
    dsn: str, keys: Keys, more: Mapping[str, str] | None = None, *, port: int | None = None
) -> AsyncIterator[Serving]:
    """Run the service on a database until the block ends."""
    port = port or free_port()
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benefits", "serve", "--port", str(port)),
            env=environment(dsn, keys) | dict(more or {}),
            cwd=Path(__file__).parents[1],
            stdout=log,
        )
        service = Serving(process, port)
        try:
            await _until_ready(service)
            yield service
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
            log.seek(0)
            service.said = log.read().decode()
            sys.stdout.write(service.said)


async def _until_ready(service: Serving) -> None:
    async with asyncio.timeout(120), aiohttp.ClientSession() as http:
        while True:
            assert service.process.returncode is None, "the service ended by itself"
            try:
                async with http.get(f"{service.url}/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
