"""What a piece of a claim really costs, by the day that the contract names, and who pays (V-7)."""

from datetime import datetime, timedelta

from benefits.domain.benefit import Benefit
from benefits.domain.ledger import Cost
from benefits.domain.prices import PricedAt, pricing_instant
from benefits.domain.programme import Programme
from benefits.domain.values import local_date
from benefits.store.claims import ClaimRow

Offer = tuple[Programme, Benefit]
UNSENT_FOR = timedelta(days=1)  # how long a claim that was never sent is held


def cost_of(programme: Programme, benefit: Benefit, minor: int, *, provider: str = "") -> Cost:
    """Return who pays for units of a benefit and who is paid, as minor units (K-4).

    `provider` is who was asked for them, where that is known.
    """
    return Cost(programme.money, benefit.budget, provider or benefit.provider, minor)


def piece_price(
    claim: ClaimRow, agreed: Offer, today: Offer, *, used_at: datetime, now: datetime
) -> int:
    """Return what each piece of a claim costs that is captured now, in minor units (K-4).

    At the claim the price is that of the terms `agreed` on; at the use that of those in force
    `today`, which may know prices that were agreed since.
    """
    priced_at = agreed[1].priced_at
    at = pricing_instant(priced_at, claim.claimed_at, used_at, now)
    programme, benefit = agreed if priced_at is PricedAt.CLAIM else today
    return programme.piece_minor(benefit, local_date(at, programme.tz))
