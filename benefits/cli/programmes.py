"""The commands for programmes: put one into force, see what it changes, tell members, presets."""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, TextIO

import rich_click as click

from benefits.actions.agree import Propose
from benefits.actions.apply_programme import Applied, apply_programme
from benefits.actions.give_notice import Given, Told, compare, give_notice
from benefits.actions.keys import NAME, NameInvalid
from benefits.actions.try_programme import Tried, try_programme
from benefits.cli.agreements import checked
from benefits.cli.console import console
from benefits.cli.days import say_unknown
from benefits.cli.files import DOCUMENT, whole
from benefits.cli.house import DRY_RUN, database, run, say_if_dry
from benefits.cli.instants import BEGINS, instant_of, local_text
from benefits.cli.months import month_of
from benefits.cli.proposals import TELLER
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read, write
from benefits.domain.proposals import ProgrammeWanted, Wanted
from benefits.domain.terms import Change, Channel
from benefits.domain.values import Month, member_id
from benefits.house import House
from benefits.store import versions
from benefits.store.db import Connection

_PACKAGE = Path(__file__).parent.parent
PRESETS = {p.stem: p for p in (_PACKAGE / "presets").glob("*.toml")}
EXAMPLES = {p.stem: p for p in (_PACKAGE / "examples").glob("*.toml")}


@click.group()
def programme() -> None:
    """Programmes: tiers, benefits, package lines, providers, budgets."""


@programme.command("apply")
@click.argument("file", type=DOCUMENT)
@click.option(
    "--tiers-from",
    "month",
    default=None,
    help="First month whose tiers it decides; by default the one it begins in, or a later one "
    "from which the version before it does.",
)
@BEGINS
@click.option("--propose", is_flag=True, help="Only propose it; always so in production.")
@click.option("--note", default="", help="Why it is proposed; no personal data.")
@click.option("--by", default="", help="Who proposes it: a-z, 0-9 and hyphens; for the books.")
@DRY_RUN
def programme_apply(
    file: TextIO,
    month: str | None,
    begins: str | None,
    *,
    propose: bool,
    note: str,
    by: str,
    dry_run: bool,
) -> None:
    """Put a programme FILE into force as its next version, or propose it to another person.

    Where real members live it is always proposed (`--note`, `--by`), and holds once another has
    approved it (`proposal approve`). Benefits, lines and budgets hold at once, or from `--from`
    on; months before `--tiers-from` keep their tiers' rule. What was to begin then or later is
    withdrawn. What is worse for members needs a notice that was given in time (`programme
    notice`).

    Example: `benefits programme apply wealth.toml --tiers-from 2026-01 --dry-run`, then without
    """
    text = whole(file)
    made, tiers_from = read(text), month_of(month, "--tiers-from") if month else None
    effective_from = instant_of(begins, "--from", made.tz) if begins else None

    async def work_(house: House) -> None:
        if propose or house.installation.is_production:
            if not (note and by):
                raise click.UsageError("A proposal needs --note and --by.")
            first = None if tiers_from is None else str(tiers_from)
            wish = {"document": text, "tiers_from": first}
            if effective_from is not None:
                wish["effective_from"] = effective_from.isoformat()
            asked = checked(wish, ProgrammeWanted)
            command = Propose[Wanted](caller=TELLER.named(by), wanted=asked, note=note)
            await TELLER.word(house, lambda desk: desk.put(command), "made", dry_run=dry_run)
            return

        async def apply(conn: Connection) -> Any:
            return await apply_programme(
                *(conn, made, house.parts), tiers_from=tiers_from, effective_from=effective_from
            )

        applied = await database(house, dry_run=dry_run).transact(apply)
        _say_applied(made, applied, effective_from)
        await say_unknown(house, made)
        say_if_dry(dry_run=dry_run)

    run(work_)


def _say_applied(made: Programme, applied: Applied, effective_from: datetime | None) -> None:
    """Say what became of a file, and what is withdrawn by it."""
    name = f"Version {applied.version} of {made.code}"
    if effective_from is None:
        console.print(
            f"{name} {'is now' if applied.is_new else 'was'} in force"
            f"{'' if applied.is_new else ' already'}."
        )
    else:
        holds = "is to hold" if applied.is_new else "was to hold already"
        console.print(f"{name} {holds} from {local_text(effective_from, made.tz)} on.")
    for number in applied.withdraws:
        console.print(f"Version {number}, which was to begin, is withdrawn.")


@programme.command("diff")
@click.argument("file", type=DOCUMENT)
@BEGINS
def programme_diff(file: TextIO, begins: str | None) -> None:
    """Say what a programme FILE changes in the version in force, and what of it is worse.

    With `--from` it is compared with what will hold then. Worse for members is fewer units, a
    higher bound, a shorter life, a stricter condition, and whatever cannot be compared.

    Example: `benefits programme diff wealth.toml`
    """
    made = read(whole(file))
    effective_from = instant_of(begins, "--from", made.tz) if begins else None

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            found = await compare(conn, house.parts, made, effective_from=effective_from)
        for told in found:
            console.print(f"{told.change}{_worse(told)}")
        worse = sum(told.change.is_worse for told in found)
        console.print(f"{len(found)} changes, {worse} of them worse for members.")

    run(work_)


@programme.command("notice")
@click.argument("file", type=DOCUMENT)
@click.option("--channel", required=True, type=click.Choice([one.value for one in Channel]))
@click.option("--given-on", required=True, help="The day on which members were told.")
@click.option("--text", required=True, type=DOCUMENT, help="What they read.")
@click.option("--by", required=True, help="Who records it: a-z, 0-9 and hyphens.")
@BEGINS
@DRY_RUN
def programme_notice(
    file: TextIO,
    begins: str | None,
    *,
    channel: str,
    given_on: str,
    text: TextIO,
    by: str,
    dry_run: bool,
) -> None:
    """Record that members were told what is worse for them in a programme FILE.

    Worse than what is in force, or will be when it begins (`--from`). With `notice_days` of that
    version it can then be applied.

    Example: `benefits programme notice wealth.toml --channel SMS --given-on 2026-01-05 --text
    sms.txt --by anna-li`
    """
    if not NAME.fullmatch(by):
        raise NameInvalid
    try:
        day = date.fromisoformat(given_on)
    except ValueError:
        raise click.BadParameter("write it like 2026-01-05", param_hint="--given-on") from None
    made = read(whole(file))
    effective_from = instant_of(begins, "--from", made.tz) if begins else None
    given = Given(channel=Channel(channel), given_on=day, text=whole(text).strip(), by=by)

    async def work_(house: House) -> None:
        async def give(conn: Connection) -> list[Change]:
            return await give_notice(
                *(conn, house.parts, made, given), effective_from=effective_from
            )

        found = await database(house, dry_run=dry_run).transact(give)
        for change in found:
            console.print(str(change))
        console.print(
            f"Members were told on {day} of {len(found)} changes that are worse for them."
        )
        say_if_dry(dry_run=dry_run)

    run(work_)


@programme.command("versions")
@click.argument("code")
def programme_versions(code: str) -> None:
    """List the versions of the programme CODE, the newest first, and who agreed on each.

    What is to come stands before the one in force.

    Example: `benefits programme versions wealth`
    """

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            found = await versions.of(conn, code, house.parts.clock())
            tz = (await house.parts.catalogue.current(conn)).programmes[code].tz
        for seen in found:
            one = seen.version
            span = f"from {local_text(one.effective_from, tz)}"
            if seen.ends_at is not None:
                span += f" to {local_text(seen.ends_at, tz)}"
            who = f"proposed by {one.proposed_by}, approved by {one.decided_by}"
            console.print(
                f"{one.version} {seen.state.value}: {span}, "
                f"tiers from {Month.of(one.tiers_from)}; "
                f"{who if one.proposal_id else 'by a command'}"
            )

    run(work_)


@programme.command("export")
@click.argument("code")
@click.option("--version", type=int, default=None, help="An older one; in force unless given.")
def programme_export(code: str, version: int | None) -> None:
    """Print a version of the programme CODE as a file, which `apply` reads as the very same one.

    Example: `benefits programme export wealth > wealth.toml`
    """

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            found = await versions.document(conn, house.parts.catalogue, code, version)
        click.echo(write(found), nl=False)

    run(work_)


@programme.command("try")
@click.argument("file", type=DOCUMENT)
@click.option("--customer", required=True, help="The bank's reference of one customer.")
@click.option("--at", "instant", help="As if it were this instant to come; now unless given.")
def programme_try(file: TextIO, customer: str, instant: str | None) -> None:
    """Say what a CUSTOMER would have under a programme FILE; nothing is written.

    Their tier by the last month, what it and their segments would bring now, and what becomes of a
    claim of each benefit. With `--at` the last month is that before the instant, and nothing
    happens until then.

    Example: `benefits programme try wealth.toml --customer C000001`
    """
    made = read(whole(file))
    at = instant_of(instant, "--at", made.tz) if instant else None

    async def work_(house: House) -> None:
        id_ = member_id(customer, house.parts.member_key)
        if at is not None and at < house.parts.clock():
            raise click.BadParameter("it is over", param_hint="--at")

        async def attempt(conn: Connection) -> Tried:
            return await try_programme(conn, house.parts, made, id_, at=at)

        tried = await database(house, dry_run=True).transact(attempt)
        before = "none" if tried.before is None else tried.before.tier
        console.print(f"tier by {tried.month}: {before} -> {tried.after.tier}")
        if tried.after.why:
            console.print(tried.after.why)
        for code, quantity in tried.granted:
            console.print(f"gets {quantity} {code}")
        for one in tried.claims:
            told = f"{one.refusal} ({one.why})" if one.refusal else "ok"
            console.print(f"claim of {one.benefit}: {told}")

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
    _print(PRESETS, name)


@programme.command("examples")
@click.argument("name", required=False, type=click.Choice(sorted(EXAMPLES)))
def programme_examples(name: str | None) -> None:
    """List whole programmes to begin with, or print the file of one by its NAME.

    Tiers, segments, benefits, rules, limits and budgets; put in your own providers.

    Example: `benefits programme examples rural_wealth > wealth.toml`
    """
    _print(EXAMPLES, name)


def _print(files: Mapping[str, Path], name: str | None) -> None:
    """Print a file, or each file's name with its first line."""
    if name is not None:
        click.echo(files[name].read_text(encoding="utf-8"), nl=False)
        return
    for known, path in sorted(files.items()):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        click.echo(f"{known}: {first.removeprefix('# ')}")
