"""The processes of a soak: each is killed as a power cut would, and started again."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from benefits.embedded import Postgres
from tests.service import free_port
from tests.tidy.sources import ROOT


class Mortal(Protocol):
    """What can be killed, and be started again."""

    name: str

    def kill(self) -> None:
        """End it at once."""

    def start(self) -> None:
        """Start it, again."""


class Child:
    """A process of ours; what it says is added to a file."""

    def __init__(
        self, name: str, words: Sequence[str], environ: Mapping[str, str], folder: Path
    ) -> None:
        """Name its command."""
        self.name = name
        self._words, self._environ, self._log = words, environ, folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._words], env=self._environ, cwd=ROOT, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def again(self, words: Sequence[str]) -> None:
        """Go on with another command."""
        self.kill()
        self._words = words
        self.start()


class Server:
    """A PostgreSQL of the soak's own, with a port that stays the same."""

    name = "postgresql"

    def __init__(self, folder: Path) -> None:
        """Choose a port."""
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": str(port)}
        self._postgres = Postgres(folder, say=lambda _: None, settings=settings)
        self.dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        """Start it, again."""
        self._postgres.stop()
        self._postgres.start()

    def kill(self) -> None:
        """End the server and all its processes at once."""
        process = self._postgres.process
        assert process is not None
        for pid in [process.pid, *_children(process.pid)]:
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Stop it for good."""
        self._postgres.stop()


def _children(parent: int) -> list[int]:
    told = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in told.stdout.split()]


def is_up(urls: Sequence[str], children: Sequence[Child]) -> bool:
    """Say whether all run and answer."""
    if not all(child.runs for child in children):
        return False
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=5):
                pass
        except OSError:
            return False
    return True
