"""The benefits page over real HTTP: entry, session, form, words, and what it never shows."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, timedelta
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po

from benefits.actions import claim
from benefits.domain import entitlement, ledger
from benefits.domain.assets import AssetLine
from benefits.domain.orders import OrderState
from benefits.domain.refusal import Refusal
from benefits.domain.requests import KeyConflict
from benefits.store.db import rows
from benefits.web import page, shown, tongue
from tests.builders import reference_programme
from tests.web.site import Site, site

PHONE = "13812345678"
CODE = re.compile(r"[A-Za-z0-9_-]{64}")


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

    async def send(self, form: dict[str, str]) -> tuple[int, str]:
        """Send a form and return the status and the page that follows."""
        async with self.http.post("/page/claims?lang=en", data=form) as answer:
            assert answer.content_type == "text/html"
            return answer.status, await answer.text()

    @property
    def cookie(self) -> str:
        """The session's cookie."""
        (cookie,) = list(self.http.cookie_jar)
        return cookie.value


def form_of(html: str, benefit: str) -> dict[str, str]:
    """Return the form for a benefit, filled in."""
    (form,) = [form for form in Form(html).forms if form["benefit"] == benefit]
    return form | {name: PHONE for name in form if name.startswith("recipient.")}


@pytest.fixture
async def here(
    migrated: str, new_database: Callable[[str | None], Awaitable[str]]
) -> AsyncIterator[Site]:
    """Give a running service of its own."""
    async with site(await new_database(migrated)) as made:
        yield made


@pytest.fixture
async def phone(here: Site) -> AsyncIterator[Phone]:
    """Give a member's phone."""
    async with here.browser() as http:
        yield Phone(here, http)


async def platinum(here: Site, daily_minor: int = 620_000_00) -> UUID:
    """Enrol a member who has 2 lounge visits to 30 September and 2 videos to 31 July."""
    world = here.world
    member = await world.member()
    ((number,),) = await world.rows("SELECT count(*) FROM member")
    await world.month(world.name(number), "2025-06", daily_minor)
    await world.evaluate("2025-06", member)
    world.clock.forward(seconds=1)
    return member


async def claims_of(here: Site) -> list[Any]:
    """Return the claims there are."""
    return await here.world.rows("SELECT benefit, quantity, state FROM claim ORDER BY claim_id")


async def test_a_code_enters_only_once(here: Site, phone: Phone) -> None:
    """Whoever finds the address in a history or a log finds it used."""
    url = await here.page_url(await here.world.member(), "en")
    assert 200 == (await phone.get(url))[0]
    async with here.browser() as another:
        status, html = await Phone(here, another).get(url)
        assert (401, 0) == (status, len(another.cookie_jar))
    assert "This page has expired" in html
    assert 200 == (await phone.get("/page"))[0]


async def test_of_two_who_bring_a_code_at_once_one_enters(here: Site) -> None:
    """The code is used up in one statement."""
    url = await here.page_url(await here.world.member())

    async def enter() -> int:
        async with here.browser() as http:
            return (await Phone(here, http).get(url))[0]

    assert [200, 401, 401, 401] == sorted(await asyncio.gather(*(enter() for _ in range(4))))


async def test_a_code_lives_for_sixty_seconds(here: Site, phone: Phone) -> None:
    """At the sixtieth second it is too late."""
    member = await here.world.member()
    late, early = await here.page_url(member), await here.page_url(member)
    here.world.clock.forward(seconds=59)
    assert 200 == (await phone.get(early))[0]
    here.world.clock.forward(seconds=1)
    assert 401 == (await phone.get(late))[0]


async def test_a_code_that_was_not_given_out_enters_nothing(here: Site, phone: Phone) -> None:
    """Another secret for the same session, another session, and nonsense are all the same."""
    code = parse_qs(urlsplit(await here.page_url(await here.world.member())).query)["code"][0]
    for wrong in (code[:-4] + "AAAA", "A" * 64, code[:63], code + "=", "", "é" * 64, "%00" * 64):
        status, html = await phone.get("/page/enter", params={"code": wrong, "lang": "zh"})
        assert (401, True) == (status, "页面已失效" in html)
    assert 200 == (await phone.get(f"/page/enter?code={code}"))[0]


async def test_the_cookie_is_for_the_page_alone(here: Site, phone: Phone) -> None:
    """No script reads it, no other site's form sends it, no plain connection carries it."""
    member = await here.world.member()
    flags = {"HttpOnly", "Path=/page", "SameSite=lax"}
    for host, more in (("", set[str]()), ("page.bank.example", {"Secure"})):
        url = await here.page_url(member)
        headers = {"Host": host} if host else {}
        async with phone.http.get(url, headers=headers, allow_redirects=False) as answer:
            assert (303, "/page?lang=zh") == (answer.status, answer.headers["Location"])
            value, *rest = answer.headers["Set-Cookie"].split("; ")
        assert flags | more == set(rest)
        assert CODE.fullmatch(value.removeprefix("benefits_page="))


async def test_only_hashes_of_code_and_cookie_are_stored(here: Site, phone: Phone) -> None:
    """What the database holds opens no page."""
    url = await here.page_url(await here.world.member())
    code = parse_qs(urlsplit(url).query)["code"][0]
    await phone.get(url)
    ((stored,),) = await here.world.rows("SELECT page_session::text FROM page_session")
    for secret in (code, phone.cookie):
        assert secret not in stored
        assert secret.encode().hex() not in stored
    assert code != phone.cookie


async def test_a_session_ends_after_thirty_minutes_whatever_is_done(
    here: Site, phone: Phone
) -> None:
    """Looking at the page does not prolong it."""
    await phone.enter(await here.world.member())
    here.world.clock.forward(minutes=29, seconds=59)
    assert 200 == (await phone.get("/page"))[0]
    here.world.clock.forward(seconds=1)
    status, html = await phone.get("/page?lang=en")
    assert (401, True) == (status, "Please open it again from the bank&#39;s app." in html)
    status, html = await phone.send({"token": "", "key": "k", "benefit": "LOUNGE"})
    assert (401, True) == (status, "This page has expired" in html)


async def test_a_page_session_is_opened_by_the_mobile_backend_alone(here: Site) -> None:
    """Scope, Idempotency-Key, member and language are checked, and told as problems."""
    path, body = "/v1/page-sessions", {"member_id": str(await here.world.member())}
    assert 403 == (await here.post(path, body, here.crm_key))[0]
    assert 401 == (await here.post(path, body, "bk_nobody"))[0]
    status, answer = await here.post(path, {"member_id": str(uuid4())}, here.mobile_key)
    assert (404, "unknown_member") == (status, answer["code"])
    assert 400 == (await here.post(path, body | {"language": "fr"}, here.mobile_key))[0]
    headers = here.headers(here.mobile_key)
    del headers["Idempotency-Key"]
    async with (
        here.browser() as http,
        http.post(path, json=body, headers=headers) as unkeyed,
    ):
        assert 400 == unkeyed.status
        assert "idempotency_key_invalid" == (await unkeyed.json(content_type=None))["code"]
    status, answer = await here.post(path, body, here.mobile_key)
    assert (201, "2025-07-02T04:01:00Z") == (status, answer["expires_at"])


async def test_a_claim_is_made_with_the_form_and_followed_on_the_page(
    here: Site, phone: Phone
) -> None:
    """Form in, redirect, notice, order in the list, units counted as in use."""
    html = await phone.enter(await platinum(here))
    form = form_of(html, "LOUNGE")
    async with phone.http.post("/page/claims", data=form, allow_redirects=False) as answer:
        assert 303 == answer.status
        place = answer.headers["Location"]
    assert form["key"] not in place
    status, html = await phone.get(place.replace("lang=zh", "lang=en"))
    assert 200 == status
    assert 'role="status"' in html
    assert "Claim accepted: Airport lounge." in html
    assert "1 in use for a claim under way" in html
    assert '<p class="state wait">Accepted</p>' in html
    assert [("LOUNGE", 1, "HELD")] == await claims_of(here)
    actors = await here.world.rows("SELECT actor FROM batch WHERE kind = 'claim.placed'")
    assert [("page",)] == actors


async def test_a_double_tap_is_one_claim(here: Site, phone: Phone) -> None:
    """The form's own key makes the second the first again, at once or later."""
    form = form_of(await phone.enter(await platinum(here)), "LOUNGE")
    both = await asyncio.gather(phone.send(form), phone.send(form))
    later = await phone.send(form)
    for status, html in (*both, later):
        assert (200, True) == (status, "Claim accepted: Airport lounge." in html)
    assert [("LOUNGE", 1, "HELD")] == await claims_of(here)


async def test_a_form_of_another_session_is_refused(here: Site, phone: Phone) -> None:
    """Without the session's own token nothing is claimed, and the page says so in words."""
    member = await platinum(here)
    form = form_of(await phone.enter(member), "LOUNGE")
    async with here.browser() as http:
        foreign = form_of(await Phone(here, http).enter(member), "LOUNGE")
    for token in ("", "00", "zz", "é", foreign["token"]):
        status, html = await phone.send(form | {"token": token})
        assert (403, True) == (status, "This form is no longer valid" in html)
    del form["token"]
    assert 403 == (await phone.send(form))[0]
    assert [] == await claims_of(here)


async def test_what_no_browser_sends_is_answered_as_a_page(here: Site, phone: Phone) -> None:
    """A body that is no form, a key that is none, and an address that is none."""
    form = form_of(await phone.enter(await platinum(here)), "LOUNGE")
    assert 400 == (await phone.send(form | {"key": ""}))[0]
    assert 400 == (await phone.send(form | {"key": "k" * 65}))[0]
    for body, kind in (
        (b"{", "application/json"),
        (b"\xff=%ff&token=%00", "application/x-www-form-urlencoded"),
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=b"),
    ):
        headers = {"Content-Type": kind}
        async with phone.http.post("/page/claims", data=body, headers=headers) as answer:
            assert (True, "text/html") == (400 <= answer.status < 500, answer.content_type)
    assert 404 == (await phone.get("/page/elsewhere"))[0]
    assert 404 == (await phone.get("/page/static/page.css"))[0]
    assert [] == await claims_of(here)


async def test_a_refusal_is_told_in_words(here: Site, phone: Phone) -> None:
    """The limit of two videos a month, an empty field, and a form sent again with other details."""
    html = await phone.enter(await platinum(here))
    form = form_of(html, "VIDEO")
    incomplete = form | {"key": uuid4().hex, "recipient.phone": " "}
    assert "Please fill in every field of the form." in (await phone.send(incomplete))[1]
    for _ in range(2):
        assert 200 == (await phone.send(form | {"key": uuid4().hex}))[0]
    status, html = await phone.send(form)
    assert 200 == status
    assert 'role="alert"' in html
    assert "You have reached the limit for this benefit in this period." in html
    status, html = await phone.send(form | {"recipient.phone": "13800000009"})
    assert "This form was sent before with other details." in html
    _, html = await phone.get("/page?lang=zh&refused=cap_reached")
    assert "本期该权益的领取次数已达上限。" in html
    _, html = await phone.get("/page?lang=en&refused=<b>you</b>&done=<b>won</b>")
    assert 'id="notice"' not in html
    assert "<b>" not in html


async def test_when_busy_the_same_form_can_be_sent_again(here: Site, phone: Phone) -> None:
    """Nothing was decided, so the key stays: however often it is sent, it is one claim."""
    member = await platinum(here)
    form = form_of(await phone.enter(member), "LOUNGE")
    async with here.world.database.transaction() as conn:
        await rows(conn, "SELECT 1 FROM member WHERE member_id = $1 FOR UPDATE", member)
        status, html = await phone.send(form)
    assert (503, True) == (status, "Very busy at the moment" in html)
    assert PHONE not in html
    again = form_of(html, "LOUNGE")
    assert form == again
    assert 200 == (await phone.send(again))[0]
    assert 200 == (await phone.send(form))[0]
    assert [("LOUNGE", 1, "HELD")] == await claims_of(here)


async def test_every_answer_is_locked_down_and_never_kept(here: Site, phone: Phone) -> None:
    """Page, redirect, refusals and unknown addresses carry the same headers."""
    member = await here.world.member()
    seen = list[int]()
    for path in (await here.page_url(member), "/page", "/page/enter?code=x", "/page/nothing"):
        async with phone.http.get(path, allow_redirects=False) as answer:
            seen.append(answer.status)
            assert page.HEADERS.items() <= dict(answer.headers).items()
            assert len(await answer.read()) < 100_000
    async with phone.http.post("/page/claims", data={}) as answer:
        seen.append(answer.status)
        assert page.HEADERS.items() <= dict(answer.headers).items()
    assert [303, 200, 401, 404, 403] == seen
    assert "no-store" == page.HEADERS["Cache-Control"]
    assert "default-src 'none'" in page.HEADERS["Content-Security-Policy"]


async def test_static_files_are_kept_for_ever_under_a_name_of_their_content(
    here: Site, phone: Phone
) -> None:
    """A new style sheet has a new name, so a phone never asks twice."""
    html = await phone.enter(await here.world.member())
    for link, kind in zip(re.findall(r'<link rel="[a-z]+" href="([^"]+)"', html), ("svg", "css")):
        async with phone.http.get(link) as answer:
            assert 200 == answer.status
            assert kind in answer.content_type
            assert "public, max-age=31536000, immutable" == answer.headers["Cache-Control"]
            assert "nosniff" == answer.headers["X-Content-Type-Options"]


async def test_the_page_needs_no_script_and_no_inline_style(here: Site, phone: Phone) -> None:
    """The policy would stop them."""
    html = await phone.enter(await platinum(here))
    assert None is re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", html)


async def test_no_recipient_and_no_customer_stands_on_the_page(here: Site, phone: Phone) -> None:
    """What was typed goes to the provider; who the member is goes nowhere."""
    member = await platinum(here)
    html = await phone.enter(member)
    _, after = await phone.send(form_of(html, "LOUNGE"))
    _, later = await phone.get("/page")
    for text in (html, after, later):
        assert [] == [s for s in (PHONE, "T000001", str(member), member.hex) if s in text]


async def test_the_page_tells_tier_reason_progress_and_last_days(here: Site, phone: Phone) -> None:
    """English: the day before the half-open end is the last day, and amounts are exact."""
    member = await platinum(here)
    line = AssetLine("T000001", date(2025, 7, 1), "DEPOSIT", "CNY", 3_812_345_67)
    await here.world.assets([line])
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


async def test_the_page_speaks_chinese(here: Site, phone: Phone) -> None:
    """Amounts, dates and states as a Chinese reader writes them."""
    html = await phone.enter(await platinum(here), "zh")
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


async def test_the_language_is_the_address_then_the_browsers_then_chinese(
    here: Site, phone: Phone
) -> None:
    """A switch stands on every page."""
    await phone.enter(await here.world.member(), None)
    for path, accept, lang, other in (
        ("/page", "", "zh-CN", "en"),
        ("/page", "fr, en-GB;q=0.9, zh;q=0.8", "en", "zh"),
        ("/page?lang=zh", "en", "zh-CN", "en"),
        ("/page?lang=xx", "en", "en", "zh"),
        ("/page/nothing?lang=en", "zh", "en", "zh"),
    ):
        _, html = await phone.get(path, headers={"Accept-Language": accept})
        assert f'<html lang="{lang}">' in html
        assert f'href="/page?lang={other}"' in html


async def test_a_new_member_is_told_what_comes(here: Site, phone: Phone) -> None:
    """Nothing evaluated, nothing known, nothing granted: each is said."""
    html = await phone.enter(await here.world.member())
    for words in (
        "Base",
        "June 2025 is still being evaluated; your tier may change.",
        "No day of July 2025 is known yet.",
        "Keep at least CN¥50,000 on each remaining day of July 2025",
        "You have no benefits yet. They come with your tier.",
    ):
        assert words in html


async def test_progress_says_certain_out_of_reach_and_highest(here: Site, phone: Phone) -> None:
    """The three cases without a level to keep."""
    world = here.world
    certain, late = await world.members(2)
    lines = [("T000001", date(2025, 7, 1), 50_000_00 * 31), ("T000002", date(2025, 7, 31), 1)]
    world.clock.forward(days=30)
    await world.assets([AssetLine(n, d, "DEPOSIT", "CNY", minor) for n, d, minor in lines])
    sentence = "The balances of July 2025 suffice: you will be Gold from 1 August 2025."
    assert sentence in await phone.enter(certain)
    assert "Gold is out of reach for July 2025;" in await phone.enter(late)
    private = await platinum(here, 10_000_000_00)
    assert "This is the highest tier." in await phone.enter(private)


async def test_a_spent_benefit_stays_and_says_when_new_units_come(
    here: Site, phone: Phone
) -> None:
    """None left is an explanation, not an absence, while in use and afterwards."""
    html = await phone.enter(await platinum(here))
    form = form_of(html, "LOUNGE")
    for _ in range(2):
        _, html = await phone.send(form | {"key": uuid4().hex})
    words = ["Nothing left to claim.", "New units come on 1 October 2025"]
    assert ["LOUNGE"] == [
        f["benefit"] for f in Form(html).forms if f["benefit"] != "VIDEO"
    ] or all(w in html for w in [*words, "2 in use for a claim under way"])
    await here.world.rows(
        "UPDATE lot SET remaining = 0, held = 0 WHERE unit = 'BENEFIT:LOUNGE' RETURNING 1"
    )
    _, html = await phone.get("/page?lang=en")
    assert all(w in html for w in [*words, "Airport lounge"])
    assert ["VIDEO"] == [form["benefit"] for form in Form(html).forms]


async def test_hostile_names_are_only_text(here: Site, phone: Phone) -> None:
    """Whatever a programme's author writes, no tag of it reaches the page as a tag."""
    programme = reference_programme()
    bad = {lang: '"><script>alert(1)</script>%(x)s{{ 7*7 }}' for lang in ("zh", "en")}
    swap = msgspec.structs.replace
    programme = swap(
        programme,
        name=bad,
        tier=tuple(swap(tier, name=bad) for tier in programme.tier),
        benefit=tuple(
            swap(b, name=bad, about=bad, recipient=('"><script>x',)) for b in programme.benefit
        ),
    )
    await here.world.apply(programme)
    html = await phone.enter(await platinum(here))
    assert "<script" not in html
    assert "49" not in re.sub(r'value="[^"]*"', "", html)
    form = form_of(html, "LOUNGE")
    assert PHONE == form['recipient."><script>x']
    status, html = await phone.send(form)
    assert (200, False) == (status, "<script" in html)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;%(x)s{{ 7*7 }}. You can follow it" in html


async def test_a_benefit_no_longer_offered_keeps_its_claims_on_the_page(
    here: Site, phone: Phone
) -> None:
    """The list tells it by its code, and its old form is refused in words."""
    html = await phone.enter(await platinum(here))
    form = form_of(html, "LOUNGE")
    await phone.send(form)
    programme = reference_programme()
    await here.world.apply(
        msgspec.structs.replace(
            programme,
            benefit=tuple(b for b in programme.benefit if b.code != "LOUNGE"),
            line=tuple(line for line in programme.line if line.benefit != "LOUNGE"),
        )
    )
    _, html = await phone.send(form | {"key": uuid4().hex})
    assert "This benefit is no longer offered." in html
    assert '<p class="what">LOUNGE</p>' in html


def test_every_state_and_every_refusal_of_a_claim_has_words() -> None:
    """A customer never reads a code."""
    assert {state.value for state in OrderState} == set(shown.STATE_WORDS)
    kinds = [
        kind
        for module in (claim, entitlement, ledger)
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Refusal)
        and kind.__module__ == module.__name__
    ]
    assert {kind.code for kind in (*kinds, KeyConflict)} == set(page.REFUSED_WORDS)


def _messages() -> set[str]:
    """Return every message the page's templates and modules say."""
    found = set[str]()
    sources = [(path, "jinja2.ext:babel_extract") for path in tongue.HERE.glob("templates/*")]
    sources += [(path, "python") for path in tongue.HERE.glob("*.py")]
    for path, how in sources:
        text = BytesIO(path.read_bytes())
        keywords: Any = {"_": None, "n_": None}
        options = {"trim_blocks": "true", "lstrip_blocks": "true"}
        for _, message, *_ in extract(how, text, keywords=keywords, options=options):
            assert isinstance(message, str)
            found.add(message)
    return found


def _catalogue(language: str) -> Catalog:
    path = Path(tongue.HERE, "locales", language, "LC_MESSAGES", "page.po")
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def test_every_message_exists_in_chinese_with_the_same_blanks() -> None:
    """And no catalogue translates what nobody says."""
    said = _messages()
    assert len(said) > 60
    assert set() == {str(m.id) for m in _catalogue("en") if m.id} - said
    chinese = {str(m.id): str(m.string) for m in _catalogue("zh") if m.id}
    assert said == set(chinese)
    blank = re.compile(r"%\(\w+\)s")
    for message, text in chinese.items():
        assert text
        assert sorted(blank.findall(message)) == sorted(blank.findall(text))


def test_amounts_are_exact_in_both_languages() -> None:
    """The fraction is left out only where there is none; another currency keeps its digits."""
    programme = reference_programme()
    english, chinese = tongue.TONGUES["en"], tongue.TONGUES["zh"]
    assert "CN¥50,000" == english.money(50_000_00, programme)
    assert "¥1,234,567.80" == chinese.money(1_234_567_80, programme)
    assert "CN¥0.05" == english.money(5, programme)
    assert "¥92,233,720,368,547,758.07" == chinese.money(2**63 - 1, programme)
    dinar = msgspec.structs.replace(programme, currency="KWD", minor_digits=3)
    assert "KWD\N{NO-BREAK SPACE}1.005" == english.money(1005, dinar)


async def test_the_clock_of_the_page_is_the_programmes_zone(here: Site, phone: Phone) -> None:
    """A claim just after midnight in Shanghai shows the new day there."""
    member = await platinum(here)
    here.world.clock.now += timedelta(hours=12)
    html = await phone.enter(member)
    _, html = await phone.send(form_of(html, "LOUNGE"))
    assert "3 July 2025 00:00" in html
