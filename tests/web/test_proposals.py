"""Two people at their screens agree on a version, a block and fraud: X-2, U-1, E-6, A-7."""

from typing import Any

import pytest

from benefits.domain.orders import Done
from tests.actions.life import call_back, counter, gift, give, states, wallet
from tests.actions.test_answer_order import manual
from tests.actions.test_evaluate_again import corrected
from tests.builders import NOON, PROGRAMME
from tests.web.phone import Phone, platinum
from tests.web.site import Site
from tests.web.test_corrections import Office
from tests.web.test_mobile import WISH

MORE = PROGRAMME.replace("PLATINUM = 2, DIAMOND = 6", "PLATINUM = 3, DIAMOND = 6")
PATH = "/v1/proposals"


@pytest.fixture
async def office(running: Site) -> Office:
    """Give the people of a bank."""
    return Office(running)


async def propose(office: Office, who: str = "maker", **what: Any) -> Any:
    """Propose what must be taken; return the proposal."""
    body = {"note": "As agreed.", **what}
    status, made = await office.ask(who, "POST", PATH, json=body, key=f"p{body}"[:64])
    assert 201 == status, made
    return made


async def approve(office: Office, made: Any, who: str = "checker") -> tuple[int, Any]:
    """Approve by the hash that was shown."""
    path, body = f"{PATH}/{made['id']}/approve", {"hash": made["hash"]}
    return await office.ask(who, "POST", path, json=body)


async def test_a_version_is_read_before_it_holds(office: Office) -> None:
    """What changes, whom it reaches, who said so; and then it is listed with both names."""
    await platinum(office.site)
    made = await propose(office, programme={"document": MORE, "first_month": "2025-08"})
    version = made["programme"]
    assert ("PROPOSED", "PROGRAMME", "wealth", 1, MORE, "2025-08") == (
        *(made[name] for name in ("state", "kind", "subject")),
        *(version[name] for name in ("replaces", "document", "first_month")),
    )
    assert [("line.lounge.quota.PLATINUM", False, None)] == [
        (each["path"], each["worse"], each["told_on"]) for each in version["changes"]
    ]
    assert [("PLATINUM", 1, 7600, 11400)] == [
        tuple(each[n] for n in ("tier", "members", "cost_minor_before", "cost_minor_after"))
        for each in version["reach"]
    ]
    status, done = await approve(office, made)
    assert (200, "APPROVED", "2") == (status, done["state"], done["result"])
    _, programmes = await office.ask("eye", "GET", "/v1/programmes")
    assert [("wealth", 2)] == [(p["programme"], p["version"]) for p in programmes["programmes"]]
    _, listed = await office.ask("eye", "GET", "/v1/programmes/wealth/versions")
    assert [
        (2, "IN_FORCE", "2025-08", made["id"], "maker", "checker"),
        (1, "SUPERSEDED", "2000-01", None, None, None),
    ] == [
        tuple(
            one[name]
            for name in (
                *("version", "state", "first_month", "proposal", "proposed_by"),
                "approved_by",
            )
        )
        for one in listed["versions"]
    ]
    status, problem = await office.ask("eye", "GET", "/v1/programmes/none/versions")
    assert (404, "unknown_version") == (status, problem["code"])
    status, problem = await office.ask("eye", "GET", "/v1/programmes/%00/versions")
    assert (404, "unknown_version") == (status, problem["code"])


async def test_a_block_is_refused_on_every_way_in(office: Office) -> None:
    """The app hears `blocked`; with the end of the block it goes on."""
    running = office.site
    member = await platinum(running)
    block = {"member_id": str(member), "scope": "ALL", "why": "LEGAL_FREEZE"}
    made = await propose(office, block=block)
    assert str(member) == made["block"]["stops"]
    claims = f"/v1/members/{member}/claims"
    assert 200 == (await approve(office, made))[0]
    status, problem = await running.post(claims, WISH, running.mobile_key)
    assert (409, "blocked") == (status, problem["code"])
    (refused,) = await give(running.world, gift(member))
    assert "blocked" == getattr(refused, "code", "")
    running.world.clock.forward(seconds=1)
    freed = await propose(office, unblock={"block_id": made["id"]})
    assert (str(member), "ALL", "LEGAL_FREEZE") == tuple(
        freed["unblock"][name] for name in ("member_id", "scope", "why")
    )
    assert 200 == (await approve(office, freed))[0]
    assert 201 == (await running.post(claims, WISH, running.mobile_key))[0]
    assert [] == await running.world.findings()


async def test_an_order_is_read_before_it_ends(office: Office) -> None:
    """Not delivered: its units return, and are taken again where it was after all (V-3, V-4)."""
    world = office.site.world
    await platinum(office.site)
    member, number = await manual(world, "LOUNGE", 2)
    word = {"number": number, "delivered": False, "evidence": "Ticket 88: never arrived."}
    made = await propose(office, order=word)
    assert ("ORDER", number) == (made["kind"], made["subject"])
    assert word | {"units": "RELEASE", "cost_minor": 7600, "state": "COMPENSATED"} == {
        name: made["order"][name] for name in (*word, "units", "cost_minor", "state")
    }
    status, done = await approve(office, made)
    assert (200, "APPROVED", "COMPENSATED") == (status, done["state"], done["result"])
    assert (["COMPENSATED"], (2, 0)) == (
        await states(world),
        await wallet(world, member, "LOUNGE"),
    )
    assert (0, 0) == await counter(world, "budget:lounge")
    await call_back(world, number, Done(at=NOON))
    assert (["ISSUED"], (0, 2)) == (await states(world), await wallet(world, member, "LOUNGE"))
    assert [] == await world.findings()


async def test_fraud_is_read_before_a_tier_falls(office: Office) -> None:
    """A-7: which tier, and which units nobody claimed; the page says why in both languages."""
    running = office.site
    member = await platinum(running)
    false = {"member_id": str(member), "programme": "wealth", "since": "2025-06"}
    status, problem = await office.ask(
        "maker", "POST", PATH, json={"note": "False.", "fraud": false}, key="none"
    )
    assert (422, "proposal_invalid") == (status, problem["code"])
    await corrected(running.world, "2025-06", 60_000_00)
    made = await propose(office, fraud=false)
    gone = [("lounge", "2025-Q3", "2"), ("video", "2025-07", "1")]
    assert false | {"decides": str(member), "month": "2025-06"} == {
        name: made["fraud"][name] for name in (*false, "decides", "month")
    }
    assert ("PLATINUM", "GOLD") == (made["fraud"]["tier_before"], made["fraud"]["tier_after"])
    assert gone == sorted(tuple(one.values()) for one in made["fraud"]["units"])
    status, done = await approve(office, made)
    assert (200, "APPROVED", "GOLD") == (status, done["state"], done["result"])
    running.world.clock.forward(seconds=1)
    async with running.browser() as browser:
        phone = Phone(running, browser)
        for language, words in (("en", "were found to be fraud"), ("zh", "经认定为欺诈")):
            assert words in await phone.enter(member, language)
    assert [] == await running.world.findings()


async def test_people_see_proposals_and_decide_by_their_rights(office: Office) -> None:
    """Makers do not approve, nobody approves their own, auditors read; files stand in no list."""
    opinion = {"programme": "wealth", "trigger": "TIER", "nature": "CASH"}
    first = await propose(office, compliance={**opinion, "citation": "12/25", "text": "Small."})
    assert "12/25" == first["compliance"]["citation"]
    office.site.world.clock.forward(seconds=1)
    both = await propose(office, "both", programme={"document": MORE})
    for who, made, code in (
        ("maker", first, "forbidden"),
        ("eye", first, "forbidden"),
        ("both", both, "same_person"),
    ):
        status, problem = await approve(office, made, who)
        assert (403, code) == (status, problem["code"])
    status, left = await office.ask(
        "both", "POST", f"{PATH}/{both['id']}/reject", json={"note": "Not yet."}
    )
    assert (200, "WITHDRAWN", "Not yet.") == (status, left["state"], left["decision_note"])
    status, page = await office.ask("eye", "GET", f"{PATH}?limit=1")
    assert (200, [first]) == (status, page["proposals"])
    _, rest = await office.ask("eye", "GET", f"{PATH}?limit=1&cursor={page['next']}")
    assert (None, None) == (rest["proposals"][0]["programme"]["document"], rest["next"])
    _, open_ = await office.ask("eye", "GET", f"{PATH}?state=PROPOSED")
    assert [first] == open_["proposals"]
    _, versions = await office.ask("eye", "GET", f"{PATH}?kind=PROGRAMME")
    assert [both["id"]] == [each["id"] for each in versions["proposals"]]
    assert (200, first) == await office.ask("eye", "GET", f"{PATH}/{first['id']}")
    for wrong, name in (("kind=RULE", "kind"), ("state=OPEN", "state"), ("limit=0", "limit")):
        status, problem = await office.ask("eye", "GET", f"{PATH}?{wrong}")
        assert (400, name) == (status, problem["detail"].partition(":")[0])
    late = {"document": MORE, "first_month": "2025-13"}
    status, problem = await office.ask(
        "maker", "POST", PATH, json={"note": "As agreed.", "programme": late}, key="late"
    )
    assert (422, "first_month") == (status, problem["detail"].partition(":")[0])
