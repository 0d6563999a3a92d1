"""What may be given for what: trigger by nature of the reward, by China's published rules (X-1).

The matrix is data. What it forbids is refused with what forbids it; what needs an approval is
given only once two people have agreed on it. Forbidden cells follow published rules, retold in
our words; the others are a cautious reading that a bank's own compliance signs off.
"""

import enum
from decimal import Decimal

# The dearest prize of a draw, in major units.
PRIZE_MAX = Decimal(50_000)


class Nature(enum.Enum):
    """What a benefit is, as compliance sees it (P-1)."""

    CASH = "CASH"
    SECURITY = "SECURITY"
    PHYSICAL_GIFT = "PHYSICAL_GIFT"
    VOUCHER_VALUE = "VOUCHER_VALUE"
    DISCOUNT = "DISCOUNT"
    SERVICE = "SERVICE"
    POINTS = "POINTS"
    STATUS = "STATUS"


class Trigger(enum.Enum):
    """What a member gets something for."""

    DEPOSIT = "DEPOSIT"
    TIER = "TIER"
    AUM_GROWTH = "AUM_GROWTH"
    WEALTH_PURCHASE = "WEALTH_PURCHASE"
    FUND_PURCHASE = "FUND_PURCHASE"
    INSURANCE_PURCHASE = "INSURANCE_PURCHASE"
    REFERRAL = "REFERRAL"
    RANDOM_DRAW = "RANDOM_DRAW"
    ACTIVITY = "ACTIVITY"


class Preset(enum.Enum):
    """Whose rules a programme is held to."""

    CHINA = "china"
    NONE = "none"


class Verdict(enum.Enum):
    """What a rule says of a reward for a trigger."""

    FORBIDDEN = "FORBIDDEN"
    NEEDS_APPROVAL = "NEEDS_APPROVAL"
    ALLOWED = "ALLOWED"


# In the order of `Nature`: x is forbidden, ! needs an approval, + is allowed.
_CHINA: dict[Trigger, str] = {
    Trigger.DEPOSIT: "xxx!!!!+",
    Trigger.TIER: "!x!!++++",
    Trigger.AUM_GROWTH: "!x!!!!!+",
    Trigger.WEALTH_PURCHASE: "xxxx!!!+",
    Trigger.FUND_PURCHASE: "xxx!!!!+",
    Trigger.INSURANCE_PURCHASE: "xxxxxxxx",
    Trigger.REFERRAL: "!x!!++++",
    Trigger.RANDOM_DRAW: "!x!!+++x",
    Trigger.ACTIVITY: "+x++++++",
}
_VERDICTS = {"x": Verdict.FORBIDDEN, "!": Verdict.NEEDS_APPROVAL, "+": Verdict.ALLOWED}
_PURCHASES = {Trigger.WEALTH_PURCHASE, Trigger.FUND_PURCHASE, Trigger.INSURANCE_PURCHASE}

# What forbids a cell: by its trigger, else by its nature.
_BY_TRIGGER: dict[Trigger, str] = {
    Trigger.DEPOSIT: (
        "Commercial Bank Law and the regulators' notice on deposit deviation (2018): deposits are "
        "not drawn by giving back cash or securities, nor by gifts."
    ),
    Trigger.WEALTH_PURCHASE: (
        "Measures on the sale of wealth management products (2021): they are not sold by draws, "
        "rebates, gifts, vouchers that stand for money, or other financial products."
    ),
    Trigger.FUND_PURCHASE: (
        "Measures on the supervision of fund distributors (2020): funds are not sold by draws or "
        "rebates, nor by giving goods, insurance or fund units."
    ),
    Trigger.INSURANCE_PURCHASE: (
        "Insurance Law: nobody is given or promised a rebate or any interest beside the contract."
    ),
}
_BY_NATURE: dict[Nature, str] = {
    Nature.SECURITY: (
        "Measures on the suitability of investors: securities and fund units go to people whom "
        "they have been found to suit, so they are no reward."
    ),
    Nature.STATUS: "A status stands for a rule that is met; a draw is none.",
}
_PRIZE = "Anti-Unfair Competition Law: the highest prize of a draw is worth 50 000 yuan at most."
_DRAWN_SALE = "Measures on the sale of wealth products and funds: they are not sold by draws."
_ASK = "Our cautious reading: the bank's compliance signs it off."


def matrix(trigger: Trigger, nature: Nature) -> tuple[Verdict, str]:
    """Return what China's rules say of a reward for a trigger, and where they say it (X-1)."""
    cell = _CHINA[trigger][list(Nature).index(nature)]
    verdict = _VERDICTS[cell]
    match verdict:
        case Verdict.FORBIDDEN:
            return verdict, _BY_TRIGGER.get(trigger) or _BY_NATURE[nature]
        case Verdict.NEEDS_APPROVAL:
            return verdict, _ASK
        case Verdict.ALLOWED:
            return verdict, ""


def prize(worth: Decimal) -> str:
    """Return what forbids a draw for something worth so much; nothing where it may be drawn."""
    return _PRIZE if worth > PRIZE_MAX else ""


def drawn_sale(triggers: frozenset[Trigger]) -> str:
    """Return what forbids to draw for what is also given for a purchase; nothing if it is not."""
    return _DRAWN_SALE if Trigger.RANDOM_DRAW in triggers and triggers & _PURCHASES else ""
