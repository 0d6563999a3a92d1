"""Keep what is carried over within a line's cap, right after what was granted (P-5)."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

import msgspec

from benefits.domain import ledger, packages, units
from benefits.domain.carry import beyond
from benefits.domain.ledger import Lot
from benefits.domain.packages import Line
from benefits.domain.programme import Item
from benefits.store import line_lots
from benefits.store.db import Connection
from benefits.store.ledger import Journal
from benefits.store.line_lots import LineKey


class Topped(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a line brought units in a period, some of them in a new lot or all in earlier ones."""

    member_id: UUID
    programme: str
    line: Line
    item: Item
    period: str
    opened_on: date
    lot_id: UUID | None

    @property
    def key(self) -> LineKey:
        """Where the line's lots are found."""
        return LineKey(self.member_id, self.programme, self.line.code)


async def cut(conn: Connection, journal: Journal, topped: Sequence[Topped]) -> None:
    """Let carried units beyond the caps of lines end, of members who are locked (P-5)."""
    some = [one for one in topped if one.line.carry is not None]
    if not some:
        return
    now = min(journal.now_for(one.member_id) for one in some)
    found = await line_lots.usable(conn, [one.key for one in some], now)
    fresh = [each for each in found if each.lot.lot_id not in journal.lots]
    journal.load((each.member_id, each.lot) for each in fresh)
    of_line = dict[tuple[UUID, str], list[tuple[UUID, str]]]()
    for each in found:
        of_line.setdefault((each.member_id, each.line), []).append((each.lot.lot_id, each.period))
    for one in some:
        _cut(journal, one, of_line.get((one.member_id, one.line.code), []))


def _cut(journal: Journal, one: Topped, held: Sequence[tuple[UUID, str]]) -> None:
    """Post and tell what of a line's lots, given with their periods, is beyond its cap."""
    assert one.line.carry is not None, "only such lines are looked at"
    carry, scale = one.line.carry, one.item.scale
    lots: list[tuple[str, Lot]] = [
        (packages.counts_for(one.line, period, one.opened_on), journal.lots[lot_id])
        for lot_id, period in held
    ]
    if one.lot_id is not None:
        lots.append((one.period, journal.lots[one.lot_id]))
    cap, now = units.steps(carry.cap, scale), journal.now_for(one.member_id)
    for part in beyond(cap, lots, period=one.period, now=now):
        unit = journal.lots[part.lot_id].unit  # the line's, or of a benefit chosen for it
        journal.post(
            one.member_id,
            "entitlement.expired",
            ledger.cut(unit, [part]),
            actor="system:carry-over",
            subject_id=part.lot_id,
            data={
                "unit": unit,
                "quantity": units.whole(part.amount, scale),
                "cap": units.whole(cap, scale),
            },
        )
