"""What is seen ahead of members: balances of their last known day, and one row a kind of sight."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.metrics import Basket
from benefits.domain.outlook import Sight, Sighting
from benefits.domain.values import Month, bucket_of
from benefits.store.db import Connection, rows, run
from benefits.store.exchange import amount, rate_of
from benefits.store.facts import AMONG, Whom
from benefits.store.holders import shares
from benefits.store.sealed import HIGHEST, chained
from benefits.store.weighing import weighing

_FROM = "date_trunc('month', $7::date)::date"
# Primary keys of the partitions that the days lie in; of each grain, and of each feed, the highest
# revision counts, and of the days that stand on each other a key's last line.
BALANCES = f"""
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::date[]) AS n (bucket, member_id, day)),
weights AS (SELECT * FROM unnest($5::text[], $6::bigint[]) AS n (asset_class, weight)),
fed AS MATERIALIZED ({chained(HIGHEST.format(f"AND f.as_of BETWEEN {_FROM} AND $8"))})
SELECT k.member_id,
       sum(CASE WHEN b.currency = ($4::text[])[1] THEN greatest(b.balance_minor, 0)
           ELSE {amount("b")} END * w.weight) AS balance_minor
FROM asked AS k
CROSS JOIN LATERAL (
    (SELECT DISTINCT ON (a.asset_class, a.currency, a.source, a.account)
            a.bucket, a.as_of, a.asset_class, a.currency, a.balance_minor
     FROM asset AS a
     WHERE a.bucket = k.bucket AND a.member_id = k.member_id AND a.as_of = k.day
       AND a.as_of BETWEEN $7 AND $8 AND a.currency = ANY($4::text[])
     ORDER BY a.asset_class, a.currency, a.source, a.account, a.revision DESC)
    UNION ALL
    (SELECT DISTINCT ON (c.source, l.asset_class, l.currency, l.account)
            l.bucket, k.day, l.asset_class, l.currency, l.balance_minor
     FROM fed AS c
     JOIN feed_line AS l ON l.bucket = k.bucket AND l.as_of = c.as_of AND l.source = c.source
      AND l.revision = c.revision AND l.member_id = k.member_id
     WHERE c.as_of <= k.day AND c.until > k.day AND l.as_of BETWEEN {_FROM} AND $8
       AND l.currency = ANY($4::text[])
     ORDER BY c.source, l.asset_class, l.currency, l.account, l.as_of DESC)) AS b
JOIN weights AS w ON w.asset_class = b.asset_class
LEFT JOIN LATERAL ({rate_of("b")}) AS u ON b.currency <> ($4::text[])[1]
GROUP BY 1
"""
# What joint accounts add to it. Nothing of a feed that is being applied counts.
_SHARES = shares("""
    SELECT n.bucket, n.member_id, n.day AS first, n.day + 1 AS past
    FROM unnest($1::smallint[], $2::uuid[], $3::date[]) AS n (bucket, member_id, day)""")
JOINT = f"""
SELECT s.member_id, sum(s.amount * w.weight) AS balance_minor
FROM ({_SHARES}) AS s
JOIN unnest($5::text[], $6::bigint[]) AS w (asset_class, weight) ON w.asset_class = s.asset_class
WHERE s.before AND s.joint = $7 AND s.currency = ANY($4::text[])
GROUP BY 1
"""
# Primary key.
SEEN = """
SELECT o.member_id, o.outlook, o.month, o.tier, o.as_of, o.threshold_minor, o.projected_minor,
       o.needed_daily_minor, o.is_current
FROM tier_outlook AS o
WHERE o.programme = $1 AND o.bucket BETWEEN $2 AND $3
"""
SEEN_OF = SEEN + AMONG.format("o", 4, 5)
PUT = """
INSERT INTO tier_outlook (bucket, member_id, programme, outlook, month, tier, as_of,
                          threshold_minor, projected_minor, needed_daily_minor, is_current,
                          seen_at)
SELECT n.bucket, n.member_id, $1, n.outlook, n.month, n.tier, n.as_of, n.threshold_minor,
       n.projected_minor, n.needed_daily_minor, true, $2
FROM unnest($3::smallint[], $4::uuid[], $5::text[], $6::date[], $7::text[], $8::date[],
            $9::bigint[], $10::bigint[], $11::bigint[])
     AS n (bucket, member_id, outlook, month, tier, as_of, threshold_minor, projected_minor,
           needed_daily_minor)
ORDER BY n.bucket, n.member_id, n.outlook
ON CONFLICT (bucket, member_id, programme, outlook) DO UPDATE
SET month = excluded.month, tier = excluded.tier, as_of = excluded.as_of,
    threshold_minor = excluded.threshold_minor, projected_minor = excluded.projected_minor,
    needed_daily_minor = excluded.needed_daily_minor, is_current = true,
    seen_at = excluded.seen_at
"""
END = """
UPDATE tier_outlook AS o SET is_current = false, seen_at = $2
FROM unnest($3::smallint[], $4::uuid[], $5::text[]) AS n (bucket, member_id, outlook)
WHERE o.bucket = n.bucket AND o.member_id = n.member_id AND o.programme = $1
  AND o.outlook = n.outlook
"""
# Primary key, in its order.
PAGE = """
SELECT o.member_id, o.outlook, o.month, o.tier, o.as_of, o.threshold_minor, o.projected_minor,
       o.needed_daily_minor, o.is_current, o.bucket
FROM tier_outlook AS o
WHERE o.bucket >= $3 AND (o.bucket, o.member_id) > ($3, $4)
  AND o.programme = $1 AND o.outlook = $2 AND o.is_current
ORDER BY o.bucket, o.member_id LIMIT $5
"""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A sighting on record: of which period, up to which day, whether it is still so."""

    member_id: UUID
    outlook: Sight
    month: Month
    tier: str
    as_of: date
    threshold_minor: int
    projected_minor: int
    needed_daily_minor: int | None
    is_current: bool


def record(member_id: UUID, sighting: Sighting, *, month: Month, tier: str, as_of: date) -> Seen:
    """Return a sighting as it is kept."""
    return Seen(
        member_id=member_id,
        outlook=sighting.outlook,
        month=month,
        tier=tier,
        as_of=as_of,
        threshold_minor=sighting.threshold_minor,
        projected_minor=sighting.projected_minor,
        needed_daily_minor=sighting.needed_daily_minor,
        is_current=True,
    )


def _seen(row: Any) -> Seen:
    return Seen(
        member_id=row.member_id,
        outlook=Sight(row.outlook),
        month=Month.of(row.month),
        tier=row.tier,
        as_of=row.as_of,
        threshold_minor=row.threshold_minor,
        projected_minor=row.projected_minor,
        needed_daily_minor=row.needed_daily_minor,
        is_current=row.is_current,
    )


async def balances(
    conn: Connection,
    days: Sequence[tuple[UUID, date]],
    basket: Basket,
    *,
    into: Mapping[UUID, UUID],
) -> dict[UUID, int]:
    """Return what members' balances of a day each count for, in minor units; 0 is left out.

    Those of members who were merged `into` others count for these. Where more is owed than there
    is they count 0 (A-8).
    """
    if not days:
        return {}
    if into:
        of = dict(days)
        days = [*days, *((id_, of[other]) for id_, other in into.items() if other in of)]
    asked = (
        [bucket_of(id_) for id_, _ in days],
        [id_ for id_, _ in days],
        [day for _, day in days],
        basket.currencies,
        list(basket.classes),
        list(basket.weights),
    )
    between = (min(day for _, day in days), max(day for _, day in days))
    found = [*await rows(conn, weighing(BALANCES, basket), *asked, *between)]
    if basket.joint:
        found += await rows(conn, weighing(JOINT, basket), *asked, basket.joint)
    sums = dict[UUID, int]()
    for row in found:
        member_id = into.get(row.member_id, row.member_id)
        sums[member_id] = sums.get(member_id, 0) + int(row.balance_minor)
    return {id_: max(total, 0) // basket.scale for id_, total in sums.items()}


async def seen(conn: Connection, programme: str, whom: Whom) -> dict[tuple[UUID, Sight], Seen]:
    """Return what is on record of members in a programme, by member and kind."""
    statement = SEEN if whom.members is None else SEEN_OF
    found = map(_seen, await rows(conn, statement, programme, *whom.values))
    return {(one.member_id, one.outlook): one for one in found}


async def put(conn: Connection, programme: str, sights: Collection[Seen], now: datetime) -> None:
    """Record what is seen now."""
    if not sights:
        return
    await run(
        conn,
        PUT,
        programme,
        now,
        [bucket_of(one.member_id) for one in sights],
        [one.member_id for one in sights],
        [one.outlook.value for one in sights],
        [one.month.start for one in sights],
        [one.tier for one in sights],
        [one.as_of for one in sights],
        [one.threshold_minor for one in sights],
        [one.projected_minor for one in sights],
        [one.needed_daily_minor for one in sights],
    )


async def end(conn: Connection, programme: str, sights: Collection[Seen], now: datetime) -> None:
    """Record that what was seen is so no more."""
    if not sights:
        return
    await run(
        conn,
        END,
        programme,
        now,
        [bucket_of(one.member_id) for one in sights],
        [one.member_id for one in sights],
        [one.outlook.value for one in sights],
    )


async def page(
    conn: Connection,
    programme: str,
    outlook: Sight,
    *,
    after: UUID | None,
    limit: int,
) -> list[Seen]:
    """Return whom something is seen of now, only those behind a member if one is named."""
    place = (bucket_of(after), after) if after else (0, UUID(int=0))
    return [_seen(row) for row in await rows(conn, PAGE, programme, outlook.value, *place, limit)]
