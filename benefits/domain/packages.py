"""Packages: which units a tier brings in each period, and when a period begins (P-2 to P-5).

A period is of the calendar, or of the member: counted from the day on which the relationship began
(C-6). Its key names it for ever, so that nothing is granted twice for it.
"""

import enum
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.carry import Carry
from benefits.domain.eligibility import Rule
from benefits.domain.labels import LabelAsked, Layer
from benefits.domain.policy import Text
from benefits.domain.recurring import Missing, Recurring, falls_on, next_day, recurring_problems
from benefits.domain.units import Quantity
from benefits.domain.values import (
    Period,
    PeriodKind,
    add_months,
    end_of,
    local_date,
    midnight,
    period_of,
)

VALID_DAYS_MAX = 3660
ROLLING_DAYS_MAX = 366
TIER_PRIORITY, SEGMENT_PRIORITY = 0, 1  # unless a line says otherwise; the lowest comes first
PRIORITY_MAX = 99


def told_priority(cause: str, priority: int) -> dict[str, int]:
    """Return what is told of a lot's priority: nothing where it is that of its cause (L-3)."""
    usual = TIER_PRIORITY if cause == "TIER" else SEGMENT_PRIORITY
    return {} if priority == usual else {"priority": priority}


class LinePeriod(enum.Enum):
    """How often a line brings its quota (P-2)."""

    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"
    ONCE = "ONCE"
    ROLLING = "ROLLING"
    OCCURRENCE = "OCCURRENCE"


class Anchor(enum.Enum):
    """Where periods begin: with the calendar's, or on days counted from the opening (P-2)."""

    CALENDAR = "CALENDAR"
    ANNIVERSARY = "ANNIVERSARY"


class UpgradePolicy(enum.Enum):
    """What a rise inside a benefit period grants (P-4)."""

    TOP_UP = "TOP_UP"
    PRORATE_FLOOR = "PRORATE_FLOOR"
    PRORATE_CEIL = "PRORATE_CEIL"
    FULL = "FULL"
    NEXT_PERIOD = "NEXT_PERIOD"


class Downgrade(enum.Enum):
    """What a fall inside a benefit period does to unused units; held ones are honoured (P-6)."""

    KEEP_UNTIL_EXPIRY = "KEEP_UNTIL_EXPIRY"
    REVOKE_EXCESS = "REVOKE_EXCESS"
    REVOKE_UNCLAIMED = "REVOKE_UNCLAIMED"
    REVOKE_ALL = "REVOKE_ALL"


class Start(enum.Enum):
    """When a period's units come: once the tier for it is decided, or on its first day (P-3)."""

    EVALUATION = "EVALUATION"
    PERIOD = "PERIOD"


class Claiming(enum.Enum):
    """Who claims a line's units: the member, or the service for the member as they come (P-2)."""

    CLAIM = "CLAIM"
    AUTO = "AUTO"


class Segment(LabelAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whoever carries a label of a layer, by the name that members read (P-2, S-2)."""

    name: Text


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A package line: units of one benefit per period, or of one choice, by tier or segment (P-2).

    Tiers have a `quota` each, a segment its `quantity`. A `ROLLING` period has `days`. Units end
    with their period, live `valid_days` of their own, or are carried over (`carry`).
    An `OCCURRENCE` is the day that `on` names in each month; `missing` says what is done without.
    The line with the lowest `priority` comes first where several stack, and is spent first (P-7).
    They are granted to those whom the rule `eligible` lets in (E-1), and claimed as `claim` says.
    What they cost is told of their `cost_centre`, if one is named, or of their budget's (P-7).
    """

    code: str
    benefit: str = ""
    choice: str = ""
    period: LinePeriod
    quota: dict[str, Quantity] = {}
    segment: Segment | None = None
    quantity: Quantity = 0
    anchor: Anchor = Anchor.CALENDAR
    days: Annotated[int, msgspec.Meta(ge=0, le=ROLLING_DAYS_MAX)] = 0
    valid_days: Annotated[int, msgspec.Meta(ge=0, le=VALID_DAYS_MAX)] = 0
    upgrade: UpgradePolicy = UpgradePolicy.TOP_UP
    eligible: Rule | None = None
    start: Start = Start.EVALUATION
    downgrade: Downgrade = Downgrade.KEEP_UNTIL_EXPIRY
    carry: Carry | None = None
    on: Recurring | None = None
    missing: Missing = Missing.SKIP
    priority: Annotated[int, msgspec.Meta(ge=0, le=PRIORITY_MAX)] | None = None
    claim: Claiming = Claiming.CLAIM
    cost_centre: Annotated[str, msgspec.Meta(max_length=64)] = ""

    @property
    def order(self) -> int:
        """Its place among lines of its benefit, the lowest first: tiers, then segments (P-7)."""
        if self.priority is not None:
            return self.priority
        return TIER_PRIORITY if self.segment is None else SEGMENT_PRIORITY

    @property
    def is_members_own(self) -> bool:
        """Whether each member has periods of their own, counted from their opening."""
        return self.anchor is Anchor.ANNIVERSARY

    @property
    def is_dated(self) -> bool:
        """Whether what a rise brings hangs on the first day of the new tier (P-4)."""
        return self.upgrade not in {UpgradePolicy.TOP_UP, UpgradePolicy.FULL}

    @property
    def longest(self) -> timedelta:
        """How long a period lasts at most."""
        days = {LinePeriod.MONTH: 31, LinePeriod.QUARTER: 92, LinePeriod.YEAR: 366}
        return timedelta(days=days.get(self.period, self.days or 1))

    @property
    def most(self) -> Quantity:
        """How many units a period brings at most: `FULL` quotas come on top of each other."""
        each = [*self.quota.values(), self.quantity]
        return sum(each) if self.upgrade is UpgradePolicy.FULL else max(each)


_MONTHS = {LinePeriod.MONTH: 1, LinePeriod.QUARTER: 3, LinePeriod.YEAR: 12}


def period_at(line: Line, day: date, opened_on: date) -> Period | None:
    """Return a line's period in which `day` lies, for whose relationship began then (P-2, C-6).

    Periods of a member's own are none before the opening. `ONCE` has the one key for ever; an
    `OCCURRENCE` lasts a day, and between two there is none (P-10).
    """
    if line.period is LinePeriod.ONCE:
        return Period("once", day, day + timedelta(days=1))
    if line.on is not None:
        is_one = falls_on(line.on, line.missing, day)
        return Period(day.isoformat(), day, day + timedelta(days=1)) if is_one else None
    if not line.is_members_own:
        return period_of(day, PeriodKind[line.period.name])
    if day < opened_on:
        return None
    if line.period is LinePeriod.ROLLING:
        start = day - timedelta(days=(day - opened_on).days % line.days)
        return Period(start.isoformat(), start, start + timedelta(days=line.days))
    step = _MONTHS[line.period]
    count = ((day.year - opened_on.year) * 12 + day.month - opened_on.month) // step * step
    if add_months(opened_on, count) > day:
        count -= step
    start = add_months(opened_on, count)
    return Period(start.isoformat(), start, add_months(opened_on, count + step))


def next_start(line: Line, day: date, opened_on: date) -> date | None:
    """Return when the next period of a line begins after a day; None where there is none yet."""
    if line.on is not None:
        return next_day(line.on, line.missing, day + timedelta(days=1))
    period = period_at(line, day, opened_on)
    return period.end if period else None


def over(line: Line, since: date, day: date, opened_on: date) -> Iterator[Period]:
    """Yield a line's periods that ended by a day, from the one on that another lies in (P-2).

    What comes `ONCE` is never over.
    """
    if line.period is LinePeriod.ONCE:
        return
    first = max(since, opened_on) if line.is_members_own else since
    period = period_at(line, first, opened_on)
    start = period.start if period else next_start(line, first, opened_on)
    while start is not None:
        period = period_at(line, start, opened_on)
        assert period is not None, "it begins there"
        if period.end > day:
            return
        yield period
        start = next_start(line, start, opened_on)


def keys_at(line: Line, day: date) -> Iterator[str]:
    """Yield the keys of what may count for the periods in which `day` lies (`counts_for`)."""
    if not line.is_members_own:
        period = period_at(line, day, day)
        if period is not None:
            yield period.key
        return
    for n in range(1 - 2 * line.longest.days, line.longest.days):
        yield (day + timedelta(days=n)).isoformat()


def counts_for(line: Line, key: str, opened_on: date) -> str:
    """Return the key of the period that a grant counts for, whatever its own key says (P-3).

    They differ where a member's opening was corrected: it is the period whose start is nearest.
    What began more than half a period before the opening counts for none, and keeps its key.
    """
    if not line.is_members_own:
        return key
    try:
        start = date.fromisoformat(key)
    except ValueError:  # of the calendar, before the line was changed
        return key
    period = period_at(line, max(start, opened_on), opened_on)
    assert period is not None, "there is a period from the opening on"
    if 2 * (opened_on - start).days > period.days:
        return key
    if 2 * (start - period.start).days > period.days:
        period = period_at(line, period.end, opened_on)
        assert period is not None, "one follows"
    return period.key


def period_named(line: Line, key: str, day: date, opened_on: date) -> Period | None:
    """Return the period whose key this is, of what was granted on a day; None if it has another.

    What came `ONCE` lasts from the opening on, for ever.
    """
    if line.period is LinePeriod.ONCE:
        return Period(key, opened_on, date.max)
    with suppress(ValueError):  # of the calendar, in which the day lies
        day = date.fromisoformat(key)
    period = period_at(line, max(day, opened_on), opened_on)
    return period if period is not None and period.key == key else None


def ends_at(
    line: Line, period: Period, zone: ZoneInfo, now: datetime, *, opened_on: date
) -> datetime | None:
    """Return when units end that are granted now for a period; None when the period is over.

    What comes `ONCE` is never over, nor a recurring day while its units would live. Units with a
    life of their own are usable through the last of its days after today (P-5, C-4), those that
    are carried over through the last of the line's periods after it.
    """
    over = midnight(period.end, zone)
    if line.on is not None and line.valid_days:
        ends = end_of(period.start + timedelta(days=line.valid_days), zone)
        return ends if ends > now else None
    if over <= now and line.period is not LinePeriod.ONCE:
        return None
    if line.carry is not None:
        return midnight(_following(line, period, line.carry.periods, opened_on).end, zone)
    if not line.valid_days:
        return over
    return end_of(local_date(now, zone) + timedelta(days=line.valid_days), zone)


def _following(line: Line, period: Period, count: int, opened_on: date) -> Period:
    """Return the so-manieth period of a line after another."""
    for _ in range(count):
        after = period_at(line, period.end, opened_on)
        assert after is not None, "one follows"
        period = after
    return period


NEW_DAYS = 35  # until everybody is looked at, whenever the bank tells of a relationship


class Beginning(msgspec.Struct, frozen=True):
    """Whose periods may begin: by the opening's day of the month, or by rolling days in a window.

    And who may have joined a segment, by its label. Without days of the month, everybody. Whoever
    opened in the last `NEW_DAYS` may have become known only now.
    """

    month_days: list[int] | None
    rolling: list[int]
    window: int
    labels: list[str]


def starting(lines: Iterable[Line]) -> list[Line]:
    """Return the lines that bring units on the first day of their period (P-3)."""
    return [line for line in lines if line.start is Start.PERIOD]


def of_tiers(lines: Iterable[Line]) -> list[Line]:
    """Return the lines that a decision on a tier concerns."""
    return [line for line in lines if line.segment is None]


def beginning(lines: Collection[Line], after: date | None, day: date) -> Beginning:
    """Return whose periods of some lines may begin after a day and up to another (P-3).

    Without the former day all that run are meant. On the first of a month everybody is looked at:
    no other day is told by an opening that was corrected, or a rule that lets in whom it did not.
    What comes `ONCE` begins with the relationship.
    """
    if after is None:
        return Beginning(None, [], 0, [])
    if missed(lines, after, day):
        return Beginning(None, [], 0, [])
    own, window = False, [after + timedelta(days=n) for n in range(1, (day - after).days + 1)]
    if any(each.day == 1 for each in window):
        return Beginning(None, [], 0, [])
    for line in lines:
        if line.is_members_own or line.period is LinePeriod.ONCE:
            own = own or line.period not in {LinePeriod.ROLLING, LinePeriod.ONCE}
            continue
        period = period_at(line, day, day)
        if period is not None and period.start > after:
            return Beginning(None, [], 0, [])
    rolling = [line.days for line in lines if line.period is LinePeriod.ROLLING]
    days = {n for each in window for n in _opening_days(each)} if own else set()
    labels = sorted({line.segment.label for line in lines if line.segment})
    return Beginning(sorted(days), rolling, len(window), labels)


def missed(lines: Iterable[Line], after: date | None, day: date) -> list[tuple[date, list[Line]]]:
    """Return the recurring days between two, with the lines whose units live on after them (P-10).

    Whether some still do says `ends_at`.
    """
    living, found = [line for line in lines if line.valid_days], list[tuple[date, list[Line]]]()
    for n in range(1, 0 if after is None else (day - after).days):
        each = day - timedelta(days=n)
        some = [line for line in living if line.on and falls_on(line.on, line.missing, each)]
        if some:
            found.append((each, some))
    return found


def _opening_days(day: date) -> range:
    """Return on which days of a month began what has a month's turn on a day (C-6)."""
    is_last = (day + timedelta(days=1)).day == 1
    return range(day.day, 32 if is_last else day.day + 1)


def line_problems(path: str, line: Line) -> Iterator[str]:
    """Yield what of a line does not go together, by its path."""
    yield from _owner_problems(path, line)
    is_rolling, is_once = line.period is LinePeriod.ROLLING, line.period is LinePeriod.ONCE
    if is_rolling and not line.days:
        yield f"{path}.days: a ROLLING period needs its days"
    if line.days and not is_rolling:
        yield f"{path}.days: only a ROLLING period has days; units live valid_days"
    if is_rolling and not line.is_members_own:
        yield f'{path}.anchor: ROLLING is counted from the opening; write "ANNIVERSARY"'
    if line.is_members_own and line.start is not Start.PERIOD:
        yield f'{path}.start: periods of members\' own begin on any day; write "PERIOD"'
    if is_once and line.is_members_own:
        yield f"{path}.anchor: what comes ONCE has no anniversary"
    if is_once and not line.valid_days:
        yield f"{path}.valid_days: what comes ONCE ends with no period; say how long it lives"
    if is_once and line.upgrade not in {UpgradePolicy.TOP_UP, UpgradePolicy.FULL}:
        yield f"{path}.upgrade: what comes ONCE is TOP_UP or FULL, not {line.upgrade.value}"
    if line.carry is not None and is_once:
        yield f"{path}.carry: what comes ONCE has no next period; say valid_days"
    elif line.carry is not None and line.valid_days:
        yield f"{path}.carry: units live valid_days of their own, or are carried over; say one"
    yield from _occurrence_problems(path, line)


def _occurrence_problems(path: str, line: Line) -> Iterator[str]:
    """Yield what is wrong with a line's recurring day (P-10)."""
    if line.period is not LinePeriod.OCCURRENCE:
        if line.on is not None:
            yield f'{path}.on: stands with period = "OCCURRENCE"'
        if line.missing is not Missing.SKIP:
            yield f"{path}.missing: stands with a recurring day"
        return
    if line.on is None:
        yield f"{path}.on: an OCCURRENCE needs its day, as on = {{ day = 18 }}"
    else:
        yield from recurring_problems(path, line.on, line.missing)
    if line.is_members_own:
        yield f"{path}.anchor: a recurring day is the calendar's"
    if line.start is not Start.PERIOD:
        yield f'{path}.start: units of a day come on it; write "PERIOD"'
    if line.downgrade is not Downgrade.KEEP_UNTIL_EXPIRY:
        yield f"{path}.downgrade: what a day brings is kept until it ends"
    if line.carry is not None:
        yield f"{path}.carry: units of a day are not carried over; say valid_days"


def _owner_problems(path: str, line: Line) -> Iterator[str]:
    """Yield what is wrong with whom a line is of."""
    if line.segment is None:
        if not line.quota:
            yield f"{path}.quota: names no tier; write a quota by tier, or a segment"
        if line.quantity:
            yield f"{path}.quantity: is a segment's; tiers have a quota each"
        return
    if line.quota:
        yield f"{path}.segment: a line is of tiers or of a segment; write two"
    if line.segment.layer is Layer.MODEL:
        yield f"{path}.segment.layer: a MODEL label may rank, never decide; FACT, RULE, LIST may"
    if line.start is not Start.PERIOD:
        yield f'{path}.start: a segment has no decision to wait for; write "PERIOD"'
    if line.upgrade is not UpgradePolicy.TOP_UP:
        yield f"{path}.upgrade: a segment has no tiers to rise in"
    if line.downgrade is not Downgrade.KEEP_UNTIL_EXPIRY:
        yield f"{path}.downgrade: a segment has no tiers to fall in"
