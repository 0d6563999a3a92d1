"""The commands for codes that were bought in advance: take them in, and see what is left (V-1)."""

import csv
import re
import sys
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TextIO

import rich_click as click

from benefits.actions.import_codes import Sent, import_codes
from benefits.actions.import_files import Imported, Progress
from benefits.actions.see_stock import UnknownStock, see_stock
from benefits.cli.files import TEXT, take_file
from benefits.cli.house import DRY_RUN, run
from benefits.domain.code_lines import NAME
from benefits.house import House

DAY = click.DateTime(["%Y-%m-%d"])
COLUMNS = (
    *("sku", "batch", "cost_minor", "cost_centre", "imported_at", "codes", "free", "issued"),
    *("shown", "expired", "next_end"),
)


@click.command("codes")
@click.argument("provider")
@click.argument("sku")
@click.argument("file", type=TEXT)
@click.option("--expires", type=DAY, default=None, help="The last day of codes without their own.")
@click.option("--batch", default=None, help="What was bought together; the file's name if not.")
@click.option("--cost", default=None, help="What a code cost, as 12.50.")
@click.option("--cost-centre", default="", help="Who bears it.")
@DRY_RUN
def import_codes_(
    provider: str,
    sku: str,
    file: TextIO,
    *,
    expires: datetime | None,
    batch: str | None,
    cost: str | None,
    cost_centre: str,
    dry_run: bool,
) -> None:
    """Import codes into a provider's stock: `code[,pin][,expires_on]`.

    Each code is there once, whatever its batch; they are kept sealed. The same file again goes on
    where it was stopped, and changes nothing once it is done.

    Example: `benefits import codes coffee LATTE codes.csv --expires 2026-12-31 --cost 12.50`
    """
    name = batch or Path(file.name).stem
    if not re.fullmatch(NAME, name):
        raise click.BadParameter(
            "use 1 to 64 letters, digits, or any of _ . -", param_hint="batch"
        )
    sent = Sent(
        provider=provider,
        sku=sku,
        batch=name,
        expires_on=expires.date() if expires else None,
        cost=_amount(cost),
        cost_centre=cost_centre,
    )

    async def take(house: House, progress: Progress) -> Imported:
        return await import_codes(
            house.database, house.parts, sent, file, progress=progress, dry_run=dry_run
        )

    take_file("codes", file, take, dry_run=dry_run)


def _amount(cost: str | None) -> Decimal | None:
    try:
        amount = None if cost is None else Decimal(cost)
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount is not None and not (amount.is_finite() and amount >= 0):
        raise click.BadParameter("use an amount, as 12.50", param_hint="--cost")
    return amount


@click.command("codes")
@click.argument("provider")
def codes(provider: str) -> None:
    """Print as CSV what became of a PROVIDER's codes, batch by batch.

    `issued` codes have a claim, `shown` ones were looked at, `expired` ended without a claim.

    Example: `benefits codes coffee`
    """

    async def show(house: House) -> None:
        async with house.database.transaction() as conn:
            found = await see_stock(conn, provider, house.parts)
        if found is None:
            raise UnknownStock
        out = csv.writer(sys.stdout, lineterminator="\n")
        out.writerow(COLUMNS)
        for one in found.batches:
            out.writerow([getattr(one, column) for column in COLUMNS])

    run(show)
