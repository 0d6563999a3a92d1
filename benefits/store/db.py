"""The connection to PostgreSQL: one engine, one way to run a transaction, errors read by SQLSTATE.

Statements are named constants beside the functions that use them, with array parameters, run
through `rows` and `run`; SQLAlchemy keeps the pool, the transaction and the prepared statements.
READ COMMITTED everywhere.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import stamina
from asyncpg import CannotConnectNowError, PostgresConnectionError
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from benefits import measures
from benefits.domain.refusal import Refusal

Connection = AsyncConnection
Result = TypeVar("Result")

# Serialization failure, deadlock, and a key that another transaction took meanwhile: the same
# work, again.
TRANSIENT = {"40001", "40P01", "23505"}
BUSY = {"55P03"}
TRIES = 5
CONNECT_WITHIN_S = 10.0
SESSION = {
    "application_name": "benefits",
    "timezone": "UTC",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}


class DatabaseUnsuitable(Refusal):
    """The database is not fit: wrong stamp or keys, not migrated, a pooler that mixes sessions."""

    code = "database_unsuitable"
    words = "This database cannot be used."


class Unavailable(Refusal):
    """The database does not answer; the same command may be sent again."""

    code = "unavailable"
    words = "The service cannot do its work at the moment. Send the same request again."


class Busy(Refusal):
    """A row was locked by somebody else for too long; the same command may be sent again."""

    code = "busy"
    words = "Something else is being done for this member. Send the same request again."


class Database:
    """A pool of connections to one PostgreSQL database; close it when done."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Wrap an engine; `connect` makes one."""
        self.engine = engine

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Open one transaction; commit at the end, roll back on any error."""
        async with self.engine.begin() as connection:
            measures.TRANSACTIONS_OPEN.inc()
            try:
                yield connection
            finally:
                measures.TRANSACTIONS_OPEN.dec()

    async def transact(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Run `work` in a transaction of its own, up to 5 times when a race or connection is lost.

        After a lost connection nobody knows whether the commit took place: `work` must be keyed
        (C-9).
        """
        async for attempt in stamina.retry_context(
            on=is_transient,
            attempts=TRIES,
            timeout=None,
            wait_initial=0.01,
            wait_max=0.5,
            wait_jitter=0.02,
        ):
            if attempt.num > 1:
                measures.TRANSACTION_REPEATS.inc()
            with attempt:
                async with self.transaction() as connection:
                    return await work(connection)
        raise AssertionError  # the last attempt either returned or raised

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def connect(url: str, *, pool_size: int = 8, answer_within_s: float | None = None) -> Database:
    """Return a pool for a `postgresql://` URL; connections are made when first needed.

    A statement that has no answer within `answer_within_s` ends its connection.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres"}:
        raise DatabaseUnsuitable("The database URL must begin with postgresql://.")
    rest = rest.replace("sslmode=", "ssl=")  # what libpq calls it; asyncpg takes the same values
    engine = create_async_engine(
        f"postgresql+asyncpg://{rest}",
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "server_settings": SESSION,
            "timeout": CONNECT_WITHIN_S,
            "command_timeout": answer_within_s,
        },
    )
    return Database(engine)


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of a database error, or an empty text."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def constraint(error: DBAPIError) -> str:
    """Return the name of the violated constraint, or an empty text."""
    cause = getattr(error.orig, "__cause__", None)
    return getattr(cause, "constraint_name", None) or ""


def is_away(error: Exception) -> bool:
    """Say whether the database does not answer: stopped, starting, cut off, or too slow."""
    if isinstance(error, OSError | PostgresConnectionError | CannotConnectNowError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or isinstance(error, InterfaceError)


def is_transient(error: Exception) -> bool:
    """Say whether the same work may succeed when run again."""
    if is_away(error):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = sqlstate(error)
    if state == "23505":
        return constraint(error).startswith(("pk_request", "pk_entitlement_grant", "uq_job"))
    return state in TRANSIENT


def is_busy(error: Exception) -> bool:
    """Say whether a lock was not to be had in time."""
    return sqlstate(error) in BUSY


async def rows(conn: Connection, sql: str, *values: Any) -> Sequence[Any]:
    """Run a statement with `$1, $2, …` and return all its rows."""
    return (await conn.exec_driver_sql(sql, values)).all()


async def run(conn: Connection, sql: str, *values: Any) -> int:
    """Run a statement with `$1, $2, …` and return how many rows it touched."""
    return (await conn.exec_driver_sql(sql, values)).rowcount


async def copy(
    conn: Connection, table: str, columns: Sequence[str], records: Sequence[Sequence[Any]]
) -> None:
    """COPY records into a table inside the connection's transaction."""
    await conn.exec_driver_sql("SELECT 1")  # the dialect begins lazily; COPY must be inside
    raw = await conn.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None
    await driver.copy_records_to_table(table, records=records, columns=columns)


CHECK_POOLER = "SELECT pg_backend_pid(), current_setting('server_version_num')::int"


async def check_server(database: Database) -> None:
    """Refuse a server that is away, too old, or behind a mixing pooler (DatabaseUnsuitable)."""
    try:
        async with database.transaction() as conn:
            await _check(conn)
    except (OSError, DBAPIError) as error:
        why = getattr(error, "orig", error)
        raise DatabaseUnsuitable(f"The database cannot be reached: {why}") from None


async def _check(conn: Connection) -> None:
    ((pid, version),) = await rows(conn, CHECK_POOLER)
    raw = await conn.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None
    if version < 150000:
        raise DatabaseUnsuitable("PostgreSQL 15 or newer is needed.")
    if driver.get_server_pid() != pid:
        raise DatabaseUnsuitable(
            "The connection goes through a pooler in transaction mode, which mixes prepared "
            "statements. Connect to PostgreSQL itself, or to a pooler in session mode."
        )
