"""The commands for what the bank brings: customers, labels, balances, rates, rewards."""

import re
import sys
from typing import BinaryIO, TextIO

import rich_click as click

from benefits.actions.import_files import (
    KINDS,
    Imported,
    Progress,
    assets_of,
    calendar_of,
    import_file,
    import_rates,
)
from benefits.actions.record_rates import decided_since
from benefits.cli.codes import import_codes_
from benefits.cli.console import console
from benefits.cli.feeds import import_feed_, say_decided
from benefits.cli.files import TEXT, take_file
from benefits.cli.grants import STOPPED, Told, format_of, grant_file, rehearse_file
from benefits.cli.house import DRY_RUN, chosen_programme, run
from benefits.cli.whitelists import import_whitelist_
from benefits.domain.jobs import Format
from benefits.domain.policy import CALENDAR
from benefits.house import House

SWEPT = "{:,} lots that ended, {:,} claims never sent, {:,} members who left."


@click.group("import")
def import_() -> None:
    """Import files of the bank; a bad line is named and does not stop the rest."""


# Files that are taken the same way, by the kinds of `import_files`: what each command says.
TOLD = {
    "members": """
    Import customers: `customer,opened_on[,closed_on][,branch][,manager][,labels][,deceased]`.

    `closed_on` is the last day of a relationship; with `deceased` `yes` the member died on it.
    What rules ask of the person: `[,born_on][,city][,staff][,person]`; `staff` is `yes` or `no`,
    `person` an identity document's number, of which a keyed hash is kept. Empty: not known.

    Example: `benefits import members customers.csv --dry-run`, then without
    """,
    "labels": """
    Import labels: `customer,label,layer,valid_from[,valid_to][,version]`.

    Layers are FACT, RULE and MODEL; `valid_to` is the first day without the label. A tier is
    decided by the labels that are valid on a month's last day.

    Example: `benefits import labels payroll.csv --dry-run`, then without
    """,
    "consents": """
    Import what members agreed to: `customer,purpose,provider,said_on,given`.

    `given` is `yes`, or `no` where it was withdrawn. The latest day counts.

    Example: `benefits import consents consents.csv --dry-run`, then without
    """,
    "merges": """
    Import customers who are one person: `customer,into`.

    All that `customer` has is `into`'s from then on, which is not taken back. A line again changes
    nothing.

    Example: `benefits import merges merges.csv --dry-run`, then without
    """,
    "holders": """
    Import holders of joint accounts: `account,customer,role,valid_from[,valid_to]`.

    Roles are PRIMARY and JOINT; `valid_to` is the first day on which the account is not theirs.

    Example: `benefits import holders holders.csv --dry-run`, then without
    """,
}


def _taking(kind: str, told: str) -> click.Command:
    """Return the command that takes files of a kind."""

    @click.command(kind, help=told)
    @click.argument("file", type=TEXT)
    @DRY_RUN
    def command(file: TextIO, *, dry_run: bool) -> None:
        async def take(house: House, progress: Progress) -> Imported:
            return await import_file(
                house.database, house.parts, KINDS[kind], file, progress=progress, dry_run=dry_run
            )

        take_file(kind, file, take, dry_run=dry_run)

    return command


for _kind, _told in TOLD.items():
    import_.add_command(_taking(_kind, _told))


@import_.command("calendar")
@click.argument("file", type=TEXT)
@click.option("--name", required=True, help="What programmes call it, as `china`.")
@DRY_RUN
def import_calendar_(file: TextIO, name: str, *, dry_run: bool) -> None:
    """Import which days are business days: `date,kind`.

    Monday to Friday are, but for what is said here: HOLIDAY is none, WORKDAY is one whatever its
    weekday. Of a day what came last counts. A year without a line is not known.

    Example: `benefits import calendar 2026.csv --name china --dry-run`, then without
    """
    if not re.fullmatch(CALENDAR, name):
        raise click.BadParameter("use a to z, 0 to 9, _ and -", param_hint="--name")

    async def take(house: House, progress: Progress) -> Imported:
        kind = calendar_of(name)
        return await import_file(
            house.database, house.parts, kind, file, progress=progress, dry_run=dry_run
        )

    take_file("calendar", file, take, dry_run=dry_run)


@import_.command("assets")
@click.argument("file", type=TEXT)
@click.option("--programme", "code", default=None, help="Whose currency and classes hold.")
@DRY_RUN
def import_assets_(file: TextIO, code: str | None, *, dry_run: bool) -> None:
    """Import day-end balances.

    Columns: `customer,as_of,asset_class,currency,balance[,account][,source][,revision]`.

    Example: `benefits import assets 2025-06-30.csv`, or first with `--dry-run`
    """

    async def take(house: House, progress: Progress) -> Imported:
        kind = assets_of(chosen_programme(house, code))
        return await import_file(
            house.database, house.parts, kind, file, progress=progress, dry_run=dry_run
        )

    take_file("assets", file, take, dry_run=dry_run)


@import_.command("rates")
@click.argument("file", type=TEXT)
@DRY_RUN
def import_rates_(file: TextIO, *, dry_run: bool) -> None:
    """Import exchange rates of the currencies that programmes convert.

    Columns: `currency,date,rate,per[,revision]`: what `per` units are worth at the end of a date.

    Example: `benefits import rates 2025-06-30.csv`, or first with `--dry-run`
    """

    async def take(house: House, progress: Progress) -> Imported:
        since = house.parts.clock()
        done = await import_rates(
            house.database, house.parts, file, progress=progress, dry_run=dry_run
        )
        async with house.database.transaction() as conn:
            say_decided(await decided_since(conn, house.parts, since))
        return done

    take_file("rates", file, take, dry_run=dry_run)


@import_.command("grants")
@click.argument("file", type=click.File("rb"))
@click.option("--format", "written", type=click.Choice([f.value for f in Format]), default=None)
@click.option(
    "--refused", type=click.File("w", encoding="utf-8"), default=None, help="Where all go as CSV."
)
@click.option(
    "--outcomes",
    type=click.File("w", encoding="utf-8"),
    default=None,
    help="Where it goes as CSV what became of each row, with its lot.",
)
@DRY_RUN
def import_grants_(
    file: BinaryIO,
    written: str | None,
    *,
    refused: TextIO | None,
    outcomes: TextIO | None,
    dry_run: bool,
) -> None:
    """Reward members, each once per business key. The same command goes on where one was stopped.

    Columns: `benefit,business_key`, `member_id` or `customer`, and if wanted
    `quantity,valid_days,expires_on`. NDJSON has the same names.

    Example: `benefits import grants birthdays.csv --refused refused.csv`

    A dry run takes up to 1000 lines.
    """
    format_ = Format(written) if written else format_of(file.name)
    told = Told(refused, outcomes)
    with console.status("Reading …") as status:
        try:
            if dry_run:
                run(lambda house: rehearse_file(house, file, format_, told=told))
            else:
                run(lambda house: grant_file(house, file, format_, status=status, told=told))
        except KeyboardInterrupt:
            if not dry_run:
                console.print(STOPPED)
            sys.exit(130)


import_.add_command(import_feed_)
import_.add_command(import_codes_)
import_.add_command(import_whitelist_)
