"""A hundred calls at once over HTTP, each on a connection of its own, for the last piece."""

import asyncio
from collections import Counter
from uuid import UUID

from tests.actions.life import gift, give
from tests.actions.limiting import limit, limited, windows
from tests.web.site import Site


async def test_of_a_hundred_calls_on_the_last_piece_one_succeeds(running: Site) -> None:
    """G-CAP-1 as callers meet it: one 201, 99 hear that the limit is reached (K-2)."""
    await limited(running.world, limit("drop", 1))
    members = await running.world.members(100)
    await give(running.world, *(gift(member, "LOUNGE") for member in members))
    wish = {"benefit": "LOUNGE", "quantity": 1, "recipient": {"phone": "13800000001"}}

    async def call(member: UUID) -> tuple[int, str]:
        path = f"/v1/members/{member}/claims"
        status, answer = await running.post(path, wish, running.mobile_key)
        return status, answer.get("code", "")

    heard = Counter(await asyncio.gather(*map(call, members)))
    assert Counter({(409, "cap_reached"): 99, (201, ""): 1}) == heard
    assert {("limit:drop", "2025-07"): 1} == await windows(running.world)
    assert [] == await running.world.findings()
