"""The tamper matrix of the log: whatever is done to batches, leaves or checkpoints is named (I10).

Everything here is done as a superuser, past triggers and constraints. What is left consistent
inside the database shows against a checkpoint that was exported before.
"""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from benefits.actions import verify
from benefits.domain import merkle
from benefits.domain import seals as form
from benefits.domain.checkpoints import Checkpoint
from benefits.domain.merkle import Frontier
from benefits.store import seals
from benefits.store.signing import SealKey
from tests import builders
from tests.actions.life import change, claimed, gift, give, holder, wish
from tests.actions.log import KEY, audit, checkpointed, seal_all, sign
from tests.builders import World
from tests.conftest import database

AS_SUPERUSER = "SET LOCAL session_replication_role = replica"
UNCHECKED = tuple(
    f"ALTER TABLE {table} DROP CONSTRAINT {name}"
    for table, name in (
        *(("leaf", "uq_leaf_bucket_batch_id"), ("leaf", "pk_leaf")),
        *(("leaf", "ck_leaf_index"), ("leaf", "ck_leaf_digest")),
    )
)
# One batch of those in the middle of the log.
ONE = "(SELECT l.batch_id FROM leaf AS l WHERE l.leaf_index = 7)"
END = "(SELECT l.batch_id FROM leaf AS l WHERE l.leaf_index > 270)"
LEDGER = ("posting", "batch", "outbox")
LOG_KINDS = {
    *("batch_unsealed", "seal_differs", "leaf_without_batch", "tree_differs", "sealed_twice"),
    *("checkpoint_differs", "signature_invalid", "log_cut", "log_rewritten"),
}


@pytest.fixture(scope="module")
async def lived(cluster_dsn: str, migrated: str) -> AsyncIterator[tuple[str, str]]:
    """Give the name of a database with a signed log, and the checkpoints exported from it."""
    async with database(cluster_dsn, migrated) as dsn:
        async with builders.world(dsn) as made:
            members = await made.members(130)
            await give(made, *(gift(member) for member in members))
            await claimed(made, *(wish(member) for member in members[:20]))
            await checkpointed(made)
            await give(made, *(gift(member) for member in members))
            await checkpointed(made)
            await claimed(made, wish(await holder(made)))
            notes = await checkpointed(made)
        yield urlsplit(dsn).path.removeprefix("/"), notes


@pytest.fixture
async def sealed(
    cluster_dsn: str, lived: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[World, str]]:
    """Give a copy of it, verified in one slice, with the exported checkpoints."""
    monkeypatch.setattr(verify, "SLICES", 1)
    name, notes = lived
    async with database(cluster_dsn, name) as dsn, builders.world(dsn) as made:
        yield made, notes


async def kinds(world: World, notes: str = "") -> set[str]:
    """Return the kinds of what verify finds about the log."""
    return {finding.kind for finding in await audit(world, notes)} & LOG_KINDS


async def test_an_untouched_log_has_no_findings(sealed: tuple[World, str]) -> None:
    """Nor has one that grows, signed by the next key or not yet."""
    world, notes = sealed
    assert 3 == notes.count("\n\n—")
    assert [] == await audit(world, notes)
    await claimed(world, wish(await holder(world)))
    assert [] == await audit(world, notes)
    await seal_all(world)
    assert [] == await audit(world, notes)


COLUMNS = {
    "member_id": "('00000000-0000-7000-8000-000000000' || right(batch_id::text, 3))::uuid",
    "kind": "kind || ' '",
    "cause_id": "CASE WHEN cause_id IS NULL THEN gen_random_uuid() END",
    "reverses": "gen_random_uuid()",
    "actor": "''",
    "effective_at": "effective_at + interval '1 microsecond'",
    "recorded_at": "'infinity'",
    "booked_month": "booked_month - 1",
    "xid": "(xid::text::bigint + 1)::text::xid8",
    "bucket": "(bucket + 1) % 1024",
    "batch_id": "(left(batch_id::text, 33) || '000')::uuid",
}
LINES = {
    "line": "line + 1",
    "debit": "'loss'",
    "credit": "'loss'",
    "unit": "unit || 'X'",
    "amount": "amount + 1",
    "lot_id": "NULL",
    "party": "party || 'x'",
}
TOLD = {
    "seq": "seq + 100",
    "event_id": "gen_random_uuid()",
    "type": "'claim.placed'",
    "subject_id": "NULL",
    "data": "data || jsonb_build_object('quantity', 99)",
    "recorded_at": "recorded_at - interval '1 year'",
    "position": "position - 1",
}
EDITS = [
    *(("batch", name, value) for name, value in COLUMNS.items()),
    *(("outbox", name, value) for name, value in TOLD.items()),
    *(("posting", name, value) for name, value in LINES.items()),
]


def test_each_column_is_edited() -> None:
    """A new column comes with a row of the matrix."""
    assert {name for name, _ in form.BATCH} == set(COLUMNS)
    assert {name for name, _ in form.EVENT} == set(TOLD)
    assert {name for name, _ in form.POSTING} == set(LINES)


@pytest.mark.parametrize(("table", "column", "value"), EDITS)
async def test_an_edited_column_is_found(
    sealed: tuple[World, str], table: str, column: str, value: str
) -> None:
    """Each column of a batch, of its event and of its postings is under the seal."""
    world, _ = sealed
    await change(
        world, AS_SUPERUSER, f"UPDATE {table} SET {column} = {value} WHERE batch_id = {ONE}"
    )
    moved = {"leaf_without_batch", "batch_unsealed"}
    expected = moved if column in {"bucket", "batch_id"} else {"seal_differs"}
    assert expected == await kinds(world)


FORGED_BATCH = """
INSERT INTO batch (bucket, batch_id, member_id, kind, actor, effective_at, recorded_at,
                   booked_month)
SELECT bucket,
       (left(batch_id::text, 14) || '7ace-8ace-abcdefabc' || right(batch_id::text, 3))::uuid,
       member_id, kind, actor, effective_at, recorded_at, booked_month
FROM batch WHERE batch_id = {one}
"""
FORGED_EVENT = """
INSERT INTO outbox
SELECT bucket, member_id, seq + 50, gen_random_uuid(), type,
       (left(batch_id::text, 14) || '7ace-8ace-abcdefabc' || right(batch_id::text, 3))::uuid,
       subject_id, data, recorded_at, position
FROM outbox WHERE batch_id = {one}
"""
SWAP = "UPDATE leaf SET leaf_index = 15 - leaf_index WHERE leaf_index IN (7, 8)"
MATRIX = {
    "a posting is deleted": (
        {"seal_differs"}, (f"DELETE FROM posting WHERE batch_id = {ONE}",)),
    "a posting is added": (
        {"seal_differs"},
        (f"""INSERT INTO posting SELECT bucket, batch_id, (line + 1)::smallint, debit, credit,
             unit, amount, lot_id, party FROM posting WHERE batch_id = {ONE}""",)),
    "a batch is deleted": (
        {"leaf_without_batch"},
        (f"DELETE FROM posting WHERE batch_id = {ONE}",
         f"DELETE FROM batch WHERE batch_id = {ONE}")),
    "a batch is forged, without an event": ({"batch_unsealed"}, (FORGED_BATCH,)),
    "a batch is forged, with an event of then": (
        {"batch_unsealed"}, (FORGED_BATCH, FORGED_EVENT)),
    "two leaves are swapped": (
        {"tree_differs", "checkpoint_differs"}, (*UNCHECKED, SWAP)),
    "the event of a batch is deleted": (
        {"seal_differs"}, (f"DELETE FROM outbox WHERE batch_id = {ONE}",)),
    "a leaf names another place": (
        {"seal_differs"}, ("UPDATE leaf SET position = 0 WHERE leaf_index = 7",)),
    "two leaves get each other's batch": (
        {"seal_differs"},
        (*UNCHECKED, """UPDATE leaf AS l SET batch_id = o.batch_id, bucket = o.bucket
         FROM leaf AS o WHERE l.leaf_index IN (7, 8) AND o.leaf_index = 15 - l.leaf_index""")),
    "a leaf is edited": (
        {"seal_differs", "tree_differs", "checkpoint_differs"},
        ("UPDATE leaf SET digest = sha256(digest) WHERE leaf_index = 7",)),
    "a leaf is deleted": (
        {"batch_unsealed", "tree_differs", "checkpoint_differs"},
        ("DELETE FROM leaf WHERE leaf_index = 7",)),
    "a leaf is there twice": (
        {"sealed_twice", "tree_differs", "checkpoint_differs"},
        (*UNCHECKED, "INSERT INTO leaf SELECT * FROM leaf WHERE leaf_index = 7")),
    "a batch has two leaves": (
        {"sealed_twice"},
        (*UNCHECKED, """INSERT INTO leaf SELECT 282, bucket, batch_id, position, digest FROM leaf
                        WHERE leaf_index = 7""")),
    "a node is edited": (
        {"tree_differs"}, ("UPDATE tree_node SET digest = sha256(digest)",)),
    "a node is deleted": ({"tree_differs"}, ("DELETE FROM tree_node",)),
    "a node is added": (
        {"tree_differs"}, ("INSERT INTO tree_node VALUES (8, 1, sha256(''))",)),
    "a checkpoint's root is edited": (
        {"checkpoint_differs"}, ("UPDATE checkpoint SET root = sha256(root) WHERE size = 150",)),
    "a checkpoint's note is edited": (
        {"checkpoint_differs", "signature_invalid"},
        ("UPDATE checkpoint SET note = replace(note, E'\\n150\\n', E'\\n151\\n') WHERE size = 150",
         )),
    "a checkpoint's time is edited": (
        {"signature_invalid"}, ("UPDATE checkpoint SET note = replace(note, '04:0', '05:0')",)),
    "a checkpoint's note is taken away": (
        {"checkpoint_differs"}, ("UPDATE checkpoint SET note = '' WHERE size = 150",)),
    "a checkpoint is ahead of the log": (
        {"checkpoint_differs"}, ("UPDATE checkpoint SET size = 10000 WHERE size = 150",)),
    "the end of leaves and batches is cut off": (
        {"checkpoint_differs"},
        (*(f"DELETE FROM {table} WHERE batch_id IN {END}" for table in LEDGER),
         "DELETE FROM leaf WHERE leaf_index > 270")),
}  # fmt: skip


@pytest.mark.parametrize("what", MATRIX)
async def test_tampering_with_the_log_is_named(sealed: tuple[World, str], what: str) -> None:
    """I10: by what the database itself still says, without anything exported."""
    world, _ = sealed
    expected, statements = MATRIX[what]
    await change(world, AS_SUPERUSER, *(text.replace("{one}", ONE) for text in statements))
    assert expected == await kinds(world)


NOTED = """
UPDATE checkpoint SET root = '\\x{1}', note = '{2}', key_id = 'KEY' WHERE size = {0}
"""


async def rewrite(world: World, key: SealKey) -> None:
    """Build leaves, nodes and checkpoints anew from the batches as they are now."""
    sizes = {row.size: row for row in await world.rows("SELECT size, signed_at FROM checkpoint")}
    found = await world.rows("SELECT leaf_index, bucket, batch_id FROM leaf ORDER BY 1")
    tree, leaves = Frontier(), list[tuple[int, bytes]]()
    nodes, notes = list[tuple[int, int, bytes]](), list[tuple[int, bytes, str]]()
    async with world.database.transaction() as conn:
        for row in found:
            read = await seals.read_batch(conn, row.bucket, row.batch_id)
            assert read is not None
            leaves.append((row.leaf_index, merkle.leaf(form.canonical(*read))))
            nodes += tree.push(leaves[-1][1])
            if tree.size in sizes:
                at = sizes[tree.size].signed_at
                said = Checkpoint(key.public.name, tree.size, tree.root(), at)
                notes.append((tree.size, tree.root(), key.sign(said)))
    await change(world, AS_SUPERUSER, "DELETE FROM tree_node")
    for statement, made in (
        ("UPDATE leaf SET digest = '\\x{1}' WHERE leaf_index = {0}", leaves),
        ("INSERT INTO tree_node VALUES ({0}, {1}, '\\x{2}')", nodes),
        (NOTED.replace("KEY", key.public.key_id.hex()), notes),
    ):
        for one in made:
            words = [part.hex() if isinstance(part, bytes) else part for part in one]
            await change(world, AS_SUPERUSER, statement.format(*words))


async def test_i10_a_cut_tail_is_found_against_an_exported_checkpoint(
    sealed: tuple[World, str],
) -> None:
    """I10: batches, events, leaves, checkpoints: the database is as it was a while ago."""
    world, notes = sealed
    last = "(SELECT l.batch_id FROM leaf AS l WHERE l.leaf_index >= 150)"
    await change(
        world,
        AS_SUPERUSER,
        *(f"DELETE FROM {table} WHERE batch_id IN {last}" for table in LEDGER),
        "DELETE FROM tree_node",
        "DELETE FROM leaf WHERE leaf_index >= 150",
        "DELETE FROM checkpoint WHERE size > 150",
    )
    assert set() == await kinds(world)
    assert {"log_cut"} == await kinds(world, notes)
    found = [one for one in await audit(world, notes) if one.kind == "log_cut"]
    assert ["280", "282"] == [one.subject.split()[0] for one in found]
    await give(world, *(gift(member) for member in await world.members(140)))
    await seal_all(world)
    assert {"log_rewritten"} == await kinds(world, notes)


@pytest.mark.parametrize(
    "tampering",
    [
        f"UPDATE posting SET amount = amount + 5 WHERE batch_id = {ONE}",
        f"UPDATE batch SET actor = 'somebody' WHERE batch_id = {ONE}",
        f"""INSERT INTO posting SELECT bucket, batch_id, 5, debit, credit, unit, amount, lot_id,
            party FROM posting WHERE batch_id = {ONE}""",
    ],
)
async def test_i10_a_history_written_anew_is_found_against_an_exported_checkpoint(
    sealed: tuple[World, str], tampering: str
) -> None:
    """I10: even when all leaves, nodes and checkpoints were made again by the owner."""
    world, notes = sealed
    await change(world, AS_SUPERUSER, tampering)
    forger = SealKey(bytes(32), KEY.public.name)
    await rewrite(world, forger)
    assert {"signature_invalid"} == await kinds(world)
    assert set() == {one.kind for one in await audit(world, key=forger)} & LOG_KINDS
    assert {"log_rewritten", "signature_invalid"} == await kinds(world, notes)


async def test_i10_even_with_the_key_the_past_stays_signed(sealed: tuple[World, str]) -> None:
    """Whoever has the signing key too cannot take back what has been exported."""
    world, notes = sealed
    await change(world, AS_SUPERUSER, f"UPDATE batch SET actor = 'x' WHERE batch_id = {ONE}")
    await rewrite(world, KEY)
    assert set() == await kinds(world)
    assert {"log_rewritten"} == await kinds(world, notes)


async def test_a_checkpoint_that_nobody_signed_is_named(sealed: tuple[World, str]) -> None:
    """A file of checkpoints is believed only by its signatures, and only for this log."""
    world, notes = sealed
    changed = notes.replace("\n150\n", "\n149\n")
    assert {"signature_invalid"} == await kinds(world, changed)
    assert {"signature_invalid"} == await kinds(world, notes.replace("benefits/", "others/"))


async def test_a_log_is_checked_by_the_key_of_its_time(sealed: tuple[World, str]) -> None:
    """After a new key, checkpoints of the old one count as long as it is known."""
    world, notes = sealed
    await claimed(world, wish(await holder(world)))
    await seal_all(world)
    world.clock.forward(days=1)
    await sign(world, SealKey(bytes(32), KEY.public.name))
    assert {"signature_invalid"} == await kinds(world, notes)


async def test_a_log_of_many_chunks_is_followed(
    sealed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunk by chunk, wherever the checkpoints stand."""
    from benefits.store import verify_seals

    world, notes = sealed
    for chunk in (1, 64, 150, 151):
        monkeypatch.setattr(verify_seals, "CHUNK", chunk)
        assert [] == await audit(world, notes)
