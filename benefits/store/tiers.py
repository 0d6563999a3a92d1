"""Tier decisions and grants, by bucket or for some members."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.catalogue import Rules
from benefits.domain.entitlement import Granted
from benefits.domain.ladder import THRESHOLD
from benefits.domain.tiers import NO_GROUNDS, Cause, Decision, Grounds, State
from benefits.domain.values import BUCKETS, Month, bucket_of, local_date
from benefits.store import welcomes
from benefits.store.db import Connection, rows, run
from benefits.store.facts import AMONG, KEYS, Whom

INSERT = """
INSERT INTO tier_decision (bucket, decision_id, member_id, programme, programme_version, month,
                           cause, before_rank, before_misses, rank, misses, qualified,
                           sum_minor, known_days, days, divisor, lock_until, grace_until,
                           effective_from, decided_at, before_way, way, grounds, earned,
                           welcome_until)
SELECT n.bucket, n.decision_id, n.member_id, $1, n.version, n.month, n.cause, n.before_rank,
       n.before_misses, n.rank, n.misses, n.qualified, n.sum_minor, n.known_days, n.days,
       n.divisor, n.lock_until, n.grace_until, n.effective_from, n.decided_at,
       nullif(n.before_way, ''), nullif(n.way, ''), nullif(n.grounds, ''), n.earned,
       n.welcome_until
FROM unnest($2::int[], $3::date[], $4::timestamptz[], $5::smallint[], $6::uuid[], $7::uuid[],
            $8::text[], $9::smallint[], $10::smallint[], $11::smallint[], $12::smallint[],
            $13::smallint[], $14::bigint[], $15::smallint[], $16::smallint[], $17::smallint[],
            $18::date[], $19::date[], $20::timestamptz[], $21::text[], $22::text[], $23::text[],
            $24::smallint[], $25::date[])
     AS n (version, month, effective_from, bucket, decision_id, member_id, cause, before_rank,
           before_misses, rank, misses, qualified, sum_minor, known_days, days, divisor,
           lock_until, grace_until, decided_at, before_way, way, grounds, earned, welcome_until)
"""
# Unique key, a prefix for each member.
BOUNDARIES = """
SELECT d.member_id, max(d.effective_from) AS latest, bool_or(d.month > $2) AS has_later
FROM tier_decision AS d JOIN unnest($3::smallint[], $4::uuid[]) AS k (bucket, member_id)
  ON d.bucket = k.bucket AND d.member_id = k.member_id
WHERE d.programme = $1 GROUP BY d.bucket, d.member_id
"""
# Primary key, member by member: what was granted in other periods is not read.
_GRANTED = """
SELECT g.member_id, g.line, g.period, g.quota, g.quantity, g.granted_at
FROM {0}
CROSS JOIN LATERAL (
    SELECT e.member_id, e.line, e.period, e.quota, e.quantity, e.granted_at
    FROM entitlement_grant AS e
    WHERE e.bucket = k.bucket AND e.member_id = k.member_id AND e.programme = $1
      AND e.line = ANY($3::text[]) AND e.period = ANY($2::text[])
      AND e.cause IN ({1})
    OFFSET 0) AS g
WHERE k.bucket BETWEEN $4 AND $5
"""
GRANTED, GRANTED_TO = (_GRANTED.format(keys, "'TIER', 'SEGMENT'") for keys in KEYS)
MADE_GOOD_TO = _GRANTED.format(KEYS[1], "'MAKE_GOOD'")
# Primary keys, as above: what lines brought that are there no more, by what their lots are of.
_GONE = """
SELECT g.member_id, g.line, g.period, g.unit
FROM {0}
CROSS JOIN LATERAL (
    SELECT e.member_id, e.line, e.period, l.unit
    FROM entitlement_grant AS e
    JOIN lot AS l ON l.bucket = e.bucket AND l.lot_id = e.lot_id
    WHERE e.bucket = k.bucket AND e.member_id = k.member_id AND e.programme = $1
      AND e.line <> ALL($3::text[]) AND e.period = ANY($2::text[])
      AND e.cause IN ('TIER', 'SEGMENT')
    OFFSET 0) AS g
WHERE k.bucket BETWEEN $4 AND $5
"""
GONE, GONE_OF = (_GONE.format(keys) for keys in KEYS)
OPENED = "SELECT m.member_id, m.opened_on FROM member AS m WHERE m.bucket BETWEEN $1 AND $2"
OPENED_OF = OPENED + AMONG.format("m", 3, 4)
# Primary key of member, unique key of tier_decision.
_SINCE = """
SELECT m.member_id, m.opened_on, max(d.effective_from) AS since
FROM member AS m
LEFT JOIN tier_decision AS d ON d.bucket = m.bucket AND d.member_id = m.member_id
  AND d.programme = $1 AND d.month <= $2 AND d.rank <> d.before_rank
WHERE m.bucket BETWEEN $3 AND $4{0}
GROUP BY m.bucket, m.member_id
"""
SINCE, SINCE_OF = _SINCE.format(""), _SINCE.format(AMONG.format("m", 5, 6))
INSERT_GRANTS = """
INSERT INTO entitlement_grant (bucket, member_id, programme, line, period, cause, quota, quantity,
                               lot_id, granted_at)
SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::bigint[], $8::bigint[], $9::uuid[], $10::timestamptz[])
"""
REWARDED = """
SELECT g.member_id, g.programme, g.line, g.period, g.lot_id
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[])
     AS k (bucket, member_id, programme, line, period)
JOIN entitlement_grant AS g ON g.bucket = k.bucket AND g.member_id = k.member_id
  AND g.programme = k.programme AND g.line = k.line AND g.period = k.period AND g.cause = 'REWARD'
"""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it is written down."""

    decision_id: UUID
    member_id: UUID
    decision: Decision
    decided_at: datetime
    effective_from: datetime


async def put(conn: Connection, rules: Rules, decided: Sequence[Decided]) -> None:
    """Store decisions of a programme, each by the version that judges its month."""
    if not decided:
        return
    decisions = [each.decision for each in decided]
    await run(
        conn,
        INSERT,
        rules.programme,
        [rules.at(d.month).version for d in decisions],
        [d.month.start for d in decisions],
        [each.effective_from for each in decided],
        [bucket_of(each.member_id) for each in decided],
        [each.decision_id for each in decided],
        [each.member_id for each in decided],
        [d.cause.value for d in decisions],
        [d.before.rank for d in decisions],
        [d.before.misses for d in decisions],
        [d.after.rank for d in decisions],
        [d.after.misses for d in decisions],
        [d.qualified for d in decisions],
        [d.sum_minor for d in decisions],
        [d.known_days for d in decisions],
        [d.days for d in decisions],
        [d.divisor for d in decisions],
        [d.after.lock_until for d in decisions],
        [d.after.grace_until for d in decisions],
        [each.decided_at for each in decided],
        [d.before.way for d in decisions],
        [d.after.way for d in decisions],
        [write_grounds(d.grounds) for d in decisions],
        [d.after.earned for d in decisions],
        [d.after.welcome_until for d in decisions],
    )


def write_grounds(grounds: Grounds) -> str:
    """Write down what a decision counted besides; nothing when there is nothing."""
    return "" if grounds == NO_GROUNDS else msgspec.json.encode(grounds).decode()


def read_grounds(text: str | None) -> Grounds:
    """Read it back."""
    return msgspec.json.decode(text, type=Grounds) if text else NO_GROUNDS


def decision_of(found: Any) -> Decision:
    """Return a decision from what has its columns by name."""
    month = Month.of(found.month)
    return Decision(
        month=month,
        before=State(found.before_rank, found.before_misses, way=found.before_way or THRESHOLD),
        after=State(
            found.rank,
            found.misses,
            lock_until=found.lock_until,
            grace_until=found.grace_until,
            way=found.way or THRESHOLD,
            earned=found.earned,
            welcome_until=found.welcome_until,
        ),
        cause=Cause(found.cause),
        qualified=found.qualified,
        sum_minor=found.sum_minor,
        known_days=found.known_days,
        days=found.days or month.days,
        divisor=found.divisor or month.days,
        grounds=read_grounds(found.grounds),
    )


Grants = dict[tuple[UUID, str, str], list[Granted]]


async def granted(
    conn: Connection,
    programme: str,
    lines: Sequence[str],
    periods: Sequence[str],
    *,
    whom: Whom,
    into: Mapping[UUID, UUID],
) -> Grants:
    """Return what lines granted members in the periods, by (member, line, period).

    What was granted to those who were merged `into` members was granted to these (P-4).
    """
    where = (programme, list(periods), list(lines))
    grants = Grants()
    for row in await along(conn, (GRANTED, GRANTED_TO), where, whom=whom, into=into):
        key = (into.get(row.member_id, row.member_id), row.line, row.period)
        is_own = row.member_id not in into
        grants.setdefault(key, []).append(Granted(row.quota, row.quantity, row.granted_at, is_own))
    return grants


async def made_good(
    conn: Connection, programme: str, lines: Sequence[str], periods: Sequence[str], *, whom: Whom
) -> dict[tuple[UUID, str, str], int]:
    """Return what was made good to members of lines' periods, by (member, line, period) (L-9)."""
    where = (programme, list(periods), list(lines))
    made = Counter[tuple[UUID, str, str]]()
    for row in await rows(conn, MADE_GOOD_TO, *where, *whom.values):
        made[row.member_id, row.line, row.period] += row.quantity
    return made


async def gone(
    conn: Connection,
    programme: str,
    lines: Sequence[str],
    periods: Sequence[str],
    *,
    whom: Whom,
    into: Mapping[UUID, UUID],
) -> dict[tuple[UUID, str, str], set[str]]:
    """Return which other lines granted members units in the periods: (member, unit, period)."""
    where = (programme, list(periods), list(lines))
    others = dict[tuple[UUID, str, str], set[str]]()
    for row in await along(conn, (GONE, GONE_OF), where, whom=whom, into=into):
        key = (into.get(row.member_id, row.member_id), row.unit, row.period)
        others.setdefault(key, set()).add(row.line)
    return others


async def along(
    conn: Connection,
    statements: tuple[str, str],
    where: Sequence[object],
    *,
    whom: Whom,
    into: Mapping[UUID, UUID],
) -> list[Any]:
    """Return what is found of members, and of those who were merged `into` them.

    The statements are for all members of some buckets, and for those named.
    """
    of_all, of_named = statements
    statement = of_all if whom.members is None else of_named
    found = [*await rows(conn, statement, *where, *whom.values)]
    if into:
        found = [row for row in found if row.member_id not in into]
        those = Whom((0, BUCKETS - 1), sorted(into))
        found += await rows(conn, of_named, *where, *those.values)
    return found


async def opened(conn: Connection, whom: Whom) -> dict[UUID, date]:
    """Return when the relationships of members began."""
    statement = OPENED if whom.members is None else OPENED_OF
    return {row.member_id: row.opened_on for row in await rows(conn, statement, *whom.values)}


async def since(
    conn: Connection, programme: str, month: Month, whom: Whom, *, zone: ZoneInfo
) -> dict[UUID, date]:
    """Return the first day of members' tiers, by what is decided up to a month (P-4).

    Whose tier never changed has it since the opening.
    """
    statement = SINCE if whom.members is None else SINCE_OF
    return {
        row.member_id: local_date(row.since, zone) if row.since else row.opened_on
        for row in await rows(conn, statement, programme, month.start, *whom.values)
    }


class GrantRow(msgspec.Struct, frozen=True, kw_only=True):
    """One grant: what it was for, the quota it reached, the lot it made."""

    member_id: UUID
    programme: str
    line: str
    period: str
    cause: str
    quota: int
    quantity: int
    lot_id: UUID
    granted_at: datetime


class Boundary(msgspec.Struct, frozen=True):
    """From when on the latest decision of a member holds; whether one is of a later month."""

    latest: datetime
    has_later: bool


async def boundaries(
    conn: Connection, programme: str, month: Month, ids: Sequence[UUID]
) -> dict[UUID, Boundary]:
    """Return what is decided of members, in this month and any other (T-9)."""
    buckets = [bucket_of(id_) for id_ in ids]
    found = await rows(conn, BOUNDARIES, programme, month.start, buckets, list(ids))
    return {row.member_id: Boundary(row.latest, row.has_later) for row in found}


async def put_grants(conn: Connection, grants: Sequence[GrantRow]) -> None:
    """Store grants; the primary key forbids the same grant twice (P-3)."""
    if not grants:
        return
    await run(
        conn,
        INSERT_GRANTS,
        [bucket_of(g.member_id) for g in grants],
        [g.member_id for g in grants],
        [g.programme for g in grants],
        [g.line for g in grants],
        [g.period for g in grants],
        [g.cause for g in grants],
        [g.quota for g in grants],
        [g.quantity for g in grants],
        [g.lot_id for g in grants],
        [g.granted_at for g in grants],
    )


RewardKey = tuple[UUID, str, str, str]


async def rewarded(
    conn: Connection, keys: Sequence[RewardKey], *, into: Mapping[UUID, UUID]
) -> dict[RewardKey, UUID]:
    """Return the lots made for (member, programme, benefit, business key) before (N-2).

    What was given to those who were merged `into` members was given to these.
    """
    wanted = list(keys)
    wanted += [(id_, *key[1:]) for id_, other in into.items() for key in keys if key[0] == other]
    found = await rows(
        conn,
        REWARDED,
        [bucket_of(k[0]) for k in wanted],
        [k[0] for k in wanted],
        [k[1] for k in wanted],
        [k[2] for k in wanted],
        [k[3] for k in wanted],
    )
    own = {r.member_id: into.get(r.member_id, r.member_id) for r in found}
    return {(own[r.member_id], r.programme, r.line, r.period): r.lot_id for r in found}


# Unique key, all of it. Who has no decision is of the lowest tier.
AT_RANKS = f"""
SELECT coalesce(s.rank, 0) AS rank, count(*) AS members
FROM member AS m
LEFT JOIN (SELECT DISTINCT ON (d.bucket, d.member_id) d.bucket, d.member_id,
             {welcomes.held("d", "$3")} AS rank
           FROM tier_decision AS d
           WHERE d.bucket BETWEEN $4 AND $5 AND d.programme = $1 AND d.effective_from <= $2
           ORDER BY d.bucket, d.member_id, d.effective_from DESC, d.decided_at DESC) AS s
  ON s.bucket = m.bucket AND s.member_id = m.member_id
WHERE m.bucket BETWEEN $4 AND $5 AND m.merged_into IS NULL
  AND (m.closed_on IS NULL OR m.closed_on >= $3)
GROUP BY 1
"""
AT_ONCE = BUCKETS // 16
COUNT = "SELECT count(*) AS members FROM member WHERE bucket BETWEEN $1 AND $2"


async def at_ranks(conn: Connection, programme: str, now: datetime, today: date) -> dict[int, int]:
    """Return how many members have each tier now; some buckets at a time, each within seconds."""
    counted = Counter[int]()
    for first in range(0, BUCKETS, AT_ONCE):
        buckets = (first, first + AT_ONCE - 1)
        found = await rows(conn, AT_RANKS, programme, now, today, *buckets)
        counted.update({row.rank: row.members for row in found})
    return dict(counted)


async def count_members(conn: Connection, buckets: tuple[int, int]) -> int:
    """Return how many members a range of buckets has."""
    ((count,),) = await rows(conn, COUNT, *buckets)
    return int(count)
