"""The restore drill: dump, a new cluster, migrate, verify, and everything goes on."""

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from benefits.actions.keys import make_key
from benefits.domain.values import Month, local_date
from benefits.embedded import EmbeddedMissing, Postgres, binary
from benefits.house import real_clock
from benefits.settings import Keys
from benefits.store import db as store
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.grants import Names
from benefits.store.migrate import make_partitions, migrate
from tests import roles, shell
from tests.actions import life, log
from tests.builders import World, reference_programme
from tests.conftest import own_database, roomy_folder
from tests.service import environment, fresh_keys, serve
from tests.upgrade.make import live

AGE = "DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
RESTORE = ("--exit-on-error", "--no-owner", "--no-privileges")
BODY = {"benefit": "LOUNGE", "recipient": {"phone": "13800000001"}}
FIGURES = {
    "wallets": "SELECT bucket, member_id, unit, available, held FROM wallet ORDER BY 1, 2, 3",
    "lots": "SELECT bucket, lot_id, remaining, held FROM lot ORDER BY 1, 2",
    "orders": "SELECT bucket, claim_id, state FROM claim ORDER BY 1, 2",
    "tiers": "SELECT bucket, member_id, month, rank FROM tier_decision ORDER BY 1, 2, 3",
    "events": "SELECT bucket, member_id, seq, type, position FROM outbox ORDER BY 1, 2, 3",
}


@pytest.fixture
def elsewhere() -> Iterator[Postgres]:
    """Give a cluster of its own, as new as one after a disaster."""
    folder = Path(tempfile.mkdtemp(prefix="benefits-restore-", dir=roomy_folder()))
    folder.chmod(0o711)
    try:
        with Postgres(folder, say=lambda _: None, settings={"fsync": "off"}) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def run(program: str, *words: str) -> None:
    """Run a program of PostgreSQL, as the manual says."""
    try:
        path = binary(program)
    except EmbeddedMissing:
        pytest.skip(f"there is no {program}")
    subprocess.run([str(path), *words], check=True, capture_output=True)


async def command(dsn: str, keys: Keys, *words: str, **more: str) -> tuple[int, str]:
    """Run a command of ours; return its status and what it said."""
    environ = environment(dsn, keys) | {"BENEFITS_PORT": "0"} | more
    status, out, err = await asyncio.to_thread(shell.run, words, environ)
    return status, out + err


@asynccontextmanager
async def world_of(dsn: str, keys: Keys) -> AsyncIterator[World]:
    """Open a database as a world that goes by the real clock."""
    pool = connect(dsn)
    try:
        yield World(pool, envelope=Envelope(keys.secret_keys), clock=real_clock)
    finally:
        await pool.close()


async def figures(dsn: str) -> dict[str, list[tuple[object, ...]]]:
    """Return what must be the same after a restore."""
    raw = await asyncpg.connect(dsn)
    found = {name: [tuple(row) for row in await raw.fetch(sql)] for name, sql in FIGURES.items()}
    await raw.close()
    return found


async def claim(url: str, key: str, member: UUID, name: str) -> tuple[int, str, bool]:
    """Claim over HTTP; return the status, the claim and whether it is a stored answer."""
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": name}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/members/{member}/claims", json=BODY, headers=headers) as answer,
    ):
        told = await answer.json()
        return answer.status, told.get("id", ""), "Idempotency-Replayed" in answer.headers


async def prepare(dsn: str, keys: Keys, names: Names) -> tuple[UUID, str]:
    """Make a database with roles that has lived; return a member and a caller's key."""
    await roles.create(dsn, names)
    async with roles.opened(roles.as_role(dsn, names.migrator)) as pool:
        await migrate(pool, "demo", keys.member_key)
        async with pool.transaction() as conn:
            await make_partitions(conn, datetime(2025, 1, 2, tzinfo=UTC), 12)
    async with world_of(dsn, keys) as world:
        await world.apply()
        await live(
            world, str(Month.of(local_date(real_clock(), reference_programme().tz)).plus(-1))
        )
        member = await life.holder(world, "LOUNGE", 3)
        async with world.database.transaction() as conn:
            key = await make_key(conn, "backend", ["mobile"], world.parts)
        assert [] == await world.findings()
    return member, key


async def test_a_restored_database_goes_on_where_it_was(
    cluster_dsn: str, elsewhere: Postgres, tmp_path: Path
) -> None:
    """Balances, orders, tiers and stored answers are the same, and new events come last.

    Each role can again what it could, and no more.
    """
    names = roles.fresh()
    keys, dump = fresh_keys(), str(tmp_path / "benefits.dump")
    async with own_database(cluster_dsn) as dsn:
        try:
            raw = await asyncpg.connect(dsn)
            await raw.execute(AGE)  # a server that has seen more transactions than the new one
            await raw.close()
            member, key = await prepare(dsn, keys, names)
            async with serve(roles.as_role(dsn, names.runtime), keys) as service:
                first = await claim(service.url, key, member, "before")
            before = await figures(dsn)
            exported = await sealed(dsn, keys)
            await asyncio.to_thread(run, "pg_dump", "-Fc", "-f", dump, dsn)
        finally:
            await roles.drop(dsn, names)

    new = urlsplit(elsewhere.dsn)._replace(path="/restored").geturl()
    await asyncio.to_thread(run, "createdb", "--maintenance-db", elsewhere.dsn, "restored")
    await asyncio.to_thread(run, "pg_restore", *RESTORE, "-d", new, dump)

    status, said = await command(new, keys, "serve")
    assert (1, True) == (status, "The database was restored" in said), said
    migrator, runtime, auditor = (
        roles.as_role(new, role) for role in (names.migrator, names.runtime, names.auditor)
    )
    told = ("roles", "create", "--prefix", names.prefix)
    passwords = dict.fromkeys(("migrator", "runtime", "auditor", "reader"), roles.PASSWORD)
    admin = {"BENEFITS_ADMIN_URL": new, "BENEFITS_ROLE_PASSWORDS": json.dumps(passwords)}
    status, said = await command(new, keys, *told, **admin)
    assert 0 == status, said
    other = Keys(member_key=bytes(32), secret_keys=keys.secret_keys, provider_secrets={})
    status, said = await command(migrator, other, "migrate", "--stamp", "demo")
    assert (1, True) == (status, "BENEFITS_MEMBER_KEY is not the key" in said), said
    status, said = await command(migrator, keys, "migrate", "--stamp", "demo")
    assert 0 == status, said
    assert (0, True) == (await _said(auditor, keys, "verify", "0 findings"))
    assert before == await figures(new)

    async with serve(runtime, keys) as service:
        assert (*first[:2], True) == await claim(service.url, key, member, "before")
        status, _, replayed = await claim(service.url, key, member, "after")
    assert (201, False) == (status, replayed)
    after = await figures(new)
    (event,) = set(after["events"]) - set(before["events"])
    assert event[-1] > max(row[-1] for row in before["events"])  # type: ignore[operator, type-var]  # positions
    assert (0, True) == (await _said(auditor, keys, "verify", "0 findings"))
    status, said = await command(auditor, keys, "roles", "check", "--prefix", names.prefix)
    assert 0 == status, said
    await goes_on_sealing(new, keys, exported)


async def sealed(dsn: str, keys: Keys) -> str:
    """Seal all there is, sign it, and return the checkpoints as they were taken outside."""
    async with world_of(dsn, keys) as world:
        assert 0 < await log.seal_all(world)
        assert await log.sign(world)
        found = await world.rows("SELECT note FROM checkpoint ORDER BY size")
    return "\n".join(row.note for row in found)


async def goes_on_sealing(dsn: str, keys: Keys, exported: str) -> None:
    """The log of a restored database grows on: what was signed before is its beginning."""
    async with world_of(dsn, keys) as world:
        ((before,),) = await world.rows("SELECT count(*) FROM leaf")
        assert [] == await log.audit(world, exported)
        assert 1 == await log.seal_all(world)
        assert [] == await log.audit(world, exported)
        async with world.database.transaction() as conn:
            await store.run(conn, "SET LOCAL session_replication_role = replica")
            await store.run(conn, "UPDATE batch SET actor = actor || 'x'")
        assert before + 1 == [one.kind for one in await log.audit(world)].count("seal_differs")


async def _said(dsn: str, keys: Keys, name: str, words: str) -> tuple[int, bool]:
    status, said = await command(dsn, keys, name)
    return status, words in said


async def test_migrating_where_nothing_was_restored_moves_nothing(world: World) -> None:
    """However often `benefits migrate` runs, events keep their places."""
    await life.claimed(world, life.wish(await life.holder(world)))
    start = "SELECT position_start FROM installation"
    before = await world.rows(start)
    dsn = roles.as_role(roles.server(world.database), roles.NAMES.migrator)
    async with roles.opened(dsn) as database:
        await migrate(database, "test", fresh_keys().member_key)
    assert before == await world.rows(start)
