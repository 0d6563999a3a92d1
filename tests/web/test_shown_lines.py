"""Package lines as the page tells them, in both languages."""

import re
from datetime import date
from decimal import Decimal

import msgspec
import pytest

from benefits.domain.carry import Carry
from benefits.domain.labels import Layer
from benefits.domain.packages import (
    Anchor,
    Claiming,
    Line,
    LinePeriod,
    Segment,
    Start,
    UpgradePolicy,
)
from benefits.domain.prices import Price
from benefits.domain.recurring import Missing, Recurring, Weekday
from benefits.domain.stacking import StackBy, Stacking
from tests.actions.test_claim_granted import claimed, waiving
from tests.actions.test_start_period import work
from tests.builders import reference_programme
from tests.web.phone import Phone, platinum
from tests.web.site import Site


async def test_lines_of_every_kind_are_explained(running: Site, phone: Phone) -> None:
    """P-2: counted from the opening, once, in rolling days, for a segment, by its own name."""
    payroll = Segment(label="p", layer=Layer.FACT, name={"zh": "代发客户", "en": "Payroll"})
    own = Line(
        code="own",
        benefit="VIDEO",
        period=LinePeriod.ROLLING,
        days=45,
        anchor=Anchor.ANNIVERSARY,
        start=Start.PERIOD,
        quota={"GOLD": 2},
        upgrade=UpgradePolicy.NEXT_PERIOD,
    )
    more = (
        own,
        msgspec.structs.replace(own, code="year", period=LinePeriod.YEAR, days=0),
        msgspec.structs.replace(
            own, code="kept", period=LinePeriod.MONTH, days=0, carry=Carry(periods=2, cap=7)
        ),
        Line(
            code="once",
            benefit="VIDEO",
            period=LinePeriod.ONCE,
            valid_days=30,
            start=Start.PERIOD,
            segment=payroll,
            quantity=3,
            claim=Claiming.AUTO,
        ),
    )
    programme = reference_programme()
    await running.world.apply(msgspec.structs.replace(programme, line=(*programme.line, *more)))
    await phone.enter(await platinum(running))
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    for words in (
        "Units every 45 days, counted from the day you joined",
        "Units per year, counted from the day you joined",
        "Units once",
        "Payroll 3",
        "Through the last of the 45 days they are for.",
        "For 30 days after the day they arrive.",
        "Unused ones stay valid in further periods: 2. When new ones come, at most 7 are kept;",
        "They come on its first day",
        "They are claimed for you as they come",
        "it brings more from the next period on.",
    ):
        assert words in text
    _, html = await phone.get("/page/benefits/VIDEO?lang=zh")
    assert "代发客户" in html
    assert "每45天（自您开户之日起算）" in html


async def test_recurring_days_are_told_with_the_next_one(running: Site, phone: Phone) -> None:
    """P-10: in words, with the date on which units come next."""
    day = Line(
        code="day",
        benefit="VIDEO",
        period=LinePeriod.OCCURRENCE,
        on=Recurring(day=31),
        missing=Missing.LAST_DAY,
        start=Start.PERIOD,
        quota={"GOLD": 2},
    )
    each = [
        (Recurring(day=18), Missing.SKIP, "on day 18 of each month (next: 18 July 2025)"),
        (day.on, Missing.SKIP, "on day 31 of each month that has one (next: 31 July 2025)"),
        (day.on, Missing.LAST_DAY, "or the last where there is none (next: 31 July 2025)"),
        (Recurring(last_day=True), Missing.SKIP, "on the last day of each month (next: 31 July"),
        (
            Recurring(weekday=Weekday.SATURDAY, nth=2),
            Missing.SKIP,
            "on the second Saturday of each month (next: 12 July 2025)",
        ),
    ]
    lines = [
        msgspec.structs.replace(day, code=f"day{n}", on=on, missing=missing)
        for n, (on, missing, _) in enumerate(each)
    ]
    programme = reference_programme()
    await running.world.apply(msgspec.structs.replace(programme, line=(*programme.line, *lines)))
    await phone.enter(await platinum(running))
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    for *_, words in each:
        assert words in html
    assert "Through the end of that day." in html
    _, html = await phone.get("/page/benefits/VIDEO?lang=zh")
    assert "每月第二个星期六（下一次：2025年7月12日）" in html


@pytest.mark.parametrize(
    ("stacking", "words"),
    [
        (Stacking(cap=4), "at most 4 come in a period."),
        (Stacking(by=StackBy.MAX), "The largest of what is yours comes"),
        (Stacking(by=StackBy.PRIORITY), "The first of what is yours comes, in this order"),
        (Stacking(), ""),
    ],
)
async def test_what_several_lines_bring_together_is_told(
    running: Site, phone: Phone, stacking: Stacking, words: str
) -> None:
    """P-7: in the order of priority; where they simply add up there is nothing to say."""
    payroll = Segment(label="p", layer=Layer.FACT, name={"zh": "代发客户", "en": "Payroll"})
    programme = reference_programme()
    _, video = programme.benefit
    tiers = msgspec.structs.replace(programme.line[1], start=Start.PERIOD, priority=3)
    paid = msgspec.structs.replace(
        tiers, code="paid", quota={}, segment=payroll, quantity=1, priority=1
    )
    video = msgspec.structs.replace(video, stacking=stacking)
    programme = msgspec.structs.replace(programme, benefit=(programme.benefit[0], video))
    lines = (programme.line[0], tiers, paid)
    await running.world.apply(msgspec.structs.replace(programme, line=lines))
    await phone.enter(await platinum(running))
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    assert bool(words) == ("If several are yours" in html)
    assert words in html
    assert bool(words) == (html.index("Payroll") < html.index("Platinum"))
    await running.world.apply(msgspec.structs.replace(programme, line=lines[:2]))
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    assert (stacking.cap is not None) == ("If several are yours" in html)  # one has a cap, too


async def test_what_was_not_claimed_for_a_member_is_told(running: Site, phone: Phone) -> None:
    """P-2: in the history, beside the claim that was made for them."""
    await running.world.apply(waiving(limit=1))
    member = await running.world.member()
    await work(running.world)
    await claimed(running.world)
    await phone.enter(member)
    _, html = await phone.get("/page/history?lang=en")
    assert "Could not be claimed for you: 1. You can claim it yourself." in html
    _, html = await phone.get("/page/history?lang=zh")
    assert "未能自动为您领取：1份，您可自行领取。" in html
    late, base = await running.world.member(), waiving()
    await running.world.apply(base)
    await work(running.world)
    over = {"contract_end": date(2025, 7, 31), "lead_days": 31}  # claimed no more, by nobody
    lounge, video = base.benefit
    asked = msgspec.structs.replace(base, benefit=(lounge, msgspec.structs.replace(video, **over)))
    await running.world.apply(asked)
    await claimed(running.world)
    await phone.enter(late)
    for lang, words in (
        ("en", "Could not be claimed for you: 2"),
        ("zh", "未能自动为您领取：2份"),
    ):
        _, html = await phone.get(f"/page/history?lang={lang}")
        assert words in html
        assert "claim it yourself" not in html
        assert "您可自行领取" not in html


async def test_what_a_piece_is_worth_is_told(running: Site, phone: Phone) -> None:
    """P-1: the market value of today, none before a price has one, in both languages."""
    programme = reference_programme()
    lounge, video = programme.benefit
    prices = tuple(
        Price(from_=date(2025, *day), cost=Decimal(22), market_value=worth)
        for day, worth in (((1, 1), None), ((7, 1), Decimal("1030.5")), ((8, 1), Decimal(9)))
    )
    lounge = msgspec.structs.replace(lounge, prices=prices)
    await running.world.apply(msgspec.structs.replace(programme, benefit=(lounge, video)))
    await phone.enter(await platinum(running))
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    assert "Each has a market value of CN¥1,030.50." in html
    _, html = await phone.get("/page/benefits/LOUNGE?lang=zh")
    assert "每份市场价值¥1,030.50。" in html
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    assert "market value" not in html
