"""Claims that wait for room, over real HTTP and on the page: begun, told, ended, served."""

from benefits.domain.limits import OnFull
from tests.actions.limiting import limit, programme_of
from tests.actions.waiting import serve
from tests.web.phone import Form, Phone, form_of, platinum
from tests.web.site import Site
from tests.web.test_eligibility import get

WISH = {"benefit": "LOUNGE", "recipient": {"phone": "13800000001"}}


async def test_a_claim_waits_over_http_and_on_the_page(running: Site, phone: Phone) -> None:
    """202 says how many are before it and until when; who waits is listed, and ends it."""
    await running.world.apply(programme_of(limit("month", 1, on_full=OnFull.NEXT_WINDOW)))
    member, key = await platinum(running), running.mobile_key
    path = f"/v1/members/{member}/claims"
    assert 201 == (await running.post(path, WISH, key))[0]
    status, refusal = await running.post(path, WISH, key)
    assert (409, "cap_reached") == (status, refusal["code"])
    assert "A claim may wait for room. There is room again from 2025-07-31" in refusal["detail"]
    status, answer = await running.post(path, WISH | {"wait": True}, key)
    assert (202, "NONE", "2025-08-31T16:00:00Z") == (status, answer["ahead"], answer["ends_at"])
    status, refusal = await running.post(path, WISH | {"wait": True}, key)
    assert (409, "already_waiting") == (status, refusal["code"])
    _, listed = await get(running, f"/v1/members/{member}/waits", key)
    assert [(answer["id"], None)] == [(one["id"], one["reason"]) for one in listed["waits"]]
    ended = f"/v1/members/{member}/waits/{answer['id']}/end"
    assert 200 == (await running.post(ended, None, key))[0]
    status, refusal = await running.post(ended, None, key)
    assert (409, "wait_over") == (status, refusal["code"])
    await phone.enter(member)
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    for words in (
        "All there are for now have been claimed.",
        "Wait for it",
        "you can wait for one",
    ):
        assert words in html
    status, html = await phone.post("/page/claims/review?lang=zh", form_of(html, "LOUNGE"))
    assert (200, True) == (status, "确认排队：1份" in html)
    await phone.send(form_of(html, "LOUNGE"))
    _, html = await phone.get("/page?lang=en")
    assert "Waiting until there is room" in html
    _, html = await phone.get("/page/benefits/LOUNGE?lang=en")
    assert "Nobody is waiting before you." in html
    assert "You wait until 1 September 2025" in html.replace("\u202f", " ")
    (form,) = (each for each in Form(html).forms if {"token", "key"} == each.keys())
    ((wait_id,),) = await running.world.rows("SELECT wait_id FROM wait WHERE ended_at IS NULL")
    status, html = await phone.post(f"/page/waits/{wait_id}/end?lang=en", form)
    assert (200, False) == (status, "Waiting until there is room" in html)
    await running.world.apply(programme_of(limit("month", 2, on_full=OnFull.NEXT_WINDOW)))
    assert 0 == await serve(running.world)
    _, html = await phone.get("/page/history?lang=en")
    assert "You no longer wait for it: 1" in html
