"""What a member reads on the benefits page: tier, progress, units, last days, states."""

import re
from datetime import date, timedelta
from uuid import uuid4

import msgspec

from benefits.actions import claim
from benefits.domain import entitlement, ledger
from benefits.domain.assets import AssetLine
from benefits.domain.orders import OrderState
from benefits.domain.refusal import Refusal
from benefits.domain.requests import KeyConflict
from benefits.web import page, shown
from tests.builders import reference_programme
from tests.web.phone import PHONE, Form, Phone, form_of, platinum
from tests.web.site import Site


async def test_the_page_tells_tier_reason_progress_and_last_days(
    running: Site, phone: Phone
) -> None:
    """English: the day before the half-open end is the last day, and amounts are exact."""
    member = await platinum(running)
    line = AssetLine("T000001", date(2025, 7, 1), "DEPOSIT", "CNY", 3_812_345_67)
    await running.world.assets([line])
    html = await phone.enter(member)
    for words in (
        "Platinum",
        "since 1 July 2025",
        "reached: your tier is Platinum from 1 July 2025.",
        "Keep at least CN¥5,039,588.48 on each remaining day of July 2025",
        "to be Diamond from 1 August 2025.",
        "That is CN¥1,227,242.81 more per day than your average so far.",
        "Diamond needs a daily average of CN¥5,000,000.",
        "Yours so far: CN¥3,812,345.67 (1 of 31 days known).",
        "2 valid through 30 September 2025",
        "2 valid through 31 July 2025",
        "No claims yet.",
    ):
        assert words in html
    assert "still being evaluated" not in html


async def test_the_page_speaks_chinese(running: Site, phone: Phone) -> None:
    """Amounts, dates and states as a Chinese reader writes them."""
    html = await phone.enter(await platinum(running), "zh")
    _, after = await phone.send(form_of(html, "VIDEO"))
    _, after = await phone.get("/page?lang=zh")
    for words in (
        '<html lang="zh-CN">',
        "白金",
        "自2025年7月1日起",
        "2025年7月余下每天保持资产不低于¥5,000,000，2025年8月1日起即可成为钻石。",
        "2份，有效期至2025年9月30日（含当日）",
        "1份使用中",
        "已受理",
        "2025年7月2日 12:00",
    ):
        assert words in after


async def test_a_new_member_is_told_what_comes(running: Site, phone: Phone) -> None:
    """Nothing evaluated, nothing known, nothing granted: each is said."""
    html = await phone.enter(await running.world.member())
    for words in (
        "Base",
        "June 2025 is still being evaluated; your tier may change.",
        "No day of July 2025 is known yet.",
        "Keep at least CN¥50,000 on each remaining day of July 2025",
        "You have no benefits yet. They come with your tier.",
    ):
        assert words in html


async def test_progress_says_certain_out_of_reach_and_highest(running: Site, phone: Phone) -> None:
    """The three cases without a level to keep."""
    world = running.world
    certain, late = await world.members(2)
    lines = [("T000001", date(2025, 7, 1), 50_000_00 * 31), ("T000002", date(2025, 7, 31), 1)]
    world.clock.forward(days=29)
    await world.assets([AssetLine(n, d, "DEPOSIT", "CNY", minor) for n, d, minor in lines])
    sentence = "The balances of July 2025 suffice: you will be Gold from 1 August 2025."
    assert sentence in await phone.enter(certain)
    assert "Gold is out of reach for July 2025;" in await phone.enter(late)
    private = await platinum(running, 10_000_000_00)
    assert "This is the highest tier." in await phone.enter(private)


async def test_a_spent_benefit_stays_and_says_when_new_units_come(
    running: Site, phone: Phone
) -> None:
    """None left is an explanation, not an absence, while in use and afterwards."""
    html = await phone.enter(await platinum(running))
    form = form_of(html, "LOUNGE")
    for _ in range(2):
        _, html = await phone.send(form | {"key": uuid4().hex})
    words = ["Nothing left to claim.", "New units come on 1 October 2025"]
    assert all(w in html for w in [*words, "2 in use for a claim under way"])
    assert ["VIDEO"] == [form["benefit"] for form in Form(html).forms]
    await running.world.rows(
        "UPDATE lot SET remaining = 0, held = 0 WHERE unit = 'BENEFIT:LOUNGE' RETURNING 1"
    )
    _, html = await phone.get("/page?lang=en")
    assert all(w in html for w in [*words, "Airport lounge"])
    assert ["VIDEO"] == [form["benefit"] for form in Form(html).forms]


async def test_hostile_names_are_only_text(running: Site, phone: Phone) -> None:
    """Whatever a programme's author writes, no tag of it reaches the page as a tag."""
    programme = reference_programme()
    bad = dict.fromkeys(("zh", "en"), '"><script>alert(1)</script>%(x)s{{ 7*7 }}')
    swap = msgspec.structs.replace
    programme = swap(
        programme,
        name=bad,
        tier=tuple(swap(tier, name=bad) for tier in programme.tier),
        benefit=tuple(
            swap(b, name=bad, about=bad, recipient=("phone",)) for b in programme.benefit
        ),
    )
    await running.world.apply(programme)
    html = await phone.enter(await platinum(running))
    assert "<script" not in html
    assert "49" not in re.sub(r'value="[^"]*"', "", html)
    form = form_of(html, "LOUNGE")
    assert PHONE == form["recipient.phone"]
    status, html = await phone.send(form)
    assert (200, False) == (status, "<script" in html)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;%(x)s{{ 7*7 }}. You can follow it" in html


async def test_the_clock_of_the_page_is_the_programmes_zone(running: Site, phone: Phone) -> None:
    """A claim just after midnight in Shanghai shows the new day trunning."""
    member = await platinum(running)
    running.world.clock.now += timedelta(hours=12)
    html = await phone.enter(member)
    _, html = await phone.send(form_of(html, "LOUNGE"))
    assert "3 July 2025 00:00" in html


def test_every_state_and_every_refusal_of_a_claim_has_words() -> None:
    """A customer never reads a code."""
    assert {state.value for state in OrderState} == set(shown.STATE_WORDS)
    codes = {KeyConflict.code}
    for module in (claim, entitlement, ledger):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Refusal):
                codes |= {kind.code} if kind.__module__ == module.__name__ else set()
    assert codes == set(page.REFUSED_WORDS)
