"""What tables keep beside the postings, checked against the events and batches that made it.

A batch and its event are under one seal, so whatever follows from them is as sure as the log.
What an event of before a field's time does not say is not compared.
Like `verify`: one statement per check and bucket range, which returns what is wrong.
"""

from benefits.store.carried import is_away
from benefits.store.db import Connection, rows

# What each kind of batch moves, from which account to which (`domain/ledger`).
_RELEASE = ("held>available", "available>expired", "budget.reserved>budget.available")
_SPEND = (
    *("held>redeemed", "budget.reserved>budget.spent", "budget.available>budget.spent"),
    *("budget.reserved>budget.available", "provider.payable>expense"),
)
_HOLD = ("available>held", "budget.available>budget.reserved")
_DELIVER = (*_HOLD, *_SPEND, "issued>loss", "provider.payable>loss")
_UNSPEND = (
    *("redeemed>available", "available>expired"),
    *("budget.spent>budget.available", "expense>provider.payable"),
)
_GRANT = ("issued>available", "available>debt")
MOVES: dict[str, tuple[str, ...]] = {
    "entitlement.granted": _GRANT,
    "entitlement.converted": (*_GRANT, "available>converted"),
    "entitlement.expired": ("available>expired",),
    "claim.placed": _HOLD,
    "order.issued": _DELIVER,
    "order.confirmed": _DELIVER,
    "order.partly_redeemed": _DELIVER,
    "order.redeemed": (*_DELIVER, *_UNSPEND),
    "order.compensated": _RELEASE,
    "order.expired": (*_RELEASE, *_SPEND, *_UNSPEND, *_HOLD),
    "order.revoked": (*_RELEASE, *_SPEND, *_UNSPEND),
    "order.settled": (*_RELEASE, *_SPEND),
    "order.reversed": (*_UNSPEND, *_HOLD),
    "order.counted": (*_RELEASE, *_UNSPEND, *_HOLD, "issued>loss", "provider.payable>loss"),
    "entitlement.returned": (
        *_GRANT,
        *_UNSPEND,
    ),
    "entitlement.revoked": ("available>revoked",),
    "entitlement.reduced": ("available>revoked",),
    "entitlement.restored": ("revoked>available",),
    "entitlement.clawed_back": ("available>revoked", "debt>revoked", "redeemed>loss"),
    "entitlement.debt_forgiven": ("revoked>debt", "redeemed>loss"),
    "entitlement.made_good": (*_GRANT, "suspense>provider.payable"),
    "loss.recovered": ("loss>issued", "loss>provider.payable"),
    "charge.cleared": ("loss>suspense", "provider.payable>suspense"),
    "entitlement.transferred": ("available>transferred",),
    "entitlement.received": ("received>available", "available>debt"),
    "entitlement.extended": ("issued>available", "available>converted"),
    "entitlement.debt_given": ("received>debt",),
    "entitlement.debt_taken": ("debt>transferred",),
}
_ALLOWED = ", ".join(f"('{kind}', '{move}')" for kind, moves in MOVES.items() for move in moves)

# What was told of new lots, and under which terms they were given.
_GRANTED = """
SELECT e.member_id, e.data, e.type = 'entitlement.granted' AS plain,
       CASE WHEN e.type IN ('entitlement.received', 'entitlement.extended')
            THEN (e.data ->> 'granted_at')::timestamptz ELSE e.recorded_at END AS granted_at,
       CASE e.type WHEN 'entitlement.returned' THEN (e.data ->> 'lot_id')::uuid
                   ELSE e.subject_id END AS lot_id,
       CASE e.type WHEN 'entitlement.returned' THEN e.subject_id::text
                   WHEN 'entitlement.made_good' THEN e.data ->> 'claim_id'
                   ELSE e.data ->> 'period' END AS period,
       coalesce(e.data ->> 'cause', 'MAKE_GOOD') AS cause,
       CASE WHEN e.type IN ('entitlement.granted', 'entitlement.received',
                            'entitlement.converted', 'entitlement.extended')
            THEN e.data ->> 'line'
            ELSE e.data ->> 'benefit' END AS line
FROM outbox AS e
WHERE e.bucket BETWEEN $1 AND $2 AND e.batch_id IS NOT NULL
  AND e.type IN ('entitlement.granted', 'entitlement.made_good', 'entitlement.returned',
                 'entitlement.received', 'entitlement.converted', 'entitlement.extended')
"""
# Where the last event of its order says that a claim stands.
_TOLD = """
SELECT DISTINCT ON (e.member_id, e.subject_id) e.subject_id AS claim_id,
       e.data ->> 'reason' AS why,
       CASE e.type WHEN 'claim.placed' THEN 'HELD' WHEN 'order.settled' THEN e.data ->> 'state'
                   WHEN 'order.reversed' THEN e.data ->> 'state'
                   ELSE upper(substr(e.type, 7)) END AS state
FROM outbox AS e
WHERE e.bucket BETWEEN $1 AND $2 AND (e.type = 'claim.placed' OR e.type LIKE 'order.%')
  AND e.type NOT IN ('order.revoking', 'order.kept', 'order.counted')
ORDER BY e.member_id, e.subject_id, e.seq DESC
"""

# The correction that a request names, and the bucket in its id.
_NAMED = "(r.ids ->> 'correction_id')::uuid"
_PLACE = "('x' || right(r.ids ->> 'correction_id', 3))::bit(12)::int & 1023"

TERMS: dict[str, str] = {
    # L-3, L-5: who has a lot, what of and until when is what was told when it was granted.
    "lot_terms_differ": f"""
SELECT l.lot_id::text AS subject,
       format('lot %s %s %s %s until %s, told %s', l.cause, l.programme, l.line, l.period,
              l.expires_at, t.data) AS detail
FROM lot AS l LEFT JOIN ({_GRANTED}) AS t ON t.lot_id = l.lot_id
WHERE l.bucket BETWEEN $1 AND $2 AND (
    (l.member_id, l.cause, l.period, l.granted_at)
        IS DISTINCT FROM (t.member_id, t.cause, t.period, t.granted_at)
    OR l.line <> t.line OR l.programme <> t.data ->> 'programme'
    OR l.expires_at IS DISTINCT FROM (t.data ->> 'expires_at')::timestamptz
    OR l.priority <> coalesce((t.data ->> 'priority')::int,
                              CASE l.cause WHEN 'TIER' THEN 0 ELSE 1 END))
""",
    # P-3: a grant is of one lot, with its units; its quota is what was told, or their sum.
    "grant_differs": f"""
WITH g AS (
    SELECT n.*, sum(n.quantity) OVER (
               PARTITION BY n.bucket, n.member_id, n.programme, n.line, n.period, n.cause
               ORDER BY n.quota) AS given
    FROM entitlement_grant AS n WHERE n.bucket BETWEEN $1 AND $2)
SELECT g.lot_id::text AS subject,
       format('grant %s of quota %s, lot %s, told %s', g.quantity, g.quota, l.granted, t.data)
           AS detail
FROM g
LEFT JOIN lot AS l ON l.bucket = g.bucket AND l.lot_id = g.lot_id
LEFT JOIN ({_GRANTED}) AS t ON t.plain AND t.lot_id = g.lot_id
WHERE (g.member_id, g.quantity, g.granted_at)
          IS DISTINCT FROM (l.member_id, l.granted, l.granted_at)
   OR CASE g.cause WHEN 'MAKE_GOOD' THEN g.quota <> g.given
      ELSE g.quota * (t.data ->> 'quantity')::numeric
           <> g.quantity * (t.data ->> 'quota')::numeric END
""",
    # P-6: what a fall took and a rise gave back is what its batch moved; those of an archived
    # month are under its digest.
    "grant_change_differs": """
WITH moved AS (
    SELECT b.bucket, b.batch_id, b.member_id, b.recorded_at, p.lot_id,
           CASE p.credit WHEN 'revoked' THEN p.amount ELSE -p.amount END AS taken
    FROM batch AS b
    JOIN posting AS p ON p.bucket = b.bucket AND p.batch_id = b.batch_id
    WHERE b.bucket BETWEEN $1 AND $2
      AND b.kind IN ('entitlement.reduced', 'entitlement.restored')),
known AS (
    SELECT c.* FROM entitlement_change AS c
    WHERE c.bucket BETWEEN $1 AND $2
      AND EXISTS (SELECT FROM batch AS b WHERE b.bucket = c.bucket AND b.batch_id = c.batch_id))
SELECT coalesce(k.lot_id, m.lot_id)::text AS subject,
       format('change %s of member %s, its batch %s', k.taken, k.member_id, m.taken) AS detail
FROM known AS k
FULL JOIN moved AS m ON m.bucket = k.bucket AND m.batch_id = k.batch_id AND m.lot_id = k.lot_id
WHERE (k.member_id, k.taken, k.changed_at) IS DISTINCT FROM (m.member_id, m.taken, m.recorded_at)
""",
    # P-8: what was chosen is what was told, and its lot keeps the terms of the one it came from.
    "choice_differs": """
WITH told AS (
    SELECT e.bucket, e.subject_id, e.member_id, e.batch_id, e.data, e.recorded_at
    FROM outbox AS e
    WHERE e.bucket BETWEEN $1 AND $2 AND e.type = 'entitlement.converted'),
made AS (SELECT c.* FROM choice AS c WHERE c.bucket BETWEEN $1 AND $2)
SELECT coalesce(c.lot_id, t.subject_id)::text AS subject,
       format('%s for %s of lot %s, told %s', c.benefit, c.choice, c.from_lot_id, t.data) AS detail
FROM made AS c
FULL JOIN told AS t ON t.bucket = c.bucket AND t.subject_id = c.lot_id
LEFT JOIN lot AS l ON l.bucket = c.bucket AND l.lot_id = c.lot_id
LEFT JOIN lot AS f ON f.bucket = c.bucket AND f.lot_id = c.from_lot_id
WHERE (c.member_id, c.batch_id, c.choice, c.benefit, c.programme, c.line, c.period,
       c.from_lot_id::text, c.chosen_at)
          IS DISTINCT FROM (t.member_id, t.batch_id, t.data ->> 'choice', t.data ->> 'benefit',
                            t.data ->> 'programme', t.data ->> 'line', t.data ->> 'period',
                            t.data ->> 'lot_id', t.recorded_at)
   OR (c.programme, c.line, c.period, l.cause, l.priority, l.unit, 'CHOICE:' || c.choice)
          IS DISTINCT FROM (f.programme, f.line, f.period, f.cause, f.priority,
                            'BENEFIT:' || c.benefit, f.unit)
   OR l.expires_at > f.expires_at
""",
    # I6, K-1: a hold is what its batches moved, when they did and for which claim. Those of an
    # archived month are under its digest.
    "hold_terms_differ": f"""
WITH moved AS (
    SELECT b.bucket, b.batch_id, b.member_id, b.kind, b.recorded_at, b.cause_id,
           min(p.unit) FILTER (WHERE p.credit = 'held') AS unit,
           max(p.unit) FILTER (WHERE p.credit = 'held') AS last_unit,
           coalesce(sum(p.amount) FILTER (WHERE p.credit = 'held' AND l.cause = 'MAKE_GOOD'), 0)
               AS uncapped,
           coalesce(sum(p.amount) FILTER (WHERE p.debit = 'held' AND p.credit = 'redeemed'), 0)
               AS captured,
           coalesce(sum(p.amount) FILTER (WHERE p.debit = 'held' AND p.credit = 'available'), 0)
               AS released,
           coalesce(sum(p.amount) FILTER (WHERE p.debit = 'held' AND p.credit = 'available'
                                            AND l.cause = 'MAKE_GOOD'), 0) AS back_uncapped
    FROM posting AS p
    JOIN batch AS b ON b.bucket = p.bucket AND b.batch_id = p.batch_id
    LEFT JOIN lot AS l ON l.bucket = p.bucket AND l.lot_id = p.lot_id
    WHERE p.bucket BETWEEN $1 AND $2 AND b.bucket BETWEEN $1 AND $2
      AND (p.credit = 'held' OR p.debit = 'held')
    GROUP BY 1, 2, 3, 4, 5, 6)
SELECT h.hold_id::text AS subject,
       format('hold %s %s uncapped %s, batch %s %s; end %s/%s/%s, batch %s/%s/%s', h.unit,
              h.placed_at, h.uncapped, m.unit, m.uncapped, e.captured, e.released, e.uncapped,
              n.captured, n.released, n.back_uncapped) AS detail
FROM hold AS h
LEFT JOIN claim AS c ON c.bucket = h.bucket AND c.claim_id = h.claim_id
LEFT JOIN hold_end AS e ON e.bucket = h.bucket AND e.hold_id = h.hold_id
LEFT JOIN moved AS m ON m.bucket = h.bucket AND m.batch_id = h.batch_id
LEFT JOIN moved AS n ON n.bucket = e.bucket AND n.batch_id = e.batch_id
WHERE h.bucket BETWEEN $1 AND $2 AND (
    (h.member_id, h.unit, h.unit, h.uncapped)
        IS DISTINCT FROM (m.member_id, m.unit, m.last_unit, m.uncapped)
        AND NOT (m.batch_id IS NULL AND {is_away("h.batch_id")})
    OR h.placed_at <> CASE m.kind WHEN 'claim.placed' THEN c.claimed_at ELSE m.recorded_at END
    OR m.kind <> 'claim.placed' AND m.cause_id IS DISTINCT FROM h.claim_id
    OR h.quantity % c.quantity <> 0 AND h.hold_id = c.hold_id
    OR e.hold_id IS NOT NULL AND NOT (n.batch_id IS NULL AND {is_away("e.batch_id")}) AND (
        (e.captured, e.released, e.uncapped, e.ended_at, h.member_id)
            IS DISTINCT FROM (n.captured, n.released, n.back_uncapped, n.recorded_at, n.member_id)
        OR n.kind <> 'order.settled' AND n.cause_id IS DISTINCT FROM h.claim_id))
""",
    # V-4: a claim is what was claimed, and stands where its last event says.
    "claim_terms_differ": f"""
WITH told AS ({_TOLD}),
counted AS (
    SELECT DISTINCT ON (e.member_id, e.subject_id) e.subject_id AS claim_id, e.data
    FROM outbox AS e WHERE e.bucket BETWEEN $1 AND $2 AND e.type = 'order.counted'
    ORDER BY e.member_id, e.subject_id, e.seq DESC)
SELECT c.claim_id::text AS subject,
       format('%s %s of %s for %s, told %s %s', c.state, c.quantity, c.benefit, c.claimed_at,
              t.state, p.data) AS detail
FROM claim AS c
LEFT JOIN outbox AS p ON p.bucket = c.bucket AND p.member_id = c.member_id
     AND p.subject_id = c.claim_id AND p.type = 'claim.placed' AND p.batch_id IS NOT NULL
     AND p.bucket BETWEEN $1 AND $2
LEFT JOIN told AS t ON t.claim_id = c.claim_id
LEFT JOIN counted AS n ON n.claim_id = c.claim_id
WHERE c.bucket BETWEEN $1 AND $2 AND (
    c.benefit IS DISTINCT FROM p.data ->> 'benefit'
    OR coalesce(c.ordered, c.quantity) IS DISTINCT FROM (p.data ->> 'quantity')::bigint
    OR (c.ordered, c.missing) IS DISTINCT FROM (
        (n.data ->> 'quantity')::bigint, coalesce((n.data ->> 'missing')::bigint, 0))
    OR c.programme <> p.data ->> 'programme'
    OR c.programme_version <> (p.data ->> 'programme_version')::int
    OR c.cap_window <> p.data ->> 'window'
    OR coalesce(c.limits, '[]') <> coalesce(p.data -> 'limits', '[]')
    OR c.use_until IS DISTINCT FROM (p.data ->> 'use_until')::timestamptz
    OR c.instead_of <> coalesce(p.data ->> 'instead_of', '')
    OR c.booked_for IS DISTINCT FROM (p.data ->> 'booked_for')::timestamptz
    OR c.cancel_until IS DISTINCT FROM (p.data ->> 'cancel_until')::timestamptz
    OR c.claimed_at <> (p.data ->> 'claimed_at')::timestamptz
    OR p.data ? 'hold_id' AND NOT EXISTS (
        SELECT FROM hold AS h WHERE h.bucket = c.bucket AND h.claim_id = c.claim_id
          AND h.hold_id = (p.data ->> 'hold_id')::uuid)
    OR CASE c.state WHEN 'SUBMITTED' THEN 'HELD' ELSE c.state END IS DISTINCT FROM t.state
    OR c.state = 'COMPENSATED' AND c.reason <> t.why
    OR c.deadline IS NOT NULL AND (
        c.state <> 'HELD' OR c.deadline <> c.claimed_at + interval '24 hours'))
""",
    # I12, L-5, T-10, P-5: a batch is told as it is, and of its own time; what expired did at its
    # lot's end, or before it: after that of the relationship, or beyond the cap of a line.
    "batch_terms_differ": """
SELECT b.batch_id::text AS subject,
       format('%s of %s as of %s, told %s of %s', b.kind, b.recorded_at, b.effective_at, e.type,
              e.recorded_at) AS detail
FROM batch AS b
LEFT JOIN outbox AS e ON e.bucket = b.bucket AND e.batch_id = b.batch_id
     AND e.bucket BETWEEN $1 AND $2
WHERE b.bucket BETWEEN $1 AND $2 AND (
    (b.member_id, b.kind, b.recorded_at) IS DISTINCT FROM (e.member_id, e.type, e.recorded_at)
    OR CASE b.kind WHEN 'entitlement.expired' THEN NOT EXISTS (
        SELECT FROM lot AS l WHERE l.bucket = b.bucket AND l.lot_id = e.subject_id
                               AND (l.expires_at = b.effective_at OR e.data ? 'cap'
                                    AND b.effective_at <= b.recorded_at
                                    AND b.effective_at < l.expires_at
                                    AND l.cause IN ('TIER', 'SEGMENT')
                                    OR e.data ? 'ended'
                                    AND b.effective_at <= b.recorded_at
                                    AND b.effective_at < coalesce(l.expires_at, 'infinity')
                                    AND EXISTS (
        SELECT FROM member AS m WHERE m.bucket = b.bucket AND m.member_id = b.member_id
          AND m.closed_on < b.effective_at::date + 1)))
       ELSE b.effective_at > b.recorded_at END)
""",
    # L-1: a batch moves what its kind moves.
    "postings_unlike_kind": f"""
SELECT b.batch_id::text AS subject, format('%s: %s to %s', b.kind, p.debit, p.credit) AS detail
FROM posting AS p
JOIN batch AS b ON b.bucket = p.bucket AND b.batch_id = p.batch_id
LEFT JOIN (VALUES {_ALLOWED}) AS a (kind, move)
  ON a.kind = b.kind AND a.move = p.debit || '>' || p.credit
WHERE p.bucket BETWEEN $1 AND $2 AND b.bucket BETWEEN $1 AND $2 AND a.kind IS NULL
""",
    # L-7: what was posted by hand is what two people agreed on, when the second of them said so.
    "correction_terms_differ": """
SELECT d.correction_id::text AS subject, format('proposed %s, posted %s', c.digest, e.data)
           AS detail
FROM correction_decision AS d
JOIN correction AS c ON c.bucket = d.bucket AND c.correction_id = d.correction_id
LEFT JOIN outbox AS e ON e.bucket = d.bucket AND e.batch_id = d.batch_id
     AND e.bucket BETWEEN $1 AND $2
WHERE d.bucket BETWEEN $1 AND $2 AND d.batch_id IS NOT NULL
  AND (e.data ->> 'digest', e.recorded_at) IS DISTINCT FROM (c.digest, d.decided_at)
""",
    # A member's history has one order: by sequence, time, position and place in the log.
    "history_disordered": """
WITH told AS (
    SELECT e.bucket, e.member_id, e.seq, e.recorded_at, e.position, l.leaf_index,
           lag(e.seq) OVER o AS seq_before,
           lag(e.recorded_at) OVER o AS at_before, lag(e.position) OVER o AS position_before,
           max(l.leaf_index) OVER (o ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
               AS leaf_before
    FROM outbox AS e
    LEFT JOIN leaf AS l ON l.bucket = e.bucket AND l.batch_id = e.batch_id
         AND l.bucket BETWEEN $1 AND $2
    WHERE e.bucket BETWEEN $1 AND $2
    WINDOW o AS (PARTITION BY e.bucket, e.member_id ORDER BY e.seq))
SELECT t.member_id::text AS subject,
       format('event %s of %s, the one before of %s, member at %s', t.seq, t.recorded_at,
              t.at_before, m.recorded_at) AS detail
FROM told AS t LEFT JOIN member AS m ON m.bucket = t.bucket AND m.member_id = t.member_id
WHERE t.seq <> coalesce(t.seq_before, 0) + 1 OR t.recorded_at <= t.at_before
   OR t.position < t.position_before OR t.leaf_index <= t.leaf_before
   OR t.seq = m.event_seq AND (m.recorded_at, m.event_position) <> (t.recorded_at, t.position)
""",
    # C-9: what a key was answered is there, and what a key must have made has its answer; that
    # of a claim stands with whom it was asked for, who was merged since.
    "request_differs": f"""
SELECT r.operation || ' ' || r.key AS subject, r.ids::text AS detail FROM request AS r
WHERE r.bucket BETWEEN $1 AND $2 AND r.refusal = '' AND CASE
    WHEN r.operation = 'reward' THEN NOT EXISTS (
        SELECT FROM lot AS l WHERE l.lot_id = (r.ids ->> 'lot_id')::uuid
          AND l.bucket = {_PLACE.replace("correction_id", "lot_id")})
    WHEN r.operation = 'choose' THEN NOT EXISTS (
        SELECT FROM choice AS c WHERE c.lot_id = (r.ids ->> 'lot_id')::uuid
          AND c.bucket = {_PLACE.replace("correction_id", "lot_id")})
    WHEN r.operation = 'approve_correction' THEN NOT EXISTS (
        SELECT FROM correction_decision AS d WHERE d.correction_id = {_NAMED}
          AND d.bucket = {_PLACE} AND d.verdict = 'APPROVED')
    WHEN r.operation = 'reject_correction' THEN NOT EXISTS (
        SELECT FROM correction_decision AS d WHERE d.correction_id = {_NAMED}
          AND d.bucket = {_PLACE} AND d.verdict <> 'APPROVED')
    WHEN r.operation = 'propose_correction' THEN NOT EXISTS (
        SELECT FROM correction AS c WHERE c.correction_id = {_NAMED} AND c.bucket = {_PLACE})
    ELSE false END
UNION ALL
SELECT c.claim_id::text, 'claimed by no request' FROM claim AS c
LEFT JOIN request AS r ON r.bucket = c.bucket AND (r.ids ->> 'claim_id')::uuid = c.claim_id
     AND r.operation = 'claim' AND r.refusal = '' AND r.bucket BETWEEN $1 AND $2
WHERE c.bucket BETWEEN $1 AND $2 AND r.bucket IS NULL AND NOT EXISTS (
    SELECT FROM member AS m
    JOIN member AS o ON o.bucket BETWEEN 0 AND 1023
     AND o.merged_into = coalesce(m.merged_into, m.member_id)
    JOIN request AS q ON q.bucket = o.bucket AND q.operation = 'claim' AND q.refusal = ''
     AND (q.ids ->> 'claim_id')::uuid = c.claim_id
    WHERE m.bucket = c.bucket AND m.member_id = c.member_id)
""",
}

# Requests to propose and decide stand in buckets of their keys: all are asked at once.
UNASKED = """
SELECT c.correction_id::text AS subject FROM correction AS c
LEFT JOIN correction_decision AS d ON d.bucket = c.bucket AND d.correction_id = c.correction_id
LEFT JOIN (SELECT r.ids ->> 'correction_id' AS id, count(*) AS count FROM request AS r
           WHERE r.bucket BETWEEN 0 AND 1023 AND r.refusal = ''
             AND r.operation IN ('propose_correction', 'approve_correction', 'reject_correction')
           GROUP BY 1) AS r ON r.id = c.correction_id::text
WHERE c.bucket BETWEEN 0 AND 1023
  AND coalesce(r.count, 0) < CASE WHEN d.correction_id IS NULL THEN 1 ELSE 2 END
"""


async def unasked(conn: Connection) -> list[str]:
    """Return the corrections that were proposed or decided by no request that is there."""
    return [row.subject for row in await rows(conn, UNASKED)]
