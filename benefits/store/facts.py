"""What members are evaluated on: kept sums, labels, the standing on record (T-8)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.catalogue import Rules
from benefits.domain.feeds import days_known
from benefits.domain.labels import Label, Layer, label_name
from benefits.domain.ladder import THRESHOLD
from benefits.domain.metrics import Basket, MonthSum, known_sum, net_sum, value_of
from benefits.domain.stretches import are_needed, needed
from benefits.domain.tiers import Rise, State
from benefits.domain.values import BUCKETS, Month, bucket_of, local_date
from benefits.domain.windows import Days, Kept, Point, Stretch
from benefits.store import merged, nets, stretch_sums, stretches
from benefits.store.db import Connection, rows
from benefits.store.holders import POLICIES
from benefits.store.nets import Net
from benefits.store.sealed import (
    COUNTED,
    COUNTED_CONVERTED,
    COUNTED_JOINT,
    COUNTED_JOINT_UNRATED,
    COUNTED_UNRATED,
    Sealed,
    read_days,
    sealed_days,
)
from benefits.store.stretch_sums import NOTHING, Known, Sum
from benefits.store.weighing import weighing


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


class Facts(msgspec.Struct, kw_only=True):
    """What a member is evaluated on: kept sums by basket, labels, the standing on record.

    That was `decided_for` a month; None where nothing was ever decided. `rises` are those that
    began a term before their month was over.
    """

    member_id: UUID
    opened_on: date
    closed_on: date | None
    sums: dict[Basket, dict[Kept, MonthSum]]
    labels: list[Label] = []
    rises: list[Rise] = []
    written: State = State()
    decided_for: Month | None = None
    has_merged: bool = False


# Primary keys of member and asset_month. Days before the opening are known zeros: bits below
# the opening day. Which days are sealed comes with the sums that count with them, once.
def _facts(sums: str, joined: str = "", among: str = "") -> str:
    return f"""
SELECT m.member_id, m.opened_on, m.closed_on, m.merged_into, m.has_merged, a.month, a.sum_minor,
       a.known, a.unrated, a.converted, a.owes,
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
# Members of a range of buckets, and those named: whose keys are looked up, one by one.
KEYS = ("member AS k", "unnest($6::smallint[], $7::uuid[]) AS k (bucket, member_id)")
# The programme's own currency alone; or first among those that count, with what joint accounts
# add.
_SUMS = f"""sum(({COUNTED}) * w.weight) AS sum_minor, bit_or(s.known_days) AS known,
           0 AS unrated, NULL::text[] AS converted"""
_PLAIN, _NET = f"{_SUMS}, false AS owes", f"{_SUMS}, {nets.OWES} AS owes"
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
ALL, SOME = _facts(_PLAIN), _facts(_PLAIN, among=AMONG.format("m", 8, 9))
# And whether anything is owed.
NET = _facts(_NET), _facts(_NET, among=AMONG.format("m", 8, 9))
_PLAIN_WIDE, _NET_WIDE = f"{_WIDE}, false AS owes", f"{_WIDE}, {nets.OWES_WIDE} AS owes"
# By policy of joint accounts and whether net, of all and of some members.
WIDE = {
    (joint, is_net): (
        _facts(sums, _JOINED.format(joint)),
        _facts(sums, _JOINED.format(joint), AMONG.format("m", 8, 9)),
    )
    for joint in ("", *POLICIES)
    for is_net, sums in ((False, _PLAIN_WIDE), (True, _NET_WIDE))
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
SELECT DISTINCT ON (d.bucket, d.member_id)
       d.member_id, d.rank, d.misses, d.lock_until, d.grace_until, d.way, d.earned,
       d.welcome_until, d.month
FROM tier_decision AS d
WHERE d.bucket BETWEEN $3 AND $4 AND d.programme = $1 AND d.month <= $2{among}
ORDER BY d.bucket, d.member_id, d.month DESC, d.decided_at DESC
"""
DECIDED_OF_ALL = DECIDED.format(among="")
DECIDED_OF_SOME = DECIDED.format(among=AMONG.format("d", 5, 6))
# The same key: what raised members, and from when on, but for what was fraud.
RAISED = """
SELECT d.member_id, d.month, d.rank, d.effective_from
FROM tier_decision AS d
WHERE d.bucket BETWEEN $3 AND $4 AND d.programme = $1 AND d.month <= $2
  AND d.cause = 'UPGRADED' AND NOT EXISTS (
      SELECT FROM tier_decision AS f
      WHERE f.bucket = d.bucket AND f.member_id = d.member_id AND f.programme = $1
        AND f.cause = 'FRAUD' AND f.decided_at > d.decided_at AND f.month <= $2
        AND (f.grounds::jsonb ->> 'wrong_from')::date <= d.month){among}
"""
RAISED_OF_ALL = RAISED.format(among="")
RAISED_OF_SOME = RAISED.format(among=AMONG.format("d", 5, 6))


async def load(conn: Connection, rules: Rules, month: Month, whom: Whom) -> list[Facts]:
    """Return what members are evaluated on, up to `month`, in the order of buckets and ids.

    What was brought for those who were merged counts for whom they were merged into.
    """
    all_facts = dict[UUID, Facts]()
    for basket in rules.baskets:
        found, sealed = await _months(conn, rules, basket, month, whom=whom)
        fed = fed_days(rules, sealed, month)
        known = Known({}, fed) if are_needed(rules) else None
        into = await merged.along(conn, [row.member_id for row in found if row.has_merged])
        if into:
            those = Whom((0, BUCKETS - 1), sorted(into))
            others, _ = await _months(conn, rules, basket, month, whom=those)
            found = _together(found, others, into)
        found = [row for row in found if row.merged_into is None]
        for row in found:
            _add_month(all_facts, rules, basket, row, sealed=sealed, known=known)
        _add_absent(all_facts.values(), basket, fed)
        if known is not None:
            known.into = into
            await _add_stretches(conn, rules, basket, whom, known=known, facts=all_facts)
        if basket.is_net:
            asked = _unsure(rules, basket, found, sealed)
            owing = await nets.load(conn, rules, basket, asked, into=into)
            _net(rules, basket, owing, all_facts)
    await _add_record(conn, rules, month, whom, all_facts=all_facts)
    return list(all_facts.values())


async def _add_record(
    conn: Connection, rules: Rules, month: Month, whom: Whom, *, all_facts: Mapping[UUID, Facts]
) -> None:
    """Give members their labels, and the standing on record."""
    for member_id, label in await _labels(conn, rules, month, whom) if rules.labels else ():
        if member_id in all_facts:
            all_facts[member_id].labels.append(label)
    decided = DECIDED_OF_ALL if whom.members is None else DECIDED_OF_SOME
    for row in await rows(conn, decided, rules.programme, month.start, *whom.values):
        if row.member_id in all_facts:
            all_facts[row.member_id].written = state_of(row)
            all_facts[row.member_id].decided_for = Month.of(row.month)
    if rules.locks_early:
        for member_id, rise in await _rises(conn, rules, month, whom):
            if member_id in all_facts:
                all_facts[member_id].rises.append(rise)


async def _rises(
    conn: Connection, rules: Rules, month: Month, whom: Whom
) -> list[tuple[UUID, Rise]]:
    """Return the tiers that held before the months were over that proved them (T-3)."""
    statement = RAISED_OF_ALL if whom.members is None else RAISED_OF_SOME
    tz = rules.judges[-1].programme.tz
    found = [
        (row.member_id, Rise(Month.of(row.month), row.rank, local_date(row.effective_from, tz)))
        for row in await rows(conn, statement, rules.programme, month.start, *whom.values)
    ]
    return [(member_id, rise) for member_id, rise in found if rise.day < rise.month.end]


class _Month(msgspec.Struct, frozen=True):
    """A month of a member, as `_facts` tells of it; of who has none, that there is none."""

    member_id: UUID
    opened_on: date
    closed_on: date | None
    merged_into: UUID | None
    has_merged: bool
    month: date | None
    sum_minor: Any
    known: int
    unrated: int
    converted: Sequence[str] | None
    owes: bool


async def _months(
    conn: Connection, rules: Rules, basket: Basket, month: Month, *, whom: Whom
) -> tuple[list[_Month], Sealed]:
    """Return members' months in the order of buckets and ids, and which days are sealed."""
    found = await rows(
        conn,
        weighing(_statement(basket, whom), basket),
        month.start,
        basket.currencies,
        list(basket.classes),
        list(basket.weights),
        None if basket.is_net else rules.feeds,
        *whom.values,
    )
    sealed = read_days(next((row.sealed for row in found if row.sealed), None))
    return [_Month(*row[:-1]) for row in found], sealed


def _together(
    found: Sequence[_Month], others: Sequence[_Month], into: Mapping[UUID, UUID]
) -> list[_Month]:
    """Return months in which those of others count for the members they were merged into.

    A day is known with a line of any of them, as it is with any line of one.
    """
    members = {row.member_id: row for row in found if row.has_merged}
    by_month = dict[tuple[UUID, date | None], list[_Month]]()
    for row in (*members.values(), *others):
        by_month.setdefault((into.get(row.member_id, row.member_id), None), [])
    for row in (*(row for row in found if row.has_merged), *others):
        if row.month is not None:
            key = (into.get(row.member_id, row.member_id), row.month)
            by_month.setdefault(key, []).append(row)
    months = [
        _Month(
            member_id=member_id,
            opened_on=members[member_id].opened_on,
            closed_on=members[member_id].closed_on,
            merged_into=None,
            has_merged=True,
            month=each,
            sum_minor=sum(int(row.sum_minor) for row in some),
            known=reduce(or_, (row.known for row in some), 0),
            unrated=reduce(or_, (row.unrated for row in some), 0),
            converted=sorted({code for row in some for code in row.converted or ()}),
            owes=any(row.owes for row in some),
        )
        for (member_id, each), some in by_month.items()
        if member_id in members
    ]
    plain = [row for row in found if not row.has_merged]
    return sorted((*plain, *months), key=lambda row: (bucket_of(row.member_id), row.member_id))


def _unsure(
    rules: Rules, basket: Basket, found: Iterable[_Month], sealed: Sealed
) -> list[tuple[UUID, Month]]:
    """Return the members' months whose sums do not tell what the days come to, net (A-8)."""
    asked = list[tuple[UUID, Month]]()
    for row in found:
        if row.month is None:
            continue
        month = Month.of(row.month)
        every = sealed.get(month, {})
        days = days_known(row.known, rules.at(month).programme.feeds, every)
        lacks = basket.points and days.known != month.bits  # a value counts on known days alone
        if row.owes or row.unrated or lacks or nets.is_unsure(row.known, days, every):
            asked.append((row.member_id, month))
    return asked


def _net(rules: Rules, basket: Basket, found: Iterable[Net], facts: Mapping[UUID, Facts]) -> None:
    """Let the days of members' months count in place of their sums (A-8)."""
    for each in found:
        entry, judge = facts[each.member_id], rules.at(each.month)
        pieces = entry.sums[basket]
        asked = (judge.programme.policy, each.month, pieces, entry.opened_on)
        value = value_of(*asked, calendar=judge.calendar)
        months = [piece for piece in pieces if piece.month == each.month]
        for piece in (piece for piece in months if not isinstance(piece, Point)):
            valued = value if piece == each.month else None
            net = net_sum(piece, each.nets, each.days, entry.opened_on, valued=valued)
            converted = pieces[piece].converted
            pieces[piece] = msgspec.structs.replace(net, converted=converted)


def _statement(basket: Basket, whom: Whom) -> str:
    plain = NET if basket.is_net else (ALL, SOME)
    wide = WIDE[basket.joint, basket.is_net] if basket.is_wide else plain
    return wide[whom.members is not None]


async def _labels(
    conn: Connection, rules: Rules, month: Month, whom: Whom
) -> list[tuple[UUID, Label]]:
    names = sorted({label_name(key) for key in rules.labels})
    return await labels_of(conn, names, month.end, whom)


async def labels_of(
    conn: Connection, names: Sequence[str], before: date, whom: Whom
) -> list[tuple[UUID, Label]]:
    """Return the labels of some names that members carry from a day before one on (S-1).

    Those of layer MODEL decide nothing and are none of them (S-2).
    """
    statement = LABELS_OF_ALL if whom.members is None else LABELS_OF_SOME
    return [
        (row.member_id, Label(row.label, Layer(row.layer), row.valid_from, row.valid_to))
        for row in await rows(conn, statement, list(names), before, *whom.values)
    ]


def _add_month(
    all_facts: dict[UUID, Facts],
    rules: Rules,
    basket: Basket,
    row: _Month,
    *,
    sealed: Sealed,
    known: Known | None,
) -> None:
    """Add what a row says of a member's month, whose days are known as its version says (A-2).

    A day with a line that has no rate is not known (A-4).
    """
    entry = all_facts.get(row.member_id)
    if entry is None:
        entry = all_facts[row.member_id] = Facts(
            member_id=row.member_id,
            opened_on=row.opened_on,
            closed_on=row.closed_on,
            sums={},
            has_merged=row.has_merged,
        )
    if row.month is None:
        return
    month = Month.of(row.month)
    days = days_known(row.known, rules.at(month).programme.feeds, sealed.get(month, {}))
    days = Days(days.known & ~row.unrated, days.filled & ~row.unrated)
    converted = tuple(row.converted or ())
    total = known_sum(month, int(row.sum_minor), days, row.opened_on, converted=converted)
    entry.sums.setdefault(basket, {})[month] = total
    if known is not None:
        known.rows.setdefault(row.member_id, {})[month] = days


async def _add_stretches(
    conn: Connection,
    rules: Rules,
    basket: Basket,
    whom: Whom,
    *,
    known: Known,
    facts: Mapping[UUID, Facts],
) -> None:
    """Give members the sums of the stretches that are kept, beside those of their months.

    The list is read first: what it says to be filled is there as the sums are read.
    """
    wanted = [each for month in known.months for each in needed(rules, month)]
    kept = await stretches.kept(conn, wanted)
    summed: list[tuple[Basket, Mapping[Stretch, Stretch | Point]]] = [
        (basket, {each: each for each in kept})
    ]
    if basket.points:
        points = {each: Point(each) for each in kept if each.days == 1}
        summed.append((basket.by_point, points))
    upto = {member_id: bucket_of(member_id) for member_id in facts}
    for member_id, other in known.into.items():
        upto[other] = max(upto[other], bucket_of(member_id))  # a sum is whole or not kept
    for weighed, pieces in summed:
        sums = await _stretch_sums(conn, pieces, weighed, whom, into=known.into)
        for member_id, entry in facts.items():
            there = {
                piece: sums.get((member_id, stretch), NOTHING)
                for stretch, piece in pieces.items()
                if kept[stretch].is_kept(upto[member_id], folded=basket.is_wide)
            }
            _add_pieces(entry, basket, there, known)


async def _stretch_sums(
    conn: Connection,
    kept: Collection[Stretch],
    basket: Basket,
    whom: Whom,
    *,
    into: Mapping[UUID, UUID],
) -> stretch_sums.Sums:
    """Return what stretches come to of members, with those who were merged into them."""
    sums = dict(
        await stretch_sums.sums(conn, kept, basket, buckets=whom.buckets, members=whom.members)
    )
    if into:
        more = await stretch_sums.sums(
            conn, kept, basket, buckets=(0, BUCKETS - 1), members=sorted(into)
        )
        for (member_id, stretch), total in more.items():
            key = (into[member_id], stretch)
            sums[key] = sums.get(key, NOTHING).plus(total)
    return sums


def _add_pieces(
    entry: Facts, basket: Basket, there: Mapping[Stretch | Point, Sum], known: Known
) -> None:
    """Give a member what is kept of stretches of months, where the months are there."""
    sums = entry.sums.get(basket, {})
    for piece, total in there.items():
        if piece.month in sums:
            sums[piece] = known_sum(
                piece,
                total.sum_minor,
                known.days(entry.member_id, piece.month),
                entry.opened_on,
                converted=total.converted,
            )


def fed_days(rules: Rules, sealed: Sealed, through: Month) -> dict[Month, Days]:
    """Return the months with days that feeds make known, of those up to `through`."""
    known = {
        month: days_known(0, sources, days)
        for month, days in sealed.items()
        if month <= through and (sources := rules.at(month).programme.feeds)
    }
    return {month: days for month, days in known.items() if days.known}


def _add_absent(entries: Iterable[Facts], basket: Basket, fed: Mapping[Month, Days]) -> None:
    """Give members who are absent from all of a month's feeds their known zeros (A-2)."""
    for entry in entries:
        first = Month.of(entry.opened_on)
        sums = entry.sums.get(basket, {})
        absent = [month for month in fed if month >= first and month not in sums]
        if absent:
            sums = entry.sums.setdefault(basket, sums)
        for month in absent:
            sums[month] = known_sum(month, 0, fed[month], entry.opened_on)


def state_of(row: Any) -> State:
    """Return the standing that a decision left, as its row says."""
    return State(
        row.rank,
        row.misses,
        lock_until=row.lock_until,
        grace_until=row.grace_until,
        way=row.way or THRESHOLD,
        earned=row.earned,
        welcome_until=row.welcome_until,
    )
