"""A programme with a choice of three of eight, and members who choose."""

from typing import Any
from uuid import UUID

from msgspec.structs import replace

from benefits.actions.choose import ChooseBenefit, choose
from benefits.actions.keyed import Decided
from benefits.domain.choice import Choice
from benefits.domain.packages import Line, LinePeriod
from benefits.domain.programme import Programme
from benefits.domain.refusal import Refusal
from benefits.domain.values import Month
from benefits.store.db import Connection
from tests.actions.life import fresh, said
from tests.builders import World, reference_programme

PLATINUM, DIAMOND = 520_000_00, 5_200_000_00
NAME = {"zh": "三选", "en": "Three of eight"}
OTHERS = tuple(f"TREAT{n}" for n in range(1, 7))
EIGHT = ("LOUNGE", "VIDEO", *OTHERS)


def choosing(*, repeat: bool = False, quota: int = 3, more: int = 5, **of_line: Any) -> Programme:
    """Return the reference programme whose one line brings units of a choice of eight."""
    base = reference_programme()
    lounge = base.benefits["LOUNGE"]
    line = Line(
        code="pick",
        choice="PICK",
        period=LinePeriod.QUARTER,
        quota={"PLATINUM": quota, "DIAMOND": more},
        **of_line,
    )
    return replace(
        base,
        benefit=(*base.benefit, *(replace(lounge, code=code) for code in OTHERS)),
        choice=(Choice(code="PICK", name=NAME, benefits=EIGHT, repeat=repeat),),
        line=(line,),
    )


async def chooser(world: World, programme: Programme | None = None) -> UUID:
    """Return a platinum member whom the programme brought units of its choice."""
    await world.apply(programme or choosing(), tiers_from=Month(2025, 1))
    (member,) = await platinum(world)
    return member


async def platinum(world: World, count: int = 1, level: int = PLATINUM) -> list[UUID]:
    """Return new members whose June was evaluated."""
    members = await world.members(count)
    for member in members:
        (row,) = await world.rows("SELECT count(*) AS count FROM member")
        number = row.count - count + members.index(member) + 1
        await world.month(world.name(number), "2025-06", level)
        await world.evaluate("2025-06", member)
    return members


def pick(member: UUID, benefit: str = "VIDEO", **more: Any) -> ChooseBenefit:
    """Return a command to choose a benefit, under a fresh key unless one is named."""
    given: dict[str, Any] = {"caller": "mobile", "key": fresh("c"), "choice": "PICK"}
    return ChooseBenefit(member_id=member, benefit=benefit, **{**given, **more})


async def decided(world: World, *commands: ChooseBenefit) -> list[Decided | Refusal]:
    """Choose, all in one transaction."""

    async def work(conn: Connection) -> list[Decided | Refusal]:
        return await choose(conn, commands, world.parts, wait=True)

    return await world.database.transact(work)


async def chose(world: World, *commands: ChooseBenefit) -> list[str]:
    """Choose; return `ok` or the code of each."""
    return [said(outcome) for outcome in await decided(world, *commands)]


async def units(world: World, member: UUID) -> dict[str, int]:
    """Return what a member has, by unit."""
    found = await world.rows(
        "SELECT unit, available::int FROM wallet WHERE member_id = $1 AND available > 0 "
        "ORDER BY unit",
        member,
    )
    return {row.unit: row.available for row in found}
