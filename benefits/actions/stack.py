"""Settle what lines of one benefit that stack bring together, and what stays of them (P-7, P-6).

Here is what is due of each line, and what was brought before. What a line alone would bring says
`top_up`, and asks here where others bring the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from benefits.actions.follow_quota import Falling, Place
from benefits.actions.new_lots import GrantFor
from benefits.domain import entitlement, units
from benefits.domain.benefit import Benefit
from benefits.domain.downgrades import Change, given_back, is_forfeit
from benefits.domain.entitlement import Granted, net_of
from benefits.domain.ledger import Part
from benefits.domain.packages import Downgrade, Line
from benefits.domain.programme import Item, Programme
from benefits.domain.stacking import Allotted, Fall, Share, StackBy, Stacking, settle
from benefits.store.quota_changes import Changes
from benefits.store.tiers import Grants


class Stacks(msgspec.Struct, frozen=True, kw_only=True):
    """What a line brought in a period, and what all lines of its benefit did, net (P-7).

    Both are without what is free of lines that fall; `fall` tells it of this one. What a fall took
    of a line that is forfeit does not come before a rise (P-6).
    """

    earlier: Sequence[Granted]
    changes: Sequence[Change]
    net: int
    standing: int
    fall: Fall | None = None
    is_forfeit: bool = False
    lets_in: bool = True


class Due(msgspec.Struct, frozen=True):
    """Units that a member's tier or segment brings by a line, not granted yet, in steps."""

    member_id: UUID
    tier: str
    line: Line
    item: Item
    for_: GrantFor
    quantity: int
    expires_at: datetime
    opened_on: date
    back: Sequence[Part] = ()
    stacks: Stacks | None = None
    stays: int = 0

    @property
    def place(self) -> Place:
        """Where what the line brought the member in the period is counted."""
        return (self.member_id, self.line.code, self.for_.period)

    @property
    def stack(self) -> tuple[UUID, str, str]:
        """What it counts together with: the member, what the line brings, and the period."""
        return (self.member_id, self.item.code, self.for_.period)

    @property
    def whole(self) -> int:
        """How many steps the member has more by it, new ones and those that come back."""
        return self.quantity + sum(part.amount for part in self.back)


class Brought(msgspec.Struct, frozen=True):
    """What members were granted by lines in the periods of a day.

    When they joined, and the labels they carry on the day, are read only where a line asks for it;
    which lines that are `gone` brought a member of a unit in a period, where lines stack, and
    which of those that do fall now.
    """

    lines: Sequence[Line]
    day: date
    grants: Grants
    changes: Changes
    opened: dict[UUID, date]
    carried: dict[UUID, set[str]]
    gone: dict[Place, set[str]]
    falling: Mapping[Place, Falling] = {}


def stacking_of(item: Item) -> Stacking:
    """Return how lines of an item stack; those of a choice do not."""
    return item.stacking if isinstance(item, Benefit) else Stacking()


def stacks_of(
    programme: Programme,
    line: Line,
    quota: int,
    *,
    place: Place,
    before: Brought,
    counted: tuple[Grants, Changes],
    now: datetime,
) -> Stacks | None:
    """Return what is known of a line that stacks with others; None of one that does not.

    `counted` is what was granted, and what went and came back, by the periods it counts for. What
    lines of the benefit brought that are gone counts along.
    """
    granted, changed = counted
    item = programme.brought(line)
    if stacking_of(item).is_plain:
        return None
    member_id, _, period = place
    gone = before.gone.get((member_id, item.unit, period), ())
    codes = {*gone, *(one.code for one in programme.line if one.benefit == item.code)}
    falls, nets = dict[str, Fall](), dict[str, int]()
    for code in codes:
        one = (member_id, code, period)
        nets[code] = net_of(granted.get(one, []), changed.get(one, []))
        if one in before.falling:
            falls[code] = before.falling[one].fall(now)
            nets[code] -= falls[code].free
    fall, changes = falls.get(line.code), changed.get(place, [])
    fall = fall if fall and fall.free else None
    keeps = line.downgrade is Downgrade.REVOKE_EXCESS
    return Stacks(
        earlier=granted.get(place, []),
        changes=changes,
        net=nets[line.code],
        standing=sum(nets.values()),
        fall=fall if keeps else None,
        is_forfeit=is_forfeit(line, quota, changes) or (fall is not None and not keeps),
    )


def matters(due: Due) -> bool:
    """Say whether it makes a difference if a line lets its member in: the first hides others."""
    if due.stacks is None:
        return bool(due.whole)
    is_first = stacking_of(due.item).by is StackBy.PRIORITY
    return is_first or due.stacks.net < due.for_.quota or bool(due.whole)


def stacked(dues: Iterable[Due], now: datetime) -> list[Due]:
    """Return what is due of lines that let their members in, as their benefits stack (P-7).

    What was granted for a quota before, or for a higher one, is not granted again; what falls took
    of who was merged is.
    """
    found, stacks = list[Due](), dict[tuple[UUID, str], list[tuple[Due, Stacks]]]()
    for due in dues:
        if due.stacks is None:
            found.append(due)
        elif not due.stacks.is_forfeit:
            key = (due.member_id, due.item.code)
            stacks.setdefault(key, []).append((due, due.stacks))
    for some in stacks.values():
        some.sort(key=lambda each: each[0].line.order)
        first, one = some[0]
        stacking = stacking_of(first.item)
        cap = None if stacking.cap is None else units.steps(stacking.cap, first.item.scale)
        shares = [Share(due.for_.quota, of.net, of.fall, of.lets_in) for due, of in some]
        settled = settle(stacking.by, shares, one.standing, cap=cap)
        for (due, of), each in zip(some, settled, strict=True):
            found.append(_of_stack(due, of, each, now))
    return found


def _of_stack(due: Due, of: Stacks, allotted: Allotted, now: datetime) -> Due:
    """Return what a line brings beside those it stacks with, and what stays of it at a fall."""
    more = allotted.more
    quota = of.net + allotted.stays + more
    back = given_back(of.changes, more, now)
    rest = more - sum(part.amount for part in back)
    return replace(
        due,
        for_=replace(due.for_, quota=quota),
        quantity=entitlement.anew(quota, rest, of.earlier, of.changes),
        back=back,
        stays=allotted.stays,
    )
