"""One version of a programme: tiers, policy, providers, budgets, benefits, lines (U-1).

Versions are immutable. `programme_file` reads one and checks everything that it promises about
itself, so that the rest of the code may rely on it.
"""

import enum
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain import units
from benefits.domain.benefit import Benefit
from benefits.domain.compliance import Preset
from benefits.domain.currencies import DIGITS, minor_of
from benefits.domain.ladder import Ladder, ladder
from benefits.domain.limits import Budget
from benefits.domain.metrics import Basket, basket
from benefits.domain.orders import Capabilities
from benefits.domain.packages import Line
from benefits.domain.policy import Policy, Text, Tier, owed
from benefits.domain.refusal import Refusal
from benefits.domain.units import Quantity


class ProgrammeInvalid(Refusal):
    """The programme file contradicts itself or the format; the detail names the path."""

    code = "programme_invalid"
    words = "The programme file is not valid."


class Dialect(enum.Enum):
    """The protocol a provider speaks."""

    OPEN = "open"


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who fulfils, in which dialect, at which address."""

    code: str
    name: Text
    dialect: Dialect
    url: str
    capabilities: Capabilities = Capabilities()


class Programme(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One version of a whole programme, as its file says it; `feeds` make days known (A-2).

    Units live `closing_days` after the end of a relationship (T-10). What is worse for members is
    told them `notice_days` before it holds (U-2). Balances in other `currencies` count as they are
    converted daily (A-4). What may be given for what says `compliance` (X-1).
    """

    code: str
    name: Text
    currency: str
    zone: str
    asset_classes: tuple[str, ...]
    tier: tuple[Tier, ...]
    feeds: tuple[Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9_-]{1,32}\Z")], ...] = ()
    currencies: tuple[str, ...] = ()
    minor_digits: Annotated[int, msgspec.Meta(ge=0, le=4)] = 2
    closing_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 30
    notice_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 30
    compliance: Preset = Preset.CHINA
    policy: Policy = Policy()
    provider: tuple[Provider, ...] = ()
    budget: tuple[Budget, ...] = ()
    benefit: tuple[Benefit, ...] = ()
    line: tuple[Line, ...] = ()

    @property
    def money(self) -> str:
        """The ledger's unit of what benefits cost: the currency's minor units (C-2)."""
        return f"MONEY:{self.currency}"

    def minor(self, amount: Decimal) -> int:
        """Return `amount` in minor units; ValueError when it is not exact in them or too large."""
        return minor_of(amount, self.minor_digits)

    @cached_property
    def digits(self) -> dict[str, int]:
        """How many decimals each currency has whose balances are taken, its own first (C-1)."""
        return {self.currency: self.minor_digits, **{c: DIGITS[c] for c in self.currencies}}

    def scale(self, benefit: Benefit) -> int:
        """Return how many decimals the units have that a benefit takes (C-2)."""
        return self.benefits[benefit.draws].scale if benefit.draws else benefit.scale

    def steps(self, benefit: Benefit, quantity: Quantity) -> int:
        """Return a quantity as the ledger counts it (QuantityTooFine)."""
        return units.steps(quantity, self.scale(benefit))

    def whole(self, benefit: Benefit, steps: int) -> Quantity:
        """Return what the ledger counts as a quantity of whole units."""
        return units.whole(steps, self.scale(benefit))

    def piece(self, benefit: Benefit) -> int:
        """Return how many steps one piece takes."""
        return self.steps(benefit, benefit.takes)

    def step_cost(self, benefit: Benefit) -> Fraction:
        """Return what a step costs at most, in minor units: where it is put to its dearest use."""
        return max(
            Fraction(self.minor(each.cost), self.piece(each))
            for each in self.benefit
            if each.unit == benefit.unit
        )

    @cached_property
    def tz(self) -> ZoneInfo:
        """The programme's one zone (C-4)."""
        return ZoneInfo(self.zone)

    @cached_property
    def ladder(self) -> Ladder:
        """What each rank asks; a tier's rank is its place in the file."""
        return ladder(self.policy, self.tier, self.minor)

    @cached_property
    def baskets(self) -> tuple[Basket, ...]:
        """What counts for each of the ladder's metrics, and what asset classes weigh (A-3)."""
        away, metrics = owed(self.policy, self.tier), self.ladder.metrics
        classes = [tuple({*self.asset_classes} - (away - {*m.liabilities})) for m in metrics]
        each = zip(metrics, classes, strict=True)
        return tuple(basket(self.currency, of, m, self.currencies) for m, of in each)

    @property
    def basket(self) -> Basket:
        """What counts for the policy's own metric."""
        return self.baskets[0]

    @cached_property
    def benefits(self) -> dict[str, Benefit]:
        """Benefits by code."""
        return {benefit.code: benefit for benefit in self.benefit}

    @cached_property
    def providers(self) -> dict[str, Provider]:
        """Providers by code."""
        return {provider.code: provider for provider in self.provider}

    @cached_property
    def budgets_minor(self) -> dict[str, int]:
        """Totals of the budgets in minor units, by code."""
        return {budget.code: self.minor(budget.total) for budget in self.budget}
