"""What callers, finance and members see of units with decimals: exact, and never a float."""

import re
from typing import Any
from uuid import UUID

import aiohttp

from benefits.domain.orders import Done
from tests.actions import life
from tests.builders import NOON
from tests.halves import halved
from tests.web.phone import Phone
from tests.web.site import Site
from tests.web.test_corrections import Office
from tests.web.test_ledger import get, text


async def began(site: Site) -> UUID:
    """Give a member 2.5 visits, of which one half was used by rail."""
    await site.world.apply(halved())
    member = await site.world.member()
    body = {"member_id": str(member), "benefit": "HALL", "business_key": "b", "quantity": "2.5"}
    status, answer = await site.post("/v1/rewards", body, site.crm_key)
    assert (201, "2.5") == (status, answer["granted"])
    path = f"/v1/members/{member}/claims"
    status, answer = await site.post(path, {"benefit": "RAIL"}, site.mobile_key)
    assert 201 == status, answer
    number = await life.number_of(site.world, UUID(answer["id"]))
    await life.call_back(site.world, number, Done(at=NOON))
    return member


async def test_a_quantity_is_an_integer_or_a_decimal_string(running: Site) -> None:
    """A JSON number with a fraction is refused; an equal quantity is the same wish (C-9)."""
    await running.world.apply(halved())
    body: dict[str, Any] = {
        "member_id": str(await running.world.member()),
        "benefit": "HALL",
        "business_key": "b",
    }
    told = dict[str, tuple[int, str]]()
    for quantity in (0.5, "0.05", "1e1", "0"):
        status, answer = await running.post(
            "/v1/rewards", body | {"quantity": quantity}, running.crm_key
        )
        told[str(quantity)] = (status, answer["code"])
    assert {
        "0.5": (400, "request_invalid"),
        "0.05": (422, "quantity_too_fine"),
        "1e1": (400, "request_invalid"),
        "0": (422, "quantity_invalid"),
    } == told
    headers = running.headers(running.crm_key)
    answers = list[Any]()
    for quantity in ("0.5", "0.50"):
        async with (
            aiohttp.ClientSession(running.url) as http,
            http.post("/v1/rewards", json=body | {"quantity": quantity}, headers=headers) as one,
        ):
            answers.append((one.status, await one.json()))
    assert (201, "0.5") == (answers[0][0], answers[0][1]["granted"])
    assert answers[0] == answers[1]


async def test_members_units_are_told_in_whole_units(running: Site) -> None:
    """Benefits that share units show the same lots, and what each takes of them."""
    member = await began(running)
    seen = await get(running, f"/v1/members/{member}/benefits")
    shown = {b["code"]: (b["unit"], b["takes"], b["available"]) for b in seen["benefits"]}
    assert {
        "HALL": ("BENEFIT:HALL", "1.0", "2.0"),
        "RAIL": ("BENEFIT:HALL", "0.5", "2.0"),
    } == shown
    assert 1 == seen["claims"][0]["quantity"]
    (balance,) = (await get(running, f"/v1/members/{member}/balances"))["balances"]
    assert ("2.0", "0.0", "0.5") == (balance["available"], balance["held"], balance["redeemed"])
    (lot,) = (await get(running, f"/v1/members/{member}/lots"))["lots"]
    assert ("2.5", "2.0") == (lot["granted"], lot["available"])
    entries = (await get(running, f"/v1/members/{member}/statement"))["entries"]
    amounts = {(p["unit"], p["amount"]) for entry in entries for p in entry["postings"]}
    assert {("BENEFIT:HALL", "2.5"), ("BENEFIT:HALL", "0.5"), ("MONEY:CNY", 2001)} == amounts
    events = (await get(running, f"/v1/members/{member}/history"))["events"]
    assert [1, 1, "2.5"] == [event["data"]["quantity"] for event in events]
    (holding, _) = (await get(running, f"/v1/members/{member}/summary"))["holdings"]
    assert ("2.0", "0.0") == (holding["available"], holding["held"])


async def test_finance_reads_whole_units(running: Site) -> None:
    """Totals and liability tell units exactly, as JSON and as CSV."""
    await began(running)
    totals = (await get(running, "/v1/ledger/totals"))["lines"]
    units = {t["account"]: t["amount"] for t in totals if t["unit"] == "BENEFIT:HALL"}
    assert {"issued": "-2.5", "available": "2.0", "redeemed": "0.5"} == units
    _, lines = await text(running, "/v1/ledger/liability", accept="text/csv")
    assert ",2.0,0.0,40.02,80.04,CNY," in lines


async def test_a_correction_shows_parts_of_units(running: Site) -> None:
    """Half a unit is taken back: proposed, shown and approved as 0.5."""
    member, office = await began(running), Office(running)
    (lot,) = (await get(running, f"/v1/members/{member}/lots"))["lots"]
    wanted = {
        "member_id": str(member),
        "kind": "REVOKE",
        "quantity": "0.5",
        "lot_id": lot["lot_id"],
        "reason": "GRANTED_IN_ERROR",
        "note": "by hand",
    }
    asked = await office.propose(wanted, key="k")
    effect = asked["effect"]
    assert ("0.5", "0.5") == (asked["quantity"], effect["postings"][0]["amount"])
    assert ("2.0", "1.5") == (effect["before"]["available"], effect["after"]["available"])
    assert 200 == (await office.approve(asked, key="a"))[0]
    assert (15, 0) == await life.wallet(running.world, member, "HALL")


async def test_a_list_brings_parts_of_units(running: Site) -> None:
    """A row's quantity is a decimal too; what is too fine is refused by its line."""
    await running.world.apply(halved())
    member = await running.world.member()
    rows = f"member_id,benefit,business_key,quantity\n{member},HALL,a,1.5\n{member},HALL,b,0.25\n"
    headers = running.headers(running.crm_key) | {"Content-Type": "text/csv"}
    async with (
        aiohttp.ClientSession(running.url) as http,
        http.post("/v1/grants:bulk?dry_run=true", data=rows, headers=headers) as answer,
    ):
        assert 200 == answer.status
        said = await answer.text()
    assert "quantity_too_fine" in said


async def test_the_page_speaks_of_halves_in_both_languages(running: Site, phone: Phone) -> None:
    """What is left, what one takes, and what happened, without zeros that tell nothing."""
    member = await began(running)
    html = await phone.enter(member, "en")
    assert "2<span" in html
    _, html = await phone.get("/page/benefits/RAIL?lang=en")
    assert "Each takes 0.5 of your units of Airport hall." in html
    assert "At most 1.5 in a calendar month; used so far: 0.5." in html
    assert "2.5" in html
    _, html = await phone.get("/page/benefits/RAIL?lang=zh")
    assert "每次使用“机场休息厅”权益0.5份。" in html
    _, html = await phone.get("/page/history?lang=en")
    assert re.search(r"Received as a gift: 2\.5\b", html)
