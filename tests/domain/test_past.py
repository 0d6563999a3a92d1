"""Times that are asked about, and what sums of postings tell of lots and balances."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from benefits.domain.past import Bounds, Terms, TimeInvalid, balances_of, lots_of, until

SHANGHAI = ZoneInfo("Asia/Shanghai")
MARCH_ENDS = datetime(2025, 3, 31, 16, 0, tzinfo=UTC)
LOT, OTHER = UUID(int=1), UUID(int=2)
UNIT = "BENEFIT:LOUNGE"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (None, None),
        ("2025-03-31", MARCH_ENDS),
        ("2025-03-31T16:00:00Z", MARCH_ENDS),
        ("2025-04-01T00:00:00+08:00", MARCH_ENDS),
        ("2025-03-31T15:59:59.999999Z", MARCH_ENDS - timedelta(microseconds=1)),
    ],
)
def test_a_day_means_its_end_and_an_instant_itself(text: str | None, at: datetime | None) -> None:
    """Half-open: the day counts whole, the next midnight is its bound (C-4, C-5)."""
    assert at == until(text, SHANGHAI)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-3-31",
        "2025-W26-1",
        "2025-02-30",
        "2025-03-31T16:00",
        "0001-01-01",
        "now",
        "9999-12-31",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """A time without an offset, too: nobody guesses whose clock it is."""
    with pytest.raises(TimeInvalid):
        until(text, SHANGHAI)


def terms(lot_id: UUID, ends: datetime | None) -> Terms:
    """Return the terms of a lot."""
    return Terms(
        lot_id=lot_id,
        unit=UNIT,
        programme="wealth",
        line="lounge",
        period="2025-Q1",
        cause="TIER",
        granted_at=MARCH_ENDS - timedelta(days=30),
        expires_at=ends,
    )


def test_an_ended_lot_has_expired_whatever_was_recorded_and_held_units_stay() -> None:
    """L-5, L-6: the unspent rest ends by time alone; granted is all the figures together (L-4)."""
    sums = {
        (UNIT, LOT, "issued"): -6,
        (UNIT, LOT, "available"): 2,
        (UNIT, LOT, "held"): 1,
        (UNIT, LOT, "redeemed"): 3,
        (UNIT, OTHER, "issued"): -1,
        (UNIT, OTHER, "available"): 1,
        (UNIT, None, "debt"): -4,
        (UNIT, None, "revoked"): 4,
    }
    known = [terms(LOT, MARCH_ENDS), terms(OTHER, None), terms(UUID(int=3), None)]
    just_before = MARCH_ENDS - timedelta(microseconds=1)
    for ends, expected in ((just_before, (2, 0, 3)), (MARCH_ENDS, (0, 2, 1))):
        first, second = lots_of(sums, known, ends)
        assert (expected[0], expected[1], 1, 3) == (
            first.available,
            first.expired,
            first.held,
            first.redeemed,
        )
        for lot in (first, second):
            parts = (lot.available, lot.held, lot.redeemed, lot.expired, lot.revoked, lot.moved)
            assert lot.granted == sum(parts)
        (balance,) = balances_of(sums, [first, second])
        assert (expected[2], 1, 4) == (balance.available, balance.held, balance.owed)


def test_what_was_known_is_told_as_of_then() -> None:
    """Asked without a time, what was known has the same answer later (I11)."""
    known = datetime(2025, 7, 5, tzinfo=UTC)
    later = [Bounds(None, known, known + timedelta(days=days)).ends for days in (0, 1, 300)]
    assert [known] * 3 == later
    assert known == Bounds(None, None, known).ends
