"""What is forgotten, and what never is."""

import pytest
from sqlalchemy.exc import DBAPIError

from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.grant import RewardMember, reward
from benefits.actions.keyed import Accepted, Refused
from benefits.actions.prune import prune
from benefits.actions.sessions import open_session
from benefits.store.db import run, sqlstate
from tests.actions.life import holder
from tests.builders import World


async def test_refusals_and_sessions_are_forgotten_and_success_never(world: World) -> None:
    """After thirty days a refused key is free again; an accepted one still replays."""
    member = await world.member()
    wish = ClaimUnits(caller="mobile", key="no", member_id=member, benefit="NONE")
    gift = RewardMember(
        caller="crm",
        key="yes",
        member_id=member,
        benefit="VIDEO",
        quantity=1,
        business_key="b",
        valid_days=30,
    )
    async with world.database.transaction() as conn:
        (refused,) = await claim(conn, [wish], world.parts, wait=True)
        (accepted,) = await reward(conn, [gift], world.parts, wait=True)
        await open_session(conn, member, world.parts)
    assert isinstance(refused, Refused)
    assert isinstance(accepted, Accepted)

    for days, expected in ((1, 0), (1.1, 1), (28, 1), (1, 0)):
        world.clock.forward(days=days)
        async with world.database.transaction() as conn:
            assert expected == await prune(conn, world.parts, buckets=(0, 1023))
    async with world.database.transaction() as conn:
        (again,) = await reward(conn, [gift], world.parts, wait=True)
    assert Accepted(accepted.ids, replayed=True) == again


async def test_the_runtime_removes_no_accepted_request(world: World) -> None:
    """C-9: only what was refused may be forgotten, so no success is had a second time."""
    await holder(world)
    for statement, expected in (
        ("DELETE FROM request WHERE bucket BETWEEN 0 AND 1023", "23001"),
        ("UPDATE request SET refusal = 'busy' WHERE bucket BETWEEN 0 AND 1023", "42501"),
    ):
        with pytest.raises(DBAPIError) as caught:
            async with world.database.transaction() as conn:
                await run(conn, statement)
        assert expected == sqlstate(caught.value)
    assert [("",)] == await world.rows("SELECT DISTINCT refusal FROM request")
