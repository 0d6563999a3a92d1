"""The programme, as a bank writes it down: tiers, policy, benefits, lines, providers, budgets.

One readable TOML file is one version of one programme; versions are immutable (U-1). `read` checks
everything a version promises about itself, so that the rest of the code may rely on it: every name
that is used is defined, the ladder ascends, every amount is exact in the programme's currency.
"""

import enum
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from benefits.domain import spelling, units
from benefits.domain.calendars import NO_CALENDAR, Calendar
from benefits.domain.currencies import DIGITS, currency_problems, minor_of
from benefits.domain.ladder import Ladder, ladder
from benefits.domain.metrics import Basket, basket
from benefits.domain.orders import Capabilities
from benefits.domain.policy import Policy, Text, Tier, owed, policy_problems, thresholds
from benefits.domain.refusal import Refusal
from benefits.domain.spelling import suggestion
from benefits.domain.units import LARGEST, SCALE_MAX, Quantity, QuantityTooFine
from benefits.domain.values import Month, PeriodKind
from benefits.domain.wording import claim_of

LANGUAGES = ("zh", "en")
UNITS = "BENEFIT:"
TAKES_MAX = 100


class ProgrammeInvalid(Refusal):
    """The programme file contradicts itself or the format; the detail names the path."""

    code = "programme_invalid"
    words = "The programme file is not valid."


class UpgradePolicy(enum.Enum):
    """What a rise inside a benefit period grants (P-4)."""

    TOP_UP = "TOP_UP"
    PRORATE_FLOOR = "PRORATE_FLOOR"
    PRORATE_CEIL = "PRORATE_CEIL"


class Kind(enum.Enum):
    """How a provider fulfils a benefit (V-1)."""

    DIRECT_TOPUP = "DIRECT_TOPUP"
    WALLET_COUPON = "WALLET_COUPON"
    BOOKING = "BOOKING"


class Consumed(enum.Enum):
    """When a claimed unit is spent: at the provider's delivery, or at the member's use (V-1)."""

    ISSUE = "ISSUE"
    USE = "USE"


class CapWindow(enum.Enum):
    """The calendar window a member's cap counts in (K-3)."""

    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"
    LIFETIME = "LIFETIME"


class ClawBack(enum.Enum):
    """What is done about units that are taken back after they were used (L-8)."""

    WRITE_OFF = "WRITE_OFF"
    DEBT = "DEBT"


class Late(enum.Enum):
    """What becomes of units that come back after their lot has ended (L-7)."""

    EXPIRE = "EXPIRE"
    MAKE_GOOD = "MAKE_GOOD"


class LateReversal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reversal after the end of a lot does; a make-good is valid for `days`."""

    then: Late = Late.EXPIRE
    days: Annotated[int, msgspec.Meta(ge=7, le=3660)] = 30


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


class Cap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `limit` units per member and window (K-1)."""

    limit: Quantity
    window: CapWindow


class Benefit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something a member may get; `cost` is the worst cost of one piece, in major units (P-1).

    A claim is of whole pieces, which the provider delivers, and each takes `takes` units: its own,
    or those of the benefit that `draws` names. Units of a benefit have `scale` decimals (C-2).
    `recipient` names the fields a claim must bring for the provider and for nobody else (X-4).
    """

    code: str
    name: Text
    kind: Kind
    provider: str
    sku: str
    cost: Decimal
    consumed: Consumed
    budget: str
    scale: Annotated[int, msgspec.Meta(ge=0, le=SCALE_MAX)] = 0
    draws: str = ""
    takes: Decimal = Decimal(1)
    about: Text = {}
    recipient: tuple[Annotated[str, msgspec.Meta(pattern=r"\A[a-z_]{1,40}\Z")], ...] = ()
    stock: int | None = None
    cap: Cap | None = None
    claw_back: ClawBack = ClawBack.WRITE_OFF
    late_reversal: LateReversal = LateReversal()

    @property
    def unit(self) -> str:
        """The ledger's unit that this benefit takes (C-2)."""
        return f"{UNITS}{self.draws or self.code}"


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A package line: units of one benefit per period, by tier (P-2)."""

    code: str
    benefit: str
    period: PeriodKind
    quota: dict[str, Quantity]
    upgrade: UpgradePolicy = UpgradePolicy.TOP_UP


class Programme(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One version of a whole programme, as its file says it; `feeds` make days known (A-2).

    Units live `closing_days` after the end of a relationship (T-10). What is worse for members is
    told them `notice_days` before it holds (U-2).
    Balances in other `currencies` count as they are converted daily (A-4).
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


class Judge(msgspec.Struct, frozen=True):
    """A version of a programme, the first month whose tiers it decides, and its calendar."""

    version: int
    tiers_from: Month
    programme: Programme
    calendar: Calendar = NO_CALENDAR


class Rules(msgspec.Struct, frozen=True, dict=True):
    """By which version of a programme each month's tiers are decided, earliest first (U-1)."""

    judges: tuple[Judge, ...]

    def at(self, month: Month) -> Judge:
        """Return the version that decides a month; months before the first have the first."""
        for judge in reversed(self.judges):
            if judge.tiers_from <= month:
                return judge
        return self.judges[0]

    @property
    def programme(self) -> str:
        """The programme's code."""
        return self.judges[0].programme.code

    @property
    def baskets(self) -> list[Basket]:
        """What any of the versions counts for any of its metrics."""
        each = (basket for judge in self.judges for basket in judge.programme.baskets)
        return list(dict.fromkeys(each))

    @property
    def feeds(self) -> list[str]:
        """The sources that make days known for any of the versions (A-2)."""
        return sorted({source for judge in self.judges for source in judge.programme.feeds})

    @cached_property
    def labels(self) -> frozenset[str]:
        """The labels, with their layers, that any of the versions asks for (T-2)."""
        return frozenset(key for judge in self.judges for key in judge.programme.ladder.labels)


class Catalogue(msgspec.Struct, frozen=True, dict=True):
    """All programmes in force, under the configuration's version number."""

    version: int
    programmes: dict[str, Programme]
    programme_versions: dict[str, int] = {}
    rules: dict[str, Rules] = {}

    @cached_property
    def offers(self) -> dict[str, tuple[Programme, Benefit]]:
        """Every benefit by its code, with its programme; codes are unique in an installation."""
        return {
            benefit.code: (programme, benefit)
            for programme in self.programmes.values()
            for benefit in programme.benefit
        }

    @cached_property
    def of_unit(self) -> dict[str, list[tuple[Programme, Benefit]]]:
        """The benefits that take each unit: the one it is of and those that draw it (C-2)."""
        found = dict[str, list[tuple[Programme, Benefit]]]()
        for programme, benefit in self.offers.values():
            found.setdefault(benefit.unit, []).append((programme, benefit))
        return found

    def whole(self, unit: str, amount: int) -> Quantity:
        """Return an amount of a unit in whole units; of money it stays in minor units (C-2)."""
        offer = self.offers.get(unit.removeprefix(UNITS))
        return offer[0].whole(offer[1], amount) if offer else amount

    @cached_property
    def budgets(self) -> dict[str, tuple[Programme, Budget]]:
        """Every budget by its code, with its programme; codes are unique in an installation."""
        return {
            budget.code: (programme, budget)
            for programme in self.programmes.values()
            for budget in programme.budget
        }

    @cached_property
    def zone(self) -> ZoneInfo:
        """The zone of the books: all programmes of an installation share it (L-11)."""
        return next((programme.tz for programme in self.programmes.values()), ZoneInfo("UTC"))

    @cached_property
    def digits(self) -> dict[str, int]:
        """How many decimals each currency has; programmes of one currency agree."""
        return DIGITS | {p.currency: p.minor_digits for p in self.programmes.values()}


def read(text: str) -> Programme:
    """Read a programme file; ProgrammeInvalid names every contradiction by its path."""
    try:
        programme = msgspec.toml.decode(text, type=Programme, strict=False)
    except msgspec.DecodeError as error:
        raise ProgrammeInvalid(f"{error}{spelling.hint(str(error), Programme)}") from error
    problems = list(_problems(programme))
    if problems:
        raise ProgrammeInvalid("\n".join(problems))
    return programme


def _problems(programme: Programme) -> Iterator[str]:
    try:
        ZoneInfo(programme.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is an OSError
        yield f"zone: {programme.zone!r} is not a time zone"
    for index, provider in enumerate(programme.provider):
        if not provider.url.startswith(("https://", "http://")):
            yield f"provider[{index}].url: must begin with https:// or http://"
    yield from currency_problems(programme.currency, programme.currencies)
    yield from _duplicates(programme)
    taken = (programme.asset_classes, programme.currencies)
    yield from policy_problems(programme.policy, programme.tier, *taken)
    yield from _amounts(programme)
    yield from _benefits(programme)
    yield from _lines(programme)
    for path, text in _texts(programme):
        if missing := [language for language in LANGUAGES if not text.get(language)]:
            yield f"{path}: no text in {', '.join(missing)}"
    for index, words in enumerate(" ".join(each.about.values()) for each in programme.benefit):
        if claimed := claim_of(words):
            yield f"benefit[{index}].about: {claimed!r} must not be claimed"


def _duplicates(programme: Programme) -> Iterator[str]:
    for kind in ("tier", "provider", "budget", "benefit", "line"):
        seen = set[str]()
        for index, item in enumerate(getattr(programme, kind)):
            if item.code in seen:
                yield f"{kind}[{index}].code: {item.code!r} stands twice"
            seen.add(item.code)


def _amounts(programme: Programme) -> Iterator[str]:
    amounts = list(thresholds(programme.tier))
    amounts += [(f"budget[{i}].total", b.total) for i, b in enumerate(programme.budget)]
    amounts += [(f"benefit[{i}].cost", b.cost) for i, b in enumerate(programme.benefit)]
    for path, amount in amounts:
        if not amount.is_finite() or amount < 0:
            yield f"{path}: must be an amount of at least 0"
            continue
        try:
            programme.minor(amount)
        except ValueError as error:
            yield f"{path}: {error}"


def _benefits(programme: Programme) -> Iterator[str]:
    budgets = {budget.code for budget in programme.budget}
    providers = {provider.code for provider in programme.provider}
    for index, benefit in enumerate(programme.benefit):
        path = f"benefit[{index}]"
        if benefit.provider not in providers:
            hint = suggestion(benefit.provider, providers)
            yield f"{path}.provider: {benefit.provider!r} is not defined{hint}"
        if benefit.budget not in budgets:
            hint = suggestion(benefit.budget, budgets)
            yield f"{path}.budget: {benefit.budget!r} is not defined{hint}"
        if benefit.stock is not None and benefit.stock < 0:
            yield f"{path}.stock: must be at least 0"
        yield from _units(programme, path, benefit)


def _units(programme: Programme, path: str, benefit: Benefit) -> Iterator[str]:
    """Yield what is wrong with the units that a benefit has, draws and takes (C-2)."""
    if benefit.draws:
        drawn = programme.benefits.get(benefit.draws)
        if drawn is None:
            hint = suggestion(benefit.draws, programme.benefits)
            yield f"{path}.draws: {benefit.draws!r} is not defined{hint}"
            return
        if drawn.draws:
            yield f"{path}.draws: {benefit.draws!r} has no units of its own"
            return
        if benefit.scale:
            yield f"{path}.scale: stands with {benefit.draws!r}, whose units these are"
    scale = programme.scale(benefit)
    yield from _quantity(f"{path}.takes", benefit.takes, scale, most=TAKES_MAX)
    if benefit.cap is not None:
        yield from _quantity(f"{path}.cap.limit", benefit.cap.limit, scale)


def _quantity(path: str, quantity: Quantity, scale: int, *, most: int = LARGEST) -> Iterator[str]:
    """Yield why a quantity in a programme is none; the least is one step."""
    if not (Decimal(quantity).is_finite() and units.whole(1, scale) <= quantity <= most):
        yield f"{path}: must be between {units.whole(1, scale)} and {most}"
        return
    try:
        units.steps(quantity, scale)
    except QuantityTooFine:
        yield f"{path}: {quantity} has more than {scale} decimals; see the benefit's scale"


def _lines(programme: Programme) -> Iterator[str]:
    tiers = {tier.code for tier in programme.tier}
    for index, line in enumerate(programme.line):
        path = f"line[{index}]"
        benefit = programme.benefits.get(line.benefit)
        if benefit is None:
            hint = suggestion(line.benefit, programme.benefits)
            yield f"{path}.benefit: {line.benefit!r} is not defined{hint}"
        elif benefit.draws:
            yield f"{path}.benefit: {line.benefit!r} draws units of {benefit.draws!r}: bring those"
        for tier, quantity in line.quota.items():
            if tier not in tiers:
                yield f"{path}.quota: tier {tier!r} is not defined{suggestion(tier, tiers)}"
            scale = benefit.scale if benefit else 0
            yield from _quantity(f"{path}.quota.{tier}", quantity, scale)


def _texts(programme: Programme) -> Iterator[tuple[str, Text]]:
    yield "name", programme.name
    for kind in ("tier", "provider", "benefit"):
        for index, item in enumerate(getattr(programme, kind)):
            yield f"{kind}[{index}].name", item.name
    for index, tier in enumerate(programme.tier):
        for nth, way in enumerate(tier.any):
            yield f"tier[{index}].any[{nth}].name", way.name
