"""Claims that nobody makes: each unit once, as it comes, or told and left to the member (P-2)."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from benefits.actions import claim_granted as acting
from benefits.domain.blocks import Scope
from benefits.domain.limits import Cap, CapWindow
from benefits.domain.packages import Claiming, LinePeriod
from benefits.domain.programme import Programme
from benefits.store import auto_claims
from benefits.store.db import Connection
from benefits.worker import Worker
from tests.actions.agreeing import agreed, block
from tests.actions.life import decide, said, states, wallet, wish
from tests.actions.test_start_period import EARLY, line, work
from tests.builders import World, reference_programme


def waiving(quantity: int = 2, *, limit: int | None = None, **benefit: Any) -> Programme:
    """Return the reference programme whose one line brings videos that claim themselves."""
    base = reference_programme()
    cap = Cap(limit=limit, window=CapWindow.MONTH) if limit else None
    video = msgspec.structs.replace(base.benefits["VIDEO"], recipient=(), cap=cap, **benefit)
    quota = {"BASE": quantity}
    of_line = line("waiver", LinePeriod.QUARTER, benefit="VIDEO", quota=quota, claim=Claiming.AUTO)
    return msgspec.structs.replace(base, benefit=(base.benefits["LOUNGE"], video), line=(of_line,))


async def claimed(world: World) -> int:
    """Let the worker claim what is due; return how many lots it saw."""
    worker, seen = Worker(world.database, world.parts, {}), 0
    while found := await worker.claim_granted():
        seen += found
    return seen


async def refusals(world: World) -> list[tuple[str, str, int]]:
    """Return what was told of claims that were refused."""
    found = await world.rows(
        "SELECT data ->> 'line' AS line, data ->> 'refusal' AS refusal, "
        "(data ->> 'quantity')::int AS quantity FROM outbox WHERE type = 'claim.refused'"
    )
    return [tuple(row) for row in found]


async def test_units_are_claimed_as_they_come(world: World) -> None:
    """Each piece is a claim of the lot's own units; more come with a rise, nothing comes twice."""
    await world.apply(waiving())
    member = await world.member()
    await work(world, EARLY)
    assert (1, 0) == (await claimed(world), await claimed(world))
    assert (0, 2) == await wallet(world, member)
    assert ["HELD", "HELD"] == await states(world)
    actors = await world.rows("SELECT actor, quantity FROM batch JOIN hold USING (batch_id)")
    assert [("system:auto-claim", 1)] * 2 == [tuple(row) for row in actors]
    assert [] == await refusals(world)
    assert [] == await world.findings()


async def test_what_is_refused_is_told_once_and_tried_again(world: World) -> None:
    """One fits in the cap of a month; the other is the member's, or claimed when there is room."""
    await world.apply(waiving(limit=1))
    member = await world.member()
    await work(world, EARLY)
    assert 1 == await claimed(world)
    assert (1, 1) == await wallet(world, member)
    assert [("waiver", "cap_reached", 1)] == await refusals(world)
    tried = list[str]()
    for day in range(2, 32):
        world.clock.now = datetime(2025, 7, day, tzinfo=UTC)
        if await claimed(world):
            tried.append(f"07-{day:02d}")
    assert ["07-02", "07-04", "07-08", "07-16"] == tried
    world.clock.now = datetime(2025, 8, 1, tzinfo=UTC)
    assert 1 == await claimed(world)
    assert (0, 2) == await wallet(world, member)
    assert [("waiver", "cap_reached", 1)] == await refusals(world)
    assert [] == await world.findings()


async def test_what_cannot_pass_is_not_tried_again(world: World) -> None:
    """A contract that ended; units that the member claimed first; a line that is AUTO no more."""
    await world.apply(waiving(claim_until=datetime(2025, 6, 30, tzinfo=UTC).date()))
    member = await world.member()
    await work(world, EARLY)
    await claimed(world)
    assert [("waiver", "claim_window", 2)] == await refusals(world)
    await world.apply(waiving())
    world.clock.now = datetime(2025, 7, 2, tzinfo=UTC)
    first, second = wish(member, recipient={}), wish(member, recipient={})
    assert ["ok", "ok"] == [said(outcome) for outcome in await decide(world, first, second)]
    assert (1, 0) == (await claimed(world), await claimed(world))
    other = await world.member()
    await work(world, datetime(2025, 7, 3, tzinfo=UTC))
    plain = waiving()
    by_hand = msgspec.structs.replace(plain.line[0], claim=Claiming.CLAIM)
    await world.apply(msgspec.structs.replace(plain, line=(by_hand,)))
    await claimed(world)
    assert (2, 0) == await wallet(world, other)
    ((waiting,),) = await world.rows("SELECT count(*) FROM auto_claim WHERE next_at IS NOT NULL")
    assert 0 == waiting


async def test_a_blocked_member_is_claimed_for_when_the_block_ends(world: World) -> None:
    """The usual checks hold, in their order; the block is told, and passes."""
    await world.apply(waiving())
    member = await world.member()
    until = datetime(2025, 7, 3, tzinfo=UTC)
    await agreed(world, block(member, scope=Scope.CLAIM, to_at=until))
    await work(world, datetime(2025, 7, 2, 5, tzinfo=UTC))
    await claimed(world)
    assert [("waiver", "blocked", 2)] == await refusals(world)
    for day in (3, 4, 5):
        world.clock.now = datetime(2025, 7, day, tzinfo=UTC)
        await claimed(world)
    assert (0, 2) == await wallet(world, member)


async def test_a_stop_between_grant_and_claim_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut after any statement, or by two workers at once: each unit is claimed once."""
    await world.apply(waiving(5))
    members = await world.members(4)
    await work(world, EARLY)

    async def cut(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(auto_claims, "move", cut)
        with pytest.raises(ConnectionError):
            await claimed(world)
    assert [] == await states(world)
    monkeypatch.setattr(acting, "PIECES", 2)  # a lot takes three rounds

    async def step(conn: Connection) -> int:
        return await acting.claim_granted(conn, world.parts, buckets=(0, 1023), limit=3)

    while any(await asyncio.gather(*(world.database.transact(step) for _ in range(3)))):
        pass
    await claimed(world)
    wallets = [await wallet(world, UUID(str(member))) for member in members]
    assert [(0, 5)] * 4 == wallets
    assert 20 == len(await states(world))
    assert [] == await world.findings()


async def test_rounds_of_a_large_lot_are_no_refusals(world: World) -> None:
    """What the second round refuses is tried again on the next day, as any first refusal is."""
    await world.apply(waiving(25, limit=22))
    member = await world.member()
    await work(world, EARLY)
    await claimed(world)
    assert (3, 22) == await wallet(world, member)
    ((again,),) = await world.rows("SELECT next_at FROM auto_claim")
    assert datetime(2025, 7, 1, 16, tzinfo=UTC) == again


async def test_units_are_claimed_as_what_they_are(world: World) -> None:
    """P-2, C-2: whatever other benefit draws them since."""
    base = waiving(2, limit=1)
    await world.apply(base)
    member = await world.member()
    await work(world, EARLY)
    await claimed(world)
    plain = tuple(msgspec.structs.replace(one, recipient=()) for one in base.benefit)
    drawing = msgspec.structs.replace(plain[1], code="RAIL", draws="VIDEO", stock=None)
    some = (drawing, *plain)
    await world.apply(msgspec.structs.replace(base, benefit=some))
    world.clock.now = datetime(2025, 8, 1, tzinfo=UTC)
    await claimed(world)
    assert (0, 2) == await wallet(world, member)
    assert {"VIDEO"} == {row.benefit for row in await world.rows("SELECT benefit FROM claim")}
