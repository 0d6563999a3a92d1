"""The command about callbacks that came to nothing: they are read again after a fix (V-4)."""

import csv
import sys

import rich_click as click

from benefits.actions.pause_provider import UnknownProvider
from benefits.actions.reread import Again, Reread, reread_all
from benefits.app import Providers, allowed_networks
from benefits.cli.agreements import BY
from benefits.cli.console import console
from benefits.cli.house import DRY_RUN, database, record, run, say_if_dry
from benefits.cli.operating import instant, named
from benefits.domain.callbacks import SETTLED
from benefits.house import House
from benefits.providers.client import Client


@click.group("callbacks")
def callbacks() -> None:
    """Callbacks of providers: read those again that came to nothing, after a fix.

    Example: `benefits callbacks reread sandbox --by anna-li --dry-run`
    """


@callbacks.command("reread")
@click.argument("provider")
@click.option(
    "--since", default=None, help="An instant with its offset: only those that came then."
)
@BY
@DRY_RUN
def reread(provider: str, *, since: str | None, by: str, dry_run: bool) -> None:
    """Read the callbacks of PROVIDER again that came to nothing, and apply what they say now.

    Prints each as CSV. What was stopped is begun again: what is settled is not read twice.

    Example: `benefits callbacks reread sandbox --since 2026-01-05T06:00+08:00 --by anna-li`
    """
    caller, from_ = named(by), instant(since, "--since")

    async def work_(house: House) -> None:
        async with Client(allowed_networks(house)) as client:
            known = Providers(house, client).get(provider)
        if known is None:
            raise UnknownProvider
        command = Reread(
            caller=caller, provider=provider, understand=known.understand, since=from_
        )
        read = settled = 0
        out = csv.writer(sys.stdout, lineterminator="\n")
        out.writerow(("received_at", "event_id", "number", "was", "now"))
        async for page in reread_all(database(house, dry_run=dry_run), command, house.parts):
            for one in page:
                out.writerow(_line(one))
                read, settled = read + 1, settled + (one.now in SETTLED)
        console.print(f"{read:,} callbacks were read again, {settled:,} of them are settled.")
        say_if_dry(dry_run=dry_run)
        if not dry_run:
            figures = {"read": read, "settled": settled}
            record("callbacks.reread", provider=provider, **figures, by=caller)

    run(work_)


def _line(one: Again) -> tuple[str, ...]:
    was = one.was.value if one.was else "-"
    now = one.now.value if one.now else "waits for its member"
    return one.received_at.isoformat(), one.event_id, one.number, was, now
