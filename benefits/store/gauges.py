"""Figures for whoever watches: read from the database by cheap statements, and put into gauges.

Each statement walks an index of what is waiting and ends at a bound, so that a look costs the same
on a bad day as on a good one.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from prometheus_client import Gauge

from benefits import measures
from benefits.domain.catalogue import Catalogue
from benefits.domain.code_stocks import low_stocks
from benefits.domain.entitlement import CounterUse, budget_counter, stock_counter
from benefits.store.db import Connection, rows
from benefits.store.due import WAITING
from benefits.store.evaluation_ages import ages
from benefits.store.sealed import is_ready

COUNTED_MAX = 10_000
# ix_provider_request_due. A lease that lapsed is due again.
QUEUE = f"""
{WAITING}
SELECT w.provider, count(*) AS due, extract(epoch FROM now() - min(q.next_at))::float8 AS age_s,
       count(q.leased_until) AS lapsed,
       extract(epoch FROM now() - min(q.leased_until))::float8 AS lease_age_s
FROM waiting AS w
CROSS JOIN LATERAL (
    SELECT r.next_at, r.leased_until FROM provider_request AS r
    WHERE r.provider = w.provider AND r.sku = w.sku AND r.bucket + 0 BETWEEN 0 AND 1023
      AND r.next_at <= now() AND r.next_at IS NOT NULL
    ORDER BY r.next_at LIMIT $1) AS q
GROUP BY w.provider
"""
# Small tables: of a SKU the breaker, of a provider and a SKU the last word.
PAUSED = """
SELECT p.provider, count(*) AS paused
FROM (SELECT c.provider FROM provider_circuit AS c WHERE c.paused_until IS NOT NULL
      UNION ALL
      SELECT w.provider FROM (
          SELECT DISTINCT ON (l.provider, l.sku) l.provider, l.verb, l.until
          FROM provider_word AS l ORDER BY l.provider, l.sku, l.word_id DESC) AS w
      WHERE w.verb = 'PAUSE' AND (w.until IS NULL OR w.until > now())) AS p
GROUP BY p.provider
"""
# ix_claim_unsent, then the claims' requests: tried, and nothing ever left.
HELD = """
SELECT r.provider, count(*) AS held,
       extract(epoch FROM now() - min(c.claimed_at))::float8 AS age_s
FROM (SELECT u.bucket, u.member_id, u.claim_id, u.claimed_at FROM claim AS u
      WHERE u.bucket BETWEEN 0 AND 1023 AND u.deadline IS NOT NULL
      ORDER BY u.deadline LIMIT $1) AS c
JOIN provider_request AS r
  ON r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
WHERE r.attempt > 0
GROUP BY r.provider
"""
# ix_inbox_waiting
INBOX = """
SELECT count(*) AS waiting, extract(epoch FROM now() - min(i.received_at))::float8 AS age_s
FROM (SELECT received_at FROM inbox
      WHERE bucket BETWEEN 0 AND 1023 AND processed_at IS NULL
      ORDER BY received_at LIMIT $1) AS i
"""
# ix_outbox_position_…: the first event at or above the oldest open write.
OUTBOX = """
SELECT extract(epoch FROM now() - o.recorded_at)::float8 AS age_s FROM outbox AS o
WHERE o.bucket BETWEEN 0 AND 1023
  AND o.position >= (SELECT position_start FROM installation)
                    + pg_snapshot_xmin(pg_current_snapshot())::text::bigint
ORDER BY o.position LIMIT 1
"""
# Walks the events from the last leaf on, and from the last leaf that a checkpoint took outside.
SEALS = """
WITH sealed AS (SELECT leaf_index, position FROM leaf ORDER BY leaf_index DESC LIMIT 1),
outside AS (
    SELECT f.position FROM leaf AS f
    WHERE f.leaf_index = (SELECT max(x.size) - 1 FROM checkpoint_export AS x))
SELECT coalesce((SELECT leaf_index + 1 FROM sealed), 0) AS size,
       (SELECT extract(epoch FROM now() - min(n.recorded_at))::float8 FROM (
            SELECT o.bucket, o.batch_id, o.recorded_at FROM outbox AS o
            WHERE o.bucket BETWEEN 0 AND 1023
              AND o.position >= coalesce((SELECT s.position FROM sealed AS s), 0)
            ORDER BY o.position LIMIT $1) AS n
        WHERE n.batch_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM leaf AS f WHERE f.bucket = n.bucket AND f.batch_id = n.batch_id)
       ) AS unsealed_age_s,
       (SELECT extract(epoch FROM now() - min(n.recorded_at))::float8 FROM (
            SELECT o.batch_id, o.recorded_at FROM outbox AS o
            WHERE o.bucket BETWEEN 0 AND 1023
              AND o.position > coalesce((SELECT u.position FROM outside AS u), 0)
            ORDER BY o.position LIMIT $1) AS n
        WHERE n.batch_id IS NOT NULL) AS inside_age_s
"""
# Primary key: beside these few stand all places that claims took in limits.
COUNTERS = """
SELECT counter, sum(reserved)::bigint AS reserved, sum(spent)::bigint AS spent
FROM counter WHERE counter = ANY($1::text[]) AND "window" = 'all' GROUP BY counter
"""
# ix_pool_code_free
CODES = """
SELECT k.provider, k.sku, (SELECT count(*) FROM (
    SELECT FROM pool_code AS p
    WHERE p.provider = k.provider AND p.sku = k.sku AND p.claim_id IS NULL
      AND (p.expires_at IS NULL OR p.expires_at > now())
    LIMIT $3) AS f) AS free
FROM unnest($1::text[], $2::text[]) AS k (provider, sku)
"""
# Whole months with a partition after this one, by the partitions' names.
PARTITIONS = """
SELECT p.relname AS parent,
       (12 * extract(year FROM age(to_date(max(right(c.relname, 7)), 'YYYY_MM'),
                                   date_trunc('month', now() AT TIME ZONE 'UTC')))
        + extract(month FROM age(to_date(max(right(c.relname, 7)), 'YYYY_MM'),
                                 date_trunc('month', now() AT TIME ZONE 'UTC'))))::int AS months
FROM pg_inherits AS i
JOIN pg_class AS p ON p.oid = i.inhparent
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE p.relname IN ('batch', 'posting') AND c.relkind = 'r'
GROUP BY p.relname
"""
# Primary key of feed, for the days since a source's first sealed one of the last two months, or
# since its first month where none is; then ix_feed_waiting and uq_feed_applying.
FEEDS = f"""
SELECT s.source, d.refused,
       extract(epoch FROM now() - ((d.missing + 1)::timestamp AT TIME ZONE $3))::float8 AS age_s,
       (SELECT extract(epoch FROM now() - min(w.judged_at))::float8 FROM feed AS w
        WHERE w.source = s.source
          AND (w.state = 'APPLYING'
               OR w.state = 'WAITING' AND {is_ready("w")})) AS waiting_age_s
FROM (SELECT u.source, greatest(u.first, t.day - 62) AS first, t.day AS today
      FROM unnest($1::text[], $2::date[]) AS u (source, first)
      CROSS JOIN (SELECT (now() AT TIME ZONE $3)::date AS day) AS t) AS s
CROSS JOIN LATERAL (
    SELECT min(f.as_of) AS day FROM feed AS f
    WHERE f.as_of >= s.first AND f.source = s.source AND f.state = 'SEALED') AS b
CROSS JOIN LATERAL (
    SELECT min(n.day::date) AS missing, count(*) FILTER (WHERE o.refused) AS refused
    FROM generate_series(coalesce(b.day, s.first), s.today - 1, '1 day') AS n (day)
    CROSS JOIN LATERAL (
        SELECT bool_or(f.state = 'SEALED') AS sealed, bool_or(f.state = 'REFUSED') AS refused
        FROM feed AS f WHERE f.as_of = n.day::date AND f.source = s.source) AS o
    WHERE o.sealed IS NOT TRUE) AS d
"""
OUTLOOK_RUNS = """
SELECT r.programme,
       CASE WHEN r.ended_at IS NULL
       THEN extract(epoch FROM now() - r.begun_at)::float8 END AS age_s
FROM outlook_run AS r
"""
# ix_case_file_open
CASES = """
SELECT f.kind, count(*) AS open, extract(epoch FROM now() - min(f.opened_at))::float8 AS age_s
FROM (SELECT kind, opened_at FROM case_file
      WHERE bucket BETWEEN 0 AND 1023 AND closed_at IS NULL
      ORDER BY opened_at, case_id LIMIT $1) AS f
GROUP BY f.kind
"""


SINGLE = (
    *(measures.INBOX_WAITING, measures.INBOX_AGE, measures.OUTBOX_LAG),
    *(measures.SEALED, measures.UNSEALED_AGE, measures.CHECKPOINT_AGE),
)


async def held(conn: Connection) -> dict[str, tuple[int, float]]:
    """Return by provider how many orders were tried and never left, and the oldest's age in s."""
    found = await rows(conn, HELD, COUNTED_MAX)
    return {row.provider: (row.held, row.age_s) for row in found}


async def read(conn: Connection, catalogue: Catalogue) -> None:
    """Look at everything that is waiting or running out, and set the gauges."""
    queue = await rows(conn, QUEUE, COUNTED_MAX)
    waiting = await held(conn)
    paused = await rows(conn, PAUSED)
    ((inbox, inbox_age_s),) = await rows(conn, INBOX, COUNTED_MAX)
    hidden = await rows(conn, OUTBOX)
    used = await _used(conn, catalogue)
    partitions = await rows(conn, PARTITIONS)
    cases = await rows(conn, CASES, COUNTED_MAX)
    low = low_stocks(catalogue)
    codes = await rows(conn, CODES, [c for c, _ in low], [sku for _, sku in low], COUNTED_MAX)
    fed = await rows(conn, FEEDS, *_awaited(catalogue), str(catalogue.zone))
    looks = await rows(conn, OUTLOOK_RUNS)
    decided = await ages(conn, catalogue)
    ((sealed, unsealed_age_s, inside_age_s),) = await rows(conn, SEALS, COUNTED_MAX)
    forget()
    for gauge, column in (
        (measures.QUEUE_DUE, "due"),
        (measures.QUEUE_AGE, "age_s"),
        (measures.LEASES_LAPSED, "lapsed"),
        (measures.LEASE_AGE, "lease_age_s"),
    ):
        _set(gauge, {row.provider: getattr(row, column) for row in queue})
    _set(measures.HELD, {code: count for code, (count, _) in waiting.items()})
    _set(measures.HELD_AGE, {code: age_s for code, (_, age_s) in waiting.items()})
    called = {p.code: 0 for one in catalogue.programmes.values() for p in one.provider}
    stopped = {row.provider: row.paused for row in paused}
    _set(measures.PROVIDER_PAUSED, called | stopped)
    measures.INBOX_WAITING.set(inbox)
    measures.INBOX_AGE.set(max(inbox_age_s or 0.0, 0.0))
    measures.OUTBOX_LAG.set(max(hidden[0].age_s, 0.0) if hidden else 0.0)
    measures.SEALED.set(sealed)
    measures.UNSEALED_AGE.set(max(unsealed_age_s or 0.0, 0.0))
    measures.CHECKPOINT_AGE.set(max(inside_age_s or 0.0, 0.0))
    _set_rest(catalogue, used)
    for row in codes:
        measures.CODES_FREE.labels(row.provider, row.sku).set(row.free)
        measures.CODES_LOW.labels(row.provider, row.sku).set(low[row.provider, row.sku])
    _set(measures.PARTITION_MONTHS, {row.parent: row.months for row in partitions})
    for gauge, column in (
        (measures.FEED_UNSEALED_AGE, "age_s"),
        (measures.FEEDS_REFUSED, "refused"),
        (measures.FEED_WAITING_AGE, "waiting_age_s"),
    ):
        _set(gauge, {row.source: getattr(row, column) for row in fed})
    _set(measures.OUTLOOK_AGE, {row.programme: row.age_s for row in looks})
    for gauge, field in (
        (measures.EVALUATION_WAITING_AGE, "waiting_s"),
        (measures.EVALUATION_OVERDUE, "overdue_s"),
        (measures.EVALUATION_AGE, "run_s"),
    ):
        _set(gauge, {code: getattr(one, field) for code, one in decided.items()})
    _set(measures.CASES_OPEN, {row.kind: row.open for row in cases})
    _set(measures.CASE_AGE, {row.kind: row.age_s for row in cases})


def _awaited(catalogue: Catalogue) -> tuple[list[str], list[date]]:
    """Return the sources that programmes in force wait for, and the first day of each."""
    first = dict[str, date]()
    for code, programme in catalogue.programmes.items():
        for judge in catalogue.rules[code].judges:
            for source in set(judge.programme.feeds) & set(programme.feeds):
                start = judge.tiers_from.start
                first[source] = min(start, first.get(source, start))
    return list(first), list(first.values())


def forget() -> None:
    """Take back what the last look said, for it may not be so any more."""
    for gauge in measures.FROM_DATABASE:
        gauge.clear()
    for gauge in SINGLE:
        gauge.set(float("nan"))


def _set(gauge: Gauge, values: Mapping[str, Any]) -> None:
    for label, value in values.items():
        gauge.labels(label).set(max(float(value or 0), 0.0))


async def _used(conn: Connection, catalogue: Catalogue) -> dict[str, CounterUse]:
    """Return what is taken of the budgets and stocks of the programmes in force."""
    names = set[str]()
    for programme in catalogue.programmes.values():
        names.update(map(budget_counter, programme.budgets_minor))
        names.update(map(stock_counter, programme.benefit))
    found = await rows(conn, COUNTERS, sorted(names))
    return {row.counter: CounterUse(row.reserved, row.spent) for row in found}


def _set_rest(catalogue: Catalogue, used: Mapping[str, CounterUse]) -> None:
    """Set what budgets and stocks have left by the programmes in force."""
    for code, programme in catalogue.programmes.items():
        for budget, total in programme.budgets_minor.items():
            taken = used.get(budget_counter(budget), CounterUse()).taken
            measures.BUDGET_LEFT.labels(code, budget).set(total - taken)
        for benefit in programme.benefit:
            if benefit.stock is not None:
                taken = used.get(stock_counter(benefit), CounterUse()).taken
                measures.STOCK_LEFT.labels(benefit.code).set(benefit.stock - taken)
