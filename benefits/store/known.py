"""What rules of a programme may ask of members: themselves, labels, and the programme's metric.

The metric is that of the last period which was over before a day. It is read from the kept sums as
evaluations read it, by what is known now: a decision tells of the month in which it was news,
which may be long ago.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from uuid import UUID

from msgspec.structs import replace

from benefits.domain import metrics
from benefits.domain.calendars import NO_CALENDAR
from benefits.domain.catalogue import Judge, Rules
from benefits.domain.eligibility import Rule, asks_metric, labels
from benefits.domain.fields import Known
from benefits.domain.metrics import Reading
from benefits.domain.programme import Programme
from benefits.domain.values import Month, bucket_of
from benefits.domain.windows import last_whole
from benefits.store import calendars, facts, people
from benefits.store.db import Connection
from benefits.store.facts import Whom


async def load(
    conn: Connection,
    programme: Programme,
    rules: Iterable[Rule],
    *,
    day: date,
    ids: Collection[UUID],
) -> dict[UUID, Known]:
    """Return what some rules may ask of members on a day, but for their tier and the channel."""
    some = list(rules)
    keys = {key for rule in some for key in labels(rule)}
    found = await people.load(conn, ids, day, labels=keys)
    readings: Mapping[UUID, Reading] = {}
    if found and any(map(asks_metric, some)):
        buckets = [bucket_of(id_) for id_ in found]
        whom = Whom((min(buckets), max(buckets)), list(found))
        readings = await metrics_of(conn, programme, day, whom)
    return {
        id_: replace(
            one,
            ranks=programme.ranks,
            metric=readings.get(id_),
            minor_digits=programme.minor_digits,
        )
        for id_, one in found.items()
    }


async def metrics_of(
    conn: Connection, programme: Programme, day: date, whom: Whom
) -> Mapping[UUID, Reading]:
    """Return members' readings by a programme; whoever opened later than the period has none."""
    policy, basket = programme.policy, programme.basket
    month = last_whole(policy, Month.of(day).plus(-1))
    known = await calendars.current(conn) if policy.calendar else {}
    calendar = known.get(policy.calendar or "", NO_CALENDAR)
    rules = Rules((Judge(0, month, programme, calendar),))
    return {
        one.member_id: metrics.read(
            policy,
            month,
            one.sums.get(basket, {}),
            scale=basket.scale,
            opened_on=one.opened_on,
            calendar=calendar,
        )
        for one in await facts.load(conn, rules, month, whom)
    }
