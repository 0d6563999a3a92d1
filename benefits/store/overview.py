"""What a member has now, asked for many members at once; never part of a decision.

All of it is one statement and so one snapshot: an answer never shows a claim without the units it
took. Only days net of liabilities are read after it, their sums and known days together. The
version of the configuration comes along, so that whoever asked by an older catalogue notices.
What is found of a member comes as one JSON text: read into structs at once, it costs a fraction of
what the driver takes for rows within rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import repeat
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.catalogue import Judge, Programme, Rules
from benefits.domain.feeds import days_known
from benefits.domain.labels import Label, Layer, label_name
from benefits.domain.metrics import Basket, MonthSum, Reading, known_sum, net_sum
from benefits.domain.progress import Running, first_counted, running
from benefits.domain.tiers import Cause, Decision
from benefits.domain.values import Month, bucket_of, local_date
from benefits.domain.windows import Days, Kept, Point, Stretch
from benefits.store import nets
from benefits.store.db import Connection, rows
from benefits.store.nets import Net
from benefits.store.pages import CLAIM_SEEN, ClaimSeen, Entitlement
from benefits.store.sealed import (
    COUNTED,
    COUNTED_CONVERTED,
    COUNTED_FOLDED,
    COUNTED_JOINT,
    COUNTED_JOINT_UNRATED,
    COUNTED_UNRATED,
    Sealed,
    read_days,
    sealed_days,
)
from benefits.store.stretches import Filled
from benefits.store.tiers import decision_of

# By index, for each member: member (primary key), ix_lot_bucket_member_id_unit_expires_at,
# ix_claim_bucket_member_id_claim_id, tier_decision (unique key), member_label, asset_month,
# asset_stretch, asset_stretch_folded, evaluation (primary keys). Which days are sealed and which
# stretches kept comes with the sums that count with them. A standing is the tier at an instant as
# known then (T-9), with the instant since which its rank has been held without a break.
OVERVIEW = f"""
SELECT m.member_id, m.opened_on, m.closed_on, (SELECT i.config_version FROM installation AS i),
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
                 d.known_days, d.days, d.divisor, d.before_way, d.way, d.grounds) END
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


class _Decided(msgspec.Struct, frozen=True, array_like=True):
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


class _Labelled(msgspec.Struct, frozen=True, array_like=True):
    """A label as it was found, its columns in the statement's order."""

    name: str
    layer: Layer
    from_: date
    to: date | None


class _Judged(msgspec.Struct, frozen=True, array_like=True):
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
    decided: _Decided | None


_KEPT = msgspec.json.Decoder(list[tuple[date, int, int, int, int]])
_FOUND = msgspec.json.Decoder(
    tuple[list[Entitlement], list[ClaimSeen], list[_Labelled], list[_Judged]]
)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A member's place in a programme, and what is known of the running month.

    `judge` is the programme as it decides that month, whose metrics are read in `running`; `day`
    is the last known one of the month, with which as many days of their periods are over.
    `evaluated` is the last of the two months before that was evaluated. `decided` is None at the
    lowest tier, where nothing was ever decided; `version` is the programme's as it was then.
    """

    judge: Programme
    month: Month
    running: Running
    day: int
    evaluated: Month | None
    since: datetime | None
    version: int
    decided: Decision | None

    @property
    def reading(self) -> Reading:
        """The policy's own metric."""
        return self.running.readings[0]

    @property
    def programme(self) -> str:
        """The programme's code."""
        return self.judge.code

    @property
    def undecided(self) -> Month:
        """The first month that is not evaluated: the running one, or the one before."""
        before = self.month.plus(-1)
        return self.month if self.evaluated == before else before


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
    programmes: Iterable[Rules],
    now: datetime,
    *,
    claims: int,
) -> dict[UUID, Overview]:
    """Return what those of the ids who are members have, with so many of their latest claims.

    Lots come by unit, the earliest expiry first, claims with the newest first, standings in the
    order of the programmes, each by the version that judges its running month.
    """
    asked = sorted(set(ids))
    places = [_Place.of(rules, now) for rules in programmes]
    counted = [(place, basket) for place in places for basket in place.baskets]
    weights = [
        (nth, *weight)
        for nth, (_, basket) in enumerate(counted, 1)
        for weight in zip(
            basket.classes,
            basket.weights,
            basket.points or repeat(0, len(basket.classes)),
            strict=True,
        )
    ]
    first = min((place.first.start for place in places), default=now.date())
    found = await rows(
        conn,
        OVERVIEW,
        [bucket_of(id_) for id_ in asked],
        asked,
        claims,
        now,
        [place.judge.code for place, _ in counted],
        [",".join(basket.currencies) for _, basket in counted],
        [place.month.start for place, _ in counted],
        [nth for nth, _, _, _ in weights],
        [name for _, name, _, _ in weights],
        [weight for _, _, weight, _ in weights],
        [place.first.start for place, _ in counted],
        sorted({source for place in places for source in place.rules.feeds}),
        first,
        sorted({label_name(key) for place in places for key in place.judge.ladder.labels}),
        [basket.joint for _, basket in counted],
        [points for _, _, _, points in weights],
    )
    owing = await _nets(conn, counted, [row.member_id for row in found])
    return {row.member_id: _overview(row, places, owing[row.member_id]) for row in found}


Owing = Sequence[Net]


async def _nets(
    conn: Connection, counted: list[tuple["_Place", Basket]], ids: Sequence[UUID]
) -> dict[UUID, dict[int, list[Net]]]:
    """Return of members what days come to by the nth place and basket that are net (A-8)."""
    found: dict[UUID, dict[int, list[Net]]] = {id_: {} for id_ in ids}
    for nth, (place, basket) in enumerate(counted, 1):
        if basket.is_net:
            months = [place.first]
            while months[-1] < place.month:
                months.append(months[-1].plus(1))
            asked = [(id_, month) for id_ in ids for month in months]
            for one in await nets.load(conn, place.rules, basket, asked):
                found[one.member_id].setdefault(nth, []).append(one)
    return found


class _Place(msgspec.Struct, frozen=True):
    """A programme's running month, the version that judges it, and the first that counts."""

    rules: Rules
    by: Judge
    month: Month
    first: Month

    @property
    def judge(self) -> Programme:
        """The programme as that version says it."""
        return self.by.programme

    @property
    def baskets(self) -> list[Basket]:
        """What its metrics count; most are of one."""
        return list(dict.fromkeys(self.judge.baskets))

    @classmethod
    def of(cls, rules: Rules, now: datetime) -> "_Place":
        """Return where a programme is at an instant (U-1)."""
        month = Month.of(local_date(now, rules.judges[-1].programme.tz))
        judge = rules.at(month)
        return cls(rules, judge, month, first_counted(judge.programme, month))


class _Known(msgspec.Struct, frozen=True):
    """What is known of a member whatever the programme: sealed days, kept stretches, labels."""

    opened_on: date
    sealed: Sealed
    bucket: int
    kept: dict[Stretch, Filled]
    labels: list[Label]


def _overview(row: Any, places: list[_Place], owing: Mapping[int, Owing]) -> Overview:
    lots, claims, carried, judged = _FOUND.decode(row.found)
    kept = _KEPT.decode(row.kept) if row.kept else []
    known = _Known(
        opened_on=row.opened_on,
        sealed=read_days(row.sealed),
        bucket=bucket_of(row.member_id),
        kept={
            Stretch(Month.of(month), first, last): Filled(*buckets)
            for month, first, last, *buckets in kept
        },
        labels=[Label(*msgspec.structs.astuple(one)) for one in carried],
    )
    return Overview(
        opened_on=row.opened_on,
        closed_on=row.closed_on,
        config_version=row.config_version,
        lots=lots,
        claims=claims,
        standings=list(_standings(places, known, judged, owing)),
    )


def _standings(
    places: list[_Place], known: _Known, judged: Iterable[_Judged], owing: Mapping[int, Owing]
) -> Iterator[Standing]:
    """Yield each place's standing from what was found by each of its baskets."""
    left = {one.nth: one for one in judged}
    nth = 0
    for place in places:
        by, net = dict[Basket, _Judged](), dict[Basket, Owing]()
        for basket in place.baskets:
            nth += 1
            by[basket], net[basket] = left[nth], owing.get(nth, ())
        yield _standing(place, known, by, net)


def _sums(
    place: _Place, known: _Known, found: _Judged, owing: Owing
) -> tuple[dict[Month, tuple[int, int]], dict[Kept, MonthSum]]:
    """Return months with their sums and days, and what is known of each piece by one basket."""
    opened_on = known.opened_on
    months, sums = _months(place, found.months, known.sealed), dict[Kept, MonthSum]()
    for each, (total, days) in months.items():
        sums[each] = known_sum(each, total, Days(days), opened_on)
    totals = {
        Stretch(Month.of(of), first, last): both for of, first, last, *both in found.stretches
    }
    folded = place.judge.basket.is_wide
    there = [
        each for each, kept in known.kept.items() if kept.is_kept(known.bucket, folded=folded)
    ]
    for stretch in there:
        if stretch.month in months:
            days, (total, points) = months[stretch.month][1], totals.get(stretch, (0, 0))
            sums[stretch] = known_sum(stretch, total, Days(days), opened_on)
            if stretch.days == 1:
                sums[Point(stretch)] = known_sum(Point(stretch), points, Days(days), opened_on)
    for net in owing:
        months[net.month] = (0, net.days.known)
        pieces: list[Kept] = [net.month]
        pieces += [stretch for stretch in there if stretch.month == net.month]
        sums |= {piece: net_sum(piece, net.nets, net.days, opened_on) for piece in pieces}
    return months, sums


def _standing(
    place: _Place,
    known: _Known,
    by: Mapping[Basket, _Judged],
    owing: Mapping[Basket, Owing],
) -> Standing:
    month, opened_on = place.month, known.opened_on
    counted = {basket: _sums(place, known, found, owing[basket]) for basket, found in by.items()}
    months, _ = counted[place.judge.basket]
    day = months[month][1].bit_length() if month in months else 0
    found = by[place.judge.basket]
    decided = found.decided
    return Standing(
        judge=place.judge,
        month=month,
        running=running(
            place.judge,
            month,
            {basket: sums for basket, (_, sums) in counted.items()},
            day=day,
            opened_on=opened_on,
            labels=known.labels,
            calendar=place.by.calendar,
        ),
        day=day,
        evaluated=Month.of(found.evaluated) if found.evaluated else None,
        since=found.since,
        version=decided.version if decided else 0,
        decided=decision_of(decided) if decided else None,
    )


def _months(
    place: _Place, months: list[tuple[date, int, int, int]], sealed: Sealed
) -> dict[Month, tuple[int, int]]:
    """Return the sums of the period's months and their days, known by lines or by feeds (A-2).

    A day with a line that has no rate is not known (A-4).
    """
    first, last = place.first, place.month
    found = {each: (0, 0) for each in sealed if first <= each <= last}
    unrated = dict[Month, int]()
    for day, total, days, without in months:
        found[Month.of(day)] = (total, days)
        unrated[Month.of(day)] = without
    feeds = {each: place.rules.at(each).programme.feeds for each in found}
    return {
        each: (
            total,
            days_known(days, feeds[each], sealed.get(each, {})).known & ~unrated.get(each, 0),
        )
        for each, (total, days) in found.items()
    }
