"""Claims that nobody makes: a line that is `AUTO` has its units claimed as they come (P-2).

Each piece is a claim like any other, of units of the lot that came. The first refusal is told
once; the units are the member's to claim. Where what refused it may pass, it is tried again on the
day after, then after two more, four, and so on while the lot lasts.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from benefits.domain import eligibility
from benefits.domain.blocks import Blocked
from benefits.domain.consents import ConsentRequired
from benefits.domain.eligibility import NotEligible
from benefits.domain.entitlement import BudgetExhausted, CapReached, StockExhausted
from benefits.domain.exclusions import Excluded
from benefits.domain.packages import Claiming, Line
from benefits.domain.programme import Programme
from benefits.domain.use import ClaimWindow
from benefits.domain.values import local_date, midnight

# What may be otherwise another day; all else stays as it is.
PASSING = frozenset(
    refusal.code
    for refusal in (
        *(Blocked, ConsentRequired, NotEligible, Excluded, ClaimWindow),
        *(CapReached, StockExhausted, BudgetExhausted),
    )
)


def again_at(code: str, refusals: int, now: datetime, zone: ZoneInfo) -> datetime | None:
    """Return when a claim is tried again that was refused so often before; or never.

    Windows of limits open with the day. Each wait is twice as long as the one before, up to 32
    days.
    """
    if code not in PASSING:
        return None
    return midnight(local_date(now, zone) + timedelta(days=2 ** min(refusals, 5)), zone)


def claiming_problems(programme: Programme, path: str, line: Line) -> Iterator[str]:
    """Yield why units of a line cannot be claimed by nobody, by its path."""
    if line.claim is not Claiming.AUTO:
        return
    if line.choice:
        yield f"{path}.claim: members choose, so they claim; what is AUTO is of one benefit"
    benefit = programme.benefits.get(line.benefit)
    if benefit is None:
        return
    for one in programme.succession(benefit):
        if one.recipient:
            fields = ", ".join(one.recipient)
            yield f"{path}.claim: a claim of {one.code!r} brings {fields}, which nobody knows"
        if one.eligible is not None and eligibility.says(one.eligible, "channel"):
            yield f"{path}.claim: {one.code!r} asks for the channel of a claim; AUTO has none"
        if one.booking is not None:
            yield f"{path}.claim: a claim of {one.code!r} is for a time, which nobody knows"
