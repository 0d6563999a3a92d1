"""What the tier card says to a new customer who is welcome to a tier (M-8)."""

from datetime import UTC, date, datetime

import pytest

from benefits.domain.catalogue import Catalogue
from benefits.domain.floors import Floor, moved
from benefits.domain.metrics import MonthSum
from benefits.domain.progress import running
from benefits.domain.tiers import State
from benefits.domain.values import Month
from benefits.web.page.facts import Facts, StandingSeen
from benefits.web.page.shown_tier import tier_cards
from benefits.web.tongue import TONGUES
from tests.domain.test_policies import PROGRAMME

AUGUST, SEPTEMBER = Month(2025, 8), Month(2025, 9)
FLOOR = Floor(1, date(2025, 9, 3), date(2025, 12, 3))
WELCOME = State(1, earned=0, welcome_until=FLOOR.until)


def card(written: State, on: date, language: str) -> str:
    """Return what the card says after a welcome was begun or ended on a day."""
    decided = moved(written, FLOOR, AUGUST, on)
    assert decided is not None
    sums = {PROGRAMME.basket: {SEPTEMBER: MonthSum(SEPTEMBER, 8 * 60_000_00, 8)}}
    standing = StandingSeen(
        programme=PROGRAMME,
        decided=decided,
        state=decided.after,
        then=PROGRAMME,
        judge=PROGRAMME,
        since=datetime(2025, 9, 3, tzinfo=UTC),
        running=running(PROGRAMME, SEPTEMBER, sums, day=10, opened_on=FLOOR.first),
        undecided=SEPTEMBER,
        evaluated=None,
        result_by=None,
    )
    facts = Facts(
        now=datetime(2025, 9, 11, tzinfo=UTC),
        catalogue=Catalogue(version=1, programmes={}),
        opened_on=FLOOR.first,
        standings={"wealth": standing},
        lots=[],
        expired=[],
        claims=[],
        prospects={},
    )
    (made,) = tier_cards(TONGUES[language], facts)
    keep = [made.keep.first, *made.keep.more] if made.keep else []
    return "\n".join([*keep, *made.details])


@pytest.mark.parametrize(
    ("language", "during", "after"),
    [
        (
            "en",
            [
                "As a new customer you have Gold at least through 2 December 2025.",
                "What you have reached holds from then on; so far that is Base.",
                "each remaining day of September 2025 to be Gold from 1 October 2025.",
            ],
            "As a new customer you had Gold through 2 December 2025.",
        ),
        (
            "zh",
            [
                "作为新客户，您在2025年12月2日前（含当日）至少享有金卡。",
                "此后按已达到的等级；目前为大众。",
            ],
            "新客户的金卡等级已于2025年12月2日到期。",
        ),
    ],
)
def test_the_card_says_until_when_and_what_comes_then(
    language: str, during: list[str], after: str
) -> None:
    """And how the tier is reached until then; no month counts as one below."""
    said = card(State(), FLOOR.first, language)
    assert [] == [words for words in during if words not in said]
    assert after in card(WELCOME, FLOOR.until, language)
