"""Quantities of a benefit's units: people speak of whole units, the ledger counts steps (C-2).

A benefit's `scale` says how many decimals of its unit there are: with 1 a step is 0.1, and half a
unit is five steps. The ledger, lots, holds and counters hold steps, whole numbers always. Wherever
a quantity is shown or asked for it is in whole units and exact: a whole number where the scale is
0, else a decimal with as many places as the scale has. Nothing is rounded, and no float exists.
"""

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Annotated

import msgspec

from benefits.domain.refusal import Refusal

SCALE_MAX = 3
LARGEST = 10**9
Quantity = int | Decimal
# As requests and lists bring it: a JSON float is not one of these.
Asked = int | Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,9}(\.[0-9]{1,9})?\Z")]


class QuantityTooFine(Refusal):
    """The quantity has more decimals than the benefit's units have."""

    code = "quantity_too_fine"
    words = "The quantity has more decimals than units of this benefit have."


class UnitsDrawn(Refusal):
    """The benefit has no units of its own: its claims take those of another (C-2)."""

    code = "units_drawn"
    words = "This benefit has no units of its own."


def plain(asked: Quantity | str) -> Quantity:
    """Return a quantity in the one form that equal quantities share: whole ones as an int."""
    exact = Decimal(asked)
    return int(exact) if exact == exact.to_integral_value() else exact.normalize()


def step_count(scale: int) -> int:
    """Return how many steps a whole unit has."""
    count: int = 10**scale
    return count


@lru_cache(4096)  # a programme says the same few for every claim and every look
def steps(quantity: Quantity, scale: int) -> int:
    """Return how many steps a quantity is, exactly (QuantityTooFine)."""
    if isinstance(quantity, int):
        return quantity * step_count(scale)
    exact = Fraction(quantity) * step_count(scale)
    if exact.denominator != 1:
        raise QuantityTooFine(f"Units of this benefit have {scale} decimals.")
    return exact.numerator


def told(text: str) -> Quantity:
    """Read a quantity that was kept as text."""
    return Decimal(text) if "." in text else int(text)


def whole(count: int, scale: int) -> Quantity:
    """Return steps as a quantity in whole units, exactly."""
    return Decimal(count).scaleb(-scale) if scale else count
