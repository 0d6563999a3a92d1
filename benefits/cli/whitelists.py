"""The command for whitelists: a file of customers is the whole list from a day on (P-2, S-1)."""

import io
import re
from datetime import date, datetime
from typing import BinaryIO

import rich_click as click

from benefits.actions.import_files import Imported, Progress
from benefits.actions.record_whitelist import Sent, import_whitelist
from benefits.cli.files import take_file
from benefits.cli.house import DRY_RUN
from benefits.domain.whitelists import NAME
from benefits.house import House

DAY = click.DateTime(["%Y-%m-%d"])


@click.command("whitelist")
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@click.option("--from", "from_", type=DAY, default=None, help="Its first day; today unless said.")
@click.option("--until", "to", type=DAY, default=None, help="The first day without it.")
@DRY_RUN
def import_whitelist_(
    name: str, file: BinaryIO, from_: datetime | None, to: datetime | None, *, dry_run: bool
) -> None:
    """Import a whole whitelist: `customer`, one a line. It replaces the one before it.

    Whoever is on it carries the label NAME of layer LIST, by which lines, rules, limits and tiers
    ask; whoever is not on it any more leaves. It counts once all of it is there: the same command
    goes on where one was stopped, and changes nothing once it is done.

    Example: `benefits import whitelist founders founders.csv --from 2025-07-01 --dry-run`
    """
    if not re.fullmatch(NAME, name):
        raise click.BadParameter("use 1 to 64 letters, digits, or any of _ . -", param_hint="NAME")
    sent = Sent(name=name, file=file, from_=_day(from_), to=_day(to))

    async def take(house: House, progress: Progress) -> Imported:
        return await import_whitelist(
            house.database, house.parts, sent, progress=progress, dry_run=dry_run
        )

    with io.TextIOWrapper(file) as text:
        take_file("whitelist", text, take, dry_run=dry_run)


def _day(given: datetime | None) -> date | None:
    return given.date() if given else None
