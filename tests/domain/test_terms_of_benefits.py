"""What is worse for members of limits, contracts, lives of units, windows and segments (U-2)."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from benefits.domain.carry import Carry
from benefits.domain.eligibility import Rule
from benefits.domain.labels import Layer
from benefits.domain.lattice import Unused
from benefits.domain.packages import Downgrade, Line, LinePeriod, Segment
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.stacking import StackBy, Stacking
from benefits.domain.terms import (
    changes,
)
from benefits.domain.use import Length, Use
from tests.builders import PROGRAMME, reference_programme

BEFORE = reference_programme()


def worse(text: str) -> list[tuple[str, bool]]:
    """Return the paths that a programme file changes, and whether for the worse."""
    return [(each.path, each.is_worse) for each in changes(BEFORE, read(text))]


MONTHLY = """
[[limit]]
code = "m"
scope = "MEMBER"
limit = "3"
window = "MONTH"
"""


@pytest.mark.parametrize(
    ("more", "path"),
    [
        (MONTHLY.replace('"m"', '"m.limit"'), 'limit."m.limit"'),
        (MONTHLY.replace('"m"', '"m.on_full"'), 'limit."m.on_full"'),
    ],
)
def test_no_code_is_taken_for_a_path(more: str, path: str) -> None:
    """A new limit is worse, whatever it is called; so is a lower one (U-2)."""
    assert [(path, True)] == worse(PROGRAMME + more)
    lower = changes(read(PROGRAMME + more), read(PROGRAMME + more.replace('"3"', '"2"')))
    assert [(f"{path}.limit", True)] == [(each.path, each.is_worse) for each in lower]


def test_a_code_with_a_dot_is_judged_like_any_other() -> None:
    """A tier's quota of a line that has the name of a benefit's text."""
    odd = PROGRAMME.replace('code = "lounge"\nbenefit', 'code = "a.quota.b"\nbenefit')
    assert odd != PROGRAMME
    for quota, is_worse in (("PLATINUM = 1", True), ("PLATINUM = 3", False)):
        (only,) = changes(read(odd), read(odd.replace("PLATINUM = 2", quota, 1)))
        expected = ('line."a.quota.b".quota.PLATINUM', is_worse)
        assert expected == (only.path, only.is_worse)


@pytest.mark.parametrize(
    ("scope", "of", "cost", "is_worse"),
    [
        ("MEMBER", "LOUNGE", "39.00", True),
        ("PROGRAMME", "LOUNGE", "39.00", True),
        ("MEMBER", "LOUNGE", "37.00", False),
        ("MEMBER", "VIDEO", "39.00", False),
    ],
)
def test_a_cost_that_a_limit_counts_is_worse_if_it_rises(
    scope: str, of: str, cost: str, *, is_worse: bool
) -> None:
    """Fewer pieces fit in the same room (U-2, K-1)."""
    limited = MONTHLY.replace("MEMBER", scope) + f'dimension = "COST"\nbenefits = ["{of}"]\n'
    dearer = PROGRAMME.replace('cost = "38.00"', f'cost = "{cost}"')
    (only,) = changes(read(PROGRAMME + limited), read(dearer + limited))
    assert ("benefit.LOUNGE.cost", is_worse) == (only.path, only.is_worse)


@pytest.mark.parametrize(
    ("before", "after", "path", "is_worse"),
    [
        ("", MONTHLY, "limit.m", True),
        (MONTHLY, "", "limit.m", False),
        (MONTHLY, MONTHLY.replace('"3"', '"2"'), "limit.m.limit", True),
        (MONTHLY, MONTHLY.replace('"3"', '"4"'), "limit.m.limit", False),
        (MONTHLY, MONTHLY.replace("MONTH", "DAY"), "limit.m.window", True),
        (MONTHLY, MONTHLY.replace("MEMBER", "PROGRAMME"), "limit.m.scope", True),
        (MONTHLY, MONTHLY + 'on_full = "NEXT_WINDOW"', "limit.m.on_full", False),
        (MONTHLY, MONTHLY + 'benefits = ["VIDEO"]', "limit.m.benefits.VIDEO", True),
        (MONTHLY + 'benefits = ["VIDEO"]', MONTHLY, "limit.m.benefits.VIDEO", True),
        (
            MONTHLY + 'benefits = ["VIDEO", "LOUNGE"]',
            MONTHLY + 'benefits = ["LOUNGE"]',
            "limit.m.benefits.VIDEO",
            False,
        ),
    ],
)
def test_a_limit_is_judged_by_what_it_leaves(
    before: str, after: str, path: str, *, is_worse: bool
) -> None:
    """New, lower, or another one is worse; gone, higher or told is not (U-2, K-1)."""
    found = changes(read(PROGRAMME + before), read(PROGRAMME + after))
    assert [(path, is_worse)] == [(each.path, each.is_worse) for each in found]


SEASON = """
[[benefit]]
code = "SEASON"
name = { zh = "时令券", en = "Season's voucher" }
kind = "WALLET_COUPON"
provider = "sandbox"
sku = "season-20"
cost = "20.00"
consumed = "USE"
budget = "video"
"""


@pytest.mark.parametrize(
    ("benefits", "is_worse"),
    [('["SEASON"]', False), ('["SEASON", "VIDEO"]', True), ("[]", True)],
)
def test_a_limit_of_what_is_new_takes_nothing(benefits: str, *, is_worse: bool) -> None:
    """K-1, U-2: a capped voucher joins a programme at once; what was there gets no new limit."""
    found = worse(PROGRAMME + SEASON + f"{MONTHLY}benefits = {benefits}\n")
    assert [("benefit.SEASON", False), ("limit.m", is_worse)] == found


@pytest.mark.parametrize(
    ("before", "after", "is_worse"),
    [
        (None, date(2026, 1, 1), True),
        (date(2026, 1, 1), date(2025, 12, 31), True),
        (date(2026, 1, 1), date(2026, 1, 2), False),
        (date(2026, 1, 1), None, False),
    ],
)
def test_a_contract_that_ends_sooner_is_worse(
    before: date | None, after: date | None, *, is_worse: bool
) -> None:
    """One that goes on, or longer, is not; more lead days are (U-2, V-6)."""

    def of(end: date | None, lead: int = 0) -> Programme:
        lounge, video = BEFORE.benefit
        return replace(BEFORE, benefit=(lounge, replace(video, contract_end=end, lead_days=lead)))

    (found,) = changes(of(before), of(after))
    assert ("benefit.VIDEO.contract_end", is_worse) == (found.path, found.is_worse)
    (lead,) = changes(of(date(2026, 1, 1), 1), of(date(2026, 1, 1), 2))
    assert lead.is_worse


@pytest.mark.parametrize(
    ("before", "after", "is_worse"), [("", "A", False), ("A", "", True), ("A", "B", True)]
)
def test_another_replacement_is_worse_and_a_first_one_is_not(
    before: str, after: str, *, is_worse: bool
) -> None:
    """Without one nothing came after the end (U-2, V-6)."""
    lounge, video = BEFORE.benefit
    named = (replace(video, replacement=code) for code in (before, after))
    (found,) = changes(*(replace(BEFORE, benefit=(lounge, one)) for one in named))
    assert ("benefit.VIDEO.replacement", is_worse) == (found.path, found.is_worse)


@pytest.mark.parametrize(
    ("before", "after", "path", "is_worse"),
    [
        (None, (1, 12), "", False),
        ((1, 12), None, "", True),
        ((2, 12), (1, 12), ".periods", True),
        ((1, 12), (2, 12), ".periods", False),
        ((1, 13), (1, 12), ".cap", True),
        ((1, 12), (1, 13), ".cap", False),
    ],
)
def test_units_that_are_carried_over_less_far_are_worse(
    before: tuple[int, int] | None, after: tuple[int, int] | None, path: str, *, is_worse: bool
) -> None:
    """U-2, P-5: a cap takes none of a period's own units, so with it nobody has less."""

    def of(carry: tuple[int, int] | None) -> Programme:
        lounge, video = BEFORE.line
        made = Carry(periods=carry[0], cap=carry[1]) if carry else None
        return replace(BEFORE, line=(replace(lounge, carry=made), video))

    (found,) = changes(of(before), of(after))
    assert (f"line.lounge.carry{path}", is_worse) == (found.path, found.is_worse)


DAY, NEXT = date(2026, 1, 1), date(2026, 1, 2)
EXACT = Length.EXACT_DURATION


@pytest.mark.parametrize(
    ("before", "after", "path", "is_worse"),
    [
        ({}, {"claim_from": DAY}, "claim_from", True),
        ({"claim_from": DAY}, {"claim_from": NEXT}, "claim_from", True),
        ({"claim_from": NEXT}, {"claim_from": DAY}, "claim_from", False),
        ({"claim_from": DAY}, {}, "claim_from", False),
        ({}, {"claim_until": DAY}, "claim_until", True),
        ({"claim_until": DAY}, {"claim_until": NEXT}, "claim_until", False),
        ({}, {"use": Use(days=9)}, "use", True),
        ({"use": Use(days=9)}, {}, "use", False),
        ({"use": Use(days=9)}, {"use": Use(days=8)}, "use.days", True),
        ({"use": Use(days=9)}, {"use": Use(days=10)}, "use.days", False),
        ({"use": Use(days=9)}, {"use": Use(days=9, late_days=1)}, "use.late_days", True),
        ({}, {"unused": Unused.LOST}, "unused", True),
        ({"unused": Unused.LOST}, {}, "unused", False),
        ({"use": Use(days=9)}, {"use": Use(days=9, until=DAY)}, "use.until", True),
        ({"use": Use(days=9, until=DAY)}, {"use": Use(days=9)}, "use.until", False),
        ({"use": Use(days=9)}, {"use": Use(days=9, length=EXACT)}, "use.length", True),
        ({"use": Use(days=9, length=EXACT)}, {"use": Use(days=9)}, "use.length", False),
    ],
)
def test_less_time_to_claim_or_to_use_is_worse(
    before: dict[str, Any], after: dict[str, Any], path: str, *, is_worse: bool
) -> None:
    """U-2, P-9: where none was said, or less of it."""

    def of(said: dict[str, Any]) -> Programme:
        lounge, video = BEFORE.benefit
        return replace(BEFORE, benefit=(replace(lounge, **said), video))

    (found,) = changes(of(before), of(after))
    assert (f"benefit.LOUNGE.{path}", is_worse) == (found.path, found.is_worse)


PAYROLL = """
[[line]]
code = "payroll"
benefit = "VIDEO"
period = "MONTH"
start = "PERIOD"
segment = { label = "payroll", layer = "FACT", name = { zh = "代发客户", en = "Payroll" } }
quantity = 2
"""


@pytest.mark.parametrize(
    ("old", "new", "path", "is_worse"),
    [
        ("quantity = 2", "quantity = 1", "line.payroll.quantity", True),
        ("quantity = 2", "quantity = 3", "line.payroll.quantity", False),
        ('label = "payroll"', 'label = "pensions"', "line.payroll.segment.label", True),
        ('"FACT"', '"RULE"', "line.payroll.segment.layer", True),
        ('"Payroll"', '"Salary paid in"', "line.payroll.segment.name.en", False),
    ],
)
def test_what_a_segment_brings_is_judged(old: str, new: str, path: str, *, is_worse: bool) -> None:
    """P-2: another label is another group of members, whoever they are."""
    before, after = read(PROGRAMME + PAYROLL), read(PROGRAMME + PAYROLL.replace(old, new))
    assert [(path, is_worse)] == [(each.path, each.is_worse) for each in changes(before, after)]


def stacked(*lines: Line) -> Programme:
    """Return the programme with lines of lounges of which the first alone counts."""
    lounge, *others = BEFORE.benefit
    lounge = replace(lounge, stacking=Stacking(by=StackBy.PRIORITY))
    return replace(BEFORE, benefit=(lounge, *others), line=lines)


FIRST = Line(
    code="first", benefit="LOUNGE", period=LinePeriod.MONTH, quota={"GOLD": 1}, priority=1
)
SECOND = replace(FIRST, code="second", quota={"GOLD": 2, "PLATINUM": 2}, priority=2)
FALLS = replace(
    FIRST, code="falls", quota={"DIAMOND": 5}, priority=3, downgrade=Downgrade.REVOKE_EXCESS
)
SALARIED = Segment(label="payroll", layer=Layer.FACT, name={"zh": "代发", "en": "Payroll"})
PAID = replace(SECOND, code="paid", quota={}, segment=SALARIED, quantity=3)


@pytest.mark.parametrize(
    ("before", "after", "is_worse"),
    [
        ([SECOND], [FIRST, SECOND], True),
        ([SECOND], [replace(FIRST, quota={"GOLD": 2}), SECOND], False),
        ([SECOND], [replace(FIRST, priority=3), SECOND], False),  # it hides none
        ([PAID], [FIRST, PAID], True),
        ([PAID], [replace(FIRST, quota={"GOLD": 3}), PAID], False),
        ([SECOND], [replace(PAID, quantity=1, priority=1), SECOND], True),
        ([SECOND], [replace(PAID, quantity=2, priority=1), SECOND], False),
        ([FIRST, SECOND], [replace(FIRST, quota={"GOLD": 1, "PLATINUM": 1}), SECOND], True),
        ([FIRST, SECOND], [replace(FIRST, quota={"GOLD": 1, "PLATINUM": 2}), SECOND], False),
        ([replace(FIRST, eligible=Rule(staff=True)), SECOND], [FIRST, SECOND], True),
        ([SECOND, FALLS], [SECOND, replace(FALLS, quota={"DIAMOND": 6})], True),
        ([FALLS], [replace(FALLS, quota={"DIAMOND": 6})], False),
        ([FALLS], [FALLS, replace(SECOND, quota={"GOLD": 3})], False),  # of which none is taken
    ],
)
def test_a_first_line_for_more_members_is_worse_where_it_hides_more(
    before: list[Line],
    after: list[Line],
    is_worse: bool,  # noqa: FBT001 - a case
) -> None:
    """P-7: the first line that lets a member in counts alone, whatever a later one would bring."""
    (change,) = changes(stacked(*before), stacked(*after))
    assert is_worse == change.is_worse


def test_a_new_tier_with_fewer_companions_is_worse() -> None:
    """V-10: who rises into it could bring two along, and now nobody."""
    lounge, *others = BEFORE.benefit
    top = BEFORE.tier[-1]
    new = replace(top, code="TOP", threshold=Decimal(50_000_000))
    lines = tuple(
        replace(line, quota={**line.quota, "TOP": line.quota[top.code]}) for line in BEFORE.line
    )
    before = replace(BEFORE, benefit=(replace(lounge, companions={top.code: 2}), *others))
    for companions, is_worse in (({}, True), ({"TOP": 1}, True), ({"TOP": 2}, False)):
        guests = replace(lounge, companions={top.code: 2, **companions})
        after = replace(before, tier=(*before.tier, new), line=lines, benefit=(guests, *others))
        assert is_worse == any(each.is_worse for each in changes(before, after))
