"""The commands about database roles: an administrator makes them, anybody may check them."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import rich_click as click

from benefits import settings
from benefits.cli.house import DRY_RUN, say_if_dry
from benefits.store import roles as store
from benefits.store.db import Connection, check_server, connect

Result = TypeVar("Result")
PREFIX = click.option(
    "--prefix",
    default=store.DEFAULT_PREFIX,
    show_default=True,
    help="What the roles' names begin with; installations of one server differ in it.",
)


@click.group()
def roles() -> None:
    """Make and check the database roles: owner, migrator, runtime, auditor, reader."""


def _run(
    url: str, work: Callable[[Connection], Awaitable[Result]], *, dry_run: bool = False
) -> Result:
    """Do a piece of work in one transaction, which a dry run undoes."""

    async def main() -> Result:
        database = connect(url, pool_size=1)
        try:
            await check_server(database)
            on = database.rehearsal() if dry_run else database
            async with on.transaction() as conn:
                return await work(conn)
        finally:
            await database.close()

    return asyncio.run(main())


@roles.command()
@PREFIX
@DRY_RUN
def create(prefix: str, *, dry_run: bool) -> None:
    """Make the roles in the database of BENEFITS_ADMIN_URL, or make good what they lack.

    The administrator owns the database and has CREATEROLE, or is a superuser. Passwords come from
    BENEFITS_ROLE_PASSWORDS; a role without one keeps what it has.

    Example: `BENEFITS_ADMIN_URL_FILE=… BENEFITS_ROLE_PASSWORDS_FILE=… benefits roles create`
    """
    names = store.named(prefix)
    url = settings.read_admin_url(os.environ)
    passwords = settings.read_role_passwords(os.environ)

    async def work(conn: Connection) -> list[str]:
        await store.create(conn, names, passwords)
        return await store.differences(conn, names)

    found = _run(url, work, dry_run=dry_run)
    say_if_dry(dry_run=dry_run)
    _tell(found, f"The roles are ready: {', '.join(names.everyone)}.")


@roles.command()
@PREFIX
def check(prefix: str) -> None:
    """Compare the roles and all they may do with what they should.

    Reads as any role, of BENEFITS_ADMIN_URL or else BENEFITS_DATABASE_URL.

    Example: `benefits roles check` (exit status 3 when something differs)
    """
    names = store.named(prefix)
    has_admin = any(os.environ.get(f"BENEFITS_ADMIN_URL{end}") for end in ("", "_FILE"))
    read = settings.read_admin_url if has_admin else settings.read_database_url

    async def work(conn: Connection) -> list[str]:
        return await store.differences(conn, names)

    _tell(_run(read(os.environ), work), "The roles are as they should be.")


def _tell(differences: list[str], all_is_well: str) -> None:
    for one in differences:
        click.echo(one)
    click.echo(f"{len(differences)} differences." if differences else all_is_well, err=True)
    if differences:
        sys.exit(3)
