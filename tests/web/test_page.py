"""The benefits page over real HTTP: entry, session, form, and what it never shows."""

import asyncio
import re
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from benefits.store.db import rows
from benefits.web import page
from tests.web.phone import PHONE, Phone, claims_of, form_of, platinum
from tests.web.site import Site

CODE = re.compile(r"[A-Za-z0-9_-]{64}")


async def test_a_code_enters_only_once(running: Site, phone: Phone) -> None:
    """Whoever finds the address in a history or a log finds it used."""
    url = await running.page_url(await running.world.member(), "en")
    assert 200 == (await phone.get(url))[0]
    async with running.browser() as another:
        status, html = await Phone(running, another).get(url)
        assert (401, 0) == (status, len(another.cookie_jar))
    assert "This page has expired" in html
    assert 200 == (await phone.get("/page"))[0]


async def test_of_two_who_bring_a_code_at_once_one_enters(running: Site) -> None:
    """The code is used up in one statement."""
    url = await running.page_url(await running.world.member())

    async def enter() -> int:
        async with running.browser() as http:
            return (await Phone(running, http).get(url))[0]

    assert [200, 401, 401, 401] == sorted(await asyncio.gather(*(enter() for _ in range(4))))


async def test_a_code_lives_for_sixty_seconds(running: Site, phone: Phone) -> None:
    """At the sixtieth second it is too late."""
    member = await running.world.member()
    late, early = await running.page_url(member), await running.page_url(member)
    running.world.clock.forward(seconds=59)
    assert 200 == (await phone.get(early))[0]
    running.world.clock.forward(seconds=1)
    assert 401 == (await phone.get(late))[0]


async def test_a_code_that_was_not_given_out_enters_nothing(running: Site, phone: Phone) -> None:
    """Another secret for the same session, another session, and nonsense are all the same."""
    code = parse_qs(urlsplit(await running.page_url(await running.world.member())).query)["code"][
        0
    ]
    for wrong in (code[:-4] + "AAAA", "A" * 64, code[:63], code + "=", "", "é" * 64, "%00" * 64):
        status, html = await phone.get("/page/enter", params={"code": wrong, "lang": "zh"})
        assert (401, True) == (status, "页面已失效" in html)
    assert 200 == (await phone.get(f"/page/enter?code={code}"))[0]


async def test_the_cookie_is_for_the_page_alone(running: Site, phone: Phone) -> None:
    """No script reads it, no other site's form sends it, no plain connection carries it."""
    member = await running.world.member()
    flags = {"HttpOnly", "Path=/page", "SameSite=lax"}
    for host, more in (("", set[str]()), ("page.bank.example", {"Secure"})):
        url = await running.page_url(member)
        headers = {"Host": host} if host else {}
        async with phone.http.get(url, headers=headers, allow_redirects=False) as answer:
            assert (303, "/page?lang=zh") == (answer.status, answer.headers["Location"])
            value, *rest = answer.headers["Set-Cookie"].split("; ")
        assert flags | more == set(rest)
        assert CODE.fullmatch(value.removeprefix("benefits_page="))


async def test_only_hashes_of_code_and_cookie_are_stored(running: Site, phone: Phone) -> None:
    """What the database holds opens no page."""
    url = await running.page_url(await running.world.member())
    code = parse_qs(urlsplit(url).query)["code"][0]
    await phone.get(url)
    ((stored,),) = await running.world.rows("SELECT page_session::text FROM page_session")
    for secret in (code, phone.cookie):
        assert secret not in stored
        assert secret.encode().hex() not in stored
    assert code != phone.cookie


async def test_a_session_ends_after_thirty_minutes_whatever_is_done(
    running: Site, phone: Phone
) -> None:
    """Looking at the page does not prolong it."""
    await phone.enter(await running.world.member())
    running.world.clock.forward(minutes=29, seconds=59)
    assert 200 == (await phone.get("/page"))[0]
    running.world.clock.forward(seconds=1)
    status, html = await phone.get("/page?lang=en")
    assert (401, True) == (status, "Please open it again from the bank&#39;s app." in html)
    status, html = await phone.send({"token": "", "key": "k", "benefit": "LOUNGE"})
    assert (401, True) == (status, "This page has expired" in html)


async def test_a_page_session_is_opened_by_the_mobile_backend_alone(running: Site) -> None:
    """Scope, Idempotency-Key, member and language are checked, and told as problems."""
    path, body = "/v1/page-sessions", {"member_id": str(await running.world.member())}
    assert 403 == (await running.post(path, body, running.crm_key))[0]
    assert 401 == (await running.post(path, body, "bk_nobody"))[0]
    status, answer = await running.post(path, {"member_id": str(uuid4())}, running.mobile_key)
    assert (404, "unknown_member") == (status, answer["code"])
    assert 400 == (await running.post(path, body | {"language": "fr"}, running.mobile_key))[0]
    headers = running.headers(running.mobile_key)
    del headers["Idempotency-Key"]
    async with (
        running.browser() as http,
        http.post(path, json=body, headers=headers) as unkeyed,
    ):
        assert 400 == unkeyed.status
        assert "idempotency_key_invalid" == (await unkeyed.json(content_type=None))["code"]
    status, answer = await running.post(path, body, running.mobile_key)
    assert (201, "2025-07-02T04:01:00Z") == (status, answer["expires_at"])


async def test_a_claim_is_made_with_the_form_and_followed_on_the_page(
    running: Site, phone: Phone
) -> None:
    """Form in, redirect, notice, order in the list, units counted as in use."""
    html = await phone.enter(await platinum(running))
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
    assert [("LOUNGE", 1, "HELD")] == await claims_of(running)
    actors = await running.world.rows("SELECT actor FROM batch WHERE kind = 'claim.placed'")
    assert [("system:page",)] == actors


async def test_a_double_tap_is_one_claim(running: Site, phone: Phone) -> None:
    """The form's own key makes the second the first again, at once or later."""
    form = form_of(await phone.enter(await platinum(running)), "LOUNGE")
    both = await asyncio.gather(phone.send(form), phone.send(form))
    later = await phone.send(form)
    for status, html in (*both, later):
        assert (200, True) == (status, "Claim accepted: Airport lounge." in html)
    assert [("LOUNGE", 1, "HELD")] == await claims_of(running)


async def test_a_form_of_another_session_is_refused(running: Site, phone: Phone) -> None:
    """Without the session's own token nothing is claimed, and the page says so in words."""
    member = await platinum(running)
    form = form_of(await phone.enter(member), "LOUNGE")
    async with running.browser() as http:
        foreign = form_of(await Phone(running, http).enter(member), "LOUNGE")
    for token in ("", "00", "zz", "é", foreign["token"]):
        status, html = await phone.send(form | {"token": token})
        assert (403, True) == (status, "This form is no longer valid" in html)
    del form["token"]
    assert 403 == (await phone.send(form))[0]
    assert [] == await claims_of(running)


async def test_what_no_browser_sends_is_answered_as_a_page(running: Site, phone: Phone) -> None:
    """A body that is no form, a key that is none, and an address that is none."""
    form = form_of(await phone.enter(await platinum(running)), "LOUNGE")
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
    assert [] == await claims_of(running)


async def test_a_refusal_is_told_in_words(running: Site, phone: Phone) -> None:
    """An empty field, the limit of two a month, a form sent again with other details."""
    html = await phone.enter(await platinum(running))
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


async def test_when_busy_the_same_form_can_be_sent_again(running: Site, phone: Phone) -> None:
    """Nothing was decided, so the key stays: however often it is sent, it is one claim."""
    member = await platinum(running)
    form = form_of(await phone.enter(member), "LOUNGE")
    async with running.world.database.transaction() as conn:
        await rows(conn, "SELECT 1 FROM member WHERE member_id = $1 FOR UPDATE", member)
        status, html = await phone.send(form)
    assert (503, True) == (status, "Very busy at the moment" in html)
    assert PHONE not in html
    again = form_of(html, "LOUNGE")
    assert form == again
    assert 200 == (await phone.send(again))[0]
    assert 200 == (await phone.send(form))[0]
    assert [("LOUNGE", 1, "HELD")] == await claims_of(running)


async def test_every_answer_is_locked_down_and_never_kept(running: Site, phone: Phone) -> None:
    """Page, redirect, refusals and unknown addresses carry the same headers."""
    member = await running.world.member()
    seen = list[int]()
    for path in (await running.page_url(member), "/page", "/page/enter?code=x", "/page/nothing"):
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
    running: Site, phone: Phone
) -> None:
    """A new style sheet has a new name, so a phone never asks twice."""
    html = await phone.enter(await running.world.member())
    links = re.findall(r'<link rel="[a-z]+" href="([^"]+)"', html)
    for link, kind in zip(links, ("svg", "css"), strict=True):
        async with phone.http.get(link) as answer:
            assert 200 == answer.status
            assert kind in answer.content_type
            assert "public, max-age=31536000, immutable" == answer.headers["Cache-Control"]
            assert "nosniff" == answer.headers["X-Content-Type-Options"]


async def test_the_page_needs_no_script_and_no_inline_style(running: Site, phone: Phone) -> None:
    """The policy would stop them."""
    html = await phone.enter(await platinum(running))
    assert None is re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", html)


async def test_no_recipient_and_no_customer_stands_on_the_page(
    running: Site, phone: Phone
) -> None:
    """What was typed goes to the provider; who the member is goes nowrunning."""
    member = await platinum(running)
    html = await phone.enter(member)
    _, after = await phone.send(form_of(html, "LOUNGE"))
    _, later = await phone.get("/page")
    for text in (html, after, later):
        assert [] == [s for s in (PHONE, "T000001", str(member), member.hex) if s in text]


async def test_a_benefit_that_nobody_offers_is_refused_in_words(
    running: Site, phone: Phone
) -> None:
    """A form that was tampered with ends in a sentence too."""
    form = form_of(await phone.enter(await platinum(running)), "LOUNGE")
    _, html = await phone.send(form | {"benefit": "<b>"})
    assert "This benefit is no longer offered." in html
