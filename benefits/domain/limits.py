"""Limits: what a member may take in a window, and what money bears it (K-1, K-4)."""

import enum
from decimal import Decimal

import msgspec

from benefits.domain.units import Quantity


class CapWindow(enum.Enum):
    """The calendar window a member's cap counts in (K-3)."""

    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"
    LIFETIME = "LIFETIME"


class Cap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `limit` units per member and window (K-1)."""

    limit: Quantity
    window: CapWindow


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A flat amount, in major units, that the worst costs of claims are reserved from (K-4).

    `cost_centre` is whose account the bank charges it to: the budget's own code unless named.
    """

    code: str
    total: Decimal
    cost_centre: str = ""

    @property
    def charged_to(self) -> str:
        """The cost centre."""
        return self.cost_centre or self.code
