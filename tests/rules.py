"""Random rules and members for the tests of eligibility, and what a rule means, said plainly."""

from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from benefits.domain.eligibility import Rule
from benefits.domain.fields import (
    FIELDS,
    Among,
    Amount,
    Channel,
    Known,
    Months,
    New,
    Ranked,
    Years,
)
from benefits.domain.ladder import Truth
from benefits.domain.metrics import Reading
from benefits.domain.values import Month

TODAY = date(2025, 7, 2)
TIERS = ("BASE", "GOLD", "PLATINUM", "DIAMOND", "PRIVATE")
LABELS = ("FACT:payroll", "RULE:payroll", "FACT:silver", "RULE:cars")
CITIES = ("上海", "北京", "O'Hare\\")
BRANCHES = ("0571", "north")
# Around the days on which a rule of whole years or months turns.
DAYS = st.sampled_from(
    [
        *(date(1964, 2, 29), date(1964, 7, 1), date(1965, 7, 2), date(1965, 7, 3)),
        *(date(2000, 2, 29), date(2004, 12, 31), date(2025, 6, 30), date(2025, 7, 2)),
    ]
)
OPENED = st.sampled_from(
    [
        *(date(2020, 1, 31), date(2024, 2, 29), date(2024, 7, 2), date(2024, 7, 3)),
        *(date(2025, 3, 31), date(2025, 6, 1), date(2025, 6, 2), date(2025, 7, 2)),
    ]
)


# Around what members of the tests have, whose sums are of 30 days.
AMOUNTS = st.sampled_from([Decimal(n) for n in ("0.01", "499.99", "500", "500.01", "15000")])
READINGS = st.builds(
    Reading,
    month=st.just(Month(2025, 6)),
    sum_minor=st.sampled_from([0, 30, 1_499_970, 1_499_999, 1_500_000, 1_500_001, 45_000_000]),
    known_days=st.sampled_from([0, 29, 30]),
    days=st.just(30),
    divisor=st.just(30),
    young=st.booleans(),
)


def _bounds(kind: type[Any], numbers: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    return st.one_of(
        numbers.map(lambda n: kind(at_least=n)),
        numbers.map(lambda n: kind(at_most=n)),
        st.tuples(numbers, numbers).map(lambda two: kind(at_least=min(two), at_most=max(two))),
    )


def _among(kind: type[Any], values: tuple[str, ...]) -> st.SearchStrategy[Any]:
    one = st.sampled_from(values)
    some = st.lists(one, min_size=1, max_size=3, unique=True).map(tuple)
    return st.one_of(one.map(lambda v: kind(is_=v)), some.map(lambda v: kind(in_=v)))


_ASKS: dict[str, st.SearchStrategy[Any]] = {
    "tier": _among(Ranked, TIERS)
    | _bounds(Ranked, st.integers(0, 4)).map(
        lambda r: Ranked(
            at_least=None if r.at_least is None else TIERS[r.at_least],
            at_most=None if r.at_most is None else TIERS[r.at_most],
        )
    ),
    "label": _among(Among, LABELS),
    "age": _bounds(Years, st.sampled_from([0, 20, 21, 24, 25, 59, 60, 61, 150])),
    "city": _among(Among, CITIES),
    "branch": _among(Among, BRANCHES),
    "channel": _among(Among, tuple(each.value for each in Channel)),
    "tenure_months": _bounds(Months, st.sampled_from([0, 1, 3, 11, 12, 13, 65, 1200])),
    "staff": st.booleans(),
    "metric": st.one_of(
        AMOUNTS.map(lambda n: Amount(at_least=n)),
        AMOUNTS.map(lambda n: Amount(below=n)),
        st.tuples(AMOUNTS, AMOUNTS)
        .filter(lambda two: two[0] != two[1])
        .map(lambda two: Amount(at_least=min(two), below=max(two))),
    ),
    "new_customer": st.sampled_from([1, 6, 12, 1200]).map(lambda n: New(months=n)),
}
assert _ASKS.keys() == FIELDS.keys()
LEAVES = st.sampled_from(sorted(_ASKS)).flatmap(
    lambda name: _ASKS[name].map(lambda asks: Rule(**{name: asks}))
)
RULES = st.recursive(
    LEAVES,
    lambda rules: st.one_of(
        st.lists(rules, min_size=1, max_size=3).map(lambda some: Rule(all_=tuple(some))),
        st.lists(rules, min_size=1, max_size=3).map(lambda some: Rule(any_=tuple(some))),
        rules.map(lambda one: Rule(not_=one)),
    ),
    max_leaves=8,
)
CHANNELS = st.sampled_from(["", *(each.value for each in Channel)])
KNOWN = st.builds(
    Known,
    today=st.just(TODAY),
    opened_on=OPENED,
    born_on=st.none() | DAYS,
    city=st.none() | st.sampled_from(CITIES),
    branch=st.sampled_from(["", *BRANCHES]),
    is_staff=st.sampled_from([None, True, False]),
    is_person_known=st.booleans(),
    before_until=st.none() | OPENED,
    labels=st.frozensets(st.sampled_from(LABELS)),
    tier=st.sampled_from(TIERS),
    ranks=st.just({tier: rank for rank, tier in enumerate(TIERS)}),
    channel=CHANNELS,
    metric=st.none() | READINGS,
)


def plainly(rule: Rule, known: Known) -> Truth:
    """Say what Kleene says of a rule, part by part."""
    if rule.not_ is not None:
        return Truth(2 - plainly(rule.not_, known).value)
    if rule.all_ is not None:
        return Truth(min(plainly(each, known).value for each in rule.all_))
    if rule.any_ is not None:
        return Truth(max(plainly(each, known).value for each in rule.any_))
    (name,) = rule.said
    return FIELDS[name].truth(getattr(rule, name), known)
