"""Rules: three-valued, exact at their borders, refused by their path, said in both languages."""

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.eligibility import (
    DEPTH_MAX,
    LEAVES_MAX,
    NotEligible,
    Rule,
    admit,
    changes_by,
    leaves,
    weigh,
    why,
    words,
)
from benefits.domain.fields import FIELDS, Known, Months, New, Years, age, birthday, tenure
from benefits.domain.ladder import Truth
from benefits.domain.metrics import Reading
from benefits.domain.programme import Programme, ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.values import Month, add_months
from tests.builders import PROGRAMME
from tests.rules import KNOWN, RULES, plainly

ANYBODY = Known(today=date(2025, 7, 2), opened_on=date(2020, 1, 31))


def rule(text: str) -> Rule:
    """Read a rule as a programme writes it."""
    found = msgspec.toml.decode(f"eligible = {text}", type=dict[str, Rule], strict=False)
    return found["eligible"]


def written(on: str, text: str, more: str = "") -> Programme:
    """Read the reference programme with a rule on the video benefit or its line."""
    place = {"benefit": 'sku = "video-month"\n', "line": 'benefit = "VIDEO"\n'}[on]
    assert place in PROGRAMME
    return read(PROGRAMME.replace(place, f"{place}{more}eligible = {text}\n"))


@given(RULES, KNOWN)
def test_a_rule_is_kleenes(rule_: Rule, known: Known) -> None:
    """However a rule is carried out, it says what its parts say, one by one."""
    assert plainly(rule_, known) == weigh(rule_, known)


@given(RULES, KNOWN)
def test_only_what_is_proven_lets_in(rule_: Rule, known: Known) -> None:
    """Who is let in, would be whatever came of what is not known; else a reason is said."""
    refusal = admit(rule_, "", known)
    assert (weigh(rule_, known) is Truth.YES) == (refusal is None)
    if isinstance(refusal, NotEligible):
        assert ["en", "zh"] == sorted(refusal.why)
        assert all(refusal.why.values())
        assert refusal.why["en"] == refusal.detail


@given(RULES, KNOWN)
def test_a_rule_is_read_as_it_is_written(rule_: Rule, known: Known) -> None:
    """Stored as JSON and read again it is the same rule."""
    again = msgspec.json.decode(msgspec.json.encode(rule_), type=Rule)
    assert rule_ == again
    assert weigh(rule_, known) is weigh(again, known)


@given(RULES, KNOWN)
def test_what_would_change_it_is_true(rule_: Rule, known: Known) -> None:
    """From the day that is named the condition holds, and not the day before."""
    for leaf in leaves(rule_):
        if " (from " not in changes_by(leaf, known)["en"]:
            continue
        day = FIELDS[leaf.field].from_(leaf.asks, known)
        assert day is not None
        before = msgspec.structs.replace(known, today=day - timedelta(days=1))
        assert Truth.NO is leaf.truth(before)
        assert Truth.YES is leaf.truth(msgspec.structs.replace(known, today=day))


@given(st.dates(date(1900, 1, 1), date(2020, 12, 31)), st.integers(0, 90))
def test_a_birthday_is_the_first_day_of_an_age(born_on: date, years: int) -> None:
    """On it somebody is so old, the day before not yet (E-2)."""
    day = birthday(born_on, years)
    assert years == age(born_on, day)
    assert years - 1 == age(born_on, day - timedelta(days=1))


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (date(2025, 2, 28), 60),
        (date(2025, 3, 1), 61),
        (date(2028, 2, 28), 63),
        (date(2028, 2, 29), 64),
    ],
)
def test_who_was_born_on_29_february(today: date, expected: int) -> None:
    """Turns older on 1 March in common years, on 29 February in others (E-2)."""
    assert expected == age(date(1964, 2, 29), today)


def test_age_by_the_golden_example() -> None:
    """G-AGE-1: born 1965-03-01, a rule of at least 60."""
    old = rule("{ age = { at_least = 60 } }")
    on = {
        day: weigh(old, Known(today=day, opened_on=day, born_on=date(1965, 3, 1)))
        for day in (date(2025, 2, 28), date(2025, 3, 1))
    }
    assert {date(2025, 2, 28): Truth.NO, date(2025, 3, 1): Truth.YES} == on
    known = Known(today=date(2025, 2, 28), opened_on=date(2020, 1, 1), born_on=date(1965, 3, 1))
    assert {
        "zh": "需满足：年龄满60周岁（2025年3月1日起）。",
        "en": "Needs an age of at least 60 years (from 1 March 2025 on).",
    } == why(old, known)


@given(st.dates(date(1990, 1, 1), date(2020, 12, 31)), st.integers(0, 400))
def test_tenure_is_of_whole_months_from_the_opening(opened_on: date, months: int) -> None:
    """A month is full on the day of the opening, or on the month's last (C-6)."""
    day = add_months(opened_on, months)
    assert months == tenure(opened_on, day)
    assert months - 1 == tenure(opened_on, day - timedelta(days=1))


@pytest.mark.parametrize(
    ("until", "expected"),
    [(None, Truth.YES), (date(2023, 7, 30), Truth.YES), (date(2023, 7, 31), Truth.NO)],
)
def test_a_new_customer_had_no_relationship_before(until: date | None, expected: Truth) -> None:
    """In the months before this one began, by the person and not by the customer number (E-5)."""
    known = Known(
        today=date(2025, 7, 2),
        opened_on=date(2024, 7, 31),
        is_person_known=True,
        before_until=until,
    )
    new = Rule(new_customer=New(months=12))
    assert expected is weigh(new, known)
    unknown = msgspec.structs.replace(known, is_person_known=False)
    assert Truth.OPEN is weigh(new, unknown)


JUNE = Reading(month=Month(2025, 6), sum_minor=0, known_days=30, days=30, divisor=30)


@pytest.mark.parametrize(
    ("sum_minor", "known_days", "at_least", "below"),
    [
        (1_500_000, 30, Truth.YES, Truth.NO),
        (1_499_999, 30, Truth.NO, Truth.YES),  # shown as 499.99, and as 500.00 if it were rounded
        (1_500_000, 28, Truth.YES, Truth.NO),
        (1_499_999, 28, Truth.OPEN, Truth.OPEN),
        (0, 0, Truth.OPEN, Truth.OPEN),
    ],
)
def test_a_metric_is_compared_exactly(
    sum_minor: int, known_days: int, at_least: Truth, below: Truth
) -> None:
    """The sum with the bound times the days; missing days can only add to it (C-3, A-6)."""
    metric = msgspec.structs.replace(JUNE, sum_minor=sum_minor, known_days=known_days)
    known = msgspec.structs.replace(ANYBODY, metric=metric)
    found = [
        weigh(rule(f"{{ metric = {{ {bound} = '500' }} }}"), known)
        for bound in ("at_least", "below")
    ]
    assert [at_least, below] == found
    young = msgspec.structs.replace(known, metric=msgspec.structs.replace(metric, young=True))
    for nobody in (ANYBODY, young):
        assert Truth.OPEN is weigh(rule("{ metric = { at_least = '500' } }"), nobody)


def test_a_metric_says_what_is_missing() -> None:
    """How much more each day, rounded up; or that the period is not known whole yet."""
    asked = rule("{ metric = { at_least = '500', below = '20000' } }")
    metric = msgspec.structs.replace(JUNE, sum_minor=1_200_001)
    known = msgspec.structs.replace(ANYBODY, metric=metric)
    assert {
        "zh": "需满足：上一期资产不低于500且低于20,000（还差100.00）。",
        "en": "Needs assets of at least 500 and less than 20,000 in the last period "
        "(100.00 more).",
    } == why(asked, known)
    (leaf,) = leaves(asked)
    rich = msgspec.structs.replace(metric, sum_minor=10**9)
    assert {"zh": "", "en": ""} == changes_by(leaf, msgspec.structs.replace(known, metric=rich))
    assert " (the whole of the last period is not known)" == changes_by(leaf, ANYBODY)["en"]


def test_what_is_not_known_is_said() -> None:
    """The reason names what is missing, and of what is alternative all of it."""
    asked = rule(
        "{ all = [ { staff = false }, { any = ["
        "{ age = { at_least = 60 } }, { not = { branch = { is = '0571' } } } ] } ] }"
    )
    assert {
        "zh": "需满足：非本行员工（是否本行员工未登记）。",
        "en": "Needs not a member of staff (whether it is a member of staff is not known).",
    } == why(asked, ANYBODY)
    known = msgspec.structs.replace(ANYBODY, is_staff=False, branch="0571")
    assert {
        "zh": "需满足：年龄满60周岁（出生日期未登记），或不符合“开户网点：0571”。",
        "en": "Needs an age of at least 60 years (the date of birth is not known), "
        "or not the branch 0571.",
    } == why(asked, known)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ tier = { at_least = 'GOLD' } }", "tier Gold or higher"),
        (
            "{ tier = { at_least = 'GOLD', at_most = 'VIP' } }",
            "tier Gold or higher and VIP or lower",
        ),
        ("{ tier = { in = ['GOLD', 'VIP'] } }", "tier Gold or VIP"),
        ("{ label = { in = ['FACT:payroll', 'RULE:cars'] } }", "the label payroll or cars"),
        ("{ age = { at_least = 18, at_most = 60 } }", "an age of 18 to 60 years"),
        ("{ age = { at_most = 60 } }", "an age of at most 60 years"),
        ("{ tenure_months = { at_least = 6 } }", "at least 6 months with the bank"),
        ("{ channel = { is = 'WECHAT' } }", "a claim by WeChat"),
        ("{ city = { is = '上海' } }", "the city 上海"),
        ("{ metric = { at_least = '1E+6' } }", "assets of at least 1,000,000 in the last period"),
        ("{ staff = true }", "a member of staff"),
        (
            "{ new_customer = { months = 12 } }",
            "a new customer, with no relationship in the 12 months before",
        ),
    ],
)
def test_conditions_in_words(text: str, expected: str) -> None:
    """Tiers by their names, labels without their layer."""
    (leaf,) = leaves(rule(text))
    names = {"GOLD": {"en": "Gold", "zh": "金卡"}}
    assert expected == words(leaf, names)["en"]


@pytest.mark.parametrize(
    ("on", "text", "problem"),
    [
        ("benefit", "{ agee = { at_least = 6 } }", "`agee` - at `$.benefit[1].eligible`; did you"),
        (
            "benefit",
            "{ age = { in = [6] } }",
            "unknown field `in` - at `$.benefit[1].eligible.age`",
        ),
        ("benefit", "{ age = { at_least = 151 } }", "<= 150"),
        ("benefit", "{ age = {} }", "eligible.age: say at_least, at_most or both"),
        ("benefit", "{ age = { at_least = 6, at_most = 5 } }", "at_most: is less than at_least"),
        ("benefit", "{ city = {} }", "eligible.city: say is or in"),
        ("benefit", '{ city = { is = "a\\u0000" } }', "$.benefit[1].eligible.city.is"),
        ("benefit", "{ city = { in = [] } }", "eligible.city.in: names nothing"),
        ("benefit", "{ channel = { is = 'MOBIL' } }", "did you mean 'MOBILE'?"),
        ("benefit", "{ all = [] }", "eligible.all: has no conditions"),
        ("benefit", "{}", "eligible: say exactly one of all, any, not, tier"),
        ("benefit", "{ staff = true, all = [] }", "eligible: say exactly one of"),
        (
            "benefit",
            "{ any = [ { tier = { is = 'GOLD' } } ] }",
            "any[0].tier: is checked as units",
        ),
        ("benefit", "{ metric = { at_least = '5' } }", "eligible.metric: is checked as units"),
        ("line", "{ metric = { at_leats = '5' } }", "did you mean 'at_least'?"),
        ("line", "{ metrik = { at_least = '5' } }", "did you mean 'metric'?"),
        ("line", "{ metric = {} }", "eligible.metric: say at_least, below or both"),
        ("line", "{ metric = { below = '0.005' } }", "below: 0.005 has more than 2 decimals"),
        ("line", "{ metric = { at_least = '-1' } }", "metric.at_least: must be at least 0"),
        ("line", "{ metric = { at_least = 'NaN' } }", "metric.at_least: NaN is no amount"),
        ("line", "{ metric = { at_least = '5', below = '5' } }", "below: is not above at_least"),
        ("benefit", "{ label = { is = 'FACT:payroll' } }", "eligible.label: is checked as units"),
        (
            "line",
            "{ not = { channel = { is = 'WEB' } } }",
            "line[1].eligible.not.channel: is known",
        ),
        ("line", "{ tier = { at_least = 'GLOD' } }", "'GLOD' is not a tier; did you mean 'GOLD'?"),
        ("line", "{ tier = { is = 'GOLD', at_least = 'GOLD' } }", "tier: say is, in, or bounds"),
        ("line", "{ label = { is = 'MODEL:churn' } }", "a MODEL label may rank, never decide"),
        (
            "line",
            "{ label = { is = 'FCT:payroll' } }",
            "not like FACT:payroll; did you mean 'FACT'",
        ),
        ("line", "{ label = { is = 'payroll' } }", "'payroll' is not like FACT:payroll"),
        (
            "line",
            "{ not = " * DEPTH_MAX + "{ staff = true }" + " }" * DEPTH_MAX,
            "eligible: more than 8 conditions inside each other",
        ),
        (
            "line",
            "{ " + "not." * 500 + "staff = true }",
            "eligible: more than 8 conditions inside each other",
        ),
        (
            "line",
            "{ any = [ " + "{ staff = true }, " * (LEAVES_MAX + 1) + "] }",
            "eligible: more than 200 conditions",
        ),
        ("line", "{ not = " * 3000 + "{ staff = true }" + " }" * 3000, "nested too deeply"),
    ],
)
def test_a_rule_is_refused_by_its_path(on: str, text: str, problem: str) -> None:
    """Whatever cannot be asked there is named, with what was perhaps meant."""
    with pytest.raises(ProgrammeInvalid) as refused:
        written(on, text)
    assert problem in refused.value.detail


@pytest.mark.parametrize(
    ("on", "text"),
    [
        ("benefit", "{ all = [ { age = { at_least = 60 } }, { not = { staff = true } } ] }"),
        (
            "line",
            "{ any = [ { label = { in = ['FACT:a', 'RULE:b'] } }, { tier = { is = 'GOLD' } } ] }",
        ),
        ("line", "{ any = [ " + "{ staff = true }, " * LEAVES_MAX + "] }"),
        ("line", "{ not = " * (DEPTH_MAX - 1) + "{ staff = true }" + " }" * (DEPTH_MAX - 1)),
    ],
)
def test_a_rule_is_taken(on: str, text: str) -> None:
    """At the limits of depth and length too."""
    programme = written(on, text)
    given_: dict[str, Any] = {
        "benefit": programme.benefits["VIDEO"].eligible,
        "line": programme.line[1].eligible,
    }
    assert rule(text) == given_.pop(on)
    assert [None] == list(given_.values())


def test_a_metric_needs_a_line_that_waits_for_the_evaluation() -> None:
    """As a period begins the last one is mostly not known yet: its units would never come."""
    text = "{ not = { metric = { at_least = '5' } } }"
    assert rule(text) == written("line", text).line[1].eligible
    with pytest.raises(ProgrammeInvalid, match=r'line\[1\]\.eligible\.metric: .* "EVALUATION"'):
        written("line", text, 'start = "PERIOD"\n')


def test_a_consent_must_be_defined() -> None:
    """A benefit needs one of its programme's, which has its text in both languages."""
    more = 'consent = "phone"\n'
    with pytest.raises(ProgrammeInvalid, match=r"benefit\[1\]\.consent: 'phone' is not defined"):
        written("benefit", "{ staff = false }", more)
    text = f'{PROGRAMME}\n[[consent]]\ncode = "phone"\ntext = {{ en = "Your number." }}\n'
    with pytest.raises(ProgrammeInvalid, match=r"consent\[0\]\.text: no text in zh"):
        read(text)


def test_borders_are_whole() -> None:
    """From the least through the most, both included."""
    for at, expected in ((59, Truth.NO), (60, Truth.YES), (62, Truth.YES), (63, Truth.NO)):
        born = date(2025 - at, 7, 2)
        known = msgspec.structs.replace(ANYBODY, born_on=born)
        assert expected is weigh(Rule(age=Years(at_least=60, at_most=62)), known)
    known = msgspec.structs.replace(ANYBODY, opened_on=date(2025, 7, 3))
    assert Truth.NO is weigh(Rule(tenure_months=Months(at_least=0)), known)
