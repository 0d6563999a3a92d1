"""Events that are of no member: of rules and of stocks, in the feed of all (N-5).

They stand under NOBODY, an id that no member has, in a sequence of their own. Whoever tells one
comes alone, so that the sequence has no gap and its positions ascend.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.events import EVENTS
from benefits.domain.values import NewId, bucket_of
from benefits.store import agreements
from benefits.store.db import Connection, rows, run
from benefits.store.ledger import INSERT_EVENTS

NOBODY = UUID(int=0)
A_MOMENT = timedelta(microseconds=1)  # each is after the one before, as a member's are
# Primary key, backwards.
LAST = """
SELECT e.seq, e.position, e.recorded_at FROM outbox AS e
WHERE e.bucket = $1 AND e.member_id = $2 ORDER BY e.seq DESC LIMIT 1
"""
# Primary key: they are few.
TOLD = """
SELECT e.data FROM outbox AS e
WHERE e.bucket = $1 AND e.member_id = $2 AND e.type = $3 ORDER BY e.seq
"""


async def serial(conn: Connection) -> None:
    """Let those who tell such events come one at a time."""
    await agreements.serial(conn, "events")


async def told(conn: Connection, kind: str) -> list[dict[str, Any]]:
    """Return the data of all events of a type, the oldest first."""
    found = await rows(conn, TOLD, bucket_of(NOBODY), NOBODY, kind)
    return [row.data for row in found]


async def tell(
    conn: Connection,
    kind: str,
    some: Sequence[Mapping[str, Any]],
    *,
    now: datetime,
    new_id: NewId,
) -> None:
    """Tell events of a type, each by its data, in their order; whoever does is `serial`."""
    assert kind in EVENTS, f"{kind} is not in the catalogue of events"
    if not some:
        return
    bucket, count = bucket_of(NOBODY), len(some)
    last = await rows(conn, LAST, bucket, NOBODY)
    seq, position, before = last[0] if last else (0, 0, now - A_MOMENT)
    first = max(now, before + A_MOMENT)
    instants = [first + n * A_MOMENT for n in range(count)]
    await run(
        conn,
        INSERT_EVENTS,
        [bucket] * count,
        [NOBODY] * count,
        [seq + n for n in range(1, count + 1)],
        [new_id(at, bucket) for at in instants],
        [kind] * count,
        [None] * count,
        [None] * count,
        [msgspec.json.encode(data).decode() for data in some],
        instants,
        [position] * count,
    )
