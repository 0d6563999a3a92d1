"""Lists of rewards by command: killed anyhow, the same command goes on."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from benefits.domain.jobs import PART_LINES
from tests import builders
from tests.builders import World
from tests.conftest import database
from tests.roles import server
from tests.service import environment, fresh_keys
from tests.test_import import ROOT, ending

MEMBERS = 500
LINES = 5 * PART_LINES
STRANGERS = 7


class Office:
    """An installation with members, a list for them, and a hand on when its parts commit."""

    def __init__(self, world: World, dsn: str, file: Path) -> None:
        self.world = world
        self.environ = environment(dsn, fresh_keys())
        self.file = file

    def start(self, *more: str, stdin: int | None = None) -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(
            [sys.executable, "-m", "benefits", "import", "grants", *(more or (str(self.file),))],
            cwd=ROOT,
            env={**self.environ, "TERM": "dumb", "COLUMNS": "200"},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    async def granted(self) -> int:
        """Count the lots that are there."""
        ((count,),) = await self.world.rows("SELECT count(*) FROM lot")
        return int(count)

    @asynccontextmanager
    async def stuck(self) -> AsyncIterator[None]:
        """Once a part is in, let others be decided and written, but not counted: none commits."""
        admin = await asyncpg.connect(server(self.world.database))
        try:
            await admin.execute("BEGIN")
            while not await admin.fetch("SELECT 1 FROM job WHERE granted > 0 FOR UPDATE"):
                await asyncio.sleep(0.02)
            while not await admin.fetch("SELECT 1 FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.02)
            yield
        finally:
            await admin.close()


@pytest.fixture
async def office(migrated: str, cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Office]:
    """Give an office whose list has several parts and some strangers at its end."""
    async with database(cluster_dsn, migrated) as dsn, builders.world(dsn) as world:
        await world.members(MEMBERS)
        path = tmp_path / "spring.csv"
        with path.open("w") as file:
            file.write("customer,benefit,business_key\n")
            for n in range(LINES - STRANGERS):
                file.write(f"{world.name(n % MEMBERS + 1)},VIDEO,spring:{n // MEMBERS}\n")
            file.writelines(f"stranger{n},VIDEO,spring\n" for n in range(STRANGERS))
        yield Office(world, dsn, path)


async def test_a_list_may_be_killed_anyhow_and_goes_on(office: Office, tmp_path: Path) -> None:
    """After kill -9 and Ctrl-C whole parts are in; in the end the figures are those of one run."""
    for how, expected in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        with ending(office.start()) as process:
            async with office.stuck():
                process.send_signal(how)
                said, _ = process.communicate()
            assert expected == process.returncode, said
        done = await office.granted()
        assert 0 < done < LINES
    assert "The same command goes on where it stood" in said
    refused = tmp_path / "refused.csv"
    with ending(office.start(str(office.file), "--refused", str(refused))) as process:
        said, _ = process.communicate()
    assert 2 == process.returncode, said
    assert "Goes on with job" in said
    figures = f"{LINES:,} lines: {LINES - STRANGERS:,} granted, 0 known already, 7 refused."
    assert figures in said
    assert [
        "line,code,detail",
        *(f"{LINES - n},unknown_member,No member has this id." for n in range(5, -2, -1)),
    ] == refused.read_text().splitlines()
    assert LINES - STRANGERS == await office.granted()
    assert [] == await office.world.findings()


async def test_a_pipe_and_a_file_without_a_format(office: Office) -> None:
    """NDJSON comes by a pipe too; a name that does not tell the format is a usage error."""
    line = f'{{"customer": "{office.world.name(1)}", "benefit": "VIDEO", "business_key": "k"}}\n'
    with ending(office.start("-", "--format", "ndjson", stdin=subprocess.PIPE)) as process:
        said, _ = process.communicate(line)
    assert "1 lines: 1 granted" in said
    strange = office.file.rename(office.file.with_suffix(".txt"))
    with ending(office.start(str(strange))) as process:
        said, _ = process.communicate()
    assert 2 == process.returncode
    assert "--format csv or --format ndjson" in said
