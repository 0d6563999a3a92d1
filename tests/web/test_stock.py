"""Codes that were bought in advance over real HTTP: brought in parts, each once, never shown."""

import asyncio
from typing import Any

import aiohttp

from benefits.actions.read_code import read_code
from tests.actions.life import decide, gift, give, said
from tests.actions.test_code_pool import coffee, stock, with_coffee
from tests.rows import everything
from tests.web.site import Site
from tests.web.test_operator import key_of

PATH = "/v1/providers/coffee/stock/LATTE/march"
SENT = {"cost": "12.50", "cost_centre": "retail-7", "expires_on": "2025-12-31"}


async def bring(
    running: Site, key: str, *codes: dict[str, str], path: str = PATH, **more: Any
) -> tuple[int, Any]:
    """Send codes of a batch."""
    headers = {"Authorization": f"Bearer {key}"}
    query = {"dry_run": "true"} if more.pop("dry_run", False) else {}
    async with (
        aiohttp.ClientSession(running.url, headers=headers) as http,
        http.put(path, json={**SENT, "codes": codes, **more}, params=query) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_codes_are_brought_in_parts_and_each_once(running: Site) -> None:
    """A dry run writes nothing, the same again changes nothing, what is refused is named."""
    await running.world.apply(with_coffee())
    key = await key_of(running, "operator")
    some = [{"code": "A1", "pin": "7"}, {"code": "A2"}, {"code": ""}, {"code": "A1"}]
    bad = [{"number": 3, "why": "code: must have 1 to 256 printable characters"}]
    before = await everything(running.world.database)
    kept = (200, {"kept": 2, "unchanged": 1, "refused": bad})
    assert kept == await bring(running, key, *some, dry_run=True)
    assert before == await everything(running.world.database)
    assert kept == await bring(running, key, *some)
    assert (200, {"kept": 0, "unchanged": 3, "refused": bad}) == await bring(running, key, *some)
    more = (200, {"kept": 1, "unchanged": 0, "refused": []})
    assert more == await bring(running, key, {"code": "A3", "expires_on": "2025-08-31"})
    status, other = await bring(running, key, {"code": "A3"}, path=f"{PATH}-2")
    why = "code: is in stock already, in batch 'march'"
    assert (200, [{"number": 1, "why": why}]) == (status, other["refused"])
    status, other = await bring(running, key, {"code": "A4"}, expires_on="9999-12-31")
    why = "expires_on: lies in none of the years to 2999"
    assert (200, [{"number": 1, "why": why}]) == (status, other["refused"])
    for wrong, expected in (
        ({"path": PATH.replace("LATTE", "MOCHA")}, (422, "file_unreadable")),
        ({"path": PATH.replace("coffee", "sandbox")}, (404, "unknown_stock")),
        ({"cost": "9.00"}, (422, "file_unreadable")),
        ({"cost": "cheap"}, (400, "request_invalid")),
    ):
        status, problem = await bring(running, key, {"code": "B1"}, **wrong)
        assert expected == (status, problem["code"])
    assert [("march", 1250, "retail-7", 3, 3, 0, 0, 0)] == (await stock(running.world))[:1]


async def test_a_hundred_claims_at_once_take_each_code_once(running: Site) -> None:
    """No code is given twice, none is lost, and who gets none keeps the unit (G-CAP-1)."""
    world = running.world
    await world.apply(with_coffee())
    key = await key_of(running, "operator")
    codes = [f"C{number}" for number in range(30)]
    await bring(running, key, *({"code": code} for code in codes))
    members = await world.members(100)
    await give(world, *(gift(one, "COFFEE") for one in members))
    outcomes = await asyncio.gather(*(decide(world, coffee(one)) for one in members))
    found = sorted(said(outcome) for (outcome,) in outcomes)
    assert ["ok"] * 30 + ["stock_exhausted"] * 70 == found
    async with world.database.transaction() as conn:
        given = [
            await read_code(conn, row.claim_id, world.parts, actor="system:page")
            for row in await world.rows("SELECT claim_id FROM claim")
        ]
    assert sorted(codes) == sorted(code or "" for code in given)
    assert [(70,)] == await world.rows("SELECT sum(remaining)::int FROM lot WHERE held = 0")
    assert [] == await world.findings()
