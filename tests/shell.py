"""Commands as an operator types them: processes of their own, which need not import anything.

They are forked from a server that has loaded the product once. What a command does when its
program starts, and how long that takes, is told by tests that start the program.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benefits.cli import main
from tests.service import environment, fresh_keys

ROOT = Path(__file__).parents[1]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.loaded"])


class Done(NamedTuple):
    """The exit status of a command, and what it wrote."""

    status: int
    out: str
    err: str


def run(words: tuple[str, ...], environ: Mapping[str, str]) -> Done:
    """Run `benefits` with the words; only what `environ` holds is in its environment."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = FORKS.Process(target=_enter, args=(words, dict(environ), str(out), str(err)))
        process.start()
        process.join()
        assert process.exitcode is not None
        return Done(process.exitcode, out.read_text(), err.read_text())


def _enter(words: tuple[str, ...], environ: dict[str, str], out: str, err: str) -> None:
    for path, stream in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["benefits", *words]
    main()


class Shell:
    """Types commands for one installation."""

    def __init__(self, dsn: str, folder: Path) -> None:
        """Use a database and a folder for files."""
        self.keys = fresh_keys()
        self.environ = environment(dsn, self.keys)
        self.folder = folder

    def run(self, *words: str, **more: str) -> tuple[int, str]:
        """Run a command; return its exit status and all it said."""
        status, out, err = run(words, {**self.environ, **more})
        return status, out + err

    def file(self, name: str, text: str) -> str:
        """Write a file; return its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)
