"""A proof convinces whoever has the script, the public key and nothing else of ours."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from benefits.actions.prove import prove_batch, prove_consistency
from tests import builders
from tests.actions.life import claimed, gift, give, holder, wish
from tests.actions.log import KEY, checkpointed, seal_all
from tests.builders import World
from tests.conftest import database

SCRIPT = Path(__file__).parents[2] / "docs" / "check_proof.py"
Proof = dict[str, Any]


@pytest.fixture(scope="module")
async def log(cluster_dsn: str, migrated: str) -> AsyncIterator[str]:
    """Give the name of a database with a log of several signed sizes."""
    async with database(cluster_dsn, migrated) as dsn:
        async with builders.world(dsn) as made:
            for count in (1, 3, 252, 44):
                members = await made.members(count)
                await give(made, *(gift(member) for member in members))
                await checkpointed(made)
        yield urlsplit(dsn).path.removeprefix("/")


@pytest.fixture
async def logged(cluster_dsn: str, log: str) -> AsyncIterator[World]:
    """Give a copy of it."""
    async with database(cluster_dsn, log) as dsn, builders.world(dsn) as made:
        yield made


def check(folder: Path, proof: Proof, key: str = str(KEY.public)) -> tuple[int, str]:
    """Run the script as an auditor does, without anything installed."""
    path = folder / "proof.json"
    path.write_text(json.dumps(proof))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", str(SCRIPT), str(path), key],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stderr
    return done.returncode, done.stdout


async def proof_of(world: World, index: int) -> Proof:
    """Prove the batch of a leaf, as the command writes it."""
    ((batch_id,),) = await world.rows("SELECT batch_id FROM leaf WHERE leaf_index = $1", index)
    async with world.database.transaction() as conn:
        made = await prove_batch(conn, batch_id)
    assert made is not None
    return Proof(json.loads(json.dumps(made)))


@pytest.mark.parametrize("index", [0, 3, 4, 255, 256, 299])
async def test_a_proof_convinces(logged: World, tmp_path: Path, index: int) -> None:
    """Wherever in the log the batch stands."""
    status, said = check(tmp_path, await proof_of(logged, index))
    assert (0, True) == (status, f"is number {index + 1} of the 300 batches" in said), said
    assert "issued -> available: 1 BENEFIT:VIDEO" in said


async def test_a_batch_of_a_claim_is_proven(world: World, tmp_path: Path) -> None:
    """With causes and several postings; the key may be in a file."""
    member = await holder(world, quantity=1)
    await give(world, gift(member))
    await claimed(world, wish(member, quantity=2))
    await checkpointed(world)
    (tmp_path / "key.pub").write_text(f"{KEY.public}\n")
    status, said = check(tmp_path, await proof_of(world, 2), str(tmp_path / "key.pub"))
    assert 0 == status, said
    assert 2 == said.count("available -> held")


def _set(*way: str | int, to: Any) -> Callable[[Proof], None]:
    def change(proof: Proof) -> None:
        inner: Any = proof
        for step in way[:-1]:
            inner = inner[step]
        inner[way[-1]] = to

    return change


def _leaf_too(proof: Proof) -> None:
    proof["leaf"] = "00" * 32


FORGERIES = {
    "an amount": (_set("batch", "postings", 0, "amount", to=9), "not those that were sealed"),
    "an actor": (_set("batch", "actor", to="x"), "not those that were sealed"),
    "an instant": (
        _set("batch", "recorded_at", to="2025-07-02T04:00:00.000001Z"),
        "not those that were sealed",
    ),
    "what was told": (_set("batch", "event", "data", to="{}"), "not those that were sealed"),
    "its place": (_set("batch", "event", "position", to=1), "not those that were sealed"),
    "another column of its event": (
        _set("batch", "event", "note", to="x"),
        "not the columns that are sealed",
    ),
    "no postings": (_set("batch", "postings", to=[]), "not those that were sealed"),
    "another column": (_set("batch", "note", to="x"), "not the columns that are sealed"),
    "the leaf": (_leaf_too, "not those that were sealed"),
    "the place": (_set("leaf_index", to=8), "not in the log that was signed"),
    "a place beyond": (_set("leaf_index", to=300), "the checkpoint is of 300 batches"),
    "the path": (_set("path", 0, to="00" * 32), "not in the log that was signed"),
    "a short path": (_set("path", to=[]), "the path is too short"),
    "a long path": (_set("path", to=["00" * 32] * 40), "the path is too long"),
}


@pytest.mark.parametrize("what", FORGERIES)
async def test_a_forged_proof_is_refused(logged: World, tmp_path: Path, what: str) -> None:
    """And the script says what is wrong."""
    proof = await proof_of(logged, 9)
    forge, words = FORGERIES[what]
    forge(proof)
    status, said = check(tmp_path, proof)
    assert (1, True) == (status, words in said), said


async def test_a_checkpoint_must_be_signed_by_the_key(logged: World, tmp_path: Path) -> None:
    """Another size, another signature, another key, another log: nothing of it is believed."""
    proof = await proof_of(logged, 9)
    note = proof["checkpoint"]
    for forged in (
        note.replace("\n300\n", "\n301\n"),
        note[:-12] + "AAAAAAAAAA=\n",
        note.split("\n\n")[0] + "\n\n",
    ):
        status, said = check(tmp_path, proof | {"checkpoint": forged})
        assert (1, True) == (status, "not signed by this key" in said), said
    other = note.replace("benefits/", "others/")
    status, said = check(tmp_path, proof | {"checkpoint": other})
    assert (1, True) == (status, "is of another log" in said), said
    status, said = check(tmp_path, proof, str(KEY.public)[:-4] + "AAA=")
    assert (1, True) == (status, "the public key is damaged" in said), said
    status, said = check(tmp_path, {"format": "other"})
    assert 2 == status
    assert "no proof that can be understood" in said


@pytest.mark.parametrize(("old", "new"), [(1, 4), (1, 256), (4, 256), (4, 300), (256, 300)])
async def test_growth_is_proven(logged: World, tmp_path: Path, old: int, new: int) -> None:
    """Between any two signed sizes; not when the path says otherwise."""
    async with logged.database.transaction() as conn:
        proof = await prove_consistency(conn, old, new)
        assert None is await prove_consistency(conn, new, old)
        assert None is await prove_consistency(conn, old, new - 1)
    assert proof is not None
    status, said = check(tmp_path, proof)
    assert (0, True) == (status, f"the {old} batches of" in said), said
    proof["path"][-1] = "00" * 32
    status, said = check(tmp_path, proof)
    assert (1, True) == (status, "does not begin as the older one" in said), said


async def test_what_is_not_signed_yet_is_not_proven(world: World) -> None:
    """Neither a batch that is not sealed, nor a sealed one before the next checkpoint."""
    await holder(world)
    ((batch_id,),) = await world.rows("SELECT batch_id FROM batch")
    async with world.database.transaction() as conn:
        assert None is await prove_batch(conn, batch_id)
        await seal_all(world)
        assert None is await prove_batch(conn, batch_id)
