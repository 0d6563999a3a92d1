"""A customer before the benefits page in a real browser, and the provider that calls back."""

import json
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from playwright.async_api import BrowserContext, Page

from benefits.domain.signature import parse_secret, signed_headers
from tests.actions.life import number_of, work_off
from tests.web.phone import PHONE, platinum
from tests.web.site import SECRET, Site

PHONE_SIZE = (390, 844)
DESKTOP_SIZE = (1280, 900)
LOCALES = {"zh": "zh-CN", "en": "en-GB"}


class Customer:
    """A member and the browser tab in which they have the page open."""

    def __init__(self, running: Site, page: Page, member: UUID) -> None:
        self.running = running
        self.page = page
        self.member = member

    @property
    def context(self) -> BrowserContext:
        """The browser's window with its cookies."""
        return self.page.context

    async def enter(self) -> None:
        """Open the page as the bank's app does."""
        await self.page.goto(self.running.url + await self.running.page_url(self.member))

    async def open(self, path: str) -> None:
        """Open a view below `/page` in the language it has."""
        await self.page.goto(f"{self.running.url}/page{path}")

    async def text(self) -> str:
        """Return what can be read, in one line."""
        return " ".join((await self.page.inner_text("body")).split())

    async def review(self, benefit: str) -> None:
        """Go from a benefit to the review of a claim of it."""
        await self.open(f"/benefits/{benefit}")
        await self.page.fill("input[type=tel]", PHONE)
        await self.page.click("form.claim button")

    async def claim(self, benefit: str) -> UUID:
        """Claim a unit and return the claim's id, with its view open."""
        await self.review(benefit)
        await self.page.click("form.claim button")
        await self.page.wait_for_selector("[data-live]")
        return UUID(self.page.url.partition("?")[0].rpartition("/")[2])

    async def claims(self) -> list[tuple[str, str]]:
        """Return the benefit and state of what the member has claimed."""
        found = await self.running.world.rows(
            "SELECT benefit, state FROM claim WHERE member_id = $1 ORDER BY claim_id", self.member
        )
        return [tuple(row) for row in found]

    async def provider_says(self, claim_id: UUID, kind: str, **more: str) -> None:
        """Call back about a claim as its provider does, and let the worker apply it."""
        world = self.running.world
        now = world.clock()
        at = now.isoformat()
        data = {"number": await number_of(world, claim_id), "at": at, "reference": "R", **more}
        body = json.dumps({"type": f"order.{kind}", "timestamp": at, "data": data}).encode()
        secrets = [parse_secret(SECRET)]
        headers = signed_headers(secrets, uuid4().hex, int(now.timestamp()), body)
        async with (
            aiohttp.ClientSession(self.running.url) as http,
            http.post("/callbacks/sandbox", data=body, headers=headers) as answer,
        ):
            assert 200 == answer.status
        assert 1 == await work_off(world)


async def customer(running: Site, context: BrowserContext) -> Customer:
    """Enrol a member of platinum and open the page for them."""
    made = Customer(running, await context.new_page(), await platinum(running))
    await made.enter()
    return made


def options(lang: str = "en", scheme: Any = "light", size: tuple[int, int] = PHONE_SIZE) -> Any:
    """Return how a browser window is to be: language, colours and size."""
    return {
        "locale": LOCALES[lang],
        "color_scheme": scheme,
        "viewport": {"width": size[0], "height": size[1]},
    }
