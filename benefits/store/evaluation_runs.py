"""How far evaluations have come: a programme's run for a month, leased part by part.

A run is of the feeds that were sealed by then for days up to the month's end, of the rates in use
and of what else was told: news that come later make the next run of the month. The last run of
each month stays, so that nothing is done twice.
"""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from benefits.domain.values import BUCKETS, Month
from benefits.store import evaluation_news, runs
from benefits.store.db import Connection, rows

# Primary key of feed, uq_feed_generation; primary keys of the runs. What is news for a month is
# news for those after it. Sources, rates and other news are numbered apart, so all are added;
# rates count once they are in use in all buckets.
STAND = f"""
SELECT m.month,
       (SELECT count(*) FROM (
            SELECT DISTINCT f.as_of, f.source FROM feed AS f
            WHERE f.as_of >= m.month AND f.as_of < (m.month + interval '1 month')::date
              AND f.source = ANY($3::text[]) AND f.state = 'SEALED') AS d) AS sealed,
       coalesce((SELECT max(f.generation) FROM feed AS f
                 WHERE f.as_of < (m.month + interval '1 month')::date
                   AND f.source = ANY($2::text[]) AND f.state = 'SEALED'), 0)
       + coalesce((SELECT max(u.generation) FROM rate_run AS u
                   WHERE u.next_bucket = {BUCKETS}
                     AND EXISTS (SELECT FROM unnest(u.months) AS t (month)
                                 WHERE t.month <= m.month)), 0)
       + {evaluation_news.counted("$5", "$6", "m.month")} AS generation,
       r.generation AS ran, r.next_bucket, r.leased_until
FROM unnest($4::date[]) AS m (month)
LEFT JOIN evaluation_run AS r ON r.programme = $1 AND r.month = m.month
ORDER BY m.month
"""
FIRST = """
SELECT min(f.as_of) AS sent,
       (SELECT min(p.applied_at) FROM programme AS p WHERE p.code = $1) AS applied_at
FROM feed AS f WHERE f.source = ANY($2::text[]) AND f.state = 'SEALED'
"""
# One that was interrupted goes on, unless it is to begin `anew`.
LEASE = f"""
INSERT INTO evaluation_run AS r (programme, month, generation, next_bucket, leased_until,
                                 begun_at)
VALUES ($1, $2, $3, 0, $5, $4)
ON CONFLICT (programme, month) DO UPDATE
SET generation = excluded.generation,
    next_bucket = CASE WHEN r.generation = $3 AND r.next_bucket < {BUCKETS} AND NOT $6::boolean
                  THEN r.next_bucket ELSE 0 END,
    begun_at = CASE WHEN r.generation = $3 AND r.next_bucket < {BUCKETS} AND NOT $6
               THEN r.begun_at ELSE excluded.begun_at END,
    leased_until = excluded.leased_until, ended_at = NULL
WHERE r.leased_until IS NULL OR r.leased_until <= $4
RETURNING next_bucket AS first, begun_at, leased_until AS until
"""
# Primary key of feed up to the horizon once, then that of the runs; the generation is as above.
# What another process has under way waits for the next look.
LEAVE = f"""
WITH fed AS (
    SELECT date_trunc('month', f.as_of)::date AS month, max(f.generation) AS generation
    FROM feed AS f
    WHERE f.as_of < $3::date AND f.source = ANY($2::text[]) AND f.state = 'SEALED' GROUP BY 1),
rated AS (
    SELECT t.month, max(u.generation) AS generation
    FROM rate_run AS u CROSS JOIN unnest(u.months) AS t (month)
    WHERE u.next_bucket = {BUCKETS} AND t.month < $3::date GROUP BY 1),
news AS (
    SELECT o.month,
           coalesce((SELECT max(f.generation) FROM fed AS f WHERE f.month <= o.month), 0)
           + coalesce((SELECT max(u.generation) FROM rated AS u WHERE u.month <= o.month), 0)
           + {evaluation_news.counted("$5", "$4", "o.month")} AS generation
    FROM evaluation_run AS o WHERE o.programme = $1 AND o.month < $3::date)
UPDATE evaluation_run AS r SET told_generation = n.generation
FROM news AS n
WHERE r.programme = $1 AND r.month = n.month
  AND (r.generation <> n.generation OR r.next_bucket < {BUCKETS})
  AND r.told_generation IS DISTINCT FROM n.generation
  AND (r.leased_until IS NULL OR r.leased_until <= $4)
RETURNING r.month
"""


class Mark(msgspec.Struct, frozen=True):
    """What a run is of: a month, and the news of all kinds for days up to its end."""

    programme: str
    month: Month
    generation: int


class Leased(runs.Leased, frozen=True, kw_only=True):
    """A run of ours for a while, from a bucket on."""

    ADVANCE = runs.advance_of("evaluation_run", "programme", "month")
    mark: Mark
    begun_at: datetime

    @property
    def key(self) -> tuple[object, ...]:
        """The values of its table's primary key."""
        return (self.mark.programme, self.mark.month.start)


class Stand(msgspec.Struct, frozen=True):
    """A month: its pairs of source and day that are sealed, and how far its last run came.

    `ran` is what that run was of, None where there was none.
    """

    mark: Mark
    sealed: int
    ran: int | None
    next_bucket: int | None
    leased_until: datetime | None

    @property
    def is_done(self) -> bool:
        """Whether the last run knew all that is sealed now, and came to its end."""
        return self.ran == self.mark.generation and self.next_bucket == BUCKETS

    @property
    def is_begun(self) -> bool:
        """Whether a run was begun and is not at its end."""
        return self.ran is not None and self.next_bucket != BUCKETS

    @property
    def next_run(self) -> Mark:
        """What is to be run next: one that was begun is ended before news begin another."""
        if self.ran is None or not self.is_begun:
            return self.mark
        return msgspec.structs.replace(self.mark, generation=self.ran)


async def stand(
    conn: Connection,
    programme: str,
    months: Sequence[Month],
    *,
    sources: Sequence[str],
    every: Sequence[str],
    topics: Sequence[str],
    now: datetime,
) -> list[Stand]:
    """Return how months stand that the same sources make known, the earliest first.

    Their news are those of `every` source that any version names, and of `topics`.
    """
    starts = [month.start for month in months]
    values = (programme, list(every), list(sources), starts, list(topics), now)
    return [
        Stand(Mark(programme, Month.of(row.month), row.generation), row.sealed, *row[3:])
        for row in await rows(conn, STAND, *values)
    ]


async def first(
    conn: Connection, programme: str, sources: Sequence[str]
) -> tuple[date | None, datetime]:
    """Return the first day that any source sealed, and when the programme came into force."""
    ((sent, applied_at),) = await rows(conn, FIRST, programme, list(sources))
    return sent, applied_at


async def lease(
    conn: Connection, mark: Mark, now: datetime, until: datetime, *, anew: bool = False
) -> Leased | None:
    """Take a run for a while, from where it was stopped or anew; None while another has it."""
    values = (mark.programme, mark.month.start, mark.generation, now, until, anew)
    found = await rows(conn, LEASE, *values)
    return Leased(mark=mark, **found[0]._asdict()) if found else None


async def leave(
    conn: Connection,
    programme: str,
    sources: Sequence[str],
    topics: Sequence[str],
    *,
    begin: Month,
    now: datetime,
) -> list[Month]:
    """Note of decided months before `begin` that their news are a person's, each news once.

    Return these months, the earliest first.
    """
    values = (programme, list(sources), begin.start, now, list(topics))
    found = await rows(conn, LEAVE, *values)
    return sorted(Month.of(row.month) for row in found)
