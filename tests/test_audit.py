"""What an auditor types, on a log that a worker sealed, signed and took outside."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from benefits import app
from benefits.domain.tokens import Issuer, caller_of
from benefits.domain.values import bucket_of
from benefits.house import open_house
from benefits.providers.client import Client
from benefits.settings import load
from benefits.store import gauges
from benefits.worker import Sealing, Worker
from tests import builders
from tests.actions.life import change, gift, give, holder
from tests.builders import World
from tests.conftest import database
from tests.shell import Shell

ROOT = Path(__file__).parents[1]
SEED = bytes(range(64, 96))


@pytest.fixture
async def shell(cluster_dsn: str, migrated: str, tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a shell for an installation of its own that has the key."""
    async with database(cluster_dsn, migrated) as dsn:
        made = Shell(dsn, tmp_path)
        made.environ |= {
            "BENEFITS_SEAL_KEY": SEED.hex(),
            "BENEFITS_CHECKPOINTS": str(tmp_path / "checkpoints"),
        }
        yield made


async def worked(shell: Shell, *, rewards: int) -> UUID:
    """Reward members, let a worker do its steps for the log, return a batch."""
    settings = load(shell.environ)
    async with open_house(settings) as house, Client() as client:
        world = World(house.database, clock=house.parts.clock)
        await world.apply()
        members = await world.members(rewards)
        await give(world, *(gift(member) for member in members))
        sealing = app.sealing_of(house, client)
        worker = Worker(house.database, house.parts, {}, sealing=sealing)
        assert 0 == await worker.seal()
        assert 1 == await worker.export()
        assert 0 == await worker.export()
        return UUID(str((await world.rows("SELECT batch_id FROM batch LIMIT 1"))[0].batch_id))


async def run(shell: Shell, *words: str, **more: str) -> tuple[int, str]:
    """Run a command aside."""
    return await asyncio.to_thread(shell.run, *words, **more)


async def test_an_auditor_checks_the_log_and_a_batch(shell: Shell) -> None:
    """Public key, exported file, proof and script fit each other; without the private key too."""
    batch = await worked(shell, rewards=3)
    file = str(shell.folder / "checkpoints")
    status, key = await run(shell, "seal-key")
    assert (0, True) == (status, key.startswith("benefits/"))
    status, said = await run(shell, "verify", "--checkpoint", file)
    assert (0, "1 exported checkpoints were compared.\n0 findings.\n") == (status, said)
    status, proof = await run(shell, "proof", str(batch))
    assert (0, "benefits.proof/2") == (status, json.loads(proof)["format"])
    (shell.folder / "proof.json").write_text(proof)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "docs/check_proof.py", str(shell.folder / "proof.json"), key.strip()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, True) == (done.returncode, f"Proven: batch {batch}" in done.stdout), done.stdout
    del shell.environ["BENEFITS_SEAL_KEY"]
    del shell.environ["BENEFITS_CHECKPOINTS"]
    status, said = await run(shell, "verify", "--checkpoint", file)
    assert (1, True) == (status, "Whose signatures count?" in said)
    status, said = await run(shell, "verify")
    assert (0, True) == (status, "no signature is checked" in said)
    status, said = await run(
        shell, "verify", "--checkpoint", file, BENEFITS_SEAL_PUBLIC_KEYS=key.strip()
    )
    assert (0, True) == (status, "0 findings" in said), said


async def test_a_hand_in_the_tables_is_named(shell: Shell) -> None:
    """Status 3, the kind and the batch."""
    batch = await worked(shell, rewards=2)
    async with builders.world(shell.environ["BENEFITS_DATABASE_URL"]) as world:
        await change(
            world,
            "SET LOCAL session_replication_role = replica",
            f"UPDATE batch SET actor = 'x' WHERE batch_id = '{batch}'",
        )
    status, said = await run(shell, "verify")
    assert (3, True) == (status, f"seal_differs {batch}: leaf" in said), said


async def test_a_months_tiers_are_decided_again(shell: Shell) -> None:
    """By buckets; status 3 and the figure where one was changed behind the service's back."""
    async with builders.world(shell.environ["BENEFITS_DATABASE_URL"]) as world:
        for nth in range(1, 4):
            member = await world.member()
            await world.month(world.name(nth), "2025-06", 520_000_00)
            await world.evaluate("2025-06", member)
        await change(
            world,
            "SET LOCAL session_replication_role = replica",
            f"UPDATE tier_decision SET rank = 3 WHERE member_id = '{member}'",
        )
        ((wrong,),) = await world.rows("SELECT decision_id FROM tier_decision WHERE rank = 3")
    command = ("replay", "--period", "2025-06")
    status, said = await run(shell, *command)
    told = f"{wrong}: after\n2025-06: 3 decisions decided again, 1 of them otherwise.\n"
    assert (3, told) == (status, said)
    bucket = bucket_of(member)
    others = f"{bucket + 1}-1023" if bucket < 1023 else f"0-{bucket - 1}"
    status, said = await run(shell, *command, "--buckets", others)
    assert (0, True) == (status, said.endswith(" 0 of them otherwise.\n"))


async def test_what_cannot_be_is_told_in_words(shell: Shell) -> None:
    """No log yet, no such batch, no key, a file without a checkpoint."""
    for words, status, part in (
        (("proof", str(UUID(int=1))), 1, "not_provable"),
        (("proof", "--sizes", "1", "2"), 1, "not_provable"),
        (("proof",), 2, "Give a batch, or --sizes OLD NEW."),
        (("proof", "x"), 2, "not a valid UUID"),
        (("verify", "--checkpoint", "README.md"), 1, "checkpoint_unreadable"),
    ):
        got, said = await run(shell, *words)
        assert (status, True) == (got, part in said), said
    got, said = await run(shell, "seal-key", BENEFITS_SEAL_KEY="")
    assert (1, True) == (got, "BENEFITS_SEAL_KEY is not set" in said)
    got, said = await run(shell, "work", BENEFITS_SEAL_KEY="")
    assert (1, True) == (got, "BENEFITS_CHECKPOINTS needs BENEFITS_SEAL_KEY" in said), said


async def test_a_worker_says_when_checkpoints_stay_inside(shell: Shell) -> None:
    """The ledger is sealed all the same; which setting is missing stands in the log."""
    for missing, without in (
        ("BENEFITS_SEAL_KEY", ("BENEFITS_SEAL_KEY", "BENEFITS_CHECKPOINTS")),
        ("BENEFITS_CHECKPOINTS", ("BENEFITS_CHECKPOINTS",)),
    ):
        given = {name: value for name, value in shell.environ.items() if name not in without}
        async with open_house(load(given)) as house, Client() as client:
            with capture_logs() as lines:
                sealing = app.sealing_of(house, client)
            assert sealing.export is None
            assert [("checkpoints.stay_inside", missing)] == [
                (line["event"], line["missing"]) for line in lines
            ]


async def test_the_figures_tell_what_is_not_sealed_and_what_stays_inside(world: World) -> None:
    """Sealed batches, the age of the oldest unsealed one, and of the oldest not taken outside."""
    from benefits import measures
    from tests.actions.log import checkpointed, seal_all

    async def look() -> tuple[float, bool, bool]:
        async with world.database.transaction() as conn:
            await gauges.read(conn, await world.parts.catalogue.current(conn))
        told = (measures.UNSEALED_AGE, measures.CHECKPOINT_AGE)
        return (measures.SEALED._value.get(), *(gauge._value.get() > 3600 for gauge in told))

    assert (0, False, False) == await look()
    await holder(world)
    assert (0, True, True) == await look()
    await seal_all(world)
    assert (1, False, True) == await look()
    await checkpointed(world)
    assert (1, False, True) == await look()

    async def send(_: str) -> None:
        """Take it."""

    worker = Worker(world.database, world.parts, {}, sealing=Sealing(None, send))
    assert 1 == await worker.export()
    assert (1, False, False) == await look()
    await holder(world)
    assert (1, True, True) == await look()
    gauges.forget()


async def test_who_only_reads_the_books_needs_no_key_that_opens_what_is_sealed(
    shell: Shell,
) -> None:
    """An auditor's environment holds neither the secret keys nor what providers share."""
    batch = await worked(shell, rewards=1)
    for name in ("BENEFITS_SECRET_KEYS", "BENEFITS_PROVIDER_SECRETS"):
        shell.environ.pop(name, None)
    for words in (
        ("verify", "--checkpoint", str(shell.folder / "checkpoints")),
        ("proof", str(batch)),
        ("report", "totals"),
        ("seal-key",),
    ):
        status, said = await run(shell, *words)
        assert 0 == status, said
    status, said = await run(shell, "expire")
    assert (1, True) == (status, "BENEFITS_SECRET_KEYS" in said)


async def test_an_auditor_learns_under_which_name_a_person_stands_in_the_books(
    shell: Shell,
) -> None:
    """The name is that of the caller whom the subject's token makes."""
    claims = {"sub": "7f0c1d", "scope": "operator", "exp": 2_000_000_000}
    issuer = Issuer(
        issuer="x", alias="login", audience="y", algorithms=("ES256",), jwks_file="/jwks"
    )
    member_key = load(shell.environ).keys.member_key
    caller, _ = caller_of(claims, issuer, member_key=member_key, now=builders.NOON)
    status, said = await run(shell, "subject", "login", "7f0c1d")
    assert (0, f"{caller.name}\n") == (status, said)
