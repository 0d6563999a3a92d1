"""Lives that the presets decide as their banks publish it: once as a fold, once by the service."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec

import benefits
from benefits.domain.calendars import Calendar, DayKind
from benefits.domain.labels import Label, Layer
from benefits.domain.programme import Programme
from benefits.domain.programme_file import read
from benefits.domain.values import Month

FOLDER = Path(benefits.__file__).parent / "presets"
FIRST = Month(2025, 1)
Level = int | str | Mapping[str, int | str]  # in major units: all deposits, or by class


def preset(name: str) -> Programme:
    """Return a preset."""
    return read((FOLDER / f"{name}.toml").read_text())


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A member's balances and labels, and what a preset's bank decides by them.

    Each month from `since` on is at one of the `levels`, but for the `days` named; where there is
    none nothing is told of the rest. What the last month came to is told by sentences that hold
    `en` and `zh`. Of a life that is `fed` each day is sealed by a manifest.
    """

    preset: str
    name: str
    levels: Sequence[Level | None]
    days: Mapping[date, Level] = {}
    since: Month = FIRST
    labels: Sequence[Label] = ()
    holidays: Sequence[date] = ()
    fed: bool = False
    told: Sequence[str]
    tier: str
    way: str = ""
    en: str
    zh: str

    @property
    def months(self) -> list[Month]:
        """The months it is lived in."""
        return [self.since.plus(n) for n in range(len(self.levels))]

    @property
    def calendar(self) -> Calendar:
        """The business days it is lived by."""
        return Calendar(dict.fromkeys(self.holidays, DayKind.HOLIDAY))

    def balances(self) -> Iterator[tuple[date, dict[str, Decimal]]]:
        """Yield each day with its balances by class, in major units."""
        for month, usual in zip(self.months, self.levels, strict=True):
            for number in range(month.days):
                day = month.start + timedelta(days=number)
                level = self.days.get(day, usual)
                if level is None:
                    continue
                classes = level if isinstance(level, Mapping) else {"DEPOSIT": level}
                yield day, {code: Decimal(amount) for code, amount in classes.items()}


def net(fund: int, loan: int, tier: str, way: str, *, en: str, zh: str) -> Life:
    """Return a month of Industrial Bank's: deposits of 2 million, funds, and a loan."""
    levels = [{"DEPOSIT": 2_000_000, "WEALTH": 0, "FUND": fund, "LOAN": loan}]
    name = f"A-3, A-8, T-2: {fund:,} in funds, {loan:,} owed"
    return Life(
        preset="industrial",
        name=name,
        levels=levels,
        told=["UPGRADED"],
        tier=tier,
        way=way,
        en=en,
        zh=zh,
    )


SALARY = Label("salary", Layer.FACT, date(2025, 2, 10), date(2025, 9, 1))
MORTGAGE = Label("mortgage", Layer.FACT, date(2026, 2, 1), None)
A_YEARS_SALARY = ["RETAINED", "UPGRADED", *["RETAINED"] * 6, *["HELD"] * 5]
DUANWU = date(2025, 6, 2)
IN_FORCE = {"DEPOSIT": 300_000, "INSURANCE": 200_000}
LAPSED = {"DEPOSIT": 300_000, "INSURANCE": 0}
JUNE = Month(2025, 6)
OWED = {
    "en": "6,000,000.00 (31 of 31 days known, less what is owed)",
    "zh": "6,000,000.00（已知31/31天，已扣除负债）",
}
LIVES: Sequence[Life] = (
    Life(
        preset="bohai",
        name="private banking is lost by six months below, to the last month's rank",
        levels=[6_000_000, *[500_000] * 6],
        told=["UPGRADED", *["WATCHED"] * 5, "DOWNGRADED"],
        tier="PLATINUM",
        en="6,000,000.00 needed; 6 months below in a row: your tier is Platinum from 1 August",
        zh="连续6个月未达标，自2025年8月1日起为白金。",
    ),
    Life(
        preset="bohai",
        name="platinum is lost by three months below",
        levels=[500_000, 0, 0, 0],
        told=["UPGRADED", "WATCHED", "WATCHED", "DOWNGRADED"],
        tier="BASE",
        en="3 months below in a row: your tier is Base from 1 May 2025.",
        zh="连续3个月未达标，自2025年5月1日起为大众。",
    ),
    Life(
        preset="icbc",
        name="every tier is lost by six months below",
        levels=[200_000, *[0] * 6],
        told=["UPGRADED", *["WATCHED"] * 5, "DOWNGRADED"],
        tier="BASE",
        en="6 months below in a row: your tier is Base from 1 August 2025.",
        zh="连续6个月未达标，自2025年8月1日起为大众。",
    ),
    Life(
        preset="ccb",
        name="M-2: who holds the bound exactly misses it in February; three months lose it",
        levels=[500_000, 500_000, 500_000, 0, 0, 0],
        told=["UPGRADED", "WATCHED", "RETAINED", "WATCHED", "WATCHED", "DOWNGRADED"],
        tier="BASE",
        en="3 months below in a row: your tier is Base from 1 July 2025.",
        zh="连续3个月未达标，自2025年7月1日起为大众。",
    ),
    Life(
        preset="bank_of_america",
        name="M-5, T-5: three months' average, twelve months held, three of grace",
        levels=[60_000, 50_000, 50_000, *[0] * 15],
        told=[
            *("UPGRADED", "RETAINED", "UPGRADED"),
            *["HELD"] * 11,
            *("GRACE", "HELD", "HELD", "DOWNGRADED"),
        ],
        tier="BASE",
        en="April to June 2026: daily average 0.00 (91 of 91 days known); 50,000.00 needed; below",
        zh="保级期满仍未达标，自2026年7月1日起为大众。",
    ),
    Life(
        preset="standard_chartered",
        name="who is below after a year leaves the programme",
        levels=[500_000, *[0] * 12],
        told=["UPGRADED", *["HELD"] * 11, "DOWNGRADED"],
        tier="BASE",
        en="below when its term ended: your tier is Base from 1 February 2026.",
        zh="保级期满仍未达标，自2026年2月1日起为大众。",
    ),
    Life(
        preset="standard_chartered",
        name="T-2: a salary from February to August is priority for the year, and no longer",
        levels=[0] * 14,
        labels=[SALARY],
        told=[*A_YEARS_SALARY, "DOWNGRADED"],
        tier="BASE",
        en="below when its term ended: your tier is Base from 1 March 2026.",
        zh="保级期满仍未达标，自2026年3月1日起为大众。",
    ),
    Life(
        preset="standard_chartered",
        name="T-2: a mortgage keeps what the salary had won",
        levels=[0] * 14,
        labels=[SALARY, MORTGAGE],
        told=[*A_YEARS_SALARY, "RETAINED"],
        tier="PRIORITY",
        way="MORTGAGE",
        en="a mortgage with us: your tier stays Priority until it is judged again on 1 March 2027",
        zh="以“住房按揭贷款”达标，等级保持优先理财，下次考核日为2027年3月1日。",
    ),
    Life(
        preset="dbs",
        name="M-6: the last business day alone, for a month",
        since=Month(2025, 8),
        levels=[None, None],
        days={date(2025, 8, 29): 350_000, date(2025, 9, 30): "349999.99"},
        holidays=[date(2025, 8, 9)],
        told=["UPGRADED", "DOWNGRADED"],
        tier="BASE",
        fed=True,
        en="30 September 2025, last business day of the month: balance 349,999.99",
        zh="2025年9月30日（当月最后一个营业日）余额349,999.99（已知1/1天），达标线350,000.00；",
    ),
    Life(
        preset="industrial",
        name="A-3: 300,000 of deposits, 200,000 of wealth and 100,000 of funds are 510,000",
        levels=[{"DEPOSIT": 300_000, "WEALTH": 200_000, "FUND": 100_000}],
        told=["UPGRADED"],
        tier="PLATINUM",
        fed=True,
        en="January 2025 daily average 510,000.00 (31 of 31 days known); 500,000.00 needed",
        zh="2025年1月日均510,000.00（已知31/31天），达标线500,000.00；以“日均资产”达标，自2025年2月1日起为白金。",
    ),
    net(4_000_000, 0, "PRIVATE", "ASSETS", **OWED),
    net(
        3_999_999,
        0,
        "BLACK_GOLD",
        "",
        en="3,999,999.50 (31 of 31 days known)",
        zh="3,999,999.50（已知31/31天）",
    ),
    net(4_500_000, 500_000, "PRIVATE", "ASSETS", **OWED),
    net(
        4_500_000,
        500_001,
        "BLACK_GOLD",
        "",
        en="4,250,000.00 (31 of 31 days known)",
        zh="4,250,000.00（已知31/31天）",
    ),
    Life(
        preset="chase",
        name="M-7: the last of May opens June; what comes on 30 June opens July",
        since=JUNE.plus(-1),
        levels=[0, 75_000],
        days={date(2025, 5, 31): 75_000, date(2025, 6, 30): 10**9},
        told=["RETAINED", "UPGRADED"],
        tier="SAPPHIRE",
        en="June 2025 daily average of opening balances 75,000.00",
        zh="2025年6月日初余额日均75,000.00",
    ),
    Life(
        preset="hsbc_china",
        name="A-3: a policy in force on the third-last business day counts for all of June",
        since=JUNE,
        levels=[LAPSED],
        days={date(2025, 6, 26): IN_FORCE},
        holidays=[DUANWU],
        told=["UPGRADED"],
        tier="PREMIER",
        en="average 500,000.00 (30 of 30 days known, INSURANCE as of 26 June 2025)",
        zh="500,000.00（已知30/30天，INSURANCE按2025年6月26日余额计）",
    ),
    Life(
        preset="hsbc_china",
        name="A-3: one that had lapsed by then counts nothing",
        since=JUNE,
        levels=[IN_FORCE],
        days={date(2025, 6, 26): LAPSED},
        holidays=[DUANWU],
        told=["RETAINED"],
        tier="BASE",
        en="average 300,000.00 (30 of 30 days known, INSURANCE as of 26 June 2025)",
        zh="300,000.00（已知30/30天，INSURANCE按2025年6月26日余额计）",
    ),
    Life(
        preset="hsbc_china",
        name="T-2: who has the status elsewhere has it here",
        since=JUNE,
        levels=[LAPSED],
        holidays=[DUANWU],
        labels=[Label("premier_elsewhere", Layer.FACT, date(2025, 6, 10), None)],
        told=["UPGRADED"],
        tier="PREMIER",
        way="ELSEWHERE",
        en="reached by Premier status elsewhere: your tier is Premier from 1 July 2025.",
        zh="2025年6月：以“海外卓越理财身份”达标，自2025年7月1日起为卓越理财。",
    ),
)
