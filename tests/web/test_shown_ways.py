"""What the tier card says where a tier has several ways in (T-2)."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest

from benefits.domain.catalogue import Catalogue
from benefits.domain.labels import Label, Layer
from benefits.domain.metrics import MonthSum
from benefits.domain.progress import running
from benefits.domain.tiers import Decision, State
from benefits.domain.values import Month
from benefits.web.page.facts import Facts, StandingSeen
from benefits.web.page.shown_tier import TierCard, tier_cards
from benefits.web.tongue import TONGUES
from tests.domain.test_policies import FIRST, months
from tests.domain.test_ways import PROGRAMME, SALARY, folded, invited

FEBRUARY = Month(2024, 2)


def card(decided: Decision | None, level: int, labels: Sequence[str], language: str) -> TierCard:
    """Return the card of 10 February of who holds a level since then."""
    sums = months(level) | {FEBRUARY: MonthSum(FEBRUARY, level * 100 * 10, 10)}
    carried = [Label(key[5:], Layer(key[:4]), date(2023, 1, 1), None) for key in labels]
    counted = {PROGRAMME.basket: sums}
    period = running(
        PROGRAMME, FEBRUARY, counted, day=10, opened_on=date(2020, 1, 1), labels=carried
    )
    standing = StandingSeen(
        programme=PROGRAMME,
        decided=decided,
        state=decided.after if decided else State(),
        then=PROGRAMME,
        judge=PROGRAMME,
        since=datetime(2024, 2, 1, tzinfo=UTC),
        running=period,
        undecided=FEBRUARY,
        evaluated=FIRST,
        result_by=None,
    )
    facts = Facts(
        now=datetime(2024, 2, 11, tzinfo=UTC),
        catalogue=Catalogue(version=1, programmes={}),
        opened_on=date(2020, 1, 1),
        standings={"ways": standing},
        lots=[],
        expired=[],
        claims=[],
        prospects={},
    )
    (made,) = tier_cards(TONGUES[language], facts)
    return made


def words(made: TierCard) -> str:
    """Return all that a card says."""
    aims = [aim for aim in (made.keep, made.ahead) if aim]
    said = [*made.details, *(each for aim in aims for each in (aim.first, *aim.more))]
    return "\n".join(said)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            [
                (
                    "January 2024: a daily average of CN¥100,000 reaches the CN¥100,000 needed. "
                    "Reached by salary paid in here."
                ),
                "Whatever comes, it is judged again on 1 February 2025 only.",
                (
                    "Platinum asks for one of: a daily average of 500,000.00, or 450,000 in a "
                    "quarter, or salary paid in here."
                ),
                "By invitation asks for one of: invitation.",
            ],
        ),
        (
            "zh",
            [
                "以“代发工资”达标。",
                "白金的达标方式（任一即可）：日均500,000.00，或季日均四十五万，或代发工资。",
                "受邀的达标方式（任一即可）：邀请。",
            ],
        ),
    ],
)
def test_the_card_names_the_ways_into_a_tier(language: str, said: list[str]) -> None:
    """Kept by the salary; its own and the next tier's ways are named."""
    made = card(folded(months(100_000), SALARY)[0], 90_000, ["FACT:salary"], language)
    for each in said:
        assert each in words(made)


def test_the_card_of_a_tier_by_a_label_alone_needs_no_balance() -> None:
    """By invitation: why, and that nothing is needed as long as it is valid."""
    by_label = folded(months(0), invited(date(2024, 1, 1)))[0]
    made = card(by_label, 0, ["RULE:invited"], "en")
    assert "January 2024: reached by invitation." in made.details
    assert made.keep is not None
    assert ("good", "invitation suffices for By invitation.") == (made.keep.tone, made.keep.first)
    ended = card(by_label, 0, [], "en")
    assert ended.keep is not None
    assert ("wait", "February 2024 counts as a month below.") == (
        ended.keep.tone,
        ended.keep.first,
    )


def test_the_card_shows_the_nearest_way_ahead() -> None:
    """Gold now; the quarter asks less than the month, and is named as what is aimed at."""
    made = card(folded(months(440_000))[0], 440_000, [], "en")
    assert made.ahead is not None
    assert made.ahead.first.startswith("Keep at least CN¥458,200 on each remaining day of 1st")
    assert 97 == made.ahead.percent
