"""Limits: how much may be taken in a window, by whom, and what money bears it (K-1 to K-8).

A claim takes room in *places*: one counter in one window each. What a claim took of a place is
decided by its units that count, and so is what comes back, to the very place it was taken from
(K-5): a piece counts while any of its units does.
"""

import enum
from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.labels import LabelAsked
from benefits.domain.recurring import Missing, Recurring, latest_day, next_day
from benefits.domain.units import Quantity
from benefits.domain.values import PeriodKind, midnight, period_of

WHENEVER = "all"
TURN = "turn"  # in the window's place
THRESHOLDS = (80, 95, 100)
FEW = 10  # at most a tenth of the whole is few


class CapWindow(enum.Enum):
    """The calendar window that something counts in (K-3); a week begins with its Monday."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"
    LIFETIME = "LIFETIME"


class Cap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `limit` units per member and window (K-1)."""

    limit: Quantity
    window: CapWindow


class Scope(enum.Enum):
    """Who takes from the same room together; they are asked in this order (K-2).

    One member; all customer numbers of one person; those with a label; those of one branch; all
    who claim one benefit, the benefits of one provider, or any benefit that the limit names.
    """

    MEMBER = "MEMBER"
    PERSON = "PERSON"
    SEGMENT = "SEGMENT"
    BRANCH = "BRANCH"
    BENEFIT = "BENEFIT"
    PROVIDER = "PROVIDER"
    PROGRAMME = "PROGRAMME"


class Dimension(enum.Enum):
    """What counts: pieces, or their worst cost."""

    COUNT = "COUNT"
    COST = "COST"


class OnFull(enum.Enum):
    """What becomes of a claim that finds no room: it is refused, or may wait if it asks to (K-1).

    On a WAITLIST for room that comes back before the window ends; else for that and for all of the
    NEXT_WINDOW, too.
    """

    REJECT = "REJECT"
    WAITLIST = "WAITLIST"
    NEXT_WINDOW = "NEXT_WINDOW"


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `limit` pieces, or major units of worst cost, per window for all in scope (K-1).

    The window is of the calendar, the last `days` days (K-7), or from one recurring day, as `on`
    and `missing` name it, to the next (P-10). It concerns the `benefits` named, or all of the
    programme, and with a `segment` only members who carry that label.
    """

    code: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_.-]{1,64}\Z")]
    scope: Scope
    limit: Decimal
    window: CapWindow | None = None
    days: Annotated[int, msgspec.Meta(ge=0, le=3660)] = 0
    dimension: Dimension = Dimension.COUNT
    on_full: OnFull = OnFull.REJECT
    benefits: tuple[str, ...] = ()
    segment: LabelAsked | None = None
    on: Recurring | None = None
    missing: Missing = Missing.SKIP

    @property
    def is_rolling(self) -> bool:
        """Whether its window ends with each claim."""
        return self.days > 0

    def key_at(self, day: date) -> str:
        """Return the key of its window in which a day lies, if it does not roll."""
        if self.on is not None:
            return f"since-{latest_day(self.on, self.missing, day).isoformat()}"
        assert self.window is not None, "it does not roll"
        return window_key(self.window, day)

    def end_at(self, day: date) -> date | None:
        """Return the first day after that window; None where it never ends."""
        if self.on is not None:
            return next_day(self.on, self.missing, day + timedelta(days=1))
        assert self.window is not None, "it does not roll"
        return window_end(self.window, day)

    def concerns(self, benefit: str) -> bool:
        """Say whether claims of a benefit take from it."""
        return not self.benefits or benefit in self.benefits

    def queue(self, place: "Place") -> str:
        """Return the name of the counter of those who wait for a place's room; empty for nobody.

        On a WAITLIST it is of the place's window: who waited for an earlier one keeps nobody back.
        """
        if self.on_full is OnFull.REJECT or not place.is_shared:
            return ""
        name = f"wait:{place.counter}"
        return f"{name}:{place.window}" if self.on_full is OnFull.WAITLIST else name

    def takes_at(self, place: "Place") -> bool:
        """Say whether a place of an earlier claim is still one of its own."""
        mine = (self.code, self.scope, self.dimension)
        same = mine == (place.limit, place.scope, place.dimension)
        return same and place.is_instant == self.is_rolling


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An amount, in major units, that the worst costs of claims are reserved from (K-4).

    What is reserved in it is reserved in its `parent` too. `cost_centre` is whose account the bank
    charges it to: the budget's own code unless named.
    """

    code: str
    total: Decimal
    cost_centre: str = ""
    parent: str = ""

    @property
    def charged_to(self) -> str:
        """The cost centre."""
        return self.cost_centre or self.code


class Counted(msgspec.Struct, frozen=True):
    """What of a claim counts: `units` of it, of which a piece takes `piece` and costs at most."""

    units: int
    piece: int
    piece_cost: int

    def of(self, dimension: Dimension) -> int:
        """Return how many pieces these are, or what they cost at most."""
        pieces = -(-self.units // self.piece)
        return pieces if dimension is Dimension.COUNT else pieces * self.piece_cost


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A limit's counter in one window, in which a claim took room; `of` is whose, if anybody's."""

    programme: str
    limit: str
    scope: Scope
    dimension: Dimension
    window: str
    of: str = ""

    @property
    def counter(self) -> str:
        """The name of the counter: of all that decides what is added up in it."""
        kind = ["limit", self.programme, self.limit, self.scope.value, self.dimension.value]
        rolling = ["ROLLING"] if self.is_instant else []
        return ":".join(kind + rolling + ([self.of] if self.of else []))

    @property
    def is_instant(self) -> bool:
        """Whether its window is the instant of one event, which counts in rolling windows."""
        return "T" in self.window

    @property
    def is_rolling_for_many(self) -> bool:
        """Whether those who share it take from a rolling window."""
        return self.is_shared and self.is_instant

    @property
    def turn(self) -> tuple[str, str]:
        """The row that whoever takes from it locks, of a rolling window of many."""
        return (self.counter, TURN)

    @property
    def is_shared(self) -> bool:
        """Whether customer numbers share it; else it is one member's own."""
        return self.scope is not Scope.MEMBER

    @property
    def is_ones_own(self) -> bool:
        """Whether it is one person's, who may know exactly how much is left."""
        return self.scope in {Scope.MEMBER, Scope.PERSON}


class Left(enum.Enum):
    """How much there is left, as everybody may know (K-8)."""

    PLENTY = "PLENTY"
    FEW = "FEW"
    NONE = "NONE"


def coarse(taken: int, whole: int) -> Left:
    """Return how much is left of what was there in the beginning."""
    if taken >= whole:
        return Left.NONE
    return Left.FEW if (whole - taken) * FEW <= whole else Left.PLENTY


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a place has: at most `most`, of which `used` is taken.

    All of it is free again at `resets_at`; of a rolling window amounts are, one after the other,
    as `frees` says. Of what is free so much is `kept` for those who are `waiting` for it, in its
    `queue`. Who begins to wait does so until `waits_until`; None where the window never ends.
    """

    place: Place
    on_full: OnFull
    most: int
    used: int
    resets_at: datetime | None = None
    frees: tuple[tuple[datetime, int], ...] = ()
    waits_until: datetime | None = None
    queue: str = ""
    waiting: int = 0
    kept: int = 0

    def has(self, wanted: int) -> bool:
        """Say whether so much more fits in, beside what is kept; nothing always does."""
        return not wanted or self.used + self.kept + wanted <= self.most

    def may_wait(self, wanted: int) -> bool:
        """Say whether a claim of so much may wait until it fits in."""
        is_ever = self.on_full is OnFull.WAITLIST or self.waits_until is not None
        return self.on_full is not OnFull.REJECT and is_ever and wanted <= self.most

    def opens(self, wanted: int) -> datetime | None:
        """Return when so much would fit in; None when it never will, or nobody is told."""
        if self.on_full is not OnFull.NEXT_WINDOW or self.waiting or wanted > self.most:
            return None
        left = self.used
        for at, amount in sorted(self.frees):
            left -= amount
            if left + wanted <= self.most:
                return at
        return self.resets_at


def full(rooms: Iterable[Room], counts: Counted) -> list[tuple[Room, int]]:
    """Return the places that have no room for what counts of a claim, and how much that is."""
    asked = ((room, counts.of(room.place.dimension)) for room in rooms)
    return [(room, wanted) for room, wanted in asked if not room.has(wanted)]


def opens(lacking: Iterable[tuple[Room, int]]) -> datetime | None:
    """Return when all of some full places have room; None when one never has, or does not tell."""
    found = list[datetime]()
    for room, wanted in lacking:
        at = room.opens(wanted)
        if at is None:
            return None
        found.append(at)
    return max(found)


def window_key(window: CapWindow, day: date) -> str:
    """Return the key of the window that `day` lies in; it resets at local midnight (K-3)."""
    match window:
        case CapWindow.LIFETIME:
            return WHENEVER
        case CapWindow.DAY:
            return day.isoformat()
        case CapWindow.WEEK:
            year, week, _ = day.isocalendar()
            return f"{year:04d}-W{week:02d}"
        case CapWindow.MONTH | CapWindow.QUARTER | CapWindow.YEAR:
            return period_of(day, PeriodKind[window.name]).key


def window_end(window: CapWindow, day: date) -> date | None:
    """Return the first day after the window that `day` lies in; None where it never ends."""
    match window:
        case CapWindow.LIFETIME:
            return None
        case CapWindow.DAY:
            return day + timedelta(days=1)
        case CapWindow.WEEK:
            return day + timedelta(days=7 - day.weekday())
        case CapWindow.MONTH | CapWindow.QUARTER | CapWindow.YEAR:
            return period_of(day, PeriodKind[window.name]).end


def instant_key(at: datetime) -> str:
    """Return the key of an event in a rolling window: its instant, in an order of texts (K-7)."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def place(limit: Limit, now: datetime, day: date, *, programme: str, of: str = "") -> Place:
    """Return where a claim made `now`, on the local `day`, takes room of a programme's limit."""
    return Place(
        programme=programme,
        limit=limit.code,
        scope=limit.scope,
        dimension=limit.dimension,
        window=instant_key(now) if limit.is_rolling else limit.key_at(day),
        of=of,
    )


def since(limit: Limit, now: datetime) -> datetime:
    """Return after which instant events count in a rolling window at `now`: (t - W, t] (K-7)."""
    return now - timedelta(days=limit.days)


def since_key(limit: Limit, now: datetime) -> str:
    """Return the key of that instant."""
    return instant_key(since(limit, now))


def room(limit: Limit, place: Place, most: int, used: int, *, day: date, zone: ZoneInfo) -> Room:
    """Return what there is of a place in a window that does not roll."""
    end = last = limit.end_at(day)
    if end is not None and limit.on_full is OnFull.NEXT_WINDOW:
        last = limit.end_at(end)
    return Room(
        place=place,
        on_full=limit.on_full,
        most=most,
        used=used,
        resets_at=None if end is None else midnight(end, zone),
        waits_until=None if last is None else midnight(last, zone),
        queue=limit.queue(place),
    )


def rolling_room(limit: Limit, place: Place, most: int, events: Iterable[tuple[str, int]]) -> Room:
    """Return what there is of a place in a rolling window, of the events that count in it."""
    frees = tuple(
        (datetime.fromisoformat(key) + timedelta(days=limit.days), amount)
        for key, amount in events
    )
    return Room(
        place=place,
        on_full=limit.on_full,
        most=most,
        used=sum(amount for _, amount in frees),
        frees=frees,
        waits_until=datetime.fromisoformat(place.window) + timedelta(days=2 * limit.days),
    )


def room_of_many(limit: Limit, place: Place, most: int, used: int) -> Room:
    """Return what there is of a place in a rolling window of many, for which nobody waits."""
    return Room(place=place, on_full=limit.on_full, most=most, used=used)


def fits(events: Iterable[tuple[str, int]], at: str, wanted: int, *, most: int, days: int) -> bool:
    """Say whether an event that was taken back fits in again, in every window over it (K-7)."""
    span, then = timedelta(days=days), datetime.fromisoformat(at)
    told = sorted((datetime.fromisoformat(key), amount) for key, amount in events)
    instants = [t for t, _ in told]
    sums = [0, *accumulate(amount for _, amount in told)]
    ends = {then, *(t for t in instants if then <= t < then + span)}
    return all(
        wanted + sums[bisect_right(instants, end)] - sums[bisect_right(instants, end - span)]
        <= most
        for end in ends
    )


def passed(taken: int, total: int, told: int) -> tuple[int, ...]:
    """Return which thresholds, in percent, a budget has come to above what was told (K-4)."""
    if total <= 0:
        return ()
    return tuple(p for p in THRESHOLDS if p > told and taken * 100 >= p * total)
