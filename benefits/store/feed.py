"""All members' events in one order that a reader follows by a cursor and never misses one.

An event's position is `installation.position_start` + the id of the transaction that wrote it, but
never before that of the member's event before it; so positions follow each member's sequence.
Transactions commit in another order than they begin. Hence a reader sees only what lies below the
oldest transaction still open: nothing can appear there any more. A write that stays open (in any
database of the same server) holds the feed back, and loses nothing.

A restored database counts transactions anew. `benefits migrate` then raises `position_start` above
every position there is; until it has, the feed refuses (`EventsUnordered`). A cursor carries the
`position_start` it was made under: one from before a restore is good where it lies among what was
restored, and beyond that it is refused, for what it has read there is lost (`CursorLost`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from benefits.domain.refusal import Refusal
from benefits.domain.values import BUCKETS
from benefits.store.db import Connection, rows

SCANNED_MAX = 10_000

# One snapshot for all of it. The last line of ix_outbox_position_bucket_member_id_seq, backwards.
BOUND = """
SELECT i.position_start,
       i.position_start + pg_snapshot_xmin(s.now)::text::bigint AS below,
       coalesce((SELECT e.position FROM outbox AS e
                 ORDER BY e.position DESC, e.bucket DESC, e.member_id DESC, e.seq DESC LIMIT 1), 0)
           >= i.position_start + pg_snapshot_xmax(s.now)::text::bigint AS ahead
FROM installation AS i, pg_current_snapshot() AS s (now)
"""
# ix_outbox_position_bucket_member_id_seq. At most $6 lines are looked at, whatever the filter; the
# last one comes along (`wanted` false) so that the cursor moves.
PAGE = """
WITH scanned AS MATERIALIZED (
    SELECT e.position, e.bucket, e.member_id, e.seq, e.event_id, e.type, e.subject_id, e.data,
           e.recorded_at, $8::text[] IS NULL OR e.type = ANY($8::text[]) AS wanted
    FROM outbox AS e
    WHERE (e.position, e.bucket, e.member_id, e.seq)
          > ($1::bigint, $2::smallint, $3::uuid, $4::bigint)
      AND e.position < $5
    ORDER BY e.position, e.bucket, e.member_id, e.seq LIMIT $6),
found AS (SELECT * FROM scanned AS n WHERE n.wanted
          ORDER BY n.position, n.bucket, n.member_id, n.seq LIMIT $7),
last AS (SELECT * FROM scanned AS n
         ORDER BY n.position DESC, n.bucket DESC, n.member_id DESC, n.seq DESC LIMIT 1)
SELECT f.*, (SELECT count(*) FROM scanned) AS scanned FROM found AS f
UNION ALL
SELECT l.*, (SELECT count(*) FROM scanned) AS scanned FROM last AS l WHERE NOT l.wanted
ORDER BY position, bucket, member_id, seq
"""


class EventsUnordered(Refusal):
    """The database was restored and its order of events was not set right yet."""

    code = "events_unordered"
    words = "The events of a restored database are not in order yet."


class CursorLost(Refusal):
    """The cursor lies behind what a restore brought back."""

    code = "cursor_lost"
    words = "The cursor is from before a restore and lies beyond it. Read anew without a cursor."


Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A place in the feed: behind one event, under the `start` it was read."""

    start: Count
    position: Count
    bucket: Annotated[int, msgspec.Meta(ge=0, lt=BUCKETS)]
    member_id: UUID
    seq: Count


class FedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the feed tells it."""

    event_id: UUID
    member_id: UUID
    seq: int
    type: str
    subject_id: UUID | None
    data: dict[str, Any]
    recorded_at: datetime


class Page(msgspec.Struct, frozen=True):
    """Events in order, the place behind the last one looked at, and whether more are there now."""

    events: list[FedEvent]
    place: Place
    more: bool


BEGINNING = (0, 0, UUID(int=0), 0)


async def page(
    conn: Connection,
    after: Place | None,
    *,
    limit: int,
    types: Sequence[str] | None = None,
    scan: int = SCANNED_MAX,
) -> Page:
    """Return up to `limit` events after a place, of some types (EventsUnordered, CursorLost).

    At most `scan` events are looked at; a page may be empty and there be more.
    """
    ((start, below, ahead),) = await rows(conn, BOUND)
    if ahead:
        raise EventsUnordered
    if after is not None and after.position > (below - 1 if after.start == start else start):
        raise CursorLost
    key = (after.position, after.bucket, after.member_id, after.seq) if after else BEGINNING
    wanted = list(types) if types is not None else None
    scan = limit + 1 if types is None else max(scan, limit + 1)
    found = await rows(conn, PAGE, *key, below, scan, limit + 1, wanted)
    hits = [row for row in found if row.wanted]
    cut = len(hits) > limit
    if cut:
        hits = hits[:limit]
    last = hits[-1] if cut else (found[-1] if found else None)
    if last is not None:
        key = (last.position, last.bucket, last.member_id, last.seq)
    more = cut or bool(found and found[0].scanned == scan)
    return Page([_event(row) for row in hits], Place(start, *key), more)


def _event(row: Any) -> FedEvent:
    return FedEvent(
        event_id=row.event_id,
        member_id=row.member_id,
        seq=row.seq,
        type=row.type,
        subject_id=row.subject_id,
        data=row.data,
        recorded_at=row.recorded_at,
    )
