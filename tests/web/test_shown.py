"""What a member reads on the benefits page: tier, progress, groups, rules, reasons, steps."""

import re
from datetime import date, timedelta
from uuid import UUID, uuid4

import msgspec

from benefits.domain.assets import AssetLine
from benefits.domain.benefit import Kind
from benefits.domain.orders import Done, Pending, Reason, Rejected, Unknown, Used
from tests.actions.life import call_back, expire_lots, gift, give, lease, number_of, record
from tests.builders import NOON, reference_programme
from tests.web.phone import PHONE, Form, Phone, platinum
from tests.web.site import Site


def group(html: str, name: str) -> str:
    """Return the part of the page that shows a group; nothing when it is not there."""
    found = re.search(rf'aria-labelledby="g-{name}">(.*?)</section>', html, re.DOTALL)
    return found[1] if found else ""


async def told(running: Site, daily: list[tuple[str, date, int]]) -> None:
    """Record balances of a day in minor units, by customer."""
    await running.world.assets([AssetLine(n, d, "DEPOSIT", "CNY", m) for n, d, m in daily])


async def test_the_page_tells_tier_reason_progress_and_last_days(
    running: Site, phone: Phone
) -> None:
    """English: whole amounts that are enough, and the day before the half-open end is the last."""
    member = await platinum(running)
    await told(running, [("T000001", date(2025, 7, 1), 3_812_345_67)])
    html = await phone.enter(member)
    for words in (
        "Platinum",
        "since 1 July 2025",
        "June 2025: a daily average of CN¥620,000 reaches the CN¥500,000 needed.",
        "Keep at least CN¥5,039,589 on each remaining day of July 2025",
        "to be Diamond from 1 August 2025.",
        "That is CN¥1,227,243 more per day than your average so far.",
        "Diamond needs a daily average of CN¥5,000,000 in a month.",
        "Your average in July 2025 so far: CN¥3,812,345 (1 of 31 days known).",
        "You are on course. Hold at least CN¥389,589 on each remaining day of July 2025.",
        "It is lost only after 3 months below in a row.",
        "Yours at least through 30 September 2025.",
        "All times are Beijing time (UTC+8).",
    ):
        assert words in html
    assert "still being evaluated" not in html
    assert "Valid through 30 September 2025" in group(html, "claim")
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    assert "2 valid through 30 September 2025" in html


async def test_the_page_speaks_chinese(running: Site, phone: Phone) -> None:
    """Amounts, dates and states as a Chinese reader writes them."""
    await phone.enter(await platinum(running), "zh")
    await phone.send(await phone.review("VIDEO"))
    _, after = await phone.get("/page?lang=zh")
    for words in (
        '<html lang="zh-CN">',
        "白金",
        "自2025年7月1日起",
        "2025年7月余下每天保持资产不低于¥5,000,000，2025年8月1日起即可成为钻石。",
        "2025年7月余下每天保持资产不低于¥500,000即可保级。",
        "等级至少保留至2025年9月30日。",
        "有效期至2025年9月30日",
        "已受理",
        "2025年7月2日 12:00",
        "页面时间均为北京时间。",
    ):
        assert words in after
    _, html = await phone.get("/page/benefits/VIDEO?lang=zh")
    assert "1份，有效期至2025年7月31日（含当日）" in html
    assert "1份已领取，办理中或待使用" in html


async def test_a_new_member_is_told_what_comes(running: Site, phone: Phone) -> None:
    """Nothing evaluated, nothing known, nothing granted: each is said, and nothing untrue."""
    html = await phone.enter(await running.world.member())
    for words in (
        "Base",
        "Everybody has this tier. It is decided anew after each month.",
        "June 2025 is still being evaluated; your tier may change.",
        "No day of July 2025 is known yet.",
        "Keep at least CN¥50,000 on each remaining day of July 2025",
    ):
        assert words in html
    assert "Keeping" not in html
    assert "From Gold on" in group(html, "higher")
    fresh = await running.world.member(date(2025, 7, 1))
    async with running.browser() as http:
        html = await Phone(running, http).enter(fresh)
    assert "Your tier is decided for the first time after July 2025." in html
    assert "still being evaluated" not in html


async def test_progress_says_certain_far_out_of_reach_and_highest(
    running: Site, phone: Phone
) -> None:
    """The four cases in which no level to keep is named."""
    world = running.world
    certain, late, far = await world.members(3)
    world.clock.forward(days=29)
    await told(
        running,
        [
            ("T000001", date(2025, 7, 1), 50_000_00 * 31),
            ("T000002", date(2025, 7, 31), 1),
            ("T000003", date(2025, 7, 30), 1_000_00),
        ],
    )
    sentence = "The balances of July 2025 suffice: you will be Gold from 1 August 2025."
    assert sentence in await phone.enter(certain)
    words = "It can no longer be reached this month; the next month begins on 1 August 2025."
    assert words in await phone.enter(late)
    html = await phone.enter(far)
    assert "It can hardly be reached this month; the next month begins on 1 August 2025." in html
    assert "Keep at least" not in html
    private = await platinum(running, 10_000_000_00)
    assert "This is the highest tier." in await phone.enter(private)


async def test_what_keeps_the_tier_is_told_safe_at_risk_and_lost(
    running: Site, phone: Phone
) -> None:
    """The running month's state, the misses so far, and until when the tier is certain."""
    world = running.world
    safe, low, gone = [await platinum(running) for _ in range(3)]
    await told(
        running,
        [
            ("T000001", date(2025, 7, 1), 500_000_00 * 31),
            ("T000002", date(2025, 7, 1), 450_000_00),
            ("T000003", date(2025, 7, 31), 1),
        ],
    )
    assert "July 2025 already suffices for Platinum." in await phone.enter(safe)
    html = await phone.enter(low)
    assert "Below it at the moment. Hold at least CN¥501,667 on each remaining day" in html
    assert "July 2025 counts as a month below." in await phone.enter(gone)
    await world.month("T000002", "2025-07", 450_000_00)
    world.clock.forward(days=31)
    await world.evaluate("2025-07", low)
    html = await phone.enter(low)
    for words in (
        (
            "July 2025: a daily average of CN¥450,000 is below the CN¥500,000 needed. "
            "Months below in a row: 1."
        ),
        "Months below in a row so far: 1. With 3 it is lost.",
        "Yours at least through 30 September 2025.",
    ):
        assert words in html


async def test_benefits_are_grouped_by_their_state(running: Site, phone: Phone) -> None:
    """Each state of a benefit and of a claim has its own place, and moves there."""
    world = running.world
    member = await platinum(running)
    html = await phone.enter(member)
    assert ["Airport lounge", "Video membership"] == re.findall(
        r'"name">(.*?)</span>', group(html, "claim")
    )
    await phone.send(await phone.review("LOUNGE"))
    await phone.send(await phone.review("VIDEO"))
    lounge, video = await world.rows("SELECT claim_id FROM claim ORDER BY benefit")
    _, html = await phone.get("/page?lang=en")
    assert 2 == group(html, "progress").count("Accepted")
    await call_back(world, await number_of(world, lounge[0]), Done(at=NOON, code="C"))
    await call_back(world, await number_of(world, video[0]), Done(at=NOON, code="C"))
    _, html = await phone.get("/page?lang=en")
    assert "" == group(html, "progress")
    assert "Show code" in group(html, "ready")
    assert "Video membership" in group(html, "used")
    await call_back(world, await number_of(world, lounge[0]), Used(at=NOON))
    _, html = await phone.get("/page?lang=en")
    assert "" == group(html, "ready")
    assert 1 == group(html, "used").count("Airport lounge")
    world.clock.now = NOON + timedelta(days=26)
    _, html = await phone.get(await running.page_url(member, "en"))
    assert "4 days left" in group(html, "soon")
    assert "1 valid through 31 July 2025" in group(html, "soon")
    for days, words in ((28, "Last day tomorrow"), (29, "Last day today")):
        world.clock.now = NOON + timedelta(days=days)
        _, html = await phone.get(await running.page_url(member, "en"))
        assert words in group(html, "soon")
    world.clock.now = NOON + timedelta(days=30)
    _, html = await phone.get(await running.page_url(member, "en"))
    assert "1 not used; valid through 31 July 2025" in group(html, "expired")
    assert "Your units have expired." in group(html, "not-now")


async def test_a_voucher_stays_ready_until_it_is_used(running: Site, phone: Phone) -> None:
    """For ever where the provider tells of the use; where nobody does, it is an earlier one."""
    world = running.world
    programme = reference_programme()
    swap = msgspec.structs.replace
    kinds = {"VIDEO": Kind.WALLET_COUPON}
    benefits = tuple(swap(b, kind=kinds.get(b.code, b.kind)) for b in programme.benefit)
    await world.apply(swap(programme, benefit=benefits))
    member = await platinum(running)
    await phone.enter(member)
    for benefit in ("LOUNGE", "VIDEO"):
        await phone.send(await phone.review(benefit))
    claims = await world.rows("SELECT claim_id FROM claim ORDER BY benefit")
    for (claim_id,) in claims:
        await call_back(world, await number_of(world, claim_id), Done(at=NOON, code="C"))
    for days, ready, earlier in ((0, 2, 0), (100, 1, 1)):
        world.clock.forward(days=days)
        html = await phone.enter(member)
        assert ready == group(html, "ready").count("Show code")
        assert earlier == group(html, "earlier").count("Show code")
        assert "" == group(html, "used")
    states = list[str]()
    for (claim_id,) in claims:
        _, html = await phone.get(f"/page/claims/{claim_id}?lang=en")
        states += re.findall(r'<p class="state good">(.*?)</p>', html)
    assert ["Ready to use", "Delivered"] == states


async def test_a_claim_is_called_the_same_wherever_it_is_shown(
    running: Site, phone: Phone
) -> None:
    """A top-up is credited; what was used has a small button for its code."""
    world = running.world
    await phone.enter(await platinum(running))
    _, accepted = await phone.send(await phone.review("VIDEO"))
    assert "Your claim is accepted." in accepted
    await phone.send(await phone.review("LOUNGE"))
    lounge, video = await world.rows("SELECT claim_id FROM claim ORDER BY benefit")
    place = f"/page/claims/{video[0]}"
    await call_back(world, await number_of(world, video[0]), Done(at=NOON))
    _, html = await phone.get(f"{place}?lang=zh&new=1")
    assert '<p class="state good">已到账</p>' in html
    assert "已发放" not in html
    assert "领取已受理" not in html
    for path, count in ((f"{place}?lang=en", 2), ("/page/history?lang=en", 1)):
        _, html = await phone.get(path)
        assert count == html.count(">Credited<")
    number = await number_of(world, lounge[0])
    await call_back(world, number, Done(at=NOON, code="C"), Used(at=NOON))
    _, html = await phone.get(f"/page/claims/{lounge[0]}?lang=zh")
    assert "您已使用该权益。" in html
    assert '<button type="submit" class="second little">查看已使用的兑换码</button>' in html
    _, html = await phone.get("/page?lang=en")
    used = group(html, "used")
    assert "Used or credited" in html
    assert ["Credited", "Used"] == sorted(re.findall(r'"state good">(.*?)<', used))


async def test_a_row_tells_that_only_some_units_end_first(running: Site, phone: Phone) -> None:
    """Two end with July, the gift lasts longer: no row says that all three end with July."""
    member = await platinum(running)
    await give(running.world, gift(member, valid_days=60))
    html = await phone.enter(member)
    assert "2 valid through 31 July 2025, the rest longer" in group(html, "claim")
    _, html = await phone.get("/page?lang=zh")
    assert "2份2025年7月31日到期，其余更晚" in group(html, "claim")
    running.world.clock.forward(days=27)
    html = await phone.enter(member)
    assert "2 valid through 31 July 2025, the rest longer" in group(html, "soon")


async def test_months_evaluated_without_a_change_are_told(running: Site, phone: Phone) -> None:
    """The month that decided may be long ago; the last one evaluated is named beside it."""
    world = running.world
    member = await platinum(running)
    unchanged = "was evaluated; your tier is unchanged."
    assert unchanged not in await phone.enter(member)
    world.clock.forward(days=31)
    await world.month("T000001", "2025-07", 620_000_00)
    await world.evaluate("2025-07", member)
    assert f"July 2025 {unchanged}" in await phone.enter(member)
    _, html = await phone.get("/page?lang=zh")
    assert "2025年7月已评定，等级不变。" in html
    world.clock.forward(days=31)
    html = await phone.enter(member)
    assert "August 2025 is still being evaluated" in html
    assert f"July 2025 {unchanged}" in html
    world.clock.forward(days=31)
    assert unchanged not in await phone.enter(member)


async def test_a_benefit_is_explained_by_the_programmes_own_rules(
    running: Site, phone: Phone
) -> None:
    """What each tier brings, how long it lasts, limits, details, provider, what happens then."""
    await phone.enter(await platinum(running))
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    for words in (
        "Units per calendar month",
        "Gold 1 Platinum your tier 2 Diamond 3",
        "Through the last day of the month they are for.",
        "New ones arrive on 1 August 2025, according to your tier then.",
        "If your tier rises in between, the rest is added.",
        "At most 2 in a calendar month; used so far: 0.",
        "While stocks last.",
        "Mobile number These details go to the provider",
        "Delivered by Sandbox",
        "It is credited directly",
        "A unit is used up when it is delivered.",
    ):
        assert words in text


async def test_why_a_benefit_cannot_be_claimed_is_told_without_trying(
    running: Site, phone: Phone
) -> None:
    """None left, all in use, sold out, no budget, not of the tier: the reason and what helps."""
    world = running.world
    await phone.enter(await platinum(running))
    form = await phone.review("LOUNGE")
    for _ in range(2):
        await phone.send(form | {"key": uuid4().hex})
    new = "New ones arrive on 1 October 2025, according to your tier then."
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    assert f"You have claimed all of this period&#39;s units. {new}" in html
    assert "2 claimed: under way or ready to use" in html
    assert [] == [form for form in Form(html).forms if "benefit" in form]
    assert 'class="stock"' not in html
    _, html = await phone.get("/page?lang=en")
    assert new in group(html, "not-now")
    for statement, words in (
        ("UPDATE counter SET spent = 50 WHERE counter = 'stock:VIDEO'", "Sold out."),
        (
            (
                "UPDATE counter SET spent = CASE counter WHEN 'budget:video' "
                "THEN 10000000 ELSE 0 END WHERE counter IN ('budget:video', 'stock:VIDEO')"
            ),
            "Not available at the moment. Please try again later.",
        ),
    ):
        await world.rows(f"{statement} RETURNING 1")
        _, html = await phone.get("/page/benefits/VIDEO?lang=en")
        assert words in html
    await phone.enter(await world.member())
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    assert "Not included in your tier. Available from Platinum." in html


async def test_a_claim_shows_its_steps_and_why_it_failed(running: Site, phone: Phone) -> None:
    """From accepted to used with the instants that are known; a failure says whose no it was."""
    world = running.world
    await phone.enter(await platinum(running))

    async def placed() -> tuple[UUID, str]:
        await phone.send(await phone.review("LOUNGE"))
        found = await world.rows("SELECT claim_id FROM claim ORDER BY claim_id DESC LIMIT 1")
        return found[0][0], f"/page/claims/{found[0][0]}?lang=en"

    def marks(html: str) -> list[str]:
        return re.findall(r'<li class="(\w+)"', html)

    claim_id, place = await placed()
    _, html = await phone.get(place)
    assert ["now", "next", "next", "next", "next"] == marks(html)
    (work,) = await lease(world)
    await record(world, work, Unknown("silence"))
    _, html = await phone.get(place)
    assert ["done", "done", "now", "next", "next"] == marks(html)
    assert "The provider has not answered yet; we keep asking." in html
    assert "longer than usual" not in html
    world.clock.forward(minutes=6)
    _, html = await phone.get(place)
    assert "This takes longer than usual. Your unit stays reserved" in html
    _, html = await phone.get("/page?lang=en")
    assert "Takes longer than usual" in group(html, "progress")
    number = await number_of(world, claim_id)
    await call_back(world, number, Pending(), Done(at=NOON))
    _, html = await phone.get(place)
    assert ["done", "done", "done", "done", "next"] == marks(html)
    assert "2 July 2025 12:06" in html
    assert "data-final" not in html
    await call_back(world, number, Used(at=NOON))
    _, html = await phone.get(place)
    assert ["done"] * 5 == marks(html)
    assert "data-final" in html
    claim_id, place = await placed()
    no = Rejected(Reason.ACCOUNT, "account")
    await call_back(world, await number_of(world, claim_id), no)
    _, html = await phone.get(place)
    assert ["done", "bad"] == marks(html)
    assert "Your unit is back." in html
    assert "The provider does not know this number or account. Please check it." in html
    _, html = await phone.get("/page?lang=en")
    assert "Unit returned" in group(html, "returned")


async def test_the_history_is_whole_and_filtered_a_page_at_a_time(
    running: Site, phone: Phone
) -> None:
    """Newest first; by kind, benefit and time; the cursor goes on where the page ended."""
    world = running.world
    member = await platinum(running)
    await phone.enter(member)
    await phone.send(await phone.review("LOUNGE"))
    ((claim_id,),) = await world.rows("SELECT claim_id FROM claim")
    no = Rejected(Reason.STOCK_OUT, "stock_out")
    await call_back(world, await number_of(world, claim_id), no)

    async def history(**query: str) -> list[str]:
        _, html = await phone.get("/page/history", params={"lang": "en", **query})
        return re.findall(r'class="about (?:good|bad|plain|wait)">(.*?)</span>', html)

    received = "Received with your tier: 2"
    tier = "Platinum from 1 July 2025: June 2025 reached it"
    failed = "Not possible, units returned: The provider has run out of it."
    claimed = "Claimed: 1"
    assert [failed, claimed, received, received, tier] == await history()
    assert [tier] == await history(kind="tier")
    assert [received, received] == await history(kind="granted")
    assert [claimed] == await history(kind="claimed", benefit="LOUNGE")
    assert [] == await history(kind="claimed", benefit="VIDEO")
    assert [failed] == await history(kind="returned", span="30")
    assert 5 == len(await history(kind="x", benefit="y", span="z", before="<b>"))
    for _ in range(18):
        await give(world, gift(member))
    _, html = await phone.get("/page/history?lang=en&span=365")
    (older,) = re.findall(r'href="(/page/history\?[^"]*before=[^"]*)"', html)
    assert 18 == html.count("Received as a gift: 1")
    assert "span=365" in older
    _, html = await phone.get(older.replace("&amp;", "&"))
    assert (True, True) == (tier in html, "Newest" in html)
    assert 0 == html.count("Received as a gift: 1")
    world.clock.forward(days=40)
    await phone.enter(member)
    assert [] == await history(span="30")
    assert 19 == await expire_lots(world)
    ended = ["Expired unused: 1"] * 18 + ["Expired unused: 2"]
    assert ended == sorted(await history(kind="expired", span="30"))


async def test_hostile_names_are_only_text(running: Site, phone: Phone) -> None:
    """Whatever a programme's author writes, no tag of it reaches the page as a tag."""
    programme = reference_programme()
    bad = dict.fromkeys(("zh", "en"), '"><script>alert(1)</script>%(x)s{{ 7*1111111 }}')
    swap = msgspec.structs.replace
    programme = swap(
        programme,
        name=bad,
        tier=tuple(swap(tier, name=bad) for tier in programme.tier),
        provider=tuple(swap(provider, name=bad) for provider in programme.provider),
        benefit=tuple(
            swap(b, name=bad, about=bad, recipient=("phone",)) for b in programme.benefit
        ),
    )
    await running.world.apply(programme)
    seen = [await phone.enter(await platinum(running))]
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    form = await phone.review("LOUNGE")
    assert PHONE == form["recipient.phone"]
    seen += [html, (await phone.send(form))[1], (await phone.get("/page/history?lang=en"))[1]]
    for html in seen:
        assert 1 == html.count("<script")
        assert "7777777" not in re.sub(
            r'(value|href|src|data-live)="[^"]*"|[0-9a-f]{32}', "", html
        )
        assert "&lt;script&gt;alert(1)&lt;/script&gt;%(x)s{{ 7*1111111 }}" in html


async def test_the_clock_of_the_page_is_the_programmes_zone(running: Site, phone: Phone) -> None:
    """A claim just after midnight in Shanghai shows the new day there."""
    member = await platinum(running)
    running.world.clock.now += timedelta(hours=12)
    await phone.enter(member)
    _, html = await phone.send(await phone.review("LOUNGE"))
    assert "3 July 2025 00:00" in html


async def test_the_day_of_the_next_result_is_promised(running: Site, phone: Phone) -> None:
    """T-3: of the month that is being evaluated, until that day is over; else of the next."""
    plain, world = reference_programme(), running.world
    await world.apply(
        msgspec.structs.replace(plain, policy=msgspec.structs.replace(plain.policy, post_by=10))
    )
    member = await platinum(running)
    assert "The next result is known by 10 August 2025." in await phone.enter(member)
    _, html = await phone.get("/page?lang=zh")
    assert "下次评定结果最迟于2025年8月10日公布。" in html
    world.clock.now = NOON + timedelta(days=39)
    pending = "July 2025 is still being evaluated; your tier may change."
    html = await phone.enter(member)
    assert f"{pending} The result is known by 10 August 2025." in html
    assert "The next result" not in html
    _, html = await phone.get("/page?lang=zh")
    assert "2025年7月的等级评定尚在进行，结果最迟于2025年8月10日公布，等级可能变化。" in html
    world.clock.forward(days=1)
    html = await phone.enter(member)
    assert pending in html
    assert "is known by 10" not in html
