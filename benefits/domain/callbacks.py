"""What becomes of callbacks that are kept: settled ones never come back, others are read again.

    taken --+-- its order took it, or is asked about it ------------> APPLIED
            +-- it is of what we did not ask for, another's order ---> IGNORED
            +-- its code is in no table (V-3) ----------------------> NOT_UNDERSTOOD --+
            +-- no order of ours has its number --------------------> NO_ORDER --------+
            +-- it is at fault itself, or we are -------------------> FAILED ----------+
                                 read again, once what was wrong is mended -- any of these

What an earlier release worked off has no verdict: it is judged by what it says.
"""

import enum

from benefits.domain.orders import Notice, Unknown


class Verdict(enum.Enum):
    """What became of a callback."""

    APPLIED = "APPLIED"
    IGNORED = "IGNORED"
    NOT_UNDERSTOOD = "NOT_UNDERSTOOD"
    NO_ORDER = "NO_ORDER"
    FAILED = "FAILED"


SETTLED = frozenset({Verdict.APPLIED, Verdict.IGNORED})


def judged(notice: Notice, *, has_order: bool, is_ours: bool = True, decides: bool) -> Verdict:
    """Return what becomes of a callback; one that does not decide only makes us ask (V-4).

    Without an order of ours it is another's where it is of what no benefit orders there.
    """
    if not has_order:
        return Verdict.NO_ORDER if is_ours else Verdict.IGNORED
    if decides and isinstance(notice.outcome, Unknown):
        return Verdict.NOT_UNDERSTOOD
    return Verdict.APPLIED
