"""What is told of tiers: the data of their events, of which `events.py` has the whole list."""

from datetime import date, datetime

import msgspec


class TierDecided(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a month did to the tier of a member.

    `way` is that by which the tier is held now and whose term counts, if not the threshold (T-2).
    As a welcome it is held until the day `welcome_until` (M-8).
    """

    programme: str
    month: str
    before: str = msgspec.field(name="from")
    after: str = msgspec.field(name="to")
    misses: int
    effective_from: datetime
    way: str | None = None
    welcome_until: date | None = None


class TierSighted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a running period promises or threatens, in minor units; `month` is its first.

    `needed_daily_minor` is the level of each remaining day that reaches the tier's threshold;
    without one it is out of reach.
    """

    programme: str
    month: str
    tier: str
    day: date
    threshold_minor: int
    projected_minor: int
    needed_daily_minor: int | None
