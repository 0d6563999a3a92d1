"""The commands about the database as a whole: its schema, and whether the books are right."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Literal, TextIO

import rich_click as click

from benefits import settings
from benefits.actions.verify import verify
from benefits.actions.verify_seals import Audit
from benefits.cli.audit import public_keys
from benefits.cli.console import console
from benefits.cli.house import read_books
from benefits.domain.checkpoints import read_notes
from benefits.domain.refusal import Refusal
from benefits.house import House
from benefits.store.db import check_server, connect
from benefits.store.migrate import migrate as run_migrations
from benefits.store.migrate import revisions
from benefits.store.migrate import sql as sql_of
from benefits.store.roles import rights_told
from benefits.store.seals import last_checkpoint
from benefits.store.verify import Finding


class CheckpointUnreadable(Refusal):
    """A file of checkpoints has none."""

    code = "checkpoint_unreadable"
    words = "There is no whole checkpoint in that file."


@click.command()
@click.option(
    "--stamp",
    type=click.Choice(["production", "demo"]),
    default="production",
    show_default=True,
    help="What a new database is for, for ever; a demo may have providers without TLS.",
)
@click.option("--sql", is_flag=True, help="Print the SQL of the schema and do nothing.")
@click.option("--from", "since", help="With --sql: the revision the database has.")
def migrate(stamp: Literal["production", "demo"], since: str | None, *, sql: bool) -> None:
    """Bring the database to the newest schema and stamp a new one.

    Example: `BENEFITS_DATABASE_URL=postgresql://… BENEFITS_MEMBER_KEY_FILE=… benefits migrate`

    Example: `benefits migrate --sql --from 0003` (needs no database)
    """
    if since is not None and not sql:
        raise click.BadParameter("goes with --sql", param_hint="--from")
    if since is not None and since not in (known := revisions()):
        raise click.BadParameter(f"revisions are {', '.join(known)}", param_hint="--from")
    if sql:
        click.echo(sql_of(since or "base"), nl=False)
        return

    async def main_() -> None:
        database = connect(settings.read_database_url(os.environ))
        try:
            key = settings.read_member_key(os.environ)
            await check_server(database)
            async with rights_told(database):
                installation = await run_migrations(database, stamp, key)
        finally:
            await database.close()
        console.print(f"The database is ready and stamped {installation.stamp}.")

    asyncio.run(main_())


def _say_compared(audit: Audit) -> None:
    """Say with what from outside the database was compared."""
    if audit.exported:
        console.print(f"{len(audit.exported)} exported checkpoints were compared.")
    if audit.archives:
        console.print(f"{len(audit.archives)} files of archived months were checked.")


@click.command("verify")
@click.option(
    "--checkpoint",
    type=click.File(encoding="utf-8"),
    default=None,
    help="Checkpoints that were exported, to compare the log with; - for standard input.",
)
@click.option(
    "--archive",
    "archives",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="The file of an archived month, to be checked too; may be given several times.",
)
def verify_(checkpoint: TextIO | None, archives: tuple[Path, ...]) -> None:
    """Check the books anew: replay postings, holds and balances, and name every difference.

    Example: `benefits verify` (exit status 3 when something is wrong)
    """
    exported = tuple(read_notes(checkpoint.read())) if checkpoint else ()
    if checkpoint and not exported:
        raise CheckpointUnreadable

    async def work_(house: House) -> None:
        found = 0
        audit = Audit(public_keys(house.settings), exported, archives)
        if (exported or archives) and not audit.keys:
            raise CheckpointUnreadable(
                "Whose signatures count? Give BENEFITS_SEAL_PUBLIC_KEYS what `benefits seal-key` "
                "printed."
            )
        if not audit.keys:
            async with house.database.transaction() as conn:
                if await last_checkpoint(conn):
                    console.print("No key is known, so no signature is checked.")
        async for one in verify(house.database, house.parts, audit):
            if isinstance(one, Finding):
                found += 1
                click.echo(f"{one.kind} {one.subject}: {one.detail}")
        _say_compared(audit)
        console.print(f"{found} findings.")
        if found:
            sys.exit(3)

    read_books(work_)
