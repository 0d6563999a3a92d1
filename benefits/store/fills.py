"""Fills of missing days as they were proposed and decided, and what a decision must know."""

from datetime import date, datetime

import msgspec

from benefits.domain.feeds import FeedKey
from benefits.domain.fills import Effect, FillKind, Sent
from benefits.store import agreements
from benefits.store.db import Connection, rows, run
from benefits.store.feeds import PARTITION

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


class FillSeen(agreements.Seen, frozen=True, kw_only=True):
    """A fill and what became of it: the feed of a revision."""

    revision: int | None


BOOK = agreements.book(FillSeen, ("feed_fill", "fill_id", "revision"), ())


class There(msgspec.Struct, frozen=True):
    """Whether a day counts or soon will, and its lowest revision, 0 where no fill was tried.

    A DELTA feed that waits for the day before may wait for ever.
    """

    given: bool
    lowest: int


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
