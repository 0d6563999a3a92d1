"""The books, checked anew from what can never change: postings, holds, events, asset rows.

Each check is one statement per bucket range that returns what is wrong: nothing, in a healthy
installation. Findings are typed; their names are stable and listed in
`docs/operations/findings.md`.
"""

from collections.abc import AsyncIterator

import msgspec

from benefits.domain.values import BUCKETS
from benefits.store.carried import STEADY, is_away
from benefits.store.db import Connection, Database, rows, run
from benefits.store.merged import bucket_in
from benefits.store.verify_assets import ASSETS
from benefits.store.verify_codes import CODES
from benefits.store.verify_merges import MERGES
from benefits.store.verify_terms import TERMS


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as the books say: its kind, the row concerned, and what differs."""

    kind: str
    subject: str
    detail: str


# Postings that stand here, and those of archived months added up.
_SUMS = """
SELECT m.member_id, m.unit, m.lot_id, a.account, sum(a.sign * m.amount)::bigint AS amount
FROM (SELECT b.member_id, p.unit, p.lot_id, p.debit, p.credit, p.amount FROM posting AS p
      JOIN batch AS b ON b.bucket = p.bucket AND b.batch_id = p.batch_id
      WHERE p.bucket BETWEEN $1 AND $2
      UNION ALL
      SELECT c.member_id, c.unit, c.lot_id, c.debit, c.credit, c.amount FROM posting_carried AS c
      WHERE c.bucket BETWEEN $1 AND $2) AS m
CROSS JOIN LATERAL (VALUES (m.debit, -1), (m.credit, 1)) AS a (account, sign)
WHERE m.lot_id IS NOT NULL OR 'debt' IN (m.debit, m.credit)
GROUP BY 1, 2, 3, 4
"""

# The batches that are posted by hand, a correction behind each; and those that give back what a
# provider says was not used after all.
BY_HAND = """(b.reverses IS NOT NULL OR b.kind IN (
        'entitlement.returned', 'entitlement.revoked', 'entitlement.clawed_back',
        'entitlement.debt_forgiven', 'entitlement.made_good', 'order.settled',
        'loss.recovered', 'charge.cleared'))"""

# The batches by which an order itself gives back what was spent for it.
_BY_ORDER = (
    "('order.reversed', 'order.revoked', 'order.redeemed', 'order.expired', 'order.counted')"
)

# Spent units that came back, by the batch that had spent them; a make-good's count for no cap.
_RETURNED = """
SELECT v.reverses, sum(v.amount) AS units,
       sum(v.amount) FILTER (WHERE l.cause <> 'MAKE_GOOD') AS capped
FROM reversal AS v
JOIN posting AS p ON p.bucket = v.bucket AND p.batch_id = v.reverses AND p.line = v.line
JOIN lot AS l ON l.bucket = p.bucket AND l.lot_id = p.lot_id
WHERE v.bucket BETWEEN $1 AND $2 AND p.credit = 'redeemed'
GROUP BY v.reverses
"""
# What of each hold counts against caps and limits: what was not given back, of no make-good.
_COUNTING = f"""
SELECT c.member_id, c.benefit, c.cap_window, c.limits, c.quantity, h.quantity AS held,
       h.cost_minor, h.quantity - h.uncapped - coalesce(e.released - e.uncapped, 0)
           - coalesce(v.capped, 0) AS units
FROM claim AS c
JOIN hold AS h ON h.bucket = c.bucket AND h.member_id = c.member_id AND h.claim_id = c.claim_id
LEFT JOIN hold_end AS e ON e.bucket = h.bucket AND e.hold_id = h.hold_id
LEFT JOIN ({_RETURNED}) AS v ON v.reverses = e.batch_id
WHERE c.bucket BETWEEN $1 AND $2 AND (c.cap_window <> '' OR c.limits IS NOT NULL)
"""
# Where such a hold took room by limits: a piece counts while any of its units does.
_PLACES = """
SELECT concat_ws(':', 'limit', l.place ->> 'programme', l.place ->> 'limit',
                 l.place ->> 'scope', l.place ->> 'dimension',
                 CASE WHEN l.place ->> 'window' LIKE '%T%' THEN 'ROLLING' END,
                 nullif(l.place ->> 'of', '')) AS counter,
       l.place ->> 'window' AS win, l.place ->> 'scope' AS scope,
       ceil(n.units::numeric * n.quantity / n.held)
           * CASE l.place ->> 'dimension' WHEN 'COST' THEN n.cost_minor / n.quantity ELSE 1 END
           AS used
FROM jsonb_array_elements(n.limits) AS l (place)
"""


def wallets_differ(sums: str, wallets: str) -> str:
    """Return the check that wallets are what their postings give (I3)."""
    return f"""
WITH s AS ({sums}), folded AS (
    SELECT member_id, unit, sum(amount) FILTER (WHERE account = 'available') AS available,
           sum(amount) FILTER (WHERE account = 'held') AS held,
           -sum(amount) FILTER (WHERE account = 'debt') AS owed FROM s GROUP BY 1, 2)
SELECT coalesce(w.member_id, f.member_id)::text || ' ' || coalesce(w.unit, f.unit) AS subject,
       format('wallet %s/%s/%s, postings %s/%s/%s', w.available, w.held, w.owed, f.available,
              f.held, f.owed) AS detail
FROM ({wallets}) AS w
FULL JOIN folded AS f ON f.member_id = w.member_id AND f.unit = w.unit
WHERE w.available IS DISTINCT FROM coalesce(f.available, 0)
   OR w.held IS DISTINCT FROM coalesce(f.held, 0)
   OR w.owed IS DISTINCT FROM coalesce(f.owed, 0)
"""


def lots_differ(sums: str, lots: str) -> str:
    """Return the check that granted is where the units are, and nothing is negative (L-4)."""
    return f"""
WITH s AS ({sums}), folded AS (
    SELECT lot_id, min(member_id::text) AS member, max(member_id::text) AS last_member,
           min(unit) AS unit, max(unit) AS last_unit,
           -coalesce(sum(amount) FILTER (WHERE account IN ('issued', 'received')), 0) AS granted,
           coalesce(sum(amount) FILTER (WHERE account IN ('available', 'held')), 0) AS remaining,
           coalesce(sum(amount) FILTER (WHERE account = 'held'), 0) AS held,
           coalesce(sum(amount) FILTER (WHERE account = 'expired'), 0) AS expired,
           coalesce(sum(amount) FILTER (WHERE account = 'redeemed'), 0) AS redeemed,
           min(amount) FILTER (WHERE account NOT IN ('issued', 'received')) AS least
    FROM s WHERE lot_id IS NOT NULL GROUP BY 1)
SELECT coalesce(l.lot_id, f.lot_id)::text AS subject,
       format('lot %s/%s/%s/%s/%s, postings %s/%s/%s/%s/%s',
              l.granted, l.remaining, l.held, l.expired, l.redeemed,
              f.granted, f.remaining, f.held, f.expired, f.redeemed) AS detail
FROM ({lots}) AS l
FULL JOIN folded AS f ON f.lot_id = l.lot_id
WHERE (l.granted, l.remaining, l.held, l.expired, l.redeemed)
      IS DISTINCT FROM (f.granted, f.remaining, f.held, f.expired, f.redeemed) OR f.least < 0
   OR (f.unit, f.last_unit, f.member, f.last_member)
      IS DISTINCT FROM (l.unit, l.unit, l.member_id::text, l.member_id::text)
"""


def held_differs(holds: str, wallets: str) -> str:
    """Return the check that wallets hold what the open holds say."""
    return f"""
WITH open AS (
    SELECT h.member_id, h.unit, sum(h.quantity) AS held FROM ({holds}) AS h
    WHERE NOT EXISTS (
        SELECT FROM hold_end AS e WHERE e.bucket = h.bucket AND e.hold_id = h.hold_id)
    GROUP BY 1, 2)
SELECT w.member_id::text || ' ' || w.unit AS subject,
       format('wallet holds %s, open holds %s', w.held, o.held) AS detail
FROM ({wallets}) AS w LEFT JOIN open AS o ON o.member_id = w.member_id AND o.unit = w.unit
WHERE w.held <> coalesce(o.held, 0)
"""


def _all(table: str) -> str:
    return f"SELECT * FROM {table} WHERE bucket BETWEEN $1 AND $2"


CHECKS: dict[str, str] = {
    "wallet_differs": wallets_differ(_SUMS, _all("wallet")),
    "lot_differs": lots_differ(_SUMS, _all("lot")),
    # L-5: no sweep looks again at a lot whose end is recorded, so nothing is left in it.
    "sweep_differs": """
SELECT l.lot_id::text AS subject, format('swept, rest %s', l.remaining - l.held) AS detail
FROM lot AS l WHERE l.bucket BETWEEN $1 AND $2 AND l.swept AND l.remaining <> l.held
""",
    # A job's figures are its rows', and what waits is of jobs that have not ended.
    "job_differs": """
SELECT j.job_id::text AS subject,
       format('granted %s, known %s, refused %s; rows %s, %s, %s',
              j.granted, j.known, j.refused, o.granted, o.known, o.refused) AS detail
FROM job AS j CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE n.outcome = 'granted') AS granted,
           count(*) FILTER (WHERE n.outcome = 'known') AS known,
           count(*) FILTER (WHERE n.outcome = 'refused') AS refused
    FROM (SELECT r.outcome FROM job_row AS r
          WHERE r.bucket = j.bucket AND r.job_id = j.job_id
          UNION ALL
          SELECT CASE WHEN k.is_known THEN 'known' ELSE 'granted' END
          FROM job_outcome AS a CROSS JOIN LATERAL unnest(a.known) AS k (is_known)
          WHERE a.bucket = j.bucket AND a.job_id = j.job_id) AS n) AS o
WHERE j.bucket BETWEEN $1 AND $2 AND (
    (j.granted, j.known, j.refused) <> (o.granted, o.known, o.refused)
    OR (j.ended_at IS NOT NULL) = EXISTS (
        SELECT FROM job_part AS p WHERE p.bucket = j.bucket AND p.job_id = j.job_id))
""",
    "batch_without_postings": """
SELECT b.batch_id::text AS subject, b.kind AS detail FROM batch AS b
WHERE b.bucket BETWEEN $1 AND $2 AND NOT EXISTS (
    SELECT FROM posting AS p WHERE p.bucket = b.bucket AND p.batch_id = b.batch_id)
""",
    "posting_without_batch": """
SELECT p.batch_id::text AS subject, p.line::text AS detail FROM posting AS p
WHERE p.bucket BETWEEN $1 AND $2 AND NOT EXISTS (
    SELECT FROM batch AS b WHERE b.bucket = p.bucket AND b.batch_id = p.batch_id)
""",
    # I12: each batch has exactly one ledger event. One of an archived month has a leaf.
    "batch_event_differs": f"""
SELECT coalesce(b.batch_id, e.batch_id)::text AS subject, format('%s events', e.n) AS detail
FROM (SELECT batch_id FROM batch WHERE bucket BETWEEN $1 AND $2
      UNION
      SELECT l.batch_id FROM leaf AS l
      WHERE l.bucket BETWEEN $1 AND $2 AND {is_away("l.batch_id")}) AS b
FULL JOIN (SELECT batch_id, count(*) AS n FROM outbox
           WHERE bucket BETWEEN $1 AND $2 AND batch_id IS NOT NULL GROUP BY 1) AS e
  ON e.batch_id = b.batch_id
WHERE b.batch_id IS NULL OR e.n IS DISTINCT FROM 1
""",
    "event_missing": """
SELECT m.member_id::text AS subject, format('at %s, events %s', m.event_seq, e.n) AS detail
FROM member AS m
LEFT JOIN (SELECT member_id, count(*) AS n, max(seq) AS last FROM outbox
           WHERE bucket BETWEEN $1 AND $2 GROUP BY 1) AS e ON e.member_id = m.member_id
WHERE m.bucket BETWEEN $1 AND $2
  AND (m.event_seq <> coalesce(e.n, 0) OR m.event_seq <> coalesce(e.last, 0))
""",
    # I6: a hold ends once, with all its units; one that has not ended is held in its lots. Those
    # of an archived month are under its digest.
    "hold_differs": f"""
SELECT h.hold_id::text AS subject,
       format('quantity %s, placed %s, ended %s/%s', h.quantity, p.placed, e.captured, e.released)
           AS detail
FROM hold AS h
LEFT JOIN hold_end AS e ON e.bucket = h.bucket AND e.hold_id = h.hold_id
LEFT JOIN LATERAL (
    SELECT sum(p.amount) FILTER (WHERE p.credit = 'held') AS placed FROM posting AS p
    WHERE p.bucket = h.bucket AND p.batch_id = h.batch_id) AS p ON true
WHERE h.bucket BETWEEN $1 AND $2
  AND (e.captured + e.released <> h.quantity
       OR p.placed IS DISTINCT FROM h.quantity
          AND (p.placed IS NOT NULL OR NOT {is_away("h.batch_id")}))
""",
    # K-4: what a hold reserved in its budget is its worst cost, and its end frees exactly that;
    # what it spent is the price, or the worst cost of what was captured. Holds of the first
    # release reserved nothing; their claims were told without the hold.
    "hold_money_differs": f"""
SELECT h.hold_id::text AS subject,
       format('cost %s, reserved %s, freed %s, to pay %s, spent %s', h.cost_minor, p.reserved,
              q.freed, s.paid, q.spent) AS detail
FROM hold AS h
LEFT JOIN hold_end AS e ON e.bucket = h.bucket AND e.hold_id = h.hold_id
LEFT JOIN LATERAL (
    SELECT sum(p.amount) AS reserved FROM posting AS p
    WHERE p.bucket = h.bucket AND p.batch_id = h.batch_id
      AND p.credit = 'budget.reserved') AS p ON true
LEFT JOIN LATERAL (
    SELECT sum(p.amount) FILTER (WHERE p.debit = 'budget.reserved') AS freed,
           sum(p.amount) FILTER (WHERE p.credit = 'budget.spent') AS spent,
           count(*) AS lines
    FROM posting AS p WHERE p.bucket = e.bucket AND p.batch_id = e.batch_id) AS q ON true
CROSS JOIN LATERAL (
    SELECT coalesce(e.spent_minor, h.cost_minor * e.captured / h.quantity) AS paid) AS s
WHERE h.bucket BETWEEN $1 AND $2
  AND (p.reserved <> h.cost_minor
       OR (p.reserved IS NULL AND h.cost_minor > 0 AND NOT {is_away("h.batch_id")}
           AND EXISTS (
               SELECT FROM outbox AS o
               WHERE o.bucket = h.bucket AND o.member_id = h.member_id
                 AND o.subject_id = h.claim_id AND o.type = 'claim.placed'
                 AND o.data ? 'hold_id'))
       OR (e.hold_id IS NOT NULL AND p.reserved IS DISTINCT FROM q.freed
           AND NOT (q.freed IS NULL AND {is_away("e.batch_id")})
           AND NOT (q.freed = h.cost_minor AND {is_away("h.batch_id")}))
       OR q.lines > 0 AND (q.freed > 0 OR e.spent_minor IS NOT NULL)
          AND coalesce(q.spent, 0) <> s.paid)
""",
    "held_without_hold": held_differs(_all("hold"), _all("wallet")),
    # The state of a claim and the end of its hold tell the same story. What was spent of a booking
    # that was given up in time came back; of one given up late it did not.
    "claim_differs": f"""
SELECT c.claim_id::text AS subject,
       format('%s, captured %s, released %s', c.state, e.captured, e.released) AS detail
FROM claim AS c
JOIN hold AS h ON h.bucket = c.bucket AND h.hold_id = c.hold_id
LEFT JOIN hold_end AS e ON e.bucket = c.bucket AND e.hold_id = c.hold_id
WHERE c.bucket BETWEEN $1 AND $2 AND (
    h.claim_id <> c.claim_id
    OR (c.state IN ('HELD', 'SUBMITTED', 'PENDING', 'UNKNOWN', 'MANUAL') AND e.hold_id IS NOT NULL)
    OR (c.state = 'REDEEMED' AND e.hold_id IS NULL)
    OR (c.state IN ('CONFIRMED', 'PARTLY_REDEEMED') AND c.ended_at IS NOT NULL)
    OR (c.state = 'EXPIRED' AND c.ended_at IS NOT NULL AND e.hold_id IS NULL)
    OR ((c.state IN ('COMPENSATED', 'REVOKED') OR c.state = 'EXPIRED' AND c.ended_at IS NULL)
        AND coalesce(e.released, 0) = 0
        AND NOT (c.state = 'REVOKED' AND e.hold_id IS NOT NULL AND (
            c.cancelled_at >= c.cancel_until
            OR c.cancelled_at IS NOT NULL AND ({is_away("e.batch_id")} OR EXISTS (
                SELECT FROM reversal AS v
                WHERE v.bucket = e.bucket AND v.reverses = e.batch_id))))))
""",
    # K-1, K-5: a member's counter is what claims of its window took and did not give back.
    "member_counter_differs": f"""
WITH n AS ({_COUNTING}), folded AS (
    SELECT t.member_id, t.counter, t.win, sum(t.used) AS used FROM (
        SELECT n.member_id, 'cap:' || n.benefit AS counter, n.cap_window AS win, n.units AS used
        FROM n WHERE n.cap_window <> ''
        UNION ALL
        SELECT n.member_id, p.counter, p.win, p.used FROM n CROSS JOIN LATERAL ({_PLACES}) AS p
        WHERE p.scope = 'MEMBER') AS t
    GROUP BY 1, 2, 3)
SELECT coalesce(m.member_id, f.member_id)::text || ' '
           || coalesce(m.counter, f.counter) AS subject,
       format('counter %s, holds %s', m.used, f.used) AS detail
FROM (SELECT * FROM member_counter WHERE bucket BETWEEN $1 AND $2) AS m
FULL JOIN folded AS f
  ON f.member_id = m.member_id AND f.counter = m.counter AND f.win = m."window"
WHERE coalesce(m.used, 0) <> coalesce(f.used, 0)
""",
    # I7: no posting is given back more than once over, and what is given back was there.
    "reversal_exceeds": """
SELECT v.reverses::text || ' ' || v.line AS subject,
       format('posted %s, given back %s', p.amount, v.amount) AS detail
FROM (SELECT bucket, reverses, line, sum(amount) AS amount FROM reversal
      WHERE bucket BETWEEN $1 AND $2 GROUP BY 1, 2, 3) AS v
LEFT JOIN posting AS p ON p.bucket = v.bucket AND p.batch_id = v.reverses AND p.line = v.line
WHERE p.amount IS NULL OR v.amount > p.amount
""",
    # L-7: what gives back takes it from where it had gone: same account, unit, lot and party, in a
    # batch of the same member that names the earlier one; and nothing else leaves these accounts.
    "reversal_differs": """
WITH given AS (
    SELECT v.bucket, v.reverses, v.batch_id, v.by_line, sum(v.amount) AS amount,
           bool_and((o.credit, o.unit, o.party) = (p.debit, p.unit, p.party)
                    AND o.lot_id IS NOT DISTINCT FROM p.lot_id) AS swaps
    FROM reversal AS v
    LEFT JOIN posting AS o ON o.bucket = v.bucket AND o.batch_id = v.reverses AND o.line = v.line
    LEFT JOIN posting AS p
      ON p.bucket = v.bucket AND p.batch_id = v.batch_id AND p.line = v.by_line
    WHERE v.bucket BETWEEN $1 AND $2 GROUP BY 1, 2, 3, 4),
giving AS (
    SELECT b.bucket, b.batch_id, b.reverses, p.line, p.amount FROM batch AS b
    JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
    WHERE b.bucket BETWEEN $1 AND $2 AND b.reverses IS NOT NULL
      AND p.debit IN ('redeemed', 'budget.spent', 'expense', 'loss'))
SELECT coalesce(g.batch_id, b.batch_id)::text AS subject,
       format('line %s, batch %s gives %s, reversals say %s', coalesce(g.by_line, b.line),
              b.reverses, b.amount, g.amount) AS detail
FROM given AS g
FULL JOIN giving AS b ON b.bucket = g.bucket AND b.batch_id = g.batch_id
  AND b.line = g.by_line AND b.reverses = g.reverses
WHERE g.swaps IS NOT TRUE OR b.amount IS DISTINCT FROM g.amount
""",
    # Nothing is posted by hand but by two: one batch for each approval, one approval by another
    # person for each batch.
    "correction_differs": f"""
WITH approved AS (
    SELECT c.bucket, c.correction_id, c.member_id, d.batch_id, c.proposed_by, d.decided_by,
           d.decided_at >= c.proposed_at AND d.decided_at < c.expires_at AS in_time
    FROM correction_decision AS d
    JOIN correction AS c ON c.bucket = d.bucket AND c.correction_id = d.correction_id
    WHERE d.bucket BETWEEN $1 AND $2 AND d.verdict = 'APPROVED'),
posted AS (
    SELECT b.bucket, b.cause_id, b.member_id, b.batch_id, b.actor FROM batch AS b
    WHERE b.bucket BETWEEN $1 AND $2 AND {BY_HAND}
      AND b.kind NOT IN {_BY_ORDER})
SELECT coalesce(a.correction_id, p.batch_id)::text AS subject,
       format('by %s and %s, batch %s of %s', a.proposed_by, a.decided_by, p.batch_id, p.actor)
           AS detail
FROM approved AS a
FULL JOIN posted AS p ON p.bucket = a.bucket AND p.cause_id = a.correction_id
WHERE a.in_time IS NOT TRUE OR a.proposed_by = a.decided_by OR a.decided_by <> p.actor
   OR a.batch_id IS DISTINCT FROM p.batch_id OR a.member_id IS DISTINCT FROM p.member_id
""",
    # C-9: an accepted claim is there, be it with whom the claimer was merged into.
    "request_without_claim": f"""
SELECT r.caller || ' ' || r.key AS subject, coalesce(r.ids ->> 'claim_id', r.ids ->> 'wait_id')
           AS detail FROM request AS r
WHERE r.bucket BETWEEN $1 AND $2 AND r.operation = 'claim' AND r.refusal = '' AND NOT EXISTS (
    SELECT FROM claim AS c
    WHERE c.bucket = {bucket_in("r.ids ->> 'claim_id'")}
      AND c.claim_id = (r.ids ->> 'claim_id')::uuid)
  AND NOT EXISTS (
    SELECT FROM wait AS w
    WHERE w.bucket = {bucket_in("r.ids ->> 'wait_id'")}
      AND w.wait_id = (r.ids ->> 'wait_id')::uuid)
""",
    # A code was shown only of what was delivered, to the member whose claim it is. The sealed code
    # is not looked at: auditors verify, and may not read it.
    "reading_without_delivery": """
SELECT r.claim_id::text AS subject, r.actor AS detail FROM code_reading AS r
WHERE r.bucket BETWEEN $1 AND $2 AND NOT EXISTS (
    SELECT FROM claim AS c
    WHERE c.bucket = r.bucket AND c.claim_id = r.claim_id AND c.member_id = r.member_id
      AND c.state IN ('ISSUED', 'CONFIRMED', 'PARTLY_REDEEMED', 'REDEEMED', 'REVOKED', 'EXPIRED'))
""",
    # V-2: every claim has the one request that asks its provider, and a hold.
    "claim_without_request": """
SELECT c.claim_id::text AS subject, c.state AS detail FROM claim AS c
WHERE c.bucket BETWEEN $1 AND $2 AND (
    NOT EXISTS (
        SELECT FROM provider_request AS r
        WHERE r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
          AND r.operation = 'ISSUE')
    OR NOT EXISTS (
        SELECT FROM hold AS h WHERE h.bucket = c.bucket AND h.hold_id = c.hold_id))
""",
    # P-3, N-2: without its grant a lot would be granted again. One that came with a customer who
    # was merged, or of a choice, has the grant of the lot it came from.
    "lot_without_grant": """
SELECT l.lot_id::text AS subject, format('%s %s %s', l.cause, l.line, l.period) AS detail
FROM lot AS l
WHERE l.bucket BETWEEN $1 AND $2 AND NOT EXISTS (
    SELECT FROM entitlement_grant AS g
    WHERE g.bucket = l.bucket AND g.member_id = l.member_id AND g.programme = l.programme
      AND g.line = l.line AND g.period = l.period AND g.cause = l.cause AND g.lot_id = l.lot_id)
  AND NOT EXISTS (
    SELECT FROM outbox AS e
    WHERE e.bucket = l.bucket AND e.member_id = l.member_id
      AND e.type IN ('entitlement.received', 'entitlement.converted', 'entitlement.extended')
      AND e.subject_id = l.lot_id)
""",
    **ASSETS,
    **CODES,
    **MERGES,
}

# K-4: shared counters belong to no bucket. A claim's stock and budgets are those of its benefit.
# What was reversed is in stock again only if nothing was delivered (V-9). A queue's counter says
# how many wait, and how many numbers it gave.
SHARED = """
SELECT CASE WHEN c."window" = 'all' AND c.slice = 0 AND c.counter NOT LIKE 'limit:%'
            THEN c.counter ELSE format('%s %s %s', c.counter, c."window", c.slice) END AS counter,
       c.reserved, CASE WHEN c."window" = 'queue' THEN 0 ELSE c.spent END AS spent
FROM counter AS c ORDER BY c.counter
"""
TAKEN = f"""
SELECT c.benefit, c.programme, c.programme_version,
       sum(c.quantity) FILTER (WHERE e.hold_id IS NULL)::bigint AS reserved_pieces,
       sum((e.captured - coalesce(v.undelivered, 0)) * c.quantity / h.quantity)::bigint
           AS spent_pieces,
       sum(h.cost_minor) FILTER (WHERE e.hold_id IS NULL)::bigint AS reserved_minor,
       sum(coalesce(e.spent_minor, h.cost_minor * e.captured / h.quantity)
           - coalesce(v.unspent, 0))::bigint AS spent_minor
FROM claim AS c
JOIN hold AS h ON h.bucket = c.bucket AND h.member_id = c.member_id AND h.claim_id = c.claim_id
LEFT JOIN hold_end AS e ON e.bucket = h.bucket AND e.hold_id = h.hold_id
LEFT JOIN (
    SELECT r.bucket, r.reverses,
           sum(r.amount) FILTER (WHERE p.credit = 'budget.spent') AS unspent,
           sum(r.amount) FILTER (WHERE p.credit = 'redeemed' AND (
               k.reason = 'NOT_DELIVERED' OR b.kind IN {_BY_ORDER})) AS undelivered
    FROM reversal AS r
    JOIN posting AS p ON p.bucket = r.bucket AND p.batch_id = r.reverses AND p.line = r.line
    LEFT JOIN batch AS b ON b.bucket = r.bucket AND b.batch_id = r.batch_id
    LEFT JOIN correction AS k ON k.bucket = b.bucket AND k.correction_id = b.cause_id
    WHERE r.bucket BETWEEN 0 AND 1023 AND p.credit IN ('redeemed', 'budget.spent')
    GROUP BY 1, 2) AS v ON v.bucket = e.bucket AND v.reverses = e.batch_id
WHERE c.bucket BETWEEN 0 AND 1023
GROUP BY 1, 2, 3
"""
# K-1, K-5: what claims took in the windows of shared limits and did not give back.
LIMITED = f"""
WITH n AS ({_COUNTING})
SELECT format('%s %s 0', p.counter, p.win) AS counter, sum(p.used)::bigint AS used
FROM n CROSS JOIN LATERAL ({_PLACES}) AS p
WHERE n.limits IS NOT NULL AND p.scope <> 'MEMBER' GROUP BY 1
"""
VERSIONS = "SELECT code, version FROM programme"


class Taken(msgspec.Struct, frozen=True):
    """What one benefit's holds say is reserved and spent, in pieces and in minor units.

    They are of claims under one version of the programme, whose budgets bear them.
    """

    benefit: str
    programme: str
    programme_version: int
    reserved_pieces: int
    spent_pieces: int
    reserved_minor: int
    spent_minor: int


async def findings(database: Database, buckets: tuple[int, int]) -> AsyncIterator[Finding]:
    """Run every check over a range of buckets in one consistent view, and yield what is wrong."""
    async with database.transaction() as conn:
        await run(conn, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await run(conn, STEADY)
        for kind, statement in (CHECKS | TERMS).items():
            for row in await rows(conn, statement, *buckets):
                yield Finding(kind, row.subject, row.detail or "")


async def shared(conn: Connection) -> tuple[dict[str, tuple[int, int]], list[Taken]]:
    """Return shared counters (reserved, spent), and what holds say was taken per benefit."""
    counters = {row.counter: (row.reserved, row.spent) for row in await rows(conn, SHARED)}
    taken = [Taken(*row[:3], *(n or 0 for n in row[3:])) for row in await rows(conn, TAKEN)]
    return counters, taken


async def limited(conn: Connection) -> dict[str, int]:
    """Return what claims took in the windows of shared limits and did not give back."""
    return {row.counter: row.used for row in await rows(conn, LIMITED, 0, BUCKETS - 1)}


async def versions(conn: Connection) -> set[tuple[str, int]]:
    """Return the versions of programmes that are there."""
    return {(row.code, row.version) for row in await rows(conn, VERSIONS)}
