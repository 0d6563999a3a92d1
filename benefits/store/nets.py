"""Balances less what is owed, day by day: read from the daily rows, where sums do not tell (A-8).

A day counts what assets come to less liabilities, and nothing where that is below 0 or the day is
not known. A sum cannot tell that of somebody who owes, or who has balances on days that are not
known; of everybody else the kept sums do. Each line comes to what it does in the kept sums: by
itself converted, and shared among the holders of its account (A-4, A-5).
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.catalogue import Rules
from benefits.domain.feeds import days_known
from benefits.domain.metrics import Basket
from benefits.domain.values import Month, bucket_of
from benefits.domain.windows import Days
from benefits.store.db import Connection, rows
from benefits.store.exchange import amount, rate_of, unrated
from benefits.store.holders import shares
from benefits.store.sealed import (
    COUNTED,
    COUNTED_JOINT,
    HIGHEST,
    Sealed,
    chained,
    read_days,
    sealed_days,
)
from benefits.store.weighing import weighing

# Whether a sum `s` of weight `w` is owed; also with what joint accounts add, `j`.
OWES = f"bool_or(w.weight < 0 AND {COUNTED} > 0)"
OWES_WIDE = f"bool_or(w.weight < 0 AND ({COUNTED} > 0 OR {COUNTED_JOINT} > 0))"
# The lines of a member's month: of each grain, and of each feed, the highest revision counts, and
# of days that stand on each other a key's last line. Primary keys.
_LINES = """(SELECT DISTINCT ON (a.as_of, a.asset_class, a.currency, a.source, a.account)
                    a.bucket, a.as_of, a.asset_class, a.currency, a.balance_minor,
                    1 << (extract(day FROM a.as_of)::int - 1) AS known
             FROM asset AS a
             WHERE a.bucket = k.bucket AND a.member_id = k.member_id AND a.as_of >= k.month
               AND a.as_of < (k.month + interval '1 month')::date
               AND a.currency = ANY($6::text[])
             ORDER BY a.as_of, a.asset_class, a.currency, a.source, a.account, a.revision DESC)
            UNION ALL
            SELECT u.bucket, u.as_of + n.day, u.asset_class, u.currency, u.balance_minor, 0
            FROM (SELECT l.bucket, l.as_of, l.asset_class, l.currency, l.balance_minor,
                         lead(l.as_of, 1, c.until) OVER (
                             PARTITION BY c.source, c.chain, l.asset_class, l.currency, l.account
                             ORDER BY l.as_of) AS until
                  FROM fed AS c
                  JOIN feed_line AS l ON l.bucket = k.bucket AND l.as_of = c.as_of
                   AND l.source = c.source AND l.revision = c.revision
                   AND l.member_id = k.member_id AND l.currency = ANY($6::text[])
                  WHERE c.as_of >= k.month
                    AND c.as_of < (k.month + interval '1 month')::date) AS u
            CROSS JOIN generate_series(0, u.until - u.as_of - 1) AS n (day)"""
_PLAIN = f"""SELECT d.as_of, d.asset_class, d.known, 0 AS unrated,
                    greatest(d.balance_minor, 0) AS amount
             FROM ({_LINES}) AS d"""
# Each line as it is converted.
_CONVERTED = f"""SELECT d.as_of, d.asset_class, d.known,
                    CASE WHEN d.currency = ($6::text[])[1] THEN 0 ELSE {unrated("d")} END
                        AS unrated,
                    CASE WHEN d.currency = ($6::text[])[1] THEN greatest(d.balance_minor, 0)
                         ELSE {amount("d")} END AS amount
             FROM ({_LINES}) AS d
             LEFT JOIN LATERAL ({rate_of("d")}) AS u ON d.currency <> ($6::text[])[1]"""
# And what joint accounts add to it. Nothing of a feed that is being applied counts.
_SHARES = shares("""
    SELECT n.bucket, n.member_id, n.month AS first, (n.month + interval '1 month')::date AS past
    FROM unnest($1::smallint[], $2::uuid[], $3::date[]) AS n (bucket, member_id, month)""")
_SHARED = f"""shared AS MATERIALIZED (
    SELECT s.* FROM ({_SHARES}) AS s
    WHERE s.before AND s.joint = $10 AND s.currency = ANY($6::text[])),
"""
_JOINT = f"""{_CONVERTED}
             UNION ALL
             SELECT h.as_of, h.asset_class, h.known, h.unrated, h.amount FROM shared AS h
             WHERE h.bucket = k.bucket AND h.member_id = k.member_id AND h.as_of >= k.month
               AND h.as_of < (k.month + interval '1 month')::date"""


def _nets(lines: str, more: str = "") -> str:
    """Return what gives months day by day, of lines with what they come to."""
    return f"""
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::date[]) AS n (bucket, member_id, month)),
weights AS (SELECT * FROM unnest($4::text[], $5::bigint[]) AS n (asset_class, weight)),
{more}fed AS MATERIALIZED ({chained(HIGHEST.format("AND f.as_of >= $7 AND f.as_of < $8"))})
SELECT k.member_id, k.month, b.known, b.unrated, b.nets,
       CASE WHEN row_number() OVER () = 1 THEN {sealed_days("$9", "$7")} END AS sealed
FROM asked AS k CROSS JOIN LATERAL (
    SELECT coalesce(bit_or(t.known), 0) AS known, coalesce(bit_or(t.unrated), 0) AS unrated,
           json_agg(json_build_array(extract(day FROM t.as_of)::int, t.net))::text AS nets
    FROM (
        SELECT d.as_of, bit_or(d.known) AS known, bit_or(d.unrated) AS unrated,
               sum(d.amount * w.weight) AS net
        FROM ({lines}) AS d
        JOIN weights AS w ON w.asset_class = d.asset_class
        GROUP BY d.as_of) AS t) AS b
"""


NETS, CONVERTED, JOINT = _nets(_PLAIN), _nets(_CONVERTED), _nets(_JOINT, _SHARED)


class Net(msgspec.Struct, frozen=True, kw_only=True):
    """A member's month: what each day comes to, and which days are known.

    On `unrated` ones, as bits, a line has no rate: they are none of the known (A-4).
    """

    member_id: UUID
    month: Month
    nets: Mapping[int, int]
    there: Days
    unrated: int = 0

    @property
    def days(self) -> Days:
        """The days that are known."""
        return Days(self.there.known & ~self.unrated, self.there.filled & ~self.unrated)

    def plus(self, other: "Net") -> "Net":
        """Return it with the days of somebody who was merged into the member (T-10)."""
        days, one, more = {*self.nets, *other.nets}, self.there, other.there
        return Net(
            member_id=self.member_id,
            month=self.month,
            nets={day: self.nets.get(day, 0) + other.nets.get(day, 0) for day in days},
            there=Days(one.known | more.known, one.filled | more.filled),
            unrated=self.unrated | other.unrated,
        )


async def load(
    conn: Connection,
    rules: Rules,
    basket: Basket,
    asked: Collection[tuple[UUID, Month]],
    *,
    into: Mapping[UUID, UUID],
) -> list[Net]:
    """Return what days of members' months come to, times the basket's scale.

    With theirs come those of members who were merged `into` them (T-10).
    """
    of = dict[UUID, list[UUID]]()
    for id_, other in into.items():
        of.setdefault(other, []).append(id_)
    along = [(each, month) for id_, month in asked for each in of.get(id_, ())]
    found = dict[tuple[UUID, Month], Net]()
    for one in await _load(conn, rules, basket, [*asked, *along]):
        key = (into.get(one.member_id, one.member_id), one.month)
        found[key] = found[key].plus(one) if key in found else one
    return list(found.values())


async def _load(
    conn: Connection, rules: Rules, basket: Basket, asked: Collection[tuple[UUID, Month]]
) -> list[Net]:
    """Return what days of members' months come to, in the order they are asked for."""
    if not asked:
        return []
    statement = JOINT if basket.joint else CONVERTED if basket.others else NETS
    found = await rows(
        conn,
        weighing(statement, basket),
        [bucket_of(id_) for id_, _ in asked],
        [id_ for id_, _ in asked],
        [month.start for _, month in asked],
        list(basket.classes),
        list(basket.weights),
        basket.currencies,
        min(month.start for _, month in asked),
        max(month.end for _, month in asked),
        rules.feeds,
        *([basket.joint] if basket.joint else []),
    )
    sealed = read_days(next((row.sealed for row in found if row.sealed), None))
    return [_net(row, rules, sealed) for row in found]


_NETS = msgspec.json.Decoder(list[tuple[int, int]])


def _net(row: Any, rules: Rules, sealed: Sealed) -> Net:
    month = Month.of(row.month)
    days = days_known(row.known, rules.at(month).programme.feeds, sealed.get(month, {}))
    nets = dict(_NETS.decode(row.nets)) if row.nets else {}
    return Net(member_id=row.member_id, month=month, nets=nets, there=days, unrated=row.unrated)


def is_unsure(known: int, days: Days, sealed: Mapping[str, Days]) -> bool:
    """Say whether there may be balances on days that are not known.

    `known` are days with lines, `sealed` those of every source, whether it is waited for or not.
    """
    there = known
    for each in sealed.values():
        there |= each.known
    return bool(there & ~days.known)
