"""Waits by themselves: until when a claim waits, and how many are told to be before it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from benefits.domain import limits, waits
from benefits.domain.ledger import Lot
from benefits.domain.limits import CapWindow, Limit, OnFull, Room, Scope
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.waits import Ahead
from tests.builders import NOON, PROGRAMME, reference_programme

DROP = Limit(code="drop", scope=Scope.PROGRAMME, limit=Decimal(2), window=CapWindow.MONTH)


def room_of(on_full: OnFull, window: CapWindow = CapWindow.MONTH, waiting: int = 0) -> Room:
    """Return the room of a full limit."""
    programme = reference_programme()
    limit = replace(DROP, on_full=on_full, window=window)
    place = limits.place(limit, NOON, NOON.date(), programme=programme.code)
    room = limits.room(limit, place, 2, 2, day=NOON.date(), zone=programme.tz)
    return replace(room, waiting=waiting, kept=waiting and room.most)


def lot(free: int, end: datetime | None) -> Lot:
    """Return a lot with so many units."""
    return Lot(
        lot_id=UUID(int=free),
        unit="VIDEO",
        granted=free,
        remaining=free,
        held=0,
        expires_at=end,
        granted_at=NOON,
    )


def test_a_wait_ends_with_the_first_of_what_it_needs() -> None:
    """K-1: this window or the next one, the benefit, the time that is booked, enough units."""
    july, august = (datetime(2025, month, 31, 16, tzinfo=UTC) for month in (7, 8))
    programme = reference_programme()
    plain = programme.benefits["VIDEO"]

    def end(room: Room, units: datetime | None = None, **more: Any) -> datetime | None:
        at = more.pop("at", None)
        return waits.ends_at(room, (programme, replace(plain, **more)), units, at=at)

    assert july == end(room_of(OnFull.WAITLIST))
    assert august == end(room_of(OnFull.NEXT_WINDOW))
    assert None is end(room_of(OnFull.WAITLIST, CapWindow.LIFETIME))
    last = date(2025, 7, 9)
    assert datetime(2025, 7, 9, 16, tzinfo=UTC) == end(
        room_of(OnFull.NEXT_WINDOW), claim_until=last
    )
    soon = NOON + timedelta(days=2)
    assert soon == end(room_of(OnFull.NEXT_WINDOW), at=soon)
    assert soon == end(room_of(OnFull.NEXT_WINDOW), soon)


def test_units_last_until_too_few_are_left() -> None:
    """Of 2 + 3 + 4 units, the last without an end: five last until the second lot ends."""
    one, two = (NOON + timedelta(days=days) for days in (1, 2))
    lots = [lot(3, two), lot(2, one), lot(4, None), lot(9, NOON)]
    ends = {units: waits.lasting(lots, units, NOON) for units in (4, 5, 7, 8, 9)}
    assert {4: None, 5: two, 7: two, 8: one, 9: one} == ends


@pytest.mark.parametrize(
    ("room", "wanted", "waits_for", "has"),
    [
        (room_of(OnFull.REJECT), 1, False, False),
        (room_of(OnFull.WAITLIST), 2, True, False),
        (room_of(OnFull.WAITLIST), 3, False, False),
        (room_of(OnFull.NEXT_WINDOW), 1, True, False),
        (room_of(OnFull.NEXT_WINDOW, CapWindow.LIFETIME), 1, False, False),
        (replace(room_of(OnFull.WAITLIST), used=0), 1, True, True),
        (replace(room_of(OnFull.WAITLIST, waiting=1), used=0), 1, True, False),
    ],
)
def test_who_may_wait_for_what(room: Room, wanted: int, waits_for: bool, has: bool) -> None:  # noqa: FBT001 - a table of cases
    """K-1, K-8: as the limit says, for what could ever fit in; and nobody before who waits."""
    assert (waits_for, has) == (room.may_wait(wanted), room.has(wanted))


def test_nobody_waits_for_a_members_own_room_on_a_list() -> None:
    """A waiting list is of a room that others have, too."""
    limit = '[[limit]]\ncode = "own"\nscope = "MEMBER"\nlimit = "2"\nwindow = "MONTH"\n'
    with pytest.raises(ProgrammeInvalid, match=r"limit\[0\]\.on_full: nobody else waits"):
        read(f'{PROGRAMME}\n{limit}on_full = "WAITLIST"\n')


def test_how_many_are_before_is_told_coarsely() -> None:
    """K-8: nobody, at most ten, more."""
    told = [waits.ahead(count) for count in (0, 1, 10, 11, 2500)]
    assert [Ahead.NONE, Ahead.FEW, Ahead.FEW, Ahead.MANY, Ahead.MANY] == told
