"""New ids, as the driver has them: its own kind of UUID is written and compared much faster."""

import os
from datetime import datetime
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as DriverUUID  # noqa: N811 - two classes of one name

from benefits.domain.values import NewId, time_ordered_bytes

_CHANCE = 8
_AT_ONCE = 512 * _CHANCE


def make_new_id() -> NewId:
    """Return a source of UUIDv7s of an instant in a bucket; it asks for chance in bulk."""
    pool, used = b"", 0

    def new_id(at: datetime, bucket: int) -> UUID:
        nonlocal pool, used
        if used >= len(pool):
            pool, used = os.urandom(_AT_ONCE), 0
        chance = pool[used : used + _CHANCE]
        used += _CHANCE
        made: UUID = DriverUUID(time_ordered_bytes(at, chance, bucket))
        return made

    return new_id
