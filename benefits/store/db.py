"""The connection to PostgreSQL: one engine, one way to run a transaction, errors read by SQLSTATE.

Statements are named constants beside the functions that use them, with array parameters, run
through `rows` and `run`. SQLAlchemy keeps the pool; transactions and statements go to the driver
itself, which keeps them prepared: building a result of SQLAlchemy's costs more than asking for it.
Arrays are sent as text (`store/arrays.py`). READ COMMITTED everywhere.
"""

import re
from collections import namedtuple
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any, NoReturn, TypeVar

import asyncpg
import stamina
from asyncpg import CannotConnectNowError, PostgresConnectionError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from benefits import measures
from benefits.domain.refusal import Refusal
from benefits.store.arrays import sent

Connection = AsyncConnection
Result = TypeVar("Result")

# Serialization failure, deadlock, and a key that another transaction took meanwhile: the same
# work, again.
TRANSIENT = {"40001", "40P01", "23505"}
BUSY = {"55P03"}
# Stopped, crashed, not ready yet, full of connections; and whatever ended one.
AWAY = ("57P01", "57P02", "57P03", "53300", "08")
TRIES = 5
CONNECT_WITHIN_S = 10.0
STATEMENTS_MAX = 250  # prepared in a connection at once
COPY_BYTES = 65536
SESSION = {
    "application_name": "benefits",
    "timezone": "UTC",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "plan_cache_mode": "force_generic_plan",
}


BEGIN = "BEGIN; SET LOCAL plan_cache_mode = auto"
# Planning a group's write for its very values took longer than writing what a single claim writes;
# statements that take arrays are planned alike for any. But a range of buckets is then taken for
# a small one: what is found by its time says `bucket + 0`, or every row of the range is read.
BEGIN_PLANNED = "BEGIN"
# For what only reads, and as a rule with one statement: at READ COMMITTED each has a snapshot of
# its own anyway, and beginning and ending would be two more ways to the server.
NOT_BEGUN = ""


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


class Outdated(Exception):  # noqa: N818 - no error: the same work, again
    """What was decided on, without a lock, is so no more."""


class Database:
    """A pool of connections to one PostgreSQL database; close it when done."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Wrap an engine; `connect` makes one."""
        self.engine = engine

    @asynccontextmanager
    async def transaction(self, begin: str = BEGIN) -> AsyncIterator[Connection]:
        """Open one transaction; commit at the end, roll back on any error."""
        async with self.engine.connect() as connection:
            measures.TRANSACTIONS_OPEN.inc()
            driver = _driver(connection)
            try:
                async with _translated(driver), _begun(driver, begin):
                    yield connection
            finally:
                measures.TRANSACTIONS_OPEN.dec()
                if not driver.is_closed() and driver.is_in_transaction():  # a rollback cut short
                    driver.terminate()

    async def transact(
        self, work: Callable[[Connection], Awaitable[Result]], begin: str = BEGIN_PLANNED
    ) -> Result:
        """Run `work` in a transaction of its own, up to 5 times when a race or connection is lost.

        Its statements are planned once for all values. After a lost connection nobody knows
        whether the commit took place: `work` must be keyed (C-9).
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
                async with self.transaction(begin) as connection:
                    return await work(connection)
        raise AssertionError  # the last attempt either returned or raised

    def rehearsal(self) -> "Rehearsal":
        """Return the same pool for work that is to be tried and undone."""
        return Rehearsal(self.engine)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


class _Undo(Exception):  # noqa: N818 - not an error: how a rehearsed transaction ends
    """Roll back what was done."""


class Rehearsal(Database):
    """The pool of a database on which nothing stays: every transaction is rolled back at its end.

    The work, its locks and its repeats are those of the real thing; instruments that count what
    was done do not move.
    """

    @asynccontextmanager
    async def transaction(self, begin: str = BEGIN) -> AsyncIterator[Connection]:
        """Open one transaction and roll it back, whatever happens."""
        with suppress(_Undo):
            async with super().transaction(begin) as connection:
                with measures.rehearsed():
                    yield connection
                raise _Undo


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
        isolation_level="AUTOCOMMIT",  # of SQLAlchemy, since `transaction` begins and ends them
        hide_parameters=True,
        connect_args={
            "server_settings": SESSION,
            "timeout": CONNECT_WITHIN_S,
            "command_timeout": answer_within_s,
            "statement_cache_size": STATEMENTS_MAX,
            "max_cached_statement_lifetime": 0,
        },
    )
    event.listen(engine.sync_engine, "checkout", _check_open)
    return Database(engine)


def _check_open(connection: Any, _record: Any, _proxy: Any) -> None:
    """Let the pool replace a connection whose end is known, without a question to the server."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of a database error, or an empty text."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def reason(error: DBAPIError) -> str:
    """Return what the server said, in its words."""
    return str(getattr(error.orig, "__cause__", None) or error.orig)


def constraint(error: DBAPIError) -> str:
    """Return the name of the violated constraint, or an empty text."""
    return getattr(error.orig, "constraint_name", None) or ""


def is_away(error: Exception) -> bool:
    """Say whether the database does not answer: stopped, starting, cut off, or too slow."""
    if isinstance(error, OSError | PostgresConnectionError | CannotConnectNowError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    return sqlstate(error).startswith(AWAY)


def is_transient(error: Exception) -> bool:
    """Say whether the same work may succeed when run again."""
    if is_away(error) or isinstance(error, Outdated):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = sqlstate(error)
    if state == "23505":
        return constraint(error).startswith(("pk_request", "pk_entitlement_grant", "uq_job"))
    return state in TRANSIENT


def is_of_database(error: Exception) -> bool:
    """Say whether the database did not do what it was asked, for whatever reason."""
    return is_away(error) or isinstance(error, DBAPIError)


def is_busy(error: Exception) -> bool:
    """Say whether a lock was not to be had in time, or not before others had moved on."""
    return sqlstate(error) in BUSY or isinstance(error, Outdated)


def _driver(conn: Connection) -> Any:
    """Return asyncpg's connection below SQLAlchemy's."""
    assert conn.sync_connection is not None
    return conn.sync_connection.connection.driver_connection


@asynccontextmanager
async def _begun(driver: Any, begin: str) -> AsyncIterator[None]:
    if begin == NOT_BEGUN:
        yield
        return
    await driver.execute(begin)
    try:
        yield
    except BaseException:
        if not driver.is_closed():
            await driver.execute("ROLLBACK")
        raise
    await driver.execute("COMMIT")


@asynccontextmanager
async def _translated(driver: Any) -> AsyncIterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _tell(driver, error)
    except asyncpg.InternalClientError as error:  # what it says when its server is killed just now
        driver.terminate()
        _tell(driver, error)


def _tell(driver: Any, error: Exception) -> NoReturn:
    """Raise a driver's error as SQLAlchemy does: whoever catches one need not ask whose it is."""
    kind = InterfaceError if isinstance(error, asyncpg.InterfaceError) else DBAPIError
    raise kind(
        None, None, error, hide_parameters=True, connection_invalidated=driver.is_closed()
    ) from error


@cache
def _row(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names, rename=True)  # noqa: PYI024 - the names come from the server


async def rows(conn: Connection, sql: str, *values: Any) -> Sequence[Any]:
    """Run a statement with `$1, $2, …` and return all its rows, as named tuples."""
    driver = _driver(conn)
    text, values = sent(sql, values)
    try:
        found = await driver.fetch(text, *values)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _tell(driver, error)
    return list(map(_row(tuple(found[0].keys()))._make, found)) if found else []


async def run(conn: Connection, sql: str, *values: Any) -> int:
    """Run a statement with `$1, $2, …` and return how many rows it touched."""
    driver = _driver(conn)
    text, values = sent(sql, values)
    try:
        status = await driver.execute(text, *values)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _tell(driver, error)
    count = status.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0


class Together:
    """Gathers writes that do not need each other's effects, to send them as one statement.

    A way to the server and back is most of what a small write costs. All parts see the rows as
    they were before the first, and foreign keys are checked after the last.
    """

    def __init__(self, conn: Connection) -> None:
        """Gather for a connection; nothing is sent before `send`."""
        self.conn = conn
        self._statements: list[str] = []
        self._values: list[Any] = []

    def add(self, sql: str, values: Sequence[Any]) -> None:
        """Take an INSERT or UPDATE with `$1, $2, …`."""
        self._statements.append(sql)
        self._values += values

    async def send(self) -> None:
        """Run what was gathered."""
        if self._statements:
            await run(self.conn, _joined(tuple(self._statements)), *self._values)


Writer = Connection | Together


@cache
def _joined(statements: tuple[str, ...]) -> str:
    """Return one statement that runs several, their parameters numbered on."""
    parts, before = list[str](), 0
    for sql in statements:
        shifted = re.sub(r"\$(\d+)", lambda m, by=before: f"${int(m[1]) + by}", sql)  # type: ignore[misc]  # by is an int
        parts.append(shifted)
        before += max(int(number) for number in re.findall(r"\$(\d+)", sql))
    named = ",".join(f"w{n} AS ({part})" for n, part in enumerate(parts[:-1]))
    return f"WITH {named} {parts[-1]}" if named else parts[-1]


async def write(writer: Writer, sql: str, *values: Any) -> None:
    """Run a write now, or together with others where they are gathered."""
    if isinstance(writer, Together):
        writer.add(sql, values)
    else:
        await run(writer, sql, *values)


async def prepare(writer: Writer, sql: str, *values: Any) -> None:
    """Run a write on whose effect gathered ones rely."""
    await run(writer.conn if isinstance(writer, Together) else writer, sql, *values)


async def copy(
    conn: Connection, table: str, columns: Sequence[str], records: Sequence[Sequence[Any]]
) -> None:
    """COPY records into a table inside the connection's transaction."""
    driver = _driver(conn)
    async with _translated(driver):
        await driver.copy_records_to_table(table, records=records, columns=columns)


async def copy_text(conn: Connection, table: str, columns: Sequence[str], text: bytes) -> None:
    """COPY rows that are written as COPY reads them, inside the connection's transaction."""
    driver = _driver(conn)
    async with _translated(driver):
        await driver.copy_to_table(table, source=_once(text), columns=columns)


async def _once(text: bytes) -> AsyncIterator[bytes]:
    """Yield a text in pieces: the driver never gives back what it reads of a file itself."""
    for start in range(0, len(text), COPY_BYTES):
        yield text[start : start + COPY_BYTES]


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
    if version < 150000:
        raise DatabaseUnsuitable("PostgreSQL 15 or newer is needed.")
    if _driver(conn).get_server_pid() != pid:
        raise DatabaseUnsuitable(
            "The connection goes through a pooler in transaction mode, which mixes prepared "
            "statements. Connect to PostgreSQL itself, or to a pooler in session mode."
        )
