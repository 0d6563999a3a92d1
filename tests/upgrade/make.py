"""Keep what a release's database looks like with data in it, for the upgrades that come later.

    python -m tests.upgrade.make > tests/upgrade/0002.inserts

Run it at the release's own commit; the file is named for its revision. `test_upgrade` loads each
file into a database of that revision and brings it to the newest.
"""

import asyncio
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from benefits.actions.keys import make_key, revoke_key
from benefits.domain.orders import Done, Outcome, Rejected, Unknown, Used
from benefits.domain.orders import Reason as Why
from benefits.embedded import Postgres, binary
from benefits.store.db import connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import create_database, make_partitions, migrate
from tests.actions import life
from tests.builders import MEMBER_KEY, World

SECRET_KEYS = (bytes(range(32, 64)),)
GOLD, PLATINUM = 6_000_000, 60_000_000


async def live(world: World, month: str) -> None:
    """Let members rise, claim, get, use, lose and wait; leave keys, cases and callbacks behind."""
    ids = await world.members(2)
    for number, daily_minor in ((1, GOLD), (2, PLATINUM)):
        await world.month(world.name(number), month, daily_minor)
    for member in ids:
        await world.evaluate(month, member)
    await life.claimed(world, life.wish(ids[1], "LOUNGE"), life.wish(ids[0]), life.wish(ids[1]))
    others = [await life.holder(world) for _ in range(4)]
    await life.claimed(world, *[life.wish(member) for member in others[:3]])
    works = await life.lease(world)
    now = world.parts.clock()
    outcomes: list[Outcome] = [
        *(Done(at=now, reference="R1"), Rejected(Why.ACCOUNT, "account"), Unknown("silence")),
        Done(at=now, reference="R2", code="4711"),
    ]
    for work, outcome in zip(works, outcomes, strict=False):
        await life.record(world, work, outcome)
    order = works[0].call.number
    await life.call_back(world, order, Done(at=now), Used(at=now))
    await life.call_back(world, "f" * 32, Used(at=now))
    await life.tell(world, works[3].call.number, Done(at=now), "waits")
    await life.decide(world, life.wish(others[3], "LOUNGE"))  # a refusal that is kept
    await life.claimed(world, life.wish(others[3]))  # and an order not yet sent
    async with world.database.transaction() as conn:
        await make_key(conn, "mobile", ["mobile"], world.parts)
        key = await make_key(conn, "crm", ["crm"], world.parts)
    ((revoked,),) = await world.rows("SELECT key_id FROM api_key WHERE name = 'crm'")
    assert key
    async with world.database.transaction() as conn:
        await revoke_key(conn, revoked, world.parts)


async def _main() -> None:
    with tempfile.TemporaryDirectory(prefix="benefits-make-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with Postgres(folder, say=lambda _: None) as server:
            admin = connect(server.dsn, pool_size=1)
            await create_database(admin)
            await admin.close()
            dsn = urlsplit(server.dsn)._replace(path="/benefits").geturl()
            database = connect(dsn)
            await migrate(database, "test", MEMBER_KEY)
            async with database.transaction() as conn:
                await make_partitions(conn, datetime(2025, 1, 2, tzinfo=UTC), 24)
            world = World(database, envelope=Envelope(SECRET_KEYS))
            await world.apply()
            await live(world, "2025-06")
            assert [] == await world.findings()
            await database.close()
            sys.stdout.write(_inserts(dsn))


def _inserts(dsn: str) -> str:
    """Return the rows of a database as statements, partitions' through their parents."""
    command = [str(binary("pg_dump")), "--data-only", "--column-inserts", dsn]
    command += ["--load-via-partition-root", "--exclude-table=alembic_version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rest = ("--", "\\", "SET ", "SELECT pg_catalog.")
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith(rest)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(_main())
