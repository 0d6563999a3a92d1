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

from benefits.domain.catalogue import Judge, Rules
from benefits.domain.feeds import days_known
from benefits.domain.labels import Label, label_name
from benefits.domain.metrics import Basket, MonthSum, Reading, known_sum, net_sum, value_of
from benefits.domain.programme import Programme
from benefits.domain.progress import Running, first_counted, running
from benefits.domain.tiers import Decision, State
from benefits.domain.values import Month, bucket_of, local_date
from benefits.domain.windows import Days, Kept, Point, Stretch
from benefits.store import merged, nets
from benefits.store.db import Connection, rows
from benefits.store.nets import Net
from benefits.store.overview_rows import FOUND, KEPT, OVERVIEW, FoundPlace
from benefits.store.pages import ClaimSeen, Entitlement
from benefits.store.sealed import (
    Sealed,
    read_days,
)
from benefits.store.stretches import Filled
from benefits.store.tiers import decision_of
from benefits.store.weighing import weighing


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A member's place in a programme, and what is known of the running month.

    `judge` is the programme as it decides that month, whose metrics are read in `running`; `day`
    is the last known one of the month, with which as many days of their periods are over.
    `evaluated` is the last of the two months before that was evaluated. `decided` is None at the
    lowest tier, where nothing was ever decided; `version` is the programme's as it was then.
    `held` is what is held of it today: a welcome may have ended (M-8).
    """

    judge: Programme
    month: Month
    running: Running
    day: int
    evaluated: Month | None
    since: datetime | None
    version: int
    decided: Decision | None
    held: State

    @property
    def reading(self) -> Reading:
        """The policy's own metric."""
        return self.running.readings[0]

    @property
    def programme(self) -> str:
        """The programme's code."""
        return self.judge.code

    @property
    def since_day(self) -> date | None:
        """The first day of the tier, in the programme's zone."""
        return local_date(self.since, self.judge.tz) if self.since else None

    @property
    def undecided(self) -> Month:
        """The first month that is not evaluated: the running one, or the one before."""
        before = self.month.plus(-1)
        return self.month if self.evaluated == before else before


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All that a member has at an instant, by the configuration of a version."""

    member_id: UUID
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

    Of whoever was merged it is what the member has they were merged into; what counts along for a
    member is of one snapshot with what is their own. Lots come by unit, the earliest expiry first,
    claims with the newest first, standings in the order of the programmes, each by the version
    that judges its running month.
    """
    asked = sorted(set(ids))
    places = [_Place.of(rules, now) for rules in programmes]
    counted = [(place, basket) for place in places for basket in place.baskets]
    statement = weighing(OVERVIEW, *(basket for _, basket in counted))
    values = (claims, now, *_values(places, counted, now))
    found = {row.member_id: row for row in await _ask(conn, statement, asked, *values)}
    now_of = {id_: row.merged_into or id_ for id_, row in found.items()}
    into = dict[UUID, UUID]()
    if any(row.has_merged or row.merged_into for row in found.values()):
        into = await merged.along(conn, now_of.values())
        every = sorted({*now_of.values(), *into})
        found = {row.member_id: row for row in await _ask(conn, statement, every, *values)}
    parts = dict[UUID, list[Any]]()
    for id_, other in into.items():
        parts.setdefault(other, []).append(found[id_])
    owing = await _nets(conn, counted, sorted({*now_of.values()}), into)
    seen = {
        id_: _overview((found[id_], *parts.get(id_, [])), places, owing[id_], claims=claims)
        for id_ in {*now_of.values()}
    }
    return {id_: seen[other] for id_, other in now_of.items()}


def _values(
    places: list["_Place"], counted: list[tuple["_Place", Basket]], now: datetime
) -> tuple[object, ...]:
    """Return what the statement is asked with: what is judged by what, from which month on."""
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
    return (
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


async def _ask(conn: Connection, statement: str, ids: list[UUID], *values: Any) -> Any:
    return await rows(conn, statement, [bucket_of(id_) for id_ in ids], ids, *values)


Owing = Sequence[Net]


async def _nets(
    conn: Connection,
    counted: list[tuple["_Place", Basket]],
    ids: Sequence[UUID],
    into: Mapping[UUID, UUID],
) -> dict[UUID, dict[int, list[Net]]]:
    """Return of members what days come to by the nth place and basket that are net (A-8)."""
    found: dict[UUID, dict[int, list[Net]]] = {id_: {} for id_ in ids}
    for nth, (place, basket) in enumerate(counted, 1):
        if basket.is_net:
            months = [place.first]
            while months[-1] < place.month:
                months.append(months[-1].plus(1))
            asked = [(id_, month) for id_ in ids for month in months]
            for one in await nets.load(conn, place.rules, basket, asked, into=into):
                found[one.member_id].setdefault(nth, []).append(one)
    return found


class _Place(msgspec.Struct, frozen=True):
    """A programme's running month and day, the version that judges it, the first that counts."""

    rules: Rules
    by: Judge
    today: date
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
        today = local_date(now, rules.judges[-1].programme.tz)
        month = Month.of(today)
        judge = rules.at(month)
        return cls(rules, judge, today, month, first_counted(judge.programme, month))


class _Known(msgspec.Struct, frozen=True):
    """What is known of a member whatever the programme: sealed days, kept stretches, labels."""

    opened_on: date
    sealed: Sealed
    bucket: int  # of the last sum to be kept
    kept: dict[Stretch, Filled]
    labels: list[Label]


def _overview(
    found: Sequence[Any], places: list[_Place], owing: Mapping[int, Owing], *, claims: int
) -> Overview:
    """Return a member's rows, the own one first, as one."""
    row, *parts = found
    lots, claimed, carried, judged = FOUND.decode(row.found)
    for part in parts:
        more_lots, more_claims, _, more = FOUND.decode(part.found)
        lots = sorted((*lots, *more_lots), key=_place)
        claimed = sorted((*claimed, *more_claims), key=lambda one: one.claim_id)[
            : -claims - 1 : -1
        ]
        others = {one.nth: one for one in more}
        judged = [_together(one, others[one.nth]) for one in judged]
    kept = KEPT.decode(row.kept) if row.kept else []
    known = _Known(
        opened_on=row.opened_on,
        sealed=read_days(row.sealed),
        bucket=max(bucket_of(one.member_id) for one in found),
        kept={
            Stretch(Month.of(month), first, last): Filled(*buckets)
            for month, first, last, *buckets in kept
        },
        labels=[Label(*msgspec.structs.astuple(one)) for one in carried],
    )
    return Overview(
        member_id=row.member_id,
        opened_on=row.opened_on,
        closed_on=row.closed_on,
        config_version=row.config_version,
        lots=lots,
        claims=claimed,
        standings=list(_standings(places, known, judged, owing)),
    )


def _place(lot: Entitlement) -> tuple[str, bool, datetime | None]:
    return lot.unit, lot.expires_at is None, lot.expires_at


def _together(own: FoundPlace, other: FoundPlace) -> FoundPlace:
    """Return what was found of a member with the sums of one who was merged into them."""
    months = {month: figures for month, *figures in own.months}
    for month, total, days, unrated in other.months:
        sums = months.get(month, [0, 0, 0])
        months[month] = [sums[0] + total, sums[1] | days, sums[2] | unrated]
    stretches = {(month, first, last): totals for month, first, last, *totals in own.stretches}
    for month, first, last, total, points in other.stretches:
        before = stretches.get((month, first, last), [0, 0])
        stretches[month, first, last] = [before[0] + total, before[1] + points]
    return msgspec.structs.replace(
        own,
        months=[(month, *figures) for month, figures in months.items()],
        stretches=[(*stretch, *totals) for stretch, totals in stretches.items()],
    )


def _standings(
    places: list[_Place], known: _Known, judged: Iterable[FoundPlace], owing: Mapping[int, Owing]
) -> Iterator[Standing]:
    """Yield each place's standing from what was found by each of its baskets."""
    left = {one.nth: one for one in judged}
    nth = 0
    for place in places:
        by, net = dict[Basket, FoundPlace](), dict[Basket, Owing]()
        for basket in place.baskets:
            nth += 1
            by[basket], net[basket] = left[nth], owing.get(nth, ())
        yield _standing(place, known, by, net)


def _sums(
    place: _Place, known: _Known, found: FoundPlace, owing: Owing
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
        pieces = [stretch for stretch in there if stretch.month == net.month]
        sums |= {piece: net_sum(piece, net.nets, net.days, opened_on) for piece in pieces}
        asked = (place.judge.policy, net.month, sums, opened_on)
        value = value_of(*asked, calendar=place.by.calendar)
        sums[net.month] = net_sum(net.month, net.nets, net.days, opened_on, valued=value)
    return months, sums


def _standing(
    place: _Place,
    known: _Known,
    by: Mapping[Basket, FoundPlace],
    owing: Mapping[Basket, Owing],
) -> Standing:
    month, opened_on = place.month, known.opened_on
    counted = {basket: _sums(place, known, found, owing[basket]) for basket, found in by.items()}
    months, _ = counted[place.judge.basket]
    day = months[month][1].bit_length() if month in months else 0
    found = by[place.judge.basket]
    decided = found.decided
    last = decision_of(decided) if decided else None
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
        decided=last,
        held=last.after.on(place.today) if last else State(),
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
