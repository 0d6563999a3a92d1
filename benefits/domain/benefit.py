"""A benefit: what a member may get, who fulfils it, what it costs and when it is spent (P-1)."""

import enum
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated

import msgspec

from benefits.domain.booking import Booking
from benefits.domain.compliance import Nature, Trigger
from benefits.domain.consents import consent_key
from benefits.domain.eligibility import Rule
from benefits.domain.lattice import Unused
from benefits.domain.limits import Cap
from benefits.domain.policy import Text
from benefits.domain.prices import Price, PricedAt
from benefits.domain.stacking import Stacking
from benefits.domain.units import SCALE_MAX
from benefits.domain.use import Use

COMPANIONS_MAX = 9
UNITS = "BENEFIT:"


class Kind(enum.Enum):
    """How a provider fulfils a benefit (V-1); what each asks for stands in `kind_problems`."""

    DIRECT_TOPUP = "DIRECT_TOPUP"
    WALLET_COUPON = "WALLET_COUPON"
    BOOKING = "BOOKING"
    CODE_STOCK = "CODE_STOCK"
    ENTITLEMENT_PUSH = "ENTITLEMENT_PUSH"
    PHYSICAL = "PHYSICAL"
    INTERNAL = "INTERNAL"


AT_ONCE = frozenset({Kind.CODE_STOCK, Kind.INTERNAL})  # there in the claim's own transaction


class Consumed(enum.Enum):
    """When a claimed unit is spent: at the provider's delivery, or at the member's use (V-1)."""

    ISSUE = "ISSUE"
    USE = "USE"


class Settled(enum.Enum):
    """What its provider is paid for: every piece it delivered, or those that were used (V-5)."""

    ISSUE = "ISSUE"
    USE = "USE"


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


class Benefit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something a member may get; `cost` is the worst cost of one piece, in major units (P-1).

    A claim is of whole pieces, which the provider delivers, and each takes `takes` units: its own,
    or those of the benefit that `draws` names. Units of a benefit have `scale` decimals (C-2).
    `recipient` names the fields a claim must bring for the provider and for nobody else (X-4).
    Only those may claim it whom the rule `eligible` lets in, and who agreed to the programme's
    `consent` for its provider (E-1, E-4).
    Its provider delivers through `contract_end`; claims end `lead_days` before, or go on by the
    `replacement` that is named, piece for piece (V-6).
    Where several lines bring it, `stacking` says what a period brings in all (P-7).
    By their tier members may bring `companions`, each of whom takes as much as they do (V-10).
    Of all that name the same `exclusion` a member claims one alone (K-2).
    It is claimed from `claim_from` through `claim_until`, and is used as `use` says (P-9); where
    its units are spent by use, `unused` says what becomes of those that are not in time (V-5).
    A piece is paid by the one of its `prices` that is in force when `priced_at` says; `cost` is
    the worst of them, and what it costs while none is (V-7).
    Its provider is paid for what is spent; where units are spent by the delivery and it is
    `settled` by USE, what was not used when an order ends costs nothing (V-5).
    Where it has a `booking` its claims are for a time (V-10).
    `triggers` are what it may be a reward for; with its `nature` they are judged (X-1).
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
    eligible: Rule | None = None
    consent: str = ""
    companions: dict[str, Annotated[int, msgspec.Meta(ge=1, le=COMPANIONS_MAX)]] = {}
    contract_end: date | None = None
    lead_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 0
    replacement: str = ""
    stacking: Stacking = Stacking()
    exclusion: Annotated[str, msgspec.Meta(pattern=r"\A([A-Za-z0-9_.-]{1,64})?\Z")] = ""
    claim_from: date | None = None
    claim_until: date | None = None
    use: Use | None = None
    prices: tuple[Price, ...] = ()
    priced_at: PricedAt = PricedAt.CLAIM
    unused: Unused = Unused.RETURN
    booking: Booking | None = None
    settled: Settled | None = None

    @property
    def is_paid_by_use(self) -> bool:
        """Whether units are spent by the delivery and only those that are used are paid (V-5)."""
        return self.consumed is Consumed.ISSUE and self.settled is Settled.USE

    @property
    def last_claim(self) -> date | None:
        """The last day on which it can be claimed; None while no end is agreed (V-6)."""
        if self.contract_end is None:
            return None
        return self.contract_end - timedelta(days=self.lead_days)

    @property
    def window_ends(self) -> date | None:
        """The last day of its window; what could not be used any more is claimed no more (P-9)."""
        ends = [self.claim_until, self.use.until if self.use else None]
        return min((end for end in ends if end is not None), default=None)

    nature: Nature = Nature.SERVICE
    triggers: tuple[Trigger, ...] = (Trigger.ACTIVITY,)

    @property
    def worth(self) -> Decimal:
        """What a piece is worth at most: its cost, or the market value of any of its prices."""
        values = (price.market_value for price in self.prices)
        return max([self.cost, *(value for value in values if value is not None)])

    @property
    def unit(self) -> str:
        """The ledger's unit that this benefit takes (C-2)."""
        return f"{UNITS}{self.draws or self.code}"

    @property
    def asks_member(self) -> bool:
        """Whether a claim is decided by what is known of the member, too."""
        return self.eligible is not None or bool(self.consent)

    @property
    def consent_key(self) -> str:
        """The consent that a claim needs; empty where it needs none."""
        return consent_key(self.consent, self.provider) if self.consent else ""
