"""The commands for growth: freeze a baseline, list them, print by how much members grew (M-12)."""

import itertools

import msgspec
import rich_click as click

from benefits.actions.evaluate import slices
from benefits.actions.keys import NAME, NameInvalid
from benefits.actions.measure_growth import Frozen, GrownMember, Wanted, freeze, measure_growth
from benefits.cli.console import console
from benefits.cli.days import fill_stretches
from benefits.cli.house import DRY_RUN, database, record, run, say_if_dry
from benefits.cli.months import month_of
from benefits.domain.growth import read_steps
from benefits.domain.reports import csv_text
from benefits.domain.values import Month
from benefits.house import House
from benefits.store import baselines
from benefits.store.baselines import Baseline


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A member's growth as the CSV has it: averages in minor units, floored, and known days.

    `reached` counts the steps that are certain, `possible` those that missing days do not exclude.
    Where people filled in days it is `provisional`.
    """

    member_id: str
    base_month: str
    base_minor: int
    base_frozen: bool
    month: str
    average_minor: int
    known_days: int
    days: int
    growth_minor: int
    reached: int
    possible: int
    provisional: bool


@click.group()
def baseline() -> None:
    """Baselines: what members' averages were in a month, frozen before a campaign."""


@baseline.command("freeze")
@click.argument("name")
@click.option("--month", required=True, help="Whose averages, like 2025-05; it must be over.")
@click.option("--programme", required=True, help="The programme, by whose metric.")
@click.option("--by", required=True, help="Who freezes it: a-z, 0-9 and hyphens.")
@DRY_RUN
def freeze_(name: str, *, month: str, programme: str, by: str, dry_run: bool) -> None:
    """Freeze what each member's average is, under a NAME, for good.

    What is corrected later does not move it. Members with days missing are left out: freeze again
    under the same name when they are there.

    Example: `benefits baseline freeze summer --programme wealth --month 2025-05 --by anna-li`
    """
    if not NAME.fullmatch(by):
        raise NameInvalid
    wanted = Wanted(name=name, programme=programme, month=month_of(month, "--month"), by=by)

    async def work_(house: House) -> None:
        await fill_stretches(house, dry_run=dry_run)
        on = database(house, dry_run=dry_run)
        ranges, done = await slices(on), itertools.count(1)

        def progress(far: Frozen) -> None:
            nth = next(done)
            if nth % 16 == 0 or nth == len(ranges):
                console.print(f"{nth} of {len(ranges)}: {far.members:,} members")

        far = await freeze(on, house.parts, wanted, slices=ranges, progress=progress)
        if not dry_run:
            record("baseline.frozen", name=name, **msgspec.structs.asdict(far))
        console.print(
            f"{name}: {far.members:,} members frozen now, {far.before:,} before; "
            f"{far.incomplete:,} have days missing."
        )
        say_if_dry(dry_run=dry_run)

    run(work_)


@baseline.command("list")
def list_() -> None:
    """List the baselines, by whom and when each was frozen.

    Example: `benefits baseline list`
    """

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            found = await baselines.listed(conn)
        for one in found:
            when = f"frozen {one.frozen_at:%F %T} UTC by {one.frozen_by}"
            console.print(f"{one.name}: {one.programme} {one.month}, {when}")
        if not found:
            console.print("There is no baseline.")

    run(work_)


@click.command("growth")
@click.argument("name")
@click.option("--month", required=True, help="The measured month, like 2025-07.")
@click.option("--steps", default="", help="Amounts of growth, ascending: 100000,200000.")
@click.option(
    "--follow-corrections", is_flag=True, help="Read the baseline's month as it is known now."
)
@click.option("--all", "is_all", is_flag=True, help="Also who can reach no step.")
def growth(name: str, *, month: str, steps: str, follow_corrections: bool, is_all: bool) -> None:
    """Print as CSV by how much members' averages grew over the baseline NAME.

    Members who can still reach the first step are told, all without steps.

    Example: `benefits growth summer --month 2025-07 --steps 100000,200000 > growth.csv`
    """
    measured = month_of(month, "--month")

    async def work_(house: House) -> None:
        await fill_stretches(house, dry_run=False)
        async with house.database.transaction() as conn:
            catalogue = await house.parts.catalogue.current(conn)
            one = await baselines.find(conn, name)
        of = catalogue.programmes.get(one.programme) if one else None
        bounds = read_steps(steps, of) if of else []
        head = True
        for buckets in await slices(house.database):
            told = await measure_growth(
                house.database,
                house.parts,
                name,
                measured,
                steps=bounds,
                buckets=buckets,
                is_corrected=follow_corrections,
            )
            lines = [
                _line(each, one, measured)
                for each in told
                if one and (is_all or each.can_reach(bounds))
            ]
            text = csv_text(Line, lines)
            click.echo(text if head else text.partition("\r\n")[2], nl=False)
            head = False

    run(work_)


def _line(told: GrownMember, one: Baseline, month: Month) -> Line:
    grown = told.grown
    return Line(
        member_id=str(told.member_id),
        base_month=str(one.month),
        base_minor=grown.base.measure.average.__floor__(),
        base_frozen=grown.base.is_frozen,
        month=str(month),
        average_minor=grown.now.average.__floor__(),
        known_days=grown.now.known_days,
        days=grown.now.days,
        growth_minor=grown.growth_minor,
        reached=grown.reached,
        possible=grown.possible,
        provisional=grown.provisional,
    )
