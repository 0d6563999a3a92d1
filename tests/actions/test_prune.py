"""What is forgotten, and what never is."""

from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.grant import RewardMember, reward
from benefits.actions.keyed import Accepted, Refused
from benefits.actions.prune import prune
from benefits.actions.sessions import open_session
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
