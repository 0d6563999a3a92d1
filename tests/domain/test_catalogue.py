"""The programme file: what is right is read exactly, what is wrong is named by its path."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefits.domain.benefit import Consumed
from benefits.domain.catalogue import Catalogue
from benefits.domain.policy import Target
from benefits.domain.programme import ProgrammeInvalid
from benefits.domain.programme_file import read
from benefits.domain.spelling import suggestion
from tests.builders import PROGRAMME, reference_programme, thresholds


def problems(*changes: tuple[str, str]) -> list[str]:
    """Return what is wrong with the reference programme after changes to its text."""
    text = PROGRAMME
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(ProgrammeInvalid) as refused:
        read(text)
    return refused.value.detail.splitlines()


def test_the_reference_programme_is_read() -> None:
    """Tiers, amounts and terms of the file are there, in minor units where it is money."""
    programme = reference_programme()
    assert (0, 5_000_000, 50_000_000, 500_000_000, 1_000_000_000) == thresholds(programme)
    assert {"lounge": 1_000_000, "video": 10_000_000} == programme.budgets_minor
    assert {"LOUNGE": Consumed.USE, "VIDEO": Consumed.ISSUE} == {
        code: benefit.consumed for code, benefit in programme.benefits.items()
    }
    assert "BENEFIT:LOUNGE" == programme.benefits["LOUNGE"].unit
    assert 2.0 == programme.providers["sandbox"].capabilities.deadline_s
    assert (Target.LAST, "Asia/Shanghai") == (programme.policy.target, programme.tz.key)


def test_offers_are_found_by_code_over_all_programmes() -> None:
    """A catalogue finds every benefit with the programme it belongs to."""
    programme = reference_programme()
    offers = Catalogue(7, {"wealth": programme}).offers
    assert {"LOUNGE", "VIDEO"} == offers.keys()
    assert (programme, programme.benefits["VIDEO"]) == offers["VIDEO"]


WRONG = {
    "benefit without provider": (
        ('provider = "sandbox"', 'provider = "sandbux"'),
        "benefit[0].provider: 'sandbux' is not defined; did you mean 'sandbox'?",
    ),
    "benefit without budget": (
        ('budget = "lounge"', 'budget = "loungs"'),
        "benefit[0].budget: 'loungs' is not defined; did you mean 'lounge'?",
    ),
    "nothing near": (
        ('budget = "lounge"', 'budget = "x"'),
        "benefit[0].budget: 'x' is not defined",
    ),
    "line without benefit": (
        ('benefit = "VIDEO"', 'benefit = "VIDEOS"'),
        "line[1].benefit: 'VIDEOS' is not defined; did you mean 'VIDEO'?",
    ),
    "quota of no tier": (
        ("{ PLATINUM = 2", "{ PLATINIUM = 2"),
        "line[0].quota: tier 'PLATINIUM' is not defined; did you mean 'PLATINUM'?",
    ),
    "companions of no tier": (
        ('sku = "video-month"', 'sku = "video-month"\ncompanions = { PLATINIUM = 1 }'),
        "benefit[1].companions: tier 'PLATINIUM' is not defined; did you mean 'PLATINUM'?",
    ),
    "quota of nothing": (
        ("{ PLATINUM = 2", "{ PLATINUM = 0"),
        "line[0].quota.PLATINUM: must be between 1 and 1000000000",
    ),
    "less kept than a period brings": (
        ('period = "QUARTER"', 'period = "QUARTER"\ncarry = { periods = 1, cap = 11 }'),
        "line[0].carry.cap: a period brings up to 12, which would not fit",
    ),
    "less kept than all quotas on top of each other": (
        (
            'period = "QUARTER"',
            'period = "QUARTER"\nupgrade = "FULL"\ncarry = { periods = 1, cap = 19 }',
        ),
        "line[0].carry.cap: a period brings up to 20, which would not fit",
    ),
    "window ends before it begins": (
        (
            'consumed = "USE"',
            'consumed = "USE"\nclaim_from = 2025-06-02\nclaim_until = 2025-06-01',
        ),
        "benefit[0].claim_from: is after 2025-06-01, the last day for claims",
    ),
    "use without end that has one": (
        (
            'consumed = "USE"',
            'consumed = "USE"\nuse = { days = 30, until = 9999-12-31 }',
        ),
        "benefit[0].use.until: must lie in the years 1900 to 2999; leave it out for no end",
    ),
    "claimed for ever": (
        ('consumed = "USE"', 'consumed = "USE"\nclaim_until = 9999-12-31'),
        "benefit[0].claim_until: must lie in the years 1900 to 2999; leave it out for no end",
    ),
    "use of a top-up": (
        ('consumed = "ISSUE"', 'consumed = "ISSUE"\nuse = { days = 30 }'),
        "benefit[1].use: a DIRECT_TOPUP is used as it is delivered",
    ),
    "ladder falls": (
        ('threshold = "500000"', 'threshold = "40000"'),
        "tier[2].threshold: must be above that of the tier before it",
    ),
    "ladder stands": (
        ('threshold = "500000"', 'threshold = "50000"'),
        "tier[2].threshold: must be above that of the tier before it",
    ),
    "ladder starts too high": (
        ('threshold = "0"', 'threshold = "1"'),
        "tier[0].threshold: the lowest tier starts at 0",
    ),
    "no misses": (
        ("misses = 6", "misses = 0"),
        "tier[4].misses: say how many months below in a row lose the tier",
    ),
    "too many decimals": (
        ('cost = "38.00"', 'cost = "38.001"'),
        "benefit[0].cost: 38.001 has more than 2 decimals",
    ),
    "negative amount": (
        ('total = "10000.00"', 'total = "-1"'),
        "budget[0].total: must be an amount of at least 0",
    ),
    "amount that is no number": (
        ('threshold = "500000"', 'threshold = "nan"'),
        "tier[2].threshold: must be an amount of at least 0",
    ),
    "amount beyond any": (
        ('total = "10000.00"', 'total = "1e9999999"'),
        "budget[0].total: 1E+9999999 is too large",
    ),
    "no such zone": (
        ('"Asia/Shanghai"', '"Asia/Shangai"'),
        "zone: 'Asia/Shangai' is not a time zone",
    ),
    "zone is a folder": (('"Asia/Shanghai"', '"Asia"'), "zone: 'Asia' is not a time zone"),
    "code twice": (('code = "GOLD"', 'code = "BASE"'), "tier[1].code: 'BASE' stands twice"),
    "text missing": (
        ('{ zh = "沙盒", en = "Sandbox" }', '{ zh = "沙盒" }'),
        "provider[0].name: no text in en",
    ),
    "negative stock": (("stock = 50", "stock = -1"), "benefit[1].stock: must be at least 0"),
    "cap of nothing": (
        ("limit = 2", "limit = 0"),
        "benefit[1].cap.limit: must be between 1 and 1000000000",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_contradiction_is_named_by_its_path(name: str) -> None:
    """A mistake is told with its path, and with what was probably meant."""
    change, problem = WRONG[name]
    assert problem in problems(change)


WAY = (
    'any = [{{ code = "W", name = {{ zh = "甲", en = "A" }}, '
    'all = [{{ metric = "YEAR_AVG", threshold = "{}" }}] }}]'
)
DECIMALS = {
    "tier[0].threshold": ('threshold = "0"', 'threshold = "{}"'),
    "tier[1].threshold": ('threshold = "50000"', 'threshold = "{}"'),
    "budget[0].total": ('total = "10000.00"', 'total = "{}"'),
    "benefit[0].cost": ('cost = "38.00"', 'cost = "{}"'),
    "benefit[0].takes": ('cost = "38.00"', 'cost = "38.00"\ntakes = "{}"'),
    "benefit[1].cap.limit": ("limit = 2", 'limit = "{}"'),
    "line[1].quota.GOLD": ("GOLD = 1", 'GOLD = "{}"'),
    "line[1].carry.cap": (
        "quota = { GOLD",
        'carry = {{ periods = 1, cap = "{}" }}\nquota = {{ GOLD',
    ),
    "policy.weights.DEPOSIT": ("[[tier]]", '[policy]\nweights = {{ DEPOSIT = "{}" }}\n\n[[tier]]'),
    "tier[1].any[0].all[0].threshold": (
        'threshold = "50000"',
        WAY + '\nthreshold = "50000"',
    ),
}


@pytest.mark.parametrize("path", DECIMALS)
@pytest.mark.parametrize(
    "odd",
    [
        *("nan", "-nan", "snan", "sNaN123", "inf", "-Infinity", "1e999999", "-1e999999"),
        *("1e-999999", "1e-1000020", "1e1000020", "-0.1", "1" * 40, "0." + "1" * 40),
    ],
)
def test_a_decimal_that_is_no_amount_is_named_by_its_path(path: str, odd: str) -> None:
    """What the decimal notation has beyond amounts is refused like any other mistake (C-3)."""
    old, new = DECIMALS[path]
    told = problems((old, new.format(odd)))
    assert any(line.startswith(f"{path}: ") for line in told), told


def test_all_contradictions_are_told_together() -> None:
    """One reading tells every mistake, so that one correction mends them all."""
    found = problems(*(WRONG[name][0] for name in ("nothing near", "no misses", "negative stock")))
    told = [WRONG[name][1] for name in ("no misses", "nothing near", "negative stock")]
    assert told == found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("misses = 6", "mises = 6"), ["`mises`", "$.tier[4]"]),
        (("misses = 6", 'misses = "six"'), ["int", "$.tier[4].misses"]),
        (('cost = "38.00"', 'cost = "dear"'), ["decimal", "$.benefit[0].cost"]),
        (('kind = "BOOKING"', 'kind = "BOOK"'), ["BOOK", "$.benefit[0].kind"]),
        (('zone = "Asia/Shanghai"', ""), ["zone"]),
        (('currency = "CNY"', "currency = CNY"), ["line 4"]),
    ],
)
def test_a_malformed_file_is_refused_with_the_place(
    change: tuple[str, str], words: list[str]
) -> None:
    """What does not fit the format is refused with its path or line."""
    told = "\n".join(problems(change))
    for word in words:
        assert word in told


def test_a_programme_without_tiers_is_refused() -> None:
    """A programme needs a ladder."""
    text = 'code = "a"\nname = { zh = "甲", en = "A" }\ncurrency = "CNY"\nzone = "UTC"\n'
    with pytest.raises(ProgrammeInvalid) as refused:
        read(text + "asset_classes = []\ntier = []\n")
    assert "tier: a programme needs at least one tier" == refused.value.detail


@given(st.integers(-(10**17), 10**17))
def test_minor_units_are_exact(minor: int) -> None:
    """Every amount of minor units is read back as itself (C-1)."""
    assert minor == reference_programme().minor(Decimal(minor).scaleb(-2))


@pytest.mark.parametrize(
    "text",
    [
        *("0.001", "1.005", "1.0000000000000000000000000000000001", "1e-9999999", "1e9999999"),
        *("inf", "-inf", "nan", "snan"),
    ],
)
def test_what_minor_units_cannot_say_is_not_rounded(text: str) -> None:
    """Too many decimals, however many, and what is too large are refused, never rounded (C-3)."""
    with pytest.raises(ValueError, match=r"decimals|too large|no amount"):
        reference_programme().minor(Decimal(text))


@pytest.mark.parametrize(("digits", "minor"), [(0, 15), (2, 1500), (3, 15000)])
def test_minor_units_follow_the_currency(digits: int, minor: int) -> None:
    """Yen have no decimals, yuan two, dinars three (A-4)."""
    text = PROGRAMME.replace("minor_digits = 2", f"minor_digits = {digits}")
    text = text.replace('"10000.00"', '"15"').replace(".00", "")
    assert minor == read(text).budgets_minor["lounge"]


def test_the_ladder_of_a_programme_that_was_read_ascends() -> None:
    """Whatever `read` lets through has strictly rising lower bounds (T-1)."""
    assert all(low < high for low, high in pairwise(thresholds(reference_programme())))


@pytest.mark.parametrize(
    ("word", "hint"), [("lounje", "; did you mean 'lounge'?"), ("zzz", ""), ("", "")]
)
def test_a_suggestion_is_made_only_when_something_is_near(word: str, hint: str) -> None:
    """A slip of the pen is recognised, nonsense is not."""
    assert hint == suggestion(word, ["lounge", "video"])


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('code = "wealth"', 'code = "we/alth"', "code: 'we/alth' must have 1 to 64 letters"),
        ('code = "GOLD"', 'code = "GO LD"', "tier[1].code: 'GO LD' must have"),
        ('code = "VIDEO"', 'code = "VIDEO\\u0000"', "benefit[1].code: 'VIDEO\\x00' must have"),
        ('code = "lounge"\ntotal', 'code = ""\ntotal', "budget[0].code: '' must have"),
        ('code = "lounge"\nbenefit', 'code = "a:b"\nbenefit', "line[0].code: 'a:b' must have"),
        ('code = "sandbox"', f'code = "{"s" * 65}"', "provider[0].code: 'sss"),
        ('"video-month"', '"video\\u0000"', "benefit[1].sku: has a NUL character"),
    ],
)
def test_a_code_can_stand_wherever_it_is_needed(before: str, after: str, told: str) -> None:
    """In addresses, counters, paths and files of PostgreSQL; else it is named by its path."""
    assert before in PROGRAMME
    with pytest.raises(ProgrammeInvalid) as refused:
        read(PROGRAMME.replace(before, after, 1))
    assert told in refused.value.detail


def test_a_code_may_be_in_any_script() -> None:
    """Letters are not only those of ASCII."""
    swapped = PROGRAMME.replace('"lounge"', '"贵宾厅.1"')
    assert "贵宾厅.1" in [budget.code for budget in read(swapped).budget]
