"""Feeds by command: stopped anyhow they go on, and what is refused is told with its reasons."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import date
from hashlib import sha256
from pathlib import Path

import asyncpg
import pytest

from tests import builders
from tests.actions.feeding import fed
from tests.conftest import database
from tests.test_import import ROOT, Bank, ending

LINES = 25_000
TOTAL = sum(range(LINES))


def write(
    path: Path, *, lines: int, total: int, revision: int = 0, made: int = LINES, kind: str = "FULL"
) -> None:
    """Write a feed of `made` customers beside a manifest that says so many lines and cents."""
    with path.open("w") as file:
        file.write("customer,asset_class,currency,balance\n")
        file.writelines(f"T{n:06d},DEPOSIT,CNY,{n // 100}.{n % 100:02d}\n" for n in range(made))
    said = {
        "source": "core",
        "date": "2025-06-30",
        "revision": revision,
        "kind": kind,
        "rows": lines,
        "totals": {"CNY": f"{total // 100}.{total % 100:02d}"},
        "sha256": sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".json").write_text(json.dumps(said))


class Feeding(Bank):
    """A bank that sends feeds."""

    def command(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "benefits", *words],
            cwd=ROOT,
            env={**self.environ, "COLUMNS": "200"},
            stderr=subprocess.PIPE,
            text=True,
        )

    def importing(self, *more: str) -> subprocess.Popen[str]:
        """Start to import the feed."""
        manifest = str(self.file.with_suffix(".json"))
        return self.command("import", "feed", str(self.file), "--manifest", manifest, *more)

    def said(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Return a command's status and words."""
        with ending(process):
            _, said = process.communicate()
        return process.returncode, said


@pytest.fixture
async def bank(migrated: str, cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Feeding]:
    """Give a bank whose programme waits for the core system's feeds."""
    async with database(cluster_dsn, migrated) as dsn, builders.world(dsn) as world:
        await fed(world)
        await world.member(opened_on=date(2025, 6, 29))
        admin = await asyncpg.connect(dsn)
        try:
            yield Feeding(world, admin, dsn, tmp_path / "core.csv")
        finally:
            await admin.close()


async def test_a_feed_may_be_stopped_anyhow_and_goes_on(bank: Feeding) -> None:
    """Killed while it is filled, interrupted while it is applied: nothing counts until the end."""
    write(bank.file, lines=LINES, total=TOTAL)
    async with bank.halted():
        with ending(bank.importing()) as process:
            await bank.until("SELECT EXISTS (SELECT FROM feed_chunk)")
            process.kill()
            process.communicate()
        with ending(bank.importing()) as process:
            await bank.until_it_waits()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
        assert (130, True) == (process.returncode, "The same command goes on" in said), said
    assert [("WAITING", 0)] == await bank.world.rows("SELECT state, next_bucket FROM feed")
    assert [] == await bank.world.findings()
    status, said = bank.said(bank.importing())
    assert (0, True) == (status, f"is sealed: {LINES:,} lines." in said), said
    assert [(TOTAL,)] == await bank.world.rows(
        "SELECT sum(sum_minor)::bigint AS n FROM asset_month"
    )
    assert [] == await bank.world.findings()
    _, said = bank.said(bank.command("feeds", "--month", "2025-06"))
    assert "core 2025-06-30 revision 0: SEALED at " in said
    assert f"; {LINES:,} lines, CNY 3,124,875.00" in said.replace("\n", " ")
    assert "wealth: core is not sealed for 2025-06: 1-29" in said
    _, said = bank.said(bank.command("evaluate", "--period", "2025-06"))
    assert "core is not sealed for these days of 2025-06: 1-29." in said


async def test_a_feed_that_is_not_what_its_manifest_says_is_status_two(bank: Feeding) -> None:
    """All reasons are told, by a dry run too; nothing counts, and the next revision does."""
    write(bank.file, lines=4, total=4, made=3)
    for more in (["--dry-run"], []):
        status, said = bank.said(bank.importing(*more))
        assert 2 == status, said
        assert "rows: the manifest says 4, received 3" in said
        assert "total CNY: the manifest says 0.04, received 0.03" in said
        assert "its day stays unsealed" in said
        assert ("Dry run: nothing was written." in said) == bool(more)
    assert [("REFUSED",)] == await bank.world.rows("SELECT state FROM feed")
    assert [] == await bank.world.rows("SELECT member_id FROM asset_month")
    write(bank.file, lines=3, total=3, made=3, revision=1)
    status, said = bank.said(bank.importing())
    assert 0 == status, said


async def test_a_day_of_changes_is_taken_and_waits(bank: Feeding) -> None:
    """Status 0: it is as said, and the command says which day it waits for."""
    write(bank.file, lines=3, total=3, made=3, kind="DELTA")
    status, said = bank.said(bank.importing())
    assert (0, True) == (status, "It waits for core 2025-06-29" in said.replace("\n", " ")), said
    assert [("WAITING",)] == await bank.world.rows("SELECT state FROM feed")
    _, said = bank.said(bank.command("feeds", "--month", "2025-06"))
    assert "changes alone, 3 lines, CNY 0.03; waits for 2025-06-29" in said.replace("\n", " ")


async def test_two_people_fill_a_day_by_command(bank: Feeding) -> None:
    """A file below zero is received and counts nowhere; who proposed it does not approve it."""
    write(bank.file, lines=3, total=3, made=3, revision=-1)
    status, said = bank.said(bank.importing())
    assert (0, True) == (status, "is received: 3 lines. It counts nowhere" in said), said
    assert [("OPEN",)] == await bank.world.rows("SELECT state FROM feed")
    propose = ["fill", "propose", "core", "2025-06-30", "MANUAL", "--revision", "-1"]
    for more in (["--dry-run"], []):
        by = ["--note", "System down.", "--by", "anna-li", *more]
        status, said = bank.said(bank.command(*propose, *by))
        assert (0, True) == (status, "MANUAL, 3 lines, CNY 0.03" in said), said
    ((fill_id, digest),) = await bank.world.rows("SELECT fill_id::text, digest FROM feed_fill")
    assert digest in said
    approve = ["fill", "approve", fill_id, "--hash", digest, "--by"]
    status, said = bank.said(bank.command(*approve, "anna-li"))
    assert (1, True) == (status, "same_person: " in said), said
    _, said = bank.said(bank.command("fill", "list"))
    assert digest in said
    status, said = bank.said(bank.command(*approve, "ben-wu"))
    assert (0, True) == (status, "revision -1 is sealed; what it decides is" in said), said
    assert [(3,)] == await bank.world.rows("SELECT sum(sum_minor)::int FROM asset_month")
    status, said = bank.said(bank.command("fill", "reject", fill_id, "--note", "x", "--by", "b"))
    assert (1, True) == (status, "fill_closed: " in said), said
    _, said = bank.said(bank.command("feeds", "--month", "2025-06"))
    assert "; filled: MANUAL" in said
    assert [] == await bank.world.findings()
