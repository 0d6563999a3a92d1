"""When a benefit can be claimed, and until when what was claimed can be used (P-9).

    granted ---- claim_from ==== claimed ==== claim_until
                                    |---- days ----| use_until, at most `until` and the contract

Units end with their lot (C-4), whatever the window; a claim keeps its `use_until` (U-3).
"""

import enum
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain.refusal import Refusal
from benefits.domain.values import end_of, local_date

USE_DAYS_MAX = 3660


class ClaimWindow(Refusal):
    """The benefit cannot be claimed yet, or no more: today is outside its dates (P-9)."""

    code = "claim_window"
    words = "This benefit cannot be claimed on this day."

    @classmethod
    def of(cls, first: date | None, last: date | None) -> "ClaimWindow":
        """Say no, with the days on which it can be claimed, both included."""
        days = [f" from {first}"] if first else []
        days += [f" through {last}"] if last else []
        return cls(f"{cls.words} It can be claimed{''.join(days)}.")


class Length(enum.Enum):
    """How days of use are counted: whole ones, to the end of the last, or to the microsecond."""

    WHOLE_DAYS = "WHOLE_DAYS"
    EXACT_DURATION = "EXACT_DURATION"


class Use(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was claimed can be used for `days` after the claim, through `until` at the latest.

    News of a use in time still comes for `late_days`; then what was not used ends (V-5).
    """

    days: Annotated[int, msgspec.Meta(ge=1, le=USE_DAYS_MAX)]
    length: Length = Length.WHOLE_DAYS
    until: date | None = None
    late_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 3


def use_until(
    use: Use, claimed_at: datetime, contract_end: date | None, zone: ZoneInfo
) -> datetime:
    """Return the first instant at which what was claimed cannot be used any more (P-9).

    The contract and the hard end count through their last day.
    """
    match use.length:
        case Length.WHOLE_DAYS:
            end = end_of(local_date(claimed_at, zone) + timedelta(days=use.days), zone)
        case Length.EXACT_DURATION:
            end = claimed_at.astimezone(UTC) + timedelta(days=use.days)
    last = [day for day in (contract_end, use.until) if day is not None]
    return min([end, *(end_of(day, zone) for day in last)])
