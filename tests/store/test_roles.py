"""The roles are made by whoever administers, and checked; whoever could rewrite is refused."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from sqlalchemy.exc import DBAPIError

from benefits.store import roles
from benefits.store.db import Connection, DatabaseUnsuitable, rows, run, sqlstate
from benefits.store.grants import Names
from benefits.store.migrate import ensure_partitions, migrate
from tests import builders
from tests.actions.life import claimed, holder, wish
from tests.builders import MEMBER_KEY, NOON
from tests.conftest import own_database
from tests.roles import PASSWORD, as_role, create, drop, fresh, installed, opened


class Installed(NamedTuple):
    """A database with roles of its own, and its administrator's address."""

    dsn: str
    names: Names

    async def differences(self) -> list[str]:
        """Check the roles, as one of them."""
        dsn = as_role(self.dsn, self.names.reader)
        async with opened(dsn) as database, database.transaction() as conn:
            return await roles.differences(conn, self.names)

    async def by_hand(self, *statements: str) -> None:
        """Let the administrator change something; `{}` is the prefix of the roles."""
        async with opened(self.dsn) as database, database.transaction() as conn:
            for statement in statements:
                await run(conn, statement.replace("{}", self.names.prefix))

    async def migrate(self, role: str) -> None:
        """Migrate as a role."""
        async with opened(as_role(self.dsn, role)) as database:
            await migrate(database, "test", MEMBER_KEY)


@pytest.fixture
async def place(cluster_dsn: str) -> AsyncIterator[Installed]:
    """Give a migrated database with roles of its own."""
    async with own_database(cluster_dsn) as dsn, installed(dsn) as names:
        yield Installed(dsn, names)


@asynccontextmanager
async def administered(cluster_dsn: str) -> AsyncIterator[Installed]:
    """Give an empty database that belongs to an administrator who is no superuser."""
    names = fresh()
    admin = f"{names.prefix}admin"
    async with own_database(cluster_dsn) as dsn:
        try:
            await Installed(dsn, names).by_hand(
                f"CREATE ROLE {admin} LOGIN CREATEROLE PASSWORD '{PASSWORD}'",
                f"ALTER DATABASE {urlsplit(dsn).path[1:]} OWNER TO {admin}",
            )
            yield Installed(as_role(dsn, admin), names)
        finally:
            await drop(dsn, names)
            await Installed(dsn, names).by_hand(
                f"REASSIGN OWNED BY {admin} TO CURRENT_USER",
                f"DROP OWNED BY {admin}",
                f"DROP ROLE {admin}",
            )


async def test_an_administrator_without_a_superusers_power_makes_them(cluster_dsn: str) -> None:
    """The database's owner with CREATEROLE is enough, and is not left as a member of the owner."""
    async with administered(cluster_dsn) as place:
        for _ in ("made", "made good"):
            await create(place.dsn, place.names)
            await place.migrate(place.names.migrator)
            assert [] == await place.differences()
        async with opened(place.dsn) as database, database.transaction() as conn:
            owners = await rows(
                conn, "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'"
            )
            assert [(place.names.owner,)] == owners
            with pytest.raises(DBAPIError) as caught:
                await run(conn, f'SET ROLE "{place.names.owner}"')
            assert "42501" == sqlstate(caught.value)


async def test_a_database_of_a_single_role_is_taken_over_with_its_rows(cluster_dsn: str) -> None:
    """What one role made and filled goes to the owner; the runtime role goes on with it."""
    async with administered(cluster_dsn) as place:
        async with opened(place.dsn) as database:
            await migrate(database, "test", MEMBER_KEY)
            await ensure_partitions(database, NOON)
        async with builders.world(place.dsn) as world:
            member = await holder(world, quantity=2)
            await claimed(world, wish(member))
        await create(place.dsn, place.names)
        assert [] == await place.differences()
        async with builders.world(as_role(place.dsn, place.names.runtime)) as world:
            await claimed(world, wish(member))
            assert [] == await world.findings()


async def test_only_an_administrator_makes_roles(place: Installed) -> None:
    """Anybody else is told who may."""
    with pytest.raises(DatabaseUnsuitable, match=r"runtime cannot make roles here: connect as"):
        await create(as_role(place.dsn, place.names.runtime), place.names)


@pytest.mark.parametrize("prefix", ["", "pg_mine", "Benefits_", 'b"; DROP', "1st_", "b" * 41])
def test_a_prefix_is_a_plain_word(prefix: str) -> None:
    """What stands in statements is nothing but letters, digits and underscores."""
    with pytest.raises(DatabaseUnsuitable, match="A prefix of roles is"):
        roles.named(prefix)


async def test_a_stranger_does_not_even_connect(place: Installed) -> None:
    """Everybody else has no privilege: not on the database, a table or a function."""
    stranger = f"{place.names.prefix}stranger"
    await place.by_hand(f"CREATE ROLE {stranger} LOGIN PASSWORD '{PASSWORD}'")
    try:
        async with opened(as_role(place.dsn, stranger)) as database:
            with pytest.raises(Exception, match="permission denied for database"):
                async with database.transaction() as conn:
                    await rows(conn, "SELECT 1")
    finally:
        await place.by_hand(f"DROP ROLE {stranger}")


async def test_only_the_runtime_has_tables_of_its_own(place: Installed) -> None:
    """Imports need temporary tables; those who read do not."""
    statement = "CREATE TEMP TABLE mine (name text)"
    for role in (place.names.auditor, place.names.reader):
        async with opened(as_role(place.dsn, role)) as database, database.transaction() as conn:
            with pytest.raises(DBAPIError) as caught:
                await run(conn, statement)
            assert "42501" == sqlstate(caught.value)
    runtime = as_role(place.dsn, place.names.runtime)
    async with opened(runtime) as database, database.transaction() as conn:
        assert 0 >= await run(conn, statement)


async def test_migrating_is_for_the_migrator(place: Installed) -> None:
    """Whoever cannot act as the owner is told as whom to connect."""
    with pytest.raises(DatabaseUnsuitable, match=f"connect as {place.names.migrator}"):
        await place.migrate(place.names.runtime)


async def test_migrating_gives_new_tables_their_privileges(place: Installed) -> None:
    """A table that a revision brings is readable at once; nothing has to be made good by hand."""
    await place.by_hand(
        'SET LOCAL ROLE "{}owner"', "CREATE TABLE brought (bucket smallint, word_sealed bytea)"
    )
    assert [
        f"missing: {place.names.auditor}: SELECT (bucket) on table brought",
        f"missing: {place.names.runtime}: SELECT on table brought",
    ] == await place.differences()
    await place.migrate(place.names.migrator)
    assert [] == await place.differences()


WRONG = [
    ("GRANT DELETE ON lot TO {}runtime", "too much: {}runtime: DELETE on table lot"),
    (
        "GRANT UPDATE (stamp) ON installation TO {}runtime",
        "too much: {}runtime: UPDATE (stamp) on table installation",
    ),
    ("GRANT SELECT ON lot TO PUBLIC", "too much: PUBLIC: SELECT on table lot"),
    ("REVOKE INSERT ON lot FROM {}runtime", "missing: {}runtime: INSERT on table lot"),
    (
        "REVOKE EXECUTE ON FUNCTION make_partition FROM {}runtime",
        "missing: {}runtime: EXECUTE on function make_partition(text,date)",
    ),
    (
        "GRANT EXECUTE ON FUNCTION make_partition TO {}auditor",
        "too much: {}auditor: EXECUTE on function make_partition(text,date)",
    ),
    (
        "GRANT SELECT ON member_profile TO {}auditor",
        "too much: {}auditor: SELECT on table member_profile",
    ),
    ("GRANT CREATE ON SCHEMA public TO PUBLIC", "too much: PUBLIC: CREATE on schema public"),
    ("ALTER TABLE lot OWNER TO CURRENT_USER", "table lot belongs to "),
    ("ALTER FUNCTION make_partition OWNER TO CURRENT_USER", "function make_partition(text,date) "),
    ("REVOKE {}owner FROM {}migrator", "{}migrator cannot act as {}owner"),
    ("ALTER ROLE {}owner LOGIN", "{}owner can log in"),
    ("ALTER ROLE {}runtime NOLOGIN", "{}runtime cannot log in"),
]


@pytest.mark.parametrize(("statement", "expected"), WRONG)
async def test_what_differs_is_named_and_made_good(
    place: Installed, statement: str, expected: str
) -> None:
    """`roles check` says it in words, and `roles create` again repairs it."""
    await place.by_hand(statement)
    found = await place.differences()
    expected = expected.replace("{}", place.names.prefix)
    assert [True] == list({line.startswith(expected) for line in found if "could" not in line})
    await create(place.dsn, place.names)
    assert [] == await place.differences()


async def test_a_missing_role_is_named(place: Installed) -> None:
    """Before anything else is compared."""
    await place.by_hand("DROP OWNED BY {}auditor", "DROP ROLE {}auditor")
    assert [f"{place.names.auditor} is missing"] == await place.differences()


MIGHTY = [
    ("ALTER ROLE {}runtime SUPERUSER", "it is a superuser"),
    ("ALTER ROLE {}runtime CREATEROLE", "it may make roles and join them"),
    ("GRANT {}owner TO {}runtime", "it can act as {}owner, which owns "),
    ("GRANT {}migrator TO {}runtime", "it can act as {}migrator, which may create in the schema"),
    ("ALTER TABLE posting OWNER TO {}runtime", "it owns posting"),
    ("ALTER TABLE posting_2025_06 OWNER TO {}runtime", "it owns posting_2025_06"),
    ("GRANT UPDATE ON posting TO {}runtime", "it may UPDATE posting"),
    ("GRANT UPDATE (amount) ON posting TO {}runtime", "it may UPDATE posting"),
    ("GRANT UPDATE ON posting_2025_06 TO {}runtime", "it may UPDATE posting_2025_06"),
    ("GRANT DELETE ON posting TO PUBLIC", "it may DELETE from posting"),
    ("GRANT TRUNCATE ON batch TO {}runtime", "it may TRUNCATE batch"),
    ("GRANT TRIGGER ON posting TO {}runtime", "it may make triggers on posting"),
    ("GRANT CREATE ON SCHEMA public TO {}runtime", "it may create in the schema"),
    ("ALTER SCHEMA public OWNER TO {}runtime", "it owns the schema"),
    (
        "DO $$BEGIN EXECUTE 'ALTER DATABASE '||current_database()||' OWNER TO {}runtime'; END$$",
        "it can act as pg_database_owner, which owns the schema",
    ),
    ("GRANT pg_write_all_data TO {}runtime", "it can act as pg_write_all_data, which may UPDATE"),
    (
        "GRANT pg_execute_server_program TO {}runtime",
        "it can act as pg_execute_server_program, which may write the files of the server",
    ),
]


async def judged(conn: Connection) -> str:
    """Return why the role of a connection is refused, or an empty text."""
    try:
        await roles.check_cannot_rewrite(conn)
    except DatabaseUnsuitable as refusal:
        return refusal.detail
    return ""


@pytest.mark.parametrize(("statement", "why"), MIGHTY)
async def test_a_role_that_could_rewrite_is_refused(
    place: Installed, statement: str, why: str
) -> None:
    """By whatever way: power, ownership, membership, a privilege, on a partition too."""
    async with opened(as_role(place.dsn, place.names.migrator)) as database:
        await ensure_partitions(database, builders.NOON.replace(year=2025, month=6))
    async with opened(as_role(place.dsn, place.names.runtime)) as database:
        async with database.transaction() as conn:
            assert "" == await judged(conn)
        await place.by_hand(statement)
        async with database.transaction() as conn:
            said = await judged(conn)
    runtime = place.names.runtime
    why = why.replace("{}", place.names.prefix)
    assert said.startswith(f"{runtime} could change or remove postings of this production data")
    assert f": {why}" in said
    assert said.endswith(f"Run `benefits roles create` once, then connect as {runtime}.")
    assert any(line.startswith(f"{runtime} could change") for line in await place.differences())


async def test_the_server_is_told_no_password(place: Installed) -> None:
    """It gets what proves one, the same that it would make of it itself."""
    kept = "SELECT rolpassword FROM pg_authid WHERE rolname = $1"
    async with opened(place.dsn) as database, database.transaction() as conn:
        ((ours,),) = await rows(conn, kept, place.names.runtime)
        await run(conn, "SET LOCAL password_encryption = 'scram-sha-256'")
        await run(conn, f"ALTER ROLE {place.names.auditor} PASSWORD '{PASSWORD}'")
        ((its,),) = await rows(conn, kept, place.names.auditor)
    assert ours.startswith("SCRAM-SHA-256$4096:")
    for made in (ours, its):
        salt = base64.b64decode(made.split("$")[1].split(":")[1])
        assert made == roles.scram_verifier(PASSWORD, salt)
