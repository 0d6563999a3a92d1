"""Packages: which units a tier brings in each period (P-2 to P-4)."""

import enum

import msgspec

from benefits.domain.eligibility import Rule
from benefits.domain.units import Quantity
from benefits.domain.values import PeriodKind


class UpgradePolicy(enum.Enum):
    """What a rise inside a benefit period grants (P-4)."""

    TOP_UP = "TOP_UP"
    PRORATE_FLOOR = "PRORATE_FLOOR"
    PRORATE_CEIL = "PRORATE_CEIL"


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A package line: units of one benefit per period, by tier (P-2).

    They are granted to those members of the tier whom the rule `eligible` lets in (E-1).
    """

    code: str
    benefit: str
    period: PeriodKind
    quota: dict[str, Quantity]
    upgrade: UpgradePolicy = UpgradePolicy.TOP_UP
    eligible: Rule | None = None
