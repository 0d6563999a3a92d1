"""The commands for months of the ledger: which there are; one into a file and back."""

import os
from pathlib import Path

import rich_click as click

from benefits import settings
from benefits.actions import archive_month as archiving
from benefits.cli.console import console
from benefits.cli.house import DRY_RUN, record, run, say_if_dry
from benefits.domain.values import Month
from benefits.house import House
from benefits.settings import SettingRefused
from benefits.store import archive, carried
from benefits.store.signing import SealKey, origin

FOLDER = click.Path(exists=True, file_okay=False, writable=True, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _month(text: str) -> Month:
    try:
        return Month.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="MONTH") from None


def _say(done: int, of: int) -> None:
    """Tell each tenth of the work."""
    if done * 10 // of != (done - archiving.PAGE) * 10 // of:
        console.print(f"{done * 100 // of} %")


@click.group("partitions")
def partitions() -> None:
    """Months of the ledger: which there are; take old ones out into files, put them back.

    Example: `benefits partitions list`
    """


@partitions.command("list")
def list_() -> None:
    """Print each month as CSV: batches (about), bytes, attached or archived, sealed or not.

    Example: `benefits partitions list`
    """

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            away = {one.name: one for one in await carried.archives(conn)}
            click.echo("month,batches,bytes,state,sealed")
            for one in await archive.partitions(conn):
                there = away.get(one.month)
                batches = there.batches if there else one.batches
                state = "archived" if there else "attached"
                sealed = "sealed" if one.is_sealed else "unsealed"
                click.echo(f"{one.month},{batches},{one.bytes},{state},{sealed}")

    run(work_)


@partitions.command("archive")
@click.argument("month")
@click.option("--to", "folder", type=FOLDER, required=True, help="Folder for the month's file.")
@DRY_RUN
def archive_(month: str, folder: Path, *, dry_run: bool) -> None:
    """Write a closed MONTH to a file and take its batches out of the database; as the migrator.

    Example: `benefits partitions archive 2018-01 --to /cold`, or first with `--dry-run`
    """
    wanted = _month(month)
    seed = settings.load(os.environ).keys.seal_key
    if seed is None:
        raise SettingRefused("BENEFITS_SEAL_KEY is not set: it signs what a month leaves behind")

    async def work_(house: House) -> None:
        key = SealKey(seed, origin(house.settings.keys.member_key))
        if dry_run:
            async with house.database.transaction() as conn:
                extent, _ = await archiving.check_month(conn, wanted)
            console.print(f"{wanted} can be archived: {extent.batches} batches.")
            say_if_dry(dry_run=True)
            return
        done = await archiving.archive_month(
            house.database, house.parts, wanted, folder, key=key, say=_say
        )
        one = done.archive
        if not done.is_new:
            console.print(f"{wanted} was archived at {one.archived_at:%F %T} UTC.")
            return
        record("month.archived", month=str(wanted), batches=one.batches, kept=done.kept)
        console.print(
            f"{wanted} is archived: {one.batches} batches in {folder}/ledger-{wanted}.ndjson.gz, "
            f"{done.kept} of them here too. SHA-256 of its lines: {one.file_digest.hex()}"
        )

    run(work_)


@partitions.command("restore")
@click.argument("month")
@click.option("--from", "file", type=FILE, required=True, help="The month's file.")
@DRY_RUN
def restore(month: str, file: Path, *, dry_run: bool) -> None:
    """Put the batches of an archived MONTH back from its file; as the migrator.

    Example: `benefits partitions restore 2018-01 --from /cold/ledger-2018-01.ndjson.gz`
    """
    wanted = _month(month)

    async def work_(house: House) -> None:
        if dry_run:
            there = await archiving.check_back(house.database, wanted, file)
            console.print(f"{wanted} can be put back: {there.batches} batches.")
            say_if_dry(dry_run=True)
            return
        one = await archiving.restore_month(house.database, house.parts, wanted, file, say=_say)
        record("month.restored", month=str(wanted), batches=one.batches)
        console.print(f"{wanted} is back: {one.batches} batches.")

    run(work_)
