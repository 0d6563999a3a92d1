"""Runs that processes share part by part: who leases one does some buckets and moves it on.

Their tables have a key, `next_bucket`, `leased_until`, `begun_at` and `ended_at`. When a run is
due, and where it begins, each kind says: `evaluation_runs`, `outlook_runs`, `period_runs`.
"""

from datetime import datetime
from typing import ClassVar

import msgspec

from benefits.domain.values import BUCKETS
from benefits.store.db import Connection, run


class Leased(msgspec.Struct, frozen=True, kw_only=True):
    """A run of ours for a while, from a bucket on."""

    ADVANCE: ClassVar[str]
    first: int
    until: datetime

    @property
    def key(self) -> tuple[object, ...]:
        """The values of its table's primary key."""
        raise NotImplementedError


def advance_of(table: str, *key: str) -> str:
    """Return the statement that moves a run on; a lease that became another's moves nothing."""
    of_key = " AND ".join(f"{name} = ${number}" for number, name in enumerate(key, 6))
    return f"""
UPDATE {table}
SET next_bucket = $2::smallint, leased_until = CASE WHEN $2 < {BUCKETS} THEN $4::timestamptz END,
    ended_at = CASE WHEN $2 = {BUCKETS} THEN $3::timestamptz END
WHERE next_bucket = $1 AND leased_until = $5 AND {of_key}
"""


async def advance(
    conn: Connection, leased: Leased, next_bucket: int, now: datetime, *, until: datetime | None
) -> bool:
    """Record that a run has come up to a bucket, and keep it until then, or give it back.

    Return whether it was ours.
    """
    values = (leased.first, next_bucket, now, until, leased.until, *leased.key)
    return bool(await run(conn, leased.ADVANCE, *values))
