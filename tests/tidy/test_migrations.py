"""A migrated database is what `schema.py` and `functions.py` say, and is taken for no other."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from benefits.store import functions, schema
from benefits.store.db import Database, DatabaseUnsuitable, connect, rows, run
from benefits.store.migrate import check, migrate, sql
from tests.builders import MEMBER_KEY

NewDatabase = Callable[[str | None], Awaitable[str]]
Catalogue = dict[str, list[tuple[object, ...]]]

# The partitions made for months come and go; alembic's own table is alembic's.
_OURS = """c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
    AND c.relname NOT LIKE 'alembic_version%'"""
CATALOGUE = {
    "tables": f"""
        SELECT c.relname, c.relkind::text, c.reloptions, pg_get_partkeydef(c.oid),
               c.relpersistence::text, c.relrowsecurity
        FROM pg_class AS c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND {_OURS} ORDER BY 1
    """,
    "columns": f"""
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
               a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity::text
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND {_OURS}
        ORDER BY 1, 2
    """,
    "constraints": f"""
        SELECT c.relname, k.conname, pg_get_constraintdef(k.oid), k.convalidated
        FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
        WHERE {_OURS} ORDER BY 1, 2
    """,
    "indexes": f"""
        SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid WHERE {_OURS} ORDER BY 1, 2
    """,
    "triggers": f"""
        SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text
        FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND {_OURS} ORDER BY 1, 2
    """,
    "functions": """
        SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc AS p
        WHERE p.pronamespace = 'public'::regnamespace ORDER BY 1, 2
    """,
}


@asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator[Database]:
    database = connect(dsn, pool_size=2)
    try:
        yield database
    finally:
        await database.close()


async def _catalogue(database: Database) -> Catalogue:
    """Return all that a database says about its own shape."""
    async with database.transaction() as conn:
        return {
            kind: [tuple(row) for row in await rows(conn, sql)] for kind, sql in CATALOGUE.items()
        }


@pytest.fixture(scope="module")
async def migrated_shape(migrated: str, cluster_dsn: str) -> Catalogue:
    """Give the shape of a migrated database."""
    dsn = urlsplit(cluster_dsn)._replace(path=f"/{migrated}").geturl()
    async with _opened(dsn) as database:
        return await _catalogue(database)


async def test_migrations_make_what_the_schema_says(
    migrated_shape: Catalogue, new_database: NewDatabase
) -> None:
    """Tables, columns, keys, indexes, functions and triggers are the same on both ways."""
    async with _opened(await new_database(None)) as database:
        async with database.transaction() as conn:
            await conn.run_sync(schema.metadata.create_all)
            for statement in (*functions.FUNCTIONS, *functions.TRIGGERS):
                await run(conn, statement)
        described = await _catalogue(database)
    assert all(described.values())
    for kind, expected in described.items():
        assert expected == migrated_shape[kind], kind


async def test_migrations_read_offline_make_the_same(
    migrated_shape: Catalogue, new_database: NewDatabase
) -> None:
    """The SQL an operator reviews and runs by hand is what `benefits migrate` does."""
    dsn = await new_database(None)
    raw = await asyncpg.connect(dsn)
    await raw.execute(sql())
    await raw.close()
    async with _opened(dsn) as database:
        assert migrated_shape == await _catalogue(database)


def test_each_migration_step_is_one_statement() -> None:
    """The driver prepares every statement, so two in one text would fail."""
    statements = [s for s in re.split(r";\n\n", sql()) if s.strip()]
    assert len(statements) > 30
    bodies = re.compile(r"\$\$.*?\$\$", re.DOTALL)
    comments = re.compile(r"--[^\n]*")
    joined = [s for s in statements if ";" in comments.sub("", bodies.sub("", s)).rstrip(";\n")]
    assert [] == joined


async def test_migrating_again_changes_nothing(
    migrated: str, migrated_shape: Catalogue, new_database: NewDatabase
) -> None:
    """The second run of `benefits migrate` finds everything done."""
    stamped = "SELECT stamp, member_key_fingerprint, created_at FROM installation"
    async with _opened(await new_database(migrated)) as database:
        async with database.transaction() as conn:
            before = await rows(conn, stamped)
        await migrate(database, "test", MEMBER_KEY)
        async with database.transaction() as conn:
            assert before == await rows(conn, stamped)
        assert migrated_shape == await _catalogue(database)


async def test_a_database_of_another_stamp_is_refused(
    migrated: str, new_database: NewDatabase
) -> None:
    """A test database never becomes a production one by a wrong address."""
    async with _opened(await new_database(migrated)) as database:
        with pytest.raises(DatabaseUnsuitable, match=r"stamped 'test', and 'production'"):
            await migrate(database, "production", MEMBER_KEY)
        assert "test" == (await check(database, MEMBER_KEY)).stamp


async def test_a_database_of_another_member_key_is_refused(
    migrated: str, new_database: NewDatabase
) -> None:
    """With another key every member would get a new id, so nothing starts."""
    async with _opened(await new_database(migrated)) as database:
        with pytest.raises(DatabaseUnsuitable, match="BENEFITS_MEMBER_KEY is not the key"):
            await check(database, bytes(32))
        with pytest.raises(DatabaseUnsuitable, match="BENEFITS_MEMBER_KEY is not the key"):
            await migrate(database, "test", bytes(32))


async def test_an_empty_database_is_refused(new_database: NewDatabase) -> None:
    """Whoever forgot to migrate is told the command."""
    async with _opened(await new_database(None)) as database:
        with pytest.raises(DatabaseUnsuitable, match=r"not set up\. Run `benefits migrate`"):
            await check(database, MEMBER_KEY)


async def test_a_database_of_another_revision_is_refused(
    migrated: str, new_database: NewDatabase
) -> None:
    """An older program never writes to a newer database, nor a newer one to an older."""
    async with _opened(await new_database(migrated)) as database:
        async with database.transaction() as conn:
            await run(conn, "UPDATE alembic_version SET version_num = '0000'")
        with pytest.raises(DatabaseUnsuitable, match="at revision 0000, this program needs"):
            await check(database, MEMBER_KEY)
