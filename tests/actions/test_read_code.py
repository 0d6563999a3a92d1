"""A provider's code is opened for its member alone, each time on record, and stands nowhere."""

import asyncio
from uuid import UUID, uuid4

import pytest

from benefits.actions.read_code import CodeAbsent, CodeShown, SecondLook, read_code
from benefits.domain.orders import Done, Outcome, Pending, Revoked, Used
from benefits.store.schema import metadata
from tests.actions.life import call_back, claimed, holder, number_of, wish
from tests.builders import NOON, World

CODE = "PLANTED-482913557201"
DONE = Done(at=NOON, reference="R1", code=CODE)


async def told(world: World, *outcomes: Outcome) -> tuple[UUID, UUID]:
    """Return a member and a claim of theirs, after what the provider called back about it."""
    member = await holder(world, "LOUNGE")
    (claim_id,) = await claimed(world, wish(member, "LOUNGE"))
    await call_back(world, await number_of(world, claim_id), *outcomes)
    return member, claim_id


async def read(
    world: World, claim_id: UUID, member_id: UUID | None = None, again: SecondLook | None = None
) -> str | None:
    """Read a code as the page does."""
    async with world.database.transaction() as conn:
        return await read_code(
            conn, claim_id, world.parts, actor="system:page", member_id=member_id, again=again
        )


async def readings(world: World) -> list[tuple[str, UUID, UUID]]:
    """Return who looked at which claim of whom."""
    found = await world.rows(
        "SELECT actor, member_id, claim_id FROM code_reading ORDER BY reading_id"
    )
    return [tuple(row) for row in found]


async def test_a_code_is_shown_once_and_again_for_a_reason(world: World) -> None:
    """Each look is a row of its own, with why it is a further one; also of a used code."""
    member, claim_id = await told(world, DONE)
    both = await asyncio.gather(
        read(world, claim_id, member), read(world, claim_id, member), return_exceptions=True
    )
    assert [CODE] == [one for one in both if isinstance(one, str)]
    assert [CodeShown] == [type(one) for one in both if isinstance(one, BaseException)]
    with pytest.raises(CodeShown):
        await read(world, claim_id)
    assert CODE == await read(world, claim_id, member, SecondLook.NOT_ARRIVED)
    await call_back(world, await number_of(world, claim_id), Used(at=NOON))
    assert CODE == await read(world, claim_id, member, SecondLook.NEEDED_AGAIN)
    assert [("system:page", member, claim_id)] * 3 == await readings(world)
    whys = await world.rows("SELECT again FROM code_reading")
    assert ["", "NEEDED_AGAIN", "NOT_ARRIVED"] == sorted(row.again for row in whys)


@pytest.mark.parametrize(
    "outcomes",
    [(), (Pending(),), (Done(at=NOON),), (DONE, Revoked(at=NOON))],
    ids=["held", "pending", "without code", "revoked"],
)
async def test_what_is_not_delivered_or_has_no_code_is_refused(
    world: World, outcomes: tuple[Outcome, ...]
) -> None:
    """And nothing is recorded of a look at nothing."""
    member, claim_id = await told(world, *outcomes)
    with pytest.raises(CodeAbsent):
        await read(world, claim_id, member)
    assert [] == await readings(world)


async def test_a_claim_of_somebody_else_is_not_known(world: World) -> None:
    """Another member and an id that was never given look the same."""
    _, claim_id = await told(world, DONE)
    stranger = await world.member()
    assert [None, None] == [await read(world, claim_id, stranger), await read(world, uuid4())]
    assert [] == await readings(world)


async def test_the_code_stands_in_no_table(world: World) -> None:
    """Events, batches, requests, inbox and readings hold it only sealed, if at all."""
    member, claim_id = await told(world, DONE)
    await read(world, claim_id, member)
    for table in metadata.tables:
        for row in await world.rows(f'SELECT t::text AS text FROM "{table}" AS t'):
            assert CODE not in row.text, table
            assert CODE.encode().hex() not in row.text, table
    assert [] == await world.findings()
