"""The commands for programmes: put one into force, see what it changes, tell members, presets."""

from datetime import date
from pathlib import Path
from typing import Any, TextIO

import rich_click as click

from benefits.actions.apply_programme import apply_programme, check_month
from benefits.actions.give_notice import Given, Told, compare, give_notice
from benefits.actions.keys import NAME, NameInvalid
from benefits.cli.console import console
from benefits.cli.days import say_unknown
from benefits.cli.house import DRY_RUN, database, run, say_if_dry
from benefits.cli.months import month_of
from benefits.domain.production import check_for_production
from benefits.domain.programme_file import read
from benefits.domain.terms import Change, Channel
from benefits.house import House
from benefits.store.db import Connection

PRESETS = {p.stem: p for p in (Path(__file__).parent.parent / "presets").glob("*.toml")}


@click.group()
def programme() -> None:
    """Programmes: tiers, benefits, package lines, providers, budgets."""


@programme.command("apply")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option(
    "--tiers-from",
    "month",
    default=None,
    help="First month whose tiers it decides; the running one unless given.",
)
@DRY_RUN
def programme_apply(file: TextIO, month: str | None, *, dry_run: bool) -> None:
    """Put a programme FILE into force as its next version.

    Benefits, lines and budgets hold at once; months before `--tiers-from` keep their tiers' rule.
    What is worse for members needs a notice that was given in time (`programme notice`).

    Example: `benefits programme apply wealth.toml --tiers-from 2026-01 --dry-run`, then without
    """
    made, tiers_from = read(file.read()), month_of(month, "--tiers-from") if month else None

    async def work_(house: House) -> None:
        if house.installation.is_production:
            check_for_production(made)
            if tiers_from is not None:
                check_month(made, tiers_from, house.parts.clock())

        async def apply(conn: Connection) -> Any:
            return await apply_programme(conn, made, house.parts, tiers_from=tiers_from)

        applied = await database(house, dry_run=dry_run).transact(apply)
        how = "is now in force" if applied.is_new else "was in force already"
        console.print(f"Version {applied.version} of {made.code} {how}.")
        await say_unknown(house, made)
        say_if_dry(dry_run=dry_run)

    run(work_)


@programme.command("diff")
@click.argument("file", type=click.File(encoding="utf-8"))
def programme_diff(file: TextIO) -> None:
    """Say what a programme FILE changes in the version in force, and what of it is worse.

    Worse for members is fewer units, a higher bound, a shorter life, a stricter condition, and
    whatever cannot be compared.

    Example: `benefits programme diff wealth.toml`
    """
    made = read(file.read())

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            found = await compare(conn, house.parts, made)
        for told in found:
            console.print(f"{told.change}{_worse(told)}")
        worse = sum(told.change.is_worse for told in found)
        console.print(f"{len(found)} changes, {worse} of them worse for members.")

    run(work_)


@programme.command("notice")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--channel", required=True, type=click.Choice([one.value for one in Channel]))
@click.option("--given-on", required=True, help="The day on which members were told.")
@click.option("--text", required=True, type=click.File(encoding="utf-8"), help="What they read.")
@click.option("--by", required=True, help="Who records it: a-z, 0-9 and hyphens.")
@DRY_RUN
def programme_notice(
    file: TextIO, *, channel: str, given_on: str, text: TextIO, by: str, dry_run: bool
) -> None:
    """Record that members were told what is worse for them in a programme FILE.

    With `notice_days` of the version in force it can then be applied.

    Example: `benefits programme notice wealth.toml --channel SMS --given-on 2026-01-05 --text
    sms.txt --by anna-li`
    """
    if not NAME.fullmatch(by):
        raise NameInvalid
    try:
        day = date.fromisoformat(given_on)
    except ValueError:
        raise click.BadParameter("write it like 2026-01-05", param_hint="--given-on") from None
    made = read(file.read())
    given = Given(channel=Channel(channel), given_on=day, text=text.read().strip(), by=by)

    async def work_(house: House) -> None:
        async def give(conn: Connection) -> list[Change]:
            return await give_notice(conn, house.parts, made, given)

        found = await database(house, dry_run=dry_run).transact(give)
        for change in found:
            console.print(str(change))
        console.print(
            f"Members were told on {day} of {len(found)} changes that are worse for them."
        )
        say_if_dry(dry_run=dry_run)

    run(work_)


def _worse(told: Told) -> str:
    """Say whether a change is worse for members, and since when they know."""
    if not told.change.is_worse:
        return ""
    return f" (worse; told on {told.on})" if told.on else " (worse; not told)"


@programme.command("presets")
@click.argument("name", required=False, type=click.Choice(sorted(PRESETS)))
def programme_presets(name: str | None) -> None:
    """List tiers as some banks publish them, or print the file of one by its NAME.

    Example: `benefits programme presets bohai > wealth.toml`, then fill in benefits and lines
    """
    if name is not None:
        click.echo(PRESETS[name].read_text(encoding="utf-8"), nl=False)
        return
    for known, path in sorted(PRESETS.items()):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        click.echo(f"{known}: {first.removeprefix('# ')}")
