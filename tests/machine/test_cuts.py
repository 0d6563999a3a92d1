"""What callers hear when a transaction is cut, refused or lost: and it happened once (I13)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from benefits.actions.claim import claim
from benefits.actions.grant import reward
from benefits.actions.keyed import Accepted
from benefits.domain.refusal import Refusal
from benefits.store.db import Busy, Unavailable, connect, is_away
from benefits.store.group import Failed, Group, grouped
from tests.actions import life
from tests.builders import World
from tests.machine.wire import Wire, wired

FAULT = (
    "CREATE SEQUENCE fault_tries",
    "CREATE TABLE fault (member_id uuid, state text, tries int)",
    """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE f fault;
    BEGIN
        SELECT * INTO f FROM fault WHERE member_id = NEW.member_id;
        IF NOT FOUND OR nextval('fault_tries') > f.tries THEN RETURN NULL; END IF;
        IF f.state = '57P01' THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
            PERFORM pg_sleep(5);
        END IF;
        RAISE 'forced' USING ERRCODE = f.state;
    END $$
    """,
    "CREATE TRIGGER fail AFTER INSERT ON batch FOR EACH ROW EXECUTE FUNCTION fail()",
)


@asynccontextmanager
async def over_a_wire(world: World) -> AsyncIterator[tuple[Wire, Any]]:
    """Give a wire to the world's database, and an opener of a group of its claims or rewards."""
    dsn = world.database.engine.url.render_as_string(hide_password=False)
    async with wired(dsn.replace("+asyncpg", "")) as (wire, through):
        database = connect(through, pool_size=2)
        try:
            yield wire, database
        finally:
            await database.close()


async def submitted(
    world: World, database: Any, action: Any, *commands: Any
) -> list[Accepted | Refusal | BaseException]:
    """Submit commands at once to a group of their own; return what each caller hears."""
    group = Group[Any, Any](database, grouped(action, world.parts), "proof")
    group.start()
    heard = await asyncio.gather(*map(group.submit, commands), return_exceptions=True)
    await group.close()
    return list(heard)


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_connection_cut_around_the_commit_leaves_one_effect(
    world: World, where: str
) -> None:
    """Whether the commit arrived or not, every caller of the group hears of one effect (I13)."""
    members = [await life.holder(world) for _ in range(3)]
    wishes = [life.wish(member) for member in members]
    async with over_a_wire(world) as (wire, database):
        wire.cut = where
        heard = await submitted(world, database, claim, *wishes)
        assert 1 == wire.cuts
        assert ["ok"] * 3 == [life.said(one) for one in heard]  # type: ignore[arg-type]  # outcomes
        assert [where == "after"] * 3 == [one.replayed for one in heard]  # type: ignore[union-attr]  # accepted
        again = await submitted(world, database, claim, *wishes)
    assert [one.ids for one in heard] == [one.ids for one in again]  # type: ignore[union-attr]  # accepted
    assert 3 == len(await world.rows("SELECT state FROM claim"))
    assert [] == await world.findings()


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_reward_cut_around_its_commit_is_given_once(world: World, where: str) -> None:
    """A machine's key leads to the same lot, whatever became of the connection (I5, I13)."""
    command = life.gift(await world.member(), quantity=2)
    async with over_a_wire(world) as (wire, database):
        wire.cut = where
        (heard,) = await submitted(world, database, reward, command)
        assert (1, "ok") == (wire.cuts, life.said(heard))  # type: ignore[arg-type]  # an outcome
    assert (2, 0) == await life.wallet(world, command.member_id)
    assert [] == await world.findings()


async def forced(world: World, state: str, tries: int) -> tuple[Sequence[Any], list[Any]]:
    """Let the first tries of one member fail; return their wish between two, and what is heard."""
    members = [await life.holder(world) for _ in range(3)]
    await life.change(world, *FAULT)
    fault = "INSERT INTO fault VALUES ('{id}', '{state}', {tries})"
    await life.change(world, fault, id=members[1], state=state, tries=tries)
    wishes = [life.wish(member) for member in members]
    with capture_logs():
        heard = await submitted(world, world.database, claim, *wishes)
    await life.change(world, "DELETE FROM fault")
    return wishes, heard


async def settles(world: World, wishes: Sequence[Any]) -> None:
    """Hold that afterwards the same keys give each wish its one effect."""
    outcomes = await life.decide(world, *wishes)
    assert ["ok"] * len(wishes) == [life.said(one) for one in outcomes]
    assert len(wishes) == len(await world.rows("SELECT state FROM claim"))
    assert [] == await world.findings()


@pytest.mark.parametrize("state", ["40001", "40P01", "57P01", "57P03"])
async def test_what_is_transient_is_tried_again_until_it_is_well(world: World, state: str) -> None:
    """Four lost tries are nobody's to hear of: the fifth answers all (I13)."""
    wishes, heard = await forced(world, state, 4)
    assert ["ok"] * 3 == [life.said(one) for one in heard]
    await settles(world, wishes)


@pytest.mark.parametrize(
    ("state", "kind", "neighbours"),
    [
        ("40001", Failed, Accepted),
        ("40P01", Failed, Accepted),
        ("55P03", Busy, Accepted),
        ("57P01", Unavailable, Unavailable),
        ("57P03", Unavailable, Unavailable),
        ("53300", Unavailable, Unavailable),
        ("22012", Failed, Accepted),
    ],
)
async def test_what_stays_wrong_is_heard_by_its_caller_and_harms_nobody(
    world: World, state: str, kind: type, neighbours: type
) -> None:
    """Only a database that is away concerns the neighbours; all may send the same again (I13)."""
    wishes, (one, culprit, other) = await forced(world, state, 1000)
    assert (neighbours, kind, neighbours) == (type(one), type(culprit), type(other))
    await settles(world, wishes)


async def test_a_race_that_is_always_lost_is_tried_five_times(world: World) -> None:
    """Alone, a command is tried five times, then its caller hears of an incident."""
    member = await life.holder(world)
    await life.change(world, *FAULT)
    await life.change(world, "INSERT INTO fault VALUES ('{id}', '40001', 1000)", id=member)
    with capture_logs():
        (heard,) = await submitted(world, world.database, claim, life.wish(member))
    assert isinstance(heard, Failed)
    await life.change(world, "GRANT SELECT ON fault_tries TO PUBLIC")
    tries = await world.rows("SELECT last_value FROM fault_tries")
    assert 5 == tries[0].last_value


async def test_a_driver_that_is_confused_by_a_killed_server_is_a_lost_connection(
    world: World,
) -> None:
    """The work may be tried again, and the connection is not used any more (I13)."""
    with pytest.raises(DBAPIError) as caught:
        async with world.database.transaction():
            raise asyncpg.InternalClientError("another operation is in progress")
    assert is_away(caught.value)
    assert [(1,)] == await world.rows("SELECT 1")
