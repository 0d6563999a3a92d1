"""What no posting and no balance can be, the tables themselves refuse."""

import pytest
from sqlalchemy.exc import DBAPIError

from benefits.store.db import sqlstate
from tests.actions import life
from tests.builders import World
from tests.machine.books import broken

CHECK_VIOLATION = "23514"
INSERT = """
INSERT INTO posting (bucket, batch_id, line, debit, credit, unit, amount, lot_id, party)
SELECT bucket, batch_id, 99, '{debit}', '{credit}', 'BENEFIT:VIDEO', {amount}, NULL, '' FROM batch
"""


async def refused(world: World, statement: str) -> str:
    """Run a statement as an administrator that must be refused; return its SQLSTATE."""
    with pytest.raises(DBAPIError) as caught:
        await life.change(world, statement)
    return sqlstate(caught.value)


@pytest.mark.parametrize(
    ("debit", "credit", "amount"), [("held", "held", 1), ("held", "loss", 0), ("held", "loss", -1)]
)
async def test_the_table_refuses_what_is_no_posting(
    world: World, debit: str, credit: str, amount: int
) -> None:
    """Neither nothing, nor less, nor from an account to itself, whoever writes it (I1)."""
    await life.holder(world)
    statement = INSERT.format(debit=debit, credit=credit, amount=amount)
    assert CHECK_VIOLATION == await refused(world, statement)
    assert [] == await broken(world)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE lot SET held = remaining + 1",
        "UPDATE lot SET held = -1",
        "UPDATE lot SET remaining = granted + 1",
        "UPDATE lot SET redeemed = -1",
        "UPDATE wallet SET available = -1",
        "UPDATE wallet SET held = -1",
        "UPDATE counter SET reserved = -1",
        "UPDATE member_counter SET used = -1",
    ],
)
async def test_the_tables_refuse_a_balance_below_zero(world: World, change: str) -> None:
    """Lots, wallets and counters keep their own limits, whoever writes them (I4)."""
    await life.claimed(world, life.wish(await life.holder(world)))
    assert CHECK_VIOLATION == await refused(world, change)


async def test_the_laws_of_the_books_find_what_breaks_them(world: World) -> None:
    """Units from nowhere and a wallet that lies are found by the rows alone (I2, I3)."""
    await life.holder(world)
    assert [] == await broken(world)
    await life.change(world, "UPDATE wallet SET available = available + 1")
    assert {"I2: every unit issued is somewhere", "I3", "I8"} == {
        law for law, _ in await broken(world)
    }


async def test_the_table_refuses_a_second_end_of_a_hold(world: World) -> None:
    """A hold ends once, whoever says that it ends again (I6)."""
    await life.claimed(world, life.wish(await life.holder(world)))
    end = """
    INSERT INTO hold_end (bucket, hold_id, batch_id, captured, released, ended_at, uncapped)
    SELECT bucket, hold_id, batch_id, 1, 0, now(), 0 FROM hold
    """
    await life.change(world, end)
    assert "23505" == await refused(world, end)


async def test_an_outcome_heard_again_waits_for_a_commit_of_its_own(world: World) -> None:
    """A group of replays alone still writes: it is answered after what it repeats (I13)."""
    command = life.wish(await life.holder(world))
    await life.claimed(world, command)
    kept = "SELECT xmin::text AS xid FROM request WHERE operation = 'claim'"
    (before,) = await world.rows(kept)
    await life.decide(world, command)
    (after,) = await world.rows(kept)
    assert before.xid != after.xid
