"""What the tier card says where days decide that are no whole month (M-4, M-6, M-7)."""

from datetime import UTC, date, datetime

import msgspec
import pytest

from benefits.domain.calendars import Calendar, DayKind
from benefits.domain.catalogue import Catalogue, Judge, Rules
from benefits.domain.metrics import MonthSum
from benefits.domain.policy import Balance, Metric, Policy
from benefits.domain.progress import running
from benefits.domain.tiers import fold
from benefits.domain.values import Month
from benefits.domain.windows import Piece, Stretch
from benefits.web.page.facts import Facts, StandingSeen
from benefits.web.page.shown_tier import tier_cards
from benefits.web.tongue import TONGUES
from tests.domain.test_policies import PROGRAMME

AUGUST, SEPTEMBER = Month(2025, 8), Month(2025, 9)
CALENDAR = Calendar({date(2025, 10, 1): DayKind.HOLIDAY})
ROLLING = Policy(metric=Metric.ROLLING, days=30)
LAST_DAY = Policy(metric=Metric.POINT_IN_TIME, calendar="china")
OPENING = Policy(balance=Balance.OPENING)
LEVEL = 600_000_00
SUMS: dict[Piece, MonthSum] = {
    Month(2025, 7): MonthSum(Month(2025, 7), 31 * LEVEL, 31),
    Stretch(Month(2025, 7), 31, 31): MonthSum(Month(2025, 7), LEVEL, 1),
    AUGUST: MonthSum(AUGUST, 31 * LEVEL, 31),
    Stretch(AUGUST, 2, 31): MonthSum(AUGUST, 30 * LEVEL, 30),
    Stretch(AUGUST, 1, 30): MonthSum(AUGUST, 30 * LEVEL, 30),
    Stretch(AUGUST, 29, 29): MonthSum(AUGUST, LEVEL, 1),
    Stretch(AUGUST, 31, 31): MonthSum(AUGUST, LEVEL, 1),
    SEPTEMBER: MonthSum(SEPTEMBER, 10 * LEVEL, 10),
    Stretch(SEPTEMBER, 1, 29): MonthSum(SEPTEMBER, 10 * LEVEL, 10),
}


def card(policy: Policy, language: str) -> str:
    """Return all that the card of 10 September says to who has held a level for long."""
    programme = msgspec.structs.replace(PROGRAMME, policy=policy)
    rules = Rules((Judge(1, AUGUST, programme, CALENDAR),))
    counted = {programme.basket: SUMS}
    decided = fold(rules, counted, AUGUST, first=AUGUST)[-1]
    period = running(
        programme, SEPTEMBER, counted, day=10, opened_on=date(2020, 1, 1), calendar=CALENDAR
    )
    standing = StandingSeen(
        programme=programme,
        decided=decided,
        state=decided.after,
        then=programme,
        judge=programme,
        since=datetime(2025, 9, 1, tzinfo=UTC),
        running=period,
        undecided=SEPTEMBER,
        evaluated=AUGUST,
        result_by=None,
    )
    facts = Facts(
        now=datetime(2025, 9, 11, tzinfo=UTC),
        catalogue=Catalogue(version=1, programmes={}),
        opened_on=date(2020, 1, 1),
        standings={"wealth": standing},
        lots=[],
        expired=[],
        claims=[],
        prospects={},
    )
    (made,) = tier_cards(TONGUES[language], facts)
    aims = [aim for aim in (made.keep, made.ahead) if aim]
    return "\n".join([*made.details, *(each for aim in aims for each in (aim.first, *aim.more))])


@pytest.mark.parametrize(
    ("policy", "language", "said"),
    [
        (
            LAST_DAY,
            "en",
            [
                "29 August 2025: a balance of CN¥600,000 reaches the CN¥500,000 needed.",
                "No day of 30 September 2025 is known yet.",
                "Hold at least CN¥500,000 on 30 September 2025.",
                "Diamond needs a balance of CN¥5,000,000 on a month's last business day.",
            ],
        ),
        (
            LAST_DAY,
            "zh",
            [
                "2025年8月29日余额¥600,000，达到¥500,000的达标线。",
                "2025年9月30日余额请至少保持¥500,000。",
                "钻石要求每月最后一个营业日余额达到¥5,000,000。",
            ],
        ),
        (
            ROLLING,
            "en",
            [
                "2–31 Aug 2025: a daily average of CN¥600,000 reaches the CN¥500,000 needed.",
                "Hold at least CN¥450,000 on each remaining day of 1–30 Sept 2025.",
                "Diamond needs a daily average of CN¥5,000,000.",
            ],
        ),
        (ROLLING, "zh", ["2025年8月2日至31日日均¥600,000，达到¥500,000的达标线。"]),
        (
            OPENING,
            "en",
            [
                "August 2025 (opening balances): a daily average of CN¥600,000 reaches",
                "September 2025 (opening balances)",
                # The opening balance of the 1st is known too, and that of the 11th.
                "Hold at least CN¥442,106 on each remaining day of",
            ],
        ),
        (OPENING, "zh", ["2025年8月（日初余额）日均¥600,000，达到¥500,000的达标线。"]),
    ],
)
def test_the_days_that_decide_are_named(policy: Policy, language: str, said: list[str]) -> None:
    """X-6: the day or the days from which to which, in both languages."""
    found = card(policy, language)
    for words in said:
        assert words in found
