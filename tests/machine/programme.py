"""A programme whose cap, stock and budget soon run out, and what the model must know of it."""

from datetime import timedelta
from decimal import Decimal

import msgspec

from benefits.domain.benefit import Benefit, ClawBack, Settled
from benefits.domain.prices import Price, PricedAt
from benefits.domain.programme import Programme
from tests.builders import NOON, reference_programme
from tests.machine.holdings import Terms

TODAY = NOON.date()
TERMS = {
    "LOUNGE": Terms(
        cost=3800,
        budget=19_000,
        at_issue=False,
        owing=True,
        prices=((TODAY, 3001), (TODAY + timedelta(days=30), 2500)),
        priced_by_use=True,
    ),
    "VIDEO": Terms(
        cost=1500,
        budget=10_000_000,
        at_issue=True,
        stock=5,
        cap=3,
        prices=((TODAY + timedelta(days=1), 1234),),
        paid_by_use=True,
    ),
}
UNDECIDED = {"HELD", "SUBMITTED", "PENDING", "UNKNOWN", "MANUAL"}


def _priced(benefit: Benefit) -> Benefit:
    terms = TERMS[benefit.code]
    prices = tuple(Price(from_=day, cost=Decimal(minor) / 100) for day, minor in terms.prices)
    at = PricedAt.USE if terms.priced_by_use else PricedAt.CLAIM
    settled = Settled.USE if terms.paid_by_use else None
    return msgspec.structs.replace(benefit, prices=prices, priced_at=at, settled=settled)


def small_programme() -> Programme:
    """Return the reference programme with a cap, a stock and a budget that soon run out."""
    programme = reference_programme()
    lounge, video = map(_priced, programme.benefit)
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
