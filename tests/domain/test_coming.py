"""What versions to come change for a member is told: that, and nothing that concerns others."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from benefits.domain.catalogue import Catalogue, Judge, Plan, Rules
from benefits.domain.coming import Coming, What, Whom, coming
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.values import Month
from tests.builders import PROGRAMME

NOW, BEGINS = datetime(2025, 7, 2, 4, tzinfo=UTC), datetime(2025, 7, 31, 16, tzinfo=UTC)
GOLD, PLATINUM = 1, 2
CARS = """
[[line]]
code = "cars"
benefit = "LOUNGE"
period = "OCCURRENCE"
on = { day = 18 }
start = "PERIOD"
segment = { label = "car", layer = "RULE", name = { zh = "车主", en = "Car owners" } }
quantity = 1
"""
LOUNGE, TAXI = 'code = "LOUNGE"', 'code = "TAXI"'
LINE = 'code = "lounge"\nbenefit = "LOUNGE"'


def catalogue(version: int, programme: Programme) -> Catalogue:
    """Return a catalogue of a version that judges from August on."""
    judge = Judge(version, Month(2025, 8), programme)
    return Catalogue(
        version, {"wealth": programme}, {"wealth": version}, {"wealth": Rules((judge,))}
    )


def told(
    after: str, rank: int, before: str = PROGRAMME, *, now: datetime = NOW, **more: Any
) -> list[Coming]:
    """Return what a version that begins on 1 August changes for somebody of a rank."""
    plan = Plan((catalogue(1, read(before)), catalogue(2, read(after))), (BEGINS,))
    whom = Whom(
        ranks={"wealth": rank}, labels=more.get("labels", set()), units=more.get("units", set())
    )
    return coming(plan, now, whom)


@pytest.mark.parametrize(
    ("change", "rank", "expected"),
    [
        (
            ("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 1, DIAMOND = 6"),
            PLATINUM,
            (What.UNITS, "LOUNGE", True, "Airport lounge: 1 a quarter instead of 2."),
        ),
        (
            ("PLATINUM = 2, DIAMOND = 6", "DIAMOND = 6"),
            PLATINUM,
            (
                *(What.ENDS, "LOUNGE", True),
                "Airport lounge: no more units come. What you have stays yours while it is valid.",
            ),
        ),
        (
            ("{ PLATINUM = 2", "{ GOLD = 1, PLATINUM = 2"),
            GOLD,
            (What.BEGINS, "LOUNGE", False, "Airport lounge is new for you: 1 a quarter."),
        ),
        (
            ('code = "VIDEO"', 'code = "VIDEO"\ntakes = 2'),
            GOLD,
            (
                *(What.TAKES, "VIDEO", True),
                "Video membership: each takes 2 of your units instead of 1.",
            ),
        ),
        (
            (LOUNGE, f"{LOUNGE}\nclaim_until = 2025-12-31"),
            PLATINUM,
            (
                What.LAST_DAY,
                "LOUNGE",
                True,
                "Airport lounge can be claimed through 31 December 2025.",
            ),
        ),
        (
            ("cap = { limit = 2", "cap = { limit = 1"),
            GOLD,
            (What.RULES, "VIDEO", True, "Video membership: its rules change."),
        ),
        (
            ('threshold = "500000"', 'threshold = "600000"'),
            GOLD,
            (What.THRESHOLD, "PLATINUM", True, "Platinum needs 600,000.00 instead of 500,000.00."),
        ),
        (
            ('threshold = "500000"\nmisses = 3', 'threshold = "500000"\nmisses = 2'),
            PLATINUM,
            (What.TIERS, "", True, "Tiers are decided by other rules."),
        ),
    ],
)
def test_what_concerns_a_member_is_told(
    change: tuple[str, str], rank: int, expected: tuple[What, str, bool, str]
) -> None:
    """U-1, U-2: in both languages, from the day on which it holds, worse where it is judged so."""
    (one,) = told(PROGRAMME.replace(*change), rank)
    assert expected == (one.what, one.code, one.is_worse, one.words["en"])
    assert ("wealth", date(2025, 8, 1), {"zh", "en"}) == (
        one.programme,
        one.begins_on,
        {*one.words},
    )


@pytest.mark.parametrize(
    ("change", "rank"),
    [
        (("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 1, DIAMOND = 6"), GOLD),
        (('threshold = "5000000"', 'threshold = "6000000"'), GOLD),
        (('zh = "机场贵宾厅", en = "Airport lounge"', 'zh = "贵宾厅", en = "Lounge"'), PLATINUM),
        (('cost = "38.00"', 'cost = "40.00"'), PLATINUM),
        ((LOUNGE, f"{LOUNGE}\nclaim_until = 2025-12-31"), GOLD),
    ],
)
def test_what_concerns_others_or_nobody_is_not(change: tuple[str, str], rank: int) -> None:
    """Other tiers' units and thresholds, names, and what it costs the bank."""
    assert [] == told(PROGRAMME.replace(*change), rank)


def test_a_segments_member_is_told_of_its_line_and_who_has_units_of_them() -> None:
    """Whoever carries the label; and a shorter time to claim whoever has units of it."""
    (one,) = told(PROGRAMME + CARS, GOLD, labels={"RULE:car"})
    assert "新增机场贵宾厅，每个活动日1份。" == one.words["zh"]
    assert [] == told(PROGRAMME + CARS, GOLD)
    shorter = PROGRAMME.replace(LOUNGE, f"{LOUNGE}\nclaim_until = 2025-12-31")
    assert [What.LAST_DAY] == [x.what for x in told(shorter, GOLD, units={"BENEFIT:LOUNGE"})]


def test_what_is_replaced_can_be_claimed_on() -> None:
    """V-6: no last day is told where another goes on in its place; of the other one its own is."""
    sku = 'sku = "lounge-visit"'
    followed = PROGRAMME.replace(sku, f'{sku}\ncontract_end = 2025-10-31\nreplacement = "TAXI"')
    lounge = PROGRAMME.partition("[[benefit]]")[2].partition("[[benefit]]")[0]
    after = f"{followed}\n[[benefit]]{lounge.replace(LOUNGE, TAXI)}"
    assert [What.RULES] == [one.what for one in told(after, PLATINUM)]
    (one,) = told(f"{after}contract_end = 2025-12-31\n", PLATINUM)
    assert "Airport lounge can be claimed through 31 December 2025." == one.words["en"]


def test_versions_are_compared_once_for_all_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of each member asks for it, for as long as a version is to come."""
    after = read(PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 1, DIAMOND = 6"))
    plan = Plan((catalogue(1, read(PROGRAMME)), catalogue(2, after)), (BEGINS,))
    whom = Whom(ranks={"wealth": PLATINUM}, labels=set(), units=set())
    first = coming(plan, NOW, whom)
    monkeypatch.delattr("benefits.domain.coming.changes")
    assert ([], first) == (
        coming(plan, NOW, msgspec.structs.replace(whom, ranks={"wealth": GOLD})),
        coming(plan, NOW, whom),
    )


def test_nothing_is_to_come_once_it_holds() -> None:
    """At the instant itself the version is in force; tiers that none judges are not told of."""
    after = PROGRAMME.replace('threshold = "500000"', 'threshold = "600000"')
    assert [] == told(after, GOLD, now=BEGINS)
    plan = Plan((catalogue(1, read(PROGRAMME)), catalogue(2, read(after))), (BEGINS,))
    silent = msgspec.structs.replace(plan.catalogues[1], rules=plan.catalogues[0].rules)
    whom = Whom(ranks={"wealth": GOLD}, labels=set(), units=set())
    assert [] == coming(Plan((plan.catalogues[0], silent), (BEGINS,)), NOW, whom)
