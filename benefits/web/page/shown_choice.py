"""A choice, as the page shows it: its units, what may be chosen, what was, and the form."""

from uuid import uuid4

import msgspec

from benefits.actions.see_choices import Offered
from benefits.domain.choices import ChoiceNotOffered, ChoiceRepeated, UnknownChoice
from benefits.domain.eligibility import NotEligible
from benefits.domain.entitlement import CapReached, StockExhausted
from benefits.domain.exclusions import Excluded
from benefits.domain.ledger import InsufficientUnits, LotExpired
from benefits.domain.packages import Line
from benefits.domain.requests import KeyConflict
from benefits.domain.use import ClaimWindow
from benefits.web.page.facts import Facts
from benefits.web.page.shown_benefit import last_day, lot_words, refused_words, why_not
from benefits.web.page.shown_lines import (
    FALLS,
    RISES,
    Brings,
    arrival,
    brings,
    end_words,
    renewals,
    start_words,
)
from benefits.web.tongue import Message, Tongue, n_

CHOICE_WORDS: dict[str, Message] = {
    UnknownChoice.code: n_("This choice is no longer offered."),
    ChoiceNotOffered.code: n_("Please choose one of the benefits below."),
    ChoiceRepeated.code: n_("You have chosen this before, and each can be chosen once."),
    InsufficientUnits.code: n_("You have no unit to choose with now."),
    LotExpired.code: n_("Your units to choose with have expired."),
    KeyConflict.code: n_(
        "This form was sent before with another benefit. What you have chosen stands below."
    ),
}
REPEATS = {
    False: n_("Each benefit can be chosen once in a period."),
    True: n_("The same benefit can be chosen again."),
}


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """A benefit that may be chosen, or why not; `yet` is why it could not be claimed now."""

    code: str
    name: str
    about: str
    why_not: str
    yet: str


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A benefit that was chosen, and on which day."""

    code: str
    name: str
    day: str


class ShownChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A choice with its form; `key` is the form's own. With `nothing` to choose, why and when."""

    code: str
    name: str
    key: str
    available: int
    nothing: str
    lots: list[str]
    options: list[Option]
    is_open: bool
    repeats: str
    chosen: list[Chosen]
    brings: list[Brings]
    rules: list[tuple[str, list[str]]]


def choice_refused(tongue: Tongue, code: str) -> str:
    """Return a refusal in words; nothing when there is no such code."""
    words = CHOICE_WORDS.get(code)
    return tongue.word(words) if words else refused_words(tongue, code)


def shown_choice(tongue: Tongue, facts: Facts, code: str) -> ShownChoice:
    """Return one of the catalogue's choices as it stands for the member."""
    programme, choice = facts.catalogue.choices[code]
    one = facts.choices.get(code) or Offered(programme, choice, [], {}, [])
    lines = [line for line in programme.line if line.choice == code]
    new = [arrival(tongue, *each) for each in renewals(facts, programme, lines)]
    nothing = tongue.word(CHOICE_WORDS[InsufficientUnits.code])
    return ShownChoice(
        code=code,
        name=tongue.text(choice.name),
        key=uuid4().hex,
        available=one.available(facts.now),
        lots=[
            lot_words(
                tongue,
                lot.available(facts.now),
                lot.expires_at and last_day(lot.expires_at, programme),
            )
            for lot in one.lots
        ],
        options=_options(tongue, facts, one),
        is_open=bool(one.lots) and not all(one.refusals.values()),
        repeats=tongue.word(REPEATS[choice.repeat]),
        chosen=[
            Chosen(
                code=row.benefit,
                name=tongue.text(facts.catalogue.offers[row.benefit][1].name),
                day=tongue.day(row.chosen_at.astimezone(programme.tz).date()),
            )
            for row in reversed(one.made)
        ],
        brings=brings(tongue, facts, programme, lines),
        rules=_rules(tongue, lines, new),
        nothing="" if one.lots else tongue.joint.join([nothing, *new[:1]]),
    )


def _rules(tongue: Tongue, lines: list[Line], new: list[str]) -> list[tuple[str, list[str]]]:
    """Return until when units can be chosen with, when `new` ones come, and what a move does."""
    moves = [(RISES[line.upgrade], FALLS[line.downgrade]) for line in lines if line.quota]
    rules: dict[Message, list[str]] = {
        n_("Units are valid"): [end_words(tongue, line) for line in lines],
        n_("New units"): [*new, *(start_words(tongue, line) for line in lines)],
        n_("Change of tier"): [tongue.word(words) for pair in moves for words in pair],
    }
    told = {title: [*dict.fromkeys(filter(None, words))] for title, words in rules.items()}
    return [(tongue.word(title), words) for title, words in told.items() if words]


# What would still stand in the way of a claim when the benefit has been chosen.
_YET = (NotEligible, Excluded, CapReached, ClaimWindow, StockExhausted)


def _options(tongue: Tongue, facts: Facts, one: Offered) -> list[Option]:
    found = list[Option]()
    for code in one.choice.benefits:
        benefit, refusal = one.programme.benefits[code], one.refusals.get(code)
        is_barred = isinstance(facts.prospects[code].refusal, _YET)
        found.append(
            Option(
                code=code,
                name=tongue.text(benefit.name),
                about=tongue.text(benefit.about),
                why_not="" if refusal is None else choice_refused(tongue, refusal.code),
                yet=why_not(tongue, facts, benefit) if is_barred else "",
            )
        )
    return found
