"""Decisions are told in a sentence, in both languages (X-6)."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from benefits.domain.explanation import explain
from benefits.domain.metrics import MonthSum
from benefits.domain.tiers import State
from benefits.domain.values import Month
from tests.domain.test_tiers import BASE, GOLD, PLATINUM, PROGRAMME, step, whole

JUNE = Month(2025, 6)
SENTENCES = {
    "G-WHY-1": (
        step(PROGRAMME, State(PLATINUM), MonthSum(JUNE, 14_999_999_99, 30)),
        (
            "June 2025 daily average 499,999.99 (30 of 30 days known); 500,000.00 needed; "
            "first month below; your tier stays Platinum at least through 31 August 2025."
        ),
        (
            "2025年6月日均499,999.99（已知30/30天），达标线500,000.00；"
            "连续第1个月未达标，白金等级至少保留至2025年8月31日。"
        ),
    ),
    "G-WHY-1, converted": (
        step(
            PROGRAMME,
            State(PLATINUM),
            MonthSum(JUNE, 14_999_999_99, 30, converted=("USD",)),
        ),
        (
            "June 2025 daily average 499,999.99 (30 of 30 days known, USD converted daily); "
            "500,000.00 needed; first month below; "
            "your tier stays Platinum at least through 31 August 2025."
        ),
        (
            "2025年6月日均499,999.99（已知30/30天，USD按日折算），达标线500,000.00；"
            "连续第1个月未达标，白金等级至少保留至2025年8月31日。"
        ),
    ),
    "two currencies": (
        step(
            PROGRAMME,
            State(GOLD),
            MonthSum(JUNE, 50_000_00 * 30, 30, converted=("JPY", "USD")),
        ),
        (
            "June 2025 daily average 50,000.00 (30 of 30 days known, JPY, USD converted daily); "
            "50,000.00 needed; reached: your tier stays Gold."
        ),
        (
            "2025年6月日均50,000.00（已知30/30天，JPY、USD按日折算），达标线50,000.00；"
            "已达标，等级保持金卡。"
        ),
    ),
    "second miss": (
        step(PROGRAMME, State(PLATINUM, 1, (GOLD,)), whole("2025-06", 60_000)),
        (
            "June 2025 daily average 60,000.00 (30 of 30 days known); 500,000.00 needed; "
            "second month below; your tier stays Platinum at least through 31 July 2025."
        ),
        (
            "2025年6月日均60,000.00（已知30/30天），达标线500,000.00；"
            "连续第2个月未达标，白金等级至少保留至2025年7月31日。"
        ),
    ),
    "upgraded": (
        step(PROGRAMME, State(), MonthSum(JUNE, 15_600_000_00, 28)),
        (
            "June 2025 daily average 520,000.00 (28 of 30 days known); 500,000.00 needed; "
            "reached: your tier is Platinum from 1 July 2025."
        ),
        (
            "2025年6月日均520,000.00（已知28/30天），达标线500,000.00；"
            "已达标，自2025年7月1日起为白金。"
        ),
    ),
    "retained": (
        step(PROGRAMME, State(GOLD, 2, (BASE, BASE)), whole("2025-06", 50_000)),
        (
            "June 2025 daily average 50,000.00 (30 of 30 days known); 50,000.00 needed; "
            "reached: your tier stays Gold."
        ),
        "2025年6月日均50,000.00（已知30/30天），达标线50,000.00；已达标，等级保持金卡。",
    ),
    "downgraded": (
        step(PROGRAMME, State(PLATINUM, 2, (GOLD, GOLD)), whole("2025-12", 60_000)),
        (
            "December 2025 daily average 60,000.00 (31 of 31 days known); 500,000.00 needed; "
            "3 months below in a row: your tier is Gold from 1 January 2026."
        ),
        (
            "2025年12月日均60,000.00（已知31/31天），达标线500,000.00；"
            "连续3个月未达标，自2026年1月1日起为金卡。"
        ),
    ),
    "undetermined": (
        step(PROGRAMME, State(PLATINUM), MonthSum(JUNE, 14_840_000_00, 28)),
        (
            "June 2025 daily average 494,666.66 (28 of 30 days known); 500,000.00 needed; "
            "days are missing, so nothing is decided: your tier stays Platinum."
        ),
        (
            "2025年6月日均494,666.66（已知28/30天），达标线500,000.00；"
            "部分日期数据缺失，暂不判定，等级保持白金。"
        ),
    ),
    "of the lowest tier, days are missing": (
        step(PROGRAMME, State(), MonthSum(JUNE, 1_400_000_00, 28)),
        (
            "June 2025 daily average 46,666.66 (28 of 30 days known); 50,000.00 needed; "
            "days are missing, not reached so far: your tier stays Base."
        ),
        (
            "2025年6月日均46,666.66（已知28/30天），达标线50,000.00；"
            "部分日期数据缺失，暂未达标，等级保持大众。"
        ),
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_decision_is_explained_in_both_languages(name: str) -> None:
    """The sentence tells average, days, threshold, what follows and until when (X-6, G-WHY-1)."""
    decision, english, chinese = SENTENCES[name]
    assert english == explain(PROGRAMME, decision)["en"]
    assert chinese == explain(PROGRAMME, decision)["zh"]


@pytest.mark.parametrize(
    ("name", "since", "words"),
    [
        ("upgraded", date(2025, 6, 20), ("from 20 June 2025", "自2025年6月20日起")),
        ("downgraded", date(2026, 1, 6), ("from 6 January 2026", "自2026年1月6日起")),
    ],
)
def test_a_tier_is_told_from_the_day_it_holds(
    name: str, since: date, words: tuple[str, str]
) -> None:
    """T-3, A-7: an early rise or a correction begins on a day of its own."""
    found = explain(PROGRAMME, SENTENCES[name][0], since)
    assert words[0] in found["en"]
    assert words[1] in found["zh"]
    assert found != explain(PROGRAMME, SENTENCES[name][0])


def test_a_decision_net_of_liabilities_says_so() -> None:
    """A-8: what is owed is told as deducted, or the average would look wrong."""
    policy = msgspec.structs.replace(PROGRAMME.policy, liabilities={"FUND": Decimal(1)})
    net = msgspec.structs.replace(PROGRAMME, policy=policy)
    told = explain(net, step(net, State(GOLD), MonthSum(JUNE, 50_000_00 * 30, 30)))
    assert "(30 of 30 days known, less what is owed); 50,000.00 needed" in told["en"]
    assert "（已知30/30天，已扣除负债），达标线50,000.00" in told["zh"]
