"""Eligibility: who may have or claim something, as a small tree of conditions (E-1 to E-5).

A rule is exactly one of `all`, `any`, `not` and the fields of `fields.py`. What is not known of a
member is open; AND, OR and NOT are Kleene's, as in `ladder.py`, and only what is proven lets
anybody in. `not` is carried down to the fields as a rule is first used, which changes no answer.

    { all = [ { age = { at_least = 60 } }, { not = { city = { in = ["上海"] } } } ] }
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from benefits.domain import fields, toml
from benefits.domain.consents import ConsentRequired
from benefits.domain.currencies import minor_of
from benefits.domain.dates import chinese_date, english_date
from benefits.domain.fields import FIELDS, Asks, Known, Place
from benefits.domain.labels import Layer, is_label_name
from benefits.domain.ladder import Truth
from benefits.domain.policy import Text
from benefits.domain.refusal import Refusal
from benefits.domain.spelling import hint, suggestion

DEPTH_MAX = 8
LEAVES_MAX = 200
_OPPOSITE = {Truth.YES: Truth.NO, Truth.OPEN: Truth.OPEN, Truth.NO: Truth.YES}


class NotEligible(Refusal):
    """The member is not among those for whom a benefit is, or it is not known (E-1 to E-5)."""

    code = "not_eligible"
    words = "This benefit is not for this member."

    def __init__(self, why: Text | None = None, undated: Text | None = None) -> None:
        """Say what is missing, in both languages, and the same without what tells a birthday."""
        super().__init__((why or {}).get("en", ""))
        self.why = why or {}
        self.undated = undated or self.why

    @property
    def kept(self) -> str:
        """The sentence without days: what is known of a person is kept where it can be erased."""
        return self.undated.get("en", self.detail)


class RuleInvalid(Refusal):
    """The file's rule contradicts itself or the format; the detail names the path."""

    code = "rule_invalid"
    words = "The rule is not valid."


class Leaf(msgspec.Struct, frozen=True):
    """A field and what is asked of it, or the opposite; `path` is its place in the rule."""

    path: str
    field: str
    asks: Asks
    is_denied: bool = False

    def truth(self, known: Known) -> Truth:
        """Say whether it holds."""
        found = FIELDS[self.field].truth(self.asks, known)
        return _OPPOSITE[found] if self.is_denied else found


class Every(msgspec.Struct, frozen=True):
    """All of its parts."""

    parts: tuple["Form", ...]


class Some(msgspec.Struct, frozen=True):
    """At least one of its parts."""

    parts: tuple["Form", ...]


Form = Leaf | Every | Some


class Rule(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    dict=True,
    rename={"all_": "all", "any_": "any", "not_": "not"},
):
    """A condition, as a programme writes it: exactly one of its fields."""

    all_: tuple["Rule", ...] | None = None
    any_: tuple["Rule", ...] | None = None
    not_: "Rule | None" = None
    tier: fields.Ranked | None = None
    label: fields.Among | None = None
    age: fields.Years | None = None
    city: fields.Among | None = None
    branch: fields.Among | None = None
    channel: fields.Among | None = None
    tenure_months: fields.Months | None = None
    staff: bool | None = None
    new_customer: fields.New | None = None
    metric: fields.Amount | None = None

    @cached_property
    def form(self) -> Form:
        """The rule as it is judged: no `not` but at the fields."""
        return _form(self, "", denied=False)

    @cached_property
    def said(self) -> tuple[str, ...]:
        """The names of what it says: one, if it is valid."""
        given = {each.encode_name: getattr(self, each.name) for each in _OF_RULE}
        return tuple(name for name, value in given.items() if value is not None)


_OF_RULE = msgspec.structs.fields(Rule)


def _form(rule: Rule, path: str, *, denied: bool) -> Form:
    under = f"{path}." if path else ""
    if rule.not_ is not None:
        return _form(rule.not_, f"{under}not", denied=not denied)
    for name, parts in (("all", rule.all_), ("any", rule.any_)):
        if parts is not None:
            forms = tuple(
                _form(each, f"{under}{name}[{i}]", denied=denied) for i, each in enumerate(parts)
            )
            return Every(forms) if (name == "all") is not denied else Some(forms)
    (field,) = rule.said
    asks = getattr(rule, field)
    if isinstance(asks, bool):
        return Leaf(f"{under}{field}", field, asks is not denied)
    return Leaf(f"{under}{field}", field, asks, denied)


def weigh(rule: Rule, known: Known) -> Truth:
    """Say whether a rule holds of what is known of a member."""
    return _weigh(rule.form, known)


def _weigh(form: Form, known: Known) -> Truth:
    if isinstance(form, Leaf):
        return form.truth(known)
    end, found = (Truth.NO, Truth.YES) if isinstance(form, Every) else (Truth.YES, Truth.NO)
    for part in form.parts:
        truth = _weigh(part, known)
        if truth is end:
            return end
        if truth is Truth.OPEN:
            found = truth
    return found


def leaves(rule: Rule) -> list[Leaf]:
    """Return the fields a rule asks for, in its order."""
    return list(_leaves(rule.form))


def labels(rule: Rule) -> frozenset[str]:
    """Return the keys of the labels that a rule asks for."""
    asked = (leaf.asks for leaf in leaves(rule) if leaf.field == "label")
    return frozenset(
        key for asks in asked if isinstance(asks, fields.Among) for key in asks.values
    )


def asks_metric(rule: Rule) -> bool:
    """Say whether it asks for the programme's metric, which is read apart."""
    return any(leaf.field == "metric" for leaf in _leaves(rule.form))


def _leaves(form: Form) -> Iterator[Leaf]:
    if isinstance(form, Leaf):
        yield form
        return
    for part in form.parts:
        yield from _leaves(part)


def admit(rule: Rule | None, consent: str, known: Known) -> Refusal | None:
    """Return why a claim is not let in by its benefit's consent and rule; None if it is (K-2)."""
    if consent and consent not in known.consents:
        return ConsentRequired(f"Consent needed: {consent}.")
    if rule is None or weigh(rule, known) is Truth.YES:
        return None
    return NotEligible(why(rule, known), why(rule, known, dated=False))


def why(
    rule: Rule, known: Known, names: Mapping[str, Text] | None = None, *, dated: bool = True
) -> Text:
    """Return what a member needs who is not let in, and what would change it; `names` of tiers.

    Unless it is `dated`, it does not tell on which day that will be.
    """
    needs = {
        language: _needed(rule.form, known, names or {}, language, dated=dated)
        for language in _ENDS
    }
    return {"zh": f"需满足：{needs['zh']}。", "en": f"Needs {needs['en']}."}


_ENDS = ("zh", "en")


def _needed(
    form: Form, known: Known, names: Mapping[str, Text], language: str, *, dated: bool
) -> str:
    if isinstance(form, Leaf):
        return words(form, names)[language] + _hint(form, known, language, dated=dated)
    lacking = [part for part in form.parts if _weigh(part, known) is not Truth.YES]
    if isinstance(form, Every):
        return _needed(lacking[0], known, names, language, dated=dated)
    each = dict.fromkeys(_needed(part, known, names, language, dated=dated) for part in lacking)
    return {"zh": "，或", "en": ", or "}[language].join(each)


def described(rule: Rule, names: Mapping[str, Text]) -> Text:
    """Return a whole rule in words; `names` are those of the tiers."""
    return {language: _described(rule.form, names, language) for language in _ENDS}


def _described(form: Form, names: Mapping[str, Text], language: str) -> str:
    if isinstance(form, Leaf):
        return words(form, names)[language]
    each = [_described(part, names, language) for part in form.parts]
    if len(each) == 1:
        return each[0]
    if isinstance(form, Every):
        return {"zh": "，且", "en": ", and "}[language].join(each)
    brackets = {"zh": "（{}）", "en": "({})"}[language]
    return brackets.format({"zh": "，或", "en": ", or "}[language].join(each))


def words(leaf: Leaf, names: Mapping[str, Text]) -> Text:
    """Return what a field is asked for in words; `names` are those of the tiers."""
    said = FIELDS[leaf.field].words(leaf.asks, names)
    if not leaf.is_denied:
        return said
    return {"zh": f"不符合“{said['zh']}”", "en": f"not {said['en']}"}


def changes_by(leaf: Leaf, known: Known) -> Text:
    """Return what would change it where a field does not hold; nothing if nothing is known to."""
    return {language: _hint(leaf, known, language) for language in _ENDS}


def _hint(leaf: Leaf, known: Known, language: str, *, dated: bool = True) -> str:
    """Return what is not known of a member, or from which day it holds, in brackets."""
    field = FIELDS[leaf.field]
    match leaf.truth(known):
        case Truth.YES:
            return ""
        case Truth.OPEN:
            unknown = field.missing[language]
            return {"zh": f"（{unknown}未登记）", "en": f" ({unknown} is not known)"}[language]
        case Truth.NO:
            lacks = field.lacks(leaf.asks, known) if dated and not leaf.is_denied else {}
            if lacks:
                return {"zh": f"（{lacks['zh']}）", "en": f" ({lacks['en']})"}[language]
            day = None if leaf.is_denied or not dated else field.from_(leaf.asks, known)
            if day is None or day <= known.today:
                return ""
            if leaf.truth(msgspec.structs.replace(known, today=day)) is not Truth.YES:
                return ""
            dates = {"zh": f"（{chinese_date(day)}起）", "en": f" (from {english_date(day)} on)"}
            return dates[language]


class Frame(msgspec.Struct, frozen=True):
    """What rules of a programme may name: its tiers, and amounts of so many digits."""

    tiers: Sequence[str]
    minor_digits: int


class RuleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule in a file of its own, and the programme whose tiers it speaks of."""

    eligible: Rule
    programme: str = ""


def read_rule(text: str) -> RuleFile:
    """Read a file with a rule in it (RuleInvalid)."""
    try:
        return toml.read(text, RuleFile)
    except RecursionError as error:
        raise RuleInvalid("The file is nested too deeply.") from error
    except msgspec.DecodeError as error:
        raise RuleInvalid(f"{error}{hint(str(error), RuleFile)}") from error


def check_rule(rule: Rule, frame: Frame) -> None:
    """Refuse a rule that asks for what there is not (RuleInvalid); it may ask for all fields."""
    if problems := list(rule_problems("eligible", rule, None, frame)):
        raise RuleInvalid("\n".join(problems))


def rule_problems(path: str, rule: Rule, place: Place | None, frame: Frame) -> Iterator[str]:
    """Yield what is wrong with a rule at a place, each by its path."""
    if _is_deep(rule):
        yield f"{path}: more than {DEPTH_MAX} conditions inside each other"
        return
    if _count(rule) > LEAVES_MAX:
        yield f"{path}: more than {LEAVES_MAX} conditions"
        return
    yield from _problems(path, rule, place, frame)


def _parts(rule: Rule) -> tuple[Rule, ...]:
    under = () if rule.not_ is None else (rule.not_,)
    return (*(rule.all_ or ()), *(rule.any_ or ()), *under)


def says(rule: Rule, name: str) -> bool:
    """Say whether a rule, be it valid or not, names a field."""
    return name in rule.said or any(says(part, name) for part in _parts(rule))


def _is_deep(rule: Rule) -> bool:
    """Say whether more than DEPTH_MAX rules stand inside each other, however many."""
    level = [rule]
    for _ in range(DEPTH_MAX):
        level = [part for each in level for part in _parts(each)]
    return bool(level)


def _count(rule: Rule) -> int:
    fields_said = len([name for name in rule.said if name in FIELDS])
    return fields_said + sum(map(_count, _parts(rule)))


def _problems(path: str, rule: Rule, place: Place | None, frame: Frame) -> Iterator[str]:
    if len(rule.said) != 1:
        known = ", ".join(each.encode_name for each in _OF_RULE)
        yield f"{path}: say exactly one of {known}; for several write all = […]"
        return
    (name,) = rule.said
    if name in FIELDS:
        if place is not None and place not in FIELDS[name].places:
            yield f"{path}.{name}: {_ELSEWHERE[place]}"
        else:
            yield from _leaf_problems(f"{path}.{name}", name, getattr(rule, name), frame)
        return
    if name == "not":
        yield from _problems(f"{path}.not", _parts(rule)[0], place, frame)
        return
    if not _parts(rule):
        yield f"{path}.{name}: has no conditions"
    for index, part in enumerate(_parts(rule)):
        yield from _problems(f"{path}.{name}[{index}]", part, place, frame)


_ELSEWHERE = {
    Place.GRANT: "is known at a claim only: it stands on a benefit",
    Place.CLAIM: "is checked as units are granted: it stands on a line (E-1)",
}


def _leaf_problems(path: str, name: str, asks: Any, frame: Frame) -> Iterator[str]:
    match asks:
        case fields.Ranked():
            yield from _ranked(path, asks, frame.tiers)
        case fields.Among():
            yield from _among(path, name, asks)
        case fields.Amount():
            yield from _amounts(path, asks, frame.minor_digits)
        case fields.Years() | fields.Months():
            if asks.at_least is None and asks.at_most is None:
                yield f"{path}: say at_least, at_most or both"
            if (asks.at_least or 0) > (asks.at_most if asks.at_most is not None else 10**6):
                yield f"{path}.at_most: is less than at_least"
        case _:
            return


def _amounts(path: str, asks: fields.Amount, minor_digits: int) -> Iterator[str]:
    given = {"at_least": asks.at_least, "below": asks.below}
    minor = dict[str, int]()
    for name, amount in given.items():
        if amount is None:
            continue
        try:
            minor[name] = minor_of(amount, minor_digits)
        except ValueError as error:
            yield f"{path}.{name}: {error}"
            return
    if not minor:
        yield f"{path}: say at_least, below or both"
    if minor.get("at_least", 0) < 0:
        yield f"{path}.at_least: must be at least 0"
    if "below" in minor and minor["below"] <= minor.get("at_least", 0):
        yield f"{path}.below: is not above at_least, or not above 0"


def _ranked(path: str, asks: fields.Ranked, tiers: Sequence[str]) -> Iterator[str]:
    bounds = [bound for bound in (asks.at_least, asks.at_most) if bound is not None]
    if bounds and (asks.is_ is not None or asks.in_ is not None):
        yield f"{path}: say is, in, or bounds"
    elif not bounds:
        yield from _listed(path, asks)
    for code in (*asks.values, *bounds):
        if code not in tiers:
            yield f"{path}: {code!r} is not a tier{suggestion(code, tiers)}"


def _listed(path: str, asks: fields.Among) -> Iterator[str]:
    if (asks.is_ is None) == (asks.in_ is None):
        yield f"{path}: say is or in"
    elif not asks.values:
        yield f"{path}.in: names nothing"


def _among(path: str, name: str, asks: fields.Among) -> Iterator[str]:
    yield from _listed(path, asks)
    for value in asks.values:
        if name == "channel" and value not in fields.Channel.__members__:
            known = [each.value for each in fields.Channel]
            yield f"{path}: {value!r} is none of {', '.join(known)}{suggestion(value, known)}"
        if name == "label":
            yield from _label(path, value)


def _label(path: str, key: str) -> Iterator[str]:
    layer, _, label = key.partition(":")
    if layer not in Layer.__members__ or not is_label_name(label):
        hint = suggestion(layer, Layer.__members__)
        yield f"{path}: {key!r} is not like FACT:payroll{hint}"
    elif Layer[layer] is Layer.MODEL:
        yield f"{path}: a MODEL label may rank, never decide; FACT, RULE, LIST may (S-2)"
