"""The benefits page over real HTTP: entry, session, form, and what it never shows."""

import asyncio
import logging
import re
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from benefits.domain.orders import Done
from benefits.store.db import rows
from benefits.web.page import frame
from tests.actions.life import call_back, number_of
from tests.actions.merging import merged
from tests.builders import NOON
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
    assert "This link works once, within a minute." in html
    assert "M24 13v15M24 34v.5" in html
    assert "Back to your benefits" not in html
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
        assert (401, True) == (status, "链接已失效" in html)
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


async def test_a_claim_is_reviewed_confirmed_and_followed(running: Site, phone: Phone) -> None:
    """Form, review, redirect, the claim's own view; nothing is claimed before the last step."""
    await phone.enter(await platinum(running))
    status, review = await phone.post("/page/claims/review?lang=en", await phone.fill("LOUNGE"))
    assert 200 == status
    for words in ("Please check", "Airport lounge", "Sandbox", PHONE, "1 of 2", "Nothing is cla"):
        assert words in review
    assert [] == await claims_of(running)
    form = form_of(review, "LOUNGE")
    async with phone.http.post("/page/claims", data=form, allow_redirects=False) as answer:
        assert 303 == answer.status
        place = answer.headers["Location"]
    assert form["key"] not in place
    assert re.fullmatch(r"/page/claims/[0-9a-f-]{36}\?lang=zh&new=1#notice", place)
    status, html = await phone.get(place.replace("lang=zh", "lang=en"))
    assert 200 == status
    assert 'role="status" tabindex="-1" autofocus' in html
    assert "Your claim is accepted." in html
    assert '<p class="state wait">Accepted</p>' in html
    _, html = await phone.get("/page?lang=en")
    assert "In progress" in html
    assert [("LOUNGE", 1, "HELD")] == await claims_of(running)
    actors = await running.world.rows("SELECT actor FROM batch WHERE kind = 'claim.placed'")
    assert [("system:page",)] == actors


async def test_a_double_tap_is_one_claim(running: Site, phone: Phone) -> None:
    """The form's own key makes the second the first again, at once or later."""
    await phone.enter(await platinum(running))
    filled = await phone.fill("LOUNGE")
    _, review = await phone.post("/page/claims/review?lang=en", filled)
    form = form_of(review, "LOUNGE")
    assert filled["key"] == form["key"]
    both = await asyncio.gather(phone.send(form), phone.send(form))
    later = await phone.send(form)
    for status, html in (*both, later):
        assert (200, True) == (status, "Your claim is accepted." in html)
    assert [("LOUNGE", 1, "HELD")] == await claims_of(running)


async def test_a_form_of_another_session_is_refused(running: Site, phone: Phone) -> None:
    """Without the session's own token nothing is claimed, and the page says so in words."""
    member = await platinum(running)
    await phone.enter(member)
    form = await phone.review("LOUNGE")
    async with running.browser() as http:
        other = Phone(running, http)
        await other.enter(member)
        foreign = await other.fill("LOUNGE")
    for token in ("", "00", "zz", "é", foreign["token"]):
        for path in ("/page/claims?lang=en", "/page/claims/review?lang=en"):
            status, html = await phone.post(path, form | {"token": token})
            assert (403, True) == (status, "This form is no longer valid" in html)
    del form["token"]
    assert 403 == (await phone.send(form))[0]
    assert [] == await claims_of(running)


async def test_what_no_browser_sends_is_answered_as_a_page(running: Site, phone: Phone) -> None:
    """A body that is no form, a key that is none, and an address that is none."""
    await phone.enter(await platinum(running))
    form = await phone.review("LOUNGE")
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
    assert [] == await claims_of(running)


async def test_whatever_goes_wrong_below_the_page_is_told_in_html(
    running: Site, phone: Phone
) -> None:
    """Unknown addresses and wrong methods too, which the router refuses, with strict headers."""
    await phone.enter(await running.world.member())
    for method, path, status in (
        ("GET", "/page/elsewhere", 404),
        ("GET", "/page/elsewhere/deeper", 404),
        ("GET", "/page/static/page.css", 404),
        ("GET", "/page/claims", 405),
        ("GET", "/page/claims/review", 405),
        ("GET", "/page/claims/none", 404),
        ("GET", f"/page/claims/{uuid4()}", 404),
        ("GET", "/page/benefits/NONE", 404),
        ("DELETE", "/page", 405),
        ("PUT", "/page/history", 405),
    ):
        for lang, title in (("zh", "页面不存在"), ("en", "There is nothing here")):
            async with phone.http.request(method, f"{path}?lang={lang}") as answer:
                html = await answer.text()
                assert (status, "text/html") == (answer.status, answer.content_type), path
                assert frame.HEADERS.items() <= dict(answer.headers).items(), path
                assert title in html, path
    async with phone.http.get("/pages") as answer:
        assert "application/problem+json" == answer.content_type


async def test_a_refusal_is_told_in_words(running: Site, phone: Phone) -> None:
    """An empty field, the limit of two a month, a form sent again with other details."""
    await phone.enter(await platinum(running))
    filled = await phone.fill("VIDEO")
    status, html = await phone.post(
        "/page/claims/review?lang=en", filled | {"recipient.phone": " "}
    )
    assert (422, True) == (status, "Please fill in every field of the form." in html)
    assert filled["key"] == form_of(html, "VIDEO")["key"]
    form = await phone.review("VIDEO")
    incomplete = form | {"key": uuid4().hex, "recipient.phone": " "}
    assert "Please fill in every field of the form." in (await phone.send(incomplete))[1]
    for _ in range(2):
        assert 200 == (await phone.send(form | {"key": uuid4().hex}))[0]
    status, html = await phone.send(form)
    assert 200 == status
    assert 'role="alert"' in html
    assert "You have reached the limit for this benefit in this period." in html
    assert "The limit of 2 is reached. From 1 August 2025 on you can claim again." in html
    status, html = await phone.send(form | {"recipient.phone": "13800000009"})
    assert "This form was sent before with other details." in html
    status, html = await phone.post("/page/claims/review?lang=en", filled)
    assert "You have reached the limit for this benefit in this period." in html
    _, html = await phone.get("/page/benefits/VIDEO?lang=zh&refused=cap_reached")
    assert "本期该权益的领取次数已达上限。" in html
    _, html = await phone.get("/page?lang=en&refused=<b>you</b>")
    assert 'id="notice"' not in html
    assert "<b>" not in html


async def test_a_phone_number_is_taken_as_people_write_it(running: Site, phone: Phone) -> None:
    """Spaces and hyphens go, a leading + stays; what is no number is refused with words."""
    await phone.enter(await platinum(running))
    filled = await phone.fill("VIDEO")
    for typed, sent in (
        ("138 1234 5678", "13812345678"),
        (" 138-1234-5678 ", "13812345678"),
        ("+852 9123-4567", "+85291234567"),
    ):
        _, html = await phone.post(
            "/page/claims/review?lang=en", filled | {"recipient.phone": typed}
        )
        assert sent == form_of(html, "VIDEO")["recipient.phone"]
    form = await phone.review("VIDEO")
    words = "Please enter an 11-digit mobile number, or + with the country&#39;s code."
    for typed in ("12345", "23812345678", "138123456789", "+123456", "1+3812345678", "x" * 11):
        wrong = {"key": uuid4().hex, "recipient.phone": typed}
        status, html = await phone.post("/page/claims/review?lang=en", filled | wrong)
        assert (422, True) == (status, words in html)
        assert typed == form_of(html, "VIDEO")["recipient.phone"]
        assert words in (await phone.send(form | wrong))[1]
    assert [] == await claims_of(running)
    _, html = await phone.get("/page/benefits/VIDEO?lang=zh&refused=phone_invalid")
    assert "请填写11位手机号码；境外号码请以+和国家代码开头。" in html


async def test_when_busy_the_same_form_can_be_sent_again(running: Site, phone: Phone) -> None:
    """Nothing was decided, so the key stays: however often it is sent, it is one claim."""
    member = await platinum(running)
    await phone.enter(member)
    form = await phone.review("LOUNGE")
    async with running.world.database.transaction() as conn:
        await rows(conn, "SELECT 1 FROM member WHERE member_id = $1 FOR UPDATE", member)
        status, html = await phone.send(form)
    assert (503, True) == (status, "Very busy at the moment" in html)
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
            assert frame.HEADERS.items() <= dict(answer.headers).items()
    async with phone.http.post("/page/claims", data={}) as answer:
        seen.append(answer.status)
        assert frame.HEADERS.items() <= dict(answer.headers).items()
    assert [303, 200, 401, 404, 403] == seen
    assert "no-store" == frame.HEADERS["Cache-Control"]
    policy = frame.HEADERS["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; connect-src 'self'" in policy
    assert "unsafe" not in policy


async def test_static_files_are_kept_for_ever_under_a_name_of_their_content(
    running: Site, phone: Phone
) -> None:
    """A new style sheet has a new name, so a phone never asks twice."""
    html = await phone.enter(await running.world.member())
    links = re.findall(r'(?:href|src)="(/page/static/[^"]+)"', html)
    for link, kind in zip(links, ("svg", "css", "javascript"), strict=True):
        async with phone.http.get(link) as answer:
            assert 200 == answer.status
            assert kind in answer.content_type
            assert "public, max-age=31536000, immutable" == answer.headers["Cache-Control"]
            assert "nosniff" == answer.headers["X-Content-Type-Options"]


async def test_the_page_has_one_script_of_ours_and_no_inline_code(
    running: Site, phone: Phone
) -> None:
    """The policy would stop anything else."""
    html = await phone.enter(await platinum(running))
    assert 1 == len(re.findall(r"<script", html))
    assert '<script type="module" src="/page/static/page-' in html
    assert None is re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?://", html)


async def test_no_recipient_and_no_customer_stands_on_the_page(
    running: Site, phone: Phone
) -> None:
    """What was typed goes to the provider; who the member is goes nowrunning."""
    member = await platinum(running)
    html = await phone.enter(member)
    _, after = await phone.send(await phone.review("LOUNGE"))
    _, later = await phone.get("/page")
    _, history = await phone.get("/page/history")
    for text in (html, after, later, history):
        assert [] == [s for s in (PHONE, "T000001", str(member), member.hex) if s in text]


async def test_a_benefit_that_nobody_offers_is_refused_in_words(
    running: Site, phone: Phone
) -> None:
    """A form that was tampered with ends in a sentence too."""
    await phone.enter(await platinum(running))
    form = await phone.review("LOUNGE")
    for path in ("/page/claims?lang=en", "/page/claims/review?lang=en"):
        _, html = await phone.post(path, form | {"benefit": "<b>"})
        assert "This benefit is no longer offered." in html


async def test_a_claim_is_shown_to_its_member_alone(running: Site, phone: Phone) -> None:
    """With somebody else's session there is no such claim, no state and no code."""
    await phone.enter(await platinum(running))
    await phone.send(await phone.review("LOUNGE"))
    ((claim_id,),) = await running.world.rows("SELECT claim_id FROM claim")
    async with running.browser() as http:
        stranger = Phone(running, http)
        await stranger.enter(await platinum(running))
        token = (await stranger.fill("LOUNGE"))["token"]
        for path in (f"/page/claims/{claim_id}", f"/page/claims/{claim_id}/live"):
            assert 404 == (await stranger.get(path))[0]
            assert 200 == (await phone.get(path))[0]
        code = f"/page/claims/{claim_id}/code"
        assert 404 == (await stranger.post(code, {"token": token}))[0]
    async with running.browser() as http:
        assert 401 == (await Phone(running, http).get(f"/page/claims/{claim_id}"))[0]


async def test_a_merged_customers_phone_shows_the_member(running: Site, phone: Phone) -> None:
    """A session from before goes on, with the order that was placed and what the other has."""
    a, b = await platinum(running), await platinum(running)
    await phone.enter(b)
    await phone.send(await phone.review("LOUNGE"))
    ((claim_id,),) = await running.world.rows("SELECT claim_id FROM claim")
    await merged(running.world, b, a)
    status, html = await phone.get(f"/page/claims/{claim_id}?lang=en")
    assert (200, True) == (status, "Airport lounge" in html)
    await phone.send(await phone.review("LOUNGE"))
    claims = await running.world.rows("SELECT member_id FROM claim ORDER BY claimed_at, claim_id")
    assert {a, b} == {row.member_id for row in claims}
    _, history = await phone.get("/page/history?lang=en")
    assert "Another of your customer numbers is one with this one now" in history
    assert "Taken over from another of your customer numbers: 1" in history
    _, chinese = await phone.get("/page/history?lang=zh")
    assert "您的另一客户号已与本客户号合并" in chinese
    number = await number_of(running.world, claim_id)
    await call_back(running.world, number, Done(at=NOON, code="4829-1355"))
    form = {"token": (await phone.fill("LOUNGE"))["token"]}
    status, html = await phone.post(f"/page/claims/{claim_id}/code", form)
    assert (200, True) == (status, "4829-1355" in html)
    assert [] == await running.world.findings()


async def test_a_higher_tier_by_a_merger_is_explained(running: Site, phone: Phone) -> None:
    """On the page and in the history, in both languages."""
    a, b = await running.world.member(), await platinum(running)
    await merged(running.world, b, a)
    running.world.clock.forward(seconds=1)
    html = await phone.enter(a)
    assert "Two customer numbers of yours became one" in html
    _, chinese = await phone.get("/page?lang=zh")
    assert "您的两个客户号已合并" in chinese
    _, history = await phone.get("/page/history?lang=en")
    assert "Platinum: the higher tier of your two customer numbers" in history


async def test_a_code_is_shown_to_a_tap_and_each_tap_is_on_record(
    running: Site, phone: Phone, caplog: pytest.LogCaptureFixture
) -> None:
    """Not on the page, in its live part, at an address or in a log; never without a token."""
    caplog.set_level(logging.DEBUG)
    await phone.enter(await platinum(running))
    await phone.send(await phone.review("LOUNGE"))
    ((claim_id,),) = await running.world.rows("SELECT claim_id FROM claim")
    place = f"/page/claims/{claim_id}"
    token = (await phone.fill("LOUNGE"))["token"]
    status, html = await phone.post(f"{place}/code?lang=en", {"token": token})
    assert (409, True) == (status, "There is no code to show" in html)
    number = await number_of(running.world, claim_id)
    await call_back(running.world, number, Done(at=NOON, code="4829-1355"))
    for path in (place, f"{place}/live", f"{place}/code", "/page", "/page/history"):
        status, html = await phone.get(f"{path}?lang=en")
        assert (200, False) == (status, "4829-1355" in html)
    assert [] == await running.world.rows("SELECT 1 FROM code_reading")
    assert 403 == (await phone.post(f"{place}/code?lang=en", {"token": "00"}))[0]
    status, html = await phone.post(f"{place}/code?lang=en", {"token": token})
    assert (200, True) == (status, "4829-1355" in html)
    assert "Shown once, on 2 July 2025 12:00" in html
    assert "data-final" in html
    status, html = await phone.post(f"{place}/code?lang=en", {"token": token})
    assert (200, False) == (status, "4829-1355" in html)  # as a double tap, or a lost connection
    assert "I did not get to see it: show it again" in html
    assert [("system:page",)] == await running.world.rows("SELECT actor FROM code_reading")
    await running.world.rows("UPDATE claim SET code_sealed = 'broken'::bytea RETURNING 1")
    again = {"token": token, "again": "NOT_ARRIVED"}
    with capture_logs() as logged:
        status, html = await phone.post(f"{place}/code?lang=en", again)
    assert (500, True) == (status, "Something went wrong on our side" in html)
    assert logged[0]["incident"] in html
    assert "4829-1355" not in f"{html} {logged} {caplog.text}"
