"""Choices over real HTTP, and on the page: what may be chosen, the choosing, and the claim."""

import re
from datetime import date
from typing import Any
from uuid import UUID

import aiohttp
from msgspec.structs import replace

from tests.actions.choosing import DIAMOND, choosing
from tests.actions.life import fresh
from tests.rows import everything
from tests.web.phone import Form, Phone, claims_of, platinum
from tests.web.site import Site
from tests.web.test_corrections import Office, wanted


async def call(
    running: Site, member: UUID, body: Any = None, *, key: str = "", dry_run: bool = False
) -> tuple[int, Any]:
    """Ask for a member's choices, or choose where there is a body."""
    headers = {"Authorization": f"Bearer {running.mobile_key}"}
    if body is not None:
        headers["Idempotency-Key"] = key or fresh("c")
    query = {"dry_run": "true"} if dry_run else {}
    async with (
        aiohttp.ClientSession(running.url) as http,
        http.request(
            "GET" if body is None else "POST",
            f"/v1/members/{member}/choices",
            headers=headers,
            json=body,
            params=query,
        ) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def chooser(running: Site, **how: Any) -> UUID:
    """Return a platinum member with units of a choice."""
    await running.world.apply(choosing(**how))
    return await platinum(running)


async def test_what_may_be_chosen_is_told_and_chosen_once(running: Site) -> None:
    """A dry run writes nothing; the same key again is the same lot; then it is told as chosen."""
    member = await chooser(running)
    wish = {"choice": "PICK", "benefit": "VIDEO"}
    before = await everything(running.world.database)
    assert 201 == (await call(running, member, wish, dry_run=True))[0]
    assert before == await everything(running.world.database)
    status, made = await call(running, member, wish, key="k")
    assert (201, made) == (status, (await call(running, member, wish, key="k"))[1])
    status, body = await call(running, member)
    (one,) = body["choices"]
    assert (200, 2, False) == (status, one["available"], one["repeat"])
    assert [2] == [lot["available"] for lot in one["lots"]]
    refused = {each["code"]: each["refused"] for each in one["benefits"]}
    assert (8, "choice_repeated", None) == (len(refused), refused["VIDEO"], refused["LOUNGE"])
    assert [("VIDEO", made["lot_id"])] == [(c["benefit"], c["lot_id"]) for c in one["chosen"]]
    status, body = await call(running, member, wish)
    assert (409, "choice_repeated") == (status, body["code"])


async def test_a_member_chooses_on_the_page_and_claims(running: Site, phone: Phone) -> None:
    """P-8: without a script, in both languages; a form sent again chooses nothing more."""
    await phone.enter(await chooser(running))
    _, html = await phone.get("/page?lang=en")
    assert "Three of eight" in html
    assert "Choose from 8 benefits" in html
    _, html = await phone.get("/page/choices/PICK?lang=zh")
    assert "每期每项权益限选一次。" in html
    _, html = await phone.get("/page/choices/PICK?lang=en")
    for words in (
        "Through the last day of the quarter they are for.",
        "They come once your tier for the new period is decided.",
        "If your tier rises in between, the rest is added.",
        "If it falls, what you have stays yours until it ends.",
    ):
        assert words in html
    (form,) = Form(html).forms
    form.pop("benefit")
    status, html = await phone.post("/page/choices?lang=en", {**form, "benefit": "VIDEO"})
    assert (200, True) == (status, "You have chosen: Video membership" in html)
    assert "You have chosen this before, and each can be chosen once." in html
    _, html = await phone.post("/page/choices?lang=en", {**form, "benefit": "VIDEO"})
    assert "<strong>2</strong> available" in html
    _, html = await phone.post("/page/choices?lang=en", form)
    assert "This form was sent before with another benefit." in html
    _, html = await phone.post("/page/choices?lang=en", {**form, "key": "other"})
    assert "Please choose one of the benefits below." in html
    _, html = await phone.get("/page/benefits/VIDEO?lang=en")
    assert re.search(r'action="/page/claims/review', html)
    _, html = await phone.get("/page/history?lang=en")
    assert "Chosen by you: 1" in html
    assert "Received with your tier: 3" in html
    assert 0 == len(await claims_of(running))


async def test_two_people_revoke_what_nobody_chose_with(running: Site, phone: Phone) -> None:
    """P-8, L-9: by the lot, of the choice; what was chosen by its own; no rise brings it back."""
    office, world, member = Office(running), running.world, await chooser(running)
    wish = {"choice": "PICK", "benefit": "VIDEO"}
    _, made = await call(running, member, wish)
    ((lot,),) = await world.rows("SELECT lot_id::text FROM lot WHERE unit = 'CHOICE:PICK'")
    beyond = wanted("REVOKE", member, 3, lot_id=lot)
    part = wanted("REVOKE", member, "0.5", lot_id=lot)
    by_code = wanted("CLAW_BACK", member, 1, benefit="PICK")
    for wrong, code in (
        (beyond, "correction_exceeds"),
        (part, "quantity_too_fine"),
        (by_code, "unknown_benefit"),
    ):
        _, refused = await office.ask("maker", "POST", "/v1/corrections", json=wrong, key=code)
        assert code == refused["code"]
    proposed = await office.propose(wanted("REVOKE", member, 2, lot_id=lot), key="maker")
    other = await office.propose(wanted("REVOKE", member, 1, lot_id=lot), key="alike")
    status, approved = await office.approve(proposed, key="checker")
    assert 200 == status
    for read in (proposed, approved):
        (posting,) = read["effect"]["postings"]
        moved = ("available", "revoked", "CHOICE:PICK", 2, lot)
        names = ("debit", "credit", "unit", "amount", "lot_id")
        assert moved == tuple(posting[name] for name in names)
        before, after = (read["effect"][when]["available"] for when in ("before", "after"))
        assert (2, 0) == (before, after)
    assert (409, "correction_stale") == await _said(office, other)
    chosen = wanted("REVOKE", member, 1, lot_id=made["lot_id"])
    await office.approve(await office.propose(chosen, key="own"), key="chosen")
    status, refused = await call(running, member, {**wish, "benefit": "LOUNGE"})
    assert (409, "insufficient_units") == (status, refused["code"])
    told = await world.rows(
        "SELECT data->>'benefit' AS benefit, data->>'choice' AS choice, data->'quantity' AS units "
        "FROM outbox WHERE type = 'entitlement.revoked' ORDER BY seq"
    )
    assert [("", "PICK", 2), ("VIDEO", None, 1)] == [tuple(row) for row in told]
    await phone.enter(member)
    _, html = await phone.get("/page/history?lang=en")
    assert "Taken back by the bank: 2" in html
    world.clock.now = world.clock.now.replace(month=8)
    await world.month(world.name(1), "2025-07", DIAMOND)
    await world.evaluate("2025-07", member)
    _, body = await call(running, member)
    assert 2 == body["choices"][0]["available"]
    assert [] == await world.findings()


async def _said(office: Office, correction: Any) -> tuple[int, str]:
    status, answer = await office.approve(correction, key="late")
    return status, answer["code"]


async def test_what_ended_unchosen_is_told_on_the_page(running: Site, phone: Phone) -> None:
    """The choice is named where its units have expired, and offers no form any more."""
    member = await chooser(running)
    running.world.clock.forward(days=100)
    await phone.enter(member)
    _, html = await phone.get("/page?lang=en")
    assert "3 not used; valid through 30 September 2025" in html
    status, html = await phone.get("/page/choices/PICK?lang=en")
    assert (200, True) == (status, "You have no unit to choose with now." in html)
    assert 404 == (await phone.get("/page/choices/OTHER"))[0]


async def test_what_could_not_be_claimed_yet_is_told_beside_it(
    running: Site, phone: Phone
) -> None:
    """P-9: it can be chosen, since its units last; from when on it is claimed stands there."""
    programme, member = choosing(), await chooser(running)
    later = tuple(
        replace(one, claim_from=date(2025, 8, 1)) if one.code == "TREAT6" else one
        for one in programme.benefit
    )
    await running.world.apply(replace(programme, benefit=later))
    await phone.enter(member)
    _, html = await phone.get("/page/choices/PICK?lang=en")
    option = html[html.index('value="TREAT6"') :]
    assert "1 August 2025" in option[: option.index("</label>")]
    assert "disabled" not in option[: option.index(">")]
