"""How far the look ahead has come: a programme's run after a sealed day, leased part by part.

A run is of a day, of the feeds that were sealed for days up to it, of the rates in use and of what
else was told: a later revision of one of them makes another run, and so do rates of what counts in
other currencies and other news. The last run of a programme stays, so that nothing is done twice.
"""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from benefits.domain.values import BUCKETS, Month
from benefits.store import evaluation_news, runs
from benefits.store.db import Connection, rows

# Primary keys of feed and of the runs, uq_feed_generation backwards. Of the last day for which all
# sources are sealed there is something to do unless its run has ended or somebody is at it. Feeds,
# rates and other news are numbered apart, so all are added; rates count once all buckets do.
DUE = f"""
SELECT c.as_of, c.generation FROM (
    SELECT d.as_of, (SELECT max(f.generation) FROM feed AS f
                     WHERE f.state = 'SEALED' AND f.source = ANY($2::text[])
                       AND f.as_of <= d.as_of)
                    + coalesce((SELECT max(u.generation) FROM rate_run AS u
                                WHERE u.next_bucket = {BUCKETS} AND u.currencies && $6::text[]
                                  AND EXISTS (SELECT FROM unnest(u.months) AS t (month)
                                              WHERE t.month <= d.as_of)), 0)
                    + {evaluation_news.counted("$7", "$5", "d.as_of")} AS generation
    FROM (SELECT f.as_of FROM feed AS f
          WHERE f.as_of >= $3 AND f.as_of < $4 AND f.source = ANY($2::text[])
            AND f.state = 'SEALED'
          GROUP BY 1 HAVING count(DISTINCT f.source) = cardinality($2::text[])
          ORDER BY 1 DESC LIMIT 1) AS d) AS c
WHERE NOT EXISTS (
    SELECT FROM outlook_run AS r
    WHERE r.programme = $1
      AND ((r.as_of, r.generation) > (c.as_of, c.generation) OR r.leased_until > $5
           OR (r.as_of, r.generation, r.next_bucket) = (c.as_of, c.generation, {BUCKETS})))
"""
# A new run begins at the first bucket, whether the one before came to its end or not.
LEASE = f"""
INSERT INTO outlook_run AS r (programme, as_of, generation, next_bucket, leased_until, begun_at)
VALUES ($1, $2, $3, 0, $5, $4)
ON CONFLICT (programme) DO UPDATE
SET as_of = excluded.as_of, generation = excluded.generation,
    next_bucket = CASE WHEN (r.as_of, r.generation) = ($2, $3) THEN r.next_bucket ELSE 0 END,
    leased_until = excluded.leased_until,
    begun_at = CASE WHEN (r.as_of, r.generation) = ($2, $3) THEN r.begun_at
               ELSE excluded.begun_at END,
    ended_at = NULL
WHERE (r.leased_until IS NULL OR r.leased_until <= $4)
  AND ((r.as_of, r.generation) < ($2, $3)
       OR (r.as_of, r.generation) = ($2, $3) AND r.next_bucket < {BUCKETS})
RETURNING next_bucket AS first, begun_at, leased_until AS until
"""


class Mark(msgspec.Struct, frozen=True):
    """What a run is of: its day, and the news of all kinds for days up to it."""

    programme: str
    as_of: date
    generation: int


class Leased(runs.Leased, frozen=True, kw_only=True):
    """A run of ours for a while, from a bucket on."""

    ADVANCE = runs.advance_of("outlook_run", "programme")
    mark: Mark
    begun_at: datetime

    @property
    def key(self) -> tuple[object, ...]:
        """The values of its table's primary key."""
        return (self.mark.programme,)


async def due(
    conn: Connection,
    programme: str,
    sources: Sequence[str],
    month: Month,
    *,
    currencies: Sequence[str],
    topics: Sequence[str],
    now: datetime,
) -> Mark | None:
    """Return the run of a month's last day sealed by all sources, if there is more of it to do.

    Rates of `currencies` are news to it, and what was told of `topics`.
    """
    values = (programme, list(sources), month.start, month.end, now)
    found = await rows(conn, DUE, *values, list(currencies), list(topics))
    return Mark(programme, *found[0]) if found else None


async def lease(conn: Connection, mark: Mark, now: datetime, until: datetime) -> Leased | None:
    """Take a run for a while, where no other one has it and it is not done."""
    found = await rows(conn, LEASE, mark.programme, mark.as_of, mark.generation, now, until)
    return Leased(mark=mark, **found[0]._asdict()) if found else None
