"""Until when what was claimed can be used, to the instant (P-9)."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.use import ClaimWindow, Length, Use, use_until
from benefits.domain.values import end_of, local_date

SHANGHAI = ZoneInfo("Asia/Shanghai")
ZONES = [SHANGHAI, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")]
CLAIMED = datetime(2025, 3, 31, 15, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("length", "until"),
    [
        (Length.WHOLE_DAYS, datetime(2025, 5, 1, tzinfo=SHANGHAI)),
        (Length.EXACT_DURATION, datetime(2025, 4, 30, 15, tzinfo=SHANGHAI)),
    ],
)
def test_g_win_1_a_voucher_of_30_days(length: Length, until: datetime) -> None:
    """G-WIN-1: claimed on 31 March at 15:00, it is good through 30 April, or until 15:00."""
    assert until == use_until(Use(days=30, length=length), CLAIMED, None, SHANGHAI)


@pytest.mark.parametrize(
    ("contract_end", "hard_end", "until"),
    [
        (date(2025, 4, 10), None, datetime(2025, 4, 11, tzinfo=SHANGHAI)),
        (None, date(2025, 4, 10), datetime(2025, 4, 11, tzinfo=SHANGHAI)),
        (date(2025, 4, 12), date(2025, 4, 10), datetime(2025, 4, 11, tzinfo=SHANGHAI)),
        (date(2025, 5, 12), date(2025, 6, 10), datetime(2025, 5, 1, tzinfo=SHANGHAI)),
    ],
)
def test_what_ends_first_counts(
    contract_end: date | None, hard_end: date | None, until: datetime
) -> None:
    """P-9: the days, the contract, or the hard end, each through its last day."""
    assert until == use_until(Use(days=30, until=hard_end), CLAIMED, contract_end, SHANGHAI)


@given(
    st.integers(0, 200_000_000),
    st.integers(1, 400),
    st.sampled_from(ZONES),
)
def test_whole_days_favour_the_member(second: int, days: int, zone: ZoneInfo) -> None:
    """P-9, C-4: they end with a local day, less than one and a clock's change after the others."""
    claimed_at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    whole, exact = (
        use_until(Use(days=days, length=one), claimed_at, None, zone) for one in Length
    )
    assert end_of(local_date(claimed_at, zone) + timedelta(days=days), zone) == whole
    assert timedelta(days=days) == exact - claimed_at
    assert timedelta(hours=-1) < whole - exact <= timedelta(hours=25)


def test_a_refusal_names_the_days() -> None:
    """P-9: those that there are, both included."""
    first, last = date(2025, 6, 1), date(2025, 6, 30)
    said = [ClaimWindow.of(*days).detail for days in ((first, last), (first, None), (None, last))]
    assert [
        f"{ClaimWindow.words} It can be claimed{days}."
        for days in (
            " from 2025-06-01 through 2025-06-30",
            " from 2025-06-01",
            " through 2025-06-30",
        )
    ] == said
