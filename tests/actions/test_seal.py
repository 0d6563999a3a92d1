"""Every committed batch gets exactly one leaf, in an order that nothing comes into later (I10)."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from benefits.actions import seal
from benefits.actions.grant import reward
from benefits.domain import seals as form
from benefits.domain.checkpoints import read_notes
from benefits.domain.merkle import Frontier
from benefits.store import schema, schema_edges, seals
from benefits.store.db import run
from benefits.store.feed import EventsUnordered
from benefits.store.signing import is_signed
from tests.actions.life import change, claimed, gift, give, holder, wish
from tests.actions.log import KEY, checkpointed, seal_all, sign
from tests.builders import World

PLACES = """SELECT o.bucket, o.batch_id FROM outbox AS o WHERE o.batch_id IS NOT NULL
    ORDER BY o.position, o.bucket, o.member_id, o.seq"""
LEAVES = "SELECT l.bucket, l.batch_id FROM leaf AS l ORDER BY l.leaf_index"


async def lived(world: World, members: int = 3) -> None:
    """Let some members have something happen to them."""
    for _ in range(members):
        await claimed(world, wish(await holder(world, quantity=3)))


def test_the_form_has_every_column_of_the_tables() -> None:
    """A column that is in no seal could be changed without a trace."""
    batch = {column.name for column in schema.batch.columns}
    event = {column.name for column in schema_edges.outbox.columns}
    posting = {column.name for column in schema.posting.columns}
    assert batch == {name for name, _ in form.BATCH}
    assert event - {"bucket", "member_id", "batch_id"} == {name for name, _ in form.EVENT}
    assert posting - {"bucket", "batch_id"} == {name for name, _ in form.POSTING}


async def test_i10_every_committed_batch_gets_exactly_one_leaf(world: World) -> None:
    """I10: in the order of the events, page by page or at once, and never a second time."""
    await lived(world)
    assert 6 == await seal_all(world, limit=4)
    await lived(world)
    assert 6 == await seal_all(world)
    assert 0 == await seal_all(world)
    sealed = await world.rows(LEAVES)
    assert await world.rows(PLACES) == sealed
    assert 12 == len(set(sealed))
    assert [(0, 11)] == await world.rows("SELECT min(leaf_index), max(leaf_index) FROM leaf")


async def test_a_late_commit_is_sealed_in_its_place(world: World) -> None:
    """I10: an open write holds the sealer back; once it is there, nothing is left out."""
    await lived(world, 1)
    assert 2 == await seal_all(world)
    late, early = await world.member(), await world.member()
    async with world.database.transaction() as conn:
        await reward(conn, [gift(late)], world.parts, wait=True)
        await give(world, gift(early))
        assert 0 == await seal_all(world)
    assert 2 == await seal_all(world)
    assert await world.rows(PLACES) == await world.rows(LEAVES)
    members = """SELECT b.member_id FROM leaf AS l
        JOIN batch AS b ON b.bucket = l.bucket AND b.batch_id = l.batch_id
        ORDER BY l.leaf_index DESC LIMIT 2"""
    assert [(early,), (late,)] == await world.rows(members)


async def test_what_is_rolled_back_is_not_sealed(world: World) -> None:
    """The log has what was committed, without a gap."""
    member = await world.member()
    async with world.database.transaction() as conn:
        await reward(conn, [gift(member)], world.parts, wait=True)
        await run(conn, "ROLLBACK")
    await lived(world, 1)
    assert 2 == await seal_all(world)
    assert await world.rows(PLACES) == await world.rows(LEAVES)


async def test_one_process_seals_at_a_time(world: World) -> None:
    """Another one finds the lease taken and leaves; nothing waits."""
    await lived(world, 1)
    async with world.database.transaction() as conn:
        assert 1 == await seal.seal(conn, limit=1)
        async with world.database.transaction() as other:
            assert 0 == await seal.seal(other, limit=1)
            assert not await seal.sign(other, KEY, world.parts)
    assert 1 == await seal_all(world)


async def test_a_sealer_that_dies_leaves_nothing_half(world: World) -> None:
    """Leaves and the nodes above them are written together or not at all."""
    await world.apply()
    members = await world.members(300)
    await give(world, *(gift(member) for member in members))
    async with world.database.transaction() as conn:
        assert 280 == await seal.seal(conn, limit=280)
        await run(conn, "ROLLBACK")
    count = "SELECT (SELECT count(*) FROM leaf), (SELECT count(*) FROM tree_node)"
    assert [(0, 0)] == await world.rows(count)
    assert 300 == await seal_all(world, limit=130)
    assert [(300, 1)] == await world.rows(count)
    tree = Frontier()
    for row in await world.rows("SELECT digest FROM leaf ORDER BY leaf_index"):
        tree.push(row.digest)
    async with world.database.transaction() as conn:
        assert tree.root() == (await seals.frontier(conn, 300)).root()


async def test_an_event_that_is_there_twice_is_sealed_once(world: World) -> None:
    """The sealer goes on; what is wrong about it, `verify` says."""
    await lived(world, 2)
    await change(
        world,
        """INSERT INTO outbox SELECT bucket, member_id, seq + 100, event_id, type, batch_id,
               subject_id, data, recorded_at, position FROM outbox""",
    )
    assert 4 == await seal_all(world)


async def test_a_batch_that_is_gone_stops_nobody(world: World) -> None:
    """Its event is passed by, page by page; those behind it are sealed."""
    await lived(world, 4)
    first = "(SELECT e.batch_id FROM outbox AS e WHERE e.batch_id IS NOT NULL ORDER BY {} LIMIT 3)"
    gone = first.format("e.position, e.bucket, e.member_id, e.seq")
    await change(
        world,
        "SET LOCAL session_replication_role = replica",
        f"DELETE FROM batch WHERE batch_id IN {gone}",
    )
    assert 5 == await seal_all(world, limit=1)


async def test_events_out_of_order_are_not_sealed(world: World) -> None:
    """A restored database is set right first."""
    await lived(world, 1)
    await change(
        world,
        "SET LOCAL session_replication_role = replica",
        "UPDATE outbox SET position = position + 1000000",
    )
    with pytest.raises(EventsUnordered):
        await seal_all(world)


TEXTS = ("", " ", "a\nb\x01", "财富权益 🎁", "é", "é", "'; --\\x00 %s $1", "x" * 5000)
# As PostgreSQL writes them: shorter names first, a space behind each colon and comma.
JSON = (
    "{}",
    "null",
    '{"a": 1, "bb": "1.50", "cc": {"权益": ["🎁", null, true, 0.10]}}',
    '{"a": "\\"\\\\\\n\\u0001é"}',
)
INSTANTS = (
    datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2000, 1, 1, tzinfo=UTC),
    datetime(2025, 7, 2, 4, 0, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC),
)


def _values(kind: str, nth: int) -> Any:
    match kind:
        case "text":
            return TEXTS[nth % len(TEXTS)]
        case "json":
            return JSON[nth % len(JSON)]
        case "uuid":
            return UUID(int=nth * 3**70 % 2**128)
        case "instant":
            return INSTANTS[nth % len(INSTANTS)]
        case "date":
            return date(1999 + nth % 3, 12, 31)
        case "int2":
            return (nth * 7919) % 32768 * (-1) ** nth
        case _:
            return nth * 3**30 % 2**62


TYPES = {
    "json": "text",
    "instant": "timestamptz",
    "xid8": "text",
    "int2": "smallint",
    "int8": "bigint",
}

CASTS = {"xid8": "::xid8", "json": "::jsonb"}


def _row(columns: tuple[tuple[str, str], ...], nth: int) -> dict[str, Any]:
    return {
        name: None if (nth + place) % 7 == 6 else _values(kind, nth + place)
        for place, (name, kind) in enumerate(columns)
    }


def _given(columns: tuple[tuple[str, str], ...], first: int) -> str:
    """Return a SELECT of the columns as parameters, counted from the first."""
    return "SELECT " + ", ".join(
        f"${first + place}::{TYPES.get(kind, kind)}{CASTS.get(kind, '')} AS {name}"
        for place, (name, kind) in enumerate(columns)
    )


@pytest.mark.parametrize("nth", range(24))
async def test_the_database_makes_the_same_bytes_as_python(world: World, nth: int) -> None:
    """Odd texts, NULLs, microseconds, the ends of numbers; with no, one and more postings."""
    batch = _row(form.BATCH, nth)
    event = _row(form.EVENT, nth + 3)
    lines = [_row(form.POSTING, nth + k) | {"line": 9 - k} for k in range(nth % 3)]
    params = [batch[name] for name, _ in form.BATCH]
    params[-1] = None if batch["xid"] is None else str(batch["xid"])
    params += [event[name] for name, _ in form.EVENT]
    asked = " UNION ALL ".join(
        _given(form.POSTING, 1 + len(params) + k * len(form.POSTING)) for k in range(len(lines))
    )
    asked = asked or "SELECT p.* FROM posting AS p WHERE p.bucket < 0"
    ((made,),) = await world.rows(
        f"""SELECT {seals.DIGEST.format(seals.BATCH_BYTES, "q.count", "q.lines")} AS digest
            FROM ({_given(form.BATCH, 1)}) AS b,
                 ({_given(form.EVENT, 1 + len(form.BATCH))}) AS e, (
                SELECT count(*) AS count, {seals.POSTING_BYTES} AS lines FROM ({asked}) AS p) AS q
        """,
        *params,
        *(line[name] for line in lines for name, _ in form.POSTING),
    )
    assert form.seal(batch, event, lines) == made


async def test_a_leaf_is_the_hash_of_what_is_read(world: World) -> None:
    """The batches of a life, read as a proof reads them."""
    await lived(world)
    await seal_all(world)
    async with world.database.transaction() as conn:
        for row in await world.rows("SELECT bucket, batch_id, digest FROM leaf"):
            read = await seals.read_batch(conn, row.bucket, row.batch_id)
            assert read is not None
            assert row.digest == form.seal(*read)


async def test_a_checkpoint_is_signed_at_most_every_minute(world: World) -> None:
    """And only when something was sealed since; a wrong clock stops it no longer than that."""
    assert not await sign(world)
    await lived(world, 1)
    await seal_all(world)
    assert await sign(world)
    await lived(world, 1)
    await seal_all(world)
    assert not await sign(world)
    world.clock.forward(seconds=60)
    assert await sign(world)
    world.clock.forward(seconds=60)
    assert not await sign(world)
    await lived(world, 1)
    await seal_all(world)
    world.clock.forward(days=-7)
    assert await sign(world)
    notes = [row.note for row in await world.rows("SELECT note FROM checkpoint ORDER BY size")]
    read = [note for text in notes for note in read_notes(text)]
    assert [2, 4, 6] == [note.checkpoint.size for note in read]
    assert all(is_signed(note, [KEY.public]) for note in read)


async def test_what_was_signed_leaves_in_order_until_it_has_left(world: World) -> None:
    """A place that does not take it gets it again; what has left does not leave twice."""
    for _ in range(3):
        await lived(world, 1)
        await checkpointed(world)
    sent = list[int]()
    fails = True

    async def send(note: str) -> None:
        nonlocal fails
        size = next(read_notes(note)).checkpoint.size
        if size == 4 and fails:
            fails = False
            raise ConnectionError
        sent.append(size)

    with pytest.raises(ConnectionError):
        await seal.export(world.database, send, world.parts)
    assert 2 == await seal.export(world.database, send, world.parts)
    assert 0 == await seal.export(world.database, send, world.parts)
    assert [2, 4, 6] == sent


async def test_a_database_that_was_used_before_is_sealed_from_its_beginning(world: World) -> None:
    """Nobody waits for it: it goes page by page."""
    await lived(world, 5)
    async with world.database.transaction() as conn:
        assert 3 == await seal.seal(conn, limit=3)
    assert await world.rows(PLACES + " LIMIT 3") == await world.rows(LEAVES)


CONTRADICTIONS = {
    "a leaf is another": "UPDATE leaf SET digest = sha256(digest) WHERE leaf_index = 1",
    "a leaf is gone": "DELETE FROM leaf WHERE leaf_index = 0",
    "the end is gone": "DELETE FROM leaf WHERE leaf_index > 0",
    "the root is another": "UPDATE checkpoint SET root = sha256(root)",
    "size and root are others": """UPDATE checkpoint SET size = 1,
        root = (SELECT digest FROM leaf WHERE leaf_index = 0)""",
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
async def test_nothing_is_signed_that_contradicts_the_last_checkpoint(
    world: World, what: str
) -> None:
    """I10: a log that does not begin as it was signed gets no signature, however it grows."""
    await lived(world, 1)
    await checkpointed(world)
    await change(world, "SET LOCAL session_replication_role = replica", CONTRADICTIONS[what])
    if "gone" not in what:
        await lived(world, 1)
        await seal_all(world)
    world.clock.forward(minutes=1)
    with pytest.raises(seal.LogContradictedError):
        await sign(world)
    assert [(1,)] == await world.rows("SELECT count(*) FROM checkpoint")
