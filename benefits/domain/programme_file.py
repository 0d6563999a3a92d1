"""The programme, as a bank writes it down: one readable TOML file is one version of it.

`read` checks everything a version promises about itself: every name that is used is defined, the
ladder ascends, every amount is exact in the programme's currency.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from benefits.domain import prices, spelling, toml, units
from benefits.domain.auto_claims import claiming_problems
from benefits.domain.benefit import Benefit, Kind
from benefits.domain.booking_problems import booking_problems
from benefits.domain.choice_problems import brought_problems, choice_problems
from benefits.domain.code_pool_problems import code_pool_problems
from benefits.domain.currencies import currency_problems
from benefits.domain.eligibility import Frame, asks_metric, rule_problems
from benefits.domain.exclusions import exclusion_problems
from benefits.domain.fields import Place
from benefits.domain.kind_problems import kind_problems
from benefits.domain.limit_problems import budget_problems, limit_problems
from benefits.domain.packages import Line, Start, line_problems
from benefits.domain.policy import Text, policy_problems, thresholds
from benefits.domain.programme import Programme, ProgrammeInvalid
from benefits.domain.replacement_problems import replacement_problems
from benefits.domain.settlement_problems import settlement_problems
from benefits.domain.spelling import suggestion
from benefits.domain.stacking import StackBy, stack_problems
from benefits.domain.units import LARGEST, Quantity, QuantityTooFine
from benefits.domain.values import YEARS
from benefits.domain.wechat_problems import wechat_problems
from benefits.domain.wording import claim_of

LANGUAGES = ("zh", "en")
TAKES_MAX = 100
CODE = re.compile(r"[\w.-]{1,64}")
_CODED = ("tier", "provider", "budget", "benefit", "choice", "line", "limit", "consent")


def read(text: str) -> Programme:
    """Read a programme file; ProgrammeInvalid names every contradiction by its path."""
    try:
        programme = toml.read(text, Programme)
    except RecursionError as error:
        raise ProgrammeInvalid("The file is nested too deeply.") from error
    except msgspec.DecodeError as error:
        raise ProgrammeInvalid(f"{error}{spelling.hint(str(error), Programme)}") from error
    problems = list(_problems(programme))
    if problems:
        raise ProgrammeInvalid("\n".join(problems))
    return programme


def write(programme: Programme) -> str:
    """Write all of a programme as a file, which `read` reads as the very same version."""
    return toml.write(msgspec.to_builtins(programme))


def _problems(programme: Programme) -> Iterator[str]:
    try:
        ZoneInfo(programme.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is an OSError
        yield f"zone: {programme.zone!r} is not a time zone"
    yield from currency_problems(programme.currency, programme.currencies)
    yield from _codes(programme)
    yield from _unwritable("", msgspec.to_builtins(programme))
    yield from _duplicates(programme)
    yield from policy_problems(programme.policy, programme.tier, programme.asset_classes)
    yield from _amounts(programme)
    yield from budget_problems(programme)
    yield from _benefits(programme)
    yield from replacement_problems(programme)
    yield from booking_problems(programme)
    yield from settlement_problems(programme)
    yield from limit_problems(programme)
    yield from choice_problems(programme)
    yield from exclusion_problems(programme.benefit)
    yield from wechat_problems(programme)
    yield from code_pool_problems(programme)
    yield from kind_problems(programme)
    yield from _lines(programme)
    yield from _rules(programme)
    for path, text in _texts(programme):
        if missing := [language for language in LANGUAGES if not text.get(language)]:
            yield f"{path}: no text in {', '.join(missing)}"
    about = ((f"benefit[{n}].about", each.about) for n, each in enumerate(programme.benefit))
    for path, text in (*_texts(programme), *about):
        if claimed := next(filter(None, map(claim_of, text.values())), None):
            yield f"{path}: {claimed!r} must not be claimed"


def _codes(programme: Programme) -> Iterator[str]:
    """Yield what is no code: it stands in addresses, in the names of counters, and in paths."""
    found = [("code", programme.code)]
    for kind in _CODED:
        for index, item in enumerate(getattr(programme, kind)):
            found.append((f"{kind}[{index}].code", item.code))
    for path, code in found:
        if not CODE.fullmatch(code):
            yield f"{path}: {code!r} must have 1 to 64 letters, digits, or any of _ . -"


def _unwritable(path: str, value: object) -> Iterator[str]:
    """Yield where a text has the one character that the books cannot hold."""
    match value:
        case str() if "\x00" in value:
            yield f"{path}: has a NUL character"
        case dict():
            for key, each in value.items():
                yield from _unwritable(f"{path}.{key}".lstrip("."), each)
        case list() | tuple():
            for index, each in enumerate(value):
                yield from _unwritable(f"{path}[{index}]", each)
        case _:
            pass


def _duplicates(programme: Programme) -> Iterator[str]:
    for kind in _CODED:
        seen = set[str]()
        for index, item in enumerate(getattr(programme, kind)):
            if item.code in seen:
                yield f"{kind}[{index}].code: {item.code!r} stands twice"
            seen.add(item.code)


def _amounts(programme: Programme) -> Iterator[str]:
    amounts = list(thresholds(programme.tier))
    amounts += [(f"budget[{i}].total", b.total) for i, b in enumerate(programme.budget)]
    amounts += [(f"benefit[{i}].cost", b.cost) for i, b in enumerate(programme.benefit)]
    for i, benefit in enumerate(programme.benefit):
        for j, price in enumerate(benefit.prices):
            amounts.append((f"benefit[{i}].prices[{j}].cost", price.cost))
            if price.market_value is not None:
                amounts.append((f"benefit[{i}].prices[{j}].market_value", price.market_value))
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
        for at, why in prices.misfits(benefit.prices, benefit.cost):
            yield f"{path}.prices{at}: {why}"
        if benefit.stock is not None and benefit.stock < 0:
            yield f"{path}.stock: must be at least 0"
        yield from _dates(path, benefit)
        yield from _units(programme, path, benefit)


def _dates(path: str, benefit: Benefit) -> Iterator[str]:
    """Yield what is wrong with the days of a benefit (P-9, V-6)."""
    dates = {
        "contract_end": benefit.contract_end,
        "claim_from": benefit.claim_from,
        "claim_until": benefit.claim_until,
        "use.until": benefit.use.until if benefit.use else None,
    }
    for name, day in dates.items():
        if day is not None and day.year not in YEARS:
            years = f"{YEARS.start} to {YEARS.stop - 1}"
            yield f"{path}.{name}: must lie in the years {years}; leave it out for no end"
    if benefit.lead_days and benefit.contract_end is None:
        yield f"{path}.lead_days: stands with a contract_end"
    first, last = benefit.claim_from, benefit.window_ends
    if first is not None and last is not None and first > last:
        yield f"{path}.claim_from: is after {last}, the last day for claims"
    if benefit.use is not None and benefit.kind is Kind.DIRECT_TOPUP:
        yield f"{path}.use: a DIRECT_TOPUP is used as it is delivered"


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
    yield from _stacking(programme, path, benefit)


def _stacking(programme: Programme, path: str, benefit: Benefit) -> Iterator[str]:
    """Yield what is wrong with how a benefit's lines stack (P-7)."""
    stacking = benefit.stacking
    if benefit.draws and not stacking.is_plain:
        yield f"{path}.stacking: stands with {benefit.draws!r}, whose units these are"
        return
    if stacking.cap is not None:
        yield from _quantity(f"{path}.stacking.cap", stacking.cap, benefit.scale)
        if stacking.by is not StackBy.SUM:
            yield f"{path}.stacking.cap: only a SUM is capped"
    lines = [(n, line) for n, line in enumerate(programme.line) if line.benefit == benefit.code]
    yield from stack_problems(stacking, lines)


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
        yield from brought_problems(programme, path, line)
        yield from line_problems(path, line)
        yield from claiming_problems(programme, path, line)
        for tier in line.quota:
            if tier not in tiers:
                yield f"{path}.quota: tier {tier!r} is not defined{suggestion(tier, tiers)}"
        scale = benefit.scale if benefit else 0
        wrong = list(_brought(path, line, scale))
        yield from wrong
        if line.carry is not None and not wrong and line.carry.cap < line.most:
            yield f"{path}.carry.cap: a period brings up to {line.most}, which would not fit"


def _brought(path: str, line: Line, scale: int) -> Iterator[str]:
    """Yield which quantities of a line are none."""
    for tier, quantity in line.quota.items():
        yield from _quantity(f"{path}.quota.{tier}", quantity, scale)
    if line.segment is not None:
        yield from _quantity(f"{path}.quantity", line.quantity, scale)
    if line.carry is not None:
        yield from _quantity(f"{path}.carry.cap", line.carry.cap, scale)


def _rules(programme: Programme) -> Iterator[str]:
    """Yield what is wrong with who is let in, and with what members are asked to agree to."""
    tiers = tuple(programme.ranks)
    frame = Frame(tiers, programme.minor_digits)
    for index, benefit in enumerate(programme.benefit):
        for tier in benefit.companions.keys() - programme.ranks.keys():
            hint = suggestion(tier, tiers)
            yield f"benefit[{index}].companions: tier {tier!r} is not defined{hint}"
        if benefit.eligible is not None:
            path = f"benefit[{index}].eligible"
            yield from rule_problems(path, benefit.eligible, Place.CLAIM, frame)
        if benefit.consent and benefit.consent not in programme.consents:
            hint = suggestion(benefit.consent, programme.consents)
            yield f"benefit[{index}].consent: {benefit.consent!r} is not defined{hint}"
    for index, line in enumerate(programme.line):
        if line.eligible is not None:
            path = f"line[{index}].eligible"
            wrong = list(rule_problems(path, line.eligible, Place.GRANT, frame))
            yield from wrong
            if not wrong and line.start is Start.PERIOD and asks_metric(line.eligible):
                yield f'{path}.metric: is known by the evaluation; write start = "EVALUATION"'


def _texts(programme: Programme) -> Iterator[tuple[str, Text]]:
    yield "name", programme.name
    for kind in ("tier", "provider", "benefit", "choice"):
        for index, item in enumerate(getattr(programme, kind)):
            yield f"{kind}[{index}].name", item.name
    for index, line in enumerate(programme.line):
        if line.segment is not None:
            yield f"line[{index}].segment.name", line.segment.name
    for index, tier in enumerate(programme.tier):
        for nth, way in enumerate(tier.any):
            yield f"tier[{index}].any[{nth}].name", way.name
    for index, consent in enumerate(programme.consent):
        yield f"consent[{index}].text", consent.text
