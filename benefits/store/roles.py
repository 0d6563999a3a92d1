"""The database roles of an installation: made, found, checked, and asked what they could do.

The owner owns every table and function and cannot log in. The migrator is a member of it and acts
as it. Runtime, auditor and reader have the privileges of `grants` and no way to others. Nothing of
it is kept apart: the owner is who may create in the schema, so the database itself tells its
roles.
"""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError

from benefits.store import functions
from benefits.store.db import (
    Connection,
    Database,
    DatabaseUnsuitable,
    reason,
    rows,
    run,
    sqlstate,
)
from benefits.store.grants import Names, contents, given, make_so, surroundings
from benefits.store.schema import metadata

DEFAULT_PREFIX = "benefits_"
PREFIX = re.compile(r"(?!pg_)[a-z][a-z0-9_]{0,39}")
NOT_ALLOWED = "42501"
SCRAM_ROUNDS = 4096

WHO = """
SELECT r.rolname::text AS name, r.rolsuper OR r.rolcreaterole AS makes,
       pg_has_role(d.datdba, 'MEMBER') AS owns
FROM pg_roles AS r, pg_database AS d
WHERE r.rolname = current_user AND d.datname = current_database()
"""
THERE = """
SELECT rolname::text AS name, rolcanlogin, rolcreatedb, rolreplication, rolbypassrls
FROM pg_roles WHERE rolname = ANY ($1::text[])
"""
FIND = """
SELECT left(o.rolname, -length('owner')) AS prefix
FROM pg_namespace AS n
CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
JOIN pg_roles AS o ON o.oid = a.grantee
JOIN pg_roles AS r ON r.rolname = left(o.rolname, -length('owner')) || 'runtime'
WHERE n.nspname = 'public' AND a.privilege_type = 'CREATE' AND o.rolname LIKE '%owner'
ORDER BY 1
"""
# Ours that belongs to somebody else: tables with their partitions, and functions.
STRANGE = """
WITH RECURSIVE ours AS (
    SELECT c.oid FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($2::text[])
    UNION
    SELECT i.inhrelid FROM pg_inherits AS i JOIN ours AS o ON o.oid = i.inhparent)
SELECT 'TABLE' AS kind, quote_ident(c.relname) AS name, pg_get_userbyid(c.relowner)::text AS owner
FROM ours JOIN pg_class AS c ON c.oid = ours.oid
WHERE c.relkind IN ('r', 'p') AND c.relowner <> to_regrole(quote_ident($1))
UNION ALL
SELECT 'FUNCTION', p.oid::regprocedure::text, pg_get_userbyid(p.proowner)::text
FROM pg_proc AS p
WHERE p.pronamespace = 'public'::regnamespace AND p.proname = ANY ($3::text[])
  AND p.proowner <> to_regrole(quote_ident($1))
ORDER BY 1, 2
"""
# Before version 16 a membership has no options, and always lets one act as the role.
ACTS_AS = """
SELECT r.rolsuper OR EXISTS (
    SELECT FROM pg_auth_members AS m
    WHERE m.roleid = to_regrole(quote_ident($1)) AND m.member = r.oid
      AND coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)) AS lasting
FROM pg_roles AS r WHERE r.rolname = current_user
"""
IS_MEMBER = "SELECT pg_has_role($1, $2, 'MEMBER')"
# What a role could do to rows that must stay, by its own power or as one of whom it is a member:
# the latter is said first, for a member has its power only from there. Partitions count: whoever
# may change one need not ask its table.
COULD = """
WITH RECURSIVE me AS (SELECT $1::text AS name),
kept AS (
    SELECT c.oid, c.relname, c.relowner, c.relnamespace FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($2::text[])
    UNION
    SELECT c.oid, c.relname, c.relowner, c.relnamespace
    FROM pg_inherits AS i JOIN kept AS k ON k.oid = i.inhparent
    JOIN pg_class AS c ON c.oid = i.inhrelid),
judged AS (
    SELECT r.rolname::text AS name, r.rolsuper OR r.rolcreaterole AS itself, CASE
        WHEN r.rolsuper THEN 'is a superuser'
        WHEN r.rolcreaterole THEN 'may make roles and join them'
        WHEN r.rolname IN ('pg_execute_server_program', 'pg_write_server_files')
            THEN 'may write the files of the server'
        WHEN d.datdba = r.oid THEN 'owns the database'
        WHEN k.relowner = r.oid THEN 'owns ' || k.relname
        WHEN n.nspowner = r.oid THEN 'owns the schema'
        WHEN has_schema_privilege(r.oid, n.oid, 'CREATE') THEN 'may create in the schema'
        WHEN has_table_privilege(r.oid, k.oid, 'UPDATE') OR has_any_column_privilege(
            r.oid, k.oid, 'UPDATE') THEN 'may UPDATE ' || k.relname
        WHEN has_table_privilege(r.oid, k.oid, 'DELETE') THEN 'may DELETE from ' || k.relname
        WHEN has_table_privilege(r.oid, k.oid, 'TRUNCATE') THEN 'may TRUNCATE ' || k.relname
        WHEN has_table_privilege(r.oid, k.oid, 'TRIGGER')
            THEN 'may make triggers on ' || k.relname
        END AS why
    FROM me
    JOIN pg_roles AS r ON pg_has_role(me.name::name, r.oid, 'MEMBER')
    CROSS JOIN kept AS k
    JOIN pg_namespace AS n ON n.oid = k.relnamespace
    JOIN pg_database AS d ON d.datname = current_database())
SELECT j.name, j.why FROM judged AS j, me WHERE j.why IS NOT NULL
ORDER BY NOT (j.name = me.name AND j.itself), j.name = me.name, j.name, j.why LIMIT 1
"""
SESSION_USER = "SELECT session_user::text"
CURRENT_USER = "SELECT current_user::text"


def named(prefix: str) -> Names:
    """Return the roles behind a prefix (DatabaseUnsuitable)."""
    if not PREFIX.fullmatch(prefix):
        raise DatabaseUnsuitable(
            "A prefix of roles is 1 to 40 of a-z, 0-9 and _, begins with a letter, not with pg_."
        )
    return Names(prefix)


async def create(conn: Connection, names: Names, passwords: Mapping[str, str]) -> None:
    """Make the roles and give them what they need, or make good what is missing.

    `passwords` go by the last word of a role's name; without one a role keeps what it has. All of
    it or nothing. An administrator's work (DatabaseUnsuitable).
    """
    ((me, makes, owns),) = await rows(conn, WHO)
    if not (makes and owns):
        raise DatabaseUnsuitable(
            f"{me} cannot make roles here: connect as a superuser, or as the owner of the "
            "database with CREATEROLE."
        )
    try:
        await _make_roles(conn, names, passwords)
        async with _as_owner(conn, names):
            await _take_over(conn, names)
            await make_so(conn, names, await surroundings(conn, names), "DATABASE", "SCHEMA")
            await run(conn, f'SET LOCAL ROLE "{names.owner}"')
            await make_so(conn, names, await contents(conn, names), "TABLE", "FUNCTION")
            await run(conn, "RESET ROLE")
    except DBAPIError as error:
        if sqlstate(error) != NOT_ALLOWED:
            raise
        raise DatabaseUnsuitable(
            f"{me} is not allowed to: {reason(error)}. Connect as a superuser."
        ) from None


async def _make_roles(conn: Connection, names: Names, passwords: Mapping[str, str]) -> None:
    there = {row.name for row in await rows(conn, THERE, list(names.everyone))}
    for role in names.everyone:
        verb = "ALTER" if role in there else "CREATE"
        login = "LOGIN" if role in names.callers else "NOLOGIN"
        password = passwords.get(role.removeprefix(names.prefix), "")
        # The server is told what proves a password, never the password: nor is its log.
        proof = f" PASSWORD '{scram_verifier(password)}'" if password else ""
        await run(conn, f'{verb} ROLE "{role}" {login}{proof}')
    if not (await rows(conn, IS_MEMBER, names.migrator, names.owner))[0][0]:
        await run(conn, f'GRANT "{names.owner}" TO "{names.migrator}"')


@asynccontextmanager
async def _as_owner(conn: Connection, names: Names) -> AsyncIterator[None]:
    """Be a member of the owner for a while: whoever is no superuser must be, to give it things."""
    ((lasting,),) = await rows(conn, ACTS_AS, names.owner)
    if not lasting:
        await run(conn, f'GRANT "{names.owner}" TO CURRENT_USER')
    yield
    if not lasting:
        await run(conn, f'REVOKE "{names.owner}" FROM CURRENT_USER')


async def _strange(conn: Connection, names: Names) -> list[tuple[str, str, str]]:
    """Return what is ours and not the owner's: kind, name, whose."""
    tables = [*metadata.tables, "alembic_version"]
    found = await rows(conn, STRANGE, names.owner, tables, list(functions.NAMES))
    return [(row.kind, row.name, row.owner) for row in found]


async def _take_over(conn: Connection, names: Names) -> None:
    """Hand what an earlier single role made to the owner, who must be allowed to have it."""
    strange = await _strange(conn, names)
    if not strange:
        return
    await run(conn, f'GRANT CREATE ON SCHEMA public TO "{names.owner}"')
    for kind, name, _ in strange:
        await run(conn, f'ALTER {kind} {name} OWNER TO "{names.owner}"')


async def find(conn: Connection) -> Names | None:
    """Return the roles of this database; None where one role does everything."""
    found = await rows(conn, FIND)
    return Names(found[0].prefix) if found else None


async def act_as_owner(conn: Connection) -> Names | None:
    """Act as the owner, if there is one, for the rest of the transaction (DatabaseUnsuitable)."""
    names = await find(conn)
    if names is None:
        return None
    ((me,),) = await rows(conn, CURRENT_USER)
    try:
        await run(conn, f'SET LOCAL ROLE "{names.owner}"')
    except DBAPIError as error:
        if sqlstate(error) != NOT_ALLOWED:
            raise
        raise DatabaseUnsuitable(
            f"This database belongs to {names.owner}, and {me} cannot act as it: "
            f"connect as {names.migrator}."
        ) from None
    return names


async def give_again(conn: Connection, names: Names) -> None:
    """Give the roles what the tables and functions of now ask for; the owner's work."""
    await make_so(conn, names, await contents(conn, names), "TABLE", "FUNCTION")


async def session_user(conn: Connection) -> str:
    """Return as which role we are connected."""
    ((me,),) = await rows(conn, SESSION_USER)
    return str(me)


@asynccontextmanager
async def rights_told(database: Database) -> AsyncIterator[None]:
    """Say in words what the role may not do (DatabaseUnsuitable); the rest of a command's work."""
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error) != NOT_ALLOWED:
            raise
        async with database.transaction() as conn:
            me, names = await session_user(conn), await find(conn)
        fit = "as the role that owns the tables"
        if names is not None:
            fit = f"as {names.runtime}, or to verify as {names.auditor}"
        raise DatabaseUnsuitable(f"{me} may not: {reason(error)}. Connect {fit}.") from None


async def check_cannot_rewrite(conn: Connection) -> None:
    """Refuse to serve as a role that could change what must stay (DatabaseUnsuitable)."""
    me = await session_user(conn)
    if power := await _power(conn, me):
        names = await find(conn) or Names(DEFAULT_PREFIX)
        raise DatabaseUnsuitable(
            f"{me} could change or remove postings of this production database: {power}. "
            f"Run `benefits roles create` once, then connect as {names.runtime}."
        )


async def _power(conn: Connection, role: str) -> str:
    """Return why a role could change or remove what must stay, or an empty text."""
    found = await rows(conn, COULD, role, list(functions.APPEND_ONLY))
    if not found:
        return ""
    name, why = found[0]
    return f"it {why}" if name == role else f"it can act as {name}, which {why}"


async def differences(conn: Connection, names: Names) -> list[str]:
    """Return in words whatever is not as `create` makes it."""
    there = {row.name: row for row in await rows(conn, THERE, list(names.everyone))}
    missing = [f"{role} is missing" for role in names.everyone if role not in there]
    if missing:
        return missing
    said = [
        f"{role} {'can' if row.rolcanlogin else 'cannot'} log in"
        for role, row in sorted(there.items())
        if row.rolcanlogin != (role in names.callers)
    ]
    said += [
        f"{role} has a power of the whole server"
        for role, row in sorted(there.items())
        if row.rolcreatedb or row.rolreplication or row.rolbypassrls
    ]
    if not (await rows(conn, IS_MEMBER, names.migrator, names.owner))[0][0]:
        said.append(f"{names.migrator} cannot act as {names.owner}")
    for role in (names.runtime, names.auditor, names.reader):
        if power := await _power(conn, role):
            said.append(f"{role} could change or remove postings: {power}")
    said += [
        f"{kind.lower()} {name} belongs to {owner}, not to {names.owner}"
        for kind, name, owner in await _strange(conn, names)
    ]
    wanted = await surroundings(conn, names) | await contents(conn, names)
    have = await given(conn, names)
    said += [f"missing: {grant}" for grant in sorted(wanted - have)]
    said += [f"too much: {grant}" for grant in sorted(have - wanted)]
    return said


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Return what PostgreSQL keeps of a password in ASCII (RFC 5803); nobody logs in with it."""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    words = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ROUNDS}:{words[0]}${words[1]}:{words[2]}"
