"""The commands for growth: freeze a baseline, list them, print by how much members grew (M-12)."""

from decimal import Decimal, InvalidOperation

import msgspec
import rich_click as click

from benefits.actions.evaluate import slices
from benefits.actions.keys import NAME, NameInvalid
from benefits.actions.measure_growth import GrownMember, Wanted, freeze, measure_growth
from benefits.cli.console import console
from benefits.cli.house import DRY_RUN, database, record, run, say_if_dry
from benefits.domain.catalogue import Programme
from benefits.domain.growth import Grown, StepsInvalid
from benefits.domain.reports import csv_text
from benefits.domain.values import BUCKETS, Month
from benefits.house import House
from benefits.store import baselines


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A member's growth as the CSV has it: averages in minor units, floored, and known days.

    `reached` counts the steps that are certain, `possible` those that missing days do not exclude.
    """

    member_id: str
    base_minor: int
    average_minor: int
    growth_minor: int
    base_known_days: int
    base_days: int
    known_days: int
    days: int
    reached: int
    possible: int


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

    What is corrected later does not move it. Stopped, it goes on where it ended.

    Example: `benefits baseline freeze summer --programme wealth --month 2025-05 --by anna-li`
    """
    if not NAME.fullmatch(by):
        raise NameInvalid
    wanted = Wanted(name=name, programme=programme, month=_month(month), by=by)

    async def work_(house: House) -> None:
        on = database(house, dry_run=dry_run)
        step = BUCKETS // len(await slices(on))
        async for far in freeze(on, house.parts, wanted, step=step):
            if far.next_bucket % 64 == 0:
                console.print(f"{far.next_bucket} of {BUCKETS}: {far.members:,} members")
        if not dry_run:
            record("baseline.frozen", name=name, members=far.members, incomplete=far.incomplete)
        console.print(
            f"{name}: {far.members:,} members frozen now, {far.incomplete:,} of them with days "
            "missing."
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
            state = f"frozen {one.ended_at:%F %T} UTC" if one.ended_at else "not frozen to the end"
            console.print(f"{one.name}: {one.programme} {one.month}, {state}, by {one.frozen_by}")
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
    measured = _month(month)

    async def work_(house: House) -> None:
        async with house.database.transaction() as conn:
            catalogue = await house.parts.catalogue.current(conn)
            one = await baselines.find(conn, name)
        bounds = _minor(steps, catalogue.programmes.get(one.programme) if one else None)
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
            lines = [_line(each) for each in told if is_all or not bounds or each.grown.possible]
            text = csv_text(Line, lines)
            click.echo(text if head else text.partition("\r\n")[2], nl=False)
            head = False

    run(work_)


def _line(one: GrownMember) -> Line:
    grown: Grown = one.grown
    return Line(
        member_id=str(one.member_id),
        base_minor=grown.base.average.__floor__(),
        average_minor=grown.now.average.__floor__(),
        growth_minor=grown.growth_minor,
        base_known_days=grown.base.known_days,
        base_days=grown.base.days,
        known_days=grown.now.known_days,
        days=grown.now.days,
        reached=grown.reached,
        possible=grown.possible,
    )


def _minor(steps: str, programme: Programme | None) -> list[int]:
    """Return steps in minor units (StepsInvalid); of no programme it does not matter."""
    try:
        amounts = [Decimal(text) for text in steps.split(",")] if steps else []
        return [programme.minor(each) for each in amounts] if programme else []
    except (InvalidOperation, ValueError) as error:
        raise StepsInvalid from error


def _month(text: str) -> Month:
    try:
        return Month.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--month") from None
