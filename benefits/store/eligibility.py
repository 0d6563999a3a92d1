"""Rules as SQL: whom of all members a rule would let in, counted and listed bucket by bucket.

The same tree that decides of one member in Python (`domain/eligibility.py`) is one expression over
the tables here; SQL's own AND, OR and NOT are Kleene's, and what is not known is NULL. Values go
as parameters, and bounds are worked out beforehand, so that columns are compared as they are.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from benefits.domain.eligibility import Every, Form, Leaf, Rule, asks_metric, leaves
from benefits.domain.labels import label_name
from benefits.domain.metrics import Reading
from benefits.domain.programme import Programme
from benefits.domain.values import add_months, bucket_of
from benefits.store import welcomes
from benefits.store.db import Connection, rows
from benefits.store.facts import Whom
from benefits.store.known import metrics_of
from benefits.store.people import BEFORE

# Primary key of member, in its order; who has left or was merged is none. People and standings are
# joined where a rule asks for them.
PEOPLE = """
LEFT JOIN member_person AS p ON p.bucket = m.bucket AND p.member_id = m.member_id"""
# As a standing is shown: what holds now, of what is decided. Unique key of tier_decision.
STANDINGS = f"""
LEFT JOIN (
    SELECT DISTINCT ON (d.bucket, d.member_id) d.bucket, d.member_id,
           {welcomes.held("d", "$3")} AS rank
    FROM tier_decision AS d
    WHERE d.bucket BETWEEN $1 AND $2 AND d.programme = {{programme}}
      AND d.effective_from <= {{now}} AND d.decided_at <= {{now}}
    ORDER BY d.bucket, d.member_id, d.effective_from DESC, d.decided_at DESC, d.decision_id DESC)
    AS t ON t.bucket = m.bucket AND t.member_id = m.member_id"""
# A member's own rows, where few are looked at; all that a range of buckets has, where all are. A
# join may grow beyond memory, what IN finds may not.
_LABELS = """FROM unnest({names}::text[], {layers}::text[]) AS k (label, layer)
    JOIN member_label AS l ON l.label = k.label AND l.layer = k.layer
    WHERE {whose} AND l.valid_from <= $3 AND (l.valid_to IS NULL OR l.valid_to > $3)
      AND NOT EXISTS (
          SELECT FROM member_label AS n
          WHERE n.bucket = l.bucket AND n.member_id = l.member_id AND n.label = l.label
            AND n.valid_from = l.valid_from AND n.recorded_at > l.recorded_at)"""
HOLDS_LABEL = f"""EXISTS (
    SELECT {_LABELS})""".replace("{whose}", "l.bucket = m.bucket AND l.member_id = m.member_id")
HOLDERS = f"""
LEFT JOIN (
    SELECT DISTINCT l.bucket, l.member_id {_LABELS})
    AS {{alias}} ON {{alias}}.bucket = m.bucket AND {{alias}}.member_id = m.member_id""".replace(
    "{whose}", "l.bucket BETWEEN $1 AND $2"
)
# What a metric comes to is read from sums of many kinds: it comes as values, a row for a member.
METRICS = """
LEFT JOIN unnest({members}::uuid[], {sums}::numeric[], {divisors}::numeric[], {whole}::boolean[])
    AS r (member_id, sum_minor, divisor, is_whole) ON r.member_id = m.member_id"""
WERE_BEFORE = """
LEFT JOIN (
    SELECT DISTINCT s.bucket, s.member_id FROM member_person AS r
    JOIN member AS s ON s.bucket = r.bucket AND s.member_id = r.member_id
    JOIN member_person AS q ON q.bucket + 0 BETWEEN 0 AND 1023 AND q.person = r.person
    JOIN member AS e ON e.bucket = q.bucket AND e.member_id = q.member_id
    WHERE r.bucket BETWEEN $1 AND $2 AND e.opened_on < s.opened_on
      AND (e.closed_on IS NULL
           OR e.closed_on >= s.opened_on - make_interval(months => {months})))
    AS {alias} ON {alias}.bucket = m.bucket AND {alias}.member_id = m.member_id"""
WHOM = """
FROM member AS m{joined}
WHERE m.bucket BETWEEN $1 AND $2 AND m.opened_on <= $3
  AND (m.closed_on IS NULL OR m.closed_on >= $3) AND m.merged_into IS NULL
  AND {let_in}"""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of a programme, or none, as of a day and an instant; of a claim by its channel."""

    rule: Rule | None
    programme: Programme
    today: date
    now: datetime
    channel: str = ""


class _Statement:
    """A rule while it is written down; the first three parameters are the buckets and the day.

    It `is_for_all` of the buckets, or for the few that a page has.
    """

    def __init__(self, asked: Asked, found: Mapping[UUID, Reading], *, is_for_all: bool) -> None:
        self.asked = asked
        self.is_for_all = is_for_all
        self.values: list[Any] = [asked.today]
        self.joined, self.let_in = "", "true"
        if asked.rule is None:
            return
        self.let_in = self._form(asked.rule.form)
        fields = {leaf.field for leaf in leaves(asked.rule)}
        if fields & {"age", "city", "staff", "new_customer"}:
            self.joined += PEOPLE
        if "tier" in fields:
            programme, now = self._value(asked.programme.code), self._value(asked.now)
            self.joined += STANDINGS.format(programme=programme, now=now)
        if "metric" in fields:
            self._join(found)

    def _join(self, found: Mapping[UUID, Reading]) -> None:
        """Join the metrics of members who can be judged by theirs."""
        some = {id_: reading for id_, reading in found.items() if not reading.young}
        self.joined += METRICS.format(
            members=self._value(list(some)),
            sums=self._value([Decimal(one.sum_minor) for one in some.values()]),
            divisors=self._value([Decimal(one.divisor) for one in some.values()]),
            whole=self._value([one.complete for one in some.values()]),
        )

    def _value(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values) + 2}"

    def _form(self, form: Form) -> str:
        if isinstance(form, Leaf):
            holds = _LEAVES[form.field](self, form.asks)
            return f"(NOT {holds})" if form.is_denied else holds
        between = " AND " if isinstance(form, Every) else " OR "
        return f"({between.join(self._form(part) for part in form.parts)})"

    def tier(self, asks: Any) -> str:
        ranks, last = self.asked.programme.ranks, len(self.asked.programme.tier) - 1
        low = 0 if asks.at_least is None else ranks[asks.at_least]
        high = last if asks.at_most is None else ranks[asks.at_most]
        some = [ranks[code] for code in asks.values] or list(range(low, high + 1))
        return f"(coalesce(t.rank, 0) = ANY({self._value(some)}::int[]))"

    def metric(self, asks: Any) -> str:
        """Compare exact sums; what is missing is nothing yet, and may be anything (C-3, A-6)."""
        some = list[str]()
        if asks.at_least is not None:
            some.append(self._reaches(asks.at_least))
        if asks.below is not None:
            some.append(f"(NOT {self._reaches(asks.below)})")
        return f"({' AND '.join(some)})"

    def _reaches(self, amount: Decimal) -> str:
        minor = self._value(Decimal(self.asked.programme.minor(amount)))
        return (
            f"(CASE WHEN r.sum_minor >= {minor}::numeric * r.divisor THEN true "
            "WHEN r.is_whole THEN false END)"
        )

    def label(self, asks: Any) -> str:
        names = self._value([label_name(key) for key in asks.values])
        layers = self._value([key.partition(":")[0] for key in asks.values])
        if not self.is_for_all:
            return HOLDS_LABEL.format(names=names, layers=layers)
        alias = self._alias()
        self.joined += HOLDERS.format(names=names, layers=layers, alias=alias)
        return f"({alias}.member_id IS NOT NULL)"

    def _alias(self) -> str:
        return f"j{len(self.values)}"

    def age(self, asks: Any) -> str:
        """Compare birthdays: who is `n` was born by this day, `n` years ago (E-2)."""
        return self._bounds("p.born_on", asks, lambda n: add_months(self.asked.today, -12 * n))

    def tenure(self, asks: Any) -> str:
        """Compare the day on which so many months were full (C-6)."""
        low = "" if asks.at_least is None else self._full(asks.at_least, "<=")
        high = "" if asks.at_most is None else self._full(asks.at_most + 1, ">")
        return f"({' AND '.join(filter(None, (low, high)))})"

    def _full(self, months: int, how: str) -> str:
        number = self._value(months)
        return f"m.opened_on + make_interval(months => {number}) {how} $3"

    def _bounds(self, column: str, asks: Any, day: Callable[[int], date]) -> str:
        some = list[str]()
        if asks.at_least is not None:
            some.append(f"{column} <= {self._value(day(asks.at_least))}")
        if asks.at_most is not None:
            some.append(f"{column} > {self._value(day(asks.at_most + 1))}")
        return f"({' AND '.join(some)})"

    def city(self, asks: Any) -> str:
        return f"(p.city = ANY({self._value(list(asks.values))}::text[]))"

    def branch(self, asks: Any) -> str:
        return f"(nullif(m.branch, '') = ANY({self._value(list(asks.values))}::text[]))"

    def channel(self, asks: Any) -> str:
        channel = self._value(self.asked.channel or None)
        return f"({channel}::text = ANY({self._value(list(asks.values))}::text[]))"

    def staff(self, asks: Any) -> str:
        return "p.is_staff" if asks else "(NOT p.is_staff)"

    def new(self, asks: Any) -> str:
        months = self._value(asks.months)
        if self.is_for_all:
            alias = self._alias()
            self.joined += WERE_BEFORE.format(months=months, alias=alias)
            return f"(CASE WHEN p.person IS NOT NULL THEN {alias}.member_id IS NULL END)"
        began = f"m.opened_on - make_interval(months => {months})"
        return f"(CASE WHEN p.person IS NOT NULL THEN coalesce(({BEFORE}) < {began}, true) END)"


_LEAVES: dict[str, Callable[[_Statement, Any], str]] = {
    "tier": _Statement.tier,
    "metric": _Statement.metric,
    "label": _Statement.label,
    "age": _Statement.age,
    "city": _Statement.city,
    "branch": _Statement.branch,
    "channel": _Statement.channel,
    "tenure_months": _Statement.tenure,
    "staff": _Statement.staff,
    "new_customer": _Statement.new,
}


async def _whom(
    conn: Connection, asked: Asked, buckets: tuple[int, int], *, is_for_all: bool
) -> tuple[str, list[Any]]:
    """Return what says whom a rule lets in, and its values after those of the buckets."""
    found: Mapping[UUID, Reading] = {}
    if asked.rule is not None and asks_metric(asked.rule):
        found = await metrics_of(conn, asked.programme, asked.today, Whom(buckets))
    made = _Statement(asked, found, is_for_all=is_for_all)
    return WHOM.format(joined=made.joined, let_in=made.let_in), made.values


async def count(conn: Connection, asked: Asked, buckets: tuple[int, int]) -> int:
    """Return how many members of a range of buckets a rule lets in."""
    whom, values = await _whom(conn, asked, buckets, is_for_all=True)
    ((members,),) = await rows(conn, f"SELECT count(*) AS members {whom}", *buckets, *values)
    return int(members)


async def page(
    conn: Connection,
    asked: Asked,
    buckets: tuple[int, int],
    *,
    after: UUID | None = None,
    limit: int,
) -> list[UUID]:
    """Return members of a range of buckets whom a rule lets in, in their order, `after` one."""
    whom, values = await _whom(conn, asked, buckets, is_for_all=False)
    values += [-1 if after is None else bucket_of(after), after or UUID(int=0), limit]
    last = len(values) + 2
    found = await rows(
        conn,
        f"SELECT m.member_id {whom} AND (m.bucket, m.member_id) > (${last - 2}, ${last - 1}) "
        f"ORDER BY m.bucket, m.member_id LIMIT ${last}",
        *buckets,
        *values,
    )
    return [row.member_id for row in found]
