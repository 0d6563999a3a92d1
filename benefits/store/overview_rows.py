"""The statement that tells what members have now, and the shape of what it finds.

All of it is one statement and so one snapshot: an answer never shows a claim without the units it
took. What is found of a member comes as one JSON text: read into structs at once, it costs a
fraction of what the driver takes for rows within rows.
"""

from datetime import date, datetime

import msgspec

from benefits.domain.labels import Layer
from benefits.domain.tiers import Cause
from benefits.store.pages import CLAIM_SEEN, ClaimSeen, Entitlement
from benefits.store.sealed import (
    COUNTED,
    COUNTED_CONVERTED,
    COUNTED_FOLDED,
    COUNTED_JOINT,
    COUNTED_JOINT_UNRATED,
    COUNTED_UNRATED,
    sealed_days,
)

# By index, for each member: member (primary key), ix_lot_bucket_member_id_unit_expires_at,
# ix_claim_bucket_member_id_claim_id, tier_decision (unique key), member_label, asset_month,
# asset_stretch, asset_stretch_folded, evaluation (primary keys). Which days are sealed and which
# stretches kept comes with the sums that count with them. A standing is the tier at an instant as
# known then (T-9), with the instant since which its rank has been held without a break.
OVERVIEW = f"""
SELECT m.member_id, m.opened_on, m.closed_on, m.merged_into, m.has_merged,
    (SELECT i.config_version FROM installation AS i),
    {sealed_days("$12", "$13")} AS sealed,
    (SELECT json_agg(json_build_array(
         h.month, h.first_day, h.last_day, h.next_bucket, h.folded_bucket))::text
     FROM stretch AS h WHERE h.month >= $13) AS kept,
    json_build_array(
        (SELECT coalesce(json_agg(json_build_array(
             l.unit, l.programme, l.granted, l.remaining - l.held, l.held, l.granted_at,
             l.expires_at) ORDER BY l.unit, l.expires_at, l.lot_id), '[]')
         FROM lot AS l
         WHERE l.bucket = k.bucket AND l.member_id = k.member_id
           AND (l.expires_at > $4 OR l.expires_at IS NULL) AND l.remaining > 0),
        (SELECT coalesce(json_agg(c.seen ORDER BY c.claim_id DESC), '[]')
         FROM (SELECT c.claim_id, json_build_array({CLAIM_SEEN}) AS seen
               FROM claim AS c
               WHERE c.bucket = k.bucket AND c.member_id = k.member_id
               ORDER BY c.claim_id DESC LIMIT $3) AS c),
        (SELECT coalesce(json_agg(json_build_array(
             v.label, v.layer, v.valid_from, v.valid_to)), '[]')
         FROM (SELECT DISTINCT ON (b.label, b.valid_from)
                      b.label, b.layer, b.valid_from, b.valid_to
               FROM member_label AS b
               WHERE b.bucket = k.bucket AND b.member_id = k.member_id
                 AND b.label = ANY($14::text[])
               ORDER BY b.label, b.valid_from, b.recorded_at DESC) AS v
         WHERE v.layer <> 'MODEL'),
        (SELECT coalesce(json_agg(json_build_array(
             p.n, a.months, z.stretches, e.month, s.since,
             CASE WHEN d.decision_id IS NOT NULL THEN json_build_array(
                 d.programme_version, d.month, d.cause, d.lock_until, d.grace_until,
                 d.before_rank, d.before_misses, d.rank, d.misses, d.qualified, d.sum_minor,
                 d.known_days, d.days, d.divisor, d.before_way, d.way, d.grounds,
                 d.earned, d.welcome_until) END
             ) ORDER BY p.n), '[]')
         FROM (SELECT u.code, string_to_array(u.currencies, ',') AS currencies, u.month, u.first,
                      u.joint, u.n
               FROM unnest($5::text[], $6::text[], $7::date[], $11::date[], $15::text[])
                    WITH ORDINALITY AS u (code, currencies, month, first, joint, n)) AS p
         CROSS JOIN LATERAL (
             SELECT coalesce(json_agg(json_build_array(
                        y.month, y.sum_minor, y.known, y.unrated)), '[]') AS months
             FROM (SELECT s.month,
                          sum((CASE WHEN s.currency = p.currencies[1] THEN {COUNTED}
                               ELSE coalesce({COUNTED_CONVERTED}, 0) END
                               + coalesce({COUNTED_JOINT}, 0)) * w.weight) AS sum_minor,
                          bit_or(s.known_days | coalesce(j.known_days, 0)) AS known,
                          bit_or(coalesce({COUNTED_UNRATED}, 0)
                                 | coalesce({COUNTED_JOINT_UNRATED}, 0)) AS unrated
                   FROM asset_month AS s
                   LEFT JOIN asset_converted AS c ON s.currency <> p.currencies[1]
                    AND c.bucket = s.bucket AND c.month = s.month AND c.currency = s.currency
                    AND c.member_id = s.member_id AND c.asset_class = s.asset_class
                   LEFT JOIN asset_joint AS j ON p.joint <> '' AND j.joint = p.joint
                    AND j.bucket = s.bucket AND j.member_id = s.member_id AND j.month = s.month
                    AND j.asset_class = s.asset_class AND j.currency = s.currency
                   JOIN unnest($8::int[], $9::text[], $10::bigint[])
                        AS w (n, asset_class, weight)
                     ON w.n = p.n AND w.asset_class = s.asset_class
                   WHERE s.bucket = k.bucket AND s.member_id = k.member_id
                     AND s.month BETWEEN p.first AND p.month
                     AND s.currency = ANY(p.currencies)
                   GROUP BY s.month) AS y) AS a
         CROSS JOIN LATERAL (
             SELECT coalesce(json_agg(json_build_array(
                        y.month, y.first_day, y.last_day, y.sum_minor, y.points)), '[]')
                    AS stretches
             FROM (SELECT o.month, o.first_day, o.last_day,
                          sum(o.amount * w.weight) AS sum_minor,
                          sum(o.amount * w.points) AS points
                   FROM (SELECT s.month, s.first_day, s.last_day, s.asset_class,
                                {COUNTED} AS amount
                         FROM asset_stretch AS s
                         WHERE s.bucket = k.bucket AND s.member_id = k.member_id
                           AND s.month BETWEEN p.first AND p.month
                           AND s.currency = p.currencies[1]
                         UNION ALL
                         SELECT g.month, g.first_day, g.last_day, g.asset_class, {COUNTED_FOLDED}
                         FROM asset_stretch_folded AS g
                         WHERE g.bucket = k.bucket AND g.member_id = k.member_id
                           AND g.month BETWEEN p.first AND p.month
                           AND g.currency = ANY(p.currencies)
                           AND g.kind IN ('CONVERTED', p.joint)) AS o
                   JOIN unnest($8::int[], $9::text[], $10::bigint[], $16::bigint[])
                        AS w (n, asset_class, weight, points)
                     ON w.n = p.n AND w.asset_class = o.asset_class
                   GROUP BY 1, 2, 3) AS y) AS z
         CROSS JOIN LATERAL (
             SELECT max(v.month) AS month FROM evaluation AS v
             WHERE v.bucket = k.bucket AND v.programme = p.code AND v.month < p.month
               AND v.month >= p.month - interval '2 months') AS e
         LEFT JOIN LATERAL (
             SELECT t.* FROM tier_decision AS t
             WHERE t.bucket = k.bucket AND t.member_id = k.member_id AND t.programme = p.code
               AND t.effective_from <= $4 AND t.decided_at <= $4
             ORDER BY t.effective_from DESC, t.decided_at DESC, t.decision_id DESC LIMIT 1) AS d
             ON true
         LEFT JOIN LATERAL (
             SELECT min(t.effective_from) AS since FROM tier_decision AS t
             WHERE t.bucket = k.bucket AND t.member_id = k.member_id AND t.programme = p.code
               AND t.rank = d.rank AND t.effective_from <= $4
               AND t.effective_from > coalesce((
                   SELECT max(o.effective_from) FROM tier_decision AS o
                   WHERE o.bucket = k.bucket AND o.member_id = k.member_id
                     AND o.programme = p.code AND o.rank <> d.rank AND o.effective_from <= $4),
                   '-infinity')) AS s ON true))::text AS found
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member AS m ON m.bucket = k.bucket AND m.member_id = k.member_id
"""


class FoundDecision(msgspec.Struct, frozen=True, array_like=True):
    """A decision as it was found, its columns in the statement's order."""

    version: int
    month: date
    cause: Cause
    lock_until: date | None
    grace_until: date | None
    before_rank: int
    before_misses: int
    rank: int
    misses: int
    qualified: int
    sum_minor: int
    known_days: int
    days: int | None
    divisor: int | None
    before_way: str | None
    way: str | None
    grounds: str | None
    earned: int | None
    welcome_until: date | None


class FoundLabel(msgspec.Struct, frozen=True, array_like=True):
    """A label as it was found, its columns in the statement's order."""

    name: str
    layer: Layer
    from_: date
    to: date | None


class FoundPlace(msgspec.Struct, frozen=True, array_like=True):
    """What was found of a member by the nth place and basket, its columns as they are asked for.

    A known month is its first day, the sum, and as bits the known days and those with a line that
    has no rate; a stretch its month's first day, its first and last, the sum, and that
    of classes that count by a point in time.
    """

    nth: int
    months: list[tuple[date, int, int, int]]
    stretches: list[tuple[date, int, int, int, int]]
    evaluated: date | None
    since: datetime | None
    decided: FoundDecision | None


KEPT = msgspec.json.Decoder(list[tuple[date, int, int, int, int]])
FOUND = msgspec.json.Decoder(
    tuple[list[Entitlement], list[ClaimSeen], list[FoundLabel], list[FoundPlace]]
)
