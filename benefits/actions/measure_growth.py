"""Freeze what members' metrics are, and tell later by how much they grew (M-12).

Freezing goes some buckets at a time, each in a transaction of its own; stopped, it goes on where
it ended, and what is frozen stays. A member who was enrolled later has nothing frozen: a
relationship that began after the month had nothing, of any other nothing is known.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

import msgspec

from benefits.actions.evaluate import MonthNotOver, UnknownProgramme
from benefits.actions.parts import Parts
from benefits.domain import growth
from benefits.domain.catalogue import Rules
from benefits.domain.growth import ZERO, Grown, Measure
from benefits.domain.refusal import Refusal
from benefits.domain.values import BUCKETS, Month, local_date
from benefits.domain.windows import last_whole
from benefits.store import baselines, facts
from benefits.store.baselines import Baseline
from benefits.store.db import Connection, Database
from benefits.store.facts import Facts, Whom

NAME = re.compile("[a-z0-9][a-z0-9_-]{0,63}")


class BaselineInvalid(Refusal):
    """The name is none, or no period of the programme's metric ends with the month."""

    code = "baseline_invalid"
    words = "This cannot be a baseline."


class BaselineTaken(Refusal):
    """The name is that of another programme's or month's baseline, which stays as it is."""

    code = "baseline_taken"
    words = "This name is that of another baseline."


class UnknownBaseline(Refusal):
    """No baseline has this name, or it is not frozen to the end."""

    code = "unknown_baseline"
    words = "No baseline has this name."


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline that is asked for, and by whom."""

    name: str
    programme: str
    month: Month
    by: str


class Frozen(msgspec.Struct, frozen=True):
    """How far freezing has come: up to a bucket, so many members, some of them with days missing.

    Of a baseline that was frozen before there are none.
    """

    next_bucket: int
    members: int = 0
    incomplete: int = 0


class GrownMember(msgspec.Struct, frozen=True):
    """A member's growth."""

    member_id: UUID
    grown: Grown


async def freeze(
    database: Database, parts: Parts, wanted: Wanted, *, step: int
) -> AsyncGenerator[Frozen, None]:
    """Freeze a baseline, `step` buckets at a time (BaselineInvalid, BaselineTaken, MonthNotOver).

    Yield how far it is, the last time when it is done.
    """
    far, is_done = Frozen(0), False

    async def some(conn: Connection) -> Frozen:
        return await _freeze_some(conn, parts, wanted, after=far, step=step)

    while not is_done:
        far = await database.transact(some)
        is_done = far.next_bucket == BUCKETS
        yield far


async def _freeze_some(
    conn: Connection, parts: Parts, wanted: Wanted, *, after: Frozen, step: int
) -> Frozen:
    rules = await _rules(conn, parts, wanted.programme, wanted.month)
    if not NAME.fullmatch(wanted.name):
        raise BaselineInvalid("A name has a-z, 0-9, - and _, at most 64 of them.")
    judge, now = rules.at(wanted.month), parts.clock()
    one = await baselines.begin(
        conn,
        Baseline(
            name=wanted.name,
            programme=wanted.programme,
            month=wanted.month,
            scale=judge.programme.basket.scale,
            frozen_by=wanted.by,
            begun_at=now,
        ),
    )
    if (one.programme, one.month) != (wanted.programme, wanted.month):
        raise BaselineTaken(f"{one.name} is that of {one.programme} in {one.month}.")
    begin = max(one.next_bucket, after.next_bucket)  # a rehearsal records nothing
    if begin == BUCKETS:
        return msgspec.structs.replace(after, next_bucket=BUCKETS)
    end = min(begin + step, BUCKETS)
    found = await facts.load(conn, rules, wanted.month, Whom((begin, end - 1)))
    measures = [(each.member_id, _measure(rules, wanted.month, each)) for each in found]
    await baselines.freeze(conn, one.name, measures, now)
    await baselines.advance(conn, one.name, end, now)
    missing = sum(not each.complete for _, each in measures)
    return Frozen(end, after.members + len(measures), after.incomplete + missing)


async def measure_growth(
    database: Database,
    parts: Parts,
    name: str,
    month: Month,
    *,
    steps: Sequence[int],
    buckets: tuple[int, int],
    is_corrected: bool = False,
) -> list[GrownMember]:
    """Return by how much members in some buckets grew (UnknownBaseline, StepsInvalid).

    With `is_corrected` the baseline's month is read as it is known now (FOLLOW_CORRECTION).
    """
    growth.check_steps(steps)

    async def look(conn: Connection) -> list[GrownMember]:
        one = await baselines.find(conn, name)
        if one is None or one.next_bucket < BUCKETS:
            raise UnknownBaseline
        rules = await _rules(conn, parts, one.programme, month)
        if month <= one.month:
            raise BaselineInvalid(f"{name} is of {one.month}; growth is of a month after that.")
        found = await facts.load(conn, rules, month, Whom(buckets))
        before = await baselines.frozen(conn, one, buckets)
        told = list[GrownMember]()
        for each in found:
            base = before.get(each.member_id)
            if is_corrected or base is None:
                base = _base(rules, one.month, each, is_corrected=is_corrected)
            now = _measure(rules, month, each)
            told.append(GrownMember(each.member_id, growth.grown(base, now, steps)))
        return told

    return await database.transact(look)


async def _rules(conn: Connection, parts: Parts, code: str, month: Month) -> Rules:
    """Return what judges a programme's months; `month` is over and ends a period of its metric."""
    catalogue = await parts.catalogue.current(conn)
    if code not in catalogue.programmes:
        raise UnknownProgramme
    rules = catalogue.rules[code]
    policy = rules.at(month).programme.policy
    if local_date(parts.clock(), catalogue.programmes[code].tz) < month.end:
        raise MonthNotOver(f"{month} is not over in {catalogue.programmes[code].zone}.")
    if last_whole(policy, month) != month:
        raise BaselineInvalid(f"No {policy.metric.value} ends with {month}.")
    return rules


def _measure(rules: Rules, month: Month, one: Facts) -> Measure:
    return growth.measure(rules.at(month), month, one.sums, one.opened_on)


def _base(rules: Rules, month: Month, one: Facts, *, is_corrected: bool) -> Measure:
    """Return the baseline of a member for whom it is not to be read, or nothing is frozen."""
    if one.opened_on >= month.end:
        return ZERO
    read = _measure(rules, month, one)
    return read if is_corrected else msgspec.structs.replace(read, total=0, known_days=0)
