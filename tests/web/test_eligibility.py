"""Who may claim what over real HTTP, and on the page: reasons, consents, populations."""

import re
from datetime import date
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from benefits.actions.record_members import record_members
from benefits.domain.members import PERSON, MemberLine, Person
from benefits.domain.programme_file import read
from tests.actions.test_eligibility import CONSENT, asking
from tests.builders import MEMBER_KEY, PROGRAMME
from tests.web.phone import Phone, claims_of, form_of, platinum
from tests.web.site import Site
from tests.web.test_mobile import WISH

OLD = "{ all = [ { age = { at_least = 60 } }, { channel = { in = ['MOBILE', 'WECHAT'] } } ] }"


async def told(running: Site, nth: int, born_on: date | None) -> None:
    """Let the customer file say when a member was born."""
    line = MemberLine(
        running.world.name(nth), date(2020, 1, 1), person=Person(PERSON[:1], born_on)
    )
    async with running.world.database.transaction() as conn:
        await record_members(conn, [(2, line)], running.world.parts, member_key=MEMBER_KEY)


async def get(running: Site, path: str, key: str) -> tuple[int, Any]:
    """Ask, and return the status and the body."""
    async with (
        aiohttp.ClientSession(running.url) as http,
        http.get(path, headers={"Authorization": f"Bearer {key}"}) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def eligibility(running: Site, member: UUID, channel: str = "") -> Any:
    """Ask for a member's eligibility to a video."""
    path = f"/v1/members/{member}/eligibility?benefit=VIDEO"
    path += f"&channel={channel}" if channel else ""
    status, body = await get(running, path, running.mobile_key)
    assert 200 == status
    return body


async def test_eligibility_is_explained_condition_by_condition(running: Site) -> None:
    """What holds, what does not and from when on it does, what is not known; then it claims."""
    await running.world.apply(asking(OLD, consent=True))
    member = await platinum(running)
    body = await eligibility(running, member)
    assert (False, "unknown") == (body["may_claim"], body["claim"]["holds"])
    assert ["unknown", "unknown"] == [one["holds"] for one in body["claim"]["conditions"]]
    assert (
        "Needs an age of at least 60 years (the date of birth is not known)."
        == (body["claim"]["why"]["en"])
    )
    await told(running, 1, date(1965, 7, 9))
    body = await eligibility(running, member, "MOBILE")
    assert [("all[0].age", "no"), ("all[1].channel", "yes")] == [
        (one["path"], one["holds"]) for one in body["claim"]["conditions"]
    ]
    assert "（2025年7月9日起）" == body["claim"]["conditions"][0]["change"]["zh"]
    assert ("phone", False) == (body["consent"]["purpose"], body["consent"]["given"])
    path = f"/v1/members/{member}/claims"
    wish = {**WISH, "benefit": "VIDEO", "recipient": {"phone": "13800000001"}}
    status, refusal = await running.post(path, wish, running.mobile_key)
    assert (409, "consent_required") == (status, refusal["code"])
    said = {"purpose": "phone", "provider": "sandbox", "given": True}
    consents = f"/v1/members/{member}/consents"
    status, body = await running.post(consents, said, running.mobile_key)
    assert (200, {**said, "said_on": "2025-07-02"}) == (status, body)
    assert [{**said, "said_on": "2025-07-02"}] == (
        await get(running, consents, running.mobile_key)
    )[1]["consents"]
    status, refusal = await running.post(path, wish, running.mobile_key)
    assert (409, "not_eligible") == (status, refusal["code"])
    assert "Needs an age of at least 60 years (from 9 July 2025 on)." == refusal["detail"]
    await told(running, 1, date(1965, 7, 2))
    assert "not_eligible" == (await running.post(path, wish, running.mobile_key))[1]["code"]
    wish["channel"] = "WECHAT"
    assert 201 == (await running.post(path, wish, running.mobile_key))[0]
    wish["channel"] = "PIGEON"
    assert 400 == (await running.post(path, wish, running.mobile_key))[0]
    assert (await eligibility(running, member, "MOBILE"))["may_claim"]


async def test_the_rules_of_lines_are_explained_too(running: Site) -> None:
    """By the tier that the member has; a benefit without rules lets everybody in."""
    rule = "{ any = [ { tier = { at_least = 'DIAMOND' } }, { label = { is = 'FACT:payroll' } } ] }"
    await running.world.apply(asking(rule, on="line"))
    body = await eligibility(running, await platinum(running))
    assert (True, None, None) == (body["may_claim"], body["claim"], body["consent"])
    (line,) = body["lines"]
    assert ("video", "PLATINUM", "no") == (line["line"], line["tier"], line["rule"]["holds"])
    assert "Needs tier Diamond or higher, or the label payroll." == line["rule"]["why"]["en"]
    await running.world.apply(asking("{ metric = { at_least = '7000000' } }", on="line"))
    (line,) = (await eligibility(running, UUID(body["member_id"])))["lines"]
    (metric,) = line["rule"]["conditions"]
    assert ("metric", "no", "（还差6,380,000.00）") == (
        metric["field"],
        metric["holds"],
        metric["change"]["zh"],
    )
    path = f"/v1/members/{body['member_id']}/eligibility?benefit=YACHT"
    assert 404 == (await get(running, path, running.mobile_key))[0]


async def test_a_population_is_counted_and_listed(running: Site) -> None:
    """Page by page, each member once; without a rule everybody who is there."""
    members = await running.world.members(5)
    for nth in (1, 3, 4):
        await told(running, nth, date(1960, 1, 1))
    path = "/v1/benefits/VIDEO/population"
    assert 5 == (await get(running, path, running.crm_key))[1]["count"]
    await running.world.apply(asking(OLD))
    assert 0 == (await get(running, path, running.crm_key))[1]["count"]
    found, cursor = list[str](), ""
    for expected in (3, None):
        query = f"{path}?channel=MOBILE&limit=2{cursor}"
        status, body = await get(running, query, running.crm_key)
        assert (200, expected) == (status, body["count"])
        found += body["members"]
        cursor = f"&cursor={body['next']}"
    assert {str(members[nth]) for nth in (0, 2, 3)} == set(found)
    assert (3, None) == (len(found), body["next"])
    assert 404 == (await get(running, "/v1/benefits/YACHT/population", running.crm_key))[0]


@pytest.mark.parametrize(
    ("language", "reason", "whom"),
    [
        (
            "en",
            "Needs an age of at least 60 years (from 9 July 2025 on).",
            "those with: an age of at least 60 years, and a claim by the mobile bank or WeChat.",
        ),
        (
            "zh",
            "需满足：年龄满60周岁（2025年7月9日起）。",
            "领取条件：年龄满60周岁，且通过手机银行或微信领取。",
        ),
    ],
)
async def test_the_page_says_why_not(
    running: Site, phone: Phone, language: str, reason: str, whom: str
) -> None:
    """Whoever is not let in finds the reason in place of the form, and nowhere runs into it."""
    await running.world.apply(asking(OLD))
    member = await platinum(running)
    await phone.enter(member)
    form = await phone.fill("LOUNGE")
    await told(running, 1, date(1965, 7, 9))
    _, html = await phone.get(f"/page/benefits/VIDEO?lang={language}")
    assert reason in html
    assert whom in html
    assert 'name="benefit"' not in html
    _, html = await phone.get(f"/page?lang={language}")
    assert reason in html
    _, html = await phone.post("/page/claims/review?lang=en", form | {"benefit": "VIDEO"})
    assert "This benefit is not for you at the moment; the reason stands here." in html
    running.world.clock.forward(minutes=1)
    await told(running, 1, date(1965, 7, 2))
    _, html = await phone.send(await phone.review("VIDEO"))
    assert "Your claim is accepted." in html


async def test_the_page_asks_for_the_consent_and_claims(running: Site, phone: Phone) -> None:
    """Its text stands in the form; unticked nothing is claimed, ticked it is recorded, once."""
    await running.world.apply(asking(consent=True))
    await phone.enter(await platinum(running))
    form = await phone.fill("VIDEO")
    assert "phone" == form["consent"]
    _, html = await phone.get("/page/benefits/VIDEO?lang=zh")
    assert "同意将手机号提供给供应商。" in html
    assert "My number may go to the provider." in CONSENT
    unticked = {name: text for name, text in form.items() if name != "consent"}
    status, html = await phone.post("/page/claims/review?lang=en", unticked)
    assert 422 == status
    assert "Please agree to what this benefit needs, then claim again." in html
    status, review = await phone.post("/page/claims/review?lang=en", form)
    assert (200, True) == (status, "My number may go to the provider." in review)
    assert [] == await running.world.rows("SELECT 1 FROM consent")
    confirmed = form_of(review, "VIDEO")
    for _ in range(2):
        _, html = await phone.send(confirmed)
        assert "Your claim is accepted." in html
    assert [("VIDEO", 1, "HELD")] == await claims_of(running)
    assert [("phone", "sandbox", True, "system:page")] == await running.world.rows(
        "SELECT purpose, provider, is_given, actor FROM consent"
    )
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    assert not re.search('name="consent"', html)
    _, html = await phone.send(await phone.review("VIDEO"))
    assert "Your claim is accepted." in html


async def test_a_claim_without_the_consent_is_sent_back(running: Site, phone: Phone) -> None:
    """A form whose consent was left out says what is missing; nothing is recorded of it."""
    await running.world.apply(asking(consent=True))
    await phone.enter(await platinum(running))
    review = await phone.review("VIDEO")
    del review["consent"]
    _, html = await phone.send(review)
    assert "Please agree to what this benefit needs, then claim again." in html
    assert [] == await claims_of(running)


async def test_after_a_contract_what_replaces_the_benefit_lets_in(running: Site) -> None:
    """V-6, E-1: the reason that is told is the one by which a claim is refused."""
    ends = """contract_end = 2025-06-30
replacement = "CAR"
"""
    car = """
[[benefit]]
code = "CAR"
name = { zh = "接送", en = "Car" }
kind = "BOOKING"
provider = "sandbox"
sku = "car"
cost = "38.00"
consumed = "USE"
budget = "lounge"
recipient = ["phone"]
draws = "LOUNGE"
eligible = { age = { at_least = 60 } }

[[line]]"""
    text = PROGRAMME.replace('sku = "lounge-visit"\n', f'sku = "lounge-visit"\n{ends}')
    await running.world.apply(read(text.replace("\n[[line]]", car, 1)))
    member = await platinum(running)
    path = f"/v1/members/{member}/eligibility?benefit=LOUNGE"
    _, body = await get(running, path, running.mobile_key)
    assert (False, "age") == (body["may_claim"], body["claim"]["conditions"][0]["field"])
    status, problem = await running.post(f"/v1/members/{member}/claims", WISH, running.mobile_key)
    assert (409, "not_eligible") == (status, problem["code"])
    path = "/v1/benefits/LOUNGE/population"
    assert 0 == (await get(running, path, running.crm_key))[1]["count"]
