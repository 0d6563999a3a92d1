"""Every view of the page: accessible, at home on every screen, light, and on its own."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
from playwright.async_api import Page, Response

from benefits.web.tongue import STATIC
from tests.browser.conftest import Visit
from tests.browser.stage import DESKTOP_SIZE, PHONE_SIZE, Customer
from tests.web.phone import PHONE

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
WEIGHT_MAX = 100_000


async def views(customer: Customer) -> AsyncIterator[str]:
    """Bring the tab to each view, one after the other, and yield its name."""
    page = customer.page
    await customer.open("")
    yield "benefits, to claim"
    await page.click("summary")
    yield "tier, explained"
    await customer.open("/benefits/LOUNGE")
    yield "benefit with form"
    await page.evaluate("document.querySelector('input[type=tel]').value = ' '")
    await page.evaluate("document.querySelector('form.claim').submit()")
    await page.wait_for_selector("[role=alert]")
    yield "form with an error"
    await page.fill("input[type=tel]", PHONE)
    await page.click("form.claim button")
    await page.wait_for_selector(".facts")
    yield "review"
    await page.click("form.claim button")
    await page.wait_for_selector("[data-live]")
    yield "claim accepted"
    place = page.url
    claim_id = (
        await customer.running.world.rows(
            "SELECT claim_id FROM claim WHERE member_id = $1", customer.member
        )
    )[0][0]
    await customer.provider_says(claim_id, "issued", code="482913557201")
    await page.goto(place.partition("#")[0])
    yield "claim delivered"
    await page.click("form.claim button")
    await page.wait_for_selector(".secret")
    yield "code"
    await customer.claim("VIDEO")
    rejected = await customer.claim("VIDEO")
    await customer.provider_says(rejected, "rejected", reason="account")
    await customer.open(f"/claims/{rejected}")
    yield "claim returned"
    await customer.open("")
    yield "benefits, in every state"
    await customer.open("/benefits/VIDEO?refused=stock_exhausted")
    yield "benefit refused"
    await customer.open("/history")
    yield "history"
    await customer.open("/history?kind=expired")
    yield "history, empty"
    await customer.open("/tiers")
    yield "tier explained"
    await customer.open("/nothing")
    yield "nothing here"
    await customer.context.clear_cookies()
    await customer.open("")
    yield "expired"


async def violations(page: Page) -> list[str]:
    """Return what axe objects to on the view as it is."""
    found: list[dict[str, Any]] = (await page.evaluate("axe.run({resultTypes: ['violations']})"))[
        "violations"
    ]
    return [f"{each['id']}: {json.dumps(n['target'])}" for each in found for n in each["nodes"]]


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_axe_finds_nothing_on_any_view(visit: Visit, lang: str) -> None:
    """Light and dark, phone and desktop, in both languages."""
    customer = await visit(lang=lang, reduced_motion="reduce")
    page = customer.page
    found = dict[str, list[str]]()
    async for name in views(customer):
        await page.evaluate(AXE)
        for width, height in (PHONE_SIZE, DESKTOP_SIZE):
            await page.set_viewport_size({"width": width, "height": height})
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                if wrong := await violations(page):
                    found[f"{name}, {scheme}, {width}"] = wrong
    assert {} == found


WIDTHS = """() => [document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"""


async def test_nothing_is_cut_off_on_a_narrow_screen_or_with_large_type(visit: Visit) -> None:
    """At 320 pixels, and at twice the size of type, no view scrolls sideways in long words."""
    customer = await visit()
    page = customer.page
    wide = list[str]()
    async for name in views(customer):
        for width, size in ((320, "100%"), (390, "200%")):
            await page.set_viewport_size({"width": width, "height": 844})
            await page.evaluate("size => document.documentElement.style.fontSize = size", size)
            there, room = await page.evaluate(WIDTHS)
            if there > room:
                wide.append(f"{name} at {width}, {size}: {there} in {room}")
    assert [] == wide


async def test_who_wants_less_motion_sees_none(visit: Visit) -> None:
    """The step under way breathes, and stands still for those who ask for it."""
    customer = await visit()
    await customer.claim("LOUNGE")
    moving = "document.getAnimations().length"
    assert 1 == await customer.page.evaluate(moving)
    await customer.page.emulate_media(reduced_motion="reduce")
    assert 0 == await customer.page.evaluate(moving)


async def test_every_view_is_light_and_asks_no_other_host(visit: Visit) -> None:
    """Page, style, script and picture together stay below 100 kB, uncompressed."""
    customer = await visit()
    answers = list[Response]()

    def note(answer: Response) -> None:
        answers.append(answer)

    customer.page.on("response", note)
    weights = dict[str, int]()
    static = dict[str, int]()
    async for name in views(customer):
        await customer.page.wait_for_load_state("networkidle")
        for file in {a.url.rpartition("/static/")[2] for a in answers if "/static/" in a.url}:
            static[file] = len(STATIC[file][1])
        weights[name] = len((await customer.page.content()).encode())
    assert 3 == len(static)
    assert {} == {n: w for n, w in weights.items() if w + sum(static.values()) > WEIGHT_MAX}
    own = urlsplit(customer.running.url).netloc
    assert {own} == {urlsplit(answer.url).netloc for answer in answers}
