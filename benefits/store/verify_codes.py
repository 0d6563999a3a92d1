"""What `verify` asks of codes bought in advance: they and the claims say the same (V-1, V-9)."""

from benefits.store.merged import bucket_in

CODES = {
    # A claim has as many codes of our stock as it says, of what it ordered: one for each piece but
    # for what was given back; they were shown if somebody looked. No sealed code is looked at.
    "codes_differ": f"""
WITH given AS (
    SELECT {bucket_in("p.claim_id")}::smallint AS bucket, p.claim_id, p.provider, p.sku, p.shown_at
    FROM pool_code AS p
    WHERE p.claim_id IS NOT NULL AND {bucket_in("p.claim_id")} BETWEEN $1 AND $2),
of_claim AS (
    SELECT g.bucket, g.claim_id, count(*) AS codes, count(g.shown_at) AS shown,
           count(*) FILTER (
               WHERE r.provider IS DISTINCT FROM g.provider OR r.sku <> g.sku) AS others
    FROM given AS g
    LEFT JOIN claim AS c ON c.bucket = g.bucket AND c.claim_id = g.claim_id
    LEFT JOIN provider_request AS r
      ON r.bucket = c.bucket AND r.member_id = c.member_id AND r.claim_id = c.claim_id
         AND r.operation = 'ISSUE'
    GROUP BY 1, 2),
says AS (
    SELECT c.bucket, c.claim_id, c.codes, c.quantity, e.batch_id,
           EXISTS (SELECT FROM code_reading AS x
                   WHERE x.bucket = c.bucket AND x.claim_id = c.claim_id) AS is_read
    FROM claim AS c
    LEFT JOIN hold_end AS e ON e.bucket = c.bucket AND e.hold_id = c.hold_id
    WHERE c.bucket BETWEEN $1 AND $2 AND c.codes <> 0)
SELECT coalesce(s.claim_id, o.claim_id)::text AS subject,
       format('%s codes, %s of another order, %s shown; the claim says %s of %s',
              coalesce(o.codes, 0), coalesce(o.others, 0), coalesce(o.shown, 0),
              coalesce(s.codes, 0), s.quantity) AS detail
FROM says AS s
FULL JOIN of_claim AS o ON o.bucket = s.bucket AND o.claim_id = s.claim_id
WHERE s.codes IS DISTINCT FROM o.codes OR o.others > 0 OR s.codes > s.quantity
   OR o.shown <> CASE WHEN s.is_read THEN o.codes ELSE 0 END
   OR (s.codes < s.quantity AND NOT EXISTS (
       SELECT FROM reversal AS v WHERE v.bucket = s.bucket AND v.reverses = s.batch_id))
""",
}
