"""What a customer does on the page, in a real browser."""

import asyncio

import msgspec
from playwright.async_api import Page

from tests.actions.life import decide, number_of, said, wish
from tests.browser.conftest import Visit
from tests.browser.test_views import AXE, violations
from tests.builders import reference_programme
from tests.web.phone import PHONE

CODE = "482913557201"


async def tab_to(page: Page, words: str) -> None:
    """Press Tab until what has the focus says the words."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(
            "(document.activeElement.innerText || document.activeElement.name || '').trim()"
        )
        if words in focused:
            return
    raise AssertionError(f"{words} cannot be reached by Tab")


async def test_the_browsers_language_counts_and_the_switch_changes_it(visit: Visit) -> None:
    """Chinese and English, on the main page and where one is when switching."""
    for lang, here, there in (("zh", "财富权益", "English"), ("en", "Wealth benefits", "中文")):
        customer = await visit(lang=lang)
        assert here in await customer.text()
        await customer.open("/benefits/LOUNGE")
        before = "机场贵宾厅" if lang == "zh" else "Airport lounge"
        assert before == await customer.page.inner_text("h1")
        await customer.page.click(f"text={there}")
        after = "Airport lounge" if lang == "zh" else "机场贵宾厅"
        assert after == await customer.page.inner_text("h1")
        await customer.page.click(".home")
        assert here not in await customer.text()


async def test_a_claim_moves_by_itself_from_accepted_to_redeemed(visit: Visit) -> None:
    """The provider calls back twice, the customer touches nothing but the code."""
    customer = await visit()
    page = customer.page
    await page.click("#g-claim + ul >> text=Airport lounge")
    await page.fill("input[type=tel]", PHONE)
    await page.click("text=Claim")
    assert "Nothing is claimed yet." in await customer.text()
    assert [] == await customer.claims()
    await page.click("text=Confirm: claim 1")
    await page.wait_for_selector("text=Your claim is accepted.")
    claim_id = (await customer.running.world.rows("SELECT max(claim_id::text) FROM claim"))[0][0]
    await page.evaluate("window.stays = true")
    await customer.provider_says(claim_id, "issued", code=CODE)
    await page.wait_for_selector("text=It is yours now.")
    assert "Ready to use" == await page.text_content("[data-said]")
    assert CODE not in await page.content()
    await customer.provider_says(claim_id, "redeemed")
    await page.wait_for_selector("text=You have used this benefit.")
    assert "Used" == await page.text_content("[data-said]")
    assert await page.evaluate("window.stays")
    assert [("LOUNGE", "REDEEMED")] == await customer.claims()
    await page.click(".home")
    assert "Airport lounge" in await page.inner_text("section[aria-labelledby=g-used]")


async def test_a_companion_comes_along(visit: Visit) -> None:
    """Chosen in the form, shown on the review, and claimed for with the member's own visit."""
    customer = await visit()
    page = customer.page
    lounge, *others = (made := reference_programme()).benefit
    lounge = msgspec.structs.replace(lounge, companions={"PLATINUM": 1})
    await customer.running.world.apply(msgspec.structs.replace(made, benefit=(lounge, *others)))
    await customer.open("/benefits/LOUNGE")
    assert "Platinum: up to 1." in await customer.text()
    await page.evaluate(AXE)
    assert [] == await violations(page)
    await page.fill("input[type=tel]", PHONE)
    await page.select_option("select[name=companions]", "1")
    await page.click("form.claim button")
    assert "Companions 1" in await customer.text()
    await page.click("text=Confirm: claim 2")
    await page.wait_for_selector("text=Your claim is accepted.")
    found = await customer.running.world.rows(
        "SELECT quantity FROM claim WHERE member_id = $1", customer.member
    )
    assert [(2,)] == [tuple(row) for row in found]
    await customer.running.world.apply()


async def test_a_final_claim_and_a_hidden_page_are_not_asked_about(visit: Visit) -> None:
    """Nothing more can come, or nobody looks: the network is left alone."""
    customer = await visit()
    page = customer.page
    claim_id = await customer.claim("LOUNGE")
    asked = list[str]()
    page.on("request", lambda sent: asked.append(sent.url) if "/live" in sent.url else None)
    await page.wait_for_event("request")
    await page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { get: () => true });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    await page.wait_for_load_state("networkidle")
    asked.clear()
    await asyncio.sleep(2)
    assert [] == asked
    await customer.provider_says(claim_id, "redeemed")
    await customer.open(f"/claims/{claim_id}")
    asked.clear()
    await asyncio.sleep(2)
    assert [] == asked


async def test_a_double_tap_is_one_claim(visit: Visit) -> None:
    """Both taps send the same form."""
    customer = await visit()
    await customer.review("LOUNGE")
    await customer.page.dblclick("form.claim button")
    await customer.page.wait_for_selector("text=Your claim is accepted.")
    assert [("LOUNGE", "HELD")] == await customer.claims()
    await customer.page.go_back()
    assert "1 claimed: under way or ready to use" in await customer.text()
    assert [("LOUNGE", "HELD")] == await customer.claims()


async def test_a_session_that_ends_shows_its_own_view_by_itself(visit: Visit) -> None:
    """Also under a claim that is being watched; and opening it from the bank's app goes on."""
    customer = await visit(lang="zh")
    await customer.claim("LOUNGE")
    customer.running.world.clock.forward(minutes=31)
    await customer.page.wait_for_selector("text=页面已失效")
    assert "请从手机银行重新进入" in await customer.text()
    await customer.enter()
    assert "办理中" in await customer.text()


async def test_a_refused_claim_says_why(visit: Visit) -> None:
    """The last unit went between the review and the confirmation."""
    customer = await visit()
    await customer.review("VIDEO")
    for _ in range(2):
        outcomes = await decide(customer.running.world, wish(customer.member))
        assert ["ok"] == [said(outcome) for outcome in outcomes]
    await customer.page.click("text=Confirm: claim 1")
    alert = customer.page.locator("[role=alert]")
    reached = "You have reached the limit for this benefit in this period."
    assert reached == await alert.inner_text()
    assert await alert.evaluate("alert => alert === document.activeElement")
    assert "The limit of 2 is reached." in await customer.page.inner_text(".why-not")
    assert 0 == await customer.page.locator("form.claim").count()


async def test_without_javascript_the_whole_way_can_be_gone(visit: Visit) -> None:
    """Claim, refresh by hand, see the code, filter the history, change the language."""
    customer = await visit(java_script_enabled=False)
    page = customer.page
    await page.click("text=Airport lounge")
    await page.fill("input[type=tel]", PHONE)
    await page.click("button")
    await page.click("text=Confirm: claim 1")
    assert "Your claim is accepted." in await customer.text()
    ((claim_id,),) = await customer.running.world.rows(
        "SELECT claim_id FROM claim WHERE member_id = $1", customer.member
    )
    await customer.provider_says(claim_id, "issued", code=CODE)
    await page.click("text=Refresh")
    assert CODE not in await page.content()
    await page.click("button:has-text('Show code')")
    assert CODE == await page.inner_text(".secret")
    assert not await page.is_visible("[data-copy=secret]")
    assert not await page.is_visible("[data-copy=number]")
    await page.click("text=Hide the code")
    assert CODE not in await page.content()
    await page.click(".home")
    await page.click("text=All history")
    await page.select_option("select[name=kind]", "claimed")
    await page.click("text=Filter")
    assert ["Delivered", "Claimed: 1"] == await page.locator("span.about").all_inner_texts()
    await page.click("text=中文")
    assert ["已发放", "领取1份"] == await page.locator("span.about").all_inner_texts()


async def test_a_code_is_shown_on_tap_and_copied(visit: Visit) -> None:
    """Hidden until tapped; the copy is the code; each tap is on record; a number is copied too."""
    customer = await visit(permissions=["clipboard-read", "clipboard-write"])
    page = customer.page
    claim_id = await customer.claim("LOUNGE")
    await customer.provider_says(claim_id, "issued", code=CODE)
    await page.wait_for_selector("button:has-text('Show code')")
    assert CODE not in await page.content()
    await page.click("button:has-text('Copy')")
    await page.wait_for_selector("button:has-text('Copied')")
    assert "Copied" == await page.text_content("[data-said]")
    number = await number_of(customer.running.world, claim_id)
    assert number == await page.evaluate("navigator.clipboard.readText()")
    await page.click("button:has-text('Show code')")
    assert CODE == await page.inner_text(".secret")
    await page.click("button:has-text('Copy')")
    await page.wait_for_selector("button:has-text('Copied')")
    assert CODE == await page.evaluate("navigator.clipboard.readText()")
    await page.reload()
    assert CODE not in await page.content()
    readings = await customer.running.world.rows(
        "SELECT actor FROM code_reading WHERE claim_id = $1", claim_id
    )
    assert [("system:page",)] == readings


async def test_the_history_is_filtered_and_leads_to_the_claim(visit: Visit) -> None:
    """By kind and benefit together; the choice stays visible; an entry opens what it is about."""
    customer = await visit()
    page = customer.page
    await customer.claim("LOUNGE")
    await customer.claim("VIDEO")
    await customer.open("/history")
    assert 5 == await page.locator(".rows > li").count()
    await page.select_option("select[name=kind]", "claimed")
    await page.select_option("select[name=benefit]", "VIDEO")
    await page.select_option("select[name=span]", "30")
    await page.click("text=Filter")
    assert ["Video membership"] == await page.locator(".row .name").all_inner_texts()
    assert ["claimed", "VIDEO", "30"] == [
        await page.input_value(f"select[name={name}]") for name in ("kind", "benefit", "span")
    ]
    await page.click(".row")
    assert "Video membership" in await page.inner_text("h2")
    await customer.open("/history?kind=expired")
    assert "Nothing here." in await customer.text()


async def test_with_the_keyboard_alone_one_can_claim_and_see_the_code(visit: Visit) -> None:
    """Tab and Enter reach everything, the focus is visible and survives an update."""
    customer = await visit()
    page = customer.page
    await page.keyboard.press("Tab")
    assert "Skip to the content" == await page.evaluate("document.activeElement.innerText")
    await tab_to(page, "How this is decided")
    await page.keyboard.press("Enter")
    assert await page.is_visible("text=It is lost only after 3 months below in a row.")
    await tab_to(page, "Airport lounge")
    assert "3px" in await page.evaluate("getComputedStyle(document.activeElement).outline")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("form.claim")
    await tab_to(page, "recipient.phone")
    await page.keyboard.type(PHONE)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Please check")
    await tab_to(page, "Confirm: claim 1")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("[data-live]")
    await tab_to(page, "Refresh")
    ((claim_id,),) = await customer.running.world.rows(
        "SELECT claim_id FROM claim WHERE member_id = $1", customer.member
    )
    await customer.provider_says(claim_id, "issued", code=CODE)
    await page.wait_for_selector("text=It is yours now.")
    assert "Refresh" == await page.evaluate("document.activeElement.innerText")
    await tab_to(page, "My benefits")
    await tab_to(page, "Show code")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(f"text={CODE}")
