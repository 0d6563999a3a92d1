"""The commands for what the bank brings: customers, balances, closed months."""

import re
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import BinaryIO, TextIO

import msgspec
import rich_click as click

from benefits.actions import start_period
from benefits.actions.evaluate import Evaluated, UnknownProgramme, evaluate, slices
from benefits.actions.expire import due, sweep
from benefits.actions.import_files import (
    Imported,
    Progress,
    import_assets,
    import_calendar,
    import_consents,
    import_holders,
    import_labels,
    import_members,
    import_merges,
    import_rates,
)
from benefits.actions.keep_tiers import begin, go_on
from benefits.actions.look_ahead import Ahead, look_ahead
from benefits.actions.record_rates import decided_since
from benefits.actions.see_feeds import list_missing
from benefits.actions.start_period import Begun
from benefits.cli.buckets import EVERY, bucket_range
from benefits.cli.console import console
from benefits.cli.days import fill_stretches, say_no_day
from benefits.cli.feeds import import_feed_, say_decided
from benefits.cli.files import PROGRESS_EVERY_S, TEXT, take_file
from benefits.cli.grants import STOPPED, Told, format_of, grant_file, rehearse_file
from benefits.cli.house import DRY_RUN, database, record, run, say_if_dry
from benefits.cli.months import month_of
from benefits.domain.feeds import spans
from benefits.domain.jobs import Format
from benefits.domain.past import YEARS
from benefits.domain.policy import CALENDAR
from benefits.domain.programme import Programme
from benefits.domain.values import EPOCH, Month
from benefits.house import House
from benefits.store.db import Database, DatabaseUnsuitable
from benefits.store.migrate import ensure_partitions

SWEPT = "{:,} lots that ended, {:,} claims never sent, {:,} members who left."


@click.group("import")
def import_() -> None:
    """Import files of the bank; a bad line is named and does not stop the rest."""


@import_.command("members")
@click.argument("file", type=TEXT)
@DRY_RUN
def import_members_(file: TextIO, *, dry_run: bool) -> None:
    """Import customers: `customer,opened_on[,closed_on][,branch][,manager][,labels][,deceased]`.

    `closed_on` is the last day of a relationship; with `deceased` `yes` the member died on it.
    What rules ask of the person: `[,born_on][,city][,staff][,person]`; `staff` is `yes` or `no`,
    `person` an identity document's number, of which a keyed hash is kept. Empty: not known.

    Example: `benefits import members customers.csv --dry-run`, then without
    """

    async def take(house: House, progress: Progress) -> Imported:
        return await import_members(
            house.database,
            house.parts,
            file,
            member_key=house.settings.keys.member_key,
            progress=progress,
            dry_run=dry_run,
        )

    take_file("members", file, take, dry_run=dry_run)


@import_.command("labels")
@click.argument("file", type=TEXT)
@DRY_RUN
def import_labels_(file: TextIO, *, dry_run: bool) -> None:
    """Import labels: `customer,label,layer,valid_from[,valid_to][,version]`.

    Layers are FACT, RULE and MODEL; `valid_to` is the first day without the label. A tier is
    decided by the labels that are valid on a month's last day.

    Example: `benefits import labels payroll.csv --dry-run`, then without
    """

    async def take(house: House, progress: Progress) -> Imported:
        return await import_labels(
            house.database,
            house.parts,
            file,
            member_key=house.settings.keys.member_key,
            progress=progress,
            dry_run=dry_run,
        )

    take_file("labels", file, take, dry_run=dry_run)


@import_.command("consents")
@click.argument("file", type=TEXT)
@DRY_RUN
def import_consents_(file: TextIO, *, dry_run: bool) -> None:
    """Import what members agreed to: `customer,purpose,provider,said_on,given`.

    `given` is `yes`, or `no` where it was withdrawn. The latest day counts.

    Example: `benefits import consents consents.csv --dry-run`, then without
    """

    async def take(house: House, progress: Progress) -> Imported:
        return await import_consents(
            house.database,
            house.parts,
            file,
            member_key=house.settings.keys.member_key,
            progress=progress,
            dry_run=dry_run,
        )

    take_file("consents", file, take, dry_run=dry_run)


@import_.command("merges")
@click.argument("file", type=TEXT)
@DRY_RUN
def import_merges_(file: TextIO, *, dry_run: bool) -> None:
    """Import customers who are one person: `customer,into`.

    All that `customer` has is `into`'s from then on, which is not taken back. A line again changes
    nothing.

    Example: `benefits import merges merges.csv --dry-run`, then without
    """

    async def take(house: House, progress: Progress) -> Imported:
        return await import_merges(
            house.database,
            house.parts,
            file,
            member_key=house.settings.keys.member_key,
            progress=progress,
            dry_run=dry_run,
        )

    take_file("merges", file, take, dry_run=dry_run)


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
        return await import_calendar(
            house.database, house.parts, file, name, progress=progress, dry_run=dry_run
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
        return await import_assets(
            house.database,
            house.parts,
            file,
            await _programme(house, code),
            member_key=house.settings.keys.member_key,
            progress=progress,
            dry_run=dry_run,
        )

    take_file("assets", file, take, dry_run=dry_run)


@import_.command("holders")
@click.argument("file", type=TEXT)
@DRY_RUN
def import_holders_(file: TextIO, *, dry_run: bool) -> None:
    """Import holders of joint accounts: `account,customer,role,valid_from[,valid_to]`.

    Roles are PRIMARY and JOINT; `valid_to` is the first day on which the account is not theirs.

    Example: `benefits import holders holders.csv --dry-run`, then without
    """

    async def take(house: House, progress: Progress) -> Imported:
        return await import_holders(
            house.database,
            house.parts,
            file,
            member_key=house.settings.keys.member_key,
            progress=progress,
            dry_run=dry_run,
        )

    take_file("holders", file, take, dry_run=dry_run)


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


async def _programme(house: House, code: str | None) -> Programme:
    """Return the programme of a code, or the only one."""
    known = house.parts.catalogue.latest.programmes
    if code is None and len(known) == 1:
        return next(iter(known.values()))
    if code not in known:
        raise UnknownProgramme(f"Programmes are: {', '.join(sorted(known)) or 'none yet'}.")
    return known[code]


@click.command("evaluate")
@click.option("--period", required=True, help="The month, like 2025-06.")
@click.option("--programme", "code", default=None, help="The programme, when there are several.")
@click.option("--now", default=None, help="Act as if it were this instant (demo and test only).")
@DRY_RUN
def evaluate_(period: str, code: str | None, now: str | None, *, dry_run: bool) -> None:
    """Decide the tiers of a closed month and grant what they bring. A run again changes nothing.

    Example: `benefits evaluate --period 2025-06`, or first with `--dry-run`
    """
    month = month_of(period, "--period")
    at = _instant(now) if now else None

    async def work_(house: House) -> None:
        if at is not None and house.installation.is_production:
            raise DatabaseUnsuitable("--now is not for a production database.")
        chosen = await _programme(house, code)
        if at is not None:
            await ensure_partitions(house.database, at)
        await _say_missing(house, chosen, month)
        await say_no_day(house, chosen.code, month)
        await fill_stretches(house, dry_run=dry_run)
        total = await _evaluate(house, database(house, dry_run=dry_run), chosen, month)
        if not dry_run:
            record(
                "evaluate.done",
                programme=chosen.code,
                month=str(month),
                members=total.members,
                decisions=total.decisions,
                grants=total.grants,
            )
        names = [f"{t.code} {total.ranks.get(n, 0):,}" for n, t in enumerate(chosen.tier)]
        console.print(
            f"{month}: {total.decisions:,} decisions, {total.grants:,} grants; {', '.join(names)}."
        )
        say_if_dry(dry_run=dry_run)

    run(work_, **({"clock": lambda: at} if at else {}))


@click.command("start-period")
@click.option("--programme", "code", default=None, help="The programme, when there are several.")
@click.option("--now", default=None, help="Act as if it were this instant (demo and test only).")
@DRY_RUN
def start_period_(code: str | None, now: str | None, *, dry_run: bool) -> None:
    """Bring members the units of the periods that run, where lines start with them.

    `work` does so each day. It looks at all members at once, whatever was done before; a run again
    grants nothing.

    Example: `benefits start-period`, or first with `--dry-run`
    """
    at = _instant(now) if now else None

    async def work_(house: House) -> None:
        if at is not None and house.installation.is_production:
            raise DatabaseUnsuitable("--now is not for a production database.")
        chosen = await _programme(house, code)
        if at is not None:
            await ensure_partitions(house.database, at)
        on, total = database(house, dry_run=dry_run), Begun()
        leased, ranges = await start_period.begin(on, house.parts, chosen.code), await slices(on)
        for done, buckets in enumerate(ranges, 1):
            if dry_run:  # a rehearsal keeps no lease
                one = await start_period.start(on, house.parts, leased, buckets=buckets)
            else:
                started = await start_period.go_on(on, house.parts, leased, buckets[1] + 1)
                leased, one = started.leased, started.done
            total = total.plus(one)
            if done % 16 == 0 or done == len(ranges):
                console.print(f"{done} of {len(ranges)}: {total.members:,} members")
        if not dry_run:
            record("start_period.done", programme=chosen.code, **msgspec.structs.asdict(total))
        console.print(f"{leased.day}: {total.grants:,} grants to {total.members:,} members.")
        say_if_dry(dry_run=dry_run)

    run(work_, **({"clock": lambda: at} if at else {}))


@click.command("look-ahead")
@click.option("--programme", "code", default=None, help="The programme, when there are several.")
@click.option("--now", default=None, help="Act as if it were this instant (demo and test only).")
@DRY_RUN
def look_ahead_(code: str | None, now: str | None, *, dry_run: bool) -> None:
    """Look ahead in the running month: who may lose a tier, who is near one, who has reached it.

    Run it after each day's balances; for programmes that name feeds `work` does. A run again
    changes nothing.

    Example: `benefits look-ahead`, or first with `--dry-run`
    """
    at = _instant(now) if now else None

    async def work_(house: House) -> None:
        if at is not None and house.installation.is_production:
            raise DatabaseUnsuitable("--now is not for a production database.")
        chosen = await _programme(house, code)
        if at is not None:
            await ensure_partitions(house.database, at)
        await fill_stretches(house, dry_run=dry_run)
        on, total = database(house, dry_run=dry_run), Ahead()
        ranges = await slices(on)
        for done, buckets in enumerate(ranges, 1):
            total = total.plus(await look_ahead(on, house.parts, chosen.code, buckets=buckets))
            if done % 16 == 0 or done == len(ranges):
                console.print(f"{done} of {len(ranges)}: {total.members:,} members")
        if not dry_run:
            record("look_ahead.done", programme=chosen.code, **msgspec.structs.asdict(total))
        console.print(
            f"{total.at_risk:,} at risk, {total.near:,} near a higher tier, {total.told:,} told "
            f"now; {total.risen:,} rose."
        )
        say_if_dry(dry_run=dry_run)

    run(work_, **({"clock": lambda: at} if at else {}))


async def _say_missing(house: House, chosen: Programme, month: Month) -> None:
    """Say which days of which source are not sealed: nothing is decided against anybody (A-6)."""
    async with house.database.transaction() as conn:
        missing = await list_missing(conn, house.parts, month)
    for one in missing:
        if one.programme == chosen.code:
            days = spans(one.days)
            console.print(f"{one.source} is not sealed for these days of {month}: {days}.")


async def _evaluate(house: House, on: Database, chosen: Programme, month: Month) -> Evaluated:
    """Evaluate all members, some thousands at a time, and tell how far it is.

    A rehearsal takes no lease.
    """
    total = Evaluated()
    ranges = await slices(on)
    leased = None
    if on is house.database:
        leased = await begin(on, house.parts, chosen.code, month)
    for done, buckets in enumerate(ranges, 1):
        if leased is None:
            one = await evaluate(on, house.parts, chosen.code, month, buckets=buckets)
        else:
            leased, one = await go_on(on, house.parts, leased, buckets[1] + 1)
        total = total.plus(one)
        if done % 16 == 0 or done == len(ranges):
            console.print(f"{done} of {len(ranges)}: {total.members:,} members")
    return total


@click.command("expire")
@click.option("--buckets", default=EVERY, show_default=True, help="Buckets to sweep.")
@click.option("--now", default=None, help="Act as if it were this instant (demo and test only).")
@DRY_RUN
def expire_(buckets: str, now: str | None, *, dry_run: bool) -> None:
    """Record units that ended unspent and claims never sent. `work` does so all the time.

    Stop it at will and run it again, or several at once; each end is recorded once.

    Example: `benefits expire --buckets 0-511`, or first with `--dry-run`
    """
    within, at = bucket_range(buckets), _instant(now) if now else None

    async def work_(house: House) -> None:
        if at is not None and house.installation.is_production:
            raise DatabaseUnsuitable("--now is not for a production database.")
        if at is not None:
            await ensure_partitions(house.database, at)
        shown = begun = time.monotonic()
        if dry_run:
            swept = await due(house.database, house.parts, buckets=within)
            console.print(SWEPT.format(swept.lots, swept.claims, swept.members))
            say_if_dry(dry_run=True)
            return
        async for swept in sweep(house.database, house.parts, buckets=within):
            if time.monotonic() - shown > PROGRESS_EVERY_S:
                shown = time.monotonic()
                rate = swept.lots / (shown - begun)
                console.print(f"{swept.lots:,} of {swept.ended:,} lots; {rate:,.0f} lots/s")
        record("expire.done", lots=swept.lots, claims=swept.claims, ends=swept.members)
        console.print(SWEPT.format(swept.lots, swept.claims, swept.members))

    run(work_, **({"clock": lambda: at} if at else {}))


def _instant(text: str) -> datetime:
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
        if EPOCH.year <= at.year < YEARS.stop:
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    raise click.BadParameter("write it like 2025-07-02T03:10:00Z", param_hint="--now")
