"""Long files by command: one sees how far it is, and may stop it anyhow and begin again."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest

from benefits.actions.import_files import CHUNK
from tests import builders
from tests.builders import World
from tests.conftest import database
from tests.service import environment, fresh_keys

ROOT = Path(__file__).parents[1]
MEMBERS, DAYS = 1500, 30
LINES = MEMBERS * DAYS
LOCK = "hashtext('assets')"


class Bank:
    """An installation with members, a file of their balances, and a hand on what is imported."""

    def __init__(self, world: World, admin: asyncpg.Connection, dsn: str, file: Path) -> None:
        """Use an installation and a file."""
        self.world = world
        self.admin = admin
        self.environ = environment(dsn, fresh_keys())
        self.file = file

    def start(
        self, file: str = "", *, stderr: int = subprocess.PIPE, stdin: int | None = None
    ) -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(
            [sys.executable, "-m", "benefits", "import", "assets", file or str(self.file)],
            cwd=ROOT,
            env={**self.environ, "TERM": "xterm", "COLUMNS": "200"},
            stdin=stdin,
            stderr=stderr,
            text=True,
        )

    async def until(self, statement: str) -> None:
        """Wait until a statement says true."""
        while not await self.admin.fetchval(statement):
            await self.admin.execute("SELECT pg_sleep(0.02)")

    async def until_it_waits(self) -> None:
        """Wait until the import waits for its turn."""
        await self.until(
            "SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database "
            "WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database())"
        )

    @asynccontextmanager
    async def halted(self) -> AsyncIterator[None]:
        """Let no import go on."""
        await self.admin.execute(f"SELECT pg_advisory_lock({LOCK})")
        yield
        await self.admin.execute(f"SELECT pg_advisory_unlock({LOCK})")

    async def known(self) -> int:
        """Count the balances that are in."""
        return int(await self.admin.fetchval("SELECT count(*) FROM asset"))


@pytest.fixture
async def bank(migrated: str, cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Bank]:
    """Give a bank whose file has more lines than two chunks."""
    async with database(cluster_dsn, migrated) as dsn, builders.world(dsn) as world:
        await world.members(MEMBERS)
        path = tmp_path / "assets.csv"
        with path.open("w") as file:
            file.write("customer,as_of,asset_class,currency,balance\n")
            file.writelines(
                f"T{n:06d},2025-06-{day:02d},DEPOSIT,CNY,{n}.{day:02d}\n"
                for day in range(1, DAYS + 1)
                for n in range(1, MEMBERS + 1)
            )
        admin = await asyncpg.connect(dsn)
        try:
            yield Bank(world, admin, dsn, path)
        finally:
            await admin.close()


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Leave no process behind."""
    with process:
        try:
            yield process
        finally:
            process.kill()


async def test_an_import_may_be_stopped_anyhow_and_run_again(bank: Bank) -> None:
    """After Ctrl-C and after kill -9 whole chunks are in; the same command brings the rest."""
    with ending(bank.start()) as process:
        await bank.until("SELECT EXISTS (SELECT FROM asset)")
        async with bank.halted():
            await bank.until_it_waits()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
        assert 130 == process.returncode, said
        done = await bank.known()
        assert (True, 0) == (done < LINES, done % CHUNK)
        assert f"Interrupted; {done:,} lines are done. Import the whole file again" in said
        assert "Traceback" not in said
    async with bank.halted():
        with ending(bank.start()) as process:
            await bank.until_it_waits()
            process.kill()
            process.communicate()
    assert done == await bank.known()
    with ending(bank.start()) as process:
        _, said = process.communicate()
    assert 0 == process.returncode
    assert f"{LINES:,} lines: {LINES - done:,} new or changed, {done:,} known already" in said
    assert [(MEMBERS, sum(range(1, MEMBERS + 1)) * 100 * DAYS + MEMBERS * 465)] == (
        await bank.world.rows("SELECT count(*), sum(sum_minor)::bigint FROM asset_month")
    )
    assert [] == await bank.world.findings()


async def test_a_terminal_shows_how_far_an_import_is(bank: Bank) -> None:
    """Lines, rate, part of the file and the time left, in one place."""
    ours, theirs = pty.openpty()
    try:
        with ending(bank.start(stderr=theirs)) as process:
            await bank.until("SELECT EXISTS (SELECT FROM asset)")
            async with bank.halted():
                shown = b""
                while not re.search(
                    rb"[24]0,000 lines read, [24]0,000 kept, 0 refused; [0-9,]+ lines/s; "
                    rb"[0-9]+% of the file, about [0-9]+:[0-9]{2} min left",
                    shown,
                ):
                    shown += os.read(ours, 10_000)
            while b"45,000 lines: 45,000 new" not in shown:
                shown += os.read(ours, 10_000)
            assert 0 == process.wait()
    finally:
        os.close(ours)
        os.close(theirs)
    assert shown.count(b"\n") < 10


async def test_a_pipe_is_imported_like_a_file(bank: Bank) -> None:
    """Nobody knows how long it is; every line is taken all the same."""
    with ending(bank.start("-", stdin=subprocess.PIPE)) as process:
        _, said = process.communicate(bank.file.read_text())
    assert "45,000 lines: 45,000 new or changed" in said
    assert LINES == await bank.known()
