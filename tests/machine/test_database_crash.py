"""Kill -9 of PostgreSQL, the whole server and one backend, under concurrent claims (I13)."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from benefits.actions.claim import ClaimUnits, claim
from benefits.actions.keyed import Accepted
from benefits.domain.programme_file import read
from benefits.embedded import Postgres
from benefits.store.db import Unavailable, connect
from benefits.store.envelope import Envelope
from benefits.store.group import Group, grouped
from benefits.store.migrate import make_partitions, migrate
from tests import roles
from tests.actions import life
from tests.builders import MEMBER_KEY, PROGRAMME, World
from tests.conftest import roomy_folder

RICH = PROGRAMME.replace('total = "10000.00"', 'total = "10000000.00"')
MEMBERS = 6
CLAIMS_EACH = 40
CLIENTS = 12


@pytest.fixture
def server() -> Iterator[Postgres]:
    """Give a durable server of the test's own, that it may kill."""
    folder = Path(tempfile.mkdtemp(prefix="benefits-killed-", dir=roomy_folder()))
    folder.chmod(0o711)
    try:
        with Postgres(folder, say=lambda _: None) as started:
            yield started
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[World]:
    """Open an installation that may lose its database at any moment."""
    database = connect(dsn)
    try:
        yield World(database, envelope=Envelope([bytes(32)]))
    finally:
        await database.close()


async def prepared(world: World) -> list[ClaimUnits]:
    """Put the programme into force, give members units; return their wishes."""
    async with world.database.transaction() as conn:
        await make_partitions(conn, datetime(2025, 1, 2, tzinfo=UTC), 24)
    await world.apply(read(RICH))
    members = await world.members(MEMBERS)
    await life.give(world, *(life.gift(m, "LOUNGE", quantity=CLAIMS_EACH) for m in members))
    return [life.wish(m, "LOUNGE") for _ in range(CLAIMS_EACH) for m in members]


class Callers:
    """Clients that send their wishes one after the other and keep what was acknowledged."""

    def __init__(self, wishes: list[ClaimUnits]) -> None:
        """Begin with nothing acknowledged."""
        self.wishes = wishes
        self.acknowledged: dict[str, str] = {}
        self.unanswered = 0
        self.stubborn = True

    async def call(self, world: World) -> None:
        """Send what was not acknowledged; who is `stubborn` sends again until it is."""
        group = Group[ClaimUnits, Any](world.database, grouped(claim, world.parts), "crash")
        group.start()
        left = [wish for wish in self.wishes if wish.key not in self.acknowledged]
        shares = (left[n::CLIENTS] for n in range(CLIENTS))
        with capture_logs():
            await asyncio.gather(*(self._send(group, s) for s in shares))
        await group.close()

    async def _send(self, group: Group[ClaimUnits, Any], share: list[ClaimUnits]) -> None:
        for wish in share:
            while wish.key not in self.acknowledged:
                try:
                    outcome = await group.submit(wish)
                except Unavailable:
                    self.unanswered += 1
                    if not self.stubborn:
                        return
                    await asyncio.sleep(0.1)
                else:
                    assert isinstance(outcome, Accepted), outcome
                    self.acknowledged[wish.key] = outcome.ids["claim_id"]

    async def some(self, share: int) -> None:
        """Wait until a part of the wishes was acknowledged."""
        while len(self.acknowledged) < len(self.wishes) // share:
            await asyncio.sleep(0.01)


async def holds(world: World, callers: Callers, before: dict[str, str]) -> None:
    """Hold that each wish has one claim, and those of before the same as then."""
    assert before == {key: callers.acknowledged[key] for key in before}
    found = await world.rows("SELECT claim_id::text FROM claim")
    assert sorted(callers.acknowledged.values()) == sorted(row.claim_id for row in found)
    assert len(callers.wishes) == len(found)
    assert [] == await world.findings()


async def a_backend(dsn: str) -> int:
    """Return the process of one of the service's connections."""
    admin = await asyncpg.connect(dsn)
    try:
        return int(
            await admin.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'benefits' LIMIT 1"
            )
        )
    finally:
        await admin.close()


async def test_a_killed_postgresql_keeps_what_was_acknowledged(server: Postgres) -> None:
    """After kill -9 of one backend, then of the whole server, each claim is there once (I13)."""
    names = roles.fresh()
    await roles.create(server.dsn, names)
    async with roles.opened(roles.as_role(server.dsn, names.migrator)) as database:
        await migrate(database, "test", MEMBER_KEY)
    async with opened(roles.as_role(server.dsn, names.runtime)) as world:
        callers = Callers(await prepared(world))
        calling = asyncio.create_task(callers.call(world))
        await callers.some(4)
        os.kill(await a_backend(server.dsn), signal.SIGKILL)
        await callers.some(2)
        callers.stubborn = False
        assert server.process is not None
        server.process.kill()
        await calling
    before = dict(callers.acknowledged)
    assert 0 < callers.unanswered
    assert len(before) < len(callers.wishes)
    server.stop()
    server.start()
    callers.stubborn = True
    async with opened(roles.as_role(server.dsn, names.runtime)) as world:
        await callers.call(world)
        await holds(world, callers, before)
