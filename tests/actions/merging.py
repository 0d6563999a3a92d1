"""Two customers who become one member, as a bank says it: by call, and by file."""

from datetime import date
from typing import Any
from uuid import UUID

from benefits.actions import expire
from benefits.actions.keyed import Decided
from benefits.actions.merge_members import (
    MergeMembers,
    merge_members,
    record_merges,
)
from benefits.actions.record_members import record_members
from benefits.domain.members import MemberLine
from benefits.domain.merges import MergeLine
from benefits.domain.orders import Used
from benefits.domain.refusal import Refusal
from benefits.store.db import Connection
from tests.actions.life import (
    EVERYWHERE,
    call_back,
    claimed,
    fresh,
    number_of,
    said,
    wish,
)
from tests.builders import MEMBER_KEY, World

PLATINUM, GOLD = 520_000_00, 60_000_00


async def merge(world: World, of: UUID, into: UUID, key: str = "") -> Decided | Refusal:
    """Merge two members, under a fresh key unless one is named."""
    command = MergeMembers(caller="crm", key=key or fresh("m"), of=of, into=into)

    async def work(conn: Connection) -> Decided | Refusal:
        return await merge_members(conn, command, world.parts)

    return await world.database.transact(work)


async def merged(world: World, of: UUID, into: UUID) -> None:
    """Merge two members who must be merged."""
    assert "ok" == said(await merge(world, of, into))


async def listed(world: World, *pairs: tuple[str, str]) -> tuple[int, int, list[tuple[int, str]]]:
    """Merge by lines of a file; return how many were kept, known, and which were refused."""
    lines = [(number, MergeLine(*pair)) for number, pair in enumerate(pairs, 2)]
    async with world.database.transaction() as conn:
        done = await record_merges(conn, lines, world.parts, member_key=MEMBER_KEY)
    return done.kept, done.unchanged, done.refused


async def sweep(world: World) -> None:
    """Record all that time has done."""
    async for _ in expire.sweep(world.database, world.parts, buckets=EVERYWHERE):
        pass


async def two(world: World, one: int = PLATINUM, other: int = PLATINUM) -> tuple[UUID, UUID]:
    """Return two members whose June was evaluated, with what that brought them."""
    members = await world.members(2)
    for number, level in enumerate((one, other), 1):
        await world.month(world.name(number), "2025-06", level)
    for member in members:
        await world.evaluate("2025-06", member)
    return members[0], members[1]


async def used(world: World, member: UUID, benefit: str = "LOUNGE") -> UUID:
    """Let a member use a unit; return the claim."""
    (claim,) = await claimed(world, wish(member, benefit))
    await call_back(world, await number_of(world, claim), Used(at=world.clock()))
    return claim


async def left(world: World, nth: int, closed_on: date | None, **more: Any) -> None:
    """Record the end of a relationship as the bank's customer file tells it."""
    line = MemberLine(world.name(nth), date(2020, 1, 1), closed_on, **more)
    async with world.database.transaction() as conn:
        done = await record_members(conn, [(2, line)], world.parts, member_key=MEMBER_KEY)
    assert [] == done.refused
