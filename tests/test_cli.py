"""The commands as an operator types them."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import rich_click as click
from click.testing import CliRunner

from benefits.cli import commands
from benefits.store.db import connect
from benefits.store.migrate import Installation, check
from tests.builders import MEMBER_KEY, PROGRAMME
from tests.conftest import database
from tests.service import environment, fresh_keys

ROOT = Path(__file__).parents[1]
Commands = list[tuple[str, click.Command]]


def every(group: Any, name: str = "benefits") -> Commands:
    """Return every command that does something, by the words one types."""
    found = Commands()
    for sub in group.commands.values():
        words = f"{name} {sub.name}"
        found += every(sub, words) if hasattr(sub, "commands") else [(words, sub)]
    return found


class Shell:
    """Types commands for one installation."""

    def __init__(self, dsn: str, folder: Path) -> None:
        """Use a database and a folder for files."""
        self.keys = fresh_keys()
        self.environ = environment(dsn, self.keys)
        self.folder = folder

    def run(self, *words: str, **more: str) -> tuple[int, str]:
        """Run a command; return its exit status and all it said."""
        done = subprocess.run(
            [sys.executable, "-m", "benefits", *words],
            cwd=ROOT,
            env={**self.environ, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def file(self, name: str, text: str) -> str:
        """Write a file; return its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)


@pytest.fixture
async def test_shell(migrated: str, cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a shell for a database that is stamped `test`."""
    async with database(cluster_dsn, migrated) as dsn:
        yield Shell(dsn, tmp_path)


@pytest.fixture
async def new_shell(cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a shell for an empty database."""
    async with database(cluster_dsn) as dsn:
        yield Shell(dsn, tmp_path)


@pytest.mark.parametrize(("words", "command"), every(commands))
def test_every_command_helps_with_an_example(words: str, command: click.Command) -> None:
    """`--help` says what the command does and shows it."""
    done = CliRunner().invoke(commands, [*words.split()[1:], "--help"])
    assert 0 == done.exit_code
    assert "Example:" in done.output


def test_a_month_goes_through_the_commands(test_shell: Shell) -> None:
    """Programme, members, balances, evaluation, verification: each says what it did."""
    shell = test_shell
    wealth = shell.file("wealth.toml", PROGRAMME)
    assert (0, "Version 1 of wealth is now in force.\n") == shell.run("programme", "apply", wealth)
    assert (0, "Version 1 of wealth was in force already.\n") == shell.run(
        "programme", "apply", wealth
    )
    members = shell.file("members.csv", "customer,opened_on\nA,2020-01-01\nB,soon\n")
    status, said = shell.run("import", "members", members)
    assert 2 == status
    assert "line 3: opened_on: 'soon' is not a date like 2025-06-30" in said
    days = "".join(f"A,2025-06-{day:02d},DEPOSIT,CNY,600000.00\n" for day in range(1, 31))
    assets = shell.file("june.csv", f"customer,as_of,asset_class,currency,balance\n{days}")
    status, said = shell.run("import", "assets", assets)
    assert (0, True) == (status, "30 lines: 30 new or changed, 0 known already" in said)
    status, said = shell.run("import", "assets", assets)
    assert (0, True) == (status, "0 new or changed, 30 known already" in said)
    evaluate = ("evaluate", "--period", "2025-06", "--now", "2025-07-02T03:10:00Z")
    status, said = shell.run(*evaluate)
    assert (0, True) == (status, "1 decisions, 2 grants; BASE 0, GOLD 0, PLATINUM 1" in said)
    status, said = shell.run(*evaluate)
    assert (0, True) == (status, "0 decisions, 0 grants; BASE 0, GOLD 0, PLATINUM 1" in said)
    assert (0, "0 findings.\n") == shell.run("verify")


def test_mistakes_are_told_in_words(test_shell: Shell) -> None:
    """Wrong files, months and settings end with a sentence, not with a story."""
    shell = test_shell
    wrong = shell.file("wrong.toml", PROGRAMME.replace('budget = "video"', 'budget = "vidoe"'))
    status, said = shell.run("programme", "apply", wrong)
    assert 1 == status
    assert "benefit[1].budget: 'vidoe' is not defined; did you mean 'video'?" in said
    shell.run("programme", "apply", shell.file("wealth.toml", PROGRAMME))
    for words, status, part in (
        (("evaluate", "--period", "June"), 2, "is not a month; write it like 2025-06"),
        (("evaluate", "--period", "2125-06"), 1, "month_not_over"),
        (("evaluate", "--period", "2025-06", "--programme", "x"), 1, "unknown_programme"),
        (("import", "assets", shell.file("no.csv", "a,b\n")), 1, "file_unreadable"),
        (("work", "--buckets", "7"), 2, "write it like 0-1023"),
    ):
        got, said = shell.run(*words)
        assert (status, True) == (got, part in said), said
    got, said = shell.run("verify", BENEFITS_MEMBER_KEY=os.urandom(32).hex())
    assert (1, True) == (got, "BENEFITS_MEMBER_KEY is not the key" in said)
    got, said = shell.run("verify", BENEFITS_DATABASE_URL="")
    assert (1, True) == (got, "setting_refused: BENEFITS_DATABASE_URL" in said)


async def test_migrate_makes_a_production_database_that_refuses_demo_things(
    new_shell: Shell,
) -> None:
    """No time by hand, no provider on this machine, no loopback network."""
    shell = new_shell
    status, said = shell.run("verify")
    assert (1, True) == (status, "Run `benefits migrate`" in said)
    assert (0, "The database is ready and stamped production.\n") == shell.run("migrate")
    pool = connect(shell.environ["BENEFITS_DATABASE_URL"])
    assert Installation("production") == await check(pool, MEMBER_KEY)
    await pool.close()
    wealth = shell.file("wealth.toml", PROGRAMME)
    status, said = shell.run("programme", "apply", wealth)
    assert (1, True) == (status, "no provider is this machine" in said)
    real = PROGRAMME.replace("http://127.0.0.1:9", "https://provider.example")
    assert 0 == shell.run("programme", "apply", shell.file("real.toml", real))[0]
    status, said = shell.run("evaluate", "--period", "2025-06", "--now", "2025-07-02")
    assert (1, True) == (status, "--now is not for a production database" in said)
    status, said = shell.run("serve", BENEFITS_ALLOWED_NETWORKS="127.0.0.0/8", BENEFITS_PORT="0")
    assert (1, True) == (status, "must not hold this machine" in said)
    status, said = shell.run("key", "create", "mobile-bank", "--scope", "mobile")
    assert (0, True) == (status, said.startswith("bk_"))
