"""Before work begins the last members' books are looked at, by the processes themselves."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benefits.actions.look_back import BooksDiffer, look_back
from benefits.domain.values import bucket_of
from benefits.store import recent
from benefits.store.db import rows, run
from tests.actions.life import change, claimed, holder, wish
from tests.builders import World
from tests.service import environment, fresh_keys, serve
from tests.shell import Shell

TAMPER = "UPDATE wallet SET available = available + 1"


async def kinds(world: World) -> list[str]:
    """Look back and return the kinds of what is found."""
    return sorted(f.kind for f in await look_back(world.database, "read_only"))


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        ("wallet_differs", "UPDATE wallet SET available = available + 1"),
        ("wallet_differs", "UPDATE wallet SET owed = 1"),
        ("wallet_differs", "DELETE FROM wallet"),
        ("wallet_differs", "INSERT INTO wallet SELECT bucket, member_id, 'X', 1, 0 FROM member"),
        ("wallet_differs", "DELETE FROM posting WHERE credit = 'held'"),
        ("lot_differs", "UPDATE lot SET granted = granted + 1"),
        ("lot_differs", "DELETE FROM lot"),
        ("held_without_hold", "DELETE FROM hold"),
    ],
)
async def test_a_hand_in_the_books_is_seen(world: World, kind: str, statement: str) -> None:
    """Whatever of the last members is not what their postings give is found before the start."""
    await claimed(world, wish(await holder(world, quantity=3)))
    assert [] == await kinds(world)
    await change(world, "SET LOCAL session_replication_role = replica", statement)
    assert kind in await kinds(world)
    with pytest.raises(BooksDiffer, match=kind):
        await look_back(world.database, "refuse")


async def test_only_the_members_of_the_last_batches_are_looked_at(world: World) -> None:
    """Exactly those: what was longer ago is the nightly verification's."""
    early = await holder(world)
    world.clock.forward(seconds=1)
    await holder(world)
    await change(world, f"{TAMPER} WHERE member_id = '{early}'")
    assert [] == [f async for f in recent.findings(world.database, 1)]
    (found,) = [f async for f in recent.findings(world.database, 2)]
    assert ("wallet_differs", True) == (found.kind, str(early) in found.subject)


async def test_no_table_is_read_whole(world: World) -> None:
    """The last events are read off an index, and members' rows by keys, in every partition."""
    member = await holder(world)
    async with world.database.transaction() as conn:
        await run(conn, "SET LOCAL enable_seqscan = off")
        plans = await rows(conn, f"EXPLAIN {recent.LAST}", recent.BATCHES)
        text = "\n".join(row[0] for row in plans)
        assert "Scan Backward using ix_outbox_position_bucket_member_id_seq" in text
        keys = [bucket_of(member)], [member]
        text = "\n".join(row[0] for row in await rows(conn, f"EXPLAIN {recent.DIFFERENT}", *keys))
        assert "Seq Scan" not in text
        assert "Index Scan using pk_outbox" in text
        assert "_pkey on posting_" in text


@pytest.fixture
async def wrong(world: World) -> str:
    """Give the address of a database with a claim that is due and a wallet that is wrong."""
    await claimed(world, wish(await holder(world, quantity=3)))
    await change(world, f"{TAMPER} WHERE unit = 'BENEFIT:VIDEO'")
    url = world.database.engine.url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


async def test_processes_refuse_to_start_where_the_setting_says_so(
    wrong: str, tmp_path: Path
) -> None:
    """Both end with the words and status 1, before they listen."""
    shell = Shell(wrong, tmp_path)
    for command in ("serve", "work"):
        more = {"BENEFITS_ON_FINDING": "refuse", "BENEFITS_PORT": "0"}
        status, said = await asyncio.to_thread(shell.run, command, **more)
        assert (1, True) == (
            status,
            "books_differ: The books are wrong (wallet_differs 1)" in said,
        )


async def test_a_worker_does_nothing_but_say_so(wrong: str, world: World) -> None:
    """The claim that is due stays where it is; told to stop, it ends well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benefits", "work"),
        env=environment(wrong, fresh_keys()),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = list[dict[str, Any]]()
    async with asyncio.timeout(60):
        while "worker.only_reads" not in {line["event"] for line in said}:
            said.append(json.loads(await process.stdout.readline()))
    (told,) = (line for line in said if line["event"] == "books.differ")
    assert (1, "wallet_differs 1") == (told["findings"], told["kinds"])
    process.terminate()
    assert 0 == await process.wait()
    assert [] == await world.rows("SELECT attempt FROM provider_attempt")
    assert [("HELD",)] == await world.rows("SELECT state FROM claim")


async def test_a_clean_installation_starts_as_ever(world: World) -> None:
    """The process says that it looked, and is ready."""
    await claimed(world, wish(await holder(world)))
    url = world.database.engine.url.set(drivername="postgresql")
    async with serve(url.render_as_string(hide_password=False), fresh_keys()) as service:
        pass
    events = [json.loads(line)["event"] for line in service.said.splitlines()]
    assert "books.looked_back" in events
    assert "books.differ" not in events
