"""Bring a database to the newest schema, stamp it, and know its stamp.

A stamp says what a database is for. `migrate` stamps `production`; the demo and the tests stamp
their own, and only on those may time be set by hand, a provider live on this machine, or the demo
keys be used.
"""

import functools
import hashlib
import hmac
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.exc import DBAPIError

from benefits.domain.values import Month
from benefits.store import functions, roles
from benefits.store.db import Connection, Database, DatabaseUnsuitable, rows, run, sqlstate

Stamp = Literal["production", "demo", "test"]
MONTHS_AHEAD = 24
UNDEFINED_TABLE = "42P01"

READ = "SELECT stamp, member_key_fingerprint FROM installation"
HEAD = "SELECT version_num FROM alembic_version"
# A restored database counts transactions anew: then events that it holds stand where none of its
# own transactions can have come to. ix_outbox_position_…
RESTORED = """
SELECT max(o.position) >= (SELECT position_start FROM installation)
                          + pg_snapshot_xmax(pg_current_snapshot())::text::bigint
FROM outbox AS o WHERE o.bucket BETWEEN 0 AND 1023
"""
# Far above, so that who read events that the backup had not yet sees all that come now.
GO_ON_AFTER = """
UPDATE installation
SET position_start = $1 + (SELECT max(position) FROM outbox WHERE bucket BETWEEN 0 AND 1023)
"""
POSITIONS_LOST_MAX = 2**33
WRITE = """
INSERT INTO installation (single, stamp, member_key_fingerprint) VALUES (1, $1, $2)
ON CONFLICT DO NOTHING
"""
PARTITION = "SELECT make_partition($1, $2::date)"


class Installation(msgspec.Struct, frozen=True):
    """What a database says about itself."""

    stamp: Stamp

    @property
    def is_production(self) -> bool:
        """Whether real members live here."""
        return self.stamp == "production"


def folder() -> Path:
    """Return where the migrations lie: in the installed package, or beside it in a checkout."""
    packaged = Path(__file__).parents[1] / "_migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"


def config() -> Config:
    """Return alembic's configuration."""
    made = Config()
    made.set_main_option("script_location", str(folder()))
    return made


@functools.cache
def head() -> str:
    """Return the revision this program needs."""
    found = ScriptDirectory.from_config(config()).get_current_head()
    assert found is not None
    return found


def fingerprint(member_key: bytes) -> bytes:
    """Return what a database keeps of the member key, to notice another one."""
    return hmac.digest(member_key, b"benefits.member-key", hashlib.sha256)


def revisions() -> list[str]:
    """Return the names of all revisions, oldest first."""
    return sorted(one.revision for one in ScriptDirectory.from_config(config()).walk_revisions())


def sql(since: str = "base") -> str:
    """Return the SQL of the revisions after `since`, or of all, as `migrate` runs them."""
    made, written = config(), io.StringIO()
    made.output_buffer = written
    command.upgrade(made, f"{since}:head", sql=True)
    return written.getvalue()


async def migrate(database: Database, stamp: Stamp, member_key: bytes) -> Installation:
    """Upgrade to the newest revision and stamp a new database; DatabaseUnsuitable otherwise.

    Where the database has roles, all of it is the owner's work, and they get what is new.
    """

    def upgrade(connection: SyncConnection) -> None:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, "head")

    async with database.transaction() as conn:
        names = await roles.act_as_owner(conn)
        await conn.run_sync(upgrade)
        await run(conn, WRITE, stamp, fingerprint(member_key))
        if await is_restored(conn):
            await run(conn, GO_ON_AFTER, POSITIONS_LOST_MAX)
        if names is not None:
            await roles.give_again(conn, names)
    installation = await check(database, member_key)
    if installation.stamp != stamp:
        raise DatabaseUnsuitable(
            f"This database is stamped {installation.stamp!r}, and {stamp!r} is asked for."
        )
    await ensure_partitions(database, datetime.now(UTC))
    return installation


async def is_restored(conn: Connection) -> bool:
    """Say whether events stand above every place that new ones would get."""
    ((above,),) = await rows(conn, RESTORED)
    return bool(above)


async def ensure_partitions(database: Database, at: datetime) -> None:
    """Make the ledger's partitions for two years from `at` on."""
    async with database.transaction() as conn:
        await make_partitions(conn, at, MONTHS_AHEAD)


CREATE = "CREATE DATABASE benefits"
DUPLICATE_DATABASE = "42P04"


async def create_database(server: Database) -> None:
    """Make the database `benefits` on a server unless there is one."""
    autocommit = server.engine.execution_options(isolation_level="AUTOCOMMIT")
    async with autocommit.connect() as conn:
        try:
            await conn.exec_driver_sql(CREATE)
        except DBAPIError as error:
            if sqlstate(error) != DUPLICATE_DATABASE:
                raise


async def check(database: Database, member_key: bytes) -> Installation:
    """Return the installation if it fits this program and these keys (DatabaseUnsuitable)."""
    try:
        async with database.transaction() as conn:
            ((stamp, mark),) = await rows(conn, READ)
            ((revision,),) = await rows(conn, HEAD)
            restored = revision == head() and await is_restored(conn)
    except (DBAPIError, ValueError) as error:
        if isinstance(error, DBAPIError) and sqlstate(error) != UNDEFINED_TABLE:
            raise
        raise DatabaseUnsuitable("This database is not set up. Run `benefits migrate`.") from None
    if revision != head():
        raise DatabaseUnsuitable(
            f"The database is at revision {revision}, this program needs {head()}. "
            "Run `benefits migrate`."
        )
    if restored:
        raise DatabaseUnsuitable(
            "The database was restored, and its events would be out of order. "
            "Run `benefits migrate`."
        )
    if not hmac.compare_digest(mark, fingerprint(member_key)):
        raise DatabaseUnsuitable(
            "BENEFITS_MEMBER_KEY is not the key this database was made with; "
            "every member id would change."
        )
    return Installation(stamp)


async def make_partitions(conn: Connection, at: datetime, months: int) -> None:
    """Make the ledger's partitions from the month of `at` on, where there are none."""
    first = Month.of((at.astimezone(UTC) - timedelta(days=1)).date())
    for parent in functions.PARTITIONED_BY_ID:
        for ahead in range(months + 1):
            await rows(conn, PARTITION, parent, first.plus(ahead).start)
