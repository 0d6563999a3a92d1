"""What finance is told: totals by what they belong to, liability, vintages (Q-6).

Lines are ready to be shown: whole units, exact (C-2), and money in major units, as exact decimal
text. A vintage is the units of a benefit granted in one month. Not accounting: what accounting
starts from.
"""

import csv
import enum
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import islice

import msgspec

from benefits.domain.benefit import UNITS, Benefit
from benefits.domain.catalogue import Catalogue
from benefits.domain.choice import CHOICES
from benefits.domain.ledger import Account
from benefits.domain.programme import Programme
from benefits.domain.units import Quantity
from benefits.domain.values import Month

MONEY = "MONEY:"
_BUDGETS = "budget."
PLACES = 6
CHUNK_LINES = 500


class By(enum.Enum):
    """What figures are added up by."""

    UNIT = "unit"
    BENEFIT = "benefit"
    PROGRAMME = "programme"
    PROVIDER = "provider"
    COST_CENTRE = "cost_centre"


class TotalLine(msgspec.Struct, frozen=True, order=True):
    """What an account came to; `currency` is empty where the amount is units."""

    key: str
    unit: str
    account: str
    amount: str
    currency: str


class LiabilityLine(msgspec.Struct, frozen=True, order=True):
    """Outstanding units of a benefit and what they cost at most."""

    key: str
    benefit: str
    programme: str
    provider: str
    cost_centre: str
    available: Quantity
    held: Quantity
    unit_cost: str
    liability: str
    currency: str


class LiabilitySum(msgspec.Struct, frozen=True, order=True):
    """What the outstanding units under one key cost at most."""

    key: str
    liability: str
    currency: str


class VintageLine(msgspec.Struct, frozen=True, order=True):
    """The units of a benefit granted in a month; issued = all the other units together."""

    benefit: str
    month: str
    issued: Quantity
    redeemed: Quantity
    expired: Quantity
    revoked: Quantity
    moved: Quantity
    outstanding: Quantity
    breakage: str
    expected_use: str
    expected_redeemed: str
    unit_value: str
    provision: str
    revenue_to_date: str
    currency: str


def major(minor: int, digits: int) -> str:
    """Return minor units as decimal text in major units."""
    sign, number = ("-" if minor < 0 else ""), str(abs(minor)).rjust(digits + 1, "0")
    return sign + (f"{number[:-digits]}.{number[-digits:]}" if digits else number)


def _decimal(value: Fraction) -> str:
    return major(_whole(value * 10**PLACES, up=False), PLACES)


def _whole(value: Fraction, *, up: bool) -> int:
    """Return a whole number: the next one up, or the nearest with halves away from zero."""
    if up:
        return -(-value.numerator // value.denominator)
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def revenue_to_date(allocated_minor: Fraction | int, redeemed: int, expected: Fraction) -> int:
    """Return what of an allocated price is earned: allocated × redeemed / expected (Q-6).

    Never more than was allocated. What a change of the estimate brings is the difference of two.
    """
    if redeemed == 0:
        return 0
    share = Fraction(redeemed) / expected if expected > redeemed else 1
    return _whole(Fraction(allocated_minor * share), up=False)


def key_of(catalogue: Catalogue, by: By, *, unit: str, account: str, party: str) -> str:
    """Return what a balance belongs to; empty where it belongs to nothing of that kind."""
    if by is By.UNIT:
        return unit
    if unit.startswith(CHOICES):
        chosen = catalogue.item_of(unit)
        return chosen[0].code if chosen and by is By.PROGRAMME else ""
    if unit.startswith(UNITS):
        offer = catalogue.offers.get(unit.removeprefix(UNITS))
        return "" if offer is None else _of_benefit(catalogue, by, *offer)
    if by is By.PROVIDER:
        return "" if account.startswith(_BUDGETS) else party
    found = catalogue.budgets.get(party) if account.startswith(_BUDGETS) else None
    if found is None or by is By.BENEFIT:
        return ""
    return found[0].code if by is By.PROGRAMME else found[1].charged_to


def _of_benefit(catalogue: Catalogue, by: By, programme: Programme, benefit: Benefit) -> str:
    match by:
        case By.UNIT:
            return benefit.unit
        case By.BENEFIT:
            return benefit.code
        case By.PROGRAMME:
            return programme.code
        case By.PROVIDER:
            return benefit.provider
        case By.COST_CENTRE:
            return catalogue.budgets[benefit.budget][1].charged_to


Balance = tuple[str, str, str, int]  # unit, party, account, amount


def total_lines(catalogue: Catalogue, by: By, balances: Iterable[Balance]) -> list[TotalLine]:
    """Return balances added up; those of one key and unit sum to zero (I2)."""
    sums = dict[tuple[str, str, str], int]()
    for unit, party, account, amount in balances:
        key = (key_of(catalogue, by, unit=unit, account=account, party=party), unit, account)
        sums[key] = sums.get(key, 0) + amount
    return [
        TotalLine(*key, *amount_of(catalogue, key[1], amount))
        for key, amount in sorted(sums.items())
        if amount
    ]


def amount_of(catalogue: Catalogue, unit: str, amount: int) -> tuple[str, str]:
    """Return an amount of a unit as text, and its currency where it is money."""
    if not unit.startswith(MONEY):
        return str(catalogue.whole(unit, amount)), ""
    currency = unit.removeprefix(MONEY)
    return major(amount, catalogue.digits.get(currency, 2)), currency


def liability_lines(
    catalogue: Catalogue, by: By, balances: Iterable[Balance]
) -> tuple[list[LiabilityLine], list[LiabilitySum]]:
    """Return what outstanding units cost at most, per benefit, and added up."""
    units = dict[str, dict[str, int]]()
    for unit, _, account, amount in balances:
        if account in {Account.AVAILABLE.value, Account.HELD.value}:
            units.setdefault(unit, {})[account] = amount
    lines, sums = list[LiabilityLine](), dict[tuple[str, str], int]()
    for unit, at in units.items():
        offer = catalogue.item_of(unit)
        if offer is None:
            continue
        programme, item = offer
        benefit = programme.dearest(item)  # what is not chosen yet may become that
        available = at.get(Account.AVAILABLE.value, 0)
        held = at.get(Account.HELD.value, 0)
        cost = programme.step_cost(benefit)
        minor = _whole((available + held) * cost, up=True)
        key = _of_benefit(catalogue, by, programme, benefit)
        place = (key, programme.currency)
        sums[place] = sums.get(place, 0) + minor
        lines.append(
            LiabilityLine(
                key=key,
                benefit=item.code,
                programme=programme.code,
                provider=benefit.provider,
                cost_centre=catalogue.budgets[benefit.budget][1].charged_to,
                available=programme.whole(item, available),
                held=programme.whole(item, held),
                unit_cost=_unit_cost(programme, benefit),
                liability=major(minor, programme.minor_digits),
                currency=programme.currency,
            )
        )
    digits = catalogue.digits
    added = [LiabilitySum(k, major(v, digits[c]), c) for (k, c), v in sorted(sums.items())]
    return sorted(lines), added


def _unit_cost(programme: Programme, benefit: Benefit) -> str:
    """Return what a whole unit costs at most, rounded up where it does not divide (C-3)."""
    cost = programme.step_cost(benefit) * programme.steps(benefit, 1)
    return major(_whole(cost, up=True), programme.minor_digits)


class CostLine(msgspec.Struct, frozen=True, order=True):
    """What units of a benefit cost in a month, by the line that brought them; rewards have none.

    `spent` is in major units, net of what came back.
    """

    cost_centre: str
    programme: str
    line: str
    benefit: str
    budget: str
    spent: str
    currency: str

    @property
    def place(self) -> tuple[str, str, str, str, str, str]:
        """What tells it from the other lines, in their order."""
        of = (self.cost_centre, self.programme, self.line)
        return (*of, self.benefit, self.budget, self.currency)


Spending = tuple[str, str, str, str, str, int]  # programme, line, unit, budget, money, minor units


def cost_lines(catalogue: Catalogue, spent: Iterable[Spending]) -> list[CostLine]:
    """Return what was spent by whose account it is charged to: the line's or the budget's."""
    return sorted(
        CostLine(
            _charged_to(catalogue, programme, line, budget),
            programme,
            line,
            unit.removeprefix(UNITS),
            budget,
            *amount_of(catalogue, money, minor),
        )
        for programme, line, unit, budget, money, minor in spent
    )


def _charged_to(catalogue: Catalogue, programme: str, line: str, budget: str) -> str:
    of = catalogue.programmes.get(programme)
    for one in of.line if of is not None else ():
        if one.code == line and one.cost_centre:
            return one.cost_centre
    found = catalogue.budgets.get(budget)
    return budget if found is None else found[1].charged_to


class Units(msgspec.Struct):
    """The units of lots in steps, as they stand: `over` are of lots that have ended."""

    issued: int = 0
    redeemed: int = 0
    expired: int = 0
    revoked: int = 0
    moved: int = 0
    outstanding: int = 0
    over_redeemed: int = 0
    over_expired: int = 0

    def add(self, account: str, amount: int, *, over: bool) -> None:
        """Take in what an account came to."""
        match Account(account):
            case Account.ISSUED:
                self.issued -= amount
            case Account.TRANSFERRED | Account.RECEIVED:
                pass  # what one member lost another got, as of the same month
            case Account.AVAILABLE | Account.HELD:
                self.outstanding += amount
            case Account.REDEEMED:
                self.redeemed += amount
                self.over_redeemed += amount if over else 0
            case Account.EXPIRED:
                self.expired += amount
                self.over_expired += amount if over else 0
            case Account.REVOKED:
                self.revoked += amount
            case _:
                self.moved += amount


def observed_use(redeemed: int, expired: int) -> Fraction:
    """Return the share of ended units that were used; 1 while nothing tells (prudence)."""
    return Fraction(redeemed, redeemed + expired) if redeemed + expired else Fraction(1)


def vintage_lines(
    catalogue: Catalogue,
    units: Mapping[tuple[str, Month], Units],
    given: Decimal | None = None,
) -> list[VintageLine]:
    """Return vintages; what share of outstanding units will be used is `given` or observed."""
    ended = dict[str, tuple[int, int]]()
    for (unit, _), one in units.items():
        redeemed, expired = ended.get(unit, (0, 0))
        ended[unit] = (redeemed + one.over_redeemed, expired + one.over_expired)
    return [
        _vintage(offer, month, one, Fraction(given) if given is not None else use)
        for (unit, month), one in sorted(units.items())
        if (offer := catalogue.offers.get(unit.removeprefix(UNITS))) is not None
        for use in [observed_use(*ended[unit])]
    ]


def _vintage(
    offer: tuple[Programme, Benefit], month: Month, units: Units, use: Fraction
) -> VintageLine:
    programme, benefit = offer
    cost, digits = programme.step_cost(benefit), programme.minor_digits
    shown = partial(programme.whole, benefit)
    expected = units.redeemed + units.outstanding * use
    breakage = Fraction(units.expired, units.issued) if units.issued else Fraction(0)
    earned = revenue_to_date(units.issued * cost, units.redeemed, expected)
    return VintageLine(
        benefit=benefit.code,
        month=str(month),
        issued=shown(units.issued),
        redeemed=shown(units.redeemed),
        expired=shown(units.expired),
        revoked=shown(units.revoked),
        moved=shown(units.moved),
        outstanding=shown(units.outstanding),
        breakage=_decimal(breakage),
        expected_use=_decimal(use),
        expected_redeemed=_decimal(expected / programme.steps(benefit, 1)),
        unit_value=_unit_cost(programme, benefit),
        provision=major(_whole(units.outstanding * use * cost, up=True), digits),
        revenue_to_date=major(earned, digits),
        currency=programme.currency,
    )


def csv_chunks(
    kind: type[msgspec.Struct], lines: Iterable[msgspec.Struct], **all_: str
) -> Iterator[str]:
    """Yield lines of a kind as CSV with a header; `all_` are columns, the same in each.

    A chunk is of at most `CHUNK_LINES` lines, and no line is taken before its chunk is wanted.
    """
    yield _written([[*kind.__struct_fields__, *all_]])
    each = iter(lines)
    while chunk := list(islice(each, CHUNK_LINES)):
        yield _written([[*msgspec.structs.astuple(line), *all_.values()] for line in chunk])


def _written(records: Iterable[Sequence[object]]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(records)
    return written.getvalue()


def csv_text(kind: type[msgspec.Struct], lines: Iterable[msgspec.Struct], **all_: str) -> str:
    """Return lines of a kind as CSV with a header, whole."""
    return "".join(csv_chunks(kind, lines, **all_))
