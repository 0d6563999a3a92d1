"""Let a line's units follow a tier that falls, and one that rises again (P-6).

Each lot has a batch and an event of its own, and a row that says what it was for: a rise gives
back first what a fall took, to the lots it came from.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from benefits.actions.new_lots import named
from benefits.domain import ledger, packages, units
from benefits.domain.benefit import UNITS
from benefits.domain.downgrades import spent_of, taken_back
from benefits.domain.ledger import Lot, Part
from benefits.domain.packages import Downgrade, Line
from benefits.domain.programme import Item, Programme
from benefits.domain.stacking import Fall
from benefits.domain.values import BUCKETS, Period, local_date
from benefits.store import line_lots, merged, tiers
from benefits.store.db import Connection
from benefits.store.facts import Whom
from benefits.store.ledger import Journal
from benefits.store.line_lots import LineLot
from benefits.store.quota_changes import ChangeRow

Place = tuple[UUID, str, str]  # a member, a line, a period
REDUCED, RESTORED = "entitlement.reduced", "entitlement.restored"


class Falls(msgspec.Struct, frozen=True):
    """Members whose tier falls, with the ranks before and after, as of a day."""

    day: date
    ranks: Mapping[UUID, tuple[int, int]]


class For(msgspec.Struct, frozen=True):
    """What units go or come back for: a line's period, and the quota of the new tier."""

    programme: str
    line: str
    period: str
    quota: int


def give_again(
    journal: Journal, member_id: UUID, item: Item, *, for_: For, parts: Sequence[Part]
) -> list[ChangeRow]:
    """Give units back to loaded lots; return what is to be written down of it."""
    return [
        _record(journal, member_id, item, for_=for_, part=part, kind=RESTORED) for part in parts
    ]


class Falling(msgspec.Struct, frozen=True, kw_only=True):
    """A line that brings a member less after a fall, and its lots with the periods they count for.

    Those of who was merged into the member count by what is used or held of them.
    """

    member_id: UUID
    line: Line
    item: Item
    quota: int
    period: str
    lots: Sequence[tuple[str, Lot]]
    own_periods: Mapping[UUID, str]

    @property
    def place(self) -> Place:
        """Where what the line brought the member in the period is counted."""
        return (self.member_id, self.line.code, self.period)

    def fall(self, now: datetime) -> Fall:
        """Return what is free of the period's units, and what is used or held."""
        current = [lot for key, lot in self.lots if key == self.period]
        return Fall(
            sum(lot.available(now) for lot in current),
            sum(lot.redeemed + lot.held for lot in current),
        )


async def falling(
    conn: Connection, journal: Journal, programme: Programme, falls: Falls, *, now: datetime
) -> list[Falling]:
    """Load the lots of lines that take something of members whose tier falls, who are locked."""
    lines = [line for line in programme.line if line.downgrade is not Downgrade.KEEP_UNTIL_EXPIRY]
    if not (lines and falls.ranks):
        return []
    ids = sorted(falls.ranks)
    into = await merged.along(conn, ids)
    found = await line_lots.of_tiers(
        conn,
        [*ids, *into],
        programme.code,
        [line.code for line in lines],
        periods=sorted({key for line in lines for key in packages.keys_at(line, falls.day)}),
        now=now,
    )
    journal.load((one.member_id, one.lot) for one in found if one.member_id not in into)
    opened = await tiers.opened(conn, Whom((0, BUCKETS - 1), ids))
    of_line = dict[tuple[UUID, str], list[LineLot]]()
    for one in found:
        of_line.setdefault((into.get(one.member_id, one.member_id), one.line), []).append(one)
    some = list[Falling]()
    for member_id in ids:
        for line in lines:
            before, after = (_quota(programme, line, rank) for rank in falls.ranks[member_id])
            period = packages.period_at(line, falls.day, opened[member_id])
            if after >= before or period is None:
                continue
            every = of_line.get((member_id, line.code), [])
            lots = [
                (
                    packages.counts_for(line, one.period, opened[member_id]),
                    one.lot if one.member_id == member_id else spent_of(one.lot),
                )
                for one in every
            ]
            some.append(
                Falling(
                    member_id=member_id,
                    line=line,
                    item=programme.brought(line),
                    quota=after,
                    period=period.key,
                    lots=lots,
                    own_periods={one.lot.lot_id: one.period for one in every},
                )
            )
    return some


def take_back(
    journal: Journal,
    programme: str,
    some: Iterable[Falling],
    stays: Mapping[Place, int],
    *,
    now: datetime,
) -> list[ChangeRow]:
    """Take what lines' policies take at a fall, but for what stays of those that stack (P-6)."""
    made = list[ChangeRow]()
    for one in some:
        parts = taken_back(
            one.line,
            one.quota,
            one.lots,
            period=one.period,
            now=now,
            stays=stays.get(one.place),
        )
        for part in parts:
            for_ = For(programme, one.line.code, one.own_periods[part.lot_id], one.quota)
            made.append(
                _record(journal, one.member_id, one.item, for_=for_, part=part, kind=REDUCED)
            )
    return made


async def take_wrong(
    conn: Connection,
    journal: Journal,
    programme: Programme,
    member_id: UUID,
    *,
    right: Callable[[Line, Period], int | None],
) -> list[ChangeRow]:
    """Take unclaimed units that rest on a wrong tier of a member who is locked (A-7).

    A period of a line keeps as much as is `right`, whatever its policy; None is all of it. What
    was used or is held stays. Of lots in the journal, as it has left them.
    """
    lines = {line.code: line for line in packages.of_tiers(programme.line)}
    ids = [member_id, *await merged.along(conn, [member_id])]
    where, now = (conn, ids, programme.code, sorted(lines)), journal.now
    lasting = await line_lots.of_tiers(*where, periods=[], now=now)
    keys = sorted({one.period for one in lasting})
    found = await line_lots.of_tiers(*where, periods=keys, now=now)
    own = [(one.member_id, one.lot) for one in found if one.member_id == member_id]
    journal.load(pair for pair in own if pair[1].lot_id not in journal.lots)
    opened_on = (await tiers.opened(conn, Whom((0, BUCKETS - 1), [member_id])))[member_id]
    of_period = dict[tuple[str, str], list[LineLot]]()
    for one in found:
        key = packages.counts_for(lines[one.line], one.period, opened_on)
        of_period.setdefault((one.line, key), []).append(one)
    made = list[ChangeRow]()
    for (code, key), some in sorted(of_period.items()):
        line = replace(lines[code], downgrade=Downgrade.REVOKE_EXCESS)
        day = local_date(min(one.lot.granted_at for one in some), programme.tz)
        period = packages.period_named(line, key, day, opened_on)
        quota = right(line, period) if period is not None else None
        if quota is None:
            continue
        lots = [
            (
                key,
                journal.lots[one.lot.lot_id] if one.member_id == member_id else spent_of(one.lot),
            )
            for one in some
        ]
        periods = {one.lot.lot_id: one.period for one in some}
        for part in taken_back(line, quota, lots, period=key, now=now):
            for_ = For(programme.code, code, periods[part.lot_id], quota)
            item = programme.brought(line)
            made.append(_record(journal, member_id, item, for_=for_, part=part, kind=REDUCED))
    return made


def _record(
    journal: Journal, member_id: UUID, item: Item, *, for_: For, part: Part, kind: str
) -> ChangeRow:
    """Post what goes from a lot or comes back to it, and tell of it.

    The lot is of what the line brings, or of a benefit that was chosen for it.
    """
    unit = journal.lots[part.lot_id].unit
    goes, at = kind == REDUCED, journal.now_for(member_id)
    move = ledger.revoke if goes else ledger.give_again
    batch_id = journal.post(
        member_id,
        kind,
        move(unit, [part]),
        actor="system:follow-quota",
        subject_id=part.lot_id,
        data={
            **(named(item) if unit == item.unit else {"benefit": unit.removeprefix(UNITS)}),
            "quantity": units.whole(part.amount, item.scale),
            "period": for_.period,
            "programme": for_.programme,
            "line": for_.line,
            "quota": units.whole(for_.quota, item.scale),
        },
    )
    return ChangeRow(
        member_id=member_id,
        programme=for_.programme,
        line=for_.line,
        period=for_.period,
        batch_id=batch_id,
        lot_id=part.lot_id,
        taken=part.amount if goes else -part.amount,
        quota=for_.quota,
        changed_at=at,
    )


def _quota(programme: Programme, line: Line, rank: int) -> int:
    quota = line.quota.get(programme.tier[rank].code)
    return units.steps(quota, programme.brought(line).scale) if quota else 0
