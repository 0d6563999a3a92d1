"""Make good what members missed where a correction raises a month of the past (A-7, L-9).

An evaluation asks here under the members' locks, for those of whom a month that was settled is
corrected in their favour. What running periods lack is topped up as ever; of those that are over
comes what their right tiers would have brought, in units of their own, if the policy says so.
Asking again makes nothing good twice: what was made good counts.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec

from benefits.actions import top_up
from benefits.actions.new_lots import GrantFor, add_lot
from benefits.actions.stack import Due
from benefits.domain import entitlement, packages, rights, units
from benefits.domain import tiers as rules
from benefits.domain.benefit import Benefit
from benefits.domain.catalogue import Rules
from benefits.domain.downgrades import Change
from benefits.domain.entitlement import Granted, net_of
from benefits.domain.floors import floor_of
from benefits.domain.packages import Line
from benefits.domain.programme import Item, Programme
from benefits.domain.stacking import StackBy
from benefits.domain.tiers import Decision
from benefits.domain.values import BUCKETS, Month, Period, bucket_of, end_of, local_date
from benefits.store import blocks, evaluations, facts, merged, quota_changes, tiers
from benefits.store import ledger as books
from benefits.store.db import Connection
from benefits.store.facts import Facts, Whom
from benefits.store.ledger import MAKE_GOOD, Journal
from benefits.store.tiers import GrantRow

ACTOR = "system:make-good"
Place = tuple[UUID, str, str]  # a member, a line, the period it counts for
Found = TypeVar("Found")


class _Right(msgspec.Struct, frozen=True):
    """A line's period that is over, with the quota that was right for a member, and since when."""

    member_id: UUID
    opened_on: date
    line: Line
    period: Period
    rank: int
    quota: int
    since: date

    @property
    def place(self) -> Place:
        """Where what came of it is found."""
        return self.member_id, self.line.code, self.period.key


class _Came(msgspec.Struct, frozen=True):
    """What came in the periods already: with tiers and segments, what falls took, made good.

    Of that the members' own is `made_own`, not that of who was merged into them.
    """

    grants: Mapping[Place, Sequence[Granted]]
    changes: Mapping[Place, Sequence[Change]]
    made_good: Counter[Place]
    made_own: Counter[Place]

    def net(self, place: Place) -> int:
        """Return what came for good, in steps."""
        earlier, changes = self.grants.get(place, ()), self.changes.get(place, ())
        return net_of(earlier, changes) + self.made_good[place]


async def make_up(
    conn: Connection,
    journal: Journal,
    programme: Programme,
    judges: Rules,
    *,
    month: Month,
    ids: Collection[UUID],
) -> list[GrantRow]:
    """Put into the journal what a month that rose brings of periods that are over; return it."""
    days = judges.at(month).programme.policy.make_good_days
    today = local_date(journal.now, programme.tz)
    if days is None or not ids or month.end >= today:
        return []
    frozen = await blocks.frozen(conn, ids, journal.now)
    some = sorted(set(ids) - frozen)
    owing = await _owing(conn, programme, judges, some, month=month, now=journal.now)
    if not owing:
        return []
    came = await _came(conn, programme, owing)
    ends = end_of(today + timedelta(days=days), programme.tz)
    dues = list[Due]()
    for right in owing:
        due = _due(programme, right, came, ends)
        if due is not None and due.expires_at > journal.now:
            came.made_good[right.place] += due.quantity
            came.made_own[right.place] += due.quantity
            dues.append(due)
    let_in = await _let_in(conn, programme, owing, dues)
    pairs = [(due.member_id, due.item.unit) for due in let_in]
    journal.load_owed(await books.owed(conn, pairs) if pairs else {})
    return [
        add_lot(
            journal,
            due.member_id,
            due.item,
            due.for_,
            quantity=due.quantity,
            expires_at=due.expires_at,
            actor=ACTOR,
        )
        for due in let_in
    ]


def _due(programme: Programme, right: _Right, came: _Came, ends: datetime) -> Due | None:
    """Return what a period lacks; the quota of its grant is what was made good of it in all."""
    item, line = programme.brought(right.line), right.line
    quantity = _lacking(programme, item, right, came)
    made = came.made_own[right.place] + quantity
    if not quantity:
        return None
    return Due(
        member_id=right.member_id,
        tier=programme.tier[right.rank].code,
        line=line,
        item=item,
        for_=GrantFor(
            programme.code, line.code, right.period.key, MAKE_GOOD, made, priority=line.order
        ),
        quantity=quantity,
        expires_at=entitlement.last_use(ends, programme.contract_end(item), programme.tz),
        opened_on=right.opened_on,
    )


async def _let_in(
    conn: Connection, programme: Programme, owing: Sequence[_Right], dues: Sequence[Due]
) -> list[Due]:
    """Return what is due of lines that let their members in on the last days of periods (E-1)."""
    last_day = {right.place: right.period.end - timedelta(days=1) for right in owing}
    let_in = list[Due]()
    for day in sorted(set(last_day.values())):
        some = [due for due in dues if last_day[_place(due)] == day]
        let_in += await top_up.let_in(conn, programme, day, some)
    return let_in


def _place(due: Due) -> Place:
    return due.member_id, due.for_.line, due.for_.period


async def _owing(
    conn: Connection,
    programme: Programme,
    judges: Rules,
    ids: Sequence[UUID],
    *,
    month: Month,
    now: datetime,
) -> list[_Right]:
    """Return the periods that are over since a month's end, with what is right for them.

    Right is what all months give that were evaluated where the member is.
    """
    if not ids:
        return []
    last = await evaluations.last(conn, programme.code, {bucket_of(id_) for id_ in ids})
    spans = (min(map(bucket_of, ids)), max(map(bucket_of, ids)))
    known = await facts.load(conn, judges, max([month, *last.values()]), Whom(spans, ids))
    today, found = local_date(now, programme.tz), list[_Right]()
    for fact in known:
        through = max(month, last.get(bucket_of(fact.member_id), month))
        decisions = rules.fold(
            judges,
            fact.sums,
            through,
            opened_on=fact.opened_on,
            labels=fact.labels,
            rises=fact.rises,
        )
        decided = through.plus(1).end  # nobody knows what later days are to bring (T-3)
        on = top_up.day_in(programme, through.plus(1), now)
        for line in packages.of_tiers(programme.line):
            for period in packages.over(line, month.end, today, fact.opened_on):
                if period.start >= decided:
                    break
                if _still_comes(programme, line, period, on, now=now):
                    continue
                ranked = Period(period.key, period.start, min(period.end, decided))
                right = _right(programme, judges, fact, decisions, line=line, period=ranked)
                if right.quota:
                    found.append(msgspec.structs.replace(right, period=period))
    return found


def _right(
    programme: Programme,
    judges: Rules,
    fact: Facts,
    decisions: Sequence[Decision],
    *,
    line: Line,
    period: Period,
) -> _Right:
    """Return what is right for a member's period of a line, as their months give it."""
    floor = floor_of(judges, fact.opened_on)
    ranks = rights.right_ranks(judges, decisions, floor, period)
    each = {rank: rights.right_quota(line.code, [rank], [programme]) for rank in ranks}
    rank = max(sorted(each), key=lambda one: each[one])
    return _Right(
        member_id=fact.member_id,
        opened_on=fact.opened_on,
        line=line,
        period=period,
        rank=rank,
        quota=each[rank],
        since=rights.right_since(judges, decisions, floor, period=period, rank=rank),
    )


def _still_comes(
    programme: Programme, line: Line, period: Period, on: date, *, now: datetime
) -> bool:
    """Say whether units of a recurring day that live on come with an evaluation `on` it (P-10)."""
    if line.on is None or period.start != on:
        return False
    return packages.ends_at(line, period, programme.tz, now, opened_on=on) is not None


async def _came(conn: Connection, programme: Programme, owing: Sequence[_Right]) -> _Came:
    """Read what came in periods, by those that it counts for, to who was merged too."""
    lines = {line.code: line for line in programme.line}
    opened = {right.member_id: right.opened_on for right in owing}
    keys = {key for right in owing for key in packages.keys_at(right.line, right.period.start)}
    ids, periods = sorted(opened), sorted(keys)
    whom = Whom((min(map(bucket_of, ids)), max(map(bucket_of, ids))), ids)
    into = await merged.along(conn, ids)
    where = (conn, programme.code, sorted(lines), periods)
    grants = await tiers.granted(*where, whom=whom, into=into)
    changes = await quota_changes.changes(*where, whom=whom, into=into)

    def counted(found: Mapping[Place, list[Found]]) -> dict[Place, list[Found]]:
        places = dict[Place, list[Found]]()
        for (member_id, code, key), some in found.items():
            moved = packages.counts_for(lines[code], key, opened[member_id])
            places.setdefault((member_id, code, moved), []).extend(some)
        return places

    made = _Came(counted(grants), counted(changes), Counter(), Counter())
    those = Whom((0, BUCKETS - 1), [*ids, *sorted(into)])
    for (member_id, code, key), amount in (await tiers.made_good(*where, whom=those)).items():
        of = into.get(member_id, member_id)
        period = packages.counts_for(lines[code], key, opened[of])
        made.made_good[of, code, period] += amount
        made.made_own[member_id, code, key] += amount
    return made


def _lacking(programme: Programme, item: Item, right: _Right, came: _Came) -> int:
    """Return how many steps a period lacks, by itself and as its benefit's lines stack (P-7)."""
    lacking = entitlement.missed(
        right.line,
        right.quota,
        came.grants.get(right.place, ()),
        came.changes.get(right.place, ()),
        made_good=came.made_good[right.place],
        period=right.period,
        from_=right.since,
    )
    if not isinstance(item, Benefit) or item.stacking.is_plain:
        return lacking
    others = [line for line in programme.line if line.benefit == item.code]
    nets = {line.code: came.net((right.member_id, line.code, right.period.key)) for line in others}
    return max(0, min(lacking, _room(item, right, others, nets)))


def _room(item: Benefit, right: _Right, others: Iterable[Line], nets: Mapping[str, int]) -> int:
    """Return how much more of a benefit may come in a period, by all of its lines (P-7)."""
    standing = sum(nets.values())
    match item.stacking.by:
        case StackBy.SUM:
            assert item.stacking.cap is not None, "it stacks"
            return units.steps(item.stacking.cap, item.scale) - standing
        case StackBy.MAX:
            return right.quota - standing
        case StackBy.PRIORITY:
            before = [line for line in others if line.order < right.line.order]
            return 0 if any(nets[line.code] for line in before) else right.quota - standing
