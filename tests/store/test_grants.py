"""Each role may do what its work asks for, and nothing else."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import DBAPIError

import benefits.store
from benefits.actions.verify import verify
from benefits.store import assets, feeds, functions, grants
from benefits.store.db import Connection, rows, run, sqlstate
from benefits.store.schema import metadata
from benefits.store.verify import Finding
from tests.actions.life import change, claimed, holder, wish
from tests.builders import World
from tests.roles import NAMES, as_role, opened, server
from tests.tidy.sources import modules
from tests.tidy.test_schema import _statements

NOT_ALLOWED = "42501"
# These modules do other roles' work: the migrator's, the owner's, and that of the server itself.
NOT_RUNTIME = {f"benefits.store.{name}" for name in ("migrate", "roles", "grants", "archive")}
VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
SEALED_COLUMNS = {
    (table.name, column.name)
    for table in metadata.tables.values()
    for column in table.columns
    if column.name.endswith(grants.SEALED)
}


def statements() -> Iterator[str]:
    """Yield the statements that the store keeps under names, and parts of some."""
    for module in modules(benefits.store):
        if module.__name__ not in NOT_RUNTIME:
            yield from (sql for _, sql in _statements(module) if VERB.match(sql))


def written() -> Iterator[tuple[str, str, str]]:
    """Yield what statements do to tables: verb, table, and a column where they name it."""
    for sql in statements():
        for table in re.findall(r"INSERT INTO (\w+)", sql):
            yield "INSERT", table, ""
            for columns in re.findall(r"DO UPDATE\s+SET (.*?)(?:\sWHERE|$)", sql, re.DOTALL):
                yield from (("UPDATE", table, c) for c in set_columns(columns))
        for table in re.findall(r"DELETE FROM (\w+)", sql):
            yield "DELETE", table, ""
        changes = r"UPDATE (\w+)(?: AS \w+)?\s+SET (.*?)(?:\s(?:FROM|WHERE|RETURNING)\b|$)"
        for table, columns in re.findall(changes, sql, re.DOTALL):
            yield from (("UPDATE", table, c) for c in set_columns(columns))


def set_columns(text: str) -> list[str]:
    """Return the columns that a SET sets."""
    return re.findall(r"(?:^|,)\s*\"?(\w+)\"? = ", text)


def test_what_statements_write_is_given_and_nothing_more() -> None:
    """No table and no column too many, and none too few."""
    does = {what for what in written() if what[1] in metadata.tables}
    does |= {("INSERT", feeds.LINES, "")}  # by COPY, which is no statement of the store
    has = {("INSERT", table, "") for table in grants.INSERTS}
    has |= {("DELETE", table, "") for table in grants.DELETES}
    has |= {("UPDATE", t, column) for t, columns in grants.UPDATES.items() for column in columns}
    assert len(does) > 50
    assert [] == sorted(has - does)
    assert [] == sorted(does - has)


def test_what_must_stay_is_only_ever_added_to() -> None:
    """The append-only tables stand in no list of changes; a reference is but sealed anew."""
    changed = {*grants.UPDATES, *grants.DELETES}
    assert set() == changed & {*functions.APPEND_ONLY, "programme"}
    assert ("reference_sealed",) == grants.UPDATES["member_profile"]
    assert "member_profile" not in grants.DELETES


async def refused(conn: Connection, statement: str) -> str:
    """Run a statement that must fail, and undo it; return its SQLSTATE."""
    await run(conn, "SAVEPOINT before")
    with pytest.raises(DBAPIError) as caught:
        await run(conn, statement)
    await run(conn, "ROLLBACK TO before")
    return sqlstate(caught.value)


async def explained(conn: Connection, sql: str) -> str:
    """Let the server plan a statement, which asks for its privileges; return what it says."""
    await run(conn, "SAVEPOINT before")
    try:
        await run(conn, f"PREPARE one AS {sql}")
        find = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'one'"
        ((count,),) = await rows(conn, find)
        given = f"({', '.join(['NULL'] * count)})" if count else ""
        await rows(conn, f"EXPLAIN EXECUTE one{given}")
        await run(conn, "DEALLOCATE one")
    except DBAPIError as error:
        await run(conn, "ROLLBACK TO before")
        return sqlstate(error)
    return ""


async def test_the_runtime_may_run_every_statement(world: World) -> None:
    """PostgreSQL itself says so of each; parts of statements are passed over."""
    async with world.database.transaction() as conn:
        await run(conn, assets.STAGE)
        await run(conn, assets.MOVED)
        said = {sql: await explained(conn, sql) for sql in statements()}
    assert [] == [sql for sql, state in said.items() if state == NOT_ALLOWED]
    assert len([sql for sql, state in said.items() if not state]) > 80


@pytest.mark.parametrize("table", functions.APPEND_ONLY)
async def test_the_runtime_cannot_change_what_must_stay(world: World, table: str) -> None:
    """Not in the table, not in a partition, and not after taking away the triggers."""
    parts = await world.rows(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits "
        "WHERE inhparent = $1::text::regclass",
        table,
    )
    names = [table, *[row.name for row in parts][:2]]
    column = next(iter(metadata.tables[table].columns)).name
    async with world.database.transaction() as conn:
        for name in names:
            for statement in (
                f"UPDATE {name} SET {column} = {column}",
                f"DELETE FROM {name}",
                f"TRUNCATE {name}",
                f"ALTER TABLE {name} DISABLE TRIGGER ALL",
                f"DROP TABLE {name}",
            ):
                assert NOT_ALLOWED == await refused(conn, statement)
        assert NOT_ALLOWED == await refused(conn, "SET session_replication_role = replica")
        assert NOT_ALLOWED == await refused(conn, f'SET ROLE "{NAMES.owner}"')
        assert NOT_ALLOWED == await refused(conn, "UPDATE installation SET stamp = 'test'")
        assert NOT_ALLOWED == await refused(conn, "UPDATE api_key SET scopes = '{crm}'")


async def test_the_runtimes_own_tables_do_not_stand_before_the_owners(world: World) -> None:
    """A temporary table of the same name changes nothing about the partition that is made."""
    async with world.database.transaction() as conn:
        await run(conn, "CREATE TEMP TABLE posting (trap int)")
        ((made,),) = await rows(conn, "SELECT make_partition('posting', '2031-03-01')")
    assert made
    parent = """SELECT inhparent = 'public.posting'::regclass FROM pg_inherits
        WHERE inhrelid = 'public.posting_2031_03'::regclass"""
    assert [(True,)] == await world.rows(parent)
    owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'posting_2031_03'"
    assert [(NAMES.owner,)] == await world.rows(owner)


@pytest.fixture
async def lived_in(world: World) -> World:
    """Give an installation with a member, units and a claim."""
    await claimed(world, wish(await holder(world)))
    return world


async def test_the_auditor_reads_everything_but_what_is_sealed(lived_in: World) -> None:
    """Every table, every column, except secrets and what could be guessed from a hash."""
    assert SEALED_COLUMNS >= {
        *(("member_profile", "reference_sealed"), ("claim", "code_sealed")),
        *(("provider_request", "body_sealed"), ("provider_request", "body_hash")),
        *(("inbox", "body_sealed"), ("inbox", "notice_sealed"), ("request", "body_hash")),
        *(("api_key", "secret_hash"), ("page_session", "code_hash")),
    }
    dsn = as_role(server(lived_in.database), NAMES.auditor)
    async with opened(dsn) as database, database.transaction() as conn:
        for table in metadata.tables.values():
            for column in table.columns:
                question = f'SELECT "{column.name}" FROM {table.name}'
                if (table.name, column.name) in SEALED_COLUMNS:
                    assert NOT_ALLOWED == await refused(conn, question)
                else:
                    await rows(conn, question)
        assert NOT_ALLOWED == await refused(conn, "UPDATE wallet SET held = 0")
        assert NOT_ALLOWED == await refused(conn, "SELECT make_partition('batch', '2031-04-01')")


async def test_the_auditor_verifies_the_books(lived_in: World) -> None:
    """All that `verify` reads is open, so whoever may change nothing can check everything."""
    await change(lived_in, "UPDATE wallet SET available = 7")
    dsn = as_role(server(lived_in.database), NAMES.auditor)
    async with opened(dsn) as database:
        found = [f async for f in verify(database, lived_in.parts) if isinstance(f, Finding)]
    assert {"wallet_differs"} == {finding.kind for finding in found}


async def test_the_reader_reads_figures_that_lead_to_nobody(lived_in: World) -> None:
    """No id, no reference, no words of a person or provider; counting works."""
    leading = {"UUID", "BYTEA", "JSONB"}
    columns = {t: {c.name: c for c in table.columns} for t, table in metadata.tables.items()}
    dsn = as_role(server(lived_in.database), NAMES.reader)
    async with opened(dsn) as database, database.transaction() as conn:
        for table, shown in grants.FIGURES.items():
            if table in columns:
                kinds = {str(columns[table][name].type).upper() for name in shown}
                assert set() == kinds & leading, table
            names = ", ".join(f'"{name}"' for name in shown)
            await rows(conn, f"SELECT {names} FROM {table}")
        assert [("HELD", 1)] == await rows(conn, "SELECT state, count(*) FROM claim GROUP BY 1")
        for closed in (
            "SELECT member_id FROM claim",
            "SELECT * FROM lot",
            "SELECT count(*) FROM member",
            "SELECT reference_sealed FROM member_profile",
            "SELECT data FROM outbox",
            "SELECT balance_minor FROM asset",
            "SELECT name FROM api_key",
        ):
            assert NOT_ALLOWED == await refused(conn, closed)
