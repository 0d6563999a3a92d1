"""Callbacks that came to nothing are read again after a fix, and have one effect (V-4)."""

import json
from typing import Any

import pytest

from benefits.actions import receive, reread
from benefits.actions.reread import Reread, reread_all
from benefits.domain.orders import Notice, Reason
from benefits.domain.signature import parse_secret
from benefits.providers import open as codec
from tests.actions.life import (
    change,
    claimed,
    holder,
    lease,
    number_of,
    states,
    tables,
    wish,
    work_off,
)
from tests.builders import NOON, World
from tests.web.site import SECRET

DIALECT = codec.OpenDialect(base_url="https://p.example", secrets=[parse_secret(SECRET)])
NOBODY = "f" * 32


async def call(world: World, event_id: str, number: str, kind: str, **data: Any) -> None:
    """Receive a callback as the dialect of now reads it."""
    told = {"number": number, "at": NOON.isoformat(), **data}
    body = {"type": f"order.{kind}", "timestamp": NOON.isoformat(), "data": told}
    raw = json.dumps(body).encode()
    notice = DIALECT.understand(event_id, raw)
    world.clock.forward(seconds=1)
    async with world.database.transaction() as conn:
        callback = receive.Callback(provider="sandbox", notice=notice, raw=raw)
        assert [True] == await receive.receive(conn, [callback], world.parts)


async def again(world: World, understand: Any = DIALECT.understand) -> dict[str, str]:
    """Read callbacks again; return by event what became of each."""
    command = Reread(caller="ops", provider="sandbox", understand=understand)
    pages = reread_all(world.database, command, world.parts)
    return {one.event_id: one.now.value if one.now else "" async for page in pages for one in page}


async def open_cases(world: World) -> list[str]:
    """Return the kinds of the open cases."""
    rows = await world.rows("SELECT kind FROM case_file WHERE closed_at IS NULL ORDER BY kind")
    return [row.kind for row in rows]


async def test_what_was_not_understood_is_read_again_after_a_fix(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reason that no table had, a number misread, one that failed: each ends its order, once."""
    monkeypatch.setattr(reread, "PAGE", 1)
    numbers = list[str]()
    for _ in range(3):
        world.clock.forward(seconds=1)
        (claim_id,) = await claimed(world, wish(await holder(world)))
        numbers.append(await number_of(world, claim_id))
    await lease(world)
    await call(world, "e1", numbers[0], "rejected", reason="sold_out")
    await call(world, "e2", NOBODY, "issued")
    await call(world, "e3", numbers[2], "issued")
    async with world.database.transaction() as conn:
        await receive.give_up(conn, world.parts, "sandbox", "e3")
    assert 2 == await work_off(world)
    assert ["UNKNOWN", "SUBMITTED", "SUBMITTED"] == await states(world)
    assert ["callback_failed", "unknown_order"] == await open_cases(world)
    # As an earlier release put it down: where the callback lies, not the number.
    away = "UPDATE case_file SET bucket = (bucket + 1) % 1024 WHERE kind = 'unknown_order'"
    await change(world, away)
    rows = await world.rows("SELECT verdict FROM inbox ORDER BY event_id")
    assert ["NOT_UNDERSTOOD", "NO_ORDER", "FAILED"] == [row.verdict for row in rows]

    def still_wrong(event_id: str, body: bytes) -> Notice:
        if event_id == "e2":
            raise RuntimeError
        return DIALECT.understand(event_id, body)

    told = await again(world, still_wrong)
    assert {"e1": "NOT_UNDERSTOOD", "e2": "FAILED", "e3": "APPLIED"} == told
    assert ["unknown_order"] == await open_cases(world)

    def mended(event_id: str, body: bytes) -> Notice:
        return DIALECT.understand(event_id, body.replace(NOBODY.encode(), numbers[1].encode()))

    monkeypatch.setitem(codec.REASONS, "sold_out", Reason.STOCK_OUT)
    assert {"e1": "APPLIED", "e2": "APPLIED"} == await again(world, mended)
    assert ["COMPENSATED", "ISSUED", "ISSUED"] == await states(world)
    closed = await world.rows("SELECT kind, closed_by, note FROM case_file ORDER BY kind")
    assert [
        (kind, "ops", "The callback was read again.")
        for kind in ("callback_failed", "unknown_order")
    ] == closed
    rows = await world.rows("SELECT verdict, reread_by FROM inbox ORDER BY event_id")
    assert [("APPLIED", "ops")] * 3 == rows
    before = await tables(world)
    assert ({}, before) == (await again(world, mended), await tables(world))
    assert [] == await world.findings()


async def test_what_was_applied_has_no_second_effect(world: World) -> None:
    """Of what an earlier release worked off only what came to nothing is applied."""
    (claim_id,) = await claimed(world, wish(await holder(world)))
    number = await number_of(world, claim_id)
    for event_id, kind, data in (("e1", "issued", {}), ("e2", "rejected", {"reason": "limit"})):
        await call(world, event_id, number, kind, **data)
        await work_off(world)
    await call(world, "e3", NOBODY, "issued")
    await work_off(world)
    assert {"e3": "NO_ORDER"} == await again(world)
    await change(world, "UPDATE case_file SET closed_at = now()", "UPDATE inbox SET verdict = ''")
    before = await tables(world)
    assert {"e1": "APPLIED", "e2": "APPLIED", "e3": "NO_ORDER"} == await again(world)
    assert ([], before) == (await open_cases(world), await tables(world))
    assert {"e3": "NO_ORDER"} == await again(world)
