"""The commands for finance: close a month of the books, print reports as CSV."""

from decimal import Decimal, InvalidOperation

import msgspec
import rich_click as click

from benefits.actions import close_month as closing
from benefits.actions import report
from benefits.actions.keys import NAME, NameInvalid
from benefits.actions.report import Report, bounds_of
from benefits.cli.console import console
from benefits.cli.house import DRY_RUN, read_books, record, run, say_if_dry
from benefits.cli.months import month_of
from benefits.domain import reports
from benefits.domain.reports import By
from benefits.domain.values import Month
from benefits.house import House

ACTOR = "system:close-month"
COSTS = "costs"
KINDS: dict[str, type[msgspec.Struct]] = {
    "totals": reports.TotalLine,
    "liability": reports.LiabilityLine,
    "vintages": reports.VintageLine,
}


@click.command("close-month")
@click.argument("month")
@click.option("--by", required=True, help="Who closes it: a-z, 0-9 and hyphens; for the books.")
@DRY_RUN
def close_month(month: str, *, by: str, dry_run: bool) -> None:
    """Close a MONTH of the books: what is recorded later is booked in the next one.

    Example: `benefits close-month 2025-06 --by anna-li`, or first with `--dry-run`
    """
    if not NAME.fullmatch(by):
        raise NameInvalid
    try:
        wanted = Month.parse(month)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="MONTH") from None

    async def work_(house: House) -> None:
        close = closing.rehearse_month if dry_run else closing.close_month
        done = await close(house.database, house.parts, wanted, actor=f"{ACTOR}:{by}")
        totals = len(done.closed.totals)
        if not dry_run:
            record("month.closed", month=str(wanted), new=done.is_new, totals=totals)
        before = f"was closed at {done.closed.closed_at:%F %T} UTC by {done.closed.actor}"
        how = "is closed" if done.is_new else before
        console.print(f"{wanted} {how}: {totals} totals.")
        say_if_dry(dry_run=dry_run)

    run(work_)


@click.command("report")
@click.argument("kind", type=click.Choice(sorted([*KINDS, COSTS])))
@click.option("--as-of", default=None, help="When: a day (its end) or an instant; now if absent.")
@click.option("--known-at", default=None, help="As it was known then; as known now if absent.")
@click.option(
    "--by",
    type=click.Choice([one.value for one in By]),
    default=By.BENEFIT.value,
    show_default=True,
    help="What totals and liability are added up by.",
)
@click.option("--expected-use", default=None, help="Vintages: the share that will be used.")
@click.option("--month", default=None, help="Costs: the month of the books, as 2025-06.")
def report_(
    kind: str,
    *,
    as_of: str | None,
    known_at: str | None,
    by: str,
    expected_use: str | None,
    month: str | None,
) -> None:
    """Print totals, liability or vintages of the whole ledger as CSV, or a month's costs.

    Example: `benefits report liability --as-of 2025-06-30 > liability.csv`
    """
    use, wanted = _share(expected_use), month_of(month, "--month") if month else None
    if (kind == COSTS) != (wanted is not None):
        raise click.UsageError("Costs are of a --month; the other reports are not.")

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            if wanted is not None:
                spent = await report.costs(conn, house.parts, wanted)
                click.echo("".join(report.costs_csv(spent)), nl=False)
                return
            bounds = await bounds_of(conn, house.parts, as_of, known_at)
            found: Report[msgspec.Struct]
            match kind:
                case "totals":
                    found = await report.totals(conn, house.parts, bounds, By(by))
                case "liability":
                    found = await report.liability(conn, house.parts, bounds, By(by))
                case _:
                    found = await report.vintages(conn, house.parts, bounds, use)
        for chunk in report.csv_of(KINDS[kind], found):
            click.echo(chunk, nl=False)

    read_books(work_)


def _share(text: str | None) -> Decimal | None:
    try:
        share = None if text is None else Decimal(text)
    except InvalidOperation:
        share = Decimal("NaN")
    if share is not None and not (share.is_finite() and 0 <= share <= 1):
        raise click.BadParameter("a share from 0 to 1", param_hint="--expected-use")
    return share
