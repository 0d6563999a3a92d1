"""The house of every command: the database of the settings, opened and checked, and its parts."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec

from benefits.actions.parts import Parts
from benefits.domain.values import Clock
from benefits.settings import Settings
from benefits.store.catalogue import Cache
from benefits.store.db import Database, check_server, connect
from benefits.store.envelope import KEY_BYTES, Envelope
from benefits.store.ids import make_new_id
from benefits.store.migrate import Installation, check
from benefits.store.roles import rights_told


def real_clock() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


class House(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an edge needs, opened and checked."""

    settings: Settings
    database: Database
    installation: Installation
    parts: Parts


@asynccontextmanager
async def open_house(
    settings: Settings, *, clock: Clock = real_clock, answer_within_s: float | None = None
) -> AsyncIterator[House]:
    """Open and check the database of the settings; close it at the end (DatabaseUnsuitable).

    Whoever only reads the books has no secret keys, and a key here with which nothing opens.
    """
    database = connect(
        settings.database_url, pool_size=settings.pool_size, answer_within_s=answer_within_s
    )
    try:
        await check_server(database)
        async with rights_told(database):
            installation = await check(database, settings.keys.member_key)
            parts = Parts(
                clock=clock,
                new_id=make_new_id(),
                envelope=Envelope(settings.keys.secret_keys or [os.urandom(KEY_BYTES)]),
                catalogue=Cache(clock),
                member_key=settings.keys.member_key,
            )
            async with database.transaction() as conn:
                await parts.catalogue.current(conn)
            yield House(
                settings=settings, database=database, installation=installation, parts=parts
            )
    finally:
        await database.close()
