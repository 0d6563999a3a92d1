"""A programme whose cap, stock and budget soon run out, and what the model must know of it."""

import msgspec

from benefits.domain.benefit import ClawBack
from benefits.domain.programme import Programme
from tests.builders import reference_programme
from tests.machine.model import Terms

TERMS = {
    "LOUNGE": Terms(cost=3800, budget=19_000, at_issue=False, owing=True),
    "VIDEO": Terms(cost=1500, budget=10_000_000, at_issue=True, stock=5, cap=3),
}
UNDECIDED = {"HELD", "SUBMITTED", "PENDING", "UNKNOWN", "MANUAL"}


def small_programme() -> Programme:
    """Return the reference programme with a cap, a stock and a budget that soon run out."""
    programme = reference_programme()
    lounge, video = programme.benefit
    lounge = msgspec.structs.replace(lounge, claw_back=ClawBack.DEBT)
    cap = msgspec.structs.replace(video.cap, limit=3) if video.cap else None
    budgets = [
        msgspec.structs.replace(b, total="190.00") if b.code == "lounge" else b
        for b in programme.budget
    ]
    made = msgspec.structs.replace(
        programme,
        benefit=(lounge, msgspec.structs.replace(video, stock=5, cap=cap)),
        budget=tuple(budgets),
    )
    return msgspec.convert(msgspec.to_builtins(made), Programme, strict=False)
