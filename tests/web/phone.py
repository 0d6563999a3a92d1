"""A member's phone before the benefits page: what it is shown, and what it sends."""

from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import aiohttp

from tests.web.site import Site

PHONE = "13812345678"


class Form(HTMLParser):
    """The forms of a page, as a browser would send them: name and value of every input."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Gather a form or one of its inputs."""
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({})
        if tag == "input":
            self.forms[-1][found["name"]] = found.get("value", "")


class Phone:
    """A member's phone: a browser that keeps cookies and reads what it is shown."""

    def __init__(self, here: Site, http: aiohttp.ClientSession) -> None:
        self.here = here
        self.http = http

    async def get(self, path: str, **options: Any) -> tuple[int, str]:
        """Open an address, follow redirects, and return the status and the page."""
        async with self.http.get(path, **options) as answer:
            assert answer.content_type == "text/html"
            return answer.status, await answer.text()

    async def enter(self, member: UUID, language: str | None = "en") -> str:
        """Open the page as the bank's app does and return it."""
        status, html = await self.get(await self.here.page_url(member, language))
        assert 200 == status
        return html

    async def post(self, path: str, form: dict[str, str]) -> tuple[int, str]:
        """Send a form to an address and return the status and the page that follows."""
        async with self.http.post(path, data=form) as answer:
            assert answer.content_type == "text/html"
            return answer.status, await answer.text()

    async def send(self, form: dict[str, str]) -> tuple[int, str]:
        """Confirm a claim and return the status and the page that follows."""
        return await self.post("/page/claims?lang=en", form)

    async def fill(self, benefit: str) -> dict[str, str]:
        """Open a benefit and return its form, filled in."""
        _, html = await self.get(f"/page/benefits/{benefit}?lang=en")
        return form_of(html, benefit)

    async def review(self, benefit: str) -> dict[str, str]:
        """Open a benefit, fill in its form, and return the form that confirms it."""
        status, html = await self.post("/page/claims/review?lang=en", await self.fill(benefit))
        assert 200 == status
        return form_of(html, benefit)

    @property
    def cookie(self) -> str:
        """The session's cookie."""
        (cookie,) = list(self.http.cookie_jar)
        return cookie.value


def form_of(html: str, benefit: str) -> dict[str, str]:
    """Return the form for a benefit, filled in."""
    (form,) = [form for form in Form(html).forms if form.get("benefit") == benefit]
    typed = {name: PHONE for name, text in form.items() if name.startswith("recipient.")}
    return form | {name: form[name] or text for name, text in typed.items()}


async def platinum(running: Site, daily_minor: int = 620_000_00) -> UUID:
    """Enrol a member who has 2 lounge visits to 30 September and 2 videos to 31 July."""
    world = running.world
    member = await world.member()
    ((number,),) = await world.rows("SELECT count(*) FROM member")
    await world.month(world.name(number), "2025-06", daily_minor)
    await world.evaluate("2025-06", member)
    world.clock.forward(seconds=1)
    return member


async def claims_of(running: Site) -> list[Any]:
    """Return the claims there are."""
    return await running.world.rows("SELECT benefit, quantity, state FROM claim ORDER BY claim_id")
