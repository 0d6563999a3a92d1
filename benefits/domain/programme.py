"""One version of a programme: tiers, policy, providers, budgets, benefits, lines (U-1).

Versions are immutable. `programme_file` reads one and checks everything that it promises about
itself, so that the rest of the code may rely on it.
"""

import enum
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec

from benefits.domain import units
from benefits.domain.benefit import Benefit
from benefits.domain.choice import Choice
from benefits.domain.code_pool import CodePool
from benefits.domain.compliance import Preset
from benefits.domain.consents import Consent
from benefits.domain.currencies import DIGITS, minor_of
from benefits.domain.ladder import Ladder, ladder
from benefits.domain.limits import Budget, Dimension, Limit, Scope
from benefits.domain.metrics import Basket, basket
from benefits.domain.orders import Capabilities
from benefits.domain.packages import Line
from benefits.domain.policy import Policy, Text, Tier, owed
from benefits.domain.prices import price_on
from benefits.domain.refusal import Refusal
from benefits.domain.units import Quantity
from benefits.domain.wechat import Wechat


class ProgrammeInvalid(Refusal):
    """The programme file contradicts itself or the format; the detail names the path."""

    code = "programme_invalid"
    words = "The programme file is not valid."


class Dialect(enum.Enum):
    """The protocol a provider speaks."""

    OPEN = "open"
    WECHAT_BUSIFAVOR = "wechat_busifavor"
    WECHAT_PRODUCT_COUPON = "wechat_product_coupon"
    CODE_POOL = "code_pool"
    INTERNAL = "internal"


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who fulfils, in which dialect, at which address; `wechat` says as which merchant there.

    `code_pool` is of those whose codes lie in stock here: nobody is called for them, nor for what
    a department of the bank does by itself (`internal`).
    """

    code: str
    name: Text
    dialect: Dialect
    url: str = ""
    capabilities: Capabilities = Capabilities()
    wechat: Wechat | None = None
    code_pool: CodePool | None = None

    @property
    def is_stock(self) -> bool:
        """Whether orders are codes in stock here (V-1)."""
        return self.dialect is Dialect.CODE_POOL

    @property
    def is_internal(self) -> bool:
        """Whether the bank itself does what is ordered, as it is claimed (V-1)."""
        return self.dialect is Dialect.INTERNAL

    @property
    def wants_payment(self) -> bool:
        """Whether a use is told only with the payment at which it was (V-2)."""
        return self.dialect is Dialect.WECHAT_PRODUCT_COUPON

    def sends_again(self, sku: str, code: str) -> bool:
        """Say whether a question about an order is the same send again: its code is not known."""
        return self.wechat is not None and not code and not self.wechat.makes_codes(sku)


Item = Benefit | Choice  # what units are of


class Programme(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One version of a whole programme, as its file says it; `feeds` make days known (A-2).

    Units live `closing_days` after the end of a relationship (T-10). What is worse for members is
    told them `notice_days` before it holds (U-2). With `freeze_adds_days` a LEGAL_FREEZE's are
    added to the ends of units (E-6). Balances in other `currencies` count as they are converted
    daily (A-4). What may be given for what says `compliance` (X-1).
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
    freeze_adds_days: bool = False
    compliance: Preset = Preset.CHINA
    policy: Policy = Policy()
    provider: tuple[Provider, ...] = ()
    budget: tuple[Budget, ...] = ()
    benefit: tuple[Benefit, ...] = ()
    choice: tuple[Choice, ...] = ()
    line: tuple[Line, ...] = ()
    limit: tuple[Limit, ...] = ()
    consent: tuple[Consent, ...] = ()

    @cached_property
    def kept(self) -> dict[Any, dict[Any, Any]]:
        """What rules answered about this version, each by what it was asked (`remembered`)."""
        return {}

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

    def scale(self, item: Item) -> int:
        """Return how many decimals the units have that a benefit takes, or a choice (C-2)."""
        if isinstance(item, Benefit) and item.draws:
            return self.benefits[item.draws].scale
        return item.scale

    def steps(self, item: Item, quantity: Quantity) -> int:
        """Return a quantity as the ledger counts it (QuantityTooFine)."""
        return units.steps(quantity, self.scale(item))

    def whole(self, item: Item, steps: int) -> Quantity:
        """Return what the ledger counts as a quantity of whole units."""
        return units.whole(steps, self.scale(item))

    def brought(self, line: Line) -> Item:
        """Return what a line brings units of."""
        return self.choices[line.choice] if line.choice else self.benefits[line.benefit]

    def may_bring(self, line: Line, benefit: str) -> bool:
        """Say whether units of a benefit may come of a line: by a choice, too."""
        if not line.choice:
            return line.benefit == benefit
        return benefit in self.choices[line.choice].benefits

    def dearest(self, item: Item) -> Benefit:
        """Return the benefit that units may cost most as: of a choice one of its own (K-4)."""
        if isinstance(item, Benefit):
            return item
        return max((self.benefits[code] for code in item.benefits), key=self.step_cost)

    def piece(self, benefit: Benefit) -> int:
        """Return how many steps one piece takes."""
        return self.steps(benefit, benefit.takes)

    def step_cost(self, benefit: Benefit) -> Fraction:
        """Return what a step costs at most, in minor units: where it is put to its dearest use."""
        drawing = (each for each in self.benefit if each.unit == benefit.unit)
        takers = [one for each in drawing for one in self.succession(each)]
        return max(Fraction(self.minor(each.cost), self.piece(each)) for each in takers)

    def piece_minor(self, benefit: Benefit, day: date) -> int:
        """Return what a piece really costs on a day: at worst while no price is in force (P-1)."""
        price = price_on(benefit.prices, day)
        return self.minor(benefit.cost if price is None else price.cost)

    def guests(self, benefit: Benefit, rank: int) -> int:
        """Return how many companions a rank brings along with each piece of a benefit (V-10)."""
        tier = self.tier[min(rank, len(self.tier) - 1)].code
        return benefit.companions.get(tier, 0)

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
    def choices(self) -> dict[str, Choice]:
        """Choices by code."""
        return {choice.code: choice for choice in self.choice}

    @cached_property
    def consents(self) -> dict[str, Consent]:
        """What members are asked to agree to, by purpose (E-4)."""
        return {consent.code: consent for consent in self.consent}

    @cached_property
    def ranks(self) -> dict[str, int]:
        """Ranks by the codes of their tiers."""
        return {tier.code: rank for rank, tier in enumerate(self.tier)}

    @cached_property
    def tier_names(self) -> dict[str, Text]:
        """The names of tiers by their codes."""
        return {tier.code: tier.name for tier in self.tier}

    @cached_property
    def providers(self) -> dict[str, Provider]:
        """Providers by code."""
        return {provider.code: provider for provider in self.provider}

    @cached_property
    def budgets_minor(self) -> dict[str, int]:
        """Totals of the budgets in minor units, by code."""
        return {budget.code: self.minor(budget.total) for budget in self.budget}

    @cached_property
    def bearers(self) -> dict[str, tuple[str, ...]]:
        """Each budget with those above it that bear along, the nearest first (K-4)."""
        parents = {budget.code: budget.parent for budget in self.budget}
        found = dict[str, tuple[str, ...]]()
        for code, parent in parents.items():
            chain, at = [code], parent
            while at:
                chain.append(at)
                at = parents[at]
            found[code] = tuple(chain)
        return found

    @cached_property
    def limits(self) -> dict[str, tuple[Limit, ...]]:
        """The limits that claims of a benefit meet, in the order in which they are asked (K-2)."""
        order = list(Scope)
        return {
            benefit.code: tuple(
                sorted(
                    (limit for limit in self.limit if limit.concerns(benefit.code)),
                    key=lambda limit: order.index(limit.scope),
                )
            )
            for benefit in self.benefit
        }

    def most(self, limit: Limit) -> int:
        """Return what a limit allows: pieces, or minor units."""
        if limit.dimension is Dimension.COST:
            return self.minor(limit.limit)
        return int(limit.limit)

    def contract_end(self, item: Item) -> date | None:
        """Return through which day units can be used by contract (V-6).

        What may be put to several uses can be until the last of their contracts ends.
        """
        codes = [item.code] if isinstance(item, Benefit) else item.benefits
        kinds = {self.benefits[code].unit for code in codes}
        ends = [self.succession(b)[-1].contract_end for b in self.benefit if b.unit in kinds]
        known = [end for end in ends if end is not None]
        return max(known) if len(known) == len(ends) else None

    def succession(self, benefit: Benefit) -> list[Benefit]:
        """Return a benefit and those that replace it, each after the one before (V-6)."""
        found, last = [benefit], self.benefits.get(benefit.replacement)
        while last is not None and last not in found:
            found.append(last)
            last = self.benefits.get(last.replacement)
        return found

    def serving(self, benefit: Benefit, day: date) -> Benefit:
        """Return what a claim of a benefit is served by on a day: itself, or what replaces it.

        After the end of all it is the last of them, which refuses.
        """
        chain = self.succession(benefit)
        there = (one for one in chain if one.last_claim is None or day <= one.last_claim)
        return next(there, chain[-1])
