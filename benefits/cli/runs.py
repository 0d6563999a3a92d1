"""The commands for what time brings: months, periods, looks ahead, ends of units."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, Self, TypeVar

import msgspec
import rich_click as click

from benefits.actions import start_period
from benefits.actions.evaluate import Evaluated, evaluate, slices
from benefits.actions.expire import due, sweep
from benefits.actions.keep_tiers import begin, go_on
from benefits.actions.look_ahead import Ahead, look_ahead
from benefits.actions.parts import Parts
from benefits.actions.see_feeds import list_missing
from benefits.actions.share import Part
from benefits.actions.start_period import Begun
from benefits.cli.buckets import EVERY, bucket_range
from benefits.cli.console import console
from benefits.cli.days import fill_stretches, say_no_day
from benefits.cli.files import PROGRESS_EVERY_S
from benefits.cli.house import DRY_RUN, chosen_programme, database, record, run, say_if_dry
from benefits.cli.months import month_of
from benefits.domain.feeds import spans
from benefits.domain.past import YEARS
from benefits.domain.programme import Programme
from benefits.domain.values import EPOCH, Month
from benefits.house import House
from benefits.store.db import Database, DatabaseUnsuitable
from benefits.store.migrate import ensure_partitions
from benefits.store.runs import Leased

PROGRAMME = click.option(
    "--programme", "code", default=None, help="The programme, when there are several."
)
NOW = click.option(
    "--now", default=None, help="Act as if it were this instant (demo and test only)."
)
SWEPT = "{:,} lots that ended, {:,} claims never sent, {:,} members who left."


@click.command("evaluate")
@click.option("--period", required=True, help="The month, like 2025-06.")
@PROGRAMME
@NOW
@DRY_RUN
def evaluate_(period: str, code: str | None, now: str | None, *, dry_run: bool) -> None:
    """Decide the tiers of a closed month and grant what they bring. A run again changes nothing.

    Example: `benefits evaluate --period 2025-06`, or first with `--dry-run`
    """
    month = month_of(period, "--period")

    async def work_(house: House) -> None:
        chosen = chosen_programme(house, code)
        await _say_missing(house, chosen, month)
        await say_no_day(house, chosen.code, month)
        await fill_stretches(house, dry_run=dry_run)
        on = database(house, dry_run=dry_run)
        total = await _through(on, Evaluated(), await _evaluating(on, house, chosen.code, month))
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

    _run_as_of(now, work_)


async def _evaluating(on: Database, house: House, code: str, month: Month) -> "_Step[Evaluated]":
    """Return what evaluates some buckets; a rehearsal takes no lease."""
    if on is house.database:
        return _shared(on, house.parts, await begin(on, house.parts, code, month), go_on)
    return lambda part: evaluate(on, house.parts, code, month, buckets=part)


@click.command("start-period")
@PROGRAMME
@NOW
@DRY_RUN
def start_period_(code: str | None, now: str | None, *, dry_run: bool) -> None:
    """Bring members the units of the periods that run, where lines start with them.

    `work` does so each day. It looks at all members at once, whatever was done before; a run again
    grants nothing.

    Example: `benefits start-period`, or first with `--dry-run`
    """

    async def work_(house: House) -> None:
        chosen = chosen_programme(house, code)
        on = database(house, dry_run=dry_run)
        leased = await start_period.begin(on, house.parts, chosen.code)
        step = _shared(on, house.parts, leased, start_period.go_on)
        if dry_run:  # a rehearsal keeps no lease
            step = partial(start_period.start, on, house.parts, leased)
        total = await _through(on, Begun(), step)
        if not dry_run:
            record("start_period.done", programme=chosen.code, **msgspec.structs.asdict(total))
        console.print(f"{leased.day}: {total.grants:,} grants to {total.members:,} members.")
        say_if_dry(dry_run=dry_run)

    _run_as_of(now, work_)


@click.command("look-ahead")
@PROGRAMME
@NOW
@DRY_RUN
def look_ahead_(code: str | None, now: str | None, *, dry_run: bool) -> None:
    """Look ahead in the running month: who may lose a tier, who is near one, who has reached it.

    Run it after each day's balances; for programmes that name feeds `work` does. A run again
    changes nothing.

    Example: `benefits look-ahead`, or first with `--dry-run`
    """

    async def work_(house: House) -> None:
        chosen = chosen_programme(house, code)
        await fill_stretches(house, dry_run=dry_run)
        on = database(house, dry_run=dry_run)
        total = await _through(
            on, Ahead(), lambda part: look_ahead(on, house.parts, chosen.code, buckets=part)
        )
        if not dry_run:
            record("look_ahead.done", programme=chosen.code, **msgspec.structs.asdict(total))
        console.print(
            f"{total.at_risk:,} at risk, {total.near:,} near a higher tier, {total.told:,} told "
            f"now; {total.risen:,} rose."
        )
        say_if_dry(dry_run=dry_run)

    _run_as_of(now, work_)


async def _say_missing(house: House, chosen: Programme, month: Month) -> None:
    """Say which days of which source are not sealed: nothing is decided against anybody (A-6)."""
    async with house.database.transaction() as conn:
        missing = await list_missing(conn, house.parts, month)
    for one in missing:
        if one.programme == chosen.code:
            days = spans(one.days)
            console.print(f"{one.source} is not sealed for these days of {month}: {days}.")


@click.command("expire")
@click.option("--buckets", default=EVERY, show_default=True, help="Buckets to sweep.")
@NOW
@DRY_RUN
def expire_(buckets: str, now: str | None, *, dry_run: bool) -> None:
    """Record units that ended unspent, claims never sent, and orders nobody answered.

    `work` does so all the time.

    Stop it at will and run it again, or several at once; each end is recorded once.

    Example: `benefits expire --buckets 0-511`, or first with `--dry-run`
    """
    within = bucket_range(buckets)

    async def work_(house: House) -> None:
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

    _run_as_of(now, work_)


class _Total(Protocol):
    """What was done of a run."""

    @property
    def members(self) -> int: ...

    def plus(self, other: Self, /) -> Self: ...


_Done = TypeVar("_Done", bound=_Total)
_Leased = TypeVar("_Leased", bound=Leased)
_Step = Callable[[tuple[int, int]], Awaitable[_Done]]


async def _through(on: Database, total: _Done, step: _Step[_Done]) -> _Done:
    """Take all members, some thousands at a time, and tell how far it is."""
    ranges = await slices(on)
    for done, buckets in enumerate(ranges, 1):
        total = total.plus(await step(buckets))
        if done % 16 == 0 or done == len(ranges):
            console.print(f"{done} of {len(ranges)}: {total.members:,} members")
    return total


def _shared(
    on: Database,
    parts: Parts,
    leased: _Leased,
    go_on: Callable[[Database, Parts, _Leased, int], Awaitable[Part[_Leased, _Done]]],
) -> _Step[_Done]:
    """Return what does the next buckets of a run that is ours."""

    async def step(buckets: tuple[int, int]) -> _Done:
        nonlocal leased
        part = await go_on(on, parts, leased, buckets[1] + 1)
        leased = part.leased
        return part.done

    return step


def _run_as_of(now: str | None, work: Callable[[House], Awaitable[None]]) -> None:
    """Run something in the house, as if it were another instant if one is named."""
    at = _instant(now) if now else None

    async def work_(house: House) -> None:
        if at is not None:
            if house.installation.is_production:
                raise DatabaseUnsuitable("--now is not for a production database.")
            await ensure_partitions(house.database, at)
        await work(house)

    run(work_, **({"clock": lambda: at} if at else {}))


def _instant(text: str) -> datetime:
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
        if EPOCH.year <= at.year < YEARS.stop:
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    raise click.BadParameter("write it like 2025-07-02T03:10:00Z", param_hint="--now")
