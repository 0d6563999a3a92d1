"""Members who wait for room: begun, served by the worker, told."""

from datetime import UTC, datetime
from uuid import UUID

from benefits.actions import serve_waits as acting
from benefits.actions.close_waits import StopWaiting, stop_waiting
from benefits.actions.keyed import Accepted, Decided
from benefits.domain.refusal import Refusal
from benefits.store.db import Connection
from tests.actions.life import EVERYWHERE, decide, fresh, said, wish
from tests.builders import World


async def await_room(world: World, member: UUID, benefit: str = "LOUNGE", **more: object) -> str:
    """Claim, ready to wait; return `ok` for a claim, `waits` for a wait, or the refusal's code."""
    (outcome,) = await decide(world, wish(member, benefit, waits=True, **more))
    return said_of(outcome)


def said_of(outcome: Decided | Refusal) -> str:
    """Return what became of a claim that may wait."""
    return "waits" if isinstance(outcome, Accepted) and "wait_id" in outcome.ids else said(outcome)


async def serve(world: World, limit: int = 100) -> int:
    """Let a worker serve until it finds nothing more; return how many waits ended."""
    ended = 0
    while found := await acting.serve_waits(
        world.database, world.parts, buckets=EVERYWHERE, limit=limit
    ):
        ended += found
    return ended


async def stop(world: World, member: UUID, wait_id: UUID, key: str = "") -> str:
    """Give a wait up by its member's word."""
    command = StopWaiting(
        caller="mobile", key=key or fresh("s"), member_id=member, wait_id=wait_id
    )

    async def work(conn: Connection) -> Decided | Refusal:
        return await stop_waiting(conn, command, world.parts)

    return said(await world.database.transact(work))


async def ends(world: World) -> list[tuple[UUID, str]]:
    """Return whose waits ended and how, in the order in which they began."""
    found = await world.rows(
        "SELECT member_id, CASE WHEN refusal = '' THEN reason ELSE refusal END AS how FROM wait "
        "WHERE bucket BETWEEN 0 AND 1023 ORDER BY begun_at, number, wait_id"
    )
    return [tuple(row) for row in found]


async def wait_of(world: World, member: UUID) -> UUID:
    """Return the last wait of a member."""
    ((id_,),) = await world.rows(
        "SELECT wait_id FROM wait WHERE member_id = $1 ORDER BY begun_at DESC LIMIT 1", member
    )
    return UUID(str(id_))


def utc(*parts: int) -> datetime:
    """Return an instant."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]  # its parts are numbers
