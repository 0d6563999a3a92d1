"""Companions over real HTTP, and on the page: asked for, shown before, claimed and told."""

import msgspec

from tests.actions.limiting import programme_of
from tests.web.phone import Phone, claims_of, form_of, platinum
from tests.web.site import Site
from tests.web.test_eligibility import get
from tests.web.test_mobile import WISH

ALONG = {"PLATINUM": 1}


async def test_a_claim_names_companions(running: Site) -> None:
    """Too many are refused in the caller's terms; the claim counts all pieces."""
    await running.world.apply(programme_of(companions=ALONG))
    member = await platinum(running)
    _, seen = await get(running, f"/v1/members/{member}/benefits", running.mobile_key)
    assert {"LOUNGE": {}, "VIDEO": ALONG} == {
        each["code"]: each["companions"] for each in seen["benefits"]
    }
    path = f"/v1/members/{member}/claims"
    wish = {**WISH, "benefit": "VIDEO", "companions": 2}
    status, refusal = await running.post(path, wish, running.mobile_key)
    assert (409, "guest_limit") == (status, refusal["code"])
    assert "Companions who can come along: 1." == refusal["detail"]
    status, placed = await running.post(path, {**wish, "companions": 1}, running.mobile_key)
    assert 201 == status
    status, claim = await get(running, f"/v1/claims/{placed['id']}", running.mobile_key)
    assert (200, 2, "HELD") == (status, claim["quantity"], claim["state"])


async def test_the_page_offers_companions_and_claims_for_all(running: Site, phone: Phone) -> None:
    """As many as the tier brings and units are there for; what is sent beyond is shown again."""
    await running.world.apply(programme_of(companions=ALONG))
    await phone.enter(await platinum(running))
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    assert '<select id="companions" name="companions"' in html
    assert "Platinum: up to 1." in html
    _, chinese = await phone.get("/page/benefits/VIDEO?lang=zh")
    assert "同行人" in chinese
    assert "每位同行人与您本人占用相同份数。" in chinese
    form = form_of(html, "VIDEO")
    for wrong in ("2", "many"):
        status, html = await phone.post(
            "/page/claims/review?lang=en", form | {"companions": wrong}
        )
        assert 422 == status
        assert "Your tier does not bring so many companions along." in html
    status, html = await phone.post("/page/claims/review?lang=en", form | {"companions": "1"})
    assert 200 == status
    assert "Confirm: claim 2" in html
    assert "2 of 2" in html
    sent = form_of(html, "VIDEO")
    assert "1" == sent["companions"]
    await phone.send(sent)
    assert [("VIDEO", 2, "HELD")] == [tuple(row) for row in await claims_of(running)]
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    assert "<select" not in html


async def test_who_brings_nobody_is_not_asked(running: Site, phone: Phone) -> None:
    """Neither below the tier, nor with a single unit left."""
    await running.world.apply(programme_of(companions={"DIAMOND": 2}))
    await phone.enter(await platinum(running))
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    assert "<select" not in html
    assert "Diamond: up to 2." in html
    lines = tuple(
        msgspec.structs.replace(line, quota={"PLATINUM": 1})
        for line in programme_of().line
        if line.benefit == "VIDEO"
    )
    await running.world.apply(msgspec.structs.replace(programme_of(companions=ALONG), line=lines))
    await phone.enter(await platinum(running))
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    assert "<select" not in html
