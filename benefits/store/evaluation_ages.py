"""How long months wait to be evaluated, and since when they should have been (T-3).

Months count that are over, of the last thirteen: with feeds from the first sealed day on, and not
before the month ahead of the one in which the programme came into force; else from that one on.
"""

from itertools import pairwise

import msgspec

from benefits.domain.catalogue import Catalogue
from benefits.domain.policy import period_months
from benefits.domain.values import BUCKETS
from benefits.store.db import Connection, rows

# Primary key of evaluation, whose last bucket is evaluated last; then, of the few months that are
# left, primary key of feed for their days.
AGES = f"""
WITH judge AS (
    SELECT * FROM unnest($1::int[], $2::text[], $3::date[], $4::date[], $5::int[], $6::int[],
                         $7::int[])
        AS j (nth, programme, first, after, every, post_by, max_wait)),
source AS (SELECT * FROM unnest($8::int[], $9::text[]) AS s (nth, code)),
known AS (
    SELECT p.code AS programme, min(p.applied_at) AT TIME ZONE $10 AS applied_at,
           (SELECT min(f.as_of) FROM feed AS f
            WHERE f.state = 'SEALED' AND f.source = ANY (
                SELECT s.code FROM source AS s JOIN judge AS j ON j.nth = s.nth
                WHERE j.programme = p.code)) AS sent
    FROM programme AS p GROUP BY p.code),
month AS (
    SELECT j.*, m.start::date AS start, (m.start + interval '1 month')::date AS following,
           (m.start + make_interval(
               months => j.every - (extract(month FROM m.start)::int - 1) % j.every
           ))::date AS ended
    FROM judge AS j
    JOIN known AS k ON k.programme = j.programme
    CROSS JOIN date_trunc('month', now() AT TIME ZONE $10) AS t (running)
    CROSS JOIN LATERAL generate_series(
        t.running - interval '13 months', t.running - interval '1 month', interval '1 month')
        AS m (start)
    WHERE m.start >= coalesce(j.first, '-infinity') AND m.start < coalesce(j.after, 'infinity')
      AND m.start >= CASE WHEN k.sent IS NULL THEN date_trunc('month', k.applied_at)
                     ELSE greatest(date_trunc('month', k.applied_at) - interval '1 month',
                                   date_trunc('month', k.sent)) END
      AND NOT EXISTS (
          SELECT FROM evaluation AS e
          WHERE e.bucket = {BUCKETS - 1} AND e.programme = j.programme
            AND e.month = m.start::date))
SELECT m.programme,
       max(extract(epoch FROM now() - (m.ended + m.post_by)::timestamp AT TIME ZONE $10))::float8
           AS overdue_s,
       max(extract(epoch FROM now() - least(
           d.sealed_at,
           CASE WHEN d.sources > 0
           THEN (m.ended + m.max_wait)::timestamp AT TIME ZONE $10 END)))::float8 AS waiting_s
FROM month AS m
CROSS JOIN LATERAL (
    SELECT count(*) AS sources,
           CASE WHEN bool_and(o.days = m.following - m.start) THEN max(o.sealed_at) END
           AS sealed_at
    FROM source AS s
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT f.as_of) AS days, max(f.sealed_at) AS sealed_at FROM feed AS f
        WHERE f.as_of >= m.start AND f.as_of < m.following AND f.source = s.code
          AND f.state = 'SEALED') AS o
    WHERE s.nth = m.nth) AS d
GROUP BY m.programme
"""
RUNS = """
SELECT r.programme, max(extract(epoch FROM now() - r.begun_at))::float8 AS age_s
FROM evaluation_run AS r WHERE r.ended_at IS NULL GROUP BY r.programme
"""


class Ages(msgspec.Struct, frozen=True):
    """Seconds since a month could, and should have been evaluated; since a run was begun."""

    waiting_s: float = 0.0
    overdue_s: float = 0.0
    run_s: float = 0.0


async def ages(conn: Connection, catalogue: Catalogue) -> dict[str, Ages]:
    """Return by programme the ages of the months that wait longest; 0 where none does."""
    judges, sources = list[tuple[object, ...]](), list[tuple[int, str]]()
    for code, rules in catalogue.rules.items():
        starts = [None, *(judge.tiers_from.start for judge in rules.judges[1:]), None]
        for judge, (first, after) in zip(rules.judges, pairwise(starts), strict=True):
            policy, nth = judge.programme.policy, len(judges)
            terms = (period_months(policy), policy.post_by, policy.max_wait)
            judges.append((nth, code, first, after, *terms))
            sources += [(nth, one) for one in sorted({*judge.programme.feeds})]
    values = [[one[n] for one in judges] for n in range(7)]
    named = [[one[n] for one in sources] for n in range(2)]
    waits = {
        row.programme: row for row in await rows(conn, AGES, *values, *named, str(catalogue.zone))
    }
    runs = {row.programme: row.age_s for row in await rows(conn, RUNS)}
    found = dict[str, Ages]()
    for code in catalogue.rules:
        row = waits.get(code)
        waiting_s, overdue_s = (row.waiting_s, row.overdue_s) if row else (None, None)
        found[code] = Ages(waiting_s or 0.0, overdue_s or 0.0, runs.get(code) or 0.0)
    return found
