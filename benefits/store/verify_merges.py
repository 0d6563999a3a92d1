"""Mergers, checked anew: who was merged is told by events, and what went is what came (T-10)."""

from benefits.store.merged import bucket_in

_TERMS = ["unit", "programme", "line", "period", "cause", "priority", "granted_at", "expires_at"]


def _terms(of: str) -> str:
    return ", ".join(f"{of}.{name}" for name in _TERMS)


MERGES: dict[str, str] = {
    # Who was merged into whom is what both histories tell, by way of others or not; and there are
    # no chains.
    "merger_differs": f"""
WITH told AS (
    SELECT e.member_id, (e.data ->> 'into')::uuid AS into_id FROM outbox AS e
    WHERE e.bucket BETWEEN $1 AND $2 AND e.type = 'member.merged'
      AND e.data ->> 'merged' = e.member_id::text)
SELECT coalesce(m.member_id, t.member_id)::text AS subject,
       format('merged into %s, told %s', m.merged_into, t.into_id) AS detail
FROM (SELECT o.member_id, o.merged_into FROM member AS o
      WHERE o.bucket BETWEEN $1 AND $2 AND o.merged_into IS NOT NULL) AS m
FULL JOIN told AS t ON t.member_id = m.member_id
LEFT JOIN member AS n ON n.bucket = {bucket_in("m.merged_into")} AND n.member_id = m.merged_into
LEFT JOIN member AS v ON v.bucket = {bucket_in("t.into_id")} AND v.member_id = t.into_id
WHERE n.has_merged IS NOT TRUE OR v.member_id IS NULL
   OR coalesce(v.merged_into, v.member_id) IS DISTINCT FROM m.merged_into
UNION ALL
SELECT m.member_id::text, 'nobody was merged into it' FROM member AS m
WHERE m.bucket BETWEEN $1 AND $2 AND m.has_merged AND NOT EXISTS (
    SELECT FROM member AS o
    WHERE o.bucket BETWEEN 0 AND 1023 AND o.merged_into = m.member_id)
""",
    # L-2: what one lot or member lost another got, under the same terms. Postings of an archived
    # month are under its digest.
    "transfer_differs": f"""
SELECT e.subject_id::text AS subject, format('gone %s, come %s', e.data, r.data) AS detail
FROM outbox AS e
LEFT JOIN lot AS o ON o.bucket = {bucket_in("e.subject_id")} AND o.lot_id = e.subject_id
LEFT JOIN lot AS l ON l.bucket = {bucket_in("e.data ->> 'lot_id'")}
     AND l.lot_id = (e.data ->> 'lot_id')::uuid
LEFT JOIN posting AS p ON p.bucket = e.bucket AND p.batch_id = e.batch_id
     AND p.bucket BETWEEN $1 AND $2
LEFT JOIN outbox AS r ON r.bucket = l.bucket AND r.member_id = l.member_id
     AND r.subject_id = l.lot_id AND r.type = 'entitlement.received'
WHERE e.bucket BETWEEN $1 AND $2 AND e.type = 'entitlement.transferred' AND (
    ({_terms("o")}) IS DISTINCT FROM ({_terms("l")}) OR p.amount <> l.granted
    OR (e.data ->> 'unit', e.data ->> 'quantity', e.subject_id::text)
       IS DISTINCT FROM (r.data ->> 'unit', r.data ->> 'quantity', r.data ->> 'lot_id'))
UNION ALL
SELECT r.subject_id::text, format('come %s', r.data) FROM outbox AS r
WHERE r.bucket BETWEEN $1 AND $2 AND r.type = 'entitlement.received' AND NOT EXISTS (
    SELECT FROM lot AS o
    JOIN outbox AS e ON e.bucket = o.bucket AND e.member_id = o.member_id
     AND e.type = 'entitlement.transferred' AND e.data ->> 'lot_id' = r.subject_id::text
    WHERE o.bucket = {bucket_in("r.data ->> 'lot_id'")}
      AND o.lot_id = (r.data ->> 'lot_id')::uuid)
UNION ALL
SELECT e.member_id::text, format('%s %s', e.type, e.data) FROM outbox AS e
WHERE e.bucket BETWEEN $1 AND $2
  AND e.type IN ('entitlement.debt_given', 'entitlement.debt_taken') AND NOT EXISTS (
    SELECT FROM outbox AS r
    WHERE r.bucket = {bucket_in("e.subject_id")} AND r.member_id = e.subject_id
      AND r.subject_id = e.member_id AND r.data = e.data AND r.type <> e.type
      AND r.type IN ('entitlement.debt_given', 'entitlement.debt_taken'))
""",
}
