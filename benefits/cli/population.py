"""The command that counts and lists whom a rule lets in."""

from typing import TextIO

import rich_click as click

from benefits.actions.evaluate import slices
from benefits.actions.see_population import asked_of, tried
from benefits.cli.console import console
from benefits.cli.files import DOCUMENT, whole
from benefits.cli.house import run
from benefits.domain.eligibility import read_rule
from benefits.domain.fields import Channel
from benefits.house import House
from benefits.store import eligibility
from benefits.store.db import Connection

PAGE = 10_000


@click.command("population")
@click.argument("file", type=DOCUMENT, required=False)
@click.option("--benefit", default="", help="By whose rule; instead of a FILE.")
@click.option(
    "--channel",
    type=click.Choice([each.value for each in Channel]),
    help="By which a claim would come; else it is not known.",
)
@click.option("--members", "is_list", is_flag=True, help="Print their ids, one a line.")
def population(file: TextIO | None, *, benefit: str, channel: str | None, is_list: bool) -> None:
    """Count the members whom a rule lets in today, or list them.

    FILE is a rule to be tried: `eligible = { age = { at_least = 60 } }`, and `programme = "…"`
    where there are several. It may ask for whatever a line or a benefit may ask for.

    Example: `benefits population silver.toml`, or `benefits population --benefit LOUNGE --members`
    """
    if (file is None) == (not benefit):
        raise click.UsageError("Name a FILE or a --benefit.")
    rule = read_rule(whole(file)) if file else None
    by = Channel(channel) if channel else None

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            asked = (
                await tried(conn, house.parts, rule, by)
                if rule
                else await asked_of(conn, house.parts, benefit, by)
            )
        total = 0
        for buckets in await slices(house.database):
            async with house.database.transaction() as conn:
                if is_list:
                    await _print(conn, asked, buckets)
                else:
                    total += await eligibility.count(conn, asked, buckets)
        if not is_list:
            console.print(f"{total:,} members on {asked.today}")

    run(work_)


async def _print(conn: Connection, asked: eligibility.Asked, buckets: tuple[int, int]) -> None:
    """Print the members of a range of buckets, page by page."""
    after = None
    while found := await eligibility.page(conn, asked, buckets, after=after, limit=PAGE):
        click.echo("\n".join(map(str, found)))
        after = found[-1]
