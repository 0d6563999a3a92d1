"""What versions that are to begin change for one member, in words for them (U-1, U-2).

It is read from the very comparison by which a version is judged worse (`terms`), and only what
concerns the member is told: what they have or are brought, the tier they keep, and the next one.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from functools import lru_cache
from itertools import chain

import msgspec
from msgspec.structs import replace

from benefits.domain import units
from benefits.domain.benefit import Benefit
from benefits.domain.catalogue import Catalogue, Plan
from benefits.domain.dates import chinese_date, english_date
from benefits.domain.explanation import money
from benefits.domain.packages import Line, LinePeriod
from benefits.domain.policy import Text
from benefits.domain.programme import Item, Programme
from benefits.domain.stacking import Share, Stacking, allot
from benefits.domain.terms import Change, changes, parts_of
from benefits.domain.units import Quantity
from benefits.domain.values import EPOCH, Month, local_date


class What(enum.Enum):
    """What changes: a benefit ends, begins, brings or takes other units, or has other rules."""

    ENDS = "ENDS"
    BEGINS = "BEGINS"
    UNITS = "UNITS"
    TAKES = "TAKES"
    LAST_DAY = "LAST_DAY"
    RULES = "RULES"
    THRESHOLD = "THRESHOLD"
    TIERS = "TIERS"


class Coming(msgspec.Struct, frozen=True, kw_only=True):
    """One change, from a day on: `code` is a benefit's, a choice's or a tier's; or there is none.

    It `is_worse` where members have to be told of it.
    """

    programme: str
    begins_on: date
    what: What
    code: str
    is_worse: bool
    words: Text


class Whom(msgspec.Struct, frozen=True, kw_only=True):
    """Whom changes may concern: ranks by programme, carried labels, and the units they have."""

    ranks: Mapping[str, int]
    labels: AbstractSet[str]
    units: AbstractSet[str]


NOBODY = Whom(ranks={}, labels=frozenset(), units=frozenset())
Found = Sequence[tuple[list[str], Change]]
Often = tuple[LinePeriod, int]
_OFTEN: dict[LinePeriod, tuple[str, str]] = {
    LinePeriod.MONTH: ("每月", "a month"),
    LinePeriod.QUARTER: ("每季度", "a quarter"),
    LinePeriod.YEAR: ("每年", "a year"),
    LinePeriod.ONCE: ("一次性", "once"),
    LinePeriod.ROLLING: ("每{days}天", "every {days} days"),
    LinePeriod.OCCURRENCE: ("每个活动日", "on each of its days"),
}


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    """One version after another, as it concerns somebody: the changes with their paths' parts.

    Its tiers decide months from `judges` on, if any. The `items` are the benefits and choices that
    changes may be told of, each as it was and as it will be.
    """

    before: Programme
    after: Programme
    begins: date
    judges: Month | None
    found: Found
    items: Sequence[tuple[Item, Item]]
    whom: Whom = NOBODY

    def touching(self, *places: tuple[str, str]) -> Found:
        """Return the changes of things by their lists and codes."""
        return [one for one in self.found if tuple(one[0][:2]) in places]

    def lines(self, programme: Programme, item: Item) -> list[Line]:
        """Return the lines that bring the member units of a benefit or a choice, first first."""
        mine = [
            line
            for line in programme.line
            if programme.brought(line).unit == item.unit and self._quantity(programme, line)
        ]
        return sorted(mine, key=lambda line: line.order)

    def brings(self, programme: Programme, item: Item) -> dict[Often, Quantity]:
        """Return how many units the member's lines bring together, by their periods (P-7)."""
        scale, found = programme.scale(item), dict[Often, list[Share]]()
        for line in self.lines(programme, item):
            quota = units.steps(self._quantity(programme, line), scale)
            found.setdefault((line.period, line.days), []).append(Share(quota, 0))
        stacking = item.stacking if isinstance(item, Benefit) else Stacking()
        cap = None if stacking.cap is None else units.steps(stacking.cap, scale)
        return {
            often: units.plain(programme.whole(item, sum(allot(stacking.by, some, 0, cap=cap))))
            for often, some in found.items()
        }

    def _quantity(self, programme: Programme, line: Line) -> Quantity:
        """Return what a line brings by the member's tier, or as one of a segment."""
        if line.segment is not None:
            return line.quantity if line.segment.key in self.whom.labels else 0
        return line.quota.get(programme.tier[self.whom.ranks[programme.code]].code, 0)

    def coming(self, what: What, item: str, some: Found, *, zh: str, en: str) -> Coming:
        """Say what changes of a thing."""
        return Coming(
            programme=self.after.code,
            begins_on=self.begins,
            what=what,
            code=item,
            is_worse=any(change.is_worse for _, change in some),
            words={"zh": zh, "en": en},
        )


def coming(plan: Plan, now: datetime, whom: Whom) -> list[Coming]:
    """Return what changes for somebody by all versions to come, in their order."""
    found = list[Coming]()
    for start, step in _steps(plan):
        if start > now and step.after.code in whom.ranks:
            mine = replace(step, whom=whom)
            found += chain(_items(mine), _tiers(mine))
    return found


@lru_cache(maxsize=2)  # each member's page asks for it, and to compare takes milliseconds
def _steps(plan: Plan) -> list[tuple[datetime, _Step]]:
    """Return what changes for anybody by the versions of a plan, and from when on."""
    return [
        (start, _step(start, after, code, was))
        for start, before, after in plan.ahead(EPOCH)
        for code, was in before.programmes.items()
        if after.programmes[code] is not was
    ]


def _step(start: datetime, catalogue: Catalogue, code: str, before: Programme) -> _Step:
    after = catalogue.programmes[code]
    found = [(parts_of(each.path), each) for each in changes(before, after)]
    return _Step(
        before=before,
        after=after,
        begins=local_date(start, after.tz),
        judges=_judges(catalogue, code),
        found=found,
        items=list(_touched(before, after, found)),
    )


def _touched(before: Programme, after: Programme, found: Found) -> Iterator[tuple[Item, Item]]:
    """Yield benefits and choices of which something changes, or of what brings or limits them."""
    known: dict[str, Item] = {**before.benefits, **before.choices}
    places = {tuple(parts[:2]) for parts, _ in found}
    items: list[Item] = [*after.benefit, *after.choice]
    for item in items:
        was = known.get(item.code, item)
        lines = (
            ("line", line.code)
            for programme, one in ((before, was), (after, item))
            for line in programme.line
            if programme.brought(line).unit == one.unit
        )
        own = _own(before, after, item)
        if not places.isdisjoint(chain(own, lines)):
            yield was, item


def _judges(catalogue: Catalogue, code: str) -> Month | None:
    """Return the first month whose tiers the version in force decides; None if none."""
    version = catalogue.programme_versions[code]
    judges = catalogue.rules[code].judges
    return next((each.tiers_from for each in judges if each.version == version), None)


def _items(step: _Step) -> Iterator[Coming]:
    """Yield what changes of benefits and choices."""
    for was, item in step.items:
        lines = [*step.lines(step.before, was), *step.lines(step.after, item)]
        if not lines and item.unit not in step.whom.units:
            continue
        by = step.touching(*(("line", line.code) for line in lines))
        own = step.touching(*_own(step.before, step.after, item))
        told = [*_units(step, was, item, by)]
        if isinstance(item, Benefit) and isinstance(was, Benefit):
            told += _claims(step, was, item, own)
        yield from told
        if not told and any(change.is_worse for _, change in [*by, *own]):
            yield step.coming(
                *(What.RULES, item.code, [*by, *own]),
                zh=f"{item.name['zh']}的使用规则有调整。",
                en=f"{item.name['en']}: its rules change.",
            )


def _own(before: Programme, after: Programme, item: Item) -> list[tuple[str, str]]:
    """Return where a benefit or a choice stands, and the limits it meets before or after."""
    limits = (*before.limits.get(item.code, ()), *after.limits.get(item.code, ()))
    places = [("limit", limit.code) for limit in limits]
    return [("benefit", item.code), ("choice", item.code), *places]


def _units(step: _Step, was: Item, item: Item, by: Found) -> Iterator[Coming]:
    """Yield that something ends, begins, or comes with more or fewer units."""
    old, new = step.brings(step.before, was), step.brings(step.after, item)
    zh, en = item.name["zh"], item.name["en"]
    if old and not new:
        yield step.coming(
            *(What.ENDS, item.code, by),
            zh=f"{zh}不再发放；已有份数在有效期内继续保留。",
            en=f"{en}: no more units come. What you have stays yours while it is valid.",
        )
        return
    for often in dict.fromkeys([*old, *new]):
        period, days = often
        chinese, english = (words.format(days=days) for words in _OFTEN[period])
        before, after = old.get(often, 0), new.get(often, 0)
        if not old:
            yield step.coming(
                *(What.BEGINS, item.code, by),
                zh=f"新增{zh}，{chinese}{after}份。",
                en=f"{en} is new for you: {after} {english}.",
            )
        elif before != after:
            yield step.coming(
                *(What.UNITS, item.code, by),
                zh=f"{zh}{chinese}{after}份，原为{before}份。",
                en=f"{en}: {after} {english} instead of {before}.",
            )


def _claims(step: _Step, was: Benefit, item: Benefit, own: Found) -> Iterator[Coming]:
    """Yield that a piece takes other units, or can be claimed until another day."""
    zh, en = item.name["zh"], item.name["en"]
    old, new = units.plain(was.takes), units.plain(item.takes)
    if old != new:
        yield step.coming(
            *(What.TAKES, item.code, own),
            zh=f"{zh}每次使用{new}份，原为{old}份。",
            en=f"{en}: each takes {new} of your units instead of {old}.",
        )
    last = _last_day(step.after, item)
    if last is not None and last != _last_day(step.before, was):
        yield step.coming(
            *(What.LAST_DAY, item.code, own),
            zh=f"{zh}可领取至{chinese_date(last)}（含当日）。",
            en=f"{en} can be claimed through {english_date(last)}.",
        )


def _last_day(programme: Programme, benefit: Benefit) -> date | None:
    """Return until when a benefit can be claimed, also by what replaces it (V-6)."""
    last = programme.succession(benefit)[-1]
    ends = [last.last_claim, last.window_ends]
    return min((end for end in ends if end is not None), default=None)


def _tiers(step: _Step) -> Iterator[Coming]:
    """Yield another threshold of the tier that is kept or the next one, or other rules."""
    if step.judges is None:
        return
    step = replace(step, begins=step.judges.start)
    rank, other = step.whom.ranks[step.after.code], list[tuple[list[str], Change]]()
    for tier in step.before.tier[rank : rank + 2]:
        some = step.touching(("tier", tier.code))
        new = next(one for one in step.after.tier if one.code == tier.code)
        told = [one for one in some if one[0][2:] == ["threshold"]]
        other += [one for one in some if one not in told]
        amounts = [
            money(step.after.minor(one.threshold), step.after.minor_digits)
            for one in (tier, new)
            if told and one.threshold is not None
        ]
        if len(amounts) == 2:
            yield step.coming(
                *(What.THRESHOLD, tier.code, told),
                zh=f"{tier.name['zh']}门槛为{amounts[1]}，原为{amounts[0]}。",
                en=f"{tier.name['en']} needs {amounts[1]} instead of {amounts[0]}.",
            )
        else:
            other += told
    other += [one for one in step.found if one[0][0] == "policy"]
    if any(change.is_worse for _, change in other):
        yield step.coming(
            *(What.TIERS, "", other),
            zh="等级评定规则有调整。",
            en="Tiers are decided by other rules.",
        )
