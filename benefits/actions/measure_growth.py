"""Freeze what members' metrics are, and tell later by how much they grew (M-12).

A baseline is of one moment: it is frozen in one transaction, which reads one snapshot and is in
nobody's way; stopped, it leaves nothing. Members whose month has days missing are left out, until
it is frozen again under the same name, when those days are there. What is frozen stays.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from benefits.actions.evaluate import MonthNotOver, UnknownProgramme
from benefits.actions.judge_month import closed_by
from benefits.actions.parts import Parts
from benefits.domain import growth
from benefits.domain.catalogue import Rules
from benefits.domain.growth import ZERO, Grown, Measure, Start
from benefits.domain.refusal import Refusal
from benefits.domain.values import BUCKETS, Month, bucket_of, local_date
from benefits.domain.windows import last_whole
from benefits.store import baselines, facts, merged, tiers
from benefits.store.baselines import Baseline
from benefits.store.db import Connection, Database
from benefits.store.facts import Facts, Whom

NAME = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
PART = 2000  # members who are looked at together
PART_BUCKETS = 128
SEEN_MAX = 5000  # for one page


class BaselineInvalid(Refusal):
    """No such name, no end of a period, not after the baseline, or not measured as it was."""

    code = "baseline_invalid"
    words = "This cannot be a baseline."


class BaselineTaken(Refusal):
    """The name is that of another programme's or month's baseline, which stays as it is."""

    code = "baseline_taken"
    words = "This name is that of another baseline."


class UnknownBaseline(Refusal):
    """No baseline has this name."""

    code = "unknown_baseline"
    words = "No baseline has this name."


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline that is asked for, and by whom."""

    name: str
    programme: str
    month: Month
    by: str


class Frozen(msgspec.Struct, frozen=True):
    """Members who are frozen now, who were before, and whose month has days missing."""

    members: int = 0
    before: int = 0
    incomplete: int = 0

    def plus(self, other: "Frozen") -> "Frozen":
        """Return the two together."""
        return Frozen(
            self.members + other.members,
            self.before + other.before,
            self.incomplete + other.incomplete,
        )


Progress = Callable[[Frozen], None]


class GrownMember(msgspec.Struct, frozen=True):
    """A member's growth."""

    member_id: UUID
    grown: Grown

    def can_reach(self, steps: Sequence[int]) -> bool:
        """Say whether a step is reached or not yet excluded; without steps all can."""
        return not steps or self.grown.possible > 0


class Place(msgspec.Struct, frozen=True):
    """Where a reader of growth stands: in a bucket, after a member."""

    bucket: Annotated[int, msgspec.Meta(ge=0, lt=BUCKETS)] = 0
    after: UUID = UUID(int=0)


class Page(msgspec.Struct, frozen=True):
    """Members in the order of their buckets, and where to go on; None at the end."""

    members: Sequence[GrownMember]
    following: Place | None


async def freeze(
    database: Database,
    parts: Parts,
    wanted: Wanted,
    *,
    slices: Sequence[tuple[int, int]],
    progress: Progress = lambda _: None,
) -> Frozen:
    """Freeze what members' metrics are, of all who are not frozen and whose month is whole.

    Refused are names and months that cannot be (BaselineInvalid), another's name (BaselineTaken),
    and a month that is not over (MonthNotOver).
    """

    async def work(conn: Connection) -> Frozen:
        rules = await _rules(conn, parts, wanted.programme, wanted.month)
        one = await _begin(conn, parts, wanted, rules)
        done = Frozen()
        for buckets in slices:
            done = done.plus(await _freeze(conn, one, rules, buckets, now=parts.clock()))
            progress(done)
        return done

    return await database.transact(work, baselines.BEGIN_SNAPSHOT)


async def _begin(conn: Connection, parts: Parts, wanted: Wanted, rules: Rules) -> Baseline:
    """Record a baseline, or find the one that is to be completed."""
    if not NAME.fullmatch(wanted.name):
        raise BaselineInvalid("A name has a-z, 0-9, - and _, at most 64 of them.")
    judge = rules.at(wanted.month)
    new = Baseline(
        name=wanted.name,
        programme=wanted.programme,
        programme_version=judge.version,
        month=wanted.month,
        scale=judge.programme.basket.scale,
        frozen_by=wanted.by,
        frozen_at=parts.clock(),
    )
    one = await baselines.begin(conn, new)
    if (one.programme, one.month) != (wanted.programme, wanted.month):
        raise BaselineTaken(f"{one.name} is that of {one.programme} in {one.month}.")
    if one.programme_version != judge.version:
        raise BaselineInvalid(f"{one.month} is judged by another version now; take another name.")
    return one


async def _freeze(
    conn: Connection, one: Baseline, rules: Rules, buckets: tuple[int, int], *, now: datetime
) -> Frozen:
    """Freeze members of some buckets; who was merged into them before counts with them (T-10)."""
    before = await baselines.frozen(conn, one, buckets)
    there = await facts.load(conn, rules, one.month, Whom(buckets))
    has_merged = {each.member_id for each in there if each.has_merged}
    found = [
        (each.member_id, _measure(rules, one.month, each))
        for each in there
        if each.member_id not in before
    ]
    whole = {id_: each for id_, each in found if each.complete and not each.young}
    along = await merged.along(conn, [id_ for id_ in whole if id_ in has_merged])
    kept = await baselines.frozen_of(conn, one, along)
    counted = dict[UUID, Measure]()
    for id_, other in along.items():  # each of them stands in the books once
        if id_ in kept:
            rest = max(whole[other].total - kept[id_].total, 0)
            whole[other] = msgspec.structs.replace(whole[other], total=rest)
        else:
            counted[id_] = msgspec.structs.replace(whole[other], total=0, filled_days=0)
    await baselines.freeze(conn, one.name, [*whole.items(), *counted.items()], now)
    return Frozen(len(whole), len(before), len(found) - len(whole))


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
    """Return by how much members in some buckets grew, but those who left by the month's end.

    With `is_corrected` the baseline's month is read as it is known now (FOLLOW_CORRECTION).
    Refused are UnknownBaseline, StepsInvalid, and what _rules refuses.
    """
    growth.check_steps(steps)

    async def look(conn: Connection) -> list[GrownMember]:
        one = await baselines.find(conn, name)
        if one is None:
            raise UnknownBaseline
        rules = await _rules(conn, parts, one.programme, month)
        _check_same(one, rules, month)
        there = await facts.load(conn, rules, month, Whom(buckets))
        before = {} if is_corrected else await _frozen(conn, one, buckets, there)
        told = list[GrownMember]()
        for each in there:
            if closed_by(each.closed_on, month.end):
                continue
            base = _base(rules, one.month, each, before.get(each.member_id))
            if is_corrected:
                base = Start(base.measure, base.measure.complete)
            now = _measure(rules, month, each)
            told.append(GrownMember(each.member_id, growth.grown(base, now, steps)))
        return told

    return await database.transact(look)


async def growth_page(
    database: Database,
    parts: Parts,
    name: str,
    month: Month,
    *,
    steps: Sequence[int],
    place: Place,
    limit: int,
    is_corrected: bool = False,
    is_all: bool = False,
) -> Page:
    """Return a page of growth: who can reach a step, or all; it may be short before the end.

    It looks at some thousand members, so that nobody waits for a page of few (as measure_growth).
    """
    first, seen, found = place.bucket, 0, list[GrownMember]()
    while first < BUCKETS and len(found) <= limit and seen < SEEN_MAX:
        end = min(first + await _count(database, first), BUCKETS)
        buckets = (first, end - 1)
        told = await measure_growth(
            database, parts, name, month, steps=steps, buckets=buckets, is_corrected=is_corrected
        )
        seen, first = seen + len(told), end
        found += [
            each
            for each in sorted(told, key=_order)
            if _order(each) > (place.bucket, place.after) and (is_all or each.can_reach(steps))
        ]
    if len(found) > limit:
        last = found[limit - 1].member_id
        return Page(found[:limit], Place(bucket_of(last), last))
    return Page(found, Place(first) if first < BUCKETS else None)


def _order(one: GrownMember) -> tuple[int, UUID]:
    return bucket_of(one.member_id), one.member_id


async def _count(database: Database, bucket: int) -> int:
    """Return how many buckets are looked at together."""
    async with database.transaction() as conn:
        members = await tiers.count_members(conn, (bucket, bucket))
    return min(max(PART // max(members, 1), 1), PART_BUCKETS)


async def _frozen(
    conn: Connection, one: Baseline, buckets: tuple[int, int], there: Sequence[Facts]
) -> dict[UUID, Measure]:
    """Return what is frozen of members, with whoever was merged into them since (T-10)."""
    before = await baselines.frozen(conn, one, buckets)
    along = await merged.along(conn, [each.member_id for each in there if each.has_merged])
    kept = await baselines.frozen_of(conn, one, along) if along else {}
    for id_, other in along.items():
        own, more = before.pop(other, None), kept.get(id_)
        if own is not None and more is not None:
            before[other] = own.plus(more)
    return before


def _check_same(one: Baseline, rules: Rules, month: Month) -> None:
    """Refuse growth over a later month, or over another kind of average (BaselineInvalid)."""
    if month <= one.month:
        raise BaselineInvalid(f"{one.name} is of {one.month}; growth is of a month after that.")
    was, is_ = (rules.at(each).programme.policy.metric for each in (one.month, month))
    if was is not is_:
        raise BaselineInvalid(f"{one.name} is a {was.value}, {month} is decided by {is_.value}.")


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


def _base(rules: Rules, month: Month, one: Facts, frozen: Measure | None) -> Start:
    """Return what a member's growth is over; what is not frozen bounds it by what is known."""
    if frozen is not None:
        return Start(frozen, is_frozen=True)
    if one.opened_on >= month.end:
        return Start(ZERO, is_frozen=True)
    return Start(_measure(rules, month, one), is_frozen=False)
