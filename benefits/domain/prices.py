"""Prices of a benefit by date: what a piece really costs, and what it is worth (P-1, V-7)."""

import enum
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

import msgspec


class PricedAt(enum.Enum):
    """By the price of which day a piece is paid, as its contract says (V-7)."""

    CLAIM = "CLAIM"
    USE = "USE"


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a piece costs from a day on, until the next price; it is worth `market_value` (tax)."""

    from_: date = msgspec.field(name="from")
    cost: Decimal
    market_value: Decimal | None = None


def price_on(prices: Sequence[Price], day: date) -> Price | None:
    """Return the price of a day, of prices in the order of their days; None before the first."""
    return next((one for one in reversed(prices) if one.from_ <= day), None)


def pricing_instant(
    priced_at: PricedAt, claimed_at: datetime, used_at: datetime, now: datetime
) -> datetime:
    """Return the instant whose price a piece has; a use lies between its claim and now."""
    match priced_at:
        case PricedAt.CLAIM:
            return claimed_at
        case PricedAt.USE:
            return min(max(used_at, claimed_at), now)


def is_worth_less(before: Sequence[Price], after: Sequence[Price]) -> bool:
    """Say whether a piece is worth less on some day than it was to be (U-2)."""
    for day in {one.from_ for one in (*before, *after)}:
        was, will = (price_on(prices, day) for prices in (before, after))
        worth = None if was is None else was.market_value
        still = None if will is None else will.market_value
        if worth is not None and (still is None or still < worth):
            return True
    return False


def misfits(prices: Sequence[Price], worst: Decimal) -> list[tuple[str, str]]:
    """Return what is wrong with prices beside a worst cost: where, and why (P-1)."""
    found = list[tuple[str, str]]()
    for index, one in enumerate(prices):
        if index and one.from_ <= prices[index - 1].from_:
            found.append((f"[{index}].from", "must be later than that of the price before"))
        if one.cost.is_finite() and worst.is_finite() and one.cost > worst:
            found.append((f"[{index}].cost", f"must be at most the benefit's cost, {worst}"))
    return found
