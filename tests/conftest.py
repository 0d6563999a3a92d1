"""Fixtures that every test may ask for: first of all a real PostgreSQL."""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from benefits.embedded import Postgres
from benefits.store.migrate import make_partitions
from tests import builders, roles
from tests.builders import World
from tests.together import Together

# How long examples take to make tells of the machine, not of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
ROOM = 6 * 1024**3


def roomy_folder() -> str:
    """Return where thousands of small files are made fastest: in memory, if there is room."""
    memory = Path("/dev/shm")
    is_roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    return str(memory) if is_roomy and os.access(memory, os.W_OK) else "/tmp"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Let one process run the tests that share something."""
    return Together(config, log)


@pytest.fixture(scope="session")
def cluster_dsn() -> Iterator[str]:
    """Give the DSN of an administrator on a server of this test process, or on the one named."""
    if given := os.environ.get("BENEFITS_TEST_DATABASE_URL"):
        roles.remember(given)
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="benefits-test-", dir=roomy_folder()))
    folder.chmod(0o711)  # for root, the server's account must be able to enter
    unsafe_but_fast = dict.fromkeys(
        ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"), "off"
    )
    try:
        with Postgres(folder, say=lambda _: None, settings=unsafe_but_fast) as server:
            roles.remember(server.dsn)
            yield server.dsn
    finally:
        shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def database(cluster_dsn: str, template: str | None = None) -> AsyncIterator[str]:
    """Give the DSN of a new database, then drop it.

    An empty one is its administrator's; a copy of the named `template` is its runtime role's.
    """
    async with own_database(cluster_dsn, template) as dsn:
        yield roles.as_role(dsn, roles.NAMES.runtime) if template else dsn


@contextlib.asynccontextmanager
async def own_database(cluster_dsn: str, template: str | None = None) -> AsyncIterator[str]:
    """Give the administrator's DSN of a new database, a copy if a template is named; drop it."""
    name = f"test_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(cluster_dsn)
    try:
        await admin.execute(
            f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}" STRATEGY file_copy'
        )
        try:
            yield urlsplit(cluster_dsn)._replace(path=f"/{name}").geturl()
        finally:
            await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@pytest.fixture
async def new_database(
    cluster_dsn: str,
) -> AsyncIterator[Callable[[str | None], Awaitable[str]]]:
    """Give a function that makes an administrator's database from a template's name (or None)."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(template: str | None = None) -> str:
            return await stack.enter_async_context(own_database(cluster_dsn, template))

        yield make


async def drop_far_months(dsn: str) -> None:
    """Drop the partitions of the months after the next: every statement is planned for each."""
    admin = await asyncpg.connect(dsn)
    far = await admin.fetchval(
        """
        SELECT string_agg(format('%I', c.relname), ', ')
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('batch'::regclass, 'posting'::regclass)
          AND right(c.relname, 7) > to_char(now() + interval '1 month', 'YYYY_MM')
          AND right(c.relname, 7) LIKE '2___\\_%'
        """
    )
    await admin.execute(f"DROP TABLE {far}")
    await admin.close()


@pytest.fixture(scope="session")
async def migrated(cluster_dsn: str) -> AsyncIterator[str]:
    """Give the name of a migrated database to make copies from."""
    async with (
        database(cluster_dsn) as dsn,
        roles.installed(dsn, names=roles.NAMES),
    ):
        async with (
            roles.opened(roles.as_role(dsn, roles.NAMES.runtime)) as made,
            made.transaction() as conn,
        ):
            await make_partitions(conn, datetime(2025, 1, 2, tzinfo=UTC), 12)
        await drop_far_months(dsn)
        yield urlsplit(dsn).path.removeprefix("/")


@pytest.fixture(scope="session")
async def in_force(migrated: str, cluster_dsn: str) -> AsyncIterator[str]:
    """Give the name of a migrated database with the reference programme in force, to copy."""
    async with own_database(cluster_dsn, migrated) as dsn:
        async with builders.world(roles.as_role(dsn, roles.NAMES.runtime)):
            pass
        yield urlsplit(dsn).path.removeprefix("/")


@pytest.fixture
async def world(in_force: str, cluster_dsn: str) -> AsyncIterator[World]:
    """Give an installation of its own with the reference programme in force."""
    async with database(cluster_dsn, in_force) as dsn, builders.opened(dsn) as made:
        yield made
