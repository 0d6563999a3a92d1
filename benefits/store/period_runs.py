"""How far the start of periods has come, run by run, and which members a run may bring units.

A run is of a day: of all periods that begin after the day of the run before it, up to its own.
The last run of a programme stays, so that nothing is done twice and no day is left out.
"""

from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.packages import NEW_DAYS, Beginning
from benefits.domain.values import BUCKETS, midnight
from benefits.store import runs, welcomes
from benefits.store.db import Connection, rows
from benefits.store.facts import AMONG, Whom

# One that was begun is ended before the next one begins, unless it is to begin `anew`. A version
# that is new, or a run begun anew, looks at all members.
_GOES_ON = f"r.next_bucket < {BUCKETS} AND NOT $6::boolean"
LEASE = f"""
INSERT INTO period_run AS r (programme, day, after, version, next_bucket, leased_until, begun_at)
VALUES ($1, $2, NULL, $3, 0, $5, $4)
ON CONFLICT (programme) DO UPDATE
SET day = CASE WHEN {_GOES_ON} THEN r.day ELSE excluded.day END,
    after = CASE WHEN {_GOES_ON} THEN r.after WHEN r.version = $3 AND NOT $6 THEN r.day END,
    version = CASE WHEN {_GOES_ON} THEN r.version ELSE excluded.version END,
    next_bucket = CASE WHEN {_GOES_ON} THEN r.next_bucket ELSE 0 END,
    begun_at = CASE WHEN {_GOES_ON} THEN r.begun_at ELSE excluded.begun_at END,
    leased_until = excluded.leased_until, ended_at = NULL
WHERE (r.leased_until IS NULL OR r.leased_until <= $4)
  AND (r.next_bucket < {BUCKETS} OR r.day < $2 OR r.version < $3 OR $6)
RETURNING day, after, next_bucket, leased_until
"""
DONE = f"""
SELECT FROM period_run AS r
WHERE r.programme = $1
  AND (r.leased_until > $4
       OR (r.next_bucket = {BUCKETS} AND r.day >= $2 AND r.version >= $3))
"""
# Primary keys of member and member_label, unique key of tier_decision. Who has a
# period of their own that may begin is told by the day of the month, or by days since the opening;
# who is new, by the opening; who joined a segment, by the label. The rules look closer.
_HELD = f"""
WITH m AS MATERIALIZED (
    SELECT o.bucket, o.member_id, o.opened_on, o.has_merged
    FROM member AS o
    WHERE o.bucket BETWEEN $11 AND $12 AND o.opened_on <= $3
      AND (o.closed_on IS NULL OR o.closed_on >= $3) AND o.merged_into IS NULL
      AND ($4::int[] IS NULL OR extract(day FROM o.opened_on) = ANY($4::int[])
           OR o.opened_on > $10
           OR EXISTS (SELECT FROM unnest($5::int[]) AS l (days)
                      WHERE ($3::date - o.opened_on) % l.days < $6::int)
           OR EXISTS (SELECT FROM member_label AS b
                      WHERE b.bucket = o.bucket AND b.member_id = o.member_id
                        AND b.label = ANY($7::text[])
                        AND (b.valid_from > $8 OR b.recorded_at >= $9))){{0}})
SELECT m.member_id, m.opened_on, m.has_merged, coalesce(d.rank, 0) AS rank, d.since
FROM m
LEFT JOIN (
    SELECT DISTINCT ON (t.bucket, t.member_id) t.bucket, t.member_id,
           {welcomes.held("t", "$3")} AS rank,
           max(t.effective_from) FILTER (WHERE t.rank <> t.before_rank)
               OVER (PARTITION BY t.bucket, t.member_id) AS since
    FROM m AS n
    JOIN tier_decision AS t ON t.bucket = n.bucket AND t.member_id = n.member_id
    WHERE t.programme = $1 AND t.effective_from <= $2
    ORDER BY t.bucket, t.member_id, t.effective_from DESC, t.decided_at DESC,
             t.decision_id DESC) AS d
  ON d.bucket = m.bucket AND d.member_id = m.member_id
ORDER BY m.bucket, m.member_id
"""
HELD = _HELD.format("")
HELD_BY = _HELD.format(AMONG.format("o", 13, 14))


class Leased(runs.Leased, frozen=True, kw_only=True):
    """It is of periods that begin after a day, or of all that run on its day."""

    ADVANCE = runs.advance_of("period_run", "programme")
    programme: str
    day: date
    after: date | None

    @property
    def key(self) -> tuple[object, ...]:
        """The values of its table's primary key."""
        return (self.programme,)


class Run(msgspec.Struct, frozen=True):
    """What a run is of: a day, by a version of the programme."""

    programme: str
    day: date
    version: int


class Held(msgspec.Struct, frozen=True):
    """A member and the tier that is held; `since` is None for whom none was ever decided."""

    member_id: UUID
    opened_on: date
    has_merged: bool
    rank: int
    since: datetime | None


async def lease_due(conn: Connection, run_: Run, now: datetime, until: datetime) -> Leased | None:
    """Take a run for a while if there is more of it to do, or one before it; else None."""
    if await rows(conn, DONE, run_.programme, run_.day, run_.version, now):
        return None
    return await lease(conn, run_, now, until)


async def lease(
    conn: Connection, run_: Run, now: datetime, until: datetime, *, anew: bool = False
) -> Leased | None:
    """Take a run for a while, or the one before that is not done; None while another has it.

    One begun `anew` looks at everybody, whatever was done before.
    """
    found = await rows(conn, LEASE, run_.programme, run_.day, run_.version, now, until, anew)
    if not found:
        return None
    (one,) = found
    return Leased(
        programme=run_.programme,
        day=one.day,
        after=one.after,
        first=one.next_bucket,
        until=one.leased_until,
    )


async def held(
    conn: Connection,
    run_: Leased,
    zone: ZoneInfo,
    whom: Whom,
    *,
    begin: Beginning,
    now: datetime,
) -> list[Held]:
    """Return the members whose periods may begin, with the tier each holds then (P-3).

    And new ones, and those of whom a label became known since the run before, or valid. None of
    them has left by the day or was merged into another.
    """
    since = run_.after and run_.after - timedelta(days=1)  # what was being written at midnight
    return [
        Held(row.member_id, row.opened_on, row.has_merged, row.rank, row.since)
        for row in await rows(
            conn,
            HELD if whom.members is None else HELD_BY,
            run_.programme,
            now,
            run_.day,
            begin.month_days,
            begin.rolling,
            begin.window,
            begin.labels,
            run_.after,
            since and midnight(since, zone),
            run_.day - timedelta(days=NEW_DAYS),
            *whom.values,
        )
    ]
