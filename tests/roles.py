"""Database roles for the tests' installations, made as an administrator makes them.

Copies of the migrated database are used as its runtime role, as the service is. What a test
changes behind the service's back, an administrator changes.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

from benefits.store import roles
from benefits.store.db import Connection, Database, connect
from benefits.store.grants import Names
from benefits.store.migrate import Stamp, migrate

PASSWORD = "sixteen letters and more"
_server: list[str] = []


def fresh() -> Names:
    """Return names that no other installation of the server has."""
    return roles.named(f"t{uuid.uuid4().hex[:12]}_")


# The roles of the migrated database, from which worlds are copied.
NAMES = fresh()


def remember(cluster_dsn: str) -> None:
    """Keep the address of the server's administrator."""
    _server[:] = [cluster_dsn]


def server(database: Database) -> str:
    """Return the administrator's address of the same database."""
    return urlsplit(_server[0])._replace(path=f"/{database.engine.url.database}").geturl()


@asynccontextmanager
async def administrator(database: Database) -> AsyncIterator[Connection]:
    """Open a transaction on the same database as one who may do everything there."""
    async with opened(server(database)) as other, other.transaction() as conn:
        yield conn


def as_role(dsn: str, role: str) -> str:
    """Return a database's address for one of its roles."""
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    password = PASSWORD.replace(" ", "%20")
    return parts._replace(netloc=f"{role}:{password}@{place}").geturl()


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Database]:
    """Give a small pool for a database."""
    database = connect(dsn, pool_size=2)
    try:
        yield database
    finally:
        await database.close()


async def create(dsn: str, names: Names) -> None:
    """Make the roles as the administrator of a database, all with one password."""
    passwords = dict.fromkeys(("migrator", "runtime", "auditor", "reader"), PASSWORD)
    async with opened(dsn) as database, database.transaction() as conn:
        await roles.create(conn, names, passwords)


async def drop(dsn: str, names: Names) -> None:
    """Remove what the roles have in a database, and the roles."""
    admin = await asyncpg.connect(dsn)
    found = await admin.fetch(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY ($1::text[])", list(names.everyone)
    )
    if everyone := ", ".join(f'"{name}"' for (name,) in found):
        await admin.execute(
            f"REASSIGN OWNED BY {everyone} TO CURRENT_USER; "
            f"DROP OWNED BY {everyone}; DROP ROLE {everyone}"
        )
    await admin.close()


@asynccontextmanager
async def installed(
    dsn: str, stamp: Stamp = "test", names: Names | None = None
) -> AsyncIterator[Names]:
    """Make roles in an empty database, migrate it as their migrator; then remove both."""
    from tests.builders import MEMBER_KEY  # which needs this module

    names = names or fresh()
    try:
        await create(dsn, names)
        async with opened(as_role(dsn, names.migrator)) as database:
            await migrate(database, stamp, MEMBER_KEY)
        yield names
    finally:
        await drop(dsn, names)
