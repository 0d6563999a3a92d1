"""What an operator types to take a month out of the ledger and back, each as the role for it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import builders, roles
from tests.actions.log import KEY, audit
from tests.actions.test_archive_month import FILE, archive, lived_in, restore
from tests.conftest import database, own_database
from tests.machine.test_restore import RESTORE, run
from tests.roles import NAMES, as_role
from tests.shell import Shell
from tests.test_audit import SEED

WITHIN = "2025-06-10T04:00:01Z"


@pytest.fixture
async def shell(cluster_dsn: str, migrated: str, tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a shell for an installation with two closed months and a seal key."""
    async with database(cluster_dsn, migrated) as dsn:
        async with builders.world(dsn) as made:
            await lived_in(made)
        shell = Shell(dsn, tmp_path)
        shell.environ["BENEFITS_SEAL_KEY"] = SEED.hex()
        shell.environ["BENEFITS_SEAL_PUBLIC_KEYS"] = str(KEY.public)
        yield shell


async def said(shell: Shell, role: str, *words: str, **more: str) -> tuple[int, str]:
    """Run a command as a role."""
    place = urlsplit(shell.environ["BENEFITS_DATABASE_URL"]).geturl()
    dsn = as_role(place, f"{NAMES.prefix}{role}")
    return await asyncio.to_thread(shell.run, *words, BENEFITS_DATABASE_URL=dsn, **more)


async def test_a_month_is_taken_out_and_back_by_commands(shell: Shell) -> None:
    """Listed and verified as the auditor, done as the migrator, refused to the runtime."""
    folder = str(shell.folder)
    out = ("partitions", "archive", "2025-06", "--to", folder)
    status, text = await said(shell, "auditor", "partitions", "list")
    assert (0, True) == (status, ",attached,sealed\n2025-07," in text), text
    assert "2025-08,0," in text
    assert "unsealed" in next(line for line in text.splitlines() if line.startswith("2025-08"))
    status, text = await said(shell, "runtime", *out)
    assert (1, True) == (status, f"connect as {NAMES.migrator}" in text), text
    status, text = await said(shell, "migrator", *out, BENEFITS_SEAL_KEY="")
    assert (1, True) == (status, "BENEFITS_SEAL_KEY is not set" in text), text
    status, text = await said(shell, "migrator", *out, "--dry-run")
    assert (0, True) == (status, "2025-06 can be archived: 1" in text), text
    assert (0, True) == ((await said(shell, "migrator", *out))[0], (shell.folder / FILE).exists())
    status, text = await said(shell, "migrator", *out)
    assert (0, True) == (status, "2025-06 was archived at" in text), text
    status, text = await said(shell, "auditor", "partitions", "list")
    assert (0, True) == (status, ",archived,sealed\n2025-07," in text), text
    file = str(shell.folder / FILE)
    status, text = await said(shell, "auditor", "verify", "--archive", file)
    assert (0, True) == (status, "1 files of archived months were checked" in text), text
    status, text = await said(shell, "runtime", "report", "totals", "--as-of", WITHIN)
    assert (1, True) == (status, text.startswith("month_archived: ")), text
    status, text = await said(shell, "runtime", "partitions", "restore", "2025-06", "--from", file)
    assert (1, True) == (status, f"connect as {NAMES.migrator}" in text), text
    back = ("partitions", "restore", "2025-06", "--from", file)
    status, text = await said(shell, "migrator", *back, "--dry-run")
    assert (0, True) == (status, "2025-06 can be put back: 1" in text), text
    status, text = await said(shell, "auditor", "partitions", "list")
    assert (0, True) == (status, ",archived,sealed\n2025-07," in text), text
    status, text = await said(shell, "migrator", *back)
    assert (0, True) == (status, "2025-06 is back: 1" in text), text
    status, text = await said(shell, "migrator", *back)
    assert (1, True) == (status, "month_absent: 2025-06 is not archived." in text), text
    status, text = await said(shell, "migrator", "partitions", "archive", "6/25", "--to", folder)
    assert (2, True) == (status, "is not a month" in text), text
    assert (0, "0 findings.") == ((await said(shell, "auditor", "verify"))[0], "0 findings.")


async def test_a_backup_without_the_month_is_whole(
    cluster_dsn: str, migrated: str, tmp_path: Path
) -> None:
    """Dumped and restored elsewhere it verifies, with the file too, and the month comes back."""
    async with database(cluster_dsn, migrated) as dsn, builders.world(dsn) as made:
        await lived_in(made)
        await archive(made, tmp_path)
        name = urlsplit(dsn).path
        admin = urlsplit(cluster_dsn)._replace(path=name).geturl()
        run("pg_dump", "-Fc", "-f", str(tmp_path / "dump"), admin)
    async with own_database(cluster_dsn) as other:
        run("pg_restore", *RESTORE, "-d", other, str(tmp_path / "dump"))
        await roles.create(other, NAMES)
        async with builders.world(as_role(other, NAMES.runtime)) as made:
            assert [] == await audit(made, archives=(tmp_path / FILE,))
            await restore(made, tmp_path / FILE)
            assert [] == await audit(made, archives=(tmp_path / FILE,))
            assert 10 < len(
                await made.rows("SELECT 1 FROM batch WHERE recorded_at < '2025-07-01'")
            )
