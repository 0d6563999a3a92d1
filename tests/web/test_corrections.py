"""Two people at their screens: one proposes, another reads, approves or rejects."""

from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest

from benefits.actions.keys import make_key
from benefits.domain.benefit import ClawBack, Late, LateReversal
from benefits.domain.corrections import Fault, Kind
from benefits.domain.orders import Used
from benefits.web import cursors
from tests.actions import life
from tests.actions.desk import correct, lost, lot_of, offered, spent
from tests.builders import NOON
from tests.web.phone import Phone
from tests.web.site import Site


class Office:
    """The people of an operation, each with a key of their own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.keys = dict[str, str]()

    async def key(self, who: str, *scopes: str) -> str:
        """Return a person's key, made when it is first needed."""
        if who not in self.keys:
            async with self.site.world.database.transaction() as conn:
                self.keys[who] = await make_key(conn, who, scopes, self.site.world.parts)
        return self.keys[who]

    async def ask(
        self, who: str, method: str, path: str, *, key: str = "", **more: Any
    ) -> tuple[int, Any]:
        """Send a request as a person; the first word of who tells the scope."""
        scopes = {"maker": ["operator"], "both": ["operator", "approver"], "eye": ["auditor"]}
        bearer = await self.key(who, *scopes.get(who, ["approver"]))
        headers = self.site.headers(bearer) | ({"Idempotency-Key": key} if key else {})
        async with (
            aiohttp.ClientSession(self.site.url) as http,
            http.request(method, path, headers=headers, **more) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    async def propose(self, body: dict[str, Any], who: str = "maker", **more: Any) -> Any:
        """Propose what must be taken; return the correction."""
        status, answer = await self.ask(who, "POST", "/v1/corrections", json=body, **more)
        assert 201 == status, answer
        return answer

    async def approve(self, correction: Any, who: str = "checker", **more: Any) -> tuple[int, Any]:
        """Approve by the hash that was shown."""
        path, body = f"/v1/corrections/{correction['id']}/approve", {"hash": correction["hash"]}
        return await self.ask(who, "POST", path, json=body, **more)


@pytest.fixture
async def office(running: Site) -> Office:
    """Give the people of a running service."""
    return Office(running)


def wanted(kind: str, member: UUID, quantity: object, **more: Any) -> dict[str, Any]:
    """Return the body of a proposal."""
    body = {"member_id": str(member), "kind": kind, "quantity": quantity}
    return body | {"reason": "GRANTED_IN_ERROR", "note": "Campaign counted twice."} | more


async def balance(office: Office, member: UUID) -> tuple[int, int, int]:
    """Return available, held and owed lounge visits of a member."""
    ((available, held, owed),) = await office.site.world.rows(
        "SELECT available, held, owed FROM wallet WHERE member_id = $1", member
    )
    return available, held, owed


async def test_g_debt_1_a_claw_back_leaves_a_debt_that_the_next_grant_pays(
    office: Office,
) -> None:
    """30 clawed back with 12 left: available 0, debt 18; of the next 24 six are left (L-8)."""
    world = office.site.world
    await offered(world, claw_back=ClawBack.DEBT)
    member = await life.holder(world, "LOUNGE", quantity=30)
    (claim,) = await life.claimed(world, life.wish(member, "LOUNGE", quantity=18))
    await life.call_back(world, await life.number_of(world, claim), Used(at=NOON))
    proposed = await office.propose(wanted("CLAW_BACK", member, 30, benefit="LOUNGE"))
    effect = proposed["effect"]
    assert ("PROPOSED", (12, 0, 0)) == (proposed["state"], await balance(office, member))
    assert [("available", "revoked", 12), ("debt", "revoked", 18)] == [
        (p["debit"], p["credit"], p["amount"]) for p in effect["postings"]
    ]
    assert {"available": 12, "held": 0, "owed": 0} == effect["before"]
    assert {"available": 0, "held": 0, "owed": 18} == effect["after"]
    status, approved = await office.approve(proposed)
    assert (200, "APPROVED", "checker") == (status, approved["state"], approved["decided_by"])
    assert (0, 0, 18) == await balance(office, member)
    reward = {"member_id": str(member), "benefit": "LOUNGE", "quantity": 24, "business_key": "b"}
    status, _ = await office.site.post("/v1/rewards", reward, office.site.crm_key)
    assert (201, (6, 0, 0)) == (status, await balance(office, member))
    assert [] == await world.findings()


async def test_the_same_key_proposes_and_approves_once(office: Office) -> None:
    """Whoever sends again hears the same and posts nothing twice (C-9)."""
    world = office.site.world
    member = await life.holder(world, quantity=3)
    body = wanted("REVOKE", member, 1, lot_id=str(await lot_of(world, member)))
    first, second = [await office.propose(body, key="p1") for _ in range(2)]
    assert first == second
    answers = [await office.approve(first, key="a1") for _ in range(2)]
    assert answers[0] == answers[1]
    assert (2, 0, 0) == await balance(office, member)
    status, problem = await office.approve(first, key="a2")
    assert (409, "correction_closed") == (status, problem["code"])
    status, problem = await office.ask(
        "maker", "POST", "/v1/corrections", json=body | {"quantity": 2}, key="p1"
    )
    assert (422, "idempotency_key_conflict") == (status, problem["code"])


async def test_nobody_approves_what_they_proposed(office: Office) -> None:
    """Also when they may do both; another may."""
    world = office.site.world
    member = await life.holder(world)
    body = wanted("REVOKE", member, 1, lot_id=str(await lot_of(world, member)))
    proposed = await office.propose(body, "both")
    status, problem = await office.approve(proposed, "both")
    assert (403, "same_person") == (status, problem["code"])
    status, _ = await office.approve(proposed)
    assert (200, (0, 0, 0)) == (status, await balance(office, member))


async def test_proposing_and_approving_are_different_rights(office: Office) -> None:
    """Makers do not approve, checkers do not propose, auditors read."""
    world = office.site.world
    member = await life.holder(world)
    body = wanted("REVOKE", member, 1, lot_id=str(await lot_of(world, member)))
    status, problem = await office.ask("checker", "POST", "/v1/corrections", json=body)
    assert (403, "forbidden") == (status, problem["code"])
    proposed = await office.propose(body)
    for who in ("maker", "eye"):
        status, problem = await office.approve(proposed, who)
        assert (403, "forbidden") == (status, problem["code"])
    for who in ("maker", "checker", "eye"):
        path = f"/v1/corrections/{proposed['id']}"
        assert (200, proposed) == await office.ask(who, "GET", path)


async def test_a_proposal_is_rejected_with_a_note(office: Office) -> None:
    """Who said no, when and why stays."""
    world = office.site.world
    member = await life.holder(world)
    body = wanted("REVOKE", member, 1, lot_id=str(await lot_of(world, member)))
    for who, state in (("checker", "REJECTED"), ("maker", "WITHDRAWN")):
        proposed = await office.propose(body)
        path = f"/v1/corrections/{proposed['id']}/reject"
        status, answer = await office.ask(who, "POST", path, json={"note": "The wrong lot."})
        assert (200, state, who) == (status, answer["state"], answer["decided_by"])
        assert ("The wrong lot.", None) == (answer["decision_note"], answer["batch_id"])
    assert (1, 0, 0) == await balance(office, member)


async def test_corrections_are_listed_by_state_page_by_page(office: Office) -> None:
    """Each once, in the order they were proposed; a cursor is good for its own list."""
    world = office.site.world
    member = await life.holder(world, quantity=9)
    body = wanted("REVOKE", member, 1, lot_id=str(await lot_of(world, member)))
    made = list[str]()
    for _ in range(3):
        world.clock.forward(seconds=1)
        made.append((await office.propose(body))["id"])
    seen, query = list[str](), {"limit": "2", "state": "PROPOSED"}
    while True:
        status, page = await office.ask("eye", "GET", "/v1/corrections", params=query)
        assert 200 == status
        seen += [one["id"] for one in page["corrections"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert made == seen
    query["state"] = "EXPIRED"
    status, problem = await office.ask("eye", "GET", "/v1/corrections", params=query)
    assert (400, "cursor_invalid") == (status, problem["code"])
    world.clock.forward(days=8)
    query.pop("cursor")
    _, page = await office.ask("eye", "GET", "/v1/corrections", params=query)
    assert made[:2] == [one["id"] for one in page["corrections"]]
    place = ("0001-01-01T00:00:00+14:00", str(UUID(int=0)))
    query = {"cursor": cursors.write("corrections ", place)}
    status, problem = await office.ask("eye", "GET", "/v1/corrections", params=query)
    assert (400, "cursor_invalid") == (status, problem["code"])


async def test_mistakes_have_their_codes(office: Office) -> None:
    """Of form, of fields, of what is not there."""
    world = office.site.world
    member = await life.holder(world)
    lot = str(await lot_of(world, member))
    for body, expected in (
        (wanted("REVOKE", member, 1), (422, "correction_invalid")),
        (wanted("REVOKE", member, 2, lot_id=lot), (409, "correction_exceeds")),
        (wanted("REVOKE", member, 1, lot_id=str(uuid4())), (404, "target_unknown")),
        (wanted("REVOKE", uuid4(), 1, lot_id=lot), (404, "unknown_member")),
        (wanted("ADD", member, 1, lot_id=lot), (400, "request_invalid")),
        (wanted("REVOKE", member, 1, lot_id=lot, reason="WHIM"), (400, "request_invalid")),
        (wanted("REVOKE", member, 1, lot_id=lot, note=" "), (400, "request_invalid")),
        (wanted("REVOKE", member, 1, lot_id=lot, more=1), (400, "request_invalid")),
    ):
        status, problem = await office.ask("maker", "POST", "/v1/corrections", json=body)
        assert expected == (status, problem["code"])
    unknown: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/v1/corrections/{uuid4()}", {}),
        ("POST", f"/v1/corrections/{uuid4()}/approve", {"json": {"hash": "0" * 64}}),
        ("POST", f"/v1/corrections/{uuid4()}/reject", {"json": {"note": "x"}}),
    ]
    for method, path, more in unknown:
        status, problem = await office.ask("checker", method, path, **more)
        assert (404, "unknown_correction") == (status, problem["code"])


async def test_who_follows_the_feed_learns_what_became_of_the_units(office: Office) -> None:
    """Each correction is one event of its type."""
    site = office.site
    member = await life.holder(site.world, quantity=2)
    body = wanted("REVOKE", member, 2, lot_id=str(await lot_of(site.world, member)))
    await office.approve(await office.propose(body))
    async with aiohttp.ClientSession(site.url) as http:
        query = {"types": "entitlement.revoked"}
        asked = http.get("/v1/events", params=query, headers=site.headers(site.crm_key))
        async with asked as answer:
            (event,) = msgspec.json.decode(await answer.read())["events"]
    ((digest,),) = await site.world.rows("SELECT digest FROM correction")
    expected = {"benefit": "VIDEO", "quantity": 2, "digest": digest, "choice": ""}
    assert expected == event["data"]
    assert str(await lot_of(site.world, member)) == event["subject_id"]


async def test_a_member_somebody_else_holds_is_busy_and_nothing_is_half_done(
    office: Office,
) -> None:
    """The approval waits a little, then says so; sent again it is done."""
    world = office.site.world
    member = await life.holder(world)
    body = wanted("REVOKE", member, 1, lot_id=str(await lot_of(world, member)))
    proposed = await office.propose(body)
    async with world.database.transaction() as conn:
        await conn.exec_driver_sql("SELECT 1 FROM member FOR UPDATE")
        status, problem = await office.approve(proposed, key="once")
    assert (503, "busy") == (status, problem["code"])
    assert (1, 0, 0) == await balance(office, member)
    status, _ = await office.approve(proposed, key="once")
    assert (200, (0, 0, 0)) == (status, await balance(office, member))
    assert [] == await world.findings()


async def test_the_history_tells_what_people_corrected(running: Site, phone: Phone) -> None:
    """Each kind in words of its own."""
    world = running.world
    await offered(
        world,
        claw_back=ClawBack.DEBT,
        late_reversal=LateReversal(then=Late.MAKE_GOOD, days=14),
    )
    member = await life.holder(world, quantity=4)
    claim_id = await spent(world, member)
    lot = await lot_of(world, member)
    more: dict[str, Any] = {"fault": Fault.OURS, "valid_days": 7}
    more["claim_id"] = settled = await lost(world, member)
    for kind, quantity, fields in (
        (Kind.SETTLE, 1, {"claim_id": settled}),
        (Kind.REVERSE, 1, {"claim_id": claim_id}),
        (Kind.MAKE_GOOD, 1, more),
        (Kind.REVOKE, 2, {"lot_id": lot}),
    ):
        assert "ok" == await correct(world, kind, member, quantity, **fields)
    again = await spent(world, member, quantity=2)
    assert "ok" == await correct(world, Kind.CLAW_BACK, member, 1, benefit="VIDEO")
    assert "ok" == await correct(world, Kind.FORGIVE, member, 1, benefit="VIDEO")
    world.clock.forward(days=60)
    assert "ok" == await correct(world, Kind.REVERSE, member, 1, claim_id=again)
    await phone.enter(member)
    _, html = await phone.get("/page/history?lang=en")
    for words in (
        "Settled by the bank, delivered: 1 of 1",
        "Used units returned: 1",
        "Received for an order that failed: 1",
        "Taken back by the bank: 2",
        "Taken back by the bank: 1; to be paid from units to come: 1",
        "No longer owed: 1",
        "Used units returned, with new ones for them: 1",
    ):
        assert words in html


async def test_a_charge_to_a_provider_is_cleared_by_two(running: Site) -> None:
    """Its quantity is money; the member's units are shown as they are and stay."""
    world, office = running.world, Office(running)
    member = await life.holder(world, quantity=2)
    claim = await spent(world, member)
    more: dict[str, Any] = {"claim_id": claim, "fault": Fault.PROVIDER, "valid_days": 7}
    assert "ok" == await correct(world, Kind.MAKE_GOOD, member, 1, **more)
    body = {
        "member_id": str(member),
        "kind": "CLEAR",
        "quantity": 10_00,
        "reason": "PROVIDER_FAULT",
        "note": "Paid with the statement of July.",
        "claim_id": str(claim),
        "fault": "PROVIDER",
    }
    asked = await office.propose(body, key="c1")
    (posting,) = asked["effect"]["postings"]
    assert ("loss", "suspense", 10_00) == (posting["debit"], posting["credit"], posting["amount"])
    assert (10_00, 0) == (asked["quantity"], asked["effect"]["earlier"])
    assert asked["effect"]["before"] == asked["effect"]["after"]
    assert {"available": 2, "held": 0, "owed": 0} == asked["effect"]["after"]
    assert 200 == (await office.approve(asked, key="a1"))[0]
    again = await office.propose(body | {"quantity": 5_00}, key="c2")
    assert 10_00 == again["effect"]["earlier"]
    assert 200 == (await office.approve(again, key="a2"))[0]
    status, refused = await office.ask("maker", "POST", "/v1/corrections", json=body, key="c3")
    assert (409, "correction_exceeds") == (status, refused["code"])
    assert [] == await world.findings()
