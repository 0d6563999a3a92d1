"""One benefit in words: what it brings, what it asks, why it cannot be claimed now."""

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from uuid import uuid4

import msgspec
from babel.lists import format_list

from benefits.actions.claim import QuantityInvalid, UnknownBenefit, UnknownMember
from benefits.domain import exclusions, units
from benefits.domain.benefit import AT_ONCE, Benefit, Consumed, Kind
from benefits.domain.blocks import Blocked
from benefits.domain.booking import BookingTime
from benefits.domain.consents import ConsentRequired
from benefits.domain.eligibility import NotEligible, described
from benefits.domain.entitlement import (
    BudgetExhausted,
    CapReached,
    ContractEnded,
    GuestLimit,
    MemberClosed,
    RecipientIncomplete,
    StockExhausted,
)
from benefits.domain.exclusions import Excluded
from benefits.domain.ledger import InsufficientUnits, LotExpired
from benefits.domain.packages import Line
from benefits.domain.prices import price_on
from benefits.domain.programme import Item, Programme
from benefits.domain.requests import KeyConflict
from benefits.domain.units import Quantity
from benefits.domain.use import ClaimWindow
from benefits.domain.values import local_date
from benefits.domain.waits import AlreadyWaiting
from benefits.store.pages import Entitlement
from benefits.web.page.facts import Facts
from benefits.web.page.shown_booking import Times, booking_words, times
from benefits.web.page.shown_limits import (
    contract_words,
    full_words,
    instead_words,
    limit_words,
    use_words,
    window_words,
)
from benefits.web.page.shown_lines import (
    CLAIMS,
    FALLS,
    RISES,
    STACKS,
    Brings,
    arrival,
    brings,
    end_words,
    lines_of,
    renewals,
    start_words,
)
from benefits.web.page.shown_waits import OVER_WORDS, Wait, waiting
from benefits.web.problems import ReadOnly
from benefits.web.tongue import Message, Tongue, n_

REFUSED_WORDS: dict[str, Message] = {
    MemberClosed.code: n_("Your relationship with the bank has ended, so nothing can be claimed."),
    Blocked.code: n_("Nothing can be claimed with your membership now. Please ask your bank."),
    ContractEnded.code: n_("This benefit is no longer offered."),
    GuestLimit.code: n_("Your tier does not bring so many companions along."),
    ClaimWindow.code: n_("This benefit can be claimed only on certain days; see its rules."),
    RecipientIncomplete.code: n_("Please fill in every field of the form."),
    BookingTime.code: n_("Please choose one of the times that can be booked."),
    ConsentRequired.code: n_("Please agree to what this benefit needs, then claim again."),
    NotEligible.code: n_("This benefit is not for you at the moment; the reason stands here."),
    Excluded.code: n_("Only one of these benefits can be claimed, and you chose another one."),
    CapReached.code: n_("You have reached the limit for this benefit in this period."),
    AlreadyWaiting.code: n_("You are waiting for this benefit already."),
    StockExhausted.code: n_("This benefit is sold out. Nothing was taken from your units."),
    BudgetExhausted.code: n_("This benefit is not available at the moment. Please try later."),
    InsufficientUnits.code: n_("You have no unit of this benefit left."),
    LotExpired.code: n_("Your units of this benefit have expired."),
    UnknownBenefit.code: n_("This benefit is no longer offered."),
    UnknownMember.code: n_("We cannot find your membership. Please ask our customer service."),
    QuantityInvalid.code: n_("This number of units cannot be claimed."),
    ReadOnly.code: n_("Nothing can be claimed at the moment. Your benefits are safe."),
    KeyConflict.code: n_("This form was sent before with other details. Please see your claims."),
}
# What the page's own forms refuse, before a claim is made of them.
FORM_WORDS: dict[str, Message] = {
    "phone_invalid": n_("Please enter an 11-digit mobile number, or + with the country's code."),
}
_CODE_COMES = n_(
    "Your code appears here, usually within minutes. Show it when you use the benefit."
)
AFTER: dict[Kind, Message] = {
    Kind.DIRECT_TOPUP: n_("It is credited directly, mostly within minutes. Nothing more to do."),
    Kind.WALLET_COUPON: _CODE_COMES,
    Kind.BOOKING: _CODE_COMES,
    Kind.CODE_STOCK: n_("Your code is there at once."),
    Kind.ENTITLEMENT_PUSH: n_(
        "Your visits are entered at the provider, usually within minutes. Each visit takes one, "
        "and each companion one more."
    ),
    Kind.PHYSICAL: n_("It is sent to you, and counts as used once it is signed for."),
    Kind.INTERNAL: n_("We do it at once. Nothing more to do."),
}


_PHONE = re.compile(r"1[0-9]{10}|\+[0-9]{7,15}")
_SPACING = re.compile(r"[\s\-]")


class Field(msgspec.Struct, frozen=True):
    """What an input for one of the recipient's fields looks like."""

    label: Message
    type: str = "text"
    inputmode: str = "text"
    autocomplete: str = "off"
    pattern: str = ""
    hint: Message = ""


FIELDS: dict[str, Field] = {
    "phone": Field(
        n_("Mobile number"),
        type="tel",
        inputmode="tel",
        autocomplete="tel",
        pattern=r" *(1([ \-]*[0-9]){10}|\+([ \-]*[0-9]){7,15}) *",
        hint=n_("11-digit mobile number, for example 13800000000"),
    ),
    "name": Field(n_("Name"), autocomplete="name"),
    "email": Field(n_("Email"), type="email", inputmode="email", autocomplete="email"),
    "address": Field(n_("Address"), autocomplete="street-address"),
    "plate": Field(n_("Car plate")),
    "account": Field(n_("Account at the provider")),
}


def typed_in(name: str, text: str) -> str:
    """Return what was typed into a field as its provider gets it."""
    return _SPACING.sub("", text) if name == "phone" else text.strip()


def misfit(recipient: dict[str, str]) -> str:
    """Return the code of what is wrong with a form that is filled in; nothing when it fits."""
    is_wrong = "phone" in recipient and not _PHONE.fullmatch(recipient["phone"])
    return "phone_invalid" if is_wrong else ""


def refused_words(tongue: Tongue, code: str) -> str:
    """Return a refusal in words; nothing when there is no such code."""
    words = REFUSED_WORDS.get(code) or FORM_WORDS.get(code) or OVER_WORDS.get(code)
    return tongue.word(words) if words else ""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A benefit with its rules, and the form that claims a unit; `key` is the form's own.

    `consent` is the purpose that the member must agree to first, and its text. As many
    `companions` can come along, by the member's tier and units. What needs nobody's delivery is
    `there` at once, in these words; what is booked is so for one of the `times`. What has no room
    now `may_wait` for it, or is `waiting`.
    """

    code: str
    name: str
    about: str
    fields: list[tuple[str, Field]]
    key: str
    provider: str
    there: str
    takes: Quantity = 1
    instead: list[str] = []
    available: Quantity = 0
    held: Quantity = 0
    lots: list[str] = []
    why_not: str = ""
    may_wait: bool = False
    waiting: Wait | None = None
    consent: tuple[str, str] | None = None
    companions: int = 0
    times: Times | None = None
    brings: list[Brings] = []
    rules: list[tuple[str, list[str]]] = []


def count_of(programme: Programme, item: Item, steps: int) -> Quantity:
    """Return a number of units as people read it: exact, without zeros at the end (C-2)."""
    return units.plain(programme.whole(item, steps))


def last_day(expires_at: datetime, programme: Programme) -> date:
    """Return the last day units are usable: they are while now < expires_at (C-4)."""
    return local_date(expires_at - timedelta(microseconds=1), programme.tz)


def tier_from(programme: Programme, benefit: Benefit) -> int | None:
    """Return the lowest rank that brings a benefit; None when no tier does."""
    ranks = [
        rank
        for rank, tier in enumerate(programme.tier)
        for line in _lines(programme, benefit)
        if tier.code in line.quota
    ]
    return min(ranks, default=None)


def _lines(programme: Programme, benefit: Benefit) -> list[Line]:
    whose = benefit.draws or benefit.code
    lines = [line for line in programme.line if line.benefit == whose]
    stacking = programme.benefits[whose].stacking
    return sorted(lines, key=lambda line: line.order) if not stacking.is_plain else lines


def is_for(facts: Facts, benefit: Benefit) -> bool:
    """Say whether the member is of a segment that is brought units of a benefit."""
    programme, _ = facts.catalogue.offers[benefit.code]
    mine = lines_of(facts, programme, _lines(programme, benefit))
    return any(line.segment is not None and line.eligible is None for line in mine)


def why_not(tongue: Tongue, facts: Facts, benefit: Benefit) -> str:
    """Return why a unit cannot be claimed now and what would change it; nothing when it can."""
    prospect = facts.prospects[benefit.code]
    match prospect.refusal:
        case None:
            return ""
        case NotEligible() | Excluded() | CapReached() | ClaimWindow() as refusal:
            return _by_rule(tongue, facts, benefit, refusal)
        case StockExhausted():
            return tongue.word(n_("Sold out. Your units stay yours while they are valid."))
        case BudgetExhausted():
            return tongue.word(n_("Not available at the moment. Please try again later."))
        case InsufficientUnits() | LotExpired() as refusal:
            return _no_units(tongue, facts, benefit, expired=isinstance(refusal, LotExpired))
        case refusal:
            return tongue.word(REFUSED_WORDS[refusal.code])


def _by_rule(
    tongue: Tongue,
    facts: Facts,
    benefit: Benefit,
    refusal: NotEligible | Excluded | CapReached | ClaimWindow,
) -> str:
    """Return what of a benefit's own rules stands in the way."""
    match refusal:
        case NotEligible():
            return tongue.text(refusal.why)
        case Excluded():
            words = n_("You can choose one of these only, and you claimed %(name)s.")
            return tongue.say(words, name=_name(tongue, facts, refusal.other))
        case CapReached():
            return full_words(tongue, facts, benefit)
        case ClaimWindow():
            programme, _ = facts.catalogue.offers[benefit.code]
            served = facts.serving(benefit)
            return window_words(tongue, served, local_date(facts.now, programme.tz))


def _name(tongue: Tongue, facts: Facts, code: str) -> str:
    return tongue.text(facts.catalogue.offers[code][1].name)


def _exclusion(tongue: Tongue, programme: Programme, benefit: Benefit) -> list[str]:
    """Return which benefits a claim of this one rules out."""
    places = exclusions.others(programme, benefit)
    names = [tongue.text(programme.benefits[place.of].name) for place in places]
    if not names:
        return []
    listed = format_list(names, style="or", locale=tongue.locale)
    return [tongue.say(n_("Only one can be claimed: this one, or %(names)s."), names=listed)]


def _no_units(tongue: Tongue, facts: Facts, benefit: Benefit, *, expired: bool) -> str:
    programme, _ = facts.catalogue.offers[benefit.code]
    rank = tier_from(programme, benefit)
    new = next(iter(renewals(facts, programme, _lines(programme, benefit))), None)
    held = sum(lot.held for lot in facts.lots if lot.unit == benefit.unit)
    if expired:
        first = tongue.word(n_("Your units have expired."))
    elif held:
        first = tongue.word(n_("You have claimed all of this period's units."))
    elif new is not None and new[1].on is not None:
        return arrival(tongue, *new)
    elif new is None and rank is not None:
        tier = tongue.text(programme.tier[rank].name)
        return tongue.say(n_("Not included in your tier. Available from %(tier)s."), tier=tier)
    else:
        first = tongue.word(n_("None left."))
    if new is None:
        return first
    return first + tongue.joint + arrival(tongue, *new)


def offer(tongue: Tongue, facts: Facts, code: str) -> Offer:
    """Return one of the catalogue's benefits as it stands for the member."""
    programme, benefit = facts.catalogue.offers[code]
    served, today = facts.serving(benefit), local_date(facts.now, programme.tz)
    lots = [lot for lot in facts.lots if lot.unit == benefit.unit]
    by_day = dict[date | None, int]()
    for lot in lots:
        day = lot.expires_at and last_day(lot.expires_at, programme)
        by_day[day] = by_day.get(day, 0) + lot.available
    return Offer(
        code=benefit.code,
        name=tongue.text(benefit.name),
        about=tongue.text(benefit.about),
        fields=[(name, FIELDS.get(name, Field(name))) for name in served.recipient],
        key=uuid4().hex,
        provider=tongue.text(programme.providers[served.provider].name),
        there=tongue.word(AFTER[served.kind]) if served.kind in AT_ONCE else "",
        takes=units.plain(benefit.takes),
        instead=instead_words(tongue, programme, benefit, today),
        available=count_of(programme, benefit, sum(lot.available for lot in lots)),
        held=count_of(programme, benefit, sum(lot.held for lot in lots)),
        lots=[
            lot_words(tongue, count_of(programme, benefit, count), day)
            for day, count in by_day.items()
            if count
        ],
        why_not=why_not(tongue, facts, benefit),
        may_wait=facts.prospects[code].may_wait,
        waiting=waiting(tongue, facts, code),
        consent=_consent(tongue, facts, programme, benefit),
        companions=_companions(facts, programme, benefit, lots),
        times=times(tongue, facts.prospects[code].slots, programme.tz),
        brings=brings(tongue, facts, programme, _lines(programme, benefit)),
        rules=_rules(tongue, facts, programme, benefit),
    )


def _companions(
    facts: Facts, programme: Programme, benefit: Benefit, lots: Iterable[Entitlement]
) -> int:
    """Return how many can come along: as the tier brings, and as there are units for."""
    pieces = sum(lot.available for lot in lots) // programme.piece(benefit)
    rank = facts.standings[programme.code].state.rank
    brought = programme.guests(facts.serving(benefit), rank)
    return max(0, min(brought, pieces - 1))


def _consent(
    tongue: Tongue, facts: Facts, programme: Programme, benefit: Benefit
) -> tuple[str, str] | None:
    if not facts.prospects[benefit.code].needs_consent:
        return None
    consent = facts.serving(benefit).consent
    return consent, tongue.text(programme.consents[consent].text)


def lot_words(tongue: Tongue, count: Quantity, day: date | None) -> str:
    """Return how many units there are through which day."""
    if day is None:
        return tongue.say(n_("%(count)s without an expiry date"), count=count)
    return tongue.say(n_("%(count)s valid through %(day)s"), count=count, day=tongue.day(day))


def _stacking(tongue: Tongue, programme: Programme, benefit: Benefit) -> list[str]:
    """Return how lines stack where a member may have several, and a cap even of one (P-7)."""
    whose = programme.benefits[benefit.draws or benefit.code]
    stacking = whose.stacking
    if stacking.cap is None and (stacking.is_plain or len(_lines(programme, benefit)) < 2):
        return []
    cap = "" if stacking.cap is None else units.plain(stacking.cap)
    return [tongue.say(STACKS[stacking.by], cap=cap)]


def _takes(tongue: Tongue, programme: Programme, benefit: Benefit) -> list[str]:
    """Return what one takes of the units, where that is not simply one of its own."""
    if not benefit.draws and benefit.takes == 1:
        return []
    whose = tongue.text(programme.benefits[benefit.draws or benefit.code].name)
    words = n_("Each takes %(count)s of your units of %(name)s.")
    return [tongue.say(words, count=units.plain(benefit.takes), name=whose)]


def _worth(tongue: Tongue, facts: Facts, programme: Programme, benefit: Benefit) -> list[str]:
    """Say the market value of a piece today, where one is known (P-1)."""
    price = price_on(benefit.prices, local_date(facts.now, programme.tz))
    if price is None or price.market_value is None:
        return []
    worth = tongue.money(programme.minor(price.market_value), programme)
    return [tongue.say(n_("Each has a market value of %(worth)s."), worth=worth)]


def _along(tongue: Tongue, programme: Programme, benefit: Benefit) -> list[str]:
    """Return whom each tier brings along (V-10)."""
    along = n_("%(tier)s: up to %(count)s.")
    found = [
        tongue.say(along, tier=tongue.text(tier.name), count=benefit.companions[tier.code])
        for tier in programme.tier
        if tier.code in benefit.companions
    ]
    return [*found, tongue.word(n_("Each of them takes as much as you do."))] if found else []


def _whom(tongue: Tongue, programme: Programme, benefit: Benefit, served: Benefit) -> list[str]:
    """Return whom a benefit is for, and to whom its units are granted, where rules say so."""
    lines = [line.eligible for line in _lines(programme, benefit) if line.eligible is not None]
    granted = n_("Units are granted to those with: %(who)s.")
    claimed = n_("It can be claimed by those with: %(who)s.")
    rules = [(granted, rule) for rule in lines]
    rules += [(claimed, served.eligible)] if served.eligible is not None else []
    said = [(words, tongue.text(described(rule, programme.tier_names))) for words, rule in rules]
    return list(dict.fromkeys(tongue.say(words, who=who) for words, who in said))


def _rules(
    tongue: Tongue, facts: Facts, programme: Programme, benefit: Benefit
) -> list[tuple[str, list[str]]]:
    """Return the rules under their headings, in the order in which one asks."""
    lines, served = _lines(programme, benefit), facts.serving(benefit)
    valid = list(dict.fromkeys(end_words(tongue, line) for line in lines))
    changes = [(RISES[line.upgrade], FALLS[line.downgrade]) for line in lines if line.quota]
    moves = list(dict.fromkeys(tongue.word(words) for pair in changes for words in pair))
    new = [arrival(tongue, *each) for each in renewals(facts, programme, lines)]
    starts = [*filter(None, dict.fromkeys(start_words(tongue, line) for line in lines))]
    starts += dict.fromkeys(
        tongue.word(CLAIMS[each.claim]) for each in lines if CLAIMS[each.claim]
    )
    at_issue = served.consumed is Consumed.ISSUE
    spent = (
        n_("A unit is used up when it is delivered.")
        if at_issue
        else n_("A unit is used up when you use it.")
    )
    back = tongue.word(n_("If the provider cannot deliver, the unit comes back to you."))
    fields = [tongue.word(FIELDS.get(name, Field(name)).label) for name in served.recipient]
    goes = n_("These details go to the provider of this benefit and to nobody else.")
    rules = {
        n_("Whom it is for"): _whom(tongue, programme, benefit, served),
        n_("What it takes"): _takes(tongue, programme, benefit),
        n_("What it is worth"): _worth(tongue, facts, programme, served),
        n_("Companions"): _along(tongue, programme, served),
        n_("Booking"): booking_words(tongue, served.booking),
        n_("Units are valid"): [
            *(valid or [tongue.word(n_("As long as each unit says."))]),
            *contract_words(tongue, programme, benefit),
        ],
        n_("New units"): [*dict.fromkeys(new), *starts] if new else [],
        n_("If several are yours"): _stacking(tongue, programme, benefit),
        n_("Change of tier"): moves,
        n_("Limits"): [
            *_exclusion(tongue, programme, served),
            *limit_words(tongue, facts, programme, benefit),
        ],
        n_("We ask you for"): [*fields, tongue.word(goes)] if fields else [],
        n_("Delivered by"): [tongue.text(programme.providers[served.provider].name)],
        n_("After you claim"): [
            tongue.word(AFTER[served.kind]),
            tongue.word(spent),
            *use_words(tongue, served),
        ],
        n_("If it fails"): [] if served.kind in AT_ONCE else [back],
    }
    return [(tongue.word(title), words) for title, words in rules.items() if words]
