"""What a member has now, asked for many members at once; never part of a decision.

All of it is one statement and so one snapshot: an answer never shows a claim without the units it
took. The version of the configuration comes along, so that whoever asked by an older catalogue
notices.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.catalogue import Programme
from benefits.domain.tiers import Cause, Decision, State
from benefits.domain.values import Month, bucket_of, local_date
from benefits.store.db import Connection, rows
from benefits.store.pages import CLAIM_SEEN, ClaimSeen, Entitlement

# By index, for each member: member (primary key), ix_lot_bucket_member_id_unit_expires_at,
# ix_claim_bucket_member_id_claim_id, tier_decision (unique key), asset_month and evaluation
# (primary keys). A standing is the tier at an instant as known then (T-9), with the instant since
# which its rank has been held without a break.
OVERVIEW = f"""
SELECT m.member_id, m.opened_on, m.closed_on, (SELECT i.config_version FROM installation AS i),
    ARRAY(
        SELECT ROW (l.unit, l.programme, l.granted, l.remaining - l.held, l.held, l.granted_at,
                    l.expires_at)
        FROM lot AS l
        WHERE l.bucket = k.bucket AND l.member_id = k.member_id
          AND (l.expires_at > $4 OR l.expires_at IS NULL) AND l.remaining > 0
        ORDER BY l.unit, l.expires_at, l.lot_id) AS lots,
    ARRAY(
        SELECT ROW ({CLAIM_SEEN})
        FROM claim AS c
        WHERE c.bucket = k.bucket AND c.member_id = k.member_id
        ORDER BY c.claim_id DESC LIMIT $3) AS claims,
    ARRAY(
        SELECT ROW (p.code, p.month, a.sum_minor, a.known, e.month, s.since, d.programme_version,
                    d.month, d.cause, d.before_rank, d.before_misses, d.rank, d.misses,
                    d.qualified, d.sum_minor, d.known_days)
        FROM unnest($5::text[], $6::text[], $7::date[]) WITH ORDINALITY
             AS p (code, currency, month, n)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(x.sum_minor), 0)::bigint AS sum_minor,
                   coalesce(bit_or(x.known_days), 0) AS known
            FROM asset_month AS x
            WHERE x.bucket = k.bucket AND x.member_id = k.member_id AND x.month = p.month
              AND x.currency = p.currency
              AND (p.code, x.asset_class) IN (SELECT * FROM unnest($8::text[], $9::text[]))) AS a
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
                  '-infinity')) AS s ON true
        ORDER BY p.n) AS standings
FROM unnest($1::smallint[], $2::uuid[]) AS k (bucket, member_id)
JOIN member AS m ON m.bucket = k.bucket AND m.member_id = k.member_id
"""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A member's place in a programme, and what is known of the running month.

    `known` has a bit for each day of `month` whose balance is known; `evaluated` is the last of
    the two months before it that was evaluated. `decided` is None at the lowest tier, where
    nothing was ever decided; `version` is the programme's as it was then.
    """

    programme: str
    month: Month
    sum_minor: int
    known: int
    evaluated: Month | None
    since: datetime | None
    version: int
    decided: Decision | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All that a member has at an instant, by the configuration of a version."""

    opened_on: date
    closed_on: date | None
    config_version: int
    lots: list[Entitlement]
    claims: list[ClaimSeen]
    standings: list[Standing]


async def overviews(
    conn: Connection,
    ids: Iterable[UUID],
    programmes: Iterable[Programme],
    now: datetime,
    *,
    claims: int,
) -> dict[UUID, Overview]:
    """Return what those of the ids who are members have, with so many of their latest claims.

    Lots come by unit, the earliest expiry first, claims with the newest first, standings in the
    order of the programmes.
    """
    asked, by = sorted(set(ids)), list(programmes)
    classes = [(one.code, name) for one in by for name in one.asset_classes]
    found = await rows(
        conn,
        OVERVIEW,
        [bucket_of(id_) for id_ in asked],
        asked,
        claims,
        now,
        [one.code for one in by],
        [one.currency for one in by],
        [Month.of(local_date(now, one.tz)).start for one in by],
        [code for code, _ in classes],
        [name for _, name in classes],
    )
    return {row.member_id: _overview(row) for row in found}


def _overview(row: Any) -> Overview:
    return Overview(
        opened_on=row.opened_on,
        closed_on=row.closed_on,
        config_version=row.config_version,
        lots=[Entitlement(*one) for one in row.lots],
        claims=[ClaimSeen(*one) for one in row.claims],
        standings=[_standing(one) for one in row.standings],
    )


def _standing(row: tuple[Any, ...]) -> Standing:
    programme, month, sum_minor, known, evaluated, since, version, *decided = row
    return Standing(
        programme=programme,
        month=Month.of(month),
        sum_minor=sum_minor,
        known=known,
        evaluated=Month.of(evaluated) if evaluated else None,
        since=since,
        version=version or 0,
        decided=_decision(*decided) if version else None,
    )


def _decision(month: date, cause: str, *figures: int) -> Decision:
    before_rank, before_misses, rank, misses, qualified, sum_minor, known_days = figures
    return Decision(
        month=Month.of(month),
        before=State(before_rank, before_misses),
        after=State(rank, misses),
        cause=Cause(cause),
        qualified=qualified,
        sum_minor=sum_minor,
        known_days=known_days,
    )
