"""Month sums, tier decisions and grants, by bucket or for some members."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain import metrics
from benefits.domain.catalogue import Rules
from benefits.domain.entitlement import Granted
from benefits.domain.feeds import days_known
from benefits.domain.labels import Label, Layer, label_name
from benefits.domain.ladder import THRESHOLD
from benefits.domain.metrics import Basket, MonthSum
from benefits.domain.tiers import NO_GROUNDS, Decision, Grounds, State
from benefits.domain.values import Month, bucket_of
from benefits.store.db import Connection, rows, run
from benefits.store.feeds import (
    COUNTED,
    COUNTED_CONVERTED,
    COUNTED_JOINT,
    COUNTED_JOINT_UNRATED,
    COUNTED_UNRATED,
    Sealed,
    read_days,
    sealed_days,
)
from benefits.store.holders import POLICIES


class Whom(msgspec.Struct, frozen=True):
    """Members of a range of buckets: all of them, or those named."""

    buckets: tuple[int, int]
    members: Sequence[UUID] | None = None

    @property
    def values(self) -> list[Any]:
        """The values that statements take for it, last of all."""
        if self.members is None:
            return [*self.buckets]
        return [*self.buckets, [bucket_of(id_) for id_ in self.members], list(self.members)]


class Settled(msgspec.Struct, frozen=True):
    """Buckets in which a month was decided on all its days, and those where it is the last one."""

    buckets: frozenset[int]
    last: frozenset[int]


class Facts(msgspec.Struct, kw_only=True):
    """What a member is evaluated on: month sums by basket, labels, the standing on record."""

    member_id: UUID
    opened_on: date
    closed_on: date | None
    sums: dict[Basket, dict[Month, MonthSum]]
    labels: list[Label] = []
    written: State = State()


# Primary keys of member and asset_month. Days before the opening are known zeros: bits below
# the opening day. Which days are sealed comes with the sums that count with them, once.
def _facts(sums: str, joined: str = "", among: str = "") -> str:
    return f"""
SELECT m.member_id, m.opened_on, m.closed_on, a.month, a.sum_minor, a.known, a.unrated,
       a.converted,
       CASE WHEN row_number() OVER () = 1 THEN {sealed_days("$5")} END AS sealed
FROM member AS m
LEFT JOIN LATERAL (
    SELECT s.month, {sums}
    FROM asset_month AS s
    {joined}
    JOIN unnest($3::text[], $4::bigint[]) AS w (asset_class, weight)
      ON w.asset_class = s.asset_class
    WHERE s.bucket = m.bucket AND s.member_id = m.member_id AND s.month <= $1
      AND s.currency = ANY($2::text[])
    GROUP BY s.month) AS a ON true
WHERE m.bucket BETWEEN $6 AND $7 AND m.opened_on < $1::date + interval '1 month'{among}
ORDER BY m.bucket, m.member_id, a.month
"""


AMONG = (
    " AND ({0}.bucket, {0}.member_id) IN (SELECT * FROM unnest(${1}::smallint[], ${2}::uuid[]))"
)
# The programme's own currency alone; or first among those that count, with what joint accounts
# add.
_SUMS = f"""sum(({COUNTED}) * w.weight) AS sum_minor, bit_or(s.known_days) AS known,
           0 AS unrated, NULL::text[] AS converted"""
_WIDE = f"""sum((CASE WHEN s.currency = ($2::text[])[1] THEN {COUNTED}
                ELSE coalesce({COUNTED_CONVERTED}, 0) END
                + coalesce({COUNTED_JOINT}, 0)) * w.weight) AS sum_minor,
           bit_or(s.known_days | coalesce(j.known_days, 0)) AS known,
           bit_or(coalesce({COUNTED_UNRATED}, 0) | coalesce({COUNTED_JOINT_UNRATED}, 0))
               AS unrated,
           array_agg(DISTINCT s.currency)
               FILTER (WHERE s.currency <> ($2::text[])[1]
                         AND ({COUNTED} > 0 OR {COUNTED_JOINT} > 0)) AS converted"""
_JOINED = """LEFT JOIN asset_converted AS c ON s.currency <> ($2::text[])[1]
     AND c.bucket = s.bucket AND c.month = s.month AND c.currency = s.currency
     AND c.member_id = s.member_id AND c.asset_class = s.asset_class
    LEFT JOIN asset_joint AS j ON j.bucket = s.bucket AND j.member_id = s.member_id
     AND j.month = s.month AND j.asset_class = s.asset_class AND j.currency = s.currency
     AND j.joint = '{}'"""
ALL, SOME = _facts(_SUMS), _facts(_SUMS, among=AMONG.format("m", 8, 9))
# By policy of joint accounts, of all and of some members.
WIDE = {
    joint: (
        _facts(_WIDE, _JOINED.format(joint)),
        _facts(_WIDE, _JOINED.format(joint), AMONG.format("m", 8, 9)),
    )
    for joint in ("", *POLICIES)
}
# Primary key. Of each label and first day what was recorded last counts; then some decide, others
# only rank (S-2).
LABELS = """
SELECT l.* FROM (
    SELECT DISTINCT ON (o.bucket, o.member_id, o.label, o.valid_from)
           o.member_id, o.label, o.layer, o.valid_from, o.valid_to
    FROM member_label AS o
    WHERE o.bucket BETWEEN $3 AND $4 AND o.label = ANY($1::text[]) AND o.valid_from < $2{among}
    ORDER BY o.bucket, o.member_id, o.label, o.valid_from, o.recorded_at DESC) AS l
WHERE l.layer <> 'MODEL'
"""
LABELS_OF_ALL = LABELS.format(among="")
LABELS_OF_SOME = LABELS.format(among=AMONG.format("o", 5, 6))
# Unique key (bucket, member, programme, month, decided_at): the standing on record by a month.
DECIDED = """
SELECT DISTINCT ON (d.member_id) d.member_id, d.rank, d.misses, d.lock_until, d.grace_until, d.way
FROM tier_decision AS d
WHERE d.bucket BETWEEN $3 AND $4 AND d.programme = $1 AND d.month <= $2
ORDER BY d.member_id, d.month DESC, d.decided_at DESC
"""
INSERT = """
INSERT INTO tier_decision (bucket, decision_id, member_id, programme, programme_version, month,
                           cause, before_rank, before_misses, rank, misses, qualified,
                           sum_minor, known_days, days, divisor, lock_until, grace_until,
                           effective_from, decided_at, before_way, way, grounds)
SELECT n.bucket, n.decision_id, n.member_id, $1, $2, $3, n.cause, n.before_rank,
       n.before_misses, n.rank, n.misses, n.qualified, n.sum_minor, n.known_days, n.days,
       n.divisor, n.lock_until, n.grace_until, n.effective_from, n.decided_at,
       nullif(n.before_way, ''), nullif(n.way, ''), nullif(n.grounds, '')
FROM unnest($4::timestamptz[], $5::smallint[], $6::uuid[], $7::uuid[], $8::text[], $9::smallint[],
            $10::smallint[], $11::smallint[], $12::smallint[], $13::smallint[], $14::bigint[],
            $15::smallint[], $16::smallint[], $17::smallint[], $18::date[], $19::date[],
            $20::timestamptz[], $21::text[], $22::text[], $23::text[])
     AS n (effective_from, bucket, decision_id, member_id, cause, before_rank, before_misses, rank,
           misses, qualified, sum_minor, known_days, days, divisor, lock_until, grace_until,
           decided_at, before_way, way, grounds)
"""
GRANTED = """
SELECT g.member_id, g.line, g.period, g.quota, g.quantity
FROM entitlement_grant AS g
WHERE g.bucket BETWEEN $3 AND $4 AND g.programme = $1 AND g.cause = 'TIER'
  AND g.period = ANY($2::text[])
"""
GRANTED_TO = GRANTED + AMONG.format("g", 5, 6)
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
EVALUATED = """
INSERT INTO evaluation (bucket, programme, month, evaluated_at, settled)
SELECT n.bucket, $3, $4, $5, n.bucket <> ALL ($6::int[])
FROM generate_series($1::int, $2::int) AS n (bucket)
ON CONFLICT (bucket, programme, month) DO UPDATE
SET evaluated_at = excluded.evaluated_at, settled = excluded.settled
"""
# Primary key.
SETTLED = """
SELECT e.bucket FROM evaluation AS e
WHERE e.bucket BETWEEN $1 AND $2 AND e.programme = $3 AND e.month = $4 AND e.settled
"""
LATER = """
SELECT e.bucket FROM evaluation AS e
WHERE e.bucket BETWEEN $1 AND $2 AND e.programme = $3 AND e.month > $4
"""


async def facts(conn: Connection, rules: Rules, month: Month, whom: Whom) -> list[Facts]:
    """Return what members are evaluated on, up to `month`, in the order of buckets and ids."""
    all_facts = dict[UUID, Facts]()
    for basket in rules.baskets:
        found = await rows(
            conn,
            _statement(basket, whom),
            month.start,
            basket.currencies,
            list(basket.classes),
            list(basket.weights),
            rules.feeds,
            *whom.values,
        )
        sealed = read_days(next((row.sealed for row in found if row.sealed), None))
        for row in found:
            entry = all_facts.get(row.member_id)
            if entry is None:
                entry = all_facts[row.member_id] = Facts(
                    member_id=row.member_id,
                    opened_on=row.opened_on,
                    closed_on=row.closed_on,
                    sums={},
                )
            if row.month is not None:
                known = _month_sum(row, rules, sealed)
                entry.sums.setdefault(basket, {})[known.month] = known
        _add_absent(all_facts.values(), basket, _fed(rules, sealed, month))
    for member_id, label in await _labels(conn, rules, month, whom) if rules.labels else ():
        if member_id in all_facts:
            all_facts[member_id].labels.append(label)
    decided = await rows(conn, DECIDED, rules.programme, month.start, *whom.buckets)
    for row in decided:
        if row.member_id in all_facts:
            all_facts[row.member_id].written = state_of(row)
    return list(all_facts.values())


def _statement(basket: Basket, whom: Whom) -> str:
    wide = WIDE[basket.joint] if basket.others or basket.joint else (ALL, SOME)
    return wide[whom.members is not None]


async def _labels(
    conn: Connection, rules: Rules, month: Month, whom: Whom
) -> list[tuple[UUID, Label]]:
    names = sorted({label_name(key) for key in rules.labels})
    statement = LABELS_OF_ALL if whom.members is None else LABELS_OF_SOME
    return [
        (row.member_id, Label(row.label, Layer(row.layer), row.valid_from, row.valid_to))
        for row in await rows(conn, statement, names, month.end, *whom.values)
    ]


def _month_sum(row: Any, rules: Rules, sealed: Sealed) -> MonthSum:
    """Return a month whose days are known by lines or by feeds, as its version says (A-2).

    A day with a line that has no rate is not known (A-4).
    """
    month = Month.of(row.month)
    known = days_known(row.known, rules.at(month).programme.feeds, sealed.get(month, {}))
    known &= ~row.unrated
    converted = tuple(row.converted or ())
    return _known_sum(month, int(row.sum_minor), known, row.opened_on, converted=converted)


def _known_sum(
    month: Month,
    sum_minor: int,
    known: int,
    opened_on: date,
    *,
    converted: tuple[str, ...] = (),
) -> MonthSum:
    before = metrics.days_before(month, month.days, opened_on)
    days = (known | ((1 << before) - 1)).bit_count()
    return MonthSum(month, sum_minor, days, known.bit_length(), converted)


def _fed(rules: Rules, sealed: Sealed, through: Month) -> dict[Month, int]:
    """Return the months with days that feeds make known, of those up to `through`."""
    known = {
        month: days_known(0, sources, days)
        for month, days in sealed.items()
        if month <= through and (sources := rules.at(month).programme.feeds)
    }
    return {month: days for month, days in known.items() if days}


def _add_absent(entries: Iterable[Facts], basket: Basket, fed: Mapping[Month, int]) -> None:
    """Give members who are absent from all of a month's feeds their known zeros (A-2)."""
    for entry in entries:
        first = Month.of(entry.opened_on)
        sums = entry.sums.get(basket, {})
        absent = [month for month in fed if month >= first and month not in sums]
        if absent:
            sums = entry.sums.setdefault(basket, sums)
        for month in absent:
            sums[month] = _known_sum(month, 0, fed[month], entry.opened_on)


def state_of(row: Any) -> State:
    """Return the standing that a decision left, as its row says."""
    return State(
        row.rank,
        row.misses,
        lock_until=row.lock_until,
        grace_until=row.grace_until,
        way=row.way or THRESHOLD,
    )


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it is written down."""

    decision_id: UUID
    member_id: UUID
    decision: Decision
    decided_at: datetime
    effective_from: datetime


async def put(
    conn: Connection,
    programme: str,
    decided: Sequence[Decided],
    *,
    version: int,
) -> None:
    """Store decisions of one month and programme version."""
    if not decided:
        return
    decisions = [each.decision for each in decided]
    await run(
        conn,
        INSERT,
        programme,
        version,
        decisions[0].month.start,
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
    )


def write_grounds(grounds: Grounds) -> str:
    """Write down what a decision counted besides; nothing when there is nothing."""
    return "" if grounds == NO_GROUNDS else msgspec.json.encode(grounds).decode()


def read_grounds(text: str | None) -> Grounds:
    """Read it back."""
    return msgspec.json.decode(text, type=Grounds) if text else NO_GROUNDS


Grants = dict[tuple[UUID, str, str], list[Granted]]


async def granted(conn: Connection, programme: str, periods: Sequence[str], whom: Whom) -> Grants:
    """Return members' tier grants in the periods, by (member, line, period)."""
    statement = GRANTED if whom.members is None else GRANTED_TO
    grants = Grants()
    for row in await rows(conn, statement, programme, list(periods), *whom.values):
        key = (row.member_id, row.line, row.period)
        grants.setdefault(key, []).append(Granted(row.quota, row.quantity))
    return grants


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


async def rewarded(conn: Connection, keys: Sequence[RewardKey]) -> dict[RewardKey, UUID]:
    """Return the lots made for (member, programme, benefit, business key) before (N-2)."""
    found = await rows(
        conn,
        REWARDED,
        [bucket_of(k[0]) for k in keys],
        [k[0] for k in keys],
        [k[1] for k in keys],
        [k[2] for k in keys],
        [k[3] for k in keys],
    )
    return {(r.member_id, r.programme, r.line, r.period): r.lot_id for r in found}


async def evaluated(
    conn: Connection,
    programme: str,
    month: Month,
    *,
    buckets: tuple[int, int],
    now: datetime,
    unsettled: Collection[int] = (),
) -> None:
    """Record that buckets were evaluated for a month, in some of which days are missing."""
    await run(conn, EVALUATED, *buckets, programme, month.start, now, sorted(unsettled))


async def settled(
    conn: Connection, programme: str, month: Month, buckets: tuple[int, int]
) -> Settled:
    """Return the buckets in which a month was decided on all its days before (A-7)."""
    where = (*buckets, programme, month.start)
    found = frozenset(row.bucket for row in await rows(conn, SETTLED, *where))
    passed = frozenset(row.bucket for row in await rows(conn, LATER, *where))
    return Settled(found, found - passed)


COUNT = "SELECT count(*) AS members FROM member WHERE bucket BETWEEN $1 AND $2"


async def count_members(conn: Connection, buckets: tuple[int, int]) -> int:
    """Return how many members a range of buckets has."""
    ((count,),) = await rows(conn, COUNT, *buckets)
    return int(count)
