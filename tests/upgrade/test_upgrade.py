"""A database of each earlier revision, with data in it, comes to the newest whole."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection

from benefits.store import members
from benefits.store.db import Database, connect
from benefits.store.envelope import Envelope
from benefits.store.migrate import config, make_partitions, migrate
from benefits.store.verify import Finding
from tests.actions import life
from tests.builders import MEMBER_KEY, NOON, World
from tests.upgrade.make import SECRET_KEYS

NewDatabase = Callable[[str | None], Awaitable[str]]
KEPT = sorted(Path(__file__).parent.glob("*.inserts"))
RENAMED = {("outbox", "xid"): "position", ("api_key", "revoked_at"): "ends_at"}
TABLES = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT a.attisdropped
  AND c.relnamespace = 'public'::regnamespace
  AND c.relname NOT IN ('alembic_version', 'installation')
GROUP BY c.relname ORDER BY c.relname
"""


async def _of_revision(dsn: str, kept: Path) -> Database:
    """Make a database of the file's revision and put its rows into it."""
    database = connect(dsn)

    def upgrade(connection: SyncConnection) -> None:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, kept.stem)

    async with database.transaction() as conn:
        await conn.run_sync(upgrade)
        await make_partitions(conn, datetime(2025, 1, 2, tzinfo=UTC), 24)
    raw = await asyncpg.connect(dsn)
    await raw.execute("SELECT make_partition('asset', '2025-06-01')")
    await raw.execute(kept.read_text())
    await raw.close()
    return database


async def _contents(
    dsn: str, tables: dict[str, list[str]] | None = None
) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every table, sorted, those columns only that `tables` names."""
    raw = await asyncpg.connect(dsn)
    wanted = tables or {r["relname"]: r["columns"] for r in await raw.fetch(TABLES)}
    found = {}
    for table, columns in wanted.items():
        shown = ", ".join(f'"{column}"::text' for column in columns)
        rows = [tuple(row) for row in await raw.fetch(f'SELECT {shown} FROM "{table}"')]
        found[table] = sorted(rows, key=repr)
    await raw.close()
    return found


async def _columns(dsn: str) -> dict[str, list[str]]:
    raw = await asyncpg.connect(dsn)
    found = {r["relname"]: r["columns"] for r in await raw.fetch(TABLES)}
    await raw.close()
    return found


async def _wrong(world: World) -> list[Finding]:
    """Return what verify finds, but for ends of holds that are microseconds before their batch's.

    Until batches were sealed with their events, a hold ended at the clock's time.
    """
    ends = "SELECT hold_id::text FROM hold_end WHERE ended_at < $1 AND bucket BETWEEN 0 AND 1023"
    early = {row.hold_id for row in await world.rows(ends, NOON + timedelta(minutes=1))}
    return [
        one
        for one in await world.findings()
        if one.kind != "hold_terms_differ" or one.subject not in early
    ]


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.stem)
async def test_an_upgrade_keeps_what_was_there(kept: Path, new_database: NewDatabase) -> None:
    """Every row stays as it was, the books are in order, and the members' events go on."""
    dsn = await new_database(None)
    database = await _of_revision(dsn, kept)
    before = await _contents(dsn)
    assert len(before["posting"]) > 10
    old = await _columns(dsn)
    await migrate(database, "test", MEMBER_KEY)
    now_named = {
        table: [RENAMED.get((table, column), column) for column in columns]
        for table, columns in old.items()
    }
    assert before == await _contents(dsn, now_named)

    world = World(database, envelope=Envelope(SECRET_KEYS))
    world.clock.forward(minutes=1)
    assert [] == await _wrong(world)
    (waiting,) = await world.rows("SELECT claim_id, member_id FROM claim WHERE state = 'HELD'")
    works = await life.lease(world)
    assert waiting.claim_id in {work.request.claim_id for work in works}
    assert 1 == await life.work_off(world)
    # Under names of their own: those of this process may stand in the database already.
    holder = await life.holder(world, caller="later", business_key="later")
    await life.claimed(world, life.wish(holder, caller="later"))
    member = (await world.rows("SELECT member_id FROM wallet WHERE available > 0"))[0].member_id
    await life.give(world, life.gift(member, caller="later", business_key="later still"))
    assert [] == await world.rows(
        """SELECT 1 FROM outbox AS a JOIN outbox AS b
           ON b.bucket = a.bucket AND b.member_id = a.member_id AND b.seq = a.seq + 1
        WHERE b.position < a.position"""
    )
    assert [] == await _wrong(world)
    await database.close()


async def test_a_relationship_that_ends_with_the_calendar_goes_on(
    new_database: NewDatabase,
) -> None:
    """Rows of members whose end no client can read come to be of members without an end."""
    dsn = await new_database(None)
    database = await _of_revision(dsn, next(one for one in KEPT if one.stem == "0001"))
    raw = await asyncpg.connect(dsn)
    (member,) = (
        row["member_id"] for row in await raw.fetch("SELECT member_id FROM member LIMIT 1")
    )
    await raw.execute("UPDATE member SET closed_on = '9999-12-31' WHERE member_id = $1", member)
    await migrate(database, "test", MEMBER_KEY)
    found = await raw.fetch("SELECT closed_on, end_due FROM member WHERE member_id = $1", member)
    assert [(None, None)] == [tuple(row) for row in found]
    await raw.close()
    async with database.transaction() as conn:
        locked = await members.lock(conn, [member], wait=True)
    assert [None] == [one.end_due for one in locked.values()]
    await database.close()


def test_every_kept_database_is_of_a_revision() -> None:
    """A release leaves its file behind; the first one did."""
    revisions = ScriptDirectory.from_config(config()).walk_revisions()
    known = {one.revision for one in revisions}
    kept = {path.stem for path in KEPT}
    assert (True, set()) == ("0001" in kept, kept - known)
