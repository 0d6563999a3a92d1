"""A production installation by its commands, each as the role that is for it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.builders import PROGRAMME
from tests.conftest import own_database
from tests.roles import PASSWORD, as_role, drop, fresh
from tests.service import serve
from tests.shell import Shell


class Site(Shell):
    """Types commands for one installation, each as a role."""

    def __init__(self, dsn: str, folder: Path) -> None:
        """Use an empty database, as its administrator."""
        super().__init__(dsn, folder)
        self.dsn, self.names = dsn, fresh()

    async def said(self, role: str, *words: str, **more: str) -> tuple[int, str]:
        """Run a command as a role."""
        dsn = as_role(self.dsn, f"{self.names.prefix}{role}")
        return await asyncio.to_thread(self.run, *words, BENEFITS_DATABASE_URL=dsn, **more)

    async def roles(self, verb: str, *options: str, **more: str) -> tuple[int, str]:
        """Run `roles create` or `roles check` as the administrator."""
        words = ("roles", verb, "--prefix", self.names.prefix, *options)
        return await asyncio.to_thread(self.run, *words, BENEFITS_ADMIN_URL=self.dsn, **more)


@pytest.fixture
async def site(cluster_dsn: str, tmp_path: Path) -> AsyncIterator[Site]:
    """Give an empty database and a shell for it."""
    async with own_database(cluster_dsn) as dsn:
        made = Site(dsn, tmp_path)
        try:
            yield made
        finally:
            await drop(dsn, made.names)


async def test_a_production_installation_is_made_and_run_by_its_roles(site: Site) -> None:
    """Administrator, migrator, runtime and auditor each do their part."""
    passwords = dict.fromkeys(("migrator", "runtime", "auditor", "reader"), PASSWORD)
    given = {"BENEFITS_ROLE_PASSWORDS_FILE": site.file("passwords", json.dumps(passwords))}
    everyone = ", ".join(site.names.everyone)
    made = (0, f"The roles are ready: {everyone}.\n")
    assert made == await site.roles("create", **given)
    ready = (0, "The database is ready and stamped production.\n")
    assert ready == await site.said("migrator", "migrate")
    assert (0, "The roles are as they should be.\n") == await site.roles("check")

    real = PROGRAMME.replace("http://127.0.0.1:9", "https://provider.example")
    members = site.file("members.csv", "customer,opened_on\nA,2020-01-01\n")
    days = "".join(f"A,2025-06-{day:02d},DEPOSIT,CNY,600000.00\n" for day in range(1, 31))
    assets = site.file("june.csv", f"customer,as_of,asset_class,currency,balance\n{days}")
    who = ("--note", "The first one.", "--by", "anna-li")
    apply = ("programme", "apply", site.file("real.toml", real), *who)
    status, said = await site.said("runtime", *apply)
    assert 0 == status, said
    id_, hash_ = re.findall(r"([0-9a-f-]{36}) PROPOSED|^hash (\w+)$", said, re.MULTILINE)
    for words in (
        ("proposal", "approve", id_[0], "--hash", hash_[1], "--by", "ben-wu"),
        ("import", "members", members),
        ("import", "assets", assets),
        ("evaluate", "--period", "2025-06"),
        ("key", "create", "mobile-bank", "--scope", "mobile"),
    ):
        status, said = await site.said("runtime", *words)
        assert 0 == status, said
    assert (0, "0 findings.\n") == await site.said("auditor", "verify")
    fit = f"Connect as {site.names.runtime}, or to verify as {site.names.auditor}.\n"
    for role, typed in (("reader", "verify"), ("auditor", "key create x --scope crm")):
        status, said = await site.said(role, *typed.split())
        told = f"database_unsuitable: {site.names.prefix}{role} may not: permission denied for "
        assert (1, True, True) == (status, said.startswith(told), said.endswith(fit)), said
        assert 1 == said.count("\n")
    async with serve(as_role(site.dsn, site.names.runtime), site.keys) as service:
        assert service.process.returncode is None

    for mighty in ("serve", "work"):
        status, said = await asyncio.to_thread(site.run, mighty, BENEFITS_PORT="0")
        assert (1, True) == (status, "could change or remove postings of this pro" in said), said
        assert f"then connect as {site.names.runtime}." in said
        status, said = await site.said("migrator", mighty, BENEFITS_PORT="0")
        assert (1, True) == (status, f"it can act as {site.names.owner}, which owns" in said), said


async def test_what_differs_ends_with_a_status_of_its_own(site: Site) -> None:
    """Before the roles are made, they are missing; an unknown password names no role."""
    status, said = await site.roles("check")
    assert (3, True) == (status, f"{site.names.runtime} is missing" in said)
    status, said = await site.roles("create", "--dry-run")
    assert (0, True, True) == (status, "The roles are ready: " in said, "Dry run: " in said), said
    status, said = await site.roles("check")
    assert (3, True) == (status, f"{site.names.runtime} is missing" in said)
    status, said = await site.roles("create", BENEFITS_ROLE_PASSWORDS='{"owner": "x"}')
    assert (1, True) == (status, "names a role that is none of: migrator, runtime" in said)
    status, said = await site.roles("create", BENEFITS_ROLE_PASSWORDS='{"runtime": "hunter2"}')
    assert (1, True) == (status, "the password of runtime has not 16 or more" in said)
    assert "hunter2" not in said
    status, said = await site.roles("create", BENEFITS_ROLE_PASSWORDS='{"runtime": hunter2}')
    assert (1, True) == (status, 'must be like {"runtime": "..."}' in said)
    assert "hunter2" not in said
    status, said = await asyncio.to_thread(site.run, "roles", "create")
    assert (1, True) == (status, "BENEFITS_ADMIN_URL is not set" in said)
