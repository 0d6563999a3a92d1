"""A benefit: what a member may get, who fulfils it, what it costs and when it is spent (P-1)."""

import enum
from decimal import Decimal
from typing import Annotated

import msgspec

from benefits.domain.compliance import Nature, Trigger
from benefits.domain.limits import Cap
from benefits.domain.policy import Text
from benefits.domain.units import SCALE_MAX

UNITS = "BENEFIT:"


class Kind(enum.Enum):
    """How a provider fulfils a benefit (V-1)."""

    DIRECT_TOPUP = "DIRECT_TOPUP"
    WALLET_COUPON = "WALLET_COUPON"
    BOOKING = "BOOKING"


class Consumed(enum.Enum):
    """When a claimed unit is spent: at the provider's delivery, or at the member's use (V-1)."""

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
    nature: Nature = Nature.SERVICE
    triggers: tuple[Trigger, ...] = (Trigger.ACTIVITY,)

    @property
    def unit(self) -> str:
        """The ledger's unit that this benefit takes (C-2)."""
        return f"{UNITS}{self.draws or self.code}"
