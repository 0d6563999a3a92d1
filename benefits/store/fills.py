"""Fills of missing days as they were proposed and decided, and what a decision must know."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.feeds import FeedKey
from benefits.domain.fills import Effect, FillKind, Sent
from benefits.domain.values import EPOCH
from benefits.store.db import Connection, rows, run
from benefits.store.feeds import PARTITION

# Who approves reads what is there and adds to it: one after the other.
SERIAL = "SELECT pg_advisory_xact_lock(hashtext('fills'))"
INSERT = """
INSERT INTO feed_fill (fill_id, body, effect, digest, note, proposed_by, proposed_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
DECIDE = """
INSERT INTO feed_fill_decision (fill_id, verdict, decided_by, decided_at, note, revision)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_COLUMNS = """f.fill_id, f.body, f.effect, f.digest, f.note, f.proposed_by, f.proposed_at,
       f.expires_at, d.verdict, d.decided_by, d.decided_at, d.note AS decision_note, d.revision"""
_DECIDED = "LEFT JOIN feed_fill_decision AS d ON d.fill_id = f.fill_id"
# Primary keys.
ONE = f"SELECT {_COLUMNS} FROM feed_fill AS f {_DECIDED} WHERE f.fill_id = $1"
# ix_feed_fill_proposed_at_fill_id; without a state all of them.
LISTED = f"""
SELECT {_COLUMNS} FROM feed_fill AS f {_DECIDED}
WHERE (f.proposed_at, f.fill_id) > ($1::timestamptz, $2::uuid)
  AND ($3::text IS NULL OR $3 = coalesce(
      d.verdict, CASE WHEN f.expires_at <= $4::timestamptz THEN 'EXPIRED' ELSE 'PROPOSED' END))
ORDER BY f.proposed_at, f.fill_id LIMIT $5
"""
# Primary key of feed, backwards.
LAST_SENT = """
SELECT f.as_of, f.revision, f.programme, f.rows, f.totals, f.kind FROM feed AS f
WHERE f.as_of < $1 AND f.source = $2 AND f.revision >= 0 AND f.state = 'SEALED'
ORDER BY f.as_of DESC, f.revision DESC LIMIT 1
"""
THERE = """
SELECT coalesce(bool_or(f.state IN ('APPLYING', 'SEALED')
                        OR f.state = 'WAITING' AND f.kind = 'FULL'), false) AS given,
       least(coalesce(min(f.revision), 0), 0) AS lowest
FROM feed AS f WHERE f.as_of = $1 AND f.source = $2
"""
ADD = """
INSERT INTO feed (as_of, source, revision, programme, state, opened_at, judged_at, rows, totals,
                  fill, carried_day, carried_revision)
VALUES ($1, $2, $3, $4, 'WAITING', $5, $5, $6, $7, $8, $9, $10)
"""
# Fills that move sums, or will, beside what two people agreed on.
DIFFERING = """
SELECT coalesce(f.source, a.body ->> 'source') || ' '
       || coalesce(f.as_of::text, a.body ->> 'date') || ' revision '
       || coalesce(f.revision, a.revision) AS subject,
       format('feed %s %s %s %s, agreed %s %s', f.fill, f.rows, f.carried_day,
              f.carried_revision, a.body, a.effect) AS detail
FROM (SELECT * FROM feed
      WHERE revision < 0 AND state IN ('WAITING', 'APPLYING', 'SEALED')) AS f
FULL JOIN (SELECT p.body, p.effect, d.revision FROM feed_fill_decision AS d
           LEFT JOIN feed_fill AS p ON p.fill_id = d.fill_id WHERE d.verdict = 'APPROVED') AS a
  ON a.body ->> 'source' = f.source AND (a.body ->> 'date')::date = f.as_of
 AND a.revision = f.revision
WHERE (f.fill, f.rows, f.totals, f.carried_day::text, f.carried_revision::text)
      IS DISTINCT FROM
      (a.body ->> 'kind', (a.effect ->> 'rows')::bigint, a.effect -> 'totals',
       a.effect ->> 'carried_day', a.effect ->> 'carried_revision')
"""


class NewFill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as proposed; `body` and `effect` are JSON."""

    fill_id: UUID
    body: str
    effect: str
    digest: str
    note: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime


class FillSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A fill and what became of it; `verdict` is None until somebody decided."""

    fill_id: UUID
    body: dict[str, Any]
    effect: dict[str, Any]
    digest: str
    note: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    verdict: str | None
    decided_by: str | None
    decided_at: datetime | None
    decision_note: str | None
    revision: int | None

    def state(self, now: datetime) -> str:
        """Say where it stands: what was decided, else whether there is still time to."""
        return self.verdict or ("EXPIRED" if self.expires_at <= now else "PROPOSED")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decided about a fill; an approved one is a feed of a `revision` below 0."""

    fill_id: UUID
    verdict: str
    decided_by: str
    decided_at: datetime
    note: str
    revision: int | None = None


class There(msgspec.Struct, frozen=True):
    """Whether a day counts or soon will, and its lowest revision, 0 where no fill was tried.

    A DELTA feed that waits for the day before may wait for ever.
    """

    given: bool
    lowest: int


Mark = tuple[datetime, UUID]
BEGINNING: Mark = (EPOCH, UUID(int=0))


async def serial(conn: Connection) -> None:
    """Approve one fill at a time."""
    await run(conn, SERIAL)


async def put(conn: Connection, new: NewFill) -> None:
    """Keep a proposal."""
    await run(conn, INSERT, *msgspec.structs.astuple(new))


async def decide(conn: Connection, verdict: Verdict) -> None:
    """Keep a decision; there is one for each fill, by primary key."""
    await run(conn, DECIDE, *msgspec.structs.astuple(verdict))


async def one(conn: Connection, fill_id: UUID) -> FillSeen | None:
    """Return a fill."""
    found = await rows(conn, ONE, fill_id)
    return FillSeen(**found[0]._asdict()) if found else None


async def listed(
    conn: Connection, after: Mark | None, now: datetime, *, state: str | None, limit: int
) -> Sequence[FillSeen]:
    """Return fills in the order they were proposed, those of a state if one is named."""
    start = after or BEGINNING
    found = await rows(conn, LISTED, *start, state, now, limit)
    return [FillSeen(**row._asdict()) for row in found]


async def last_sent(conn: Connection, source: str, before: date) -> Sent | None:
    """Return the last day before another that a source sent, by the revision that counts."""
    found = await rows(conn, LAST_SENT, before, source)
    return msgspec.convert(found[0]._asdict(), Sent) if found else None


async def there(conn: Connection, source: str, day: date) -> There:
    """Return what there is of a source's day."""
    ((given, lowest),) = await rows(conn, THERE, day, source)
    return There(given, lowest)


async def add(
    conn: Connection, key: FeedKey, kind: FillKind, effect: Effect, *, now: datetime
) -> None:
    """Add the feed that a fill becomes; its turn to move the sums comes."""
    await rows(conn, PARTITION, key.as_of)
    await run(
        conn,
        ADD,
        key.as_of,
        key.source,
        key.revision,
        effect.programme,
        now,
        effect.rows,
        msgspec.json.encode(effect.totals).decode(),
        kind.value,
        effect.carried_day,
        effect.carried_revision,
    )


async def differing(conn: Connection) -> list[tuple[str, str]]:
    """Return fills that move sums and are not what was agreed on, or the other way round."""
    return [(row.subject, row.detail) for row in await rows(conn, DIFFERING)]
